// SPDX-License-Identifier: Apache-2.0
//
// The kinds of error that bundles and messages have (see base/err.h for what a row means). Exit statuses 40 to 69.
#pragma once

#include "base/err.h"

// clang-format off
#define BUNDLE_KINDS(X)                                                                                                \
    X(bad_skeleton,          40, false, "the container is not the one its member sizes prescribe")                     \
    X(truncated,             41, true,  "the bundle ends too early")                                                   \
    X(trailing_data,         42, false, "something follows the end of the bundle")                                     \
    X(bad_manifest,          43, false, "the manifest breaks a rule of the format")                                    \
    X(bad_path,              44, false, "a path in a tree is absolute, has '..', is empty, too long, not UTF-8, unsorted or repeated") \
    X(bad_tree,              45, false, "a tree breaks a rule of the format")                                          \
    X(bad_index,             46, false, "the index disagrees with the manifest, the trees or itself")                  \
    X(bad_frame,             47, false, "stored bytes are not those that the index names")                             \
    X(bad_content,           48, false, "contents read back are not those that were signed")                           \
    X(requirement_unmet,     49, false, "this device does not meet what the bundle requires")                          \
    X(below_floor,           50, false, "a component's security version is below the floor")                           \
    X(unsupported_component, 51, false, "this agent cannot install a component of this type")                          \
    X(unsupported_member,    52, false, "the input has something a bundle cannot carry (setuid, device, owner, attribute)") \
    X(bad_predicate,         53, false, "a predicate on facts is malformed")                                           \
    X(bad_message,           54, false, "a message breaks a rule of the protocol")                                     \
    X(unknown_action,        55, false, "an instruction names an action this agent does not know")                     \
    X(wrong_device,          56, false, "an instruction is for another device")                                        \
    X(replayed,              57, false, "an instruction's sequence is not higher than the last one's")                 \
    X(decode_memory,         58, false, "decoding needs more memory than this device allows")                          \
    X(bad_generation,        59, false, "a generation on the device is not what its record says")                      \
    X(protocol_range,        60, false, "no protocol version in common")                                                \
    X(bad_delta,             61, false, "a delta breaks a rule of the format, or makes other contents than were signed: get it again, or install the bundle") \
    X(wrong_base,            62, false, "a delta starts from other contents than this device has: install the bundle") \
    X(no_gain,               63, false, "a delta would not be smaller than the bundle; nothing was written")                     \
    X(no_mandate,            64, false, "this device installs nothing without a mandate, and none was given")          \
    X(outside_mandate,       65, false, "the install is not within what people signed for")                            \
    X(mandate_expired,       66, false, "the mandate has expired")                                                     \
    X(rank_beyond,           67, false, "the mandate admits devices up to a lower rank at this stage")                 \
    X(too_early,             68, true,  "the mandate allows this stage from a later time on")                    \
    X(outside_rollout_window, 69, true, "waiting for the rollout's window")
// clang-format on

BUNDLE_KINDS(ERR_DECLARE)

extern const struct err_kind *const bundle_kinds[];
