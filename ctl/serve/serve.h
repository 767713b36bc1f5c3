// SPDX-License-Identifier: Apache-2.0
//
// The controller: an HTTP server over a store, in one call that returns when the process is told to
// end. It serves the device API (bundle/checkin.h), the admin API (ctl/openapi.json) and the
// bundles.
//
// The workspace is the `server` directory that `edgectl init` makes:
//
//   root.json            the root that devices have (or the newest one of its chain)
//   keys/NAME.key        the online keys: one of each of root's roles director (signs
//                        instructions), snapshot and timestamp
//   repository/          signed metadata and targets (ctl/repo/folder.h), served as it lies there
//   store.db             the fleet store (made at the first start)
//   bundles/<id>.edge    what was published
//   admin.token          made at a start that finds no operator token in the store: the first
//                        administrator's token, mode 0600, one line
//
// It refuses to start (offline_key) when it can read a key file of the roles root, bundle (or a
// delegation of it) or targets: in keys/, or in ../offline or ../offline/keys beside the workspace.
//
// Threads: the caller's waits for SIGTERM or SIGINT (blocked in all threads from the call on, so
// call this before starting others); HTTP, store, publishing and timing have their own. A signal
// lets requests in flight end, for at most SERVE_DRAIN_S.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/chrono.h"
#include "base/err.h"

#define SERVE_CONNECTIONS_DEFAULT 1024
#define SERVE_CONNECTIONS_MAX     65536
#define SERVE_DRAIN_S             10
#define SERVE_TOKEN_FILE          "admin.token"

struct keys_secret;

// What a line is about: READY is "listening on ADDRESS:PORT", said once, for standard output; the
// others are for the log.
enum serve_say { SERVE_SAY_READY, SERVE_SAY_INFO, SERVE_SAY_WARNING, SERVE_SAY_ERROR };

struct serve_options {
    const char *workspace; // directory
    const char *listen;    // "127.0.0.1:8443", "[::1]:0", ":8443"; port 0 picks one
    const char *port_file; // gets the port in decimal and a newline once listening; NULL: none
    const char *tls_cert;  // PEM files, both or neither (NULL)
    const char *tls_key;
    const char *public_url;   // "https://cdn.example/x": bundles are offered below it; NULL: a path
    bool allow_http;          // plain HTTP on addresses other than loopback
    bool allow_offline_keys;  // for demonstrations
    uint64_t poll_s;          // what devices are asked to poll at; 0: their own interval
    uint64_t connections_max; // 0: SERVE_CONNECTIONS_DEFAULT
    // How long snapshots and timestamps hold; they are signed anew at half of it. 0: the defaults
    // of ctl/repo/folder.h.
    uint64_t snapshot_expires_s, timestamp_expires_s;
    // Making deltas in the background (ctl/serve/delta.h has the defaults, for 0 and NULL).
    bool deltas_off;
    unsigned delta_share_pc; // of the devices of a rollout, for whose base one is made
    uint64_t delta_memory_bytes, delta_disk_bytes, delta_time_s;
    const char *delta_program;            // absolute path of edgectl; NULL: the program that runs
    const struct keys_secret *passphrase; // of the keys in keys/ that are sealed; may be NULL
    const struct chrono *clock;           // NULL: the machine's
    void (*say)(void *context, enum serve_say what, const char *line); // from any thread
    void *context;
};

// Serves until SIGTERM or SIGINT: 0. Everything is borrowed for the call. Kinds: wrong_workspace,
// offline_key, cleartext, listen_failed, busy (another process has the store), newer_format,
// bad_store, keys' kinds (root, director key), config, io.
int serve_run(const struct serve_options *options, struct err *e) __attribute__((nonnull));
