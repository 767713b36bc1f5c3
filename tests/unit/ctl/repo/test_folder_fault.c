// SPDX-License-Identifier: Apache-2.0
//
// Publishing with the n-th change to the disk failing, for every n: whoever opens the folder
// afterwards finds one whole state, the old one or the new, and trying again succeeds.
#include <errno.h>

#include "tests/support/alloc_fault.h"
#include "tests/support/fs_fault.h"
#include "tests/unit/ctl/repo/folder.h"

static void check_whole(struct place *p, size_t n) {
    static const char *const roles[] = {"root", "timestamp", "snapshot", "targets"};
    place_reopen(p);
    for (size_t i = 0; i < 4; i++)
        cr_assert(is_valid(p, roles[i]), "call %zu: %s: %s", n, roles[i],
                  repo_folder_find(p->folder, roles[i])->why.text);
}

// Whether it went through.
static bool publish(struct place *p, const json_t *targets, uint64_t version, size_t fail_at,
                    enum fs_fault_effect effect, bool *ret_hit) {
    const struct fs_fault fault = {
        .at = fail_at, .effect = effect, .error = ENOSPC, .for_ever = true};
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    targets_sign(targets, version, 1 << 2, &raw);
    fs_fault_begin(&fault);
    int done = repo_folder_accept(p->folder, "targets", buf_slice(&raw), &p->online, &e);
    *ret_hit = fs_fault_end(NULL);
    return done >= 0;
}

static void fail_each(enum fs_fault_effect effect) {
    OWN(place) struct place p;
    bool hit = true;
    uint64_t version = 1;
    place_make(&p);
    struct repo_target t = place_target(&p, "app", "1.0");
    OWN(json) json_t *targets = targets_of(&t, 1);
    cr_assert(publish(&p, targets, version, 1000, effect, &hit));
    hit = true;
    for (size_t n = 0; hit; n++) {
        cr_assert_lt(n, 200);
        p.online.now_s++;
        bool done = publish(&p, targets, ++version, n, effect, &hit);
        cr_assert(done || hit, "call %zu", n);
        check_whole(&p, n);
        uint64_t now = version_of(&p, "targets");
        cr_assert(now == version || (now == version - 1 && hit), "call %zu", n);
        cr_assert(publish(&p, targets, ++version, 1000, effect, &(bool){false}), "call %zu", n);
        check_whole(&p, n);
    }
}

Test(folder_fault, a_disk_that_refuses_leaves_one_whole_state) {
    fail_each(FS_FAULT_ERROR);
}

Test(folder_fault, a_disk_that_loses_acknowledgements_leaves_one_whole_state) {
    fail_each(FS_FAULT_AFTERWARDS);
}

Test(folder_fault, want_of_memory_is_no_answer_to_whether_a_target_is_named) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        struct err e = ERR_NONE;
        cr_assert_lt(n, 5000);
        alloc_fault_begin(n, true);
        int found = repo_folder_admits(p.folder, &t.bundle, &e);
        refused = alloc_fault_end();
        cr_assert_eq(found, refused ? -1 : 0, "allocation %zu: %d", n, found);
        cr_assert(!refused || err_is(&e, &err_memory), "allocation %zu: %s", n, e.text);
    }
}

// The timestamp of before holds by root 2 as well: a new one is the only thing that shows.
Test(folder_fault, a_root_that_was_interrupted_gets_its_timestamp_from_the_same_root_again) {
    bool hit = true;
    for (size_t n = 0; hit; n++) {
        OWN(place) struct place p;
        OWN(buf) struct buf raw;
        struct keys_root_content content;
        struct err e = ERR_NONE;
        const struct fs_fault fault = {.at = n, .error = ENOSPC, .for_ever = true};
        (void)begin(&p);
        cr_assert_lt(n, 200);
        uint64_t before = version_of(&p, "timestamp");
        root_content(2, &content);
        root_sign(&content, 1 << 1, &raw);
        fs_fault_begin(&fault);
        int done = repo_folder_accept(p.folder, "root", buf_slice(&raw), &p.online, &e);
        hit = fs_fault_end(NULL);
        cr_assert(hit || done == 0, "%s", e.text);
        place_reopen(&p);
        err_clear(&e);
        must(repo_folder_accept(p.folder, "root", buf_slice(&raw), &p.online, &e));
        check_whole(&p, n);
        cr_assert_eq(version_of(&p, "root"), 2);
        cr_assert_gt(version_of(&p, "timestamp"), before, "call %zu: devices do not notice", n);
    }
}

static int count(void *context, const char *name, mode_t type, struct err *e) {
    (void)type;
    (void)e;
    *(size_t *)context += fs_is_temporary(name);
    return 0;
}

Test(folder_fault, what_a_killed_writer_left_goes_when_the_folder_is_opened) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    size_t n = 0;
    (void)begin(&p);
    static const char *const places[] = {"metadata", "targets", "targets/app", "targets/app/1.0"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[100];
        (void)snprintf(path, sizeof path, "%s/.timestamp.json.tmp-0123456789abcdef", places[i]);
        must(fs_replace(p.dir.fd, path, "x", 1, 0644, &e));
        must(fs_list(p.dir.fd, places[i], count, &n, &e));
    }
    cr_assert_eq(n, 4);
    place_reopen(&p);
    n = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        must(fs_list(p.dir.fd, places[i], count, &n, &e));
    cr_assert_eq(n, 0);
    check_whole(&p, 0);
}
