// SPDX-License-Identifier: Apache-2.0
//
// Staging: what is written, left out, kept and gone on with; and what any failing call leaves.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "tests/support/fs_fault.h"
#include "tests/support/hostile.h"

static int stage(struct slice bytes, int dir, int previous, bool resume, uint64_t break_after,
                 struct unpack_stage_result *ret, struct err *e) {
    struct forge_memory memory;
    struct unpack_source source;
    struct unpack_bundle *bundle = NULL;
    forge_source(&memory, bytes, &source);
    cr_assert_eq(hostile_open(&source, &bundle, e), 0, "%s", e->text);
    memory.given = 0;
    memory.break_after = break_after;
    const struct unpack_stage how = {.target_dir = dir,
                                     .previous_dir = previous,
                                     .older_dir = -1,
                                     .resume = resume,
                                     .decode_max_bytes = HOSTILE_DECODE_MAX};
    int r = unpack_stage(bundle, &source, &how, ret, e);
    unpack_bundle_free(bundle);
    return r;
}

static void expect_file(int dir, const char *path, struct slice content) {
    struct err e = ERR_NONE;
    struct buf found;
    buf_init(&found, 1 << 20);
    cr_expect_eq(fs_read_file(dir, path, 1 << 20, &found, &e), 0, "%s", e.text);
    cr_expect_eq(found.len, content.len, "%s", path);
    cr_expect(found.len == content.len && memcmp(found.data, content.data, content.len) == 0, "%s",
              path);
    buf_clear(&found);
}

static void expect_all(int dir) {
    struct stat status;
    expect_file(dir, "c/d/one", hostile_contents[0]);
    expect_file(dir, "c/run", hostile_contents[1]);
    expect_file(dir, "c/two", hostile_contents[2]);
    cr_expect_eq(fstatat(dir, "c/l", &status, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect(S_ISLNK(status.st_mode));
    cr_expect_lt(fstatat(dir, ".edge/scratch-index", &status, 0), 0, "scratch files are gone");
}

Test(stage, an_honest_bundle_is_staged) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(stage(buf_slice(&bytes), tmp.fd, -1, false, 0, &result, &e), 0, "%s", e.text);
    expect_all(tmp.fd);
    cr_expect_eq(result.files_written, 3);
    cr_expect_eq(result.source_bytes, bytes.len);
    buf_clear(&bytes);
}

Test(stage, without_resume_nothing_may_be_there) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(mkdirat(tmp.fd, "c", 0755), 0);
    cr_expect_lt(stage(buf_slice(&bytes), tmp.fd, -1, false, 0, &result, &e), 0);
    cr_expect(err_is(&e, &err_exists), "%s", e.text);
    buf_clear(&bytes);
}

Test(stage, a_link_in_the_way_is_not_followed) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    struct stat status;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(mkdirat(tmp.fd, "c", 0755), 0);
    cr_assert_eq(mkdirat(tmp.fd, "outside", 0755), 0);
    cr_assert_eq(symlinkat("../outside", tmp.fd, "c/d"), 0);
    cr_expect_lt(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e), 0);
    cr_expect_lt(fstatat(tmp.fd, "outside/one", &status, 0), 0, "nothing was written through it");
    // In place of a file, to one that is there.
    OWN(fd) int outside = openat(tmp.fd, "outside/one", O_CREAT | O_EXCL | O_WRONLY, 0644);
    cr_assert(outside >= 0 && write(outside, "mine", 4) == 4);
    cr_assert_eq(unlinkat(tmp.fd, "c/d", 0), 0);
    cr_assert_eq(mkdirat(tmp.fd, "c/d", 0755), 0);
    cr_assert_eq(symlinkat("../../outside/one", tmp.fd, "c/d/one"), 0);
    err_clear(&e);
    cr_expect_lt(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e), 0);
    cr_assert_eq(fstat(outside, &status), 0);
    cr_expect(status.st_size == 4, "nor through this one");
    buf_clear(&bytes);
}

Test(stage, an_interrupted_download_goes_on_where_it_broke) {
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    for (uint64_t at = 1; at < bytes.len; at += 97) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        struct unpack_stage_result result;
        if (stage(buf_slice(&bytes), tmp.fd, -1, true, at, &result, &e) == 0)
            continue;
        cr_expect(err_is(&e, &err_io), "%s", e.text);
        err_clear(&e);
        cr_expect_eq(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e), 0, "%s", e.text);
        expect_all(tmp.fd);
    }
    buf_clear(&bytes);
}

Test(stage, resume_keeps_what_is_right_and_fetches_no_frame_for_it) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result first, second;
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &first, &e), 0, "%s", e.text);
    cr_assert_eq(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &second, &e), 0, "%s", e.text);
    cr_expect_eq(second.files_kept, 3);
    cr_expect_eq(second.files_written, 0);
    cr_expect_lt(second.source_bytes, first.source_bytes);
    expect_all(tmp.fd);
    buf_clear(&bytes);
}

Test(stage, resume_mends_what_is_wrong) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e), 0, "%s", e.text);
    OWN(fd) int one = openat(tmp.fd, "c/d/one", O_WRONLY);
    OWN(fd) int run = openat(tmp.fd, "c/run", O_WRONLY | O_APPEND);
    OWN(fd) int tree = openat(tmp.fd, ".edge/c.tree", O_WRONLY | O_TRUNC);
    cr_assert_eq(pwrite(one, "T", 1, 0), 1);
    cr_assert_eq(write(run, "too long", 8), 8);
    cr_assert_eq(write(tree, "junk", 4), 4);
    cr_assert_eq(unlinkat(tmp.fd, "c/l", 0), 0);
    cr_assert_eq(symlinkat("elsewhere", tmp.fd, "c/l"), 0);
    cr_assert_eq(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e), 0, "%s", e.text);
    char target[32] = "";
    cr_expect_eq(readlinkat(tmp.fd, "c/l", target, sizeof target), 7);
    cr_expect_eq(memcmp(target, "../../x", 7), 0);
    expect_all(tmp.fd);
    buf_clear(&bytes);
}

Test(stage, files_of_the_previous_generation_are_left_out_and_not_fetched) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result first, second;
    struct buf bytes;
    struct stat status;
    hostile_bundle(NULL, &bytes);
    cr_assert_eq(mkdirat(tmp.fd, "1", 0755), 0);
    cr_assert_eq(mkdirat(tmp.fd, "2", 0755), 0);
    OWN(fd) int one = openat(tmp.fd, "1", O_RDONLY | O_DIRECTORY);
    OWN(fd) int two = openat(tmp.fd, "2", O_RDONLY | O_DIRECTORY);
    cr_assert_eq(stage(buf_slice(&bytes), one, -1, false, 0, &first, &e), 0, "%s", e.text);
    cr_assert_eq(stage(buf_slice(&bytes), two, one, false, 0, &second, &e), 0, "%s", e.text);
    cr_expect_eq(second.files_left_out, 3);
    cr_expect_eq(second.stream_bytes, 0);
    cr_expect_lt(second.source_bytes, first.source_bytes);
    cr_expect_lt(fstatat(two, "c/run", &status, 0), 0);
    cr_expect_eq(fstatat(two, "c/d", &status, 0), 0, "directories and links are made");
    buf_clear(&bytes);
}

// Every call fails once, and the next try with resume succeeds.
static void fail_at_every_call(int error, const struct err_kind *kind) {
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    for (size_t n = 0;; n++) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        struct unpack_stage_result result;
        const struct fs_fault fault = {
            .at = n, .effect = FS_FAULT_ERROR, .error = error, .for_ever = true};
        fs_fault_begin(&fault);
        int r = stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e);
        bool hit = fs_fault_end(NULL);
        cr_expect_eq(r, hit ? -1 : 0, "call %zu: %s", n, e.text);
        if (hit)
            cr_expect(err_is(&e, kind), "call %zu: %s", n, e.text);
        err_clear(&e);
        cr_expect_eq(stage(buf_slice(&bytes), tmp.fd, -1, true, 0, &result, &e), 0, "%s", e.text);
        expect_all(tmp.fd);
        if (!hit)
            break;
        cr_assert_lt(n, 500);
    }
    buf_clear(&bytes);
}

Test(stage, a_full_disk_at_any_call_fails_and_the_next_try_succeeds) {
    fail_at_every_call(ENOSPC, &err_no_space);
}

Test(stage, a_read_only_file_system_at_any_call_fails) {
    fail_at_every_call(EROFS, &err_read_only);
}

Test(stage, a_write_of_one_byte_at_a_time_is_no_failure) {
    struct buf bytes;
    hostile_bundle(NULL, &bytes);
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    const struct fs_fault fault = {.at = 0, .effect = FS_FAULT_SHORT, .for_ever = true};
    fs_fault_begin(&fault);
    int r = stage(buf_slice(&bytes), tmp.fd, -1, false, 0, &result, &e);
    (void)fs_fault_end(NULL);
    cr_expect_eq(r, 0, "%s", e.text);
    expect_all(tmp.fd);
    buf_clear(&bytes);
}

static json_t *members;

static void make_image(struct forge *f) {
    static const char digest[] = "0011223344556677889900112233445566778899001122334455667788990011";
    members =
        json_pack("{s:[{s:{s:s,s:i},s:s,s:i,s:s}]}", "components", "content", "digest", digest,
                  "size", 1, "name", "rootfs", "security_version", 1, "type", "image");
    cr_assert_not_null(members);
    f->members = members;
}

Test(stage, an_image_is_refused_before_anything_is_read) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct unpack_stage_result result;
    struct buf bytes;
    struct stat status;
    hostile_bundle(make_image, &bytes);
    cr_expect_lt(stage(buf_slice(&bytes), tmp.fd, -1, false, 1, &result, &e), 0);
    cr_expect(err_is(&e, &err_unsupported_component), "%s", e.text);
    cr_expect_lt(fstatat(tmp.fd, ".edge", &status, 0), 0);
    json_decref(members);
    buf_clear(&bytes);
}
