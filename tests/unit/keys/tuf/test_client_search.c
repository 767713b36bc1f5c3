// SPDX-License-Identifier: Apache-2.0
//
// The search for a target through delegations: its order, its ends, and by whose keys.
#include <criterion/criterion.h>

#include <stdio.h>

#include "base/own.h"
#include "tests/unit/keys/tuf/device.h"

// Looks a path up with a fresh client; what was asked for behind the refresh is in repo->requests.
static int look_up(struct tuf_repo *repo, const char *path, struct err *e) {
    OWN(tuf_client) struct tuf_client *client = device_open(repo);
    struct tuf_target target;
    buf_clear(&repo->requests);
    return tuf_client_find(client, path, &target, e);
}

// What is asked for when "nowhere" is looked up, as "a b": all roles are of version 1.
static const struct {
    const char *name, *graph, *asked;
} graphs[] = {
    {"none", "", ""},
    {"one", "targets>a", "a"},
    {"siblings in order", "targets>a targets>b", "a b"},
    {"depth first", "targets>a targets>b a>c", "a c b"},
    {"only those that match", "targets>?a targets>b b>?c", "b"},
    {"terminating ends what comes beside", "targets>!a targets>b a>c", "a c"},
    {"terminating below ends what comes above", "targets>a targets>b a>!c a>d", "a c"},
    {"terminating that does not match ends nothing", "targets>!?a targets>b", "b"},
    {"a loop", "targets>a a>b b>a", "a b"},
    {"to itself", "targets>a a>a", "a"},
    {"a terminating loop ends all the same", "targets>a a>!a targets>b", "a"},
    {"a diamond", "targets>a targets>b a>c b>c", "a c b"},
    {"a diamond with one way", "targets>a targets>b a>?c b>c", "a b c"},
};

static void check_asked(const struct tuf_repo *repo, const char *roles, const char *name) {
    OWN(buf) struct buf expected;
    struct err e = ERR_NONE;
    buf_init(&expected, 256);
    for (; *roles; roles++)
        if (*roles != ' ')
            cr_assert_eq(buf_add_format(&expected, &e, "1.%c.json ", *roles), 0);
    cr_assert_str_eq(buf_text(&repo->requests), buf_text(&expected), "%s: %s", name,
                     buf_text(&repo->requests));
}

Test(client_search, goes_through_every_graph_in_order) {
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        repo.without_hashes = true;
        device_delegate(&repo, graphs[i].graph);
        tuf_repo_publish_all(&repo);
        cr_assert_eq(look_up(&repo, "nowhere", &e), TUF_ABSENT, "%s: %s", graphs[i].name, e.text);
        check_asked(&repo, graphs[i].asked, graphs[i].name);
        // All of it is at hand now.
        cr_assert_eq(look_up(&repo, "nowhere", &e), TUF_ABSENT);
        check_asked(&repo, "", graphs[i].name);
    }
}

Test(client_search, finds_what_the_first_trusted_role_lists) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    (void)tuf_repo_delegate(&repo, "targets", "a", 5, "x/*");
    (void)tuf_repo_delegate(&repo, "targets", "b", 6, "*/*");
    (void)tuf_repo_delegate(&repo, "a", "c", 7, "x/*");
    tuf_repo_add_target(&repo, "c", "x/deep", device_content);
    tuf_repo_add_target(&repo, "b", "x/deep", (struct slice){(const uint8_t *)"other", 5});
    tuf_repo_add_target(&repo, "targets", "top", device_content);
    tuf_repo_add_target(&repo, "a", "not/for/a", device_content);
    tuf_repo_publish_all(&repo);
    OWN(tuf_client) struct tuf_client *client = device_open(&repo);
    cr_assert_eq(tuf_client_find(client, "x/deep", &target, &e), 0, "%s", e.text);
    cr_assert_eq(target.length, 5);
    cr_assert_eq(target.n_delegations, 2);
    cr_assert_str_eq(target.delegations[0].name, "a");
    cr_assert_str_eq(target.delegations[1].name, "c");
    cr_assert_eq(tuf_target_check(&target, device_content, "x/deep", &e), 0, "%s", e.text);
    cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0, "%s", e.text);
    cr_assert_eq(target.n_delegations, 0);
    cr_assert_eq(tuf_client_find(client, "not/for/a", &target, &e), TUF_ABSENT, "%s", e.text);
    // Afterwards the way is closed again.
    cr_assert_eq(tuf_client_refresh(client, &e), TUF_CLIENT_UNCHANGED, "%s", e.text);
}

Test(client_search, needs_a_refresh_that_succeeded) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    tuf_repo_add_target(&repo, "targets", "top", device_content);
    tuf_repo_publish(&repo, "targets");
    cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
    cr_assert_lt(tuf_client_find(client, "top", &target, &e), 0);
    err_clear(&e);
    cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0);
    tuf_repo_drop(&repo.served, "timestamp.json");
    cr_assert_lt(tuf_client_refresh(client, &e), 0);
    err_clear(&e);
    cr_assert_lt(tuf_client_find(client, "top", &target, &e), 0);
    cr_assert_eq(e.kind, &err_internal);
}

// ── Delegated roles are checked as all others ──────────────────────────────────────────────────

static void make_bob(struct tuf_repo *repo) {
    tuf_repo_make(repo);
    (void)tuf_repo_delegate(repo, "targets", "bob", 5, "bob/*");
    tuf_repo_add_target(repo, "bob", "bob/x", device_content);
    tuf_repo_publish_all(repo);
}

static void must_not_find(struct tuf_repo *repo, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    cr_assert_lt(look_up(repo, "bob/x", &e), 0);
    cr_assert_eq(e.kind, kind, "%s: %s", e.kind->name, e.text);
}

Test(client_search, a_delegated_role_that_the_snapshot_does_not_list_is_not_asked_for) {
    OWN(tuf_repo) struct tuf_repo repo;
    make_bob(&repo);
    parts_put(tuf_repo_role(&repo, "snapshot"), "meta/bob.json", "");
    tuf_repo_publish(&repo, "snapshot");
    must_not_find(&repo, &err_not_found);
    cr_assert_str_eq(buf_text(&repo.requests), "");
}

Test(client_search, a_delegated_role_of_wrong_bytes_signers_version_type_or_age_is_not_stored) {
    static const struct {
        const char *way;
        const char *value;
        const char *signers;
        const struct err_kind *kind;
    } cases[] = {
        {"x", "1", "1234", &err_below_threshold},
        {"expires", "\"2025-06-15T15:06:40Z\"", "5", &err_expired},
        {"_type", "\"snapshot\"", "5", &err_wrong_type},
        {"targets", "[]", "5", &err_syntax},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        make_bob(&repo);
        cr_assert_eq(look_up(&repo, "bob/x", &e), 0, "%s", e.text);
        parts_put(tuf_repo_role(&repo, "bob"), cases[i].way, cases[i].value);
        tuf_repo_set_signers(&repo, "bob", cases[i].signers);
        tuf_repo_publish(&repo, "bob");
        must_not_find(&repo, cases[i].kind);
        cr_assert_eq(tuf_repo_stored(&repo, "bob.json"), 1);
    }
    OWN(tuf_repo) struct tuf_repo repo;
    make_bob(&repo);
    tuf_repo_bytes(&repo.served, "1.bob.json")->data[0] = '[';
    must_not_find(&repo, &err_digest_mismatch);
    repo.without_hashes = true;
    device_set_number(&repo, "bob", "version", 0);
    tuf_repo_publish(&repo, "bob");
    OWN(buf) struct buf raw;
    buf_init(&raw, 1 << 20);
    device_set_number(&repo, "bob", "version", 7);
    tuf_repo_sign(tuf_repo_role(&repo, "bob"), json_object_get(repo.signers, "bob"), &raw);
    tuf_repo_put(&repo.served, "1.bob.json", buf_slice(&raw));
    must_not_find(&repo, &err_rollback);
    cr_assert_eq(tuf_repo_stored(&repo, "bob.json"), 0);
    tuf_repo_drop(&repo.served, "1.bob.json");
    must_not_find(&repo, &err_not_found);
}

// ── Ceilings and names ─────────────────────────────────────────────────────────────────────────

// One role after another: targets → r1 → … → rN.
static int search_line(size_t n, struct err *e) {
    OWN(tuf_repo) struct tuf_repo repo;
    tuf_repo_make(&repo);
    char from[16] = "targets";
    for (size_t i = 1; i <= n; i++) {
        char to[16];
        (void)snprintf(to, sizeof to, "r%zu", i);
        (void)tuf_repo_delegate(&repo, from, to, 5, "*");
        (void)snprintf(from, sizeof from, "%s", to);
    }
    tuf_repo_publish_all(&repo);
    return look_up(&repo, "nowhere", e);
}

Test(client_search, ends_at_a_depth) {
    struct err e = ERR_NONE;
    cr_assert_eq(search_line(TUF_DELEGATION_DEPTH_MAX, &e), TUF_ABSENT, "%s", e.text);
    cr_assert_lt(search_line(TUF_DELEGATION_DEPTH_MAX + 1, &e), 0);
    cr_assert_eq(e.kind, &err_limit, "%s", e.text);
}

Test(client_search, ends_after_so_many_roles) {
    for (size_t over = 0; over < 2; over++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        for (size_t i = 0; i < TUF_ROLES_PER_SEARCH_MAX + over; i++) {
            char to[16];
            (void)snprintf(to, sizeof to, "r%zu", i);
            (void)tuf_repo_delegate(&repo, "targets", to, 5, "*");
        }
        tuf_repo_publish_all(&repo);
        int found = look_up(&repo, "nowhere", &e);
        cr_assert_eq(found, over ? -1 : TUF_ABSENT, "%s", e.text);
        cr_assert_eq(e.kind, over ? &err_limit : NULL);
    }
}

Test(client_search, no_name_of_a_role_is_a_path) {
    static const struct {
        const char *role;
        const char *file;
    } cases[] = {
        {"../bob", "..%2Fbob.json"},
        {"/etc/passwd", "%2Fetc%2Fpasswd.json"},
        {"?", "%3F.json"},
        {"#", "%23.json"},
        {"a b", "a%20b.json"},
        {"%2F", "%252F.json"},
        {"\x1b[31m", "%1B%5B31m.json"},
        {"caf\xc3\xa9", "caf%C3%A9.json"},
        {"A-z_0.9~", "A-z_0.9~.json"},
        {".", "..json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        (void)tuf_repo_delegate(&repo, "targets", cases[i].role, 5, "bob/*");
        tuf_repo_add_target(&repo, cases[i].role, "bob/x", device_content);
        tuf_repo_publish_all(&repo);
        cr_assert_eq(look_up(&repo, "bob/x", &e), 0, "%s: %s", cases[i].role, e.text);
        cr_assert_eq(tuf_repo_stored(&repo, cases[i].file), 1, "%s", cases[i].file);
    }
}

Test(client_search, a_name_too_long_for_a_file_is_refused) {
    for (size_t over = 0; over < 2; over++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        char name[256] = "";
        memset(name, 'n', 227 + over); // and ".json": 232
        tuf_repo_make(&repo);
        (void)tuf_repo_delegate(&repo, "targets", name, 5, "bob/*");
        tuf_repo_add_target(&repo, name, "bob/x", device_content);
        tuf_repo_publish_all(&repo);
        cr_assert_eq(look_up(&repo, "bob/x", &e), over ? -1 : 0, "%s", e.text);
        cr_assert_eq(e.kind, over ? &err_limit : NULL);
        memset(name, '/', 80); // thrice as long when quoted
        name[80] = '\0';
        OWN(buf) struct buf quoted;
        buf_init(&quoted, 239);
        cr_assert_lt(tuf_client_quote(name, &quoted, &e), 0);
    }
}

// ── Targets ────────────────────────────────────────────────────────────────────────────────────

Test(client_search, a_target_is_checked_whole_and_found_under_its_hash) {
    static const struct {
        const char *path;
        const char *prefix;
        const char *name;
    } cases[] = {{"top", "", "top"}, {"a/b/c.json", "a/b/", "c.json"}, {"a/", "a/", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(buf) struct buf file;
        struct tuf_target target;
        struct err e = ERR_NONE;
        char expected[256];
        tuf_repo_make(&repo);
        tuf_repo_add_target(&repo, "targets", cases[i].path, device_content);
        tuf_repo_publish(&repo, "targets");
        OWN(tuf_client) struct tuf_client *client = device_open(&repo);
        cr_assert_eq(tuf_client_find(client, cases[i].path, &target, &e), 0, "%s", e.text);
        struct tuf_json_at hash;
        cr_assert(tuf_json_find(target.hashes, "blake2b-256", &hash));
        (void)snprintf(expected, sizeof expected, "%s%s.%s", cases[i].prefix,
                       tuf_json_string(hash, NULL), cases[i].name);
        buf_init(&file, 512);
        cr_assert_eq(tuf_target_file(client, &target, cases[i].path, &file, &e), 0, "%s", e.text);
        cr_assert_str_eq(buf_text(&file), expected);
        cr_assert_eq(tuf_target_check(&target, device_content, "t", &e), 0);
        cr_assert_lt(tuf_target_check(&target, (struct slice){device_content.data, 4}, "t", &e), 0);
        cr_assert_eq(e.kind, &err_digest_mismatch);
        err_clear(&e);
        cr_assert_lt(
            tuf_target_check(&target, (struct slice){(const uint8_t *)"hellp", 5}, "t", &e), 0);
        cr_assert_eq(e.kind, &err_digest_mismatch);
    }
}

Test(client_search, a_target_without_a_known_hash_has_no_place_but_its_path) {
    for (size_t consistent = 0; consistent < 2; consistent++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(buf) struct buf file;
        struct tuf_target target;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        tuf_repo_add_target(&repo, "targets", "top", device_content);
        parts_put(tuf_repo_role(&repo, "targets"), "targets/top/hashes", "{\"md5\":\"../x\"}");
        if (!consistent) {
            parts_put(tuf_repo_role(&repo, "root"), "consistent_snapshot", "false");
            tuf_repo_publish(&repo, "root");
        }
        tuf_repo_publish(&repo, "targets");
        OWN(tuf_client) struct tuf_client *client = device_open(&repo);
        cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0, "%s", e.text);
        buf_init(&file, 512);
        cr_assert_eq(tuf_target_file(client, &target, "top", &file, &e), consistent ? -1 : 0);
        cr_assert_str_eq(buf_text(&file), consistent ? "" : "top");
        err_clear(&e);
        cr_assert_lt(tuf_target_check(&target, device_content, "top", &e), 0);
        cr_assert_eq(e.kind, &err_digest_mismatch);
    }
}

Test(client_search, a_target_of_another_length_is_refused_though_its_hash_holds) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    tuf_repo_add_target(&repo, "targets", "top", device_content);
    parts_put(tuf_repo_role(&repo, "targets"), "targets/top/length", "6");
    tuf_repo_publish(&repo, "targets");
    OWN(tuf_client) struct tuf_client *client = device_open(&repo);
    cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0, "%s", e.text);
    cr_assert_lt(tuf_target_check(&target, device_content, "top", &e), 0);
    cr_assert_eq(e.kind, &err_digest_mismatch);
}
