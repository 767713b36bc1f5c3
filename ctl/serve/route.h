// SPDX-License-Identifier: Apache-2.0
//
// The table of all requests that are answered: what is not in it is refused (404, 405), and so is
// who is not in its row. ctl/openapi.json says the same in public; a test compares them.
#pragma once

#include "ctl/serve/call.h"

enum serve_access { SERVE_ACCESS_PUBLIC, SERVE_ACCESS_DEVICE, SERVE_ACCESS_OPERATOR };
enum serve_body { SERVE_BODY_NONE, SERVE_BODY_JSON, SERVE_BODY_FILE, SERVE_BODY_METADATA };

#define SERVE_ROUTE_ROLE(role) (1U << (role))

// What run and prepare may return beside 0 and < 0.
enum {
    SERVE_ROUTE_ANSWERED = 1, // prepare: no need to ask the store
    SERVE_ROUTE_WAIT = 2      // run: park the call until there is news or wait_until_ms
};

struct serve_route {
    enum serve_method method;
    const char *pattern; // "{}" stands for one segment or a part of one
    enum serve_access access;
    unsigned roles;  // SERVE_ROUTE_ROLE bits; operator access
    bool fleet_wide; // only identities without a selector
    enum serve_body body;
    const char *const *query; // null-terminated; NULL none
    // On the HTTP thread, with the body read. May be NULL.
    int (*prepare)(struct serve_call *call, struct err *e);
    // With SERVE_BODY_FILE, on the publisher's thread: verifies what was sent, and says under which
    // name it is kept.
    int (*take)(struct serve_call *call, struct err *e);
    // On the store's thread, inside a transaction that is undone when it fails. May be NULL.
    int (*run)(struct store_db *db, struct serve_call *call, struct err *e);
    // On the HTTP thread after the commit. May be NULL.
    int (*finish)(struct serve_call *call, struct err *e);
};

extern const struct serve_route serve_route_table[];
extern const size_t serve_route_count;

// Finds the row for a method and a decoded path, and fills call->route, method and args. 0;
// SERVE_ROUTE_NO_PATH (404) or SERVE_ROUTE_NO_METHOD (405; *ret_allowed gets a bit per method).
enum { SERVE_ROUTE_NO_PATH = 1, SERVE_ROUTE_NO_METHOD = 2 };
int serve_route_find(struct serve_call *call, const char *method, const char *path,
                     unsigned *ret_allowed) __attribute__((nonnull));
// "GET", …; static.
const char *serve_route_method(enum serve_method method);
