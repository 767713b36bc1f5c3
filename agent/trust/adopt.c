// SPDX-License-Identifier: Apache-2.0
//
// See adopt.h.
#include "agent/trust/adopt.h"

#include <string.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "base/fs.h"
#include "base/own.h"

// Delegated files of roles that nobody asks for any more stay until there are so many.
#define FILES_MAX 128

static const enum fsm_trusted_source sources[TRUST_STORE_ROLES] = {
    [TRUST_STORE_TIMESTAMP] = FSM_TRUSTED_ONLINE,
    [TRUST_STORE_SNAPSHOT] = FSM_TRUSTED_ONLINE,
    [TRUST_STORE_TARGETS] = FSM_TRUSTED_TARGETS,
};

static bool is_root(const struct trust_verdict_step *step) {
    return strcmp(step->to, TRUST_STORE_ROOT) == 0;
}

// The bytes that were judged. Another worker of the same user may have changed the file since.
static int read_judged(int incoming, const struct trust_verdict_step *step, struct buf *ret,
                       struct err *e) {
    struct keys_digest digest;
    buf_init(ret, (size_t)step->bytes);
    if (fs_read_file(incoming, step->from, (size_t)step->bytes, ret, e) < 0)
        return err_prefix(e, "taking over %s", step->from);
    keys_digest_of(ret->data, ret->len, &digest);
    if (ret->len != step->bytes || !keys_digest_equal(&digest, &step->digest))
        return err_set(e, &err_worker_failed, "%s is not what was judged", step->from);
    return 0;
}

// The chain from the trusted root to the newest; *ret stays NULL when there is no newer one.
// *dates loses what each step takes away: keys that come back after another root are others too.
static int follow_chain(const struct agent_state *state, int incoming,
                        const struct trust_verdict *v, struct fsm_trusted *dates,
                        struct keys_root **ret, struct err *e) {
    OWN(root) struct keys_root *newest = NULL;
    for (size_t i = 0; i < v->n_steps; i++) {
        struct trust_verdict_step step;
        trust_verdict_step(v, i, &step);
        if (!is_root(&step))
            continue;
        OWN(buf) struct buf raw = {.data = NULL};
        struct keys_root *next = NULL;
        const struct keys_root *last = newest ? newest : state->root;
        if (read_judged(incoming, &step, &raw, e) < 0 ||
            keys_root_advance(last, buf_slice(&raw), &next, e) < 0)
            return -1;
        (void)trust_store_forget(last, next, dates);
        keys_root_free(newest);
        newest = next;
    }
    *ret = own_take(&newest);
    return 0;
}

static int count_file(void *context, const char *name, mode_t type, struct err *e) {
    size_t *n = context;
    (void)name;
    (void)type;
    (void)e;
    (*n)++;
    return 0;
}

static int remove_delegated(void *context, const char *name, mode_t type, struct err *e) {
    const struct trust_store *store = context;
    char file[32];
    (void)type;
    if (strcmp(name, TRUST_STORE_ROOT) == 0)
        return 0;
    for (size_t i = 0; i < TRUST_STORE_ROLES; i++) {
        (void)snprintf(file, sizeof file, "%s.json", trust_store_names[i]);
        if (strcmp(name, file) == 0)
            return 0;
    }
    return fs_remove(store->dir, name, e);
}

// They are copies of what the repository has; fetching one again costs no more than a request.
static int make_room(struct trust_store *store, struct err *e) {
    size_t n = 0;
    if (fs_list(store->dir, ".", count_file, &n, e) < 0)
        return -1;
    return n <= FILES_MAX ? 0 : fs_list(store->dir, ".", remove_delegated, store, e);
}

static int carry_out(struct agent_state *state, int incoming, const struct trust_verdict *v,
                     struct err *e) {
    size_t last_root = v->n_steps;
    struct trust_verdict_step step;
    for (size_t i = 0; i < v->n_steps; i++) {
        trust_verdict_step(v, i, &step);
        last_root = is_root(&step) ? i : last_root;
    }
    for (size_t i = 0; i < v->n_steps; i++) {
        OWN(buf) struct buf bytes = {.data = NULL};
        trust_verdict_step(v, i, &step);
        if (is_root(&step) && i != last_root)
            continue;
        if (step.from[0] == '\0') {
            if (fs_remove(state->trust.dir, step.to, e) < 0)
                return -1;
            continue;
        }
        if (read_judged(incoming, &step, &bytes, e) < 0 ||
            fs_replace(state->trust.dir, step.to, bytes.data, bytes.len, 0644, e) < 0)
            return -1;
    }
    return 0;
}

// True when a number changed.
static bool note_roles(struct agent_state *state, const struct trust_verdict *v) {
    bool changed = false;
    for (size_t i = 0; i < TRUST_STORE_ROLES; i++) {
        struct trust_store_file *file = &state->trust.files[i];
        const struct trust_verdict_role *role = &v->roles[i];
        if (!role->known || (file->version == role->version && file->expires_s == role->expires_s))
            continue;
        *file = (struct trust_store_file){.version = role->version, .expires_s = role->expires_s};
        changed = true;
    }
    return changed;
}

static bool learn_dates(struct agent_state *state, const struct trust_verdict *v) {
    bool changed =
        agent_state_learn_time(state, FSM_TRUSTED_ROOT, keys_root_header(state->root)->issued_s);
    for (size_t i = 0; i < TRUST_STORE_ROLES; i++)
        if (v->roles[i].known && agent_state_learn_time(state, sources[i], v->roles[i].issued_s))
            changed = true;
    return changed;
}

int trust_adopt(struct agent_state *state, int incoming, const struct trust_verdict *verdict,
                struct err *e) {
    OWN(root) struct keys_root *newest = NULL;
    struct fsm_trusted dates = state->journal.trusted;
    if (follow_chain(state, incoming, verdict, &dates, &newest, e) < 0)
        return -1;
    if (newest) {
        state->journal.trusted = dates;
        if (agent_state_save(state, e) < 0)
            return -1;
    }
    if (verdict->n_steps > 0 &&
        (make_room(&state->trust, e) < 0 || carry_out(state, incoming, verdict, e) < 0))
        return err_prefix(e, "taking over what the repository says");
    if (newest) {
        agent_log_line(AGENT_LOG_INFO, "root.json: version %llu is trusted now",
                       (unsigned long long)keys_root_header(newest)->version);
        keys_root_free(state->root);
        state->root = own_take(&newest);
    }
    if (note_roles(state, verdict) && trust_store_save(state->private_dir, &state->trust, e) < 0)
        return -1;
    if (learn_dates(state, verdict) && agent_state_save(state, e) < 0)
        return -1;
    uint64_t before = state->floors.serial;
    if (agent_floors_raise(state->private_dir, &state->floors, verdict->floors, e) < 0)
        return -1;
    return state->floors.serial == before
               ? 0
               : agent_anchor_raise(&state->anchor, state->private_dir, e);
}
