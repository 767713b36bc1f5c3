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
    }
    if (was || io->silent)
        io->since_s = now_s;
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
