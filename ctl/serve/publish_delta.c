// SPDX-License-Identifier: Apache-2.0
//
// Taking in deltas.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/unpack/delta/stored.h"
#include "ctl/kind.h"
#include "ctl/repo/target.h"
#include "ctl/serve/engine.h"
#include "ctl/serve/publish_parts.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/store/audit.h"

// ── In the publisher's thread ──

// A delta between bundles that are not here could never be offered to anybody.
static int unknown(const char *which, const char *id, struct err *e) {
    return err_set(e, &err_not_found,
                   "the bundle that the delta %s (%.16s) was not published here; publish it first",
                   which, id);
}

static int check_file(const struct serve_server *server, const char *which, const char *id,
                      struct err *e) {
    char name[SERVE_PUBLISH_NAME_BYTES];
    struct stat st;
    (void)snprintf(name, sizeof name, "%s.edge", id);
    int found = fs_stat(server->bundles, name, &st, e);
    return found == FS_ABSENT ? unknown(which, id, e) : found;
}

// What targets would name of it: who signs them decides whether devices decode it, so the head is
// verified as what it says it is.
static int read_head(const struct unpack_delta_candidate *candidate, struct buf *ret_part,
                     struct repo_target *ret, struct err *e) {
    struct slice part;
    if (repo_target_peek_delta(unpack_delta_open_manifest(candidate),
                               unpack_delta_open_head(candidate), ret, &part, e) < 0)
        return -1;
    return buf_add(ret_part, part.data, part.len, e);
}

static int verify(const struct serve_server *server, const struct unpack_source *source,
                  struct buf *ret_part, struct repo_target *ret, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(delta) struct unpack_delta *delta = NULL;
    struct keys_digest head;
    int opened = unpack_delta_open(source, &candidate, e);
    if (opened == UNPACK_DELTA_OPEN_NONE)
        return err_set(e, &err_bad_delta, "what was sent is no delta; bundles go to /releases");
    if (opened < 0 || read_head(candidate, ret_part, ret, e) < 0 ||
        keys_digest_parse(ret->digest, "head", &head, e) < 0 ||
        unpack_delta_verify_digest(&candidate, server->root, &head, ret->length, &delta, e) < 0)
        return -1;
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_delta_manifest(delta));
    if (keys_envelope_check_expiry(&view->header, "the bundle",
                                   chrono_wall_ms(server->clock) / 1000, e) < 0 ||
        check_file(server, "makes", ret->bundle.id, e) < 0 ||
        check_file(server, "starts from", ret->bundle.base, e) < 0)
        return -1;
    return unpack_delta_check_stored(delta, source, e);
}

int serve_publish_take_delta(struct serve_call *call, struct err *e) {
    struct serve_upload *upload = call->state;
    struct store_delta *row = &upload->delta;
    struct unpack_source_file file;
    struct unpack_source source;
    struct repo_target target;
    OWN(buf) struct buf part;
    buf_init(&part, BUNDLE_DELTA_HEAD_MAX_BYTES);
    if (unpack_source_from_file(upload->fd, &file, &source, e) < 0 ||
        verify(call->server, &source, &part, &target, e) < 0 ||
        serve_repository_take_delta(call->server, &target, buf_slice(&part), e) < 0)
        return -1;
    *row = (struct store_delta){.head_bytes = target.length, .size = file.size};
    (void)snprintf(row->head, sizeof row->head, "%s", target.digest);
    (void)snprintf(row->bundle, sizeof row->bundle, "%s", target.bundle.id);
    (void)snprintf(row->base, sizeof row->base, "%s", target.bundle.base);
    (void)store_delta_file(row->head, upload->name);
    return 0;
}

// ── In the store's thread ──

// A bundle's file may lie there without a row, from before a store was put back from a backup.
static int find_bundle(const struct serve_engine *engine, const char *which, const char *id,
                       const struct serve_engine_bundle **ret, struct err *e) {
    struct keys_digest digest;
    if (keys_digest_parse(id, which, &digest, e) < 0)
        return -1;
    *ret = serve_engine_bundle(engine, &digest);
    return *ret != NULL ? 0 : unknown(which, id, e);
}

// While it waited here, what is nobody's may have been removed: it was that until its row is made.
static int check_still_there(const struct serve_upload *upload, struct err *e) {
    struct stat st;
    int found = fs_stat(upload->server->bundles, upload->name, &st, e);
    return found == FS_ABSENT
               ? err_set(e, &err_overloaded,
                         "the controller was just forgetting this delta; send it again")
               : found;
}

static int add(struct store_db *db, struct serve_call *call, struct store_delta *row,
               struct err *e) {
    const struct serve_server *server = call->server;
    const struct serve_engine_bundle *bundle = NULL, *base = NULL;
    char subject[2 * BUNDLE_NAME_MAX + 4];
    if (find_bundle(server->engine, "makes", row->bundle, &bundle, e) < 0 ||
        find_bundle(server->engine, "starts from", row->base, &base, e) < 0 ||
        check_still_there(call->state, e) < 0)
        return -1;
    row->created_s = serve_call_now_s(call);
    (void)snprintf(row->actor, sizeof row->actor, "%s", call->who.name);
    int added = store_delta_add(db, row, e);
    if (added == STORE_DELTA_KNOWN && store_delta_get(db, row->head, row, e) != 0)
        return -1;
    if (added < 0)
        return -1;
    OWN(json) json_t *shown = serve_show_delta(server, &bundle->row, row);
    (void)snprintf(subject, sizeof subject, "%s %s", bundle->row.name, bundle->row.version);
    if (added == 0 &&
        store_audit_add(db, row->created_s, call->who.name, "delta.publish", subject, shown, e) < 0)
        return -1;
    return serve_call_answer(call, added == STORE_DELTA_KNOWN ? 200 : 201, json_incref(shown), e);
}

int serve_publish_run_delta(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_upload *upload = call->state;
    if (add(db, call, &upload->delta, e) == 0)
        return 0;
    if (err_is(e, &err_not_found))
        serve_publish_drop(upload);
    return -1;
}
