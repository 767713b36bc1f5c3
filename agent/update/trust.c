// SPDX-License-Identifier: Apache-2.0
//
// Before a download: what the repository says now (agent/trust.h), and whether its targets name the
// bundle; and the same once more before the swap, where the targets may be others by then. Who sent
// the instruction does not matter here: a stolen controller can offer only what people published
// (I9). A bundle from a file at hand needs its manifest's signature, the floor and its expiry, and
// comes past this.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/fsm/pace.h"
#include "agent/kind.h"
#include "agent/trust.h"
#include "agent/update/engine.h"
#include "base/random.h"
#include "bundle/kind.h"
#include "bundle/target.h"
#include "keys/envelope.h"

_Static_assert(BUNDLE_TARGET_PATH_BYTES <= AGENT_JOB_TARGET_MAX + 1, "paths of targets");

// Nothing that is wrong with the repository is held against the bundle (I4), and none of it ends
// the update before its tries are used up; what has expired costs none of these.
static void not_now(struct agent_update *u, const struct err *why) {
    struct fsm_update *update = &u->host.state->journal.record.update;
    struct err e = ERR_NONE;
    bool stale = err_is(why, &err_stale_repository);
    if (!stale)
        update->tries++;
    if (err_is(why, &err_not_in_targets) || update->tries >= u->host.state->config->fetch_tries) {
        u->untried = true;
        update_engine_refuse(u, why);
        u->untried = false;
        return;
    }
    // Worth a report: a person has to renew the repository.
    if (stale && agent_state_wait(u->host.state, why->kind, why->text, &e) < 0) {
        update_engine_stop(u, &e);
        return;
    }
    update_engine_fire(u, FSM_HICCUP, why);
}

// Not within what people signed for, or not to be known now. Held against nobody: another mandate, or a
// later hour, may allow the same attempt.
static void refuse_mandate(struct agent_update *u, const struct err *why) {
    bool waits = update_engine_record(u)->state == FSM_WAITING;
    trust_verdict_clear(&u->verdict);
    if (why->kind->retry && !err_is(why, &err_too_early)) {
        waits ? update_wait_answered(u, why) : not_now(u, why);
        return;
    }
    u->asking = false;
    u->untried = true;
    update_engine_refuse(u, why);
    u->untried = false;
}

void update_trust_answered(void *update, struct agent_trust_outcome *outcome) {
    struct agent_update *u = update;
    const struct err *why = &outcome->why;
    bool waits = update_engine_record(u)->state == FSM_WAITING;
    if (outcome->retry_after_s > 0)
        u->backoff_ms =
            fsm_pace_retry_after_ms(outcome->retry_after_s, (uint32_t)random_below(1ULL << 32));
    if (!why->kind) {
        trust_verdict_clear(&u->verdict);
        u->verdict = *outcome->verdict;
        *outcome->verdict = (struct trust_verdict){.document = NULL};
    }
    struct err refused = ERR_NONE;
    if (!why->kind && (update_mandate_take(u, outcome->mandate, &refused) < 0 ||
                       (!waits && update_mandate_admits(u, &refused) < 0)))
        refuse_mandate(u, &refused);
    else if (waits)
        update_wait_answered(u, why);
    else if (why->kind)
        not_now(u, why);
    else
        update_fetch_begin(u);
}

void update_trust_ask(struct agent_update *u) {
    const struct fsm_update *update = &update_engine_record(u)->update;
    struct bundle_target target;
    struct bundle_instruction_delta offered;
    char path[BUNDLE_TARGET_PATH_BYTES], delta[BUNDLE_TARGET_PATH_BYTES] = "";
    assert(!update->local && update->has_bundle && "an instruction names its bundle");
    bundle_target_path(bundle_target_set(&target, update->name, update->release, &update->bundle),
                       path);
    // Before the swap it no longer matters how the contents came.
    if (update_engine_record(u)->state == FSM_FETCHING && update_hint_read(u, &offered))
        bundle_target_path(bundle_target_set_delta(&target, update->name, update->release,
                                                   &update->bundle, &offered.base),
                           delta);
    struct update_mandate_wanted mandate = {.bytes = 0};
    struct agent_trust_wanted wanted = {.path = path, .delta = delta};
    if (update_mandate_wanted(u, &mandate)) {
        wanted.mandate_url = mandate.url;
        wanted.mandate_bytes = mandate.bytes;
    }
    if (u->host.ask) {
        u->host.ask(u->host.context, &wanted);
    } else if (u->host.trust) {
        agent_trust_begin(u->host.trust, &wanted, update_trust_answered, u);
    } else {
        struct agent_trust_outcome none = {.verdict = NULL};
        err_set(&none.why, &err_not_in_targets, "there is no repository to ask for this bundle");
        update_trust_answered(u, &none);
    }
}

void update_trust_begin(struct agent_update *u) {
    trust_verdict_clear(&u->verdict);
    update_engine_fire(u, FSM_FETCH_BEGUN, NULL);
    if (!u->fatal.kind)
        update_trust_ask(u);
}

void update_trust_stop(struct agent_update *u) {
    u->asking = false;
    if (u->host.trust)
        agent_trust_stop(u->host.trust, u);
}

static bool lists(const json_t *names, const char *name) {
    size_t i;
    json_t *one;
    json_array_foreach (names, i, one) {
        if (strcmp(json_string_value(one), name) == 0)
            return true;
    }
    return false;
}

int update_trust_names(const struct trust_verdict *verdict, const struct bundle_manifest *manifest,
                       struct err *e) {
    const struct trust_verdict_target *target = &verdict->target;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    struct keys_envelope_candidate envelope;
    assert(verdict->found && "I9: a download is begun for what the targets name alone");
    if (keys_envelope_split(bundle_manifest_raw(manifest), "manifest", &envelope, e) < 0)
        return -1;
    if (!keys_digest_equal(&target->id, bundle_manifest_id(manifest)) ||
        target->length != envelope.signed_part.len)
        return err_set(e, &err_not_in_targets,
                       "the repository's targets name another content under the path of %s %s",
                       view->name, view->release);
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        if (target->components && !lists(target->components, c->name))
            return err_set(e, &err_not_in_targets,
                           "the keys that published %s %s may not publish the component %s",
                           view->name, view->release, c->name);
        // Nobody knows what is in an image.
        if (!target->executable && (c->executable || c->type == BUNDLE_COMPONENT_IMAGE))
            return err_set(
                e, &err_not_in_targets,
                "the keys that published %s %s may publish nothing executable, and %s is",
                view->name, view->release, c->name);
    }
    return 0;
}

int update_trust_admits(const struct agent_update *u, const struct bundle_manifest *manifest,
                        struct err *e) {
    return update_engine_record(u)->update.local ? 0 : update_trust_names(&u->verdict, manifest, e);
}
