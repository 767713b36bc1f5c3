// SPDX-License-Identifier: Apache-2.0
//
// The record of a generation: one form, and what a bundle makes of it.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "bundle/generation.h"
#include "bundle/kind.h"
#include "tests/support/forge.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ONE(name)                                                                                  \
    "\"" name "\":{\"digest\":\"" HEX "\",\"manifest\":\"" HEX                                     \
    "\",\"name\":\"vibration\",\"release\":\"1.1\",\"security_version\":7}"
#define IMAGE(name, rest)                                                                          \
    "\"" name "\":{\"digest\":\"" HEX "\",\"manifest\":\"" HEX                                     \
    "\",\"name\":\"rootfs\",\"release\":\"2\",\"security_version\":7" rest "}"
#define RECORD(components, rest)                                                                   \
    "{\"_type\":\"generation\",\"components\":{" components "}," rest "}"

static int parse(const char *text, struct bundle_generation *ret, struct err *e) {
    return bundle_generation_parse((struct slice){(const uint8_t *)text, strlen(text)}, ret, e);
}

Test(generation, a_record_is_read_and_written_the_same) {
    static const char *const good[] = {
        RECORD("", "\"format\":1,\"number\":0"),
        RECORD(ONE("a") "," ONE("b"), "\"format\":1,\"number\":9007199254740991"),
        RECORD(ONE("a") "," IMAGE("b", ",\"size\":0,\"slot\":0") "," IMAGE(
                   "c", ",\"size\":4398046511104,\"slot\":1"),
               "\"format\":2,\"number\":3"),
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = ERR_NONE;
        struct bundle_generation g;
        struct buf text;
        buf_init(&text, BUNDLE_GENERATION_RECORD_MAX_BYTES);
        cr_assert_eq(parse(good[i], &g, &e), 0, "%s", e.text);
        cr_assert_eq(bundle_generation_format(&g, &text, &e), 0, "%s", e.text);
        cr_expect_str_eq(buf_text(&text), good[i]);
        buf_clear(&text);
    }
}

Test(generation, what_is_not_that_form_is_a_bad_generation) {
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{",
        " " RECORD("", "\"format\":1,\"number\":0"),
        RECORD("", "\"number\":0,\"format\":1"),
        RECORD("", "\"format\":1,\"number\":-1"),
        RECORD("", "\"format\":1,\"number\":0,\"x\":1"),
        RECORD("", "\"format\":1"),
        RECORD("\"a\":{}", "\"format\":1,\"number\":0"),
        RECORD(ONE(".edge"), "\"format\":1,\"number\":0"),
        RECORD(ONE("a/b"), "\"format\":1,\"number\":0"),
        RECORD(ONE("a") "," ONE("a"), "\"format\":1,\"number\":0"),
        RECORD(ONE("b") "," ONE("a"), "\"format\":1,\"number\":0"),
        RECORD(ONE("a"), "\"format\":2,\"number\":0"),
        RECORD(IMAGE("a", ",\"size\":1,\"slot\":1"), "\"format\":1,\"number\":0"),
        RECORD(IMAGE("a", ",\"size\":1,\"slot\":2"), "\"format\":2,\"number\":0"),
        RECORD(IMAGE("a", ",\"size\":4398046511105,\"slot\":1"), "\"format\":2,\"number\":0"),
        RECORD(IMAGE("a", ",\"size\":1"), "\"format\":2,\"number\":0"),
        RECORD(IMAGE("a", ",\"slot\":1"), "\"format\":2,\"number\":0"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = ERR_NONE;
        struct bundle_generation g;
        cr_expect_lt(parse(bad[i], &g, &e), 0, "%s", bad[i]);
        cr_expect(err_is(&e, &err_bad_generation), "%s: %s", bad[i], e.text);
    }
}

Test(generation, a_record_of_a_newer_format_says_so) {
    struct err e = ERR_NONE;
    struct bundle_generation g;
    cr_expect_lt(parse(RECORD("", "\"format\":3,\"number\":0"), &g, &e), 0);
    cr_expect(err_is(&e, &err_newer_format), "%s", e.text);
}

static struct bundle_manifest *manifest(const char *name) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct bundle_manifest *m = NULL;
    struct buf bytes;
    json_t *component = json_pack("{s:s}", "name", name);
    const struct forge f = {.tree = "{\"path\":\"d\",\"type\":\"dir\"}\n", .component = component};
    buf_init(&bytes, 1 << 20);
    forge_bundle(&f, &bytes);
    forge_role(1, 1, &role);
    cr_assert_eq(bundle_manifest_verify(forge_manifest_of(buf_slice(&bytes)), &role, &m, &e), 0,
                 "%s", e.text);
    json_decref(component);
    buf_clear(&bytes);
    return m;
}

Test(generation, components_replace_or_join_up_to_the_ceiling) {
    struct err e = ERR_NONE;
    struct bundle_generation g;
    memset(&g, 0, sizeof g);
    for (unsigned i = 0; i < BUNDLE_COMPONENTS_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "c%02u", (i * 7) % BUNDLE_COMPONENTS_MAX);
        struct bundle_manifest *m = manifest(name);
        cr_assert_eq(bundle_generation_after(&g, m, i + 1, &g, &e), 0, "%s", e.text);
        cr_expect_eq(g.number, i + 1);
        cr_expect_eq(g.n_components, i + 1);
        cr_expect_not_null(bundle_generation_component(&g, name));
        bundle_manifest_free(m);
    }
    for (size_t i = 1; i < g.n_components; i++)
        cr_expect_lt(strcmp(g.components[i - 1].name, g.components[i].name), 0, "sorted");
    struct bundle_manifest *same = manifest("c03"), *more = manifest("d");
    cr_expect_eq(bundle_generation_after(&g, same, 20, &g, &e), 0, "replaced: %s", e.text);
    cr_expect_eq(g.n_components, BUNDLE_COMPONENTS_MAX);
    cr_expect_lt(bundle_generation_after(&g, more, 21, &g, &e), 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    cr_expect_eq(g.number, 20, "untouched");
    cr_expect_null(bundle_generation_component(&g, "d"));
    bundle_manifest_free(same);
    bundle_manifest_free(more);
}
