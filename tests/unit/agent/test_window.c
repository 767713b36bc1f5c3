// SPDX-License-Identifier: Apache-2.0
//
// The rollout's windows beside the device's own: waited for, said, durable, in the device's zone.
#include <stdlib.h>
#include <time.h>

#include "bundle/kind.h"
#include "tests/unit/agent/device.h"

// A Monday in June, 00:00 UTC, later than what instructions of these tests vouch for.
#define MONDAY_S 1717977600LL
#define HOUR_MS  3600000LL

static void at(struct device *d, int64_t monday_hours) {
    struct tm tm;
    time_t monday = MONDAY_S;
    cr_assert(gmtime_r(&monday, &tm) && tm.tm_wday == 1 && tm.tm_hour == 0 && tm.tm_min == 0);
    d->clock.wall_ms = MONDAY_S * 1000 + monday_hours * HOUR_MS;
}

static void zone(const char *name) {
    setenv("TZ", name, 1);
    tzset();
}

static struct bundle_window_list hours(unsigned from, unsigned to, unsigned days) {
    return (struct bundle_window_list){
        .n = 1, .list = {{(uint16_t)(from * 60), (uint16_t)(to * 60), (uint8_t)days}}};
}

static int send(struct device *d, enum bundle_action action, uint64_t sequence,
                const struct bundle_windows *windows, struct err *e) {
    struct bundle_instruction i = device_told(d, action, sequence);
    i.windows = *windows;
    (void)snprintf(i.rollout, sizeof i.rollout, "spring");
    return device_send(d, &i, e);
}

// A device with an offer of release 1 by these windows.
static void start(struct device *d, json_t *settings, int64_t monday_hours,
                  const struct bundle_windows *windows) {
    struct err e = ERR_NONE;
    device_start(d, settings);
    at(d, monday_hours);
    device_release(d, "1", NULL);
    cr_assert_eq(send(d, BUNDLE_ACTION_INSTALL, 1, windows, &e), 0, "%s", e.text);
}

static void turn(struct device *d, int64_t ms) {
    struct err e = ERR_NONE;
    fake_clock_advance(&d->clock, ms);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
}

static void expect_waits(struct device *d, const struct err_kind *kind, const char *text) {
    const struct fsm_record *r = &d->state.journal.record;
    cr_expect_eq(r->state, FSM_WAITING, "%d", (int)r->state);
    cr_expect_str_eq(r->why.code, kind->name, "%s", r->why.text);
    cr_expect(strstr(r->why.text, text), "%s", r->why.text);
}

static void yes(struct device *d, uint64_t sequence, const struct bundle_windows *windows) {
    struct err e = ERR_NONE;
    cr_assert_eq(send(d, BUNDLE_ACTION_ACTIVATE, sequence, windows, &e), 0, "%s", e.text);
}

Test(window, an_update_waits_for_the_rollouts_window_and_says_so) {
    struct device d;
    struct bundle_windows w = {.install = hours(2, 4, BUNDLE_WINDOW_EVERY_DAY)};
    zone("UTC");
    start(&d, NULL, 0, &w);
    cr_assert(device_reach(&d, FSM_WAITING));
    turn(&d, 0);
    expect_waits(&d, &err_outside_rollout_window, "rollout's install window opens at 02:00");
    // Not even a yes opens it.
    yes(&d, 2, &w);
    turn(&d, HOUR_MS);
    expect_waits(&d, &err_outside_rollout_window, "02:00");
    turn(&d, HOUR_MS);
    expect_waits(&d, &err_last_look, "once more");
    yes(&d, 3, &w);
    device_drive(&d);
    char runs[16];
    cr_expect_str_eq(device_runs(&d, runs), "1");
    device_drop(&d);
}

Test(window, the_wait_is_reported_and_outlives_a_restart) {
    struct device d;
    struct bundle_windows w = {.install = hours(22, 6, 1U << 5)}; // Friday night
    zone("UTC");
    start(&d, NULL, 12, &w);
    cr_assert(device_reach(&d, FSM_WAITING));
    turn(&d, 0);
    expect_waits(&d, &err_outside_rollout_window, "opens fri at 22:00");
    struct err e = ERR_NONE;
    struct bundle_report *reports = NULL;
    size_t n = 0;
    cr_assert_eq(agent_queue_peek(&d.state.queue, 64, &reports, &n, &e), 0, "%s", e.text);
    cr_assert_gt(n, 0);
    cr_expect_eq(reports[n - 1].event, BUNDLE_EVENT_WAITING);
    cr_expect_str_eq(reports[n - 1].code, "outside_rollout_window");
    free(reports);
    device_restart(&d);
    cr_expect_eq(d.state.journal.record.update.windows.install.list[0].days, 1U << 5);
    turn(&d, 0);
    expect_waits(&d, &err_outside_rollout_window, "opens fri at 22:00");
    // The early hours of Saturday belong to it.
    at(&d, 5 * 24 + 5);
    turn(&d, UPDATE_ENGINE_RECHECK_MS);
    expect_waits(&d, &err_last_look, "once more");
    device_drop(&d);
}

Test(window, both_the_devices_own_and_the_rollouts_must_be_open) {
    struct device d;
    struct bundle_windows w = {.install = hours(2, 4, BUNDLE_WINDOW_EVERY_DAY)};
    zone("UTC");
    start(&d, json_pack("{s:{s:s, s:s}}", "window", "start", "03:00", "end", "05:00"), 0, &w);
    cr_assert(device_reach(&d, FSM_WAITING));
    turn(&d, 2 * HOUR_MS);
    expect_waits(&d, &err_outside_window, "maintenance window opens at 03:00");
    turn(&d, 2 * HOUR_MS);
    expect_waits(&d, &err_outside_rollout_window, "02:00");
    at(&d, 24 + 3);
    turn(&d, UPDATE_ENGINE_RECHECK_MS);
    expect_waits(&d, &err_last_look, "once more");
    device_drop(&d);
}

Test(window, hours_are_those_of_the_devices_zone) {
    struct device d;
    struct bundle_windows w = {.install = hours(2, 4, BUNDLE_WINDOW_EVERY_DAY)};
    zone("WEST+5"); // five hours behind
    start(&d, NULL, 3, &w);
    cr_assert(device_reach(&d, FSM_WAITING));
    turn(&d, 0);
    expect_waits(&d, &err_outside_rollout_window, "02:00");
    at(&d, 7);
    turn(&d, UPDATE_ENGINE_RECHECK_MS);
    expect_waits(&d, &err_last_look, "once more");
    device_drop(&d);
}

// In the night to 29 March 2026 02:00 to 03:00 does not exist in Berlin; to 25 October it comes twice.
Test(window, a_change_of_the_clock_skips_what_is_left_out_and_repeats_what_comes_twice) {
    struct device d;
    struct bundle_windows w = {.install = hours(2, 3, BUNDLE_WINDOW_EVERY_DAY)};
    struct err why = ERR_NONE;
    zone("CET-1CEST,M3.5.0,M10.5.0/3");
    start(&d, NULL, 0, &w);
    static const struct {
        int64_t at_s;
        bool open;
    } rows[] = {
        {1774742400 + 59 * 60, false},  // 2026-03-29 01:59
        {1774742400 + 60 * 60, false},  // 03:00
        {1774742400 + 24 * 3600, true}, // the next day, 02:00
        {1792886400, true},             // 2026-10-25 02:00, for the first time
        {1792886400 + 3600, true},      // and for the second
        {1792886400 + 2 * 3600, false}, // 03:00
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        d.clock.wall_ms = rows[i].at_s * 1000;
        err_clear(&why);
        cr_expect_eq(update_window_is_closed(d.update, UPDATE_WINDOW_INSTALL, &why), !rows[i].open,
                     "row %zu: %s", i, why.text);
    }
    device_drop(&d);
}

Test(window, the_last_word_of_the_controller_counts) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_windows night = {.install = hours(2, 4, BUNDLE_WINDOW_EVERY_DAY)};
    struct bundle_windows noon = {.install = hours(12, 13, BUNDLE_WINDOW_EVERY_DAY)};
    struct bundle_windows none = {.install.n = 0};
    zone("UTC");
    start(&d, NULL, 0, &night);
    cr_assert(device_reach(&d, FSM_WAITING));
    // The same offer again, with others; and a yes that has none.
    cr_assert_eq(send(&d, BUNDLE_ACTION_INSTALL, 2, &noon, &e), 0, "%s", e.text);
    turn(&d, UPDATE_ENGINE_RECHECK_MS);
    expect_waits(&d, &err_outside_rollout_window, "12:00");
    device_restart(&d);
    turn(&d, 0);
    expect_waits(&d, &err_outside_rollout_window, "12:00");
    yes(&d, 3, &none);
    device_drive(&d);
    char runs[16];
    cr_expect_str_eq(device_runs(&d, runs), "1");
    device_drop(&d);
}

Test(window, a_word_is_written_down_once_with_its_windows) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_windows night = {.install = hours(2, 4, BUNDLE_WINDOW_EVERY_DAY)};
    struct bundle_windows noon = {.install = hours(12, 13, BUNDLE_WINDOW_EVERY_DAY)};
    zone("UTC");
    start(&d, NULL, 0, &night);
    cr_assert(device_reach(&d, FSM_WAITING));
    turn(&d, 0);
    uint64_t serial = d.state.journal.serial;
    cr_assert_eq(send(&d, BUNDLE_ACTION_INSTALL, 2, &night, &e), 0, "%s", e.text);
    cr_expect_eq(d.state.journal.serial, serial + 1);
    cr_assert_eq(send(&d, BUNDLE_ACTION_INSTALL, 3, &noon, &e), 0, "%s", e.text);
    cr_expect_eq(d.state.journal.serial, serial + 2);
    device_restart(&d);
    cr_expect_eq(d.state.journal.record.update.windows.install.list[0].start_min, 12 * 60);
    device_drop(&d);
}

// A download that nobody answers for: that the repository is asked shows that it begins.
Test(window, nothing_is_asked_for_outside_of_the_window_for_downloads) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_windows w = {.download = hours(22, 6, BUNDLE_WINDOW_EVERY_DAY)};
    zone("UTC");
    device_make(&d, NULL);
    device_release(&d, "1", NULL);
    d.holds_back = true;
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    d.update->host.fetch = NULL;
    at(&d, 12);
    cr_assert_eq(send(&d, BUNDLE_ACTION_INSTALL, 1, &w, &e), 0, "%s", e.text);
    turn(&d, 0);
    const struct fsm_record *r = &d.state.journal.record;
    cr_expect_eq(r->state, FSM_FETCHING);
    cr_expect_str_eq(r->why.code, "outside_rollout_window");
    cr_expect(strstr(r->why.text, "download window opens at 22:00"), "%s", r->why.text);
    cr_expect_eq(r->update.tries, 0, "waiting is no try");
    for (int hour = 12; hour < 22; hour++) {
        cr_expect_eq(d.asked, 0, "at %d", hour);
        turn(&d, HOUR_MS);
    }
    cr_expect_eq(d.asked, 1);
    cr_expect_eq(d.state.queue.n, 2, "the offer and one wait are reported, not each look");
    device_drop(&d);
}

Test(window, a_download_that_meets_the_end_of_its_window_is_broken_off_and_waits) {
    struct device d;
    struct bundle_windows w = {.download = hours(0, 6, BUNDLE_WINDOW_EVERY_DAY)};
    struct agent_job job = {.limited = false};
    struct agent_job_spent said = {.bytes = {.full = 30}};
    struct err e = ERR_NONE;
    zone("UTC");
    device_start(&d, NULL);
    device_release(&d, "1", NULL);
    device_offer_until(&d, false, FSM_OFFERED);
    at(&d, 5);
    update_link_fill(d.update, &job);
    cr_expect_not(job.limited);
    d.state.journal.record.update.windows = w;
    cr_expect_not(update_link_is_closed(d.update, &e));
    update_link_fill(d.update, &job);
    cr_expect(job.limited, "it asks on its way");
    cr_expect_eq(job.limit_bytes, UINT64_MAX, "but for no number of bytes");
    at(&d, 6);
    cr_assert_lt(update_link_note(d.update, &said, &e), 0);
    cr_expect(err_is(&e, &err_outside_rollout_window), "%s", e.text);
    cr_expect_not(agent_update_fatal(d.update));
    cr_expect_eq(d.state.journal.record.update.spent.full, 30, "what was spent is written down");
    cr_expect(update_link_may_wait(d.update, &e));
    // However many nights it takes, none of them is a try that failed.
    update_engine_fire(d.update, FSM_FETCH_BEGUN, NULL);
    d.state.journal.record.update.tries = d.config.fetch_tries;
    update_fetch_failed(d.update, &e, false);
    device_restart(&d);
    const struct fsm_record *r = &d.state.journal.record;
    cr_expect_eq(r->state, FSM_FETCHING);
    cr_expect_str_eq(r->why.code, "outside_rollout_window");
    cr_expect_eq(r->update.tries, d.config.fetch_tries - 1);
    device_drop(&d);
}
