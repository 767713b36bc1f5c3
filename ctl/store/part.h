// SPDX-License-Identifier: Apache-2.0
//
// What a device counts as in rollouts other than the one of its task: what became of it there
// before it went on to another, or that it stands aside (skipped, already). So that it is counted
// once in each, however often it goes from one to another. A rollout that has ended needs none.
#pragma once

#include "ctl/store/device.h"

// STORE_ABSENT when it counts as nothing there.
int store_part_get(struct store_db *db, const char *device, const char *rollout,
                   struct store_device_task *ret, struct err *e) __attribute__((nonnull));
// Adds or replaces.
int store_part_put(struct store_db *db, const char *device, const struct store_device_task *task,
                   struct err *e) __attribute__((nonnull));
int store_part_drop(struct store_db *db, const char *device, const char *rollout, struct err *e)
    __attribute__((nonnull));
// Of all devices: the rollout has ended.
int store_part_forget(struct store_db *db, const char *rollout, struct err *e)
    __attribute__((nonnull));
