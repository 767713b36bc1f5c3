// SPDX-License-Identifier: Apache-2.0
//
// Planning for whoever asks.
#include "ctl/serve/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/random.h"
#include "ctl/kind.h"
#include "ctl/serve/dry.h"
#include "ctl/serve/mandate.h"
#include "ctl/serve/server.h"
#include "ctl/store/dry.h"

// Of the mandate when nobody says; and the longest that may be asked for.
#define EXPIRES_DEFAULT_S (30LL * 86400)
#define EXPIRES_MAX_S     (366LL * 86400)

static int add_mandate(const struct serve_plan_ask *ask, const struct rollout_plan_census *census,
                       const struct rollout_plan *plan, json_t *io, struct err *e) {
    struct err why = ERR_NONE;
    OWN(buf) struct buf text;
    json_t *mandate = NULL, *because = NULL;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    if (serve_plan_mandate(ask, census, plan, &text, &why) == 0)
        mandate = json_pack("{s:o, s:[]}", "signed",
                            json_loadb((const char *)text.data, text.len, 0, NULL), "signatures");
    else if (err_is(&why, &err_memory))
        return err_set(e, why.kind, "%s", why.text);
    else
        because = json_string(why.text);
    if (json_object_set_new(io, "mandate", mandate == NULL ? json_null() : mandate) < 0 ||
        (because != NULL && json_object_set_new(io, "mandate_why", because) < 0))
        return err_set(e, &err_memory, "planning: out of memory");
    return 0;
}

int serve_plan_make(const struct serve_plan_ask *ask, json_t **ret, struct err *e) {
    OWN(plan_count) struct serve_plan_count *count = NULL;
    OWN(mem) struct rollout_plan *plan = calloc(1, sizeof *plan);
    OWN(json) json_t *document = NULL;
    OWN(json) json_t *policy = NULL;
    if (plan == NULL)
        return err_set(e, &err_memory, "planning: out of memory");
    if (serve_plan_count(ask, &count, e) < 0)
        return -1;
    struct rollout_plan_census *census = serve_plan_count_census(count);
    memcpy(plan->seed, ask->seed, sizeof plan->seed);
    plan->made_s = ask->now_s;
    rollout_plan_make(ask->policy, census, plan);
    if (rollout_plan_format(ask->policy, census, plan, &document, e) < 0 ||
        rollout_policy_format(ask->policy, &policy, e) < 0)
        return -1;
    OWN(json) json_t *made = json_pack("{s:O, s:O}", "plan", document, "policy", policy);
    if (made == NULL)
        return err_set(e, &err_memory, "planning: out of memory");
    if (add_mandate(ask, census, plan, made, e) < 0)
        return -1;
    *ret = json_incref(made);
    return 0;
}

// ── The request ──

int serve_plan_policy(const struct doc_at *at, struct rollout_policy *ret, struct err *e) {
    json_t *document = json_object_get(at->value, "policy");
    if (!json_is_object(document))
        return err_set(e, &err_bad_request, "policy: expected the policy to plan for");
    return rollout_policy_parse(document, "policy", ret, e);
}

static int read_expires(const struct doc_at *at, int64_t now_s, int64_t *ret, struct err *e) {
    const char *text = NULL;
    int64_t expires_s = now_s + EXPIRES_DEFAULT_S;
    int found = doc_string_opt(at, "expires", CHRONO_TEXT_BYTES, &text, e);
    if (found < 0)
        return -1;
    if (found == 0 && chrono_parse(text, "expires", &expires_s, e) < 0)
        return -1;
    if (expires_s <= now_s || expires_s > now_s + EXPIRES_MAX_S)
        return err_set(e, &err_bad_request,
                       "expires: expected a time within the next 366 days, when nobody may go by "
                       "the plan any more");
    *ret = expires_s;
    return 0;
}

// What devices said of the release's own probes, when they were asked.
static int add_dry(struct store_db *db, const struct serve_call *call, const struct doc_at *at,
                   json_t *io, struct err *e) {
    const char *id = NULL;
    OWN(json) json_t *shown = NULL;
    int found = doc_string_opt(at, "dry_probes", STORE_DRY_ID_BYTES - 1, &id, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (serve_dry_show(db, call, id, &shown, e) < 0)
        return -1;
    return json_object_set(json_object_get(io, "plan"), "dry_probes", shown) < 0
               ? err_set(e, &err_memory, "planning: out of memory")
               : 0;
}

int serve_plan_run(struct store_db *db, struct serve_call *call, struct err *e) {
    static const char *const known[] = {"policy", "expires", "dry_probes", NULL};
    uint8_t seed[BUNDLE_RANK_SEED_BYTES];
    struct doc_at at;
    OWN(json) json_t *made = NULL;
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    struct serve_plan_ask ask = {.engine = call->server->engine,
                                 .db = db,
                                 .policy = policy,
                                 .scope = call->who.selector,
                                 .now_s = serve_call_now_s(call),
                                 .seed = seed,
                                 .devices_judge = serve_mandate_is_called_for(call->server)};
    if (policy == NULL)
        return err_set(e, &err_memory, "planning: out of memory");
    if (serve_call_members(call, known, &at, e) < 0 ||
        read_expires(&at, ask.now_s, &ask.expires_s, e) < 0 ||
        serve_plan_policy(&at, policy, e) < 0)
        return -1;
    random_fill(seed, sizeof seed);
    if (serve_plan_make(&ask, &made, e) < 0 || add_dry(db, call, &at, made, e) < 0)
        return -1;
    return serve_call_answer(call, 200, own_take(&made), e);
}
