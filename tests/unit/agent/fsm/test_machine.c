// SPDX-License-Identifier: Apache-2.0
//
// Every pair of state and event of the device's machine, and the ways through it.
#include <criterion/criterion.h>
#include <string.h>

#include "agent/fsm/attempt.h"
#include "agent/fsm/machine.h"

// A record in a state, as the machine itself would have made it.
static struct fsm_record record_in(enum fsm_state state) {
    static const enum fsm_event way[] = {FSM_OFFER, FSM_FETCH_BEGUN, FSM_FETCHED,
                                         FSM_GATED, FSM_GO,          FSM_ACTIVATED};
    struct fsm_record r;
    struct fsm_outcome out;
    struct fsm_update offer = {.attempt = 1, .has_bundle = true, .rollout = "r"};
    fsm_machine_init(&r, 4, 5);
    r.has_previous = true;
    r.previous = 3;
    for (size_t i = 0; i < sizeof way / sizeof way[0] && r.state != state; i++) {
        struct fsm_input in = {.event = way[i], .offer = &offer};
        if (r.state == FSM_ACTIVATING && state == FSM_REBOOTING)
            in.event = FSM_REBOOT;
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    }
    if (r.state == state)
        return r;
    struct fsm_input in = {.event = state == FSM_COMMITTED ? FSM_HEALTHY : FSM_UNHEALTHY};
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    if (r.state != state) {
        in.event = FSM_STUCK;
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    }
    cr_assert_eq(r.state, state);
    return r;
}

// What each pair leads to. '.' is ignored, '!' is refused as asked at the wrong time, a letter is
// the next state: Idle Offered Fetching Staged Waiting aCtivating reBooting Probation coMmitted
// Reverting faiLed.
static const char letters[FSM_STATES] = "IOFSWCBPMRL";
static const char *const expected[FSM_EVENTS_COUNT] = {
    //                 IOFSWCBPMRL
    [FSM_RESTARTED] = "IOFSWCBPMRL",   [FSM_OFFER] = "O!!!!!!!!!O",
    [FSM_FETCH_BEGUN] = ".FF........", [FSM_HICCUP] = "..F........",
    [FSM_FETCHED] = "..S........",     [FSM_GATED] = "...W.......",
    [FSM_REFUSED] = ".IIIII.....",     [FSM_GO] = "....C......",
    [FSM_ACTIVATED] = ".....P.....",   [FSM_REBOOT] = ".....B.....",
    [FSM_BOOTED] = "......P....",      [FSM_HEALTHY] = ".......M...",
    [FSM_UNHEALTHY] = ".....RRR...",   [FSM_CLEANED] = "........I..",
    [FSM_REVERTED] = ".........I.",    [FSM_STUCK] = ".........L.",
    [FSM_ASK_COMMIT] = "!!!!!!!M!!M",  [FSM_ASK_REVERT] = "R!!!!!!R!!R",
    [FSM_ASK_CANCEL] = "!IIII!!!!!!",  [FSM_UNSEALED] = "...F.......",
    [FSM_UNMOVED] = "...........", // from a committed generation only: see below
};

Test(fsm_machine, every_pair_of_state_and_event_does_what_the_table_of_this_test_says) {
    struct fsm_update offer = {.attempt = 1};
    for (unsigned state = 0; state < FSM_STATES; state++) {
        for (unsigned event = 0; event < FSM_EVENTS_COUNT; event++) {
            struct fsm_record r = record_in((enum fsm_state)state), before = r;
            struct fsm_input in = {.event = (enum fsm_event)event, .offer = &offer};
            struct fsm_outcome out;
            memset(&out, 0x5a, sizeof out);
            struct fsm_outcome untouched = out;
            int done = fsm_machine_step(&r, &in, &out);
            char got = done == FSM_MACHINE_IGNORED       ? '.'
                       : done == FSM_MACHINE_WRONG_STATE ? '!'
                                                         : letters[r.state];
            cr_expect_eq(got, expected[event][state], "%s in %s: %c, expected %c",
                         fsm_machine_event_names[event], fsm_machine_state_names[state], got,
                         expected[event][state]);
            if (done != 0) {
                cr_expect_eq(memcmp(&r, &before, sizeof r), 0,
                             "a refused event changed the record");
                cr_expect_eq(memcmp(&out, &untouched, sizeof out), 0);
            }
        }
    }
}

Test(fsm_machine, i2_what_ran_before_is_needed_in_every_state) {
    for (unsigned state = 0; state < FSM_STATES; state++) {
        struct fsm_record r = record_in((enum fsm_state)state);
        cr_expect(fsm_machine_needs(&r, r.committed));
        cr_expect(fsm_machine_needs(&r, r.previous));
        // Generation 4 ran before the update in all of these.
        cr_expect(fsm_machine_needs(&r, 4), "%s", fsm_machine_state_names[state]);
    }
}

Test(fsm_machine, i2_the_one_before_stays_until_the_next_is_committed_and_then_goes) {
    struct fsm_record r = record_in(FSM_PROBATION);
    cr_expect(fsm_machine_needs(&r, 3));
    r = record_in(FSM_COMMITTED);
    cr_expect_not(fsm_machine_needs(&r, 3));
    cr_expect_eq(r.previous, 4);
    cr_expect_eq(r.committed, 5);
}

Test(fsm_machine, a_failed_probe_goes_back_to_the_old_generation) {
    struct fsm_record r = record_in(FSM_PROBATION);
    struct fsm_input in = {.event = FSM_UNHEALTHY, .why = {.code = "probe_failed", .text = "slow"}};
    struct fsm_outcome out;
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect_eq(r.revert_to, 4);
    cr_expect_eq(out.work, FSM_DO_STOP | FSM_DO_REVERT);
    in = (struct fsm_input){.event = FSM_REVERTED};
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect_eq(r.state, FSM_IDLE);
    cr_expect_eq(r.committed, 4);
    cr_expect(r.has_previous && r.previous == 3);
    cr_expect(out.has_report);
    cr_expect_eq(out.report, BUNDLE_EVENT_REVERTED);
    cr_expect_str_eq(out.why.code, "probe_failed");
    cr_expect_str_eq(out.update.rollout, "r");
    cr_expect_not(fsm_machine_needs(&r, 5));
}

Test(fsm_machine, going_back_from_a_committed_generation_uses_up_the_previous_one) {
    struct fsm_record r = record_in(FSM_COMMITTED);
    struct fsm_outcome out;
    struct fsm_input cleaned = {.event = FSM_CLEANED}, ask = {.event = FSM_ASK_REVERT};
    struct fsm_input reverted = {.event = FSM_REVERTED};
    cr_assert_eq(fsm_machine_step(&r, &cleaned, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &ask, &out), 0);
    cr_expect_eq(r.revert_to, 4);
    cr_expect(fsm_machine_needs(&r, 4) && fsm_machine_needs(&r, 5));
    cr_expect(fsm_machine_may_run(&r, 5) && fsm_machine_may_run(&r, 4));
    cr_assert_eq(fsm_machine_step(&r, &reverted, &out), 0);
    cr_expect_eq(r.committed, 4);
    cr_expect_not(r.has_previous);
    cr_expect_str_eq(out.update.rollout, "r", "the report belongs to the rollout that is left");
    cr_expect_eq(fsm_machine_step(&r, &ask, &out), FSM_MACHINE_WRONG_STATE);
}

Test(fsm_machine, a_way_back_from_a_committed_generation_that_is_not_begun_changes_nothing) {
    struct fsm_record r = record_in(FSM_IDLE), before = r;
    struct fsm_outcome out;
    struct fsm_input ask = {.event = FSM_ASK_REVERT},
                     unmoved = {.event = FSM_UNMOVED, .why = {.code = "revert_failed"}};
    cr_assert_eq(fsm_machine_step(&r, &ask, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &unmoved, &out), 0);
    cr_expect_eq(r.state, FSM_IDLE);
    cr_expect_eq(r.committed, before.committed);
    cr_expect(r.has_previous && r.previous == before.previous);
    cr_expect_eq(r.n_failures, 0);
    cr_expect_eq(out.report, BUNDLE_EVENT_FAILED);
    cr_expect_str_eq(out.why.code, "revert_failed");
}

Test(fsm_machine, what_could_not_be_gone_back_from_is_the_base_of_the_next_update) {
    struct fsm_record r = record_in(FSM_FAILED);
    struct keys_digest failed = r.update.bundle;
    struct fsm_outcome out;
    struct fsm_update offer = {.attempt = 1, .has_bundle = true, .bundle = {.bytes = {7}}};
    struct fsm_input in = {.event = FSM_OFFER, .offer = &offer};
    uint64_t runs = r.update.target;
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect_eq(r.committed, runs);
    cr_expect_eq(r.previous, 4);
    cr_expect(fsm_machine_may_run(&r, runs));
    cr_expect_gt(r.update.target, runs);
    cr_expect_eq(out.update.bundle.bytes[0], 7);
    cr_expect_not(fsm_attempt_admits(&r, &failed, 1), "I4: it failed here");
}

Test(fsm_machine, a_failed_way_back_from_a_committed_generation_can_be_ended_by_a_commit) {
    struct fsm_record r = record_in(FSM_IDLE);
    struct fsm_outcome out;
    struct fsm_input ask = {.event = FSM_ASK_REVERT}, stuck = {.event = FSM_STUCK},
                     commit = {.event = FSM_ASK_COMMIT};
    cr_assert_eq(fsm_machine_step(&r, &ask, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &stuck, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &commit, &out), 0);
    cr_expect_eq(r.state, FSM_COMMITTED);
    cr_expect_eq(r.committed, 4);
    cr_expect_eq(r.previous, 3);
}

Test(fsm_machine, i4_what_was_committed_is_no_failure) {
    struct fsm_record r = record_in(FSM_PROBATION);
    struct fsm_outcome out;
    struct fsm_input in = {.event = FSM_HEALTHY};
    struct keys_digest bundle = r.update.bundle, other = {.bytes = {9}};
    fsm_attempt_failed(&r, &bundle, 5);
    fsm_attempt_failed(&r, &other, 5);
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect(fsm_attempt_admits(&r, &bundle, 1));
    cr_expect_not(fsm_attempt_admits(&r, &other, 5));
    cr_expect_eq(r.n_failures, 1);
}

Test(fsm_machine, i4_a_bundle_that_failed_needs_a_higher_attempt) {
    struct fsm_record r = record_in(FSM_STAGED);
    struct keys_digest bundle = r.update.bundle;
    struct fsm_outcome out;
    struct fsm_input in = {.event = FSM_REFUSED, .final = true, .why = {.code = "probe_failed"}};
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect_not(fsm_attempt_admits(&r, &bundle, 1));
    cr_expect(fsm_attempt_admits(&r, &bundle, 2));
}

Test(fsm_machine, i4_what_may_succeed_later_is_not_held_against_the_bundle) {
    struct fsm_record r = record_in(FSM_FETCHING);
    struct keys_digest bundle = r.update.bundle;
    struct fsm_outcome out;
    struct fsm_input in = {.event = FSM_REFUSED, .final = false, .why = {.code = "no_space"}};
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect(fsm_attempt_admits(&r, &bundle, 1));
}

Test(fsm_machine, i3_restarts_count_from_the_swap_on) {
    struct fsm_record r = record_in(FSM_STAGED);
    struct fsm_outcome out;
    struct fsm_input restart = {.event = FSM_RESTARTED}, gated = {.event = FSM_GATED};
    struct fsm_input go = {.event = FSM_GO};
    for (int i = 0; i < FSM_RESTARTS_STAGING_MAX; i++)
        cr_assert_eq(fsm_machine_step(&r, &restart, &out), 0);
    cr_expect_not(fsm_attempt_interrupted(&r));
    cr_assert_eq(fsm_machine_step(&r, &gated, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &go, &out), 0);
    for (int i = 0; i < FSM_RESTARTS_DEFAULT; i++) {
        cr_assert_eq(fsm_machine_step(&r, &restart, &out), 0);
        cr_expect_not(fsm_attempt_interrupted(&r));
    }
    cr_assert_eq(fsm_machine_step(&r, &restart, &out), 0);
    cr_expect(fsm_attempt_interrupted(&r));
}

Test(fsm_machine, a_number_of_a_generation_is_never_given_out_twice) {
    struct fsm_record r;
    struct fsm_outcome out;
    struct fsm_update offer = {.attempt = 1};
    struct fsm_input in = {.event = FSM_OFFER, .offer = &offer}, no = {.event = FSM_ASK_CANCEL};
    fsm_machine_init(&r, 0, 1);
    for (uint64_t i = 1; i < 4; i++) {
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
        cr_expect_eq(r.update.target, i);
        cr_assert_eq(fsm_machine_step(&r, &no, &out), 0);
    }
}

Test(fsm_machine, every_change_that_the_controller_must_know_is_reported) {
    static const struct {
        enum fsm_state state;
        enum fsm_event event;
        enum bundle_event report;
    } rows[] = {
        {FSM_IDLE, FSM_OFFER, BUNDLE_EVENT_OFFERED},
        {FSM_STAGED, FSM_GATED, BUNDLE_EVENT_STAGED},
        {FSM_ACTIVATING, FSM_ACTIVATED, BUNDLE_EVENT_ACTIVATED},
        {FSM_REBOOTING, FSM_BOOTED, BUNDLE_EVENT_ACTIVATED},
        {FSM_PROBATION, FSM_HEALTHY, BUNDLE_EVENT_COMMITTED},
        {FSM_PROBATION, FSM_ASK_COMMIT, BUNDLE_EVENT_COMMITTED},
        {FSM_FETCHING, FSM_REFUSED, BUNDLE_EVENT_REFUSED},
        {FSM_WAITING, FSM_ASK_CANCEL, BUNDLE_EVENT_CANCELLED},
        {FSM_REVERTING, FSM_REVERTED, BUNDLE_EVENT_REVERTED},
        {FSM_REVERTING, FSM_STUCK, BUNDLE_EVENT_FAILED},
    };
    struct fsm_update offer = {.attempt = 1};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fsm_record r = record_in(rows[i].state);
        struct fsm_outcome out;
        struct fsm_input in = {.event = rows[i].event, .offer = &offer};
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
        cr_expect(out.has_report);
        cr_expect_eq(out.report, rows[i].report, "row %zu", i);
    }
}

Test(fsm_attempt, the_oldest_failure_goes_when_the_list_is_full) {
    struct fsm_record r = {.state = FSM_IDLE};
    for (uint8_t i = 0; i < FSM_FAILURES_MAX + 1; i++) {
        struct keys_digest bundle = {.bytes = {i}};
        fsm_attempt_failed(&r, &bundle, 7);
    }
    struct keys_digest first = {.bytes = {0}}, second = {.bytes = {1}},
                       last = {.bytes = {FSM_FAILURES_MAX}};
    cr_expect(fsm_attempt_admits(&r, &first, 1));
    cr_expect_not(fsm_attempt_admits(&r, &second, 7));
    cr_expect_not(fsm_attempt_admits(&r, &last, 7));
    cr_expect_eq(r.n_failures, FSM_FAILURES_MAX);
}

Test(fsm_attempt, a_lower_attempt_never_lowers_what_is_remembered) {
    struct fsm_record r = {.state = FSM_IDLE};
    struct keys_digest bundle = {.bytes = {1}};
    fsm_attempt_failed(&r, &bundle, 5);
    fsm_attempt_failed(&r, &bundle, 2);
    cr_expect_eq(fsm_attempt_last(&r, &bundle), 5);
    cr_expect_eq(r.n_failures, 1);
}
