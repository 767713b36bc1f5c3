// SPDX-License-Identifier: Apache-2.0
//
// The kinds of error that edgectl and the controller have (see base/err.h for what a row means). Exit
// statuses 100 to 123, 16 to 19, 38 and 39: from 124 on the numbers mean something to timeout(1) and to shells.
#pragma once

#include "base/err.h"

// clang-format off
#define CTL_KINDS(X)                                                                                                   \
    X(controller_unreachable, 100, true,  "the controller could not be reached")                                      \
    X(controller_tls,         101, true,  "the controller's certificate or the TLS connection was refused")           \
    X(controller_garbage,     102, true,  "the controller's answer is not what the API prescribes")                   \
    X(unauthorized,           103, false, "the token is missing, unknown, expired or revoked")                        \
    X(not_enrolled,           104, false, "the controller does not know this device's key")                           \
    X(device_pending,         105, true,  "the device waits for an operator to accept it")                            \
    X(device_rejected,        106, false, "the device was rejected, retired or replaced")                             \
    X(rate_limited,           107, true,  "too many requests in too short a time")                                    \
    X(rollout_state,          108, false, "the rollout is not in a state where this can be done")                     \
    X(rollout_failed,         109, false, "the rollout failed")                                                       \
    X(rollout_stopped,        110, false, "the rollout was paused before it finished")                                \
    X(device_state,           111, false, "the device is not in a state where this can be done")                      \
    X(offline_key,            112, false, "the controller can see a secret key that belongs offline")                 \
    X(cleartext,              113, false, "plain HTTP beyond this machine needs an explicit flag")                    \
    X(listen_failed,          114, true,  "the address to listen on could not be had")                                \
    X(audit_broken,           115, false, "the chain of the audit log does not hold")                                 \
    X(bad_request,            116, false, "a request breaks a rule of HTTP or of the API")                            \
    X(wrong_workspace,        117, false, "the directory is not a workspace of this program")                         \
    X(overloaded,             118, true,  "the controller has as much work as it can hold")                           \
    X(bad_store,              119, false, "the store is damaged or not one of this program's")                        \
    X(rollout_reverted,       120, false, "the rollout failed or was ended, and its devices went back")               \
    X(rollout_aborted,        121, false, "the rollout was aborted before it finished")                               \
    X(rollout_pending,        122, true,  "the rollout had not ended when the time to wait for it was over")                \
    X(floors_not_raised,      123, true,  "the rollout finished, but its floors are not raised, or not known to be")              \
    X(expiring,                16, false, "a root or other metadata expires within the days that were asked for")        \
    X(pending,                 17, true,  "signatures of other people are missing")                                   \
    X(conflict,                18, true,  "somebody else published in between")                                       \
    X(not_published,           19, false, "the repository's targets do not name the release")                              \
    X(fleet_drifted,           38, false, "the fleet is not any more the one that the plan was made for")                   \
    X(rollout_inconclusive,    39, false, "the rollout was paused without a verdict: its gates have seen too little")
// clang-format on

CTL_KINDS(ERR_DECLARE)

extern const struct err_kind *const ctl_kinds[];
