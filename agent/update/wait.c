// SPDX-License-Identifier: Apache-2.0
//
// Between sealed and activated: the application's inhibit, the windows, and last of all
// the look at the controller and the question to the repository (I11), in this order, so that a yes
// is fresh when it is used: days may lie between the download, before which the repository was
// asked, and the swap. What is waited for is always said (I10). An update from a file at hand is the
// operator's word and waits for nothing; who may sign bundles now is asked of both. A sham waits for inhibit
// and window alike, and for no longer than it was asked for.
#include <inttypes.h>
#include <stdio.h>

#include "agent/kind.h"
#include "agent/update/engine.h"
#include "keys/envelope.h"
#include "keys/kind.h"

static void say(struct agent_update *u, const struct err_kind *kind, const char *text,
                int64_t again_ms) {
    struct err e = ERR_NONE;
    u->unanswered = false;
    if (agent_state_wait(u->host.state, kind, text, &e) < 0) {
        update_engine_stop(u, &e);
        return;
    }
    agent_loop_arm(u->host.loop, &u->look_again, again_ms);
}

static bool inhibited(struct agent_update *u) {
    char text[256];
    int64_t left_ms = u->inhibit_until_ms - chrono_boot_ms(u->host.loop->clock);
    if (left_ms <= 0)
        return false;
    (void)snprintf(text, sizeof text, "the application delays activation: %s", u->inhibit_reason);
    say(u, &err_inhibited, text,
        left_ms < UPDATE_ENGINE_RECHECK_MS ? left_ms : UPDATE_ENGINE_RECHECK_MS);
    return true;
}

static bool outside_window(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (!update_window_is_closed(u, UPDATE_WINDOW_INSTALL, &why))
        return false;
    say(u, why.kind, why.text, UPDATE_ENGINE_RECHECK_MS);
    return true;
}

// As after a look that failed: it waits, and looks again later.
static void not_answered(struct agent_update *u, const struct err *why) {
    u->looked_ms = -1;
    say(u, why->kind, why->text, update_engine_back_off(u));
    u->unanswered = true;
}

// Withdrawn, expired, or not to be signed or published any more by those who did: no fault of the bundle (I4). What
// was staged goes with the update (I8).
static void no_more(struct agent_update *u, const struct err *why) {
    u->untried = true;
    update_engine_refuse(u, why);
    u->untried = false;
}

// What was kept when it was admitted, judged once more by the root and the dates of now, as a device
// that sees it for the first time would; and by the targets, where they were asked.
static int check_kept(struct agent_update *u, struct err *e) {
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    const struct agent_state *state = u->host.state;
    if (update_engine_manifest(u, e) < 0 ||
        bundle_manifest_verify_root(bundle_manifest_raw(u->manifest), state->root, &manifest, e) <
            0 ||
        keys_envelope_check_expiry(&bundle_manifest_view(manifest)->header, "the bundle's manifest",
                                   agent_state_trusted_s(state), e) < 0)
        return -1;
    return update_trust_admits(u, manifest, e) < 0 ? -1 : update_mandate_admits(u, e);
}

static void go(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (check_kept(u, &why) == 0) {
        u->inhibit_until_ms = 0; // was for this activation, where an operator's goes past it
        update_engine_fire(u, FSM_GO, NULL);
    } else if (why.kind->retry)
        not_answered(u, &why);
    else
        no_more(u, &why);
}

static bool looked(const struct agent_update *u) {
    int64_t now = chrono_boot_ms(u->host.loop->clock);
    return u->looked_ms >= 0 && now - u->looked_ms <= UPDATE_ENGINE_LOOK_MS;
}

static void want_look(struct agent_update *u) {
    // What the repository could not say stays the reason until it can.
    if (u->unanswered)
        agent_loop_arm(u->host.loop, &u->look_again, UPDATE_ENGINE_RECHECK_MS);
    else
        say(u, &err_last_look, UPDATE_ENGINE_LOOK_TEXT, UPDATE_ENGINE_RECHECK_MS);
    if (!u->look_wanted) {
        u->look_wanted = true;
        u->host.checkin_soon(u->host.context);
    }
}

// A yes is used at once: what it has to wait behind by now asks again.
void update_wait_answered(struct agent_update *u, const struct err *answer) {
    struct err why = *answer;
    u->asking = false;
    bool answered = !why.kind && agent_trust_check_newest(u->host.state, &why) == 0;
    if (err_is(&why, &err_not_in_targets)) {
        no_more(u, &why);
        return;
    }
    if (!answered) {
        not_answered(u, &why);
        return;
    }
    u->unanswered = false;
    if (inhibited(u) || outside_window(u))
        return;
    if (looked(u))
        go(u);
    else
        want_look(u);
}

// Whoever asked for a sham compares it with an update of about the same time.
static bool too_late(struct agent_update *u) {
    struct err why = ERR_NONE;
    if (agent_state_trusted_s(u->host.state) <= (int64_t)update_engine_record(u)->update.until_s)
        return false;
    err_set(&why, &err_expired, "the sham could not begin while it was asked for");
    update_engine_refuse(u, &why);
    return true;
}

void update_wait_begin(struct agent_update *u) {
    const struct fsm_record *r = update_engine_record(u);
    if (r->state == FSM_SHAM_WAITING) {
        if (!too_late(u) && !inhibited(u) && !outside_window(u))
            update_engine_fire(u, FSM_GO, NULL);
        return;
    }
    if (r->state != FSM_WAITING || u->asking)
        return;
    if (r->update.local) {
        go(u);
        return;
    }
    if (inhibited(u) || outside_window(u))
        return;
    if (!looked(u)) {
        want_look(u);
        return;
    }
    u->look_wanted = false;
    u->asking = true;
    update_trust_ask(u);
}
