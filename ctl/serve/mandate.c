// SPDX-License-Identifier: Apache-2.0
//
// Mandates at the controller.
#include "ctl/serve/mandate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "ctl/rollout/batch.h"
#include "ctl/rollout/decide.h"
#include "ctl/rollout/plan.h"
#include "ctl/rollout/strata.h"
#include "ctl/rollout/unit.h"
#include "ctl/store/mandate.h"
#include "keys/canon.h"

#define BEHIND_MAX_S 60

static const struct keys_role *role_of(const struct serve_server *server) {
    return keys_root_role(server->root, KEYS_ROOT_ROLE_MANDATE);
}

bool serve_mandate_is_called_for(const struct serve_server *server) {
    return role_of(server)->n_keys > 0;
}

void serve_mandate_know(const struct serve_server *server) {
    if (server->engine != NULL)
        server->engine->devices_judge = serve_mandate_is_called_for(server);
}

int64_t serve_mandate_ends(const struct serve_engine *engine, int found,
                           const struct store_mandate *mandate) {
    return found == 0 ? mandate->expires_s : engine->devices_judge ? ROLLOUT_MANDATE_MISSING : 0;
}

bool serve_mandate_holds_back(const struct rollout_policy *policy) {
    return policy->gates.n > 0 && policy->gates.holdback_ppm > 0;
}

void serve_mandate_bounds(const struct rollout_policy *policy, const uint64_t *bounds,
                          uint64_t *ret) {
    uint64_t held = rollout_batch_holdback(policy);
    for (size_t i = 0; i < policy->n_stages; i++)
        ret[i] = bounds[i] < held ? bounds[i] : held;
    if (serve_mandate_holds_back(policy))
        ret[policy->n_stages] = bounds[policy->n_stages - 1];
}

// ── Taking in ───────────────────────────────────────────────────────────────────────────────────

static bool is_given(const json_t *envelope) {
    return envelope != NULL && !json_is_null(envelope);
}

// The envelope's bytes, as devices get them: canonical, whatever form it came in.
static int read_envelope(const struct serve_server *server, const json_t *envelope, int64_t now_s,
                         struct buf *ret_raw, struct bundle_mandate **ret, struct err *e) {
    buf_init(ret_raw, BUNDLE_MANDATE_MAX_BYTES);
    if (keys_canon_format(envelope, ret_raw, e) < 0 ||
        bundle_mandate_verify(buf_slice(ret_raw), role_of(server), ret, e) < 0)
        return -1;
    const struct keys_header *header = &bundle_mandate_content(*ret)->header;
    if (keys_envelope_check_expiry(header, "the mandate", now_s, e) == 0)
        return 0;
    struct err cause = *e;
    err_clear(e);
    bundle_mandate_free(*ret);
    *ret = NULL;
    return err_set(e, &err_mandate_expired, "%s", cause.text);
}

static char *id_of(const struct buf *raw, char ret[static KEYS_DIGEST_HEX]) {
    struct keys_digest id;
    keys_digest_of(raw->data, raw->len, &id);
    return keys_digest_hex(&id, ret);
}

// The file first, then the row.
static int keep(struct store_db *db, struct serve_call *call, const struct buf *raw,
                const struct bundle_mandate *mandate, const char *device, struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    char name[STORE_MANDATE_FILE_BYTES];
    struct store_mandate row = {.version = c->header.version,
                                .signed_stages = c->signed_stages,
                                .baseline = c->baseline,
                                .size = raw->len,
                                .expires_s = c->header.expires_s,
                                .created_s = serve_call_now_s(call)};
    (void)id_of(raw, row.id);
    memcpy(row.rollout, c->rollout, sizeof row.rollout);
    memcpy(row.name, c->name, sizeof row.name);
    memcpy(row.release, c->release, sizeof row.release);
    (void)snprintf(row.device, sizeof row.device, "%s", device);
    (void)snprintf(row.actor, sizeof row.actor, "%s", call->who.name);
    if (fs_replace(call->server->bundles, store_mandate_file(row.id, name), raw->data, raw->len,
                   0644, e) < 0)
        return -1;
    return store_mandate_add(db, &row, e);
}

// How many stages have to be signed: up to the first one from `from` on that has to be approved.
static size_t needed(const struct rollout_policy *policy, size_t from) {
    size_t n = from;
    while (n < policy->n_stages && !policy->stages[n].approve)
        n++;
    return n == policy->n_stages ? n + serve_mandate_holds_back(policy) : n;
}

static int none(const char *what, struct err *e) {
    return err_set(e, &err_no_mandate,
                   "%s: devices of this root install nothing that people did not sign for: edgectl "
                   "rollout plan makes a plan, edgectl rollout sign signs it",
                   what);
}

static int outside(const struct rollout_policy *policy, const char *what, struct err *e) {
    return err_set(e, &err_outside_mandate, "rollout %s: the mandate is for %s", policy->name,
                   what);
}

// Devices look for the stratum that they know themselves in; the others are newcomers to them.
static int find_signed(const struct bundle_mandate *mandate, const char *stratum, uint64_t *ret,
                       struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    OWN(mem) char *known = rollout_strata_known(stratum);
    if (known == NULL)
        return err_set(e, &err_memory, "checking a mandate: out of memory");
    memcpy(ret, c->newcomer_bounds, sizeof c->newcomer_bounds);
    for (size_t i = 0; i < c->n_strata; i++) {
        struct bundle_mandate_stratum one;
        bundle_mandate_stratum(mandate, i, &one);
        if (strcmp(one.key, known) == 0)
            memcpy(ret, one.bounds, c->n_stages * sizeof *ret);
    }
    return 0;
}

static int check_bounds(const struct bundle_mandate *mandate, const struct serve_engine_rollout *r,
                        struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    uint64_t is[BUNDLE_MANDATE_STAGES_MAX], wanted[BUNDLE_MANDATE_STAGES_MAX];
    for (size_t s = 0; s < r->n_strata; s++) {
        if (find_signed(mandate, r->strata[s].key, is, e) < 0)
            return -1;
        serve_mandate_bounds(&r->row.policy, r->strata[s].plan.bound, wanted);
        for (size_t i = 0; i < c->signed_stages; i++)
            if (c->stages[i].devices == NULL && wanted[i] > is[i])
                return outside(&r->row.policy, "fewer devices than the plan", e);
    }
    return 0;
}

// That it is of this rollout, and lets through what the rollout would do.
static int check(const struct bundle_mandate *mandate, const struct serve_engine_rollout *r,
                 struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    const struct rollout_policy *policy = &r->row.policy;
    if (strcmp(c->rollout, policy->name) != 0)
        return outside(policy, "another rollout", e);
    if (strcmp(c->name, policy->release_name) != 0 ||
        strcmp(c->release, policy->release_version) != 0)
        return outside(policy, "another release", e);
    if (memcmp(c->seed, r->row.seed, sizeof c->seed) != 0 ||
        c->n_stages != policy->n_stages + serve_mandate_holds_back(policy))
        return outside(policy, "another plan of it", e);
    if (strcmp(c->site, rollout_unit_is_site(&policy->gates) ? policy->gates.site : "") != 0)
        return outside(policy, "another unit than the policy's", e);
    return check_bounds(mandate, r, e);
}

static int check_signed(const struct rollout_policy *policy, size_t is, size_t wanted,
                        struct err *e) {
    return is >= wanted ? 0
                        : err_set(e, &err_no_mandate,
                                  "rollout %s: its mandate is signed for %zu stages, and stage %s "
                                  "is next: sign it through that one (edgectl rollout sign "
                                  "--through) and give it along (--mandate)",
                                  policy->name, is,
                                  is < policy->n_stages ? policy->stages[is].name
                                                        : BUNDLE_MANDATE_HELD_BACK);
}

// Clocks of devices may be a little behind: by a minute, or a sixteenth of the time that it takes.
static int64_t with_slack(const struct bundle_mandate_content *c, int64_t not_before_s) {
    int64_t ahead = (not_before_s - c->header.issued_s) / 16;
    return not_before_s + (ahead < 0 ? 0 : ahead < BEHIND_MAX_S ? ahead : BEHIND_MAX_S);
}

static void take_ramp(const struct bundle_mandate_content *c, size_t stage,
                      struct rollout_batch_ramp *ret) {
    const struct bundle_mandate_stage *of = &c->stages[stage];
    *ret = (struct rollout_batch_ramp){.n = bundle_mandate_steps(of)};
    for (size_t i = 0; i < ret->n; i++) {
        struct bundle_mandate_step step = bundle_mandate_step(of, i);
        ret->steps[i].from_s = with_slack(c, step.from_s);
        ret->steps[i].share = step.share;
    }
    ret->whole_s = with_slack(c, of->not_before_s);
}

// Devices refuse what comes sooner than people signed for.
static int take_times(struct store_db *db, const struct bundle_mandate *mandate,
                      struct serve_engine_rollout *r, struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    struct rollout_progress *p = &r->row.progress;
    size_t n = r->row.policy.n_stages;
    _Static_assert(ROLLOUT_BATCH_STEPS_MAX == BUNDLE_MANDATE_STEPS_MAX &&
                       ROLLOUT_PLAN_STEPS_MAX == BUNDLE_MANDATE_STEPS_MAX &&
                       ROLLOUT_POLICY_STAGES_MAX + 1 == BUNDLE_MANDATE_STAGES_MAX,
                   "what is planned can be signed, and is held to");
    p->not_before_s[n] = 0;
    for (size_t i = 0; i < c->n_stages; i++) {
        p->not_before_s[i] = with_slack(c, bundle_mandate_step(&c->stages[i], 0).from_s);
        take_ramp(c, i, &p->ramp[i]);
    }
    p->not_before_s[n + 1] = c->baseline ? with_slack(c, c->baseline_not_before_s) : 0;
    return store_rollout_put(db, &r->row, e);
}

int serve_mandate_apply(struct store_db *db, struct serve_call *call, const json_t *envelope,
                        struct serve_engine_rollout *r, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    OWN(buf) struct buf raw = {.data = NULL};
    char what[BUNDLE_NAME_MAX + 16];
    (void)snprintf(what, sizeof what, "applying %s", policy->name);
    if (!serve_mandate_is_called_for(call->server))
        return 0;
    if (!is_given(envelope))
        return none(what, e);
    if (read_envelope(call->server, envelope, serve_call_now_s(call), &raw, &mandate, e) < 0 ||
        check(mandate, r, e) < 0 ||
        check_signed(policy, bundle_mandate_content(mandate)->signed_stages, needed(policy, 1), e) <
            0)
        return err_prefix(e, "%s", what);
    return take_times(db, mandate, r, e) < 0 ? -1 : keep(db, call, &raw, mandate, "", e);
}

int serve_mandate_approve(struct store_db *db, struct serve_call *call, const json_t *envelope,
                          struct serve_engine_rollout *r, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    OWN(buf) struct buf raw = {.data = NULL};
    struct store_mandate before = {.version = 0};
    if (!serve_mandate_is_called_for(call->server))
        return 0;
    int found = store_mandate_of_rollout(db, policy->name, &before, e);
    if (found < 0)
        return -1;
    size_t is = found == 0 ? (size_t)before.signed_stages : 0;
    if (is_given(envelope)) {
        if (read_envelope(call->server, envelope, serve_call_now_s(call), &raw, &mandate, e) < 0 ||
            check(mandate, r, e) < 0)
            return err_prefix(e, "approving %s", policy->name);
        const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
        char id[KEYS_DIGEST_HEX];
        if (found == 0 && c->header.version <= before.version &&
            strcmp(id_of(&raw, id), before.id) != 0)
            return err_set(e, &err_outside_mandate,
                           "rollout %s: the mandate has version %" PRIu64 ", and %" PRIu64
                           " was given before: a further one has a higher version",
                           policy->name, c->header.version, before.version);
        is = c->signed_stages;
    }
    if (check_signed(policy, is, needed(policy, (size_t)r->row.progress.stage + 1), e) < 0)
        return -1;
    if (mandate == NULL)
        return 0;
    return take_times(db, mandate, r, e) < 0 ? -1 : keep(db, call, &raw, mandate, "", e);
}

int serve_mandate_renew(struct store_db *db, struct serve_call *call, const json_t *envelope,
                        struct serve_engine_rollout *r, struct err *e) {
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    OWN(buf) struct buf raw = {.data = NULL};
    struct store_mandate before = {.version = 0};
    const char *name = r->row.policy.name;
    if (!serve_mandate_is_called_for(call->server) || !is_given(envelope))
        return 0;
    if (store_mandate_of_rollout(db, name, &before, e) < 0 ||
        read_envelope(call->server, envelope, serve_call_now_s(call), &raw, &mandate, e) < 0 ||
        check(mandate, r, e) < 0)
        return err_prefix(e, "renewing the mandate of %s", name);
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    if (!c->baseline || c->header.version <= before.version)
        return err_set(e, &err_outside_mandate,
                       "rollout %s has finished: a further mandate has to be signed for its "
                       "baseline, and to have a higher version than %" PRIu64
                       " (edgectl rollout sign --expires)",
                       name, before.version);
    return keep(db, call, &raw, mandate, "", e);
}

int serve_mandate_pin(struct store_db *db, struct serve_call *call, const json_t *envelope,
                      const struct serve_mandate_pin *pin, struct err *e) {
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    OWN(buf) struct buf raw = {.data = NULL};
    bool named = false;
    if (!serve_mandate_is_called_for(call->server))
        return 0;
    if (!is_given(envelope))
        return err_set(e, &err_no_mandate,
                       "pinning %s: devices of this root install nothing that people did not sign "
                       "for; edgectl device pin signs with the keys of --workspace, or with --key",
                       pin->device);
    if (read_envelope(call->server, envelope, serve_call_now_s(call), &raw, &mandate, e) < 0)
        return err_prefix(e, "pinning %s", pin->device);
    const struct bundle_mandate_content *c = bundle_mandate_content(mandate);
    for (size_t i = 0; i < json_array_size(c->stages[0].devices); i++)
        named = named || strcmp(json_string_value(json_array_get(c->stages[0].devices, i)),
                                pin->device) == 0;
    if (c->rollout[0] != '\0' || !named || strcmp(c->name, pin->name) != 0 ||
        strcmp(c->release, pin->release) != 0)
        return err_set(e, &err_outside_mandate,
                       "pinning %s to %s %s: the mandate is for something else", pin->device,
                       pin->name, pin->release);
    return keep(db, call, &raw, mandate, pin->device, e);
}

int serve_mandate_show(struct store_db *db, const struct serve_server *server,
                       const struct serve_engine_rollout *r, json_t *io, struct err *e) {
    struct store_mandate row;
    char expires[CHRONO_TEXT_BYTES];
    int found = store_mandate_of_rollout(db, r->row.policy.name, &row, e);
    if (found < 0)
        return -1;
    json_t *shown = found != 0 || !serve_mandate_is_called_for(server)
                        ? json_null()
                        : json_pack("{s:s, s:I, s:I, s:b, s:s}", "id", row.id, "version",
                                    (json_int_t)row.version, "signed_stages",
                                    (json_int_t)row.signed_stages, "baseline", (int)row.baseline,
                                    "expires", chrono_format(row.expires_s, expires));
    return json_object_set_new(io, "mandate", shown) < 0
               ? err_set(e, &err_memory, "showing a rollout: out of memory")
               : 0;
}

// ── Handing out ─────────────────────────────────────────────────────────────────────────────────

static int find(struct store_db *db, const struct store_device *device,
                const struct bundle_instruction *in, struct store_mandate *ret, struct err *e) {
    if (in->rollout[0] != '\0')
        return store_mandate_of_rollout(db, in->rollout, ret, e);
    bool pinned = strcmp(device->pin_name, in->bundle_name) == 0 &&
                  strcmp(device->pin_version, in->release) == 0;
    return pinned ? store_mandate_of_pin(db, device->id, in->bundle_name, in->release, ret, e)
                  : store_mandate_of_baseline(db, in->bundle_name, in->release, ret, e);
}

static int is_held_back(const struct serve_engine_rollout *r, const struct store_device *device,
                        bool *ret, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    OWN(facts) struct bundle_facts *facts = NULL;
    if (serve_engine_facts(device, &facts, e) < 0)
        return -1;
    *ret = rollout_unit_rank(&policy->gates, device->id, facts, r->row.seed) >
           rollout_batch_holdback(policy);
    return 0;
}

int serve_mandate_stage(const struct serve_engine_rollout *r, const struct store_device *device,
                        uint64_t *ret, struct err *e) {
    uint64_t stage = device->task.stage;
    bool held = false;
    if (serve_mandate_holds_back(&r->row.policy) && stage < r->row.policy.n_stages &&
        !r->row.policy.stages[stage].by_device && is_held_back(r, device, &held, e) < 0)
        return -1;
    *ret = held ? r->row.policy.n_stages : stage;
    return 0;
}

int serve_mandate_fill(struct store_db *db, const struct serve_server *server,
                       const struct store_device *device, struct bundle_instruction *io,
                       struct err *e) {
    struct store_mandate row;
    const char *base = server->options->public_url;
    if (!serve_mandate_is_called_for(server) ||
        (io->action != BUNDLE_ACTION_INSTALL && io->action != BUNDLE_ACTION_ACTIVATE))
        return 0;
    int found = find(db, device, io, &row, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (keys_digest_parse(row.id, "a mandate's id", &io->mandate.id, e) < 0)
        return -1;
    io->mandate.size = row.size;
    const struct serve_engine_rollout *r =
        io->rollout[0] == '\0' ? NULL : serve_engine_find(server->engine, io->rollout);
    io->stage = io->rollout[0] == '\0' ? 0 : device->task.stage;
    if (r != NULL && serve_mandate_stage(r, device, &io->stage, e) < 0)
        return -1;
    (void)snprintf(io->mandate.url, sizeof io->mandate.url, "%s/mandates/%s.json",
                   base == NULL ? "" : base, row.id);
    return 0;
}
