// SPDX-License-Identifier: Apache-2.0
//
// What the tests of attacks share: a device that followed a repository so far, the set of files
// that an attacker puts in front of it, and the two claims that hold whatever is in them. Nothing
// of the attacked file or of what lies behind it takes the place of what was trusted, and the next
// honest set is followed (CVE-2025-2888 was a client that stayed stuck for ever).
//
// Key 1 is root's, 2 timestamp's, 3 snapshot's, 4 targets', 5 the one of d, to which targets
// delegates d/*.
#pragma once

#include "base/own.h"
#include "tests/unit/keys/tuf/device.h"

#define ATTACK_COUNT(table) (sizeof(table) / sizeof *(table))

// In the order in which a device asks for them.
enum attack_role { A_ROOT, A_TIMESTAMP, A_SNAPSHOT, A_TARGETS, A_DELEGATED, A_ROLES };

static const char *const attack_names[A_ROLES] = {"root", "timestamp", "snapshot", "targets", "d"};

struct attack {
    struct tuf_repo repo;
    json_t *parts, *signers;       // of the last honest set,
    struct tuf_repo_files honest;  // and what was served with it
    struct tuf_repo_files trusted; // what the device had before the attack
};

static inline void attack_drop_saved(struct attack *a) {
    json_decref(a->parts);
    json_decref(a->signers);
    tuf_repo_clear_files(&a->honest);
    tuf_repo_clear_files(&a->trusted);
}

static inline void own_drop_attack(struct attack *a) {
    attack_drop_saved(a);
    tuf_repo_clear(&a->repo);
}

// The next honest version of everything but the root.
static inline void attack_publish(struct attack *a) {
    tuf_repo_publish(&a->repo, "d");
    tuf_repo_publish(&a->repo, "targets");
}

// The device follows what is served; that is where the attack begins.
static inline void attack_begin(struct attack *a) {
    struct err e = ERR_NONE;
    cr_assert_eq(tuf_repo_find(&a->repo, "d/x", &e), 0, "%s", e.text);
    attack_drop_saved(a);
    a->parts = json_deep_copy(a->repo.parts);
    a->signers = json_deep_copy(a->repo.signers);
    a->honest = tuf_repo_copy_files(&a->repo.served);
    a->trusted = tuf_repo_copy_files(&a->repo.stored);
}

static inline void attack_make(struct attack *a) {
    *a = (struct attack){.parts = NULL};
    tuf_repo_make(&a->repo);
    (void)tuf_repo_delegate(&a->repo, "targets", "d", 5, "d/*");
    tuf_repo_add_target(&a->repo, "d", "d/x", device_content);
    tuf_repo_add_target(&a->repo, "targets", "top", device_content);
    attack_publish(a);
    attack_begin(a);
}

// For attacks on what is in a file rather than on its hash.
static inline void attack_make_without_hashes(struct attack *a) {
    attack_make(a);
    a->repo.without_hashes = true;
    attack_publish(a);
    attack_begin(a);
}

// ── Claims ─────────────────────────────────────────────────────────────────────────────────────

static inline bool attack_same(const struct buf *a, const struct buf *b) {
    return a == b || (a && b && a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}

// Gone is kept as well where an honest new root forgot it.
static inline void attack_check_kept(struct attack *a, enum attack_role first, const char *what) {
    bool same_root = attack_same(tuf_repo_bytes(&a->repo.stored, "root.json"),
                                 tuf_repo_bytes(&a->trusted, "root.json"));
    for (int role = (int)first; role < A_ROLES; role++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s.json", attack_names[role]);
        const struct buf *stored = tuf_repo_bytes(&a->repo.stored, name);
        cr_assert((!stored && !same_root) || attack_same(stored, tuf_repo_bytes(&a->trusted, name)),
                  "%s: %s was replaced", what, name);
    }
    for (size_t i = 0; i < a->repo.stored.n; i++)
        cr_assert_not_null(tuf_repo_bytes(&a->trusted, a->repo.stored.files[i].name),
                           "%s: %s was added", what, a->repo.stored.files[i].name);
}

// The honest repository goes on, above whatever version the attacker used.
static inline void attack_recover(struct attack *a, const char *what) {
    struct err e = ERR_NONE;
    struct tuf_repo *repo = &a->repo;
    json_decref(repo->parts);
    json_decref(repo->signers);
    repo->parts = json_deep_copy(a->parts);
    repo->signers = json_deep_copy(a->signers);
    tuf_repo_clear_files(&repo->served);
    repo->served = tuf_repo_copy_files(&a->honest);
    uint64_t root = tuf_repo_stored(repo, "root.json");
    if (root != tuf_repo_version(repo, "root")) {
        device_set_number(repo, "root", "version", (int64_t)root);
        tuf_repo_publish(repo, "root");
    }
    attack_publish(a);
    attack_publish(a);
    cr_assert_eq(tuf_repo_find(repo, "d/x", &e), 0, "%s: not recovered from: %s", what, e.text);
    for (int role = 0; role < A_ROLES; role++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s.json", attack_names[role]);
        cr_assert_eq(tuf_repo_stored(repo, name), tuf_repo_version(repo, attack_names[role]),
                     "%s: %s is not the honest one", what, name);
    }
}

// What is served now is refused, with this kind unless it is NULL, because of this role.
static inline void attack_must_fail(struct attack *a, enum attack_role role,
                                    const struct err_kind *kind, const char *what) {
    struct err e = ERR_NONE;
    cr_assert_lt(tuf_repo_find(&a->repo, "d/x", &e), 0, "%s: was believed", what);
    cr_assert(!kind || e.kind == kind, "%s: %s: %s", what, e.kind->name, e.text);
    attack_check_kept(a, role, what);
}

static inline void attack_must_fail_and_recover(struct attack *a, enum attack_role role,
                                                const struct err_kind *kind, const char *what) {
    attack_must_fail(a, role, kind, what);
    attack_recover(a, what);
}

// ── Served files ───────────────────────────────────────────────────────────────────────────────

#define ATTACK_NAME_BYTES 64

// The name under which the present version of a role is served.
static inline const char *attack_served(struct attack *a, enum attack_role role,
                                        char ret[static ATTACK_NAME_BYTES]) {
    if (role == A_TIMESTAMP)
        (void)snprintf(ret, ATTACK_NAME_BYTES, "timestamp.json");
    else
        (void)snprintf(ret, ATTACK_NAME_BYTES, "%llu.%s.json",
                       (unsigned long long)tuf_repo_version(&a->repo, attack_names[role]),
                       attack_names[role]);
    return ret;
}

static inline json_t *attack_envelope(struct attack *a, enum attack_role role) {
    char name[ATTACK_NAME_BYTES];
    const struct buf *bytes = tuf_repo_bytes(&a->repo.served, attack_served(a, role, name));
    cr_assert_not_null(bytes, "%s", name);
    json_t *envelope = json_loadb((const char *)bytes->data, bytes->len, 0, NULL);
    cr_assert_not_null(envelope, "%s", name);
    return envelope;
}

static inline void attack_put_text(struct attack *a, enum attack_role role, const char *text) {
    char name[ATTACK_NAME_BYTES];
    tuf_repo_put(&a->repo.served, attack_served(a, role, name),
                 (struct slice){(const uint8_t *)text, strlen(text)});
}

// Puts an envelope that was edited back, as it is: no signature is made anew.
static inline void attack_put(struct attack *a, enum attack_role role, const json_t *envelope) {
    OWN(mem) char *text = json_dumps(envelope, JSON_COMPACT | JSON_ENCODE_ANY);
    cr_assert_not_null(text);
    attack_put_text(a, role, text);
}

// Signs a role as it stands, at the version after the trusted one, and all that names it.
static inline void attack_serve(struct attack *a, enum attack_role role) {
    if (role == A_ROOT)
        tuf_repo_publish(&a->repo, "root");
    else
        attack_publish(a);
}
