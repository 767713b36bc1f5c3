// SPDX-License-Identifier: Apache-2.0
//
// Bars and lines on standard error; see term.h.
#include "ctl/term.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/num.h"

#define BAR_CELLS     24
#define WIDTH_DEFAULT 80

bool ctl_term_is_live(int fd) {
    const char *term = getenv("TERM");
    return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

unsigned ctl_term_width(int fd) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    return size.ws_col;
}

char *ctl_term_bar(uint64_t done, uint64_t total, unsigned cells,
                   char ret[static CTL_TERM_BAR_BYTES]) {
    static const char *const parts[] = {"░", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    unsigned wide = cells < CTL_TERM_BAR_MAX ? cells : CTL_TERM_BAR_MAX;
    uint64_t eighths = 0;
    if (total > 0)
        eighths = done >= total ? 8ULL * wide
                                : (uint64_t)((double)done / (double)total * 8.0 * (double)wide);
    size_t used = 0;
    for (unsigned i = 0; i < wide; i++) {
        uint64_t part = eighths > 8ULL * i ? eighths - 8ULL * i : 0;
        int n = snprintf(ret + used, CTL_TERM_BAR_BYTES - used, "%s", parts[part < 8 ? part : 8]);
        used += n > 0 ? (size_t)n : 0;
    }
    ret[used] = '\0';
    return ret;
}

void ctl_term_progress_init(struct ctl_term_progress *p, const struct chrono *clock) {
    *p = (struct ctl_term_progress){
        .clock = clock, .began_ms = chrono_boot_ms(clock), .live = ctl_term_is_live(STDERR_FILENO)};
    p->shown_ms = p->began_ms;
}

static void show(const struct ctl_term_progress *p, const char *step, uint64_t done,
                 uint64_t total) {
    char bar[CTL_TERM_BAR_BYTES], done_text[NUM_SIZE_TEXT], total_text[NUM_SIZE_TEXT];
    num_format_size(done, done_text);
    num_format_size(total, total_text);
    unsigned pct = total ? (unsigned)((double)done / (double)total * 100.0) : 0;
    if (p->live && total > 0)
        (void)fprintf(stderr, "\r\033[K%-12s %s %3u %%  %s of %s", step,
                      ctl_term_bar(done, total, BAR_CELLS, bar), pct, done_text, total_text);
    else if (p->live)
        (void)fprintf(stderr, "\r\033[K%-12s %s", step, done_text);
    else if (total > 0)
        (void)fprintf(stderr, "%s: %u %% (%s of %s)\n", step, pct, done_text, total_text);
    else
        (void)fprintf(stderr, "%s: %s\n", step, done_text);
    (void)fflush(stderr);
}

void ctl_term_progress_update(struct ctl_term_progress *p, const char *step, uint64_t done,
                              uint64_t total) {
    int64_t now = chrono_boot_ms(p->clock);
    if (now - p->began_ms < CTL_TERM_FIRST_MS ||
        now - p->shown_ms < (p->live ? CTL_TERM_FRAME_MS : CTL_TERM_LINE_MS))
        return;
    p->shown_ms = now;
    p->shown = true;
    show(p, step, done, total);
}

void ctl_term_progress_end(struct ctl_term_progress *p) {
    if (p->live && p->shown)
        (void)fputs("\r\033[K", stderr);
    p->shown = false;
}

void ctl_term_pause(unsigned ms) {
    (void)poll(NULL, 0, (int)ms);
}
