// SPDX-License-Identifier: Apache-2.0
//
// A web server that has one file and, by a plan drawn from a seed, gives it wrongly: for the
// scripted server of faultd.h. The plan is a row of faults, up to three in one answer, which lie
// about the range, break the framing, change, cut, delay or replace the body, or lead elsewhere.
// After the plan it is honest, with ranges and kept connections. The same seed gives the same plan;
// which part of it is played depends on what is asked.
#pragma once

#include <stdio.h>

#include "base/buf.h"
#include "tests/support/faultd.h"

// What an attempt may end with because of a fault that was played, as bits.
enum {
    MISHAP_UNREACHABLE = 1 << 0,
    MISHAP_HTTP = 1 << 1,
    MISHAP_GARBAGE = 1 << 2,
    MISHAP_REDIRECTED = 1 << 3,
    MISHAP_TOO_SLOW = 1 << 4,
    MISHAP_TOO_MUCH = 1 << 5,
    MISHAP_TRUNCATED = 1 << 6,
    MISHAP_LIMIT = 1 << 7,
    MISHAP_CONTENT =
        1 << 8, // whatever verification says of other bytes than those that were signed
};

struct mishap;

// other: another file, which it gives in place of the right one now and then. Both are borrowed
// until close.
struct mishap *mishap_open(uint64_t seed, struct slice file, struct slice other);
void mishap_close(struct mishap *m);
// From here on it is honest.
void mishap_end(struct mishap *m);
// For faultd_open_with; the context is the struct mishap.
faultd_answer mishap_answer;
// The bits of all faults that were played; the names of the plan, one line; only while nobody asks.
unsigned mishap_played(const struct mishap *m);
void mishap_print(const struct mishap *m, FILE *to);

// The next of a row of numbers that look random, for a seed of the caller's.
uint64_t mishap_random(uint64_t *seed);
// One of them below bound, which is not 0.
uint64_t mishap_below(uint64_t *seed, uint64_t bound);
