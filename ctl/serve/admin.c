// SPDX-License-Identifier: Apache-2.0
//
// What the admin API's files share.
#include "ctl/serve/admin.h"

#include <string.h>

#include "ctl/kind.h"
#include "ctl/serve/server.h"
#include "ctl/store/audit.h"

int serve_admin_sees(const struct serve_call *call, const struct store_device *device, bool *ret,
                     struct err *e) {
    struct bundle_facts *facts = NULL;
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    if (call->who.predicate == NULL) {
        *ret = true;
        return 0;
    }
    if (serve_engine_facts(device, &facts, e) < 0)
        return -1;
    *ret = bundle_predicate_holds(call->who.predicate, facts, reason);
    bundle_facts_free(facts);
    return 0;
}

int serve_admin_device(struct store_db *db, const struct serve_call *call, struct store_device *ret,
                       struct err *e) {
    bool sees = false;
    int found = store_device_get(db, call->args[0], ret, e);
    if (found < 0)
        return -1;
    if (found == 0 && serve_admin_sees(call, ret, &sees, e) < 0) {
        store_device_clear(ret);
        return -1;
    }
    if (sees)
        return 0;
    if (found == 0)
        store_device_clear(ret);
    return err_set(e, &err_not_found, "there is no device %s", call->args[0]);
}

bool serve_admin_sees_rollout(const struct serve_call *call,
                              const struct serve_engine_rollout *rollout) {
    return call->who.selector[0] == '\0' || strcmp(call->who.selector, rollout->row.scope) == 0;
}

int serve_admin_rollout(const struct serve_call *call, struct serve_engine_rollout **ret,
                        struct err *e) {
    struct serve_engine_rollout *found = serve_engine_find(call->server->engine, call->args[0]);
    if (found == NULL || !serve_admin_sees_rollout(call, found))
        return err_set(e, &err_not_found, "there is no rollout %s", call->args[0]);
    *ret = found;
    return 0;
}

int serve_admin_audit(struct store_db *db, const struct serve_call *call, const char *action,
                      const char *subject, const json_t *data, struct err *e) {
    return store_audit_add(db, serve_call_now_s(call), call->who.name, action, subject, data, e);
}

int serve_admin_selector(const struct serve_call *call, struct bundle_predicate **ret,
                         struct err *e) {
    const char *text = serve_call_query(call, "selector");
    if (bundle_predicate_parse(text == NULL ? "" : text, ret, e) < 0)
        return err_prefix(e, "selector");
    return 0;
}
