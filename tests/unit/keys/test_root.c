// SPDX-License-Identifier: Apache-2.0
//
// Roots: opened, advanced, written, and every member of every other type.
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "keys/root.h"
#include "tests/unit/keys/cases.h"
#include "tests/unit/keys/keyring.h"

static void sign_root(struct slice signed_part, uint64_t keys, struct buf *ret) {
    buf_init(ret, 1 << 18);
    keyring_envelope(signed_part, keys, ret);
}

// The envelope of a root: `threshold` of keys 1 to n, signed by `signers`.
static void make(size_t threshold, unsigned n, uint64_t version, uint64_t signers,
                 struct buf *ret) {
    OWN(buf) struct buf part;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    keyring_root(threshold, n, version, &part);
    sign_root(buf_slice(&part), signers, ret);
}

static struct keys_root *must_open(struct slice raw) {
    struct keys_root *root = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(keys_root_open(raw, &root, &e), 0, "%s", e.text);
    return root;
}

static void format_again(const struct keys_root *root, struct buf *ret) {
    struct err e = ERR_NONE;
    buf_init(ret, KEYS_ROOT_MAX_BYTES);
    cr_assert_eq(keys_root_format_content(keys_root_content(root), ret, &e), 0, "%s", e.text);
}

static struct keys_root *open_case(const char *name, struct buf *ret_raw) {
    char place[512];
    buf_init(ret_raw, KEYS_ROOT_MAX_BYTES);
    (void)snprintf(place, sizeof place, "%s/tests/data/keys/root/valid/%s", EDGE_SOURCE_DIR, name);
    cases_read(place, "envelope", ret_raw);
    return must_open(buf_slice(ret_raw));
}

static void check_case(const char *name, struct slice raw, const char *expect) {
    struct keys_root *root = NULL;
    struct err e = ERR_NONE;
    int failed = keys_root_open(raw, &root, &e);
    const char *kind = failed ? e.kind->name : "ok";
    cr_expect(cases_allow(expect, kind), "%s: %s (%s), expected %s", name, kind, e.text, expect);
    cr_expect(!failed || !root, "%s: an output was touched", name);
    keys_root_free(root);
}

Test(root, every_case_ends_as_it_says) {
    cr_assert_eq(cases_walk(EDGE_SOURCE_DIR, "root", check_case), 150);
}

Test(root, what_is_written_is_read_the_same) {
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    OWN(buf) struct buf again;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    keyring_root(2, 3, 7, &part);
    sign_root(buf_slice(&part), 3, &raw);
    OWN(root) struct keys_root *root = must_open(buf_slice(&raw));
    cr_assert_eq(keys_root_header(root)->version, 7);
    cr_assert_eq(keys_root_role(root, KEYS_ROOT_ROLE_ROOT)->threshold, 2);
    cr_assert_eq(keys_root_role(root, KEYS_ROOT_ROLE_ROOT)->n_keys, 3);
    cr_assert_str_eq(keys_root_role(root, KEYS_ROOT_ROLE_DIRECTOR)->keys[0].id, keyring_pub(2).id);
    format_again(root, &again);
    cr_assert_str_eq(buf_text(&again), buf_text(&part));
}

Test(root, the_form_is_that_of_the_header_and_of_another_implementation) {
    OWN(buf) struct buf ours;
    OWN(buf) struct buf theirs;
    OWN(root) struct keys_root *root = open_case("repository", &theirs);
    format_again(root, &ours);
    cr_assert_not_null(strstr(buf_text(&theirs), buf_text(&ours)), "%s", buf_text(&ours));
}

Test(root, one_made_before_there_was_a_repository_says_the_same_and_has_no_keys_for_it) {
    OWN(buf) struct buf raw;
    OWN(buf) struct buf part;
    OWN(root) struct keys_root *root = open_case("plain", &raw);
    cr_assert_eq(keys_root_role(root, KEYS_ROOT_ROLE_BUNDLE)->n_keys, 2);
    cr_assert_str_eq(keys_root_role(root, KEYS_ROOT_ROLE_DIRECTOR)->keys[0].id, keyring_pub(4).id);
    cr_assert_eq(keys_root_content(root)->n_bundle_roles, 0);
    static const enum keys_root_role absent[] = {KEYS_ROOT_ROLE_TARGETS, KEYS_ROOT_ROLE_SNAPSHOT,
                                                 KEYS_ROOT_ROLE_TIMESTAMP};
    // What nobody may sign is refused, whoever signed it.
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        struct keys_envelope_candidate candidate;
        struct keys_envelope verified;
        struct err e = ERR_NONE;
        cr_assert_eq(keys_envelope_split(buf_slice(&raw), "x", &candidate, &e), 0);
        cr_assert_lt(
            keys_envelope_verify(&candidate, "x", keys_root_role(root, absent[i]), &verified, &e),
            0);
        cr_assert(err_is(&e, &err_below_threshold), "%s", e.text);
    }
    // Written again it has the form of today, and says the same still.
    format_again(root, &part);
    OWN(buf) struct buf signed_again;
    sign_root(buf_slice(&part), 7, &signed_again);
    OWN(root) struct keys_root *again = must_open(buf_slice(&signed_again));
    cr_assert_eq(memcmp(keys_root_content(again)->roles, keys_root_content(root)->roles,
                        sizeof keys_root_content(root)->roles),
                 0);
}

// The envelope of a root that has a role mandate of key 3, among ours or (wrongly) among TUF's.
static struct keys_root *with_mandate(bool among_ours) {
    struct err e = ERR_NONE;
    static struct keys_role roles[KEYS_ROOT_ROLES];
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    OWN(json) json_t *root = NULL;
    const struct keys_header header = {.version = 1, .issued_s = 1, .expires_s = 2};
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        roles[i] = (struct keys_role){1, 1, {keyring_pub(3)}};
    roles[KEYS_ROOT_ROLE_ROOT] = keyring_role(1, 1);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    root = json_loadb((const char *)part.data, part.len, 0, NULL);
    json_t *ours = json_object_get(root, "edge_roles");
    cr_assert(json_object_get(ours, "mandate"));
    if (!among_ours) {
        json_object_set(json_object_get(root, "roles"), "mandate",
                        json_object_get(ours, "mandate"));
        json_object_del(ours, "mandate");
        buf_consume(&part, part.len);
        cr_assert_eq(keys_canon_format(root, &part, &e), 0);
    }
    sign_root(buf_slice(&part), 1, &raw);
    return must_open(buf_slice(&raw));
}

Test(root, a_role_mandate_may_be_there_and_stands_among_ours_alone) {
    OWN(root) struct keys_root *there = with_mandate(true);
    cr_assert_eq(keys_root_role(there, KEYS_ROOT_ROLE_MANDATE)->n_keys, 1);
    cr_assert_str_eq(keys_root_role(there, KEYS_ROOT_ROLE_MANDATE)->keys[0].id, keyring_pub(3).id);
    OWN(root) struct keys_root *elsewhere = with_mandate(false);
    cr_assert_eq(keys_root_role(elsewhere, KEYS_ROOT_ROLE_MANDATE)->n_keys, 0);
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *older = open_case("repository", &raw);
    cr_assert_eq(keys_root_role(older, KEYS_ROOT_ROLE_MANDATE)->n_keys, 0);
}

Test(root, delegations_of_the_role_bundle_say_who_and_for_what) {
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *root = open_case("repository", &raw);
    cr_assert_eq(keys_root_content(root)->n_bundle_roles, 2);
    const struct keys_root_bundle_role *models = keys_root_bundle_role(root, "models");
    cr_assert_not_null(models);
    cr_assert_not(models->executable);
    cr_assert_not(models->any_component);
    cr_assert_eq(models->n_components, 2);
    cr_assert_str_eq(models->components[0], "detector");
    cr_assert_str_eq(models->components[1], "labels");
    cr_assert_eq(models->role.threshold, 2);
    cr_assert_str_eq(models->role.keys[1].id, keyring_pub(5).id);
    const struct keys_root_bundle_role *apps = keys_root_bundle_role(root, "apps");
    cr_assert_not_null(apps);
    cr_assert(apps->executable && apps->any_component);
    cr_assert_null(keys_root_bundle_role(root, "model"));
    cr_assert_eq(keys_root_role(root, KEYS_ROOT_ROLE_TIMESTAMP)->n_keys, 1);
}

Test(root, a_delegation_with_a_limit_not_known_here_is_worth_nothing) {
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *root = open_case("repository-limit-not-known-here", &raw);
    cr_assert_eq(keys_root_content(root)->n_bundle_roles, 1);
    cr_assert_null(keys_root_bundle_role(root, "models"));
    cr_assert_not_null(keys_root_bundle_role(root, "apps"));
}

Test(root, a_list_of_no_components_is_not_the_absence_of_a_list) {
    OWN(buf) struct buf none_raw;
    OWN(buf) struct buf any_raw;
    OWN(root) struct keys_root *none = open_case("repository-no-component", &none_raw);
    OWN(root) struct keys_root *any = open_case("repository-no-limits", &any_raw);
    cr_assert_not(keys_root_bundle_role(none, "models")->any_component);
    cr_assert_eq(keys_root_bundle_role(none, "models")->n_components, 0);
    cr_assert(keys_root_bundle_role(any, "models")->any_component);
    cr_assert(keys_root_bundle_role(any, "models")->executable);
}

Test(root, of_all_subsets_of_signers_exactly_those_of_threshold_size_open_it) {
    for (size_t threshold = 1; threshold <= 4; threshold++) {
        for (unsigned signers = 0; signers < 32; signers++) {
            OWN(buf) struct buf raw;
            struct keys_root *root = NULL;
            struct err e = ERR_NONE;
            make(threshold, 4, 1, signers, &raw);
            int failed = keys_root_open(buf_slice(&raw), &root, &e);
            bool enough = (size_t)__builtin_popcount(signers & 15) >= threshold;
            cr_assert_eq(failed, enough ? 0 : -1, "%zu of 4, signed by %#x", threshold, signers);
            cr_assert(enough || err_is(&e, &err_below_threshold), "%s", e.text);
            keys_root_free(root);
        }
    }
}

Test(root, every_flipped_bit_is_refused) {
    OWN(buf) struct buf raw;
    make(1, 1, 1, 1, &raw);
    for (size_t bit = 0; bit < 8 * raw.len; bit++) {
        struct keys_root *root = NULL;
        struct err e = ERR_NONE;
        raw.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_lt(keys_root_open(buf_slice(&raw), &root, &e), 0, "bit %zu of byte %zu", bit % 8,
                     bit / 8);
        raw.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

// ── The chain ────────────────────────────────────────────────────────────────────────────────────

static const struct err_kind *advance(const struct keys_root *trusted, struct slice raw) {
    struct keys_root *next = NULL;
    struct err e = ERR_NONE;
    int failed = keys_root_advance(trusted, raw, &next, &e);
    cr_assert(failed ? !next : !!next);
    keys_root_free(next);
    return e.kind;
}

// The signed part of version 2 with 2 of the keys 3, 4, 5; version 1 has 2 of the keys 1, 2, 3.
static void next_part(uint64_t version, struct buf *ret) {
    struct err e = ERR_NONE;
    static struct keys_role roles[KEYS_ROOT_ROLES];
    roles[KEYS_ROOT_ROLE_ROOT] =
        (struct keys_role){2, 3, {keyring_pub(3), keyring_pub(4), keyring_pub(5)}};
    roles[KEYS_ROOT_ROLE_BUNDLE] = keyring_role(1, 1);
    roles[KEYS_ROOT_ROLE_DIRECTOR] = keyring_role(1, 1);
    const struct keys_header header = {.version = version, .issued_s = 1, .expires_s = 2};
    buf_init(ret, KEYS_ROOT_MAX_BYTES);
    cr_assert_eq(keys_root_format(roles, &header, ret, &e), 0, "%s", e.text);
}

Test(root, of_all_subsets_only_those_that_meet_the_old_and_the_new_threshold_advance_it) {
    OWN(buf) struct buf first;
    OWN(buf) struct buf part;
    make(2, 3, 1, 3, &first);
    OWN(root) struct keys_root *trusted = must_open(buf_slice(&first));
    next_part(2, &part);
    unsigned accepted = 0;
    for (unsigned signers = 0; signers < 64; signers++) {
        OWN(buf) struct buf raw;
        sign_root(buf_slice(&part), signers, &raw);
        bool enough = __builtin_popcount(signers & 7) >= 2 && __builtin_popcount(signers & 28) >= 2;
        const struct err_kind *kind = advance(trusted, buf_slice(&raw));
        cr_assert_eq(kind, enough ? NULL : &err_root_chain, "signed by %#x: %s", signers,
                     kind ? kind->name : "ok");
        accepted += enough;
    }
    cr_assert_eq(accepted, 20);
}

Test(root, only_the_next_version_advances_it) {
    OWN(buf) struct buf first;
    make(1, 1, 5, 1, &first);
    OWN(root) struct keys_root *trusted = must_open(buf_slice(&first));
    static const uint64_t versions[] = {1, 4, 5, 7, 8, KEYS_VERSION_MAX};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        OWN(buf) struct buf raw;
        make(1, 1, versions[i], 1, &raw);
        cr_assert_eq(advance(trusted, buf_slice(&raw)), &err_root_chain, "%llu",
                     (unsigned long long)versions[i]);
    }
    OWN(buf) struct buf raw;
    make(1, 1, 6, 1, &raw);
    cr_assert_null(advance(trusted, buf_slice(&raw)));
}

Test(root, a_damaged_next_root_is_refused_before_it_is_read) {
    OWN(buf) struct buf first;
    OWN(buf) struct buf raw;
    make(1, 1, 1, 1, &first);
    OWN(root) struct keys_root *trusted = must_open(buf_slice(&first));
    // Garbage in `signed`, under a signature by the trusted key over other bytes: no parser sees
    // it.
    make(1, 1, 2, 1, &raw);
    char *at = strstr((char *)raw.data, "\"_type\"");
    memset(at, '[', 7);
    cr_assert_eq(advance(trusted, buf_slice(&raw)), &err_bad_signature);
}

Test(root, a_next_root_of_another_type_is_refused_though_its_signatures_hold) {
    OWN(buf) struct buf first;
    OWN(buf) struct buf raw;
    make(1, 1, 1, 1, &first);
    OWN(root) struct keys_root *trusted = must_open(buf_slice(&first));
    sign_root(keyring_slice("{\"_type\":\"bundle\",\"version\":2}"), 1, &raw);
    cr_assert_eq(advance(trusted, buf_slice(&raw)), &err_wrong_type);
}

// ── Every member of every other type ─────────────────────────────────────────────────────────────

static const char *const wrong_values[] = {
    "null", "[]", "{}", "0", "\"\"", "true", "[null]", "{\"a\":null}", "-1", "9223372036854775807"};

static json_t *plain_root(void) {
    OWN(buf) struct buf part;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    keyring_root(2, 3, 1, &part);
    json_t *root = json_loadb((const char *)part.data, part.len, 0, NULL);
    cr_assert_not_null(root);
    return root;
}

static bool opens(const json_t *root) {
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    struct keys_root *opened = NULL;
    buf_init(&part, 1 << 17);
    cr_assert_eq(keys_canon_format(root, &part, &e), 0, "%s", e.text);
    if (part.data[0] != '{')
        return false; // not even an envelope can be made of it
    sign_root(buf_slice(&part), 7, &raw);
    bool done = keys_root_open(buf_slice(&raw), &opened, &e) == 0;
    keys_root_free(opened);
    return done;
}

// Puts each wrong value in the place of one member, the whole root signed anew each time, and puts
// the member back.
static unsigned swap_member(json_t *root, json_t *node, const char *name) {
    OWN(json) json_t *kept = json_incref(json_object_get(node, name));
    bool optional = strcmp(name, "consistent_snapshot") == 0;
    unsigned swapped = 0;
    for (; swapped < sizeof wrong_values / sizeof *wrong_values; swapped++) {
        json_t *wrong = json_loads(wrong_values[swapped], JSON_DECODE_ANY, NULL);
        bool allowed = json_equal(wrong, kept) || (optional && json_is_null(wrong));
        cr_assert_eq(json_object_set_new(node, name, wrong), 0);
        cr_assert_eq(opens(root), allowed, "%s: %s", name, wrong_values[swapped]);
    }
    cr_assert_eq(json_object_del(node, name), 0);
    cr_assert_eq(opens(root), optional, "without %s", name);
    cr_assert_eq(json_object_set(node, name, kept), 0);
    return swapped;
}

static unsigned swap_below(json_t *root, json_t *node) {
    OWN(json) json_t *before = json_copy(node); // swapping changes the order of what is walked
    unsigned swapped = 0;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach (before, name, value) {
        swapped += swap_member(root, node, name);
        if (json_is_object(value))
            swapped += swap_below(root, value);
    }
    return swapped;
}

Test(root, no_member_may_be_of_another_type_or_absent) {
    OWN(json) json_t *root = plain_root();
    cr_assert(opens(root));
    cr_assert_gt(swap_below(root, root), 200);
    cr_assert(opens(root), "the test did not put everything back");
}

Test(root, no_key_id_of_a_role_may_be_of_another_type) {
    for (size_t i = 0; i < sizeof wrong_values / sizeof *wrong_values; i++) {
        OWN(json) json_t *root = plain_root();
        json_t *ids =
            json_object_get(json_object_get(json_object_get(root, "roles"), "root"), "keyids");
        cr_assert_eq(json_array_set_new(ids, 1, json_loads(wrong_values[i], JSON_DECODE_ANY, NULL)),
                     0);
        cr_assert_not(opens(root), "%s", wrong_values[i]);
    }
}

// ── Writing ──────────────────────────────────────────────────────────────────────────────────────

static const struct err_kind *format_kind(const struct keys_role *root_role,
                                          struct keys_header header) {
    static struct keys_role roles[KEYS_ROOT_ROLES];
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    roles[KEYS_ROOT_ROLE_ROOT] = *root_role;
    roles[KEYS_ROOT_ROLE_BUNDLE] = keyring_role(1, 1);
    roles[KEYS_ROOT_ROLE_DIRECTOR] = keyring_role(1, 1);
    int failed = keys_root_format(roles, &header, &part, &e);
    cr_assert(!failed || part.len == 0);
    return e.kind;
}

Test(root, what_could_not_be_opened_is_not_written) {
    const struct keys_header fine = {.version = 1, .issued_s = 0, .expires_s = CHRONO_MAX_S};
    struct keys_role role = keyring_role(2, 2);
    cr_assert_null(format_kind(&role, fine));
    role.threshold = 0;
    cr_assert_eq(format_kind(&role, fine), &err_bad_key);
    role.threshold = 3;
    cr_assert_eq(format_kind(&role, fine), &err_bad_key);
    role = keyring_role(2, 2);
    role.keys[1] = role.keys[0];
    cr_assert_eq(format_kind(&role, fine), &err_bad_key);
    role = keyring_role(1, 0);
    cr_assert_eq(format_kind(&role, fine), &err_bad_key);
    role = keyring_role(1, 1);
    role.n_keys = KEYS_ROLE_KEYS_MAX + 1;
    cr_assert_eq(format_kind(&role, fine), &err_bad_key);
    role = keyring_role(1, 1);
    cr_assert_eq(format_kind(&role, (struct keys_header){0, 1, 2}), &err_limit);
    cr_assert_eq(format_kind(&role, (struct keys_header){KEYS_VERSION_MAX + 1, 1, 2}), &err_limit);
    cr_assert_eq(format_kind(&role, (struct keys_header){1, 2, 2}), &err_limit);
    cr_assert_eq(format_kind(&role, (struct keys_header){1, -1, 2}), &err_limit);
    cr_assert_eq(format_kind(&role, (struct keys_header){1, 1, CHRONO_MAX_S + 1}), &err_limit);
}

// Writes a root with these delegations.
static const struct err_kind *format_delegated(const struct keys_root_bundle_role *roles,
                                               size_t n) {
    struct keys_root_content content = {
        .header = {1, 1, 2}, .n_bundle_roles = n, .bundle_roles = roles};
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, 1 << 20);
    for (int i = 0; i <= KEYS_ROOT_ROLE_DIRECTOR; i++)
        content.roles[i] = keyring_role(1, 1);
    int failed = keys_root_format_content(&content, &part, &e);
    cr_assert(!failed || part.len == 0);
    return e.kind;
}

Test(root, delegations_that_could_not_be_opened_are_not_written) {
    static struct keys_root_bundle_role roles[KEYS_ROOT_BUNDLE_ROLES_MAX + 1];
    for (size_t i = 0; i <= KEYS_ROOT_BUNDLE_ROLES_MAX; i++) {
        roles[i].role = keyring_role(1, 1);
        (void)snprintf(roles[i].name, sizeof roles[i].name, "r%zu", i);
    }
    cr_assert_null(format_delegated(roles, KEYS_ROOT_BUNDLE_ROLES_MAX));
    cr_assert_eq(format_delegated(roles, KEYS_ROOT_BUNDLE_ROLES_MAX + 1), &err_limit);
    (void)snprintf(roles[1].name, sizeof roles[1].name, "r0");
    cr_assert_eq(format_delegated(roles, 2), &err_syntax);
    (void)snprintf(roles[0].name, sizeof roles[0].name, "a/b");
    cr_assert_eq(format_delegated(roles, 1), &err_syntax);
    (void)snprintf(roles[0].name, sizeof roles[0].name, "r0");
    roles[0].n_components = 1;
    cr_assert_eq(format_delegated(roles, 1), &err_syntax);
    roles[0].n_components = KEYS_ROOT_COMPONENTS_MAX + 1;
    cr_assert_eq(format_delegated(roles, 1), &err_limit);
    roles[0].n_components = 0;
    roles[0].role.threshold = 2;
    cr_assert_eq(format_delegated(roles, 1), &err_bad_key);
}

Test(root, the_largest_role_fits_into_the_ceiling) {
    OWN(buf) struct buf raw;
    make(KEYS_ROLE_KEYS_MAX, KEYS_ROLE_KEYS_MAX, KEYS_VERSION_MAX, 0xffffffff, &raw);
    OWN(root) struct keys_root *root = must_open(buf_slice(&raw));
    cr_assert_eq(keys_root_role(root, KEYS_ROOT_ROLE_ROOT)->n_keys, KEYS_ROLE_KEYS_MAX);
}

Test(root, a_root_of_exactly_the_ceiling_is_read_and_one_byte_more_is_not) {
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    struct keys_root *none = NULL;
    make(1, 1, 1, 1, &raw);
    while (raw.len < KEYS_ROOT_MAX_BYTES)
        cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
    keys_root_free(must_open(buf_slice(&raw)));
    cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
    cr_assert_lt(keys_root_open(buf_slice(&raw), &none, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
}
