// SPDX-License-Identifier: Apache-2.0
//
// Attacks with what stands in a file: other types, hostile names, too much of anything, hashes that
// are none.
#include "tests/unit/keys/tuf/attack.h"

// ── U04 ────────────────────────────────────────────────────────────────────────────────────────

static const char *const swaps[] = {"null", "[]", "{}", "0", "-1", "\"\"", "true", ""};

// Every place of a document, as ways of parts.h, each followed by a line feed.
static void list_ways(const json_t *node, const char *way, struct buf *ret) {
    struct err e = ERR_NONE;
    char child[PARTS_WAY_BYTES];
    const char *name;
    json_t *value;
    size_t i;
    const char *between = *way ? "/" : "";
    if (*way)
        cr_assert_eq(buf_add_format(ret, &e, "%s\n", way), 0);
    json_object_foreach ((json_t *)node, name, value) {
        if (strchr(name, '/'))
            continue; // a path is no type
        (void)snprintf(child, sizeof child, "%.180s%s%.70s", way, between, name);
        list_ways(value, child, ret);
    }
    json_array_foreach (node, i, value) {
        (void)snprintf(child, sizeof child, "%.180s%s%zu", way, between, i);
        list_ways(value, child, ret);
    }
}

// Calls `each` for every place and every swap of a role's envelope.
static void for_each_swap(struct attack *a, enum attack_role role,
                          void (*each)(struct attack *a, enum attack_role role, const char *way,
                                       const char *swap)) {
    OWN(json) json_t *envelope = attack_envelope(a, role);
    OWN(buf) struct buf ways;
    buf_init(&ways, 1 << 16);
    list_ways(envelope, "", &ways);
    char *rest = (char *)ways.data;
    for (char *way = strsep(&rest, "\n"); way && *way; way = strsep(&rest, "\n"))
        for (size_t i = 0; i < ATTACK_COUNT(swaps); i++)
            each(a, role, way, swaps[i]);
}

static void swap_unsigned(struct attack *a, enum attack_role role, const char *way,
                          const char *swap) {
    struct err e = ERR_NONE;
    char what[PARTS_WAY_BYTES + 64];
    (void)snprintf(what, sizeof what, "%s: %s = %s", attack_names[role], way, swap);
    OWN(json) json_t *envelope = attack_envelope(a, role);
    OWN(json) json_t *swapped = json_deep_copy(envelope);
    parts_put(swapped, way, swap);
    if (json_equal(envelope, swapped))
        return;
    attack_put(a, role, swapped);
    attack_must_fail(a, role, NULL, what);
    // The honest set, as it was all the time.
    attack_put(a, role, envelope);
    cr_assert_eq(tuf_repo_find(&a->repo, "d/x", &e), 0, "%s: %s", what, e.text);
    cr_assert_eq(tuf_repo_stored(&a->repo, "d.json"), tuf_repo_version(&a->repo, "d"));
    tuf_repo_clear_files(&a->repo.stored);
    a->repo.stored = tuf_repo_copy_files(&a->trusted);
}

Test(attack, u04_no_swapped_type_is_believed_or_does_harm_before_the_signatures, .timeout = 240) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        attack_make_without_hashes(&a);
        if (role == A_ROOT)
            tuf_repo_publish(&a.repo, "root");
        attack_publish(&a);
        for_each_swap(&a, (enum attack_role)role, swap_unsigned);
    }
}

// The same by somebody with the role's key: what is refused leaves nothing, what is taken does no
// harm that the next honest set does not end.
static void swap_signed(struct attack *a, enum attack_role role, const char *way,
                        const char *swap) {
    (void)a;
    // One of each kind: signing all of it anew for each takes its time.
    if (strncmp(way, "signed/", 7) != 0 || strcmp(swap, "{}") == 0 || strcmp(swap, "-1") == 0 ||
        strcmp(swap, "true") == 0)
        return;
    OWN(attack) struct attack b;
    struct err e = ERR_NONE;
    char what[PARTS_WAY_BYTES + 64];
    (void)snprintf(what, sizeof what, "signed %s: %s = %s", attack_names[role], way, swap);
    attack_make(&b);
    if (role == A_ROOT)
        tuf_repo_publish(&b.repo, "root");
    attack_publish(&b);
    parts_put(tuf_repo_role(&b.repo, attack_names[role]), way + 7, swap);
    tuf_repo_serve(&b.repo, attack_names[role]);
    char served[ATTACK_NAME_BYTES];
    if (tuf_repo_bytes(&b.repo.served, attack_served(&b, role, served)) && role >= A_TARGETS &&
        json_is_integer(json_object_get(tuf_repo_role(&b.repo, attack_names[role]), "version")))
        tuf_repo_publish(&b.repo, attack_names[role]);
    if (tuf_repo_find(&b.repo, "d/x", &e) < 0 && role != A_ROOT && e.kind == &err_syntax)
        attack_check_kept(&b, role, what);
    attack_recover(&b, what);
}

Test(attack, u04_u08_after_any_swapped_type_that_was_signed_the_next_honest_set_is_followed,
     .timeout = 240) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        attack_make(&a);
        for_each_swap(&a, (enum attack_role)role, swap_signed);
    }
}

Test(attack, u04_what_is_no_document_at_all_is_refused) {
    static const char *const texts[] = {"",
                                        "null",
                                        "[]",
                                        "{}",
                                        "0",
                                        "\"\"",
                                        "{",
                                        "{}{}",
                                        "\xff",
                                        "{\"signed\":{}}",
                                        "[[[[",
                                        "true",
                                        "{\"signatures\":[]}",
                                        "{\"signed\":{},\"signatures\":[]}"};
    for (int role = A_ROOT; role < A_ROLES; role++) {
        for (size_t i = 0; i < ATTACK_COUNT(texts); i++) {
            OWN(attack) struct attack a;
            attack_make_without_hashes(&a);
            attack_serve(&a, (enum attack_role)role);
            attack_put_text(&a, (enum attack_role)role, texts[i]);
            attack_must_fail_and_recover(&a, (enum attack_role)role, NULL, texts[i]);
        }
    }
}

// ── U10 ────────────────────────────────────────────────────────────────────────────────────────

#define X16  "xxxxxxxxxxxxxxxx"
#define X128 X16 X16 X16 X16 X16 X16 X16 X16
#define X256 X128 X128

static const char *const hostile[] = {
    "..",
    ".",
    "a/..",
    "a/../..",
    "../a",
    "../../../../etc/passwd",
    "./",
    "./a",
    "/a",
    "//x",
    "a//b",
    "a/",
    "",
    "\\..\\a",
    "%2e%2e%2fa",
    "..%2fa",
    "a\r\nb",
    "a\x1b[2J",
    "a b",
    "a?b",
    "a#b",
    "a:b",
    "http://x/",
    "root.json",
    "Root",
    "\xe2\x80\xae"
    "a",
    X256,
    X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256 X256,
};

// No name that went to the repository or to the store is more than one name.
static void check_names(struct tuf_repo *repo, const char *what) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~%";
    char *rest = (char *)repo->requests.data;
    for (char *name = strsep(&rest, " "); name && *name; name = strsep(&rest, " "))
        cr_assert(strspn(name, plain) == strlen(name) && strcmp(name, "..") != 0 &&
                      strlen(name) < 256,
                  "%s: %s was asked for", what, name);
    for (size_t i = 0; i < repo->stored.n; i++) {
        const char *name = repo->stored.files[i].name;
        size_t len = strlen(name);
        cr_assert(strspn(name, plain) == len && len > 5 && strcmp(name + len - 5, ".json") == 0 &&
                      len < 256,
                  "%s: %s was stored", what, name);
    }
    buf_clear(&repo->requests);
}

// What was listed once stays listed, in honest snapshots too.
static void keep_listed(struct attack *a, const char *name, const char *suffix, int version) {
    char file[ATTACK_NAME_BYTES * 8];
    json_t *meta = json_object_get(json_object_get(a->parts, "snapshot"), "meta");
    (void)snprintf(file, sizeof file, "%s%s", name, suffix);
    (void)json_object_set_new(meta, file, json_pack("{s:i}", "version", version));
}

Test(attack, u10_a_hostile_name_of_a_role_is_never_a_path, .timeout = 60) {
    for (size_t i = 0; i < ATTACK_COUNT(hostile); i++) {
        OWN(attack) struct attack a;
        struct err e = ERR_NONE;
        attack_make(&a);
        // Others may be served under their names; the longest are not even that.
        bool served = *hostile[i] != '\0' && strlen(hostile[i]) < 100;
        if (served) {
            (void)tuf_repo_delegate(&a.repo, "targets", hostile[i], 6, "*");
            tuf_repo_publish(&a.repo, hostile[i]);
        } else {
            json_t *role = tuf_repo_delegate(&a.repo, "targets", "e", 6, "*");
            (void)json_object_set_new(role, "name", json_string(hostile[i]));
        }
        attack_publish(&a);
        int found = tuf_repo_find(&a.repo, "nowhere", &e);
        cr_assert_eq(found, served ? TUF_ABSENT : -1, "%s: %s", hostile[i], e.text);
        check_names(&a.repo, hostile[i]);
        if (served)
            keep_listed(&a, hostile[i], ".json", 1);
        attack_recover(&a, hostile[i]);
        check_names(&a.repo, hostile[i]);
    }
}

Test(attack, u10_a_hostile_name_of_a_metadata_file_is_listed_and_never_asked_for, .timeout = 60) {
    for (size_t i = 0; i < ATTACK_COUNT(hostile); i++) {
        OWN(attack) struct attack a;
        struct err e = ERR_NONE;
        attack_make(&a);
        json_t *meta = json_object_get(tuf_repo_role(&a.repo, "snapshot"), "meta");
        (void)json_object_set_new(meta, hostile[i], json_pack("{s:i}", "version", 7));
        attack_publish(&a);
        bool too_long = *hostile[i] == '\0' || strlen(hostile[i]) > TUF_NAME_MAX;
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), too_long ? -1 : 0, "%s: %s", hostile[i],
                     e.text);
        check_names(&a.repo, hostile[i]);
        if (!too_long)
            keep_listed(&a, hostile[i], "", 7);
        attack_recover(&a, hostile[i]);
        check_names(&a.repo, hostile[i]);
    }
}

Test(attack, u10_a_hostile_name_of_a_target_is_data, .timeout = 60) {
    static const struct slice content = {(const uint8_t *)"hello", 5};
    for (size_t i = 0; i < ATTACK_COUNT(hostile); i++) {
        OWN(attack) struct attack a;
        struct err e = ERR_NONE;
        attack_make(&a);
        tuf_repo_add_target(&a.repo, "targets", hostile[i], content);
        attack_publish(&a);
        bool too_long = *hostile[i] == '\0' || strlen(hostile[i]) > TUF_PATH_MAX;
        // Nobody finds it but by its very name, and others are found as before.
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), too_long ? -1 : 0, "%s: %s", hostile[i],
                     e.text);
        if (!too_long)
            cr_assert_eq(tuf_repo_find(&a.repo, hostile[i], &e), 0);
        check_names(&a.repo, hostile[i]);
        attack_recover(&a, hostile[i]);
    }
}

Test(attack, u10_nul_and_broken_text_in_any_name_are_no_text) {
    static const char *const names[] = {"a\\u0000b", "\xff", "a\xc3", "\\ud800"};
    for (int role = A_SNAPSHOT; role < A_ROLES; role++) {
        for (size_t i = 0; i < ATTACK_COUNT(names); i++) {
            OWN(attack) struct attack a;
            OWN(buf) struct buf text;
            struct err e = ERR_NONE;
            char name[ATTACK_NAME_BYTES];
            attack_make_without_hashes(&a);
            attack_publish(&a);
            const struct buf *bytes =
                tuf_repo_bytes(&a.repo.served, attack_served(&a, (enum attack_role)role, name));
            const char *head = "{\"signatures\":";
            buf_init(&text, 1 << 20);
            cr_assert_eq(
                buf_add_format(&text, &e, "{\"%s\":1,%s", names[i], buf_text(bytes) + strlen("{")),
                0);
            cr_assert_eq(strncmp(buf_text(bytes), head, strlen(head)), 0);
            attack_put_text(&a, (enum attack_role)role, buf_text(&text));
            attack_must_fail_and_recover(&a, (enum attack_role)role, &err_syntax, names[i]);
        }
    }
}

// ── U13, U09 ───────────────────────────────────────────────────────────────────────────────────

static const struct {
    const char *hashes;
    bool refused_unread; // by the form of the file that lists it
} hashes[] = {
    {"{}", true},
    {"{\"md5\":\"5d41402abc4b2a76b9719d911017c592\"}", false},
    {"{\"SHA256\":\"00\"}", false},
    {"{\"sha256\":\"\"}", false},
    {"{\"sha256\":\"00\"}", false},
    {"{\"sha256\":\"zz\",\"sha512\":\"\"}", false},
    {"{\"blake2b-256\":\"0000000000000000000000000000000000000000000000000000000000000000\"}",
     false},
    {"{\"sha256\":null}", true},
    {"{\"\":\"00\"}", true},
    {"[]", true},
    {"null", true},
};

Test(attack, u13_u09_hashes_that_say_nothing_let_no_file_pass, .timeout = 120) {
    static const char *const ways[] = {NULL, NULL, "meta/snapshot.json/hashes",
                                       "meta/targets.json/hashes", "meta/d.json/hashes"};
    for (int role = A_SNAPSHOT; role < A_ROLES; role++) {
        for (size_t i = 0; i < ATTACK_COUNT(hashes); i++) {
            OWN(attack) struct attack a;
            attack_make(&a);
            attack_publish(&a);
            enum attack_role lister = role == A_SNAPSHOT ? A_TIMESTAMP : A_SNAPSHOT;
            parts_put(tuf_repo_role(&a.repo, attack_names[lister]), ways[role], hashes[i].hashes);
            tuf_repo_publish(&a.repo, attack_names[lister]);
            attack_must_fail_and_recover(
                &a, hashes[i].refused_unread ? lister : (enum attack_role)role,
                hashes[i].refused_unread ? NULL : &err_digest_mismatch, hashes[i].hashes);
        }
    }
}

Test(attack, u13_hashes_that_say_nothing_let_no_target_pass) {
    static const struct slice content = {(const uint8_t *)"hello", 5};
    for (size_t i = 0; i < ATTACK_COUNT(hashes); i++) {
        OWN(attack) struct attack a;
        OWN(tuf_client) struct tuf_client *client = NULL;
        struct tuf_target target;
        struct err e = ERR_NONE;
        attack_make(&a);
        json_t *targets = json_object_get(tuf_repo_role(&a.repo, "targets"), "targets");
        parts_put(json_object_get(targets, "top"), "hashes", hashes[i].hashes);
        attack_publish(&a);
        if (hashes[i].refused_unread) {
            attack_must_fail_and_recover(&a, A_TARGETS, NULL, hashes[i].hashes);
            continue;
        }
        cr_assert_eq(tuf_repo_open(&a.repo, &client, &e), 0);
        cr_assert_geq(tuf_client_refresh(client, &e), 0);
        cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0);
        cr_assert_lt(tuf_target_check(&target, content, "top", &e), 0, "%s", hashes[i].hashes);
        cr_assert_eq(e.kind, &err_digest_mismatch);
    }
}

// The same document with its two members in the other order: other bytes, as many of them.
static void turn_around(struct attack *a, enum attack_role role) {
    OWN(json) json_t *envelope = attack_envelope(a, role);
    OWN(json)
    json_t *turned = json_pack("{s:O,s:O}", "signed", json_object_get(envelope, "signed"),
                               "signatures", json_object_get(envelope, "signatures"));
    attack_put(a, role, turned);
}

// One code path for all roles: what is said of a file holds for delegated ones too.
Test(attack, u09_length_and_hash_hold_for_every_listed_role) {
    static const char *const entries[] = {NULL, NULL, "meta/snapshot.json", "meta/targets.json",
                                          "meta/d.json"};
    for (int role = A_SNAPSHOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        OWN(attack) struct attack b;
        char way[64];
        attack_make(&a);
        attack_publish(&a);
        turn_around(&a, (enum attack_role)role);
        attack_must_fail_and_recover(&a, (enum attack_role)role, &err_digest_mismatch, "hash");
        // One byte more was signed than there is, and nothing else of it.
        attack_make(&b);
        attack_publish(&b);
        enum attack_role lister = role == A_SNAPSHOT ? A_TIMESTAMP : A_SNAPSHOT;
        char name[ATTACK_NAME_BYTES];
        const struct buf *bytes =
            tuf_repo_bytes(&b.repo.served, attack_served(&b, (enum attack_role)role, name));
        (void)snprintf(way, sizeof way, "%s/hashes", entries[role]);
        parts_put(tuf_repo_role(&b.repo, attack_names[lister]), way, "");
        (void)snprintf(way, sizeof way, "%s/length", entries[role]);
        device_set_number(&b.repo, attack_names[lister], way, (int64_t)bytes->len + 1);
        tuf_repo_publish(&b.repo, attack_names[lister]);
        attack_must_fail_and_recover(&b, (enum attack_role)role, &err_digest_mismatch, "length");
    }
}
