// SPDX-License-Identifier: Apache-2.0
//
// Trusted time: what each signer may move it to, and what undoes it. The clocks of the world are
// nowhere in here, which is the point: a jump of one by twenty years has nothing to change.
#include <criterion/criterion.h>
#include <inttypes.h>

#include "agent/fsm/trusted.h"
#include "base/chrono.h"

#define DAY   86400LL
#define Y2026 1767225600LL
#define Y2046 2398377600LL
#define Y2099 4070908800LL

static const struct fsm_trusted_bounds honest = {
    .root_s = Y2026 + 3650 * DAY, .targets_s = Y2026 + 365 * DAY, .snapshot_s = Y2026 + 14 * DAY};

struct row {
    const char *name;
    enum fsm_trusted_source source;
    int64_t had_s, signed_s;
    struct fsm_trusted_bounds bounds;
    int64_t now_s; // right after it
};

static const struct row rows[] = {
    {"the first date", FSM_TRUSTED_ONLINE, 0, Y2026, honest, Y2026},
    {"a later date", FSM_TRUSTED_ONLINE, Y2026, Y2026 + DAY, honest, Y2026 + DAY},
    {"an earlier date", FSM_TRUSTED_ONLINE, Y2026 + DAY, Y2026, honest, Y2026 + DAY},
    {"twenty years back", FSM_TRUSTED_ONLINE, Y2026, Y2026 - 7305 * DAY, honest, Y2026},
    {"1970", FSM_TRUSTED_ONLINE, Y2026, 0, honest, Y2026},
    {"before 1970", FSM_TRUSTED_ONLINE, 0, -5, honest, 0},
    {"a stolen timestamp key that dates 2099", FSM_TRUSTED_ONLINE, Y2026, Y2099, honest,
     Y2026 + 14 * DAY},
    {"twenty years ahead, online", FSM_TRUSTED_ONLINE, Y2026, Y2046, honest, Y2026 + 14 * DAY},
    {"snapshot's key stolen too",
     FSM_TRUSTED_ONLINE,
     Y2026,
     Y2099,
     {honest.root_s, honest.targets_s, Y2099},
     Y2026 + 365 * DAY},
    {"no repository known",
     FSM_TRUSTED_ONLINE,
     Y2026,
     Y2099,
     {honest.root_s, 0, 0},
     Y2026 + 3650 * DAY},
    {"root's bound is the least", FSM_TRUSTED_ONLINE, 0, Y2099, {Y2026, Y2046, Y2046}, Y2026},
    {"a bundle of 2099", FSM_TRUSTED_BUNDLE, Y2026, Y2099, honest, Y2026 + 365 * DAY},
    {"a bundle by stick, nothing known",
     FSM_TRUSTED_BUNDLE,
     0,
     Y2026,
     {honest.root_s, 0, 0},
     Y2026},
    {"targets of 2099", FSM_TRUSTED_TARGETS, Y2026, Y2099, honest, Y2026 + 3650 * DAY},
    {"targets do not bound themselves",
     FSM_TRUSTED_TARGETS,
     0,
     Y2046,
     {Y2099, Y2026, Y2026},
     Y2046},
    {"a root of 2099", FSM_TRUSTED_ROOT, Y2026, Y2099, honest, Y2099},
    {"no date beyond the calendar", FSM_TRUSTED_ROOT, 0, INT64_MAX, honest, CHRONO_MAX_S},
};

Test(trusted, a_date_counts_up_to_what_vouches_for_its_signer) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct fsm_trusted t = {.dates = {{0}}};
        t.dates[r->source].signed_s = r->had_s;
        fsm_trusted_start(&t, 1000);
        bool changed = fsm_trusted_learn(&t, r->source, r->signed_s, &r->bounds, 1000);
        cr_expect_eq(fsm_trusted_now_s(&t, 1000), r->now_s, "%s: %" PRId64, r->name,
                     fsm_trusted_now_s(&t, 1000));
        cr_expect_eq(fsm_trusted_signed_s(&t), r->now_s, "%s", r->name);
        cr_expect_eq(changed, r->now_s > r->had_s, "%s", r->name);
    }
}

Test(trusted, the_boot_clock_adds_in_memory_and_a_restart_begins_from_the_dates) {
    struct fsm_trusted t = {.dates = {{0}}};
    fsm_trusted_start(&t, 0);
    cr_expect_eq(fsm_trusted_now_s(&t, 999999), 0, "time that nobody signed does not pass");
    cr_expect(fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2026, &honest, 5000));
    cr_expect_eq(fsm_trusted_now_s(&t, 5000 + 400 * DAY * 1000), Y2026 + 400 * DAY,
                 "a year offline and running: later than everything that was known");
    cr_expect_eq(fsm_trusted_now_s(&t, 0), Y2026, "a boot clock that went back takes nothing away");
    fsm_trusted_start(&t, 77);
    cr_expect_eq(fsm_trusted_now_s(&t, 77), Y2026);
}

Test(trusted, a_date_behind_the_boot_clock_is_durable_all_the_same) {
    struct fsm_trusted t = {.dates = {{0}}};
    fsm_trusted_start(&t, 0);
    fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2026, &honest, 0);
    cr_expect(fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2026 + DAY, &honest, (DAY + 9) * 1000));
    cr_expect_eq(fsm_trusted_now_s(&t, (DAY + 9) * 1000), Y2026 + DAY + 9, "it never goes back");
    fsm_trusted_start(&t, 0);
    cr_expect_eq(fsm_trusted_now_s(&t, 0), Y2026 + DAY);
}

Test(trusted, a_rotation_undoes_a_stolen_key_and_only_that) {
    struct fsm_trusted t = {.dates = {{0}}};
    fsm_trusted_start(&t, 0);
    fsm_trusted_learn(&t, FSM_TRUSTED_ROOT, Y2026, &honest, 0);
    fsm_trusted_learn(&t, FSM_TRUSTED_TARGETS, Y2026 + DAY, &honest, 0);
    fsm_trusted_learn(&t, FSM_TRUSTED_BUNDLE, Y2026 + 2 * DAY, &honest, 0);
    fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2099, &honest, 0);
    cr_expect_eq(fsm_trusted_now_s(&t, 0), Y2026 + 14 * DAY);
    cr_expect(fsm_trusted_forget(&t, FSM_TRUSTED_ONLINE));
    cr_expect_not(fsm_trusted_forget(&t, FSM_TRUSTED_ONLINE), "nothing left to forget");
    cr_expect_eq(fsm_trusted_now_s(&t, 10000), Y2026 + 2 * DAY + 10);
    fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2026 + 3 * DAY, &honest, 10000);
    cr_expect_eq(fsm_trusted_now_s(&t, 10000), Y2026 + 3 * DAY, "the honest one counts again");
}

Test(trusted, frozen_at_most_until_the_snapshot_expires) {
    // On the first day somebody dates 2099 with the timestamp's key. On each following day the
    // honest timestamp lives three days; it is refused until, at the latest, the day on which the
    // snapshot of the first day expires, whether the device runs on or restarts every day.
    for (int restarts = 0; restarts < 2; restarts++) {
        struct fsm_trusted t = {.dates = {{0}}};
        fsm_trusted_start(&t, 0);
        fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2026, &honest, 0);
        fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2099, &honest, 0);
        cr_expect_eq(fsm_trusted_now_s(&t, 0), Y2026 + 14 * DAY);
        int64_t thawed = 0;
        for (int64_t day = 1; day <= 14 && !thawed; day++) {
            if (restarts)
                fsm_trusted_start(&t, day * DAY * 1000);
            if (fsm_trusted_now_s(&t, day * DAY * 1000) < Y2026 + (day + 3) * DAY)
                thawed = day;
        }
        cr_expect_eq(thawed, 12, "%d: day %" PRId64, restarts, thawed);
    }
}

Test(trusted, a_held_time_does_not_hide_honest_dates) {
    struct fsm_trusted t = {.dates = {{0}}};
    struct fsm_trusted_bounds later = honest;
    fsm_trusted_start(&t, 0);
    fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2099, &honest, 0);
    later.snapshot_s += 14 * DAY;
    cr_expect(fsm_trusted_learn(&t, FSM_TRUSTED_ONLINE, Y2026 + 10 * DAY, &later, 10 * DAY * 1000));
    cr_expect_eq(fsm_trusted_now_s(&t, 10 * DAY * 1000), Y2026 + 14 * DAY, "it never goes back");
    cr_expect_eq(fsm_trusted_now_s(&t, 15 * DAY * 1000), Y2026 + 15 * DAY, "and then goes on");
    cr_expect(fsm_trusted_forget(&t, FSM_TRUSTED_ONLINE));
    cr_expect_eq(fsm_trusted_now_s(&t, 0), 0);
}
