// SPDX-License-Identifier: Apache-2.0
//
// The workflow up to the top-level targets (specification §5.2 to §5.6).
#include "keys/tuf/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/kind.h"
#include "keys/tuf/client_file.h"

// ── Open and free ──────────────────────────────────────────────────────────────────────────────

static void drop_chain(struct tuf_client *client) {
    while (client->n_chain > 0)
        own_drop_tuf_metadata(&client->chain[--client->n_chain]);
}

// All but the root, which stays whatever happens.
static void drop_online(struct tuf_client *client) {
    drop_chain(client);
    for (size_t i = TUF_TIMESTAMP; i < TUF_TYPES; i++)
        own_drop_tuf_metadata(&client->trusted[i]);
}

static int open_root(struct tuf_client *client, struct err *e) {
    const struct tuf_client_options *o = &client->options;
    OWN(buf) struct buf raw;
    struct tuf_metadata_candidate *candidate = NULL;
    buf_init(&raw, TUF_ROOT_MAX_BYTES);
    int found = o->ops->load(o->context, "root.json", TUF_ROOT_MAX_BYTES, &raw, e);
    if (found > 0)
        return err_set(e, &err_not_found, "root.json: there is no trusted root to begin with");
    if (found < 0 || tuf_metadata_parse(buf_slice(&raw), TUF_ROOT, "root.json", &candidate, e) < 0)
        return -1;
    return tuf_metadata_verify_root(&candidate, o->key_ops, &client->trusted[TUF_ROOT], e);
}

int tuf_client_open(const struct tuf_client_options *options, struct tuf_client **ret,
                    struct err *e) {
    OWN(tuf_client) struct tuf_client *client = calloc(1, sizeof *client);
    if (!client)
        return err_set(e, &err_memory, "opening trusted metadata: out of memory");
    client->options = *options;
    if (open_root(client, e) < 0)
        return err_prefix(e, "the trusted root");
    *ret = own_take(&client);
    return 0;
}

void tuf_client_free(struct tuf_client *client) {
    if (!client)
        return;
    drop_online(client);
    tuf_metadata_free(client->trusted[TUF_ROOT]);
    free(client);
}

const struct tuf_metadata *tuf_client_trusted(const struct tuf_client *client, enum tuf_type type) {
    return client->trusted[type];
}

// ── Root (§5.3) ────────────────────────────────────────────────────────────────────────────────

static int verify_next(struct tuf_client *client, const struct buf *raw, const char *name,
                       struct tuf_metadata **ret, struct err *e) {
    struct tuf_role role = tuf_metadata_role(client->trusted[TUF_ROOT], TUF_ROOT);
    uint64_t wanted = tuf_metadata_version(client->trusted[TUF_ROOT]) + 1;
    OWN(tuf_metadata) struct tuf_metadata *next = NULL;
    struct tuf_metadata_candidate *candidate = NULL;
    struct err why = ERR_NONE;
    if (tuf_metadata_parse(buf_slice(raw), TUF_ROOT, name, &candidate, e) < 0)
        return -1;
    if (tuf_metadata_verify(&candidate, &role, client->options.key_ops, &next, &why) < 0)
        return err_set(e, err_is(&why, &err_below_threshold) ? &err_root_chain : why.kind, "%s",
                       why.text);
    if (tuf_metadata_version(next) != wanted)
        return err_set(e, &err_root_chain,
                       "%s: it has version %" PRIu64 "; version %" PRIu64 " comes next", name,
                       tuf_metadata_version(next), wanted);
    *ret = own_take(&next);
    return 0;
}

// Recovery from a version that somebody with stolen keys made too high (§5.3.11). Before the new
// root is stored: after a crash between the two the next refresh would see no change of keys any
// more.
static int forget_replaced(struct tuf_client *client, const struct tuf_metadata *next,
                           struct err *e) {
    const struct tuf_client_options *o = &client->options;
    const struct tuf_metadata *root = client->trusted[TUF_ROOT];
    if (tuf_metadata_same_role(root, next, TUF_TIMESTAMP) &&
        tuf_metadata_same_role(root, next, TUF_SNAPSHOT))
        return 0;
    if (o->ops->forget(o->context, "timestamp.json", e) < 0)
        return -1;
    return o->ops->forget(o->context, "snapshot.json", e);
}

// 0 advanced by one version, TUF_ABSENT when there is no newer one.
static int advance_root(struct tuf_client *client, struct err *e) {
    const struct tuf_client_options *o = &client->options;
    OWN(buf) struct buf raw;
    OWN(tuf_metadata) struct tuf_metadata *next = NULL;
    char name[40];
    (void)snprintf(name, sizeof name, "%" PRIu64 ".root.json",
                   tuf_metadata_version(client->trusted[TUF_ROOT]) + 1);
    buf_init(&raw, TUF_ROOT_MAX_BYTES);
    int found = o->ops->fetch(o->context, name, TUF_ROOT_MAX_BYTES, &raw, e);
    if (found != 0)
        return found;
    if (verify_next(client, &raw, name, &next, e) < 0 || forget_replaced(client, next, e) < 0 ||
        tuf_client_file_store(client, "root.json", &raw, e) < 0)
        return -1;
    own_drop_tuf_metadata(&client->trusted[TUF_ROOT]);
    client->trusted[TUF_ROOT] = own_take(&next);
    return 0;
}

// More rotations than the ceiling are followed by the next refresh.
static int update_root(struct tuf_client *client, struct err *e) {
    int done = 0;
    for (size_t i = 0; i < TUF_ROOTS_PER_REFRESH_MAX && done == 0; i++)
        done = advance_root(client, e);
    if (done < 0)
        return -1;
    return tuf_client_file_check_expiry(client, client->trusted[TUF_ROOT], "root.json", e);
}

// ── Timestamp (§5.4) ───────────────────────────────────────────────────────────────────────────

static struct tuf_client_file timestamp_file(const struct tuf_role *role) {
    return (struct tuf_client_file){.type = TUF_TIMESTAMP, .name = "timestamp.json", .role = role};
}

static struct tuf_meta snapshot_meta(const struct tuf_metadata *timestamp) {
    struct tuf_meta meta = {.version = 0};
    (void)tuf_metadata_meta(timestamp, "snapshot.json", &meta);
    return meta;
}

// An expired timestamp is still one that may not be fallen behind.
static int follow_timestamp(const struct tuf_metadata *stored, const struct tuf_metadata *new,
                            struct err *e) {
    if (tuf_metadata_version(new) < tuf_metadata_version(stored))
        return err_set(e, &err_rollback,
                       "timestamp.json: it has version %" PRIu64 ", and %" PRIu64
                       " was accepted before",
                       tuf_metadata_version(new), tuf_metadata_version(stored));
    if (tuf_metadata_version(new) > tuf_metadata_version(stored) &&
        snapshot_meta(new).version < snapshot_meta(stored).version)
        return err_set(e, &err_rollback,
                       "timestamp.json: it names version %" PRIu64 " of the snapshot, and %" PRIu64
                       " was accepted before",
                       snapshot_meta(new).version, snapshot_meta(stored).version);
    return 0;
}

static int update_timestamp(struct tuf_client *client, struct err *e) {
    struct tuf_role role = tuf_metadata_role(client->trusted[TUF_ROOT], TUF_TIMESTAMP);
    const struct tuf_client_file file = timestamp_file(&role);
    OWN(buf) struct buf raw;
    OWN(buf) struct buf raw_stored;
    OWN(tuf_metadata) struct tuf_metadata *stored = NULL;
    OWN(tuf_metadata) struct tuf_metadata *fetched = NULL;
    buf_init(&raw, 0);
    if (tuf_client_file_load(client, &file, &raw_stored, &stored, e) < 0 ||
        tuf_client_file_fetch(client, &file, &raw, &fetched, e) < 0 ||
        (stored && follow_timestamp(stored, fetched, e) < 0))
        return -1;
    // The same version again, whatever it says now, is not believed but no reason to stop: what the
    // own one leads to may be missing still.
    if (stored && tuf_metadata_version(stored) == tuf_metadata_version(fetched))
        own_drop_tuf_metadata(&fetched);
    struct tuf_metadata **chosen = fetched ? &fetched : &stored;
    if (tuf_client_file_check_expiry(client, *chosen, file.name, e) < 0 ||
        (fetched && tuf_client_file_store(client, file.name, &raw, e) < 0))
        return -1;
    client->trusted[TUF_TIMESTAMP] = own_take(chosen);
    return 0;
}

// ── Snapshot (§5.5) ────────────────────────────────────────────────────────────────────────────

struct succession {
    const struct tuf_metadata *new;
    struct err *e;
};

static int follow_meta(void *context, const char *file, const struct tuf_meta *stored) {
    const struct succession *s = context;
    struct tuf_meta meta;
    char shown[80];
    if (!tuf_metadata_meta(s->new, file, &meta))
        return err_set(s->e, &err_rollback, "snapshot.json: it does not list \"%s\" any more",
                       text_safe(file, shown, sizeof shown));
    if (meta.version < stored->version)
        return err_set(s->e, &err_rollback,
                       "snapshot.json: it names version %" PRIu64 " of \"%s\", and %" PRIu64
                       " was accepted before",
                       meta.version, text_safe(file, shown, sizeof shown), stored->version);
    return 0;
}

static int follow_snapshot(const struct tuf_metadata *stored, const struct tuf_metadata *new,
                           const char *name, struct err *e) {
    struct succession s = {.new = new, .e = e};
    if (tuf_metadata_version(new) < tuf_metadata_version(stored))
        return err_set(e, &err_rollback,
                       "%s: it has version %" PRIu64 ", and %" PRIu64 " was accepted before", name,
                       tuf_metadata_version(new), tuf_metadata_version(stored));
    return tuf_metadata_each_meta(stored, follow_meta, &s);
}

// The stored one is what a new one is compared with, even when it is not the one that the timestamp
// means any more.
static struct tuf_client_file snapshot_file(const struct tuf_role *role,
                                            const struct tuf_meta *meta) {
    return (struct tuf_client_file){.type = TUF_SNAPSHOT,
                                    .name = "snapshot.json",
                                    .role = role,
                                    .meta = meta,
                                    .succeed = follow_snapshot};
}

// ── Targets (§5.6) ─────────────────────────────────────────────────────────────────────────────

static struct tuf_client_file targets_file(const struct tuf_role *role,
                                           const struct tuf_meta *meta) {
    return (struct tuf_client_file){
        .type = TUF_TARGETS, .name = "targets.json", .role = role, .meta = meta};
}

// ── The whole ──────────────────────────────────────────────────────────────────────────────────

typedef int source(struct tuf_client *client, const struct tuf_client_file *file,
                   struct tuf_metadata **ret, struct err *e);

// Snapshot and targets behind the trusted timestamp, both from one source.
static int follow(struct tuf_client *client, source *get, struct err *e) {
    const struct tuf_metadata *root = client->trusted[TUF_ROOT];
    struct tuf_role role = tuf_metadata_role(root, TUF_SNAPSHOT);
    struct tuf_meta meta = snapshot_meta(client->trusted[TUF_TIMESTAMP]);
    const struct tuf_client_file snapshot = snapshot_file(&role, &meta);
    int got = get(client, &snapshot, &client->trusted[TUF_SNAPSHOT], e);
    if (got != 0)
        return got;
    role = tuf_metadata_role(root, TUF_TARGETS);
    (void)tuf_metadata_meta(client->trusted[TUF_SNAPSHOT], "targets.json", &meta);
    const struct tuf_client_file targets = targets_file(&role, &meta);
    return get(client, &targets, &client->trusted[TUF_TARGETS], e);
}

// Whether the repository's timestamp is the stored one, byte for byte.
static int compare_timestamp(struct tuf_client *client, const struct buf *stored, struct err *e) {
    const struct tuf_client_options *o = &client->options;
    OWN(buf) struct buf raw;
    buf_init(&raw, TUF_TIMESTAMP_MAX_BYTES);
    int found = o->ops->fetch(o->context, "timestamp.json", TUF_TIMESTAMP_MAX_BYTES, &raw, e);
    if (found != 0)
        return found;
    return raw.len == stored->len && memcmp(raw.data, stored->data, raw.len) == 0 ? 0 : TUF_ABSENT;
}

// 0 when nothing is new and all is at hand, TUF_ABSENT when the whole way must be gone.
static int find_unchanged(struct tuf_client *client, struct err *e) {
    struct tuf_role role = tuf_metadata_role(client->trusted[TUF_ROOT], TUF_TIMESTAMP);
    const struct tuf_client_file file = timestamp_file(&role);
    OWN(buf) struct buf raw;
    struct err why = ERR_NONE;
    int found = tuf_client_file_load(client, &file, &raw, &client->trusted[TUF_TIMESTAMP], e);
    if (found == 0)
        found = compare_timestamp(client, &raw, e);
    if (found != 0)
        return found;
    if (tuf_client_file_check_expiry(client, client->trusted[TUF_ROOT], "root.json", &why) < 0 ||
        tuf_client_file_check_expiry(client, client->trusted[TUF_TIMESTAMP], file.name, &why) < 0)
        return TUF_ABSENT;
    return follow(client, tuf_client_file_stored, e);
}

static int go_whole_way(struct tuf_client *client, struct err *e) {
    drop_online(client);
    if (update_root(client, e) < 0 || update_timestamp(client, e) < 0)
        return -1;
    return follow(client, tuf_client_file_get, e);
}

int tuf_client_refresh(struct tuf_client *client, struct err *e) {
    client->has_stored = false;
    drop_online(client);
    int missing = client->options.timestamp_first ? find_unchanged(client, e) : TUF_ABSENT;
    if (missing > 0)
        missing = go_whole_way(client, e);
    // The targets come last: where they are trusted, all before them is.
    if (missing < 0)
        return -1;
    return client->has_stored ? 0 : TUF_CLIENT_UNCHANGED;
}
