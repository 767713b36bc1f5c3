// SPDX-License-Identifier: Apache-2.0
//
// Cohorts in the store: what each search finds, in which order, and what it leaves out.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/store/cohort.h"
#include "ctl/store/sql.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

static struct tmp_dir dir;
static char path[TMP_PATH_BYTES + 16];
static struct rollout_gates gates;
static struct store_cohort of;
static struct rollout_score_device *row;
static struct err e;

static void set_up(void) {
    e = (struct err)ERR_NONE;
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    gates = (struct rollout_gates){
        .n = 2, .gate[0] = {.kind = ROLLOUT_GATE_LOST}, .gate[1] = {.kind = ROLLOUT_GATE_METRIC}};
    of = (struct store_cohort){.rollout = "r", .gates = &gates};
    row = calloc(1, sizeof *row);
    must(store_db_open(path, &of.db, &e));
}

static void tear_down(void) {
    store_db_close(of.db);
    free(row);
    tmp_dir_remove(&dir);
}

TestSuite(store_cohort, .init = set_up, .fini = tear_down, .timeout = 1200);

// A device of the comparison, in stratum 0, heard of at 100.
static void compared(uint64_t rank) {
    memset(row, 0, sizeof *row);
    *row = (struct rollout_score_device){.run = 1,
                                         .arm = ROLLOUT_ARM_COMPARISON,
                                         .counted = true,
                                         .rank = rank,
                                         .heard_s = 100,
                                         .epoch = 1};
}

static void add(const char *device) {
    const struct store_cohort_origin origin = {.site = "a", .token = "t", .enrolled_s = 7};
    must(store_cohort_add(&of, device, &origin, row, &e));
}

static int note(void *context, const char *device, const struct rollout_score_device *one,
                struct err *error) {
    char *text = context;
    (void)one;
    (void)error;
    (void)snprintf(text + strlen(text), 24, "%.16s ", device);
    return 0;
}

static int note_first(void *context, const char *device, const struct rollout_score_device *one,
                      struct err *error) {
    return note(context, device, one, error) + 1;
}

static const char *drawn(const struct store_cohort_draw *draw) {
    static char text[256];
    text[0] = '\0';
    must(store_cohort_draw(&of, draw, note, text, &e));
    return text;
}

Test(store_cohort, a_row_comes_back_as_it_was_put) {
    struct rollout_score_device *got = calloc(1, sizeof *got);
    compared(UINT64_MAX);
    row->history[1].has_last = false;
    row->history[1].slots[9] = (struct rollout_score_slot){.slot = 9, .sum = {2, 5, -7}};
    cr_expect_eq(store_cohort_get(&of, "d", got, &e), STORE_ABSENT);
    add("d");
    must(store_cohort_get(&of, "d", got, &e));
    cr_expect_eq(memcmp(got, row, sizeof *row), 0);
    row->number = 5;
    row->arm = ROLLOUT_ARM_TREATED;
    row->outcome = ROLLOUT_OUTCOME_BAD;
    must(store_cohort_put(&of, "d", row, &e));
    must(store_cohort_get(&of, "d", got, &e));
    cr_expect_eq(memcmp(got, row, sizeof *row), 0);
    const struct store_cohort_origin origin = {.site = ""};
    cr_expect_lt(store_cohort_add(&of, "d", &origin, row, &e), 0);
    cr_expect_str_eq(e.kind->name, "exists");
    free(got);
}

Test(store_cohort, after_the_clock_was_set_back_who_was_heard_ahead_of_it_is_found_in_time) {
    const struct store_cohort_silence silence = {.epoch = 1, .gates = 1, .before_s = 160};
    char found[64] = "";
    compared(1);
    row->at_risk = 1;
    add("before");
    row->heard_s = 100000;
    add("ahead");
    row->at_risk = 0;
    add("in none");
    must(store_cohort_set_back(&of, 150, &e));
    must(store_cohort_silent(&of, &silence, 9, note, found, &e));
    cr_expect_str_eq(found, "before ahead ");
    found[0] = '\0';
    must(store_cohort_silent(&of, &(struct store_cohort_silence){1, 1, 150}, 9, note, found, &e));
    cr_expect_str_eq(found, "before ", "not before its time");
}

Test(store_cohort, draws_are_by_rank_from_the_highest_whichever_bit_is_set) {
    static const struct {
        const char *device;
        uint64_t rank;
    } devices[] = {{"low", 0},
                   {"mid", INT64_MAX},
                   {"above", (uint64_t)INT64_MAX + 1},
                   {"high", UINT64_MAX - 1},
                   {"top", UINT64_MAX}};
    char first[64] = "";
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        compared(devices[i].rank);
        add(devices[i].device);
    }
    cr_expect_str_eq(drawn(&(struct store_cohort_draw){.heard_s = 100}), "top high above mid low ");
    cr_expect_str_eq(
        drawn(&(struct store_cohort_draw){.has_above = true, .above = 0, .heard_s = 100}),
        "top high above mid ");
    cr_expect_str_eq(
        drawn(&(struct store_cohort_draw){.has_above = true, .above = INT64_MAX, .heard_s = 100}),
        "top high above ");
    cr_expect_str_eq(drawn(&(struct store_cohort_draw){.has_above = true, .above = UINT64_MAX - 1}),
                     "top ");
    cr_expect_str_eq(drawn(&(struct store_cohort_draw){.has_above = true, .above = UINT64_MAX}),
                     "");
    must(store_cohort_draw(&of, &(struct store_cohort_draw){.heard_s = 1}, note_first, first, &e));
    cr_expect_str_eq(first, "top ", "whoever has enough ends it");
}

Test(store_cohort, draws_leave_out_whoever_does_not_stand_for_the_comparison) {
    compared(1);
    add("good");
    compared(2);
    row->arm = ROLLOUT_ARM_TREATED;
    add("treated");
    compared(3);
    row->counted = false;
    add("uncounted");
    compared(4);
    row->set_no = 1;
    row->place = 1;
    add("taken");
    compared(5);
    row->stratum = 1;
    add("elsewhere");
    compared(6);
    row->heard_s = 99;
    add("silent");
    cr_expect_str_eq(drawn(&(struct store_cohort_draw){.heard_s = 100}), "good ");
    cr_expect_str_eq(drawn(&(struct store_cohort_draw){.stratum = 1, .heard_s = 100}),
                     "elsewhere ");
}

static void member(const char *device, uint64_t set_no, uint32_t place, int64_t due_s) {
    compared(place);
    row->arm = place == 0 ? ROLLOUT_ARM_TREATED : ROLLOUT_ARM_COMPARISON;
    row->number = place == 0 ? set_no : 0;
    row->set_no = set_no;
    row->place = place;
    row->due_s = due_s;
    add(device);
}

Test(store_cohort, sets_are_due_by_time_and_have_their_members_in_order) {
    char text[128] = "";
    member("b0", 2, 0, 50);
    member("b2", 2, 2, 50);
    member("b1", 2, 1, 50);
    member("a0", 1, 0, 60);
    member("over", 3, 0, 0);
    must(store_cohort_due(&of, 49, 9, note, text, &e));
    cr_expect_str_eq(text, "");
    must(store_cohort_due(&of, 60, 9, note, text, &e));
    cr_expect_str_eq(text, "b0 a0 ");
    must(store_cohort_due(&of, 60, 1, note, strcpy(text, ""), &e));
    cr_expect_str_eq(text, "b0 ");
    must(store_cohort_set(&of, 2, note, strcpy(text, ""), &e));
    cr_expect_str_eq(text, "b0 b1 b2 ");
}

Test(store_cohort, an_outcome_is_found_by_its_number) {
    enum rollout_outcome outcome = ROLLOUT_OUTCOME_NONE;
    compared(1);
    row->number = 3;
    row->outcome = ROLLOUT_OUTCOME_LEFT;
    add("d");
    must(store_cohort_number(&of, 3, &outcome, &e));
    cr_expect_eq(outcome, ROLLOUT_OUTCOME_LEFT);
    cr_expect_eq(store_cohort_number(&of, 2, &outcome, &e), STORE_ABSENT);
    cr_expect_eq(store_cohort_number(&of, 0, &outcome, &e), STORE_ABSENT);
}

static void at_risk(const char *device, int64_t heard_s, uint64_t epoch, uint32_t gates_at_risk) {
    compared(1);
    row->heard_s = heard_s;
    row->epoch = epoch;
    row->at_risk = gates_at_risk;
    add(device);
}

Test(store_cohort, silent_is_who_is_at_risk_now_longest_first) {
    const struct store_cohort_silence silence = {.epoch = 2, .gates = 1, .before_s = 50};
    char text[128] = "";
    uint64_t n = 0;
    at_risk("later", 49, 2, 1);
    at_risk("first", 10, 2, 3);
    at_risk("heard", 50, 2, 1);
    at_risk("before", 5, 1, 1);
    at_risk("other", 5, 2, 2);
    at_risk("none", 5, 2, 0);
    must(store_cohort_silent(&of, &silence, 9, note, text, &e));
    cr_expect_str_eq(text, "first later ");
    must(store_cohort_silent(&of, &silence, 1, note, strcpy(text, ""), &e));
    cr_expect_str_eq(text, "first ");
    must(store_cohort_count_silent(&of, &silence, 9, &n, &e));
    cr_expect_eq(n, 2);
    must(store_cohort_count_silent(&of, &silence, 1, &n, &e));
    cr_expect_eq(n, 1, "it counts no further than asked");
}

static int note_treated(void *context, const struct rollout_score_device *one,
                        const struct store_cohort_origin *origin, struct err *error) {
    char *text = context;
    (void)error;
    (void)snprintf(text + strlen(text), 48, "%d:%.8s,%.8s,%d ", (int)one->number, origin->site,
                   origin->token, (int)origin->enrolled_s);
    return 0;
}

Test(store_cohort, the_treated_come_with_where_they_are_from) {
    char text[128] = "";
    for (uint64_t n = 3; n > 0; n--) {
        char id[16];
        compared(n);
        row->number = n;
        (void)snprintf(id, sizeof id, "d%d", (int)n);
        add(id);
    }
    must(store_cohort_treated(&of, 2, note_treated, text, &e));
    cr_expect_str_eq(text, "2:a,t,7 3:a,t,7 ");
}

Test(store_cohort, is_forgotten_in_slices_and_no_other_with_it) {
    struct store_cohort other = of;
    uint64_t n = 0;
    char text[64] = "";
    compared(1);
    add("a");
    add("b");
    add("c");
    other.rollout = "q";
    const struct store_cohort_origin origin = {.site = ""};
    must(store_cohort_add(&other, "a", &origin, row, &e));
    must(store_cohort_forget(of.db, "r", 2, &n, &e));
    cr_expect_eq(n, 2);
    must(store_cohort_forget(of.db, "r", 2, &n, &e));
    cr_expect_eq(n, 1);
    must(store_cohort_list(&of, note, text, &e));
    cr_expect_str_eq(text, "");
    must(store_cohort_list(&other, note, text, &e));
    cr_expect_str_eq(text, "a ");
}

Test(store_cohort, a_line_that_this_program_never_writes_is_an_error) {
    compared(1);
    add("d");
    store_db_close(of.db);
    sqlite3 *raw = NULL;
    cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(raw, "UPDATE cohort SET body='device 1 nonsense'", NULL, NULL, NULL),
                 SQLITE_OK);
    (void)sqlite3_close(raw);
    must(store_db_open(path, &of.db, &e));
    cr_expect_lt(store_cohort_get(&of, "d", row, &e), 0);
    cr_expect_str_eq(e.kind->name, "syntax");
}
