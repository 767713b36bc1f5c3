// SPDX-License-Identifier: Apache-2.0
//
// The targets file of the role deltas (ctl/repo/targets.h), which is this controller's own: the
// deltas that it made (ctl/store/making.h), signed with its online key. The file follows the store:
// what was made is named, what leads to a bundle that nobody names any more is not, and is
// forgotten. What a person named in it with the same key stays, as long as the delta is one that was
// sent here and its bundle is named; where the controller made one of the same pair, that is taken. It is signed anew at half of its life, which is that of a snapshot, and exists even
// when it names nothing: a device that looks for a delta must not stumble over its absence.
//
// The store's thread only.
#pragma once

#include "ctl/serve/server.h"
#include "ctl/store/making.h"

#define SERVE_REPOSITORY_DELTAS_MAX  1024 // deltas of its own; above that the oldest go
#define SERVE_REPOSITORY_DELTAS_GONE 16   // forgotten, and their files not removed

// Why deltas cannot be named: a stable code and a sentence, "" when they can.
struct serve_repository_deltas_why {
    char code[ERR_NAME_BYTES];
    char text[ERR_TEXT_BYTES];
};

// Zeroed it knows nothing.
struct serve_repository_deltas {
    struct sign_signer *signer; // owned; NULL: there is none
    struct serve_repository_deltas_why why;
    bool changed;     // the store has other deltas than the file
    uint64_t seen;    // of the metadata that the file was compared with last
    uint64_t keys_of; // versions that decided on the signer
    bool looked;      // there was such a decision
    int64_t retry_ms; // on the boot clock: no attempt before
    // Heads of what was forgotten: their files may go once that is durable and the store does not
    // know them again. Whoever removes them takes them out.
    size_t n_gone;
    char gone[SERVE_REPOSITORY_DELTAS_GONE][KEYS_DIGEST_HEX];
};

void serve_repository_deltas_clear(struct serve_repository_deltas *io) __attribute__((nonnull));
// Looks whether there are delegation and key, then brings the file up to date. io->why says how it
// stands; after a failure the next attempt is SERVE_REPOSITORY_RETRY_S later.
int serve_repository_deltas_keep(struct serve_server *server, struct store_db *db, int64_t now_ms,
                                 struct serve_repository_deltas *io, struct err *e)
    __attribute__((nonnull));
// Whether the role may name a delta to this bundle.
struct store_bundle;
bool serve_repository_deltas_may(const struct serve_server *server,
                                 const struct store_bundle *bundle) __attribute__((nonnull));
