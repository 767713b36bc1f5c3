// SPDX-License-Identifier: Apache-2.0
//
// Why a rollout is where it is.
#include "ctl/serve/rollout_why.h"

#include <stdio.h>

#include "base/own.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/serve/show_evidence.h"
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

int serve_rollout_why(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_engine_rollout *r = NULL;
    OWN(json) json_t *verdicts = NULL;
    uint64_t held = 0;
    if (serve_admin_rollout(call, &r, e) < 0 ||
        store_device_count_held(db, r->row.policy.name, &held, e) < 0 ||
        store_verdict_list(db, r->row.policy.name, &verdicts, e) < 0)
        return -1;
    const struct rollout_progress *p = &r->row.progress;
    show_times(verdicts);
    return serve_call_answer(
        call, 200,
        json_pack("{s:s, s:s, s:o, s:o, s:O}", "rollout", r->row.policy.name, "state",
                  rollout_advance_state_name(p->state), "why",
                  serve_show_why(rollout_why_name(p->why.code), p->why.text), "holds",
                  serve_show_holds(r, held), "verdicts", verdicts),
        e);
}
