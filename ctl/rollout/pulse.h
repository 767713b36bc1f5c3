// SPDX-License-Identifier: Apache-2.0
//
// The pulse of a fleet: whether it is the fleet that is silent (a network, the controller's own
// link), or single devices are. Devices are counted once for each slot of a rhythm (gates.h) in
// which they are heard of; a slot with less than half as many as the last good one before it is
// silent, and so are all that follow until half of them are heard of again. So it is known within
// two rhythms, sooner than any device is lost (score.h: three rhythms at least), and however few of
// them are at risk just then.
//
// While a fleet is silent no device is declared lost, of either arm and on whatever it is at work;
// and what it was silent for does not count afterwards: each has its whole timeout from
// rollout_pulse_since_s on. After a day the fleet is taken to be as small as it is now: a rollout
// ends.
//
// Kept in the store as it changes, so that a restart in the middle of an outage does not end it. Of a
// slot in which the controller did not listen all the time (rollout_pulse_break) only good news
// count: half of the fleet was heard of, or nothing is known. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ctl/rollout/gates.h"

#define ROLLOUT_PULSE_FEWER_MIN 4 // so many fewer at least: a fleet of a few is never silent
#define ROLLOUT_PULSE_MAX_S     86400
#define ROLLOUT_PULSE_BYTES     (8 * 8) // as it is kept

// All zero at first.
struct rollout_pulse {
    int64_t slot;       // that is being counted
    uint64_t heard;     // devices in it so far
    uint64_t reference; // devices of the last good slot; 0: none is complete
    bool silent;
    int64_t silent_since_s; // silent: since when
    int64_t since_s;        // until when it was silent; 0 never. While it is silent: now
    bool broken;            // nobody listened for a part of this slot
};

// Nobody listened for a while, until now: the controller was down, or its clock was set.
void rollout_pulse_break(const struct rollout_gates *gates, int64_t now_s, struct rollout_pulse *io)
    __attribute__((nonnull));
// A device checks in; before_s: its check-in before, 0 none.
void rollout_pulse_heard(const struct rollout_gates *gates, int64_t before_s, int64_t now_s,
                         struct rollout_pulse *io) __attribute__((nonnull));
// Time passes. true while the fleet is silent.
bool rollout_pulse_tick(const struct rollout_gates *gates, int64_t now_s, struct rollout_pulse *io)
    __attribute__((nonnull));
// Silence before it does not count; INT64_MIN when the fleet was never silent.
int64_t rollout_pulse_since_s(const struct rollout_pulse *pulse) __attribute__((nonnull));

// Whether one has to be kept in place of the other.
bool rollout_pulse_differs(const struct rollout_pulse *a, const struct rollout_pulse *b)
    __attribute__((nonnull));
void rollout_pulse_format(const struct rollout_pulse *pulse,
                          uint8_t ret[static ROLLOUT_PULSE_BYTES]) __attribute__((nonnull));
void rollout_pulse_parse(const uint8_t bytes[static ROLLOUT_PULSE_BYTES], struct rollout_pulse *ret)
    __attribute__((nonnull));
