// SPDX-License-Identifier: Apache-2.0
//
// Manifests by all that a root says of bundles: the role bundle, its delegations, what these may
// sign.
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"
#include "keys/kind.h"
#include "tests/support/forge.h"

static const struct slice content = {(const uint8_t *)"x", 1};

// The manifest of a bundle of one component "c", signed by key 0.
static void make(bool executable, json_t *component, struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf tree;
    OWN(buf) struct buf bundle;
    OWN(json) json_t *changes = component ? component : json_object();
    buf_init(&tree, 4096);
    buf_init(&bundle, 1 << 20);
    buf_init(ret, BUNDLE_MANIFEST_MAX_BYTES);
    forge_file_line("a", content, executable, &tree);
    (void)json_object_set_new(changes, "executable", json_boolean(executable));
    if (json_object_get(changes, "type"))
        (void)json_object_set_new(changes, "executable", json_null());
    const struct forge f = {
        .tree = buf_text(&tree), .n_contents = 1, .contents = &content, .component = changes};
    forge_bundle(&f, &bundle);
    struct slice raw = forge_manifest_of(buf_slice(&bundle));
    cr_assert_eq(buf_add(ret, raw.data, raw.len, &e), 0);
}

static struct keys_role role_of(unsigned first, unsigned n, size_t threshold) {
    struct keys_role role = {.threshold = threshold, .n_keys = n};
    for (unsigned i = 0; i < n; i++)
        keys_secret_free(forge_key(first + i, &role.keys[i]));
    return role;
}

// A root whose role bundle is key 9, with these delegations.
static struct keys_root *root_with(const struct keys_root_bundle_role *roles, size_t n) {
    static struct keys_root_content content_of;
    struct err e = ERR_NONE;
    struct keys_root *root = NULL;
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    content_of = (struct keys_root_content){
        .header = {1, FORGE_ISSUED_S, FORGE_EXPIRES_S}, .n_bundle_roles = n, .bundle_roles = roles};
    content_of.roles[KEYS_ROOT_ROLE_ROOT] = role_of(0, 1, 1);
    content_of.roles[KEYS_ROOT_ROLE_BUNDLE] = role_of(9, 1, 1);
    content_of.roles[KEYS_ROOT_ROLE_DIRECTOR] = role_of(9, 1, 1);
    cr_assert_eq(keys_root_format_content(&content_of, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), &raw);
    cr_assert_eq(keys_root_open(buf_slice(&raw), &root, &e), 0, "%s", e.text);
    return root;
}

static struct keys_root_bundle_role delegate(const char *name, struct keys_role role) {
    struct keys_root_bundle_role ret = {.any_component = true, .executable = true, .role = role};
    (void)snprintf(ret.name, sizeof ret.name, "%s", name);
    return ret;
}

static struct keys_root_bundle_role only(struct keys_root_bundle_role role, const char *component) {
    role.any_component = false;
    role.n_components = 1;
    (void)snprintf(role.components[0], sizeof role.components[0], "%s", component);
    return role;
}

static struct keys_root_bundle_role lame(struct keys_root_bundle_role role) {
    role.executable = false;
    return role;
}

// NULL: accepted.
static const struct err_kind *verify(const struct buf *raw,
                                     const struct keys_root_bundle_role *roles, size_t n) {
    struct err e = ERR_NONE;
    struct bundle_manifest *m = NULL;
    OWN(root) struct keys_root *root = root_with(roles, n);
    int r = bundle_manifest_verify_root(buf_slice(raw), root, &m, &e);
    cr_assert_eq(r == 0, m != NULL);
    bundle_manifest_free(m);
    return e.kind;
}

#define KIND_OF(raw, ...)                                                                          \
    __extension__({                                                                                \
        const struct keys_root_bundle_role roles[] = {__VA_ARGS__};                                \
        verify(raw, roles, sizeof roles / sizeof roles[0]);                                        \
    })

// The same with the signature of key n beside that of key 0.
static void sign_too(const struct buf *raw, unsigned n, struct buf *ret) {
    struct err e = ERR_NONE;
    struct keys_pub pub;
    struct keys_envelope_candidate candidate;
    struct keys_secret *secret = forge_key(n, &pub);
    cr_assert_eq(keys_envelope_split(buf_slice(raw), "x", &candidate, &e), 0, "%s", e.text);
    memcpy(candidate.signatures[1].keyid, pub.id, sizeof pub.id);
    cr_assert_eq(keys_secret_sign(secret, candidate.signed_part, candidate.signatures[1].sig, &e),
                 0);
    keys_secret_free(secret);
    cr_assert_eq(keys_envelope_format(candidate.signed_part, candidate.signatures, 2, ret, &e), 0,
                 "%s", e.text);
}

Test(manifest_root, the_role_bundle_signs_anything_and_others_nothing) {
    OWN(buf) struct buf raw;
    make(true, NULL, &raw);
    cr_assert_eq(verify(&raw, NULL, 0), &err_below_threshold);
    struct keys_root_bundle_role all = delegate("all", role_of(1, 1, 1)); // not the signer
    cr_assert_eq(verify(&raw, &all, 1), &err_below_threshold);
    // Signed by key 9 as well: the role bundle itself.
    OWN(buf) struct buf both;
    buf_init(&both, BUNDLE_MANIFEST_MAX_BYTES);
    sign_too(&raw, 9, &both);
    cr_assert_null(verify(&both, NULL, 0));
    struct keys_root_bundle_role nothing = only(lame(delegate("x", role_of(0, 1, 1))), "d");
    cr_assert_null(verify(&both, &nothing, 1));
}

Test(manifest_root, a_delegation_signs_what_its_limits_allow) {
    OWN(buf) struct buf raw;
    OWN(buf) struct buf runs;
    make(false, NULL, &raw);
    make(true, NULL, &runs);
    const struct keys_root_bundle_role any = delegate("any", role_of(0, 1, 1));
    cr_assert_null(KIND_OF(&raw, any));
    cr_assert_null(KIND_OF(&runs, any));
    cr_assert_null(KIND_OF(&raw, only(any, "c")));
    cr_assert_eq(KIND_OF(&raw, only(any, "d")), &err_delegation);
    cr_assert_eq(KIND_OF(&raw, only(any, "cc")), &err_delegation);
    cr_assert_null(KIND_OF(&raw, lame(any)));
    cr_assert_eq(KIND_OF(&runs, lame(any)), &err_delegation);
    struct keys_root_bundle_role none = any;
    none.any_component = false;
    cr_assert_eq(KIND_OF(&raw, none), &err_delegation);
}

Test(manifest_root, an_image_is_executable) {
    OWN(buf) struct buf raw;
    const char *content_of =
        "{\"digest\":\"1111111111111111111111111111111111111111111111111111111111"
        "111111\",\"size\":10}";
    json_t *image =
        json_pack("{s:s, s:n, s:n, s:n}", "type", "image", "entries", "stream_bytes", "tree");
    (void)json_object_set_new(image, "content", json_loads(content_of, 0, NULL));
    make(false, image, &raw);
    const struct keys_root_bundle_role any = delegate("any", role_of(0, 1, 1));
    cr_assert_null(KIND_OF(&raw, any));
    cr_assert_eq(KIND_OF(&raw, lame(any)), &err_delegation);
}

Test(manifest_root, one_delegation_that_allows_it_is_enough_and_thresholds_are_not_added_up) {
    OWN(buf) struct buf raw;
    make(true, NULL, &raw);
    const struct keys_root_bundle_role other = only(delegate("a", role_of(0, 1, 1)), "d");
    const struct keys_root_bundle_role right = only(delegate("b", role_of(0, 1, 1)), "c");
    const struct keys_root_bundle_role two = only(delegate("c", role_of(0, 2, 2)), "c");
    cr_assert_null(KIND_OF(&raw, other, right));
    cr_assert_null(KIND_OF(&raw, right, other));
    // Allowed by one that is not satisfied, refused by one that is.
    cr_assert_eq(KIND_OF(&raw, other, two), &err_delegation);
    cr_assert_eq(KIND_OF(&raw, two), &err_below_threshold);
}

Test(manifest_root, a_damaged_signature_never_hides_behind_another_role) {
    OWN(buf) struct buf raw;
    make(false, NULL, &raw);
    const struct keys_root_bundle_role right = delegate("right", role_of(0, 1, 1));
    char *sig = strstr((char *)raw.data, "\"sig\":\"") + 7;
    *sig = *sig == '0' ? '1' : '0';
    cr_assert_eq(KIND_OF(&raw, right), &err_bad_signature);
}

Test(manifest_root, nothing_is_read_before_somebody_s_threshold_holds) {
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    static const char garbage[] = "{\"_type\":\"nothing of ours\"}";
    forge_envelope((struct slice){(const uint8_t *)garbage, strlen(garbage)}, &raw);
    cr_assert_eq(verify(&raw, NULL, 0), &err_below_threshold);
    cr_assert_eq(KIND_OF(&raw, delegate("any", role_of(0, 1, 1))), &err_wrong_type);
}

// ── By the id of one that was verified before

static const struct err_kind *verify_id(struct slice raw, const struct keys_digest *id) {
    struct err e = ERR_NONE;
    struct bundle_manifest *m = NULL;
    int r = bundle_manifest_verify_id(raw, id, &m, &e);
    cr_assert_eq(r == 0, m != NULL);
    if (m)
        cr_expect(keys_digest_equal(bundle_manifest_id(m), id));
    bundle_manifest_free(m);
    return e.kind;
}

static void id_of(const struct buf *raw, struct keys_digest *ret) {
    struct err e = ERR_NONE;
    struct keys_envelope_candidate candidate;
    cr_assert_eq(keys_envelope_split(buf_slice(raw), "x", &candidate, &e), 0, "%s", e.text);
    keys_digest_of(candidate.signed_part.data, candidate.signed_part.len, ret);
}

Test(manifest_id, one_that_was_admitted_is_read_whoever_may_sign_today) {
    OWN(buf) struct buf raw;
    OWN(buf) struct buf twice;
    struct keys_digest id;
    make(true, NULL, &raw);
    id_of(&raw, &id);
    cr_expect_eq(KIND_OF(&raw, delegate("a", role_of(3, 1, 1))), &err_below_threshold);
    cr_expect_null(verify_id(buf_slice(&raw), &id));
    buf_init(&twice, BUNDLE_MANIFEST_MAX_BYTES);
    sign_too(&raw, 3, &twice);
    cr_expect_null(verify_id(buf_slice(&twice), &id), "signatures play no part");
}

Test(manifest_id, nothing_else_is) {
    OWN(buf) struct buf raw;
    OWN(buf) struct buf other;
    struct keys_digest id, others;
    struct slice too_long = {.data = (const uint8_t *)"", .len = BUNDLE_MANIFEST_MAX_BYTES + 1};
    make(false, NULL, &raw);
    make(true, NULL, &other);
    id_of(&raw, &id);
    id_of(&other, &others);
    cr_expect_eq(verify_id(buf_slice(&other), &id), &err_digest_mismatch);
    cr_expect_eq(verify_id(buf_slice(&raw), &others), &err_digest_mismatch);
    id.bytes[31] ^= 1;
    cr_expect_eq(verify_id(buf_slice(&raw), &id), &err_digest_mismatch, "one bit of the id");
    id.bytes[31] ^= 1;
    cr_expect_eq(verify_id(too_long, &id), &err_limit);
    cr_expect_not_null(verify_id((struct slice){raw.data, 100}, &id), "cut");
    for (size_t i = 0; i < raw.len; i++) {
        struct keys_digest now;
        raw.data[i] ^= 1;
        struct err e = ERR_NONE;
        struct keys_envelope_candidate candidate;
        bool splits = keys_envelope_split(buf_slice(&raw), "x", &candidate, &e) == 0;
        if (splits)
            keys_digest_of(candidate.signed_part.data, candidate.signed_part.len, &now);
        if (!splits || !keys_digest_equal(&now, &id))
            cr_assert_not_null(verify_id(buf_slice(&raw), &id), "bit at %zu", i);
        raw.data[i] ^= 1;
    }
}

Test(manifest_id, what_is_no_manifest_stays_none_by_any_id) {
    OWN(buf) struct buf raw;
    struct keys_digest id;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    forge_envelope((struct slice){(const uint8_t *)"{}", 2}, &raw);
    id_of(&raw, &id);
    cr_expect_eq(verify_id(buf_slice(&raw), &id), &err_bad_manifest);
}
