// SPDX-License-Identifier: Apache-2.0
//
// A report: one change of state on a device, kept until the controller acknowledged it (I5). Its id
// rises by one per device and never repeats: (device, id) is the idempotency key. In JSON:
//
//   {"at":"…"|null,"attempt":N,"boot_ms":N,"bundle":MANIFEST_ID|"",
//    "bytes":{"cache":N,"delta":N,"full":N,"index":N,"range":N,"reused":N},"code":…,"detail":…,
//    "event":…,"id":N,"rollout":…,"text":…}
//
// `at` is null while the device has no trusted time. `code` is the stable name of an error kind or
// of a reason to wait. `bytes` may be absent: what an update cost the device's link, over all
// tries, by kind.
#pragma once

#include <jansson.h>

#include "base/doc.h"
#include "bundle/limits.h"
#include "keys/digest.h"

// Events, in the order a good update goes; then the ways out. `offered` = the device took the
// offer. Last those of a sham, about the bundle that runs (bundle/instruction.h).
enum bundle_event {
    BUNDLE_EVENT_OFFERED,
    BUNDLE_EVENT_STAGED,
    BUNDLE_EVENT_WAITING,   // code says for what
    BUNDLE_EVENT_ACTIVATED, // probation begins
    BUNDLE_EVENT_COMMITTED,
    BUNDLE_EVENT_REFUSED,      // before the swap: verification, requirement, space, probe; nothing
                               // changed
    BUNDLE_EVENT_REVERTED,     // after the swap: back on the previous generation
    BUNDLE_EVENT_CANCELLED,    // given up because the controller said so
    BUNDLE_EVENT_FAILED,       // could not even go back; needs a person
    BUNDLE_EVENT_SHAM_BEGUN,   // the application was told; probation begins
    BUNDLE_EVENT_SHAMMED,      // probation is over and every probe held
    BUNDLE_EVENT_SHAM_REFUSED, // not begun: what runs is something else, or the day's are used up
    BUNDLE_EVENT_SHAM_FAILED,  // what an update would have gone back for; nothing changed
    BUNDLE_EVENTS
};
extern const char *const bundle_report_event_names[BUNDLE_EVENTS];
// The short name; the long one says which file defines it.
#define bundle_event_names bundle_report_event_names
// Whether an event is a sham's and not an update's.
#define BUNDLE_EVENT_IS_SHAM(event) ((event) >= BUNDLE_EVENT_SHAM_BEGUN)

// What an update cost. The link carried the sum of the first four; what a broken or given up try
// brought counts as well.
struct bundle_report_bytes {
    uint64_t delta;  // of a delta: head, tables and frames
    uint64_t range;  // of the bundle, frames, when some of them were left out
    uint64_t full;   // of the bundle, frames, when all of them were fetched
    uint64_t index;  // of the bundle: manifest and index
    uint64_t cache;  // of all these, those that a site cache gave
    uint64_t reused; // of contents, taken from what the device held
};

struct bundle_report {
    uint64_t id;  // 1 or more
    int64_t at_s; // -1: unknown
    uint64_t boot_ms;
    enum bundle_event event;
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt;
    bool has_bundle;
    struct keys_digest bundle;
    char code[ERR_NAME_BYTES]; // "" when all is well
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
    char detail[BUNDLE_REPORT_DETAIL_MAX + 1];
    bool has_bytes;
    struct bundle_report_bytes bytes;
};

// What the link carried, in all.
uint64_t bundle_report_link_bytes(const struct bundle_report_bytes *bytes) __attribute__((nonnull));
// Kinds: bad_message, limit.
int bundle_report_parse(const struct doc_at *at, struct bundle_report *ret, struct err *e)
    __attribute__((nonnull));
// A new object; the caller's. NULL when memory is out. A text or detail that is not UTF-8 is
// escaped.
json_t *bundle_report_format(const struct bundle_report *report) __attribute__((nonnull));
