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

#include "ctl/cmd/nouns.h"
#include "keys/root.h"

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
