// SPDX-License-Identifier: Apache-2.0
//
// Shams on a device in a temporary directory: what an activation would bring, without the swap.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "agent/status.h"
#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/agent/roots.h"

#define DAY_S 86400

// The application is this process: it is told of a change by a signal.
static volatile sig_atomic_t told;
static char pid_file[TMP_PATH_BYTES + 32];

static void on_told(int number) {
    (void)number;
    told++;
}

static void start_application(struct device *d) {
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    device_write(d, "app.pid", text, (size_t)len);
}

static void stop_application(struct device *d) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_remove(d->dir.fd, "app.pid", &e), 0, "%s", e.text);
}

// A device at 1.1 with 1.0 before it, whose application was told of both.
static void start(struct device *d) {
    struct err e = ERR_NONE;
    told = 0;
    (void)signal(SIGUSR1, on_told);
    device_make(d, NULL);
    (void)snprintf(pid_file, sizeof pid_file, "%s/app.pid", d->dir.path);
    d->config.n_hooks = 1;
    d->config.hooks[0] = (struct agent_config_hook){
        .component = "app", .action = AGENT_CONFIG_SIGNAL, .pid_file = pid_file, .signal = SIGUSR1};
    start_application(d);
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
    device_install(d, "1.0", NULL);
    device_install(d, "1.1", NULL);
    cr_assert_eq(told, 2);
}

static struct bundle_instruction asked(const struct device *d, const char *rollout,
                                       uint64_t attempt) {
    int64_t now_s = agent_state_trusted_s(&d->state);
    now_s = now_s > FORGE_ISSUED_S ? now_s : FORGE_ISSUED_S;
    struct bundle_instruction i = device_told(d, BUNDLE_ACTION_SHAM, d->state.journal.sequence + 1);
    i.header.issued_s = now_s;
    i.header.expires_s = now_s + DAY_S;
    i.attempt = attempt;
    (void)snprintf(i.rollout, sizeof i.rollout, "%s", rollout);
    return i;
}

static int ask(struct device *d, const char *rollout, uint64_t attempt, struct err *e) {
    struct bundle_instruction i = asked(d, rollout, attempt);
    return device_send(d, &i, e);
}

// Reports about shams, in order: their events, and the code of the last one.
static size_t reported(struct device *d, enum bundle_event ret[static 16], char *code) {
    struct bundle_report *reports = NULL;
    struct err e = ERR_NONE;
    size_t n = 0, n_sham = 0;
    cr_assert_eq(agent_queue_peek(&d->state.queue, 256, &reports, &n, &e), 0, "%s", e.text);
    for (size_t i = 0; i < n; i++) {
        cr_expect_neq(reports[i].event, BUNDLE_EVENT_WAITING, "of updates alone");
        if (!BUNDLE_EVENT_IS_SHAM(reports[i].event))
            continue;
        cr_assert_lt(n_sham, 16);
        ret[n_sham++] = reports[i].event;
        (void)snprintf(code, ERR_NAME_BYTES, "%s", reports[i].code);
        cr_expect(keys_digest_equal(&reports[i].bundle, &d->bundle));
    }
    free(reports);
    return n_sham;
}

static void expect_reports(struct device *d, enum bundle_event last, const char *code, size_t n) {
    enum bundle_event events[16];
    char got[ERR_NAME_BYTES] = "";
    size_t n_got = reported(d, events, got);
    cr_assert_eq(n_got, n, "%zu reports of shams", n_got);
    cr_expect_eq(events[n - 1], last, "%s", bundle_event_names[events[n - 1]]);
    cr_expect_str_eq(got, code);
}

static void expect_unchanged(struct device *d) {
    char runs[16];
    cr_expect_eq(d->state.journal.record.state, FSM_IDLE);
    cr_expect_eq(d->state.journal.record.committed, 2);
    cr_expect_eq(d->state.journal.record.previous, 1);
    cr_expect_str_eq(device_runs(d, runs), "1.1");
    cr_expect_eq(device_generations(d), 2);
}

Test(sham, the_application_is_told_as_after_a_swap_and_nothing_changes) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_expect(device_reach(&d, FSM_SHAM_PROBATION));
    cr_expect_eq(told, 3);
    cr_expect_gt(d.checkins, 0);
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAMMED, "", 2);
    expect_unchanged(&d);
    // The same word again, and an older one, are done already.
    cr_expect_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    device_restart(&d);
    cr_expect_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_eq(told, 3);
    expect_reports(&d, BUNDLE_EVENT_SHAMMED, "", 2);
    cr_expect_eq(ask(&d, "r", 2, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_eq(told, 4);
    expect_reports(&d, BUNDLE_EVENT_SHAMMED, "", 4);
    device_drop(&d);
}

Test(sham, what_an_update_would_go_back_for_fails_and_what_runs_goes_on) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    stop_application(&d);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAM_FAILED, "activate_failed", 1);
    expect_unchanged(&d);
    start_application(&d);
    cr_assert_eq(ask(&d, "q", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_PROBATION));
    device_obey(&d, FSM_ASK_REVERT); // gives way, and what runs is gone back from
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAM_FAILED, "cancelled", 3);
    cr_expect_eq(d.state.journal.record.committed, 1);
    device_drop(&d);
}

Test(sham, the_probes_of_what_runs_decide) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    // Committed by an operator before its probe, whose runner this device lacks, was due.
    json_t *probe = json_pack("{ss ss ss ss ss si si si}", "component", "app", "kind", "exec",
                              "name", "self", "phase", "after", "runner", "none", "start_delay_s",
                              30, "failures", 2, "interval_s", 5);
    device_release(&d, "1.2", json_pack("{s[o]}", "probes", probe));
    device_offer_until(&d, true, FSM_PROBATION);
    device_obey(&d, FSM_ASK_COMMIT);
    device_drive(&d);
    cr_assert_eq(d.state.journal.record.committed, 3);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAM_FAILED, "runner_missing", 2);
    cr_expect_eq(d.state.journal.record.committed, 3);
    cr_expect_eq(d.state.journal.record.n_failures, 0);
    device_drop(&d);
}

Test(sham, of_something_else_than_what_runs_is_refused) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    d.bundle.bytes[0] ^= 1;
    cr_expect_lt(ask(&d, "r", 1, &e), 0);
    cr_expect(err_is(&e, &err_sham_unfit), "%s", e.text);
    expect_reports(&d, BUNDLE_EVENT_SHAM_REFUSED, "sham_unfit", 1);
    expect_unchanged(&d);
    cr_expect_eq(told, 2);
    device_drop(&d);
}

// What may be otherwise in a moment is no answer: it may be asked for again, and counts for nothing.
Test(sham, at_a_bad_moment_it_is_neither_taken_nor_refused) {
    struct device d;
    struct err e = ERR_NONE;
    enum bundle_event events[16];
    char code[ERR_NAME_BYTES] = "";
    start(&d);
    device_offer_until(&d, true, FSM_PROBATION);
    cr_expect_lt(ask(&d, "r", 1, &e), 0);
    cr_expect(err_is(&e, &err_wrong_state), "%s", e.text);
    device_drive(&d);
    d.update->hashing = true;
    cr_expect_lt(ask(&d, "r", 1, &e), 0);
    cr_expect(err_is(&e, &err_busy), "%s", e.text);
    d.update->hashing = false;
    size_t waiting = d.state.queue.n_transitions;
    d.state.queue.ring = false; // as with a controller
    d.state.queue.n_transitions = AGENT_QUEUE_REPORTS_MAX;
    cr_expect_lt(ask(&d, "r", 1, &e), 0);
    cr_expect(err_is(&e, &err_queue_full), "%s", e.text);
    d.state.queue.n_transitions = waiting;
    d.state.anchor.verdict = AGENT_ANCHOR_RESTORED;
    cr_expect_lt(ask(&d, "r", 1, &e), 0);
    cr_expect(err_is(&e, &err_state_restored), "%s", e.text);
    d.state.anchor.verdict = AGENT_ANCHOR_NONE;
    cr_expect_eq(reported(&d, events, code), 0);
    cr_expect_eq(d.state.journal.record.n_shams, 0);
    cr_expect_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAMMED, "", 2);
    device_drop(&d);
}

Test(sham, no_more_than_a_few_are_done_in_a_day_whoever_signs_them) {
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    for (int i = 0; i < FSM_SHAMS_MAX; i++) {
        cr_assert_eq(ask(&d, names[i], 1, &e), 0, "%s", e.text);
        device_drive(&d);
        device_restart(&d);
    }
    cr_expect_eq(told, 2 + FSM_SHAMS_MAX);
    cr_expect_lt(ask(&d, names[FSM_SHAMS_MAX], 1, &e), 0);
    cr_expect(err_is(&e, &err_sham_unfit), "%s", e.text);
    expect_reports(&d, BUNDLE_EVENT_SHAM_REFUSED, "sham_unfit", 2 * FSM_SHAMS_MAX + 1);
    fake_clock_advance(&d.clock, (FSM_SHAMS_PERIOD_S + 1) * 1000LL);
    cr_expect_eq(ask(&d, names[FSM_SHAMS_MAX], 1, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_eq(told, 3 + FSM_SHAMS_MAX);
    device_drop(&d);
}

Test(sham, nor_when_the_date_moves_on_without_a_day_going_by) {
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    for (int i = 0; i <= FSM_SHAMS_MAX; i++) {
        int asked = ask(&d, names[i], 1, &e);
        cr_expect_eq(asked < 0, i == FSM_SHAMS_MAX, "%s", e.text);
        device_drive(&d);
        for (size_t k = 0; k < d.state.journal.record.n_shams; k++)
            d.state.journal.record.shams[k].at_s -= 2 * (int64_t)FSM_SHAMS_PERIOD_S;
    }
    cr_expect(err_is(&e, &err_sham_unfit), "%s", e.text);
    device_drop(&d);
}

Test(sham, nor_four_at_the_end_of_a_day_and_four_more_in_the_next_hour) {
    struct device d;
    struct err e = ERR_NONE;
    char name[8];
    size_t taken = 0;
    start(&d);
    // The first, the others 23 hours later, and what is left two hours after those.
    static const int64_t after_h[] = {0, 23, 0, 0, 2, 0, 0, 0};
    for (size_t i = 0; i < sizeof after_h / sizeof after_h[0]; i++) {
        fake_clock_advance(&d.clock, after_h[i] * 3600 * 1000);
        (void)snprintf(name, sizeof name, "r-%zu", i);
        taken += ask(&d, name, 1, &e) == 0;
        device_drive(&d);
        for (size_t k = 0; k < d.state.journal.record.n_shams; k++)
            d.state.journal.record.shams[k].at_s -= 2 * (int64_t)FSM_SHAMS_PERIOD_S;
    }
    cr_expect_eq(taken, FSM_SHAMS_MAX + 1, "%zu; only the first is a day ago", taken);
    device_drop(&d);
}

Test(sham, waits_for_an_inhibit_and_gives_way_to_an_update) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    agent_update_inhibit(d.update, 3600, "busy");
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    fake_clock_advance(&d.clock, 60000);
    cr_assert_eq(agent_loop_turn(&d.loop, 0, &e), 0);
    cr_expect_eq(d.state.journal.record.state, FSM_SHAM_WAITING);
    cr_expect_str_eq(d.state.journal.record.why.code, "inhibited");
    cr_expect_eq(told, 2);
    device_install(&d, "1.2", NULL);
    cr_expect_eq(told, 3);
    device_release(&d, "1.1", NULL);
    expect_reports(&d, BUNDLE_EVENT_SHAM_REFUSED, "cancelled", 1);
    device_drop(&d);
}

Test(sham, an_inhibit_outlives_the_sham_that_waited_for_it) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    agent_update_inhibit(d.update, 3600, "busy");
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_WAITING));
    device_release(&d, "1.2", NULL);
    device_offer_until(&d, false, FSM_WAITING);
    cr_assert_eq(agent_loop_turn(&d.loop, 0, &e), 0);
    cr_expect_str_eq(d.state.journal.record.why.code, "inhibited", "the update waits as well: %s",
                     d.state.journal.record.why.text);
    device_drop(&d);
}

Test(sham, an_offer_of_the_same_bundle_waits_and_is_not_taken_for_the_sham) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_PROBATION));
    struct bundle_instruction i = asked(&d, "r", 1);
    i.action = BUNDLE_ACTION_INSTALL;
    i.windows.install = (struct bundle_window_list){.n = 1, .list = {{60, 120, 1}}};
    cr_expect_lt(device_send(&d, &i, &e), 0);
    cr_expect(err_is(&e, &err_wrong_state), "%s", e.text);
    cr_expect_eq(d.state.journal.record.update.windows.install.n, 0, "the sham's stay");
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAMMED, "", 2);
    device_drop(&d);
}

Test(sham, that_waits_gives_way_to_an_offer_with_all_that_it_brings_and_to_no_other) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_instruction_delta heard;
    OWN(buf) struct buf raw;
    start(&d);
    agent_update_inhibit(d.update, 3600, "busy");
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    // One for which nobody signed, where somebody has to.
    struct bundle_instruction i = asked(&d, "spring", 2);
    i.action = BUNDLE_ACTION_INSTALL;
    i.delta.size = 500;
    (void)snprintf(i.delta.url, sizeof i.delta.url, "/x.delta");
    struct keys_root *root = d.state.root;
    roots_make(2, KEYS_ROOT_ROLE_MANDATE, &raw);
    cr_assert_eq(keys_root_open(buf_slice(&raw), &d.state.root, &e), 0, "%s", e.text);
    cr_expect_lt(device_send(&d, &i, &e), 0);
    cr_expect(err_is(&e, &err_no_mandate), "%s", e.text);
    cr_expect_eq(d.state.journal.record.state, FSM_SHAM_WAITING, "it goes on waiting");
    keys_root_free(d.state.root);
    d.state.root = root;
    i.header.version++;
    cr_expect_eq(device_send(&d, &i, &e), 0, "%s", e.text);
    cr_expect_eq(d.state.journal.record.state, FSM_OFFERED);
    cr_expect(update_hint_read(d.update, &heard));
    expect_reports(&d, BUNDLE_EVENT_SHAM_REFUSED, "cancelled", 1);
    device_drop(&d);
}

Test(sham, the_status_says_what_it_is_of_and_what_the_last_update_cost) {
    struct device d;
    struct err e = ERR_NONE;
    OWN(json) json_t *status = NULL;
    start(&d);
    d.state.journal.record.last.spent.full = 30;
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_PROBATION));
    cr_assert_eq(agent_status_make(&d.state, d.update, &status, &e), 0, "%s", e.text);
    const char *state = NULL, *release = NULL;
    int full = 0;
    cr_assert_eq(json_unpack(status, "{s:s, s:{s:s}, s:{s:i}}", "state", &state, "update",
                             "version", &release, "bytes", "full", &full),
                 0);
    cr_expect_str_eq(state, "sham_probation");
    cr_expect_str_eq(release, "1.1");
    cr_expect_eq(full, 30);
    device_drop(&d);
}

Test(sham, not_begun_while_it_was_asked_for_is_given_up) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    d.config.inhibit_max_s = 10 * DAY_S;
    agent_update_inhibit(d.update, 2 * DAY_S, "busy");
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_WAITING));
    fake_clock_advance(&d.clock, (DAY_S + 60) * 1000LL);
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAM_REFUSED, "expired", 1);
    expect_unchanged(&d);
    cr_expect_eq(told, 2);
    device_drop(&d);
}

Test(sham, i3_interrupted_by_more_restarts_than_an_update_may_be_it_failed) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_PROBATION));
    for (int i = 0; i < 3; i++) {
        device_restart(&d);
        cr_expect_eq(d.state.journal.record.state, FSM_SHAM_PROBATION, "restart %d", i);
    }
    device_restart(&d);
    device_drive(&d);
    expect_reports(&d, BUNDLE_EVENT_SHAM_FAILED, "interrupted", 2);
    expect_unchanged(&d);
    cr_expect_eq(told, 3, "the application is not told again in probation");
    device_drop(&d);
}

// An agent that does not know of shams ignores the member, and what is left must make sense to it.
Test(sham, an_older_agent_reads_a_journal_of_a_device_at_rest) {
    struct device d;
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    start(&d);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_SHAM_PROBATION));
    buf_init(&text, 65536);
    cr_assert_eq(fs_read_file(d.state.private_dir, "journal", 65536, &text, &e), 0);
    const char *journal = strstr(buf_text(&text), "\"state\":\"idle\"");
    cr_assert_not_null(journal);
    cr_expect_not_null(strstr(journal, "\"update\":null"));
    cr_expect_not_null(strstr(buf_text(&text), "\"report\":null"));
    const char *sham = strstr(buf_text(&text), "\"sham\":{");
    cr_assert(sham != NULL && sham < journal);
    cr_expect(strstr(sham, "\"state\":\"sham_probation\"") < journal);
    cr_expect_not_null(strstr(sham, "\"event\":\"sham_begun\""));
    device_drop(&d);
}

// ── Killed everywhere ──

static bool killed_at(size_t n) {
    struct device d;
    struct err e = ERR_NONE;
    struct fs_fault fault = {.at = n, .effect = FS_FAULT_ERROR, .error = EIO, .for_ever = true};
    enum bundle_event events[16];
    char code[ERR_NAME_BYTES] = "";
    start(&d);
    fs_fault_begin(&fault);
    if (ask(&d, "r", 1, &e) == 0)
        device_drive(&d);
    device_close(&d);
    bool hit = fs_fault_end(NULL);
    cr_assert_eq(device_open(&d, &e), 0, "after call %zu: %s", n, e.text);
    device_drive(&d);
    bool taken = d.state.journal.record.n_shams > 0;
    size_t n_events = reported(&d, events, code);
    // Taken, it is done to its end, once; not taken it leaves no trace. It may be asked for again.
    cr_assert_eq(n_events, taken ? 2 : 0, "after call %zu: %zu reports", n, n_events);
    cr_assert(!taken || (events[0] == BUNDLE_EVENT_SHAM_BEGUN && events[1] == BUNDLE_EVENT_SHAMMED),
              "after call %zu", n);
    cr_assert_leq(told, taken ? 4 : 2, "after call %zu", n);
    expect_unchanged(&d);
    cr_assert_eq(ask(&d, "r", 1, &e), 0, "after call %zu: %s", n, e.text);
    device_drive(&d);
    cr_assert_eq(reported(&d, events, code), 2, "after call %zu", n);
    expect_unchanged(&d);
    device_drop(&d);
    return hit;
}

Test(sham, killed_at_any_call_it_is_done_to_its_end_or_not_at_all, .timeout = 600) {
    size_t n = 0;
    while (killed_at(n))
        n++;
    cr_assert_gt(n, 10, "only %zu calls were killed", n);
}
