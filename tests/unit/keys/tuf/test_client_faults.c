// SPDX-License-Identifier: Apache-2.0
//
// The client when its surroundings fail at any moment, or lie: it never stores what does not hold,
// never falls back behind what it had, and the next honest refresh succeeds.
#include <criterion/criterion.h>

#include <stdio.h>

#include "base/own.h"
#include "tests/support/alloc_fault.h"
#include "tests/unit/keys/tuf/device.h"

// A device that has version 1 of everything and a repository that has version 2, with new keys for
// each role on the way and a target in a delegated role.
static void make(struct tuf_repo *repo) {
    tuf_repo_make(repo);
    (void)tuf_repo_delegate(repo, "targets", "bob", 5, "bob/*");
    tuf_repo_add_target(repo, "bob", "bob/x", device_content);
    tuf_repo_publish_all(repo);
    device_must_refresh(repo);
    tuf_repo_trust(repo, "timestamp", "28", 1);
    tuf_repo_publish(repo, "root");
    tuf_repo_trust(repo, "root", "17", 2);
    tuf_repo_publish(repo, "root");
    tuf_repo_publish_all(repo);
}

// Every stored file is one that the repository served, byte for byte.
static void check_stored_was_served(struct tuf_repo *repo) {
    for (size_t i = 0; i < repo->stored.n; i++) {
        const struct buf *stored = &repo->stored.files[i].bytes;
        bool served = false;
        for (size_t j = 0; j < repo->served.n; j++)
            served |= repo->served.files[j].bytes.len == stored->len &&
                      memcmp(repo->served.files[j].bytes.data, stored->data, stored->len) == 0;
        cr_assert(served || strcmp(repo->stored.files[i].name, "timestamp.json") == 0, "%s",
                  repo->stored.files[i].name);
    }
}

static void must_recover(struct tuf_repo *repo, const char *when, size_t at) {
    struct err e = ERR_NONE;
    cr_assert_eq(tuf_repo_find(repo, "bob/x", &e), 0, "%s %zu: %s", when, at, e.text);
    cr_assert_eq(tuf_repo_stored(repo, "root.json"), tuf_repo_version(repo, "root"));
    cr_assert_eq(tuf_repo_stored(repo, "targets.json"), tuf_repo_version(repo, "targets"));
    cr_assert_eq(tuf_repo_stored(repo, "bob.json"), tuf_repo_version(repo, "bob"));
}

Test(client_faults, after_any_operation_that_fails_once_or_for_ever_the_next_refresh_succeeds) {
    static const unsigned ops[] = {TUF_REPO_LOAD, TUF_REPO_FETCH, TUF_REPO_STORE, TUF_REPO_FORGET,
                                   TUF_REPO_STORE | TUF_REPO_FORGET};
    for (size_t i = 0; i < 2 * sizeof ops / sizeof *ops; i++) {
        size_t at = 0;
        for (bool has_failed = true; has_failed; at++) {
            OWN(tuf_repo) struct tuf_repo repo;
            struct err e = ERR_NONE;
            make(&repo);
            repo.fail_ops = ops[i / 2];
            repo.for_ever = i % 2;
            repo.fail_at = at;
            repo.has_failed = false;
            int found = tuf_repo_find(&repo, "bob/x", &e);
            has_failed = repo.has_failed;
            cr_assert_eq(found, has_failed ? -1 : 0, "%zu %zu: %s", i, at, e.text);
            cr_assert_eq(e.kind, has_failed ? &err_io : NULL);
            check_stored_was_served(&repo);
            repo.fail_ops = 0;
            must_recover(&repo, "operation", at);
        }
        cr_assert_gt(at, 2);
    }
}

Test(client_faults, the_same_with_the_timestamp_first) {
    static const unsigned ops[] = {TUF_REPO_LOAD, TUF_REPO_FETCH};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (size_t at = 0, more = 1; more; at++) {
            OWN(tuf_repo) struct tuf_repo repo;
            struct err e = ERR_NONE;
            tuf_repo_make(&repo);
            device_must_refresh(&repo);
            repo.timestamp_first = true;
            repo.fail_ops = ops[i];
            repo.fail_at = at;
            int done = tuf_repo_refresh(&repo, &e);
            more = repo.has_failed;
            cr_assert_eq(done, more ? -1 : TUF_CLIENT_UNCHANGED, "%s", e.text);
            repo.fail_ops = 0;
            device_must_refresh(&repo);
        }
    }
}

Test(client_faults, after_any_allocation_that_fails_too) {
    for (size_t for_ever = 0; for_ever < 2; for_ever++) {
        size_t at = 0;
        for (bool refused = true; refused; at++) {
            OWN(tuf_repo) struct tuf_repo repo;
            struct err e = ERR_NONE;
            make(&repo);
            repo.timestamp_first = true;
            alloc_fault_begin(at, for_ever);
            int found = tuf_repo_find(&repo, "bob/x", &e);
            refused = alloc_fault_end();
            // A log of requests that could not be written is not the client's failure.
            cr_assert(found == 0 || refused, "%zu: %s", at, e.text);
            cr_assert(found == 0 || err_is(&e, &err_memory), "%zu: %s", at, e.text);
            check_stored_was_served(&repo);
            must_recover(&repo, "allocation", at);
        }
        cr_assert_gt(at, 20);
    }
}

// A device that has version 2 of everything, to which version 1 is served again.
static void make_rollback(struct tuf_repo *repo) {
    tuf_repo_make(repo);
    struct tuf_repo_files old = tuf_repo_copy_files(&repo->served);
    tuf_repo_publish(repo, "targets");
    device_must_refresh(repo);
    tuf_repo_clear_files(&repo->served);
    repo->served = old;
}

Test(client_faults, no_allocation_that_fails_lets_a_rollback_through) {
    for (size_t at = 0, refused = 1; refused; at++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        make_rollback(&repo);
        alloc_fault_begin(at, false);
        int done = tuf_repo_refresh(&repo, &e);
        refused = alloc_fault_end();
        cr_assert_lt(done, 0, "%zu", at);
        device_check_stored(&repo, 2, 2, 2);
    }
}

Test(client_faults, no_read_that_fails_lets_a_rollback_through) {
    for (size_t at = 0, failed = 1; failed; at++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        make_rollback(&repo);
        repo.fail_ops = TUF_REPO_LOAD;
        repo.fail_at = at;
        cr_assert_lt(tuf_repo_refresh(&repo, &e), 0, "%zu", at);
        failed = repo.has_failed;
        device_check_stored(&repo, 2, 2, 2);
    }
}

// A crash between two of them must not lose that keys were rotated.
Test(client_faults, recovery_from_a_version_too_high_survives_a_crash_at_any_write) {
    for (size_t at = 0, failed = 1; failed; at++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        device_serve_version(&repo, "timestamp", 1000);
        device_must_refresh(&repo);
        device_set_number(&repo, "timestamp", "version", 1);
        tuf_repo_trust(&repo, "timestamp", "28", 1); // the old key signs as well
        tuf_repo_publish(&repo, "root");
        tuf_repo_publish(&repo, "targets");
        repo.fail_ops = TUF_REPO_STORE | TUF_REPO_FORGET;
        repo.for_ever = true;
        repo.fail_at = at;
        cr_assert_eq(tuf_repo_refresh(&repo, &e) < 0, repo.has_failed);
        failed = repo.has_failed;
        repo.fail_ops = 0;
        device_must_refresh(&repo);
        device_check_stored(&repo, 2, 2, 2);
    }
}

// ── Whatever was served ────────────────────────────────────────────────────────────────────────

enum damage { CUT, FLIP, EMPTY, GONE, OTHER, DAMAGES };

static void damage_file(struct tuf_repo *repo, size_t n, enum damage damage) {
    struct tuf_repo_file *file = &repo->served.files[n];
    struct err e = ERR_NONE;
    OWN(buf) struct buf other;
    buf_init(&other, 1 << 20);
    switch (damage) {
    case CUT:
        file->bytes.len /= 2;
        break;
    case FLIP:
        file->bytes.data[file->bytes.len / 2] ^= 1;
        break;
    case EMPTY:
        file->bytes.len = 0;
        break;
    case GONE:
        tuf_repo_drop(&repo->served, file->name);
        break;
    default:
        cr_assert_eq(buf_add(&other, repo->served.files[(n + 1) % repo->served.n].bytes.data,
                             repo->served.files[(n + 1) % repo->served.n].bytes.len, &e),
                     0);
        tuf_repo_put(&repo->served, file->name, buf_slice(&other));
    }
}

Test(client_faults, after_every_damaged_set_the_next_honest_one_is_taken) {
    OWN(tuf_repo) struct tuf_repo model;
    make(&model);
    size_t refused = 0;
    for (size_t n = 0; n < model.served.n; n++) {
        for (int damage = 0; damage < DAMAGES; damage++) {
            OWN(tuf_repo) struct tuf_repo repo;
            struct err e = ERR_NONE;
            make(&repo);
            struct tuf_repo_files honest = tuf_repo_copy_files(&repo.served);
            damage_file(&repo, n, (enum damage)damage);
            refused += tuf_repo_find(&repo, "bob/x", &e) < 0;
            tuf_repo_clear_files(&repo.served);
            repo.served = honest;
            check_stored_was_served(&repo);
            must_recover(&repo, model.served.files[n].name, (size_t)damage);
        }
    }
    cr_assert_gt(refused, 20);
}
