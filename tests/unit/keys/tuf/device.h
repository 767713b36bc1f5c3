// SPDX-License-Identifier: Apache-2.0
//
// What tests of the client say about a device and its repository (tests/support/tuf_repo.h), each
// ending the test when it is not so.
#pragma once

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/own.h"
#include "keys/kind.h"
#include "tests/support/tuf_repo.h"
#include "tests/unit/keys/tuf/parts.h"

// What targets are of here.
static const struct slice device_content = {(const uint8_t *)"hello", 5};

static inline void device_must_refresh(struct tuf_repo *repo) {
    struct err e = ERR_NONE;
    cr_assert_geq(tuf_repo_refresh(repo, &e), 0, "%s", e.text);
}

static inline void device_must_refuse(struct tuf_repo *repo, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    cr_assert_lt(tuf_repo_refresh(repo, &e), 0);
    cr_assert_eq(e.kind, kind, "%s: %s", e.kind->name, e.text);
}

// A client that has refreshed; the caller frees it.
static inline struct tuf_client *device_open(struct tuf_repo *repo) {
    struct tuf_client *client = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(tuf_repo_open(repo, &client, &e), 0, "%s", e.text);
    cr_assert_geq(tuf_client_refresh(client, &e), 0, "%s", e.text);
    return client;
}

// What was asked for since the last time, each name with a blank behind it.
static inline void device_check_requests(struct tuf_repo *repo, const char *expected) {
    cr_assert_str_eq(buf_text(&repo->requests), expected);
    buf_clear(&repo->requests);
}

// The versions of timestamp, snapshot and targets that the device has.
static inline void device_check_stored(struct tuf_repo *repo, uint64_t timestamp, uint64_t snapshot,
                                       uint64_t targets) {
    cr_assert_eq(tuf_repo_stored(repo, "timestamp.json"), timestamp);
    cr_assert_eq(tuf_repo_stored(repo, "snapshot.json"), snapshot);
    cr_assert_eq(tuf_repo_stored(repo, "targets.json"), targets);
}

static inline void device_set_number(struct tuf_repo *repo, const char *role, const char *way,
                                     int64_t number) {
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    parts_put(tuf_repo_role(repo, role), way, text);
}

// Serves a role under this version; what lists it still names the other one.
static inline void device_serve_version(struct tuf_repo *repo, const char *role, int64_t version) {
    device_set_number(repo, role, "version", version);
    tuf_repo_serve(repo, role);
}

// ── Delegations ────────────────────────────────────────────────────────────────────────────────

// Delegates as the words of `graph` say, by key 5, for every path: "targets>a a>b". Before the
// second name, ! is a terminating delegation, and ? one for another path than those that tests ask
// for.
static inline void device_delegate(struct tuf_repo *repo, const char *graph) {
    char words[256];
    (void)snprintf(words, sizeof words, "%s", graph);
    char *rest = words;
    for (char *from; (from = strsep(&rest, " "));) {
        if (*from == '\0')
            continue;
        char *to = strchr(from, '>');
        cr_assert_not_null(to, "%s", from);
        *to++ = '\0';
        bool terminating = *to == '!';
        to += terminating;
        bool other = *to == '?';
        to += other;
        json_t *d = tuf_repo_delegate(repo, from, to, 5, other ? "no" : "*");
        (void)json_object_set_new(d, "terminating", json_boolean(terminating));
    }
}

// The targets delegate to a and b, and each of these to a c of its own: keys 5 and 6, 7 and 8.
static inline void device_delegate_two_ways(struct tuf_repo *repo, const char *pattern_of_a,
                                            const char *pattern_of_b) {
    (void)tuf_repo_delegate(repo, "targets", "a", 5, pattern_of_a);
    (void)tuf_repo_delegate(repo, "targets", "b", 6, pattern_of_b);
    (void)tuf_repo_delegate(repo, "a", "c", 7, pattern_of_a);
    (void)tuf_repo_delegate(repo, "b", "c", 8, pattern_of_b);
}
