// SPDX-License-Identifier: Apache-2.0
//
// What others want of the update under way, and what they may know about it (agent/update.h).
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/fsm/attempt.h"
#include "agent/kind.h"
#include "agent/update/engine.h"
#include "base/text.h"

static int check_free(const struct agent_update *u, struct err *e) {
    return u->hashing ? err_set(e, &err_busy, "contents are being hashed; ask again in a moment")
                      : 0;
}

// A sham must not keep an update or a way back from being made.
static void give_way(struct agent_update *u) {
    struct err why = ERR_NONE;
    err_set(&why, &err_cancelled, "the sham gave way");
    update_engine_fire(u, FSM_ASK_CANCEL, &why);
}

int agent_update_offer(struct agent_update *update, const struct fsm_update *offer, int file,
                       struct err *e) {
    OWN(fd) int held = file;
    struct agent_state *state = update->host.state;
    const struct fsm_record *r = update_engine_record(update);
    if (check_free(update, e) < 0)
        return -1;
    if (r->state == FSM_SHAM_WAITING)
        give_way(update);
    if (r->state != FSM_IDLE && r->state != FSM_FAILED)
        return err_set(e, &err_wrong_state, "another update is %s",
                       fsm_machine_state_names[r->state]);
    if (offer->local && agent_anchor_admits_stick(&state->anchor, e) < 0)
        return -1;
    if (!agent_queue_has_room(&state->queue))
        return err_set(
            e, &err_queue_full,
            "%zu reports wait for the controller; nothing new is installed until it took "
            "them: let the device reach it, or configure none",
            state->queue.n);
    if (offer->has_bundle && !fsm_attempt_admits(r, &offer->bundle, offer->attempt))
        return err_set(e, &err_failed_before,
                       "%s %s failed here at attempt %" PRIu64
                       "; it is tried again only when a higher attempt is offered",
                       offer->name, offer->release, fsm_attempt_last(r, &offer->bundle));
    update_dry_yield(update);
    bool was_stuck = r->state == FSM_FAILED;
    struct fsm_input in = {.event = FSM_OFFER, .offer = offer};
    struct fsm_outcome out;
    if (agent_state_step(state, &in, NULL, &out, e) < 0) {
        update_engine_stop(update, e);
        return -1;
    }
    if (was_stuck)
        update_engine_forget(update);
    update->ended = false;
    memset(update->told, 0, sizeof update->told);
    update->file = own_take_fd(&held);
    update->work |= out.work;
    agent_loop_arm(update->host.loop, &update->worker, 0);
    return 0;
}

// I6 before the first step of the way back: the generation to go back to must not lie below the
// floor, and the floor must be this device's own.
static int check_way_back(struct agent_update *u, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    struct bundle_generation record;
    if (agent_anchor_admits_revert(&u->host.state->anchor, e) < 0)
        return -1;
    if (r->state != FSM_IDLE)
        return 0;
    if (!r->has_previous)
        return err_set(e, &err_no_previous, "there is no generation before %" PRIu64, r->committed);
    if (agent_store_record(&u->host.state->store, r->previous, &record, e) < 0)
        return -1;
    return agent_floors_admit(&u->host.state->floors, &record, e);
}

int agent_update_ask(struct agent_update *update, enum fsm_event ask, const struct err *why,
                     struct err *e) {
    const struct fsm_record *r = update_engine_record(update);
    assert(ask == FSM_ASK_COMMIT || ask == FSM_ASK_REVERT || ask == FSM_ASK_CANCEL);
    if (check_free(update, e) < 0)
        return -1;
    if (ask == FSM_ASK_REVERT && fsm_machine_is_sham(r->state))
        give_way(update);
    if (ask == FSM_ASK_REVERT && check_way_back(update, e) < 0)
        return -1;
    enum fsm_state before = r->state;
    update_engine_fire(update, ask, why);
    if (update->fatal.kind) {
        *e = update->fatal;
        return -1;
    }
    if (r->state == before)
        return err_set(e, &err_wrong_state, "nothing to %s while %s",
                       ask == FSM_ASK_COMMIT   ? "commit"
                       : ask == FSM_ASK_REVERT ? "roll back"
                                               : "cancel",
                       fsm_machine_state_names[before]);
    return 0;
}

void agent_update_looked(struct agent_update *update) {
    if (update_engine_record(update)->state != FSM_WAITING)
        return;
    // Durable with FSM_GO, before the swap. Until then a restart looks again in any case, so that a
    // write of its own would serve nobody.
    update->looked_ms = chrono_boot_ms(update->host.loop->clock);
    update->host.state->journal.record.update.looked = true;
    update_wait_begin(update);
}

void agent_update_inhibit(struct agent_update *update, uint64_t seconds, const char *reason) {
    uint64_t most = update->host.state->config->inhibit_max_s;
    int64_t now = chrono_boot_ms(update->host.loop->clock);
    if (seconds > most)
        seconds = most;
    update->inhibit_until_ms = seconds ? now + (int64_t)seconds * 1000 : 0;
    text_safe(reason, update->inhibit_reason, sizeof update->inhibit_reason);
    enum fsm_state state = update_engine_record(update)->state;
    if (state == FSM_WAITING || state == FSM_SHAM_WAITING)
        agent_loop_arm(update->host.loop, &update->look_again, 0);
}

bool agent_update_wants_look(const struct agent_update *update) {
    return update->look_wanted;
}

void agent_update_set_facts(struct agent_update *update, const json_t *facts) {
    update->host.facts = facts;
}

bool agent_update_progress(const struct agent_update *update, uint64_t *ret_done,
                           uint64_t *ret_total) {
    if (!update->has_progress || update_engine_record(update)->state != FSM_FETCHING)
        return false;
    *ret_done = update->done_bytes;
    *ret_total = update->total_bytes;
    return true;
}

bool agent_update_ended(const struct agent_update *update, enum bundle_event *ret,
                        struct fsm_why *ret_why) {
    if (!update->ended)
        return false;
    *ret = update->ended_event;
    *ret_why = update->ended_why;
    return true;
}

bool agent_update_is_settled(const struct agent_update *update) {
    return update->work == 0;
}

const struct err *agent_update_fatal(const struct agent_update *update) {
    return update->fatal.kind ? &update->fatal : NULL;
}

static json_t *describe_probes(const struct agent_update *u) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < BUNDLE_PROBES_MAX; i++) {
        const struct update_engine_told *told = &u->told[i];
        if (!told->ran)
            continue;
        json_t *one =
            json_pack("{ss sb ss}", "name", told->name, "passed", told->passed, "text", told->text);
        if (json_array_append_new(list, one) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *describe_probation(const struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    if (r->state != FSM_PROBATION && r->state != FSM_SHAM_PROBATION)
        return json_null();
    int64_t now = chrono_boot_ms(u->host.loop->clock);
    uint64_t done = u->watch_base_s + (uint64_t)((now - u->watch_began_ms) / 1000);
    return json_pack("{sI sI sI sI}", "done_s", (json_int_t)done, "duration_s",
                     (json_int_t)r->update.probation_s, "restarts", (json_int_t)r->update.restarts,
                     "restarts_max", (json_int_t)r->update.restarts_max);
}

static json_t *describe_inhibit(const struct agent_update *u) {
    int64_t left = u->inhibit_until_ms - chrono_boot_ms(u->host.loop->clock);
    if (left <= 0)
        return json_null();
    return json_pack("{sI ss}", "seconds", (json_int_t)(left / 1000), "reason", u->inhibit_reason);
}

int agent_update_describe(const struct agent_update *update, json_t *status, struct err *e) {
    json_t *last = update->ended
                       ? json_pack("{ss ss ss}", "event", bundle_event_names[update->ended_event],
                                   "code", update->ended_why.code, "text", update->ended_why.text)
                       : json_null();
    if (json_object_set_new(status, "probation", describe_probation(update)) < 0 ||
        json_object_set_new(status, "probes", describe_probes(update)) < 0 ||
        json_object_set_new(status, "inhibit", describe_inhibit(update)) < 0 ||
        json_object_set_new(status, "last", last) < 0)
        return err_set(e, &err_memory, "describing the update: out of memory");
    return 0;
}
