// SPDX-License-Identifier: Apache-2.0
//
// HTTP by libmicrohttpd, with what it lacks: requests that two programs could read differently are
// refused before their body (two lengths, a length and chunks, two hosts), paths are decoded
// strictly and once, bodies have ceilings, connections have deadlines (ctl/serve/guard.h). The only
// file that sees the library's header.
//
// A request suspends its connection while the store works, so that a few threads serve many
// connections.
#pragma once

#include "ctl/serve/server.h"

#define SERVE_HTTP_CONNECTION_BYTES (24 * 1024) // the library's memory for one: headers and buffers
#define SERVE_HTTP_BODIES_BYTES     (64 * 1024 * 1024) // bodies of messages held at the same time
#define SERVE_HTTP_PER_ADDRESS      0 // behind a proxy or NAT all devices come from one

struct serve_http;

// Starts serving on a listening socket, which is consumed in every case. cert and key: PEM text, or
// NULL.
int serve_http_start(struct serve_server *server, int listener, const char *cert, const char *key,
                     struct serve_http **ret, struct err *e) __attribute__((nonnull(1, 5, 6)));
// Ends connections that are late.
void serve_http_sweep(struct serve_http *http) __attribute__((nonnull));
// Takes no new connections; how many requests are still being answered.
size_t serve_http_quiesce(struct serve_http *http) __attribute__((nonnull));
// Ends. Nothing may be suspended any more: stop the store's thread first.
void serve_http_stop(struct serve_http *http);
