// SPDX-License-Identifier: Apache-2.0
//
// Instructions on a device whose wall clock says 1970: what holds is judged by trusted time alone.
#include "bundle/instruction.h"
#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/agent/device.h"

#define DAY_S 86400

static int obey(struct device *d, uint64_t sequence, int64_t issued_s, int64_t expires_s,
                struct err *e) {
    struct bundle_instruction i = {.header = {sequence, issued_s, expires_s},
                                   .action = BUNDLE_ACTION_CANCEL,
                                   .attempt = 1,
                                   .bundle_name = "thing",
                                   .release = "9.9"};
    return device_send(d, &i, e);
}

Test(instruction, a_device_without_a_clock_takes_its_first_one_and_judges_later_ones_by_it) {
    struct device d;
    struct err e = ERR_NONE;
    const int64_t first = FORGE_ISSUED_S + DAY_S;
    device_start(&d, NULL);
    cr_assert_lt(chrono_wall_ms(&d.clock.chrono), 1000LL * DAY_S, "it is 1970 here");
    cr_expect_eq(obey(&d, 1, first, first + DAY_S, &e), 0, "not stranded: %s", e.text);
    cr_expect_eq(agent_state_trusted_s(&d.state), first);
    // Powered-on time passes; the wall clock is as wrong as before.
    fake_clock_advance(&d.clock, 2000LL * DAY_S);
    cr_expect_lt(obey(&d, 2, first, first + DAY_S, &e), 0);
    cr_expect(err_is(&e, &err_expired), "not frozen: %s", e.text);
    cr_expect_eq(obey(&d, 2, first + 2 * DAY_S, first + 3 * DAY_S, &e), 0, "%s", e.text);
    device_drop(&d);
}

Test(instruction, trusted_time_survives_a_restart_into_1970) {
    struct device d;
    struct err e = ERR_NONE;
    const int64_t first = FORGE_ISSUED_S + 10 * DAY_S;
    device_start(&d, NULL);
    cr_expect_eq(obey(&d, 1, first, first + DAY_S, &e), 0, "%s", e.text);
    device_close(&d);
    fake_clock_init(&d.clock, 0, 1000);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    cr_expect_eq(agent_state_trusted_s(&d.state), first);
    cr_expect_lt(obey(&d, 2, first - 5 * DAY_S, first - DAY_S, &e), 0);
    cr_expect(err_is(&e, &err_expired), "%s", e.text);
    device_drop(&d);
}

Test(instruction, a_wall_clock_in_the_far_future_makes_nothing_expire) {
    struct device d;
    struct err e = ERR_NONE;
    const int64_t first = FORGE_ISSUED_S + DAY_S;
    device_make(&d, NULL);
    fake_clock_init(&d.clock, 4000000000000LL, 1000);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    cr_expect_eq(obey(&d, 1, first, first + DAY_S, &e), 0, "%s", e.text);
    cr_expect_lt(obey(&d, 1, first, first + DAY_S, &e), 0);
    cr_expect(err_is(&e, &err_replayed), "%s", e.text);
    device_drop(&d);
}

#define BASE "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

static struct bundle_instruction offered(const struct device *d, uint64_t sequence) {
    struct bundle_instruction i = device_told(d, BUNDLE_ACTION_INSTALL, sequence);
    i.delta.size = 500;
    i.budget = (struct bundle_instruction_budget){.has_metered_bytes = true, .metered_bytes = 70};
    (void)snprintf(i.delta.url, sizeof i.delta.url, "https://cdn.example.org/x.delta");
    memset(i.delta.base.bytes, 0xcd, sizeof i.delta.base.bytes);
    return i;
}

// A device with a real download to come, which nobody answers for: that of the repository is asked.
static void start_hiring(struct device *d) {
    struct err e = ERR_NONE;
    device_make(d, NULL);
    device_release(d, "1", NULL);
    d->holds_back = true;
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
    d->update->host.fetch = NULL;
}

static void ask_about(struct device *d) {
    struct err e = ERR_NONE;
    unsigned before = d->asked;
    for (int turn = 0; turn < 100 && d->asked == before; turn++)
        cr_assert_eq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
    cr_assert_neq(d->asked, before, "the repository was not asked");
}

Test(instruction, an_offered_delta_is_asked_for_and_its_budget_kept) {
    struct device d;
    struct err e = ERR_NONE;
    start_hiring(&d);
    struct bundle_instruction i = offered(&d, 1);
    cr_assert_eq(device_send(&d, &i, &e), 0, "%s", e.text);
    ask_about(&d);
    cr_expect(strstr(d.asked_delta, "thing/1/") == d.asked_delta, "%s", d.asked_delta);
    cr_expect(strstr(d.asked_delta, "/" BASE ".json"), "%s", d.asked_delta);
    cr_expect_not(strstr(d.asked_path, BASE), "%s", d.asked_path);
    cr_expect(d.state.journal.record.update.budget.has_metered_bytes);
    cr_expect_eq(d.state.journal.record.update.budget.metered_bytes, 70);
    // After a restart it is known still, and the budget too.
    device_close(&d);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    d.update->host.fetch = NULL;
    d.asked_delta[0] = '\0';
    ask_about(&d);
    cr_expect(strstr(d.asked_delta, BASE), "%s", d.asked_delta);
    cr_expect_eq(d.state.journal.record.update.budget.metered_bytes, 70);
    device_drop(&d);
}

Test(instruction, a_delta_that_was_made_later_is_heard_of_by_the_same_offer) {
    struct device d;
    struct err e = ERR_NONE;
    start_hiring(&d);
    struct bundle_instruction i = offered(&d, 1);
    i.delta.size = 0;
    cr_assert_eq(device_send(&d, &i, &e), 0, "%s", e.text);
    ask_about(&d);
    cr_expect_str_eq(d.asked_delta, "");
    i = offered(&d, 2);
    cr_assert_eq(device_send(&d, &i, &e), 0, "%s", e.text);
    device_close(&d);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    d.update->host.fetch = NULL;
    ask_about(&d);
    cr_expect(strstr(d.asked_delta, BASE), "%s", d.asked_delta);
    device_drop(&d);
}

Test(instruction, what_an_offer_says_of_a_delta_counts_for_its_own_update_alone) {
    static const char *const changed[] = {"another attempt", "another bundle", "another rollout",
                                          "a bit",           "a file at hand", "a wrong delta"};
    for (size_t n = 0; n < sizeof changed / sizeof changed[0]; n++) {
        struct device d;
        struct err e = ERR_NONE;
        struct bundle_instruction_delta heard = {.size = 77};
        struct stat status;
        start_hiring(&d);
        struct bundle_instruction i = offered(&d, 1);
        cr_assert_eq(device_send(&d, &i, &e), 0, "%s", e.text);
        struct fsm_update *update = &d.state.journal.record.update;
        cr_assert(update_hint_read(d.update, &heard) && heard.size == 500);
        heard.size = 77;
        if (n == 0)
            update->attempt = 2;
        else if (n == 1)
            update->bundle.bytes[0] ^= 1;
        else if (n == 2)
            (void)snprintf(update->rollout, sizeof update->rollout, "other");
        else if (n == 3)
            cr_assert_eq(fs_replace(d.state.private_dir, "offer", "{}", 2, 0600, &e), 0);
        else if (n == 4)
            update->local = true;
        else
            update->no_delta = true;
        cr_expect_not(update_hint_read(d.update, &heard), "%s", changed[n]);
        cr_expect_eq(heard.size, 77, "%s", changed[n]);
        // An offer without one forgets it.
        i = offered(&d, 2);
        i.delta.size = 0;
        cr_assert_eq(agent_update_hint(d.state.private_dir, (struct slice){NULL, 0}, &i, &e), 0);
        cr_expect_eq(fs_stat(d.state.private_dir, "offer", &status, &e), FS_ABSENT);
        device_drop(&d);
    }
}

Test(instruction, who_is_told_to_go_back_and_cannot_says_so) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_report *reports = NULL;
    size_t n = 0;
    device_start_with(&d, "1.0", "2.0");
    uint64_t before = d.state.queue.next;
    json_object_set_new(d.state.floors.object, "app", json_integer(6));
    struct bundle_instruction i = offered(&d, 1);
    i.action = BUNDLE_ACTION_REVERT;
    (void)snprintf(i.rollout, sizeof i.rollout, "spring");
    cr_expect_lt(device_send(&d, &i, &e), 0);
    cr_expect(err_is(&e, &err_below_floor), "%s", e.text);
    cr_assert_eq(d.state.queue.next, before + 1, "one report");
    err_clear(&e);
    cr_assert_eq(agent_queue_peek(&d.state.queue, 64, &reports, &n, &e), 0, "%s", e.text);
    cr_expect_eq(reports[n - 1].event, BUNDLE_EVENT_REFUSED);
    cr_expect_str_eq(reports[n - 1].code, "below_floor");
    cr_expect_str_eq(reports[n - 1].rollout, "spring");
    free(reports);
    // What may be otherwise later is no answer: it is told again.
    d.update->hashing = true;
    i.header.version = 2;
    cr_expect_lt(device_send(&d, &i, &e), 0);
    cr_expect(err_is(&e, &err_busy), "%s", e.text);
    cr_expect_eq(d.state.queue.next, before + 1);
    d.update->hashing = false;
    device_drop(&d);
}
