// SPDX-License-Identifier: Apache-2.0
//
// See instruction.h.
#include "agent/checkin/instruction.h"

#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "base/text.h"
#include "bundle/instruction.h"
#include "bundle/kind.h"

// Whether it is about the update under way, or about the sham.
static bool names_update(const struct fsm_record *r, const struct bundle_instruction *i) {
    const struct fsm_update *u = &r->update;
    return r->has_update && strcmp(u->rollout, i->rollout) == 0 && u->attempt == i->attempt &&
           u->has_bundle && keys_digest_equal(&u->bundle, &i->bundle);
}

// An offer that was taken, or the last word on it.
static bool is_again(const struct fsm_record *r, const struct bundle_instruction *i) {
    return (i->action == BUNDLE_ACTION_INSTALL || i->action == BUNDLE_ACTION_ACTIVATE) &&
           !fsm_machine_is_sham(r->state) && names_update(r, i);
}

// A refusal before the machine took the offer is a report all the same: the controller must not
// wait for a device that said no (I5, I10).
static int report_refusal(struct agent_state *state, const struct bundle_instruction *i,
                          const struct err *why, struct err *e) {
    bool sham = i->action == BUNDLE_ACTION_SHAM;
    struct bundle_report report = {
        .id = state->queue.next,
        .at_s = agent_state_trusted_s(state) > 0 ? agent_state_trusted_s(state) : -1,
        .boot_ms = (uint64_t)chrono_boot_ms(state->clock),
        .event = sham ? BUNDLE_EVENT_SHAM_REFUSED : BUNDLE_EVENT_REFUSED,
        .attempt = i->attempt,
        .has_bundle = true,
        .bundle = i->bundle,
    };
    struct fsm_why reason = agent_state_why(why);
    memcpy(report.rollout, i->rollout, sizeof report.rollout);
    memcpy(report.code, reason.code, sizeof report.code);
    memcpy(report.text, reason.text, sizeof report.text);
    return agent_queue_add(&state->queue, &report, e);
}

static int install(struct agent_state *state, struct agent_update *update, struct slice raw,
                   const struct bundle_instruction *i, struct err *e) {
    const struct fsm_record *r = &state->journal.record;
    // The same offer again, because an answer was lost: it is being worked on.
    bool again = is_again(r, i);
    // Nothing that it has to wait for: a sham that waits gives way.
    bool takes = !r->has_update || r->state == FSM_SHAM_WAITING;
    struct err why = ERR_NONE;
    // An offer that people did not sign for is not even begun.
    if (takes && agent_update_check_mandate(update, i, &why) < 0) {
        if (report_refusal(state, i, &why, e) == 0)
            *e = why;
        return -1;
    }
    if ((again || takes) && agent_update_hint(state->private_dir, raw, i, e) < 0)
        return -1;
    if (again)
        return 0;
    struct fsm_update offer = {.attempt = i->attempt,
                               .has_bundle = true,
                               .bundle = i->bundle,
                               .size = i->size,
                               .budget = i->budget,
                               .windows = i->windows};
    memcpy(offer.rollout, i->rollout, sizeof offer.rollout);
    memcpy(offer.name, i->bundle_name, sizeof offer.name);
    memcpy(offer.release, i->release, sizeof offer.release);
    memcpy(offer.url, i->url, sizeof offer.url);
    if (agent_update_offer(update, &offer, -1, &why) == 0)
        return 0;
    // While another update is under way the offer waits at the controller; it is no refusal.
    if (!err_is(&why, &err_wrong_state) && !err_is(&why, &err_queue_full) &&
        report_refusal(state, i, &why, e) < 0)
        return -1;
    *e = why;
    return -1;
}

static int cancel(struct agent_state *state, struct agent_update *update,
                  const struct bundle_instruction *i, struct err *e) {
    const struct fsm_record *r = &state->journal.record;
    struct err why = ERR_NONE;
    if (!names_update(r, i))
        return 0;
    err_set(&why, &err_cancelled, "the controller gave up %s %s here", i->bundle_name, i->release);
    return agent_update_ask(update, FSM_ASK_CANCEL, &why, e);
}

// It cannot: said, so that nobody waits for it; but what may be otherwise when it is asked again.
static int go_back(struct agent_state *state, struct agent_update *update,
                   const struct bundle_instruction *i, const struct err *why, struct err *e) {
    struct err refused = ERR_NONE;
    if (agent_update_ask(update, FSM_ASK_REVERT, why, &refused) == 0)
        return 0;
    if (refused.kind->retry || err_is(&refused, &err_wrong_state) || agent_update_fatal(update) ||
        report_refusal(state, i, &refused, e) == 0)
        *e = refused;
    return -1;
}

static int revert(struct agent_state *state, struct agent_update *update,
                  const struct bundle_instruction *i, struct err *e) {
    const struct fsm_record *r = &state->journal.record;
    struct err why = ERR_NONE;
    bool probation = r->state == FSM_PROBATION && r->update.has_bundle &&
                     keys_digest_equal(&r->update.bundle, &i->bundle);
    bool committed =
        r->has_last && r->last.has_bundle && keys_digest_equal(&r->last.bundle, &i->bundle);
    if (!probation && !committed)
        return 0;
    // On the way between two bundles neither is simply what runs; the controller asks again.
    if (!probation && r->state > FSM_WAITING && r->state != FSM_SHAM_WAITING)
        return err_set(e, &err_wrong_state, "asked to leave %s %s while %s %s is %s",
                       i->bundle_name, i->release, r->update.name, r->update.release,
                       fsm_machine_state_names[r->state]);
    err_set(&why, &err_rolled_back, "the controller asked to leave %s %s", i->bundle_name,
            i->release);
    if (!probation && r->has_update && agent_update_ask(update, FSM_ASK_CANCEL, &why, e) < 0)
        return -1;
    return go_back(state, update, i, &why, e);
}

static int activate(struct agent_state *state, struct agent_update *update, struct slice raw,
                    const struct bundle_instruction *i, struct err *e) {
    const struct fsm_record *r = &state->journal.record;
    if (r->state != FSM_WAITING || !names_update(r, i))
        return 0;
    // The newest mandate is what counts from now on. Of a delta nothing is left to say.
    if (i->mandate.size > 0 && agent_update_hint(state->private_dir, raw, i, e) < 0)
        return -1;
    agent_update_looked(update);
    return 0;
}

// What was no good is reported; what only came at a bad moment is asked for again.
static int sham(struct agent_state *state, struct agent_update *update,
                const struct bundle_instruction *i, struct err *e) {
    struct err why = ERR_NONE;
    if (agent_update_sham(update, i, &why) == 0)
        return 0;
    if (!err_is(&why, &err_wrong_state) && !err_is(&why, &err_queue_full) && !why.kind->retry &&
        !agent_update_fatal(update) && report_refusal(state, i, &why, e) < 0)
        return -1;
    *e = why;
    return -1;
}

int checkin_instruction_obey(struct agent_state *state, struct agent_update *update,
                             struct slice raw, struct err *e) {
    struct bundle_instruction *i = calloc(1, sizeof *i);
    if (!i)
        return err_set(e, &err_memory, "reading an instruction: out of memory");
    int done = bundle_instruction_verify(raw, keys_root_role(state->root, KEYS_ROOT_ROLE_DIRECTOR),
                                         state->identity.device, state->journal.sequence,
                                         agent_state_trusted_s(state), i, e);
    if (done == 0) {
        (void)agent_state_learn_time(state, FSM_TRUSTED_ONLINE, i->header.issued_s);
        // Durable before anything is done about it: obeyed at most once, and the last word on when
        // it may be done counts.
        state->journal.sequence = i->header.version;
        if (is_again(&state->journal.record, i))
            state->journal.record.update.windows = i->windows;
        done = agent_state_save(state, e);
    }
    if (done == 0) {
        switch (i->action) {
        case BUNDLE_ACTION_INSTALL:
            done = install(state, update, raw, i, e);
            break;
        case BUNDLE_ACTION_ACTIVATE:
            done = activate(state, update, raw, i, e);
            break;
        case BUNDLE_ACTION_CANCEL:
            done = cancel(state, update, i, e);
            break;
        case BUNDLE_ACTION_REVERT:
            done = revert(state, update, i, e);
            break;
        case BUNDLE_ACTION_PROBE:
            done = agent_update_dry(update, i, e);
            break;
        case BUNDLE_ACTION_SHAM:
            done = sham(state, update, i, e);
            break;
        case BUNDLE_ACTIONS:
            done = err_set(e, &err_unknown_action, "the instruction has no action");
        }
    }
    free(i);
    return done;
}
