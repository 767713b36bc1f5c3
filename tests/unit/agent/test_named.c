// SPDX-License-Identifier: Apache-2.0
//
// Between the last look's yes and the swap: whether the targets still name what is about to be
// activated, and the root still has the keys that signed it (agent/update/wait.c).
#include "keys/kind.h"
#include "tests/unit/agent/roots.h"

// A device that runs 1.0 and waits with 1.1, while snapshot 7 is what is trusted.
static void wait_with(struct device *d, json_t *settings, json_t *more) {
    device_start(d, settings);
    device_install(d, "1.0", NULL);
    device_release(d, "1.1", more);
    device_offer_until(d, false, FSM_WAITING);
    d->asked = 0;
}

static void wait_with_update(struct device *d, json_t *settings) {
    wait_with(d, settings, NULL);
}

static void refuse_with(struct device *d, const struct err_kind *kind, const char *text) {
    err_clear(&d->says);
    err_set(&d->says, kind, "%s", text);
}

static void check_runs(struct device *d, const char *release) {
    char runs[16];
    cr_expect_str_eq(device_runs(d, runs), release);
}

// I8, I10: back where it was, and it says why; I4: nothing is held against the bundle.
static void check_given_up_for(struct device *d, const char *code, const char *text) {
    struct err e = ERR_NONE;
    bool left = true;
    const struct fsm_record *r = &d->state.journal.record;
    check_runs(d, "1.0");
    cr_expect_eq(r->state, FSM_IDLE);
    cr_expect_eq(d->update->ended_event, BUNDLE_EVENT_REFUSED);
    cr_expect_str_eq(d->state.journal.report.code, code);
    cr_expect(strstr(r->why.text, text), "%s", r->why.text);
    cr_assert_eq(agent_store_has_partial(&d->state.store, &left, &e), 0, "%s", e.text);
    cr_expect_not(left);
    cr_expect_eq(device_generations(d), 2, "I8: what was staged is gone");
    cr_expect_eq(r->n_failures, 0, "I4");
    cr_expect_eq(device_offer(d, false, &e), 0, "I4: the same attempt: %s", e.text);
}

static void check_given_up(struct device *d, const char *text) {
    check_given_up_for(d, "not_in_targets", text);
}

// People published a root that gives the role bundle to another key.
static void rotate(struct device *d) {
    struct err e = ERR_NONE;
    struct keys_root *root = NULL;
    OWN(buf) struct buf raw;
    roots_make(2, KEYS_ROOT_ROLE_BUNDLE, &raw);
    cr_assert_eq(keys_root_open(buf_slice(&raw), &root, &e), 0, "%s", e.text);
    keys_root_free(d->state.root);
    d->state.root = root;
}

Test(named, it_is_asked_once_whatever_the_controller_says_of_the_repository) {
    static const uint64_t versions[][2] = {{7, 7}, {8, 8}, {7, 6}, {7, 0}, {8, 0}, {8, 6}};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct device d;
        char path[BUNDLE_TARGET_PATH_BYTES], hex[KEYS_DIGEST_HEX];
        wait_with_update(&d, NULL);
        device_trusts(&d, versions[i][0], versions[i][1]);
        agent_update_looked(d.update);
        device_drive(&d);
        check_runs(&d, "1.1");
        cr_expect_eq(d.asked, 1, "case %zu: %u", i, d.asked);
        (void)snprintf(path, sizeof path, "thing/1.1/%s.json", keys_digest_hex(&d.bundle, hex));
        cr_expect_str_eq(d.asked_path, path);
        device_drop(&d);
    }
}

Test(named, what_was_withdrawn_while_it_waited_is_given_up_and_not_held_against_it) {
    // Said to be what was trusted at the download all the same, or to be new.
    for (uint64_t snapshot = 7; snapshot <= 8; snapshot++) {
        struct device d;
        wait_with_update(&d, NULL);
        device_trusts(&d, snapshot, snapshot);
        refuse_with(&d, &err_not_in_targets, "withdrawn");
        agent_update_looked(d.update);
        device_drive(&d);
        check_given_up(&d, "withdrawn");
        // Published again: that attempt goes its way.
        err_clear(&d.says);
        cr_assert(device_reach(&d, FSM_WAITING));
        agent_update_looked(d.update);
        device_drive(&d);
        check_runs(&d, "1.1");
        device_drop(&d);
    }
}

Test(named, a_restart_while_it_waits_does_not_make_it_forget_to_ask) {
    struct device d;
    struct err e = ERR_NONE;
    wait_with_update(&d, NULL);
    agent_update_inhibit(d.update, 100, "recording");
    agent_update_looked(d.update); // the yes comes while it is delayed
    cr_assert_eq(agent_state_save(&d.state, &e), 0, "%s", e.text);
    device_restart(&d);
    refuse_with(&d, &err_not_in_targets, "withdrawn");
    device_drive(&d);
    cr_expect_eq(d.state.journal.record.state, FSM_WAITING);
    cr_expect_eq(d.asked, 0);
    agent_update_looked(d.update);
    device_drive(&d);
    check_given_up(&d, "withdrawn");
    device_drop(&d);
}

// I11: the yes counts for the start of the agent that heard it.
Test(named, i11_a_power_cut_between_the_yes_and_the_swap_makes_it_look_and_ask_again) {
    for (int withdrawn = 0; withdrawn < 2; withdrawn++) {
        struct device d;
        wait_with_update(&d, NULL);
        const struct fsm_record *r = &d.state.journal.record;
        agent_update_looked(d.update);
        cr_assert_eq(r->state, FSM_ACTIVATING);
        check_runs(&d, "1.0");
        device_restart(&d);
        cr_expect_eq(r->state, FSM_WAITING);
        cr_expect_str_eq(r->why.code, "last_look");
        device_drive(&d);
        check_runs(&d, "1.0");
        cr_expect_eq(r->state, FSM_WAITING);
        cr_expect(agent_update_wants_look(d.update));
        if (withdrawn)
            refuse_with(&d, &err_not_in_targets, "withdrawn");
        agent_update_looked(d.update);
        device_drive(&d);
        cr_expect_eq(d.asked, 2);
        if (withdrawn)
            check_given_up(&d, "withdrawn");
        else
            check_runs(&d, "1.1");
        device_drop(&d);
    }
}

Test(named, after_the_swap_a_restart_goes_on_and_asks_nobody) {
    struct device d;
    struct err e = ERR_NONE;
    wait_with_update(&d, NULL);
    const struct fsm_record *r = &d.state.journal.record;
    agent_update_looked(d.update);
    cr_assert_eq(r->state, FSM_ACTIVATING);
    cr_assert_eq(agent_store_point(&d.state.store, r->update.target, &e), 0, "%s", e.text);
    device_restart(&d);
    rotate(&d);
    refuse_with(&d, &err_not_in_targets, "withdrawn");
    device_drive(&d);
    check_runs(&d, "1.1");
    cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_COMMITTED);
    cr_expect_eq(d.asked, 1);
    device_drop(&d);
}

Test(named, i3_restarts_before_the_swap_count_although_it_waits_between_them) {
    struct device d;
    wait_with_update(&d, NULL);
    const struct fsm_record *r = &d.state.journal.record;
    for (uint64_t i = 1; i <= r->update.restarts_max + 1; i++) {
        cr_assert_eq(r->state, FSM_WAITING);
        agent_update_looked(d.update);
        cr_assert_eq(r->state, FSM_ACTIVATING);
        device_restart(&d);
        cr_assert_eq(r->update.restarts, i);
    }
    device_drive(&d);
    check_runs(&d, "1.0");
    cr_expect_eq(r->state, FSM_IDLE);
    cr_expect_str_eq(r->why.code, "interrupted");
    device_drop(&d);
}

Test(named, what_the_root_took_the_key_away_from_is_given_up_wherever_it_came_from) {
    struct device d;
    struct err e = ERR_NONE;
    wait_with_update(&d, NULL);
    rotate(&d);
    agent_update_looked(d.update);
    device_drive(&d);
    check_given_up_for(&d, "below_threshold", "manifest");
    device_drop(&d);

    device_start(&d, NULL);
    device_install(&d, "1.0", NULL);
    device_release(&d, "1.1", NULL);
    cr_assert_eq(device_offer(&d, true, &e), 0, "%s", e.text);
    rotate(&d);
    device_drive(&d);
    check_given_up_for(&d, "below_threshold", "manifest");
    device_drop(&d);
}

Test(named, a_rotation_or_a_withdrawal_ends_nothing_that_runs) {
    struct device d;
    wait_with_update(&d, NULL);
    agent_update_looked(d.update);
    cr_assert(device_reach(&d, FSM_PROBATION));
    rotate(&d);
    refuse_with(&d, &err_not_in_targets, "withdrawn");
    device_drive(&d);
    check_runs(&d, "1.1");
    cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_COMMITTED);
    device_obey(&d, FSM_ASK_REVERT);
    device_drive(&d);
    check_runs(&d, "1.0");
    cr_expect_eq(d.update->ended_event, BUNDLE_EVENT_REVERTED);
    device_drop(&d);
}

Test(named, what_expired_while_it_waited_is_given_up) {
    struct device d;
    wait_with(&d, NULL, json_pack("{ss}", "expires", "2026-02-01T00:00:00Z"));
    cr_assert(agent_state_learn_time(&d.state, FSM_TRUSTED_ONLINE, 3900000000));
    agent_update_looked(d.update);
    device_drive(&d);
    check_given_up_for(&d, "expired", "manifest");
    device_drop(&d);
}

Test(named, a_manifest_that_cannot_be_read_just_now_is_read_again_later) {
    struct device d;
    struct err e = ERR_NONE;
    wait_with_update(&d, json_pack("{si}", "backoff_max_s", 60));
    device_restart(&d);
    const struct fsm_record *r = &d.state.journal.record;
    cr_assert_eq(fs_remove(d.state.private_dir, "manifest", &e), 0, "%s", e.text);
    cr_assert_eq(fs_make_dir(d.state.private_dir, "manifest", 0700, &e), 0, "%s", e.text);
    agent_update_looked(d.update);
    cr_expect_eq(d.asked, 1);
    device_drive(&d);
    cr_expect_eq(r->state, FSM_WAITING);
    cr_expect_str_eq(r->why.code, "io", "I10: %s", r->why.text);
    cr_expect(agent_update_wants_look(d.update));
    cr_assert_eq(fs_remove_tree(d.state.private_dir, "manifest", &e), 0, "%s", e.text);
    cr_assert_eq(update_engine_keep_manifest(d.update, buf_slice(&d.manifest), &e), 0);
    agent_update_looked(d.update);
    device_drive(&d);
    check_runs(&d, "1.1");
    device_drop(&d);
}

Test(named, i11_a_repository_that_cannot_say_is_waited_for_and_the_look_is_made_anew) {
    static const struct err_kind *const kinds[] = {&err_stale_repository, &err_unreachable,
                                                   &err_rollback, &err_below_threshold};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct device d;
        // Shorter than device_drive lets pass, whatever is drawn.
        wait_with_update(&d, json_pack("{si}", "backoff_max_s", 60));
        const struct fsm_record *r = &d.state.journal.record;
        device_trusts(&d, 8, 8);
        refuse_with(&d, kinds[i], "not now");
        for (unsigned turn = 1; turn < 8; turn++) {
            agent_update_looked(d.update);
            cr_expect_eq(d.asked, turn);
            device_drive(&d);
            cr_expect_eq(r->state, FSM_WAITING);
            cr_expect_str_eq(r->why.code, kinds[i]->name, "I10, all the time");
            cr_expect(agent_update_wants_look(d.update), "the yes was used up");
            cr_expect_eq(d.asked, turn, "and without another one nothing is asked");
        }
        struct bundle_report *reports = NULL;
        struct err e = ERR_NONE;
        size_t n, said = 0;
        cr_assert_eq(agent_queue_peek(&d.state.queue, 256, &reports, &n, &e), 0, "%s", e.text);
        for (size_t k = 0; k < n; k++)
            said += strcmp(reports[k].code, kinds[i]->name) == 0;
        cr_expect_eq(said, 1, "reported once: %zu", said);
        free(reports);
        // I4: it goes on as soon as the repository can say.
        err_clear(&d.says);
        agent_update_looked(d.update);
        device_drive(&d);
        check_runs(&d, "1.1");
        device_drop(&d);
    }
}

Test(named, a_copy_older_than_the_controller_knows_is_waited_for_even_when_it_names_the_bundle) {
    struct device d;
    wait_with_update(&d, NULL);
    device_trusts(&d, 7, 8);
    agent_update_looked(d.update);
    device_drive(&d);
    cr_expect_eq(d.asked, 1);
    cr_expect_eq(d.state.journal.record.state, FSM_WAITING);
    cr_expect_str_eq(d.state.journal.record.why.code, "stale_repository");
    device_trusts(&d, 8, 8);
    agent_update_looked(d.update);
    device_drive(&d);
    check_runs(&d, "1.1");
    device_drop(&d);
}

Test(named, what_delays_it_while_it_asks_makes_it_ask_again) {
    struct device d;
    wait_with_update(&d, NULL);
    const struct fsm_record *r = &d.state.journal.record;
    d.holds_back = true;
    agent_update_looked(d.update);
    agent_update_inhibit(d.update, 100, "recording");
    device_answer(&d);
    cr_expect_eq(r->state, FSM_WAITING);
    cr_expect_str_eq(r->why.code, "inhibited");
    d.holds_back = false;
    refuse_with(&d, &err_not_in_targets, "withdrawn");
    agent_update_inhibit(d.update, 0, "");
    device_drive(&d);
    cr_expect_eq(d.asked, 2);
    check_given_up(&d, "withdrawn");
    device_drop(&d);
}

Test(named, i11_an_answer_that_took_longer_than_the_look_holds_is_not_enough) {
    struct device d;
    wait_with_update(&d, NULL);
    const struct fsm_record *r = &d.state.journal.record;
    d.holds_back = true;
    agent_update_looked(d.update);
    fake_clock_advance(&d.clock, UPDATE_ENGINE_LOOK_MS + 1);
    device_answer(&d);
    cr_expect_eq(r->state, FSM_WAITING);
    cr_expect_str_eq(r->why.code, "last_look");
    cr_expect(agent_update_wants_look(d.update));
    device_drop(&d);
}

Test(named, what_its_publishers_may_not_publish_any_more_is_given_up) {
    json_t *model = json_pack("[s]", "model"), *both = json_pack("[s,s]", "model", "app");
    static const struct {
        int components; // 0 any, 1 without app, 2 both
        bool may_not_execute, executable, other_length;
        const char *text; // NULL: activated
    } cases[] = {
        {1, false, false, false, "component app"},
        {0, true, true, false, "executable"},
        {0, false, false, true, "another content"},
        {2, true, false, false, NULL},
        {0, false, true, false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct device d;
        device_start(&d, NULL);
        device_install(&d, "1.0", NULL);
        d.executable = cases[i].executable;
        device_release(&d, "1.1", NULL);
        device_offer_until(&d, false, FSM_WAITING);
        device_trusts(&d, 8, 8);
        d.may_component = cases[i].components == 1 ? model : cases[i].components == 2 ? both : NULL;
        d.may_not_execute = cases[i].may_not_execute;
        d.other_length = cases[i].other_length;
        agent_update_looked(d.update);
        device_drive(&d);
        if (cases[i].text)
            check_given_up(&d, cases[i].text);
        else
            check_runs(&d, "1.1");
        device_drop(&d);
    }
    json_decref(model);
    json_decref(both);
}

Test(named, i6_a_floor_that_rose_while_it_waited_keeps_it_out) {
    struct device d;
    struct err e = ERR_NONE;
    wait_with_update(&d, NULL);
    device_trusts(&d, 8, 8);
    json_t *floors = json_pack("{si}", "app", 6);
    cr_assert_eq(agent_floors_raise(d.state.private_dir, &d.state.floors, floors, &e), 0);
    agent_update_looked(d.update);
    device_drive(&d);
    check_runs(&d, "1.0");
    cr_expect_str_eq(d.state.journal.report.code, "below_floor");
    cr_expect_eq(d.state.journal.record.n_failures, 0, "I4");
    json_decref(floors);
    device_drop(&d);
}

Test(named, a_manifest_that_is_gone_by_then_is_no_bundle_to_activate) {
    struct device d;
    struct err e = ERR_NONE;
    wait_with_update(&d, NULL);
    device_restart(&d);
    device_trusts(&d, 8, 8);
    cr_assert_eq(fs_remove(d.state.private_dir, "manifest", &e), 0, "%s", e.text);
    agent_update_looked(d.update);
    device_drive(&d);
    check_runs(&d, "1.0");
    cr_expect_eq(d.state.journal.record.state, FSM_IDLE);
    cr_expect_eq(d.state.journal.record.n_failures, 0, "I4");
    device_drop(&d);
}

Test(named, a_file_at_hand_asks_nobody) {
    struct device d;
    device_start(&d, NULL);
    device_trusts(&d, 8, 9);
    refuse_with(&d, &err_not_in_targets, "withdrawn");
    device_install(&d, "1.0", NULL);
    cr_expect_eq(d.asked, 0);
    device_drop(&d);
}
