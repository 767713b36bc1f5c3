// SPDX-License-Identifier: Apache-2.0
//
// Attacks on which file is trusted for what: delegations, the days of metadata mixed, and what
// somebody can do with any set of stolen keys.
#include "tests/unit/keys/tuf/attack.h"

static const struct slice evil = {(const uint8_t *)"evil!", 5};

// The content that a device would take for this path: NULL for none.
static const char *content_of(struct tuf_repo *repo, const char *path) {
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    struct err e = ERR_NONE;
    if (tuf_repo_open(repo, &client, &e) < 0 || tuf_client_refresh(client, &e) < 0 ||
        tuf_client_find(client, path, &target, &e) != 0)
        return NULL;
    if (tuf_target_check(&target, device_content, path, &e) == 0)
        return "honest";
    err_clear(&e);
    return tuf_target_check(&target, evil, path, &e) == 0 ? "evil" : NULL;
}

static void must_be(struct tuf_repo *repo, const char *path, const char *expected) {
    const char *found = content_of(repo, path);
    cr_assert(found == expected || (found && expected && strcmp(found, expected) == 0),
              "%s: %s, not %s", path, found ? found : "nothing", expected ? expected : "nothing");
}

// ── U07 ────────────────────────────────────────────────────────────────────────────────────────
//
// The conformance suite has 21 graphs more (tests/conformance).

Test(attack, u07_nothing_is_searched_behind_a_terminating_delegation) {
    // Only one role lists x: those before it, terminating or not, are asked first.
    static const struct {
        const char *graph, *lister, *expected;
    } rows[] = {
        {"targets>a targets>b a>aa a>ab", "b", "honest"},
        {"targets>!a targets>b a>aa a>ab", "b", NULL},
        {"targets>a targets>b a>!aa a>ab", "b", NULL},
        {"targets>a targets>b a>!aa a>ab", "ab", NULL},
        {"targets>a targets>b a>aa a>ab", "ab", "honest"},
        {"targets>!a targets>b a>aa a>ab", "ab", "honest"},
        {"targets>!a targets>b a>!aa a>ab", "aa", "honest"},
        {"targets>!a targets>b a>!aa a>ab", "a", "honest"},
    };
    for (size_t i = 0; i < ATTACK_COUNT(rows); i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        device_delegate(&repo, rows[i].graph);
        tuf_repo_add_target(&repo, rows[i].lister, "x", device_content);
        tuf_repo_publish_all(&repo);
        must_be(&repo, "x", rows[i].expected);
    }
}

Test(attack, u07_the_first_role_in_order_decides_depth_first) {
    // All of these list x; the first is asked first, its delegations before its neighbours.
    static const char *const order[] = {"targets", "a", "aa", "ab", "b"};
    for (size_t first = 0; first < ATTACK_COUNT(order); first++) {
        OWN(tuf_repo) struct tuf_repo repo;
        tuf_repo_make(&repo);
        device_delegate(&repo, "targets>a targets>b a>aa a>ab");
        for (size_t i = first; i < ATTACK_COUNT(order); i++)
            tuf_repo_add_target(&repo, order[i], "x", i == first ? device_content : evil);
        tuf_repo_publish_all(&repo);
        must_be(&repo, "x", "honest");
    }
}

// ── U12 ────────────────────────────────────────────────────────────────────────────────────────

Test(attack, u12_a_cached_role_is_trusted_by_the_keys_of_this_delegator_alone) {
    // a and b mean another c each. The file is that of a's c, and it lists what only b's may.
    OWN(tuf_repo) struct tuf_repo repo;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    device_delegate_two_ways(&repo, "a/*", "b/*");
    tuf_repo_add_target(&repo, "c", "a/x", device_content);
    tuf_repo_add_target(&repo, "c", "b/x", evil);
    tuf_repo_set_signers(&repo, "c", "7");
    tuf_repo_publish_all(&repo);
    OWN(tuf_client) struct tuf_client *client = device_open(&repo);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(tuf_client_find(client, "a/x", &target, &e), 0, "%s", e.text);
        cr_assert_lt(tuf_client_find(client, "b/x", &target, &e), 0, "found in another's c");
        cr_assert_eq(e.kind, &err_below_threshold);
        err_clear(&e);
    }
    must_be(&repo, "b/x", NULL); // from the store, in another run
    must_be(&repo, "a/x", "honest");
}

Test(attack, u12_a_role_that_was_visited_is_visited_again_for_another_delegator) {
    // Both ways are searched for the same path; that c held on the first one says nothing on the
    // second.
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    device_delegate_two_ways(&repo, "x", "x");
    for (int round = 0; round < 2; round++) {
        struct err e = ERR_NONE;
        tuf_repo_set_signers(&repo, "c", round ? "78" : "7");
        tuf_repo_publish_all(&repo);
        cr_assert_eq(tuf_repo_find(&repo, "x", &e), round ? TUF_ABSENT : -1, "%s", e.text);
        cr_assert_eq(e.kind, round ? NULL : &err_below_threshold);
    }
}

// ── Wrong software ─────────────────────────────────────────────────────────────────────────────

Test(attack, wrong_software_a_role_is_believed_for_its_paths_alone) {
    OWN(attack) struct attack a;
    attack_make(&a);
    static const char *const paths[] = {"top", "e/x", "d", "d/x/y", "D/x", "dd/x", ""};
    for (size_t i = 1; i < ATTACK_COUNT(paths) - 1; i++)
        tuf_repo_add_target(&a.repo, "d", paths[i], evil);
    tuf_repo_add_target(&a.repo, "d", "top", evil);
    attack_publish(&a);
    must_be(&a.repo, "top", "honest");
    for (size_t i = 1; i < ATTACK_COUNT(paths); i++)
        must_be(&a.repo, paths[i], NULL);
    must_be(&a.repo, "d/x", "honest");
}

Test(attack, wrong_software_one_target_is_not_another) {
    OWN(attack) struct attack a;
    struct tuf_target target;
    struct err e = ERR_NONE;
    attack_make(&a);
    tuf_repo_add_target(&a.repo, "targets", "other", evil);
    attack_publish(&a);
    OWN(tuf_client) struct tuf_client *client = device_open(&a.repo);
    cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0);
    cr_assert_lt(tuf_target_check(&target, evil, "top", &e), 0);
    cr_assert_eq(e.kind, &err_digest_mismatch);
    // Longer by a byte, shorter by a byte, and nothing.
    for (size_t len = 0; len < 5; len += 4) {
        err_clear(&e);
        cr_assert_lt(tuf_target_check(&target, (struct slice){device_content.data, len}, "top", &e),
                     0);
    }
    err_clear(&e);
    cr_assert_lt(tuf_target_check(&target, (struct slice){(const uint8_t *)"hello!", 6}, "top", &e),
                 0);
}

// ── Mix and match ──────────────────────────────────────────────────────────────────────────────

// Puts the bytes of one day under the names of both, for every role but the root.
static void serve_day(struct tuf_repo *repo, const struct tuf_repo_files *days,
                      const uint64_t versions[2][A_ROLES], enum attack_role role, int day) {
    char name[2][ATTACK_NAME_BYTES];
    for (int i = 0; i < 2; i++) {
        if (role == A_TIMESTAMP)
            (void)snprintf(name[i], ATTACK_NAME_BYTES, "timestamp.json");
        else
            (void)snprintf(name[i], ATTACK_NAME_BYTES, "%llu.%s.json",
                           (unsigned long long)versions[i][role], attack_names[role]);
    }
    OWN(buf) struct buf copy;
    struct err e = ERR_NONE;
    const struct buf *bytes = tuf_repo_bytes((struct tuf_repo_files *)&days[day], name[day]);
    cr_assert_not_null(bytes);
    buf_init(&copy, 1 << 20);
    cr_assert_eq(buf_add(&copy, bytes->data, bytes->len, &e), 0);
    for (int i = 0; i < 2; i++)
        tuf_repo_put(&repo->served, name[i], buf_slice(&copy));
}

static void mix_days(bool hashes) {
    OWN(attack) struct attack a;
    struct tuf_repo_files days[2];
    uint64_t versions[2][A_ROLES];
    if (hashes)
        attack_make(&a);
    else
        attack_make_without_hashes(&a);
    for (int day = 0; day < 2; day++) {
        attack_publish(&a);
        days[day] = tuf_repo_copy_files(&a.repo.served);
        for (int role = 0; role < A_ROLES; role++)
            versions[day][role] = tuf_repo_version(&a.repo, attack_names[role]);
    }
    for (unsigned set = 0; set < 16; set++) {
        struct err e = ERR_NONE;
        for (int role = A_TIMESTAMP; role < A_ROLES; role++)
            serve_day(&a.repo, days, versions, (enum attack_role)role,
                      set & 1U << (role - A_TIMESTAMP) ? 1 : 0);
        tuf_repo_clear_files(&a.repo.stored);
        a.repo.stored = tuf_repo_copy_files(&a.trusted);
        bool whole = set == 0 || set == 15;
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), whole ? 0 : -1, "%u: %s", set, e.text);
        tuf_repo_clear_files(&a.repo.served);
        a.repo.served = tuf_repo_copy_files(&days[1]);
        err_clear(&e);
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%u: %s", set, e.text);
        cr_assert_eq(tuf_repo_stored(&a.repo, "d.json"), versions[1][A_DELEGATED]);
    }
    for (int day = 0; day < 2; day++)
        tuf_repo_clear_files(&days[day]);
}

Test(attack, mix_and_match_no_files_of_two_days_are_believed_together) {
    mix_days(true);
    mix_days(false);
}

// ── Stolen keys ────────────────────────────────────────────────────────────────────────────────

// Root: two of 1, a, b. Targets: two of 4, e, f. Stolen are any of these eight.
enum { K_ROOT_1, K_ROOT_2, K_TARGETS_1, K_TARGETS_2, K_SNAPSHOT, K_TIMESTAMP, K_D, K_D_2, KEYS };
static const char key_of[KEYS + 1] = "1a4e325c"; // as tuf_repo names them

static void trust_many(struct attack *a) {
    attack_make(a);
    tuf_repo_trust(&a->repo, "root", "1ab", 2);
    tuf_repo_trust(&a->repo, "targets", "4ef", 2);
    tuf_repo_set_signers(&a->repo, "root", "1a");
    tuf_repo_publish(&a->repo, "root");
    // d: two of 5 and c.
    json_t *delegations = json_object_get(tuf_repo_role(&a->repo, "targets"), "delegations");
    json_t *role = json_array_get(json_object_get(delegations, "roles"), 0);
    (void)json_array_append_new(
        json_object_get(role, "keyids"),
        json_string(tuf_repo_add_key(json_object_get(delegations, "keys"), 12)));
    (void)json_object_set_new(role, "threshold", json_integer(2));
    tuf_repo_set_signers(&a->repo, "d", "5c");
    attack_publish(a);
    attack_begin(a);
}

static bool has_stolen(unsigned stolen, const char *keys) {
    for (; *keys != '\0'; keys++)
        if (!(stolen & 1U << (strchr(key_of, *keys) - key_of)))
            return false;
    return true;
}

static void steal(struct attack *a, unsigned stolen) {
    struct tuf_repo *repo = &a->repo;
    tuf_repo_add_target(repo, "targets", "top", evil);
    tuf_repo_add_target(repo, "d", "d/x", evil);
    // Every file by all that was stolen, whatever it was meant for, and by a key of the thief's.
    char keys[KEYS + 2] = "z";
    for (int key = 0; key < KEYS; key++)
        if (stolen & 1U << key)
            (void)snprintf(keys + strlen(keys), 2, "%c", key_of[key]);
    for (int role = A_TIMESTAMP; role < A_ROLES; role++)
        tuf_repo_set_signers(repo, attack_names[role], keys);
    // A root that hands all to the thief.
    if (has_stolen(stolen, "1a")) {
        for (int role = A_TIMESTAMP; role < A_DELEGATED; role++)
            tuf_repo_trust(repo, attack_names[role], "z", 1);
        json_t *delegations = json_object_get(tuf_repo_role(repo, "targets"), "delegations");
        json_t *role = json_array_get(json_object_get(delegations, "roles"), 0);
        (void)json_object_set_new(role, "threshold", json_integer(1));
        (void)json_array_append_new(
            json_object_get(role, "keyids"),
            json_string(tuf_repo_add_key(json_object_get(delegations, "keys"), 35)));
        tuf_repo_set_signers(repo, "d", "z");
        tuf_repo_publish(repo, "root");
    }
}

// Below the thresholds the thief's best is to leave honest files where the own ones would be
// refused: which of targets and d are the thief's.
static void steal_files(struct attack *a, unsigned stolen, unsigned files) {
    struct tuf_repo *repo = &a->repo;
    steal(a, stolen);
    for (int role = A_TARGETS; role < A_ROLES; role++) {
        if (files & 1U << (role - A_TARGETS))
            continue;
        (void)json_object_set_new(repo->parts, attack_names[role],
                                  json_deep_copy(json_object_get(a->parts, attack_names[role])));
        (void)json_object_set_new(repo->signers, attack_names[role],
                                  json_deep_copy(json_object_get(a->signers, attack_names[role])));
    }
    attack_publish(a);
}

Test(attack, key_compromise_every_set_of_stolen_keys_installs_only_what_its_roles_may,
     .timeout = 240) {
    size_t evil_sets = 0;
    for (unsigned stolen = 0; stolen < 1U << KEYS; stolen++) {
        bool root = has_stolen(stolen, "1a");
        bool online = has_stolen(stolen, "32");
        bool targets = root || (online && has_stolen(stolen, "4e"));
        bool d = root || (online && has_stolen(stolen, "5c"));
        bool got_top = false;
        bool got_d = false;
        // Without the online keys it makes no difference which files are in a snapshot nobody
        // takes.
        for (unsigned files = root || online ? 0 : 3; files < 4; files++) {
            OWN(attack) struct attack a;
            trust_many(&a);
            steal_files(&a, stolen, files);
            const char *top = content_of(&a.repo, "top");
            const char *delegated = content_of(&a.repo, "d/x");
            got_top |= top && strcmp(top, "evil") == 0;
            got_d |= delegated && strcmp(delegated, "evil") == 0;
        }
        cr_assert_eq(got_top, targets, "stolen %#x: top", stolen);
        // Who has the targets may delegate d anew, and did not try.
        if (!has_stolen(stolen, "4e") || root)
            cr_assert_eq(got_d, d, "stolen %#x: d", stolen);
        evil_sets += got_top || got_d;
    }
    cr_assert_gt(evil_sets, 64, "the thief never tried");
}
