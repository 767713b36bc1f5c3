// SPDX-License-Identifier: Apache-2.0
//
// Inside ctl/serve/publish*.c only: an upload on its way.
#pragma once

#include "ctl/serve/publish.h"
#include "ctl/store/delta.h"
#include "ctl/store/release.h"

#define SERVE_PUBLISH_TEMPORARY_BYTES 48
#define SERVE_PUBLISH_NAME_BYTES      (KEYS_DIGEST_HEX + 8)

// call->state of a route with SERVE_BODY_FILE.
struct serve_upload {
    struct serve_server *server;
    int fd;
    char temporary[SERVE_PUBLISH_TEMPORARY_BYTES];
    bool counted;
    // When verified, one of both, and the name that the file gets.
    char name[SERVE_PUBLISH_NAME_BYTES];
    struct store_bundle bundle;
    struct store_delta delta;
};

// Removes the file that got its name before the store had no place for it.
void serve_publish_drop(const struct serve_upload *upload) __attribute__((nonnull));
