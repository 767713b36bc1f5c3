// SPDX-License-Identifier: Apache-2.0
//
// Dry probes: a bundle's `after` probes on what runs, with real runners, and nothing else that happens.
#include "agent/checkin/body.h"
#include "agent/trust.h"
#include "bundle/instruction.h"
#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/agent/device.h"

#define DAY_S   86400
#define PER_DAY 8

// Runners that pass and fail whatever they are told.
static json_t *settings(void) {
    json_t *all = json_object();
    static const char *const names[] = {"yes", "no"}, *const programs[] = {"/bin/true",
                                                                           "/bin/false"};
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(
            all, names[i],
            json_pack("{s[s] ss sb}", "argv", programs[i], "user", "root", "allow_root", 1));
    return json_pack("{so}", "runners", all);
}

// Takes what is special about it.
static json_t *exec(const char *name, const char *runner, json_t *more) {
    json_t *probe =
        json_pack("{ss ss ss ss ss si si}", "component", "app", "kind", "exec", "name", name,
                  "phase", "after", "runner", runner, "failures", 2, "interval_s", 1);
    json_object_update(probe, more);
    json_decref(more);
    return probe;
}

static json_t *golden(const char *name, const char *runner) {
    return json_pack("{ss ss ss ss ss s[{ss ss}] ss si}", "component", "model", "kind", "golden",
                     "name", name, "phase", "after", "runner", runner, "cases", "expected",
                     "release", "input", "release", "element", "text", "failures", 1);
}

static unsigned heard; // outcomes of an update's own question

static void start(struct device *d) {
    device_start(d, settings());
    device_install(d, "1.0", NULL);
    d->checkins = d->asked = 0;
}

static void ask(struct device *d, uint64_t sequence) {
    struct bundle_instruction i = device_told(d, BUNDLE_ACTION_PROBE, sequence);
    struct err e = ERR_NONE;
    cr_assert_eq(device_send(d, &i, &e), 0, "%s", e.text);
}

// Time-outs are of the same virtual time as intervals: runners have to have ended within their own.
static const struct bundle_checkin_probed *answer_by(struct device *d, int64_t step_ms) {
    struct err e = ERR_NONE;
    for (int turn = 0; turn < 2000 && !agent_update_probed(d->update); turn++) {
        cr_assert_eq(agent_loop_turn(&d->loop, 20, &e), 0, "%s", e.text);
        fake_clock_advance(&d->clock, step_ms);
    }
    cr_assert(agent_update_probed(d->update), "nothing was said");
    return agent_update_probed(d->update);
}

static const struct bundle_checkin_probed *answer(struct device *d) {
    return answer_by(d, 20);
}

static void expect(const struct bundle_checkin_probed *said, size_t i, const char *name,
                   const char *code) {
    cr_assert_gt(said->n, i);
    cr_expect_str_eq(said->probes[i].name, name);
    cr_expect_str_eq(said->probes[i].code, code, "%s: %s, expected %s", name, said->probes[i].code,
                     code);
}

Test(dry, the_probes_of_a_bundle_are_run_on_what_runs_and_nothing_changes) {
    struct device d;
    char runs[16];
    start(&d);
    uint64_t reports = d.state.queue.next, generation = d.state.journal.record.committed;
    size_t generations = device_generations(&d);
    json_t *probes = json_array();
    json_array_append_new(probes, exec("good", "yes", NULL));
    json_array_append_new(probes, json_pack("{ss ss ss ss ss}", "component", "app", "kind", "exec",
                                            "name", "early", "phase", "before", "runner", "no"));
    json_array_append_new(probes, exec("bad", "no", NULL));
    json_array_append_new(probes, golden("numbers", "yes"));
    json_array_append_new(probes,
                          exec("new-file", "yes", json_pack("{s[s]}", "args", "{component}/new")));
    json_array_append_new(
        probes, exec("old-file", "yes", json_pack("{s[s]}", "args", "{component}/release")));
    json_array_append_new(probes, exec("old-other", "yes",
                                       json_pack("{s[s]}", "args", "{generation}/model/release")));
    json_array_append_new(probes, exec("absent", "none", NULL));
    device_release(&d, "2.0", json_pack("{so}", "probes", probes));
    ask(&d, 5);
    const struct bundle_checkin_probed *said = answer(&d);
    cr_expect_str_eq(said->code, "", "%s", said->text);
    cr_expect_eq(said->sequence, 5);
    cr_expect(keys_digest_equal(&said->bundle, &d.bundle));
    cr_expect_eq(said->n, 7, "those of phase after: %zu", said->n);
    expect(said, 0, "good", "");
    expect(said, 1, "bad", "probe_failed");
    expect(said, 2, "numbers", BUNDLE_CHECKIN_NOT_RUNNABLE);
    expect(said, 3, "new-file", BUNDLE_CHECKIN_NOT_RUNNABLE);
    expect(said, 4, "old-file", "");
    expect(said, 5, "old-other", "");
    expect(said, 6, "absent", "runner_missing");
    cr_expect(strstr(said->text, "probe bad"), "the first that failed is told of: %s", said->text);
    cr_expect_eq(d.asked, 1, "the repository was asked");
    cr_expect(strstr(d.asked_path, "thing/2.0/") == d.asked_path, "%s", d.asked_path);
    cr_expect_eq(d.checkins, 1, "and it is told soon");
    cr_expect_eq(d.state.queue.next, reports, "no report");
    cr_expect_eq(d.state.journal.record.committed, generation);
    cr_expect_eq(device_generations(&d), generations, "no generation");
    cr_expect_str_eq(device_runs(&d, runs), "1.0");
    device_drop(&d);
}

Test(dry, a_golden_set_is_run_where_it_is_what_the_device_holds) {
    struct device d;
    start(&d);
    json_t *probes = json_pack("[o]", golden("numbers", "no"));
    device_release(&d, "1.0", json_pack("{so}", "probes", probes));
    ask(&d, 5);
    expect(answer(&d), 0, "numbers", "probe_failed");
    device_drop(&d);
}

Test(dry, a_probe_fails_when_it_failed_so_often_in_a_row) {
    struct device d;
    char runner[2 * TMP_PATH_BYTES + 200];
    start(&d);
    // Passes from its third run on.
    (void)snprintf(runner, sizeof runner, "echo >> %s/runs; test $(wc -l < %s/runs) -ge 3",
                   d.dir.path, d.dir.path);
    device_close(&d);
    json_t *more = settings();
    json_object_set_new(json_object_get(more, "runners"), "third",
                        json_pack("{s[sss] ss sb}", "argv", "/bin/sh", "-c", runner, "user", "root",
                                  "allow_root", 1));
    struct buf warnings;
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 32];
    json_object_update_new(more, json_pack("{ss ss si si}", "state_dir", "state", "root",
                                           "root.json", "reserve_bytes", 0, "reserve_inodes", 0));
    char *text = json_dumps(more, 0);
    device_write(&d, "agent.json", text, strlen(text));
    (void)snprintf(path, sizeof path, "%s/agent.json", d.dir.path);
    agent_config_clear(&d.config);
    buf_init(&warnings, 65536);
    cr_assert_eq(agent_config_read(path, AGENT_CONFIG_STRICT, &warnings, &d.config, &e), 0, "%s",
                 e.text);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    device_drive(&d);
    json_t *probes = json_pack("[o o]", exec("two", "third", NULL),
                               exec("three", "third", json_pack("{si}", "failures", 3)));
    device_release(&d, "2.0", json_pack("{so}", "probes", probes));
    ask(&d, 5);
    const struct bundle_checkin_probed *said = answer(&d);
    expect(said, 0, "two", "probe_failed");
    expect(said, 1, "three", "");
    free(text);
    json_decref(more);
    buf_clear(&warnings);
    device_drop(&d);
}

Test(dry, only_what_might_be_installed_is_probed) {
    struct device d;
    start(&d);
    json_t *probes = json_pack("[o]", exec("good", "yes", NULL));
    device_release(&d, "2.0", json_pack("{so}", "probes", probes));
    err_set(&d.says, &err_not_in_targets, "never heard of it");
    ask(&d, 5);
    cr_expect_str_eq(answer(&d)->code, "not_in_targets");
    cr_expect_eq(answer(&d)->n, 0);
    err_clear(&d.says);
    d.other_length = true;
    agent_update_told_probed(d.update, 5);
    ask(&d, 6);
    cr_expect_str_eq(answer(&d)->code, "not_in_targets", "another content under its path: %s",
                     answer(&d)->text);
    d.other_length = false;
    agent_update_told_probed(d.update, 6);
    struct keys_digest right = d.bundle;
    d.bundle.bytes[0] ^= 1;
    ask(&d, 7);
    cr_expect_str_neq(answer(&d)->code, "", "another bundle than was named");
    d.bundle = right;
    agent_update_told_probed(d.update, 7);
    // Signed by nobody as it is.
    char *release = strstr((char *)d.manifest.data, "\"release\":\"2.0\"");
    cr_assert(release);
    release[12] = '1';
    ask(&d, 8);
    cr_expect_str_eq(answer(&d)->code, "bad_signature", "%s", answer(&d)->text);
    device_drop(&d);
}

Test(dry, nothing_is_probed_while_an_update_is_under_way_nor_for_ever) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    json_t *probes = json_pack(
        "[o]", exec("slow", "no", json_pack("{si si}", "failures", 100, "interval_s", 60)));
    device_release(&d, "2.0", json_pack("{so}", "probes", probes));
    ask(&d, 5);
    int64_t began = chrono_boot_ms(&d.clock.chrono);
    expect(answer_by(&d, 5000), 0, "slow", "probe_failed");
    cr_expect_leq(chrono_boot_ms(&d.clock.chrono) - began, 3000000, "ten minutes, not a hundred");
    agent_update_told_probed(d.update, 5);
    ask(&d, 6);
    cr_assert_eq(agent_loop_turn(&d.loop, 0, &e), 0);
    cr_assert(d.update->dry, "it runs");
    d.holds_back = true;
    cr_assert_eq(device_offer(&d, false, &e), 0, "an update goes first: %s", e.text);
    cr_expect_null(d.update->dry);
    cr_expect_str_eq(answer(&d)->code, "busy", "%s", answer(&d)->text);
    agent_update_told_probed(d.update, 6);
    ask(&d, 7);
    cr_expect_str_eq(answer(&d)->code, "busy", "%s", answer(&d)->text);
    agent_update_told_probed(d.update, 7);
    device_obey(&d, FSM_ASK_CANCEL);
    ask(&d, 8);
    cr_expect_str_eq(answer(&d)->code, "busy", "%s", answer(&d)->text);
    cr_expect(strstr(answer(&d)->text, "removed"), "%s", answer(&d)->text);
    device_drop(&d);
}

Test(dry, the_hours_of_an_update_that_is_over_are_not_asked_about) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    device_release(&d, "2.0", json_pack("{s[o]}", "probes", exec("good", "yes", NULL)));
    struct bundle_instruction i = device_told(&d, BUNDLE_ACTION_INSTALL, 5);
    // On a day that is neither today nor tomorrow.
    i.windows.download = (struct bundle_window_list){.n = 1, .list = {{60, 120, 1U << 5}}};
    cr_assert_eq(device_send(&d, &i, &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_WAITING));
    device_obey(&d, FSM_ASK_CANCEL);
    device_drive(&d);
    ask(&d, 6);
    cr_expect_str_eq(answer(&d)->code, "", "%s", answer(&d)->text);
    expect(answer(&d), 0, "good", "");
    device_drop(&d);
}

Test(dry, a_controller_cannot_wear_a_device_out) {
    struct device d;
    uint64_t sequence = 5;
    start(&d);
    device_release(&d, "2.0", json_pack("{s[o]}", "probes", exec("good", "yes", NULL)));
    for (size_t i = 0; i < PER_DAY; i++, sequence++) {
        ask(&d, sequence);
        cr_expect_str_eq(answer(&d)->code, "", "%s", answer(&d)->text);
        agent_update_told_probed(d.update, sequence);
    }
    unsigned asked = d.asked;
    ask(&d, sequence);
    cr_expect_str_eq(answer(&d)->code, "limit", "%s", answer(&d)->text);
    cr_expect_eq(d.asked, asked, "the repository is left alone, too");
    agent_update_told_probed(d.update, sequence);
    fake_clock_advance(&d.clock, DAY_S * 1000LL);
    ask(&d, sequence + 1);
    cr_expect_str_eq(answer(&d)->code, "", "%s", answer(&d)->text);
    device_drop(&d);
}

Test(dry, it_is_told_until_it_was_heard) {
    struct device d;
    struct err e = ERR_NONE;
    struct keys_digest digest = {.bytes = {1}};
    start(&d);
    device_release(&d, "2.0", json_pack("{s[o]}", "probes", exec("good", "yes", NULL)));
    ask(&d, 5);
    (void)answer(&d);
    struct checkin_body what = {
        .state = &d.state, .update = d.update, .facts = d.facts, .facts_digest = &digest};
    for (int turn = 0; turn < 3; turn++) {
        OWN(buf) struct buf text;
        buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
        cr_assert_eq(checkin_body_format(&what, &text, &e), 0, "%s", e.text);
        bool told = strstr(buf_text(&text), "\"probed\":{") != NULL;
        cr_expect_eq(told, turn < 2, "turn %d: %s", turn, buf_text(&text));
        agent_update_told_probed(d.update, turn == 0 ? 4 : 5); // an earlier one, then it
    }
    device_drop(&d);
}

static void note_outcome(void *context, struct agent_trust_outcome *outcome) {
    (void)context;
    heard += outcome->why.kind != NULL;
}

Test(dry, what_an_update_asks_the_repository_is_not_ended_by_a_refusal) {
    struct device d;
    struct err e = ERR_NONE;
    struct agent_trust *trust = NULL;
    const struct agent_trust_wanted wanted = {.path = "thing/2.0/x", .delta = ""};
    start(&d);
    heard = 0;
    d.config.worker = "/bin/false";
    d.config.worker_user = "nobody";
    const struct agent_trust_host host = {
        .loop = &d.loop, .state = &d.state, .fill_net = device_net, .context = &d};
    cr_assert_eq(agent_trust_open(&host, &trust, &e), 0, "%s", e.text);
    d.holds_back = true;
    device_release(&d, "2.0", NULL);
    cr_assert_eq(device_offer(&d, false, &e), 0, "%s", e.text);
    d.update->host.trust = trust;
    agent_trust_begin(trust, &wanted, note_outcome, d.update);
    ask(&d, 5);
    cr_expect_str_eq(answer(&d)->code, "busy", "%s", answer(&d)->text);
    for (int turn = 0; turn < 500 && heard == 0; turn++)
        cr_assert_eq(agent_loop_turn(&d.loop, 20, &e), 0, "%s", e.text);
    cr_expect_eq(heard, 1, "the update waits for an answer that nobody looks for any more");
    d.update->host.trust = NULL;
    agent_trust_close(trust);
    device_drop(&d);
}
