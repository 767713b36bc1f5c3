// SPDX-License-Identifier: Apache-2.0
//
// From stage to stage.
#include "ctl/rollout/advance.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "ctl/rollout/advance_gates.h"

static const char *const state_names[ROLLOUT_STATES] = {
    "running", "paused", "failed", "reverting", "reverted", "aborted", "finished"};
static const char *const stage_names[] = {"pending", "approval", "running",
                                          "soaking", "done",     "failed"};

const char *rollout_advance_state_name(enum rollout_state state) {
    assert(state < ROLLOUT_STATES);
    return state_names[state];
}

const char *rollout_advance_stage_name(enum rollout_stage_state state) {
    assert(state <= ROLLOUT_STAGE_FAILED);
    return stage_names[state];
}

bool rollout_advance_ended(enum rollout_state state) {
    return state == ROLLOUT_STATE_REVERTED || state == ROLLOUT_STATE_ABORTED ||
           state == ROLLOUT_STATE_FINISHED;
}

enum rollout_stage_state rollout_advance_stage(const struct rollout_policy *policy,
                                               const struct rollout_progress *progress,
                                               size_t stage) {
    if (progress->failed_stage == stage)
        return ROLLOUT_STAGE_FAILED;
    if (stage < progress->stage)
        return ROLLOUT_STAGE_DONE;
    if (stage > progress->stage)
        return ROLLOUT_STAGE_PENDING;
    if (progress->started_s[stage] == 0)
        return policy->stages[stage].approve && !(progress->approved & 1U << stage)
                   ? ROLLOUT_STAGE_APPROVAL
                   : ROLLOUT_STAGE_PENDING;
    return progress->complete_s != 0 ? ROLLOUT_STAGE_SOAKING : ROLLOUT_STAGE_RUNNING;
}

static struct rollout_tally sum(const struct rollout_counts *counts, size_t first, size_t stages) {
    struct rollout_tally all = {0};
    for (size_t i = 0; i < stages * counts->n_strata; i++)
        rollout_tally_add(&all, &counts->tallies[first * counts->n_strata + i]);
    return all;
}

static enum rollout_gate_verdict judge(const struct rollout_policy *policy,
                                       const struct rollout_gate_ops *gate,
                                       const struct rollout_counts *counts, size_t stage,
                                       struct rollout_why *why) {
    if (policy->gates.n > 0 && !policy->stages[stage].has_gate)
        return ROLLOUT_VERDICT_PASS;
    return gate->judge(&policy->stages[stage].gate, counts->tallies + stage * counts->n_strata,
                       counts->n_strata, why);
}

// A failure in any stage that has begun ends the rollout's way forward.
static int find_failure(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                        const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_why why = {.code = ROLLOUT_WHY_NONE};
    for (size_t stage = 0; stage < policy->n_stages && stage <= io->stage; stage++) {
        if (judge(policy, gate, counts, stage, &why) != ROLLOUT_VERDICT_FAIL)
            continue;
        io->state = policy->on_failure == ROLLOUT_ON_FAILURE_REVERT ? ROLLOUT_STATE_REVERTING
                                                                    : ROLLOUT_STATE_FAILED;
        io->failed_stage = stage;
        io->ended_s = counts->now_s;
        io->complete_s = 0;
        rollout_why_set(&io->why, ROLLOUT_WHY_rollout_failed, "stage %s: %.400s",
                        policy->stages[stage].name, why.text);
        return ROLLOUT_MOVED;
    }
    return 0;
}

// Sooner than people signed for: devices would refuse it.
static bool is_too_early(const struct rollout_counts *counts, const char *does, const char *stage,
                         int64_t not_before_s, struct rollout_progress *io) {
    char at[CHRONO_TEXT_BYTES];
    if (counts->now_s >= not_before_s)
        return false;
    rollout_why_set(&io->why, ROLLOUT_WHY_too_early,
                    "stage %s %s at %s at the earliest: people signed for no sooner", stage, does,
                    chrono_format(not_before_s, at));
    return true;
}

// Nothing is offered any more.
static bool is_too_late(const struct rollout_policy *policy, const struct rollout_counts *counts) {
    return policy->until_s != 0 && counts->now_s >= policy->until_s;
}

// Sets how much of the open stage may be open now; when it may be more, 0: it is all of it.
static int64_t bound_batch(const struct rollout_policy *policy, const struct rollout_counts *counts,
                           struct rollout_progress *io) {
    int64_t next_s = 0;
    size_t of = io->batch.held_back_open ? policy->n_stages : io->stage;
    io->batch.most = rollout_batch_ramp_share(&io->ramp[of], counts->now_s, &next_s);
    return next_s;
}

// Begins the open stage, unless it has to wait. 1 when it (now) offers.
static bool begin(const struct rollout_policy *policy, const struct rollout_counts *counts,
                  struct rollout_progress *io) {
    const struct rollout_stage_policy *stage = &policy->stages[io->stage];
    if (io->started_s[io->stage] != 0)
        return true;
    if (is_too_late(policy, counts))
        return false;
    if (stage->approve && !(io->approved & 1U << io->stage)) {
        rollout_why_set(&io->why, ROLLOUT_WHY_approval, "stage %s waits for approval", stage->name);
        return false;
    }
    if (counts->now_s < policy->not_before_s) {
        rollout_why_set(&io->why, ROLLOUT_WHY_too_early,
                        "stage %s waits for the time that the policy names in not_before",
                        stage->name);
        return false;
    }
    if (is_too_early(counts, "begins", stage->name, io->not_before_s[io->stage], io))
        return false;
    struct rollout_tally tally = sum(counts, io->stage, 1);
    if (policy->gates.n > 0 && io->spend.runs == 0)
        (void)evidence_combine_begin(&io->spend, policy->gates.alpha_ppm); // the first always fits
    (void)bound_batch(policy, counts, io);
    rollout_batch_begin(policy, &tally, tally.planned, counts->now_s, &io->batch);
    io->started_s[io->stage] = counts->now_s;
    return true;
}

static const char *say_held(const struct rollout_counts *counts, char *ret, size_t size) {
    ret[0] = '\0';
    if (counts->held > 0)
        (void)snprintf(ret, size, ", %" PRIu64 " device%s held by an operator", counts->held,
                       counts->held == 1 ? " is" : "s are");
    return ret;
}

static void say_waiting(const struct rollout_counts *counts, const char *stage, uint64_t done,
                        uint64_t working, uint64_t silent, struct rollout_why *why) {
    char held[64];
    rollout_why_set(why, ROLLOUT_WHY_waiting_devices,
                    "stage %s: %" PRIu64 " of %" PRIu64 " devices have an outcome, %" PRIu64
                    " are at work on it, %" PRIu64 " have not asked since it began%s",
                    stage, done, done + working + silent, working, silent,
                    say_held(counts, held, sizeof held));
}

// Known devices that the open stage admits.
static uint64_t planned(const struct rollout_counts *counts, const struct rollout_progress *io) {
    uint64_t stage = sum(counts, io->stage, 1).planned;
    return io->batch.held_back_open ? stage + counts->held_back : stage;
}

// So many outcomes are enough without waiting for the others: all, or the share to be reached.
static bool is_reached(const struct rollout_policy *policy, uint64_t done, uint64_t of) {
    uint32_t ppm = policy->gates.n == 0 ? ROLLOUT_PPM : policy->gates.reach_ppm;
    return (unsigned __int128)done * ROLLOUT_PPM >= (unsigned __int128)of * ppm;
}

// The others do not stand for the batch that opened last; some of its devices had the release, or
// needed nothing, before their turn.
static bool last_is_reached(const struct rollout_policy *policy, const struct rollout_tally *stage,
                            uint64_t of, const struct rollout_batch *batch) {
    uint64_t reached = rollout_tally_reached(stage);
    uint64_t own = reached > batch->offered_before ? reached - batch->offered_before : 0;
    uint64_t room = of > batch->offered_before ? of - batch->offered_before : 0;
    return batch->size == 0 ||
           is_reached(policy, own, batch->expected < room ? batch->expected : room);
}

// With a gate of losses: whoever dies of what opened last is lost to it only when the rule's time is
// over; before that a stage that is complete says nothing about it.
static bool would_see_losses(const struct rollout_policy *policy, int64_t since_s, int64_t now_s,
                             const char *stage, struct rollout_why *why) {
    uint64_t rhythm_s =
        policy->gates.rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : policy->gates.rhythm_s;
    int64_t left = since_s + rollout_score_silence_s(policy) + (int64_t)rhythm_s - now_s;
    if (left <= 0 || rollout_score_lost_gates(&policy->gates) == 0)
        return true;
    rollout_why_set(why, ROLLOUT_WHY_waiting_devices,
                    "stage %s: its devices have an outcome; whether they fall silent can be seen "
                    "in %" PRId64 " s",
                    stage, left);
    return false;
}

// Whether every device of the stage that can be expected to has an outcome, and what came of it could
// be seen.
enum completeness { OPEN, UNSEEN, COMPLETE };

static enum completeness find_complete(const struct rollout_policy *policy,
                                       const struct rollout_counts *counts,
                                       struct rollout_progress *io) {
    const char *name = policy->stages[io->stage].name;
    struct rollout_tally stage = sum(counts, io->stage, 1), all = sum(counts, 0, policy->n_stages);
    uint64_t done =
        rollout_tally_good(&stage) + rollout_tally_bad(&stage) + rollout_tally_moot(&stage);
    uint64_t working = rollout_tally_unresolved(&stage), of = planned(counts, io);
    if (all.planned == 0 && rollout_tally_reached(&all) == 0) {
        rollout_why_set(&io->why, ROLLOUT_WHY_no_devices,
                        "stage %s: no device matches the selector yet", name);
        return OPEN;
    }
    // Each batch is waited for from when it opened: those of the stage may take longer than one.
    int64_t since_s = io->batch.opened_s > io->started_s[io->stage] ? io->batch.opened_s
                                                                    : io->started_s[io->stage];
    bool open = io->batch.share >= ROLLOUT_BATCH_WHOLE || io->batch.number == 0;
    bool waited =
        !is_too_late(policy, counts) && counts->now_s - since_s >= (int64_t)policy->timeout_s;
    bool reached = is_reached(policy, done, of) && last_is_reached(policy, &stage, of, &io->batch);
    if (!open || working > 0 || (!reached && !waited)) {
        uint64_t silent = of > done + working ? of - done - working : 0;
        say_waiting(counts, name, done, working, silent, &io->why);
        return OPEN;
    }
    return would_see_losses(policy, since_s, counts->now_s, name, &io->why) ? COMPLETE : UNSEEN;
}

static bool soaks(const struct rollout_policy *policy, const struct rollout_counts *counts,
                  struct rollout_progress *io) {
    const struct rollout_stage_policy *stage = &policy->stages[io->stage];
    if (io->complete_s == 0)
        io->complete_s = counts->now_s;
    if (io->reached_s == 0)
        io->reached_s = counts->now_s;
    int64_t left = io->complete_s + (int64_t)stage->soak_s - counts->now_s;
    if (left > 0)
        rollout_why_set(&io->why, ROLLOUT_WHY_soaking,
                        "stage %s is complete and is watched for %" PRId64 " s more", stage->name,
                        left);
    return left > 0;
}

// The open stage: 1 when the next one is open now.
static bool finish_stage(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                         const struct rollout_counts *counts, struct rollout_progress *io) {
    const struct rollout_stage_policy *stage = &policy->stages[io->stage];
    struct rollout_why why = {.code = ROLLOUT_WHY_NONE};
    struct rollout_tally tally = sum(counts, io->stage, 1);
    if (rollout_advance_gates_hold(policy, counts, false, io))
        return false;
    int64_t next_s = bound_batch(policy, counts, io);
    if (!is_too_late(policy, counts))
        (void)rollout_batch_step(policy, &tally,
                                 io->batch.held_back_open ? counts->held_back : tally.planned,
                                 counts->now_s, &io->batch);
    bool complete = find_complete(policy, counts, io) == COMPLETE;
    if (!complete && rollout_batch_is_bounded(&io->batch) && rollout_tally_unresolved(&tally) == 0)
        (void)is_too_early(counts, "opens further", stage->name, next_s, io);
    if (complete && judge(policy, gate, counts, io->stage, &why) != ROLLOUT_VERDICT_PASS) {
        rollout_why_set(&io->why, why.code, "stage %s: %.400s", stage->name, why.text);
        complete = false;
    }
    if (!complete) {
        io->complete_s = 0;
        return false;
    }
    if (soaks(policy, counts, io) || !rollout_advance_gates_pass(policy, counts, io) ||
        rollout_advance_gates_hold(policy, counts, true, io))
        return false;
    rollout_batch_end(policy, &tally, &io->batch);
    io->stage++;
    io->complete_s = io->reached_s = 0;
    return true;
}

// Who is at work may end what has begun, and a stage that is complete is watched; then it is over.
static void wind_up(const struct rollout_policy *policy, const struct rollout_counts *counts,
                    struct rollout_progress *io) {
    struct rollout_progress open = *io;
    struct rollout_tally all = sum(counts, 0, policy->n_stages);
    uint64_t working = rollout_tally_unresolved(&all);
    if (!is_too_late(policy, counts) ||
        (io->started_s[io->stage] != 0 && find_complete(policy, counts, &open) != OPEN))
        return;
    if (working > 0) {
        rollout_why_set(&io->why, ROLLOUT_WHY_too_late,
                        "the time that the policy names in until is over: nothing is offered any "
                        "more, and %" PRIu64 " devices that are at work on it give it up, or end "
                        "it if they have activated it",
                        working);
        return;
    }
    io->state = ROLLOUT_STATE_ABORTED;
    io->ended_s = counts->now_s;
    io->complete_s = io->reached_s = 0;
    rollout_why_set(&io->why, ROLLOUT_WHY_too_late,
                    "the time that the policy names in until is over, and stage %s is not "
                    "complete: %" PRIu64 " devices have the release and keep it",
                    policy->stages[io->stage].name, rollout_tally_good(&all));
}

// Who was offered it when its stage was over (a newcomer, a try that was left, one that is heard of
// again) has an outcome first: nobody would ask for it afterwards, and a failure counts.
static bool is_awaited(const struct rollout_policy *policy, const struct rollout_counts *counts,
                       struct rollout_progress *io) {
    struct rollout_tally all = sum(counts, 0, policy->n_stages);
    uint64_t working = rollout_tally_unresolved(&all);
    char held[64];
    if (working == 0)
        return false;
    rollout_why_set(&io->why, ROLLOUT_WHY_waiting_devices,
                    "all stages are done; %" PRIu64 " device%s still at work on it%s", working,
                    working == 1 ? " is" : "s are", say_held(counts, held, sizeof held));
    return true;
}

static void advance_running(const struct rollout_policy *policy,
                            const struct rollout_gate_ops *gate,
                            const struct rollout_counts *counts, struct rollout_progress *io) {
    rollout_advance_gates_silence(counts, io);
    if (rollout_advance_gates_stop(policy, counts, io) || find_failure(policy, gate, counts, io) ||
        io->state != ROLLOUT_STATE_RUNNING)
        return;
    while (io->stage < policy->n_stages)
        if (!begin(policy, counts, io) || !finish_stage(policy, gate, counts, io)) {
            if (io->state == ROLLOUT_STATE_RUNNING)
                wind_up(policy, counts, io);
            return;
        }
    if (is_too_early(counts, "is over", policy->stages[policy->n_stages - 1].name,
                     io->not_before_s[policy->n_stages + 1], io) ||
        is_awaited(policy, counts, io))
        return;
    io->state = ROLLOUT_STATE_FINISHED;
    io->ended_s = counts->now_s;
    struct rollout_tally all = sum(counts, 0, policy->n_stages);
    rollout_why_set(&io->why, ROLLOUT_WHY_finished, "all stages are done: %" PRIu64 " committed",
                    rollout_tally_good(&all));
}

static void advance_reverting(const struct rollout_policy *policy,
                              const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_tally all = sum(counts, 0, policy->n_stages);
    uint64_t took = rollout_tally_took(&all), back = all.now[ROLLOUT_TASK_REVERTED];
    if (policy->revert_scope == ROLLOUT_REVERT_ACTIVATED)
        took -= all.now[ROLLOUT_TASK_COMMITTED]; // these keep it
    uint64_t left = took > io->gone ? took - io->gone : 0;
    // At so many a minute the last one is not told before.
    uint64_t paced_s = policy->revert_rate == 0 ? 0 : (took + back) * 60 / policy->revert_rate;
    if (left == 0 || counts->now_s - io->ended_s >= (int64_t)(policy->timeout_s + paced_s)) {
        struct rollout_why cause = io->why;
        io->state = ROLLOUT_STATE_REVERTED;
        rollout_why_set(&io->why, ROLLOUT_WHY_reverted,
                        "%.330s; %" PRIu64 " devices went back, %" PRIu64
                        " were not heard of and will when they ask",
                        io->failed_stage < policy->n_stages ? cause.text : "an operator said so",
                        back, left);
        return;
    }
    // The cause stays in the sentence until all are back: it is what people look for first.
    if (io->failed_stage >= policy->n_stages)
        rollout_why_set(&io->why, ROLLOUT_WHY_reverting,
                        "an operator said so; %" PRIu64 " devices have yet to go back", left);
}

static bool is_moved(const struct rollout_progress *a, const struct rollout_progress *b) {
    return a->state != b->state || a->stage != b->stage || a->complete_s != b->complete_s ||
           a->reached_s != b->reached_s || a->why.code != b->why.code ||
           a->batch.number != b->batch.number || a->batch.size != b->batch.size ||
           a->batch.held_back_open != b->batch.held_back_open || a->spend.runs != b->spend.runs ||
           a->stopped != b->stopped || a->doubt != b->doubt || a->silent != b->silent ||
           a->without != b->without || a->going_s != b->going_s ||
           memcmp(a->started_s, b->started_s, sizeof a->started_s) != 0;
}

// Paused by a doubt, by silence, or because its gates said nothing: devices that have the release are
// heard of all the same.
bool rollout_advance_judged(const struct rollout_progress *progress) {
    return progress->state == ROLLOUT_STATE_RUNNING ||
           (progress->state == ROLLOUT_STATE_PAUSED &&
            (progress->doubt || progress->silent ||
             progress->why.code == ROLLOUT_WHY_inconclusive));
}

int rollout_advance(const struct rollout_policy *policy, const struct rollout_gate_ops *gate,
                    const struct rollout_counts *counts, struct rollout_progress *io) {
    struct rollout_progress before = *io;
    if (rollout_advance_judged(io))
        advance_running(policy, gate, counts, io);
    else if (io->state == ROLLOUT_STATE_REVERTING)
        advance_reverting(policy, counts, io);
    if (io->state == ROLLOUT_STATE_RUNNING && before.state != io->state)
        io->going_s = counts->now_s;
    rollout_advance_gates_pause(policy, &before, counts->now_s, io);
    return is_moved(&before, io) ? ROLLOUT_MOVED : 0;
}

uint32_t rollout_advance_unreached_ppm(const struct rollout_tally *stage) {
    uint64_t reached = rollout_tally_reached(stage);
    if (reached >= stage->planned)
        return 0;
    return (uint32_t)((unsigned __int128)(stage->planned - reached) * ROLLOUT_PPM / stage->planned);
}
