// SPDX-License-Identifier: Apache-2.0
//
// Events and the audit log of the admin API.
#include "ctl/serve/watch.h"

#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"
#include "ctl/serve/show.h"
#include "ctl/store/audit.h"

// ── Events ──

struct news {
    struct store_db *db;
    struct serve_call *call;
    uint64_t limit, next;
    json_t *events;
};

// A limited identity sees what concerns its devices and its rollouts.
static int concerns(struct news *news, const struct store_event *event, bool *ret, struct err *e) {
    struct store_device device;
    *ret = news->call->who.selector[0] == '\0';
    if (*ret)
        return 0;
    if (strncmp(event->kind, "device_", 7) != 0) {
        struct serve_engine_rollout *r =
            serve_engine_find(news->call->server->engine, event->rollout);
        *ret = r != NULL && serve_admin_sees_rollout(news->call, r);
        return 0;
    }
    int found = store_device_get(news->db, event->subject, &device, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    int done = serve_admin_sees(news->call, &device, ret, e);
    store_device_clear(&device);
    return done;
}

static int visit(void *context, const struct store_event *event, struct err *e) {
    struct news *news = context;
    bool shown = false;
    if (concerns(news, event, &shown, e) < 0)
        return -1;
    news->next = event->id;
    if (shown && json_array_append_new(news->events, serve_show_event(event)) < 0)
        return err_set(e, &err_memory, "listing events: out of memory");
    return json_array_size(news->events) >= news->limit ? 1 : 0;
}

int serve_watch_events(struct store_db *db, struct serve_call *call, struct err *e) {
    struct news news = {.db = db, .call = call, .limit = 100};
    uint64_t wait_s = 0, after = 0;
    if (serve_call_query_u64(call, "limit", 1, 1000, &news.limit, e) < 0 ||
        serve_call_query_u64(call, "wait_s", 0, 30, &wait_s, e) < 0 ||
        serve_call_query_u64(call, "after", 0, INT64_MAX, &after, e) < 0)
        return -1;
    if (serve_call_query(call, "after") == NULL && store_event_last(db, &after, e) < 0)
        return -1;
    OWN(json) json_t *events = json_array();
    news.events = events;
    news.next = after;
    if (store_event_list(db, after, visit, &news, e) < 0)
        return -1;
    if (json_array_size(events) == 0 && wait_s > 0 && !call->waited &&
        serve_call_query(call, "after") != NULL) {
        if (call->wait_until_ms == 0)
            call->wait_until_ms = chrono_boot_ms(call->server->clock) + (int64_t)wait_s * 1000;
        return SERVE_ROUTE_WAIT;
    }
    return serve_call_answer(
        call, 200, json_pack("{s:O, s:I}", "events", events, "next", (json_int_t)news.next), e);
}

// ── Audit ──

int serve_watch_audit(struct store_db *db, struct serve_call *call, struct err *e) {
    uint64_t after = 0, limit = 100, next = 0;
    json_t *rows = NULL;
    if (serve_call_query_u64(call, "after", 0, INT64_MAX, &after, e) < 0 ||
        serve_call_query_u64(call, "limit", 1, 1000, &limit, e) < 0 ||
        store_audit_list(db, after, limit, &rows, &next, e) < 0)
        return -1;
    return serve_call_answer(call, 200,
                             json_pack("{s:o, s:I}", "rows", rows, "next", (json_int_t)next), e);
}

int serve_watch_verify_audit(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_audit_state state;
    struct err found = ERR_NONE;
    char hex[KEYS_DIGEST_HEX];
    int done = store_audit_verify(db, &state, &found);
    if (done < 0 && !err_is(&found, &err_audit_broken)) {
        *e = found;
        return -1;
    }
    return serve_call_answer(call, 200,
                             json_pack("{s:I, s:b, s:s, s:s}", "rows", (json_int_t)state.rows,
                                       "holds", (int)(done == 0), "head",
                                       keys_digest_hex(&state.head, hex), "text",
                                       done == 0 ? "the chain holds" : found.text),
                             e);
}
