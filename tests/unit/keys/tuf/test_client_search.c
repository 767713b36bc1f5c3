// SPDX-License-Identifier: Apache-2.0
//
// The search for a target through delegations: its order, its ends, and by whose keys.
#include <criterion/criterion.h>

#include <stdio.h>

#include "base/own.h"
#include "tests/unit/keys/tuf/device.h"

static const struct slice content = {(const uint8_t *)"hello", 5};

// Publishes these roles (blank between), all of which the targets must list by now.
static void publish(struct tuf_repo *repo, const char *roles) {
    char words[512];
    (void)snprintf(words, sizeof words, "%s", roles);
    char *rest = words;
    for (char *word; (word = strsep(&rest, " "));)
        tuf_repo_publish(repo, word);
}

// Looks a path up with a fresh client and returns what was asked for behind the refresh.
static int look_up(struct tuf_repo *repo, const char *path, struct err *e) {
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    cr_assert_eq(tuf_repo_open(repo, &client, e), 0, "%s", e->text);
    cr_assert_geq(tuf_client_refresh(client, e), 0, "%s", e->text);
    buf_clear(&repo->requests);
    return tuf_client_find(client, path, &target, e);
}

struct edge {
    const char *from, *to, *pattern;
    bool terminating;
};

// A graph of delegations, all by key 5, all roles at version 1.
static void make_graph(struct tuf_repo *repo, const struct edge *edges, size_t n) {
    tuf_repo_make(repo);
    repo->without_hashes = true;
    for (size_t i = 0; i < n; i++) {
        json_t *d = tuf_repo_delegate(repo, edges[i].from, edges[i].to, 5, edges[i].pattern);
        (void)json_object_set_new(d, "terminating", json_boolean(edges[i].terminating));
    }
    for (size_t i = 0; i < n; i++)
        if (tuf_repo_version(repo, edges[i].to) == 0)
            tuf_repo_publish(repo, edges[i].to);
    tuf_repo_publish(repo, "targets");
}

static const struct {
    const char *name;
    struct edge edges[8];
    const char *asked;
} graphs[] = {
    {"none", {{0}}, ""},
    {"one", {{"targets", "a", "*", false}}, "1.a.json "},
    {"siblings in order",
     {{"targets", "a", "*", false}, {"targets", "b", "*", false}},
     "1.a.json 1.b.json "},
    {"depth first",
     {{"targets", "a", "*", false}, {"targets", "b", "*", false}, {"a", "c", "*", false}},
     "1.a.json 1.c.json 1.b.json "},
    {"only those that match",
     {{"targets", "a", "no/*", false}, {"targets", "b", "*", false}, {"b", "c", "no", false}},
     "1.b.json "},
    {"terminating ends what comes beside",
     {{"targets", "a", "*", true}, {"targets", "b", "*", false}, {"a", "c", "*", false}},
     "1.a.json 1.c.json "},
    {"terminating below ends what comes above",
     {{"targets", "a", "*", false},
      {"targets", "b", "*", false},
      {"a", "c", "*", true},
      {"a", "d", "*", false}},
     "1.a.json 1.c.json "},
    {"terminating that does not match ends nothing",
     {{"targets", "a", "no", true}, {"targets", "b", "*", false}},
     "1.b.json "},
    {"a loop",
     {{"targets", "a", "*", false}, {"a", "b", "*", false}, {"b", "a", "*", false}},
     "1.a.json 1.b.json "},
    {"to itself", {{"targets", "a", "*", false}, {"a", "a", "*", false}}, "1.a.json "},
    {"a terminating loop ends all the same",
     {{"targets", "a", "*", false}, {"a", "a", "*", true}, {"targets", "b", "*", false}},
     "1.a.json "},
    {"a diamond",
     {{"targets", "a", "*", false},
      {"targets", "b", "*", false},
      {"a", "c", "*", false},
      {"b", "c", "*", false}},
     "1.a.json 1.c.json 1.b.json "},
    {"a diamond with one way",
     {{"targets", "a", "*", false},
      {"targets", "b", "*", false},
      {"a", "c", "no", false},
      {"b", "c", "*", false}},
     "1.a.json 1.b.json 1.c.json "},
};

Test(client_search, goes_through_every_graph_in_order) {
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        size_t n = 0;
        while (n < 8 && graphs[i].edges[n].from)
            n++;
        make_graph(&repo, graphs[i].edges, n);
        cr_assert_eq(look_up(&repo, "nowhere", &e), TUF_ABSENT, "%s: %s", graphs[i].name, e.text);
        cr_assert_str_eq(buf_text(&repo.requests), graphs[i].asked, "%s: %s", graphs[i].name,
                         buf_text(&repo.requests));
        // All of it is at hand now.
        cr_assert_eq(look_up(&repo, "nowhere", &e), TUF_ABSENT);
        cr_assert_str_eq(buf_text(&repo.requests), "");
    }
}

Test(client_search, finds_what_the_first_trusted_role_lists) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    (void)tuf_repo_delegate(&repo, "targets", "a", 5, "x/*");
    (void)tuf_repo_delegate(&repo, "targets", "b", 6, "*/*");
    (void)tuf_repo_delegate(&repo, "a", "c", 7, "x/*");
    tuf_repo_add_target(&repo, "c", "x/deep", content);
    tuf_repo_add_target(&repo, "b", "x/deep", (struct slice){(const uint8_t *)"other", 5});
    tuf_repo_add_target(&repo, "targets", "top", content);
    tuf_repo_add_target(&repo, "a", "not/for/a", content);
    publish(&repo, "a b c targets");
    cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
    cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_client_find(client, "x/deep", &target, &e), 0, "%s", e.text);
    cr_assert_eq(target.length, 5);
    cr_assert_eq(target.n_delegations, 2);
    cr_assert_str_eq(target.delegations[0].name, "a");
    cr_assert_str_eq(target.delegations[1].name, "c");
    cr_assert_eq(tuf_target_check(&target, content, "x/deep", &e), 0, "%s", e.text);
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
    tuf_repo_add_target(&repo, "targets", "top", content);
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

Test(client_search, a_stored_role_is_verified_by_the_keys_of_this_way) {
    // a and b both delegate to c, by different keys; only a's signed it.
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    (void)tuf_repo_delegate(&repo, "targets", "a", 5, "team-a/*");
    (void)tuf_repo_delegate(&repo, "targets", "b", 6, "team-b/*");
    (void)tuf_repo_delegate(&repo, "a", "c", 7, "team-a/*");
    (void)tuf_repo_delegate(&repo, "b", "c", 8, "team-b/*");
    tuf_repo_add_target(&repo, "c", "team-a/x", content);
    tuf_repo_add_target(&repo, "c", "team-b/x", content);
    tuf_repo_set_signers(&repo, "c", "7");
    publish(&repo, "a b c targets");
    cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
    cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_client_find(client, "team-a/x", &target, &e), 0, "%s", e.text);
    cr_assert_lt(tuf_client_find(client, "team-b/x", &target, &e), 0);
    cr_assert_eq(e.kind, &err_below_threshold, "%s", e.text);
    err_clear(&e);
    // And what a signed is there as before.
    cr_assert_eq(tuf_client_find(client, "team-a/x", &target, &e), 0, "%s", e.text);
}

Test(client_search, a_role_is_visited_once_for_each_delegator) {
    // In one search: what a's keys signed is not passed over when b means other keys by its name.
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    (void)tuf_repo_delegate(&repo, "targets", "a", 5, "*");
    (void)tuf_repo_delegate(&repo, "targets", "b", 6, "*");
    (void)tuf_repo_delegate(&repo, "a", "c", 7, "*");
    (void)tuf_repo_delegate(&repo, "b", "c", 8, "*");
    tuf_repo_set_signers(&repo, "c", "7");
    publish(&repo, "a b c targets");
    cr_assert_lt(look_up(&repo, "nowhere", &e), 0);
    cr_assert_eq(e.kind, &err_below_threshold, "%s", e.text);
    err_clear(&e);
    tuf_repo_set_signers(&repo, "c", "78");
    publish(&repo, "c");
    cr_assert_eq(look_up(&repo, "nowhere", &e), TUF_ABSENT, "%s", e.text);
}

// ── Delegated roles are checked as all others ──────────────────────────────────────────────────

static void make_bob(struct tuf_repo *repo) {
    tuf_repo_make(repo);
    (void)tuf_repo_delegate(repo, "targets", "bob", 5, "bob/*");
    tuf_repo_add_target(repo, "bob", "bob/x", content);
    publish(repo, "bob targets");
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
    for (size_t i = 1; i <= n; i++) {
        (void)snprintf(from, sizeof from, "r%zu", i);
        tuf_repo_publish(&repo, from);
    }
    tuf_repo_publish(&repo, "targets");
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
            tuf_repo_publish(&repo, to);
        }
        tuf_repo_publish(&repo, "targets");
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
        tuf_repo_add_target(&repo, cases[i].role, "bob/x", content);
        tuf_repo_publish(&repo, cases[i].role);
        tuf_repo_publish(&repo, "targets");
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
        tuf_repo_add_target(&repo, name, "bob/x", content);
        tuf_repo_publish(&repo, name);
        tuf_repo_publish(&repo, "targets");
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
        OWN(tuf_client) struct tuf_client *client = NULL;
        OWN(buf) struct buf file;
        struct tuf_target target;
        struct err e = ERR_NONE;
        char expected[256];
        tuf_repo_make(&repo);
        tuf_repo_add_target(&repo, "targets", cases[i].path, content);
        tuf_repo_publish(&repo, "targets");
        cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
        cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
        cr_assert_eq(tuf_client_find(client, cases[i].path, &target, &e), 0, "%s", e.text);
        struct tuf_json_at hash;
        cr_assert(tuf_json_find(target.hashes, "blake2b-256", &hash));
        (void)snprintf(expected, sizeof expected, "%s%s.%s", cases[i].prefix,
                       tuf_json_string(hash, NULL), cases[i].name);
        buf_init(&file, 512);
        cr_assert_eq(tuf_target_file(client, &target, cases[i].path, &file, &e), 0, "%s", e.text);
        cr_assert_str_eq(buf_text(&file), expected);
        cr_assert_eq(tuf_target_check(&target, content, "t", &e), 0);
        cr_assert_lt(tuf_target_check(&target, (struct slice){content.data, 4}, "t", &e), 0);
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
        OWN(tuf_client) struct tuf_client *client = NULL;
        OWN(buf) struct buf file;
        struct tuf_target target;
        struct err e = ERR_NONE;
        tuf_repo_make(&repo);
        tuf_repo_add_target(&repo, "targets", "top", content);
        parts_put(tuf_repo_role(&repo, "targets"), "targets/top/hashes", "{\"md5\":\"../x\"}");
        if (!consistent) {
            parts_put(tuf_repo_role(&repo, "root"), "consistent_snapshot", "false");
            tuf_repo_publish(&repo, "root");
        }
        tuf_repo_publish(&repo, "targets");
        cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
        cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
        cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0, "%s", e.text);
        buf_init(&file, 512);
        cr_assert_eq(tuf_target_file(client, &target, "top", &file, &e), consistent ? -1 : 0);
        cr_assert_str_eq(buf_text(&file), consistent ? "" : "top");
        err_clear(&e);
        cr_assert_lt(tuf_target_check(&target, content, "top", &e), 0);
        cr_assert_eq(e.kind, &err_digest_mismatch);
    }
}

Test(client_search, a_target_of_another_length_is_refused_though_its_hash_holds) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    tuf_repo_add_target(&repo, "targets", "top", content);
    parts_put(tuf_repo_role(&repo, "targets"), "targets/top/length", "6");
    tuf_repo_publish(&repo, "targets");
    cr_assert_eq(tuf_repo_open(&repo, &client, &e), 0, "%s", e.text);
    cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_client_find(client, "top", &target, &e), 0, "%s", e.text);
    cr_assert_lt(tuf_target_check(&target, content, "top", &e), 0);
    cr_assert_eq(e.kind, &err_digest_mismatch);
}
