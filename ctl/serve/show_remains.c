// SPDX-License-Identifier: Apache-2.0
//
// What is left to withdraw.
#include "ctl/serve/show_remains.h"

#include <string.h>

#include "ctl/serve/repository.h"
#include "ctl/serve/show.h"
#include "ctl/store/mandate.h"

static bool did_not_go_through(enum rollout_state state) {
    return state == ROLLOUT_STATE_FAILED || state == ROLLOUT_STATE_REVERTING ||
           state == ROLLOUT_STATE_REVERTED || state == ROLLOUT_STATE_ABORTED;
}

static bool is_named(const struct serve_server *server, const struct rollout_policy *policy) {
    const struct serve_engine *engine = server->engine;
    for (size_t i = 0; i < engine->n_bundles; i++) {
        const struct store_bundle *row = &engine->bundles[i].row;
        if (strcmp(row->name, policy->release_name) == 0 &&
            strcmp(row->version, policy->release_version) == 0 &&
            serve_repository_names(server, row, &engine->bundles[i].id))
            return true;
    }
    return false;
}

int serve_show_remains(struct store_db *db, const struct serve_server *server,
                       const struct serve_engine_rollout *r, int64_t now_s, json_t *io,
                       struct err *e) {
    struct store_mandate mandate = {.expires_s = 0};
    json_t *remains = json_null();
    if (did_not_go_through(r->row.progress.state)) {
        if (store_mandate_of_rollout(db, r->row.policy.name, &mandate, e) < 0)
            return -1;
        remains =
            json_pack("{s:b, s:o}", "targets", (int)is_named(server, &r->row.policy), "mandate",
                      serve_show_time(mandate.expires_s > now_s ? mandate.expires_s : 0));
    }
    return json_object_set_new(io, "remains", remains) == 0
               ? 0
               : err_set(e, &err_memory, "showing a rollout: out of memory");
}
