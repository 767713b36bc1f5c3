// SPDX-License-Identifier: Apache-2.0
//
// A device of the simulator: the agent's own state machine (agent/fsm) in virtual time, and around it
// what an agent does: it fetches, probes, swaps, watches, checks in, keeps reports until they are
// acknowledged, and starts again after a power cut from its record. What it decides is the
// machine's; what happens to it (a probe fails, the download breaks) is the world's.
//
// The record is made when the device is first offered something: most of a large fleet never is.
#pragma once

#include "agent/fsm/machine.h"
#include "ctl/rollout/gates.h"
#include "ctl/sim/world.h"

#define SIM_DEVICE_REPORTS_MAX 32 // kept; a device of the simulator never has more
#define SIM_DEVICE_NEVER       INT64_MAX

struct sim_device_report {
    uint64_t id;
    uint64_t attempt;
    enum bundle_event event;
    char code[ERR_NAME_BYTES];
};

// What is to happen to the device next by itself.
struct sim_device_next {
    int64_t work_s;    // the work under way is done (SIM_DEVICE_NEVER: none is)
    int64_t checkin_s; // it checks in
};

struct sim_device {
    uint32_t index;
    uint32_t faults;   // of the release, for this one
    bool dead;         // not heard of any more
    int64_t born_s;    // enrolled
    int64_t running_s; // since when it runs the release; -1 it does not
    int64_t death_s;   // when it will fall silent, or SIM_DEVICE_NEVER
    int64_t back_off_ms;
    bool pausing;      // between two tries of the download, or for its hours
    int64_t left_s;    // of the download that the end of its hours broke off
    int64_t watched_s; // since when the probes of the probation run
    struct fsm_record *record;
    struct sim_device_next next;
    struct sim_dice rhythm, install, readings;
    // What becomes of the install under way, drawn when it begins.
    bool will_refuse, will_revert, will_loop, will_die;
    bool offered_once;
    uint64_t last_report, acked;
    size_t n_reports;
    struct sim_device_report *reports; // SIM_DEVICE_REPORTS_MAX, made with the record
    int64_t counted_s;                 // until when counters were read
    uint32_t installs;                 // swaps
};

// What it says, and what it is told.
struct sim_device_checkin {
    const struct fsm_record *record; // NULL: idle, never offered anything
    bool look;
    bool runs;      // the release
    uint32_t given; // bit for each gate of the policy whose metric it sends
    int64_t nano[ROLLOUT_GATES_MAX];
    size_t n_reports;
    const struct sim_device_report *reports; // borrowed
};
enum sim_device_action {
    SIM_DEVICE_NOTHING,
    SIM_DEVICE_INSTALL,
    SIM_DEVICE_ACTIVATE,
    SIM_DEVICE_CANCEL,
    SIM_DEVICE_REVERT,
    SIM_DEVICE_SHAM
};
struct sim_device_answer {
    enum sim_device_action action;
    uint64_t attempt;
    struct keys_digest bundle;
    uint64_t acked;
};

// As it is when a run begins. The first check-in comes within one rhythm of now_s or of born_s.
void sim_device_begin(const struct sim_world_luck *luck, uint32_t index, int64_t now_s,
                      int64_t born_s, struct sim_device *ret) __attribute__((nonnull));
void sim_device_end(struct sim_device *device) __attribute__((nonnull));

// What it would say now.
void sim_device_say(const struct sim_world_luck *luck, const struct sim_device *device,
                    int64_t now_s, struct sim_device_checkin *ret) __attribute__((nonnull));
// It is answered. rollout: the name in the offer. Kinds: memory.
int sim_device_hear(const struct sim_world_luck *luck, struct sim_device *device,
                    const struct sim_device_answer *answer, int64_t now_s, struct err *e)
    __attribute__((nonnull));
// It tried to check in, and could not: it tries again after a pause.
void sim_device_miss(const struct sim_world_luck *luck, struct sim_device *device, int64_t now_s)
    __attribute__((nonnull));
// The work that was due is done.
void sim_device_work(const struct sim_world_luck *luck, struct sim_device *device, int64_t now_s)
    __attribute__((nonnull));
// The power was cut, and is back.
void sim_device_restart(const struct sim_world_luck *luck, struct sim_device *device, int64_t now_s)
    __attribute__((nonnull));
// Whether anything of an update is under way, or a report is not acknowledged.
bool sim_device_is_busy(const struct sim_device *device) __attribute__((nonnull));
