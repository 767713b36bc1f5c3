// SPDX-License-Identifier: Apache-2.0
//
// People sign how far a rollout may go (bundle/mandate.h): `edgectl rollout sign PLAN` signs the mandate
// that a plan file holds, with one key or, one after the other, as many as the root's role mandate
// needs; `edgectl device pin` makes and signs one for a single device.
//
// A plan comes from the controller, which is what the mandate is to hold against. So what is signed
// is shown, and where a workspace has seen the repository's targets, bundles that they do not name are
// not signed for.
#pragma once

#include "ctl/cmd/document.h"
#include "ctl/cmd/nouns.h"
#include "ctl/net/client.h"
#include "keys/root.h"

#define CMD_MANDATE_WORKSPACE "EDGECTL_WORKSPACE"

extern const struct opt cmd_mandate_sign_options[];
int cmd_mandate_sign(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));

// The member "mandate" of a plan file, as approve sends it; *ret is the caller's. Kind config when
// there is none.
int cmd_mandate_read(const char *path, json_t **ret, struct err *e) __attribute__((nonnull));

// That the newest targets which the workspace saw name its bundles; nothing is known where it saw none.
// Kind not_published.
struct bundle_mandate_content;
int cmd_mandate_check_published(const char *workspace, const struct bundle_mandate_content *content,
                                struct err *e) __attribute__((nonnull));

// Whom a stage admits at most, for people.
#define CMD_MANDATE_WIDEST_BYTES 128
struct bundle_mandate_unverified;
const char *cmd_mandate_widest(const struct bundle_mandate_unverified *read, size_t stage,
                               char ret[static CMD_MANDATE_WIDEST_BYTES]) __attribute__((nonnull));

// ── In passing (mandate_here.c) ─────────────────────────────────────────────────────────────────

// The folder whose keys sign in passing: --workspace, else EDGECTL_WORKSPACE; NULL: none.
const char *cmd_mandate_workspace(const struct opt_args *args) __attribute__((nonnull));
// What is at hand to sign with.
struct cmd_mandate_hand {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *workspace;
    const char *keys_folder; // of the workspace, when --key and --signer are for something else
};
// Opens the root of the workspace, when it has the role; else CMD_MANDATE_NO_ROLE, also of a folder
// without a root: it was named for its token. *ret is the caller's.
enum { CMD_MANDATE_NO_ROLE = 1 };
int cmd_mandate_open_here(const char *workspace, struct keys_root **ret, struct err *e)
    __attribute__((nonnull));
// A mandate without signatures, of its signed part.
int cmd_mandate_make(const json_t *content, struct cmd_document *ret, struct err *e)
    __attribute__((nonnull));
// Signs it. Kind below_threshold: the keys at hand are too few.
int cmd_mandate_sign_here(const struct cmd_mandate_hand *hand, const struct keys_root *root,
                          struct cmd_document *io, struct err *e) __attribute__((nonnull));
// The envelope as JSON; *ret is the caller's.
int cmd_mandate_json(const struct cmd_document *document, json_t **ret, struct err *e)
    __attribute__((nonnull));

// Has the controller plan a policy, whose normal form is `document`, and signs the mandate of the plan
// when it lies within the policy; says so on standard error. *ret is what apply sends, the caller's.
// CMD_MANDATE_NO_ROLE when the workspace's root has no role for it. Kinds: outside_mandate (the plan
// goes beyond the policy), no_mandate (there is nothing to sign in it), not_published,
// below_threshold, those of the client.
struct rollout_policy;
int cmd_mandate_plan(const struct cmd_mandate_hand *hand, struct net_client *client,
                     const struct rollout_policy *policy, const json_t *document, json_t **ret,
                     struct err *e) __attribute__((nonnull));

// The signed part as a further mandate, of a higher version, in place: for so many of its stages (no
// fewer than before), which begin when they are signed for at the earliest, or with another end.
struct cmd_mandate_wider {
    size_t signed_stages;
    int64_t now_s;
    int64_t expires_s; // 0: as it is
};
int cmd_mandate_widen(const struct bundle_mandate_content *content,
                      const struct cmd_mandate_wider *how, json_t *io, struct err *e)
    __attribute__((nonnull));
// Signs what the controller has of a rollout through the stages that the next approval opens; says so on
// standard error. *ret is the envelope, the caller's. CMD_MANDATE_NO_ROLE when there is nothing of it to
// sign here. Kinds: those of bundle_mandate_verify, below_threshold, those of the client.
int cmd_mandate_further(const struct cmd_mandate_hand *hand, struct net_client *client,
                        const char *rollout, json_t **ret, struct err *e) __attribute__((nonnull));

// The mandate that pins a device to bundles of a release, signed with --key and --signer or the keys of
// the workspace; *ret is the caller's, NULL where the workspace's root has no role for it, or no
// workspace is given. Asks the controller for the release's bundles. Kinds: below_threshold (not
// enough keys are at hand), not_published, those of signers.
struct cmd_mandate_pin {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *device, *name, *version;
};
int cmd_mandate_pin(const struct cmd_mandate_pin *pin, json_t **ret, struct err *e)
    __attribute__((nonnull));
