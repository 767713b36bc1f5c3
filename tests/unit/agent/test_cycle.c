// SPDX-License-Identifier: Apache-2.0
//
// Whole updates on a device in a temporary directory: installed, committed, reverted, refused; and
// each of these killed at every call to the file system and recovered.
#include <errno.h>

#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/agent/device.h"

static int count_entry(void *context, const char *name, mode_t type, struct err *e) {
    size_t *n = context;
    (void)name;
    (void)type;
    (void)e;
    (*n)++;
    return 0;
}

static size_t generations_on_disk(struct device *d) {
    struct err e = ERR_NONE;
    size_t n = 0;
    cr_assert_eq(fs_list(d->state.store.generations, ".", count_entry, &n, &e), 0);
    return n;
}

static void install(struct device *d, const char *release, json_t *more) {
    struct err e = ERR_NONE;
    char runs[16];
    device_release(d, release, more);
    cr_assert_eq(device_offer(d, true, &e), 0, "%s", e.text);
    device_drive(d);
    cr_assert_eq(d->state.journal.record.state, FSM_IDLE);
    cr_assert_str_eq(device_runs(d, runs), release);
}

Test(cycle, a_new_device_runs_an_empty_generation) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    cr_expect_str_eq(device_runs(&d, runs), "");
    cr_expect_eq(generations_on_disk(&d), 1);
    device_drop(&d);
}

Test(cycle, i2_a_commit_keeps_the_generation_before_and_only_that) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    install(&d, "1.1", NULL);
    install(&d, "1.2", NULL);
    cr_expect_eq(generations_on_disk(&d), 2);
    cr_expect_eq(d.state.journal.record.committed, 3);
    cr_expect_eq(d.state.journal.record.previous, 2);
    device_drop(&d);
}

Test(cycle, going_back_from_a_committed_generation_needs_no_download) {
    struct device d;
    struct err e = ERR_NONE, why = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    install(&d, "1.1", NULL);
    err_set(&why, &err_rolled_back, "asked");
    cr_assert_eq(agent_update_ask(d.update, FSM_ASK_REVERT, &why, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_eq(generations_on_disk(&d), 1, "I8: what was left is gone");
    cr_expect_lt(agent_update_ask(d.update, FSM_ASK_REVERT, &why, &e), 0);
    cr_expect(err_is(&e, &err_no_previous));
    device_drop(&d);
}

Test(cycle, i4_what_was_rolled_back_is_not_installed_again_by_the_same_attempt) {
    struct device d;
    struct err e = ERR_NONE, why = ERR_NONE;
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    install(&d, "1.1", NULL);
    err_set(&why, &err_rolled_back, "asked");
    cr_assert_eq(agent_update_ask(d.update, FSM_ASK_REVERT, &why, &e), 0);
    device_drive(&d);
    cr_expect_lt(device_offer(&d, true, &e), 0);
    cr_expect(err_is(&e, &err_failed_before), "%s", e.text);
    device_drop(&d);
}

Test(cycle, i6_nothing_below_the_floor_is_gone_back_to) {
    struct device d;
    struct err e = ERR_NONE, why = ERR_NONE;
    json_t *floors = json_pack("{s{si}}", "floors", "app", 6);
    json_t *higher = json_pack("{si}", "app", 6);
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    install(&d, "1.1", NULL);
    cr_assert_eq(agent_floors_raise(d.state.private_dir, &d.state.floors, higher, &e), 0);
    err_set(&why, &err_rolled_back, "asked");
    cr_expect_lt(agent_update_ask(d.update, FSM_ASK_REVERT, &why, &e), 0);
    cr_expect_str_eq(e.kind->name, "below_floor");
    json_decref(floors);
    json_decref(higher);
    device_drop(&d);
}

Test(cycle, i6_a_floor_rises_when_a_bundle_outside_any_rollout_says_so_and_is_committed) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", json_pack("{s{si}}", "floors", "app", 5));
    cr_expect_eq(json_integer_value(json_object_get(d.state.floors.object, "app")), 5);
    device_drop(&d);
}

Test(cycle, i11_an_offer_from_the_network_waits_for_the_last_look) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
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

Test(cycle, an_inhibit_delays_and_is_reported_and_the_look_comes_after_it) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
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

Test(cycle, i3_a_probation_interrupted_too_often_is_reverted_without_anybody) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    device_release(&d, "1.1", NULL);
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_PROBATION));
    for (int i = 0; i < 4; i++) {
        device_close(&d);
        cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    }
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_str_eq(d.update->ended_why.code, "interrupted");
    device_drop(&d);
}

Test(cycle, i1_a_generation_that_was_changed_before_the_swap_is_not_activated) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    device_release(&d, "1.1", NULL);
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_WAITING));
    OWN(fd) int file = -1;
    cr_assert_eq(fs_open_write(d.state.store.generations, "2/app/release", 0444, &file, &e), 0);
    cr_assert_eq(fs_pwrite(file, "6.6", 3, 0, &e), 0);
    fake_clock_advance(&d.clock, UPDATE_ENGINE_FRESH_MS + 1);
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_str_eq(d.update->ended_why.code, "bad_content");
    cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_REFUSED);
    device_drop(&d);
}

static void damage(struct device *d, const char *path) {
    struct err e = ERR_NONE;
    OWN(fd) int file = -1;
    cr_assert_eq(fs_open_write(d->state.store.generations, path, 0444, &file, &e), 0, "%s", e.text);
    cr_assert_eq(fs_pwrite(file, "6.6", 3, 0, &e), 0);
}

Test(cycle, i1_a_damaged_previous_generation_is_not_gone_back_to_and_what_runs_goes_on) {
    struct device d;
    struct err e = ERR_NONE, why = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    install(&d, "1.1", NULL);
    damage(&d, "1/app/release");
    err_set(&why, &err_rolled_back, "asked");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(agent_update_ask(d.update, FSM_ASK_REVERT, &why, &e), 0, "%s", e.text);
        device_drive(&d);
        cr_expect_eq(d.state.journal.record.state, FSM_IDLE);
        cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_FAILED);
        cr_expect_str_eq(d.update->ended_why.code, "revert_failed");
        cr_expect_str_eq(device_runs(&d, runs), "1.1");
    }
    install(&d, "1.2", NULL);
    device_drop(&d);
}

Test(cycle, i6_a_record_that_says_other_than_the_kept_manifest_is_not_gone_back_to) {
    static const struct {
        const char *path, *from, *to;
    } rows[] = {
        {"1/.edge/generation.json", "\"security_version\":5", "\"security_version\":9"},
        {"1/.edge/generation.json", "\"1.0\"", "\"6.6\""},
        {"1/.edge/app.manifest", "\"1.0\"", "\"6.6\""},
        {"1/.edge/app.manifest", "{", " "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct device d;
        struct err e = ERR_NONE;
        struct bundle_generation record;
        OWN(buf) struct buf text;
        OWN(fd) int file = -1;
        device_make(&d, NULL);
        cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
        install(&d, "1.0", NULL);
        buf_init(&text, 65536);
        cr_assert_eq(fs_read_file(d.state.store.generations, rows[i].path, 65536, &text, &e), 0);
        const char *at = strstr(buf_text(&text), rows[i].from);
        cr_assert(at, "row %zu", i);
        cr_assert_eq(fs_open_write(d.state.store.generations, rows[i].path, 0444, &file, &e), 0);
        cr_assert_eq(
            fs_pwrite(file, rows[i].to, strlen(rows[i].to), (uint64_t)(at - buf_text(&text)), &e),
            0);
        cr_expect_lt(agent_store_verify(&d.state.store, 1, NULL, NULL, &record, &e), 0, "row %zu",
                     i);
        device_drop(&d);
    }
}

Test(cycle, a_device_that_cannot_go_back_takes_an_update_that_heals_it) {
    for (int by_commit = 0; by_commit < 2; by_commit++) {
        struct device d;
        struct err e = ERR_NONE, why = ERR_NONE, wish = ERR_NONE;
        device_make(&d, NULL);
        cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
        install(&d, "1.0", NULL);
        device_release(&d, "1.1", NULL);
        cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
        cr_assert(device_reach(&d, FSM_PROBATION));
        damage(&d, "1/app/release");
        err_set(&why, &err_probe_failed, "slow");
        cr_assert_eq(agent_update_ask(d.update, FSM_ASK_REVERT, &why, &e), 0, "%s", e.text);
        cr_assert(device_reach(&d, FSM_FAILED));
        device_drive(&d);
        cr_expect(agent_update_is_settled(d.update));
        if (by_commit) {
            cr_assert_eq(agent_update_ask(d.update, FSM_ASK_COMMIT, &wish, &e), 0, "%s", e.text);
            device_drive(&d);
            cr_expect_eq(d.state.journal.record.committed, 2);
        }
        install(&d, "1.2", NULL);
        cr_expect_eq(d.state.journal.record.previous, 2);
        device_drop(&d);
    }
}

Test(cycle, damage_in_what_runs_is_not_taken_over_nor_held_against_the_bundle) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    damage(&d, "1/model/release");
    // Another bundle with the same files.
    device_release(&d, "1.0", json_pack("{s{si}}", "floors", "app", 1));
    d.leave_out = true;
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_COMMITTED, "%s", d.update->ended_why.text);
    cr_expect_eq(d.state.journal.record.committed, 2);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    device_drop(&d);
}

Test(cycle, i4_contents_that_lie_are_the_bundles_fault_when_what_runs_is_whole) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    device_release(&d, "1.1", NULL);
    d.lie = "6.6";
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_str_eq(d.update->ended_why.code, "bad_content");
    cr_expect_eq(generations_on_disk(&d), 2, "I8");
    cr_expect_lt(device_offer(&d, true, &e), 0);
    cr_expect(err_is(&e, &err_failed_before), "%s", e.text);
    device_drop(&d);
}

// Damage on the way: the same attempt at the same bundle goes on, or may come again.
Test(cycle, i4_a_damaged_copy_is_tried_again_and_never_held_against_the_bundle) {
    const struct err_kind *const damages[] = {
        &err_bad_skeleton, &err_truncated,    &err_trailing_data,   &err_bad_index,
        &err_bad_frame,    &err_bad_manifest, &err_digest_mismatch, &err_below_threshold};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        for (int late = 0; late < 2; late++) {
            struct device d;
            struct err e = ERR_NONE;
            device_make(&d, json_pack("{si si}", "fetch_tries", 3, "backoff_base_s", 1));
            cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
            device_release(&d, "1.0", NULL);
            d.breaks = damages[i];
            d.after_manifest = late;
            d.breaks_left = 3;
            cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
            device_drive(&d);
            cr_expect_eq(d.breaks_left, 0, "%s: tried as often as allowed", damages[i]->name);
            cr_expect_str_eq(d.update->ended_why.code, damages[i]->name);
            d.breaks_left = 2;
            cr_assert_eq(device_offer(&d, false, &e), 0, "%s: %s", damages[i]->name, e.text);
            cr_expect(device_reach(&d, FSM_WAITING), "%s: a good copy", damages[i]->name);
            device_drop(&d);
        }
    }
}

Test(cycle, i4_signed_contents_that_break_the_format_are_held_against_the_bundle_at_once) {
    const struct err_kind *const lies[] = {&err_bad_path, &err_bad_tree, &err_bad_content};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct device d;
        struct err e = ERR_NONE;
        device_make(&d, NULL);
        cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
        device_release(&d, "1.0", NULL);
        d.breaks = lies[i];
        d.breaks_left = 1;
        d.after_manifest = true;
        cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
        device_drive(&d);
        cr_expect_eq(d.state.journal.record.state, FSM_IDLE);
        cr_expect_lt(device_offer(&d, false, &e), 0);
        cr_expect(err_is(&e, &err_failed_before), "%s", e.text);
        device_drop(&d);
    }
}

Test(cycle, without_a_controller_no_number_of_updates_stops_the_next) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    device_release(&d, "1.0", NULL);
    d.breaks = &err_truncated;
    for (int i = 0; i < AGENT_QUEUE_REPORTS_MAX; i++) {
        d.breaks_left = 1;
        cr_assert_eq(device_offer(&d, true, &e), 0, "after %d refusals: %s", i, e.text);
        device_drive(&d);
    }
    cr_expect_leq(d.state.queue.n, AGENT_QUEUE_RING_MAX);
    cr_expect_gt(d.state.queue.dropped, 0);
    install(&d, "1.1", NULL);
    device_drop(&d);
}

Test(cycle, i8_what_the_generation_before_has_needs_no_space_and_everything_else_does) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_generation before;
    struct bundle_manifest_view *view = calloc(1, sizeof *view);
    struct bundle_component *app = calloc(1, sizeof *app);
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    install(&d, "1.0", NULL);
    cr_assert_eq(agent_store_record(&d.state.store, 1, &before, &e), 0, "%s", e.text);
    view->n_components = 1;
    view->components = app;
    *app = (struct bundle_component){.name = "app",
                                     .entries = 1,
                                     .digest = before.components[0].digest,
                                     .size = 100,
                                     .stream_bytes = 1ULL << 50};
    cr_expect_eq(agent_store_check_space(&d.state.store, view, &before, 0, 0, &e), 0, "%s", e.text);
    app->digest.bytes[0] ^= 1;
    cr_expect_lt(agent_store_check_space(&d.state.store, view, &before, 0, 0, &e), 0);
    cr_expect(err_is(&e, &err_no_space), "%s", e.text);
    err_clear(&e);
    // The same tree, but of another component.
    app->digest.bytes[0] ^= 1;
    (void)snprintf(app->name, sizeof app->name, "other");
    cr_expect_lt(agent_store_check_space(&d.state.store, view, &before, 0, 0, &e), 0);
    cr_expect_eq(generations_on_disk(&d), 2, "and the trial link is gone");
    free(view);
    free(app);
    device_drop(&d);
}

Test(cycle, i8_what_a_power_cut_left_of_a_replaced_file_is_gone_after_the_start) {
    struct device d;
    struct err e = ERR_NONE;
    struct stat status;
    const char *name = ".journal.tmp-0123456789abcdef";
    device_make(&d, NULL);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    const int dirs[] = {d.state.private_dir, d.state.store.dir, d.state.store.generations};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(fs_replace(dirs[i], name, "x", 1, 0600, &e), 0, "%s", e.text);
    device_close(&d);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_eq(fs_stat(d.state.private_dir, name, &status, &e), FS_ABSENT);
    cr_expect_eq(fs_stat(d.state.store.dir, name, &status, &e), FS_ABSENT);
    cr_expect_eq(fs_stat(d.state.store.generations, name, &status, &e), FS_ABSENT);
    device_drop(&d);
}

Test(cycle, i1_a_link_that_somebody_removed_or_turned_is_put_right_at_the_start) {
    static const char *const wrong[] = {NULL, "generations/1", "/tmp"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct device d;
        struct err e = ERR_NONE;
        char runs[16];
        device_make(&d, NULL);
        cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
        install(&d, "1.0", NULL);
        install(&d, "1.1", NULL);
        cr_assert_eq(fs_remove(d.state.store.dir, "current", &e), 0);
        if (wrong[i])
            cr_assert_eq(fs_symlink(wrong[i], d.state.store.dir, "current", &e), 0);
        device_close(&d);
        cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
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

static bool begin_update(struct device *d) {
    struct err e = ERR_NONE;
    return device_offer(d, true, &e) == 0;
}

static bool begin_failing_update(struct device *d) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, &err_probe_failed, "slow");
    return device_offer(d, true, &e) == 0 && device_reach(d, FSM_PROBATION) &&
           agent_update_ask(d->update, FSM_ASK_REVERT, &why, &e) == 0;
}

static bool begin_rollback(struct device *d) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, &err_rolled_back, "asked");
    return agent_update_ask(d->update, FSM_ASK_REVERT, &why, &e) == 0;
}

// A device at 1.1 that has 1.0 to go back to and a floor of 4; the next download is 1.2.
static void prepare(struct device *d) {
    struct err e = ERR_NONE;
    json_t *floors = json_pack("{si}", "app", 4);
    device_make(d, NULL);
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
    cr_assert_eq(agent_floors_raise(d->state.private_dir, &d->state.floors, floors, &e), 0);
    json_decref(floors);
    install(d, "1.0", NULL);
    install(d, "1.1", NULL);
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
        device_drive(&d);
    device_close(&d);
    bool hit = fs_fault_end(NULL);
    cr_assert_eq(device_open(&d, &e), 0, "after call %zu: %s", n, e.text);
    check_recovered(&d, plan->before, plan->after);
    device_drive(&d);
    cr_assert_eq(d.state.journal.record.state, FSM_IDLE, "after call %zu: %s", n,
                 fsm_machine_state_names[d.state.journal.record.state]);
    check_recovered(&d, plan->before, plan->after);
    uint64_t current;
    cr_assert_eq(agent_store_current(&d.state.store, &current, &e), 0);
    cr_assert_eq(current, d.state.journal.record.committed, "I3: what runs is committed");
    cr_assert_eq(generations_on_disk(&d), d.state.journal.record.has_previous ? 2 : 1,
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

Test(cycle, killed_at_any_call_an_update_that_commits_leaves_i1_to_i8, .timeout = 240) {
    struct plan plan = {"1.1", "1.2", begin_update};
    kill_everywhere(&plan);
}

Test(cycle, killed_at_any_call_an_update_that_fails_in_probation_leaves_i1_to_i8, .timeout = 240) {
    // It ends on 1.1 when nothing is killed; recovered before it was asked to go back it commits.
    struct plan plan = {"1.2", "1.1", begin_failing_update};
    kill_everywhere(&plan);
}

Test(cycle, killed_at_any_call_a_rollback_leaves_i1_to_i8, .timeout = 240) {
    struct plan plan = {"1.1", "1.0", begin_rollback};
    kill_everywhere(&plan);
}
