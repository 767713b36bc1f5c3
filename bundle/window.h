// SPDX-License-Identifier: Apache-2.0
//
// Maintenance windows: spans of the device's own day, in which it may download or install. People
// write them into a device's configuration and into the policy of a rollout, whose instruction
// brings them to the device; both sides judge by this. In JSON a window is
//
//   {"days":["sat","sun"],"end":"06:00","start":"22:00"}
//
// Minutes are those that the device's clock on the wall shows, in its own time zone: what a change
// to summer time leaves out does not open that day, and what it repeats opens twice. An end that is
// not later than the start lies on the next day; `days` (absent: all) are those it begins on. Pure:
// the local time is an argument.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/doc.h"

#define BUNDLE_WINDOW_DAY_MIN   1440
#define BUNDLE_WINDOW_WEEK_MIN  (7 * BUNDLE_WINDOW_DAY_MIN)
#define BUNDLE_WINDOW_EVERY_DAY 0x7f
#define BUNDLE_WINDOWS_MAX      8 // of a rollout, for either purpose

struct bundle_window {
    uint16_t start_min; // of the day, 0 to 1439
    uint16_t end_min;
    uint8_t days; // bit 0 Sunday … bit 6 Saturday
};

// Open when any of them is; none: always.
struct bundle_window_list {
    size_t n;
    struct bundle_window list[BUNDLE_WINDOWS_MAX];
};

struct bundle_windows {
    struct bundle_window_list download; // when contents may be fetched
    struct bundle_window_list install;  // when they may be activated
};

extern const char *const bundle_window_days[7]; // "sun", …

// Minutes until one opens, 0 when one is open. weekday 0..6 (Sunday first), minute 0..1439. Of a list
// whose windows begin on no day a week.
unsigned bundle_window_wait_min(const struct bundle_window_list *windows, unsigned weekday,
                                unsigned minute) __attribute__((nonnull));

// "HH:MM", exactly, at the beginning of text: the minute of the day, or -1.
int bundle_window_minute(const char *text) __attribute__((nonnull));
// Reads start, end and days of an object; other members are the caller's. Kinds: syntax, limit.
int bundle_window_read(const struct doc_at *at, struct bundle_window *ret, struct err *e)
    __attribute__((nonnull));
// Reads the optional member "windows": {"download":[WINDOW,…],"install":[…]}, either may be absent.
// On failure *ret may be half filled: it is a caller's scratch. Kinds: syntax, limit.
int bundle_window_all_read(const struct doc_at *root, struct bundle_windows *ret, struct err *e)
    __attribute__((nonnull));
// Whether there are any.
bool bundle_window_any(const struct bundle_windows *windows) __attribute__((nonnull));
// One window as an object, `days` only when they are not all; NULL when memory ran out.
json_t *bundle_window_format(const struct bundle_window *window) __attribute__((nonnull));
// What "windows" is; NULL when memory ran out.
json_t *bundle_window_all_format(const struct bundle_windows *windows) __attribute__((nonnull));
