// SPDX-License-Identifier: Apache-2.0
//
// Staging from a delta: what is written, taken, left out, kept and gone on with.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/generation.h"
#include "bundle/kind.h"
#include "bundle/seal.h"
#include "tests/unit/bundle/unpack/delta/staging.h"

static void expect_file(int dir, const char *path, const char *content) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf found;
    buf_init(&found, 1 << 20);
    cr_expect_eq(fs_read_file(dir, path, 1 << 20, &found, &e), 0, "%s", e.text);
    cr_expect_str_eq(buf_text(&found), content, "%s", path);
}

static void expect_all(int target) {
    struct stat status;
    expect_file(target, "c/a", delta_scene_contents[0]);
    expect_file(target, "c/away", delta_scene_contents[1]);
    expect_file(target, "c/copy", delta_scene_contents[2]);
    expect_file(target, "c/fresh", delta_scene_contents[4]);
    expect_file(target, "c/z", "");
    cr_expect_lt(fstatat(target, "c/d/same", &status, 0), 0, "left out: the generation has it");
    cr_expect_eq(fstatat(target, "c/l", &status, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect(S_ISLNK(status.st_mode));
    cr_expect_lt(fstatat(target, ".edge/scratch-base", &status, 0), 0, "scratch files are gone");
    cr_expect_lt(fstatat(target, ".edge/scratch-map", &status, 0), 0);
    cr_expect_lt(fstatat(target, ".edge/scratch-contents", &status, 0), 0);
}

Test(stage, an_honest_delta_is_staged) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    cr_assert_eq(staging_stage(&t, false), 0, "%s", t.e.text);
    expect_all(t.target.fd);
    cr_expect_eq(t.result.files_written, 5);
    cr_expect_eq(t.result.files_left_out, 1);
    cr_expect_eq(t.result.source_bytes, t.bytes.len, "every byte is read once");
}

Test(stage, what_was_staged_is_sealed) {
    OWN(staging) struct staging t;
    OWN(root) struct keys_root *root = delta_scene_root();
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    struct bundle_generation before;
    struct bundle_seal_result sealed;
    staging_make(&t, NULL);
    cr_assert_eq(staging_stage(&t, false), 0, "%s", t.e.text);
    cr_assert_eq(bundle_manifest_verify_root(buf_slice(&t.scene.manifest), root, &manifest, &t.e),
                 0);
    cr_assert_eq(bundle_generation_read(t.base.fd, &before, &t.e), 0, "%s", t.e.text);
    const struct bundle_seal how = {.partial_dir = t.target.fd,
                                    .previous_dir = t.base.fd,
                                    .previous = &before,
                                    .manifest = manifest,
                                    .number = 2};
    cr_assert_eq(bundle_seal(&how, &sealed, &t.e), 0, "%s", t.e.text);
    cr_expect_eq(sealed.files_linked, 1);
    expect_file(t.target.fd, "c/d/same", delta_scene_contents[3]);
}

// Into `target`, resuming; it breaks after `at` bytes, or not when that is 0.
static int stage_broken(const struct staging *t, int target, uint64_t at,
                        struct unpack_stage_result *ret) {
    struct err e = ERR_NONE;
    int r = delta_scene_stage(buf_slice(&t->bytes), t->base.fd, target, true, at, ret, &e);
    cr_assert(r == 0 || err_is(&e, &err_io), "%s", e.text);
    return r;
}

Test(stage, broken_off_anywhere_it_goes_on) {
    OWN(staging) struct staging t;
    uint64_t at = 1;
    staging_make(&t, NULL);
    for (int r = -1; r < 0; at += 97) {
        OWN(tmp_dir) struct tmp_dir target = tmp_dir_make();
        r = stage_broken(&t, target.fd, at, &t.result);
        cr_assert_eq(stage_broken(&t, target.fd, 0, &t.result), 0);
        expect_all(target.fd);
    }
    cr_expect_gt(at, 97, "it broke at least once");
}

Test(stage, what_is_whole_is_kept_and_its_frames_are_not_read) {
    OWN(staging) struct staging t;
    struct unpack_stage_result first;
    staging_make(&t, NULL);
    cr_assert_eq(stage_broken(&t, t.target.fd, 0, &first), 0);
    OWN(fd) int fd = openat(t.target.fd, "c/fresh", O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(staging_stage(&t, true), 0, "%s", t.e.text);
    expect_all(t.target.fd);
    cr_expect_eq(t.result.files_kept, 4);
    cr_expect_eq(t.result.files_written, 1);
    cr_expect_eq(first.source_bytes - t.result.source_bytes,
                 t.scene.stored[DELTA_SCENE_TREE].len + t.scene.stored[DELTA_SCENE_A].len);
}

#define BORDER 30

// `a` in two frames: plain ones, cut at BORDER.
static void cut_in_two(struct delta_scene *s) {
    struct slice fresh = {(const uint8_t *)delta_scene_contents[4],
                          strlen(delta_scene_contents[4])};
    struct slice a = {(const uint8_t *)delta_scene_contents[0], strlen(delta_scene_contents[0])};
    delta_scene_plain(s, DELTA_SCENE_A, (struct slice){a.data, BORDER});
    delta_scene_plain(s, DELTA_SCENE_A + 1, (struct slice){a.data + BORDER, a.len - BORDER});
    delta_scene_plain(s, DELTA_SCENE_A + 2, fresh);
    s->n_frames = 5;
}

static void put(int dir, const char *path, const void *data, size_t len) {
    OWN(fd) int fd = openat(dir, path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, data, len) == (ssize_t)len);
}

// As damage to the medium does.
static void damage(int dir, const char *path) {
    OWN(fd) int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && pwrite(fd, "X", 1, 20) == 1);
}

Test(stage, a_content_is_gone_on_with_from_the_last_border_of_a_frame) {
    OWN(staging) struct staging t;
    struct unpack_stage_result whole, rest;
    const size_t len = strlen(delta_scene_contents[0]);
    staging_make(&t, cut_in_two);
    const struct buf *stored = t.scene.stored;
    for (size_t have = 1; have < len; have++) {
        OWN(tmp_dir) struct tmp_dir target = tmp_dir_make();
        cr_assert_eq(stage_broken(&t, target.fd, 0, &whole), 0);
        put(target.fd, "c/a", delta_scene_contents[0], have);
        cr_assert_eq(stage_broken(&t, target.fd, 0, &rest), 0);
        expect_all(target.fd);
        size_t saved = stored[DELTA_SCENE_TREE].len + stored[DELTA_SCENE_A + 2].len +
                       (have < BORDER ? 0 : stored[DELTA_SCENE_A].len);
        cr_expect_eq(whole.source_bytes - rest.source_bytes, saved, "with %zu bytes", have);
    }
}

Test(stage, a_beginning_that_is_wrong_is_thrown_away_and_the_next_try_succeeds) {
    OWN(staging) struct staging t;
    staging_make(&t, cut_in_two);
    cr_assert_eq(mkdirat(t.target.fd, "c", 0700), 0);
    put(t.target.fd, "c/a", "forty bytes of something that is not it.", 40);
    cr_assert_lt(staging_stage(&t, true), 0);
    cr_expect(err_is(&t.e, &err_bad_delta), "%s", t.e.text);
    cr_assert_eq(stage_broken(&t, t.target.fd, 0, &t.result), 0);
    expect_all(t.target.fd);
}

Test(stage, a_damaged_base_is_seen_before_anything_is_believed) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    damage(t.base.fd, "c/a");
    cr_assert_lt(staging_stage(&t, false), 0);
    cr_expect(err_is(&t.e, &err_bad_delta), "%s", t.e.text);
    cr_expect(strstr(t.e.text, "component c: a"), "%s", t.e.text);
}

Test(stage, a_damaged_tree_of_the_base_is_the_generations_fault) {
    OWN(staging) struct staging t;
    staging_make(&t, NULL);
    damage(t.base.fd, ".edge/c.tree");
    cr_assert_lt(staging_stage(&t, false), 0);
    cr_expect(err_is(&t.e, &err_bad_generation), "%s", t.e.text);
}

Test(stage, a_link_in_the_place_of_a_file_is_not_written_through) {
    OWN(staging) struct staging t;
    OWN(tmp_dir) struct tmp_dir outside = tmp_dir_make();
    char path[TMP_PATH_BYTES + 8];
    staging_make(&t, NULL);
    (void)snprintf(path, sizeof path, "%s/victim", outside.path);
    put(outside.fd, "victim", "untouched", 9);
    cr_assert_eq(mkdirat(t.target.fd, "c", 0700), 0);
    cr_assert_eq(symlinkat(path, t.target.fd, "c/a"), 0);
    cr_assert_lt(staging_stage(&t, true), 0);
    expect_file(outside.fd, "victim", "untouched");
}
