// SPDX-License-Identifier: Apache-2.0
//
// The swap and the way back: the same three steps. Re-verify the generation (I1, I6), let `current`
// name it, tell the application of each component. Every step can be done again after a power cut.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "base/num.h"

static void tell_next(struct agent_update *u);

// All components were told, or one could not be.
static void told(struct agent_update *u, const struct err *failed) {
    u->tell = NULL;
    if (!u->going_back && failed) {
        update_engine_fire(u, FSM_UNHEALTHY, failed);
        return;
    }
    if (failed)
        agent_log_line(AGENT_LOG_ERROR, "after going back: %s", failed->text);
    update_engine_fire(u, u->going_back ? FSM_REVERTED : FSM_ACTIVATED, NULL);
}

static void on_told(void *context, const struct agent_task_result *result) {
    struct agent_update *u = context;
    struct err e = ERR_NONE;
    char how[256];
    const struct agent_config_hook *hook = &u->host.state->config->hooks[u->tell_index];
    u->tell = NULL;
    if (!agent_task_passed(result)) {
        err_set(&e, &err_activate_failed, "on_activate of %s: %s", hook->component,
                agent_task_describe(result, how, sizeof how));
        if (!u->going_back) {
            told(u, &e);
            return;
        }
        // On the way back the others are told all the same.
        agent_log_line(AGENT_LOG_ERROR, "after going back: %s", e.text);
    }
    u->tell_index++;
    tell_next(u);
}

static int send_signal(const struct agent_config_hook *hook, struct err *e) {
    OWN(buf) struct buf text;
    uint64_t pid;
    buf_init(&text, 64);
    if (fs_read_file(AT_FDCWD, hook->pid_file, 64, &text, e) < 0)
        return err_prefix(e, "on_activate of %s", hook->component);
    char *line = (char *)text.data;
    size_t len = strcspn(buf_text(&text), "\n ");
    if (line)
        line[len] = '\0';
    if (num_parse_u64(buf_text(&text), hook->pid_file, 2, INT32_MAX, &pid, e) < 0)
        return err_prefix(e, "on_activate of %s", hook->component);
    if (kill((pid_t)pid, hook->signal) < 0)
        return err_errno(e, errno, "on_activate of %s: process %" PRIu64, hook->component, pid);
    return 0;
}

static int start_command(struct agent_update *u, const struct agent_config_hook *hook,
                         struct err *e) {
    const struct agent_config *config = u->host.state->config;
    const char *const verb = hook->action == AGENT_CONFIG_RESTART ? "restart" : "reload";
    const char *const unit[] = {config->systemctl, verb, "--", hook->unit, NULL};
    char directory[FS_PATH_BYTES + 32], component[BUNDLE_NAME_MAX + 32];
    (void)snprintf(directory, sizeof directory, "EDGE_CURRENT=%s/current", config->state_dir);
    (void)snprintf(component, sizeof component, "EDGE_COMPONENT_NAME=%s", hook->component);
    const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", directory, component,
                               NULL};
    struct agent_task_spec spec = {
        .argv = hook->action == AGENT_CONFIG_EXEC ? hook->argv : unit,
        .env = env,
        .timeout_ms = hook->timeout_s * 1000,
    };
    int done = agent_task_start(u->host.loop, &spec, on_told, u, &u->tell, e);
    return done < 0 ? err_prefix(e, "on_activate of %s", hook->component) : 0;
}

// Whether the update changes the component; without a manifest every component counts as changed.
static bool concerns(const struct agent_update *u, const struct agent_config_hook *hook) {
    return !u->manifest || bundle_manifest_component(u->manifest, hook->component);
}

// Tells from tell_index on, until one takes time or all are told.
static void tell_next(struct agent_update *u) {
    const struct agent_config *config = u->host.state->config;
    for (; u->tell_index < config->n_hooks; u->tell_index++) {
        const struct agent_config_hook *hook = &config->hooks[u->tell_index];
        struct err e = ERR_NONE;
        if (!concerns(u, hook) || hook->action == AGENT_CONFIG_NONE)
            continue;
        int done = hook->action == AGENT_CONFIG_SIGNAL ? send_signal(hook, &e)
                                                       : start_command(u, hook, &e);
        if (done == 0 && hook->action != AGENT_CONFIG_SIGNAL)
            return; // on_told goes on
        if (done < 0 && !u->going_back) {
            // What could not even be started is of the same kind for whoever waits for the reason.
            e.kind = &err_activate_failed;
            told(u, &e);
            return;
        }
        if (done < 0)
            agent_log_line(AGENT_LOG_ERROR, "after going back: %s", e.text);
    }
    told(u, NULL);
}

static void tell(struct agent_update *u, bool going_back) {
    struct err ignored = ERR_NONE;
    u->going_back = going_back;
    u->tell_index = 0;
    (void)update_engine_manifest(u, &ignored);
    tell_next(u);
}

// I1 and I6 for the generation that `current` is about to name. The seal's own read-back will do
// while it is fresh and this process made it.
static int verify(struct agent_update *u, uint64_t generation, bool fresh_will_do,
                  struct bundle_generation *ret, struct err *e) {
    struct agent_state *state = u->host.state;
    int64_t age_ms = chrono_boot_ms(u->host.loop->clock) - u->read_back_ms;
    bool fresh = fresh_will_do && u->read_back_ms >= 0 && age_ms <= UPDATE_ENGINE_FRESH_MS;
    int read =
        fresh ? agent_store_record(&state->store, generation, ret, e)
              : agent_store_verify(&state->store, generation, update_engine_breathe, u, ret, e);
    return read < 0 ? -1 : agent_floors_admit(&state->floors, ret, e);
}

// The swap, either way. Asserted here, where it counts, of what was verified: others were served
// during the hashing.
static int swap(struct agent_update *u, uint64_t generation, struct err *e) {
    const struct fsm_record *r = update_engine_record(u);
    struct agent_state *state = u->host.state;
    struct bundle_generation verified;
    struct err below = ERR_NONE;
    if (verify(u, generation, r->state == FSM_ACTIVATING, &verified, e) < 0)
        return -1;
    assert(verified.number == generation && fsm_machine_may_run(r, generation) &&
           "I1: what was verified is what will run");
    assert(agent_floors_admit(&state->floors, &verified, &below) == 0 &&
           "I6: nothing below the floor runs");
    return agent_store_point(&state->store, generation, e);
}

static bool stopping(struct agent_update *u) {
    struct err stopped = ERR_NONE;
    return u->host.breathe(u->host.context, &stopped) < 0;
}

bool update_activate_swapped(const struct agent_update *u) {
    struct err unknown = ERR_NONE;
    uint64_t runs;
    return agent_store_current(&u->host.state->store, &runs, &unknown) != 0 ||
           runs == update_engine_record(u)->update.target;
}

void update_activate_begin(struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    struct err e = ERR_NONE;
    if (r->state == FSM_SHAM_RESTARTING) { // nothing to verify: nothing is swapped
        tell(u, false);
        return;
    }
    assert(r->state == FSM_ACTIVATING && r->update.target != r->committed);
    assert((r->update.local || r->update.looked) && "I11: nothing from the network without a look");
    if (swap(u, r->update.target, &e) == 0) {
        tell(u, false);
        return;
    }
    if (stopping(u))
        return;
    // Before the swap nothing has changed and the update is refused; a restart may have come after
    // it.
    bool swapped = update_activate_swapped(u);
    // What was sealed has decayed since: not the bundle's fault (I4).
    u->untried = !swapped;
    update_engine_fire(u, swapped ? FSM_UNHEALTHY : FSM_REFUSED, &e);
    u->untried = false;
}

// The floors that would judge the way back may be old ones that somebody put back: it waits for the
// repository's. What runs, failed as it is, runs until then. The reason stays that of going back.
static bool waits_for_floors(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (agent_anchor_admits_revert(&u->host.state->anchor, &why) == 0)
        return false;
    agent_log_line(AGENT_LOG_WARNING, "going back waits: %s", why.text);
    agent_loop_arm(u->host.loop, &u->look_again, UPDATE_ENGINE_RECHECK_MS);
    return true;
}

void update_activate_revert(struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    struct err e = ERR_NONE;
    struct err why = ERR_NONE;
    assert(r->state == FSM_REVERTING);
    if (waits_for_floors(u))
        return;
    if (swap(u, r->revert_to, &e) == 0) {
        tell(u, true);
        return;
    }
    if (stopping(u))
        return;
    err_set(&why, &err_revert_failed, "going back to generation %" PRIu64 ": %s", r->revert_to,
            e.text);
    // Asked to leave a committed generation: as long as that one runs nothing has happened.
    uint64_t runs;
    struct err unknown = ERR_NONE;
    bool unmoved = r->revert_committed &&
                   agent_store_current(&u->host.state->store, &runs, &unknown) == 0 &&
                   runs == r->committed;
    update_engine_fire(u, unmoved ? FSM_UNMOVED : FSM_STUCK, &why);
}
