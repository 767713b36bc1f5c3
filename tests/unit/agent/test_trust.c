// SPDX-License-Identifier: Apache-2.0
//
// What a device trusts: which root counts, what of a judged refresh is taken over, and what a
// failure at any call to the file system leaves.
#include <errno.h>

#include "keys/kind.h"
#include "tests/unit/agent/roots.h"

static void open_device(struct device *d) {
    struct err e = ERR_NONE;
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
}

static void open_again(struct device *d) {
    device_close(d);
    open_device(d);
}

// ── Which root counts

Test(trust, a_higher_provisioned_root_takes_the_stored_ones_place_and_a_lower_one_does_not) {
    struct device d;
    device_make(&d, NULL);
    roots_provision(&d, 4, KEYS_ROOT_ROLES);
    open_device(&d);
    cr_expect_eq(roots_version(&d), 4);
    roots_provision(&d, 6, KEYS_ROOT_ROLES);
    open_again(&d);
    cr_expect_eq(roots_version(&d), 6);
    roots_provision(&d, 5, KEYS_ROOT_ROLES);
    open_again(&d);
    cr_expect_eq(roots_version(&d), 6);
    device_drop(&d);
}

Test(trust, another_root_of_the_same_version_is_the_operators_word) {
    struct device d;
    device_make(&d, NULL);
    roots_provision(&d, 4, KEYS_ROOT_ROLES);
    open_device(&d);
    roots_provision(&d, 4, KEYS_ROOT_ROLE_DIRECTOR);
    open_again(&d);
    struct keys_pub pub;
    keys_secret_free(forge_key(7, &pub));
    cr_expect_str_eq(keys_root_role(d.state.root, KEYS_ROOT_ROLE_DIRECTOR)->keys[0].id, pub.id);
    device_drop(&d);
}

Test(trust, a_damaged_stored_root_gives_way_to_the_provisioned_one) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    open_device(&d);
    cr_assert_eq(fs_replace(d.state.trust.dir, "root.json", "{}", 2, 0644, &e), 0);
    open_again(&d);
    cr_expect_eq(roots_version(&d), 1);
    open_again(&d);
    cr_expect_neq(strlen(trusted_text(&d, "root.json")), 2, "it was put in its place");
    device_drop(&d);
}

Test(trust, what_is_no_file_where_trusted_files_lie_is_removed) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    open_device(&d);
    int dir = d.state.trust.dir;
    cr_assert_eq(fs_remove(dir, "root.json", &e), 0, "%s", e.text);
    cr_assert_eq(mkdirat(dir, "root.json", 0755), 0);
    cr_assert_eq(mkdirat(dir, "root.json/deeper", 0755), 0);
    cr_assert_eq(symlinkat("/etc/passwd", dir, "snapshot.json"), 0);
    cr_assert_eq(mkfifoat(dir, "targets.json", 0644), 0);
    open_again(&d);
    cr_expect_eq(roots_version(&d), 1);
    struct stat status;
    dir = d.state.trust.dir;
    cr_expect_eq(fs_stat(dir, "snapshot.json", &status, &e), FS_ABSENT);
    cr_expect_eq(fs_stat(dir, "targets.json", &status, &e), FS_ABSENT);
    cr_expect(fs_stat(dir, "root.json", &status, &e) == 0 && S_ISREG(status.st_mode));
    // And the folder itself.
    int private = d.state.private_dir;
    cr_assert_eq(fs_remove_tree(private, "tuf", &e), 0, "%s", e.text);
    cr_assert_eq(symlinkat("/nowhere", private, "tuf"), 0);
    open_again(&d);
    cr_expect_eq(roots_version(&d), 1);
    device_drop(&d);
}

Test(trust, without_a_provisioned_root_nothing_starts) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    device_write(&d, "root.json", "{}", 2);
    cr_expect_lt(device_open(&d, &e), 0);
    cr_expect(strstr(e.text, "root.json"), "%s", e.text);
    device_drop(&d);
}

Test(trust, a_provisioned_root_with_other_online_keys_undoes_what_they_dated) {
    struct device d;
    struct err e = ERR_NONE;
    device_make(&d, NULL);
    roots_provision(&d, 1, KEYS_ROOT_ROLES);
    open_device(&d);
    cr_expect(agent_state_learn_time(&d.state, FSM_TRUSTED_ONLINE, 3900000000));
    cr_assert_eq(agent_state_save(&d.state, &e), 0, "%s", e.text);
    open_again(&d);
    cr_expect_eq(agent_state_trusted_s(&d.state), 3900000000);
    roots_provision(&d, 2, KEYS_ROOT_ROLES);
    open_again(&d);
    cr_expect_eq(agent_state_trusted_s(&d.state), 3900000000, "the same keys");
    roots_provision(&d, 3, KEYS_ROOT_ROLE_TIMESTAMP);
    open_again(&d);
    cr_expect_eq(agent_state_trusted_s(&d.state), ROOTS_ISSUED_S + 3);
    open_again(&d);
    cr_expect_eq(agent_state_trusted_s(&d.state), ROOTS_ISSUED_S + 3, "durably");
    device_drop(&d);
}

static void judged_root_at(struct judged *j, uint64_t version, int64_t issued_s) {
    OWN(buf) struct buf raw;
    char name[32];
    roots_make_at(version, issued_s, KEYS_ROOT_ROLES, &raw);
    (void)snprintf(name, sizeof name, "%" PRIu64 ".root.json", version);
    judged_file(j, name, "root.json", buf_slice(&raw));
}

static void adopt_root_at(struct device *d, uint64_t version, int64_t issued_s) {
    struct judged j;
    struct trust_verdict v;
    struct err e = ERR_NONE;
    judged_begin(d, &j);
    judged_root_at(&j, version, issued_s);
    judged_verdict(&j, &v);
    cr_assert_eq(trust_adopt(&d->state, j.incoming, &v, &e), 0, "%s", e.text);
    judged_end(&j);
    trust_verdict_clear(&v);
}

Test(trust, a_root_signed_by_a_clock_ahead_is_undone_by_the_next_one) {
    struct device d;
    device_make(&d, NULL);
    roots_provision(&d, 1, KEYS_ROOT_ROLES);
    open_device(&d);
    adopt_root_at(&d, 2, 2713910400); // 2056
    cr_expect_eq(agent_state_trusted_s(&d.state), 2713910400);
    open_again(&d);
    cr_expect_eq(agent_state_trusted_s(&d.state), 2713910400);
    adopt_root_at(&d, 3, ROOTS_ISSUED_S + 50);
    cr_expect_eq(agent_state_trusted_s(&d.state), ROOTS_ISSUED_S + 50);
    open_again(&d);
    cr_expect_eq(agent_state_trusted_s(&d.state), ROOTS_ISSUED_S + 50, "durably");
    adopt_root_at(&d, 4, ROOTS_ISSUED_S + 60);
    cr_expect_eq(agent_state_trusted_s(&d.state), ROOTS_ISSUED_S + 60);
    device_drop(&d);
}

// Every call to the file system fails once while a new root is taken over: the next start has
// either the old root and the old dates, or the new root without them.
Test(trust, a_cut_while_a_root_is_provisioned_leaves_root_and_dates_together) {
    for (size_t n = 0;; n++) {
        struct device d;
        struct err e = ERR_NONE;
        struct fs_fault fault = {.at = n, .effect = FS_FAULT_ERROR, .error = EIO, .for_ever = true};
        device_make(&d, NULL);
        roots_provision(&d, 1, KEYS_ROOT_ROLES);
        open_device(&d);
        agent_state_learn_time(&d.state, FSM_TRUSTED_ONLINE, 3900000000);
        cr_assert_eq(agent_state_save(&d.state, &e), 0, "%s", e.text);
        device_close(&d);
        roots_provision(&d, 2, KEYS_ROOT_ROLE_SNAPSHOT);
        fs_fault_begin(&fault);
        (void)device_open(&d, &e);
        device_close(&d);
        bool hit = fs_fault_end(NULL);
        open_device(&d);
        cr_assert_eq(roots_version(&d), 2, "call %zu", n);
        cr_assert_eq(agent_state_trusted_s(&d.state), ROOTS_ISSUED_S + 2, "call %zu", n);
        device_drop(&d);
        if (!hit)
            return;
        cr_assert_lt(n, 1000);
    }
}

// ── Taking over

// Two roots, of which the second takes the timestamp's key away, and one file of each role.
static void judge_all(struct device *d, struct judged *j, struct trust_verdict *v) {
    judged_begin(d, j);
    judged_root(j, 2, KEYS_ROOT_ROLES);
    judged_root(j, 3, KEYS_ROOT_ROLE_TIMESTAMP);
    json_array_append_new(j->steps, json_pack("{ss ss}", "from", "", "to", "timestamp.json"));
    judged_text(j, "timestamp.json", "timestamp.json", "new timestamp");
    judged_text(j, "9.snapshot.json", "snapshot.json", "new snapshot");
    judged_text(j, "8.targets.json", "targets.json", "new targets");
    judged_text(j, "8.a%2Fb.json", "a%2Fb.json", "new a/b");
    judged_role(j, "timestamp", 10, ROOTS_ISSUED_S + 300, ROOTS_ISSUED_S + 1000);
    judged_role(j, "snapshot", 9, ROOTS_ISSUED_S + 200, ROOTS_ISSUED_S + 2000);
    judged_role(j, "targets", 8, ROOTS_ISSUED_S + 100, ROOTS_ISSUED_S + 3000);
    json_object_set_new(j->all, "floors", json_pack("{si}", "app", 6));
    judged_verdict(j, v);
}

static void prepare_device(struct device *d) {
    static const char *const files[] = {"timestamp", "snapshot", "targets"};
    struct err e = ERR_NONE;
    device_make(d, NULL);
    roots_provision(d, 1, KEYS_ROOT_ROLES);
    open_device(d);
    agent_state_learn_time(&d->state, FSM_TRUSTED_ONLINE, 3900000000);
    cr_assert_eq(agent_state_save(&d->state, &e), 0, "%s", e.text);
    for (size_t i = 0; i < 3; i++) {
        char name[32], text[32];
        (void)snprintf(name, sizeof name, "%s.json", files[i]);
        (void)snprintf(text, sizeof text, "old %s", files[i]);
        cr_assert_eq(fs_replace(d->state.trust.dir, name, text, strlen(text), 0644, &e), 0);
    }
}

static void check_taken(struct device *d, size_t n) {
    cr_assert_eq(roots_version(d), 3, "call %zu", n);
    cr_assert_str_eq(trusted_text(d, "timestamp.json"), "new timestamp");
    cr_assert_str_eq(trusted_text(d, "snapshot.json"), "new snapshot");
    cr_assert_str_eq(trusted_text(d, "targets.json"), "new targets");
    cr_assert_str_eq(trusted_text(d, "a%2Fb.json"), "new a/b");
    cr_assert_eq(d->state.trust.files[TRUST_STORE_SNAPSHOT].version, 9);
    cr_assert_eq(json_integer_value(json_object_get(d->state.floors.object, "app")), 6);
    cr_assert_eq(agent_state_trusted_s(&d->state), ROOTS_ISSUED_S + 300,
                 "what the old key dated is forgotten: call %zu: %" PRId64, n,
                 agent_state_trusted_s(&d->state));
}

// Each file is the old or the new one, whole, and none is newer than one that comes before it.
static void check_prefix(struct device *d, size_t n) {
    static const char *const names[] = {"timestamp", "snapshot", "targets"};
    bool may_be_new = roots_version(d) == 3;
    cr_assert(may_be_new || roots_version(d) == 1, "call %zu", n);
    for (size_t i = 0; i < 3; i++) {
        char name[32], old[32], new[32];
        (void)snprintf(name, sizeof name, "%s.json", names[i]);
        (void)snprintf(old, sizeof old, "old %s", names[i]);
        (void)snprintf(new, sizeof new, "new %s", names[i]);
        const char *text = trusted_text(d, name);
        bool is_new = strcmp(text, new) == 0;
        bool is_gone = i == 0 && text[0] == '\0'; // forgotten, not replaced yet
        cr_assert(is_new || is_gone || strcmp(text, old) == 0, "call %zu: %s: %s", n, name, text);
        cr_assert(!is_new || may_be_new, "call %zu: %s is newer than what leads to it", n, name);
        may_be_new = is_new;
    }
}

Test(trust, what_was_judged_is_taken_over_whole) {
    struct device d;
    struct judged j;
    struct trust_verdict v;
    struct err e = ERR_NONE;
    prepare_device(&d);
    judge_all(&d, &j, &v);
    cr_assert_eq(trust_adopt(&d.state, j.incoming, &v, &e), 0, "%s", e.text);
    check_taken(&d, 0);
    judged_end(&j);
    trust_verdict_clear(&v);
    open_again(&d);
    check_taken(&d, 0);
    device_drop(&d);
}

// A device whose file system fails from the n-th call on while it takes over: the next start finds
// a prefix, and taking over again ends where it should. False when no call failed.
static bool cut_at(size_t n) {
    struct device d;
    struct judged j;
    struct trust_verdict v;
    struct err e = ERR_NONE;
    struct fs_fault fault = {.at = n, .effect = FS_FAULT_ERROR, .error = EIO, .for_ever = true};
    prepare_device(&d);
    judge_all(&d, &j, &v);
    fs_fault_begin(&fault);
    int done = trust_adopt(&d.state, j.incoming, &v, &e);
    bool hit = fs_fault_end(NULL);
    cr_assert(done == 0 || hit, "%s", e.text);
    judged_end(&j);
    trust_verdict_clear(&v);
    open_again(&d);
    check_prefix(&d, n);
    // The judge would not name the roots again that are trusted already.
    if (roots_version(&d) == 1) {
        judge_all(&d, &j, &v);
    } else {
        judged_begin(&d, &j);
        judged_text(&j, "timestamp.json", "timestamp.json", "new timestamp");
        judged_text(&j, "9.snapshot.json", "snapshot.json", "new snapshot");
        judged_text(&j, "8.targets.json", "targets.json", "new targets");
        judged_text(&j, "8.a%2Fb.json", "a%2Fb.json", "new a/b");
        judged_role(&j, "timestamp", 10, ROOTS_ISSUED_S + 300, ROOTS_ISSUED_S + 1000);
        judged_role(&j, "snapshot", 9, ROOTS_ISSUED_S + 200, ROOTS_ISSUED_S + 2000);
        judged_role(&j, "targets", 8, ROOTS_ISSUED_S + 100, ROOTS_ISSUED_S + 3000);
        json_object_set_new(j.all, "floors", json_pack("{si}", "app", 6));
        judged_verdict(&j, &v);
    }
    cr_assert_eq(trust_adopt(&d.state, j.incoming, &v, &e), 0, "call %zu: %s", n, e.text);
    check_taken(&d, n);
    judged_end(&j);
    trust_verdict_clear(&v);
    device_drop(&d);
    return hit;
}

Test(trust, a_cut_at_any_call_leaves_what_the_next_refresh_goes_on_from, .timeout = 250) {
    size_t n = 0;
    while (cut_at(n))
        cr_assert_lt(++n, 1000);
    cr_expect_gt(n, 40, "the loop saw %zu calls", n);
}

static void refuse(struct device *d, struct judged *j, const struct err_kind *kind) {
    struct trust_verdict v;
    struct err e = ERR_NONE;
    judged_verdict(j, &v);
    cr_expect_lt(trust_adopt(&d->state, j->incoming, &v, &e), 0);
    cr_expect_eq(e.kind, kind, "%s", e.text);
    cr_expect_eq(roots_version(d), 1);
    cr_expect_str_eq(trusted_text(d, "timestamp.json"), "old timestamp");
    judged_end(j);
    trust_verdict_clear(&v);
}

Test(trust, what_was_changed_after_the_judgement_is_not_taken_over) {
    struct device d;
    struct judged j;
    struct err e = ERR_NONE;
    prepare_device(&d);
    judged_begin(&d, &j);
    judged_text(&j, "timestamp.json", "timestamp.json", "new timestamp");
    cr_assert_eq(fs_replace(j.incoming, "timestamp.json", "NEW timestamp", 13, 0644, &e), 0);
    refuse(&d, &j, &err_worker_failed);
    judged_begin(&d, &j);
    judged_text(&j, "timestamp.json", "timestamp.json", "new timestamp");
    cr_assert_eq(fs_replace(j.incoming, "timestamp.json", "new", 3, 0644, &e), 0);
    refuse(&d, &j, &err_worker_failed);
    device_drop(&d);
}

Test(trust, a_judge_cannot_make_a_root) {
    static const uint64_t versions[] = {1, 3}; // the same again; a version left out
    struct device d;
    struct judged j;
    prepare_device(&d);
    for (size_t i = 0; i < 2; i++) {
        judged_begin(&d, &j);
        judged_root(&j, versions[i], KEYS_ROOT_ROLES);
        judged_text(&j, "timestamp.json", "timestamp.json", "new timestamp");
        refuse(&d, &j, &err_root_chain);
    }
    // The second of two does not follow: the first is not taken over either.
    judged_begin(&d, &j);
    judged_root(&j, 2, KEYS_ROOT_ROLES);
    judged_root(&j, 4, KEYS_ROOT_ROLES);
    refuse(&d, &j, &err_root_chain);
    device_drop(&d);
}

Test(trust, delegated_files_of_roles_that_nobody_asks_for_do_not_pile_up) {
    struct device d;
    struct err e = ERR_NONE;
    struct judged j;
    struct trust_verdict v;
    prepare_device(&d);
    for (int i = 0; i < 200; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "role-%d.json", i);
        cr_assert_eq(fs_replace(d.state.trust.dir, name, "x", 1, 0644, &e), 0);
    }
    judged_begin(&d, &j);
    judged_text(&j, "8.new.json", "new.json", "new role");
    judged_verdict(&j, &v);
    cr_assert_eq(trust_adopt(&d.state, j.incoming, &v, &e), 0, "%s", e.text);
    cr_expect_str_eq(trusted_text(&d, "role-7.json"), "");
    cr_expect_str_eq(trusted_text(&d, "new.json"), "new role");
    cr_expect_str_eq(trusted_text(&d, "targets.json"), "old targets");
    judged_end(&j);
    trust_verdict_clear(&v);
    device_drop(&d);
}

// ── What runs stays admitted

static void rotate_bundle_keys(struct device *d, enum fsm_state during) {
    device_make(d, NULL);
    roots_provision(d, 1, KEYS_ROOT_ROLES);
    open_device(d);
    device_release(d, "1.0", NULL);
    d->stop = during == FSM_STAGED; // ended while it was sealed
    device_offer_until(d, true, during);
    device_close(d);
    d->stop = false;
    roots_provision(d, 2, KEYS_ROOT_ROLE_BUNDLE);
}

Test(trust, an_update_that_runs_outlives_a_rotation_of_the_keys_that_signed_it) {
    static const enum fsm_state states[] = {FSM_STAGED, FSM_PROBATION};
    char runs[16];
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct device d;
        struct bundle_manifest *m = NULL;
        struct err e = ERR_NONE;
        bool ran = states[i] == FSM_PROBATION;
        rotate_bundle_keys(&d, states[i]);
        open_device(&d);
        cr_expect_eq(roots_version(&d), 2);
        cr_assert_eq(d.state.journal.record.state, states[i]);
        cr_expect_lt(bundle_manifest_verify_root(buf_slice(&d.manifest), d.state.root, &m, &e), 0,
                     "a new one is not admitted");
        device_drive(&d);
        cr_expect_str_eq(device_runs(&d, runs), ran ? "1.0" : "", "%s",
                         d.state.journal.record.why.text);
        // One that did not run is a new one.
        cr_expect_str_eq(d.update->ended_why.code, ran ? "" : "below_threshold");
        cr_expect_eq(d.state.journal.record.n_failures, 0, "I4");
        device_drop(&d);
    }
}

Test(trust, another_manifest_in_the_kept_ones_place_is_not_the_updates) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    rotate_bundle_keys(&d, FSM_PROBATION);
    device_release(&d, "1.1", NULL); // signed as well as the kept one
    device_write(&d, "state/private/manifest", d.manifest.data, d.manifest.len);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect_str_eq(device_runs(&d, runs), "");
    cr_expect_str_eq(d.state.journal.report.code, "digest_mismatch");
    device_drop(&d);
}
