// SPDX-License-Identifier: Apache-2.0
//
// What is to be done next, and what became of it: on the store's thread.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "ctl/serve/delta_parts.h"
#include "ctl/serve/repository.h"
#include "ctl/store/audit.h"

static void say(const struct serve_deltas *d, enum serve_say what, const char *line) {
    const struct serve_options *options = d->server->options;
    options->say(options->context, what, line);
}

// ── Which pairs ──────────────────────────────────────────────────────────────────────────────────

struct look {
    const struct serve_deltas *deltas;
    struct store_db *db;
    int64_t now_s;
    struct err error; // of the store, on the way
};

// A delta that devices are offered, whoever made it.
struct offered {
    const struct serve_server *server;
    const struct store_bundle *bundle;
    const char *base;
    bool found;
};

static int see(void *context, const struct store_delta *row, struct err *e) {
    struct offered *o = context;
    (void)e;
    o->found =
        strcmp(row->base, o->base) == 0 && serve_repository_names_delta(o->server, o->bundle, row);
    return o->found;
}

// What failed is tried again after a while, or by another process than the one that failed.
static enum rollout_bases_state judge(const struct look *look, const struct store_making *m) {
    int64_t since_s = look->now_s - m->at_s;
    if (*m->head != '\0')
        return ROLLOUT_BASES_THERE; // to be named presently
    if (strcmp(m->code, err_no_gain.name) == 0)
        return ROLLOUT_BASES_TRIED;
    return m->at_s >= look->deltas->started_s && since_s < SERVE_DELTA_RETRY_S
               ? ROLLOUT_BASES_TRIED
               : ROLLOUT_BASES_WANTED;
}

static enum rollout_bases_state state_of(void *context, const struct keys_digest *bundle,
                                         const struct keys_digest *base) {
    struct look *look = context;
    const struct serve_server *server = look->deltas->server;
    const struct serve_engine_bundle *to = serve_engine_bundle(server->engine, bundle);
    struct store_making m;
    char hex[KEYS_DIGEST_HEX];
    if (to == NULL || !serve_repository_deltas_may(server, &to->row))
        return ROLLOUT_BASES_TRIED;
    struct offered offered = {
        .server = server, .bundle = &to->row, .base = keys_digest_hex(base, hex)};
    if (store_delta_list(look->db, to->row.id, see, &offered, &look->error) < 0)
        return ROLLOUT_BASES_TRIED;
    if (offered.found)
        return ROLLOUT_BASES_THERE;
    int found = store_making_get(look->db, to->row.id, hex, &m, &look->error);
    if (found < 0)
        return ROLLOUT_BASES_TRIED;
    return found == STORE_ABSENT ? ROLLOUT_BASES_WANTED : judge(look, &m);
}

static int choose(struct serve_deltas *d, struct store_db *db, int64_t now_ms, struct err *e) {
    struct look look = {.deltas = d, .db = db, .now_s = now_ms / 1000, .error = ERR_NONE};
    const unsigned share_pc = d->server->options->delta_share_pc;
    const struct rollout_bases_how how = {.share_pc =
                                              share_pc ? share_pc : ROLLOUT_BASES_SHARE_DEFAULT_PC,
                                          .most = ROLLOUT_BASES_MAX,
                                          .state = state_of,
                                          .context = &look};
    for (size_t i = 0; i < d->last.n; i++) {
        struct serve_delta_count *count = &d->last.of[i];
        rollout_bases_drop(&count->plan);
        if (rollout_bases_choose(&count->bases, &how, &count->plan, e) < 0)
            return -1;
    }
    if (look.error.kind == NULL)
        return 0;
    *e = look.error;
    return -1;
}

// The one that most devices wait for, of rollouts that are still running.
static const struct rollout_bases_pair *find_wanted(const struct serve_deltas *d) {
    const struct rollout_bases_pair *best = NULL;
    for (size_t i = 0; i < d->last.n; i++) {
        const struct serve_delta_count *count = &d->last.of[i];
        const struct serve_engine_rollout *r = serve_engine_find(d->server->engine, count->rollout);
        if (r == NULL || r->row.progress.state != ROLLOUT_STATE_RUNNING)
            continue;
        for (size_t k = 0; k < count->plan.n; k++) {
            const struct rollout_bases_choice *c = &count->plan.choices[k];
            if (c->state == ROLLOUT_BASES_WANTED &&
                (best == NULL || c->pair.devices > best->devices))
                best = &c->pair;
        }
    }
    return best;
}

// ── One look ─────────────────────────────────────────────────────────────────────────────────────

// Once for each reason.
static void say_why(struct serve_deltas *d) {
    char line[sizeof d->role.why.text + 40];
    if (strcmp(d->why_said, d->role.why.code) == 0)
        return;
    (void)snprintf(d->why_said, sizeof d->why_said, "%s", d->role.why.code);
    if (d->why_said[0] == '\0')
        (void)snprintf(line, sizeof line, "deltas are made in the background");
    else
        (void)snprintf(line, sizeof line, "no deltas are made: %s", d->role.why.text);
    say(d, SERVE_SAY_INFO, line);
}

void serve_delta_tick(struct serve_deltas *d, struct store_db *db, int64_t now_ms) {
    struct err e = ERR_NONE;
    if (serve_repository_deltas_keep(d->server, db, now_ms, &d->role, &e) < 0)
        say(d, SERVE_SAY_ERROR, e.text);
    else if (!d->server->options->deltas_off)
        say_why(d);
}

// Forgotten again since: not durably.
static bool is_gone_anew(const struct serve_deltas *d, const char *head) {
    for (size_t i = 0; i < d->role.n_gone; i++)
        if (strcmp(d->role.gone[i], head) == 0)
            return true;
    return false;
}

// A transaction that did not hold may have brought back what it had forgotten, and so may whoever
// sent it.
static int remove_leaving(struct serve_deltas *d, struct store_db *db, struct err *e) {
    char name[STORE_DELTA_FILE_BYTES];
    struct store_delta there;
    struct err ignored = ERR_NONE;
    for (; d->n_leaving > 0; d->n_leaving--) {
        const char *head = d->leaving[d->n_leaving - 1];
        int found = store_delta_get(db, head, &there, e);
        if (found < 0)
            return -1;
        if (found == STORE_ABSENT && !is_gone_anew(d, head))
            (void)fs_remove(d->server->bundles, store_delta_file(head, name), &ignored);
    }
    for (; d->role.n_gone > 0; d->n_leaving++)
        memcpy(d->leaving[d->n_leaving], d->role.gone[--d->role.n_gone], sizeof d->leaving[0]);
    return 0;
}

static bool is_stale(const struct serve_deltas *d, int64_t boot_ms) {
    return d->stale || d->chosen_seen != d->role.seen ||
           boot_ms - d->chosen_ms >= SERVE_DELTA_CHOOSE_S * 1000LL;
}

// 0, or SERVE_DELTA_COUNTING.
static int count_and_choose(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
                            struct err *e) {
    int64_t boot_ms = chrono_boot_ms(d->server->clock);
    int counting = serve_delta_count_step(d, db, now_ms, e);
    if (counting != 0 || !is_stale(d, boot_ms))
        return counting;
    if (choose(d, db, now_ms, e) < 0)
        return -1;
    d->stale = false;
    d->chosen_ms = boot_ms;
    d->chosen_seen = d->role.seen;
    return 0;
}

int serve_delta_plan_step(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
                          struct serve_delta_orders *ret, struct err *e) {
    *ret = (struct serve_delta_orders){.next = SERVE_DELTA_WAIT};
    if (serve_engine_load(d->server->engine, db, e) < 0 || remove_leaving(d, db, e) < 0)
        return -1;
    if (d->server->options->deltas_off || d->role.signer == NULL)
        return 0;
    int counting = count_and_choose(d, db, now_ms, e);
    if (counting != 0) {
        ret->next = SERVE_DELTA_GO_ON;
        return counting < 0 ? -1 : 0;
    }
    const struct rollout_bases_pair *wanted = find_wanted(d);
    if (wanted == NULL)
        return 0;
    (void)keys_digest_hex(&wanted->bundle, d->made.bundle);
    (void)keys_digest_hex(&wanted->base, d->made.base);
    ret->pair = d->made;
    ret->next = SERVE_DELTA_MAKE;
    return 0;
}

// ── What became of it ────────────────────────────────────────────────────────────────────────────

static const struct store_bundle *bundle_of(const struct serve_deltas *d, const char *id) {
    struct keys_digest digest;
    struct err ignored = ERR_NONE;
    if (keys_digest_parse(id, "a bundle's id", &digest, &ignored) < 0)
        return NULL;
    const struct serve_engine_bundle *b = serve_engine_bundle(d->server->engine, &digest);
    return b == NULL ? NULL : &b->row;
}

// "app 1.0 to app 1.1"
static void describe(const struct serve_deltas *d, char *ret, size_t ret_bytes) {
    const struct store_bundle *to = bundle_of(d, d->made.bundle),
                              *from = bundle_of(d, d->made.base);
    (void)snprintf(ret, ret_bytes, "%s %s to %s %s", from ? from->name : "?",
                   from ? from->version : "?", to ? to->name : "?", to ? to->version : "?");
}

static int note_made(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
                     const struct store_delta *made, const char *what, struct err *e) {
    struct store_delta row = *made;
    struct store_event event = {.kind = "delta_made"};
    const struct store_bundle *to = bundle_of(d, d->made.bundle);
    char size[NUM_SIZE_TEXT], full[NUM_SIZE_TEXT], line[1024];
    OWN(json)
    json_t *data = json_pack("{s:s, s:s, s:s, s:I}", "bundle", made->bundle, "base", made->base,
                             "head", made->head, "size", (json_int_t)made->size);
    if (data == NULL)
        return err_set(e, &err_memory, "noting a delta: out of memory");
    row.created_s = now_ms / 1000;
    (void)snprintf(event.subject, sizeof event.subject, "%s %s", to ? to->name : "?",
                   to ? to->version : "?");
    (void)snprintf(event.text, sizeof event.text, "%.300s: %s of %s", what,
                   num_format_size(made->size, size), num_format_size(to ? to->size : 0, full));
    if (store_delta_add(db, &row, e) < 0 ||
        store_audit_add(db, row.created_s, STORE_DELTA_MADE, "delta.make", event.subject, data, e) <
            0 ||
        serve_engine_tell(d->server->engine, db, now_ms, &event, e) < 0)
        return -1;
    (void)snprintf(line, sizeof line, "made the delta %s", event.text);
    say(d, SERVE_SAY_INFO, line);
    return 0;
}

static int note_failed(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
                       const struct err *why, const char *what, struct err *e) {
    struct store_event event = {.kind = "delta_failed"};
    char line[2 * ERR_TEXT_BYTES];
    if (err_is(why, &err_no_gain)) {
        (void)snprintf(line, sizeof line, "no delta %s: it would not be smaller than the bundle",
                       what);
        say(d, SERVE_SAY_INFO, line);
        return 0;
    }
    const struct store_bundle *to = bundle_of(d, d->made.bundle);
    (void)snprintf(event.subject, sizeof event.subject, "%s %s", to ? to->name : "?",
                   to ? to->version : "?");
    (void)snprintf(event.code, sizeof event.code, "%s", why->kind->name);
    (void)snprintf(event.text, sizeof event.text, "%.150s: %.300s", what, why->text);
    (void)snprintf(line, sizeof line, "making the delta %s: %s (%s)", what, why->text,
                   why->kind->name);
    say(d, SERVE_SAY_WARNING, line);
    return serve_engine_tell(d->server->engine, db, now_ms, &event, e);
}

static int end(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
               const struct store_delta *made, const struct err *why, struct err *e) {
    struct store_making row = {.at_s = now_ms / 1000};
    char what[2 * (BUNDLE_NAME_MAX + BUNDLE_RELEASE_MAX) + 16];
    if (serve_engine_load(d->server->engine, db, e) < 0)
        return -1;
    describe(d, what, sizeof what);
    (void)snprintf(row.bundle, sizeof row.bundle, "%s", d->made.bundle);
    (void)snprintf(row.base, sizeof row.base, "%s", d->made.base);
    if (made != NULL)
        (void)snprintf(row.head, sizeof row.head, "%s", made->head);
    else {
        (void)snprintf(row.code, sizeof row.code, "%s", why->kind->name);
        (void)snprintf(row.text, sizeof row.text, "%.*s", (int)sizeof row.text - 1, why->text);
    }
    if (store_making_put(db, &row, e) < 0)
        return -1;
    return made != NULL ? note_made(d, db, now_ms, made, what, e)
                        : note_failed(d, db, now_ms, why, what, e);
}

int serve_delta_plan_end(struct serve_deltas *d, struct store_db *db, int64_t now_ms,
                         const struct store_delta *made, const struct err *why, struct err *e) {
    int done = made == NULL && why == NULL ? 0 : end(d, db, now_ms, made, why, e);
    d->role.changed = d->stale = true;
    d->made = (struct serve_delta_pair){.bundle = ""};
    return done;
}
