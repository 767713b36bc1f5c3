// SPDX-License-Identifier: Apache-2.0
//
// Mandates signed in passing, with the keys of a workspace that is at hand: what `rollout apply -f`,
// `rollout approve` and `device pin` do where devices install nothing that people did not sign for.
//
// Nobody reads what is signed here, and it comes from the controller, which it is to hold against. So
// it is held against the policy that somebody did read: release, selector, stages with their
// devices, shares and soaks, approvals, and when it ends. What the controller alone knows, how
// many devices there are and of which kind, is its word in any plan, and is said; so are the steps of a
// stage with batches, which follow from how many there are.
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
#include "ctl/cmd/rollout.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/rollout/batch.h"
#include "ctl/rollout/plan.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/strata.h"
#include "ctl/rollout/unit.h"
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
    struct err why = ERR_NONE;
    if (cmd_workspace_root(workspace, &root, &why) < 0) {
        if (err_is(&why, &err_wrong_workspace))
            return CMD_MANDATE_NO_ROLE;
        *e = why;
        return -1;
    }
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
    for (size_t i = 0; i < c->n_stages; i++) {
        const struct rollout_stage_policy *stage =
            i < policy->n_stages ? &policy->stages[i] : &held_back;
        const struct bundle_mandate_stage *planned = &c->stages[i];
        if (strcmp(planned->name, stage->name) != 0 ||
            (planned->devices != NULL) != stage->by_device ||
            (stage->by_device && !lists(policy, stage, planned->devices)))
            return beyond("its stages", e);
        if (is_too_soon(policy, c, i))
            return beyond(i == 0 ? "not_before" : "the soak of a stage", e);
        // What is signed later goes by what is signed of it now (mandate_widen.c).
        if (planned->approve != stage->approve || (i > 0 && i < c->signed_stages && stage->approve))
            return beyond("a stage that waits for approval", e);
    }
    return 0;
}

// What the plan says there is of each kind that devices can tell apart, in the plan's order.
struct kinds {
    size_t n;
    char *keys[BUNDLE_STRATA_MAX];   // owned
    size_t sizes[BUNDLE_STRATA_MAX]; // in what is drawn
    uint64_t devices, units;         // of all kinds
    struct rollout_stratum_plan most[BUNDLE_STRATA_MAX], newcomers;
};

static void clear_kinds(struct kinds *kinds) {
    for (size_t i = 0; i < kinds->n; i++)
        free(kinds->keys[i]);
}

static size_t find_kind(const struct kinds *kinds, const char *key) {
    size_t i = 0;
    while (i < kinds->n && strcmp(kinds->keys[i], key) != 0)
        i++;
    return i;
}

static int add_kind(struct kinds *io, const char *key, const struct rollout_plan_read_size *size,
                    struct err *e) {
    OWN(mem) char *known = rollout_strata_known(key);
    if (!known)
        return no_memory(e);
    size_t at = find_kind(io, known);
    if (at == io->n)
        io->keys[io->n++] = own_take(&known);
    io->sizes[at] += size->units;
    io->units += size->units;
    io->devices += size->devices;
    return 0;
}

static int count_kinds(const struct rollout_policy *policy, json_t *plan, struct kinds *ret,
                       struct err *e) {
    struct rollout_plan_read read;
    if (!json_is_object(plan))
        return beyond("it lacks the plan", e);
    if (rollout_plan_read(policy, plan, &read, e) < 0)
        return -1;
    for (size_t i = 0; i < read.n_strata; i++) {
        struct rollout_stratum_plan bounds;
        const char *key = NULL;
        struct rollout_plan_read_size size;
        bool pooled = false;
        if (rollout_plan_read_stratum(policy, &read, i, &key, &size, &pooled, &bounds, e) < 0)
            return -1;
        if (size.devices == 0 || size.units == 0 || size.units > size.devices)
            return beyond("a stratum without devices", e);
        if (add_kind(ret, key, &size, e) < 0)
            return -1;
    }
    if (ret->devices != read.devices || ret->units != read.units)
        return beyond("its devices are not those of its strata", e);
    rollout_strata_most(policy, ret->sizes, ret->n, ret->most);
    rollout_strata_newcomer(policy, read.units, &ret->newcomers);
    return 0;
}

static int check_bounds(const struct rollout_policy *policy, const struct bundle_mandate_content *c,
                        const uint64_t *bounds, const struct rollout_stratum_plan *most,
                        struct err *e) {
    uint64_t held = rollout_batch_holdback(policy);
    for (size_t i = 0; i < c->n_stages; i++) {
        size_t of = i < policy->n_stages ? i : policy->n_stages - 1; // the last one's, held back
        if (bounds[i] > most->bound[of])
            return beyond("the share of a stage", e);
        if (i < policy->n_stages && bounds[i] > held)
            return beyond("its hold-back", e);
    }
    return 0;
}

static int check_strata(const struct rollout_policy *policy,
                        const struct bundle_mandate_unverified *read, const struct kinds *kinds,
                        struct err *e) {
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(read);
    size_t n = 0;
    for (size_t i = 0; i < policy->n_stratify; i++) {
        const char *fact = policy->stratify[i];
        if (strncmp(fact, BUNDLE_MANDATE_LABEL, strlen(BUNDLE_MANDATE_LABEL)) == 0)
            continue;
        if (n == c->n_stratify || strcmp(c->stratify[n++], fact) != 0)
            return beyond("its strata", e);
    }
    if (n != c->n_stratify)
        return beyond("its strata", e);
    for (size_t i = 0; i < c->n_strata; i++) {
        struct bundle_mandate_stratum one;
        bundle_mandate_peek_stratum(read, i, &one);
        size_t at = find_kind(kinds, one.key);
        if (at == kinds->n)
            return beyond("a stratum without devices", e);
        if (check_bounds(policy, c, one.bounds, &kinds->most[at], e) < 0)
            return -1;
    }
    return check_bounds(policy, c, c->newcomer_bounds, &kinds->newcomers, e);
}

// What so many devices as it says can have been given. A larger share of few is theirs by chance.
static int check_shares(const struct rollout_policy *policy,
                        const struct bundle_mandate_unverified *read, json_t *plan, struct err *e) {
    OWN(mem) struct kinds *kinds = calloc(1, sizeof *kinds);
    if (!kinds)
        return no_memory(e);
    int done = count_kinds(policy, plan, kinds, e);
    if (done == 0)
        done = check_strata(policy, read, kinds, e);
    clear_kinds(kinds);
    return done;
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
    const char *site = rollout_unit_is_site(&policy->gates) ? policy->gates.site : "";
    if (strcmp(c->site, site) != 0)
        return beyond("what it draws", e);
    if (c->header.expires_s > now_s + LASTS_MAX_S)
        return beyond("when it ends", e);
    if (check_stages(policy, c, e) < 0)
        return -1;
    return cmd_mandate_check_published(hand->workspace, c, e);
}

// ── Planned, signed and sent ────────────────────────────────────────────────────────────────────

static void tell(const struct bundle_mandate_unverified *read, const char *workspace,
                 const json_t *plan) {
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(read);
    char at[CHRONO_TEXT_BYTES], name[SHOWN_BYTES], widest[CMD_MANDATE_WIDEST_BYTES];
    (void)fprintf(stderr,
                  "devices take no release that people did not sign for: planned for the %" PRId64
                  " devices that the controller knows, and signed with the mandate key of %s: "
                  "%s through stage %s, until %s; its first stage: %s\n",
                  (int64_t)cmd_print_integer(plan, "devices"), workspace,
                  c->signed_stages == c->n_stages ? "all of it," : "the part",
                  text_safe(c->stages[c->signed_stages - 1].name, name, sizeof name),
                  chrono_format(c->header.expires_s, at), cmd_mandate_widest(read, 0, widest));
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
    if (check(hand, policy, c, e) < 0 ||
        check_shares(policy, read, json_object_get(io_file, "plan"), e) < 0 ||
        cmd_mandate_sign_here(hand, root, &document, e) < 0 ||
        cmd_mandate_json(&document, &envelope, e) < 0)
        return -1;
    if (json_object_set_new(io_file, "mandate", envelope) < 0)
        return no_memory(e);
    tell(read, hand->workspace, json_object_get(io_file, "plan"));
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
