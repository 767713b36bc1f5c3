// SPDX-License-Identifier: Apache-2.0
//
// The kinds of error and the reasons to wait that a device has (see base/err.h for what a row
// means). Exit statuses 70 to 99.
#pragma once

#include "base/err.h"

// clang-format off
#define AGENT_KINDS(X)                                                                                                 \
    X(unreachable,       70, true,  "the server could not be reached")                                                 \
    X(tls,               71, true,  "the server's certificate or the TLS connection was refused")                      \
    X(http,              72, true,  "the server answered with an unexpected status or broke the protocol")             \
    X(garbage,           73, true,  "the server's answer is not what the protocol prescribes")                         \
    X(redirected,        74, false, "the server redirected to a place that is not allowed")                            \
    X(too_slow,          75, true,  "the transfer fell below the least rate or passed its deadline")                   \
    X(too_much,          76, false, "the server sent more than it may")                                                \
    X(budget,            77, false, "the byte budget does not allow this download")                                    \
    X(not_accepted,      78, true,  "the controller has not accepted this device")                                     \
    X(probe_failed,      79, false, "a probe did not pass")                                                            \
    X(runner_missing,    80, false, "a probe names a runner or endpoint that the configuration does not have")           \
    X(activate_failed,   81, false, "telling the application of the swap failed")                                      \
    X(inhibited,         82, true,  "the application holds an inhibit")                                                \
    X(last_look,         83, true,  "waiting for the controller's word before activating")                             \
    X(outside_window,    84, true,  "waiting for the maintenance window")                                              \
    X(failed_before,     85, false, "this bundle failed here before and no higher attempt was offered")                \
    X(no_previous,       86, false, "there is no previous generation to go back to")                                   \
    X(interrupted,       87, false, "interrupted by more restarts than allowed")                                       \
    X(queue_full,        88, true,  "the report queue is full; no new install starts")                                 \
    X(worker_failed,     89, true,  "the worker process ended without a result")                                       \
    X(bad_journal,       90, false, "the agent's journal is damaged")                                                  \
    X(revert_failed,     91, false, "the previous generation could not be put back")                                   \
    X(cancelled,         92, false, "given up because the controller or an operator said so")                          \
    X(rolled_back,       93, false, "an operator or the controller asked to go back")                                  \
    X(wrong_state,       94, false, "the agent is not in a state where this can be done")                             \
    X(not_in_targets,    95, false, "the repository's targets do not name this bundle, or not for what it holds")      \
    X(stale_repository,  96, true,  "the repository has nothing current: its metadata is missing or has expired")      \
    X(state_restored,    97, true,  "the state directory is not the one that this device wrote last")                   \
    X(previous_dropped,  98, true,  "the previous generation was given up: its image's slot is being written over")      \
    X(sham_unfit,        99, false, "no sham here: another bundle runs, or there were too many within a day")
// clang-format on

AGENT_KINDS(ERR_DECLARE)

extern const struct err_kind *const agent_kinds[];
