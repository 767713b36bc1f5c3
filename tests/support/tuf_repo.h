// SPDX-License-Identifier: Apache-2.0
//
// A TUF repository in memory, and the device that reads it: metadata made with jansson and signed
// with real Ed25519 keys, served and stored in tables of named bytes. What a test wants to break it
// breaks itself: the signed parts are json_t to be edited, the signers of each role a list of key
// numbers, and served and stored files are bytes. Nothing here is checked: a repository that nobody
// should trust is what it is for.
//
//     struct tuf_repo repo;
//     tuf_repo_make(&repo);                     // version 1 of all, the device has the root
//     tuf_repo_add_target(&repo, "targets", "a/b.json", bytes);
//     tuf_repo_publish(&repo, "targets");       // 2.targets.json, 2.snapshot.json, timestamp.json
//     cr_assert_eq(tuf_repo_refresh(&repo, &e), 0);
//     tuf_repo_set(&repo, "timestamp", "version", json_integer(1));
//     tuf_repo_serve(&repo, "timestamp");       // signed as it stands
//     cr_assert_lt(tuf_repo_refresh(&repo, &e), 0);
//     tuf_repo_clear(&repo);
//
// Keys are numbers: key n is Ed25519 with the seed of 32 bytes n, its id is the one that keys/pub
// gives it. At the beginning key 1 is root's, 2 timestamp's, 3 snapshot's, 4 targets', each with
// threshold 1; everything expires at TUF_REPO_EXPIRES_S; the device's time is TUF_REPO_NOW_S;
// snapshots are consistent; meta carries lengths and hashes.
//
// Everything aborts instead of failing: a test that cannot be set up is no test.
#pragma once

#include <jansson.h>

#include "keys/tuf/client.h"

#define TUF_REPO_NOW_S           1750000000 // 2025-06-15
#define TUF_REPO_EXPIRES_S       1800000000 // 2027-01-15
#define TUF_REPO_EXPIRES         "2027-01-15T08:00:00Z"
#define TUF_REPO_FILES_MAX       1024
#define TUF_REPO_FILE_NAME_BYTES 400

struct tuf_repo_file {
    char name[TUF_REPO_FILE_NAME_BYTES];
    struct buf bytes;
};
// Named bytes: the repository's web server, or the device's directory.
struct tuf_repo_files {
    size_t n;
    struct tuf_repo_file *files;
};

enum tuf_repo_op { TUF_REPO_LOAD = 1, TUF_REPO_FETCH = 2, TUF_REPO_STORE = 4, TUF_REPO_FORGET = 8 };

struct tuf_repo {
    json_t *parts;       // role's name → its signed part
    json_t *signers;     // role's name → numbers of the keys that sign it
    bool without_hashes; // meta names versions alone from now on
    struct tuf_repo_files served;
    struct tuf_repo_files stored;
    // The device.
    int64_t now_s;
    bool timestamp_first;
    size_t most_bytes;   // the highest ceiling that a fetch was asked to stop at
    struct buf requests; // names fetched, each followed by a blank; clear with buf_clear
    // Faults: the fail_at-th operation of those in fail_ops from now (0 is the next) fails with
    // kind io; has_failed says that it came to that. With for_ever all that follow fail as well,
    // as they do after a power cut.
    unsigned fail_ops;
    size_t fail_at;
    bool has_failed;
    bool for_ever;
    // What tuf_repo_refresh opens a client with; now_s and timestamp_first are those above.
    struct tuf_client_options options;
};

void tuf_repo_make(struct tuf_repo *ret) __attribute__((nonnull));
void tuf_repo_clear(struct tuf_repo *repo) __attribute__((nonnull));
#define own_drop_tuf_repo tuf_repo_clear

// The signed part of a role, to be edited; borrowed. NULL when there is none.
json_t *tuf_repo_role(struct tuf_repo *repo, const char *name) __attribute__((nonnull));
// Sets one number or string of it: version, expires, _type, …
void tuf_repo_set(struct tuf_repo *repo, const char *name, const char *member, json_t *value)
    __attribute__((nonnull));
uint64_t tuf_repo_version(struct tuf_repo *repo, const char *name) __attribute__((nonnull));
// The keys that sign a role from now on: digits, "12" are the keys 1 and 2; letters go on: "a" is
// key 10.
void tuf_repo_set_signers(struct tuf_repo *repo, const char *name, const char *keys)
    __attribute__((nonnull));

// Appends the envelope of a signed part by these keys.
void tuf_repo_sign(const json_t *part, const json_t *keys, struct buf *ret)
    __attribute__((nonnull));
// Signs a role as it stands and serves it under its name, versions before it where they belong.
void tuf_repo_serve(struct tuf_repo *repo, const char *name) __attribute__((nonnull));
// What snapshot or timestamp says of a role becomes what is served of it.
void tuf_repo_name_in(struct tuf_repo *repo, const char *list, const char *name)
    __attribute__((nonnull));
// The next version of a role and of all that leads to it: of targets and delegated roles the
// snapshot and the timestamp too.
void tuf_repo_publish(struct tuf_repo *repo, const char *name) __attribute__((nonnull));
// The next version of every delegated role, then of the targets.
void tuf_repo_publish_all(struct tuf_repo *repo) __attribute__((nonnull));

// Adds a target by its content. role: "targets" or a delegated one.
void tuf_repo_add_target(struct tuf_repo *repo, const char *role, const char *path,
                         struct slice content) __attribute__((nonnull));
// Appends a delegation to a role for key n, with one pattern (paths). The role is made with no
// targets when there is none by its name, and key n signs it from now on. Returns the delegation,
// to be edited; borrowed.
json_t *tuf_repo_delegate(struct tuf_repo *repo, const char *delegator, const char *name,
                          unsigned key, const char *pattern) __attribute__((nonnull));
// The root's role gets these keys (as for set_signers) and threshold; they sign it from now on. Not
// served.
void tuf_repo_trust(struct tuf_repo *repo, const char *role, const char *keys, unsigned threshold)
    __attribute__((nonnull));
// Puts the KEY object of key n into `keys` and returns its id, borrowed from it.
const char *tuf_repo_add_key(json_t *keys, unsigned key) __attribute__((nonnull));

// Bytes by name, to be changed; NULL when there are none. put makes or replaces, drop removes.
struct buf *tuf_repo_bytes(struct tuf_repo_files *files, const char *name) __attribute__((nonnull));
void tuf_repo_put(struct tuf_repo_files *files, const char *name, struct slice bytes)
    __attribute__((nonnull));
void tuf_repo_drop(struct tuf_repo_files *files, const char *name) __attribute__((nonnull));
// A copy of all files, for going back to; the caller's, cleared with tuf_repo_clear_files.
struct tuf_repo_files tuf_repo_copy_files(const struct tuf_repo_files *files)
    __attribute__((nonnull));
void tuf_repo_clear_files(struct tuf_repo_files *files) __attribute__((nonnull));
// The version that the device has of a file ("targets.json"), 0 when it has none.
uint64_t tuf_repo_stored(struct tuf_repo *repo, const char *name) __attribute__((nonnull));

// The device: a client over this repository. The caller frees it.
int tuf_repo_open(struct tuf_repo *repo, struct tuf_client **ret, struct err *e)
    __attribute__((nonnull));
int tuf_repo_refresh(struct tuf_repo *repo, struct err *e) __attribute__((nonnull));
// Refreshes and looks a target up; 0, TUF_ABSENT or < 0.
int tuf_repo_find(struct tuf_repo *repo, const char *path, struct err *e) __attribute__((nonnull));
