// SPDX-License-Identifier: Apache-2.0
//
// See judge.h.
#include "agent/worker/judge.h"

#include <stdio.h>
#include <string.h>

#include "agent/worker/depot.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/foreign/ops.h"
#include "keys/kind.h"
#include "keys/tuf/client.h"

// The repository is what was fetched. A timestamp that did not change was not kept: the trusted one
// is the same, byte for byte.
static int fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                 struct err *e) {
    struct worker_depot *depot = context;
    if (!trust_verdict_is_file(name))
        return TUF_ABSENT;
    int found = worker_depot_read(depot->incoming, name, max_bytes, ret, e);
    if (found == TUF_ABSENT && strcmp(name, "timestamp.json") == 0)
        found = worker_depot_read(depot->trusted, name, max_bytes, ret, e);
    return found == 0 ? worker_depot_served(depot, name, e) : found;
}

// json_object_set_new refuses a NULL value, so that want of memory is noticed at the end.
static void set(json_t *object, const char *name, json_t *value, bool *ok) {
    *ok = json_object_set_new(object, name, value) == 0 && *ok;
}

static json_t *describe_role(const struct tuf_client *client, enum tuf_type type) {
    const struct tuf_metadata *m = tuf_client_trusted(client, type);
    if (!m)
        return json_null();
    return json_pack("{sI sI sI}", "expires", (json_int_t)tuf_metadata_expires_s(m), "issued",
                     (json_int_t)tuf_metadata_issued_s(m), "version",
                     (json_int_t)tuf_metadata_version(m));
}

static json_t *describe_floors(const struct tuf_client *client) {
    const struct tuf_metadata *targets = tuf_client_trusted(client, TUF_TARGETS);
    struct tuf_json_at floors, at;
    const char *name = NULL;
    if (!targets || !tuf_json_find(tuf_metadata_signed(targets), "floors", &floors) ||
        tuf_json_type(floors) != TUF_JSON_OBJECT)
        return json_null();
    json_t *all = json_object();
    bool ok = all;
    for (bool more = tuf_json_first(floors, &at, &name); ok && more;
         more = tuf_json_next(floors, &at, &name))
        if (tuf_json_type(at) == TUF_JSON_INTEGER)
            set(all, name, json_integer((json_int_t)tuf_json_integer(at)), &ok);
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

static bool all_allow(const struct tuf_target *target, const char *component) {
    for (size_t i = 0; i < target->n_delegations; i++)
        if (!tuf_delegation_allows_component(&target->delegations[i], component))
            return false;
    return true;
}

// The components that every delegation on the way allows; null when none has a limit.
static json_t *describe_components(const struct tuf_target *target) {
    struct tuf_json_at list, at;
    size_t limited = 0;
    while (limited < target->n_delegations &&
           !tuf_json_find(target->delegations[limited].object, "components", &list))
        limited++;
    if (limited == target->n_delegations)
        return json_null();
    json_t *names = json_array();
    bool more = tuf_json_type(list) == TUF_JSON_ARRAY && tuf_json_first(list, &at, NULL);
    for (; names && more; more = tuf_json_next(list, &at, NULL)) {
        size_t len;
        const char *name = tuf_json_type(at) == TUF_JSON_STRING ? tuf_json_string(at, &len) : NULL;
        if (name && all_allow(target, name) &&
            json_array_append_new(names, json_string(name)) < 0) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

static json_t *describe_target(const struct tuf_target *target, struct err *e) {
    struct tuf_json_at hash;
    size_t len;
    if (!tuf_json_find(target->hashes, "blake2b-256", &hash) ||
        tuf_json_type(hash) != TUF_JSON_STRING) {
        err_set(e, &err_digest_mismatch, "the targets name it without the hash blake2b-256");
        return json_null();
    }
    bool executable = true;
    for (size_t i = 0; i < target->n_delegations; i++)
        executable = executable && tuf_delegation_allows_executable(&target->delegations[i]);
    return json_pack("{ss so sb sI}", "blake2b-256", tuf_json_string(hash, &len), "components",
                     describe_components(target), "executable", executable, "length",
                     (json_int_t)(target->length > INT64_MAX ? INT64_MAX : target->length));
}

static json_t *describe_steps(const struct worker_depot *depot) {
    json_t *all = json_array();
    char hex[KEYS_DIGEST_HEX];
    for (size_t i = 0; all && i < depot->n_steps; i++) {
        const struct worker_depot_step *step = &depot->steps[i];
        json_t *one =
            step->from[0]
                ? json_pack("{ss sI ss ss}", "blake2b-256", keys_digest_hex(&step->digest, hex),
                            "bytes", (json_int_t)step->bytes, "from", step->from, "to", step->to)
                : json_pack("{ss ss}", "from", "", "to", step->to);
        if (json_array_append_new(all, one) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

// The wanted targets as they were found, null where they were not; taken over. NULL is want of
// memory.
struct said {
    json_t *floors, *target, *delta;
};

static int say(const struct worker_depot *depot, const struct tuf_client *client,
               const struct said *said, struct err *e) {
    OWN(json) json_t *verdict = json_object();
    bool ok = true;
    set(verdict, "target", said->target, &ok);
    set(verdict, "delta", said->delta, &ok);
    set(verdict, "floors", said->floors, &ok);
    if (ok) {
        set(verdict, "timestamp", describe_role(client, TUF_TIMESTAMP), &ok);
        set(verdict, "snapshot", describe_role(client, TUF_SNAPSHOT), &ok);
        set(verdict, "targets", describe_role(client, TUF_TARGETS), &ok);
        set(verdict, "steps", describe_steps(depot), &ok);
    }
    OWN(mem) char *text = ok ? json_dumps(verdict, JSON_COMPACT) : NULL;
    if (!text)
        return err_set(e, &err_memory, "writing the verdict: out of memory");
    return fs_pwrite(WORKER_JUDGE_VERDICT_FD, text, strlen(text), 0, e);
}

// A delta that is not named, or not as it should be, is none: the bundle is there for that. The
// agent's log is told.
static json_t *find_delta(struct tuf_client *client, const char *path) {
    struct tuf_target found;
    struct err why = ERR_NONE;
    json_t *target = NULL;
    int r = tuf_client_find(client, path, &found, &why);
    if (r == 0)
        target = describe_target(&found, &why);
    if (r > 0)
        (void)fprintf(stderr, "the repository's targets do not name the delta %s\n", path);
    if (why.kind) {
        char safe[ERR_TEXT_BYTES];
        json_decref(target);
        target = NULL;
        (void)fprintf(stderr, "the delta %s is not taken: %s\n", path,
                      text_safe(why.text, safe, sizeof safe));
    }
    return target ? target : json_null();
}

static int judge(const struct worker_voice *v, struct worker_depot *depot, struct err *e) {
    static const struct tuf_client_ops ops = {.load = worker_depot_load,
                                              .fetch = fetch,
                                              .store = worker_depot_store,
                                              .forget = worker_depot_forget};
    OWN(tuf_client) struct tuf_client *client = NULL;
    const struct tuf_client_options options = {
        .ops = &ops, .context = depot, .key_ops = &foreign_ops, .now_s = v->job->now_s};
    struct tuf_target found;
    if (tuf_client_open(&options, &client, e) < 0)
        return -1;
    bool held = tuf_client_refresh(client, e) >= 0;
    json_t *target = NULL;
    if (held && v->job->target[0] && tuf_client_find(client, v->job->target, &found, e) == 0)
        target = describe_target(&found, e);
    bool asks_delta = held && target && !e->kind && v->job->delta_target[0];
    struct err why = ERR_NONE;
    const struct said all = {.floors = held ? describe_floors(client) : json_null(),
                             .target = target ? target : json_null(),
                             .delta = asks_delta ? find_delta(client, v->job->delta_target)
                                                 : json_null()};
    if (say(depot, client, &all, &why) < 0 && !e->kind)
        *e = why;
    return e->kind ? -1 : 0;
}

int worker_judge(struct worker_voice *v, struct err *e) {
    struct worker_depot depot = {.incoming = WORKER_JUDGE_INCOMING_FD,
                                 .trusted = WORKER_JUDGE_TRUSTED_FD};
    int done = judge(v, &depot, e);
    worker_depot_clear(&depot);
    return done;
}
