// SPDX-License-Identifier: Apache-2.0
//
// Delegations: their form, the paths they are trusted for, and what else they limit.
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "keys/kind.h"
#include "keys/tuf/delegation.h"
#include "tests/support/tuf_repo.h"
#include "tests/unit/keys/tuf/parts.h"

// Verifies the targets of a repository as they stand.
static int open_targets(struct tuf_repo *repo, struct tuf_metadata **ret, struct err *e) {
    struct tuf_metadata_candidate *candidate = NULL;
    OWN(tuf_metadata) struct tuf_metadata *root = NULL;
    OWN(buf) struct buf raw;
    buf_init(&raw, 8 * 1024 * 1024);
    tuf_repo_sign(tuf_repo_role(repo, "root"), json_object_get(repo->signers, "root"), &raw);
    if (tuf_metadata_parse(buf_slice(&raw), TUF_ROOT, "root", &candidate, e) < 0 ||
        tuf_metadata_verify_root(&candidate, NULL, &root, e) < 0)
        return -1;
    struct tuf_role role = tuf_metadata_role(root, TUF_TARGETS);
    tuf_repo_sign(tuf_repo_role(repo, "targets"), json_object_get(repo->signers, "targets"), &raw);
    if (tuf_metadata_parse(buf_slice(&raw), TUF_TARGETS, "targets", &candidate, e) < 0)
        return -1;
    return tuf_metadata_verify(&candidate, &role, NULL, ret, e);
}

// ── Form ───────────────────────────────────────────────────────────────────────────────────────

static const struct {
    const char *way; // below delegations
    const char *value;
    const struct err_kind *kind;
} members[] = {
    {"keys", "[]", &err_syntax},
    {"keys", "", &err_syntax},
    {"keys", "{\"x\":1}", &err_syntax},
    {"roles", "{}", &err_syntax},
    {"roles", "", &err_syntax},
    {"roles", "[]", NULL},
    {"roles/0", "1", &err_syntax},
    {"roles/0/name", "", &err_syntax},
    {"roles/0/name", "\"\"", &err_syntax},
    {"roles/0/name", "1", &err_syntax},
    {"roles/0/name", "\"root\"", &err_syntax},
    {"roles/0/name", "\"timestamp\"", &err_syntax},
    {"roles/0/name", "\"snapshot\"", &err_syntax},
    {"roles/0/name", "\"targets\"", &err_syntax},
    {"roles/0/name", "\"Targets\"", NULL},
    {"roles/0/name", "\"../../etc\"", NULL},    // a name and never a path
    {"roles/0/name", "\"carol\"", &err_syntax}, // there already
    {"roles/0/keyids", "[1]", &err_syntax},
    {"roles/0/keyids", "", &err_syntax},
    {"roles/0/threshold", "0", &err_syntax},
    {"roles/0/threshold", "", &err_syntax},
    {"roles/0/terminating", "", &err_syntax},
    {"roles/0/terminating", "0", &err_syntax},
    {"roles/0/terminating", "null", &err_syntax},
    {"roles/0/terminating", "true", NULL},
    {"roles/0/paths", "", &err_syntax},
    {"roles/0/paths", "[]", NULL},
    {"roles/0/paths", "\"*\"", &err_syntax},
    {"roles/0/paths", "null", &err_syntax},
    {"roles/0/paths", "[\"*\",null]", &err_syntax},
    {"roles/0/path_hash_prefixes", "[\"00\"]", &err_syntax}, // beside paths
    {"roles/1/paths", "[]", &err_syntax},                    // beside prefixes
    {"roles/1/path_hash_prefixes", "", &err_syntax},
    {"roles/1/path_hash_prefixes", "\"00\"", &err_syntax},
    {"roles/1/path_hash_prefixes", "[1]", &err_syntax},
    {"roles/1/anything", "{\"else\":null}", NULL},
};

// bob by a pattern, carol by hash prefixes.
static json_t *make(struct tuf_repo *repo) {
    tuf_repo_make(repo);
    (void)tuf_repo_delegate(repo, "targets", "bob", 5, "bob/*");
    json_t *carol = tuf_repo_delegate(repo, "targets", "carol", 6, "");
    (void)json_object_del(carol, "paths");
    parts_put(carol, "path_hash_prefixes", "[\"00\",\"1\"]");
    return json_object_get(tuf_repo_role(repo, "targets"), "delegations");
}

Test(delegation, every_member_is_of_its_type_and_range) {
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        parts_put(make(&repo), members[i].way, members[i].value);
        (void)open_targets(&repo, &m, &e);
        cr_expect_eq(e.kind, members[i].kind, "%s: %s: %s", members[i].way, members[i].value,
                     e.kind ? e.text : "accepted");
    }
}

Test(delegation, counts_and_lengths_end_at_their_ceilings) {
    for (size_t over = 0; over < 2; over++) {
        OWN(tuf_repo) struct tuf_repo repo;
        json_t *bob = json_array_get(json_object_get(make(&repo), "roles"), 0);
        OWN(json) json_t *list = json_array();
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        for (size_t i = 0; i < TUF_DELEGATION_PATHS_MAX + over; i++)
            (void)json_array_append_new(list, json_string("*"));
        (void)json_object_set(bob, "paths", list);
        (void)open_targets(&repo, &m, &e);
        cr_assert_eq(e.kind, over ? &err_limit : NULL, "%s", e.text);
    }
    for (size_t over = 0; over < 2; over++) {
        OWN(tuf_repo) struct tuf_repo repo;
        json_t *bob = json_array_get(json_object_get(make(&repo), "roles"), 0);
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        char path[TUF_PATH_MAX + 2] = "";
        memset(path, '*', TUF_PATH_MAX + over);
        (void)json_object_set_new(bob, "paths", json_pack("[s]", path));
        (void)open_targets(&repo, &m, &e);
        cr_assert_eq(e.kind, over ? &err_syntax : NULL, "%s", e.text);
    }
    for (size_t over = 0; over < 2; over++) {
        OWN(tuf_repo) struct tuf_repo repo;
        json_t *bob = json_array_get(json_object_get(make(&repo), "roles"), 0);
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        char name[TUF_NAME_MAX + 2] = "";
        memset(name, 'n', TUF_NAME_MAX + over);
        (void)json_object_set_new(bob, "name", json_string(name));
        (void)open_targets(&repo, &m, &e);
        cr_assert_eq(e.kind, over ? &err_syntax : NULL, "%s", e.text);
    }
}

Test(delegation, at_most_so_many_stand_in_one_file) {
    for (size_t over = 0; over < 2; over++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        json_t *roles = json_object_get(make(&repo), "roles");
        while (json_array_size(roles) < TUF_DELEGATIONS_MAX + over) {
            json_t *copy = json_deep_copy(json_array_get(roles, 0));
            char name[24];
            (void)snprintf(name, sizeof name, "r%zu", json_array_size(roles));
            (void)json_object_set_new(copy, "name", json_string(name));
            (void)json_array_append_new(roles, copy);
        }
        (void)open_targets(&repo, &m, &e);
        cr_assert_eq(e.kind, over ? &err_limit : NULL, "%s", e.text);
        if (m)
            cr_assert_eq(tuf_delegation_count(m), TUF_DELEGATIONS_MAX);
    }
}

// ── Reading ────────────────────────────────────────────────────────────────────────────────────

Test(delegation, they_are_read_in_their_order) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_metadata) struct tuf_metadata *m = NULL;
    struct err e = ERR_NONE;
    struct tuf_delegation d;
    parts_put(make(&repo), "roles/1/terminating", "true");
    cr_assert_eq(open_targets(&repo, &m, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_delegation_count(m), 2);
    tuf_delegation_get(m, 0, &d);
    cr_assert_str_eq(d.name, "bob");
    cr_assert_not(d.terminating);
    cr_assert_eq(d.role.threshold, 1);
    tuf_delegation_get(m, 1, &d);
    cr_assert_str_eq(d.name, "carol");
    cr_assert(d.terminating);
    struct tuf_json_at at;
    cr_assert(tuf_json_find(d.object, "path_hash_prefixes", &at));
}

Test(delegation, there_may_be_none) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_metadata) struct tuf_metadata *m = NULL;
    struct err e = ERR_NONE;
    tuf_repo_make(&repo);
    cr_assert_eq(open_targets(&repo, &m, &e), 0, "%s", e.text);
    cr_assert_eq(tuf_delegation_count(m), 0);
}

// ── Paths ──────────────────────────────────────────────────────────────────────────────────────

static const struct {
    const char *pattern;
    const char *path;
    bool matches;
} globs[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"*", "", true},
    {"*", "anything.zip", true},
    {"*", "a/b", false},
    {"*/*", "a/b", true},
    {"*/*", "a", false},
    {"*/*", "a/b/c", false},
    {"*/x", "/x", true},
    {"releases/*/*.zip", "releases/y/y_v1.zip", true},
    {"releases/*/*.zip", "releases/y/y_v1.zi", false},
    {"releases/*/*.zip", "releases/y/z/y.zip", false},
    {"foo-?.tgz", "foo-1.tgz", true},
    {"foo-?.tgz", "foo-alpha.tgz", false},
    {"foo-?.tgz", "foo-/.tgz", false},
    {"?", "", false},
    {"*.md", "README.MD", false},
    {"a*b*c", "aXXbYYc", true},
    {"a*b*c", "aXXbYYcZ", false},
    {"a*b*c", "abcabcabc", true},
    {"a**c", "abc", true},
    {"*a", "aaab", false},
    {"*aab", "aaaaab", true},
    {"a*", "a", true},
    {"a*/b*", "a1/b2", true},
    {"a*/b*", "a1/c2", false},
    {"*b/c", "ab/d", false},
    {"[abc]x", "bx", true},
    {"[abc]x", "dx", false},
    {"[!abc]x", "dx", true},
    {"[!abc]x", "ax", false},
    {"[a-c]x", "bx", true},
    {"[a-c]x", "dx", false},
    {"[c-a]x", "bx", false},
    {"[a-]x", "-x", true},
    {"[a-]x", "bx", false},
    {"[]a]x", "]x", true},
    {"[!]a]x", "bx", true},
    {"[!]a]x", "]x", false},
    {"[!a]b", "/b", false},
    {"[.-0]b", "/b", false},
    {"[abc", "[abc", true},
    {"[abc", "a", false},
    {"[!", "[!", true},
    {"[a/b]", "[a/b]", true},
    {"[a/b]", "a", false},
    {"*[0-9]", "model7", true},
    {"*[0-9]", "model", false},
    {"\\*", "\\x", true},
    {"\\*", "*", false},
    {"caf\xc3\xa9/*", "caf\xc3\xa9/x", true},
    {"[\xc3]x", "\xc3x", true},
};

Test(delegation, a_pattern_matches_part_by_part) {
    for (size_t i = 0; i < sizeof globs / sizeof *globs; i++)
        cr_expect_eq(tuf_delegation_glob(globs[i].pattern, globs[i].path), globs[i].matches,
                     "'%s' and '%s'", globs[i].pattern, globs[i].path);
}

Test(delegation, a_pattern_made_to_be_slow_is_not, .timeout = 60) {
    char pattern[TUF_PATH_MAX + 1];
    char path[TUF_PATH_MAX + 1];
    for (size_t i = 0; i < TUF_PATH_MAX; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    memset(path, 'a', TUF_PATH_MAX);
    pattern[TUF_PATH_MAX - 1] = 'b';
    pattern[TUF_PATH_MAX] = path[TUF_PATH_MAX] = '\0';
    cr_assert_not(tuf_delegation_glob(pattern, path));
}

static bool is_trusted(json_t *delegations, struct tuf_repo *repo, const char *value,
                       const char *path) {
    OWN(tuf_metadata) struct tuf_metadata *m = NULL;
    struct err e = ERR_NONE;
    struct tuf_delegation d;
    parts_put(delegations, "roles/1/path_hash_prefixes", value);
    cr_assert_eq(open_targets(repo, &m, &e), 0, "%s", e.text);
    tuf_delegation_get(m, 1, &d);
    return tuf_delegation_matches(&d, path);
}

Test(delegation, a_hash_prefix_matches_the_paths_whose_digest_begins_so) {
    OWN(tuf_repo) struct tuf_repo repo;
    json_t *delegations = make(&repo);
    // SHA-256 of "abc" is ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.
    cr_assert(is_trusted(delegations, &repo, "[\"ba7\"]", "abc"));
    cr_assert(is_trusted(delegations, &repo, "[\"00\",\"BA78\"]", "abc"));
    cr_assert(is_trusted(delegations, &repo, "[\"\"]", "abc"));
    cr_assert_not(is_trusted(delegations, &repo, "[\"ba79\",\"a7\"]", "abc"));
    cr_assert_not(is_trusted(delegations, &repo, "[]", "abc"));
    cr_assert(is_trusted(delegations, &repo,
                         "[\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"]",
                         "abc"));
    cr_assert_not(is_trusted(
        delegations, &repo,
        "[\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0\"]", "abc"));
}

Test(delegation, any_pattern_of_the_list_will_do) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_metadata) struct tuf_metadata *m = NULL;
    struct err e = ERR_NONE;
    struct tuf_delegation d;
    parts_put(make(&repo), "roles/0/paths", "[\"a/*\",\"b/*\"]");
    cr_assert_eq(open_targets(&repo, &m, &e), 0, "%s", e.text);
    tuf_delegation_get(m, 0, &d);
    cr_assert(tuf_delegation_matches(&d, "a/x"));
    cr_assert(tuf_delegation_matches(&d, "b/x"));
    cr_assert_not(tuf_delegation_matches(&d, "c/x"));
}

// ── Further limits ─────────────────────────────────────────────────────────────────────────────

static const struct {
    const char *member;
    const char *value;
    bool detector;
    bool executable;
} limits[] = {
    {"components", "[\"detector\",\"app\"]", true, true},
    {"components", "[\"app\"]", false, true},
    {"components", "[\"app\",1,null,[\"detector\"]]", false, true},
    {"components", "[]", false, true},
    {"components", "\"detector\"", false, true},
    {"components", "null", false, true},
    {"components", "{\"detector\":\"detector\"}", false, true},
    {"executable", "true", true, true},
    {"executable", "false", true, false},
    {"executable", "1", true, false},
    {"executable", "null", true, false},
    {"executable", "\"true\"", true, false},
    {"anything", "false", true, true},
};

Test(delegation, further_members_limit_what_its_keys_may_ship) {
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        struct tuf_delegation d;
        json_t *delegations = make(&repo);
        parts_put(json_array_get(json_object_get(delegations, "roles"), 0), limits[i].member,
                  limits[i].value);
        cr_assert_eq(open_targets(&repo, &m, &e), 0, "%s", e.text);
        tuf_delegation_get(m, 0, &d);
        cr_expect_eq(tuf_delegation_allows_component(&d, "detector"), limits[i].detector, "%s: %s",
                     limits[i].member, limits[i].value);
        cr_expect_eq(tuf_delegation_allows_executable(&d), limits[i].executable, "%s: %s",
                     limits[i].member, limits[i].value);
    }
}
