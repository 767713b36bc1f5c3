// SPDX-License-Identifier: Apache-2.0
//
// A scripted HTTP server on loopback. A script is a row of scenes: each request gets the next one,
// whatever it asks. Or it is a function that makes the scene for each request. The server runs in a
// thread, speaks with one client at a time and ends with its scenes, or when it is closed. What
// clients asked is kept for the test to look at.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAULTD_SCENES_MAX    32
#define FAULTD_REQUEST_BYTES 4096
#define FAULTD_WHOLE         SIZE_MAX

struct faultd_scene {
    const char *head; // status line and headers, up to and with the empty line, or any part of it
    const void *body;
    size_t body_len;
    size_t cut;        // the connection is reset after this many bytes of the body; FAULTD_WHOLE
    unsigned stall_ms; // silence before the body, with the connection open
    unsigned drip_ms;  // silence between any two bytes of the body
    bool at_once;      // speaks before it was asked
    size_t head_len;   // of a head with NUL bytes in it; 0: up to the first
    bool keep;         // the connection stays open for the next request
    size_t stall_at;   // the silence comes after this many bytes of the body
};

// Makes the scene for request n (from 0). What *ret points to must hold until the next call.
// Called by the server's thread.
typedef void faultd_answer(void *context, size_t n, const char *request, struct faultd_scene *ret);

struct faultd;

// Listens; the scenes are borrowed until close.
struct faultd *faultd_open(const struct faultd_scene *scenes, size_t n_scenes);
// The same with a function that is asked for every scene, until close; at_once is not for these.
struct faultd *faultd_open_with(faultd_answer *answer, void *context);
// Ends the thread and frees.
void faultd_close(struct faultd *server);
// fork() while the thread only waits for a client. Of what a process's other threads hold at that
// moment its child never gets rid: the locks of AddressSanitizer's allocator, say. For servers with
// a function, which do not end by themselves; the child leaves the server alone.
pid_t faultd_fork(struct faultd *server);
// "http://127.0.0.1:PORT". Borrowed.
const char *faultd_url(const struct faultd *server);
// How many scenes were begun, and the n-th request (head and body) as text, of the first
// FAULTD_SCENES_MAX.
size_t faultd_played(struct faultd *server);
// How many connections clients made.
size_t faultd_connections(struct faultd *server);
const char *faultd_request(struct faultd *server, size_t n);
