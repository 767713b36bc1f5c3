// SPDX-License-Identifier: Apache-2.0
//
// What the judge (agent/job.h) found out, as JSON in a memfd. It is written whether the judge held
// everything or not: what it accepted before it refused something is progress all the same.
//
//   {"delta":TARGET|null,"floors":{COMPONENT:N,…}|null,
//    "snapshot":ROLE|null,"target":TARGET|null,"targets":ROLE|null,"timestamp":ROLE|null,
//    "steps":[STEP,…]}
//
//   ROLE    {"expires":SECONDS,"issued":SECONDS,"version":N}
//           trusted now, with what was accepted
//   TARGET  {"blake2b-256":HEX,"components":[NAME,…]|null,"executable":bool,"length":N}
//           the wanted path as the targets name it, and what all delegations on the way allow.
//           Of the delta digest and length count alone: they are of its head's canonical signed
//           part, and permit to decode it, not what may be installed
//   STEP    {"blake2b-256":HEX,"bytes":N,"from":FILE,"to":FILE}
//           accepted: `from` is the name below private/incoming, `to` the one below private/tuf
//           {"from":"","to":FILE}
//           to be removed there
//
// Steps are in the order in which the files were accepted, and are carried out in it. The agent
// reads this as it reads anything from a worker: bounded, strictly, believing as little as it can.
// What a step names is hashed before it is taken over; roots are verified once more, by the agent;
// a wrong verdict can name a bundle that the targets do not, and that bundle still needs its own
// signature.
#pragma once

#include "agent/trust/store.h"
#include "bundle/limits.h"
#include "keys/digest.h"

#define TRUST_VERDICT_MAX_BYTES (256 * 1024)
// The most that one refresh accepts (keys/tuf/client.h): 256 roots; timestamp and snapshot,
// forgotten once however many of the roots take their keys away; those two and the targets; 32
// delegated roles.
#define TRUST_VERDICT_STEPS_MAX      (256 + 2 + 3 + 32)
#define TRUST_VERDICT_FLOORS_MAX     1024
#define TRUST_VERDICT_COMPONENTS_MAX 1024
#define TRUST_VERDICT_FILE_MAX       255 // bytes of a file's name

struct trust_verdict_role {
    bool known;
    uint64_t version; // 1…
    int64_t issued_s, expires_s;
};

struct trust_verdict_step {
    const char *to;   // borrowed
    const char *from; // "": to be removed
    uint64_t bytes;
    struct keys_digest digest;
};

// The bundle that an update may bring, or the delta that it may be brought by.
struct trust_verdict_target {
    struct keys_digest id;
    uint64_t length;          // of the canonical signed part of its manifest, or head
    const json_t *components; // array of names; NULL any. Borrowed from the verdict
    bool executable;
};

struct trust_verdict {
    json_t *document; // owned
    struct trust_verdict_role roles[TRUST_STORE_ROLES];
    const json_t *floors; // object COMPONENT → integer; NULL none. Borrowed
    bool found;
    struct trust_verdict_target target;
    bool found_delta;
    struct trust_verdict_target delta;
    size_t n_steps;
    const json_t *steps; // borrowed
};

// Kind worker_failed for whatever is not as above; *ret is the caller's to clear.
int trust_verdict_parse(struct slice text, struct trust_verdict *ret, struct err *e)
    __attribute__((nonnull));
void trust_verdict_clear(struct trust_verdict *verdict) __attribute__((nonnull));
#define own_drop_verdict trust_verdict_clear
// The n-th step; its form was checked.
void trust_verdict_step(const struct trust_verdict *verdict, size_t n,
                        struct trust_verdict_step *ret) __attribute__((nonnull));
// Whether a name can be that of a metadata file: A–Z a–z 0–9 _ . - ~ %, not beginning with '.',
// ending in ".json", at most TRUST_VERDICT_FILE_MAX bytes.
bool trust_verdict_is_file(const char *name) __attribute__((nonnull));
