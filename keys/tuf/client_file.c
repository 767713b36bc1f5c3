// SPDX-License-Identifier: Apache-2.0
#include "keys/tuf/client_file.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/chrono.h"
#include "base/own.h"
#include "keys/kind.h"

static int believe(struct tuf_client *client, const struct tuf_client_file *file,
                   const struct buf *raw, const char *what, struct tuf_metadata **ret,
                   struct err *e) {
    struct tuf_metadata_candidate *candidate = NULL;
    if (tuf_metadata_parse(buf_slice(raw), file->type, what, &candidate, e) < 0)
        return -1;
    return tuf_metadata_verify(&candidate, file->role, client->options.key_ops, ret, e);
}

static int check_bytes(const struct tuf_meta *meta, const struct buf *raw, const char *what,
                       struct err *e) {
    if (!meta)
        return 0;
    if (meta->has_length && raw->len != meta->length)
        return err_set(e, &err_digest_mismatch, "%s: it has %zu bytes, %" PRIu64 " were signed",
                       what, raw->len, meta->length);
    return meta->has_hashes ? tuf_hashes_check(meta->hashes, buf_slice(raw), what, e) : 0;
}

static int check_version(const struct tuf_meta *meta, const struct tuf_metadata *m,
                         const char *what, struct err *e) {
    if (meta && tuf_metadata_version(m) != meta->version)
        return err_set(e, &err_rollback,
                       "%s: it has version %" PRIu64 ", and %" PRIu64 " is wanted", what,
                       tuf_metadata_version(m), meta->version);
    return 0;
}

int tuf_client_file_check_expiry(const struct tuf_client *client, const struct tuf_metadata *m,
                                 const char *name, struct err *e) {
    char when[CHRONO_TEXT_BYTES];
    if (tuf_metadata_expires_s(m) <= client->options.now_s)
        return err_set(e, &err_expired,
                       "%s: it expired at %s; the repository must sign it anew (or this clock is "
                       "wrong)",
                       name, chrono_format(tuf_metadata_expires_s(m), when));
    return 0;
}

// ── Stored ─────────────────────────────────────────────────────────────────────────────────────

// What may pass by itself is a failure; what is wrong with the file makes it as good as absent.
static int absence(const struct err *why, struct err *e) {
    if (!why->kind->retry)
        return TUF_ABSENT;
    *e = *why;
    return -1;
}

int tuf_client_file_load(struct tuf_client *client, const struct tuf_client_file *file,
                         struct buf *ret_raw, struct tuf_metadata **ret, struct err *e) {
    const struct tuf_client_options *o = &client->options;
    size_t max_bytes = tuf_type_max_bytes(file->type);
    struct err why = ERR_NONE;
    buf_init(ret_raw, max_bytes);
    int found = o->ops->load(o->context, file->name, max_bytes, ret_raw, &why);
    if (found == 0)
        found = believe(client, file, ret_raw, file->name, ret, &why);
    return found < 0 ? absence(&why, e) : found;
}

static bool is_current(const struct tuf_client *client, const struct tuf_client_file *file,
                       const struct buf *raw, const struct tuf_metadata *m) {
    struct err why = ERR_NONE;
    return check_bytes(file->meta, raw, file->name, &why) == 0 &&
           check_version(file->meta, m, file->name, &why) == 0 &&
           tuf_client_file_check_expiry(client, m, file->name, &why) == 0;
}

int tuf_client_file_stored(struct tuf_client *client, const struct tuf_client_file *file,
                           struct tuf_metadata **ret, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(tuf_metadata) struct tuf_metadata *stored = NULL;
    int found = tuf_client_file_load(client, file, &raw, &stored, e);
    if (found != 0)
        return found;
    if (!is_current(client, file, &raw, stored))
        return TUF_ABSENT;
    *ret = own_take(&stored);
    return 0;
}

int tuf_client_file_store(struct tuf_client *client, const char *name, const struct buf *raw,
                          struct err *e) {
    const struct tuf_client_options *o = &client->options;
    client->has_stored = true;
    return o->ops->store(o->context, name, buf_slice(raw), e);
}

// ── Fetched ────────────────────────────────────────────────────────────────────────────────────

// What is versioned is served under its version where snapshots are consistent.
static void name_served(const struct tuf_client *client, const struct tuf_client_file *file,
                        char *ret, size_t ret_bytes) {
    if (file->meta && tuf_metadata_is_consistent(client->trusted[TUF_ROOT]))
        (void)snprintf(ret, ret_bytes, "%" PRIu64 ".%s", file->meta->version, file->name);
    else
        (void)snprintf(ret, ret_bytes, "%s", file->name);
}

int tuf_client_file_fetch(struct tuf_client *client, const struct tuf_client_file *file,
                          struct buf *ret_raw, struct tuf_metadata **ret, struct err *e) {
    const struct tuf_client_options *o = &client->options;
    char served[TUF_CLIENT_FILE_NAME_MAX + 32];
    OWN(tuf_metadata) struct tuf_metadata *fetched = NULL;
    size_t max_bytes = tuf_type_max_bytes(file->type);
    if (file->meta && file->meta->has_length && file->meta->length < max_bytes)
        max_bytes = file->meta->length;
    name_served(client, file, served, sizeof served);
    buf_init(ret_raw, max_bytes);
    int found = o->ops->fetch(o->context, served, max_bytes, ret_raw, e);
    if (found > 0)
        return err_set(e, &err_not_found, "%s: the repository does not have it", served);
    if (found < 0 || check_bytes(file->meta, ret_raw, served, e) < 0 ||
        believe(client, file, ret_raw, served, &fetched, e) < 0 ||
        check_version(file->meta, fetched, served, e) < 0)
        return -1;
    *ret = own_take(&fetched);
    return 0;
}

// ── Either ─────────────────────────────────────────────────────────────────────────────────────

static int replace(struct tuf_client *client, const struct tuf_client_file *file,
                   const struct tuf_metadata *stored, struct tuf_metadata **ret, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(tuf_metadata) struct tuf_metadata *fetched = NULL;
    if (tuf_client_file_fetch(client, file, &raw, &fetched, e) < 0 ||
        (stored && file->succeed(stored, fetched, file->name, e) < 0) ||
        tuf_client_file_check_expiry(client, fetched, file->name, e) < 0 ||
        tuf_client_file_store(client, file->name, &raw, e) < 0)
        return -1;
    *ret = own_take(&fetched);
    return 0;
}

int tuf_client_file_get(struct tuf_client *client, const struct tuf_client_file *file,
                        struct tuf_metadata **ret, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(tuf_metadata) struct tuf_metadata *stored = NULL;
    if (tuf_client_file_load(client, file, &raw, &stored, e) < 0)
        return -1;
    if (stored && is_current(client, file, &raw, stored)) {
        *ret = own_take(&stored);
        return 0;
    }
    // The largest files of a repository are never in memory twice.
    buf_clear(&raw);
    if (!file->succeed)
        own_drop_tuf_metadata(&stored);
    return replace(client, file, stored, ret, e);
}
