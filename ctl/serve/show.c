// SPDX-License-Identifier: Apache-2.0
//
// JSON of devices, releases, tokens, events.
#include "ctl/serve/show.h"

#include <stdio.h>

#include "base/chrono.h"
#include "ctl/serve/repository.h"

json_t *serve_show_time(int64_t at_s) {
    char text[CHRONO_TEXT_BYTES];
    return at_s == 0 ? json_null() : json_string(chrono_format(at_s, text));
}

json_t *serve_show_why(const char *code, const char *text) {
    return json_pack("{s:s, s:s}", "code", code, "text", text);
}

json_t *serve_show_release(const char *name, const char *version) {
    return json_pack("{s:s, s:s}", "name", name, "version", version);
}

json_t *serve_show_bundle(const struct store_bundle *b) {
    char url[KEYS_DIGEST_HEX + 24];
    (void)snprintf(url, sizeof url, "/bundles/%s.edge", b->id);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:O, s:o, s:o, s:s, s:s}", "id", b->id,
                     "name", b->name, "version", b->version, "variant", b->variant, "requires",
                     b->requires, "size", (json_int_t)b->size, "serial", (json_int_t)b->serial,
                     "components", b->components, "expires", serve_show_time(b->expires_s),
                     "published", serve_show_time(b->published_s), "by", b->actor, "url", url);
}

json_t *serve_show_delta(const struct serve_server *server, const struct store_bundle *bundle,
                         const struct store_delta *d) {
    char url[STORE_DELTA_FILE_BYTES + 16];
    struct keys_digest base;
    struct err ignored = ERR_NONE;
    const struct serve_engine_bundle *from = NULL;
    if (keys_digest_parse(d->base, "base", &base, &ignored) == 0)
        from = serve_engine_bundle(server->engine, &base);
    (void)snprintf(url, sizeof url, "/bundles/%s.delta", d->head);
    return json_pack(
        "{s:s, s:s, s:o, s:s, s:I, s:o, s:s, s:b, s:s}", "bundle", d->bundle, "base", d->base,
        "base_release",
        from == NULL ? json_null() : serve_show_release(from->row.name, from->row.version), "head",
        d->head, "size", (json_int_t)d->size, "published", serve_show_time(d->created_s), "by",
        d->actor, "named", (int)serve_repository_names_delta(server, bundle, d), "url", url);
}

// The stage's name, when the update is one of a rollout that is known.
static json_t *stage_name(const struct serve_engine *engine, const struct store_device_task *task) {
    const struct serve_engine_rollout *r =
        serve_engine_find((struct serve_engine *)(uintptr_t)engine, task->rollout);
    if (r == NULL || task->stage >= r->row.policy.n_stages)
        return json_null();
    return json_string(r->row.policy.stages[task->stage].name);
}

json_t *serve_show_update(const struct serve_engine *engine, const struct store_device *device) {
    const struct store_device_task *task = &device->task;
    char hex[KEYS_DIGEST_HEX];
    if (task->state == ROLLOUT_TASK_NONE)
        return json_null();
    const struct serve_engine_bundle *b = serve_engine_bundle(engine, &task->bundle);
    return json_pack("{s:s, s:I, s:o, s:s, s:o, s:s, s:o}", "rollout", task->rollout, "attempt",
                     (json_int_t)task->attempt, "release",
                     b == NULL ? json_null() : serve_show_release(b->row.name, b->row.version),
                     "bundle", b == NULL ? "" : keys_digest_hex(&task->bundle, hex), "stage",
                     stage_name(engine, task), "state", rollout_task_name(task->state), "since",
                     serve_show_time(task->since_s));
}

static json_t *or_object(json_t *value) {
    return json_is_object(value) ? json_incref(value) : json_object();
}

static const char *said_text(const struct store_device *device, const char *key) {
    const char *text = json_string_value(json_object_get(device->said, key));
    return text == NULL ? "" : text;
}

json_t *serve_show_device(const struct serve_engine *engine, const struct store_device *d) {
    json_t *pin =
        d->pin_name[0] == '\0' ? json_null() : serve_show_release(d->pin_name, d->pin_version);
    return json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:I, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "id",
                     d->id, "state", store_device_state_name(d->state), "seen",
                     serve_show_time(d->seen_s), "created", serve_show_time(d->created_s), "agent",
                     said_text(d, "agent"), "agent_state", said_text(d, "state"), "generation",
                     json_integer_value(json_object_get(d->said, "generation")), "components",
                     or_object(json_object_get(d->said, "components")), "labels",
                     or_object(d->labels), "held", (int)d->held, "pin", pin, "update",
                     serve_show_update(engine, d), "why", serve_show_why(d->why_code, d->why_text),
                     "clone", serve_show_time(d->clone_s));
}

json_t *serve_show_token(const struct store_token *t) {
    bool is_operator = t->kind == STORE_TOKEN_OPERATOR;
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:I, s:I, s:o, s:o, s:o}", "id", t->id,
                     "kind", is_operator ? "operator" : "enroll", "name", t->name, "role",
                     is_operator ? json_string(store_token_roles[t->role]) : json_null(),
                     "selector", t->selector, "labels", or_object(t->labels), "serials",
                     json_is_array(t->serials) ? json_incref(t->serials) : json_array(), "max_uses",
                     (json_int_t)t->max_uses, "uses", (json_int_t)t->uses, "created",
                     serve_show_time(t->created_s), "expires", serve_show_time(t->expires_s),
                     "revoked", serve_show_time(t->revoked_s));
}

json_t *serve_show_event(const struct store_event *event) {
    return json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:s}", "id", (json_int_t)event->id, "at",
                     serve_show_time(event->at_s), "kind", event->kind, "subject", event->subject,
                     "rollout", event->rollout, "code", event->code, "text", event->text);
}
