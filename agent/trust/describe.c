// SPDX-License-Identifier: Apache-2.0
//
// What is trusted, for the status; see agent/trust.h.
#include "agent/trust.h"
#include "base/chrono.h"

static json_t *describe_time(int64_t seconds) {
    char text[CHRONO_TEXT_BYTES];
    return seconds > 0 ? json_string(chrono_format(seconds, text)) : json_null();
}

static json_t *describe_file(uint64_t version, int64_t expires_s) {
    if (version == 0)
        return json_null();
    return json_pack("{sI so}", "version", (json_int_t)version, "expires",
                     describe_time(expires_s));
}

static json_t *describe_root(const struct keys_root *root) {
    if (!root)
        return json_null();
    const struct keys_header *header = keys_root_header(root);
    return describe_file(header->version, header->expires_s);
}

json_t *agent_trust_describe(const struct agent_state *state) {
    const struct trust_store *store = &state->trust;
    int64_t now_s = agent_state_trusted_s(state);
    json_t *all =
        json_pack("{so so s{ss ss}}", "root", describe_root(state->root), "trusted_time",
                  describe_time(now_s), "why", "code", store->why.code, "text", store->why.text);
    for (size_t i = 0; all && i < TRUST_STORE_ROLES; i++)
        if (json_object_set_new(all, trust_store_names[i],
                                describe_file(store->files[i].version, store->files[i].expires_s)) <
            0) {
            json_decref(all);
            return NULL;
        }
    return all;
}
