// SPDX-License-Identifier: Apache-2.0
//
// A client of the admin API (ctl/openapi.json): JSON out, JSON in, one request at a time over a
// kept connection. No redirects are followed, so the token goes to the controller only; answers are
// bounded; plain HTTP leaves this machine only when allowed. A GET whose connection is refused is
// tried again for a few seconds: the controller may be starting.
//
// Paths begin with "/api/…" and are built with net_client_add_segment and _add_query, which encode
// what does not belong into a URL.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/chrono.h"
#include "base/err.h"

#define NET_CLIENT_URL_MAX       2048
#define NET_CLIENT_ANSWER_MAX    (32 * 1024 * 1024)
#define NET_CLIENT_TOKEN_MAX     512
#define NET_CLIENT_TIMEOUT_S     90 // of a request that is no upload; a long poll waits 30 at most
#define NET_CLIENT_STALL_S       60 // an upload that moves nothing for so long has failed
#define NET_CLIENT_CONNECT_S     15
#define NET_CLIENT_TRIES         5
#define NET_CLIENT_FIRST_WAIT_MS 200 // doubled from try to try

struct net_client;
struct net_client_options {
    const char *url;     // "https://fleet.example.org"; a path in it is kept
    const char *token;   // bearer token; "" for none
    const char *ca_file; // PEM, in place of the system's; NULL
    bool allow_http;     // to other machines
};

// Everything is copied. *ret is the caller's. Kinds: usage (no URL), cleartext, memory.
int net_client_open(const struct net_client_options *options, struct net_client **ret,
                    struct err *e) __attribute__((nonnull));
void net_client_free(struct net_client *client);
static inline void own_drop_net_client(struct net_client **client) {
    net_client_free(*client);
    *client = NULL;
}

// Each answers with an object that is the caller's. NET_CLIENT_CREATED when the status was 201.
// Kinds: what the controller says, controller_unreachable, controller_tls, controller_garbage,
// timeout, limit.
enum { NET_CLIENT_CREATED = 1 };
int net_client_get(struct net_client *client, const char *path, json_t **ret, struct err *e)
    __attribute__((nonnull));
int net_client_post(struct net_client *client, const char *path, const json_t *body, json_t **ret,
                    struct err *e) __attribute__((nonnull));
int net_client_delete(struct net_client *client, const char *path, json_t **ret, struct err *e)
    __attribute__((nonnull));

// The body is JSON as it stands, byte for byte: a signed document.
int net_client_put(struct net_client *client, const char *path, struct slice body, json_t **ret,
                   struct err *e) __attribute__((nonnull));
// A public file, asked for without the token, appended to *ret (empty before), whose ceiling bounds
// the answer. NET_CLIENT_ABSENT when there is none.
enum { NET_CLIENT_ABSENT = 2 };
int net_client_fetch(struct net_client *client, const char *path, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// The same of a file that may be long: its first bytes alone, as many as the ceiling of *ret takes.
// Whoever ignores that and sends the whole file is cut off behind them.
int net_client_fetch_head(struct net_client *client, const char *path, struct buf *ret,
                          struct err *e) __attribute__((nonnull));

// The body is the first `size` bytes of fd, read by position. progress may be NULL.
struct net_client_upload {
    int fd;
    uint64_t size;
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};
int net_client_upload(struct net_client *client, const char *path,
                      const struct net_client_upload *upload, json_t **ret, struct err *e)
    __attribute__((nonnull));

// Appends "/text", percent-encoded; and "?key=text" or "&key=text".
int net_client_add_segment(struct buf *path, const char *text, struct err *e)
    __attribute__((nonnull));
int net_client_add_query(struct buf *path, const char *key, const char *text, struct err *e)
    __attribute__((nonnull));
