// SPDX-License-Identifier: Apache-2.0
//
// Showing progress on standard error: a bar that redraws itself on a terminal, a plain line now and
// then elsewhere, so that a CI log stays readable. Nothing is shown of what is over in less than
// CTL_TERM_FIRST_MS.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chrono.h"

#define CTL_TERM_FIRST_MS 500   // before that, nothing is shown
#define CTL_TERM_FRAME_MS 100   // between two pictures on a terminal
#define CTL_TERM_LINE_MS  10000 // between two lines elsewhere
#define CTL_TERM_BAR_MAX  64    // cells of a bar

// Whether pictures can be redrawn on this descriptor: a terminal that is not "dumb".
bool ctl_term_is_live(int fd);
// Its columns; 80 when it does not say.
unsigned ctl_term_width(int fd);

// "██████▌░░░░░", `cells` wide (at most CTL_TERM_BAR_MAX), in eighths of a cell. Returns ret.
#define CTL_TERM_BAR_BYTES (3 * CTL_TERM_BAR_MAX + 1)
char *ctl_term_bar(uint64_t done, uint64_t total, unsigned cells,
                   char ret[static CTL_TERM_BAR_BYTES]);

struct ctl_term_progress {
    const struct chrono *clock;
    int64_t began_ms, shown_ms;
    bool live, shown;
};
void ctl_term_progress_init(struct ctl_term_progress *p, const struct chrono *clock)
    __attribute__((nonnull));
// Bytes done of a total (0: not known) in a step ("compressing"). Cheap to call often.
void ctl_term_progress_update(struct ctl_term_progress *p, const char *step, uint64_t done,
                              uint64_t total) __attribute__((nonnull));
// Takes the picture away.
void ctl_term_progress_end(struct ctl_term_progress *p) __attribute__((nonnull));

// Waits; the wall clock is not asked. Returns early when a signal came.
void ctl_term_pause(unsigned ms);
