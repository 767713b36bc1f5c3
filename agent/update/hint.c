// SPDX-License-Identifier: Apache-2.0
//
// What the offer of the update under way said about a cheaper packing of it. It is a hint, and as long as a second URL: so it
// stands in no record and no memory, but in private/offer as it came, an envelope that is verified
// each time it is read. Without it, or when it says nothing of this update (any more), the bundle
// itself is taken.
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/instruction.h"

#define OFFER_FILE "offer"

int agent_update_hint(int private_dir, struct slice raw, const struct bundle_instruction *offer,
                      struct err *e) {
    return offer->delta.size == 0 ? fs_remove(private_dir, OFFER_FILE, e)
                                  : fs_replace(private_dir, OFFER_FILE, raw.data, raw.len, 0600, e);
}

// Of this update, by an instruction that was accepted once: neither its sequence nor its date counts.
static int read_offer(const struct agent_state *state, struct bundle_instruction *ret,
                      struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, BUNDLE_INSTRUCTION_MAX_BYTES);
    if (fs_read_file(state->private_dir, OFFER_FILE, BUNDLE_INSTRUCTION_MAX_BYTES, &raw, e) < 0)
        return -1;
    return bundle_instruction_verify(buf_slice(&raw),
                                     keys_root_role(state->root, KEYS_ROOT_ROLE_DIRECTOR),
                                     state->identity.device, 0, 0, ret, e);
}

bool update_hint_read(const struct agent_update *u, struct bundle_instruction_delta *ret) {
    const struct fsm_update *update = &update_engine_record(u)->update;
    struct err why = ERR_NONE;
    if (update->local || update->no_delta)
        return false;
    struct bundle_instruction *offer = calloc(1, sizeof *offer);
    bool read = offer && read_offer(u->host.state, offer, &why) == 0;
    bool there = read && offer->delta.size > 0 && update->attempt == offer->attempt &&
                 keys_digest_equal(&update->bundle, &offer->bundle) &&
                 strcmp(update->rollout, offer->rollout) == 0;
    if (there)
        *ret = offer->delta;
    if (why.kind && !err_is(&why, &err_not_found))
        agent_log_line(AGENT_LOG_INFO, "what was offered beside the bundle is not used: %s",
                       why.text);
    free(offer);
    return there;
}
