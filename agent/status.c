// SPDX-License-Identifier: Apache-2.0
//
// See status.h.
#include "agent/status.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/trust.h"
#include "base/chrono.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"

static json_t *describe_components(const struct agent_store *store, uint64_t *ret_generation) {
    struct bundle_generation g;
    struct err ignored = ERR_NONE;
    char digest[KEYS_DIGEST_HEX], manifest[KEYS_DIGEST_HEX];
    json_t *all = json_object();
    if (agent_store_current(store, ret_generation, &ignored) != 0 ||
        agent_store_record(store, *ret_generation, &g, &ignored) < 0)
        return all;
    for (size_t i = 0; i < g.n_components; i++) {
        const struct bundle_generation_component *c = &g.components[i];
        json_t *one = json_pack("{ss ss ss ss sI}", "name", c->bundle_name, "version", c->release,
                                "digest", keys_digest_hex(&c->digest, digest), "manifest",
                                keys_digest_hex(&c->manifest, manifest), "security_version",
                                (json_int_t)c->security_version);
        if ((c->type == BUNDLE_COMPONENT_IMAGE &&
             json_object_set_new(one, "slot", json_integer((json_int_t)c->slot)) < 0) ||
            json_object_set_new(all, c->name, one) < 0)
            break;
    }
    return all;
}

static json_t *describe_update(const struct fsm_record *r) {
    char hex[KEYS_DIGEST_HEX] = "";
    const struct fsm_update *u = &r->update;
    if (!r->has_update)
        return json_null();
    if (u->has_bundle)
        keys_digest_hex(&u->bundle, hex);
    return json_pack("{ss ss ss ss sI sI sb}", "name", u->name, "version", u->release, "bundle",
                     hex, "rollout", u->rollout, "attempt", (json_int_t)u->attempt, "generation",
                     (json_int_t)u->target, "local", u->local);
}

// Of the update under way, else of the last one.
static json_t *describe_bytes(const struct fsm_record *r) {
    bool updates = r->has_update && !fsm_machine_is_sham(r->state);
    const struct bundle_report_bytes *b = updates ? &r->update.spent : &r->last.spent;
    if (bundle_report_link_bytes(b) == 0)
        return json_null();
    return json_pack("{sI sI sI sI sI sI}", "delta", (json_int_t)b->delta, "range",
                     (json_int_t)b->range, "full", (json_int_t)b->full, "index",
                     (json_int_t)b->index, "cache", (json_int_t)b->cache, "reused",
                     (json_int_t)b->reused);
}

static json_t *describe_progress(const struct agent_update *update) {
    uint64_t done, total;
    if (!update || !agent_update_progress(update, &done, &total))
        return json_null();
    return json_pack("{sI sI}", "done", (json_int_t)done, "total", (json_int_t)total);
}

int agent_status_make(const struct agent_state *state, const struct agent_update *update,
                      json_t **ret, struct err *e) {
    const struct fsm_record *r = &state->journal.record;
    uint64_t generation = r->committed;
    json_t *trust = agent_trust_describe(state);
    json_t *components = describe_components(&state->store, &generation);
    OWN(json)
    json_t *status = json_pack(
        "{ss ss ss sI so so so so so s{sI sI sI} s{ss ss} so so ss}", "agent", EDGE_VERSION,
        "device", state->identity.device, "state", fsm_machine_state_names[r->state], "generation",
        (json_int_t)generation, "previous",
        r->has_previous ? json_integer((json_int_t)r->previous) : json_null(), "components",
        components, "update", describe_update(r), "bytes", describe_bytes(r), "progress",
        describe_progress(update), "queue", "waiting", (json_int_t)state->queue.n, "dropped",
        (json_int_t)state->queue.dropped, "refused", (json_int_t)state->queue.refused, "why",
        "code", r->why.code, "text", r->why.text, "trust", trust, "trusted_time",
        trust ? json_incref(json_object_get(trust, "trusted_time")) : NULL, "anchor",
        agent_anchor_names[state->anchor.verdict]);
    if (!status)
        return err_set(e, &err_memory, "describing the state: out of memory");
    if (update && agent_update_describe(update, status, e) < 0)
        return -1;
    *ret = own_take(&status);
    return 0;
}

// Opens what is there, and only that.
static int open_private(const struct agent_config *config, struct agent_state *s, struct err *e) {
    char path[FS_PATH_BYTES];
    struct err none = ERR_NONE;
    OWN(buf) struct buf root;
    buf_init(&root, KEYS_ROOT_MAX_BYTES);
    s->config = config;
    s->clock = chrono_system();
    // A look does not ask the TPM.
    s->anchor.verdict = config->tpm_tcti ? AGENT_ANCHOR_UNKNOWN : AGENT_ANCHOR_NONE;
    if (fs_open_dir(AT_FDCWD, config->state_dir, &s->store.dir, e) < 0 ||
        fs_open_dir(s->store.dir, "generations", &s->store.generations, e) < 0 ||
        fs_open_dir(s->store.dir, "private", &s->private_dir, e) < 0)
        return err_prefix(e, "no agent runs, and its state cannot be read");
    int found = agent_journal_read(s->private_dir, &s->journal, e);
    if (found == AGENT_JOURNAL_ABSENT)
        return err_set(e, &err_not_found, "no agent has worked on %s yet", config->state_dir);
    if (found < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/private/device.key", config->state_dir);
    if (access(path, R_OK) == 0)
        (void)agent_identity_open(s->private_dir, config->device, &s->identity, &none);
    fsm_trusted_start(&s->journal.trusted, chrono_boot_ms(s->clock));
    if (fs_read_file(s->private_dir, TRUST_STORE_DIR "/" TRUST_STORE_ROOT, KEYS_ROOT_MAX_BYTES,
                     &root, &none) == 0)
        (void)keys_root_open(buf_slice(&root), &s->root, &none);
    err_clear(&none);
    (void)trust_store_look(s->private_dir, &s->trust, &none);
    err_clear(&none);
    (void)agent_queue_look(s->private_dir, 1, &s->queue, &none);
    return 0;
}

int agent_status_read(const struct agent_config *config, json_t **ret, struct err *e) {
    struct agent_state state = {
        .store = {-1, -1, NULL}, .private_dir = -1, .lock = -1, .trust.dir = -1};
    int done = keys_secret_init(e) < 0 || open_private(config, &state, e) < 0
                   ? -1
                   : agent_status_make(&state, NULL, ret, e);
    agent_state_close(&state);
    return done;
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void line(const char *name, const char *value) {
    char safe[1024];
    if (value[0] != '\0')
        (void)printf("%-12s %s\n", name, text_safe(value, safe, sizeof safe));
}

static void print_progress(const json_t *status) {
    const json_t *progress = json_object_get(status, "progress");
    json_int_t done = json_integer_value(json_object_get(progress, "done"));
    json_int_t total = json_integer_value(json_object_get(progress, "total"));
    const json_t *probation = json_object_get(status, "probation");
    if (total > 0)
        (void)printf("%-12s %lld of %lld bytes\n", "progress", (long long)done, (long long)total);
    if (json_is_object(probation))
        (void)printf("%-12s %lld of %lld s\n", "probation",
                     (long long)json_integer_value(json_object_get(probation, "done_s")),
                     (long long)json_integer_value(json_object_get(probation, "duration_s")));
}

// What the update cost the link, kind by kind; what is nothing is left out.
static void print_bytes(const json_t *bytes) {
    char text[256] = "", size[NUM_SIZE_TEXT];
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)bytes, name, value) {
        uint64_t n = (uint64_t)json_integer_value(value);
        size_t len = strlen(text);
        if (n > 0)
            (void)snprintf(text + len, sizeof text - len, "%s%s %s", len > 0 ? ", " : "", name,
                           num_format_size(n, size));
    }
    line("bytes", text);
}

static void print_reason(const char *name, const json_t *why) {
    char text[1024];
    if (text_of(why, "code")[0] == '\0')
        return;
    (void)snprintf(text, sizeof text, "%s: %s", text_of(why, "code"), text_of(why, "text"));
    line(name, text);
}

void agent_status_print(const json_t *status) {
    char text[1024];
    const char *name;
    json_t *value;
    size_t index;
    const json_t *update = json_object_get(status, "update");
    line("device", text_of(status, "device"));
    line("state", text_of(status, "state"));
    (void)printf("%-12s %lld\n", "generation",
                 (long long)json_integer_value(json_object_get(status, "generation")));
    json_object_foreach (json_object_get(status, "components"), name, value) {
        const json_t *slot = json_object_get(value, "slot");
        (void)snprintf(text, sizeof text, "%s %s %s%s", name, text_of(value, "name"),
                       text_of(value, "version"),
                       !slot                      ? ""
                       : json_integer_value(slot) ? " (slot 1)"
                                                  : " (slot 0)");
        line("component", text);
    }
    if (json_is_object(update)) {
        (void)snprintf(text, sizeof text, "%s %s", text_of(update, "name"),
                       text_of(update, "version"));
        line("update", text);
    }
    if (strcmp(text_of(status, "anchor"), agent_anchor_names[AGENT_ANCHOR_NONE]) != 0)
        line("anchor", text_of(status, "anchor"));
    print_progress(status);
    print_bytes(json_object_get(status, "bytes"));
    print_reason("repository", json_object_get(json_object_get(status, "trust"), "why"));
    json_array_foreach (json_object_get(status, "probes"), index, value) {
        line("probe", text_of(value, "text"));
    }
    print_reason("why", json_object_get(status, "why"));
}
