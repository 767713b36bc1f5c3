// SPDX-License-Identifier: Apache-2.0
//
// Manifests: believed only when signed, read only by the rules.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/manifest.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "tests/support/forge.h"

static const struct slice content = {(const uint8_t *)"x", 1};

// The manifest member of an honest bundle with these members replaced (consumed; NULL: none).
static void make(json_t *members, json_t *component, struct buf *ret) {
    struct err e = ERR_NONE;
    struct buf tree, bundle;
    buf_init(&tree, 4096);
    buf_init(&bundle, 1 << 20);
    buf_init(ret, BUNDLE_MANIFEST_MAX_BYTES);
    forge_file_line("a", content, false, &tree);
    const struct forge f = {.tree = buf_text(&tree),
                            .n_contents = 1,
                            .contents = &content,
                            .members = members,
                            .component = component};
    forge_bundle(&f, &bundle);
    struct slice raw = forge_manifest_of(buf_slice(&bundle));
    cr_assert_eq(buf_add(ret, raw.data, raw.len, &e), 0);
    json_decref(members);
    json_decref(component);
    buf_clear(&tree);
    buf_clear(&bundle);
}

static int verify(const struct buf *raw, struct bundle_manifest **ret, struct err *e) {
    struct keys_role role;
    forge_role(1, 1, &role);
    return bundle_manifest_verify(buf_slice(raw), &role, ret, e);
}

static void expect_bad(const char *name, json_t *members, json_t *component,
                       const struct err_kind *kind) {
    struct err e = ERR_NONE;
    struct bundle_manifest *m = NULL;
    struct buf raw;
    make(members, component, &raw);
    cr_expect_lt(verify(&raw, &m, &e), 0, "%s", name);
    cr_expect(err_is(&e, kind), "%s: %s", name, e.text);
    cr_expect_null(m, "untouched");
    buf_clear(&raw);
}

Test(manifest, an_honest_one_says_what_was_put_in) {
    struct err e = ERR_NONE;
    struct bundle_manifest *m = NULL;
    struct buf raw;
    make(json_pack("{s:s,s:s,s:{s:i}}", "variant", "gpu", "requires", "arch == \"x\"", "floors",
                   "c", 1),
         NULL, &raw);
    cr_assert_eq(verify(&raw, &m, &e), 0, "%s", e.text);
    const struct bundle_manifest_view *v = bundle_manifest_view(m);
    cr_expect_str_eq(v->name, "forged");
    cr_expect_str_eq(v->release, "1.0");
    cr_expect_str_eq(v->variant, "gpu");
    cr_expect_str_eq(v->requires, "arch == \"x\"");
    cr_expect_eq(v->n_components, 1);
    cr_expect_eq(v->components[0].entries, 1);
    cr_expect_eq(v->components[0].stream_bytes, 1);
    cr_expect_eq(v->probation.duration_s, 600);
    cr_expect_eq(v->probation.restarts_max, 3);
    cr_expect_eq(v->n_probes, 0);
    cr_expect_not_null(v->floors);
    cr_expect_eq(bundle_manifest_component(m, "c"), &v->components[0]);
    cr_expect_null(bundle_manifest_component(m, "d"));
    struct slice bare = bundle_manifest_raw(m);
    cr_expect_eq(bare.data[bare.len - 1], '}', "without padding");
    bundle_manifest_free(m);
    buf_clear(&raw);
}

Test(manifest, padding_and_more_signatures_do_not_change_its_id) {
    struct err e = ERR_NONE;
    struct bundle_manifest *padded = NULL, *bare = NULL;
    struct bundle_manifest_unverified *peeked = NULL;
    struct buf raw, kept;
    make(NULL, NULL, &raw);
    buf_init(&kept, BUNDLE_MANIFEST_MAX_BYTES);
    cr_assert_eq(verify(&raw, &padded, &e), 0, "%s", e.text);
    struct slice s = bundle_manifest_raw(padded);
    cr_assert_eq(buf_add(&kept, s.data, s.len, &e), 0);
    cr_assert_eq(verify(&kept, &bare, &e), 0, "%s", e.text);
    cr_assert_eq(bundle_manifest_peek(buf_slice(&raw), &peeked, &e), 0, "%s", e.text);
    cr_expect(keys_digest_equal(bundle_manifest_id(padded), bundle_manifest_id(bare)));
    cr_expect(keys_digest_equal(bundle_manifest_id(padded), bundle_manifest_peek_id(peeked)));
    bundle_manifest_free(padded);
    bundle_manifest_free(bare);
    bundle_manifest_peek_free(peeked);
    buf_clear(&raw);
    buf_clear(&kept);
}

// A path of text; steals value.
static json_t *with(const char *key, json_t *value) {
    return json_pack("{s:o}", key, value);
}

Test(manifest, members_that_break_a_rule_are_refused) {
    const struct {
        const char *name;
        json_t *members;
    } cases[] = {
        {"no name", with("name", json_null())},
        {"a name with a slash", with("name", json_string("a/b"))},
        {"a name with a dot first", with("name", json_string(".a"))},
        {"an empty release", with("release", json_string(""))},
        {"a release with a blank", with("release", json_string("1 0"))},
        {"a release with a no-break space", with("release", json_string("1\xc2\xa0"))},
        {"a variant that is no name", with("variant", json_string("a b"))},
        {"no components", with("components", json_array())},
        {"components of another type", with("components", json_object())},
        {"no packing", with("packing", json_null())},
        {"packing with more", with("packing", json_pack("{s:i}", "x", 1))},
        {"floors that are text", with("floors", json_pack("{s:s}", "c", "1"))},
        {"a floor below zero", with("floors", json_pack("{s:i}", "c", -1))},
        {"a floor of no component's name", with("floors", json_pack("{s:i}", "a/b", 1))},
        {"a floor of a component that it has not", with("floors", json_pack("{s:i}", "d", 0))},
        {"a floor above what it installs", with("floors", json_pack("{s:i}", "c", 2))},
        {"probation for ever", with("probation", json_pack("{s:i}", "duration_s", 1 << 30))},
        {"probes that are no array", with("probes", json_object())},
        {"a probe that is none", with("probes", json_pack("[{}]"))},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_bad(cases[i].name, cases[i].members, NULL, &err_bad_manifest);
    expect_bad("another type", with("_type", json_string("root")), NULL, &err_wrong_type);
    expect_bad("a malformed predicate", with("requires", json_string("arch ==")), NULL,
               &err_bad_predicate);
}

Test(manifest, components_that_break_a_rule_are_refused) {
    const struct {
        const char *name;
        json_t *component;
    } cases[] = {
        {"an unknown member", with("x", json_integer(1))},
        {"an unknown type", with("type", json_string("disk"))},
        {"a security version below zero", with("security_version", json_integer(-1))},
        {"a security version above", with("security_version", json_integer(4294967296))},
        {"too many entries", with("entries", json_integer(BUNDLE_TREE_ENTRIES_MAX + 1))},
        {"entries without a tree", with("entries", json_integer(0))},
        {"contents above the ceiling", with("stream_bytes", json_integer(BUNDLE_STREAM_MAX_BYTES))},
        {"a tree with more",
         with("tree", json_pack("{s:s,s:i,s:i}", "digest", "", "size", 1, "x", 1))},
        {"an empty digest", with("tree", json_pack("{s:s,s:i}", "digest", "", "size", 1))},
        {"a short digest", with("tree", json_pack("{s:s,s:i}", "digest", "00", "size", 1))},
        {"a model that is no object", with("model", json_string("x"))},
        {"content beside a tree", with("content", json_object())},
        {"executable as a number", with("executable", json_integer(1))},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_bad(cases[i].name, NULL, cases[i].component, &err_bad_manifest);
}

#define ZEROS_64 "0000000000000000000000000000000000000000000000000000000000000000"

// The component as an image with this content.
static json_t *as_image(json_t *content_of) {
    return json_pack("{so ss sn sn sn sn}", "content", content_of, "type", "image", "entries",
                     "executable", "stream_bytes", "tree");
}

Test(manifest, images_whose_content_breaks_a_rule_are_refused) {
    static const char *const good[] = {NULL, ZEROS_64};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_NONE;
        struct bundle_manifest *m = NULL;
        struct buf raw;
        make(NULL,
             as_image(json_pack("{ss si ss*}", "digest", ZEROS_64, "size", 1, "blocks", good[i])),
             &raw);
        cr_assert_eq(verify(&raw, &m, &e), 0, "%s", e.text);
        cr_expect_eq(bundle_manifest_view(m)->components[0].has_blocks, i == 1);
        bundle_manifest_free(m);
        buf_clear(&raw);
    }
    const struct {
        const char *name;
        json_t *content;
    } cases[] = {
        {"no size", json_pack("{ss}", "digest", ZEROS_64)},
        {"no bytes", json_pack("{ss si}", "digest", ZEROS_64, "size", 0)},
        {"no digest", json_pack("{ss si}", "blocks", ZEROS_64, "size", 1)},
        {"short blocks", json_pack("{ss si ss}", "digest", ZEROS_64, "size", 1, "blocks", "00")},
        {"empty blocks", json_pack("{ss si ss}", "digest", ZEROS_64, "size", 1, "blocks", "")},
        {"blocks in a list",
         json_pack("{ss si s[s]}", "digest", ZEROS_64, "size", 1, "blocks", ZEROS_64)},
        {"more", json_pack("{ss si si}", "digest", ZEROS_64, "size", 1, "x", 1)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_bad(cases[i].name, NULL, as_image(cases[i].content), &err_bad_manifest);
}

Test(manifest, unknown_members_of_its_own_are_ignored) {
    struct err e = ERR_NONE;
    struct bundle_manifest *m = NULL;
    struct buf raw;
    make(with("x-note", json_string("later")), with("security_version", json_integer(4294967295)),
         &raw);
    cr_expect_eq(verify(&raw, &m, &e), 0, "%s", e.text);
    bundle_manifest_free(m);
    buf_clear(&raw);
}

// Signs arbitrary bytes as the signed part.
static int verify_signed(const char *signed_part, struct err *e) {
    struct bundle_manifest *m = NULL;
    struct buf raw;
    buf_init(&raw, 2 * BUNDLE_MANIFEST_MAX_BYTES);
    forge_envelope((struct slice){(const uint8_t *)signed_part, strlen(signed_part)}, &raw);
    int r = verify(&raw, &m, e);
    bundle_manifest_free(m);
    buf_clear(&raw);
    return r;
}

Test(manifest, a_signed_part_that_is_not_canonical_or_doubled_or_deep_is_refused) {
    static const struct {
        const char *name, *text;
        const struct err_kind *kind;
    } cases[] = {
        {"blanks", "{ }", &err_not_canonical},
        {"members out of order", "{\"b\":1,\"a\":1}", &err_not_canonical},
        {"an escape that is not needed", "{\"a\":\"\\u0062\"}", &err_not_canonical},
        {"a number with a fraction", "{\"a\":1.5}", NULL},
        {"duplicate members", "{\"a\":1,\"a\":1}", &err_syntax},
        {"not closed", "{\"a\":1", NULL},
        {"not an object", "[]", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        cr_expect_lt(verify_signed(cases[i].text, &e), 0, "%s", cases[i].name);
        if (cases[i].kind)
            cr_expect(err_is(&e, cases[i].kind), "%s: %s (%s)", cases[i].name, e.text,
                      e.kind->name);
    }
    for (int depth = 11; depth <= 60; depth += 7) {
        struct err e = ERR_NONE;
        char text[512] = "{\"a\":";
        size_t n = strlen(text);
        memset(text + n, '[', (size_t)depth);
        memset(text + n + depth, ']', (size_t)depth);
        memcpy(text + n + 2 * depth, "}", 2);
        cr_expect_lt(verify_signed(text, &e), 0);
        cr_expect_eq(err_is(&e, &err_limit), depth >= 12, "depth %d: %s", depth, e.text);
    }
}

Test(manifest, a_member_larger_than_the_ceiling_is_refused_unread) {
    struct err e = ERR_NONE;
    struct bundle_manifest *m = NULL;
    struct buf raw;
    uint8_t *to = NULL;
    make(NULL, NULL, &raw);
    raw.ceiling = 2 * BUNDLE_MANIFEST_MAX_BYTES;
    size_t more = BUNDLE_MANIFEST_MAX_BYTES - raw.len;
    cr_assert_eq(buf_reserve(&raw, more + 1, &to, &e), 0);
    memset(to, ' ', more + 1);
    buf_commit(&raw, more);
    cr_expect_eq(verify(&raw, &m, &e), 0, "at the ceiling: %s", e.text);
    bundle_manifest_free(m);
    m = NULL;
    buf_commit(&raw, 1);
    cr_expect_lt(verify(&raw, &m, &e), 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    buf_clear(&raw);
}

static int admit(const char *requires, const char *floors, struct err *e) {
    struct bundle_manifest *m = NULL;
    struct bundle_facts *facts = NULL;
    struct buf raw;
    json_t *known = json_pack("{s:s,s:i}", "arch", "x86_64", "ram_mb", 512);
    json_t *limits = floors ? json_loads(floors, 0, NULL) : NULL;
    make(with("requires", json_string(requires)), with("security_version", json_integer(5)), &raw);
    cr_assert_eq(verify(&raw, &m, e), 0, "%s", e->text);
    cr_assert_eq(bundle_facts_parse(known, &facts, e), 0);
    int r = bundle_manifest_admits(bundle_manifest_view(m), facts, limits, e);
    bundle_facts_free(facts);
    bundle_manifest_free(m);
    json_decref(known);
    json_decref(limits);
    buf_clear(&raw);
    return r;
}

Test(manifest, other_hardware_and_versions_below_the_floor_are_not_admitted) {
    static const struct {
        const char *requires, *floors;
        const struct err_kind *kind;
    } cases[] = {
        {"", NULL, NULL},
        {"arch == \"x86_64\"", "{}", NULL},
        {"arch == \"arm64\"", NULL, &err_requirement_unmet},
        {"accel.edgetpu", NULL, &err_requirement_unmet},
        {"ram_mb >= 1024", NULL, &err_requirement_unmet},
        {"", "{\"c\":4}", NULL},
        {"", "{\"c\":5}", NULL},
        {"", "{\"c\":6}", &err_below_floor},
        {"", "{\"other\":6}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        cr_expect_eq(admit(cases[i].requires, cases[i].floors, &e), cases[i].kind ? -1 : 0,
                     "%zu: %s", i, e.text);
        cr_expect_eq(e.kind, cases[i].kind, "%zu: %s", i, e.text);
    }
}
