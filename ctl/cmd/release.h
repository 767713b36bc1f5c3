// SPDX-License-Identifier: Apache-2.0
//
// `edgectl release`: changes to targets, whatever they are, go one way. The current targets are
// refreshed and verified, changed, signed with what is at hand, and published once the threshold
// holds; before that they wait in DIR/pending for the signatures of others. When somebody else
// published in between, the change is made again on top of theirs.
#pragma once

#include "ctl/cmd/nouns.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/source.h"

#define CMD_RELEASE_TRIES 8 // times that a change is made anew because others were faster

#define CMD_RELEASE_EDIT_OPTIONS                                                                   \
    CMD_SOURCE_OPTIONS, CMD_SIGNERS_OPTIONS, CMD_PASSPHRASE_OPTION, CMD_RELEASE_DATES_OPTIONS
#define CMD_RELEASE_DATES_OPTIONS                                                                  \
    {.name = "issued",                                                                             \
     .value = "TIME",                                                                              \
     .help = "Time of issue (else SOURCE_DATE_EPOCH, else now)"},                                  \
    {                                                                                              \
        .name = "expires", .value = "TIME",                                                        \
        .help = "When the targets expire: a time, or a duration (default 365d)"                    \
    }
#define CMD_RELEASE_ROLE_OPTION                                                                    \
    { .name = "role", .value = "NAME", .help = "Change the targets of this delegated role" }

struct cmd_release_attempt;
struct cmd_release_edit {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *workspace;
    const char *role;       // "targets", or a delegated role
    const char *key_option, *keys_folder; // as of cmd_quorum_hand
    struct cmd_source *source;
    json_t *said;    // members that --json shows beside the others, or NULL
    json_t **answer; // where the document of --json goes in place of standard output, or NULL
    // While targets are changed:
    json_t *content; // what to change (ctl/repo/targets.h); borrowed from the attempt
    bool changed;    // to be set by who changed it: nothing new is made otherwise
    struct cmd_release_attempt *attempt;
    int lost;  // attempts
    bool sent; // a document went to the repository, which did not say that it has another one:
               // after a failure it may be in force
};

// Opens workspace, role and source from the options. Kind usage.
int cmd_release_open(struct cmd_release_edit *edit, const struct cmd_context *context,
                     const struct opt_args *args, struct err *e) __attribute__((nonnull));
void cmd_release_close(struct cmd_release_edit *edit) __attribute__((nonnull));
#define own_drop_release_edit cmd_release_close
// Whether there is a role, and who signs for it is at hand and permitted: their keys are opened,
// nothing is signed. Kinds: not_found, usage (nobody to sign), permission, those of signers.
int cmd_release_check(struct cmd_release_edit *edit, struct err *e) __attribute__((nonnull));

// Changing targets, while others may do the same:
//
//     int r = cmd_release_begin(&edit, e);
//     while (r == CMD_RELEASE_CHANGE) {
//         …change edit.content, set edit.changed; on failure return -1…
//         r = cmd_release_put(&edit, e);
//     }
//     return r;
//
// begin takes what is current, or what waits for signatures; put signs, publishes, and says what
// became of it. CMD_RELEASE_CHANGE from put: others were faster, and the change is to be made again
// on top of theirs. Kinds: pending (signatures of others are missing; the document waits in
// DIR/pending), conflict, those of source and signers.
enum { CMD_RELEASE_CHANGE = 1 };
int cmd_release_begin(struct cmd_release_edit *edit, struct err *e) __attribute__((nonnull));
int cmd_release_put(struct cmd_release_edit *edit, struct err *e) __attribute__((nonnull));
// Prints the document of --json, or hands it out (edit->answer). Borrowed.
void cmd_release_say(const struct cmd_release_edit *edit, json_t *said) __attribute__((nonnull));
// Publishes a document that has all signatures.
int cmd_release_finish(struct cmd_release_edit *edit, const char *path, struct err *e)
    __attribute__((nonnull));

// ctl/cmd/release_publish.c.
extern const struct opt cmd_release_publish_options[];
int cmd_release_publish(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
// ctl/cmd/release_targets.c: floor, withdraw, delegate, undelegate, renew.
extern const struct opt cmd_release_edit_options[], cmd_release_top_options[],
    cmd_release_floor_options[], cmd_release_renew_options[], cmd_release_delegate_options[];
int cmd_release_floor(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_release_withdraw(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_release_delegate(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_release_undelegate(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
int cmd_release_renew(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
