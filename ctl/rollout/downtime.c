// SPDX-License-Identifier: Apache-2.0
//
// Time that was listened.
#include "ctl/rollout/downtime.h"

#include <stdbool.h>
#include <string.h>

#define VERSION 1

// The two oldest become one, as long as both: what lies between them counts as before.
static void make_room(struct rollout_downtime *io) {
    if (io->n < ROLLOUT_DOWNTIME_GAPS)
        return;
    struct rollout_downtime_gap *old =
        io->gap[0].from_s > 0 ? io->gap : io->gap + 1; // not the past
    old[1].from_s -= old->to_s - old->from_s;
    io->n--;
    memmove(old, old + 1, (size_t)(io->gap + io->n - old) * sizeof *old);
}

static void add(struct rollout_downtime *io, int64_t from_s, int64_t to_s) {
    if (from_s >= to_s)
        return;
    if (io->n > 0 && from_s <= io->gap[io->n - 1].to_s) {
        io->gap[io->n - 1].to_s = to_s;
        return;
    }
    make_room(io);
    io->gap[io->n++] = (struct rollout_downtime_gap){from_s, to_s};
}

// A clock that was set back: what lies in the future now is no past.
static void forget_future(struct rollout_downtime *io, int64_t now_s) {
    while (io->n > 0 && io->gap[io->n - 1].from_s >= now_s)
        io->n--;
    if (io->n > 0 && io->gap[io->n - 1].to_s > now_s)
        io->gap[io->n - 1].to_s = now_s;
}

void rollout_downtime_start(struct rollout_downtime *io, int64_t now_s) {
    forget_future(io, now_s);
    add(io, io->last_s, now_s);
    io->last_s = now_s;
}

void rollout_downtime_jump(struct rollout_downtime *io, int64_t now_s, int64_t jump_s) {
    forget_future(io, now_s);
    if (jump_s > 0)
        add(io, now_s - jump_s, now_s);
    io->last_s = now_s;
}

bool rollout_downtime_tick(struct rollout_downtime *io, int64_t now_s) {
    bool slept = now_s - io->last_s > ROLLOUT_DOWNTIME_SLEPT_S;
    if (slept)
        add(io, io->last_s, now_s);
    io->last_s = now_s;
    return slept;
}

int64_t rollout_downtime_before_s(const struct rollout_downtime *down, int64_t now_s,
                                  uint64_t timeout_s) {
    int64_t left_s = (int64_t)timeout_s, end_s = now_s;
    for (size_t i = down->n; i-- > 0;) {
        int64_t listened_s = end_s - down->gap[i].to_s;
        if (left_s <= listened_s)
            break;
        left_s -= listened_s;
        end_s = down->gap[i].from_s;
    }
    return end_s - left_s;
}

int64_t rollout_downtime_listened_s(const struct rollout_downtime *down, int64_t since_s,
                                    int64_t now_s) {
    int64_t listened_s = now_s - since_s;
    for (size_t i = down->n; i-- > 0 && down->gap[i].to_s > since_s;) {
        int64_t from_s = down->gap[i].from_s > since_s ? down->gap[i].from_s : since_s;
        listened_s -= down->gap[i].to_s - from_s;
    }
    return listened_s;
}

// ── As it is kept ──

static uint8_t *put(uint8_t *at, uint64_t number) {
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(number >> shift);
    return at;
}

static uint64_t take(const uint8_t **at) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | *(*at)++;
    return number;
}

void rollout_downtime_format(const struct rollout_downtime *down,
                             uint8_t ret[static ROLLOUT_DOWNTIME_BYTES]) {
    memset(ret, 0, ROLLOUT_DOWNTIME_BYTES);
    uint8_t *at = put(put(put(ret, VERSION), (uint64_t)down->last_s), down->n);
    for (size_t i = 0; i < down->n; i++)
        at = put(put(at, (uint64_t)down->gap[i].from_s), (uint64_t)down->gap[i].to_s);
}

static bool is_sound(const struct rollout_downtime *down) {
    int64_t at_s = INT64_MIN;
    for (size_t i = 0; i < down->n; i++) {
        if (down->gap[i].from_s < at_s || down->gap[i].to_s <= down->gap[i].from_s)
            return false;
        at_s = down->gap[i].to_s;
    }
    return down->last_s >= 0 && at_s <= INT64_MAX / 2;
}

void rollout_downtime_parse(const uint8_t bytes[static ROLLOUT_DOWNTIME_BYTES],
                            struct rollout_downtime *ret) {
    struct rollout_downtime read = {.last_s = 0};
    const uint8_t *at = bytes;
    *ret = read;
    if (take(&at) != VERSION)
        return;
    read.last_s = (int64_t)take(&at);
    read.n = take(&at);
    if (read.n > ROLLOUT_DOWNTIME_GAPS)
        return;
    for (size_t i = 0; i < read.n; i++) {
        read.gap[i].from_s = (int64_t)take(&at);
        read.gap[i].to_s = (int64_t)take(&at);
    }
    if (is_sound(&read))
        *ret = read;
}
