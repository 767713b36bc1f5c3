// SPDX-License-Identifier: Apache-2.0
//
// Every pair of state and event of the device's machine, and the ways through it.
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/fsm/attempt.h"
#include "agent/fsm/machine.h"

// Whoever makes a device wait or go back says why (I10).
#define WHY                                                                                        \
    { .code = "why", .text = "because" }

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
        struct fsm_input in = {.event = way[i], .offer = &offer, .why = WHY};
        if (fsm_machine_is_sham(state))
            in.event = (enum fsm_event[]){FSM_SHAM, FSM_GO, FSM_ACTIVATED}[i];
        if (r.state == FSM_ACTIVATING && state == FSM_REBOOTING)
            in.event = FSM_REBOOT;
        cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    }
    if (r.state == state)
        return r;
    struct fsm_input in = {.event = state == FSM_COMMITTED ? FSM_HEALTHY : FSM_UNHEALTHY,
                           .why = WHY};
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
// Reverting faiLed, and of a sham: waiting restartinG probatioN.
static const char letters[FSM_STATES] = "IOFSWCBPMRLwgn";
static const char *const expected[FSM_EVENTS_COUNT] = {
    //                 IOFSWCBPMRLwgn
    [FSM_RESTARTED] = "IOFSWCBPMRLwgn",   [FSM_OFFER] = "O!!!!!!!!!O!!!",
    [FSM_FETCH_BEGUN] = ".FF...........", [FSM_HICCUP] = "..F...........",
    [FSM_FETCHED] = "..S...........",     [FSM_GATED] = "...W..........",
    [FSM_REFUSED] = ".IIIII.....I..",     [FSM_GO] = "....C......g..",
    [FSM_ACTIVATED] = ".....P......n.",   [FSM_REBOOT] = ".....B........",
    [FSM_BOOTED] = "......P.......",      [FSM_HEALTHY] = ".......M.....I",
    [FSM_UNHEALTHY] = ".....RRR....II",   [FSM_CLEANED] = "........I.....",
    [FSM_REVERTED] = ".........I....",    [FSM_STUCK] = ".........L....",
    [FSM_ASK_COMMIT] = "!!!!!!!M!!M!!!",  [FSM_ASK_REVERT] = "R!!!!!!R!!R!!!",
    [FSM_ASK_CANCEL] = "!IIII!!!!!!III",  [FSM_UNSEALED] = "...F..........",
    [FSM_UNSWAPPED] = ".....W........",   [FSM_OVERWRITES] = "..F...........",
    [FSM_UNMOVED] = "..............", // from a committed generation only: see below
    [FSM_SHAM] = "w!!!!!!!!!!!!!",
};

Test(fsm_machine, every_pair_of_state_and_event_does_what_the_table_of_this_test_says) {
    struct fsm_update offer = {.attempt = 1};
    for (unsigned state = 0; state < FSM_STATES; state++) {
        for (unsigned event = 0; event < FSM_EVENTS_COUNT; event++) {
            struct fsm_record r = record_in((enum fsm_state)state), before = r;
            struct fsm_input in = {.event = (enum fsm_event)event, .offer = &offer, .why = WHY};
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

// An event as honest code fires it.
static struct fsm_input honest(enum fsm_event event, const struct fsm_update *offer) {
    struct fsm_input in = {.event = event, .offer = offer};
    switch (event) {
    case FSM_GATED:
    case FSM_UNSWAPPED:
    case FSM_HICCUP:
    case FSM_REFUSED:
    case FSM_UNHEALTHY:
    case FSM_UNMOVED:
    case FSM_STUCK:
    case FSM_ASK_REVERT:
    case FSM_ASK_CANCEL:
        in.why = (struct fsm_why)WHY;
        break;
    default:
        break;
    }
    return in;
}

// What settles a link `current` that is missing.
static uint64_t runs(const struct fsm_record *r) {
    switch (r->state) {
    case FSM_REBOOTING:
    case FSM_PROBATION:
        return r->update.target;
    case FSM_REVERTING:
    case FSM_FAILED:
        return r->revert_to;
    default:
        return r->committed;
    }
}

// Three events from each state on; the machine asserts of each record that it makes.
Test(fsm_machine, i1_i2_i3_i7_i10_hold_after_any_three_events_in_any_state) {
    const struct fsm_update offers[] = {{.attempt = 1, .has_bundle = true},
                                        {.attempt = 2, .local = true}};
    const unsigned all = FSM_EVENTS_COUNT;
    size_t applied = 0;
    for (unsigned n = 0; n < 2 * FSM_STATES * all * all * all; n++) {
        struct fsm_record r = record_in((enum fsm_state)(n / 2 % FSM_STATES));
        unsigned events = n / 2 / FSM_STATES;
        for (int i = 0; i < 3; i++, events /= all) {
            struct fsm_outcome out;
            struct fsm_input in = honest((enum fsm_event)(events % all), &offers[n % 2]);
            if (in.event == FSM_HEALTHY && fsm_attempt_interrupted(&r))
                break;
            if (fsm_machine_step(&r, &in, &out) != 0)
                break;
            applied++;
            cr_assert(fsm_machine_needs(&r, r.committed), "I2");
            cr_assert(fsm_machine_may_run(&r, runs(&r)), "I1");
        }
    }
    cr_expect_gt(applied, 1000);
}

// Whether the machine takes the step for a bug. In a process of its own, which may die of it.
static bool dies(struct fsm_record r, struct fsm_input in) {
    struct rlimit none = {0, 0};
    int status = 0;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct fsm_outcome out;
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        (void)fsm_machine_step(&r, &in, &out);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

Test(fsm_machine, i1_i2_i7_numbers_that_do_not_fit_together_are_a_bug) {
    const struct fsm_input restart = {.event = FSM_RESTARTED};
    struct fsm_record good = record_in(FSM_STAGED), bad = good;
    cr_expect_not(dies(good, restart));
    bad.committed = bad.next;
    cr_expect(dies(bad, restart), "I1: a number that was never given out");
    bad = good;
    bad.previous = bad.committed;
    cr_expect(dies(bad, restart), "I2: the previous generation is the committed one");
    bad = good;
    bad.update.target = bad.next;
    cr_expect(dies(bad, restart), "I7: an update that is not one new generation");
    bad = record_in(FSM_REVERTING);
    bad.revert_to = bad.update.target;
    cr_expect(dies(bad, restart), "I2: a way back to what is left");
}

Test(fsm_machine, i3_a_commit_before_the_end_of_the_probation_is_a_bug_but_for_an_operators) {
    const struct fsm_input healthy = {.event = FSM_HEALTHY}, wish = {.event = FSM_ASK_COMMIT};
    struct fsm_record r = record_in(FSM_PROBATION);
    r.update.probation_s = 600;
    r.update.probation_done_s = 599;
    cr_expect(dies(r, healthy));
    cr_expect_not(dies(r, wish));
    r.update.probation_done_s = 600;
    cr_expect_not(dies(r, healthy));
}

Test(fsm_machine, i3_a_commit_after_too_many_restarts_is_a_bug_but_for_an_operators) {
    const struct fsm_input healthy = {.event = FSM_HEALTHY}, wish = {.event = FSM_ASK_COMMIT};
    struct fsm_record r = record_in(FSM_PROBATION);
    r.update.restarts = r.update.restarts_max;
    cr_expect_not(dies(r, healthy));
    r.update.restarts++;
    cr_expect(dies(r, healthy));
    cr_expect_not(dies(r, wish));
}

Test(fsm_machine, i10_who_waits_refuses_or_goes_back_without_a_reason_is_a_bug) {
    static const struct {
        enum fsm_state state;
        enum fsm_event event;
    } rows[] = {
        {FSM_STAGED, FSM_GATED},         {FSM_OFFERED, FSM_REFUSED},
        {FSM_FETCHING, FSM_REFUSED},     {FSM_STAGED, FSM_REFUSED},
        {FSM_WAITING, FSM_REFUSED},      {FSM_ACTIVATING, FSM_REFUSED},
        {FSM_WAITING, FSM_ASK_CANCEL},   {FSM_ACTIVATING, FSM_UNHEALTHY},
        {FSM_REBOOTING, FSM_UNHEALTHY},  {FSM_PROBATION, FSM_UNHEALTHY},
        {FSM_PROBATION, FSM_ASK_REVERT}, {FSM_IDLE, FSM_ASK_REVERT},
        {FSM_REVERTING, FSM_STUCK},      {FSM_FAILED, FSM_ASK_REVERT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fsm_record r = record_in(rows[i].state);
        struct fsm_input in = {.event = rows[i].event};
        cr_expect(dies(r, in), "row %zu: no reason at all", i);
        in.why = (struct fsm_why){.code = "probe_failed"};
        cr_expect(dies(r, in), "row %zu: a code without a sentence", i);
        in.why = (struct fsm_why)WHY;
        cr_expect_not(dies(r, in), "row %zu", i);
    }
}

Test(fsm_machine, i10_the_way_back_keeps_its_reason_over_restarts) {
    struct fsm_record r = record_in(FSM_REVERTING);
    struct fsm_outcome out;
    struct fsm_input restart = {.event = FSM_RESTARTED}, reverted = {.event = FSM_REVERTED};
    cr_assert_eq(fsm_machine_step(&r, &restart, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &reverted, &out), 0);
    cr_expect_str_eq(out.why.code, "why");
    cr_expect_str_eq(out.why.text, "because");
}

Test(fsm_machine, i10_an_update_at_hand_passes_by_waiting_without_a_reason) {
    struct fsm_record r = record_in(FSM_STAGED);
    struct fsm_outcome out;
    struct fsm_input gated = {.event = FSM_GATED};
    r.update.local = true;
    cr_assert_eq(fsm_machine_step(&r, &gated, &out), 0);
    cr_expect_not(fsm_machine_wants_reason(&r));
    r.update.local = false;
    cr_expect(fsm_machine_wants_reason(&r));
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
    struct fsm_input cleaned = {.event = FSM_CLEANED}, ask = {.event = FSM_ASK_REVERT, .why = WHY};
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
    struct fsm_input ask = {.event = FSM_ASK_REVERT, .why = WHY},
                     unmoved = {.event = FSM_UNMOVED,
                                .why = {.code = "revert_failed", .text = "no"}};
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
    struct fsm_input ask = {.event = FSM_ASK_REVERT, .why = WHY},
                     stuck = {.event = FSM_STUCK, .why = WHY}, commit = {.event = FSM_ASK_COMMIT};
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
    struct fsm_input in = {
        .event = FSM_REFUSED, .final = true, .why = {.code = "probe_failed", .text = "slow"}};
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect_not(fsm_attempt_admits(&r, &bundle, 1));
    cr_expect(fsm_attempt_admits(&r, &bundle, 2));
}

Test(fsm_machine, i4_what_may_succeed_later_is_not_held_against_the_bundle) {
    struct fsm_record r = record_in(FSM_FETCHING);
    struct keys_digest bundle = r.update.bundle;
    struct fsm_outcome out;
    struct fsm_input in = {
        .event = FSM_REFUSED, .final = false, .why = {.code = "no_space", .text = "full"}};
    cr_assert_eq(fsm_machine_step(&r, &in, &out), 0);
    cr_expect(fsm_attempt_admits(&r, &bundle, 1));
}

Test(fsm_machine, i3_restarts_count_from_the_swap_on) {
    struct fsm_record r = record_in(FSM_STAGED);
    struct fsm_outcome out;
    struct fsm_input restart = {.event = FSM_RESTARTED}, gated = {.event = FSM_GATED, .why = WHY};
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

// Restarts of the staging are still counted where an older agent left its journal.
Test(fsm_machine, i3_restarts_of_the_staging_never_count_after_the_swap) {
    struct fsm_record r = record_in(FSM_WAITING);
    struct fsm_outcome out;
    struct fsm_input go = {.event = FSM_GO}, healthy = {.event = FSM_HEALTHY},
                     activated = {.event = FSM_ACTIVATED};
    r.update.restarts = r.update.restarts_max + 1;
    cr_assert_eq(fsm_machine_step(&r, &go, &out), 0);
    cr_expect_eq(r.update.restarts, 0);
    cr_assert_eq(fsm_machine_step(&r, &activated, &out), 0);
    cr_assert_eq(fsm_machine_step(&r, &healthy, &out), 0);
}

Test(fsm_machine, i11_what_did_not_come_to_the_swap_waits_for_another_yes) {
    struct fsm_record r = record_in(FSM_ACTIVATING);
    struct fsm_outcome out;
    struct fsm_input unswapped = {.event = FSM_UNSWAPPED, .why = WHY}, go = {.event = FSM_GO};
    r.update.looked = true;
    r.update.restarts = 2;
    cr_assert_eq(fsm_machine_step(&r, &unswapped, &out), 0);
    cr_expect_eq(r.state, FSM_WAITING);
    cr_expect_not(r.update.looked);
    cr_expect_eq(out.work, FSM_DO_STOP | FSM_DO_WAIT);
    cr_assert_eq(fsm_machine_step(&r, &go, &out), 0);
    cr_expect_eq(r.update.restarts, 2, "I3");
}

Test(fsm_machine, a_number_of_a_generation_is_never_given_out_twice) {
    struct fsm_record r;
    struct fsm_outcome out;
    struct fsm_update offer = {.attempt = 1};
    struct fsm_input in = {.event = FSM_OFFER, .offer = &offer},
                     no = {.event = FSM_ASK_CANCEL, .why = WHY};
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
        struct fsm_input in = {.event = rows[i].event, .offer = &offer, .why = WHY};
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
