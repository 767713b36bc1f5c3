// SPDX-License-Identifier: Apache-2.0
//
// Paths of targets: both ways, and at their limits.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "bundle/target.h"
#include "keys/kind.h"

#define ID   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BASE "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static const char *filled(char *ret, size_t n) {
    memset(ret, 'n', n);
    ret[n] = '\0';
    return ret;
}

Test(target, a_path_is_name_release_and_id) {
    struct bundle_target target, back;
    struct keys_digest id;
    char path[BUNDLE_TARGET_PATH_BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(keys_digest_parse(ID, "id", &id, &e), 0);
    cr_assert_str_eq(bundle_target_path(bundle_target_set(&target, "app", "1.0", &id), path),
                     "app/1.0/" ID ".json");
    cr_assert_eq(bundle_target_parse(path, &back, &e), 0, "%s", e.text);
    cr_assert_str_eq(back.name, "app");
    cr_assert_str_eq(back.release, "1.0");
    cr_assert_str_eq(back.id, ID);
    cr_assert_str_eq(back.base, "");
    cr_assert_not(bundle_target_is_delta(&back));
}

Test(target, a_path_of_a_delta_says_from_which_bundle) {
    struct bundle_target target, back;
    struct keys_digest id, base;
    char path[BUNDLE_TARGET_PATH_BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(keys_digest_parse(ID, "id", &id, &e), 0);
    cr_assert_eq(keys_digest_parse(BASE, "base", &base, &e), 0);
    (void)bundle_target_set_delta(&target, "app", "1.0", &id, &base);
    cr_assert(bundle_target_is_delta(&target));
    cr_assert_str_eq(bundle_target_path(&target, path), "app/1.0/" ID "/" BASE ".json");
    cr_assert_eq(bundle_target_parse(path, &back, &e), 0, "%s", e.text);
    cr_assert_eq(memcmp(&back, &target, sizeof back), 0);
    // The same struct names the bundle again: nothing is left of the base.
    (void)bundle_target_set(&target, "app", "1.0", &id);
    cr_assert_str_eq(bundle_target_path(&target, path), "app/1.0/" ID ".json");
}

Test(target, the_longest_path_fits_and_one_byte_more_is_none) {
    char name[BUNDLE_NAME_MAX + 2], release[BUNDLE_RELEASE_MAX + 2];
    char path[BUNDLE_TARGET_PATH_BYTES], longer[BUNDLE_TARGET_PATH_BYTES + 2];
    struct bundle_target target, back;
    struct keys_digest id;
    struct err e = ERR_NONE;
    cr_assert_eq(keys_digest_parse(ID, "id", &id, &e), 0);
    (void)bundle_target_path(bundle_target_set_delta(&target, filled(name, BUNDLE_NAME_MAX),
                                                     filled(release, BUNDLE_RELEASE_MAX), &id, &id),
                             path);
    cr_assert_eq(strlen(path), BUNDLE_TARGET_PATH_BYTES - 1, "%zu", strlen(path));
    cr_assert_eq(bundle_target_parse(path, &back, &e), 0, "%s", e.text);
    cr_assert_eq(memcmp(back.release, target.release, sizeof back.release), 0);
    (void)snprintf(longer, sizeof longer, "n%s", path);
    cr_assert_lt(bundle_target_parse(longer, &back, &e), 0);
    (void)snprintf(longer, sizeof longer, "%s", path);
    (void)snprintf(longer + strlen(path) - strlen(".json"), 8, "0.json");
    cr_assert_lt(bundle_target_parse(longer, &back, &e), 0);
    (void)snprintf(longer, sizeof longer, "app/%s/" ID ".json",
                   filled(release, BUNDLE_RELEASE_MAX + 1));
    cr_assert_lt(bundle_target_parse(longer, &back, &e), 0);
}

Test(target, what_is_no_path_is_refused_and_changes_nothing) {
    static const char *const wrong[] = {
        "",
        "app",
        "app/1.0",
        "app/1.0/",
        "app/1.0/" ID,
        "app/1.0/" ID ".jso",
        "app/1.0/" ID ".json.",
        "app/1.0/" ID ".json/",
        "app/1.0/0" ID ".json",
        "app/1.0/0123.json",
        "app/1.0/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef.json",
        "app/1.0/0123456789abcdeg0123456789abcdef0123456789abcdef0123456789abcdef.json",
        "app/1.0/x/" ID ".json",
        "app/1.0/" ID "/.json",
        "app/1.0/" ID "/0123.json",
        "app/1.0/" ID "/" BASE,
        "app/1.0/" ID "/" BASE "/" BASE ".json",
        "app/1.0/" ID "//" BASE ".json",
        "app/1.0/" ID "." BASE ".json",
        "app/1.0/" ID "/FEDCBA9876543210fedcba9876543210fedcba9876543210fedcba9876543210.json",
        "/1.0/" ID ".json",
        "app//" ID ".json",
        "../1.0/" ID ".json",
        "app/../" ID ".json",
        ".app/1.0/" ID ".json",
        "a p/1.0/" ID ".json",
        "app/1\n0/" ID ".json"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct bundle_target target = {.name = "kept"};
        struct err e = ERR_NONE;
        cr_assert_lt(bundle_target_parse(wrong[i], &target, &e), 0, "%s", wrong[i]);
        cr_assert(err_is(&e, &err_syntax), "%s: %s", wrong[i], e.text);
        cr_assert_str_eq(target.name, "kept");
    }
}
