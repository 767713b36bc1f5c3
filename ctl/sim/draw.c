// SPDX-License-Identifier: Apache-2.0
//
// Pictures of one run. Coordinates are integers: the same run gives the same bytes.
#include "ctl/sim/draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/rollout/evidence/num.h"

#define WIDTH  960
#define LEFT   64
#define RIGHT  16
#define TOP    48
#define PANEL  260
#define GAP    56
#define POINTS 900 // of a line, at most
#define ROWS   8   // of the terminal's picture
#define LABEL  14  // columns beside it

struct scale {
    int64_t last_s;    // right end
    uint64_t devices;  // top
    int64_t low, high; // of evidence
};

static int64_t x_of(const struct scale *s, int64_t at_s) {
    return LEFT + at_s * (WIDTH - LEFT - RIGHT) / s->last_s;
}

static int64_t y_of(const struct scale *s, uint64_t devices) {
    return TOP + PANEL - (int64_t)(devices * PANEL / s->devices);
}

static int64_t evidence_y(const struct scale *s, int64_t log) {
    int64_t in = log < s->low ? s->low : log > s->high ? s->high : log;
    __int128 part = (__int128)(s->high - in) * PANEL;
    return TOP + PANEL + GAP + (int64_t)(part / (s->high - s->low));
}

static struct scale find_scale(const struct sim_run_result *r) {
    struct scale s = {
        .last_s = 1, .devices = 1, .low = -2 * EVIDENCE_NAT, .high = 5 * EVIDENCE_NAT};
    for (size_t i = 0; i < r->n_samples; i++) {
        const struct sim_run_sample *at = &r->samples[i];
        s.last_s = at->at_s > s.last_s ? at->at_s : s.last_s;
        s.devices = at->offered > s.devices ? at->offered : s.devices;
        s.low = at->evidence < s.low ? at->evidence : s.low;
        s.high = at->evidence > s.high ? at->evidence : s.high;
    }
    s.high = r->level > s.high ? r->level : s.high;
    s.low = s.low < -10 * EVIDENCE_NAT ? -10 * EVIDENCE_NAT : s.low;
    s.high += EVIDENCE_NAT / 2;
    return s;
}

// "3d 04:30", "12:30"
static void say_time(int64_t at_s, char *ret, size_t ret_bytes) {
    int64_t days = at_s / 86400, hours = at_s / 3600 % 24, minutes = at_s / 60 % 60;
    if (days > 0)
        (void)snprintf(ret, ret_bytes, "%" PRId64 "d %02" PRId64 ":%02" PRId64, days, hours,
                       minutes);
    else
        (void)snprintf(ret, ret_bytes, "%02" PRId64 ":%02" PRId64, hours, minutes);
}

// ── SVG ──

static int add_escaped(struct buf *ret, const char *text, struct err *e) {
    for (; *text != '\0'; text++) {
        const char one[] = {*text, '\0'};
        const char *as = *text == '&'   ? "&amp;"
                         : *text == '<' ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '"' ? "&quot;"
                                        : one;
        if (buf_add_text(ret, as, e) < 0)
            return -1;
    }
    return 0;
}

enum line { OFFERED, COMMITTED, BAD, EVIDENCE };

static int64_t line_y(const struct scale *s, const struct sim_run_sample *at, enum line line) {
    switch (line) {
    case OFFERED:
        return y_of(s, at->offered);
    case COMMITTED:
        return y_of(s, at->committed);
    case BAD:
        return y_of(s, at->bad);
    case EVIDENCE:
        break;
    }
    return evidence_y(s, at->evidence);
}

static int add_line(const struct sim_run_result *r, const struct scale *s, enum line line,
                    const char *colour, struct buf *ret, struct err *e) {
    size_t every = r->n_samples / POINTS + 1;
    if (buf_add_format(ret, e, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
                       colour) < 0)
        return -1;
    for (size_t i = 0; i < r->n_samples; i++)
        if ((i % every == 0 || i + 1 == r->n_samples) &&
            buf_add_format(ret, e, "%" PRId64 ",%" PRId64 " ", x_of(s, r->samples[i].at_s),
                           line_y(s, &r->samples[i], line)) < 0)
            return -1;
    return buf_add_text(ret, "\"/>\n", e);
}

// A band for each stage, with its name.
static int add_stages(const struct sim_world *world, const struct sim_run_result *r,
                      const struct scale *s, struct buf *ret, struct err *e) {
    const struct rollout_policy *policy = world->policy;
    size_t first = 0;
    for (size_t i = 1; i <= r->n_samples; i++) {
        if (i < r->n_samples && r->samples[i].stage == r->samples[first].stage)
            continue;
        uint64_t stage = r->samples[first].stage;
        int64_t from = x_of(s, r->samples[first].at_s);
        int64_t to = x_of(s, r->samples[i < r->n_samples ? i : i - 1].at_s);
        if (buf_add_format(ret, e,
                           "<rect x=\"%" PRId64 "\" y=\"%d\" width=\"%" PRId64
                           "\" height=\"%d\" fill=\"%s\"/>\n<text x=\"%" PRId64
                           "\" y=\"%d\" font-size=\"12\">%s</text>\n",
                           from, TOP, to - from, PANEL, stage % 2 == 0 ? "#f2f4f7" : "#e4e8ee",
                           from + 4, TOP - 6,
                           stage < policy->n_stages ? policy->stages[stage].name : "") < 0)
            return -1;
        first = i;
    }
    return 0;
}

static int add_axes(const struct scale *s, struct buf *ret, struct err *e) {
    char text[32];
    for (int i = 0; i <= 4; i++) {
        uint64_t devices = s->devices * (uint64_t)i / 4;
        int64_t at_s = s->last_s * i / 4;
        say_time(at_s, text, sizeof text);
        if (buf_add_format(ret, e,
                           "<text x=\"%d\" y=\"%" PRId64
                           "\" font-size=\"11\" text-anchor=\"end\">%" PRIu64 "</text>\n"
                           "<text x=\"%" PRId64
                           "\" y=\"%d\" font-size=\"11\" text-anchor=\"middle\">%s</text>\n",
                           LEFT - 6, y_of(s, devices) + 4, devices, x_of(s, at_s), TOP + PANEL + 18,
                           text) < 0)
            return -1;
    }
    return 0;
}

static int add_evidence(const struct sim_run_result *r, const struct scale *s, struct buf *ret,
                        struct err *e) {
    int64_t level = evidence_y(s, r->level), one = evidence_y(s, 0);
    if (r->level == 0)
        return 0;
    if (buf_add_format(
            ret, e,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%" PRId64 "\" y2=\"%" PRId64
            "\" stroke=\"#c0392b\" stroke-dasharray=\"6 4\"/>\n"
            "<text x=\"%d\" y=\"%" PRId64 "\" font-size=\"11\" fill=\"#c0392b\">stops here</text>\n"
            "<line x1=\"%d\" x2=\"%d\" y1=\"%" PRId64 "\" y2=\"%" PRId64 "\" stroke=\"#bbb\"/>\n"
            "<text x=\"%d\" y=\"%" PRId64 "\" font-size=\"11\" text-anchor=\"end\">1 : 1</text>\n",
            LEFT, WIDTH - RIGHT, level, level, LEFT + 4, level - 4, LEFT, WIDTH - RIGHT, one, one,
            LEFT - 6, one + 4) < 0)
        return -1;
    return add_line(r, s, EVIDENCE, "#8e44ad", ret, e);
}

int sim_draw_svg(const struct sim_world *world, const struct sim_run_result *r, struct buf *ret,
                 struct err *e) {
    struct scale s = find_scale(r);
    int height = TOP + PANEL + (r->level == 0 ? 60 : GAP + PANEL + 40);
    if (buf_add_format(ret, e,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                       "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
                       "<text x=\"%d\" y=\"20\" font-size=\"15\">%s, %s: %s</text>\n",
                       WIDTH, height, WIDTH, height, LEFT, world->fleet->name, world->policy->name,
                       sim_run_end_names[r->end]) < 0 ||
        add_stages(world, r, &s, ret, e) < 0 || add_axes(&s, ret, e) < 0 ||
        add_line(r, &s, OFFERED, "#2c6fbb", ret, e) < 0 ||
        add_line(r, &s, COMMITTED, "#27ae60", ret, e) < 0 ||
        add_line(r, &s, BAD, "#c0392b", ret, e) < 0 || add_evidence(r, &s, ret, e) < 0)
        return -1;
    if (buf_add_format(ret, e,
                       "<text x=\"%d\" y=\"%d\" font-size=\"12\"><tspan fill=\"#2c6fbb\">offered"
                       "</tspan> <tspan fill=\"#27ae60\">committed</tspan> <tspan fill=\"#c0392b\">"
                       "failed</tspan>%s  ",
                       LEFT, height - 12,
                       r->level == 0 ? "" : " <tspan fill=\"#8e44ad\">evidence</tspan>") < 0 ||
        add_escaped(ret, r->why_text, e) < 0)
        return -1;
    return buf_add_text(ret, "</text>\n</svg>\n", e);
}

// ── Terminal ──

static const struct sim_run_sample *at_column(const struct sim_run_result *r, const struct scale *s,
                                              unsigned column, unsigned columns) {
    int64_t at_s = s->last_s * (int64_t)column / (int64_t)columns;
    size_t low = 0, high = r->n_samples;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (r->samples[middle].at_s <= at_s)
            low = middle;
        else
            high = middle;
    }
    return &r->samples[low];
}

static int text_row(const struct sim_run_result *r, const struct scale *s, unsigned row,
                    unsigned columns, struct buf *ret, struct err *e) {
    static const char *const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t top = s->devices * (ROWS - row) / ROWS;
    if (buf_add_format(ret, e, "%*" PRIu64 " ", LABEL - 1, top) < 0)
        return -1;
    for (unsigned c = 0; c < columns; c++) {
        const struct sim_run_sample *at = at_column(r, s, c, columns);
        uint64_t filled = at->offered * ROWS * 8 / s->devices; // eighths of a row
        uint64_t below = (uint64_t)(ROWS - 1 - row) * 8;
        uint64_t here = filled <= below ? 0 : filled - below > 8 ? 8 : filled - below;
        if (buf_add_text(ret, eighths[here], e) < 0)
            return -1;
    }
    return buf_add_text(ret, "\n", e);
}

// The stages below the picture: the first letters of each, where it begins.
static int text_stages(const struct sim_world *world, const struct sim_run_result *r,
                       const struct scale *s, unsigned columns, struct buf *ret, struct err *e) {
    const struct rollout_policy *policy = world->policy;
    uint64_t stage = UINT64_MAX;
    const char *name = "";
    if (buf_add_format(ret, e, "%*s ", LABEL - 1, "stage") < 0)
        return -1;
    for (unsigned c = 0; c < columns; c++) {
        const struct sim_run_sample *at = at_column(r, s, c, columns);
        if (at->stage != stage) {
            stage = at->stage;
            name = stage < policy->n_stages ? policy->stages[stage].name : "";
            if (buf_add_text(ret, "|", e) < 0)
                return -1;
            continue;
        }
        const char one[] = {*name != '\0' ? *name++ : ' ', '\0'};
        if (buf_add_text(ret, one, e) < 0)
            return -1;
    }
    return buf_add_text(ret, "\n", e);
}

static int text_evidence(const struct sim_run_result *r, const struct scale *s, unsigned columns,
                         struct buf *ret, struct err *e) {
    static const char *const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    if (r->level <= 0)
        return 0;
    if (buf_add_format(ret, e, "%*s ", LABEL - 1, "evidence") < 0)
        return -1;
    for (unsigned c = 0; c < columns; c++) {
        int64_t log = at_column(r, s, c, columns)->evidence;
        int64_t part = log <= 0 ? 0 : log >= r->level ? 8 : log / (r->level / 8);
        if (buf_add_text(ret, eighths[part > 8 ? 8 : part], e) < 0)
            return -1;
    }
    return buf_add_text(ret, "\n", e);
}

int sim_draw_text(const struct sim_world *world, const struct sim_run_result *r, unsigned columns,
                  struct buf *ret, struct err *e) {
    struct scale s = find_scale(r);
    char text[32];
    unsigned cells = (columns < 40 ? 40 : columns) - LABEL;
    if (r->n_samples == 0)
        return 0;
    for (unsigned row = 0; row < ROWS; row++)
        if (text_row(r, &s, row, cells, ret, e) < 0)
            return -1;
    say_time(s.last_s, text, sizeof text);
    if (text_stages(world, r, &s, cells, ret, e) < 0 || text_evidence(r, &s, cells, ret, e) < 0)
        return -1;
    return buf_add_format(ret, e, "%*s 00:00%*s\n", LABEL - 1, "devices", (int)cells - 5, text);
}
