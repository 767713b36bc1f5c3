// SPDX-License-Identifier: Apache-2.0
//
// Which releases a device ran, as it said: what stepping stones are asked of. A release is noted
// when a component first comes from it, and stays with the device.
#pragma once

#include "ctl/store/db.h"

// Once is enough.
int store_ran_add(struct store_db *db, const char *device, const char *name, const char *version,
                  struct err *e) __attribute__((nonnull));
// STORE_ABSENT when it did not.
int store_ran_find(struct store_db *db, const char *device, const char *name, const char *version,
                   struct err *e) __attribute__((nonnull));
// New hardware, or none any more.
int store_ran_forget(struct store_db *db, const char *device, struct err *e)
    __attribute__((nonnull));
