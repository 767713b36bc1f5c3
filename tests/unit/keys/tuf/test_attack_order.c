// SPDX-License-Identifier: Apache-2.0
//
// Attacks with what once was honest, or comes in the wrong order: going back, standing still,
// running ahead, and being stopped in between.
#include "tests/unit/keys/tuf/attack.h"

#define YEAR_S (365 * 86400LL)

static const struct slice content = {(const uint8_t *)"hello", 5};

// ── U01 ────────────────────────────────────────────────────────────────────────────────────────

// The device's store: it sees every file before it is kept.
struct guarded {
    struct tuf_repo *repo;
    const struct tuf_client_ops *ops;
    const struct buf *bad; // what must never be stored
    size_t n_stored;
};

static int guarded_load(void *context, const char *name, size_t max_bytes, struct buf *ret,
                        struct err *e) {
    const struct guarded *g = context;
    return g->ops->load(g->repo, name, max_bytes, ret, e);
}

static int guarded_fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                         struct err *e) {
    const struct guarded *g = context;
    return g->ops->fetch(g->repo, name, max_bytes, ret, e);
}

static int guarded_store(void *context, const char *name, struct slice bytes, struct err *e) {
    struct guarded *g = context;
    g->n_stored++;
    cr_assert(bytes.len != g->bad->len || memcmp(bytes.data, g->bad->data, bytes.len) != 0,
              "%s was stored before it was verified", name);
    return g->ops->store(g->repo, name, bytes, e);
}

static int guarded_forget(void *context, const char *name, struct err *e) {
    const struct guarded *g = context;
    return g->ops->forget(g->repo, name, e);
}

// Ways in which the file of a role is bad although it looks like the next one.
enum bad { BY_NOBODY, BY_STRANGER, BAD_VERSION, BAD_EXPIRY, BAD_TYPE, BAD_FORM, BADS };

// served gets the name of the bad file.
static void make_bad(struct attack *a, enum attack_role role, enum bad bad,
                     char served[static ATTACK_NAME_BYTES]) {
    struct tuf_repo *repo = &a->repo;
    const char *name = attack_names[role];
    if (bad == BY_NOBODY)
        tuf_repo_set_signers(repo, name, "");
    if (bad == BY_STRANGER)
        tuf_repo_set_signers(repo, name, "z");
    if (bad == BAD_EXPIRY)
        tuf_repo_set(repo, name, "expires", json_string("2020-01-01T00:00:00Z"));
    if (bad == BAD_TYPE)
        tuf_repo_set(repo, name, "_type", json_string("mirrors"));
    if (bad == BAD_FORM)
        tuf_repo_set(repo, name, "spec_version", json_string("2.0.0"));
    attack_serve(a, role);
    (void)attack_served(a, role, served);
    if (bad == BAD_VERSION) {
        OWN(buf) struct buf bytes;
        buf_init(&bytes, 1 << 20);
        device_set_number(repo, name, "version", role == A_TIMESTAMP ? 1 : 4711);
        tuf_repo_sign(tuf_repo_role(repo, name), json_object_get(repo->signers, name), &bytes);
        tuf_repo_put(&repo->served, served, buf_slice(&bytes));
    }
}

// Refreshes, looks d/x up and remembers nothing; the store refuses from the stop_at-th file on.
static int run_guarded(struct attack *a, const struct buf *bad, size_t stop_at, size_t *ret_stored,
                       struct err *e) {
    static const struct tuf_client_ops ops = {.load = guarded_load,
                                              .fetch = guarded_fetch,
                                              .store = guarded_store,
                                              .forget = guarded_forget};
    struct tuf_repo *repo = &a->repo;
    struct guarded g = {.repo = repo, .ops = repo->options.ops, .bad = bad};
    repo->fail_ops = TUF_REPO_STORE | TUF_REPO_FORGET;
    repo->fail_at = stop_at;
    repo->for_ever = true;
    repo->has_failed = false;
    repo->options.ops = &ops;
    repo->options.context = &g;
    int found = tuf_repo_find(repo, "d/x", e);
    repo->options.ops = g.ops;
    repo->options.context = repo;
    repo->fail_ops = 0;
    *ret_stored = g.n_stored;
    return found;
}

static void stop_and_recover(enum attack_role role, enum bad bad, size_t stop_at,
                             size_t *ret_stored) {
    OWN(attack) struct attack a;
    struct err e = ERR_NONE;
    char name[ATTACK_NAME_BYTES];
    char what[64];
    (void)snprintf(what, sizeof what, "%s, bad in way %d, stopped after %zu", attack_names[role],
                   bad, stop_at);
    attack_make_without_hashes(&a);
    // A good new root comes first, so that there is something to write, and to forget (but not the
    // timestamp, where that is what a bad one is compared with).
    tuf_repo_trust(&a.repo, bad == BAD_VERSION ? "targets" : "timestamp",
                   bad == BAD_VERSION ? "48" : "28", 1);
    if (role != A_ROOT)
        tuf_repo_publish(&a.repo, "root");
    make_bad(&a, role, bad, name);
    const struct buf *bytes = tuf_repo_bytes(&a.repo.served, name);
    cr_assert_not_null(bytes);
    cr_assert_lt(run_guarded(&a, bytes, stop_at, ret_stored, &e), 0, "%s", what);
    // What is there now is what the device begins with next time.
    for (size_t i = 0; i < a.repo.stored.n; i++)
        cr_assert(!attack_same(&a.repo.stored.files[i].bytes, bytes), "%s", what);
    if (role == A_ROOT)
        cr_assert_eq(tuf_repo_stored(&a.repo, "root.json"), 1, "%s", what);
    attack_recover(&a, what);
}

Test(attack, u01_only_verified_files_are_ever_stored_wherever_it_stops, .timeout = 240) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        for (int bad = 0; bad < BADS; bad++) {
            // An expired root is trusted and leads nowhere: not one of these.
            if (role == A_ROOT && bad == BAD_EXPIRY)
                continue;
            size_t n_stored = SIZE_MAX;
            for (size_t stop_at = 0; stop_at < 8; stop_at++)
                stop_and_recover((enum attack_role)role, (enum bad)bad, stop_at, &n_stored);
            cr_assert_lt(n_stored, 8, "the last round stopped nothing");
        }
    }
}

// ── U05, U06 ───────────────────────────────────────────────────────────────────────────────────

// The file of a role at this version, and everything that names it one version further.
static void offer_version(struct attack *a, enum attack_role role, int64_t version) {
    struct tuf_repo *repo = &a->repo;
    const char *name = attack_names[role];
    if (role == A_ROOT) {
        tuf_repo_publish(repo, "root");
        char served[ATTACK_NAME_BYTES];
        OWN(buf) struct buf bytes;
        buf_init(&bytes, 1 << 20);
        (void)attack_served(a, role, served);
        device_set_number(repo, "root", "version", version);
        tuf_repo_sign(tuf_repo_role(repo, "root"), json_object_get(repo->signers, "root"), &bytes);
        tuf_repo_put(&repo->served, served, buf_slice(&bytes));
        return;
    }
    device_set_number(repo, name, "version", version - 1);
    tuf_repo_publish(repo, name);
}

Test(attack, u05_each_role_may_stay_or_rise_by_one_and_never_fall, .timeout = 120) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        for (int step = -1; step <= 1; step++) {
            OWN(attack) struct attack a;
            struct err e = ERR_NONE;
            char what[64];
            (void)snprintf(what, sizeof what, "%s %+d", attack_names[role], step);
            attack_make(&a);
            attack_publish(&a);
            tuf_repo_publish(&a.repo, "root");
            attack_begin(&a);
            int64_t n = (int64_t)tuf_repo_version(&a.repo, attack_names[role]);
            offer_version(&a, (enum attack_role)role, n + step);
            if (step < 0 || (role == A_ROOT && step == 0)) {
                attack_must_fail_and_recover(&a, (enum attack_role)role,
                                             role == A_ROOT ? &err_root_chain : &err_rollback,
                                             what);
                continue;
            }
            cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s: %s", what, e.text);
            char name[32];
            (void)snprintf(name, sizeof name, "%s.json", attack_names[role]);
            cr_assert_eq(tuf_repo_stored(&a.repo, name), (uint64_t)(n + step), "%s", what);
        }
    }
}

Test(attack, u06_the_version_inside_is_the_one_that_was_asked_for, .timeout = 120) {
    static const int64_t inside[] = {1, 2, 99, (INT64_C(1) << 53) - 1};
    for (int role = A_ROOT; role < A_ROLES; role++) {
        for (size_t i = 0; i < ATTACK_COUNT(inside); i++) {
            // Nobody asks for a version of the timestamp; a high one is another attack.
            if (role == A_TIMESTAMP && inside[i] > 2)
                continue;
            OWN(attack) struct attack a;
            char served[ATTACK_NAME_BYTES];
            OWN(buf) struct buf bytes;
            attack_make_without_hashes(&a);
            attack_publish(&a);
            attack_begin(&a);
            attack_serve(&a, (enum attack_role)role);
            buf_init(&bytes, 1 << 20);
            (void)attack_served(&a, (enum attack_role)role, served);
            int64_t expected = (int64_t)tuf_repo_version(&a.repo, attack_names[role]);
            if (expected == inside[i])
                continue;
            device_set_number(&a.repo, attack_names[role], "version", inside[i]);
            tuf_repo_sign(tuf_repo_role(&a.repo, attack_names[role]),
                          json_object_get(a.repo.signers, attack_names[role]), &bytes);
            tuf_repo_put(&a.repo.served, served, buf_slice(&bytes));
            attack_must_fail_and_recover(&a, (enum attack_role)role,
                                         role == A_ROOT ? &err_root_chain : &err_rollback, served);
        }
    }
}

Test(attack, u06_a_delegated_role_does_not_go_back_even_with_its_own_honest_old_file) {
    OWN(attack) struct attack a;
    attack_make(&a);
    attack_publish(&a);
    attack_begin(&a);
    device_set_number(&a.repo, "d", "version", 1);
    tuf_repo_name_in(&a.repo, "snapshot", "d"); // 1.d.json, as it was served on the first day
    tuf_repo_publish(&a.repo, "snapshot");
    attack_must_fail_and_recover(&a, A_SNAPSHOT, &err_rollback, "d");
}

// ── Rollback, the same version, fast-forward ───────────────────────────────────────────────────

Test(attack, rollback_by_leaving_a_role_out_of_the_snapshot_is_refused) {
    OWN(attack) struct attack a;
    attack_make(&a);
    cr_assert_eq(
        json_object_del(json_object_get(tuf_repo_role(&a.repo, "snapshot"), "meta"), "d.json"), 0);
    tuf_repo_publish(&a.repo, "snapshot");
    attack_must_fail_and_recover(&a, A_SNAPSHOT, &err_rollback, "d is gone");
}

Test(attack, rollback_by_serving_an_old_day_whole_is_refused) {
    OWN(attack) struct attack a;
    attack_make(&a);
    struct tuf_repo_files old = tuf_repo_copy_files(&a.repo.served);
    attack_publish(&a);
    attack_begin(&a);
    tuf_repo_clear_files(&a.repo.served);
    a.repo.served = old;
    attack_must_fail_and_recover(&a, A_TIMESTAMP, &err_rollback, "yesterday");
}

// The same version with other content, validly signed. The device keeps what it has.
Test(attack, same_version_with_other_content_is_not_taken) {
    for (int hashes = 0; hashes < 2; hashes++) {
        for (int role = A_TIMESTAMP; role < A_ROLES; role++) {
            OWN(attack) struct attack a;
            struct err e = ERR_NONE;
            if (hashes)
                attack_make(&a);
            else
                attack_make_without_hashes(&a);
            tuf_repo_set(&a.repo, attack_names[role], "other", json_true());
            tuf_repo_serve(&a.repo, attack_names[role]);
            tuf_repo_publish(&a.repo, role == A_TIMESTAMP ? "root" : "timestamp");
            cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s", e.text);
            if (role == A_TIMESTAMP) // the new root is the only new thing
                tuf_repo_put(&a.trusted, "root.json",
                             buf_slice(tuf_repo_bytes(&a.repo.stored, "root.json")));
            else
                tuf_repo_put(&a.trusted, "timestamp.json",
                             buf_slice(tuf_repo_bytes(&a.repo.stored, "timestamp.json")));
            attack_check_kept(&a, A_ROOT, attack_names[role]);
            attack_recover(&a, attack_names[role]);
        }
    }
}

Test(attack, same_version_with_another_hash_signed_for_it_is_not_what_was_trusted_by_itself) {
    // With the timestamp's key stolen and the snapshot's not: another hash of the same version.
    OWN(attack) struct attack a;
    attack_make(&a);
    tuf_repo_set(&a.repo, "snapshot", "other", json_true());
    tuf_repo_set_signers(&a.repo, "snapshot", "z");
    tuf_repo_serve(&a.repo, "snapshot");
    tuf_repo_name_in(&a.repo, "timestamp", "snapshot");
    tuf_repo_publish(&a.repo, "timestamp");
    attack_must_fail_and_recover(&a, A_SNAPSHOT, &err_below_threshold, "another snapshot");
}

// A stolen key that signs the last of all versions. The root gives the role another key, and all
// is as before.
Test(attack, fast_forward_is_undone_by_the_next_root, .timeout = 60) {
    static const char *const new_keys[] = {NULL, "6", "7", "8", NULL};
    for (int role = A_TIMESTAMP; role < A_DELEGATED; role++) {
        OWN(attack) struct attack a;
        struct err e = ERR_NONE;
        const char *name = attack_names[role];
        attack_make(&a);
        device_set_number(&a.repo, name, "version", (INT64_C(1) << 53) - 2);
        tuf_repo_publish(&a.repo, name);
        device_must_refresh(&a.repo);
        // The honest one is behind now, for good.
        json_decref(a.repo.parts);
        a.repo.parts = json_deep_copy(a.parts);
        attack_publish(&a);
        device_must_refuse(&a.repo, &err_rollback);
        tuf_repo_trust(&a.repo, name, new_keys[role], 1);
        // What listed the role's version has to be forgotten with it.
        if (role == A_TARGETS)
            tuf_repo_trust(&a.repo, "snapshot", "9", 1);
        tuf_repo_publish(&a.repo, "root");
        attack_publish(&a);
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s: %s", name, e.text);
        device_check_stored(&a.repo, tuf_repo_version(&a.repo, "timestamp"),
                            tuf_repo_version(&a.repo, "snapshot"),
                            tuf_repo_version(&a.repo, "targets"));
    }
}

Test(attack, fast_forward_beyond_what_numbers_hold_is_refused) {
    static const char *const versions[] = {"9007199254740992", "9223372036854775807"};
    for (int role = A_ROOT; role < A_ROLES; role++) {
        for (size_t i = 0; i < ATTACK_COUNT(versions); i++) {
            OWN(attack) struct attack a;
            attack_make_without_hashes(&a);
            attack_serve(&a, (enum attack_role)role);
            OWN(json) json_t *envelope = attack_envelope(&a, (enum attack_role)role);
            parts_put(json_object_get(envelope, "signed"), "version", versions[i]);
            attack_put(&a, (enum attack_role)role, envelope);
            attack_must_fail_and_recover(&a, (enum attack_role)role, &err_syntax, versions[i]);
        }
    }
}

// ── Freeze and clocks ──────────────────────────────────────────────────────────────────────────

Test(attack, freeze_u09_each_role_is_refused_once_it_expired) {
    static const char *const dates[] = {"2025-06-15T15:06:40Z", "2025-06-15T15:06:39Z",
                                        "1970-01-01T00:00:00Z"}; // now, before, long before
    for (int role = A_TIMESTAMP; role < A_ROLES; role++) {
        for (size_t i = 0; i < ATTACK_COUNT(dates); i++) {
            OWN(attack) struct attack a;
            attack_make(&a);
            tuf_repo_set(&a.repo, attack_names[role], "expires", json_string(dates[i]));
            attack_publish(&a);
            attack_must_fail_and_recover(&a, (enum attack_role)role, &err_expired,
                                         attack_names[role]);
        }
        OWN(attack) struct attack a;
        attack_make(&a);
        tuf_repo_set(&a.repo, attack_names[role], "expires", json_string("2025-06-15T15:06:41Z"));
        attack_publish(&a);
        device_must_refresh(&a.repo);
    }
}

Test(attack, freeze_an_expired_root_is_followed_no_further_and_the_next_one_helps) {
    OWN(attack) struct attack a;
    attack_make(&a);
    tuf_repo_set(&a.repo, "root", "expires", json_string("2025-06-15T15:06:40Z"));
    tuf_repo_publish(&a.repo, "root");
    attack_publish(&a);
    attack_must_fail_and_recover(&a, A_TIMESTAMP, &err_expired, "root");
}

Test(attack, freeze_what_stood_still_is_refused_by_its_age_though_nothing_is_new) {
    for (int first = 0; first < 2; first++) {
        OWN(attack) struct attack a;
        attack_make(&a);
        a.repo.timestamp_first = first;
        a.repo.now_s = TUF_REPO_EXPIRES_S;
        attack_must_fail(&a, A_ROOT, &err_expired, "the same for ever");
        a.repo.now_s = TUF_REPO_NOW_S;
        attack_recover(&a, "the same for ever");
    }
}

Test(attack, clocks_twenty_years_off_in_either_direction_brick_nothing) {
    static const int64_t jumps_s[] = {20 * YEAR_S, -20 * YEAR_S, -TUF_REPO_NOW_S, 0};
    OWN(attack) struct attack a;
    attack_make(&a);
    for (size_t i = 0; i < ATTACK_COUNT(jumps_s); i++) {
        for (size_t j = 0; j < ATTACK_COUNT(jumps_s); j++) {
            struct err e = ERR_NONE;
            a.repo.now_s = TUF_REPO_NOW_S + jumps_s[i];
            attack_publish(&a);
            int found = tuf_repo_find(&a.repo, "d/x", &e);
            cr_assert_eq(found, jumps_s[i] > 0 ? -1 : 0, "%s", e.text);
            cr_assert_eq(e.kind, jumps_s[i] > 0 ? &err_expired : NULL);
            a.repo.now_s = TUF_REPO_NOW_S + jumps_s[j];
            err_clear(&e);
            (void)tuf_repo_find(&a.repo, "d/x", &e);
            a.repo.now_s = TUF_REPO_NOW_S;
            err_clear(&e);
            cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s", e.text);
        }
    }
}

// ── Dropped requests ───────────────────────────────────────────────────────────────────────────

Test(attack, u08_a_mirror_that_hides_any_file_delays_and_does_no_more) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        char name[ATTACK_NAME_BYTES];
        attack_make(&a);
        tuf_repo_add_target(&a.repo, "d", "d/y", content);
        tuf_repo_trust(&a.repo, "timestamp", "26", 2);
        tuf_repo_publish(&a.repo, "root");
        attack_publish(&a);
        tuf_repo_drop(&a.repo.served, attack_served(&a, (enum attack_role)role, name));
        if (role == A_ROOT) { // without it the timestamp is signed as ever, and more
            device_must_refresh(&a.repo);
            attack_recover(&a, name);
        } else {
            attack_must_fail_and_recover(&a, (enum attack_role)role, &err_not_found, name);
        }
    }
}
