// SPDX-License-Identifier: Apache-2.0
//
// What happens by time alone: twice a second late connections are ended, calls that waited long
// enough are woken, and the store's thread judges rollouts and silent devices.
#pragma once

#include "ctl/serve/http.h"

#define SERVE_TICK_MS 500

struct serve_tick;

int serve_tick_start(struct serve_server *server, struct serve_http *http, struct serve_tick **ret,
                     struct err *e) __attribute__((nonnull));
void serve_tick_stop(struct serve_tick *tick);
