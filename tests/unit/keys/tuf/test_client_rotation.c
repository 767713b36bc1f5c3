// SPDX-License-Identifier: Apache-2.0
//
// The client when keys are rotated, and when it asks for the timestamp first.
#include <criterion/criterion.h>

#include "base/own.h"
#include "tests/unit/keys/tuf/device.h"

// ── Fast forward ───────────────────────────────────────────────────────────────────────────────

#define FAR 9007199254740991

Test(client, a_version_at_the_end_of_numbers_is_undone_by_rotating_the_key) {
    static const struct {
        const char *role;
        const char *rotated;
    } cases[] = {{"timestamp", "timestamp"},
                 {"snapshot", "snapshot"},
                 {"targets", "snapshot"},
                 {"snapshot", "timestamp"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        // A thief of the keys.
        device_serve_version(&repo, cases[i].role, FAR);
        if (strcmp(cases[i].role, "targets") == 0) {
            tuf_repo_name_in(&repo, "snapshot", "targets");
            tuf_repo_publish(&repo, "snapshot");
        } else if (strcmp(cases[i].role, "snapshot") == 0) {
            tuf_repo_name_in(&repo, "timestamp", "snapshot");
            tuf_repo_publish(&repo, "timestamp");
        }
        device_must_refresh(&repo);
        // The owner goes on from where he was. The old key stays one of two, so that the stored
        // files' signatures hold as before.
        device_set_number(&repo, cases[i].role, "version", 10);
        device_set_number(&repo, "snapshot", "version", 10);
        device_set_number(&repo, "timestamp", "version", 10);
        tuf_repo_publish(&repo, "targets");
        device_must_refuse(&repo, &err_rollback);
        tuf_repo_trust(&repo, cases[i].rotated,
                       strcmp(cases[i].rotated, "timestamp") == 0 ? "28" : "38", 1);
        tuf_repo_publish(&repo, "root");
        device_must_refresh(&repo);
        device_check_stored(&repo, 11, 11, tuf_repo_version(&repo, "targets"));
    }
}

Test(client, rotating_other_keys_forgets_nothing) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    tuf_repo_publish(&repo, "targets");
    device_must_refresh(&repo);
    tuf_repo_trust(&repo, "targets", "49", 1);
    tuf_repo_trust(&repo, "root", "17", 1);
    tuf_repo_publish(&repo, "root");
    device_serve_version(&repo, "timestamp", 1);
    device_must_refuse(&repo, &err_rollback);
    device_check_stored(&repo, 2, 2, 2);
}

Test(client, a_rotation_in_the_middle_of_several_roots_counts) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    device_serve_version(&repo, "timestamp", FAR);
    device_must_refresh(&repo);
    tuf_repo_trust(&repo, "timestamp", "8", 1);
    tuf_repo_publish(&repo, "root");
    tuf_repo_publish(&repo, "root");
    tuf_repo_trust(&repo, "timestamp", "2", 1);
    tuf_repo_publish(&repo, "root");
    device_serve_version(&repo, "timestamp", 1);
    device_must_refresh(&repo);
    device_check_stored(&repo, 1, 1, 1);
}

// ── The timestamp first ────────────────────────────────────────────────────────────────────────

Test(client, nothing_new_costs_one_request_when_the_timestamp_comes_first) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    repo.timestamp_first = true;
    cr_assert_eq(tuf_repo_refresh(&repo, &e), 0, "%s", e.text);
    device_check_requests(&repo, "2.root.json timestamp.json 1.snapshot.json 1.targets.json ");
    cr_assert_eq(tuf_repo_refresh(&repo, &e), TUF_CLIENT_UNCHANGED, "%s", e.text);
    device_check_requests(&repo, "timestamp.json ");
    tuf_repo_publish(&repo, "root");
    tuf_repo_publish(&repo, "targets");
    cr_assert_eq(tuf_repo_refresh(&repo, &e), 0, "%s", e.text);
    device_check_requests(&repo,
                          "timestamp.json 2.root.json 3.root.json timestamp.json 2.snapshot.json "
                          "2.targets.json ");
}

Test(client, the_whole_way_is_gone_when_something_is_not_at_hand_or_expired) {
    static const char *const missing[] = {"snapshot.json", "targets.json", NULL};
    for (size_t i = 0; i < 3; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        device_must_refresh(&repo);
        buf_clear(&repo.requests);
        repo.timestamp_first = true;
        if (missing[i])
            tuf_repo_drop(&repo.stored, missing[i]);
        else
            repo.now_s = TUF_REPO_EXPIRES_S;
        cr_assert_eq(tuf_repo_refresh(&repo, &e), missing[i] ? 0 : -1, "%s", e.text);
        cr_assert_eq(strncmp(buf_text(&repo.requests), "timestamp.json 2.root.json ", 26), 0);
    }
}

Test(client, a_timestamp_that_expired_sends_it_the_whole_way) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    parts_put(tuf_repo_role(&repo, "timestamp"), "expires", "\"2025-06-20T00:00:00Z\"");
    tuf_repo_publish(&repo, "timestamp");
    device_must_refresh(&repo);
    buf_clear(&repo.requests);
    repo.timestamp_first = true;
    repo.now_s += 30 * 86400;
    device_must_refuse(&repo, &err_expired);
    device_check_requests(&repo, "timestamp.json 2.root.json timestamp.json ");
}

Test(client, a_timestamp_that_is_not_served_or_of_the_same_length_is_no_match) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    device_must_refresh(&repo);
    buf_clear(&repo.requests);
    repo.timestamp_first = true;
    tuf_repo_publish(&repo, "timestamp"); // as long as the one before
    device_must_refresh(&repo);
    device_check_requests(&repo, "timestamp.json 2.root.json timestamp.json ");
    tuf_repo_drop(&repo.served, "timestamp.json");
    device_must_refuse(&repo, &err_not_found);
    device_check_requests(&repo, "timestamp.json 2.root.json timestamp.json ");
}
