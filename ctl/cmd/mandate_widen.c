// SPDX-License-Identifier: Apache-2.0
//
// A further mandate of the same rollout: for more of its stages, or with another end.
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/mandate.h"
#include "ctl/cmd/mandate.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "keys/canon.h"

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "widening a mandate: no memory");
}

static int set_time(json_t *io, const char *key, int64_t at_s, struct err *e) {
    char at[CHRONO_TEXT_BYTES];
    return json_object_set_new(io, key, json_string(chrono_format(at_s, at))) < 0 ? no_memory(e)
                                                                                  : 0;
}

// Whoever signs for a stage now does not mean that it began yesterday: it, and what comes behind it,
// begin at the time of signing at the earliest, as far apart as they were.
static int move_times(const struct bundle_mandate_content *c, int64_t now_s, json_t *io,
                      struct err *e) {
    size_t first = c->signed_stages;
    int64_t later_s =
        first < c->n_stages ? now_s - bundle_mandate_step(&c->stages[first], 0).from_s : 0;
    json_t *stages = json_object_get(io, "stages");
    if (later_s <= 0)
        return 0;
    for (size_t i = first; i < c->n_stages; i++)
        if (c->stages[i].not_before_s > 0 && set_time(json_array_get(stages, i), "not_before",
                                                      c->stages[i].not_before_s + later_s, e) < 0)
            return -1;
    return c->baseline_not_before_s > 0
               ? set_time(io, "baseline_not_before", c->baseline_not_before_s + later_s, e)
               : 0;
}

// What a finished rollout leaves behind is signed for with its last stage, when the plan has a time
// for it.
static bool leaves_baseline(const struct bundle_mandate_content *c, size_t signed_stages) {
    bool may = signed_stages == c->n_stages && c->baseline_not_before_s > 0;
    for (size_t i = 0; i < c->n_stages; i++)
        may = may && c->stages[i].devices == NULL;
    return may;
}

int cmd_mandate_widen(const struct bundle_mandate_content *c, const struct cmd_mandate_wider *how,
                      json_t *io, struct err *e) {
    size_t stages = how->signed_stages > c->signed_stages ? how->signed_stages : c->signed_stages;
    // Those held back are part of the last stage to whoever wrote the policy.
    if (stages + 1 == c->n_stages && strcmp(c->stages[stages].name, BUNDLE_MANDATE_HELD_BACK) == 0)
        stages++;
    if (stages > c->signed_stages && move_times(c, how->now_s, io, e) < 0)
        return -1;
    if (how->expires_s > 0 && set_time(io, "expires", how->expires_s, e) < 0)
        return -1;
    return json_object_set_new(io, "signed_stages", json_integer((json_int_t)stages)) < 0 ||
                   json_object_set_new(io, "baseline", json_boolean(leaves_baseline(c, stages))) <
                       0 ||
                   json_object_set_new(io, "version",
                                       json_integer((json_int_t)c->header.version + 1)) < 0
               ? no_memory(e)
               : 0;
}

// ── With an approval ────────────────────────────────────────────────────────────────────────────

// The mandate that the controller has, believed as far as people signed it. 1 when it has none.
static int fetch(struct net_client *client, const char *rollout, const struct keys_root *root,
                 struct cmd_document *ret, struct bundle_mandate **ret_read, struct err *e) {
    OWN(json) json_t *shown = NULL;
    OWN(json) json_t *envelope = NULL;
    OWN(buf) struct buf path, at, raw;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    buf_init(&at, CMD_REMOTE_PATH_MAX);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    if (cmd_remote_path(&path, e, "rollouts/%", rollout) < 0 ||
        net_client_get(client, buf_text(&path), &shown, e) < 0)
        return -1;
    const char *id = cmd_print_string(json_object_get(shown, "mandate"), "id");
    if (!*id)
        return 1;
    if (buf_add_format(&at, e, "/mandates/%.64s.json", id) < 0 ||
        net_client_get(client, buf_text(&at), &envelope, e) < 0 ||
        keys_canon_format(envelope, &raw, e) < 0 ||
        bundle_mandate_verify(buf_slice(&raw), keys_root_role(root, KEYS_ROOT_ROLE_MANDATE),
                              ret_read, e) < 0)
        return -1;
    return cmd_document_parse_mandate(buf_slice(&raw), "the mandate", ret, e);
}

// The next stage, and those behind it that wait for nobody: people signed which those are.
static size_t next_stages(const struct bundle_mandate_content *c) {
    size_t n = c->signed_stages + 1;
    while (n < c->n_stages && !c->stages[n].approve)
        n++;
    return n < c->n_stages ? n : c->n_stages;
}

int cmd_mandate_further(const struct cmd_mandate_hand *hand, struct net_client *client,
                        const char *rollout, json_t **ret, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(document) struct cmd_document is = CMD_DOCUMENT_NONE;
    OWN(document) struct cmd_document wider = CMD_DOCUMENT_NONE;
    OWN(mandate) struct bundle_mandate *read = NULL;
    int opened = cmd_mandate_open_here(hand->workspace, &root, e);
    if (opened == 0)
        opened = fetch(client, rollout, root, &is, &read, e);
    if (opened != 0)
        return opened < 0 ? err_prefix(e, "the mandate of %.80s", rollout) : CMD_MANDATE_NO_ROLE;
    const struct bundle_mandate_content *c = bundle_mandate_content(read);
    const struct cmd_mandate_wider how = {.signed_stages = next_stages(c),
                                          .now_s = chrono_wall_ms(hand->context->clock) / 1000};
    if (strcmp(c->rollout, rollout) != 0 || c->signed_stages == c->n_stages)
        return CMD_MANDATE_NO_ROLE;
    if (cmd_mandate_widen(c, &how, is.content, e) < 0 ||
        cmd_mandate_make(is.content, &wider, e) < 0 ||
        cmd_mandate_sign_here(hand, root, &wider, e) < 0 || cmd_mandate_json(&wider, ret, e) < 0)
        return -1;
    char name[80];
    (void)fprintf(stderr, "signed through stage %s with the mandate key of %s\n",
                  text_safe(c->stages[how.signed_stages - 1].name, name, sizeof name),
                  hand->workspace);
    return 0;
}
