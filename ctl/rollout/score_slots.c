// SPDX-License-Identifier: Apache-2.0
//
// Readings by slots.
#include "ctl/rollout/score_slots.h"

#include <assert.h>

#include "base/num.h"
#include "ctl/rollout/score_member.h"

// Of one slot the first reading counts. A device that takes an update calls several times within
// minutes, right before its set begins, and those compared with it do not: with all of its readings
// its mean would lie later in the window than theirs, and every day and night be a change.
#define READINGS_MAX 1U

int64_t rollout_score_slots_of(const struct rollout_gates *gates, int64_t at_s) {
    uint64_t length = (gates->window_s + gates->grace_s) / ROLLOUT_SCORE_SPAN_SLOTS;
    return at_s / (int64_t)(length == 0 ? 1 : length);
}

static void add(struct rollout_score_mean *io, int64_t nano, int sign) {
    io->whole += sign * (nano / NUM_DECIMAL_SCALE);
    io->nano += sign * (nano % NUM_DECIMAL_SCALE);
    io->n += (uint64_t)sign;
}

int64_t rollout_score_slots_mean(const struct rollout_score_mean *sum) {
    assert(sum->n > 0);
    __int128 nano = (__int128)sum->whole * NUM_DECIMAL_SCALE + sum->nano;
    return (int64_t)(nano / (__int128)sum->n);
}

struct rollout_score_mean rollout_score_slots_sum(const struct rollout_score_history *history,
                                                  int64_t first, int64_t last) {
    struct rollout_score_mean all = {0};
    for (size_t i = 0; i < ROLLOUT_SCORE_SLOTS; i++) {
        const struct rollout_score_slot *slot = &history->slots[i];
        if (slot->sum.n == 0 || slot->slot < first || slot->slot > last)
            continue;
        all.n += slot->sum.n;
        all.whole += slot->sum.whole;
        all.nano += slot->sum.nano;
    }
    return all;
}

void rollout_score_slots_freeze(const struct rollout_gates *gates, int64_t now_s,
                                struct rollout_score_device *io) {
    int64_t first = rollout_score_slots_of(gates, now_s - (int64_t)gates->window_s);
    for (size_t g = 0; g < gates->n; g++)
        if (gates->gate[g].kind == ROLLOUT_GATE_METRIC)
            io->history[g].before = rollout_score_slots_sum(&io->history[g], first, INT64_MAX);
}

static int64_t within(int64_t nano) {
    const int64_t most = NUM_DECIMAL_MAX * NUM_DECIMAL_SCALE;
    return nano > most ? most : nano < -most ? -most : nano;
}

// Whether it is of the readings that count, at most so many in a slot.
static bool put(struct rollout_score_history *history, int64_t slot, int64_t nano, uint64_t most) {
    struct rollout_score_slot *to = &history->slots[slot % ROLLOUT_SCORE_SLOTS];
    if (to->slot != slot)
        *to = (struct rollout_score_slot){.slot = slot};
    if (to->sum.n >= most)
        return false;
    add(&to->sum, within(nano), 1);
    return true;
}

// A treated device's mean since it settled with the release; while it has it.
static void guard(struct rollout_score *score, const struct rollout_gates *gates, size_t gate,
                  int64_t slot, struct rollout_score_device *device,
                  struct rollout_score_news *ret) {
    struct rollout_score_history *history = &device->history[gate];
    if (!gates->gate[gate].has_guard || device->base_s == 0 || device->arm != ROLLOUT_ARM_TREATED ||
        rollout_score_member_failed(device))
        return;
    int64_t first = rollout_score_slots_of(gates, device->base_s + (int64_t)gates->settle_s) + 1;
    struct rollout_score_mean sum = rollout_score_slots_sum(history, first, slot);
    if (sum.n == 0)
        return;
    int64_t mean = rollout_score_slots_mean(&sum);
    if (history->has_guard && history->guard_nano == mean)
        return;
    if (history->has_guard)
        add(&score->guard[gate], history->guard_nano, -1);
    add(&score->guard[gate], mean, 1);
    history->has_guard = true;
    history->guard_nano = mean;
    ret->shared = ret->device = true;
    ret->gates |= 1U << gate;
}

void rollout_score_slots_hear(struct rollout_score *score, const struct rollout_gates *gates,
                              const struct rollout_score_checkin *checkin,
                              struct rollout_score_device *device, struct rollout_score_news *ret) {
    int64_t slot = rollout_score_slots_of(gates, checkin->now_s);
    for (size_t g = 0; g < gates->n; g++) {
        if (gates->gate[g].kind != ROLLOUT_GATE_METRIC || !(checkin->given & 1U << g))
            continue;
        if (put(&device->history[g], slot, checkin->nano[g], READINGS_MAX))
            ret->device = true;
        guard(score, gates, g, slot, device, ret);
    }
}

bool rollout_score_slots_join(struct rollout_score *score, const struct rollout_gates *gates,
                              const struct rollout_score_checkin *checkin,
                              struct rollout_score_member *member,
                              struct rollout_score_device *unit, struct rollout_score_news *ret) {
    int64_t slot = rollout_score_slots_of(gates, checkin->now_s);
    bool changed = false;
    for (size_t g = 0; g < gates->n; g++) {
        struct rollout_score_reading *reading = &member->reading[g];
        if (gates->gate[g].kind != ROLLOUT_GATE_METRIC || !(checkin->given & 1U << g))
            continue;
        if (reading->slot != slot + 1) {
            (void)put(&unit->history[g], slot, checkin->nano[g], UINT64_MAX);
            reading->slot = slot + 1;
            changed = ret->device = true;
        }
        guard(score, gates, g, slot, unit, ret);
    }
    return changed;
}
