// SPDX-License-Identifier: Apache-2.0
//
// The shapes of ctl/openapi.json, made of what the store has. Each returns a new value, NULL when
// memory is out.
#pragma once

#include <jansson.h>

#include "ctl/serve/engine.h"
#include "ctl/serve/server.h"
#include "ctl/store/delta.h"
#include "ctl/store/token.h"

json_t *serve_show_time(int64_t at_s); // null for 0
json_t *serve_show_why(const char *code, const char *text) __attribute__((nonnull));
json_t *serve_show_release(const char *name, const char *version) __attribute__((nonnull));
json_t *serve_show_bundle(const struct store_bundle *bundle) __attribute__((nonnull));
// Of a delta to that bundle.
json_t *serve_show_delta(const struct serve_server *server, const struct store_bundle *bundle,
                         const struct store_delta *delta) __attribute__((nonnull));
json_t *serve_show_update(const struct serve_engine *engine, const struct store_device *device)
    __attribute__((nonnull));
json_t *serve_show_device(const struct serve_engine *engine, const struct store_device *device)
    __attribute__((nonnull));
json_t *serve_show_token(const struct store_token *token) __attribute__((nonnull));
json_t *serve_show_rollout_summary(const struct serve_engine_rollout *rollout)
    __attribute__((nonnull));
json_t *serve_show_rollout(const struct serve_engine_rollout *rollout) __attribute__((nonnull));
json_t *serve_show_event(const struct store_event *event) __attribute__((nonnull));
