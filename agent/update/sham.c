// SPDX-License-Identifier: Apache-2.0
//
// A sham: what runs goes through what an activation would bring (agent/fsm/machine.h), so that the
// controller can tell what a release does to devices from what being activated does to them.
//
// Alike with an update from GO on: the hooks of the components that the bundle brought, in the same order
// and with the same deadlines; its probes of phase after (golden sets too) against the generation, at the same
// pace; the same probation and as many restarts. What an update would go back for (a hook, a probe, a restart
// too many, an operator who asks for the previous generation) is a failed sham. Not alike: nothing is hashed
// and nothing swapped, since `current` stays; and what runs goes on whatever comes out.
#include <stdio.h>
#include <string.h>

#include "agent/fsm/sham.h"
#include "agent/kind.h"
#include "agent/update/engine.h"
#include "base/fs.h"

int update_sham_manifest(const struct agent_update *u, const struct keys_digest *id,
                         struct bundle_manifest **ret, struct err *e) {
    const struct agent_store *store = &u->host.state->store;
    uint64_t committed = update_engine_record(u)->committed;
    struct bundle_generation g;
    OWN(fd) int dir = -1;
    OWN(buf) struct buf raw;
    char path[BUNDLE_NAME_MAX + 32];
    size_t at = 0;
    buf_init(&raw, BUNDLE_MANIFEST_MAX_BYTES);
    if (agent_store_record(store, committed, &g, e) < 0)
        return -1;
    while (at < g.n_components && !keys_digest_equal(&g.components[at].manifest, id))
        at++;
    if (at == g.n_components || agent_store_open_generation(store, committed, &dir, e) != 0)
        return e->kind ? -1
                       : err_set(e, &err_sham_unfit,
                                 "nothing that runs here came from the bundle that is asked for");
    (void)snprintf(path, sizeof path, ".edge/%s.manifest", g.components[at].name);
    if (fs_read_file(dir, path, BUNDLE_MANIFEST_MAX_BYTES, &raw, e) < 0)
        return -1;
    return bundle_manifest_verify_id(buf_slice(&raw), id, ret, e);
}

static int check(const struct agent_update *u, struct err *e) {
    const struct agent_state *state = u->host.state;
    const struct fsm_record *r = update_engine_record(u);
    if (u->hashing)
        return err_set(e, &err_busy, "contents are being hashed; ask again in a moment");
    if (r->state != FSM_IDLE)
        return err_set(e, &err_wrong_state, "asked for a sham while %s",
                       fsm_machine_state_names[r->state]);
    if (!agent_queue_has_room(&state->queue))
        return err_set(e, &err_queue_full, "%zu reports wait for the controller", state->queue.n);
    return agent_anchor_admits_revert(&state->anchor, e);
}

static int begin(struct agent_update *u, const struct bundle_instruction *i,
                 const struct bundle_manifest_view *view, int64_t now_s, struct err *e) {
    struct agent_state *state = u->host.state;
    uint64_t own = state->config->probation_s;
    struct fsm_update sham = {.attempt = i->attempt,
                              .has_bundle = true,
                              .bundle = i->bundle,
                              .restarts_max = view->probation.restarts_max,
                              .probation_s = own > 0 ? own : view->probation.duration_s,
                              .until_s = (uint64_t)i->header.expires_s,
                              .windows = i->windows};
    struct fsm_input in = {.event = FSM_SHAM, .offer = &sham};
    struct fsm_outcome out;
    memcpy(sham.rollout, i->rollout, sizeof sham.rollout);
    (void)snprintf(sham.name, sizeof sham.name, "%s", view->name);
    (void)snprintf(sham.release, sizeof sham.release, "%s", view->release);
    // Durable with the step, before anything is done: taken at most once.
    fsm_sham_note(&state->journal.record, i->rollout, i->attempt, now_s);
    if (agent_state_step(state, &in, NULL, &out, e) < 0) {
        update_engine_stop(u, e);
        return -1;
    }
    update_dry_yield(u);
    memset(u->told, 0, sizeof u->told);
    u->work |= out.work;
    agent_loop_arm(u->host.loop, &u->worker, 0);
    return 0;
}

int agent_update_sham(struct agent_update *update, const struct bundle_instruction *instruction,
                      struct err *e) {
    const struct fsm_record *r = update_engine_record(update);
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    int64_t now_s = agent_state_trusted_s(update->host.state);
    int admits = fsm_sham_admits(r, instruction->rollout, instruction->attempt, now_s);
    if (admits == FSM_SHAM_KNOWN)
        return 0;
    if (check(update, e) < 0)
        return -1;
    if (update_sham_manifest(update, &instruction->bundle, &manifest, e) < 0)
        return -1;
    // By the date, which outlives a restart, and by the clock since the start, which who asks cannot move on.
    if (admits == FSM_SHAM_OFTEN || !update_engine_ration(&update->sham_ration, FSM_SHAMS_MAX,
                                                          chrono_boot_ms(update->host.loop->clock)))
        return err_set(e, &err_sham_unfit, "%d shams were done here within a day, which is all",
                       FSM_SHAMS_MAX);
    return begin(update, instruction, bundle_manifest_view(manifest), now_s, e);
}
