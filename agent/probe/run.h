// SPDX-License-Identifier: Apache-2.0
//
// Running one probe of a manifest once (bundle/probe.h says what they are). What may be executed is
// a runner that the configuration allows by name: its own argument list, its user, its limits; the
// probe adds arguments, never a program. A runner gets
//
//   {component}, {generation}  in its arguments: the directories being probed
//   EDGE_COMPONENT, EDGE_GENERATION, EDGE_SCRATCH, TMPDIR   in its environment
//
// A golden runner also gets the component's directory as its last argument.
// EDGE_SCRATCH is an empty directory that is the runner's alone and is removed afterwards. http and
// metric probes are jobs of the worker.
#pragma once

#include "agent/config.h"
#include "agent/job.h"
#include "agent/loop.h"
#include "base/own.h"
#include "bundle/probe.h"

struct probe_run; // one probe running

struct probe_run_spec {
    const struct agent_config *config;
    const struct agent_job_net *net;
    const struct bundle_probe *probe; // borrowed until done or cancelled
    int state_dir;                    // descriptor, for the scratch directory
    uint64_t generation;
};

struct probe_run_result {
    bool passed;
    const struct err_kind *kind; // when not passed: probe_failed, runner_missing, …
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
    char detail[BUNDLE_REPORT_DETAIL_MAX + 1]; // the end of what it printed
};

// done is called from the loop once, unless cancelled; the probe is gone then. A probe that cannot
// be started is one that fails: also told through done.
int probe_run_start(struct agent_loop *loop, const struct probe_run_spec *spec,
                    void (*done)(void *context, const struct probe_run_result *result),
                    void *context, struct probe_run **ret, struct err *e)
    __attribute__((nonnull(1, 2, 3, 5, 6)));
void probe_run_cancel(struct probe_run *run);
