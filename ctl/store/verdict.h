// SPDX-License-Identifier: Apache-2.0
//
// Verdicts: what was found when a gate of a rollout failed, as JSON (ctl/serve/fleet_verdict.c has
// the form). They stay: a rollout that was stopped has to say why for as long as it is known.
#pragma once

#include <jansson.h>

#include "ctl/store/db.h"

int store_verdict_add(struct store_db *db, const char *rollout, uint64_t run, int64_t at_s,
                      const json_t *body, struct err *e) __attribute__((nonnull));
// All of a rollout, oldest first, as an array: each its body with run and at_s added. The
// caller's.
int store_verdict_list(struct store_db *db, const char *rollout, json_t **ret, struct err *e)
    __attribute__((nonnull));
