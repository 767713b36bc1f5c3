// SPDX-License-Identifier: Apache-2.0
//
// What the offer of the update under way said about a cheaper packing of it, and about the mandate; of
// that the last word before the swap may say more. Each is as long as a second URL: so it
// stands in no record and no memory, but in private/offer as it came, an envelope that is verified
// each time it is read. Without it, or when it says nothing of this update (any more), the bundle
// itself is taken, and there is no mandate.
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
    return offer->delta.size == 0 && offer->mandate.size == 0
               ? fs_remove(private_dir, OFFER_FILE, e)
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

// The offer of the update under way, the caller's; NULL when there is none that says anything of it.
static struct bundle_instruction *read_own(const struct agent_update *u) {
    const struct fsm_update *update = &update_engine_record(u)->update;
    struct err why = ERR_NONE;
    OWN(mem) struct bundle_instruction *offer = calloc(1, sizeof *offer);
    bool own = offer && read_offer(u->host.state, offer, &why) == 0 &&
               update->attempt == offer->attempt &&
               keys_digest_equal(&update->bundle, &offer->bundle) &&
               strcmp(update->rollout, offer->rollout) == 0;
    if (why.kind && !err_is(&why, &err_not_found))
        agent_log_line(AGENT_LOG_INFO, "what was offered beside the bundle is not used: %s",
                       why.text);
    return own ? own_take(&offer) : NULL;
}

bool update_hint_read(const struct agent_update *u, struct bundle_instruction_delta *ret) {
    const struct fsm_update *update = &update_engine_record(u)->update;
    if (update->local || update->no_delta)
        return false;
    OWN(mem) struct bundle_instruction *offer = read_own(u);
    if (!offer || offer->delta.size == 0)
        return false;
    *ret = offer->delta;
    return true;
}

bool update_hint_mandate(const struct agent_update *u, struct bundle_instruction_mandate *ret,
                         uint64_t *ret_stage) {
    OWN(mem) struct bundle_instruction *offer = read_own(u);
    if (!offer || offer->mandate.size == 0)
        return false;
    *ret = offer->mandate;
    *ret_stage = offer->stage;
    return true;
}
