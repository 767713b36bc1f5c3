// SPDX-License-Identifier: Apache-2.0
//
// Who could not go back.
#include "ctl/serve/rollout_behind.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/store/behind.h"

static const char *const names[STORE_BEHIND_STATES] = {"failed", "told", "unheard"};
static const char *const texts[STORE_BEHIND_STATES] = {
    "it reported that it could not go back",
    "it was told to go back, and has said nothing of it since",
    "it took the release, and has not called since the rollout goes back",
};

struct page {
    struct store_db *db;
    json_t *devices;
    uint64_t left; // places; when it is 0 there is more
    char last[BUNDLE_DEVICE_ID_MAX + 1];
    bool more;
};

static int add(void *context, const struct store_behind *b, struct err *e) {
    struct page *p = context;
    if (p->left == 0) {
        p->more = true;
        return 1;
    }
    json_t *row =
        json_pack("{s:s, s:s, s:o, s:o, s:o}", "device", b->device, "state", names[b->state], "why",
                  serve_show_why(b->code, b->text[0] == '\0' ? texts[b->state] : b->text), "told",
                  serve_show_time(b->told_s), "seen", serve_show_time(b->seen_s));
    if (json_array_append_new(p->devices, row) < 0)
        return err_set(e, &err_memory, "listing devices: out of memory");
    p->left--;
    (void)snprintf(p->last, sizeof p->last, "%s", b->device);
    return 0;
}

static int list(const struct serve_engine_rollout *r, struct page *p, const char *after,
                uint64_t *ret_counts, struct err *e) {
    const struct rollout_policy *policy = &r->row.policy;
    enum rollout_state state = r->row.progress.state;
    const struct store_behind_of of = {.rollout = policy->name,
                                       .name = policy->release_name,
                                       .version = policy->release_version,
                                       .committed_stay =
                                           policy->revert_scope == ROLLOUT_REVERT_ACTIVATED};
    const struct store_behind_page page = {.after = after, .max = p->left + 1};
    if (state != ROLLOUT_STATE_REVERTING && state != ROLLOUT_STATE_REVERTED)
        return 0;
    if (store_behind_count(p->db, &of, ret_counts, e) < 0)
        return -1;
    return store_behind_list(p->db, &of, &page, add, p, e);
}

int serve_rollout_behind(struct store_db *db, struct serve_call *call, struct err *e) {
    struct serve_engine_rollout *r = NULL;
    const char *after = serve_call_query(call, "after");
    uint64_t limit = SERVE_ROLLOUT_BEHIND_DEFAULT, counts[STORE_BEHIND_STATES] = {0};
    OWN(json) json_t *devices = json_array();
    if (devices == NULL)
        return err_set(e, &err_memory, "listing devices: out of memory");
    if (serve_admin_rollout(call, &r, e) < 0 ||
        serve_call_query_u64(call, "limit", 1, SERVE_ROLLOUT_BEHIND_MAX, &limit, e) < 0)
        return -1;
    struct page page = {.db = db, .devices = devices, .left = limit};
    if (list(r, &page, after == NULL ? "" : after, counts, e) < 0)
        return -1;
    return serve_call_answer(
        call, 200,
        json_pack("{s:s, s:s, s:{s:I, s:I, s:I}, s:O, s:o}", "rollout", r->row.policy.name, "state",
                  rollout_advance_state_name(r->row.progress.state), "counts",
                  names[STORE_BEHIND_FAILED], (json_int_t)counts[STORE_BEHIND_FAILED],
                  names[STORE_BEHIND_TOLD], (json_int_t)counts[STORE_BEHIND_TOLD],
                  names[STORE_BEHIND_UNHEARD], (json_int_t)counts[STORE_BEHIND_UNHEARD], "devices",
                  devices, "next", page.more ? json_string(page.last) : json_null()),
        e);
}
