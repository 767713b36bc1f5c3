// SPDX-License-Identifier: Apache-2.0
//
// An honest little bundle, and ways to take one in.
#include "tests/support/hostile.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

static const uint8_t noise[] = "\x13\x37 twenty-six bytes of data \xff";
const struct slice hostile_contents[HOSTILE_FILES] = {
    {(const uint8_t *)"the first content", 17}, {noise, sizeof noise - 1}, {noise, 5}};

void hostile_tree(struct buf *ret) {
    struct err e = ERR_NONE;
    buf_init(ret, 1 << 20);
    cr_assert_eq(buf_add_text(ret, "{\"path\":\"d\",\"type\":\"dir\"}\n", &e), 0);
    forge_file_line("d/one", hostile_contents[0], false, ret);
    cr_assert_eq(
        buf_add_text(ret, "{\"path\":\"l\",\"target\":\"../../x\",\"type\":\"link\"}\n", &e), 0);
    forge_file_line("run", hostile_contents[1], true, ret);
    forge_file_line("two", hostile_contents[2], false, ret);
}

void hostile_bundle(void (*edit)(struct forge *f), struct buf *ret) {
    struct buf tree;
    hostile_tree(&tree);
    struct forge f = {
        .tree = buf_text(&tree), .n_contents = HOSTILE_FILES, .contents = hostile_contents};
    if (edit)
        edit(&f);
    buf_init(ret, 1 << 22);
    forge_bundle(&f, ret);
    buf_clear(&tree);
}

int hostile_open(const struct unpack_source *source, struct unpack_bundle **ret, struct err *e) {
    struct unpack_candidate *candidate = NULL;
    struct keys_role role;
    forge_role(1, 1, &role);
    if (unpack_open(source, &candidate, e) < 0)
        return -1;
    int r = unpack_verify(&candidate, &role, ret, e);
    cr_assert_null(candidate, "consumed in every case");
    return r;
}

int hostile_check(struct slice bytes, struct err *e) {
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_bundle *bundle = NULL;
    forge_source(&memory, bytes, &source);
    if (hostile_open(&source, &bundle, e) < 0)
        return -1;
    int r = unpack_check(bundle, &source, HOSTILE_DECODE_MAX, e);
    unpack_bundle_free(bundle);
    return r;
}

int hostile_stage(struct slice bytes, struct unpack_stage_result *ret, struct err *e) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_bundle *bundle = NULL;
    forge_source(&memory, bytes, &source);
    if (hostile_open(&source, &bundle, e) < 0)
        return -1;
    const struct unpack_stage how = {.target_dir = tmp.fd,
                                     .previous_dir = -1,
                                     .older_dir = -1,
                                     .decode_max_bytes = HOSTILE_DECODE_MAX};
    int r = unpack_stage(bundle, &source, &how, ret, e);
    unpack_bundle_free(bundle);
    return r;
}

void hostile_refuse(const struct hostile_lie *lies, size_t n, void (*clean)(void)) {
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_NONE, late = ERR_NONE;
        struct unpack_stage_result result;
        struct buf bytes;
        hostile_bundle(lies[i].edit, &bytes);
        cr_expect_lt(hostile_check(buf_slice(&bytes), &e), 0, "%s: checked", lies[i].name);
        cr_expect(err_is(&e, lies[i].kind), "%s: %s", lies[i].name, e.text);
        const struct err_kind *kind = lies[i].stage_kind ? lies[i].stage_kind : lies[i].kind;
        cr_expect_lt(hostile_stage(buf_slice(&bytes), &result, &late), 0, "%s: staged",
                     lies[i].name);
        cr_expect(err_is(&late, kind), "%s: %s", lies[i].name, late.text);
        buf_clear(&bytes);
        clean();
    }
}

void hostile_take(void (*edit)(struct forge *f)) {
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(edit, &bytes);
    cr_expect_eq(hostile_check(buf_slice(&bytes), &e), 0, "%s", e.text);
    cr_expect_eq(hostile_stage(buf_slice(&bytes), &result, &e), 0, "%s", e.text);
    buf_clear(&bytes);
}
