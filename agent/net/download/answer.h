// SPDX-License-Identifier: Apache-2.0
//
// An answer to a download's request, judged by its status and headers before a byte of its body is
// taken.
#pragma once

#include "agent/net/handle.h"

struct download_answer {
    // Set by the caller.
    uint64_t from;  // where what was asked for begins
    uint64_t total; // bytes of the file; 0 unknown, then an answer that says it sets it
    bool near;      // the site cache was asked
    // What it turned out to be.
    bool transient;   // the status says that a later try may do better
    bool whole;       // the file from its beginning
    uint64_t ends_at; // where in the file the body ends; UINT64_MAX when it does not say
};

// The last answer on this handle. Kinds: unreachable, http, garbage, too_much, truncated; `transient`
// is set in every case.
int download_answer_check(CURL *stream, const struct net_handle_headers *headers,
                          struct download_answer *answer, struct err *e) __attribute__((nonnull));
