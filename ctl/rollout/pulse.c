// SPDX-License-Identifier: Apache-2.0
//
// Whether the fleet is heard of.
#include "ctl/rollout/pulse.h"

static int64_t rhythm(const struct rollout_gates *gates) {
    return gates->rhythm_s == 0 ? ROLLOUT_GATES_RHYTHM_DEFAULT_S : (int64_t)gates->rhythm_s;
}

// A slot is over, in which so many were heard of.
static void judge(uint64_t heard, int64_t end_s, struct rollout_pulse *io) {
    bool fewer = heard + ROLLOUT_PULSE_FEWER_MIN <= io->reference && heard < io->reference / 2;
    if (fewer && io->broken)
        return;
    if (fewer && !io->silent)
        io->silent_since_s = end_s;
    io->silent = fewer && end_s - io->silent_since_s < ROLLOUT_PULSE_MAX_S;
    if (!io->silent)
        io->reference = heard;
}

static void roll(const struct rollout_gates *gates, int64_t now_s, struct rollout_pulse *io) {
    int64_t length = rhythm(gates), slot = now_s / length;
    bool was = io->silent;
    if (io->slot == 0)
        io->slot = slot;
    if (slot > io->slot)
        judge(io->heard, (io->slot + 1) * length, io);
    if (slot > io->slot + 1) // and nobody at all in those between
        judge(0, slot * length, io);
    if (slot > io->slot) {
        io->slot = slot;
        io->heard = 0;
        io->broken = false;
    }
    if (was || io->silent)
        io->since_s = now_s;
}

void rollout_pulse_break(const struct rollout_gates *gates, int64_t now_s,
                         struct rollout_pulse *io) {
    int64_t slot = now_s / rhythm(gates);
    if (io->slot == 0) // nothing is known that could be wrong
        return;
    if (io->slot != slot)
        io->heard = 0;
    io->slot = slot;
    io->broken = true;
    // A clock that was set back.
    io->since_s = io->since_s < now_s ? io->since_s : now_s;
    io->silent_since_s = io->silent_since_s < now_s ? io->silent_since_s : now_s;
}

void rollout_pulse_heard(const struct rollout_gates *gates, int64_t before_s, int64_t now_s,
                         struct rollout_pulse *io) {
    roll(gates, now_s, io);
    io->heard += before_s / rhythm(gates) < io->slot;
}

bool rollout_pulse_tick(const struct rollout_gates *gates, int64_t now_s,
                        struct rollout_pulse *io) {
    roll(gates, now_s, io);
    return io->silent;
}

int64_t rollout_pulse_since_s(const struct rollout_pulse *pulse) {
    return pulse->since_s == 0 ? INT64_MIN : pulse->since_s;
}

// ── As it is kept ──

bool rollout_pulse_differs(const struct rollout_pulse *a, const struct rollout_pulse *b) {
    return a->slot != b->slot || a->heard != b->heard || a->reference != b->reference ||
           a->silent != b->silent || a->silent_since_s != b->silent_since_s ||
           a->broken != b->broken || (!a->silent && a->since_s != b->since_s);
}

void rollout_pulse_format(const struct rollout_pulse *pulse,
                          uint8_t ret[static ROLLOUT_PULSE_BYTES]) {
    const uint64_t numbers[ROLLOUT_PULSE_BYTES / 8] = {1, // version
                                                       (uint64_t)pulse->slot,
                                                       pulse->heard,
                                                       pulse->reference,
                                                       pulse->silent,
                                                       (uint64_t)pulse->silent_since_s,
                                                       (uint64_t)pulse->since_s,
                                                       pulse->broken};
    for (size_t i = 0; i < ROLLOUT_PULSE_BYTES; i++)
        ret[i] = (uint8_t)(numbers[i / 8] >> (56 - 8 * (i % 8)));
}

void rollout_pulse_parse(const uint8_t bytes[static ROLLOUT_PULSE_BYTES],
                         struct rollout_pulse *ret) {
    uint64_t numbers[ROLLOUT_PULSE_BYTES / 8] = {0};
    for (size_t i = 0; i < ROLLOUT_PULSE_BYTES; i++)
        numbers[i / 8] = numbers[i / 8] << 8 | bytes[i];
    *ret = (struct rollout_pulse){.slot = 0};
    if (numbers[0] != 1)
        return;
    *ret = (struct rollout_pulse){.slot = (int64_t)numbers[1],
                                  .heard = numbers[2],
                                  .reference = numbers[3],
                                  .silent = numbers[4] != 0,
                                  .silent_since_s = (int64_t)numbers[5],
                                  .since_s = (int64_t)numbers[6],
                                  .broken = numbers[7] != 0};
}
