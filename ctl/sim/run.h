// SPDX-License-Identifier: Apache-2.0
//
// One simulated rollout, from the seed to its end, in virtual time:
//
//     devices check in, and are answered      device.h, control.h
//     their work is done, the power fails     device.h
//     the controller's tick, and its restart  control.h
//     people approve, resume, give up         here
//
// The rollout is applied a little after the devices began to check in; when its policy says not_before,
// so long before that time that the metrics of a window have been heard of. It is followed to its end, and
// on until every device that can be heard of has nothing under way and every report of its is
// acknowledged. A rollout that stands still and waits for a person is resumed as often as the fleet
// file says, and then ended (abort); so is one that has not ended when the fleet file's duration is
// over.
//
// What must hold in every run is checked in it (struct sim_run_broken): the rules by check.h, and
// that no device installed after the halt was durable and it had looked again, or outside of its windows.
#pragma once

#include "ctl/sim/control.h"

#define SIM_RUN_START_S     1767571200   // 2026-01-05, a Monday, when the policy names no time
#define SIM_RUN_DRAIN_S     (30 * 86400) // for what is under way when the rollout has ended
#define SIM_RUN_WHY_BYTES   256
#define SIM_RUN_SAMPLES_MAX 4096

// How it ended.
enum sim_run_end {
    SIM_RUN_FINISHED,
    SIM_RUN_PAUSED,       // stopped, devices keep what they have
    SIM_RUN_REVERTED,     // stopped, devices went back
    SIM_RUN_INCONCLUSIVE, // stood still: no verdict, or one that a person has to judge
    SIM_RUN_UNENDED,      // not over when the duration was
    SIM_RUN_ENDS
};
extern const char *const sim_run_end_names[SIM_RUN_ENDS];

// Broken rules, counted.
struct sim_run_broken {
    uint64_t n;                    // of them
    char first[SIM_RUN_WHY_BYTES]; // what was broken first
};

// How things stood at an instant, for drawing.
struct sim_run_sample {
    int64_t at_s; // since the rollout began
    uint64_t stage, offered, committed, bad;
    int64_t evidence; // ln e of the line that says most; 0 without gates
};

struct sim_run_result {
    enum sim_run_end end;
    bool stopped;              // a gate said so; what a person did about it is not counted
    enum rollout_why_code why; // of the verdict
    char why_text[SIM_RUN_WHY_BYTES];
    uint64_t exposed;   // devices that were offered it until the verdict
    uint64_t activated; // devices that ran it until the verdict
    int64_t verdict_s;  // since it began, until it stopped, stood still or finished
    uint64_t committed, reverted, failed, lost; // in the end
    uint64_t sets_scored, sets_void;            // of metrics, in the last run of evidence
    uint64_t checkins, events;
    uint64_t digest; // of all decisions
    struct sim_run_broken broken;
    size_t n_samples;
    struct sim_run_sample *samples; // the caller's (sim_run_clear); none without keep_samples
    int64_t level;                  // that evidence has to reach
};
void sim_run_clear(struct sim_run_result *result) __attribute__((nonnull));

struct sim_run_options {
    uint64_t seed;
    bool keep_samples;
    bool no_reloads; // leave out what restarts the controller
    bool whole;      // go on to the end of the duration
};

// Kinds: memory, limit, internal (a state that was written is not read as the same).
int sim_run(const struct sim_world *world, const struct sim_run_options *options,
            struct sim_run_result *ret, struct err *e) __attribute__((nonnull));
