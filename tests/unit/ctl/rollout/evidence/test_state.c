// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/state.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "base/own.h"
#include "tests/support/dice.h"

static void fill(struct evidence_events *events, struct evidence_rank *rank) {
    struct dice dice = {2};
    struct evidence_risk risk = {.comparison = 500, .treated = 100};
    const struct evidence_rank_design design = {{500000000}, {1000000000}, 0};
    for (uint64_t i = 0; i < 60; i++) {
        struct evidence_rank_value set[5];
        for (int j = 0; j < 5; j++)
            set[j] = (struct evidence_rank_value){(int64_t)(dice_bits(&dice) >> 30) - (1LL << 33),
                                                  dice_chance(&dice, 0.1)};
        evidence_events_add(events, &risk, i % 3, i % 2);
        evidence_rank_add(rank, &design, &set[0], &set[1], 4);
    }
}

Test(evidence_state, what_is_read_is_what_was_written_to_the_last_bit) {
    OWN(buf) struct buf text;
    struct evidence_events events = {.scored = 0}, events_again;
    struct evidence_rank rank = {.sets = 0}, rank_again;
    struct evidence_install install = {1234567, 89}, install_again;
    struct err e = ERR_NONE;
    fill(&events, &rank);
    events.at_most[3] = EVIDENCE_LOG_ZERO;
    events.at_least[4] = EVIDENCE_LOG_MAX;

    buf_init(&text, EVIDENCE_STATE_MAX_BYTES);
    cr_assert_eq(evidence_state_format_events(&events, &text, &e), 0);
    cr_assert_eq(evidence_state_parse_events(buf_text(&text), &events_again, &e), 0, "%s", e.text);
    cr_expect_arr_eq(&events, &events_again, sizeof events);

    buf_clear(&text);
    cr_assert_eq(evidence_state_format_rank(&rank, &text, &e), 0);
    cr_assert_eq(evidence_state_parse_rank(buf_text(&text), &rank_again, &e), 0, "%s", e.text);
    cr_expect_arr_eq(&rank, &rank_again, sizeof rank);

    buf_clear(&text);
    cr_assert_eq(evidence_state_format_install(&install, &text, &e), 0);
    cr_expect_str_eq(buf_text(&text), "install 1 1234567 89");
    cr_assert_eq(evidence_state_parse_install(buf_text(&text), &install_again, &e), 0);
    cr_expect_arr_eq(&install, &install_again, sizeof install);
}

static uint64_t hash(const char *text) {
    uint64_t h = 14695981039346656037ULL; // FNV-1a
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211ULL;
    return h;
}

// Two controllers that are given the same reports reach the same verdict, whatever they run on.
Test(evidence_state, the_same_reports_give_the_same_line_on_every_machine) {
    OWN(buf) struct buf text;
    struct evidence_events events = {.scored = 0};
    struct evidence_rank rank = {.sets = 0};
    struct err e = ERR_NONE;
    fill(&events, &rank);
    buf_init(&text, 2 * EVIDENCE_STATE_MAX_BYTES);
    cr_assert_eq(evidence_state_format_events(&events, &text, &e), 0);
    cr_expect_eq(hash(buf_text(&text)), 12561142091736856684ULL, "%" PRIu64, hash(buf_text(&text)));
    cr_assert_eq(evidence_state_format_rank(&rank, &text, &e), 0);
    cr_expect_eq(hash(buf_text(&text)), 6719265773763448783ULL, "%" PRIu64, hash(buf_text(&text)));
}

Test(evidence_state, the_largest_state_fits_a_line) {
    OWN(buf) struct buf text;
    struct evidence_rank rank;
    struct err e = ERR_NONE;
    memset(&rank, 0, sizeof rank);
    rank.sets = (uint64_t)INT64_MAX / 16;
    for (int node = 0; node < EVIDENCE_RANK_NODES; node++)
        for (int bet = 0; bet < EVIDENCE_RANK_BETS; bet++)
            rank.at_most[node][bet] = rank.at_least[node][bet] = EVIDENCE_LOG_ZERO;
    buf_init(&text, EVIDENCE_STATE_MAX_BYTES);
    cr_expect_eq(evidence_state_format_rank(&rank, &text, &e), 0);
    cr_expect_eq(evidence_state_parse_rank(buf_text(&text), &rank, &e), 0, "%s", e.text);
}

Test(evidence_state, a_line_that_does_not_fit_leaves_the_buffer_as_it_was) {
    OWN(buf) struct buf text;
    struct evidence_events events = {.scored = 0};
    struct err e = ERR_NONE;
    buf_init(&text, 40);
    cr_assert_eq(buf_add_text(&text, "before", &e), 0);
    cr_expect_eq(evidence_state_format_events(&events, &text, &e), -1);
    cr_expect(err_is(&e, &err_limit));
    cr_expect_str_eq(buf_text(&text), "before");
}

Test(evidence_state, anything_else_is_refused_and_changes_nothing) {
    static const char *const wrong[] = {"",
                                        "install",
                                        "install ",
                                        "install 1",
                                        "install 1 5",
                                        "install 1 5 ",
                                        "install 1 5 -1",
                                        "install 1 -5 0",
                                        "install 1 5 6",
                                        "install 1 5 3 0",
                                        "install 1 5 3 ",
                                        "install 1 5 3\n",
                                        "install 1  5 3",
                                        "install 1 05 3",
                                        "install 1 +5 3",
                                        "install 1 5 -0",
                                        "install 1 5 3x",
                                        "install 1 5.0 3",
                                        "install 1 9223372036854775807 3",
                                        "install 1 99999999999999999999999 3",
                                        "install 0 5 3",
                                        "install -1 5 3",
                                        " install 1 5 3",
                                        "installs 1 5 3",
                                        "events 1 5 3",
                                        "rank 1 5 3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct evidence_install state = {7, 7};
        struct err e = ERR_NONE;
        cr_expect_eq(evidence_state_parse_install(wrong[i], &state, &e), -1, "\"%s\"", wrong[i]);
        cr_expect(err_is(&e, &err_syntax), "\"%s\": %s", wrong[i], e.text);
        cr_expect(state.scored == 7 && state.failed == 7);
    }
}

Test(evidence_state, a_newer_version_is_told_from_damage) {
    struct evidence_install state;
    struct err e = ERR_NONE;
    cr_expect_eq(evidence_state_parse_install("install 2 5 3 1", &state, &e), -1);
    cr_expect(err_is(&e, &err_newer_format));
}

Test(evidence_state, logs_beyond_their_range_are_refused) {
    OWN(buf) struct buf text;
    struct evidence_events events = {.scored = 0};
    struct err e = ERR_NONE;
    events.at_most[0] = EVIDENCE_LOG_MAX + 1;
    buf_init(&text, EVIDENCE_STATE_MAX_BYTES);
    cr_assert_eq(evidence_state_format_events(&events, &text, &e), 0);
    cr_expect_eq(evidence_state_parse_events(buf_text(&text), &events, &e), -1);
    cr_expect(err_is(&e, &err_syntax));
}
