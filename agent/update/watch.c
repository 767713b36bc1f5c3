// SPDX-License-Identifier: Apache-2.0
//
// Probation: the probes of phase `after`, each at its own pace, one at a time, until the time is up
// and all of them hold, or one failed too often in a row (I3). Powered-on time counts, over
// restarts.
#include <assert.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/update/engine.h"

static uint64_t elapsed_s(const struct agent_update *u) {
    return (uint64_t)((chrono_boot_ms(u->host.loop->clock) - u->watch_began_ms) / 1000);
}

// The n-th probe of phase after, as an index into the manifest's list; BUNDLE_PROBES_MAX when there
// are not so many.
static size_t nth_after(const struct bundle_manifest_view *view, size_t n) {
    for (size_t i = 0; i < view->n_probes; i++) {
        if (view->probes[i].after && n-- == 0)
            return i;
    }
    return BUNDLE_PROBES_MAX;
}

static size_t count_after(const struct bundle_manifest_view *view) {
    size_t n = 0;
    for (size_t i = 0; i < view->n_probes; i++)
        n += view->probes[i].after;
    return n;
}

static bool watches(const struct fsm_record *r) {
    return r->state == FSM_PROBATION || r->state == FSM_SHAM_PROBATION;
}

static bool save(struct agent_update *u) {
    struct fsm_update *update = &u->host.state->journal.record.update;
    struct err e = ERR_NONE;
    uint64_t done = u->watch_base_s + elapsed_s(u);
    if (done < update->probation_done_s + UPDATE_ENGINE_SAVE_S)
        return true;
    update->probation_done_s = done;
    if (agent_state_save(u->host.state, &e) == 0)
        return true;
    update_engine_stop(u, &e);
    return false;
}

static void on_probe(void *context, const struct probe_run_result *result) {
    struct agent_update *u = context;
    struct err why = ERR_NONE;
    u->probe = NULL;
    const struct bundle_manifest_view *view = bundle_manifest_view(u->manifest);
    size_t n = count_after(view), at = 0;
    while (nth_after(view, at) != u->probe_index)
        at++;
    assert(at < n);
    update_gate_note(u, u->probe_index, result);
    fsm_probation_note(&u->schedule[at], result->passed, elapsed_s(u));
    if (fsm_probation_judge(u->schedule, n, 0, 1) == FSM_PROBATION_UNHEALTHY) {
        err_set(&why, result->kind, "in probation: %s", result->text);
        update_engine_fire(u, FSM_UNHEALTHY, &why);
        return;
    }
    agent_loop_arm(u->host.loop, &u->tick, 0);
}

void update_watch_tick(void *update) {
    struct agent_update *u = update;
    struct err e = ERR_NONE;
    const struct fsm_record *r = update_engine_record(u);
    const struct bundle_manifest_view *view = bundle_manifest_view(u->manifest);
    size_t n = count_after(view);
    if (!watches(r) || u->probe || !save(u))
        return;
    uint64_t done = u->watch_base_s + elapsed_s(u);
    if (fsm_probation_judge(u->schedule, n, done, r->update.probation_s) == FSM_PROBATION_HEALTHY) {
        u->host.state->journal.record.update.probation_done_s = done; // I3: why it may be committed
        update_engine_fire(u, FSM_HEALTHY, NULL);
        return;
    }
    uint64_t wait_s = UPDATE_ENGINE_SAVE_S;
    size_t due = fsm_probation_due(u->schedule, n, elapsed_s(u), &wait_s);
    if (due < n) {
        if (update_gate_probe(u, nth_after(view, due), on_probe, &e) < 0)
            update_engine_fire(u, FSM_UNHEALTHY, &e);
        return;
    }
    if (done < r->update.probation_s && r->update.probation_s - done < wait_s)
        wait_s = r->update.probation_s - done;
    if (wait_s > UPDATE_ENGINE_SAVE_S)
        wait_s = UPDATE_ENGINE_SAVE_S;
    agent_loop_arm(u->host.loop, &u->tick, (int64_t)wait_s * 1000);
}

void update_watch_begin(struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    struct err e = ERR_NONE;
    assert(watches(r));
    if (update_engine_manifest(u, &e) < 0) {
        update_engine_fire(u, FSM_UNHEALTHY, &e);
        return;
    }
    const struct bundle_manifest_view *view = bundle_manifest_view(u->manifest);
    size_t n = count_after(view);
    memset(u->schedule, 0, sizeof u->schedule);
    for (size_t at = 0; at < n; at++) {
        const struct bundle_probe *probe = &view->probes[nth_after(view, at)];
        u->schedule[at] = (struct fsm_probation_probe){.start_delay_s = probe->start_delay_s,
                                                       .interval_s = probe->interval_s,
                                                       .failures = probe->failures};
    }
    fsm_probation_begin(u->schedule, n);
    u->watch_began_ms = chrono_boot_ms(u->host.loop->clock);
    u->watch_base_s = r->update.probation_done_s;
    agent_loop_arm(u->host.loop, &u->tick, 0);
}
