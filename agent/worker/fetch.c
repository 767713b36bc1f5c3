// SPDX-License-Identifier: Apache-2.0
//
// Fetching and staging a bundle; see fetch.h.
#include "agent/worker/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/kind.h"
#include "agent/net/download.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/seal.h"
#include "bundle/unpack/delta.h"
#include "bundle/unpack/stage.h"
#include "keys/kind.h"

static void own_drop_candidate(struct unpack_candidate **candidate) {
    unpack_candidate_free(*candidate);
}

static void own_drop_bundle(struct unpack_bundle **bundle) {
    unpack_bundle_free(*bundle);
}

static int open_root(int fd, struct keys_root **ret, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (worker_voice_read_fd(fd, KEYS_ROOT_MAX_BYTES, &raw, e) < 0 ||
        keys_root_open(buf_slice(&raw), ret, e) < 0)
        return err_prefix(e, "root.json");
    return 0;
}

// Opens and verifies. `keep` gets a copy of the manifest member as it came, or is NULL.
static int open_bundle(const struct unpack_source *source, const struct keys_root *root,
                       struct buf *keep, struct unpack_bundle **ret, struct err *e) {
    OWN(candidate) struct unpack_candidate *candidate = NULL;
    if (unpack_open(source, &candidate, e) < 0)
        return -1;
    if (keep) {
        struct slice manifest = unpack_candidate_manifest(candidate);
        if (buf_add(keep, manifest.data, manifest.len, e) < 0)
            return -1;
    }
    return unpack_verify_root(&candidate, root, ret, e);
}

// The bundle must be the one that the instruction names.
static int check_identity(const struct agent_job *job, const struct bundle_manifest *manifest,
                          struct err *e) {
    struct keys_digest wanted;
    if (!job->bundle[0])
        return 0;
    if (keys_digest_parse(job->bundle, "bundle", &wanted, e) < 0)
        return -1;
    if (!keys_digest_equal(&wanted, bundle_manifest_id(manifest)))
        return err_set(e, &err_digest_mismatch,
                       "the server has another bundle at this address than the one offered");
    return 0;
}

static uint64_t stream_bytes(const struct bundle_manifest_view *view) {
    uint64_t sum = 0;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        sum += c->stream_bytes + (c->type == BUNDLE_COMPONENT_FILES ? c->size : 0);
    }
    return sum;
}

// Shows the agent what would be installed and waits for its word. `member` is the manifest as it
// came.
static int ask_to_proceed(struct worker_voice *v, const struct bundle_manifest *manifest,
                          uint64_t total_bytes, struct slice member, struct err *e) {
    struct agent_job_message say = {.type = AGENT_JOB_MANIFEST};
    say.u.manifest.id = *bundle_manifest_id(manifest);
    say.u.manifest.total_bytes = total_bytes;
    say.u.manifest.stream_bytes = stream_bytes(bundle_manifest_view(manifest));
    if (fs_pwrite(WORKER_FETCH_MANIFEST_FD, member.data, member.len, 0, e) < 0 ||
        worker_voice_send(v, &say, e) < 0)
        return -1;
    return worker_voice_expect(v, AGENT_JOB_PROCEED, &say, e);
}

struct progress {
    struct worker_voice *voice;
    uint64_t total;
};

static int on_progress(void *context, uint64_t source, uint64_t stream, struct err *e) {
    struct progress *p = context;
    p->voice->source_bytes = source;
    p->voice->stream_bytes = stream;
    return worker_voice_progress(p->voice, stream < p->total ? stream : p->total, p->total, e);
}

static bool is_directory(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static int stage(struct worker_voice *v, const struct unpack_source *source,
                 const struct keys_root *root, struct err *e) {
    OWN(bundle) struct unpack_bundle *bundle = NULL;
    OWN(buf) struct buf manifest;
    buf_init(&manifest, BUNDLE_MANIFEST_MAX_BYTES);
    if (open_bundle(source, root, &manifest, &bundle, e) < 0 ||
        check_identity(v->job, unpack_bundle_manifest(bundle), e) < 0 ||
        ask_to_proceed(v, unpack_bundle_manifest(bundle), unpack_bundle_skeleton(bundle)->total,
                       buf_slice(&manifest), e) < 0)
        return -1;
    struct progress progress = {v,
                                stream_bytes(bundle_manifest_view(unpack_bundle_manifest(bundle)))};
    struct unpack_stage how = {
        .target_dir = WORKER_FETCH_PARTIAL_FD,
        .previous_dir = is_directory(WORKER_FETCH_PREVIOUS_FD) ? WORKER_FETCH_PREVIOUS_FD : -1,
        .resume = v->job->resume,
        .decode_max_bytes = v->job->decode_max_bytes,
        .progress = on_progress,
        .context = &progress};
    struct unpack_stage_result result = {0};
    if (unpack_stage(bundle, source, &how, &result, e) < 0)
        return -1;
    v->source_bytes = result.source_bytes;
    v->stream_bytes = result.stream_bytes;
    return 0;
}

// A delta that does not come out right may start from contents that are damaged: then it is not its
// fault, and the bundle itself helps.
static void blame(const struct bundle_manifest_view *view, struct err *e) {
    struct bundle_generation record;
    struct err damage = ERR_NONE;
    if (!err_is(e, &err_bad_delta) ||
        bundle_seal_verify(WORKER_FETCH_PREVIOUS_FD, NULL, NULL, &record, &damage) == 0)
        return;
    err_clear(e);
    (void)err_set(e, &err_bad_generation,
                  "what the delta starts from is damaged (%s); install %s-%s.edge instead",
                  damage.text, view->name, view->release);
}

static int stage_delta(struct worker_voice *v, const struct unpack_source *source,
                       const struct unpack_delta *delta, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_delta_manifest(delta));
    struct progress progress = {v, stream_bytes(view)};
    const struct unpack_delta_stage how = {.target_dir = WORKER_FETCH_PARTIAL_FD,
                                           .base_dir = WORKER_FETCH_PREVIOUS_FD,
                                           .previous_dir = WORKER_FETCH_PREVIOUS_FD,
                                           .resume = v->job->resume,
                                           // A bundle needs two buffers of this size.
                                           .decode_max_bytes = 2 * v->job->decode_max_bytes,
                                           .progress = on_progress,
                                           .context = &progress};
    struct unpack_stage_result result = {0};
    if (unpack_delta_stage(delta, source, &how, &result, e) < 0) {
        blame(view, e);
        return -1;
    }
    v->source_bytes = result.source_bytes;
    v->stream_bytes = result.stream_bytes;
    return 0;
}

// Without the generation that runs there is nothing to start from: it was found damaged.
static int match_base(const struct unpack_delta *delta, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_delta_manifest(delta));
    if (is_directory(WORKER_FETCH_PREVIOUS_FD))
        return unpack_delta_base_match(delta, WORKER_FETCH_PREVIOUS_FD, e);
    return err_set(e, &err_bad_generation,
                   "what runs is damaged, and a delta starts from it; install %s-%s.edge instead",
                   view->name, view->release);
}

static int apply(struct worker_voice *v, const struct unpack_source *source,
                 struct unpack_delta_candidate **candidate, const struct keys_root *root,
                 struct err *e) {
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(buf) struct buf manifest;
    struct slice member = unpack_delta_open_manifest(*candidate);
    buf_init(&manifest, BUNDLE_MANIFEST_MAX_BYTES);
    if (buf_add(&manifest, member.data, member.len, e) < 0 ||
        unpack_delta_verify_root(candidate, root, &delta, e) < 0 ||
        check_identity(v->job, unpack_delta_manifest(delta), e) < 0 || match_base(delta, e) < 0 ||
        ask_to_proceed(v, unpack_delta_manifest(delta), unpack_delta_skeleton(delta)->total,
                       buf_slice(&manifest), e) < 0)
        return -1;
    return stage_delta(v, source, delta, e);
}

// A file may be a delta; what an offer names is a bundle.
static int stage_file(struct worker_voice *v, const struct keys_root *root, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    if (unpack_source_from_file(WORKER_FETCH_FILE_FD, &file, &source, e) < 0)
        return -1;
    int r = unpack_delta_open(&source, &candidate, e);
    if (r < 0)
        return -1;
    return r == UNPACK_DELTA_OPEN_NONE ? stage(v, &source, root, e)
                                       : apply(v, &source, &candidate, root, e);
}

int worker_fetch(struct worker_voice *v, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (open_root(WORKER_FETCH_ROOT_FD, &root, e) < 0)
        return -1;
    if (!v->job->url[0])
        return stage_file(v, root, e);
    OWN(download) struct net_download *download = NULL;
    if (net_download_open(&v->job->net, v->job->url, v->job->bundle_bytes, v->clock, &download, e) <
        0)
        return -1;
    struct unpack_source source = net_download_source(download);
    int result = stage(v, &source, root, e);
    v->source_bytes = net_download_bytes(download);
    net_cache_say(&v->job->net, net_download_tally(download));
    v->retry_after_s = net_download_retry_after_s(download);
    return result;
}

static int verify_delta(const struct unpack_source *source,
                        struct unpack_delta_candidate **candidate, const struct keys_root *root,
                        const char *base_path, struct err *e) {
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    OWN(fd) int dir = -1;
    OWN(fd) int table = -1;
    if (unpack_delta_verify_root(candidate, root, &delta, e) < 0)
        return -1;
    if (!base_path)
        return err_set(e, &err_usage,
                       "a delta is checked together with what it starts from: name that generation "
                       "with --base");
    table = memfd_create("edge-verify", MFD_CLOEXEC);
    if (table < 0)
        return err_errno(e, errno, "a file in memory");
    if (fs_open_dir(AT_FDCWD, base_path, &dir, e) < 0 ||
        unpack_delta_base_open(delta, dir, NULL, table, &base, e) < 0)
        return -1;
    return unpack_delta_check(delta, source, base, BUNDLE_DELTA_DECODE_MAX_BYTES, e);
}

int worker_fetch_verify(const char *root_path, const char *bundle_path, const char *base_path,
                        struct err *e) {
    OWN(fd) int root_fd = -1;
    OWN(fd) int fd = -1;
    OWN(root) struct keys_root *root = NULL;
    OWN(bundle) struct unpack_bundle *bundle = NULL;
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    if (fs_open_read(AT_FDCWD, root_path, &root_fd, e) < 0 || open_root(root_fd, &root, e) < 0 ||
        fs_open_read(AT_FDCWD, bundle_path, &fd, e) < 0 ||
        unpack_source_from_file(fd, &file, &source, e) < 0)
        return -1;
    int r = unpack_delta_open(&source, &candidate, e);
    if (r < 0)
        return -1;
    if (r != UNPACK_DELTA_OPEN_NONE)
        return verify_delta(&source, &candidate, root, base_path, e);
    if (open_bundle(&source, root, NULL, &bundle, e) < 0)
        return -1;
    return unpack_check(bundle, &source, BUNDLE_FRAME_MAX_BYTES, e);
}
