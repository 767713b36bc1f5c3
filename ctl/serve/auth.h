// SPDX-License-Identifier: Apache-2.0
//
// Who asks. People and CI carry a secret that is looked up by its hash at each request, so that a
// revocation holds from the next request on. A device's token is a keyed MAC over device, expiry
// and the device's epoch; the epoch is compared with the store at each check-in, so retiring,
// rejecting or replacing a device ends its tokens at once too:
//
//     edge-dv-<expiry in seconds>-<epoch>-<MAC, 64 hex digits>-<device>
#pragma once

#include "ctl/serve/call.h"

#define SERVE_AUTH_DEVICE_TOKEN_S 900

// Fills call->who from call->bearer. Kinds: unauthorized; permission (the route's row does not list
// the role, or wants an identity without selector).
int serve_auth_operator(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));

// Writes a device's token.
void serve_auth_make_token(const struct serve_server *server, const char *device, uint64_t epoch,
                           int64_t expires_s, char ret[static BUNDLE_TOKEN_MAX + 1])
    __attribute__((nonnull));
struct serve_auth_device {
    char id[BUNDLE_DEVICE_ID_MAX + 1];
    uint64_t epoch;
};
// Kind unauthorized. The epoch is the caller's to compare.
int serve_auth_read_token(const struct serve_server *server, const char *token, int64_t now_s,
                          struct serve_auth_device *ret, struct err *e) __attribute__((nonnull));
