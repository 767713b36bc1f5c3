// SPDX-License-Identifier: Apache-2.0
//
// See serve.h.
#include "agent/cmd/serve.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/anchor.h"
#include "agent/cmd/context.h"
#include "agent/daemon.h"
#include "agent/facts.h"
#include "agent/hire.h"
#include "agent/log.h"
#include "agent/slots.h"
#include "base/fs.h"
#include "base/own.h"
#include "keys/root.h"

int cmd_serve_run(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config;
    (void)context;
    if (cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    int done = agent_daemon_run(&config, e);
    agent_config_clear(&config);
    return done;
}

static int print_json(const json_t *value, struct err *e) {
    OWN(mem) char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text)
        return err_set(e, &err_memory, "out of memory");
    (void)puts(text);
    return 0;
}

// Beyond the file itself: what it names must be there, or the agent would find out in the field.
static int check_named(const struct agent_config *config, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *root = NULL;
    char worker[FS_PATH_BYTES];
    uid_t uid;
    gid_t gid;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (fs_read_file(AT_FDCWD, config->root, KEYS_ROOT_MAX_BYTES, &raw, e) < 0 ||
        keys_secret_init(e) < 0 || keys_root_open((struct slice){raw.data, raw.len}, &root, e) < 0)
        return err_prefix(e, "root: %s", config->root);
    if (agent_hire_program(config, worker, sizeof worker, e) < 0 ||
        agent_hire_user(config, &uid, &gid, e) < 0)
        return -1;
    // Downloads would go on without it, and nobody would know.
    if (config->site_cache[0] != '\0' &&
        (strncmp(config->site_cache, "http", 4) != 0 || strpbrk(config->site_cache, "?# ")))
        return err_set(e, &err_config, "site_cache: '%s' is not like http://cache:8080",
                       config->site_cache);
    if (agent_slots_check(config, e) < 0)
        return -1;
    if (config->tpm_tcti && agent_hire_find(AGENT_ANCHOR_PROGRAM, worker, sizeof worker, e) < 0)
        return err_prefix(e, "tpm: install edge-agent-tpm");
    return 0;
}

int cmd_serve_check(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config;
    (void)context;
    if (cmd_context_config(args, AGENT_CONFIG_STRICT, &config, e) < 0)
        return -1;
    int done = check_named(&config, e);
    OWN(json) json_t *effective = done == 0 ? agent_config_effective(&config) : NULL;
    if (done == 0 && opt_given(args, "print"))
        done = effective ? print_json(effective, e) : err_set(e, &err_memory, "out of memory");
    agent_config_clear(&config);
    return done;
}

int cmd_serve_inventory(void *context, const struct opt_args *args, struct err *e) {
    struct agent_config config = {.timezone = ""};
    OWN(json) json_t *facts = NULL;
    (void)context;
    // Without a configuration it says what any device here would find out.
    bool configured = opt_given(args, "config") || access(CMD_CONTEXT_CONFIG, R_OK) == 0;
    if (configured && cmd_context_config(args, AGENT_CONFIG_LENIENT, &config, e) < 0)
        return -1;
    int done = cmd_context_facts(&config, &facts, e);
    if (done == 0)
        done = print_json(facts, e);
    agent_config_clear(&config);
    return done;
}
