// SPDX-License-Identifier: Apache-2.0
//
// What the files of the admin API share: who may see which device, the audit log, common bodies.
#pragma once

#include "ctl/serve/call.h"
#include "ctl/serve/engine.h"

// Whether the identity's selector holds for the device.
int serve_admin_sees(const struct serve_call *call, const struct store_device *device, bool *ret,
                     struct err *e) __attribute__((nonnull));
// The device named by the path. Kind not_found also when it is outside the selector: that it exists
// is nobody else's business.
int serve_admin_device(struct store_db *db, const struct serve_call *call, struct store_device *ret,
                       struct err *e) __attribute__((nonnull));
// The rollout named by the path; one of another scope is not found either.
int serve_admin_rollout(const struct serve_call *call, struct serve_engine_rollout **ret,
                        struct err *e) __attribute__((nonnull));
bool serve_admin_sees_rollout(const struct serve_call *call,
                              const struct serve_engine_rollout *rollout) __attribute__((nonnull));
// data: borrowed; NULL for none.
int serve_admin_audit(struct store_db *db, const struct serve_call *call, const char *action,
                      const char *subject, const json_t *data, struct err *e)
    __attribute__((nonnull(1, 2, 3, 4, 6)));
// A predicate from the query parameter `selector`, ret_text may be "". The caller frees it.
int serve_admin_selector(const struct serve_call *call, struct bundle_predicate **ret,
                         struct err *e) __attribute__((nonnull));
