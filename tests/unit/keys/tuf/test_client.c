// SPDX-License-Identifier: Apache-2.0
//
// The client's workflow, step by step: what is asked for, what is refused, what is stored.
#include <criterion/criterion.h>

#include "base/own.h"
#include "tests/unit/keys/tuf/device.h"

// ── The way ────────────────────────────────────────────────────────────────────────────────────

Test(client, asks_for_each_role_in_order_and_stores_the_bytes_it_got) {
    static const char *const names[][2] = {{"timestamp.json", "timestamp.json"},
                                           {"snapshot.json", "1.snapshot.json"},
                                           {"targets.json", "1.targets.json"}};
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    cr_assert_eq(buf_add_text(tuf_repo_bytes(&repo.served, "timestamp.json"), " \n", &e), 0);
    cr_assert_eq(tuf_repo_refresh(&repo, &e), 0, "%s", e.text);
    device_check_requests(&repo, "2.root.json timestamp.json 1.snapshot.json 1.targets.json ");
    for (size_t i = 0; i < 3; i++)
        cr_assert_str_eq(buf_text(tuf_repo_bytes(&repo.stored, names[i][0])),
                         buf_text(tuf_repo_bytes(&repo.served, names[i][1])));
    cr_assert_eq(repo.stored.n, 4);
}

Test(client, asks_by_plain_names_where_snapshots_are_not_consistent) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    parts_put(tuf_repo_role(&repo, "root"), "consistent_snapshot", "false");
    tuf_repo_publish(&repo, "root");
    tuf_repo_publish(&repo, "targets");
    device_must_refresh(&repo);
    device_check_requests(&repo,
                          "2.root.json 3.root.json timestamp.json snapshot.json targets.json ");
}

Test(client, fetches_again_only_what_changed_and_says_when_nothing_did) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    device_must_refresh(&repo);
    buf_clear(&repo.requests);
    cr_assert_eq(tuf_repo_refresh(&repo, &e), TUF_CLIENT_UNCHANGED);
    device_check_requests(&repo, "2.root.json timestamp.json ");
    tuf_repo_publish(&repo, "timestamp");
    cr_assert_eq(tuf_repo_refresh(&repo, &e), 0);
    device_check_requests(&repo, "2.root.json timestamp.json ");
    tuf_repo_publish(&repo, "snapshot");
    cr_assert_eq(tuf_repo_refresh(&repo, &e), 0);
    device_check_requests(&repo, "2.root.json timestamp.json 2.snapshot.json ");
}

Test(client, what_it_trusts_can_be_read) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_metadata_version(tuf_client_trusted(client, TUF_ROOT)), 1);
    for (size_t i = TUF_TIMESTAMP; i < TUF_TYPES; i++)
        cr_assert_null(tuf_client_trusted(client, (enum tuf_type)i));
    for (size_t round = 0; round < 3; round++) {
        cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
        for (size_t i = 0; i < TUF_TYPES; i++)
            cr_assert_not_null(tuf_client_trusted(client, (enum tuf_type)i));
    }
}

// ── The trusted root ───────────────────────────────────────────────────────────────────────────

Test(client, without_a_root_that_holds_nothing_is_asked_for) {
    static const char *const broken[] = {"", "{}", "not json"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        tuf_repo_put(&repo.stored, "root.json",
                     (struct slice){(const uint8_t *)broken[i], strlen(broken[i])});
        device_must_refuse(&repo, &err_syntax);
        device_check_requests(&repo, "");
    }
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    tuf_repo_set_signers(&repo, "root", "2");
    tuf_repo_serve(&repo, "root");
    tuf_repo_put(&repo.stored, "root.json", buf_slice(tuf_repo_bytes(&repo.served, "1.root.json")));
    device_must_refuse(&repo, &err_below_threshold);
    tuf_repo_drop(&repo.stored, "root.json");
    device_must_refuse(&repo, &err_not_found);
    device_check_requests(&repo, "");
}

Test(client, an_expired_root_is_kept_and_nothing_behind_it_is_asked_for) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    repo.now_s = TUF_REPO_EXPIRES_S;
    tuf_repo_publish(&repo, "root");
    device_must_refuse(&repo, &err_expired);
    device_check_requests(&repo, "2.root.json 3.root.json ");
    cr_assert_eq(tuf_repo_stored(&repo, "root.json"), 2);
    parts_put(tuf_repo_role(&repo, "root"), "expires", "\"2029-01-01T00:00:00Z\"");
    tuf_repo_publish(&repo, "root");
    device_must_refuse(&repo, &err_expired); // the timestamp, now
    cr_assert_eq(tuf_repo_stored(&repo, "root.json"), 3);
    device_check_stored(&repo, 0, 0, 0);
}

Test(client, follows_many_roots_at_once_and_more_of_them_next_time) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    for (size_t i = 0; i < TUF_ROOTS_PER_REFRESH_MAX + 10; i++) {
        // Each by another key than the one before.
        static const char *const keys[] = {"1", "7"};
        tuf_repo_trust(&repo, "root", keys[(i + 1) % 2], 1);
        tuf_repo_set_signers(&repo, "root", "17");
        tuf_repo_publish(&repo, "root");
    }
    device_must_refresh(&repo);
    cr_assert_eq(tuf_repo_stored(&repo, "root.json"), 1 + TUF_ROOTS_PER_REFRESH_MAX);
    device_must_refresh(&repo);
    cr_assert_eq(tuf_repo_stored(&repo, "root.json"), 11 + TUF_ROOTS_PER_REFRESH_MAX);
}

Test(client, a_next_root_needs_the_old_and_the_new_keys_and_the_next_version) {
    static const struct {
        const char *signers;
        int64_t version;
        const struct err_kind *kind;
    } cases[] = {
        {"1", 2, &err_root_chain},  {"7", 2, &err_root_chain},  {"234", 2, &err_root_chain},
        {"17", 3, &err_root_chain}, {"17", 1, &err_root_chain}, {"17", 0, &err_syntax},
        {"1734", 2, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(buf) struct buf raw;
        tuf_repo_make(&repo);
        tuf_repo_trust(&repo, "root", "7", 1);
        tuf_repo_set_signers(&repo, "root", cases[i].signers);
        device_set_number(&repo, "root", "version", cases[i].version);
        buf_init(&raw, 1 << 20);
        tuf_repo_sign(tuf_repo_role(&repo, "root"), json_object_get(repo.signers, "root"), &raw);
        tuf_repo_put(&repo.served, "2.root.json", buf_slice(&raw));
        if (cases[i].kind)
            device_must_refuse(&repo, cases[i].kind);
        else
            device_must_refresh(&repo);
        cr_assert_eq(tuf_repo_stored(&repo, "root.json"), cases[i].kind ? 1 : 2);
    }
}

Test(client, a_next_root_that_is_damaged_ends_the_refresh) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    tuf_repo_put(&repo.served, "2.root.json", (struct slice){(const uint8_t *)"<html>", 6});
    device_must_refuse(&repo, &err_syntax);
    device_check_requests(&repo, "2.root.json ");
    cr_assert_eq(tuf_repo_stored(&repo, "root.json"), 1);
}

// ── Rollback, freeze, mixing ───────────────────────────────────────────────────────────────────

Test(client, a_timestamp_of_a_lower_version_is_refused_even_when_the_own_has_expired) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    parts_put(tuf_repo_role(&repo, "timestamp"), "expires", "\"2025-06-20T00:00:00Z\"");
    tuf_repo_publish(&repo, "timestamp");
    device_must_refresh(&repo);
    repo.now_s += 30 * 86400;
    parts_put(tuf_repo_role(&repo, "timestamp"), "expires", "\"" TUF_REPO_EXPIRES "\"");
    device_serve_version(&repo, "timestamp", 1);
    device_must_refuse(&repo, &err_rollback);
    device_check_stored(&repo, 2, 1, 1);
    device_serve_version(&repo, "timestamp", 2);
    device_must_refuse(&repo, &err_expired); // the own one stays, and is too old
    device_serve_version(&repo, "timestamp", 3);
    device_must_refresh(&repo);
    device_check_stored(&repo, 3, 1, 1);
}

Test(client, a_timestamp_of_the_same_version_and_other_content_is_passed_over) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    device_must_refresh(&repo);
    tuf_repo_drop(&repo.stored, "snapshot.json");
    tuf_repo_drop(&repo.stored, "targets.json");
    buf_clear(&repo.requests);
    device_set_number(&repo, "timestamp", "meta/snapshot.json/version", 100);
    tuf_repo_serve(&repo, "timestamp");
    // What the own one leads to is fetched still.
    cr_assert_eq(tuf_repo_refresh(&repo, &e), 0, "%s", e.text);
    device_check_requests(&repo, "2.root.json timestamp.json 1.snapshot.json 1.targets.json ");
    device_check_stored(&repo, 1, 1, 1);
    cr_assert_null(strstr(buf_text(tuf_repo_bytes(&repo.stored, "timestamp.json")), "100"));
}

Test(client, a_timestamp_that_names_an_older_snapshot_is_refused) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    tuf_repo_publish(&repo, "snapshot");
    device_must_refresh(&repo);
    device_serve_version(&repo, "snapshot", 1);
    tuf_repo_name_in(&repo, "timestamp", "snapshot");
    tuf_repo_publish(&repo, "timestamp");
    device_must_refuse(&repo, &err_rollback);
    device_check_stored(&repo, 2, 2, 1);
}

Test(client, each_role_that_has_expired_is_refused_and_not_stored) {
    static const struct {
        const char *role;
        uint64_t timestamp, snapshot, targets;
    } cases[] = {{"timestamp", 0, 0, 0}, {"snapshot", 1, 0, 0}, {"targets", 1, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        parts_put(tuf_repo_role(&repo, cases[i].role), "expires", "\"2025-06-15T15:06:40Z\"");
        tuf_repo_set(&repo, cases[i].role, "version", json_integer(0));
        tuf_repo_set(&repo, "snapshot", "version", json_integer(0));
        tuf_repo_set(&repo, "timestamp", "version", json_integer(0));
        tuf_repo_publish(&repo, cases[i].role);
        if (i == 0)
            tuf_repo_serve(&repo, "snapshot");
        device_must_refuse(&repo, &err_expired);
        device_check_stored(&repo, cases[i].timestamp, cases[i].snapshot, cases[i].targets);
    }
}

Test(client, a_snapshot_may_not_forget_a_file_or_name_an_older_one) {
    static const struct {
        const char *way;
        const char *value;
    } cases[] = {{"meta/bob.json", ""}, {"meta/bob.json/version", "1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        (void)tuf_repo_delegate(&repo, "targets", "bob", 5, "bob/*");
        tuf_repo_publish(&repo, "bob");
        tuf_repo_publish(&repo, "bob");
        tuf_repo_publish(&repo, "targets");
        device_must_refresh(&repo);
        uint64_t version = tuf_repo_stored(&repo, "snapshot.json");
        parts_put(tuf_repo_role(&repo, "snapshot"), cases[i].way, cases[i].value);
        tuf_repo_publish(&repo, "snapshot");
        device_must_refuse(&repo, &err_rollback);
        cr_assert_eq(tuf_repo_stored(&repo, "snapshot.json"), version);
    }
}

Test(client, a_snapshot_older_than_the_stored_one_is_refused_without_a_timestamp_too) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    struct tuf_repo_files old = tuf_repo_copy_files(&repo.served);
    tuf_repo_publish(&repo, "snapshot");
    device_must_refresh(&repo);
    tuf_repo_drop(&repo.stored, "timestamp.json");
    tuf_repo_clear_files(&repo.served);
    repo.served = old;
    device_must_refuse(&repo, &err_rollback);
    cr_assert_eq(tuf_repo_stored(&repo, "snapshot.json"), 2);
}

Test(client, a_file_of_another_version_than_its_name_says_is_refused) {
    static const char *const roles[] = {"snapshot", "targets"};
    for (size_t hashes = 0; hashes < 2; hashes++) {
        for (size_t i = 0; i < 2; i++) {
            OWN(tuf_repo) struct tuf_repo repo;
            char name[32];
            tuf_repo_make(&repo);
            repo.without_hashes = !hashes;
            tuf_repo_publish(&repo, "targets");
            (void)snprintf(name, sizeof name, "%d.%s.json", 2, roles[i]);
            struct buf *bytes = tuf_repo_bytes(&repo.served, name);
            OWN(buf) struct buf other;
            buf_init(&other, 1 << 20);
            device_set_number(&repo, roles[i], "version", 9);
            tuf_repo_sign(tuf_repo_role(&repo, roles[i]), json_object_get(repo.signers, roles[i]),
                          &other);
            cr_assert_eq(other.len, bytes->len);
            tuf_repo_put(&repo.served, name, buf_slice(&other));
            device_must_refuse(&repo, hashes ? &err_digest_mismatch : &err_rollback);
        }
    }
}

Test(client, length_and_hashes_are_checked_before_anything_is_parsed) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    struct buf *bytes = tuf_repo_bytes(&repo.served, "1.targets.json");
    bytes->data[0] = '<';
    device_must_refuse(&repo, &err_digest_mismatch);
    bytes->data[0] = '{';
    bytes->len--;
    device_must_refuse(&repo, &err_digest_mismatch);
    device_check_stored(&repo, 1, 1, 0);
}

Test(client, what_is_longer_than_was_signed_is_not_even_read) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    cr_assert_eq(buf_add_text(tuf_repo_bytes(&repo.served, "1.targets.json"), " ", &e), 0);
    device_must_refuse(&repo, &err_limit);
    // A length above the ceiling of its type does not raise the ceiling.
    device_set_number(&repo, "snapshot", "meta/targets.json/length", TUF_TARGETS_MAX_BYTES + 1);
    tuf_repo_publish(&repo, "snapshot");
    device_must_refuse(&repo, &err_digest_mismatch);
    cr_assert_eq(repo.most_bytes, TUF_TARGETS_MAX_BYTES);
}

Test(client, each_file_that_is_not_there_ends_the_refresh) {
    static const char *const names[] = {"timestamp.json", "1.snapshot.json", "1.targets.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        tuf_repo_drop(&repo.served, names[i]);
        device_must_refuse(&repo, &err_not_found);
        device_check_stored(&repo, i > 0, i > 1, 0);
    }
}

Test(client, the_stored_file_serves_only_while_it_is_the_one_that_is_meant) {
    static const char *const roles[] = {"snapshot", "targets"};
    for (size_t i = 0; i < 2; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        char name[32];
        tuf_repo_make(&repo);
        device_must_refresh(&repo);
        (void)snprintf(name, sizeof name, "%s.json", roles[i]);
        struct buf *stored = tuf_repo_bytes(&repo.stored, name);
        cr_assert_eq(buf_add_text(stored, " ", &e), 0); // signed all the same, of another length
        cr_assert_eq(tuf_repo_refresh(&repo, &e), 0, "%s", e.text);
        stored->data[stored->len - 1] = 'x'; // damaged
        cr_assert_eq(tuf_repo_refresh(&repo, &e), 0, "%s", e.text);
        cr_assert_eq(tuf_repo_refresh(&repo, &e), TUF_CLIENT_UNCHANGED, "%s", e.text);
    }
}

Test(client, a_stored_file_without_hashes_is_used_by_its_version) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    repo.without_hashes = true;
    tuf_repo_publish(&repo, "targets");
    device_must_refresh(&repo);
    cr_assert_eq(tuf_repo_refresh(&repo, &e), TUF_CLIENT_UNCHANGED, "%s", e.text);
    tuf_repo_publish(&repo, "targets");
    device_must_refresh(&repo);
    device_check_stored(&repo, 3, 3, 3);
}

Test(client, a_stored_file_that_expired_meanwhile_is_asked_for_again) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    parts_put(tuf_repo_role(&repo, "targets"), "expires", "\"2025-06-20T00:00:00Z\"");
    tuf_repo_publish(&repo, "targets");
    device_must_refresh(&repo);
    buf_clear(&repo.requests);
    repo.now_s += 30 * 86400;
    device_must_refuse(&repo, &err_expired);
    device_check_requests(&repo, "2.root.json timestamp.json 2.targets.json ");
}

Test(client, a_length_counts_without_hashes_too) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    parts_put(tuf_repo_role(&repo, "snapshot"), "meta/targets.json/hashes", "");
    tuf_repo_publish(&repo, "snapshot");
    cr_assert_eq(buf_add_text(tuf_repo_bytes(&repo.served, "1.targets.json"), " ", &e), 0);
    device_set_number(&repo, "snapshot", "meta/targets.json/length",
                      (int64_t)tuf_repo_bytes(&repo.served, "1.targets.json")->len +
                          1); // one more than there is
    tuf_repo_publish(&repo, "snapshot");
    device_must_refuse(&repo, &err_digest_mismatch);
    device_set_number(&repo, "snapshot", "meta/targets.json/length",
                      (int64_t)tuf_repo_bytes(&repo.served, "1.targets.json")->len);
    tuf_repo_publish(&repo, "snapshot");
    device_must_refresh(&repo);
}
