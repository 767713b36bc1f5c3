// SPDX-License-Identifier: Apache-2.0
//
// Whole updates on a device in a temporary directory: installed, committed, reverted, refused; and
// each of these killed at every call to the file system and recovered.
#include <errno.h>
#include <fcntl.h>

#include "tests/unit/agent/device.h"

Test(cycle, a_new_device_runs_an_empty_generation) {
    struct device d;
    char runs[16];
    device_start(&d, NULL);
    cr_expect_str_eq(device_runs(&d, runs), "");
    cr_expect_eq(device_generations(&d), 1);
    device_drop(&d);
}

Test(cycle, i2_a_commit_keeps_the_generation_before_and_only_that) {
    struct device d;
    device_start(&d, NULL);
    device_install(&d, "1.0", NULL);
    device_install(&d, "1.1", NULL);
    device_install(&d, "1.2", NULL);
    cr_expect_eq(device_generations(&d), 2);
    cr_expect_eq(d.state.journal.record.committed, 3);
    cr_expect_eq(d.state.journal.record.previous, 2);
    device_drop(&d);
}

Test(cycle, going_back_from_a_committed_generation_needs_no_download) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_start_with(&d, "1.0", "1.1");
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_eq(device_generations(&d), 1, "I8: what was left is gone");
    cr_expect_lt(device_ask(&d, FSM_ASK_REVERT, &e), 0);
    cr_expect(err_is(&e, &err_no_previous));
    device_drop(&d);
}

Test(cycle, i4_what_was_rolled_back_is_not_installed_again_by_the_same_attempt) {
    struct device d;
    struct err e = ERR_NONE;
    device_start_with(&d, "1.0", "1.1");
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    cr_expect_lt(device_offer(&d, true, &e), 0);
    cr_expect(err_is(&e, &err_failed_before), "%s", e.text);
    device_drop(&d);
}

Test(cycle, i6_nothing_below_the_floor_is_gone_back_to) {
    struct device d;
    struct err e = ERR_NONE;
    json_t *floors = json_pack("{s{si}}", "floors", "app", 6);
    json_t *higher = json_pack("{si}", "app", 6);
    device_start_with(&d, "1.0", "1.1");
    cr_assert_eq(agent_floors_raise(d.state.private_dir, &d.state.floors, higher, &e), 0);
    cr_expect_lt(device_ask(&d, FSM_ASK_REVERT, &e), 0);
    cr_expect_str_eq(e.kind->name, "below_floor");
    json_decref(floors);
    json_decref(higher);
    device_drop(&d);
}

Test(cycle, i6_a_floor_rises_when_a_bundle_outside_any_rollout_says_so_and_is_committed) {
    struct device d;
    device_start(&d, NULL);
    device_install(&d, "1.0", json_pack("{s{si}}", "floors", "app", 5));
    cr_expect_eq(json_integer_value(json_object_get(d.state.floors.object, "app")), 5);
    device_drop(&d);
}

Test(cycle, i11_an_offer_from_the_network_waits_for_the_last_look) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_start(&d, NULL);
    device_release(&d, "2.0", NULL);
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_eq(d.state.journal.record.state, FSM_WAITING);
    cr_expect_str_eq(d.state.journal.record.why.code, "last_look");
    cr_expect(agent_update_wants_look(d.update));
    cr_expect_str_eq(device_runs(&d, runs), "");
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "2.0");
    device_drop(&d);
}

Test(cycle, i10_what_is_waited_for_is_reported_with_what_is_staged) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_report *reports = NULL;
    size_t n;
    device_start(&d, NULL);
    device_release(&d, "2.0", NULL);
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_assert_eq(agent_queue_peek(&d.state.queue, 256, &reports, &n, &e), 0, "%s", e.text);
    cr_assert_eq(n, 2, "offered and staged, and no third one that says the same");
    cr_expect_eq(reports[1].event, BUNDLE_EVENT_STAGED);
    cr_expect_str_eq(reports[1].code, "last_look");
    cr_expect_str_eq(reports[1].text, UPDATE_ENGINE_LOOK_TEXT);
    free(reports);
    device_drop(&d);
}

// An agent before this one waited, for an instant, without saying for what.
Test(cycle, i10_a_journal_without_a_reason_is_gone_on_with_and_gets_one) {
    static const enum fsm_state states[] = {FSM_WAITING, FSM_REVERTING};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct device d;
        struct err e = ERR_NONE;
        device_start_with(&d, "1.0", "");
        device_release(&d, "2.0", NULL);
        cr_assert_eq(device_offer(&d, states[i] != FSM_WAITING, &e), 0, "%s", e.text);
        cr_assert(device_reach(&d, i == 0 ? FSM_WAITING : FSM_PROBATION));
        if (states[i] == FSM_REVERTING)
            device_obey(&d, FSM_ASK_REVERT);
        struct fsm_record *r = &d.state.journal.record;
        cr_assert_eq(r->state, states[i]);
        r->why = (struct fsm_why){.code = ""};
        cr_assert_eq(agent_state_save(&d.state, &e), 0, "%s", e.text);
        device_restart(&d);
        cr_expect_str_eq(r->why.code, i == 0 ? "last_look" : "interrupted");
        cr_expect_str_neq(r->why.text, "");
        device_drive(&d);
        cr_expect_eq(r->state, i == 0 ? FSM_WAITING : FSM_IDLE);
        device_drop(&d);
    }
}

Test(cycle, i3_a_commit_is_recorded_with_the_probation_that_it_took) {
    struct device d;
    device_start_with(&d, "1.0", "");
    const struct fsm_record *r = &d.state.journal.record;
    cr_expect(r->has_last);
    cr_expect_geq(r->last.probation_done_s, r->last.probation_s);
    cr_expect_eq(r->last.probation_s, 60);
    device_drop(&d);
}

Test(cycle, an_inhibit_delays_and_is_reported_and_the_look_comes_after_it) {
    struct device d;
    struct err e = ERR_NONE;
    device_start(&d, NULL);
    device_release(&d, "2.0", NULL);
    agent_update_inhibit(d.update, 100000, "recording");
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_str_eq(d.state.journal.record.why.code, "inhibited");
    cr_expect_not(agent_update_wants_look(d.update));
    agent_update_inhibit(d.update, 0, "");
    device_drive(&d);
    cr_expect_str_eq(d.state.journal.record.why.code, "last_look");
    device_drop(&d);
}

// It is for the next activation: what is given up before was none, and a probation is behind it.
Test(cycle, an_inhibit_outlives_an_update_that_is_given_up_and_a_commit) {
    struct device d;
    struct err e = ERR_NONE;
    device_start(&d, NULL);
    agent_update_inhibit(d.update, 3600, "recording");
    device_release(&d, "2.0", NULL);
    device_offer_until(&d, false, FSM_WAITING);
    device_obey(&d, FSM_ASK_CANCEL);
    device_drive(&d);
    cr_expect_gt(d.update->inhibit_until_ms, 0);
    // From a file it waits for nothing, and is the activation that was delayed.
    device_release(&d, "3.0", NULL);
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_PROBATION));
    cr_expect_eq(d.update->inhibit_until_ms, 0);
    agent_update_inhibit(d.update, 3600, "another recording");
    device_drive(&d);
    cr_assert_eq(d.state.journal.record.state, FSM_IDLE);
    cr_expect_gt(d.update->inhibit_until_ms, 0);
    device_drop(&d);
}

Test(cycle, i3_a_probation_interrupted_too_often_is_reverted_without_anybody) {
    struct device d;
    char runs[16];
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    device_offer_until(&d, true, FSM_PROBATION);
    for (int i = 0; i < 4; i++)
        device_restart(&d);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_str_eq(d.update->ended_why.code, "interrupted");
    device_drop(&d);
}

Test(cycle, i1_a_generation_that_was_changed_before_the_swap_is_not_activated) {
    struct device d;
    char runs[16];
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    device_offer_until(&d, false, FSM_WAITING);
    device_damage(&d, "2/app/release");
    fake_clock_advance(&d.clock, UPDATE_ENGINE_FRESH_MS + 1);
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_str_eq(d.update->ended_why.code, "bad_content");
    cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_REFUSED);
    device_drop(&d);
}

Test(cycle, i7_one_component_that_cannot_be_had_keeps_all_of_them_back) {
    struct device d;
    char runs[16];
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    device_offer_until(&d, false, FSM_WAITING);
    device_damage(&d, "2/model/release"); // the second one; the first is good
    fake_clock_advance(&d.clock, UPDATE_ENGINE_FRESH_MS + 1);
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0", "I7: both components");
    cr_expect_eq(device_generations(&d), 2, "0 and 1");
    device_drop(&d);
}

Test(cycle, i1_a_link_that_somebody_removed_or_turned_is_put_right_at_the_start) {
    static const char *const wrong[] = {NULL, "generations/1", "/tmp"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct device d;
        struct err e = ERR_NONE;
        char runs[16];
        device_start_with(&d, "1.0", "1.1");
        cr_assert_eq(fs_remove(d.state.store.dir, "current", &e), 0);
        if (wrong[i])
            cr_assert_eq(fs_symlink(wrong[i], d.state.store.dir, "current", &e), 0);
        device_restart(&d);
        cr_expect_str_eq(device_runs(&d, runs), "1.1");
        device_drop(&d);
    }
}

// ── Killed everywhere ───────────────────────────────────────────────────────────────────────────

// I5: ids rise by one, and each update is reported from its offer to its end.
static void check_reports(struct device *d) {
    struct bundle_report *reports = NULL;
    struct err e = ERR_NONE;
    size_t n = 0;
    bool under_way = false;
    cr_assert_eq(agent_queue_peek(&d->state.queue, 256, &reports, &n, &e), 0, "%s", e.text);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(reports[i].id, i + 1, "I5: report %zu has id %" PRIu64, i + 1, reports[i].id);
        if (reports[i].event == BUNDLE_EVENT_OFFERED) {
            cr_assert_not(under_way, "I5: an update ended without a report");
            under_way = true;
        } else if (reports[i].event >= BUNDLE_EVENT_COMMITTED)
            under_way = false;
    }
    cr_assert_not(under_way, "I5: the last update ended without a report");
    free(reports);
}

// What applications see when nobody is there to repair anything: `current` leads to a whole
// release.
static void check_seen(const struct device *d, const char *before, const char *after, size_t n) {
    for (size_t i = 0; i < DEVICE_COMPONENTS; i++) {
        char path[64], release[16] = "";
        struct err e = ERR_NONE;
        size_t len = 0;
        (void)snprintf(path, sizeof path, "state/current/%s/release", device_components[i]);
        OWN(fd) int fd = openat(d->dir.fd, path, O_RDONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0, "I1: after call %zu there is no %s", n, path);
        cr_assert_eq(fs_read(fd, release, sizeof release - 1, &len, &e), 0, "%s", e.text);
        cr_assert(strcmp(release, before) == 0 || strcmp(release, after) == 0,
                  "I1: after call %zu %s is '%s'", n, path, release);
    }
}

static void check_recovered(struct device *d, const char *before, const char *after) {
    const struct fsm_record *r = &d->state.journal.record;
    struct bundle_generation g;
    struct err e = ERR_NONE;
    char runs[16];
    device_runs(d, runs);
    cr_assert(strcmp(runs, before) == 0 || strcmp(runs, after) == 0, "%s runs", runs);
    cr_assert_eq(agent_store_verify(&d->state.store, r->committed, NULL, NULL, &g, &e), 0,
                 "I2: the committed generation: %s", e.text);
    if (r->has_previous)
        cr_assert_eq(agent_store_verify(&d->state.store, r->previous, NULL, NULL, &g, &e), 0,
                     "I2: the previous generation: %s", e.text);
    cr_assert_eq(json_integer_value(json_object_get(d->state.floors.object, "app")), 4,
                 "I6: the floor is where it was");
}

struct plan {
    const char *before;              // what runs when it begins
    const char *after;               // what may run then, too
    bool (*begin)(struct device *d); // false when the device died at it
};

static bool waits_for_a_look(const struct device *d) {
    return !agent_update_fatal(d->update) && d->state.journal.record.state == FSM_WAITING;
}

// Until nothing moves any more; the controller says yes when it is asked.
static void drive(struct device *d) {
    device_drive(d);
    if (!waits_for_a_look(d))
        return;
    agent_update_looked(d->update);
    device_drive(d);
}

static bool begin_update(struct device *d) {
    struct err e = ERR_NONE;
    return device_offer(d, true, &e) == 0;
}

static bool begin_update_from_the_network(struct device *d) {
    struct err e = ERR_NONE;
    return device_offer(d, false, &e) == 0;
}

static bool begin_failing_update(struct device *d) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, &err_probe_failed, "slow");
    return device_offer(d, true, &e) == 0 && device_reach(d, FSM_PROBATION) &&
           agent_update_ask(d->update, FSM_ASK_REVERT, &why, &e) == 0;
}

static bool begin_rollback(struct device *d) {
    struct err e = ERR_NONE;
    return device_ask(d, FSM_ASK_REVERT, &e) == 0;
}

// A device at 1.1 that has 1.0 to go back to and a floor of 4; the next download is 1.2.
static void prepare(struct device *d) {
    struct err e = ERR_NONE;
    json_t *floors = json_pack("{si}", "app", 4);
    device_make(d, NULL);
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
    cr_assert_eq(agent_floors_raise(d->state.private_dir, &d->state.floors, floors, &e), 0);
    json_decref(floors);
    device_install(d, "1.0", NULL);
    device_install(d, "1.1", NULL);
    device_release(d, "1.2", NULL);
}

// Runs the plan with everything failing from the n-th call on, then recovers. False when no call
// failed.
static bool killed_at(const struct plan *plan, size_t n) {
    struct device d;
    struct err e = ERR_NONE;
    struct fs_fault fault = {.at = n, .effect = FS_FAULT_ERROR, .error = EIO, .for_ever = true};
    char runs[16];
    prepare(&d);
    fs_fault_begin(&fault);
    if (plan->begin(&d))
        drive(&d);
    device_close(&d);
    bool hit = fs_fault_end(NULL);
    check_seen(&d, plan->before, plan->after, n);
    cr_assert_eq(device_open(&d, &e), 0, "after call %zu: %s", n, e.text);
    check_recovered(&d, plan->before, plan->after);
    drive(&d);
    cr_assert_eq(d.state.journal.record.state, FSM_IDLE, "after call %zu: %s", n,
                 fsm_machine_state_names[d.state.journal.record.state]);
    check_recovered(&d, plan->before, plan->after);
    uint64_t current;
    cr_assert_eq(agent_store_current(&d.state.store, &current, &e), 0);
    cr_assert_eq(current, d.state.journal.record.committed, "I3: what runs is committed");
    cr_assert_eq(device_generations(&d), d.state.journal.record.has_previous ? 2 : 1,
                 "I8: after call %zu something is left over", n);
    check_reports(&d);
    if (!hit)
        cr_assert_str_eq(device_runs(&d, runs), plan->after);
    device_drop(&d);
    return hit;
}

static void kill_everywhere(const struct plan *plan) {
    size_t n = 0;
    while (killed_at(plan, n))
        n++;
    cr_assert_gt(n, 20, "only %zu calls were killed", n);
}

Test(cycle, killed_at_any_call_an_update_that_commits_leaves_i1_to_i8, .timeout = 1200) {
    struct plan plan = {"1.1", "1.2", begin_update};
    kill_everywhere(&plan);
}

Test(cycle, killed_at_any_call_an_update_from_the_network_leaves_i1_to_i8_and_i11,
     .timeout = 1200) {
    struct plan plan = {"1.1", "1.2", begin_update_from_the_network};
    kill_everywhere(&plan);
}

Test(cycle, killed_at_any_call_an_update_that_fails_in_probation_leaves_i1_to_i8, .timeout = 1200) {
    // It ends on 1.1 when nothing is killed; recovered before it was asked to go back it commits.
    struct plan plan = {"1.2", "1.1", begin_failing_update};
    kill_everywhere(&plan);
}

Test(cycle, killed_at_any_call_a_rollback_leaves_i1_to_i8, .timeout = 1200) {
    struct plan plan = {"1.1", "1.0", begin_rollback};
    kill_everywhere(&plan);
}
