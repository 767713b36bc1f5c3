// SPDX-License-Identifier: Apache-2.0
//
// Damage on the medium and on the way: what is held against a bundle and what is not, how a device
// whose generations decay still takes an update, and what may fill up or be left over meanwhile.
#include <stdlib.h>

#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/agent/device.h"

Test(damage, i1_a_damaged_previous_generation_is_not_gone_back_to_and_what_runs_goes_on) {
    struct device d;
    char runs[16];
    device_start_with(&d, "1.0", "1.1");
    device_damage(&d, "1/app/release");
    for (int i = 0; i < 2; i++) {
        device_obey(&d, FSM_ASK_REVERT);
        device_drive(&d);
        cr_expect_eq(d.state.journal.record.state, FSM_IDLE);
        cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_FAILED);
        cr_expect_str_eq(d.update->ended_why.code, "revert_failed");
        cr_expect_str_eq(device_runs(&d, runs), "1.1");
    }
    device_install(&d, "1.2", NULL);
    device_drop(&d);
}

Test(damage, i6_a_record_that_says_other_than_the_kept_manifest_is_not_gone_back_to) {
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
        device_start_with(&d, "1.0", "");
        buf_init(&text, 65536);
        cr_assert_eq(fs_read_file(d.state.store.generations, rows[i].path, 65536, &text, &e), 0);
        const char *at = strstr(buf_text(&text), rows[i].from);
        cr_assert(at, "row %zu", i);
        OWN(fd) int file = device_open_sealed(&d, rows[i].path);
        cr_assert_eq(
            fs_pwrite(file, rows[i].to, strlen(rows[i].to), (uint64_t)(at - buf_text(&text)), &e),
            0);
        cr_expect_lt(agent_store_verify(&d.state.store, 1, NULL, NULL, &record, &e), 0, "row %zu",
                     i);
        device_drop(&d);
    }
}

Test(damage, a_device_that_cannot_go_back_takes_an_update_that_heals_it) {
    for (int by_commit = 0; by_commit < 2; by_commit++) {
        struct device d;
        device_start_with(&d, "1.0", "");
        device_release(&d, "1.1", NULL);
        device_offer_until(&d, true, FSM_PROBATION);
        device_damage(&d, "1/app/release");
        device_obey(&d, FSM_ASK_REVERT);
        cr_assert(device_reach(&d, FSM_FAILED));
        device_drive(&d);
        cr_expect(agent_update_is_settled(d.update));
        if (by_commit) {
            device_obey(&d, FSM_ASK_COMMIT);
            device_drive(&d);
            cr_expect_eq(d.state.journal.record.committed, 2);
        }
        device_install(&d, "1.2", NULL);
        cr_expect_eq(d.state.journal.record.previous, 2);
        device_drop(&d);
    }
}

Test(damage, damage_in_what_runs_is_not_taken_over_nor_held_against_the_bundle) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_start_with(&d, "1.0", "");
    device_damage(&d, "1/model/release");
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

Test(damage, i4_contents_that_lie_are_the_bundles_fault_when_what_runs_is_whole) {
    struct device d;
    struct err e = ERR_NONE;
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    d.lie = "6.6";
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_str_eq(d.update->ended_why.code, "bad_content");
    cr_expect_eq(device_generations(&d), 2, "I8");
    cr_expect_lt(device_offer(&d, true, &e), 0);
    cr_expect(err_is(&e, &err_failed_before), "%s", e.text);
    device_drop(&d);
}

// Damage on the way: the same attempt at the same bundle goes on, or may come again.
Test(damage, i4_a_damaged_copy_is_tried_again_and_never_held_against_the_bundle) {
    const struct err_kind *const damages[] = {
        &err_bad_skeleton, &err_truncated,    &err_trailing_data,   &err_bad_index,
        &err_bad_frame,    &err_bad_manifest, &err_digest_mismatch, &err_below_threshold};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        for (int late = 0; late < 2; late++) {
            struct device d;
            struct err e = ERR_NONE;
            device_start(&d, json_pack("{si si}", "fetch_tries", 3, "backoff_base_s", 1));
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

Test(damage, i4_signed_contents_that_break_the_format_are_held_against_the_bundle_at_once) {
    const struct err_kind *const lies[] = {&err_bad_path, &err_bad_tree, &err_bad_content};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct device d;
        struct err e = ERR_NONE;
        device_start(&d, NULL);
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

Test(damage, without_a_controller_no_number_of_updates_stops_the_next) {
    struct device d;
    struct err e = ERR_NONE;
    device_start(&d, NULL);
    device_release(&d, "1.0", NULL);
    d.breaks = &err_truncated;
    for (int i = 0; i < AGENT_QUEUE_REPORTS_MAX; i++) {
        d.breaks_left = 1;
        cr_assert_eq(device_offer(&d, true, &e), 0, "after %d refusals: %s", i, e.text);
        device_drive(&d);
    }
    cr_expect_leq(d.state.queue.n, AGENT_QUEUE_RING_MAX);
    cr_expect_gt(d.state.queue.dropped, 0);
    device_install(&d, "1.1", NULL);
    device_drop(&d);
}

Test(damage, i8_what_the_generation_before_has_needs_no_space_and_everything_else_does) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_generation before;
    struct bundle_manifest_view *view = calloc(1, sizeof *view);
    struct bundle_component *app = calloc(1, sizeof *app);
    device_start_with(&d, "1.0", "");
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
    cr_expect_eq(device_generations(&d), 2, "and the trial link is gone");
    free(view);
    free(app);
    device_drop(&d);
}

Test(damage, i8_what_a_power_cut_left_of_a_replaced_file_is_gone_after_the_start) {
    struct device d;
    struct err e = ERR_NONE;
    struct stat status;
    const char *name = ".journal.tmp-0123456789abcdef";
    device_start(&d, NULL);
    const int dirs[] = {d.state.private_dir, d.state.store.dir, d.state.store.generations};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(fs_replace(dirs[i], name, "x", 1, 0600, &e), 0, "%s", e.text);
    device_restart(&d);
    device_drive(&d);
    cr_expect_eq(fs_stat(d.state.private_dir, name, &status, &e), FS_ABSENT);
    cr_expect_eq(fs_stat(d.state.store.dir, name, &status, &e), FS_ABSENT);
    cr_expect_eq(fs_stat(d.state.store.generations, name, &status, &e), FS_ABSENT);
    device_drop(&d);
}
