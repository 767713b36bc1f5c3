// SPDX-License-Identifier: Apache-2.0
//
// The download: a worker writes into <n>.partial. Before the first byte of contents the agent
// verifies the manifest for itself and judges by it: the right bundle, fitting this device, not
// below the floor, of component types it can install, with runners it may run, and small enough for
// the disk and the slots (I4, I6, I8, I9). A download that breaks goes on from what is there, after a back-off.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/fsm/attempt.h"
#include "agent/fsm/pace.h"
#include "agent/kind.h"
#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "base/random.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "keys/kind.h"

int update_fetch_has_runner(const struct agent_config *config, const struct bundle_probe *p,
                            struct err *e) {
    bool program = p->kind == BUNDLE_PROBE_EXEC || p->kind == BUNDLE_PROBE_GOLDEN;
    const char *endpoint = program ? NULL : bundle_probe_endpoint(p->url);
    const char *place = endpoint ? agent_config_endpoint(config, endpoint) : NULL;
    if (program && !agent_config_runner(config, p->runner))
        return err_set(e, &err_runner_missing,
                       "probe %s wants the runner '%s': allow it under \"runners\" in the agent's "
                       "configuration",
                       p->name, p->runner);
    // A file has no status: an http probe of it would pass whatever is in it.
    if (endpoint && (!place || (p->kind == BUNDLE_PROBE_HTTP && place[0] != 'h')))
        return err_set(
            e, &err_runner_missing,
            "probe %s wants the endpoint '%s'%s: name it under \"endpoints\" in the agent's "
            "configuration",
            p->name, endpoint, place ? " to be an http:// URL" : "");
    return 0;
}

static bool has_runners(const struct agent_config *config, const struct bundle_manifest_view *view,
                        struct err *e) {
    for (size_t i = 0; i < view->n_probes; i++)
        if (update_fetch_has_runner(config, &view->probes[i], e) < 0)
            return false;
    return true;
}

// The bundle is the one that was offered; one at hand gets its name here.
static int identify(struct agent_update *u, const struct bundle_manifest *manifest, struct err *e) {
    struct fsm_record *r = &u->host.state->journal.record;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    const struct keys_digest *id = bundle_manifest_id(manifest);
    if (r->update.has_bundle && !keys_digest_equal(&r->update.bundle, id))
        return err_set(e, &err_digest_mismatch, "the manifest is not that of the offered bundle");
    if (!r->update.has_bundle && r->update.attempt == 0) {
        // 0: the operator wants it whatever happened before.
        r->update.attempt = fsm_attempt_last(r, id) + 1;
    } else if (!r->update.has_bundle && !fsm_attempt_admits(r, id, r->update.attempt))
        return err_set(e, &err_failed_before,
                       "%s %s failed here before; use --again to try it all the same", view->name,
                       view->release);
    r->update.has_bundle = true;
    r->update.bundle = *id;
    (void)snprintf(r->update.name, sizeof r->update.name, "%s", view->name);
    (void)snprintf(r->update.release, sizeof r->update.release, "%s", view->release);
    r->update.restarts_max = view->probation.restarts_max;
    uint64_t own = u->host.state->config->probation_s;
    r->update.probation_s = own > 0 ? own : view->probation.duration_s;
    return 0;
}

static int admit(struct agent_update *u, const struct bundle_manifest *manifest, struct err *e) {
    struct agent_state *state = u->host.state;
    const struct agent_config *config = state->config;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    struct bundle_facts *facts = NULL;
    struct bundle_generation before, after;
    if (keys_envelope_check_expiry(&view->header, "the bundle's manifest",
                                   agent_state_trusted_s(state), e) < 0 ||
        bundle_facts_parse(u->host.facts, &facts, e) < 0)
        return -1;
    int admitted = bundle_manifest_admits(view, facts, state->floors.object, e);
    bundle_facts_free(facts);
    if (admitted < 0 || !has_runners(config, view, e) ||
        agent_store_record(&state->store, state->journal.record.committed, &before, e) < 0 ||
        bundle_generation_after(&before, manifest, state->journal.record.update.target, &after, e) <
            0)
        return -1;
    // Later tries find part of it on the disk already.
    if (state->journal.record.update.tries > 1)
        return 0;
    return agent_store_check_space(&state->store, view, &before, config->reserve_bytes,
                                   config->reserve_inodes, e);
}

int update_fetch_read_announced(int announce, struct buf *raw, struct err *e) {
    uint64_t size;
    uint8_t *room;
    size_t got;
    if (fs_size(announce, &size, e) < 0)
        return -1;
    if (size == 0 || size > BUNDLE_MANIFEST_MAX_BYTES)
        return err_set(e, &err_worker_failed, "the worker left no manifest of a possible size");
    if (buf_reserve(raw, (size_t)size, &room, e) < 0 ||
        fs_pread(announce, room, (size_t)size, 0, &got, e) < 0)
        return -1;
    buf_commit(raw, got);
    return 0;
}

// Once: whoever took a worker over may say it again, and an update has one manifest and one scribe.
static int take_announced(struct agent_update *u, struct buf *raw, struct err *e) {
    OWN(fd) int announce = own_take_fd(&u->announce);
    if (announce < 0)
        return err_set(e, &err_worker_failed, "the worker announced a manifest twice");
    return update_fetch_read_announced(announce, raw, e);
}

static int on_manifest(struct agent_update *u, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    OWN(images) struct bundle_image_places images = {.n = 0};
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    if (take_announced(u, &raw, e) < 0 ||
        bundle_manifest_verify_root(buf_slice(&raw), u->host.state->root, &manifest, e) < 0 ||
        identify(u, manifest, e) < 0 || update_trust_admits(u, manifest, e) < 0 ||
        admit(u, manifest, e) < 0 || update_images_claim(u, manifest, &images, e) < 0 ||
        update_engine_keep_manifest(u, bundle_manifest_raw(manifest), e) < 0 ||
        agent_state_save(u->host.state, e) < 0)
        return -1;
    bundle_manifest_free(u->manifest);
    u->manifest = own_take(&manifest);
    return update_images_proceed(u, &images, e);
}

// What came is not what was signed: a broken cache or a hostile mirror, and no word about the
// bundle itself. Another copy may be right.
static bool is_damaged_copy(const struct err_kind *kind) {
    return kind == &err_bad_skeleton || kind == &err_truncated || kind == &err_trailing_data ||
           kind == &err_bad_manifest || kind == &err_bad_index || kind == &err_bad_frame ||
           kind == &err_bad_delta || kind == &err_syntax || err_find(keys_kinds, kind->name);
}

void update_fetch_failed(struct agent_update *u, const struct err *why, bool judged) {
    struct fsm_update *update = &u->host.state->journal.record.update;
    const struct agent_config *config = u->host.state->config;
    if (!update->local && update_link_may_wait(u, why)) {
        // Broken off because the time was up: no try that failed.
        update->tries -= err_is(why, &err_outside_rollout_window) && update->tries > 0;
        update_link_wait(u, why);
        return;
    }
    bool damaged = is_damaged_copy(why->kind);
    bool again = !judged && (why->kind->retry || damaged);
    struct err e = ERR_NONE;
    if (update->local || !again || update->tries >= config->fetch_tries) {
        u->untried = judged || !u->manifest || !update_engine_blames(why->kind);
        update_engine_refuse(u, why);
        u->untried = false;
        return;
    }
    // A site cache that has it wrong would have it wrong again.
    u->past_cache = damaged;
    // What is there is kept: the next try hashes each file before it believes it.
    if (u->done_bytes > config->quota_bytes) {
        agent_log_line(AGENT_LOG_INFO, "the unfinished download is above quota_bytes: removed");
        update_link_unstaged(u);
        if (agent_store_drop_partial(&u->host.state->store, update->target, &e) < 0)
            agent_log_line(AGENT_LOG_ERROR, "%s", e.text);
    }
    update_engine_fire(u, FSM_HICCUP, why);
}

void update_fetch_ended(struct agent_update *u, const struct err *why) {
    if (why->kind)
        update_fetch_failed(u, why, false);
    else
        update_engine_fire(u, FSM_FETCHED, NULL);
}

static void on_result(struct agent_update *u, const struct agent_job_result *result) {
    struct err why = ERR_NONE;
    agent_hire_dismiss(u->hire);
    u->hire = NULL;
    const struct err_kind *kind = agent_state_kind(result->kind);
    if (result->kind[0] != '\0')
        err_set(&why, kind ? kind : &err_worker_failed, "%s", result->text);
    else if (!u->manifest)
        err_set(&why, &err_worker_failed, "the worker claims to be done without a manifest");
    if (why.kind && result->retry_after_s > 0)
        u->backoff_ms =
            fsm_pace_retry_after_ms(result->retry_after_s, (uint32_t)random_below(1ULL << 32));
    if (!update_follow_worker_ended(u, &why))
        update_fetch_ended(u, &why);
}

static void on_message(void *context, const struct agent_job_message *message) {
    struct agent_update *u = context;
    struct err e = ERR_NONE;
    switch (message->type) {
    case AGENT_JOB_MANIFEST:
        if (on_manifest(u, &e) < 0) {
            agent_hire_dismiss(u->hire);
            u->hire = NULL;
            // Room can be made, a runner allowed, a fact set right: then the same attempt may come
            // again. That the server has another bundle there is no judgement of this one.
            update_fetch_failed(u, &e, !err_is(&e, &err_digest_mismatch));
        }
        break;
    case AGENT_JOB_PROGRESS:
        u->has_progress = true;
        u->done_bytes = message->u.progress.done_bytes;
        u->total_bytes = message->u.progress.total_bytes;
        break;
    case AGENT_JOB_SPENT:
        // Without the answer the worker would wait for ever.
        if (!update_engine_record(u)->update.local &&
            update_link_note(u, &message->u.spent, &e) < 0) {
            agent_hire_dismiss(u->hire);
            u->hire = NULL;
            if (!u->fatal.kind)
                update_fetch_failed(u, &e, false);
        }
        break;
    case AGENT_JOB_RESULT:
        on_result(u, &message->u.result);
        break;
    default:
        break;
    }
}

// The descriptors of a fetch, in the order of agent/job.h.
struct descriptors {
    int partial, previous, root, bundle, older;
};

// The committed generation before the one that runs, for chunks that the update brings back. One that
// is not there, or cannot be opened, makes a download larger and no more.
static int open_older(struct agent_update *u, struct descriptors *d, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    struct err none = ERR_NONE;
    if (!r->update.local && r->has_previous &&
        agent_store_open_generation(&u->host.state->store, r->previous, &d->older, &none) == 0)
        return 0;
    return fs_open_read(AT_FDCWD, "/dev/null", &d->older, e);
}

static int open_descriptors(struct agent_update *u, struct descriptors *d, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    const struct agent_state *state = u->host.state;
    uid_t uid;
    gid_t gid;
    own_drop_fd(&u->announce);
    u->announce = memfd_create("manifest", MFD_CLOEXEC);
    if (u->announce < 0)
        return err_errno(e, errno, "making room for the manifest");
    if (agent_hire_user(state->config, &uid, &gid, e) < 0 ||
        agent_store_open_partial(&state->store, r->update.target, uid, gid, &d->partial, e) < 0 ||
        fs_open_read(state->trust.dir, TRUST_STORE_ROOT, &d->root, e) < 0 ||
        open_older(u, d, e) < 0)
        return -1;
    if (u->alone) {
        if (fs_open_read(AT_FDCWD, "/dev/null", &d->previous, e) < 0)
            return -1;
    } else {
        int found = agent_store_open_generation(&state->store, r->committed, &d->previous, e);
        if (found == AGENT_STORE_ABSENT)
            return err_set(e, &err_bad_generation, "generation %" PRIu64 " is not there",
                           r->committed);
        if (found < 0)
            return -1;
    }
    if (u->file >= 0)
        return 0;
    return fs_open_read(AT_FDCWD, "/dev/null", &d->bundle, e);
}

// The address of a packing, which may be a path on the controller.
int update_fetch_url(const struct agent_update *u, const char *url,
                     char ret[static BUNDLE_URL_MAX + 1], struct err *e) {
    int len = snprintf(ret, BUNDLE_URL_MAX + 1, "%s%s",
                       url[0] == '/' ? u->host.state->config->controller : "", url);
    return len < 0 || len > BUNDLE_URL_MAX ? err_set(e, &err_limit, "the bundle's URL is too long")
                                           : 0;
}

// One whose address is too long is none.
static void fill_delta(struct agent_update *u, struct agent_job *job) {
    struct bundle_instruction_delta offered;
    struct err none = ERR_NONE;
    if (!update_hint_read(u, &offered) ||
        update_fetch_url(u, offered.url, job->delta_url, &none) < 0) {
        job->delta_url[0] = '\0';
        return;
    }
    job->delta_bytes = offered.size;
    keys_digest_hex(&offered.base, job->delta_base);
    if (!u->verdict.found_delta)
        return;
    keys_digest_hex(&u->verdict.delta.id, job->delta_head);
    job->delta_head_bytes = u->verdict.delta.length;
}

static int fill_job(struct agent_update *u, struct agent_job *job, struct err *e) {
    const struct fsm_update *update = &update_engine_record(u)->update;
    const struct agent_config *config = u->host.state->config;
    bool ours = update->url[0] == '/';
    job->kind = AGENT_JOB_FETCH;
    u->host.fill_net(u->host.context, &job->net);
    if (u->past_cache)
        job->net.site_cache[0] = '\0';
    (void)snprintf(job->device, sizeof job->device, "%s", u->host.state->identity.device);
    // I9: the controller's token goes along only where the download is the controller's own.
    if (ours)
        (void)snprintf(job->token, sizeof job->token, "%s", u->host.token(u->host.context));
    if (!update->local) {
        update_link_fill(u, job);
        fill_delta(u, job);
    }
    if (update_fetch_url(u, update->url, job->url, e) < 0)
        return -1;
    job->bundle_bytes = update->size;
    if (update->has_bundle)
        keys_digest_hex(&update->bundle, job->bundle);
    job->resume = true;
    job->decode_max_bytes = config->decode_max_bytes;
    return 0;
}

static int hire(struct agent_update *u, const struct descriptors *d, struct err *e) {
    struct agent_job *job = calloc(1, sizeof *job);
    if (!job)
        return err_set(e, &err_memory, "starting the download: out of memory");
    struct agent_hire_spec spec = {
        .config = u->host.state->config,
        .job = job,
        .fds = {d->partial, d->previous, d->root, u->file >= 0 ? u->file : d->bundle, u->announce,
                d->older, -1},
    };
    int done = fill_job(u, job, e);
    if (done == 0)
        done = agent_hire_start(u->host.loop, &spec, on_message, u, &u->hire, e);
    free(job);
    return done;
}

// True when the link may carry nothing for this update now: nobody is asked, and no try is counted.
static bool waits_for_link(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (update_engine_record(u)->update.local || !update_link_is_closed(u, &why)) {
        u->waits_for_link = false;
        return false;
    }
    if (update_engine_record(u)->state != FSM_FETCHING)
        update_engine_fire(u, FSM_FETCH_BEGUN, NULL);
    if (!u->fatal.kind)
        update_link_wait(u, &why);
    return true;
}

void update_fetch_begin(struct agent_update *u) {
    struct fsm_update *update = &u->host.state->journal.record.update;
    struct descriptors d = {-1, -1, -1, -1, -1};
    struct err e = ERR_NONE, saved = ERR_NONE;
    assert(!u->hire);
    if (update->local && u->file < 0) {
        err_set(&e, &err_interrupted,
                "the file being installed is no longer at hand: install it again");
        // A restart is no judgement of the bundle (I4).
        u->untried = true;
        update_engine_refuse(u, &e);
        u->untried = false;
        return;
    }
    if (waits_for_link(u))
        return;
    if (!update->local && !u->verdict.found) {
        update_trust_begin(u);
        return;
    }
    update->tries++;
    update_follow_stop(u);
    u->has_progress = false;
    u->done_bytes = 0;
    bool begun = open_descriptors(u, &d, &e) == 0 && hire(u, &d, &e) == 0;
    own_drop_fd(&d.partial);
    own_drop_fd(&d.previous);
    own_drop_fd(&d.root);
    own_drop_fd(&d.bundle);
    own_drop_fd(&d.older);
    // One from the network began when the repository was asked.
    if (update_engine_record(u)->state != FSM_FETCHING)
        update_engine_fire(u, FSM_FETCH_BEGUN, NULL);
    else if (agent_state_save(u->host.state, &saved) < 0)
        update_engine_stop(u, &saved);
    if (!begun)
        update_fetch_failed(u, &e, false);
}

void update_fetch_later(struct agent_update *u) {
    agent_loop_arm(u->host.loop, &u->again,
                   u->waits_for_link ? UPDATE_ENGINE_RECHECK_MS : update_engine_back_off(u));
}
