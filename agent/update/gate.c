// SPDX-License-Identifier: Apache-2.0
//
// Before the swap: what was written is read back, hashed and sealed (I1, I7), and every probe of
// phase `before` runs against the staged generation. Nothing of this touches what runs.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "bundle/kind.h"
#include "bundle/seal.h"

void update_gate_note(struct agent_update *u, size_t index, const struct probe_run_result *result) {
    struct update_engine_told *told = &u->told[index];
    (void)snprintf(told->name, sizeof told->name, "%s",
                   bundle_manifest_view(u->manifest)->probes[index].name);
    _Static_assert(sizeof told->text == sizeof result->text, "texts of results");
    _Static_assert(sizeof u->detail == sizeof result->detail, "details of results");
    memcpy(told->text, result->text, sizeof told->text);
    told->passed = result->passed;
    told->ran = true;
    if (!result->passed)
        memcpy(u->detail, result->detail, sizeof u->detail);
}

int update_gate_probe(struct agent_update *u, size_t index,
                      void (*done)(void *context, const struct probe_run_result *result),
                      struct err *e) {
    struct agent_job_net *net = calloc(1, sizeof *net);
    if (!net)
        return err_set(e, &err_memory, "running a probe: out of memory");
    u->host.fill_net(u->host.context, net);
    struct probe_run_spec spec = {
        .config = u->host.state->config,
        .net = net,
        .probe = &bundle_manifest_view(u->manifest)->probes[index],
        .state_dir = u->host.state->store.dir,
        .generation = update_engine_record(u)->update.target,
    };
    u->probe_index = index;
    int started = probe_run_start(u->host.loop, &spec, done, u, &u->probe, e);
    free(net);
    return started;
}

static void next_probe(struct agent_update *u, size_t from);

static void on_probe(void *context, const struct probe_run_result *result) {
    struct agent_update *u = context;
    struct err why = ERR_NONE;
    u->probe = NULL;
    update_gate_note(u, u->probe_index, result);
    if (result->passed) {
        next_probe(u, u->probe_index + 1);
        return;
    }
    err_set(&why, result->kind, "before the swap: %s", result->text);
    update_engine_refuse(u, &why);
}

// What it waits for from now on is said with the change itself (I10), and durable with it.
static void gated(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (!update_engine_record(u)->update.local)
        err_set(&why, &err_last_look, UPDATE_ENGINE_LOOK_TEXT);
    update_engine_fire(u, FSM_GATED, &why);
}

static void next_probe(struct agent_update *u, size_t from) {
    const struct bundle_manifest_view *view = bundle_manifest_view(u->manifest);
    struct err e = ERR_NONE;
    while (from < view->n_probes && !view->probes[from].before)
        from++;
    if (from == view->n_probes)
        gated(u);
    else if (update_gate_probe(u, from, on_probe, &e) < 0)
        update_engine_refuse(u, &e);
}

// Seals <n>.partial and makes it <n>. Done already when a restart came after the rename.
static int seal(struct agent_update *u, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    const struct agent_store *store = &u->host.state->store;
    OWN(fd) int partial = -1;
    OWN(fd) int previous = -1;
    OWN(fd) int sealed = -1;
    OWN(images) struct bundle_image_places images = {.n = 0};
    struct bundle_generation before;
    struct bundle_seal_result result;
    struct bundle_seal_reads reads;
    int found = agent_store_open_generation(store, r->update.target, &sealed, e);
    if (found <= 0)
        return found;
    if (agent_store_open_generation(store, r->committed, &previous, e) != 0 ||
        bundle_generation_read(previous, &before, e) < 0 || update_images_all(u, &images, e) < 0 ||
        agent_store_open_partial(store, r->update.target, (uid_t)-1, (gid_t)-1, &partial, e) < 0)
        return e->kind ? -1 : err_set(e, &err_bad_generation, "what runs is not on the disk");
    update_follow_reads(u, &reads);
    struct bundle_seal how = {
        .partial_dir = partial,
        .previous_dir = previous,
        .previous = &before,
        .manifest = u->manifest,
        .images = &images,
        .leave_slots = u->alone,
        .reads = &reads,
        .number = r->update.target,
        .set_owner = geteuid() == 0,
        .progress = update_engine_breathe,
        .context = u,
    };
    if (bundle_seal(&how, &result, e) < 0 || agent_store_promote(store, r->update.target, e) < 0)
        return -1;
    // Of what was read before, the first byte counts.
    if (reads.n == 0 || u->read_back_ms < 0)
        u->read_back_ms = chrono_boot_ms(u->host.loop->clock);
    update_follow_stop(u);
    agent_log_line(AGENT_LOG_INFO,
                   "sealed generation %" PRIu64 ": %" PRIu64 " files new, %" PRIu64
                   " shared with generation %" PRIu64,
                   r->update.target, result.files_written, result.files_linked, r->committed);
    return 0;
}

// Contents read back are not those that were signed. Some of them came from the generation that
// runs: when that one is damaged, and only then, it is not the bundle's fault (I4).
static bool runs_damaged(struct agent_update *u, const struct err *why, struct err *damage) {
    const struct fsm_record *r = update_engine_record(u);
    struct bundle_generation record;
    if (!update_engine_blames(why->kind) && !err_is(why, &err_bad_generation))
        return false;
    return agent_store_verify(&u->host.state->store, r->committed, update_engine_breathe, u,
                              &record, damage) < 0;
}

// Everything anew, from the bundle alone. What was taken from the damaged generation goes first.
static void stage_again(struct agent_update *u, const struct err *why) {
    struct err e = ERR_NONE;
    agent_log_line(AGENT_LOG_WARNING, "%s: taking every file from the bundle", why->text);
    u->alone = true;
    update_link_unstaged(u);
    if (agent_store_drop_partial(&u->host.state->store, update_engine_record(u)->update.target,
                                 &e) < 0) {
        u->untried = true;
        update_engine_refuse(u, &e);
        u->untried = false;
        return;
    }
    update_engine_fire(u, FSM_UNSEALED, NULL);
}

static void not_sealed(struct agent_update *u, const struct err *failed) {
    struct err damage = ERR_NONE, stopped = ERR_NONE;
    bool damaged = runs_damaged(u, failed, &damage);
    // Stopped by whoever ends the agent, not by what was read: goes on at the next start.
    if (u->host.breathe(u->host.context, &stopped) < 0)
        return;
    if (damaged && !u->alone) {
        stage_again(u, &damage);
        return;
    }
    // A component that the bundle does not bring cannot be taken from anywhere else.
    u->untried = damaged || !update_engine_blames(failed->kind);
    update_engine_refuse(u, damaged ? &damage : failed);
    u->untried = false;
}

void update_gate_begin(struct agent_update *u) {
    struct err e = ERR_NONE;
    if (update_engine_manifest(u, &e) == 0 && seal(u, &e) == 0)
        next_probe(u, 0);
    else
        not_sealed(u, &e);
}
