// SPDX-License-Identifier: Apache-2.0
//
// The messages between a device and its controller, JSON over HTTP(S). One check-in is one request:
// report and answer. Unknown members are ignored on both sides. Paths are below the controller's
// base URL.
//
//   POST /api/device/v1/challenge {}
//     200 {"challenge":"<64 hex>"}              valid for two minutes, once
//   POST /api/device/v1/enroll bundle_enroll
//     200 {"device":…,"state":"accepted"|"pending"|"rejected"}
//   POST /api/device/v1/token {"challenge":…,"device":…,"signature":…}
//     200 {"expires_in_s":N,"token":…}          at most 15 minutes
//   POST /api/device/v1/checkin bundle_checkin, with the token as Bearer
//     200 bundle_answer
//   errors, 4xx and 5xx: {"code":…,"text":…}
//     401 get a token and try again; 403 pending or rejected; 429 and 503 with Retry-After
//
// The signature is Ed25519 by the device's key over "edge-enroll-v1\n" or "edge-token-v1\n", the
// challenge's hex and "\n" and the device id.
//
// `nonce`: each answer carries a fresh one that the next check-in echoes; a device whose echo is
// not the last one given (nor the one before, whose answer may have been lost) is a clone or was
// restored, and is marked. A device that never had an answer echoes "".
#pragma once

#include "bundle/instruction.h"
#include "bundle/report.h"

#define BUNDLE_PROTOCOL_MIN   1
#define BUNDLE_PROTOCOL_MAX   1
#define BUNDLE_NONCE_HEX      33 // 16 bytes
#define BUNDLE_CHALLENGE_HEX  65
#define BUNDLE_TOKEN_MAX      512
#define BUNDLE_POLL_MAX_S     (7 * 86400)
#define BUNDLE_ENROLL_CONTEXT "edge-enroll-v1\n"
#define BUNDLE_TOKEN_CONTEXT  "edge-token-v1\n"

// {"challenge":"<64 hex>","device":…,"enroll_token":…,"facts":{…},"key":{TUF key},
//  "protocol":{"max":1,"min":1},"signature":"<128 hex>"}
struct bundle_enroll {
    uint64_t protocol_min, protocol_max;
    // The id it wishes for; by default "d-" and the first 16 hex digits of its key's id.
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char enroll_token[BUNDLE_TOKEN_MAX + 1]; // "" none: stays pending
    char challenge[BUNDLE_CHALLENGE_HEX];
    struct keys_pub key;
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    const json_t *facts; // borrowed when parsed
};

// A component as a device reports it.
struct bundle_checkin_component {
    char name[BUNDLE_NAME_MAX + 1];
    char bundle_name[BUNDLE_NAME_MAX + 1];
    char version[BUNDLE_RELEASE_MAX + 1];
    struct keys_digest manifest;
    uint64_t security_version;
};

// What came of an instruction `probe` (FORMAT.md 13.3). A probe's code is "" when it passed,
// BUNDLE_CHECKIN_NOT_RUNNABLE, or what it failed with.
#define BUNDLE_CHECKIN_NOT_RUNNABLE "not_runnable"
struct bundle_checkin_probe {
    char name[BUNDLE_NAME_MAX + 1];
    char code[ERR_NAME_BYTES];
};
struct bundle_checkin_probed {
    uint64_t sequence; // of the instruction; 0: there was none
    struct keys_digest bundle;
    char code[ERR_NAME_BYTES]; // why none was run; "" when they were
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
    size_t n;
    struct bundle_checkin_probe probes[BUNDLE_PROBES_MAX];
};

// {"agent":…,"components":{NAME:{"manifest":…,"name":…,"security_version":N,"version":…}},"device":…,
//  "dropped":{"heartbeats":N,"refused":N},"facts":{…}|absent when unchanged,"facts_digest":…,
//  "generation":N,"metrics":{NAME:"decimal"},"nonce":…,"previous":{"generation":N}|null,
//  "probed":{"bundle":ID,"code":…,"probes":[{"code":…,"name":…}],"sequence":N,"text":…} when there is one,
//  "progress":{"done":N,"total":N}|null,"protocol":{"max":1,"min":1},"reports":[…],"sequence":N,
//  "state":…,"update":{"attempt":N,"bundle":ID,"rollout":…}|null,"why":{"code":…,"text":…}|null}
//
// `sequence` is that of the last instruction it accepted. `look` (true or absent) asks for the last
// look before activating `update`. Reports come with rising ids. One that cannot be read, though
// its id can, does not spoil the message: its id lands in `malformed`, for the answer to refuse.
struct bundle_checkin {
    uint64_t protocol_min, protocol_max;
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char agent[BUNDLE_NAME_MAX + 1];
    char nonce[BUNDLE_NONCE_HEX]; // "" on the first check-in
    char state[ERR_NAME_BYTES];   // a state's name of agent/fsm
    uint64_t generation;
    bool has_previous;
    uint64_t previous;
    uint64_t sequence;
    bool look;
    size_t n_components;
    struct bundle_checkin_component components[BUNDLE_COMPONENTS_MAX];
    bool has_update;
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt;
    struct keys_digest bundle;
    bool has_progress;
    uint64_t done_bytes, total_bytes;
    struct bundle_checkin_probed probed;
    char why_code[ERR_NAME_BYTES];
    char why_text[BUNDLE_REPORT_TEXT_MAX + 1];
    uint64_t dropped_heartbeats, refused_reports;
    struct keys_digest facts_digest; // of the canonical facts object (bundle_facts_digest)
    json_t *facts;                   // owned; NULL when unchanged
    json_t *metrics;                 // owned; object NAME → decimal string, or NULL
    size_t n_reports;
    struct bundle_report *reports; // owned array
    size_t n_malformed;            // parsed only
    uint64_t malformed[BUNDLE_REPORTS_PER_CHECKIN_MAX];
};

// {"acked":ID,"facts_wanted":bool,"instruction":"<envelope as text>"|null,"nonce":…,"now":"…",
//  "poll_s":N,"protocol":1,"refused":[ID,…],"repository":{"root":N,"snapshot":N}|null,
//  "why":{"code":…,"text":…}|null}
//
// repository: the versions that the controller's repository has, a hint when a refresh is worth its
// bytes; trusted for nothing, and absent from controllers without a repository.
// acked: every report up to this id is durable at the controller. refused: reports it will never
// take (malformed); the device sets them aside.
struct bundle_answer {
    uint64_t protocol;
    char nonce[BUNDLE_NONCE_HEX];
    int64_t now_s;
    uint64_t poll_s; // 0: the device's own interval
    uint64_t acked;
    bool facts_wanted;
    uint64_t repository_root; // both 0: not said
    uint64_t repository_snapshot;
    size_t n_refused;
    uint64_t refused[BUNDLE_REPORTS_PER_CHECKIN_MAX];
    struct buf instruction;        // raw envelope; empty when there is none. Owned
    char why_code[ERR_NAME_BYTES]; // why there is no instruction
    char why_text[BUNDLE_REPORT_TEXT_MAX + 1];
};

// The protocol version to speak, the highest in common. Kind protocol_range.
int bundle_checkin_protocol(uint64_t min, uint64_t max, uint64_t *ret, struct err *e)
    __attribute__((nonnull));

// Appends what an enrolment or token signature covers.
int bundle_checkin_signed_text(const char *context, const char *challenge, const char *device,
                               struct buf *ret, struct err *e) __attribute__((nonnull));

// Parsers take a strictly read document (doc_parse with bundle_checkin_limits); kinds bad_message,
// limit, memory, and bad_key of an enrolment. On failure nothing needs clearing.
extern const struct doc_limits bundle_checkin_limits;
int bundle_checkin_parse_enroll(json_t *document, struct bundle_enroll *ret, struct err *e)
    __attribute__((nonnull));
int bundle_checkin_parse(json_t *document, struct bundle_checkin *ret, struct err *e)
    __attribute__((nonnull));
int bundle_checkin_parse_answer(json_t *document, struct bundle_answer *ret, struct err *e)
    __attribute__((nonnull));
// Appended as compact JSON. Kinds: limit, memory.
int bundle_checkin_format_enroll(const struct bundle_enroll *m, struct buf *ret, struct err *e)
    __attribute__((nonnull));
int bundle_checkin_format(const struct bundle_checkin *m, struct buf *ret, struct err *e)
    __attribute__((nonnull));
int bundle_checkin_format_answer(const struct bundle_answer *m, struct buf *ret, struct err *e)
    __attribute__((nonnull));
void bundle_checkin_clear(struct bundle_checkin *m) __attribute__((nonnull));
void bundle_checkin_clear_answer(struct bundle_answer *m) __attribute__((nonnull));
