// SPDX-License-Identifier: Apache-2.0
//
// Scores as lines of text: exactly what was written comes back, and nothing else is taken.
#include "ctl/rollout/score_state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/evidence/state.h"

static struct rollout_gates gates(void) {
    struct rollout_gates g = {.n = 4, .window_s = 21600, .grace_s = 3600};
    g.gate[0].kind = ROLLOUT_GATE_INSTALL;
    g.gate[1].kind = ROLLOUT_GATE_LOST;
    g.gate[2].kind = ROLLOUT_GATE_COUNTER;
    g.gate[3].kind = ROLLOUT_GATE_METRIC;
    return g;
}

static struct rollout_score_device device(void) {
    struct rollout_score_device d = {.run = 3,
                                     .arm = ROLLOUT_ARM_TREATED,
                                     .counted = true,
                                     .stratum = 255,
                                     .stage = 2,
                                     .rank = UINT64_MAX,
                                     .number = 17,
                                     .outcome = ROLLOUT_OUTCOME_BAD,
                                     .heard_s = 1763900000,
                                     .epoch = 9,
                                     .first_s = 1763890000,
                                     .entered = true,
                                     .at_risk = 6,
                                     .had = 2,
                                     .base_s = 1763880000,
                                     .set_no = 4,
                                     .due_s = 1763990000,
                                     .site = UINT64_MAX,
                                     .sited = true,
                                     .trial = ROLLOUT_TRIAL_FAILED};
    d.history[2].has_last = true;
    d.history[2].last_nano = -999999999000000000;
    for (int64_t slot = 980000; slot < 980014; slot++)
        d.history[3].slots[slot % ROLLOUT_SCORE_SLOTS] = (struct rollout_score_slot){
            .slot = slot, .sum = {.n = 3, .whole = -5 * slot, .nano = 123456789}};
    d.history[3].before = (struct rollout_score_mean){.n = 8, .whole = -1, .nano = -7};
    d.history[3].has_guard = true;
    d.history[3].guard_nano = 999999999999999999;
    d.history[3].has_mark = true;
    d.history[3].mark[0] = 4;
    d.history[3].mark[2] = 2;
    return d;
}

static const char *device_line(const struct rollout_score_device *d, struct buf *ret) {
    struct rollout_gates g = gates();
    struct err e = ERR_NONE;
    buf_init(ret, ROLLOUT_SCORE_LINE_MAX_BYTES);
    cr_assert_eq(rollout_score_state_format_device(d, &g, ret, &e), 0, "%s", e.text);
    return buf_text(ret);
}

Test(rollout_score_state, a_device_comes_back_as_it_was) {
    struct rollout_gates g = gates();
    struct rollout_score_device d = device(), back = {.run = 1};
    struct err e = ERR_NONE;
    OWN(buf) struct buf line, again;
    device_line(&d, &line);
    cr_assert_eq(rollout_score_state_parse_device(buf_text(&line), &g, &back, &e), 0, "%s", e.text);
    cr_assert_str_eq(device_line(&back, &again), buf_text(&line));
    cr_assert_eq(back.rank, UINT64_MAX);
    cr_assert_eq(back.outcome, ROLLOUT_OUTCOME_BAD);
    cr_assert_eq(back.trial, ROLLOUT_TRIAL_FAILED);
    cr_assert_eq(memcmp(back.history, d.history, sizeof d.history), 0);
}

Test(rollout_score_state, a_score_comes_back_from_its_lines) {
    struct rollout_gates g = gates();
    static struct rollout_score score, back;
    struct err e = ERR_NONE;
    score = (struct rollout_score){.run = 2,
                                   .epoch = 5,
                                   .first_number = 3,
                                   .next_number = 20,
                                   .prefix = 9,
                                   .known_failed = 2,
                                   .known_resolved = 11,
                                   .first_set = 1,
                                   .next_set = 4,
                                   .sets_scored = 1,
                                   .sets_void = 1,
                                   .drift_worse = 3,
                                   .drift_better = 2,
                                   .next_trial = 3,
                                   .n_strata = 2};
    score.guard[3] = (struct rollout_score_mean){.n = 2, .whole = -4, .nano = 5};
    score.risk[1][0] = (struct evidence_risk){.comparison = 40, .treated = 10};
    score.risk[2][1] = (struct evidence_risk){.comparison = 4, .treated = 1};
    evidence_install_add(&score.gate[0].install, 1);
    score.sites.epoch = 5;
    struct evidence_risk risk = score.risk[1][0];
    evidence_events_add(&score.gate[1].events, &risk, 0, 2);
    OWN(buf) struct buf shared;
    buf_init(&shared, ROLLOUT_SCORE_LINE_MAX_BYTES);
    cr_assert_eq(rollout_score_state_format_shared(&score, &g, &shared, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_score_state_parse_shared(buf_text(&shared), &g, &back, &e), 0, "%s",
                 e.text);
    for (size_t i = 0; i < 4; i++) {
        OWN(buf) struct buf line;
        buf_init(&line, EVIDENCE_STATE_MAX_BYTES);
        cr_assert_eq(rollout_score_state_format_gate(&score, &g, i, &line, &e), 0);
        cr_assert_eq(rollout_score_state_parse_gate(buf_text(&line), &g, i, &back, &e), 0, "%s",
                     e.text);
    }
    cr_assert_eq(memcmp(&score, &back, sizeof score), 0);
}

// ── Sites ──

static void put_sites(const struct rollout_score *score, struct rollout_score *io) {
    struct err e = ERR_NONE;
    for (size_t b = 0; b < ROLLOUT_SCORE_SITE_BLOCKS; b++) {
        OWN(buf) struct buf line;
        buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
        cr_assert_eq(rollout_score_state_format_sites(score, b, &line, &e), 0, "%s", e.text);
        cr_assert_eq(rollout_score_state_parse_sites(buf_text(&line), io, &e), 0, "%s", e.text);
    }
}

Test(rollout_score_state, sites_come_back_and_those_of_an_epoch_before_do_not) {
    static struct rollout_score score, before, back;
    struct rollout_gates g = gates();
    struct err e = ERR_NONE;
    OWN(buf) struct buf shared;
    before.run = score.run = 1;
    before.epoch = 4;
    score.epoch = 5;
    rollout_score_sites_open(4, &before.sites);
    rollout_score_sites_open(5, &score.sites);
    (void)rollout_score_sites_enter(&before.sites, 1, 17, false, 1763900000);
    for (uint64_t i = 1; i <= ROLLOUT_SCORE_SITES; i++)
        (void)rollout_score_sites_enter(&score.sites, 255, UINT64_MAX - i, i % 3 == 0, 1763900000);
    put_sites(&before, &back);
    cr_expect_eq(back.sites.n, 1);
    put_sites(&score, &back);
    put_sites(&before, &back); // whichever is read first
    cr_expect_eq(memcmp(&score.sites, &back.sites, sizeof score.sites), 0);
    buf_init(&shared, ROLLOUT_SCORE_LINE_MAX_BYTES);
    cr_assert_eq(rollout_score_state_format_shared(&score, &g, &shared, &e), 0);
    cr_assert_eq(rollout_score_state_parse_shared(buf_text(&shared), &g, &back, &e), 0);
    cr_expect_eq(back.sites.n, ROLLOUT_SCORE_SITES);
    before.sites.epoch = back.sites.epoch = 4;
    cr_assert_eq(rollout_score_state_parse_shared(buf_text(&shared), &g, &back, &e), 0);
    cr_expect(back.sites.n == 0 && back.sites.epoch == 5, "they were of another one");
}

Test(rollout_score_state, damaged_sites_are_refused) {
    static struct rollout_score score;
    struct err e = ERR_NONE;
    static const char *const wrong[] = {"",
                                        "sites 1",
                                        "sites 2 1",
                                        "sites 1 1 0",
                                        "sites 1 1 0 0 0 1 1 1 5",
                                        "sites 1 1 4096 7 0 1 1 1 5",
                                        "sites 1 1 0 7 512 1 1 1 5",
                                        "sites 1 1 0 7 0 1 1 1 5 0 8 0 1 1 1 5",
                                        "sites 1 1 0 7 0 1 1 1 5 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_lt(rollout_score_state_parse_sites(wrong[i], &score, &e), 0, "%s", wrong[i]);
    cr_expect_eq(score.sites.n, 0);
    cr_expect_eq(rollout_score_state_parse_sites("sites 1 1 0 7 0 1 1 1 5", &score, &e), 0);
    cr_expect_eq(score.sites.n, 1);
}

Test(rollout_score_state, a_device_of_before_sites_is_read_as_one_of_none) {
    struct rollout_gates g = {.n = 0};
    struct rollout_score_device d;
    struct err e = ERR_NONE;
    cr_assert_eq(
        rollout_score_state_parse_device(
            "device 1 1 1 1 0 3 2 77 0 0 4 1 0 0 0 0 1763900000 1763900000 0 0", &g, &d, &e),
        0, "%s", e.text);
    cr_expect(d.rank == 77 && d.site == 0 && !d.sited);
}

Test(rollout_score_state, progress_comes_back_as_it_was) {
    struct rollout_progress p = {.batch = {.number = 7,
                                           .size = 40,
                                           .share = ROLLOUT_BATCH_WHOLE,
                                           .expected = 12,
                                           .opened_s = 1763900000,
                                           .offered_before = 30,
                                           .bad_before = 1,
                                           .held_back_open = true},
                                 .spend = {.runs = 2, .alpha_ppm = 25000, .total_ppm = 50000},
                                 .stopped = true,
                                 .doubt = true,
                                 .waived = 3,
                                 .without = 0x8000,
                                 .reached_s = 1763900001,
                                 .going_s = 1763900002,
                                 .paused_s = 1763900003,
                                 .resumed_s = 1763900004};
    struct rollout_progress back = {.attempt = 5};
    struct err e = ERR_NONE;
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    cr_assert_eq(rollout_score_state_format_progress(&p, &line, &e), 0);
    cr_assert_eq(rollout_score_state_parse_progress(buf_text(&line), &back, &e), 0, "%s", e.text);
    cr_assert_eq(back.attempt, 5); // not of this line
    cr_assert_eq(memcmp(&back.batch, &p.batch, sizeof p.batch), 0);
    cr_assert_eq(memcmp(&back.spend, &p.spend, sizeof p.spend), 0);
    cr_assert(back.stopped && back.doubt && !back.silent);
    cr_assert_eq(back.waived, 3);
    cr_assert_eq(back.without, 0x8000);
    cr_assert_eq(back.reached_s, 1763900001);
    cr_assert_eq(back.going_s, 1763900002);
    cr_assert_eq(back.paused_s, 1763900003);
    cr_assert_eq(back.resumed_s, 1763900004);
}

Test(rollout_score_state, progress_of_the_program_before_has_never_stood_still) {
    struct rollout_progress back = {.going_s = 7, .paused_s = 7, .resumed_s = 7};
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_score_state_parse_progress("progress 1 7 40 1 12 30 1 0 2 25000 50000 0 0 "
                                                    "0 3 0 1763900000 1763900001",
                                                    &back, &e),
                 0, "%s", e.text);
    cr_assert_eq(back.reached_s, 1763900001);
    cr_assert_eq(back.going_s, 0);
    cr_assert(back.paused_s == 0 && back.resumed_s == 0);
}

// Every single byte changed, left out or doubled: what is still a line is another device's.
Test(rollout_score_state, what_is_not_exactly_a_line_is_refused_or_another_one) {
    struct rollout_gates g = gates();
    struct rollout_score_device d = device();
    static struct rollout_score_device back;
    OWN(buf) struct buf line;
    char text[4096];
    const char *good = device_line(&d, &line);
    size_t n = strlen(good), refused = 0;
    cr_assert_lt(n + 2, sizeof text);
    for (size_t i = 0; i < 3 * n; i++) {
        struct err e = ERR_NONE;
        size_t at = i / 3;
        if (i % 3 == 0)
            (void)snprintf(text, sizeof text, "%.*sx%s", (int)at, good, good + at + 1);
        else if (i % 3 == 1)
            (void)snprintf(text, sizeof text, "%.*s%s", (int)at, good, good + at + 1);
        else
            (void)snprintf(text, sizeof text, "%.*s%c%s", (int)at, good, good[at], good + at);
        int done = rollout_score_state_parse_device(text, &g, &back, &e);
        refused += done < 0;
        if (done == 0) {
            OWN(buf) struct buf again;
            cr_assert_str_eq(device_line(&back, &again), text, "taken otherwise: %s", text);
        }
    }
    cr_assert_gt(refused, n);
}

static const struct err_kind *refusal(const char *text) {
    struct rollout_gates g = gates();
    static struct rollout_score back;
    struct err e = ERR_NONE;
    back.epoch = 77;
    cr_assert_lt(rollout_score_state_parse_shared(text, &g, &back, &e), 0, "taken: %s", text);
    cr_assert_eq(back.epoch, 77, "touched by: %s", text);
    return e.kind;
}

Test(rollout_score_state, numbers_that_contradict_one_another_are_refused) {
    static const char *const lines[] = {
        "score 1 1 1 5 4 4 0 0 1 1 0 0 0 0 0 0 0 0",      // next below first
        "score 1 1 1 1 4 5 0 0 1 1 0 0 0 0 0 0 0 0",      // prefix beyond next
        "score 1 1 1 1 4 1 2 1 1 1 0 0 0 0 0 0 0 0",      // more failed than resolved
        "score 1 1 1 1 4 1 2 4 1 1 0 0 0 0 0 0 0 0",      // more resolved than offered
        "score 1 1 1 1 4 1 0 0 2 1 0 0 0 0 0 0 0 0",      // sets
        "score 1 1 1 1 4 1 0 0 1 1 0 0 0 0 257 0 0 0",    // strata
        "score 1 1 1 1 4 1 0 0 1 1 0 0 0 0 0 0 0 0 ",     // something follows
        "score 1 1 1 1 4 1 0 0 1 1 0 0 0 0 0 0 0 -0",     // not the only form
        "score 1 01 1 1 4 1 0 0 1 1 0 0 0 0 0 0 0 0",     //
        "score 1 18446744073709551616 1 1 4 1 0 0 1 1 0", // beyond 64 bits
        "score 0 1",
        "score",
        "scores 1",
        "device 1 1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(refusal(lines[i]), &err_syntax, "%s", lines[i]);
    cr_assert_eq(refusal("score 3 1 1"), &err_newer_format);
    struct rollout_gates g = gates();
    static struct rollout_score back;
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_score_state_parse_shared("score 1 1 1 1 4 1 0 0 1 1 0 0 0 0 0 0 0 0", &g,
                                                  &back, &e),
                 0, "%s", e.text);
}

Test(rollout_score_state, who_waits_over_an_opening_comes_back) {
    static struct rollout_score score, back;
    struct rollout_gates g = {.n = 1, .gate = {{.kind = ROLLOUT_GATE_LOST}}};
    struct err e = ERR_NONE;
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    score.run = 1;
    score.epoch = score.sites.epoch = 9;
    score.first_epoch = 4;
    score.lost_gate = 1;
    score.n_strata = 2;
    score.late[0] = (struct evidence_risk){.comparison = 5, .treated = 3};
    score.late[1] = (struct evidence_risk){.comparison = 7};
    cr_assert_eq(rollout_score_state_format_shared(&score, &g, &line, &e), 0);
    cr_assert_eq(rollout_score_state_parse_shared(buf_text(&line), &g, &back, &e), 0, "%s", e.text);
    cr_assert_eq(memcmp(&score, &back, sizeof score), 0);
    // Of the program before: nobody waits.
    cr_assert_eq(
        rollout_score_state_parse_shared("score 1 1 9 0 0 0 0 0 0 0 0 0 0 0 1 4 2", &g, &back, &e),
        0, "%s", e.text);
    cr_assert(back.first_epoch == 9 && back.lost_gate == 0 && back.late[0].comparison == 0);
    cr_assert_eq(back.risk[0][0].comparison, 4);
}
