// SPDX-License-Identifier: Apache-2.0
//
// The address to listen on: "127.0.0.1:8443", "[::1]:0", ":8443" (all addresses), a name of this
// machine.
#pragma once

#include <stddef.h>

#include "base/err.h"

#define SERVE_LISTEN_TEXT 80

struct serve_listen {
    int fd; // owned by the caller
    unsigned port;
    char text[SERVE_LISTEN_TEXT]; // "127.0.0.1:43121"
};

// Who may reach it: LOOPBACK refuses other addresses before anything is bound.
enum serve_listen_reach { SERVE_LISTEN_ANYONE, SERVE_LISTEN_LOOPBACK };

// Binds and listens. Kinds: config (the text), cleartext (not loopback), listen_failed.
int serve_listen_open(const char *text, enum serve_listen_reach reach, struct serve_listen *ret,
                      struct err *e) __attribute__((nonnull));
