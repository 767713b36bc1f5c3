// SPDX-License-Identifier: Apache-2.0
//
// Sites as units: what the check-ins of a site's devices come to.
#include "base/own.h"
#include "ctl/rollout/score_state.h"
#include "tests/unit/ctl/rollout/sites_bench.h"

// ── Counted ──

Test(rollout_score_member, a_site_is_counted_when_most_of_its_devices_are_and_none_is_named) {
    struct bench *b = bench();
    struct rollout_score_ballot ballot = {.devices = 0};
    struct rollout_score_seen good = {.enrolled_s = T0 - 86401, .seen_s = T0 - 60, .fits = true};
    struct rollout_score_seen held = good, named = good;
    held.apart = true;
    named.named = true;
    cr_expect_not(rollout_score_ballot_counts(&ballot));
    rollout_score_ballot_add(gates_of(b), &good, T0, &ballot);
    cr_expect(rollout_score_ballot_counts(&ballot));
    rollout_score_ballot_add(gates_of(b), &held, T0, &ballot);
    cr_expect_not(rollout_score_ballot_counts(&ballot), "half is not most");
    rollout_score_ballot_add(gates_of(b), &good, T0, &ballot);
    cr_expect(rollout_score_ballot_counts(&ballot));
    struct rollout_score_ballot other = ballot;
    rollout_score_ballot_add(gates_of(b), &good, T0, &ballot);
    rollout_score_ballot_add(gates_of(b), &named, T0, &other);
    rollout_score_ballot_add(gates_of(b), &good, T0, &other);
    cr_expect(rollout_score_ballot_counts(&ballot));
    cr_expect_not(rollout_score_ballot_counts(&other), "whom a stage names nobody drew");
}

Test(rollout_score_member, a_site_is_asked_once_an_epoch_and_never_when_it_has_the_release) {
    struct bench *b = bench();
    struct rollout_score_ballot no = {.devices = 3, .counted = 1};
    struct rollout_score_ballot yes = {.devices = 3, .counted = 2};
    rollout_score_device_init(&b->score, 0, 0, 0, false, &b->u[0]);
    cr_expect_not(rollout_score_count_ballot(&b->score, &yes, &b->u[0]), "in this epoch it was");
    (void)rollout_score_follow(1, 2, &b->score);
    cr_expect(rollout_score_count_ballot(&b->score, &no, &b->u[0]));
    cr_expect_not(rollout_score_count_ballot(&b->score, &yes, &b->u[0]));
    (void)rollout_score_follow(1, 3, &b->score);
    struct rollout_score_device treated = b->u[0];
    treated.arm = ROLLOUT_ARM_TREATED;
    cr_expect_not(rollout_score_count_ballot(&b->score, &yes, &treated));
    cr_expect(rollout_score_count_ballot(&b->score, &yes, &b->u[0]));
    cr_expect(b->u[0].counted);
}

Test(rollout_score_member, a_site_that_is_not_counted_has_no_number_and_is_at_risk_of_nothing) {
    struct bench *b = bench();
    rollout_score_device_init(&b->score, 0, 0, 0, false, &b->u[0]);
    cr_expect(hear(b, 0, 0, admitted));
    offer(b, 0, 0);
    b->now_s += 901;
    (void)hear(b, 0, 0, admitted);
    cr_expect_eq(b->u[0].number, 0);
    cr_expect_eq(b->u[0].at_risk, 0);
    cr_expect_eq(b->score.waiting, 0);
    cr_expect_not(b->m[0][0].first);
}

// ── Offers and outcomes ──

Test(rollout_score_member, a_site_has_one_number_and_the_outcome_of_the_device_offered_first) {
    struct bench *b = bench();
    hear_all(b, 2, nothing);
    offer(b, 0, 1);
    cr_expect_eq(b->u[0].number, 1);
    offer(b, 0, 0);
    offer(b, 0, 2);
    offer(b, 1, 0);
    cr_expect_eq(b->u[1].number, 2);
    cr_expect_eq(b->score.next_number, 3);
    cr_expect(b->m[0][1].first && !b->m[0][0].first && !b->m[0][2].first);
    become(b, 0, 0, ROLLOUT_OUTCOME_BAD); // the sooner one, not the first offered
    cr_expect_eq(b->u[0].outcome, ROLLOUT_OUTCOME_NONE);
    cr_expect_eq(b->score.known_resolved, 0);
    cr_expect_eq(b->news.gates, 0);
    become(b, 0, 1, ROLLOUT_OUTCOME_GOOD);
    cr_expect_eq(b->u[0].outcome, ROLLOUT_OUTCOME_GOOD);
    become(b, 0, 1, ROLLOUT_OUTCOME_BAD); // the first outcome counts
    cr_expect_eq(b->u[0].crowd.resolved, 2);
    cr_expect_eq(b->u[0].crowd.failed, 1);
    cr_expect_eq(b->score.known_failed, 0);
    become(b, 1, 0, ROLLOUT_OUTCOME_BAD);
    cr_expect_eq(b->score.known_failed, 1);
    cr_expect_eq(b->news.gates, 1U << INSTALL);
}

Test(rollout_score_member, a_number_whose_device_left_counts_for_nothing_and_the_site_goes_on) {
    struct bench *b = bench();
    settle(b, 2);
    cr_expect(b->m[0][0].first);
    rollout_score_member_leave(&b->score, &b->m[0][0], &b->u[0], &b->news);
    cr_expect(b->news.device);
    cr_expect_eq(b->u[0].outcome, ROLLOUT_OUTCOME_LEFT);
    cr_expect_not(b->u[0].gone);
    cr_expect_eq(b->u[0].crowd.heard, 2);
    cr_expect_eq(b->u[0].crowd.based, 2);
    become(b, 0, 0, ROLLOUT_OUTCOME_BAD);
    cr_expect_eq(b->u[0].crowd.failed, 0);
    rollout_score_member_leave(&b->score, &b->m[0][1], &b->u[0], &b->news);
    cr_expect_eq(b->score.risk[LOST][0].treated, 2);
    rollout_score_member_leave(&b->score, &b->m[0][2], &b->u[0], &b->news);
    cr_expect(b->u[0].gone, "with the last one");
    cr_expect_eq(b->score.risk[LOST][0].treated, 1);
    cr_expect_eq(b->score.risk[COUNTER][0].treated, 1);
    cr_expect_eq(b->score.waiting, UNITS * EACH - 3);
}

// ── Metrics ──

Test(rollout_score_member, a_sites_value_is_the_mean_of_its_devices_each_once_a_slot) {
    struct bench *b = bench();
    b->now_s = T0 - T0 % 1800;
    (void)hear(b, 3, 0, reads(10));
    (void)hear(b, 3, 0, reads(99)); // calls again within the slot
    (void)hear(b, 3, 1, reads(20));
    (void)hear(b, 3, 2, reads(60));
    const struct rollout_score_history *history = &b->u[3].history[METRIC];
    struct rollout_score_mean sum = {0};
    for (size_t i = 0; i < ROLLOUT_SCORE_SLOTS; i++) {
        sum.n += history->slots[i].sum.n;
        sum.whole += history->slots[i].sum.whole;
    }
    cr_expect_eq(sum.n, 3);
    cr_expect_eq(sum.whole, 90);
    b->now_s += 1800;
    cr_expect(hear(b, 3, 0, reads(30)));
    cr_expect(b->news.device);
    sum = history->slots[b->now_s / 1800 % ROLLOUT_SCORE_SLOTS].sum;
    cr_expect_eq(sum.n, 1);
}

Test(rollout_score_member, a_treated_site_is_worst_when_most_outcomes_of_its_devices_are_bad) {
    struct bench *b = bench();
    hear_all(b, 1, nothing);
    for (size_t i = 0; i < EACH; i++)
        offer(b, 0, i);
    cr_expect_not(rollout_score_member_failed(&b->u[0]));
    become(b, 0, 0, ROLLOUT_OUTCOME_BAD);
    cr_expect(rollout_score_member_failed(&b->u[0]), "of those that have one");
    become(b, 0, 1, ROLLOUT_OUTCOME_GOOD);
    cr_expect_not(rollout_score_member_failed(&b->u[0]), "half is not most");
    become(b, 0, 2, ROLLOUT_OUTCOME_BAD);
    cr_expect(rollout_score_member_failed(&b->u[0]));
}

Test(rollout_score_member, a_site_of_which_most_went_back_is_ranked_last_whatever_it_reads) {
    struct bench *b = bench();
    struct rollout_score_device *members[5];
    for (int slot = 0; slot < 10; slot++, b->now_s += 1800)
        hear_all(b, 1, reads(5));
    for (size_t i = 0; i < EACH; i++)
        offer(b, 0, i);
    become(b, 0, 0, ROLLOUT_OUTCOME_BAD);
    for (size_t i = 0; i < 5; i++)
        members[i] = &b->u[7 - i];
    cr_assert_eq(rollout_score_set_begin(&b->score, gates_of(b), &b->u[0], members, 5, b->now_s),
                 0);
    become(b, 0, 1, ROLLOUT_OUTCOME_BAD);
    become(b, 0, 2, ROLLOUT_OUTCOME_GOOD);
    for (int slot = 0; slot < 24; slot++, b->now_s += 1800)
        hear_all(b, 1, reads(5));
    cr_assert_eq(rollout_score_set_score(&b->score, gates_of(b), &b->u[0], members, 5, &b->news),
                 0);
    cr_assert_eq(b->news.n_units, 1);
    cr_expect(b->news.units[0].values[0].worst);
    cr_expect_not(b->news.units[0].values[1].worst);
}

// ── Losses ──

static bool is_lost(struct bench *b, size_t u, size_t i) {
    return rollout_score_member_lost(&b->score, gates_of(b), rollout_score_silence_s(&b->policy),
                                     &b->m[u][i], &b->u[u]);
}

static void lose(struct bench *b, size_t u) {
    bool treated = b->u[u].arm == ROLLOUT_ARM_TREATED;
    struct rollout_score_tie tie = {.stratum = rollout_score_tie_stratum(&b->score, &b->u[u]),
                                    .site = rollout_score_tie_site(&b->score, &b->u[u]),
                                    .before_s = b->now_s,
                                    .comparison = !treated,
                                    .treated = treated};
    rollout_score_lose(&b->score, gates_of(b), &tie, &b->news);
    rollout_score_lost(&b->score, gates_of(b), &tie, &b->u[u], &b->news);
}

Test(rollout_score_member, the_first_device_that_is_lost_is_the_sites_event_and_its_last) {
    struct bench *b = bench();
    settle(b, 2);
    cr_assert_eq(b->score.waiting, UNITS * EACH);
    b->now_s += 3 * 1800 + 450;
    for (size_t u = 0; u < UNITS; u++) // the others call
        for (size_t i = u == 1; i < EACH; i++)
            (void)hear(b, u, i, (struct said){.admitted = u < 2});
    cr_expect(is_lost(b, 1, 0));
    cr_expect_not(b->m[1][0].waits);
    cr_expect_eq(b->score.waiting, UNITS * EACH - 1);
    lose(b, 1);
    cr_expect_eq(b->news.n_units, 1);
    cr_expect_eq(b->news.units[0].a, 6);
    cr_expect_eq(b->news.units[0].b, 2);
    cr_expect_eq(b->u[1].at_risk, 1U << COUNTER, "of counters it is at risk as before");
    cr_expect_eq(b->score.risk[LOST][0].treated, 1);
    cr_expect_eq(b->score.risk[COUNTER][0].treated, 2);
    cr_expect_not(is_lost(b, 1, 1), "it has had it");
    (void)hear(b, 1, 2, admitted);
    cr_expect_not(b->m[1][2].waits);
    cr_expect_eq(b->score.waiting, UNITS * EACH - 3);
    (void)rollout_score_follow(1, 2, &b->score);
    (void)hear(b, 1, 1, admitted);
    b->now_s += 901;
    (void)hear(b, 1, 1, (struct said){.admitted = true, .has_counter = true});
    cr_expect_eq(b->u[1].at_risk, 1U << COUNTER);
}

Test(rollout_score_member, a_silence_that_was_over_before_the_site_was_at_risk_is_no_event) {
    struct bench *b = bench();
    hear_all(b, 0, nothing);
    b->now_s += 3 * 1800 + 1; // two of them fell silent at once
    (void)hear(b, 4, 0, nothing);
    cr_assert_neq(b->u[4].at_risk & 1U << LOST, 0);
    cr_expect_not(is_lost(b, 4, 1));
    (void)hear(b, 4, 2, nothing); // and this one later
    b->now_s += 3 * 1800 + 450;
    (void)hear(b, 4, 0, nothing);
    cr_expect(is_lost(b, 4, 2));
}

Test(rollout_score_member, a_site_that_is_not_heard_of_in_an_epoch_is_lost_among_those_that_wait) {
    struct bench *b = bench();
    settle(b, 2);
    (void)rollout_score_follow(1, 2, &b->score);
    b->now_s += 3 * 1800 + 450;
    (void)hear(b, 6, 0, nothing);
    cr_expect_eq(b->score.late[0].treated, 2);
    cr_expect_eq(b->score.late[0].comparison, 5, "heard of by one of its devices");
    cr_expect(is_lost(b, 0, 2));
    lose(b, 0);
    cr_expect_eq(b->news.n_units, 1);
    cr_expect_eq(b->score.late[0].treated, 1);
    cr_expect_not(is_lost(b, 0, 1));
    cr_expect_not(is_lost(b, 6, 1), "the site has not entered");
}

Test(rollout_score_member, a_silent_fleet_is_one_of_devices) {
    struct bench *b = bench();
    settle(b, 2);
    cr_expect_not(rollout_score_silent(&b->score, gates_of(b), UNITS * EACH / 2));
    cr_expect(rollout_score_silent(&b->score, gates_of(b), UNITS * EACH / 2 + 1));
    cr_expect_not(rollout_score_silent(&b->score, gates_of(b), 3));
}

// ── Runs ──

Test(rollout_score_member, a_new_run_begins_anew) {
    struct bench *b = bench();
    settle(b, 2);
    become(b, 0, 0, ROLLOUT_OUTCOME_BAD);
    (void)rollout_score_follow(2, 2, &b->score);
    cr_assert_eq(b->score.waiting, 0);
    (void)hear(b, 0, 1, admitted);
    cr_expect_eq(b->u[0].crowd.heard, 1);
    cr_expect_eq(b->u[0].crowd.resolved, 0);
    cr_expect_eq(b->score.waiting, 1);
    become(b, 0, 0, ROLLOUT_OUTCOME_GOOD); // of the run before
    cr_expect_eq(b->u[0].crowd.resolved, 0);
    cr_expect_not(is_lost(b, 0, 0));
    cr_expect_eq(b->score.waiting, 1);
    rollout_score_member_leave(&b->score, &b->m[0][0], &b->u[0], &b->news);
    cr_expect_eq(b->u[0].crowd.heard, 1);
    cr_expect_not(b->u[0].gone);
    b->m[1][0].seen.fits = false; // it runs the release
    (void)hear(b, 1, 0, counts(0));
    b->now_s += 901;
    (void)hear(b, 1, 0, counts(0));
    cr_expect_eq(b->u[1].at_risk, 1U << LOST, "nothing is known of when it restarted");
}

// ── Lines ──

Test(rollout_score_member, rows_come_back_as_they_were) {
    struct bench *b = bench();
    struct err e = ERR_NONE;
    struct rollout_score_member member;
    static struct rollout_score_device unit;
    static struct rollout_score score;
    struct rollout_score_seen seen = {.enrolled_s = T0 - 5, .fits = true, .apart = true};
    settle(b, 2);
    become(b, 0, 0, ROLLOUT_OUTCOME_BAD);
    cr_expect(rollout_score_member_know(&seen, &b->m[0][0]));
    cr_expect_not(rollout_score_member_know(&seen, &b->m[0][0]));
    (void)hear(b, 0, 0, (struct said){.admitted = true, .has_metric = true, .metric = 7});
    OWN(buf) struct buf line, again;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    buf_init(&again, ROLLOUT_SCORE_LINE_MAX_BYTES);
    cr_assert_eq(rollout_score_state_format_member(&b->m[0][0], gates_of(b), &line, &e), 0);
    cr_assert_eq(rollout_score_state_parse_member(buf_text(&line), gates_of(b), &member, &e), 0,
                 "%s", e.text);
    cr_assert_eq(rollout_score_state_format_member(&member, gates_of(b), &again, &e), 0);
    cr_expect_str_eq(buf_text(&line), buf_text(&again));
    cr_expect(member.first && member.seen.apart && member.waits && !member.idle);
    cr_expect_eq(member.reading[METRIC].slot, b->now_s / 1800 + 1);
    cr_expect_eq(member.seen.seen_s, member.heard_s);
    buf_clear(&line);
    cr_assert_eq(rollout_score_state_format_device(&b->u[0], gates_of(b), &line, &e), 0);
    cr_assert_eq(rollout_score_state_parse_device(buf_text(&line), gates_of(b), &unit, &e), 0);
    cr_expect_eq(memcmp(&unit.crowd, &b->u[0].crowd, sizeof unit.crowd), 0);
    buf_clear(&line);
    cr_assert_eq(rollout_score_state_format_shared(&b->score, gates_of(b), &line, &e), 0);
    cr_assert_eq(rollout_score_state_parse_shared(buf_text(&line), gates_of(b), &score, &e), 0);
    cr_expect_eq(score.waiting, UNITS * EACH);
    cr_expect_lt(rollout_score_state_parse_member("member 1 1 0 1", gates_of(b), &member, &e), 0);
}
