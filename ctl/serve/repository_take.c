// SPDX-License-Identifier: Apache-2.0
//
// Files of targets: of what is published now, and of what was published before there was a
// repository, or before it was put back from a backup.
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/unpack/delta.h"
#include "bundle/unpack/open.h"
#include "ctl/serve/repository_parts.h"

static int put(const struct serve_repository *r, const struct repo_target *target,
               struct slice part, struct err *e) {
    if (repo_folder_put_target(r->folder, target, part, e) < 0)
        return err_prefix(e, "putting a target into the repository");
    return 0;
}

static int take_raw(const struct serve_repository *r, struct slice raw,
                    const struct bundle_manifest_view *view, struct err *e) {
    struct repo_target target;
    struct slice part;
    if (repo_target_of(raw, view, &target, &part, e) < 0)
        return err_prefix(e, "putting a target into the repository");
    return put(r, &target, part, e);
}

int serve_repository_take(const struct serve_server *server, const struct bundle_manifest *manifest,
                          struct err *e) {
    return take_raw(server->repository, bundle_manifest_raw(manifest),
                    bundle_manifest_view(manifest), e);
}

int serve_repository_take_delta(const struct serve_server *server, const struct repo_target *target,
                                struct slice signed_part, struct err *e) {
    return put(server->repository, target, signed_part, e);
}

// ── At the start ─────────────────────────────────────────────────────────────────────────────────

// What cannot be read is not this start's business: all that read it say so.
static int take_bundle(const struct serve_repository *r, const struct unpack_source *source,
                       struct err *e) {
    struct unpack_candidate *candidate = NULL;
    struct bundle_manifest_unverified *manifest = NULL;
    struct err ignored = ERR_NONE;
    int done = 0;
    if (unpack_open(source, &candidate, &ignored) < 0)
        return 0;
    struct slice raw = unpack_candidate_manifest(candidate);
    if (bundle_manifest_peek(raw, &manifest, &ignored) == 0)
        done = take_raw(r, raw, bundle_manifest_peek_view(manifest), e);
    bundle_manifest_peek_free(manifest);
    unpack_candidate_free(candidate);
    return done;
}

static int take_delta(const struct serve_repository *r, const struct unpack_source *source,
                      struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    struct repo_target target;
    struct slice part;
    struct err ignored = ERR_NONE;
    if (unpack_delta_open(source, &candidate, &ignored) != 0 ||
        repo_target_peek_delta(unpack_delta_open_manifest(candidate),
                               unpack_delta_open_head(candidate), &target, &part, &ignored) < 0)
        return 0;
    return put(r, &target, part, e);
}

static int take_file(void *context, const char *name, mode_t type, struct err *e) {
    const struct serve_server *server = context;
    struct unpack_source_file file;
    struct unpack_source source;
    struct err ignored = ERR_NONE;
    OWN(fd) int fd = -1;
    bool bundle = text_ends_with(name, ".edge"), delta = text_ends_with(name, ".delta");
    (void)type;
    if (name[0] == '.' || (!bundle && !delta) ||
        fs_open_read(server->bundles, name, &fd, &ignored) < 0 ||
        unpack_source_from_file(fd, &file, &source, &ignored) < 0)
        return 0;
    return bundle ? take_bundle(server->repository, &source, e)
                  : take_delta(server->repository, &source, e);
}

int serve_repository_take_all(struct serve_server *server, struct err *e) {
    return fs_list(server->bundles, ".", take_file, server, e);
}
