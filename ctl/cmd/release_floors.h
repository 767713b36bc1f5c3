// SPDX-License-Identifier: Apache-2.0
//
// What a rollout leaves behind when it has finished: the floors that its release declares, put into
// the targets. The controller cannot do this, since it never has the key of targets; who follows a
// rollout with `rollout apply --wait --raise-floors`, or comes later with `release floor
// --rollout`, does.
//
// Which bundles make up a release is what the signed targets name, and what a bundle declares is
// what its manifest says, verified by the root as a device would. The controller is asked for the
// state of the rollout and for bytes.
//
// A component's floor is the highest that any bundle of the release declares. One that lies above
// what another bundle of the same release has would make that bundle impossible on its own devices
// for ever, and is refused (below_floor) before anything begins.
#pragma once

#include "ctl/cmd/release.h"

#define CMD_RELEASE_FLOORS_BUNDLES_MAX 256 // of one release

struct cmd_release_floors {
    struct cmd_release_edit edit;
    struct net_client *client; // the controller of the rollout
    const char *name, *version;
    size_t bundles;  // read
    json_t *floors;  // COMPONENT → the highest that is declared
    json_t *weakest; // COMPONENT → {"security_version", "variant"} of the bundle with the lowest
};
#define CMD_RELEASE_FLOORS_NONE                                                                    \
    { .client = NULL }
// Kinds: those of cmd_release_open and cmd_remote_open.
int cmd_release_floors_open(struct cmd_release_floors *f, const struct cmd_context *context,
                            const struct opt_args *args, struct err *e) __attribute__((nonnull));
void cmd_release_floors_close(struct cmd_release_floors *f) __attribute__((nonnull));
#define own_drop_release_floors cmd_release_floors_close

// Whether raising the floors of a release can work, as far as that is known before its rollout:
// the targets name it, its bundles can be had and agree, who signs is at hand, and the token may
// publish. Name and version are borrowed until the end. Kinds: not_published, not_found,
// below_floor, permission, those of cmd_release_check, of manifests and of the source.
int cmd_release_floors_check(struct cmd_release_floors *f, const char *name, const char *version,
                             struct err *e) __attribute__((nonnull));
// Raises them: what became of it is said as by other changes to the targets. Kinds: those of
// cmd_release_put, not_published, not_found, below_floor, those of manifests.
int cmd_release_floors_raise(struct cmd_release_floors *f, const char *rollout, const char *name,
                             const char *version, struct err *e) __attribute__((nonnull));
// `release floor --rollout NAME`. Kind rollout_state when it has not finished.
int cmd_release_floors_of_rollout(const struct cmd_context *context, const struct opt_args *args,
                                  const char *rollout, struct err *e) __attribute__((nonnull));
