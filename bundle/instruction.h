// SPDX-License-Identifier: Apache-2.0
//
// What a controller tells one device to do: an envelope signed by role `director`. The device
// verifies it as raw bytes, then reads it. Signed part:
//
//   {"_type":"instruction","action":"install","attempt":N,
//    "budget":{"bytes":N,"metered_bytes":N},
//    "bundle":{"id":MANIFEST_ID,"name":…,"release":…,"size":N,"url":…},
//    "delta":{"base":MANIFEST_ID,"size":N,"url":…},
//    "device":…,"expires":…,"issued":…,"mandate":{"id":DIGEST,"size":N,"url":…},"rollout":…,
//    "spec_version":"1.0","stage":N,"version":SEQUENCE,"windows":{"download":[…],"install":[…]}}
//
//   install   fetch, verify and stage this bundle, then look again before activating (the offer)
//   activate  the last look's yes: the staged bundle of this rollout and attempt may be activated
//             now
//   cancel    give up the bundle of this rollout and attempt if it is not activated yet
//   revert    go back to the previous committed generation, if what runs came from bundle.id. No
//             download
//   probe     run the bundle's probes of phase `after` on what runs now; of the bundle nothing but
//             the manifest is fetched, and nothing changes
//   sham      do what an activation would, with what runs, if a part of that came from bundle.id:
//             tell the application, run the probes of phase after through that bundle's probation.
//             Nothing is downloaded, nothing changes, and it ends where it began. Who does this is
//             what devices that get the release are compared with. Once for each rollout and attempt
//
// `version` rises per device. `rollout` is "" and attempt 1 or higher for a baseline or a pinned
// release, and of a probe. `size` and `url` stand in install and probe, `delta` and `budget` in
// install alone, and may be absent.
// `delta` is a hint: where another packing of this bundle lies for who holds the contents of bundle
// `base`; what it is has to stand in the targets (bundle/target.h). `budget` is the most that this
// update may cost the device's link, over all tries; `metered_bytes` on a metered link, where 0
// means nothing. `mandate` says where what people signed for lies (bundle/mandate.h), its digest
// that of the file's bytes, and `stage` which of the rollout's stages admits the device, from 0
// (absent: 0); both may stand in install and activate. `windows` (install, activate, sham) are the
// rollout's spans of the device's own day (bundle/window.h), in which it may download and activate:
// beside its own, both must be open. Those of the last word count; absent: at any time. Unknown members are ignored, unknown actions
// refused (unknown_action). An instruction holds until `expires`.
#pragma once

#include "bundle/limits.h"
#include "bundle/window.h"
#include "keys/digest.h"
#include "keys/root.h"

enum bundle_action {
    BUNDLE_ACTION_INSTALL,
    BUNDLE_ACTION_ACTIVATE,
    BUNDLE_ACTION_CANCEL,
    BUNDLE_ACTION_REVERT,
    BUNDLE_ACTION_PROBE,
    BUNDLE_ACTION_SHAM,
    BUNDLE_ACTIONS
};
extern const char *const bundle_instruction_action_names[BUNDLE_ACTIONS];
// The short name; the long one says which file defines it.
#define bundle_action_names bundle_instruction_action_names

// Another packing of the same bundle. None when size is 0.
struct bundle_instruction_delta {
    struct keys_digest base;      // manifest id of the bundle that it starts from
    uint64_t size;                // bytes of the delta file
    char url[BUNDLE_URL_MAX + 1]; // as that of the bundle
};

// What the update may cost. All false: as much as it takes.
struct bundle_instruction_budget {
    bool has_bytes, has_metered_bytes;
    uint64_t bytes; // 1 or more
    uint64_t metered_bytes;
};

// What people signed for. None when size is 0.
struct bundle_instruction_mandate {
    struct keys_digest id; // of the file
    uint64_t size;
    char url[BUNDLE_URL_MAX + 1]; // as that of the bundle
};

struct bundle_instruction {
    struct keys_header header; // version is the sequence
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    enum bundle_action action;
    char rollout[BUNDLE_NAME_MAX + 1];
    uint64_t attempt;
    struct keys_digest bundle; // manifest id
    char bundle_name[BUNDLE_NAME_MAX + 1];
    char release[BUNDLE_RELEASE_MAX + 1];
    uint64_t size; // bytes of the bundle file (install, probe)
    char url[BUNDLE_URL_MAX +
             1]; // absolute, or a path on the controller beginning with '/' (install, probe)
    struct bundle_instruction_delta delta;     // (install)
    struct bundle_instruction_budget budget;   // (install)
    struct bundle_instruction_mandate mandate; // (install, activate)
    uint64_t stage;                            // (install, activate) 0 is the first
    struct bundle_windows windows;             // (install, activate, sham)
};

// Verifies raw bytes against the role and this device and reads them. Checked in this order: size,
// signatures, type and header, device, sequence, expiry, action, the rest. Kinds: keys' envelope
// kinds, limit, wrong_type, newer_format, wrong_device, replayed (sequence <= last_sequence),
// expired, unknown_action, bad_message.
int bundle_instruction_verify(struct slice raw, const struct keys_role *director,
                              const char *device, uint64_t last_sequence, int64_t now_s,
                              struct bundle_instruction *ret, struct err *e)
    __attribute__((nonnull));
// Appends the canonical signed part. The same rules hold as for reading: what a device would refuse
// is not written. Kinds: bad_message, limit, memory.
int bundle_instruction_format(const struct bundle_instruction *instruction, struct buf *ret,
                              struct err *e) __attribute__((nonnull));
