// SPDX-License-Identifier: Apache-2.0
//
// What people signed for (bundle/mandate.h), on the device. The offer names a mandate by its digest; it
// is fetched with what the repository says, before the download, kept in private/mandate as it came,
// and verified each time it is read, by the root of now. So it is fetched once for a rollout, and a
// root that takes keys away takes what they signed along. It is looked at before the download and
// once more before the swap, by then maybe another one: the controller that hands it out is the one
// it is to hold against.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/log.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "bundle/message.h"
#include "keys/kind.h"

#define MANDATE_FILE "mandate"
#define SEEN_FILE    "mandates"
#define SEEN_MAX     64 // rollouts
#define SEEN_BYTES   16384

static const struct keys_role *role_of(const struct agent_state *state) {
    return keys_root_role(state->root, KEYS_ROOT_ROLE_MANDATE);
}

static bool is_called_for(const struct agent_state *state) {
    return role_of(state)->n_keys > 0;
}

// The one that was kept, as it came; buf empty when there is none, or it cannot be read.
static bool read_kept(const struct agent_state *state, struct buf *ret,
                      struct keys_digest *ret_id) {
    struct err why = ERR_NONE;
    buf_init(ret, BUNDLE_MANDATE_MAX_BYTES);
    if (fs_read_file(state->private_dir, MANDATE_FILE, BUNDLE_MANDATE_MAX_BYTES, ret, &why) < 0) {
        if (!err_is(&why, &err_not_found))
            agent_log_line(AGENT_LOG_WARNING, "the mandate that was kept: %s", why.text);
        return false;
    }
    keys_digest_of(ret->data, ret->len, ret_id);
    return true;
}

static bool is_held(const struct agent_state *state, const struct keys_digest *id) {
    OWN(buf) struct buf raw;
    struct keys_digest kept;
    return read_kept(state, &raw, &kept) && keys_digest_equal(&kept, id);
}

bool update_mandate_wanted(const struct agent_update *u, struct update_mandate_wanted *ret) {
    const struct agent_state *state = u->host.state;
    OWN(mem) struct bundle_instruction_mandate *named = calloc(1, sizeof *named);
    uint64_t stage;
    if (!named || !is_called_for(state) || !update_hint_mandate(u, named, &stage) ||
        is_held(state, &named->id))
        return false;
    // An address that is too long is none: what is missing is said then.
    int len = snprintf(ret->url, sizeof ret->url, "%s%s",
                       named->url[0] == '/' ? state->config->controller : "", named->url);
    ret->bytes = named->size;
    return len >= 0 && (size_t)len < sizeof ret->url;
}

// What was seen of rollouts: {ROLLOUT: [highest version, until when any of its mandates holds]}. What
// is damaged is forgotten, as nothing but this device writes it.
static int read_seen(const struct agent_state *state, json_t **ret, struct err *e) {
    static const struct doc_limits limits = {.bytes = SEEN_BYTES, .depth = 4, .values = 1024};
    struct err why = ERR_NONE;
    OWN(buf) struct buf text;
    buf_init(&text, SEEN_BYTES);
    if (fs_read_file(state->private_dir, SEEN_FILE, SEEN_BYTES, &text, &why) == 0 &&
        doc_parse(buf_slice(&text), SEEN_FILE, &limits, ret, &why) == 0)
        return 0;
    if (err_is(&why, &err_memory)) {
        *e = why;
        return -1;
    }
    if (!err_is(&why, &err_not_found))
        agent_log_line(AGENT_LOG_WARNING, "the mandates that were seen: %s", why.text);
    *ret = json_object();
    return *ret ? 0 : err_set(e, &err_memory, "remembering a mandate: out of memory");
}

static json_int_t at(const json_t *seen, const char *rollout, size_t n) {
    return json_integer_value(json_array_get(json_object_get(seen, rollout), n));
}

// Room for one more: those that have expired go, else the one that expires first.
static void evict(json_t *io, int64_t now_s) {
    const char *rollout, *first = NULL;
    json_t *entry;
    void *next;
    json_object_foreach_safe (io, next, rollout, entry) {
        if (at(io, rollout, 1) <= now_s)
            (void)json_object_del(io, rollout);
        else if (!first || at(io, rollout, 1) < at(io, first, 1))
            first = rollout;
    }
    if (json_object_size(io) < SEEN_MAX)
        return;
    agent_log_line(AGENT_LOG_WARNING,
                   "mandates of more than %d rollouts are in force: an older one of %s would be "
                   "taken again",
                   SEEN_MAX, first);
    (void)json_object_del(io, first);
}

// A controller cannot go back to what people signed before, whatever it handed out in between.
static int remember(const struct agent_state *state, const struct bundle_mandate_content *now,
                    struct err *e) {
    OWN(json) json_t *seen = NULL;
    if (read_seen(state, &seen, e) < 0)
        return -1;
    json_int_t version = (json_int_t)now->header.version, before = at(seen, now->rollout, 0);
    json_int_t until_s = at(seen, now->rollout, 1);
    if (version < before)
        return err_set(e, &err_outside_mandate,
                       "a mandate of version %lld was given after one of version %lld",
                       (long long)version, (long long)before);
    if (version == before && until_s >= now->header.expires_s)
        return 0;
    until_s = until_s > now->header.expires_s ? until_s : now->header.expires_s;
    if (!json_object_get(seen, now->rollout))
        evict(seen, agent_state_trusted_s(state));
    if (json_object_set_new(seen, now->rollout, json_pack("[I, I]", version, until_s)) < 0)
        return err_set(e, &err_memory, "remembering a mandate: out of memory");
    OWN(buf) struct buf text;
    buf_init(&text, SEEN_BYTES);
    if (bundle_message_dump(seen, &text, e) < 0)
        return -1;
    return fs_replace(state->private_dir, SEEN_FILE, text.data, text.len, 0600, e);
}

int update_mandate_take(struct agent_update *u, struct slice raw, struct err *e) {
    const struct agent_state *state = u->host.state;
    OWN(mem) struct bundle_instruction_mandate *named = calloc(1, sizeof *named);
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    struct keys_digest id;
    uint64_t stage;
    if (raw.len == 0)
        return 0;
    if (!named)
        return err_set(e, &err_memory, "taking over the mandate: out of memory");
    keys_digest_of(raw.data, raw.len, &id);
    if (!update_hint_mandate(u, named, &stage) || !keys_digest_equal(&named->id, &id))
        return err_set(e, &err_garbage,
                       "the mandate that was fetched is not the one that was named");
    if (bundle_mandate_verify(raw, role_of(state), &mandate, e) < 0 ||
        remember(state, bundle_mandate_content(mandate), e) < 0)
        return -1;
    return fs_replace(state->private_dir, MANDATE_FILE, raw.data, raw.len, 0600, e);
}

// What an install asks of a mandate, beside the device's own part.
struct asked {
    const char *rollout;
    uint64_t attempt, stage;
    const struct keys_digest *bundle;
};

static int judge(const struct agent_update *u, struct slice raw, const struct asked *asked,
                 struct err *e) {
    const struct agent_state *state = u->host.state;
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    OWN(facts) struct bundle_facts *facts = NULL;
    if (bundle_mandate_verify(raw, role_of(state), &mandate, e) < 0 ||
        bundle_facts_parse(u->host.facts, &facts, e) < 0)
        return -1;
    const struct bundle_mandate_ask ask = {.device = state->identity.device,
                                           .facts = facts,
                                           .rollout = asked->rollout,
                                           .attempt = asked->attempt,
                                           .stage = asked->stage,
                                           .bundle = asked->bundle,
                                           .trusted_s = agent_state_trusted_s(state),
                                           .wall_s = chrono_wall_ms(state->clock) / 1000};
    return bundle_mandate_admits(mandate, &ask, e);
}

static int none(struct err *e) {
    return err_set(e, &err_no_mandate,
                   "the offer names no mandate, and this device's root has a role for it");
}

int agent_update_check_mandate(struct agent_update *update, const struct bundle_instruction *offer,
                               struct err *e) {
    const struct agent_state *state = update->host.state;
    OWN(buf) struct buf raw = {.data = NULL};
    struct keys_digest id;
    if (!is_called_for(state))
        return 0;
    bool kept = read_kept(state, &raw, &id);
    if (offer->mandate.size == 0)
        return none(e);
    if (!kept || !keys_digest_equal(&id, &offer->mandate.id))
        return 0;
    const struct asked asked = {.rollout = offer->rollout,
                                .attempt = offer->attempt,
                                .stage = offer->stage,
                                .bundle = &offer->bundle};
    return judge(update, buf_slice(&raw), &asked, e);
}

int update_mandate_admits(const struct agent_update *u, struct err *e) {
    const struct agent_state *state = u->host.state;
    const struct fsm_update *update = &update_engine_record(u)->update;
    OWN(mem) struct bundle_instruction_mandate *named = NULL;
    OWN(buf) struct buf raw = {.data = NULL};
    struct keys_digest id;
    struct asked asked = {
        .rollout = update->rollout, .attempt = update->attempt, .bundle = &update->bundle};
    if (update->local || !is_called_for(state))
        return 0;
    named = calloc(1, sizeof *named);
    if (!named)
        return err_set(e, &err_memory, "looking at the mandate: out of memory");
    if (!update_hint_mandate(u, named, &asked.stage))
        return none(e);
    // A root that has the role since a moment ago: the next try fetches it.
    if (!read_kept(state, &raw, &id) || !keys_digest_equal(&id, &named->id))
        return err_set(e, &err_stale_repository, "the mandate of this offer is not here");
    return judge(u, buf_slice(&raw), &asked, e);
}
