// SPDX-License-Identifier: Apache-2.0
//
// What tests of the client say about a device and its repository (tests/support/tuf_repo.h), each
// ending the test when it is not so.
#pragma once

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "keys/kind.h"
#include "tests/support/tuf_repo.h"
#include "tests/unit/keys/tuf/parts.h"

static inline void device_must_refresh(struct tuf_repo *repo) {
    struct err e = ERR_NONE;
    cr_assert_geq(tuf_repo_refresh(repo, &e), 0, "%s", e.text);
}

static inline void device_must_refuse(struct tuf_repo *repo, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    cr_assert_lt(tuf_repo_refresh(repo, &e), 0);
    cr_assert_eq(e.kind, kind, "%s: %s", e.kind->name, e.text);
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
