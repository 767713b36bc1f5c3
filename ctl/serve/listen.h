// SPDX-License-Identifier: Apache-2.0
//
// The address to listen on: "127.0.0.1:8443", "[::1]:0", ":8443" (all addresses), a name of this
// machine.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define SERVE_LISTEN_TEXT 80

struct serve_listen {
    int fd;        // owned by the caller
    bool loopback; // only this machine can reach it
    unsigned port;
    char text[SERVE_LISTEN_TEXT]; // "127.0.0.1:43121"
};

// Binds and listens. Kinds: config (the text), listen_failed.
int serve_listen_open(const char *text, struct serve_listen *ret, struct err *e)
    __attribute__((nonnull));
