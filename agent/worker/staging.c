// SPDX-License-Identifier: Apache-2.0
//
// See staging.h.
#include "agent/worker/staging.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/kind.h"
#include "agent/worker/fetch.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/seal.h"
#include "bundle/unpack/delta/note.h"
#include "bundle/unpack/place.h"
#include "keys/kind.h"

static void own_drop_candidate(struct unpack_candidate **candidate) {
    unpack_candidate_free(*candidate);
}

void worker_staging_init(struct worker_staging *ret, struct worker_voice *voice,
                         const struct keys_root *root) {
    *ret = (struct worker_staging){.voice = voice, .root = root};
    worker_slots_init(&ret->slots);
}

int worker_staging_open(const struct unpack_source *source, const struct keys_root *root,
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

// Shows the agent what would be installed and waits for its word, once: of a second packing it is
// the same. `member` is the manifest as it came.
static int ask_to_proceed(struct worker_staging *s, const struct bundle_manifest *manifest,
                          uint64_t total_bytes, struct slice member, struct err *e) {
    int fds[AGENT_JOB_PROCEED_FDS_MAX];
    struct agent_job_message say = {.type = AGENT_JOB_MANIFEST};
    if (s->proceeds)
        return 0;
    say.u.manifest.id = *bundle_manifest_id(manifest);
    say.u.manifest.total_bytes = total_bytes;
    say.u.manifest.stream_bytes = bundle_manifest_stream_bytes(bundle_manifest_view(manifest));
    if (fs_pwrite(WORKER_FETCH_MANIFEST_FD, member.data, member.len, 0, e) < 0 ||
        worker_voice_send(s->voice, &say, e) < 0 ||
        worker_voice_proceed(s->voice, &say, fds, e) < 0 ||
        worker_slots_take(&s->slots, &say.u.proceed, fds, e) < 0)
        return -1;
    s->proceeds = true;
    return 0;
}

static int on_progress(void *context, uint64_t source, uint64_t stream, struct err *e) {
    struct worker_staging *s = context;
    s->voice->source_bytes = source;
    s->voice->stream_bytes = stream;
    return worker_voice_progress(s->voice, stream < s->total ? stream : s->total, s->total, e);
}

static bool is_directory(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

// Tables that a worker which was killed left of another packing would be refused by sealing, and a
// note on an image counts for the packing alone that makes it.
struct leftovers {
    int edge;
    bool notes;
};

static int drop_leftover(void *context, const char *name, mode_t type, struct err *e) {
    const struct leftovers *l = context;
    (void)type;
    if (strncmp(name, UNPACK_PLACE_SCRATCH, strlen(UNPACK_PLACE_SCRATCH)) != 0 &&
        !(l->notes && text_ends_with(name, DELTA_NOTE_SUFFIX)))
        return 0;
    return fs_remove(l->edge, name, e);
}

static int tidy(bool notes, struct err *e) {
    OWN(fd) int edge = -1;
    struct stat status;
    int r = fs_stat(WORKER_FETCH_PARTIAL_FD, ".edge", &status, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (fs_open_dir(WORKER_FETCH_PARTIAL_FD, ".edge", &edge, e) < 0)
        return -1;
    struct leftovers leftovers = {edge, notes};
    return fs_list(edge, ".", drop_leftover, &leftovers, e);
}

// After a failure, too: what came is not to come again.
static int finish(struct worker_staging *s, int staged, struct err *e) {
    struct err unsent = ERR_NONE;
    if (staged == 0)
        return worker_slots_finish(&s->slots, e);
    (void)worker_slots_finish(&s->slots, &unsent);
    return -1;
}

static void note_result(struct worker_staging *s, const struct unpack_stage_result *result) {
    s->voice->source_bytes = result->source_bytes;
    s->voice->stream_bytes = result->stream_bytes;
}

// Before the first frame with contents: by now it is known what the rest costs.
static int on_planned(void *context, const struct unpack_plan_cost *cost, struct err *e) {
    struct worker_staging *s = context;
    if (!s->spend)
        return 0;
    worker_spend_reused(s->spend, cost->reused_bytes);
    return worker_spend_admits(s->spend, cost->fetch_bytes, e);
}

int worker_staging_bundle(struct worker_staging *s, const struct unpack_source *source,
                          struct err *e) {
    OWN(bundle) struct unpack_bundle *bundle = NULL;
    OWN(buf) struct buf manifest;
    const struct agent_job *job = s->voice->job;
    bool untouched = !s->proceeds && job->tries <= 1 && job->begun == AGENT_JOB_NOTHING_BEGUN;
    buf_init(&manifest, BUNDLE_MANIFEST_MAX_BYTES);
    if (worker_staging_open(source, s->root, &manifest, &bundle, e) < 0 ||
        check_identity(job, unpack_bundle_manifest(bundle), e) < 0)
        return -1;
    const struct bundle_skeleton *skeleton = unpack_bundle_skeleton(bundle);
    if (s->spend)
        worker_spend_frames_at(s->spend, skeleton->offset[BUNDLE_SKELETON_DATA]);
    if (ask_to_proceed(s, unpack_bundle_manifest(bundle), skeleton->total, buf_slice(&manifest),
                       e) < 0 ||
        tidy(true, e) < 0)
        return -1;
    s->total = bundle_manifest_stream_bytes(bundle_manifest_view(unpack_bundle_manifest(bundle)));
    bool compare = !s->alone && is_directory(WORKER_FETCH_PREVIOUS_FD);
    bool has_older = is_directory(WORKER_FETCH_OLDER_FD);
    const struct unpack_stage how = {.target_dir = WORKER_FETCH_PARTIAL_FD,
                                     .previous_dir = compare ? WORKER_FETCH_PREVIOUS_FD : -1,
                                     .older_dir = has_older ? WORKER_FETCH_OLDER_FD : -1,
                                     .images = &s->slots.to,
                                     .old_images = &s->slots.old,
                                     .resume = job->resume,
                                     .untouched = untouched,
                                     .decode_max_bytes = job->decode_max_bytes,
                                     .progress = on_progress,
                                     .planned = on_planned,
                                     .context = s};
    struct unpack_stage_result result = {0};
    int r = unpack_stage(bundle, source, &how, &result, e);
    if (finish(s, r, e) < 0)
        return -1;
    note_result(s, &result);
    return 0;
}

// A delta that does not come out right may start from contents that are damaged: then it is not its
// fault, and the bundle itself helps.
static void blame(struct worker_staging *s, const struct bundle_manifest_view *view,
                  struct err *e) {
    struct bundle_generation record;
    struct err damage = ERR_NONE;
    if (!err_is(e, &err_bad_delta) ||
        bundle_seal_verify_images(WORKER_FETCH_PREVIOUS_FD, &s->slots.old, NULL, NULL, &record,
                                  &damage) == 0)
        return;
    s->alone = true;
    err_clear(e);
    (void)err_set(e, &err_bad_generation,
                  "what the delta starts from is damaged (%s); install %s-%s.edge instead",
                  damage.text, view->name, view->release);
}

static int stage_delta(struct worker_staging *s, const struct unpack_source *source,
                       const struct unpack_delta *delta, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(unpack_delta_manifest(delta));
    uint64_t carried = unpack_delta_skeleton(delta)->total;
    s->total = bundle_manifest_stream_bytes(view);
    const struct unpack_delta_stage how = {.target_dir = WORKER_FETCH_PARTIAL_FD,
                                           .base_dir = WORKER_FETCH_PREVIOUS_FD,
                                           .previous_dir = WORKER_FETCH_PREVIOUS_FD,
                                           .images = &s->slots.to,
                                           .base_images = &s->slots.old,
                                           .resume = s->voice->job->resume,
                                           // A bundle needs two buffers of this size.
                                           .decode_max_bytes = 2 * s->voice->job->decode_max_bytes,
                                           .progress = on_progress,
                                           .context = s};
    struct unpack_stage_result result = {0};
    if (tidy(false, e) < 0)
        return -1;
    int r = unpack_delta_stage(delta, source, &how, &result, e);
    if (finish(s, r, e) < 0) {
        blame(s, view, e);
        return -1;
    }
    if (s->spend)
        worker_spend_reused(s->spend, carried < s->total ? s->total - carried : 0);
    note_result(s, &result);
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

static int verify(const struct worker_staging *s, struct unpack_delta_candidate **candidate,
                  struct unpack_delta **ret, struct err *e) {
    return s->head ? unpack_delta_verify_digest(candidate, s->root, s->head, s->head_bytes, ret, e)
                   : unpack_delta_verify_root(candidate, s->root, ret, e);
}

int worker_staging_delta(struct worker_staging *s, const struct unpack_source *source,
                         struct unpack_delta_candidate **candidate, struct err *e) {
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(buf) struct buf manifest;
    struct slice member = unpack_delta_open_manifest(*candidate);
    buf_init(&manifest, BUNDLE_MANIFEST_MAX_BYTES);
    if (buf_add(&manifest, member.data, member.len, e) < 0 || verify(s, candidate, &delta, e) < 0 ||
        check_identity(s->voice->job, unpack_delta_manifest(delta), e) < 0 ||
        match_base(delta, e) < 0 ||
        ask_to_proceed(s, unpack_delta_manifest(delta), unpack_delta_skeleton(delta)->total,
                       buf_slice(&manifest), e) < 0)
        return -1;
    return stage_delta(s, source, delta, e);
}

void worker_staging_clear(struct worker_staging *s) {
    worker_slots_clear(&s->slots);
}
