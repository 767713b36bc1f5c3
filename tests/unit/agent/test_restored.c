// SPDX-License-Identifier: Apache-2.0
//
// What a device does, and does not do, while its anchor says that the state directory is an old
// copy; and when the counter is raised. tests/e2e/tpm.py has the same over a TPM.
#include <sys/stat.h>

#include "tests/unit/agent/device.h"

static struct agent_anchor anchored(const struct device *d, enum agent_anchor_verdict verdict) {
    struct agent_anchor a = {.clock = &d->clock.chrono, .verdict = verdict};
    return a;
}

static void expect_refused(int done, const struct err *e) {
    cr_expect_lt(done, 0);
    cr_expect_eq(e->kind, &err_state_restored, "%s", e->text);
}

Test(restored, nothing_from_a_file_and_no_way_back_until_it_counts_again) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_start_with(&d, "1.0", "1.1");
    device_release(&d, "1.2", NULL);
    d.state.anchor = anchored(&d, AGENT_ANCHOR_RESTORED);
    expect_refused(device_offer(&d, true, &e), &e);
    err_clear(&e);
    expect_refused(device_ask(&d, FSM_ASK_REVERT, &e), &e);
    cr_expect_eq(d.state.journal.record.state, FSM_IDLE);
    cr_expect_str_eq(device_runs(&d, runs), "1.1", "what runs goes on running");
    d.state.anchor.verdict = AGENT_ANCHOR_HELD;
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    device_drop(&d);
}

Test(restored, a_tpm_that_is_silent_keeps_no_device_from_going_back) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    device_start_with(&d, "1.0", "1.1");
    device_release(&d, "1.2", NULL);
    d.state.anchor = anchored(&d, AGENT_ANCHOR_UNKNOWN);
    expect_refused(device_offer(&d, true, &e), &e);
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    device_drop(&d);
}

Test(restored, an_update_from_the_network_is_taken) {
    struct device d;
    struct err e = ERR_NONE;
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    d.state.anchor = anchored(&d, AGENT_ANCHOR_RESTORED);
    cr_expect_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    device_drop(&d);
}

Test(restored, a_failed_probation_waits_with_going_back_and_keeps_its_reason) {
    struct device d;
    struct err e = ERR_NONE, why = ERR_NONE;
    char runs[16];
    device_start_with(&d, "1.0", "");
    device_release(&d, "1.1", NULL);
    device_offer_until(&d, true, FSM_PROBATION);
    d.state.anchor = anchored(&d, AGENT_ANCHOR_RESTORED);
    err_set(&why, &err_probe_failed, "broken on purpose");
    update_engine_fire(d.update, FSM_UNHEALTHY, &why);
    for (int turn = 0; turn < 200; turn++) {
        cr_assert_eq(agent_loop_turn(&d.loop, 0, &e), 0, "%s", e.text);
        fake_clock_advance(&d.clock, 1000);
    }
    cr_expect_eq(d.state.journal.record.state, FSM_REVERTING);
    cr_expect_str_eq(device_runs(&d, runs), "1.1");
    d.state.anchor.verdict = AGENT_ANCHOR_HELD;
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    cr_expect_str_eq(d.state.journal.report.code, "probe_failed");
    device_drop(&d);
}

#define COUNT_PATH (TMP_PATH_BYTES + 16)

// Counts in the file "counter" beside it.
static void count(struct device *d, struct agent_anchor_config *ret, char path[static COUNT_PATH]) {
    char script[TMP_PATH_BYTES + 512];
    int len = snprintf(script, sizeof script,
                       "#!/bin/sh\ncd %s\n[ \"$3\" = increment ] || [ -e counter ] || exit 10\n"
                       "[ \"$3\" = read ] || echo $(($(cat counter 2>/dev/null || echo 0) + 1)) "
                       ">counter\ncat counter\n",
                       d->dir.path);
    device_write(d, "program", script, (size_t)len);
    (void)snprintf(path, COUNT_PATH, "%s/program", d->dir.path);
    cr_assert_eq(chmod(path, 0700), 0);
    *ret = (struct agent_anchor_config){.tcti = "script", .index = 25165825, .program = path};
}

Test(restored, a_commit_raises_the_counter_and_what_ends_otherwise_does_not) {
    struct device d;
    struct err e = ERR_NONE, why = ERR_NONE;
    struct agent_anchor_config config;
    char path[COUNT_PATH];
    device_start(&d, NULL);
    count(&d, &config, path);
    cr_assert_eq(
        agent_anchor_open(&config, d.state.private_dir, chrono_system(), &d.state.anchor, &why, &e),
        0, "%s", e.text);
    cr_assert_eq(d.state.anchor.verdict, AGENT_ANCHOR_HELD, "%s", why.text);
    device_install(&d, "1.0", NULL);
    cr_expect_eq(d.state.anchor.number, 2);
    device_install(&d, "1.1", json_pack("{s{si}}", "floors", "app", 5));
    cr_expect_eq(d.state.anchor.number, 3, "once, with the floor");
    device_release(&d, "1.2", NULL);
    device_offer_until(&d, true, FSM_PROBATION);
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    cr_expect_eq(d.state.anchor.number, 3);
    device_drop(&d);
}

// Without the program, as where it was not installed.
Test(restored, a_tpm_that_cannot_be_asked_stops_no_start) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, json_pack("{ss s{ss}}", "controller", "https://controller.example", "tpm",
                              "tcti", "device:/nonexistent"));
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    cr_expect_eq(d.state.anchor.verdict, AGENT_ANCHOR_UNKNOWN);
    device_drop(&d);
}
