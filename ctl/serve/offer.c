// SPDX-License-Identifier: Apache-2.0
//
// Deltas, budgets and windows of offers.
#include "ctl/serve/offer.h"

#include <stdio.h>
#include <string.h>

#include "ctl/serve/repository.h"
#include "ctl/store/delta.h"

struct search {
    const struct serve_server *server;
    const struct store_bundle *bundle;
    const json_t *components;
    struct bundle_instruction_delta *ret;
};

static int consider(void *context, const struct store_delta *row, struct err *e) {
    const struct search *s = context;
    struct keys_digest base;
    const char *url = s->server->options->public_url;
    if (keys_digest_parse(row->base, "a delta's base", &base, e) < 0)
        return -1;
    const struct serve_engine_bundle *from = serve_engine_bundle(s->server->engine, &base);
    if (from == NULL || !serve_engine_runs(from, s->components) ||
        (s->ret->size > 0 && s->ret->size <= row->size) ||
        !serve_repository_names_delta(s->server, s->bundle, row))
        return 0;
    s->ret->base = base;
    s->ret->size = row->size;
    (void)snprintf(s->ret->url, sizeof s->ret->url, "%s/bundles/%s.delta", url == NULL ? "" : url,
                   row->head);
    return 0;
}

static void fill_budget(const struct rollout_policy *policy,
                        struct bundle_instruction_budget *ret) {
    ret->has_bytes = policy->has_budget_bytes;
    ret->bytes = policy->budget_bytes;
    ret->has_metered_bytes = policy->has_budget_metered_bytes;
    ret->metered_bytes = policy->budget_metered_bytes;
}

int serve_offer_fill(const struct serve_fleet *fleet, const struct serve_server *server,
                     const json_t *components, struct bundle_instruction *io, struct err *e) {
    const struct serve_engine_bundle *bundle = serve_engine_bundle(fleet->engine, &io->bundle);
    const struct serve_engine_rollout *rollout = serve_engine_find(fleet->engine, io->rollout);
    if (rollout != NULL) {
        fill_budget(&rollout->row.policy, &io->budget);
        io->windows = rollout->row.policy.windows;
    }
    if (bundle == NULL || io->action != BUNDLE_ACTION_INSTALL)
        return 0;
    struct search search = {
        .server = server, .bundle = &bundle->row, .components = components, .ret = &io->delta};
    return store_delta_list(fleet->db, bundle->row.id, consider, &search, e);
}
