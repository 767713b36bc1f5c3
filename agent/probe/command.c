// SPDX-License-Identifier: Apache-2.0
//
// See command.h.
#include "agent/probe/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/hire.h"
#include "agent/kind.h"
#include "base/own.h"
#include "base/random.h"
#include "base/text.h"

#define SCRATCH        "scratch"
#define TEXT_MAX_BYTES (64 * 1024)

static const struct {
    const char *name;
    size_t len;
} placeholders[] = {{"{component}", 11}, {"{generation}", 12}};

// Appends one argument with its placeholders replaced, and its NUL.
static int add_argument(struct buf *b, const char *arg, const char *const values[2],
                        struct err *e) {
    while (*arg) {
        size_t plain = strcspn(arg, "{");
        if (buf_add(b, arg, plain, e) < 0)
            return -1;
        arg += plain;
        size_t which = 0;
        while (which < 2 && strncmp(arg, placeholders[which].name, placeholders[which].len) != 0)
            which++;
        if (*arg && which == 2) {
            if (buf_add(b, arg++, 1, e) < 0)
                return -1;
        } else if (*arg) {
            if (buf_add_text(b, values[which], e) < 0)
                return -1;
            arg += placeholders[which].len;
        }
    }
    return buf_add(b, "", 1, e);
}

static int add_environment(struct buf *b, const struct probe_command *c, const char *generation,
                           size_t *ret_n, struct err *e) {
    *ret_n = 6;
    if (buf_add_format(b, e, "PATH=/usr/bin:/bin%cLANG=C%cEDGE_COMPONENT=%s%c", 0, 0, c->component,
                       0) < 0 ||
        buf_add_format(b, e, "EDGE_GENERATION=%s%cEDGE_SCRATCH=%s%cTMPDIR=%s%c", generation, 0,
                       c->scratch, 0, c->scratch, 0) < 0)
        return -1;
    return 0;
}

// Points each of n slots at the next string of a row of NUL-terminated ones.
static const char *spread(const char *at, const char **slots, size_t n) {
    for (size_t i = 0; i < n; i++) {
        slots[i] = at;
        at += strlen(at) + 1;
    }
    slots[n] = NULL;
    return at;
}

static int set_limits(const struct agent_config_runner *runner, struct probe_command *c,
                      struct err *e) {
    c->limits = (struct proc_limits){
        .memory_bytes = runner->memory_bytes,
        .cpu_s = runner->cpu_s,
        .processes = runner->processes,
        .no_network = !runner->network,
        .no_new_privs = true,
    };
    if (geteuid() != 0)
        return 0;
    c->limits.set_user = true;
    if (agent_hire_look_up(runner->user, "edge-runner", &c->limits.uid, &c->limits.gid, e) < 0)
        return err_prefix(e, "runner %s", runner->name);
    if (c->limits.uid == 0 && !runner->allow_root)
        return err_set(e, &err_permission,
                       "runner %s would run as root: set allow_root, or give it a user",
                       runner->name);
    return 0;
}

static int make_scratch(const struct agent_config *config, struct probe_command *c, int state_dir,
                        struct err *e) {
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    OWN(fd) int fd = -1;
    random_fill(random, sizeof random);
    text_hex(random, sizeof random, hex);
    if (fs_make_dir(state_dir, SCRATCH, 0711, e) < 0)
        return -1;
    char name[sizeof c->scratch_name];
    (void)snprintf(name, sizeof name, SCRATCH "/%s", hex);
    if (fs_mkdir(state_dir, name, 0700, e) < 0)
        return -1;
    memcpy(c->scratch_name, name, sizeof name);
    int len = snprintf(c->scratch, sizeof c->scratch, "%s/%s", config->state_dir, name);
    if (len < 0 || (size_t)len >= sizeof c->scratch)
        return err_set(e, &err_limit, "the path of the state directory is too long");
    if (!c->limits.set_user)
        return 0;
    if (fs_open_dir(state_dir, name, &fd, e) < 0)
        return -1;
    return fs_chown(fd, c->limits.uid, c->limits.gid, e);
}

static int make_strings(const struct agent_config_runner *runner, const struct bundle_probe *probe,
                        const char *generation, struct probe_command *c, struct err *e) {
    OWN(buf) struct buf b;
    size_t n = 0, n_env;
    const char *const values[2] = {c->component, generation};
    buf_init(&b, TEXT_MAX_BYTES);
    for (; runner->argv[n]; n++) {
        if (add_argument(&b, runner->argv[n], values, e) < 0)
            return -1;
    }
    for (size_t i = 0; i < probe->n_args; i++, n++) {
        if (add_argument(&b, probe->args[i], values, e) < 0)
            return -1;
    }
    // A golden runner has no arguments of the bundle's: it is told which model.
    if (probe->kind == BUNDLE_PROBE_GOLDEN) {
        if (add_argument(&b, "{component}", values, e) < 0)
            return -1;
        n++;
    }
    if (add_environment(&b, c, generation, &n_env, e) < 0)
        return -1;
    c->text = malloc(b.len);
    if (!c->text)
        return err_set(e, &err_memory, "running probe %s: out of memory", probe->name);
    memcpy(c->text, b.data, b.len);
    spread(spread(c->text, c->argv, n), c->env, n_env);
    return 0;
}

int probe_command_make(const struct agent_config *config, const struct bundle_probe *probe,
                       int state_dir, uint64_t generation, struct probe_command *ret,
                       struct err *e) {
    const struct agent_config_runner *runner = agent_config_runner(config, probe->runner);
    struct probe_command c = {.text = NULL};
    char directory[FS_PATH_BYTES];
    if (!runner)
        return err_set(e, &err_runner_missing,
                       "probe %s wants the runner '%s': allow it under \"runners\" in the agent's "
                       "configuration",
                       probe->name, probe->runner);
    int len = snprintf(directory, sizeof directory, "%s/generations/%" PRIu64, config->state_dir,
                       generation);
    int whole = snprintf(c.component, sizeof c.component, "%.*s/%s", (int)sizeof directory - 1,
                         directory, probe->component);
    if (len < 0 || (size_t)len >= sizeof directory || (size_t)whole >= sizeof c.component)
        return err_set(e, &err_limit, "the path of the state directory is too long");
    if (set_limits(runner, &c, e) < 0 || make_scratch(config, &c, state_dir, e) < 0 ||
        make_strings(runner, probe, directory, &c, e) < 0) {
        probe_command_clear(&c, state_dir);
        return err_prefix(e, "probe %s", probe->name);
    }
    *ret = c;
    // The strings lie in c.text; argv and env point there, not into the struct.
    return 0;
}

void probe_command_clear(struct probe_command *command, int state_dir) {
    struct err ignored = ERR_NONE;
    if (command->scratch_name[0] != '\0')
        (void)fs_remove_tree(state_dir, command->scratch_name, &ignored);
    free(command->text);
    *command = (struct probe_command){.text = NULL};
}
