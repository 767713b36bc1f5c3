// SPDX-License-Identifier: Apache-2.0
//
// `edgectl rollout`: what its files have in common. rollout.c has the verbs, rollout_plan.c those
// about plans, rollout_file.c reads policies and plans, rollout_show.c and rollout_deltas.c show a
// rollout, rollout_watch.c follows one to its end.
#pragma once

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "ctl/cmd/nouns.h"
#include "ctl/net/client.h"

// ── rollout_file.c ──────────────────────────────────────────────────────────────────────────────

#define CMD_ROLLOUT_PLAN_MAX_BYTES (8 * 1024 * 1024)

struct rollout_policy;
// Reads a policy, JSON or YAML, "-" standard input; *ret is its normal form, the caller's.
int cmd_rollout_file_policy(const char *path, struct rollout_policy *policy, json_t **ret,
                            struct err *e) __attribute__((nonnull));
// Reads a plan file, {"plan", "policy", "mandate"}; *ret is the caller's. Kind config when it is
// something else.
int cmd_rollout_file_plan(const char *path, struct rollout_policy *policy, json_t **ret,
                          struct err *e) __attribute__((nonnull));
// What apply sends of a plan file: no more than it takes. *ret is the caller's.
int cmd_rollout_file_body(const json_t *plan, const char *drift_pct, json_t **ret, struct err *e)
    __attribute__((nonnull(1, 3, 4)));

// ── rollout_plan.c ──────────────────────────────────────────────────────────────────────────────

extern const struct opt cmd_rollout_plan_options[];
int cmd_rollout_plan(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));
// A plan file in lines for people.
void cmd_rollout_plan_show(FILE *out, const json_t *file) __attribute__((nonnull));

// ── rollout_show.c ──────────────────────────────────────────────────────────────────────────────

// One stage in words: "running: 3 of 10 committed, 2 at work, 1 failed". Appends to *ret, escaped.
struct buf;
int cmd_rollout_show_stage(const json_t *stage, struct buf *ret, struct err *e)
    __attribute__((nonnull));
// What people have to withdraw of one that did not go through, as a sentence into ret, escaped; "" when
// there is nothing.
#define CMD_ROLLOUT_REMAINS_BYTES 800
const char *cmd_rollout_remains(const json_t *rollout, char ret[static CMD_ROLLOUT_REMAINS_BYTES])
    __attribute__((nonnull));
// The whole rollout as lines of at most `width` columns, with a bar for each stage. Returns how
// many lines were printed.
unsigned cmd_rollout_show(FILE *out, const json_t *rollout, unsigned width)
    __attribute__((nonnull));

// ── rollout_deltas.c ────────────────────────────────────────────────────────────────────────────

// What there is of deltas for its release, and whom they reach: a line for each. Nothing when the
// controller says nothing of them.
void cmd_rollout_show_deltas(FILE *out, const json_t *rollout) __attribute__((nonnull));

// ── rollout_watch.c ─────────────────────────────────────────────────────────────────────────────

extern const struct opt cmd_rollout_watch_options[];
int cmd_rollout_watch(void *context, const struct opt_args *args, struct err *e)
    __attribute__((nonnull));

#define CMD_ROLLOUT_TIMEOUT_MAX_S (366ULL * 86400)
#define CMD_ROLLOUT_PATIENCE_S    300 // without an answer from the controller, before giving up
#define CMD_ROLLOUT_POLL_S        5
#define CMD_ROLLOUT_REFRESH_MS    300  // least time between two looks
#define CMD_ROLLOUT_LINE_MS       5000 // between two lines of one stage that tell numbers only

struct cmd_rollout_follow {
    const struct cmd_context *context;
    struct net_client *client;
    const char *name;
    uint64_t timeout_s; // 0: none
    bool json;          // no lines for people
    bool each_change;   // with json: each change on one line
};
// Follows it, showing how it goes, until it ends. 0 when it finished; else a kind says how it
// ended: rollout_failed, rollout_stopped (paused), rollout_reverted, rollout_aborted,
// rollout_pending (the timeout passed), or why it could not be followed. *ret_last, NULL before, is
// the rollout as it was seen last, on failure too, if it was seen at all; the caller's.
int cmd_rollout_follow(const struct cmd_rollout_follow *how, json_t **ret_last, struct err *e)
    __attribute__((nonnull));
