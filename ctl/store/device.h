// SPDX-License-Identifier: Apache-2.0
//
// Devices: who they are, what they said last, what they were told.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bundle/checkin.h"
#include "ctl/rollout/gaps.h"
#include "ctl/rollout/task.h"
#include "ctl/store/db.h"
#include "ctl/store/token.h"

enum store_device_state {
    STORE_DEVICE_PENDING,
    STORE_DEVICE_ACCEPTED,
    STORE_DEVICE_REJECTED,
    STORE_DEVICE_RETIRED,
    STORE_DEVICE_REPLACING, // a new key may take over this id, with the right token
    STORE_DEVICE_STATES
};

// The update the device was last told about, in a rollout ("" without one).
struct store_device_task {
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt;
    enum rollout_task state; // NONE: nothing
    uint64_t stage;
    uint64_t stratum;
    int64_t since_s;
    struct keys_digest bundle;
    char code[ERR_NAME_BYTES]; // what a failure was reported with; "" unknown, or none
};

struct store_device {
    char id[BUNDLE_DEVICE_ID_MAX + 1];
    enum store_device_state state;
    uint8_t key[KEYS_ED25519_PUBLIC_BYTES];
    int64_t created_s;
    int64_t seen_s;                   // 0 never
    uint64_t token_epoch;             // tokens of earlier epochs are void
    uint64_t sequence;                // of the last instruction
    char token[STORE_TOKEN_ID_BYTES]; // id of the token it enrolled with; "" without one
    char nonce[BUNDLE_NONCE_HEX];
    char nonce_before[BUNDLE_NONCE_HEX];
    int64_t clone_s;          // since when two seem to share the identity; 0 never
    uint64_t report_acked;    // every report up to this id is here
    struct rollout_gaps gaps; // between its check-ins
    bool held;
    int64_t held_s;                     // since when, when it is held
    char pin_name[BUNDLE_NAME_MAX + 1]; // "" not pinned
    char pin_version[BUNDLE_RELEASE_MAX + 1];
    uint64_t direct_attempt; // of offers without a rollout, from 1
    struct store_device_task task;
    char why_code[ERR_NAME_BYTES]; // why the controller said what it said last
    char why_text[BUNDLE_REPORT_TEXT_MAX + 1];
    json_t *labels; // owned object of strings
    json_t *
        said; // owned object: agent, state, generation, components, why, progress, metrics, dropped
    json_t *facts; // owned object
    json_t
        *spent; // owned object: what the last update cost, as ctl/serve/spent.h has it; NULL none
    char facts_digest[KEYS_DIGEST_HEX]; // "" before any were sent
};

// Frees what it owns; may be called on a zeroed struct.
void store_device_clear(struct store_device *device) __attribute__((nonnull));
#define own_drop_store_device store_device_clear

// STORE_ABSENT when there is none.
int store_device_get(struct store_db *db, const char *id, struct store_device *ret, struct err *e)
    __attribute__((nonnull));
// Adds it; kind exists.
int store_device_add(struct store_db *db, const struct store_device *device, struct err *e)
    __attribute__((nonnull));
// Writes all of it but facts and labels, which are large and seldom change.
int store_device_put(struct store_db *db, const struct store_device *device, struct err *e)
    __attribute__((nonnull));
int store_device_put_facts(struct store_db *db, const struct store_device *device, struct err *e)
    __attribute__((nonnull));
// Forgets the device, its reports and what it counts as.
int store_device_remove(struct store_db *db, const char *id, struct err *e)
    __attribute__((nonnull));

// Visits devices by id, after `after` ("" from the start); visit < 0 fails, > 0 ends early. visit
// must not ask for devices itself.
typedef int (*store_device_visit)(void *context, const struct store_device *device, struct err *e);
int store_device_list(struct store_db *db, const char *after, store_device_visit visit,
                      void *context, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
// Those at work on the rollout, as far as `task` (offered, staged, activated), that were last seen
// before `before_s`, longest silent first, at most `max`.
struct store_device_silence {
    const char *rollout; // "" an offer without one
    enum rollout_task task;
    int64_t before_s;
};
int store_device_silent(struct store_db *db, const struct store_device_silence *silence,
                        uint64_t max, store_device_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 4, 6)));
// Those at work on the rollout that are as far as they were before `before_s`, longest first, at most
// `max`.
int store_device_stuck(struct store_db *db, const char *rollout, int64_t before_s, uint64_t max,
                       store_device_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 5, 7)));
// Those that an operator holds since before `before_s` and that took the rollout's offer and did
// not activate it (offered, staged): longest held first, at most `max`.
int store_device_held(struct store_db *db, const char *rollout, int64_t before_s, uint64_t max,
                      store_device_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 5, 7)));
// How many there are of them, whenever they were held.
int store_device_count_held(struct store_db *db, const char *rollout, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// The clock was set back: what devices were heard with, or began, or were held, after now_s was at
// now_s. Walks the fleet.
int store_device_set_back(struct store_db *db, int64_t now_s, struct err *e)
    __attribute__((nonnull));
// Accepted devices whose task is the rollout's and which may hold its release (rollout_task_took).
int store_device_took(struct store_db *db, const char *rollout, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
int store_device_count(struct store_db *db, enum store_device_state state, uint64_t *ret,
                       struct err *e) __attribute__((nonnull));

// "pending", …; static.
const char *store_device_state_name(enum store_device_state state);
