// SPDX-License-Identifier: Apache-2.0
//
// See config_parts.h.
#include "agent/config_parts.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/limits.h"
#include "bundle/probe.h"

#define TEXT_MAX         1024
#define HOOK_TIMEOUT_S   30
#define HOOK_TIMEOUT_MAX 3600

static const struct {
    const char *name;
    int number;
} signals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"TERM", SIGTERM},
               {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"CONT", SIGCONT}, {"KILL", SIGKILL}};

static const char *const action_names[AGENT_CONFIG_ACTIONS] = {
    [AGENT_CONFIG_NONE] = "none",     [AGENT_CONFIG_RESTART] = "restart",
    [AGENT_CONFIG_RELOAD] = "reload", [AGENT_CONFIG_SIGNAL] = "signal",
    [AGENT_CONFIG_EXEC] = "exec",
};

static int wrong(const struct doc_at *at, const char *key, const char *wanted, struct err *e) {
    return err_set(e, &err_config, "%s.%s: expected %s", at->path, key, wanted);
}

int agent_config_parts_settle(const struct agent_config *c, const struct doc_at *at,
                              const char *key, const char **text, struct err *e) {
    if ((*text)[0] == '/' || (*text)[0] == '\0')
        return 0;
    char joined[FS_PATH_BYTES];
    int len = snprintf(joined, sizeof joined, "%s/%s", c->folder, *text);
    if (len < 0 || (size_t)len >= sizeof joined)
        return err_set(e, &err_limit, "%s: %s: the path is too long", at->path, key);
    json_t *value = json_string(joined);
    *text = json_string_value(value);
    if (json_object_set_new(at->value, key, value) < 0)
        return err_set(e, &err_memory, "reading the configuration: out of memory");
    return 0;
}

static int read_argv(const struct doc_at *at, const char *key, const char **ret, struct err *e) {
    struct doc_at list;
    if (doc_array(at, key, AGENT_CONFIG_ARGV_MAX, &list, e) < 0)
        return -1;
    size_t n = json_array_size(list.value);
    for (size_t i = 0; i < n; i++) {
        if (doc_element_string(&list, i, TEXT_MAX, &ret[i], e) < 0)
            return -1;
    }
    ret[n] = NULL;
    if (n == 0 || ret[0][0] != '/')
        return wrong(at, key, "an argument list that begins with an absolute path", e);
    return 0;
}

// An object whose members are named by whoever wrote it: at most max, every one by a name. 1 when
// it is absent.
static int open_named(const struct doc_at *root, const char *part, size_t max, struct doc_at *ret,
                      struct err *e) {
    char shown[4 * BUNDLE_NAME_MAX];
    const char *name;
    json_t *value;
    int found = doc_object_opt(root, part, ret, e);
    if (found != 0)
        return found;
    if (json_object_size(ret->value) > max)
        return err_set(e, &err_config, "%s: more than %zu entries", ret->path, max);
    json_object_foreach (ret->value, name, value) {
        if (!text_is_name(name, BUNDLE_NAME_MAX))
            return err_set(e, &err_config,
                           "%s: '%s' is no name: letters, digits and . _ - +, at most %d of them, "
                           "'.' and '-' not first",
                           ret->path, text_safe(name, shown, sizeof shown), BUNDLE_NAME_MAX);
    }
    return 0;
}

// Calls read for each member of an object of objects, at most max.
static int each(const struct doc_at *root, const char *part, size_t max,
                int (*read)(struct agent_config *c, const char *name, const struct doc_at *at,
                            struct err *e),
                struct agent_config *c, struct err *e) {
    struct doc_at all, at;
    const char *name;
    json_t *value;
    int found = open_named(root, part, max, &all, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    json_object_foreach (all.value, name, value) {
        if (doc_object(&all, name, &at, e) < 0 || read(c, name, &at, e) < 0)
            return -1;
    }
    return 0;
}

static int read_runner(struct agent_config *c, const char *name, const struct doc_at *at,
                       struct err *e) {
    static const char *const known[] = {"argv",      "user",    "memory_bytes", "cpu_s",
                                        "processes", "network", "allow_root",   NULL};
    struct agent_config_runner *r = &c->runners[c->n_runners];
    *r = (struct agent_config_runner){.name = name, .user = "edge-runner"};
    if (doc_no_unknown(at, known, e) < 0 || read_argv(at, "argv", r->argv, e) < 0 ||
        doc_string_opt(at, "user", BUNDLE_NAME_MAX, &r->user, e) < 0 ||
        doc_u64_opt(at, "memory_bytes", 0, INT64_MAX, &r->memory_bytes, e) < 0 ||
        doc_u64_opt(at, "cpu_s", 0, 86400, &r->cpu_s, e) < 0 ||
        doc_u64_opt(at, "processes", 0, 1000000, &r->processes, e) < 0 ||
        doc_bool_opt(at, "network", &r->network, e) < 0 ||
        doc_bool_opt(at, "allow_root", &r->allow_root, e) < 0)
        return -1;
    c->n_runners++;
    return 0;
}

static int read_signal(const struct agent_config *c, const struct doc_at *at,
                       struct agent_config_hook *h, struct err *e) {
    const char *name = "HUP";
    if (doc_string(at, "pid_file", TEXT_MAX, &h->pid_file, e) < 0 ||
        agent_config_parts_settle(c, at, "pid_file", &h->pid_file, e) < 0 ||
        doc_string_opt(at, "signal", 8, &name, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        if (strcmp(signals[i].name, name) == 0)
            h->signal = signals[i].number;
    }
    return h->signal ? 0 : wrong(at, "signal", "HUP, INT, QUIT, TERM, USR1, USR2, CONT or KILL", e);
}

static int read_hook(struct agent_config *c, const char *name, const struct doc_at *at,
                     struct err *e) {
    static const char *const known[] = {"action", "unit",      "pid_file", "signal",
                                        "argv",   "timeout_s", NULL};
    struct agent_config_hook *h = &c->hooks[c->n_hooks];
    const char *action;
    *h = (struct agent_config_hook){
        .component = name, .action = AGENT_CONFIG_ACTIONS, .timeout_s = HOOK_TIMEOUT_S};
    if (doc_no_unknown(at, known, e) < 0 || doc_string(at, "action", 16, &action, e) < 0 ||
        doc_u64_opt(at, "timeout_s", 1, HOOK_TIMEOUT_MAX, &h->timeout_s, e) < 0)
        return -1;
    for (unsigned i = 0; i < AGENT_CONFIG_ACTIONS; i++) {
        if (strcmp(action_names[i], action) == 0)
            h->action = (enum agent_config_action)i;
    }
    int done = 0;
    switch (h->action) {
    case AGENT_CONFIG_RESTART:
    case AGENT_CONFIG_RELOAD:
        done = doc_string(at, "unit", 256, &h->unit, e);
        if (done == 0 && h->unit[0] == '-')
            done = wrong(at, "unit", "the name of a unit", e);
        break;
    case AGENT_CONFIG_SIGNAL:
        done = read_signal(c, at, h, e);
        break;
    case AGENT_CONFIG_EXEC:
        done = read_argv(at, "argv", h->argv, e);
        break;
    case AGENT_CONFIG_NONE:
        break;
    case AGENT_CONFIG_ACTIONS:
        done = wrong(at, "action", "restart, reload, signal, exec or none", e);
    }
    if (done == 0)
        c->n_hooks++;
    return done;
}

static int read_metric(struct agent_config *c, const char *name, const struct doc_at *at,
                       struct err *e) {
    static const char *const known[] = {"file", "metric", NULL};
    struct agent_config_metric *m = &c->metrics[c->n_metrics];
    *m = (struct agent_config_metric){.name = name};
    if (doc_no_unknown(at, known, e) < 0 || doc_string(at, "file", TEXT_MAX, &m->file, e) < 0 ||
        agent_config_parts_settle(c, at, "file", &m->file, e) < 0 ||
        doc_string(at, "metric", TEXT_MAX, &m->metric, e) < 0)
        return -1;
    c->n_metrics++;
    return 0;
}

// A relative path in a list, as agent_config_parts_settle.
static int settle_element(const struct agent_config *c, const struct doc_at *list, size_t i,
                          const char **text, struct err *e) {
    if ((*text)[0] == '/')
        return 0;
    char joined[FS_PATH_BYTES];
    int len = snprintf(joined, sizeof joined, "%s/%s", c->folder, *text);
    if (len < 0 || (size_t)len >= sizeof joined)
        return err_set(e, &err_limit, "%s: the path is too long", list->path);
    json_t *value = json_string(joined);
    *text = json_string_value(value);
    if (json_array_set_new(list->value, i, value) < 0)
        return err_set(e, &err_memory, "reading the configuration: out of memory");
    return 0;
}

static int read_slots(const struct doc_at *root, struct agent_config *c, struct err *e) {
    struct doc_at all, list;
    const char *name;
    json_t *value;
    int found = open_named(root, "slots", AGENT_CONFIG_SLOTS_MAX, &all, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    json_object_foreach (all.value, name, value) {
        struct agent_config_slots *slots = &c->slots[c->n_slots];
        slots->component = name;
        if (doc_array(&all, name, BUNDLE_IMAGE_SLOTS, &list, e) < 0)
            return -1;
        if (json_array_size(list.value) != BUNDLE_IMAGE_SLOTS)
            return wrong(&all, name, "two paths, of block devices or of files", e);
        for (size_t i = 0; i < BUNDLE_IMAGE_SLOTS; i++)
            if (doc_element_string(&list, i, TEXT_MAX, &slots->paths[i], e) < 0 ||
                settle_element(c, &list, i, &slots->paths[i], e) < 0)
                return -1;
        if (strcmp(slots->paths[0], slots->paths[1]) == 0)
            return wrong(&all, name, "two different paths", e);
        c->n_slots++;
    }
    return 0;
}

static int read_endpoints(const struct doc_at *root, struct agent_config *c, struct err *e) {
    struct doc_at all;
    const char *name;
    json_t *value;
    int found = open_named(root, "endpoints", AGENT_CONFIG_ENDPOINTS_MAX, &all, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    json_object_foreach (all.value, name, value) {
        struct agent_config_endpoint *endpoint = &c->endpoints[c->n_endpoints];
        endpoint->name = name;
        if (doc_string(&all, name, TEXT_MAX, &endpoint->url, e) < 0)
            return -1;
        if (!bundle_probe_is_source(endpoint->url))
            return wrong(&all, name, "file:/… or an http:// URL on 127.0.0.1, [::1] or localhost",
                         e);
        c->n_endpoints++;
    }
    return 0;
}

// Facts that no bundle and no controller could read would stop every install, far from here.
static int check_facts(const struct doc_at *at, const json_t *facts, struct err *e) {
    OWN(facts) struct bundle_facts *set = NULL;
    struct err why = ERR_NONE;
    return bundle_facts_parse(facts, &set, &why) < 0
               ? err_set(e, &err_config, "%s: %s", at->path, why.text)
               : 0;
}

static int read_facts(const struct doc_at *root, struct agent_config *c, struct err *e) {
    struct doc_at all;
    int found = doc_object_opt(root, "facts", &all, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    c->facts = all.value;
    return check_facts(&all, c->facts, e);
}

static int read_commands(const struct doc_at *root, struct agent_config *c, struct err *e) {
    struct doc_at all;
    const char *name;
    json_t *value;
    OWN(json) json_t *named = json_object();
    int found = doc_object_opt(root, "fact_commands", &all, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (!named)
        return err_set(e, &err_memory, "reading the configuration: out of memory");
    if (json_object_size(all.value) > AGENT_CONFIG_COMMANDS_MAX)
        return err_set(e, &err_config, "%s: more than %d entries", all.path,
                       AGENT_CONFIG_COMMANDS_MAX);
    json_object_foreach (all.value, name, value) {
        struct agent_config_command *command = &c->commands[c->n_commands];
        command->fact = name;
        if (read_argv(&all, name, command->argv, e) < 0)
            return -1;
        if (json_object_set_new(named, name, json_true()) < 0)
            return err_set(e, &err_memory, "reading the configuration: out of memory");
        c->n_commands++;
    }
    return check_facts(&all, named, e);
}

// The time zone may stand alone: then only the windows of rollouts go by it.
static int read_window(const struct doc_at *root, struct agent_config *c, struct err *e) {
    static const char *const known[] = {"start", "end", "days", "timezone", NULL};
    struct doc_at at;
    int found = doc_object_opt(root, "window", &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    c->timezone = "UTC";
    if (doc_no_unknown(&at, known, e) < 0 ||
        doc_string_opt(&at, "timezone", 64, &c->timezone, e) < 0)
        return -1;
    if (json_object_get(at.value, "start") == NULL && json_object_get(at.value, "end") == NULL &&
        json_object_get(at.value, "days") == NULL)
        return 0;
    c->window.n = 1;
    return bundle_window_read(&at, &c->window.list[0], e);
}

// Only a refresh of the repository makes a restored state good again, and check-ins bring about
// refreshes.
static int read_tpm(const struct doc_at *root, struct agent_config *c, struct err *e) {
    static const char *const known[] = {"index", "tcti", NULL};
    struct doc_at at;
    uint64_t index = AGENT_CONFIG_TPM_INDEX;
    int found = doc_object_opt(root, "tpm", &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (doc_no_unknown(&at, known, e) < 0 ||
        doc_string(&at, "tcti", AGENT_CONFIG_TCTI_MAX, &c->tpm_tcti, e) < 0 ||
        doc_u64_opt(&at, "index", AGENT_CONFIG_TPM_INDEX_MIN, AGENT_CONFIG_TPM_INDEX_MAX, &index,
                    e) < 0)
        return -1;
    if (c->tpm_tcti[0] == '\0')
        return wrong(&at, "tcti", "a way to the TPM, like \"device:/dev/tpmrm0\"", e);
    if (c->controller[0] == '\0')
        return err_set(
            e, &err_config,
            "%s: needs a controller, whose repository says what counts when an old state "
            "was put back",
            at.path);
    c->tpm_index = (uint32_t)index;
    return 0;
}

static int check_metered(const struct doc_at *at, const struct agent_config *c, struct err *e) {
    if (c->metered[0] == '/' || strcmp(c->metered, "no") == 0 || strcmp(c->metered, "yes") == 0)
        return 0;
    return wrong(at, "metered", "\"no\", \"yes\" or the absolute path of a file", e);
}

int agent_config_parts_read(const struct doc_at *at, struct agent_config *ret, struct err *e) {
    if (check_metered(at, ret, e) < 0 ||
        each(at, "runners", AGENT_CONFIG_RUNNERS_MAX, read_runner, ret, e) < 0 ||
        each(at, "on_activate", AGENT_CONFIG_HOOKS_MAX, read_hook, ret, e) < 0 ||
        each(at, "metrics", AGENT_CONFIG_METRICS_MAX, read_metric, ret, e) < 0)
        return -1;
    if (read_endpoints(at, ret, e) < 0 || read_facts(at, ret, e) < 0 ||
        read_commands(at, ret, e) < 0 || read_slots(at, ret, e) < 0 || read_tpm(at, ret, e) < 0)
        return -1;
    return read_window(at, ret, e);
}
