// SPDX-License-Identifier: Apache-2.0
//
// Events in, work out. Work is begun from the loop, never from within the call that caused it, so
// that an event can be fired from any call-back without recursion.
#include "agent/update/engine.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/fsm/attempt.h"
#include "agent/fsm/pace.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "base/fs.h"
#include "base/random.h"
#include "base/text.h"
#include "bundle/kind.h"

#define MANIFEST_FILE "manifest"
#define DAY_MS        86400000

bool update_engine_ration(struct update_ration *ration, uint64_t most, int64_t now_ms) {
    assert(most > 0 && most <= UPDATE_RATION_MAX);
    int64_t *oldest = &ration->at_ms[ration->taken % most];
    if (ration->taken >= most && now_ms - *oldest < DAY_MS)
        return false;
    *oldest = now_ms;
    ration->taken++;
    return true;
}

const struct fsm_record *update_engine_record(const struct agent_update *u) {
    return &u->host.state->journal.record;
}

static void end_work(struct agent_update *u) {
    agent_hire_dismiss(u->hire);
    update_follow_stop(u);
    probe_run_cancel(u->probe);
    agent_task_cancel(u->tell);
    update_trust_stop(u);
    trust_verdict_clear(&u->verdict);
    u->hire = NULL;
    u->probe = NULL;
    u->tell = NULL;
    agent_loop_disarm(&u->again);
    agent_loop_disarm(&u->look_again);
    agent_loop_disarm(&u->tick);
    u->look_wanted = false;
}

void update_engine_stop(struct agent_update *u, const struct err *why) {
    if (!u->fatal.kind)
        u->fatal = *why;
}

int64_t update_engine_back_off(struct agent_update *u) {
    const struct agent_config *config = u->host.state->config;
    u->backoff_ms = fsm_pace_backoff_ms(u->backoff_ms, (int64_t)config->backoff_base_s * 1000,
                                        (int64_t)config->backoff_max_s * 1000,
                                        (uint32_t)random_below(1ULL << 32));
    return u->backoff_ms;
}

void update_engine_forget(struct agent_update *u) {
    bundle_manifest_free(u->manifest);
    u->manifest = NULL;
    own_drop_fd(&u->file);
    own_drop_fd(&u->announce);
    u->file = u->announce = -1;
    u->has_progress = u->untried = u->alone = u->unanswered = u->past_cache = false;
    u->waits_for_link = false;
    u->need_bytes = 0;
    u->backoff_ms = 0;
    u->read_back_ms = u->looked_ms = -1;
}

static void note_end(struct agent_update *u, const struct fsm_outcome *out) {
    if (!out->has_report || out->report < BUNDLE_EVENT_COMMITTED ||
        BUNDLE_EVENT_IS_SHAM(out->report))
        return;
    u->ended = true;
    u->ended_event = out->report;
    u->ended_why = out->why;
}

// One line for each change: what, of which release, and the reason with its code.
static void log_step(enum fsm_state state, const struct fsm_input *in,
                     const struct fsm_outcome *out) {
    // A report has its own reason: the way back ends with the one it was begun for.
    const struct fsm_why *why = out->has_report ? &out->why : &in->why;
    const char *name = out->update.name, *release = out->update.release;
    bool warns = in->why.code[0] && in->event != FSM_GATED;
    agent_log_line(warns ? AGENT_LOG_WARNING : AGENT_LOG_INFO, "%s%s%s%s%s%s%s%s%s%s%s", name,
                   name[0] ? " " : "", release, name[0] ? ": " : "", fsm_machine_state_names[state],
                   out->has_report ? ", report " : "",
                   out->has_report ? bundle_event_names[out->report] : "", why->code[0] ? " (" : "",
                   why->code, why->code[0] ? "): " : "", why->text);
}

void update_engine_fire(struct agent_update *u, enum fsm_event event, const struct err *why) {
    struct fsm_input in = {.event = event};
    struct fsm_outcome out;
    struct err e = ERR_NONE;
    if (u->fatal.kind)
        return;
    update_dry_yield(u);
    if (why && why->kind) {
        in.why = agent_state_why(why);
        in.final = !why->kind->retry && !u->untried;
    }
    int done = agent_state_step(u->host.state, &in, u->detail[0] ? u->detail : NULL, &out, &e);
    if (done < 0)
        update_engine_stop(u, &e);
    if (done != 0)
        return;
    if (out.has_report)
        u->detail[0] = '\0';
    const struct fsm_record *r = update_engine_record(u);
    log_step(r->state, &in, &out);
    if (out.work & FSM_DO_STOP) {
        end_work(u);
        u->work = 0;
    }
    note_end(u, &out);
    if (!r->has_update)
        update_engine_forget(u);
    u->work |= out.work & ~(uint32_t)FSM_DO_STOP;
    agent_loop_arm(u->host.loop, &u->worker, 0);
}

bool update_engine_blames(const struct err_kind *kind) {
    return kind == &err_bad_path || kind == &err_bad_tree || kind == &err_bad_content;
}

void update_engine_refuse(struct agent_update *u, const struct err *why) {
    update_engine_fire(u, FSM_REFUSED, why);
}

// Whatever way an update ended, once what it left was removed nothing unfinished occupies the disk;
// only one that is still wanted keeps what it has, to go on from (fetch.c).
static void assert_left_nothing(const struct agent_update *u) {
    bool left = false;
    struct err unknown = ERR_NONE;
    if (agent_store_has_partial(&u->host.state->store, &left, &unknown) == 0)
        assert(!left && "I8: an update that ended leaves nothing behind");
}

// What must not be lost with an old copy of the state. A commit outside any rollout also raises the
// floors (agent/floors.h).
static void make_fast(struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    struct agent_state *state = u->host.state;
    struct err e = ERR_NONE;
    if (r->update.rollout[0] == '\0') {
        if (update_engine_manifest(u, &e) == 0)
            (void)agent_floors_raise(state->private_dir, &state->floors,
                                     bundle_manifest_view(u->manifest)->floors, &e);
        if (e.kind)
            agent_log_line(AGENT_LOG_ERROR, "the floors stay as they are: %s", e.text);
        err_clear(&e);
    }
    if (agent_anchor_raise(&state->anchor, state->private_dir, &e) < 0)
        agent_log_line(AGENT_LOG_ERROR, "%s", e.text);
}

// Removes what is no longer needed.
static void clean(struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    struct agent_state *state = u->host.state;
    struct err e = ERR_NONE;
    if (r->state == FSM_COMMITTED)
        make_fast(u);
    if (agent_store_clean(&state->store, r, &e) < 0)
        agent_log_line(AGENT_LOG_ERROR, "%s", e.text);
    else
        assert_left_nothing(u);
    if (r->state == FSM_COMMITTED)
        update_engine_fire(u, FSM_CLEANED, NULL);
}

static bool take(struct agent_update *u, uint32_t bit) {
    bool wanted = (u->work & bit) != 0;
    u->work &= ~bit;
    return wanted;
}

static void begin_fetch(void *update) {
    struct agent_update *u = update;
    u->host.fetch ? u->host.fetch(u->host.context) : update_fetch_begin(u);
}

static void begin_work(void *context) {
    struct agent_update *u = context;
    if (u->fatal.kind)
        return;
    if (take(u, FSM_DO_CHECKIN))
        u->host.checkin_soon(u->host.context);
    if (take(u, FSM_DO_CLEAN))
        clean(u);
    else if (take(u, FSM_DO_FETCH))
        begin_fetch(u);
    else if (take(u, FSM_DO_LATER))
        update_fetch_later(u);
    else if (take(u, FSM_DO_GATE))
        update_gate_begin(u);
    else if (take(u, FSM_DO_WAIT))
        update_wait_begin(u);
    else if (take(u, FSM_DO_ACTIVATE))
        update_activate_begin(u);
    else if (take(u, FSM_DO_REVERT))
        update_activate_revert(u);
    else if (take(u, FSM_DO_WATCH))
        update_watch_begin(u);
    if (u->work)
        agent_loop_arm(u->host.loop, &u->worker, 0);
}

static void on_look_again(void *context) {
    struct agent_update *u = context;
    if (update_engine_record(u)->state == FSM_REVERTING)
        update_activate_revert(u);
    else
        update_wait_begin(u);
}

int agent_update_open(const struct agent_update_host *host, struct agent_update **ret,
                      struct err *e) {
    struct agent_update *u = calloc(1, sizeof *u);
    if (!u)
        return err_set(e, &err_memory, "starting: out of memory");
    u->host = *host;
    u->file = u->announce = -1;
    u->read_back_ms = u->looked_ms = -1;
    agent_loop_add_timer(host->loop, &u->worker, begin_work, u);
    agent_loop_add_timer(host->loop, &u->again, begin_fetch, u);
    agent_loop_add_timer(host->loop, &u->look_again, on_look_again, u);
    agent_loop_add_timer(host->loop, &u->tick, update_watch_tick, u);
    *ret = u;
    return 0;
}

void agent_update_close(struct agent_update *update) {
    if (!update)
        return;
    end_work(update);
    medium_spare_clear(&update->spare);
    update_dry_close(update);
    update_engine_forget(update);
    agent_loop_remove_timer(update->host.loop, &update->worker);
    agent_loop_remove_timer(update->host.loop, &update->again);
    agent_loop_remove_timer(update->host.loop, &update->look_again);
    agent_loop_remove_timer(update->host.loop, &update->tick);
    free(update);
}

// A month may lie between the yes to a swap that a power cut kept from being made, and now (I11).
static void look_again(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (!update_engine_record(u)->update.local)
        err_set(&why, &err_last_look, "%s", UPDATE_ENGINE_LOOK_TEXT);
    update_engine_fire(u, FSM_UNSWAPPED, &why);
}

void agent_update_resume(struct agent_update *update) {
    struct err e = ERR_NONE, unsaid = ERR_NONE;
    const struct fsm_record *r = update_engine_record(update);
    // An older agent's journal (I10).
    if (fsm_machine_wants_reason(r))
        err_set(&unsaid, r->state == FSM_WAITING ? &err_last_look : &err_interrupted,
                "%s since before the agent restarted", fsm_machine_state_names[r->state]);
    update_engine_fire(update, FSM_RESTARTED, &unsaid);
    if (!fsm_attempt_interrupted(r)) {
        if (r->state == FSM_ACTIVATING && !update_activate_swapped(update))
            look_again(update);
        return;
    }
    bool fails = r->state == FSM_ACTIVATING || r->state == FSM_REBOOTING ||
                 r->state == FSM_PROBATION || fsm_machine_is_sham(r->state);
    err_set(&e, &err_interrupted, "interrupted by %llu restarts while %s",
            (unsigned long long)r->update.restarts, fsm_machine_state_names[r->state]);
    update->work = 0;
    update_engine_fire(update, fails ? FSM_UNHEALTHY : FSM_REFUSED, &e);
}

int update_engine_keep_manifest(struct agent_update *u, struct slice raw, struct err *e) {
    return fs_replace(u->host.state->private_dir, MANIFEST_FILE, raw.data, raw.len, 0600, e);
}

// By the id in the journal and not by the root: a root that takes the keys away in the meantime must
// not end an update that runs; to undo a release is what floors and the controller's word are for.
// Before the swap the root counts (wait.c).
int update_engine_manifest(struct agent_update *u, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    const struct fsm_update *update = &update_engine_record(u)->update;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    if (u->manifest)
        return 0;
    if (!update->has_bundle)
        return err_set(e, &err_bad_manifest, "no manifest of the update was admitted yet");
    if (fsm_machine_is_sham(update_engine_record(u)->state))
        return update_sham_manifest(u, &update->bundle, &u->manifest, e);
    if (fs_read_file(u->host.state->private_dir, MANIFEST_FILE, BUNDLE_MANIFEST_MAX_BYTES, &raw,
                     e) < 0 ||
        bundle_manifest_verify_id(buf_slice(&raw), &update->bundle, &manifest, e) < 0)
        return err_prefix(e, "reading the update's manifest again");
    u->manifest = own_take(&manifest);
    return 0;
}

int update_engine_breathe(void *update, uint64_t bytes, struct err *e) {
    struct agent_update *u = update;
    (void)bytes;
    u->hashing = true;
    int done = u->host.breathe(u->host.context, e);
    u->hashing = false;
    return done;
}
