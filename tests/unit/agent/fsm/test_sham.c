// SPDX-License-Identifier: Apache-2.0
//
// Shams: they pass through the machine without a trace, and there are few of them.
#include <criterion/criterion.h>

#include "agent/fsm/attempt.h"
#include "agent/fsm/machine.h"
#include "agent/fsm/sham.h"

static struct fsm_record at_rest(void) {
    struct fsm_record r;
    fsm_machine_init(&r, 4, 5);
    r.has_previous = true;
    r.previous = 3;
    return r;
}

static struct fsm_record record_in(enum fsm_state state) {
    static const enum fsm_event way[] = {FSM_SHAM, FSM_GO, FSM_ACTIVATED};
    struct fsm_update sham = {.attempt = 1, .has_bundle = true, .rollout = "r"};
    struct fsm_record r = at_rest();
    struct fsm_outcome out;
    for (size_t i = 0; r.state != state; i++) {
        struct fsm_input in = {.event = way[i], .offer = &sham};
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    }
    return r;
}

static void expect_untouched(const struct fsm_record *r, const struct fsm_record *before) {
    cr_expect_eq(r->committed, before->committed);
    cr_expect_eq(r->next, before->next, "a sham uses up no generation's number");
    cr_expect(r->has_previous && r->previous == before->previous);
    cr_expect_eq(r->n_failures, 0, "the bundle that runs has not failed here");
}

Test(fsm_sham, a_sham_ends_where_it_began_whatever_comes_out) {
    static const struct {
        enum fsm_state state;
        enum fsm_event event;
        enum bundle_event report;
    } rows[] = {
        {FSM_SHAM_WAITING, FSM_REFUSED, BUNDLE_EVENT_SHAM_REFUSED},
        {FSM_SHAM_WAITING, FSM_ASK_CANCEL, BUNDLE_EVENT_SHAM_REFUSED},
        {FSM_SHAM_RESTARTING, FSM_UNHEALTHY, BUNDLE_EVENT_SHAM_FAILED},
        {FSM_SHAM_PROBATION, FSM_UNHEALTHY, BUNDLE_EVENT_SHAM_FAILED},
        {FSM_SHAM_PROBATION, FSM_ASK_CANCEL, BUNDLE_EVENT_SHAM_FAILED},
        {FSM_SHAM_PROBATION, FSM_HEALTHY, BUNDLE_EVENT_SHAMMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct fsm_record before = at_rest();
        struct fsm_record r = record_in(rows[i].state);
        // A kind that holds an update against its bundle.
        struct fsm_input in = {
            .event = rows[i].event, .why = {.code = "why", .text = "because"}, .final = true};
        struct fsm_outcome out;
        cr_expect_eq(r.update.target, before.committed);
        expect_untouched(&r, &before);
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
        cr_expect_eq(r.state, FSM_IDLE, "row %zu", i);
        cr_expect_not(r.has_update);
        expect_untouched(&r, &before);
        cr_expect(out.has_report && out.report == rows[i].report, "row %zu", i);
        cr_expect_str_eq(out.update.rollout, "r");
        cr_expect_not(out.work & (FSM_DO_REVERT | FSM_DO_CLEAN));
    }
}

Test(fsm_sham, i3_a_sham_is_interrupted_by_as_many_restarts_as_an_update) {
    const struct fsm_input restart = {.event = FSM_RESTARTED};
    const enum fsm_state states[] = {FSM_SHAM_RESTARTING, FSM_SHAM_PROBATION};
    for (size_t i = 0; i < 2; i++) {
        struct fsm_record r = record_in(states[i]);
        struct fsm_outcome out;
        for (unsigned n = 0; n < FSM_RESTARTS_DEFAULT; n++)
            cr_assert_eq(fsm_machine_step(&r, &restart, &out), 0);
        cr_expect_not(fsm_attempt_interrupted(&r));
        cr_assert_eq(fsm_machine_step(&r, &restart, &out), 0);
        cr_expect(fsm_attempt_interrupted(&r));
    }
    struct fsm_record waiting = record_in(FSM_SHAM_WAITING);
    waiting.update.restarts = 100;
    cr_expect_not(fsm_attempt_interrupted(&waiting));
}

Test(fsm_sham, a_sham_is_taken_once_and_few_of_them_in_a_day) {
    struct fsm_record r = at_rest();
    cr_expect_eq(fsm_sham_admits(&r, "a", 1, 1000), 0);
    fsm_sham_note(&r, "a", 2, 1000);
    cr_expect_eq(fsm_sham_admits(&r, "a", 1, 1000), FSM_SHAM_KNOWN);
    cr_expect_eq(fsm_sham_admits(&r, "a", 2, 1000), FSM_SHAM_KNOWN);
    cr_expect_eq(fsm_sham_admits(&r, "a", 3, 1000), 0);
    fsm_sham_note(&r, "b", 1, 1001);
    fsm_sham_note(&r, "c", 1, 1002);
    cr_expect_eq(fsm_sham_admits(&r, "d", 1, 1003), 0);
    fsm_sham_note(&r, "d", 1, 1003);
    cr_expect_eq(fsm_sham_admits(&r, "e", 1, 1000 + FSM_SHAMS_PERIOD_S - 1), FSM_SHAM_OFTEN);
    cr_expect_eq(fsm_sham_admits(&r, "b", 1, 1000 + FSM_SHAMS_PERIOD_S - 1), FSM_SHAM_KNOWN);
    cr_expect_eq(fsm_sham_admits(&r, "e", 1, 1000 + FSM_SHAMS_PERIOD_S), 0);
    fsm_sham_note(&r, "e", 1, 1000 + FSM_SHAMS_PERIOD_S);
    cr_expect_eq(r.n_shams, FSM_SHAMS_MAX);
    cr_expect_eq(fsm_sham_admits(&r, "f", 1, 1000 + FSM_SHAMS_PERIOD_S), FSM_SHAM_OFTEN);
}
