// SPDX-License-Identifier: Apache-2.0
//
// Reading the head of a request: whether it can be read in one way only, which route, which
// parameters, whose token.
#pragma once

#include "ctl/serve/call.h"

struct MHD_Connection;

// Fills route, method, args, query, bearer and conditions of the call; *ret_declared is the length
// of the body (0 when it has none or comes in chunks). Sets call->status where the error kind does
// not say it.
int serve_http_read_head(struct MHD_Connection *connection, const char *method, const char *url,
                         struct serve_call *call, uint64_t *ret_declared, struct err *e)
    __attribute__((nonnull));
