// SPDX-License-Identifier: Apache-2.0
//
// Targets files while they are edited: what a change does, and what it refuses.
#include "ctl/kind.h"
#include "tests/unit/ctl/repo/folder.h"

static struct repo_target target(const char *name, const char *release, char digit) {
    struct repo_target t = {.length = 10};
    (void)snprintf(t.bundle.name, sizeof t.bundle.name, "%s", name);
    (void)snprintf(t.bundle.release, sizeof t.bundle.release, "%s", release);
    memset(t.bundle.id, digit, KEYS_DIGEST_HEX - 1);
    memset(t.digest, digit, KEYS_DIGEST_HEX - 1);
    memset(t.sha256, digit == 'f' ? '0' : digit + 1, KEYS_DIGEST_HEX - 1);
    return t;
}

// Written, signed by nobody, and read again.
static const struct err_kind *round_trip(const json_t *targets, json_t **ret) {
    struct err e = ERR_NONE;
    struct keys_header header = {7, NOW, NOW + DAY};
    struct keys_header found;
    OWN(buf) struct buf part;
    buf_init(&part, 1 << 20);
    if (repo_targets_format(targets, &header, &part, &e) < 0 ||
        repo_targets_parse(buf_slice(&part), "targets", ret, &found, &e) < 0)
        return e.kind;
    cr_assert_eq(found.version, 7);
    cr_assert_eq(found.expires_s, NOW + DAY);
    return NULL;
}

Test(targets, what_is_added_is_read_again_and_can_be_withdrawn) {
    struct err e = ERR_NONE;
    const struct repo_target list[] = {target("app", "1.0", '1'), target("app", "1.0", '2'),
                                       target("app", "1.1", '3'), target("other", "1.0", '4')};
    OWN(json) json_t *targets = targets_of(list, 4);
    OWN(json) json_t *again = NULL;
    cr_assert_eq(repo_targets_add(targets, &list[0], &e), REPO_TARGETS_SAME);
    cr_assert_null(round_trip(targets, &again));
    char path[BUNDLE_TARGET_PATH_BYTES];
    struct repo_target found;
    const json_t *entry = json_object_get(json_object_get(again, "targets"),
                                          bundle_target_path(&list[2].bundle, path));
    must(repo_target_read(path, entry, &found, &e));
    cr_assert_eq(memcmp(&found, &list[2], sizeof found), 0);
    size_t n = 0;
    must(repo_targets_withdraw(again, "app", "1.0", &n, &e));
    cr_assert_eq(n, 2);
    cr_assert_eq(json_object_size(json_object_get(again, "targets")), 2);
    cr_assert_lt(repo_targets_withdraw(again, "app", "1.0", &n, &e), 0);
    cr_assert(err_is(&e, &err_not_found));
}

Test(targets, a_path_never_changes_what_it_means) {
    struct err e = ERR_NONE;
    struct repo_target t = target("app", "1.0", '1');
    OWN(json) json_t *targets = targets_of(&t, 1);
    t.length++;
    cr_assert_lt(repo_targets_add(targets, &t, &e), 0);
    cr_assert(err_is(&e, &err_exists));
}

static struct repo_target delta(const char *name, const char *release, char digit, char base,
                                char head) {
    struct repo_target t = target(name, release, digit);
    memset(t.bundle.base, base, KEYS_DIGEST_HEX - 1);
    memset(t.digest, head, KEYS_DIGEST_HEX - 1);
    memset(t.sha256, head, KEYS_DIGEST_HEX - 1);
    return t;
}

Test(targets, a_delta_is_named_beside_its_bundle_and_withdrawn_with_it) {
    struct err e = ERR_NONE;
    const struct repo_target list[] = {target("app", "1.0", '1'), target("app", "1.1", '3'),
                                       delta("app", "1.1", '3', '1', 'a'),
                                       delta("app", "1.0", '1', '0', 'b')};
    OWN(json) json_t *targets = targets_of(list, 4);
    OWN(json) json_t *again = NULL;
    cr_assert_eq(repo_targets_add(targets, &list[2], &e), REPO_TARGETS_SAME);
    cr_assert_null(round_trip(targets, &again));
    char path[BUNDLE_TARGET_PATH_BYTES];
    struct repo_target found;
    (void)bundle_target_path(&list[2].bundle, path);
    must(repo_target_read(path, json_object_get(json_object_get(again, "targets"), path), &found,
                          &e));
    cr_assert_eq(memcmp(&found, &list[2], sizeof found), 0);
    size_t n = 0;
    must(repo_targets_withdraw(again, "app", "1.1", &n, &e));
    cr_assert_eq(n, 2);
    cr_assert_eq(json_object_size(json_object_get(again, "targets")), 2);
    cr_assert_not_null(json_object_get(json_object_get(again, "targets"),
                                       bundle_target_path(&list[3].bundle, path)));
}

// It chooses no contents, so a better one may follow.
Test(targets, a_delta_takes_the_place_of_another_one) {
    struct err e = ERR_NONE;
    const struct repo_target first = delta("app", "1.1", '3', '1', 'a');
    const struct repo_target second = delta("app", "1.1", '3', '1', 'b');
    char path[BUNDLE_TARGET_PATH_BYTES];
    struct repo_target found;
    OWN(json) json_t *targets = targets_of(&first, 1);
    cr_assert_eq(repo_targets_add(targets, &second, &e), 0, "%s", e.text);
    cr_assert_eq(json_object_size(json_object_get(targets, "targets")), 1);
    (void)bundle_target_path(&first.bundle, path);
    must(repo_target_read(path, json_object_get(json_object_get(targets, "targets"), path), &found,
                          &e));
    cr_assert_str_eq(found.digest, second.digest);
}

Test(targets, floors_rise_only) {
    struct err e = ERR_NONE;
    OWN(json) json_t *targets = targets_of(NULL, 0);
    must(repo_targets_floor(targets, "app", 3, &e));
    cr_assert_eq(repo_targets_floor(targets, "app", 3, &e), REPO_TARGETS_SAME);
    must(repo_targets_floor(targets, "app", 4, &e));
    cr_assert_lt(repo_targets_floor(targets, "app", 3, &e), 0);
    cr_assert(err_is(&e, &err_rollback));
    err_clear(&e);
    cr_assert_lt(repo_targets_floor(targets, "../app", 3, &e), 0);
    cr_assert(err_is(&e, &err_usage));
    OWN(json) json_t *again = NULL;
    cr_assert_null(round_trip(targets, &again));
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(again, "floors"), "app")), 4);
}

static struct repo_targets_delegation delegation(const char *name, const struct keys_role *role) {
    static const char *const paths[] = {"app/*/*"};
    static const char *const components[] = {"detector"};
    return (struct repo_targets_delegation){.name = name,
                                            .role = role,
                                            .n_paths = 1,
                                            .paths = paths,
                                            .n_components = 1,
                                            .components = components};
}

Test(targets, delegations_keep_their_order_and_only_the_keys_they_need) {
    struct err e = ERR_NONE;
    struct keys_role one = role_of(6, 1, 1), two = role_of(6, 2, 2), found;
    struct repo_targets_delegation d = delegation("models", &two), last = delegation("apps", &one);
    OWN(json) json_t *targets = targets_of(NULL, 0);
    cr_assert_eq(repo_targets_role(targets, "models", &found, &e), REPO_TARGETS_ABSENT);
    must(repo_targets_delegate(targets, &d, &e));
    must(repo_targets_delegate(targets, &last, &e));
    cr_assert_eq(repo_targets_delegate(targets, &d, &e), REPO_TARGETS_SAME);
    OWN(json) json_t *again = NULL;
    cr_assert_null(round_trip(targets, &again));
    cr_assert_eq(repo_targets_n_delegations(again), 2);
    cr_assert_str_eq(repo_targets_delegation_name(again, 0), "models");
    must(repo_targets_role(again, "models", &found, &e));
    cr_assert_eq(found.threshold, 2);
    cr_assert_str_eq(found.keys[1].id, two.keys[1].id);
    const json_t *keys = json_object_get(json_object_get(again, "delegations"), "keys");
    cr_assert_eq(json_object_size(keys), 2);
    d.role = &one; // in its old place, and the second key goes
    must(repo_targets_delegate(again, &d, &e));
    cr_assert_str_eq(repo_targets_delegation_name(again, 0), "models");
    cr_assert_eq(json_object_size(keys), 1);
    must(repo_targets_undelegate(again, "models", &e));
    cr_assert_eq(repo_targets_n_delegations(again), 1);
    cr_assert_lt(repo_targets_undelegate(again, "models", &e), 0);
    cr_assert(err_is(&e, &err_not_found));
}

Test(targets, delegations_that_nobody_could_use_are_refused) {
    struct err e = ERR_NONE;
    struct keys_role one = role_of(6, 1, 1), none = role_of(6, 1, 2);
    OWN(json) json_t *targets = targets_of(NULL, 0);
    static const char *const names[] = {"", "a/b", "targets", "root", "..", ".a", "a+b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct repo_targets_delegation d = delegation(names[i], &one);
        err_clear(&e);
        cr_assert_lt(repo_targets_delegate(targets, &d, &e), 0, "%s", names[i]);
        cr_assert(err_is(&e, &err_usage), "%s: %s", names[i], e.text);
    }
    struct repo_targets_delegation d = delegation("x", &none);
    err_clear(&e);
    cr_assert_lt(repo_targets_delegate(targets, &d, &e), 0);
    cr_assert(err_is(&e, &err_bad_key), "%s", e.text);
    d = delegation("x", &one);
    d.n_paths = 0;
    err_clear(&e);
    cr_assert_lt(repo_targets_delegate(targets, &d, &e), 0);
    cr_assert(err_is(&e, &err_usage), "%s", e.text);
    static const char *const patterns[] = {"", "a/\n/*", "a/\x7f/*", "a/\xff/*"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        d = delegation("x", &one);
        d.paths = &patterns[i];
        err_clear(&e);
        cr_assert_lt(repo_targets_delegate(targets, &d, &e), 0, "pattern %zu", i);
        cr_assert(err_is(&e, &err_usage) && strstr(e.text, "the path \""), "%s", e.text);
    }
    cr_assert_eq(repo_targets_n_delegations(targets), 0);
}

static const struct err_kind *parse_with(const char *member, const char *value) {
    OWN(json) json_t *targets = targets_of(NULL, 0);
    OWN(json) json_t *again = NULL;
    json_t *put = json_loads(value, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(put, "%s", value);
    (void)json_object_set_new(targets, member, put);
    return round_trip(targets, &again);
}

#define ONES "1111111111111111111111111111111111111111111111111111111111111111"

Test(targets, a_limit_of_the_wrong_type_allows_nothing_as_on_devices) {
    static const struct {
        const char *limits;
        bool data, program; // whether it lets a component "camera" pass, by what it is
    } cases[] = {
        {"{\"name\":\"line\"}", true, true},
        {"{\"name\":\"line\",\"executable\":true}", true, true},
        {"{\"name\":\"line\",\"executable\":false}", true, false},
        {"{\"name\":\"line\",\"executable\":null}", true, false},
        {"{\"name\":\"line\",\"executable\":1}", true, false},
        {"{\"name\":\"line\",\"executable\":\"true\"}", true, false},
        {"{\"name\":\"line\",\"components\":[\"camera\"]}", true, true},
        {"{\"name\":\"line\",\"components\":[\"engine\"]}", false, false},
        {"{\"name\":\"line\",\"components\":[]}", false, false},
        {"{\"name\":\"line\",\"components\":\"camera\"}", false, false},
        {"{\"name\":\"line\",\"components\":null}", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OWN(json) json_t *delegation = json_loads(cases[i].limits, 0, NULL);
        for (int program = 0; program < 2; program++) {
            struct err e = ERR_NONE;
            int r = repo_targets_allows(delegation, "camera", program, &e);
            cr_assert_eq(r == 0, program ? cases[i].program : cases[i].data, "%s, program %d",
                         cases[i].limits, program);
            cr_assert(r == 0 || err_is(&e, &err_delegation));
        }
    }
}

Test(targets, a_delegation_is_for_paths_by_pattern_or_by_hash) {
    // printf a/1/x.json | sha256sum
    static const struct {
        const char *delegation;
        bool matches;
    } cases[] = {
        {"{\"paths\":[\"b/*/*\",\"a/*/*\"]}", true},
        {"{\"paths\":[\"a/*\"]}", false},
        {"{\"path_hash_prefixes\":[\"FE2DF4\"]}", true},
        {"{\"path_hash_prefixes\":[\"ffffffff\"]}", false},
        {"{\"path_hash_prefixes\":[\"\"]}", true},
        {"{\"paths\":[7]}", false},
        {"{}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OWN(json) json_t *delegation = json_loads(cases[i].delegation, 0, NULL);
        cr_assert_eq(repo_targets_matches(delegation, "a/1/x.json"), cases[i].matches, "%s",
                     cases[i].delegation);
    }
}

Test(targets, what_is_no_target_of_ours_is_refused) {
    static const struct {
        const char *member, *value;
        const struct err_kind *kind;
    } cases[] = {
        {"targets", "{}", NULL},
        {"targets", "[]", &err_syntax},
        {"targets", "{\"a\":{}}", &err_syntax},
        {"targets", "{\"a/1/" ONES ".json\":{}}", &err_syntax},
        {"targets", "{\"../1/" ONES ".json\":{}}", &err_syntax},
        {"targets",
         "{\"a/1/" ONES ".json\":{\"hashes\":{\"blake2b-256\":\"" ONES "\",\"sha256\":\"" ONES
         "\"},\"length\":1}}",
         NULL},
        {"targets",
         "{\"a/1/" ONES ".json\":{\"hashes\":{\"blake2b-256\":\"" ONES "\",\"sha256\":\"" ONES
         "\"},\"length\":-1}}",
         &err_syntax},
        {"targets",
         "{\"a/1/" ONES ".json\":{\"hashes\":{\"blake2b-256\":\"2\",\"sha256\":\"" ONES
         "\"},\"length\":1}}",
         &err_digest_mismatch},
        {"targets",
         "{\"a/1/" ONES ".json\":{\"hashes\":{\"blake2b-256\":\"" ONES
         "\",\"sha256\":\"x\"},\"length\":1}}",
         &err_syntax},
        {"floors", "{\"a\":-1}", &err_syntax},
        {"floors", "{\"a\":\"1\"}", &err_syntax},
        {"floors", "{\"a b\":1}", &err_syntax},
        {"delegations", "{}", &err_syntax},
        {"delegations", "{\"keys\":{},\"roles\":[]}", NULL},
        {"delegations", "{\"keys\":{},\"roles\":[{\"name\":\"a/b\"}]}", &err_syntax},
        {"delegations", "{\"keys\":{},\"roles\":[{\"name\":\"root\"}]}", &err_syntax},
        {"delegations", "{\"keys\":{},\"roles\":[{\"name\":\"a\",\"keyids\":[],\"threshold\":0}]}",
         &err_syntax},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct err_kind *kind = parse_with(cases[i].member, cases[i].value);
        cr_expect_eq(kind, cases[i].kind, "%s: %s", cases[i].value, kind ? kind->name : "taken");
    }
}
