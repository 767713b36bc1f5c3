// SPDX-License-Identifier: Apache-2.0
//
// What a rollout that did not go through leaves behind: its release is in the targets until people
// take it out, and what they signed for it holds until it expires. Neither is this program's to end:
// it has no key for it; so it reminds.
#pragma once

#include "ctl/serve/engine.h"
#include "ctl/serve/server.h"

// Adds "remains" to a rollout's document: {"targets": bool, "mandate": TIME or null}, or null where the
// rollout goes on, or has finished. Kinds: memory, those of the store.
int serve_show_remains(struct store_db *db, const struct serve_server *server,
                       const struct serve_engine_rollout *rollout, int64_t now_s, json_t *io,
                       struct err *e) __attribute__((nonnull));
