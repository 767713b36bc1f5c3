// SPDX-License-Identifier: Apache-2.0
//
// The transition table, and what each transition writes into the record. A pair that is not in the
// table is ignored; one that somebody asked for is refused as such.
#include "agent/fsm/machine.h"

#include <assert.h>
#include <string.h>

#include "agent/fsm/attempt.h"

const char *const fsm_machine_state_names[FSM_STATES] = {
    [FSM_IDLE] = "idle",
    [FSM_OFFERED] = "offered",
    [FSM_FETCHING] = "fetching",
    [FSM_STAGED] = "staged",
    [FSM_WAITING] = "waiting",
    [FSM_ACTIVATING] = "activating",
    [FSM_REBOOTING] = "rebooting",
    [FSM_PROBATION] = "probation",
    [FSM_COMMITTED] = "committed",
    [FSM_REVERTING] = "reverting",
    [FSM_FAILED] = "failed",
    [FSM_SHAM_WAITING] = "sham_waiting",
    [FSM_SHAM_RESTARTING] = "sham_restarting",
    [FSM_SHAM_PROBATION] = "sham_probation",
};

const char *const fsm_machine_event_names[FSM_EVENTS_COUNT] = {
#define EVENT_NAME(name, when) [FSM_##name] = #name,
    FSM_EVENTS(EVENT_NAME)
#undef EVENT_NAME
};

// What a transition does to the record beyond the state.
enum effect {
    KEEP,
    TAKE,       // the offer becomes the update
    TAKE_SHAM,  // the same, of the generation that is committed
    RESTART,    // one restart more
    SETTLE,     // what was staged is done: restarts count anew
    LAUNCH,     // the swap begins
    LOOK_AGAIN, // it did not come to the swap: the yes it was begun with is used up
    COMMIT,     // the update becomes the committed generation
    DROP,       // there is no previous generation any more
    GIVE_UP,    // the update ends before the swap
    GO_BACK,    // from the update to the committed generation
    GO_BACK_ON, // from the committed generation to the previous one
    BACK,       // the way back is done
    STAND,      // the way back from the committed generation was not begun
    SUCCEED,    // what runs becomes the committed generation, and the offer the update
    FORGET      // the update is over, or the sham
};

#define NO_REPORT (-1)

// As small as its members allow: there is one for every pair.
struct row {
    bool exists;
    uint8_t next;   // enum fsm_state
    uint8_t effect; // enum effect
    int8_t report;  // enum bundle_event, or NO_REPORT
    uint16_t work;
};

#define ROW(next_, effect_, work_, report_)                                                        \
    {                                                                                              \
        .exists = true, .next = FSM_##next_, .effect = (effect_), .work = (work_),                 \
        .report = (report_)                                                                        \
    }
#define STAY(state_, work_) ROW(state_, RESTART, work_, NO_REPORT)
#define REFUSE              ROW(IDLE, GIVE_UP, END, BUNDLE_EVENT_REFUSED)
#define CANCEL              ROW(IDLE, GIVE_UP, END, BUNDLE_EVENT_CANCELLED)
#define END                 (FSM_DO_STOP | FSM_DO_CLEAN | FSM_DO_CHECKIN)
#define END_SHAM(report_)   ROW(IDLE, FORGET, FSM_DO_STOP | FSM_DO_CHECKIN, BUNDLE_EVENT_##report_)
#define BACK_OUT(effect_)   ROW(REVERTING, effect_, FSM_DO_STOP | FSM_DO_REVERT, NO_REPORT)

static const struct row table[FSM_STATES][FSM_EVENTS_COUNT] =
    {
        [FSM_IDLE] =
            {
                [FSM_RESTARTED] = ROW(IDLE, KEEP, FSM_DO_CLEAN, NO_REPORT),
                [FSM_OFFER] = ROW(OFFERED, TAKE, FSM_DO_FETCH, BUNDLE_EVENT_OFFERED),
                [FSM_ASK_REVERT] = BACK_OUT(GO_BACK_ON),
                [FSM_SHAM] = ROW(SHAM_WAITING, TAKE_SHAM, FSM_DO_WAIT, NO_REPORT),
            },
        [FSM_OFFERED] =
            {
                [FSM_RESTARTED] = STAY(OFFERED, FSM_DO_FETCH),
                [FSM_FETCH_BEGUN] = ROW(FETCHING, KEEP, 0, NO_REPORT),
                [FSM_REFUSED] = REFUSE,
                [FSM_ASK_CANCEL] = CANCEL,
            },
        [FSM_FETCHING] =
            {
                [FSM_RESTARTED] = STAY(FETCHING, FSM_DO_FETCH),
                [FSM_FETCH_BEGUN] = ROW(FETCHING, KEEP, 0, NO_REPORT),
                [FSM_HICCUP] = ROW(FETCHING, KEEP, FSM_DO_STOP | FSM_DO_LATER, NO_REPORT),
                [FSM_OVERWRITES] = ROW(FETCHING, DROP, 0, BUNDLE_EVENT_WAITING),
                [FSM_FETCHED] = ROW(STAGED, KEEP, FSM_DO_GATE, NO_REPORT),
                [FSM_REFUSED] = REFUSE,
                [FSM_ASK_CANCEL] = CANCEL,
            },
        [FSM_STAGED] =
            {
                [FSM_RESTARTED] = STAY(STAGED, FSM_DO_GATE),
                [FSM_UNSEALED] = ROW(FETCHING, KEEP, FSM_DO_STOP | FSM_DO_FETCH, NO_REPORT),
                [FSM_GATED] =
                    ROW(WAITING, SETTLE, FSM_DO_WAIT | FSM_DO_CHECKIN, BUNDLE_EVENT_STAGED),
                [FSM_REFUSED] = REFUSE,
                [FSM_ASK_CANCEL] = CANCEL,
            },
        [FSM_WAITING] =
            {
                [FSM_RESTARTED] = ROW(WAITING, KEEP, FSM_DO_WAIT, NO_REPORT),
                [FSM_GO] = ROW(ACTIVATING, LAUNCH, FSM_DO_STOP | FSM_DO_ACTIVATE, NO_REPORT),
                [FSM_REFUSED] = REFUSE,
                [FSM_ASK_CANCEL] = CANCEL,
            },
        [FSM_ACTIVATING] =
            {
                [FSM_RESTARTED] = STAY(ACTIVATING, FSM_DO_ACTIVATE),
                [FSM_UNSWAPPED] = ROW(WAITING, LOOK_AGAIN, FSM_DO_STOP | FSM_DO_WAIT, NO_REPORT),
                [FSM_ACTIVATED] =
                    ROW(PROBATION, KEEP, FSM_DO_WATCH | FSM_DO_CHECKIN, BUNDLE_EVENT_ACTIVATED),
                [FSM_REBOOT] = ROW(REBOOTING, KEEP, FSM_DO_REBOOT, NO_REPORT),
                [FSM_REFUSED] = REFUSE, // only before the swap
                [FSM_UNHEALTHY] = BACK_OUT(GO_BACK),
            },
        [FSM_REBOOTING] =
            {
                [FSM_RESTARTED] = STAY(REBOOTING, 0),
                [FSM_BOOTED] =
                    ROW(PROBATION, KEEP, FSM_DO_WATCH | FSM_DO_CHECKIN, BUNDLE_EVENT_ACTIVATED),
                [FSM_UNHEALTHY] = BACK_OUT(GO_BACK),
            },
        [FSM_PROBATION] =
            {
                [FSM_RESTARTED] = STAY(PROBATION, FSM_DO_WATCH),
                [FSM_HEALTHY] = ROW(COMMITTED, COMMIT, END, BUNDLE_EVENT_COMMITTED),
                [FSM_ASK_COMMIT] = ROW(COMMITTED, COMMIT, END, BUNDLE_EVENT_COMMITTED),
                [FSM_UNHEALTHY] = BACK_OUT(GO_BACK),
                [FSM_ASK_REVERT] = BACK_OUT(GO_BACK),
            },
        [FSM_COMMITTED] =
            {
                [FSM_RESTARTED] = ROW(COMMITTED, KEEP, FSM_DO_CLEAN, NO_REPORT),
                [FSM_CLEANED] = ROW(IDLE, FORGET, 0, NO_REPORT),
            },
        [FSM_REVERTING] =
            {
                [FSM_RESTARTED] = ROW(REVERTING, KEEP, FSM_DO_REVERT, NO_REPORT),
                [FSM_REVERTED] = ROW(IDLE, BACK, END, BUNDLE_EVENT_REVERTED),
                [FSM_UNMOVED] = ROW(IDLE, STAND, END, BUNDLE_EVENT_FAILED), // nothing was swapped
                [FSM_STUCK] = ROW(FAILED, KEEP, FSM_DO_CHECKIN, BUNDLE_EVENT_FAILED),
            },
        [FSM_FAILED] =
            {
                [FSM_RESTARTED] = ROW(FAILED, KEEP, 0, NO_REPORT),
                [FSM_ASK_REVERT] = ROW(REVERTING, KEEP, FSM_DO_REVERT, NO_REPORT),
                // What runs is all there is: it is kept, by an operator's word or as the base of
                // another update, which is verified whole when that is sealed.
                [FSM_ASK_COMMIT] = ROW(COMMITTED, COMMIT, END, BUNDLE_EVENT_COMMITTED),
                [FSM_OFFER] = ROW(OFFERED, SUCCEED, FSM_DO_FETCH, BUNDLE_EVENT_OFFERED),
            },
        [FSM_SHAM_WAITING] =
            {
                [FSM_RESTARTED] = ROW(SHAM_WAITING, KEEP, FSM_DO_WAIT, NO_REPORT),
                [FSM_GO] = ROW(SHAM_RESTARTING, KEEP, FSM_DO_STOP | FSM_DO_ACTIVATE, NO_REPORT),
                [FSM_REFUSED] = END_SHAM(SHAM_REFUSED),
                [FSM_ASK_CANCEL] = END_SHAM(SHAM_REFUSED),
            },
        [FSM_SHAM_RESTARTING] =
            {
                [FSM_RESTARTED] = STAY(SHAM_RESTARTING, FSM_DO_ACTIVATE),
                [FSM_ACTIVATED] = ROW(SHAM_PROBATION, KEEP, FSM_DO_WATCH | FSM_DO_CHECKIN,
                                      BUNDLE_EVENT_SHAM_BEGUN),
                [FSM_UNHEALTHY] = END_SHAM(SHAM_FAILED),
                [FSM_ASK_CANCEL] = END_SHAM(SHAM_FAILED),
            },
        [FSM_SHAM_PROBATION] =
            {
                [FSM_RESTARTED] = STAY(SHAM_PROBATION, FSM_DO_WATCH),
                [FSM_HEALTHY] = END_SHAM(SHAMMED),
                [FSM_UNHEALTHY] = END_SHAM(SHAM_FAILED),
                [FSM_ASK_CANCEL] = END_SHAM(SHAM_FAILED),
            },
};

void fsm_machine_init(struct fsm_record *ret, uint64_t committed, uint64_t next) {
    *ret = (struct fsm_record){.state = FSM_IDLE, .committed = committed, .next = next};
    fsm_machine_assert(ret);
}

static void take(struct fsm_record *r, const struct fsm_update *offer, uint64_t target) {
    r->update = *offer;
    r->update.target = target;
    r->update.looked = false;
    r->update.tries = 0;
    r->update.restarts = 0;
    r->update.probation_done_s = 0;
    if (r->update.restarts_max == 0)
        r->update.restarts_max = FSM_RESTARTS_DEFAULT;
    r->has_update = true;
}

static void stand(struct fsm_record *r) {
    r->revert_committed = false;
    r->revert_to = 0;
    r->has_update = false;
}

static void commit(struct fsm_record *r) {
    // A way back from a committed generation that failed leaves it the committed one.
    if (!r->revert_committed) {
        r->has_previous = true;
        r->previous = r->committed;
        r->committed = r->update.target;
    }
    r->revert_committed = false;
    r->revert_to = 0;
    r->last = r->update;
    r->has_last = true;
}

static void go_back(struct fsm_record *r, bool committed) {
    r->revert_committed = committed;
    r->revert_to = committed ? r->previous : r->committed;
    if (!committed)
        return;
    // The report and the failure belong to the update that brought what is now left.
    r->update = r->has_last ? r->last : (struct fsm_update){.attempt = 1};
    r->update.target = r->committed;
    r->has_update = true;
}

static void back(struct fsm_record *r) {
    if (r->update.has_bundle)
        fsm_attempt_failed(r, &r->update.bundle, r->update.attempt);
    if (r->revert_committed) {
        r->committed = r->previous;
        r->has_previous = false;
        r->previous = 0;
        r->has_last = false;
    }
    r->revert_committed = false;
    r->revert_to = 0;
    r->has_update = false;
}

// The update that failed is not tried again (I4); the generation that could not be gone back to
// stays as the previous one (I2), for what it is worth.
static void succeed(struct fsm_record *r, const struct fsm_update *offer) {
    if (r->update.has_bundle)
        fsm_attempt_failed(r, &r->update.bundle, r->update.attempt);
    commit(r);
    take(r, offer, r->next++);
}

static void apply(struct fsm_record *r, enum effect effect, const struct fsm_input *in) {
    switch (effect) {
    case KEEP:
        break;
    case TAKE:
        take(r, in->offer, r->next++);
        break;
    case TAKE_SHAM:
        take(r, in->offer, r->committed);
        break;
    case RESTART:
        r->update.restarts++;
        break;
    case SETTLE:
        r->update.restarts = 0;
        break;
    case LAUNCH:
        // No more than allowed were before the swap, or they are those of the staging, which an
        // older agent's journal still counts here.
        if (r->update.restarts > r->update.restarts_max)
            r->update.restarts = 0;
        break;
    case LOOK_AGAIN:
        r->update.looked = false;
        break;
    case COMMIT:
        commit(r);
        if (r->update.has_bundle)
            fsm_attempt_forget(r, &r->update.bundle);
        break;
    case DROP:
        r->has_previous = false;
        r->previous = 0;
        break;
    case GIVE_UP:
        if (in->final && r->update.has_bundle)
            fsm_attempt_failed(r, &r->update.bundle, r->update.attempt);
        r->has_update = false;
        break;
    case GO_BACK:
        go_back(r, false);
        break;
    case GO_BACK_ON:
        go_back(r, true);
        break;
    case BACK:
        back(r);
        break;
    case STAND:
        stand(r);
        break;
    case SUCCEED:
        succeed(r, in->offer);
        break;
    case FORGET:
        r->has_update = false;
        break;
    }
}

// What is said about the state after an event: the reason that came with it, or that all is well.
// The way back keeps the reason it was begun for.
static struct fsm_why why_after(const struct fsm_record *r, const struct fsm_input *in) {
    if (in->why.code[0] != '\0')
        return in->why;
    if (in->event == FSM_RESTARTED || in->event == FSM_REVERTED || in->event == FSM_FETCH_BEGUN)
        return r->why;
    return (struct fsm_why){.code = ""};
}

static bool has_reason(const struct fsm_record *r) {
    return r->why.code[0] != '\0' && r->why.text[0] != '\0';
}

bool fsm_machine_wants_reason(const struct fsm_record *r) {
    return !has_reason(r) && ((r->state == FSM_WAITING && !r->update.local) ||
                              r->state == FSM_REVERTING || r->state == FSM_FAILED);
}

// A probation that holds is over in full and was not interrupted too often. An operator's word may
// end it early (ASK_COMMIT), and what could not be gone back from may be all there is (SUCCEED).
static void assert_probation_over(const struct fsm_record *r) {
    assert(!fsm_attempt_interrupted(r) && "I3: interrupted too often, it goes back");
    assert(r->update.probation_done_s >= r->update.probation_s &&
           "I3: nothing is committed before its probation ended");
}

// Whether an event that leads here must have said why, or the one before it did.
static bool ends_badly(int report) {
    return report == BUNDLE_EVENT_REFUSED || report == BUNDLE_EVENT_CANCELLED ||
           report == BUNDLE_EVENT_REVERTED || report == BUNDLE_EVENT_FAILED ||
           report == BUNDLE_EVENT_SHAM_REFUSED || report == BUNDLE_EVENT_SHAM_FAILED;
}

int fsm_machine_step(struct fsm_record *record, const struct fsm_input *in,
                     struct fsm_outcome *ret) {
    assert((unsigned)record->state < FSM_STATES && (unsigned)in->event < FSM_EVENTS_COUNT);
    const struct row *row = &table[record->state][in->event];
    bool asked = in->event == FSM_OFFER || in->event == FSM_ASK_COMMIT ||
                 in->event == FSM_ASK_REVERT || in->event == FSM_ASK_CANCEL ||
                 in->event == FSM_SHAM;
    if (!row->exists)
        return asked ? FSM_MACHINE_WRONG_STATE : FSM_MACHINE_IGNORED;
    if (record->state == FSM_IDLE && in->event == FSM_ASK_REVERT && !record->has_previous)
        return FSM_MACHINE_WRONG_STATE;
    if (in->event == FSM_OVERWRITES && !record->has_previous)
        return FSM_MACHINE_IGNORED;
    if (in->event == FSM_UNMOVED && !record->revert_committed)
        return FSM_MACHINE_IGNORED;
    if (in->event == FSM_HEALTHY)
        assert_probation_over(record);
    struct fsm_record after = *record;
    after.why = why_after(record, in);
    apply(&after, (enum effect)row->effect, in);
    after.state = (enum fsm_state)row->next;
    // As it is read back after a restart: what was said of an update counts for no other.
    if (!after.has_update)
        after.update = (struct fsm_update){.target = 0};
    fsm_machine_assert(&after);
    assert((!ends_badly(row->report) || has_reason(&after)) &&
           "I10: an update that ends without success says why");
    *ret = (struct fsm_outcome){
        .work = row->work,
        .has_report = row->report != NO_REPORT,
        .report = row->report == NO_REPORT ? BUNDLE_EVENTS : (enum bundle_event)row->report,
        .why = after.why,
        // A transition that ends an update still reports about it.
        .update = after.has_update ? after.update : record->update,
    };
    *record = after;
    return 0;
}

bool fsm_machine_is_sham(enum fsm_state state) {
    return state >= FSM_SHAM_WAITING;
}

bool fsm_machine_needs(const struct fsm_record *r, uint64_t generation) {
    if (generation == r->committed || (r->has_previous && generation == r->previous))
        return true;
    switch (r->state) {
    case FSM_OFFERED:
    case FSM_FETCHING:
    case FSM_STAGED:
    case FSM_WAITING:
    case FSM_ACTIVATING:
    case FSM_REBOOTING:
    case FSM_PROBATION:
        return generation == r->update.target;
    case FSM_REVERTING:
    case FSM_FAILED:
        // What is being left must stay until `current` no longer names it (I1).
        return generation == r->update.target || generation == r->revert_to;
    default:
        return false;
    }
}

bool fsm_machine_may_run(const struct fsm_record *r, uint64_t generation) {
    switch (r->state) {
    case FSM_ACTIVATING:
        return generation == r->committed || generation == r->update.target;
    case FSM_REBOOTING:
    case FSM_PROBATION:
        return generation == r->update.target;
    case FSM_REVERTING:
    case FSM_FAILED:
        return generation == r->update.target || generation == r->revert_to;
    default:
        return generation == r->committed;
    }
}

void fsm_machine_assert(const struct fsm_record *r) {
    bool under_way = r->state != FSM_IDLE;
    assert(r->committed < r->next && "I1: a generation's number was given out before it runs");
    assert((!r->has_previous || (r->previous != r->committed && r->previous < r->next)) &&
           "I2: the previous generation is another one than the committed one");
    assert(r->has_update == under_way && "I10: an update is known exactly while one is under way");
    assert((!r->has_update || r->update.target < r->next) && "I7: an update is one new generation");
    if (fsm_machine_is_sham(r->state))
        assert(r->committed == r->update.target && "I2: a sham is of what is committed");
    if (r->state == FSM_COMMITTED)
        assert(r->committed == r->update.target && r->has_previous &&
               "I2: a commit keeps what ran before it");
    if (r->state == FSM_REVERTING || r->state == FSM_FAILED)
        assert(r->revert_to == (r->revert_committed ? r->previous : r->committed) &&
               "I2: the way back leads to a generation that is kept");
    assert(!fsm_machine_wants_reason(r) && "I10: who waits or goes back says why");
    assert(r->n_failures <= FSM_FAILURES_MAX);
}
