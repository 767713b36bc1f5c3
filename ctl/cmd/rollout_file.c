// SPDX-License-Identifier: Apache-2.0
//
// Policies and plans as files.
#include "ctl/cmd/rollout.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "ctl/rollout/policy.h"
#include "ctl/yaml.h"

static int read_text(const char *path, const char *what, size_t max_bytes, struct buf *ret,
                     struct err *e) {
    if (strcmp(path, "-") != 0)
        return fs_read_file(AT_FDCWD, path, max_bytes, ret, e);
    uint8_t *room = NULL;
    size_t got = 0;
    if (buf_reserve(ret, max_bytes, &room, e) < 0 ||
        fs_read(STDIN_FILENO, room, max_bytes, &got, e) < 0)
        return err_prefix(e, "reading the %s from standard input", what);
    if (got == max_bytes)
        return err_set(e, &err_limit, "a %s has fewer than %zu bytes", what, max_bytes);
    buf_commit(ret, got);
    return 0;
}

// JSON begins with a brace; YAML with almost anything else, and its flow style is close to JSON.
static int read_document(const char *path, json_t **ret, struct err *e) {
    const struct doc_limits limits = {
        .bytes = ROLLOUT_POLICY_MAX_BYTES, .depth = 16, .values = 4096, .floats = true};
    const char *what = strcmp(path, "-") == 0 ? "standard input" : path;
    size_t len = strlen(path);
    bool yaml_name = (len > 5 && strcmp(path + len - 5, ".yaml") == 0) ||
                     (len > 4 && strcmp(path + len - 4, ".yml") == 0);
    OWN(buf) struct buf text;
    buf_init(&text, ROLLOUT_POLICY_MAX_BYTES);
    if (read_text(path, "policy", ROLLOUT_POLICY_MAX_BYTES, &text, e) < 0)
        return -1;
    const char *first = buf_text(&text) + strspn(buf_text(&text), " \t\r\n");
    if (*first == '{' && !yaml_name)
        return doc_parse(buf_slice(&text), what, &limits, ret, e);
    return ctl_yaml_parse(buf_slice(&text), what, ret, e);
}

// The policy in its normal form, checked here, where errors can name the file.
int cmd_rollout_file_policy(const char *path, struct rollout_policy *policy, json_t **ret,
                            struct err *e) {
    OWN(json) json_t *document = NULL;
    if (read_document(path, &document, e) < 0 ||
        rollout_policy_parse(document, path, policy, e) < 0)
        return -1;
    return rollout_policy_format(policy, ret, e);
}

int cmd_rollout_file_plan(const char *path, struct rollout_policy *policy, json_t **ret,
                          struct err *e) {
    const struct doc_limits limits = {
        .bytes = CMD_ROLLOUT_PLAN_MAX_BYTES, .depth = 16, .values = 200000};
    const char *what = strcmp(path, "-") == 0 ? "standard input" : path;
    OWN(buf) struct buf text;
    OWN(json) json_t *document = NULL;
    buf_init(&text, CMD_ROLLOUT_PLAN_MAX_BYTES);
    if (read_text(path, "plan", CMD_ROLLOUT_PLAN_MAX_BYTES, &text, e) < 0 ||
        doc_parse(buf_slice(&text), what, &limits, &document, e) < 0)
        return -1;
    json_t *of = json_object_get(document, "policy");
    if (!json_is_object(json_object_get(document, "plan")) || !json_is_object(of))
        return err_set(e, &err_config,
                       "%s: not a plan; a policy is applied with -f, and edgectl rollout plan "
                       "makes a plan of it",
                       what);
    if (rollout_policy_parse(of, what, policy, e) < 0)
        return -1;
    *ret = json_incref(document);
    return 0;
}

// Members that a plan lacks, of one by devices those that say how many sites there are, stay out.
static int copy_strata(const json_t *plan, json_t *io, struct err *e) {
    static const char *const members[] = {"key", "devices", "units", "bounds", "pooled"};
    size_t i;
    json_t *stratum;
    json_array_foreach (json_object_get(plan, "strata"), i, stratum) {
        json_t *one = json_object();
        for (size_t k = 0; k < sizeof members / sizeof *members; k++)
            (void)json_object_set(one, members[k], json_object_get(stratum, members[k]));
        if (json_array_append_new(io, one) < 0)
            return err_set(e, &err_memory, "applying a plan: out of memory");
    }
    return 0;
}

int cmd_rollout_file_body(const json_t *file, const char *drift_pct, json_t **ret, struct err *e) {
    static const char *const members[] = {"format", "rollout", "seed", "devices", "sites"};
    const json_t *plan = json_object_get(file, "plan");
    const json_t *mandate = json_object_get(file, "mandate");
    json_t *strata = json_array();
    OWN(json)
    json_t *body = json_pack("{s:{s:o}, s:O}", "plan", "strata", strata, "policy",
                             json_object_get(file, "policy"));
    if (body == NULL)
        return err_set(e, &err_memory, "applying a plan: out of memory");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        (void)json_object_set(json_object_get(body, "plan"), members[i],
                              json_object_get(plan, members[i]));
    // What nobody signed allows nothing, and is left at home.
    if (json_array_size(json_object_get(mandate, "signatures")) > 0)
        (void)json_object_set(body, "mandate", (json_t *)(uintptr_t)mandate);
    if (drift_pct != NULL)
        (void)json_object_set_new(body, "drift_pct", json_string(drift_pct));
    if (copy_strata(plan, strata, e) < 0)
        return -1;
    *ret = json_incref(body);
    return 0;
}
