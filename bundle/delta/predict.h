// SPDX-License-Identifier: Apache-2.0
//
// Predicting addresses. When a program is built again, most of what differs are addresses of things
// that moved: in calls, jumps and loads, in tables of pointers. Where things moved to is known from
// the copies of a frame themselves, so both sides work out what an address will have become, and
// only what is otherwise is stored. FORMAT.md §8.3 has the rules to the byte.
//
// A copy takes `bytes` bytes from address `old` of the old stream to position `at` of the frame's
// output; its *shift* is at - old. An address belongs to the longest copy that covers it, of copies
// as long to the first; the shift of an address is that of its copy, or where none covers it that
// of the nearest covered address below, or, below all, of the lowest. Copies shorter than
// DELTA_PREDICT_COPY_BYTES play no part. An address is *near* when it is not below the lowest
// covered one and at most DELTA_PREDICT_BEYOND_BYTES behind the highest.
//
// A predictor looks for fields that hold addresses in the old bytes of one piece: the bytes of one
// copy within one block of the output, so that each piece can be done by itself. Nothing here
// trusts what it reads: any bytes give some prediction, the same on all machines.
//
// Pure: no I/O, no globals; a map may be used by several threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DELTA_PREDICT_BLOCK_BYTES  4096
#define DELTA_PREDICT_COPY_BYTES   16
#define DELTA_PREDICT_BEYOND_BYTES (1 << 20)
#define DELTA_PREDICT_COPIES_MAX   65536
#define DELTA_PREDICT_COPY_COST    64 // bytes of memory that a map takes for each copy, at most
#define DELTA_PREDICT_BEFORE_BYTES 2  // that a predictor looks at in front of a piece

// Numbers of predictors in frames. `origin` is the old address that a field's value or its
// alignment counts from.
enum delta_predictor {
    DELTA_PREDICT_NONE,
    // x86 code: four bytes behind E8 or E9, behind 0F 80 to 0F 8F, or behind a byte that is 05
    // modulo 0x38 (ModRM of [rip + disp32]), signed, relative to the byte behind them.
    DELTA_PREDICT_X86,
    DELTA_PREDICT_SELF32, // each four bytes, signed, relative to where they stand
    DELTA_PREDICT_FROM32, // each four bytes, signed, relative to the origin
    DELTA_PREDICT_FROM64, // each eight bytes, relative to the origin
    DELTA_PREDICT_ARM64,  // A64 code: B and BL
    DELTA_PREDICTORS
};

struct delta_copy {
    uint64_t old, at, bytes;
};

struct delta_region {
    enum delta_predictor predictor;
    uint64_t origin;
};

struct delta_predict; // the map of shifts

// Copies in any order; those that are too short are passed over. Addresses, positions and lengths
// are below 2^62. The array stays the caller's. Kinds: memory, limit (above
// DELTA_PREDICT_COPIES_MAX that count).
int delta_predict_open(const struct delta_copy *copies, size_t n, struct delta_predict **ret,
                       struct err *e) __attribute__((nonnull(3, 4)));
void delta_predict_close(struct delta_predict *map);

// Turns the old bytes of a piece into what they are predicted to become. data holds the
// DELTA_PREDICT_BEFORE_BYTES bytes of the old stream before address `old` (zero where there are
// none) and then the piece's len bytes, which are changed; `at` is where the piece goes.
void delta_predict_run(const struct delta_predict *map, const struct delta_region *region,
                       uint64_t old, uint64_t at, uint8_t *data, size_t len)
    __attribute__((nonnull));
