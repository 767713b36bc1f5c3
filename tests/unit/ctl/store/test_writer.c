// SPDX-License-Identifier: Apache-2.0
//
// Group commit: what waits together shares one commit, is answered after it reached the disk, and
// fails with it. SQLite's own file methods are the seam: every sync of the write-ahead log is
// counted, and a write or a sync of it fails on demand.
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "ctl/store/sql.h"
#include "ctl/store/writer.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

// ── The disk ──

static sqlite3_vfs disk;
static sqlite3_io_methods log_methods;
static const sqlite3_io_methods *real_methods;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static atomic_int n_syncs;     // of the log, that came back well
static atomic_int write_fails; // with this code; 0 none does
static atomic_int sync_fails;

static int log_sync(sqlite3_file *file, int flags) {
    int code = atomic_load(&sync_fails);
    if (code == 0)
        code = real_methods->xSync(file, flags);
    if (code == SQLITE_OK)
        atomic_fetch_add(&n_syncs, 1);
    return code;
}

static int log_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at) {
    int code = atomic_load(&write_fails);
    return code != 0 ? code : real_methods->xWrite(file, data, len, at);
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    int code = real_open(vfs, name, file, flags, out);
    if (code != SQLITE_OK || !(flags & SQLITE_OPEN_WAL))
        return code;
    real_methods = file->pMethods;
    log_methods = *real_methods;
    log_methods.xSync = log_sync;
    log_methods.xWrite = log_write;
    file->pMethods = &log_methods;
    return code;
}

static int count_commit(void *context) {
    atomic_fetch_add((atomic_int *)context, 1);
    return 0;
}

// ── Jobs ──

static struct tmp_dir dir;
static char path[TMP_PATH_BYTES + 16];
static struct store_writer *writer;
static atomic_int n_commits;

struct deed {
    struct store_job job;
    char key[40];
    bool fails;                       // run does, by itself
    int syncs_before, commits_before; // as run saw them
    int syncs, commits;               // since, as done saw them
    int result;
    char kind[ERR_NAME_BYTES];
    sem_t *hold, *held; // the one that holds the thread up
    sem_t *done;        // posted once more by each
};

static struct deed deeds[2 * STORE_WRITER_BATCH_MAX];
static struct deed gate;
static sem_t hold, held, done;

static int put(struct store_db *db, void *context, struct err *e) {
    struct deed *deed = context;
    deed->syncs_before = atomic_load(&n_syncs);
    deed->commits_before = atomic_load(&n_commits);
    if (deed->hold != NULL) {
        (void)sem_post(deed->held);
        (void)sem_wait(deed->hold);
    }
    if (store_db_put_meta(db, deed->key, "x", 1, e) < 0)
        return -1;
    return deed->fails ? err_set(e, &err_limit, "no") : 0;
}

static void note(void *context, int result, const struct err *e) {
    struct deed *deed = context;
    deed->syncs = atomic_load(&n_syncs) - deed->syncs_before;
    deed->commits = atomic_load(&n_commits) - deed->commits_before;
    deed->result = result;
    (void)snprintf(deed->kind, sizeof deed->kind, "%s", result < 0 ? e->kind->name : "");
    (void)sem_post(deed->done);
}

static void submit(struct deed *deed, const char *key) {
    struct err e = ERR_NONE;
    (void)snprintf(deed->key, sizeof deed->key, "%s", key);
    deed->done = &done;
    deed->job = (struct store_job){.run = put, .done = note, .context = deed};
    must(store_writer_submit(writer, &deed->job, &e));
}

static void set_up(void) {
    struct err e = ERR_NONE;
    struct store_db *db = NULL;
    dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    cr_assert_eq(sqlite3_initialize(), SQLITE_OK);
    disk = *sqlite3_vfs_find(NULL);
    real_open = disk.xOpen;
    disk.zName = "counted";
    disk.xOpen = open_file;
    cr_assert_eq(sqlite3_vfs_register(&disk, 1), SQLITE_OK);
    must(store_db_open(path, &db, &e));
    (void)sqlite3_commit_hook(db->handle, count_commit, &n_commits);
    must(store_writer_start(&db, &writer, &e));
    (void)sem_init(&hold, 0, 0);
    (void)sem_init(&held, 0, 0);
    (void)sem_init(&done, 0, 0);
}

static void tear_down(void) {
    store_writer_free(writer);
    (void)sqlite3_vfs_unregister(&disk);
    tmp_dir_remove(&dir);
}

TestSuite(store_writer, .init = set_up, .fini = tear_down, .timeout = 1200);

// While one job keeps the thread, n more come in; then all go on. How many commits these took.
static int together(size_t n, const char *prefix) {
    char key[40];
    gate = (struct deed){.hold = &hold, .held = &held};
    submit(&gate, "gate");
    (void)sem_wait(&held);
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(key, sizeof key, "%s%zu", prefix, i);
        submit(&deeds[i], key);
    }
    int before = atomic_load(&n_commits);
    cr_assert_eq(before, gate.commits_before, "nothing is committed while a job is at work");
    (void)sem_post(&hold);
    for (size_t i = 0; i < n + 1; i++)
        (void)sem_wait(&done);
    return atomic_load(&n_commits) - before - 1; // one is the gate's own
}

static bool is_stored(const char *prefix, size_t i) {
    struct err e = ERR_NONE;
    struct store_db *db = NULL;
    char key[40], got = 0;
    (void)snprintf(key, sizeof key, "%s%zu", prefix, i);
    must(store_db_open(path, &db, &e));
    int found = store_db_get_meta(db, key, &got, 1, &e);
    store_db_close(db);
    return found == 0;
}

Test(store_writer, what_waits_together_shares_one_commit) {
    cr_expect_eq(together(1, "a"), 1);
    cr_expect_eq(together(2, "b"), 1);
    cr_expect_eq(together(STORE_WRITER_BATCH_MAX - 1, "c"), 1);
    cr_expect_eq(together(STORE_WRITER_BATCH_MAX, "d"), 1);
    cr_expect_eq(together(STORE_WRITER_BATCH_MAX + 1, "e"), 2);
    for (size_t i = 0; i <= STORE_WRITER_BATCH_MAX; i++)
        cr_assert_eq(deeds[i].result, 0, "%zu", i);
}

Test(store_writer, each_is_answered_after_its_commit_reached_the_disk) {
    enum { N = 40 };
    for (size_t i = 0; i < N; i++)
        deeds[i].fails = i % 9 == 4;
    cr_assert_eq(together(N, "k"), 1);
    for (size_t i = 0; i < N; i++) {
        cr_expect_eq(deeds[i].commits, 1, "%zu: answered before the commit", i);
        cr_expect_geq(deeds[i].syncs, 1, "%zu: answered before the log was synced", i);
        cr_expect_str_eq(deeds[i].kind, deeds[i].fails ? "limit" : "");
    }
    store_writer_stop(writer);
    for (size_t i = 0; i < N; i++)
        cr_expect_eq(is_stored("k", i), !deeds[i].fails, "%zu", i);
}

// Those who share a commit that fails are told so, each; those before and after are not touched.
static void fail_one(atomic_int *what, int code, const char *kind) {
    enum { N = 25 };
    cr_assert_eq(together(N, "before"), 1);
    gate = (struct deed){.hold = &hold, .held = &held};
    submit(&gate, "gate2");
    (void)sem_wait(&held);
    atomic_store(what, code); // the batch that is at work: the gate alone
    (void)sem_post(&hold);
    (void)sem_wait(&done);
    cr_expect_str_eq(gate.kind, kind);
    atomic_store(what, 0);

    static struct deed members[N];
    gate = (struct deed){.hold = &hold, .held = &held};
    members[0] = (struct deed){.hold = &hold, .held = &held};
    submit(&gate, "gate3");
    (void)sem_wait(&held);
    for (size_t i = 0; i < N; i++) {
        char key[40];
        members[i].fails = i == 7;
        (void)snprintf(key, sizeof key, "fail%zu", i);
        submit(&members[i], key);
    }
    (void)sem_post(&hold); // the gate commits well,
    (void)sem_wait(&held); // the first member keeps the thread: the batch has begun
    cr_expect_str_eq(gate.kind, "", "the commit before");
    atomic_store(what, code);
    (void)sem_post(&hold);
    for (size_t i = 0; i < N + 1; i++)
        (void)sem_wait(&done);
    atomic_store(what, 0);
    for (size_t i = 0; i < N; i++)
        cr_expect_str_eq(members[i].kind, i == 7 ? "limit" : kind, "member %zu", i);

    cr_expect_eq(together(N, "after"), 1);
    store_writer_stop(writer);
    for (size_t i = 0; i < N; i++) {
        cr_expect(is_stored("before", i) && is_stored("after", i), "%zu", i);
        cr_expect_not(is_stored("fail", i), "%zu: not acknowledged, and kept", i);
        cr_expect_eq(deeds[i].result, 0, "%zu", i);
    }
}

Test(store_writer, a_commit_that_finds_no_room_fails_all_of_its_jobs_and_no_other) {
    fail_one(&write_fails, SQLITE_FULL, "no_space");
}

Test(store_writer, a_commit_that_cannot_be_synced_fails_all_of_its_jobs_and_no_other) {
    fail_one(&sync_fails, SQLITE_IOERR_FSYNC, "io");
}
