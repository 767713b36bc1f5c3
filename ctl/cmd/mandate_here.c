// SPDX-License-Identifier: Apache-2.0
//
// Mandates signed in passing, with the keys of a workspace that is at hand: what `rollout apply -f`,
// `rollout approve` and `device pin` do where devices install nothing that people did not sign for.
//
// Nobody reads what is signed here, and it comes from the controller, which it is to hold against. So
// it is held against the policy that somebody did read: release, selector, stages with their
// devices, shares and soaks, approvals, and when it ends. What the controller alone knows, how
// many devices there are and of which kind, is its word in any plan, and is said.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "bundle/predicate.h"
#include "ctl/cmd/mandate.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/quorum.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/rollout.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/rollout/batch.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/strata.h"
#include "keys/canon.h"
#include "keys/kind.h"

#define LASTS_MAX_S (31LL * 86400)
#define SHOWN_BYTES 160

const char *cmd_mandate_workspace(const struct opt_args *args) {
    const char *given = opt_get(args, "workspace"), *set = getenv(CMD_MANDATE_WORKSPACE);
    return given ? given : set && *set ? set : NULL;
}

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "signing a mandate: no memory");
}

// ── Signing ─────────────────────────────────────────────────────────────────────────────────────

int cmd_mandate_open_here(const char *workspace, struct keys_root **ret, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (cmd_workspace_root(workspace, &root, e) < 0)
        return -1;
    if (keys_root_role(root, KEYS_ROOT_ROLE_MANDATE)->n_keys == 0)
        return CMD_MANDATE_NO_ROLE;
    *ret = own_take(&root);
    return 0;
}

int cmd_mandate_sign_here(const struct cmd_mandate_hand *hand, const struct keys_root *root,
                          struct cmd_document *io, struct err *e) {
    OWN(keyring) struct cmd_keyring ring = CMD_KEYRING_NONE;
    struct cmd_passphrase passphrase;
    struct cmd_quorum quorum;
    size_t added = 0;
    char missing[SIGN_KEYFILE_NAME_BYTES * 4];
    if (cmd_keyring_open(hand->workspace, &ring, e) < 0 ||
        cmd_quorum_of_role(io, "the mandate", "the role mandate",
                           keys_root_role(root, KEYS_ROOT_ROLE_MANDATE), &quorum, e) < 0)
        return -1;
    cmd_passphrase_init(&passphrase, hand->args);
    const struct cmd_quorum_hand with = {.context = hand->context,
                                         .args = hand->args,
                                         .passphrase = &passphrase,
                                         .workspace = hand->workspace,
                                         .keys_folder = hand->keys_folder};
    int done = cmd_quorum_sign(&quorum, io, "the mandate", &with, &added, e);
    cmd_passphrase_clear(&passphrase);
    if (done < 0 || cmd_quorum_holds(&quorum))
        return done;
    return err_set(e, &err_below_threshold, "devices ask for a mandate, and it lacks %s",
                   cmd_quorum_missing(&quorum, &ring, missing, sizeof missing));
}

int cmd_mandate_make(const json_t *content, struct cmd_document *ret, struct err *e) {
    const struct keys_envelope_signature none = {.keyid = ""};
    OWN(buf) struct buf part, raw;
    buf_init(&part, BUNDLE_MANDATE_MAX_BYTES);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    if (keys_canon_format(content, &part, e) < 0 ||
        keys_envelope_format(buf_slice(&part), &none, 0, &raw, e) < 0)
        return -1;
    return cmd_document_parse_mandate(buf_slice(&raw), "the mandate", ret, e);
}

int cmd_mandate_json(const struct cmd_document *document, json_t **ret, struct err *e) {
    *ret = json_loadb((const char *)document->raw.data, document->raw.len, 0, NULL);
    return *ret ? 0 : no_memory(e);
}

// ── Against the policy ──────────────────────────────────────────────────────────────────────────

static int beyond(const char *what, struct err *e) {
    return err_set(e, &err_outside_mandate,
                   "the controller's plan goes beyond the policy (%s): nothing was signed", what);
}

// A token's scope narrows it: "(policy's) and (scope)", as the controller writes that. The scope is a
// predicate by itself, so that no bracket of it opens what stands before it.
static bool is_selector(const char *policy, const char *planned) {
    OWN(predicate) struct bundle_predicate *scope = NULL;
    char rest[BUNDLE_PREDICATE_MAX + 1];
    struct err e = ERR_NONE;
    size_t n = strlen(policy), all = strlen(planned);
    if (n == 0 || strcmp(policy, planned) == 0)
        return true;
    if (all < n + 9 || all - n - 9 >= sizeof rest || planned[0] != '(' ||
        strncmp(planned + 1, policy, n) != 0 || strncmp(planned + 1 + n, ") and (", 7) != 0 ||
        planned[all - 1] != ')')
        return false;
    (void)snprintf(rest, sizeof rest, "%.*s", (int)(all - n - 9), planned + n + 8);
    return bundle_predicate_parse(rest, &scope, &e) == 0;
}

static bool lists(const struct rollout_policy *policy, const struct rollout_stage_policy *stage,
                  const json_t *ids) {
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        bool found = false;
        for (size_t k = 0; k < stage->n_devices; k++)
            found = found || strcmp(policy->devices[stage->first_device + k], id) == 0;
        if (!found)
            return false;
    }
    return true;
}

// Whether it opens before what comes before it can be over.
static bool is_too_soon(const struct rollout_policy *policy, const struct bundle_mandate_content *c,
                        size_t i) {
    int64_t opens_s = bundle_mandate_step(&c->stages[i], 0).from_s;
    if (i == 0)
        return opens_s < policy->not_before_s;
    uint64_t wait_s = policy->stages[i - 1].soak_s;
    if (i == policy->n_stages && policy->gates.holdback_release_s > 0)
        wait_s = policy->gates.holdback_release_s;
    return opens_s - bundle_mandate_step(&c->stages[i - 1], 0).from_s < (int64_t)wait_s;
}

static int check_stages(const struct rollout_policy *policy, const struct bundle_mandate_content *c,
                        struct err *e) {
    static const struct rollout_stage_policy held_back = {.name = BUNDLE_MANDATE_HELD_BACK,
                                                          .by_count = true};
    struct rollout_stratum_plan most;
    rollout_strata_newcomer(policy, 0, &most);
    for (size_t i = 0; i < c->n_stages; i++) {
        const struct rollout_stage_policy *stage =
            i < policy->n_stages ? &policy->stages[i] : &held_back;
        const struct bundle_mandate_stage *planned = &c->stages[i];
        if (strcmp(planned->name, stage->name) != 0 ||
            (planned->devices != NULL) != stage->by_device ||
            (stage->by_device && !lists(policy, stage, planned->devices)))
            return beyond("its stages", e);
        if (!stage->by_count && !stage->by_device && c->newcomer_bounds[i] > most.bound[i])
            return beyond("the share of a stage", e);
        if (is_too_soon(policy, c, i))
            return beyond(i == 0 ? "not_before" : "the soak of a stage", e);
        // What is signed later goes by what is signed of it now (mandate_widen.c).
        if (planned->approve != stage->approve || (i > 0 && i < c->signed_stages && stage->approve))
            return beyond("a stage that waits for approval", e);
    }
    return 0;
}

static int check(const struct cmd_mandate_hand *hand, const struct rollout_policy *policy,
                 const struct bundle_mandate_content *c, struct err *e) {
    int64_t now_s = chrono_wall_ms(hand->context->clock) / 1000;
    if (strcmp(c->rollout, policy->name) != 0)
        return beyond("another rollout", e);
    if (strcmp(c->name, policy->release_name) != 0 ||
        strcmp(c->release, policy->release_version) != 0)
        return beyond("another release", e);
    if (!is_selector(policy->selector, c->selector))
        return beyond("its selector", e);
    bool holds_back = policy->gates.n > 0 && policy->gates.holdback_ppm > 0;
    if (c->n_stages != policy->n_stages + holds_back || (c->baseline && !policy->baseline))
        return beyond("its stages", e);
    if (holds_back && c->n_stages > 1 &&
        c->newcomer_bounds[c->n_stages - 2] > rollout_batch_holdback(policy))
        return beyond("its hold-back", e);
    if (c->header.expires_s > now_s + LASTS_MAX_S)
        return beyond("when it ends", e);
    if (check_stages(policy, c, e) < 0)
        return -1;
    return cmd_mandate_check_published(hand->workspace, c, e);
}

// ── Planned, signed and sent ────────────────────────────────────────────────────────────────────

static void tell(const struct bundle_mandate_content *c, const char *workspace,
                 const json_t *plan) {
    char at[CHRONO_TEXT_BYTES], name[SHOWN_BYTES];
    (void)fprintf(stderr,
                  "devices take no release that people did not sign for: planned for the %" PRId64
                  " devices that the controller knows, and signed with the mandate key of %s: "
                  "%s through stage %s, until %s\n",
                  (int64_t)cmd_print_integer(plan, "devices"), workspace,
                  c->signed_stages == c->n_stages ? "all of it," : "the part",
                  text_safe(c->stages[c->signed_stages - 1].name, name, sizeof name),
                  chrono_format(c->header.expires_s, at));
}

// Signs the mandate in a plan file.
static int sign_plan(const struct cmd_mandate_hand *hand, const struct rollout_policy *policy,
                     const struct keys_root *root, json_t *io_file, struct err *e) {
    OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
    OWN(mandate_unverified) struct bundle_mandate_unverified *read = NULL;
    json_t *envelope = NULL;
    const json_t *part = json_object_get(json_object_get(io_file, "mandate"), "signed");
    char why[SHOWN_BYTES];
    if (!json_is_object(part))
        return err_set(e, &err_no_mandate, "the plan cannot be signed: %s",
                       text_safe(cmd_print_string(io_file, "mandate_why"), why, sizeof why));
    if (cmd_mandate_make(part, &document, e) < 0 ||
        bundle_mandate_peek(buf_slice(&document.raw), &read, e) < 0)
        return -1;
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(read);
    if (check(hand, policy, c, e) < 0 || cmd_mandate_sign_here(hand, root, &document, e) < 0 ||
        cmd_mandate_json(&document, &envelope, e) < 0)
        return -1;
    if (json_object_set_new(io_file, "mandate", envelope) < 0)
        return no_memory(e);
    tell(c, hand->workspace, json_object_get(io_file, "plan"));
    return 0;
}

int cmd_mandate_plan(const struct cmd_mandate_hand *hand, struct net_client *client,
                     const struct rollout_policy *policy, const json_t *document, json_t **ret,
                     struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(json) json_t *file = NULL;
    OWN(json) json_t *body = json_pack("{s:O}", "policy", document);
    if (!body)
        return no_memory(e);
    int opened = cmd_mandate_open_here(hand->workspace, &root, e);
    if (opened != 0)
        return opened;
    if (net_client_post(client, "/api/v1/rollouts/plan", body, &file, e) < 0)
        return err_prefix(e, "planning the rollout %s", policy->name);
    // What is applied is what was read, whatever came back.
    if (json_object_set(file, "policy", (json_t *)(uintptr_t)document) < 0)
        return no_memory(e);
    if (sign_plan(hand, policy, root, file, e) < 0)
        return -1;
    return cmd_rollout_file_body(file, NULL, ret, e);
}
