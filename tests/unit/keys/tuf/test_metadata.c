// SPDX-License-Identifier: Apache-2.0
//
// Metadata: what may stand in it, what is read of it, and that nothing is read before the
// signatures hold.
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "keys/kind.h"
#include "keys/tuf/metadata.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/tuf_repo.h"
#include "tests/unit/keys/tuf/parts.h"
#include "tests/unit/keys/tuf/verified.h"

#define BYTES_MAX (8 * 1024 * 1024)

static enum tuf_type type_of(const char *role) {
    for (size_t i = 0; i < TUF_TYPES; i++)
        if (strcmp(role, tuf_type_names[i]) == 0)
            return (enum tuf_type)i;
    return TUF_TARGETS;
}

static int parse(struct slice raw, enum tuf_type type, struct tuf_metadata_candidate **ret,
                 struct err *e) {
    return tuf_metadata_parse(raw, type, "the file", ret, e);
}

// A role as it stands now, signed and verified by the keys of the root.
static int verify(struct tuf_repo *repo, const char *name, const struct tuf_metadata *root,
                  struct tuf_metadata **ret, struct err *e) {
    struct tuf_metadata_candidate *candidate = NULL;
    struct tuf_role role = tuf_metadata_role(root, type_of(name));
    OWN(buf) struct buf raw;
    buf_init(&raw, BYTES_MAX);
    tuf_repo_sign(tuf_repo_role(repo, name), json_object_get(repo->signers, name), &raw);
    if (parse(buf_slice(&raw), type_of(name), &candidate, e) < 0)
        return -1;
    int failed = tuf_metadata_verify(&candidate, &role, NULL, ret, e);
    cr_assert_null(candidate);
    return failed;
}

static const struct err_kind *kind_of(struct tuf_repo *repo, const char *name,
                                      const struct tuf_metadata *root, struct err *e) {
    struct tuf_metadata *m = NULL;
    int failed = verify(repo, name, root, &m, e);
    cr_assert_eq(!failed, !!m);
    tuf_metadata_free(m);
    return e->kind;
}

// A repository whose targets name two files and delegate to one role.
static void make(struct tuf_repo *repo) {
    tuf_repo_make(repo);
    const struct slice content = {(const uint8_t *)"hello", 5};
    tuf_repo_add_target(repo, "targets", "a/b.json", content);
    tuf_repo_add_target(repo, "targets", "c.json", content);
    (void)tuf_repo_delegate(repo, "targets", "bob", 5, "bob/*");
}

// ── What is read ───────────────────────────────────────────────────────────────────────────────

Test(metadata, a_root_says_who_may_sign_what) {
    OWN(tuf_repo) struct tuf_repo repo;
    make(&repo);
    tuf_repo_trust(&repo, "targets", "456", 2);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    cr_assert_eq(tuf_metadata_version(root), 1);
    cr_assert_eq(tuf_metadata_expires_s(root), TUF_REPO_EXPIRES_S);
    cr_assert_eq(tuf_metadata_issued_s(root), 0);
    cr_assert(tuf_metadata_is_consistent(root));
    cr_assert_eq(tuf_metadata_role(root, TUF_TARGETS).threshold, 2);
    cr_assert_eq(tuf_json_count(tuf_metadata_role(root, TUF_TARGETS).keyids), 3);
    cr_assert_eq(tuf_json_count(tuf_metadata_signed(root)), 7);
}

Test(metadata, snapshots_are_consistent_only_when_the_root_says_so) {
    static const struct {
        const char *value;
        bool is;
    } cases[] = {{"true", true}, {"false", false}, {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        make(&repo);
        parts_put(tuf_repo_role(&repo, "root"), "consistent_snapshot", cases[i].value);
        OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
        cr_assert_eq(tuf_metadata_is_consistent(root), cases[i].is, "%s", cases[i].value);
    }
}

Test(metadata, the_date_of_issue_is_read_where_it_is_one) {
    static const struct {
        const char *value;
        int64_t issued_s;
    } cases[] = {{"\"2025-06-15T15:06:40Z\"", 1750000000},
                 {"\"yesterday\"", 0},
                 {"1750000000", 0},
                 {"null", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        make(&repo);
        OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
        parts_put(tuf_repo_role(&repo, "targets"), "issued", cases[i].value);
        cr_assert_eq(verify(&repo, "targets", root, &m, &e), 0, "%s", e.text);
        cr_assert_eq(tuf_metadata_issued_s(m), cases[i].issued_s, "%s", cases[i].value);
    }
}

static int count_meta(void *context, const char *file, const struct tuf_meta *meta) {
    int *left = context;
    cr_assert_not_null(file);
    cr_assert_eq(meta->version, 7);
    return --*left == 0 ? 5 : 0;
}

Test(metadata, a_snapshot_lists_files_with_versions_and_maybe_more) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_metadata) struct tuf_metadata *m = NULL;
    struct err e = ERR_NONE;
    struct tuf_meta meta;
    make(&repo);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    json_t *part = tuf_repo_role(&repo, "snapshot");
    parts_put(part, "meta/targets.json",
              "{\"version\":7,\"length\":9,\"hashes\":{\"sha256\":\"00\"},\"more\":[1]}");
    parts_put(part, "meta/bob.json", "{\"version\":7}");
    cr_assert_eq(verify(&repo, "snapshot", root, &m, &e), 0, "%s", e.text);
    cr_assert(tuf_metadata_meta(m, "targets.json", &meta));
    cr_assert(meta.version == 7 && meta.has_length && meta.length == 9 && meta.has_hashes);
    cr_assert(tuf_metadata_meta(m, "bob.json", &meta));
    cr_assert(meta.version == 7 && !meta.has_length && !meta.has_hashes);
    cr_assert_not(tuf_metadata_meta(m, "alice.json", &meta));
    int left = 3;
    cr_assert_eq(tuf_metadata_each_meta(m, count_meta, &left), 0);
    cr_assert_eq(left, 1);
    left = 1;
    cr_assert_eq(tuf_metadata_each_meta(m, count_meta, &left), 5);
    cr_assert_eq(left, 0);
}

Test(metadata, targets_are_found_by_their_path) {
    OWN(tuf_repo) struct tuf_repo repo;
    OWN(tuf_metadata) struct tuf_metadata *m = NULL;
    struct err e = ERR_NONE;
    struct tuf_json_at at;
    make(&repo);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    cr_assert_eq(verify(&repo, "targets", root, &m, &e), 0, "%s", e.text);
    cr_assert(tuf_metadata_target(m, "a/b.json", &at));
    cr_assert_not(tuf_metadata_target(m, "a/B.json", &at));
}

Test(metadata, every_type_has_a_ceiling_before_it_is_parsed) {
    for (size_t i = 0; i < TUF_TYPES; i++) {
        size_t max = tuf_type_max_bytes((enum tuf_type)i);
        OWN(mem) char *text = malloc(max + 1);
        cr_assert_not_null(text);
        memset(text, ' ', max + 1);
        memcpy(text, "{\"signatures\":[],\"signed\":{}}", 29);
        for (size_t more = 0; more < 2; more++) {
            struct tuf_metadata_candidate *candidate = NULL;
            struct err e = ERR_NONE;
            (void)parse((struct slice){(uint8_t *)text, max + more}, (enum tuf_type)i, &candidate,
                        &e);
            cr_assert_eq(e.kind, more ? &err_limit : NULL, "%s: %s", tuf_type_names[i], e.text);
            tuf_metadata_candidate_free(candidate);
        }
    }
}

// ── What may stand there ───────────────────────────────────────────────────────────────────────

static const struct {
    const char *role;
    const char *way;
    const char *value;
    const struct err_kind *kind;
} members[] = {
    {"targets", "_type", "\"root\"", &err_wrong_type},
    {"targets", "_type", "\"Targets\"", &err_wrong_type},
    {"targets", "_type", "1", &err_syntax},
    {"targets", "_type", "", &err_syntax},
    {"targets", "spec_version", "\"1.0\"", NULL},
    {"targets", "spec_version", "\"1.9.99\"", NULL},
    {"targets", "spec_version", "\"2.0.0\"", &err_newer_format},
    {"targets", "spec_version", "\"10.0\"", &err_newer_format},
    {"targets", "spec_version", "\"1\"", &err_syntax},
    {"targets", "spec_version", "\"1.\"", &err_syntax},
    {"targets", "spec_version", "\"1.0.0.0\"", &err_syntax},
    {"targets", "spec_version", "\"1.0-rc\"", &err_syntax},
    {"targets", "spec_version", "\"\"", &err_syntax},
    {"targets", "spec_version", "1", &err_syntax},
    {"targets", "spec_version", "", &err_syntax},
    {"targets", "version", "0", &err_syntax},
    {"targets", "version", "-1", &err_syntax},
    {"targets", "version", "1.0", &err_syntax},
    {"targets", "version", "\"1\"", &err_syntax},
    {"targets", "version", "9007199254740991", NULL},
    {"targets", "version", "9007199254740992", &err_syntax},
    {"targets", "version", "", &err_syntax},
    {"targets", "expires", "\"2030-01-01T00:00:00Z\"", NULL},
    {"targets", "expires", "\"2030-01-01T00:00:00.5Z\"", &err_syntax},
    {"targets", "expires", "\"2030-02-30T00:00:00Z\"", &err_syntax},
    {"targets", "expires", "\"\"", &err_syntax},
    {"targets", "expires", "1800000000", &err_syntax},
    {"targets", "expires", "", &err_syntax},
    {"targets", "targets", "{}", NULL},
    {"targets", "targets", "[]", &err_syntax},
    {"targets", "targets", "", &err_syntax},
    {"targets", "targets/c.json", "[]", &err_syntax},
    {"targets", "targets/c.json", "{}", &err_syntax},
    {"targets", "targets/c.json/length", "0", NULL},
    {"targets", "targets/c.json/length", "-1", &err_syntax},
    {"targets", "targets/c.json/length", "\"5\"", &err_syntax},
    {"targets", "targets/c.json/length", "", &err_syntax},
    {"targets", "targets/c.json/hashes", "{}", &err_syntax},
    {"targets", "targets/c.json/hashes", "[\"00\"]", &err_syntax},
    {"targets", "targets/c.json/hashes", "", &err_syntax},
    {"targets", "targets/c.json/hashes", "{\"md5\":\"00\"}", NULL},
    {"targets", "targets/c.json/hashes", "{\"sha256\":0}", &err_syntax},
    {"targets", "targets/c.json/hashes", "{\"sha256\":\"\",\"\":\"\"}", &err_limit},
    {"targets", "targets/c.json/custom", "{\"anything\":[null]}", NULL},
    {"targets", "delegations", "", NULL},
    {"targets", "delegations", "null", &err_syntax},
    {"targets", "delegations", "[]", &err_syntax},
    {"targets", "x-unknown", "{\"a\":1}", NULL},
    {"root", "consistent_snapshot", "1", &err_syntax},
    {"root", "consistent_snapshot", "null", &err_syntax},
    {"root", "keys", "[]", &err_syntax},
    {"root", "keys", "", &err_syntax},
    {"root", "keys/x", "[]", &err_syntax},
    {"root", "keys/x", "{\"keytype\":\"new\",\"scheme\":\"new\",\"keyval\":{}}", NULL},
    {"root", "keys/x", "{\"keytype\":1,\"scheme\":\"new\",\"keyval\":{}}", &err_syntax},
    {"root", "keys/x", "{\"keytype\":\"new\",\"keyval\":{}}", &err_syntax},
    {"root", "keys/x", "{\"keytype\":\"new\",\"scheme\":\"new\",\"keyval\":\"\"}", &err_syntax},
    {"root", "roles", "[]", &err_syntax},
    {"root", "roles", "", &err_syntax},
    {"root", "roles/root", "", &err_syntax},
    {"root", "roles/targets", "", &err_syntax},
    {"root", "roles/timestamp", "[]", &err_syntax},
    {"root", "roles/snapshot/threshold", "0", &err_syntax},
    {"root", "roles/snapshot/threshold", "-1", &err_syntax},
    {"root", "roles/snapshot/threshold", "2147483648", &err_syntax},
    {"root", "roles/snapshot/threshold", "\"1\"", &err_syntax},
    {"root", "roles/snapshot/threshold", "", &err_syntax},
    {"root", "roles/snapshot/keyids", "{}", &err_syntax},
    {"root", "roles/mirrors", "{\"keyids\":[],\"threshold\":1}", NULL},
    {"timestamp", "meta", "[]", &err_syntax},
    {"timestamp", "meta", "{}", &err_syntax},
    {"timestamp", "meta", "", &err_syntax},
    {"timestamp", "meta/targets.json", "{\"version\":1}", &err_syntax},
    {"timestamp", "meta/snapshot.json", "1", &err_syntax},
    {"timestamp", "meta/snapshot.json", "{\"version\":1}", NULL},
    {"timestamp", "meta/snapshot.json/version", "0", &err_syntax},
    {"timestamp", "meta/snapshot.json/version", "null", &err_syntax},
    {"timestamp", "meta/snapshot.json/length", "-1", &err_syntax},
    {"timestamp", "meta/snapshot.json/length", "null", &err_syntax},
    {"timestamp", "meta/snapshot.json/length", "", NULL},
    {"timestamp", "meta/snapshot.json/hashes", "", NULL},
    {"timestamp", "meta/snapshot.json/hashes", "{}", &err_syntax},
    {"timestamp", "meta/snapshot.json/hashes", "null", &err_syntax},
    {"snapshot", "meta", "{}", &err_syntax},
    {"snapshot", "meta/targets.json", "", &err_syntax},
    {"snapshot", "meta/bob.json", "{}", &err_syntax},
    {"snapshot", "meta/bob.json", "{\"version\":3}", NULL},
};

Test(metadata, every_member_is_of_its_type_and_range) {
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        make(&repo);
        OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
        parts_put(tuf_repo_role(&repo, members[i].role), members[i].way, members[i].value);
        const struct err_kind *kind = kind_of(&repo, members[i].role, root, &e);
        cr_expect_eq(kind, members[i].kind, "%s %s: %s: %s", members[i].role, members[i].way,
                     members[i].value, kind ? e.text : "accepted");
    }
}

static const char *const wrong_values[] = {"null", "[]", "{}", "0", "-1", "\"\"", "true", "[null]"};

// Puts each value in the place of each member below node and verifies the whole anew.
static size_t swap_below(struct tuf_repo *repo, const char *role, const struct tuf_metadata *root,
                         json_t *node) {
    size_t swapped = 0;
    const char *name = NULL;
    json_t *value = NULL;
    void *next = NULL;
    OWN(json) json_t *before = json_copy(node);
    json_object_foreach_safe (before, next, name, value) {
        for (size_t i = 0; i < sizeof wrong_values / sizeof *wrong_values; i++, swapped++) {
            struct err e = ERR_NONE;
            (void)json_object_set_new(node, name,
                                      json_loads(wrong_values[i], JSON_DECODE_ANY, NULL));
            (void)kind_of(repo, role, root, &e);
        }
        (void)json_object_set(node, name, value);
        if (json_is_array(value) && json_is_object(json_array_get(value, 0)))
            swapped += swap_below(repo, role, root, json_array_get(value, 0));
        if (json_is_object(value))
            swapped += swap_below(repo, role, root, value);
    }
    return swapped;
}

Test(metadata, no_wrong_type_anywhere_does_harm) {
    OWN(tuf_repo) struct tuf_repo repo;
    make(&repo);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    for (size_t i = 0; i < TUF_TYPES; i++) {
        struct err e = ERR_NONE;
        json_t *part = tuf_repo_role(&repo, tuf_type_names[i]);
        cr_assert_gt(swap_below(&repo, tuf_type_names[i], root, part), 60);
        cr_assert_null(kind_of(&repo, tuf_type_names[i], root, &e), "%s", e.text);
    }
}

// An object with n members of this value, named by their numbers.
static json_t *many(size_t n, const char *value) {
    json_t *object = json_object();
    for (size_t i = 0; i < n; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%zu", i);
        (void)json_object_set_new(object, name, json_loads(value, JSON_DECODE_ANY, NULL));
    }
    return object;
}

Test(metadata, counts_and_names_end_at_their_ceilings) {
    OWN(tuf_repo) struct tuf_repo repo;
    make(&repo);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    json_t *targets = tuf_repo_role(&repo, "targets");
    json_t *one = json_object_get(json_object_get(targets, "targets"), "c.json");
    for (size_t n = TUF_KEYS_MAX; n <= TUF_KEYS_MAX + 1; n++) {
        struct err e = ERR_NONE;
        (void)json_object_set_new(json_object_get(targets, "delegations"), "keys",
                                  many(n, "{\"keytype\":\"x\",\"scheme\":\"x\",\"keyval\":{}}"));
        cr_assert_eq(kind_of(&repo, "targets", root, &e), n > TUF_KEYS_MAX ? &err_limit : NULL,
                     "%s", e.text);
    }
    (void)json_object_del(targets, "delegations");
    for (size_t n = 16; n <= 17; n++) {
        struct err e = ERR_NONE;
        (void)json_object_set_new(one, "hashes", many(n, "\"00\""));
        cr_assert_eq(kind_of(&repo, "targets", root, &e), n > 16 ? &err_limit : NULL, "%s", e.text);
    }
    (void)json_object_set_new(one, "hashes", many(1, "\"00\""));
    for (size_t n = TUF_PATH_MAX; n <= TUF_PATH_MAX + 1; n++) {
        struct err e = ERR_NONE;
        char path[TUF_PATH_MAX + 2] = "";
        memset(path, 'p', n);
        (void)json_object_set(json_object_get(targets, "targets"), path, one);
        cr_assert_eq(kind_of(&repo, "targets", root, &e), n > TUF_PATH_MAX ? &err_limit : NULL,
                     "%s", e.text);
    }
}

// ── Signatures first ───────────────────────────────────────────────────────────────────────────

Test(metadata, nothing_is_read_before_the_threshold_of_signatures_holds) {
    OWN(tuf_repo) struct tuf_repo repo;
    struct err e = ERR_NONE;
    make(&repo);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    parts_put(tuf_repo_role(&repo, "snapshot"), "_type", "[]");
    tuf_repo_set_signers(&repo, "snapshot", "245");
    cr_assert_eq(kind_of(&repo, "snapshot", root, &e), &err_below_threshold, "%s", e.text);
}

Test(metadata, a_root_answers_to_its_own_keys_whoever_else_signed_it) {
    static const struct {
        const char *signers;
        const struct err_kind *kind;
    } cases[] = {{"17", NULL}, {"1", &err_below_threshold}, {"7", &err_below_threshold}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        make(&repo);
        OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
        tuf_repo_trust(&repo, "root", "7", 1);
        tuf_repo_set_signers(&repo, "root", cases[i].signers);
        cr_assert_eq(kind_of(&repo, "root", root, &e), cases[i].kind, "%s: %s", cases[i].signers,
                     e.text);
    }
}

Test(metadata, only_a_root_vouches_for_itself) {
    for (size_t i = TUF_TIMESTAMP; i < TUF_TYPES; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct tuf_metadata_candidate *candidate = NULL;
        struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        make(&repo);
        static const char *const names[TUF_TYPES] = {NULL, "timestamp.json", "1.snapshot.json",
                                                     "1.targets.json"};
        struct buf *raw = tuf_repo_bytes(&repo.served, names[i]); // nothing is wrong with it
        cr_assert_eq(parse(buf_slice(raw), (enum tuf_type)i, &candidate, &e), 0);
        cr_assert_lt(tuf_metadata_verify_root(&candidate, NULL, &m, &e), 0);
        cr_assert_null(candidate);
        cr_assert_eq(e.kind, &err_wrong_type, "%s", e.text);
    }
}

Test(metadata, an_envelope_has_a_signed_object_and_a_list_of_signatures) {
    static const char *const wrong[] = {
        "{}",
        "{\"signed\":{}}",
        "{\"signatures\":[]}",
        "{\"signed\":[],\"signatures\":[]}",
        "{\"signed\":{},\"signatures\":{}}",
        "[]",
        "",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tuf_metadata_candidate *candidate = NULL;
        struct err e = ERR_NONE;
        const struct slice raw = {(const uint8_t *)wrong[i], strlen(wrong[i])};
        cr_assert_lt(parse(raw, TUF_ROOT, &candidate, &e), 0, "%s", wrong[i]);
        cr_assert_null(candidate);
        cr_assert_eq(e.kind, &err_syntax, "%s", wrong[i]);
    }
}

Test(metadata, a_root_whose_own_role_cannot_be_read_is_refused) {
    static const char *const ways[] = {"keys", "roles", "roles/root", "roles/root/keyids"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        OWN(tuf_repo) struct tuf_repo repo;
        struct err e = ERR_NONE;
        make(&repo);
        OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
        parts_put(tuf_repo_role(&repo, "root"), ways[i], "");
        cr_assert_eq(kind_of(&repo, "root", root, &e), &err_syntax, "%s: %s", ways[i], e.text);
    }
}

Test(metadata, memory_that_cannot_be_had_refuses_and_leaks_nothing) {
    OWN(tuf_repo) struct tuf_repo repo;
    make(&repo);
    OWN(tuf_metadata) struct tuf_metadata *root = verified_root(&repo);
    tuf_repo_publish(&repo, "targets");
    const struct slice raw = buf_slice(tuf_repo_bytes(&repo.served, "2.targets.json"));
    struct tuf_role role = tuf_metadata_role(root, TUF_TARGETS);
    for (size_t at = 0;; at++) {
        struct tuf_metadata_candidate *candidate = NULL;
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct err e = ERR_NONE;
        cr_assert_lt(at, 100);
        alloc_fault_begin(at, false);
        int failed = parse(raw, TUF_TARGETS, &candidate, &e);
        if (failed == 0)
            failed = tuf_metadata_verify(&candidate, &role, NULL, &m, &e);
        bool refused = alloc_fault_end();
        cr_assert_eq(failed, refused ? -1 : 0);
        if (!refused)
            break;
        cr_assert_eq(e.kind, &err_memory);
    }
    tuf_metadata_candidate_free(NULL);
    tuf_metadata_free(NULL);
}
