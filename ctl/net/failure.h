// SPDX-License-Identifier: Apache-2.0
//
// What went wrong with a request, as an error of ours: a transfer that failed, or an answer that
// says no.
#pragma once

#include <curl/curl.h>

#include "base/buf.h"
#include "base/err.h"

// The row of an error kind by its name, from the tables of every room that edgectl has; NULL when
// there is none.
const struct err_kind *net_failure_kind(const char *name) __attribute__((nonnull));

// A transfer that ended with `code`; `detail` is curl's own text or "". Kinds:
// controller_unreachable, controller_tls, controller_garbage, timeout, memory. Returns -1.
int net_failure_transfer(CURLcode code, const char *detail, const char *url, struct err *e)
    __attribute__((nonnull));

// An answer with a status of 300 or more: the kind is its `code` when that is one of ours, else it
// follows the status; the text is the controller's, escaped. Returns -1.
int net_failure_answer(long status, struct slice body, struct err *e) __attribute__((nonnull));
