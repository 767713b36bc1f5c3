// SPDX-License-Identifier: Apache-2.0
//
// Why a rollout is where it is.
#include "ctl/serve/rollout_why.h"
#include "ctl/rollout/decide.h"
#include "ctl/serve/mandate.h"

#include <stdio.h>

#include "base/own.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/serve/show_evidence.h"
#include "ctl/store/mandate.h"
#include "ctl/store/verdict.h"

// In the store a verdict has the second it was found; people read the time.
static void show_times(json_t *verdicts) {
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach (verdicts, i, one) {
        int64_t at_s = json_integer_value(json_object_get(one, "at_s"));
        (void)json_object_del(one, "at_s");
        (void)json_object_set_new(one, "at", serve_show_time(at_s));
    }
}

// What every device of it is told.
static int add_unsigned(struct store_db *db, struct serve_call *call,
                        const struct serve_engine_rollout *r, json_t *io, struct err *e) {
    struct store_mandate mandate;
    int found = store_mandate_of_rollout(db, r->row.policy.name, &mandate, e);
    if (found < 0)
        return -1;
    int64_t ends_s = serve_mandate_ends(call->server->engine, found, &mandate);
    if (ends_s == 0 || ends_s > serve_call_now_s(call) ||
        rollout_advance_ended(r->row.progress.state))
        return 0;
    bool missing = ends_s == ROLLOUT_MANDATE_MISSING;
    json_t *why = serve_show_why(
        rollout_why_name(missing ? ROLLOUT_WHY_no_mandate : ROLLOUT_WHY_mandate_expired),
        missing ? "nobody signed for it, and devices ask for that since it began: plan, sign and "
                  "apply it anew, under another name"
                : "what people signed for it has expired: sign its plan again and give it along "
                  "(edgectl rollout approve --mandate)");
    return json_array_append_new(io, why) < 0
               ? err_set(e, &err_memory, "saying what holds a rollout: out of memory")
               : 0;
}

int serve_rollout_why(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_engine_rollout *r = NULL;
    OWN(json) json_t *verdicts = NULL;
    uint64_t held = 0;
    if (serve_admin_rollout(call, &r, e) < 0 ||
        store_device_count_held(db, r->row.policy.name, &held, e) < 0 ||
        store_verdict_list(db, r->row.policy.name, &verdicts, e) < 0)
        return -1;
    const struct rollout_progress *p = &r->row.progress;
    OWN(json) json_t *holds = serve_show_holds(r, held);
    if (add_unsigned(db, call, r, holds, e) < 0)
        return -1;
    show_times(verdicts);
    return serve_call_answer(call, 200,
                             json_pack("{s:s, s:s, s:o, s:O, s:O}", "rollout", r->row.policy.name,
                                       "state", rollout_advance_state_name(p->state), "why",
                                       serve_show_why(rollout_why_name(p->why.code), p->why.text),
                                       "holds", holds, "verdicts", verdicts),
                             e);
}
