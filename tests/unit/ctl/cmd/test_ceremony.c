// SPDX-License-Identifier: Apache-2.0
//
// Rotating a key and publishing the root while the disk fails at any call: the same commands again
// repair what was left, and nothing is ever half in force.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/cmd/document.h"
#include "ctl/cmd/table.h"
#include "ctl/cmd/workspace.h"
#include "tests/support/fs_fault.h"
#include "tests/support/tmp.h"

#define WORDS_MAX 12

// A command on the workspace; `words` ends with NULL.
static int run(const char *workspace, const char *const *words, struct err *e) {
    char copies[WORDS_MAX][TMP_PATH_BYTES];
    char *argv[WORDS_MAX];
    int n = 0;
    for (; words[n]; n++) {
        (void)snprintf(copies[n], sizeof copies[n], "%s", *words[n] == '@' ? workspace : words[n]);
        argv[n] = copies[n];
    }
    return cmd_table_run(n, argv, e);
}

static const char *const init[] = {"init", "@", "--no-passphrase", NULL};
static const char *const rotate[] = {"key", "rotate", "targets",         "--workspace",
                                     "@",   "--json", "--no-passphrase", NULL};
static const char *const publish[] = {"root", "publish", "--workspace", "@", "--json", NULL};
static const char *const floor_up[] = {"release", "floor",  "app=3", "--workspace",
                                       "@",       "--json", NULL};

static void must(const char *workspace, const char *const *words) {
    struct err e = ERR_NONE;
    cr_assert_eq(run(workspace, words, &e), 0, "%s %s: %s", words[0], words[1], e.text);
}

static void make(struct tmp_dir *dir, char workspace[static TMP_PATH_BYTES]) {
    cr_assert_not_null(freopen("/dev/null", "w", stdout));
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
    (void)snprintf(workspace, TMP_PATH_BYTES, "%.200s/ws", dir->path);
    must(workspace, init);
}

static void read_file(int dir, const char *path, struct buf *ret) {
    struct err e = ERR_NONE;
    char full[TMP_PATH_BYTES];
    (void)snprintf(full, sizeof full, "ws/%s", path);
    buf_init(ret, KEYS_ROOT_MAX_BYTES);
    cr_assert_eq(fs_read_file(dir, full, KEYS_ROOT_MAX_BYTES, ret, &e), 0, "%s", e.text);
}

static bool same(int dir, const char *a, const char *b) {
    OWN(buf) struct buf x;
    OWN(buf) struct buf y;
    read_file(dir, a, &x);
    read_file(dir, b, &y);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

static uint64_t version_of(int dir, const char *path) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    OWN(root) struct keys_root *root = NULL;
    read_file(dir, path, &raw);
    cr_assert_eq(keys_root_open(buf_slice(&raw), &root, &e), 0, "%s: %s", path, e.text);
    return keys_root_header(root)->version;
}

// Runs the command with the n-th call failing, then again without. False when no call was hit.
static bool fail_at(const char *workspace, const char *const *words, size_t at,
                    enum fs_fault_effect effect) {
    struct err e = ERR_NONE;
    const struct fs_fault fault = {.at = at, .effect = effect, .error = EIO};
    fs_fault_begin(&fault);
    int r = run(workspace, words, &e);
    bool hit = fs_fault_end(NULL);
    cr_assert(hit || r == 0, "%s", e.text);
    return hit;
}

static void check_published(int dir) {
    struct stat st;
    struct err e = ERR_NONE;
    cr_expect_eq(version_of(dir, "root.json"), 2);
    cr_expect(same(dir, "root.json", "server/root.json"));
    cr_expect(same(dir, "root.json", "server/repository/metadata/2.root.json"));
    cr_expect_eq(fs_stat(dir, "ws/pending/2.root.json", &st, &e), FS_ABSENT);
}

// Every fifth call, and both ways of failing: each round makes a workspace.
#define STRIDE 5

Test(ceremony, a_rotation_that_the_disk_interrupts_is_done_by_doing_it_again, .timeout = 300) {
    bool hit = true;
    for (size_t at = 0; hit; at += STRIDE) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        char workspace[TMP_PATH_BYTES];
        struct err e = ERR_NONE;
        make(&dir, workspace);
        hit = fail_at(workspace, rotate, at, at % 2 ? FS_FAULT_ERROR : FS_FAULT_AFTERWARDS);
        cr_assert_eq(version_of(dir.fd, "root.json"), 1, "a rotation alone puts nothing in force");
        must(workspace, rotate);
        OWN(document) struct cmd_document next = CMD_DOCUMENT_NONE;
        cr_assert_eq(cmd_document_read(dir.fd, "ws/pending/2.root.json", &next, &e), 0, "%s",
                     e.text);
        const json_t *role = json_object_get(json_object_get(next.content, "roles"), "targets");
        cr_expect_eq(json_array_size(json_object_get(role, "keyids")), 1, "call %zu", at);
        must(workspace, publish);
        check_published(dir.fd);
    }
}

Test(ceremony, a_publication_that_the_disk_interrupts_is_done_by_doing_it_again, .timeout = 300) {
    bool hit = true;
    for (size_t at = 0; hit; at += STRIDE) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        char workspace[TMP_PATH_BYTES];
        make(&dir, workspace);
        must(workspace, rotate);
        hit = fail_at(workspace, publish, at, at % 2 ? FS_FAULT_ERROR : FS_FAULT_AFTERWARDS);
        // What devices are provisioned with is one whole root or the other.
        cr_assert_leq(version_of(dir.fd, "root.json"), 2);
        must(workspace, publish);
        check_published(dir.fd);
        must(workspace, (const char *const[]){"release", "renew", "--workspace", "@", NULL});
    }
}

Test(ceremony, a_change_of_targets_that_the_disk_interrupts_is_made_by_making_it_again,
     .timeout = 300) {
    bool hit = true;
    for (size_t at = 0; hit; at += STRIDE) {
        OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
        char workspace[TMP_PATH_BYTES];
        struct err e = ERR_NONE;
        make(&dir, workspace);
        hit = fail_at(workspace, floor_up, at, at % 2 ? FS_FAULT_ERROR : FS_FAULT_AFTERWARDS);
        must(workspace, floor_up);
        OWN(document) struct cmd_document seen = CMD_DOCUMENT_NONE;
        cr_assert_eq(cmd_document_read(dir.fd, "ws/seen/targets.json", &seen, &e), 0);
        const json_t *floors = json_object_get(seen.content, "floors");
        cr_expect_eq(json_integer_value(json_object_get(floors, "app")), 3, "call %zu", at);
    }
}
