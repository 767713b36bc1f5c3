// SPDX-License-Identifier: Apache-2.0
//
// How far a stage is open.
#include "ctl/rollout/batch.h"

#include <assert.h>

#define ROUNDED 4096 // of ROLLOUT_BATCH_WHOLE: a device in a million

bool rollout_batch_used(const struct rollout_policy *policy) {
    return policy->gates.n > 0 || policy->batch.start > 0;
}

static uint64_t first_size(const struct rollout_policy *policy) {
    uint64_t start =
        policy->batch.start == 0 ? ROLLOUT_POLICY_BATCH_START_DEFAULT : policy->batch.start;
    return policy->batch.max > 0 && start > policy->batch.max ? policy->batch.max : start;
}

static uint64_t next_size(const struct rollout_policy *policy, uint64_t size) {
    uint32_t factor = policy->batch.factor_ppm < ROLLOUT_PPM
                          ? ROLLOUT_POLICY_BATCH_FACTOR_DEFAULT_PPM
                          : policy->batch.factor_ppm;
    uint64_t most = policy->batch.max == 0 ? ROLLOUT_POLICY_COUNT_MAX : policy->batch.max;
    unsigned __int128 next = (unsigned __int128)size * factor / ROLLOUT_PPM;
    return next > most ? most : (uint64_t)next;
}

// What the install gate takes for granted.
static uint32_t baseline_ppm(const struct rollout_policy *policy) {
    for (size_t i = 0; i < policy->gates.n; i++)
        if (policy->gates.gate[i].kind == ROLLOUT_GATE_INSTALL)
            return policy->gates.gate[i].baseline_ppm;
    return 0;
}

static uint64_t since(uint64_t now, uint64_t before) {
    return now > before ? now - before : 0; // a retry takes a failure back
}

// As many as were expected of the batch, or with gates the share to be reached of them, were offered
// the release: time alone says nothing about it.
static bool is_full(const struct rollout_policy *policy, const struct rollout_tally *stage,
                    const struct rollout_batch *batch) {
    uint32_t share = policy->gates.n == 0 ? ROLLOUT_PPM : policy->gates.reach_ppm;
    uint64_t wanted = batch->expected < batch->size ? batch->expected : batch->size;
    uint64_t some = rollout_tally_good(stage) + rollout_tally_bad(stage) +
                    rollout_tally_unresolved(stage); // and not only needed nothing
    uint64_t own = since(rollout_tally_reached(stage), batch->offered_before);
    own = own < some ? own : some;
    return own > 0 && (unsigned __int128)own * ROLLOUT_PPM >= (unsigned __int128)wanted * share;
}

static bool is_clean(const struct rollout_policy *policy, const struct rollout_tally *stage,
                     const struct rollout_batch *batch) {
    uint64_t own = since(rollout_tally_reached(stage), batch->offered_before);
    uint64_t bad = since(rollout_tally_bad(stage), batch->bad_before);
    return rollout_tally_unresolved(stage) == 0 &&
           bad <= (uint64_t)((unsigned __int128)own * baseline_ppm(policy) / ROLLOUT_PPM);
}

static bool grows(const struct rollout_policy *policy, const struct rollout_tally *stage,
                  const struct rollout_batch *batch) {
    return is_full(policy, stage, batch) &&
           (policy->batch.on_notified || is_clean(policy, stage, batch));
}

uint64_t rollout_batch_ramp_share(const struct rollout_batch_ramp *ramp, int64_t now_s,
                                  int64_t *ret_next_s) {
    size_t i = 0;
    *ret_next_s = 0;
    if (ramp->n == 0 || now_s >= ramp->whole_s)
        return ROLLOUT_BATCH_WHOLE;
    while (i < ramp->n && now_s >= ramp->steps[i].from_s)
        i++;
    *ret_next_s = i < ramp->n ? ramp->steps[i].from_s : ramp->whole_s;
    return i == 0 ? 1 : ramp->steps[i - 1].share;
}

static uint64_t most_of(const struct rollout_batch *batch) {
    return batch->most == 0 ? ROLLOUT_BATCH_WHOLE : batch->most;
}

// Shares are rounded down one by one here, and once for all of them where they were signed.
bool rollout_batch_is_bounded(const struct rollout_batch *batch) {
    return batch->most > 0 && batch->most < ROLLOUT_BATCH_WHOLE &&
           since(batch->most, batch->share) < ROUNDED;
}

// Opens a share for `add` devices more, or what may be open.
static void open_batch(const struct rollout_tally *stage, uint64_t planned, uint64_t add,
                       int64_t now_s, struct rollout_batch *io) {
    uint64_t more = planned == 0 || add >= planned
                        ? ROLLOUT_BATCH_WHOLE
                        : (uint64_t)((unsigned __int128)ROLLOUT_BATCH_WHOLE * add / planned);
    uint64_t left = since(most_of(io), io->share);
    more = more == 0 ? 1 : more;
    io->number++;
    io->expected =
        more < left ? add : (uint64_t)((unsigned __int128)planned * left / ROLLOUT_BATCH_WHOLE);
    io->share += more < left ? more : left;
    io->opened_s = now_s;
    io->offered_before = rollout_tally_reached(stage);
    io->bad_before = rollout_tally_bad(stage);
}

void rollout_batch_begin(const struct rollout_policy *policy, const struct rollout_tally *stage,
                         uint64_t planned, int64_t now_s, struct rollout_batch *io) {
    bool used = rollout_batch_used(policy);
    if (!used)
        io->size = 0;
    else if (io->size == 0)
        io->size = first_size(policy);
    io->share = 0;
    open_batch(stage, planned, used ? io->size : planned, now_s, io);
}

int rollout_batch_step(const struct rollout_policy *policy, const struct rollout_tally *stage,
                       uint64_t planned, int64_t now_s, struct rollout_batch *io) {
    uint64_t rhythm =
        policy->gates.rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : policy->gates.rhythm_s;
    if (io->size == 0 || io->share >= ROLLOUT_BATCH_WHOLE || rollout_batch_is_bounded(io))
        return 0;
    uint64_t working = rollout_tally_unresolved(stage);
    bool waited = now_s - io->opened_s >= (int64_t)(ROLLOUT_BATCH_RHYTHMS * rhythm);
    bool all = waited || since(rollout_tally_reached(stage), io->offered_before) >= io->expected;
    if (all && (policy->batch.on_notified || working == 0)) {
        struct rollout_batch last = *io;
        if (grows(policy, stage, io))
            io->size = next_size(policy, io->size);
        open_batch(stage, planned, io->size, now_s, io);
        if (!is_full(policy, stage, &last)) { // it goes on, with a larger share
            io->expected += last.expected;
            io->offered_before = last.offered_before;
            io->bad_before = last.bad_before;
        }
        return ROLLOUT_BATCH_OPENED;
    }
    if (!waited || working > io->size / 2)
        return 0;
    open_batch(stage, planned, io->size - working, now_s, io);
    return ROLLOUT_BATCH_OPENED;
}

void rollout_batch_again(const struct rollout_policy *policy, int64_t now_s,
                         struct rollout_batch *io) {
    io->number++;
    io->size = rollout_batch_used(policy) ? first_size(policy) : 0;
    io->expected = io->offered_before = io->bad_before =
        0; // whoever failed may be offered it again
    io->opened_s = now_s;
}

void rollout_batch_end(const struct rollout_policy *policy, const struct rollout_tally *stage,
                       struct rollout_batch *io) {
    if (io->size > 0 && is_full(policy, stage, io) && is_clean(policy, stage, io))
        io->size = next_size(policy, io->size);
}

// ── Admission ──

uint64_t rollout_batch_holdback(const struct rollout_policy *policy) {
    uint64_t share = policy->gates.n == 0 ? 0 : policy->gates.holdback_ppm;
    return UINT64_MAX - (uint64_t)((unsigned __int128)UINT64_MAX * share / ROLLOUT_PPM);
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

bool rollout_batch_bound(const struct rollout_policy *policy,
                         const struct rollout_batch_place *open,
                         const struct rollout_stratum_plan *plan, uint64_t *ret) {
    uint64_t held = rollout_batch_holdback(policy);
    bool released = open->batch->held_back_open;
    size_t stage = open->stage;
    assert(policy->n_stages > 0 && stage <= policy->n_stages);
    if (stage == policy->n_stages) {
        *ret = released ? plan->bound[stage - 1] : least(plan->bound[stage - 1], held);
        return true;
    }
    uint64_t low = stage == 0 ? 0 : plan->bound[stage - 1], high = plan->bound[stage];
    if (released)
        low = least(low > held ? low : held, high);
    else {
        low = least(low, held);
        high = least(high, held);
    }
    // A rollout that began before there were batches has none.
    uint64_t whole = open->batch->number == 0 ? ROLLOUT_BATCH_WHOLE : open->batch->share;
    uint64_t share = open->started ? whole : 0;
    if (stage == 0 && share == 0 && !released)
        return false;
    *ret = low + (uint64_t)(((unsigned __int128)(high - low) * share) >> 32);
    return true;
}

enum rollout_admission rollout_batch_admission(const struct rollout_policy *policy,
                                               const struct rollout_batch_place *open,
                                               const struct rollout_stratum_plan *plan,
                                               uint64_t rank) {
    uint64_t bound = 0;
    size_t stage = rollout_strata_stage(policy, plan, rank);
    if (stage == policy->n_stages)
        return ROLLOUT_ADMISSION_NEVER;
    if (rollout_batch_bound(policy, open, plan, &bound) && rank <= bound)
        return ROLLOUT_ADMISSION_OPEN;
    if (rank > rollout_batch_holdback(policy) && !open->batch->held_back_open)
        return ROLLOUT_ADMISSION_HELD_BACK;
    return stage > open->stage || !open->started ? ROLLOUT_ADMISSION_STAGE
                                                 : ROLLOUT_ADMISSION_BATCH;
}
