// SPDX-License-Identifier: Apache-2.0
//
// See state.h.
#include "agent/state.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hire.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "keys/kind.h"

#define PRIVATE "private"
#define LOCK    "lock"

static int open_store(struct agent_state *s, struct err *e) {
    if (agent_store_open(s->config->state_dir, &s->store, e) < 0)
        return -1;
    s->store.config = s->config;
    return 0;
}

static int take_lock(struct agent_state *s, struct err *e) {
    if (fs_make_dir(s->store.dir, PRIVATE, 0700, e) < 0 ||
        fs_open_dir(s->store.dir, PRIVATE, &s->private_dir, e) < 0 ||
        fs_open_write(s->private_dir, LOCK, 0600, &s->lock, e) < 0)
        return -1;
    int locked = fs_lock(s->lock, e);
    if (locked == FS_LOCKED)
        return err_set(e, &err_busy, "another edge-agent works on %s", s->config->state_dir);
    return locked;
}

// After the journal, whose dates a provisioned root may undo. That is durable before the root is in
// its place, or a power cut between the two would leave the new root with the old dates.
static int open_trust(struct agent_state *s, struct err *e) {
    OWN(buf) struct buf seed;
    buf_init(&seed, KEYS_ROOT_MAX_BYTES);
    int chosen = trust_store_open(s->private_dir, s->config->root, &s->trust, &s->root,
                                  &s->journal.trusted, &seed, e);
    if (chosen < 0)
        return -1;
    fsm_trusted_start(&s->journal.trusted, chrono_boot_ms(s->clock));
    bool dated = agent_state_learn_time(s, FSM_TRUSTED_ROOT, keys_root_header(s->root)->issued_s);
    if ((dated || chosen == TRUST_STORE_SEED) &&
        agent_journal_write(s->private_dir, &s->journal, e) < 0)
        return -1;
    return chosen == TRUST_STORE_SEED ? trust_store_seed(&s->trust, &seed, e) : 0;
}

// Queues the journal's report when the queue does not have it yet (I5).
static int flush_report(struct agent_state *s, struct err *e) {
    if (!s->journal.has_report || s->journal.report.id < s->queue.next)
        return 0;
    return agent_queue_add(&s->queue, &s->journal.report, e);
}

static void make_report(const struct agent_state *s, const struct fsm_outcome *out,
                        const char *detail, struct bundle_report *ret) {
    *ret = (struct bundle_report){
        .id = s->queue.next,
        .at_s = agent_state_trusted_s(s) > 0 ? agent_state_trusted_s(s) : -1,
        .boot_ms = (uint64_t)chrono_boot_ms(s->clock),
        .event = out->report,
        .attempt = out->update.attempt,
        .has_bundle = out->update.has_bundle,
        .bundle = out->update.bundle,
    };
    _Static_assert(sizeof ret->rollout == sizeof out->update.rollout, "names of rollouts");
    _Static_assert(sizeof ret->text == sizeof out->why.text, "texts of reasons");
    memcpy(ret->rollout, out->update.rollout, sizeof ret->rollout);
    memcpy(ret->code, out->why.code, sizeof ret->code);
    memcpy(ret->text, out->why.text, sizeof ret->text);
    if (detail)
        text_safe(detail, ret->detail, sizeof ret->detail);
    // Said once: when it is all there, or when it never will be.
    const struct bundle_report_bytes *spent = &out->update.spent;
    bool before_staged = s->journal.record.state <= FSM_STAGED;
    bool last = out->report == BUNDLE_EVENT_STAGED || out->report == BUNDLE_EVENT_REFUSED ||
                out->report == BUNDLE_EVENT_CANCELLED;
    ret->has_bytes = before_staged && last && bundle_report_link_bytes(spent) > 0;
    if (ret->has_bytes)
        ret->bytes = *spent;
}

// Writes a new record with its report, and queues that.
static int make_durable(struct agent_state *s, const struct fsm_record *record,
                        const struct fsm_outcome *out, const char *detail, struct err *e) {
    if (flush_report(s, e) < 0)
        return -1;
    struct agent_journal after = s->journal;
    after.record = *record;
    if (out->has_report) {
        make_report(s, out, detail, &after.report);
        after.has_report = true;
    }
    after.report_next = s->queue.next + (out->has_report ? 1 : 0);
    if (agent_journal_write(s->private_dir, &after, e) < 0)
        return -1;
    s->journal = after;
    return flush_report(s, e);
}

static int open_journal(struct agent_state *s, struct err *e) {
    int found = agent_journal_read(s->private_dir, &s->journal, e);
    if (found < 0)
        return -1;
    if (found == AGENT_JOURNAL_ABSENT) {
        uint64_t generation, next;
        s->journal = (struct agent_journal){.report_next = 1};
        if (agent_store_adopt(&s->store, &generation, &next, e) < 0)
            return -1;
        fsm_machine_init(&s->journal.record, generation, next);
        if (agent_journal_write(s->private_dir, &s->journal, e) < 0)
            return -1;
    }
    // A pending report keeps its id, so the queue must not be told to begin after it.
    uint64_t at_least = s->journal.report_next;
    if (s->journal.has_report && s->journal.report.id + 1 == at_least)
        at_least = s->journal.report.id;
    if (agent_queue_open(s->private_dir, at_least, &s->queue, e) < 0)
        return -1;
    s->queue.ring = s->config->controller[0] == '\0';
    return flush_report(s, e);
}

// The link and the record must agree, whatever happened to either.
static int settle_current(struct agent_state *s, struct err *e) {
    const struct fsm_record *r = &s->journal.record;
    uint64_t runs;
    struct err damaged = ERR_NONE;
    int found = agent_store_current(&s->store, &runs, &damaged);
    if (found == 0 && fsm_machine_may_run(r, runs))
        return 0;
    uint64_t wanted = r->state == FSM_REBOOTING || r->state == FSM_PROBATION ? r->update.target
                      : r->state == FSM_REVERTING || r->state == FSM_FAILED  ? r->revert_to
                                                                             : r->committed;
    struct bundle_generation record;
    if (agent_store_verify(&s->store, wanted, NULL, NULL, &record, e) < 0 ||
        agent_store_point(&s->store, wanted, e) < 0)
        return err_prefix(e, "putting the link 'current' right");
    return 0;
}

// Said once, to whoever asks this device and to the controller: what was restored cannot be seen
// from what it holds.
static int note_restored(struct agent_state *s, struct err *e) {
    struct fsm_record after = s->journal.record;
    struct err why = ERR_NONE;
    (void)agent_anchor_admits_revert(&s->anchor, &why);
    agent_log_line(AGENT_LOG_WARNING, "%s", why.text);
    if (strcmp(after.why.code, why.kind->name) == 0 || !agent_queue_has_room(&s->queue))
        return 0;
    struct fsm_outcome out = {.has_report = true,
                              .report = BUNDLE_EVENT_WAITING,
                              .why = agent_state_why(&why),
                              .update = after.update};
    // What an update waits for, or is taken back for, stays its reason (I10).
    if (after.state == FSM_IDLE)
        after.why = out.why;
    return make_durable(s, &after, &out, NULL, e);
}

static int open_anchor(struct agent_state *s, struct err *e) {
    struct agent_anchor_config config = {.tcti = "", .index = s->config->tpm_index};
    char program[FS_PATH_BYTES] = "";
    struct err why = ERR_NONE, absent = ERR_NONE;
    if (s->config->tpm_tcti) {
        // Where it is absent asking says so.
        (void)agent_hire_find(AGENT_ANCHOR_PROGRAM, program, sizeof program, &absent);
        s->counter = strdup(program);
        if (!s->counter)
            return err_set(e, &err_memory, "starting: out of memory");
        config.program = s->counter;
        (void)snprintf(config.tcti, sizeof config.tcti, "%s", s->config->tpm_tcti);
    }
    if (agent_anchor_open(&config, s->private_dir, s->clock, &s->anchor, &why, e) < 0)
        return -1;
    if (why.kind)
        agent_log_line(AGENT_LOG_WARNING, "%s", why.text);
    s->queue.unsure = s->anchor.verdict == AGENT_ANCHOR_RESTORED;
    return s->queue.unsure ? note_restored(s, e) : 0;
}

int agent_state_renew(struct agent_state *state, struct err *e) {
    struct fsm_record *r = &state->journal.record;
    enum agent_anchor_verdict before = state->anchor.verdict;
    if (agent_anchor_renew(&state->anchor, state->private_dir, e) < 0)
        return -1;
    if (state->anchor.verdict != AGENT_ANCHOR_HELD || before == AGENT_ANCHOR_HELD)
        return 0;
    agent_log_line(AGENT_LOG_INFO, "the repository was asked: the state counts again");
    if (strcmp(r->why.code, err_state_restored.name) != 0 || r->state != FSM_IDLE)
        return 0;
    r->why = (struct fsm_why){.code = ""};
    return agent_state_save(state, e);
}

int agent_state_open(const struct agent_config *config, const struct chrono *clock,
                     struct agent_state *ret, struct err *e) {
    struct agent_state s = {.config = config,
                            .clock = clock,
                            .store = {-1, -1, NULL},
                            .private_dir = -1,
                            .lock = -1,
                            .trust.dir = -1};
    if (keys_secret_init(e) < 0 || open_store(&s, e) < 0 || take_lock(&s, e) < 0 ||
        agent_store_tidy(s.private_dir, e) < 0 || agent_store_tidy(s.store.dir, e) < 0 ||
        open_journal(&s, e) < 0 || open_trust(&s, e) < 0 ||
        agent_floors_read(s.private_dir, &s.floors, e) < 0 || open_anchor(&s, e) < 0 ||
        agent_identity_open(s.private_dir, config->device, &s.identity, e) < 0 ||
        settle_current(&s, e) < 0) {
        agent_state_close(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void agent_state_close(struct agent_state *state) {
    agent_identity_clear(&state->identity);
    agent_floors_clear(&state->floors);
    free(state->counter);
    state->counter = NULL;
    trust_store_close(&state->trust);
    keys_root_free(state->root);
    state->root = NULL;
    own_drop_fd(&state->lock);
    own_drop_fd(&state->private_dir);
    agent_store_close(&state->store);
    state->lock = state->private_dir = -1;
}

int agent_state_step(struct agent_state *state, const struct fsm_input *in, const char *detail,
                     struct fsm_outcome *ret, struct err *e) {
    struct fsm_record after = state->journal.record;
    struct fsm_outcome out;
    if (in->event == FSM_OFFER)
        assert(agent_queue_has_room(&state->queue) &&
               "I5: no new install when reports fill the queue");
    int done = fsm_machine_step(&after, in, &out);
    if (done != 0)
        return done;
    if (make_durable(state, &after, &out, detail, e) < 0)
        return err_prefix(e, "recording '%s' in state %s", fsm_machine_event_names[in->event],
                          fsm_machine_state_names[state->journal.record.state]);
    *ret = out;
    return 0;
}

int agent_state_save(struct agent_state *state, struct err *e) {
    struct fsm_outcome none = {.has_report = false};
    return make_durable(state, &state->journal.record, &none, NULL, e);
}

int agent_state_wait(struct agent_state *state, const struct err_kind *kind, const char *text,
                     struct err *e) {
    struct fsm_record after = state->journal.record;
    bool same = strcmp(after.why.code, kind->name) == 0;
    if (same && strcmp(after.why.text, text) == 0)
        return 0;
    struct err why = {.kind = kind};
    (void)snprintf(why.text, sizeof why.text, "%s", text);
    after.why = agent_state_why(&why);
    // What becomes of a sham is not what becomes of an update.
    struct fsm_outcome out = {.has_report =
                                  !same && after.has_update && !fsm_machine_is_sham(after.state),
                              .report = BUNDLE_EVENT_WAITING,
                              .why = after.why,
                              .update = after.update};
    return make_durable(state, &after, &out, NULL, e);
}

int64_t agent_state_trusted_s(const struct agent_state *state) {
    return fsm_trusted_now_s(&state->journal.trusted, chrono_boot_ms(state->clock));
}

bool agent_state_learn_time(struct agent_state *state, enum fsm_trusted_source source,
                            int64_t issued_s) {
    struct fsm_trusted_bounds bounds = trust_store_bounds(&state->trust, state->root);
    return fsm_trusted_learn(&state->journal.trusted, source, issued_s, &bounds,
                             chrono_boot_ms(state->clock));
}

int64_t agent_state_best_s(const struct agent_state *state) {
    int64_t wall_s = chrono_wall_ms(state->clock) / 1000;
    int64_t trusted_s = agent_state_trusted_s(state);
    return wall_s > trusted_s ? wall_s : trusted_s;
}

const struct err_kind *agent_state_kind(const char *name) {
    const struct err_kind *const *const tables[] = {err_base_kinds, keys_kinds, bundle_kinds,
                                                    agent_kinds};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const struct err_kind *kind = err_find(tables[i], name);
        if (kind)
            return kind;
    }
    return NULL;
}

struct fsm_why agent_state_why(const struct err *e) {
    struct fsm_why why;
    assert(e->kind);
    (void)snprintf(why.code, sizeof why.code, "%s", e->kind->name);
    text_safe(e->text, why.text, sizeof why.text);
    return why;
}
