// SPDX-License-Identifier: Apache-2.0
//
// What the parts of a running controller share. Made by ctl/serve/run.c, passed by pointer; each
// member says which thread may touch it.
#pragma once

#include "base/chrono.h"
#include "ctl/serve/serve.h"
#include "ctl/store/writer.h"
#include "keys/root.h"
#include "keys/secret.h"

#define SERVE_SERVER_TOKEN_KEY_BYTES 32

struct sign_signer;
struct serve_engine;
struct serve_challenges;
struct serve_waiting;
struct serve_publisher;
struct serve_repository;
struct serve_deltas;

struct serve_server {
    const struct serve_options *options;
    const struct chrono *clock;
    int workspace;                                   // directory
    int bundles;                                     // directory
    struct keys_root *_Atomic root;                  // immutable itself; a new one takes its place
    struct sign_signer *_Atomic director;            // likewise; signing is thread-safe
    uint8_t token_key[SERVE_SERVER_TOKEN_KEY_BYTES]; // set before threads start
    struct store_writer *writer;
    struct serve_engine *engine;         // the store's thread only
    struct serve_challenges *challenges; // has a lock of its own
    struct serve_waiting *waiting;       // has a lock of its own
    struct serve_publisher *publisher;   // has a lock of its own
    struct serve_repository *repository; // ctl/serve/repository.h
    struct serve_deltas *deltas;         // ctl/serve/delta.h
};
