// SPDX-License-Identifier: Apache-2.0
//
// Sealing: what was written is read back, what was left out comes from the previous generation, and
// nothing else may be there.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/seal.h"
#include "tests/support/forge.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

static const char *const texts[] = {"", "#!/bin/sh\nexit 0\n", "same in all"};

static struct slice slice_of(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static void put(int dir, const char *path, struct slice content) {
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(write(fd, content.data, content.len), (ssize_t)content.len);
    cr_assert_eq(close(fd), 0);
}

// A directory, a link and three files, of which `text` is the first one's content.
static void make_tree(const char *text, struct buf *ret) {
    struct err e = ERR_NONE;
    buf_init(ret, 65536);
    cr_assert_eq(buf_add_text(ret, "{\"path\":\"d\",\"type\":\"dir\"}\n", &e), 0);
    forge_file_line("d/text", slice_of(text), false, ret);
    cr_assert_eq(
        buf_add_text(ret, "{\"path\":\"link\",\"target\":\"/d/../text\",\"type\":\"link\"}\n", &e),
        0);
    forge_file_line("run", slice_of(texts[1]), true, ret);
    forge_file_line("same", slice_of(texts[2]), false, ret);
}

// Puts component `name` into directory `place` of dir as a stage would; `whole`: nothing is left
// out. Returns the manifest it is signed by.
static struct bundle_manifest *stage(int dir, const char *place, const char *name, const char *text,
                                     bool whole) {
    struct err e = ERR_NONE;
    struct buf tree, bytes;
    struct keys_role role;
    struct bundle_manifest *manifest = NULL;
    const struct slice contents[] = {slice_of(text), slice_of(texts[1]), slice_of(texts[2])};
    char path[64];
    make_tree(text, &tree);
    buf_init(&bytes, 1 << 20);
    json_t *component = json_pack("{s:s}", "name", name);
    const struct forge f = {
        .tree = buf_text(&tree), .n_contents = 3, .contents = contents, .component = component};
    forge_bundle(&f, &bytes);
    forge_role(1, 1, &role);
    cr_assert_eq(bundle_manifest_verify(forge_manifest_of(buf_slice(&bytes)), &role, &manifest, &e),
                 0, "%s", e.text);
    cr_assert_eq(mkdirat(dir, place, 0700), 0);
    OWN(fd) int to = openat(dir, place, O_RDONLY | O_DIRECTORY);
    cr_assert(mkdirat(to, ".edge", 0700) == 0 && mkdirat(to, name, 0700) == 0);
    (void)snprintf(path, sizeof path, ".edge/%s.tree", name);
    put(to, path, buf_slice(&tree));
    OWN(fd) int in = openat(to, name, O_RDONLY | O_DIRECTORY);
    cr_assert_eq(mkdirat(in, "d", 0700), 0);
    put(in, "d/text", contents[0]);
    if (whole) {
        cr_assert_eq(symlinkat("/d/../text", in, "link"), 0);
        put(in, "run", contents[1]);
        put(in, "same", contents[2]);
    }
    json_decref(component);
    buf_clear(&tree);
    buf_clear(&bytes);
    return manifest;
}

struct sealed {
    struct bundle_seal_result result;
    int dir;
};

static int seal(const struct bundle_manifest *manifest, int dir, int previous,
                const struct bundle_generation *record, uint64_t number, struct sealed *ret,
                struct err *e) {
    const struct bundle_seal how = {.partial_dir = dir,
                                    .previous_dir = previous,
                                    .previous = record,
                                    .manifest = manifest,
                                    .number = number};
    ret->dir = dir;
    return bundle_seal(&how, &ret->result, e);
}

static int open_dir(int dir, const char *name) {
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY);
    cr_assert(fd >= 0);
    return fd;
}

// Generation 1 in "1", sealed.
static void first_generation(struct tmp_dir *tmp, struct sealed *ret) {
    struct err e = ERR_NONE;
    struct bundle_manifest *manifest = stage(tmp->fd, "1", "c", "version one", true);
    cr_assert_eq(seal(manifest, open_dir(tmp->fd, "1"), -1, NULL, 1, ret, &e), 0, "%s", e.text);
    cr_expect_eq(ret->result.files_written, 3);
    cr_expect_eq(ret->result.files_linked, 0);
    bundle_manifest_free(manifest);
}

Test(seal, a_sealed_generation_verifies_and_has_fixed_modes_and_times) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct sealed one;
    struct bundle_generation record;
    struct stat status;
    first_generation(&tmp, &one);
    cr_assert_eq(bundle_seal_verify(one.dir, NULL, NULL, &record, &e), 0, "%s", e.text);
    cr_expect_eq(record.number, 1);
    cr_expect_eq(record.n_components, 1);
    cr_expect_str_eq(record.components[0].release, "1.0");
    static const struct {
        const char *path;
        mode_t mode;
    } modes[] = {{"1/c", 0755},     {"1/c/d", 0755},    {"1/c/d/text", 0444},    {"1/c/run", 0555},
                 {"1/.edge", 0755}, {"1/c/same", 0444}, {"1/.edge/c.tree", 0444}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        cr_assert_eq(fstatat(tmp.fd, modes[i].path, &status, AT_SYMLINK_NOFOLLOW), 0);
        cr_expect_eq(status.st_mode & 07777, modes[i].mode, "%s", modes[i].path);
        if (strcmp(modes[i].path, "1/.edge") != 0)
            cr_expect_eq(status.st_mtime, BUNDLE_GENERATION_TIME_S, "%s", modes[i].path);
    }
    cr_assert_eq(fstatat(tmp.fd, "1/c/link", &status, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect(S_ISLNK(status.st_mode));
    cr_expect_eq(status.st_mtime, BUNDLE_GENERATION_TIME_S);
}

Test(seal, unchanged_files_and_components_come_from_the_previous_generation) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct sealed one, two, three;
    struct bundle_generation record;
    first_generation(&tmp, &one);

    struct bundle_manifest *manifest = stage(tmp.fd, "2", "c", "version two", false);
    cr_assert_eq(seal(manifest, open_dir(tmp.fd, "2"), one.dir, &one.result.record, 2, &two, &e), 0,
                 "%s", e.text);
    cr_expect_eq(two.result.files_linked, 2);
    cr_expect_eq(two.result.files_written, 1);
    bundle_manifest_free(manifest);

    manifest = stage(tmp.fd, "3", "b", "another component", true);
    cr_assert_eq(seal(manifest, open_dir(tmp.fd, "3"), two.dir, &two.result.record, 3, &three, &e),
                 0, "%s", e.text);
    cr_expect_eq(three.result.files_linked, 3);
    cr_assert_eq(bundle_seal_verify(three.dir, NULL, NULL, &record, &e), 0, "%s", e.text);
    cr_assert_eq(record.n_components, 2);
    cr_expect_str_eq(record.components[0].name, "b");
    cr_expect_str_eq(record.components[1].name, "c");
    cr_expect_eq(bundle_seal_verify(one.dir, NULL, NULL, &record, &e), 0, "untouched: %s", e.text);
    cr_expect_eq(bundle_seal_verify(two.dir, NULL, NULL, &record, &e), 0, "untouched: %s", e.text);
    bundle_manifest_free(manifest);
}

// What someone did to a generation, and what verifying says.
struct damage {
    const char *name;
    void (*make)(int dir);
    const struct err_kind *kind;
};

static void flip(int dir, const char *path) {
    char byte = 0;
    cr_assert_eq(fchmodat(dir, path, 0600, 0), 0);
    OWN(fd) int fd = openat(dir, path, O_RDWR);
    cr_assert(fd >= 0);
    cr_assert_eq(pread(fd, &byte, 1, 3), 1);
    byte ^= 4;
    cr_assert_eq(pwrite(fd, &byte, 1, 3), 1);
    cr_assert_eq(fchmodat(dir, path, 0444, 0), 0);
}

static void flip_file(int dir) {
    flip(dir, "c/d/text");
}
static void flip_tree(int dir) {
    flip(dir, ".edge/c.tree");
}
static void flip_record(int dir) {
    flip(dir, ".edge/generation.json");
}
static void remove_file(int dir) {
    cr_assert_eq(unlinkat(dir, "c/same", 0), 0);
}
static void remove_record(int dir) {
    cr_assert_eq(unlinkat(dir, ".edge/generation.json", 0), 0);
}
static void add_file(int dir) {
    OWN(fd) int fd = openat(dir, "c/d/extra", O_WRONLY | O_CREAT, 0444);
    cr_assert(fd >= 0);
}
static void add_component(int dir) {
    cr_assert_eq(mkdirat(dir, "extra", 0755), 0);
}
static void add_in_edge(int dir) {
    cr_assert_eq(mkdirat(dir, ".edge/extra", 0755), 0);
}
static void make_exec(int dir) {
    cr_assert_eq(fchmodat(dir, "c/same", 0555, 0), 0);
}
static void make_setuid(int dir) {
    cr_assert_eq(fchmodat(dir, "c/run", 04555, 0), 0);
}
static void turn_link(int dir) {
    cr_assert_eq(unlinkat(dir, "c/link", 0), 0);
    cr_assert_eq(symlinkat("/d/../texT", dir, "c/link"), 0);
}
static void file_to_link(int dir) {
    cr_assert_eq(unlinkat(dir, "c/same", 0), 0);
    cr_assert_eq(symlinkat("run", dir, "c/same"), 0);
}
static void dir_to_link(int dir) {
    cr_assert_eq(renameat(dir, "c/d", dir, "moved"), 0);
    cr_assert_eq(symlinkat("../moved", dir, "c/d"), 0);
}
static void lengthen(int dir) {
    cr_assert_eq(fchmodat(dir, "c/same", 0600, 0), 0);
    OWN(fd) int fd = openat(dir, "c/same", O_WRONLY | O_APPEND);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(fchmodat(dir, "c/same", 0444, 0), 0);
}

Test(seal, any_damage_to_a_generation_is_found) {
    static const struct damage damages[] = {
        {"a flipped bit in a file", flip_file, &err_bad_content},
        {"a flipped bit in a tree", flip_tree, &err_bad_tree},
        {"a flipped bit in the record", flip_record, &err_bad_generation},
        {"a missing file", remove_file, &err_bad_content},
        {"a missing record", remove_record, &err_bad_generation},
        {"an extra file", add_file, &err_bad_content},
        {"an extra component", add_component, &err_bad_content},
        {"an extra entry in .edge", add_in_edge, &err_bad_content},
        {"a file that became executable", make_exec, &err_bad_content},
        {"a file that became setuid", make_setuid, &err_bad_content},
        {"a link that leads elsewhere", turn_link, &err_bad_content},
        {"a file that became a link", file_to_link, &err_bad_content},
        {"a directory that became a link", dir_to_link, &err_bad_content},
        {"a longer file", lengthen, &err_bad_content},
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        struct sealed one;
        struct bundle_generation record;
        first_generation(&tmp, &one);
        damages[i].make(one.dir);
        cr_expect_lt(bundle_seal_verify(one.dir, NULL, NULL, &record, &e), 0, "%s",
                     damages[i].name);
        cr_expect(err_is(&e, damages[i].kind), "%s: %s", damages[i].name, e.text);
    }
}

Test(seal, a_damaged_previous_generation_is_not_built_upon) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct sealed one, two;
    first_generation(&tmp, &one);
    flip(one.dir, "c/same");
    struct bundle_manifest *manifest = stage(tmp.fd, "2", "c", "version two", false);
    cr_expect_lt(seal(manifest, open_dir(tmp.fd, "2"), one.dir, &one.result.record, 2, &two, &e),
                 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    bundle_manifest_free(manifest);
}

Test(seal, a_damaged_stage_is_not_sealed) {
    OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
    struct err e = ERR_NONE;
    struct sealed one;
    struct stat status;
    struct bundle_manifest *manifest = stage(tmp.fd, "1", "c", "version one", true);
    int dir = open_dir(tmp.fd, "1");
    flip(dir, "c/d/text");
    cr_expect_lt(seal(manifest, dir, -1, NULL, 1, &one, &e), 0);
    cr_expect(err_is(&e, &err_bad_content), "%s", e.text);
    cr_expect_lt(fstatat(dir, ".edge/generation.json", &status, 0), 0, "no record was written");
    bundle_manifest_free(manifest);
}

// The n-th call through the file-system seam fails: sealing fails, and a second try succeeds.
static void fail_at_every_call(enum fs_fault_effect effect, int error,
                               const struct err_kind *kind) {
    for (size_t n = 0;; n++) {
        OWN(tmp_dir) struct tmp_dir tmp = tmp_dir_make();
        struct err e = ERR_NONE;
        struct sealed one, two;
        first_generation(&tmp, &one);
        struct bundle_manifest *manifest = stage(tmp.fd, "2", "c", "version two", false);
        OWN(fd) int dir = open_dir(tmp.fd, "2");
        const struct fs_fault fault = {.at = n, .effect = effect, .error = error, .for_ever = true};
        fs_fault_begin(&fault);
        int r = seal(manifest, dir, one.dir, &one.result.record, 2, &two, &e);
        bool hit = fs_fault_end(NULL);
        if (hit && r < 0)
            cr_expect(err_is(&e, kind), "call %zu: %s", n, e.text);
        if (hit) {
            err_clear(&e);
            cr_expect_eq(seal(manifest, dir, one.dir, &one.result.record, 2, &two, &e), 0,
                         "after call %zu: %s", n, e.text);
        } else {
            cr_expect_eq(r, 0, "%s", e.text);
        }
        (void)close(one.dir);
        bundle_manifest_free(manifest);
        if (!hit)
            break;
        cr_assert_lt(n, 500);
    }
}

Test(seal, a_full_disk_at_any_call_fails_and_a_second_try_succeeds) {
    fail_at_every_call(FS_FAULT_ERROR, ENOSPC, &err_no_space);
}

Test(seal, a_read_only_file_system_at_any_call_fails) {
    fail_at_every_call(FS_FAULT_ERROR, EROFS, &err_read_only);
}
