// SPDX-License-Identifier: Apache-2.0
//
// What an agent does around its state machine, in virtual time.
#include "ctl/sim/device.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fsm/attempt.h"
#include "agent/fsm/pace.h"
#include "agent/fsm/sham.h"
#include "bundle/kind.h"
#include "ctl/sim/hours.h"

#define SOON_S         20 // within which it checks in when the machine wants it to
#define GATE_S         20 // sealing and the probes before the swap
#define SWAP_S         4  // re-verifying, the swap, telling the application
#define BOOT_S         60 // a restart of the machine
#define BACK_OFF_MS    30000
#define BACK_OFF_MAX_S 3600

static uint32_t random32(struct sim_dice *dice) {
    return (uint32_t)(sim_dice_bits(dice) >> 32);
}

static uint64_t poll_s(const struct sim_world_luck *luck, const struct sim_device *d) {
    const struct sim_world *world = luck->world;
    return world->fleet->kinds[world->devices[d->index].kind].poll_s;
}

static void check_in_later(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    int64_t pause_s = fsm_pace_poll_ms(poll_s(luck, d), random32(&d->rhythm)) / 1000;
    d->next.checkin_s = now_s + (pause_s > 0 ? pause_s : 1);
}

static void check_in_soon(struct sim_device *d, int64_t now_s) {
    int64_t at_s = now_s + 1 + (int64_t)sim_dice_below(&d->rhythm, SOON_S);
    if (at_s < d->next.checkin_s)
        d->next.checkin_s = at_s;
}

void sim_device_begin(const struct sim_world_luck *luck, uint32_t index, int64_t now_s,
                      int64_t born_s, struct sim_device *ret) {
    *ret = (struct sim_device){.index = index,
                               .faults = sim_world_faults(luck, index),
                               .born_s = born_s,
                               .running_s = -1,
                               .death_s = SIM_DEVICE_NEVER,
                               .next.work_s = SIM_DEVICE_NEVER,
                               .rhythm = sim_dice_make(luck->seed, index, SIM_WORLD_RHYTHM),
                               .install = sim_dice_make(luck->seed, index, SIM_WORLD_INSTALL),
                               .readings = sim_dice_make(luck->seed, index, SIM_WORLD_READINGS)};
    int64_t first_s = born_s > now_s ? born_s : now_s;
    ret->next.checkin_s = first_s + (int64_t)sim_dice_below(&ret->rhythm, poll_s(luck, ret));
    ret->counted_s = first_s;
}

void sim_device_end(struct sim_device *device) {
    free(device->record);
    free(device->reports);
    device->record = NULL;
    device->reports = NULL;
}

// It may activate what it has.
static int64_t install_s(const struct sim_world_luck *luck, const struct sim_device *d,
                         int64_t now_s) {
    return sim_hours_open_s(luck->world, d->index, &d->record->update.windows.install, now_s);
}

void sim_device_say(const struct sim_world_luck *luck, const struct sim_device *device,
                    int64_t now_s, struct sim_device_checkin *ret) {
    bool waits = device->record != NULL && device->record->state == FSM_WAITING;
    *ret = (struct sim_device_checkin){.record = device->record,
                                       .look = waits && install_s(luck, device, now_s) <= now_s,
                                       .runs = device->running_s >= 0,
                                       .n_reports = device->n_reports,
                                       .reports = device->reports};
}

bool sim_device_is_busy(const struct sim_device *device) {
    if (device->dead || device->record == NULL)
        return false;
    return device->n_reports > 0 ||
           (device->record->state != FSM_IDLE && device->record->state != FSM_FAILED);
}

// ── The machine ──

static void keep_report(struct sim_device *d, const struct fsm_outcome *outcome) {
    assert(d->n_reports < SIM_DEVICE_REPORTS_MAX && "I5: the queue is bounded");
    struct sim_device_report *report = &d->reports[d->n_reports++];
    *report = (struct sim_device_report){
        .id = ++d->last_report, .attempt = outcome->update.attempt, .event = outcome->report};
    (void)snprintf(report->code, sizeof report->code, "%s", outcome->why.code);
}

// One step, its report, its check-in; the work is the caller's.
static uint32_t step(struct sim_device *d, enum fsm_event event, const struct fsm_input *with,
                     int64_t now_s) {
    struct fsm_outcome outcome;
    struct fsm_input in = *with;
    in.event = event;
    if (fsm_machine_step(d->record, &in, &outcome) != 0)
        return 0;
    if (outcome.has_report)
        keep_report(d, &outcome);
    if (outcome.work & FSM_DO_CHECKIN)
        check_in_soon(d, now_s);
    if (outcome.work & FSM_DO_STOP)
        d->next.work_s = SIM_DEVICE_NEVER;
    return outcome.work;
}

static uint32_t say_step(struct sim_device *d, enum fsm_event event, const char *code,
                         const char *text, int64_t now_s) {
    struct fsm_input in = {.final = event == FSM_REFUSED};
    (void)snprintf(in.why.code, sizeof in.why.code, "%s", code);
    (void)snprintf(in.why.text, sizeof in.why.text, "%s", text);
    return step(d, event, &in, now_s);
}

static uint32_t plain_step(struct sim_device *d, enum fsm_event event, int64_t now_s) {
    const struct fsm_input none = {.final = false};
    return step(d, event, &none, now_s);
}

static bool has(const struct sim_world_luck *luck, const struct sim_device *d,
                enum sim_fleet_fault_kind kind, size_t *ret) {
    const struct sim_fleet *fleet = luck->world->fleet;
    for (size_t i = 0; i < fleet->n_faults; i++)
        if (d->faults >> i & 1 && fleet->faults[i].kind == kind) {
            *ret = i;
            return true;
        }
    return false;
}

// What becomes of an install is drawn once for each attempt.
static void draw_fate(const struct sim_world_luck *luck, struct sim_device *d) {
    const struct sim_fleet *fleet = luck->world->fleet;
    size_t fault = 0;
    uint32_t at = (uint32_t)sim_dice_below(&d->install, SIM_DICE_PPM);
    bool liar = has(luck, d, SIM_FLEET_LIAR, &fault);
    bool lies_good = liar && !fleet->faults[fault].says_bad;
    d->will_refuse = at < fleet->refused_ppm || has(luck, d, SIM_FLEET_INSTALL_FAILURE, &fault);
    at -= at < fleet->refused_ppm ? at : fleet->refused_ppm;
    d->will_revert = at < fleet->reverted_ppm || has(luck, d, SIM_FLEET_PROBE_FAILURE, &fault);
    at -= at < fleet->reverted_ppm ? at : fleet->reverted_ppm;
    d->will_die = !d->will_refuse && !d->will_revert && at < fleet->lost_ppm;
    d->will_loop = has(luck, d, SIM_FLEET_BOOT_LOOP, &fault);
    if (liar && !lies_good)
        d->will_refuse = true;
    if (lies_good)
        d->will_refuse = d->will_revert = d->will_loop = false;
}

// What it waits for is reported when it is another thing than before (agent_state_wait).
static void wait_until(struct sim_device *d, int64_t open_s, int64_t now_s) {
    struct fsm_outcome outcome = {.report = BUNDLE_EVENT_WAITING, .update = d->record->update};
    struct fsm_why *why = &d->record->why;
    d->next.work_s = open_s;
    if (strcmp(why->code, err_outside_rollout_window.name) == 0 ||
        d->n_reports > SIM_DEVICE_REPORTS_MAX / 2)
        return;
    (void)snprintf(why->code, sizeof why->code, "%s", err_outside_rollout_window.name);
    (void)snprintf(why->text, sizeof why->text, "%s", err_outside_rollout_window.text);
    outcome.why = *why;
    keep_report(d, &outcome);
    check_in_soon(d, now_s);
}

static void begin_fetch(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    uint64_t fetch_s = luck->world->fleet->fetch_s;
    const struct bundle_window_list *hours = &d->record->update.windows.download;
    (void)plain_step(d, FSM_FETCH_BEGUN, now_s);
    int64_t open_s = sim_hours_open_s(luck->world, d->index, hours, now_s);
    d->pausing = open_s > now_s;
    if (d->pausing) {
        wait_until(d, open_s, now_s);
        return;
    }
    if (d->left_s == 0)
        d->left_s = 1 + (int64_t)(fetch_s / 2 + sim_dice_below(&d->install, fetch_s));
    d->next.work_s = sim_hours_end_s(luck->world, d->index, hours, now_s, now_s + d->left_s);
    d->left_s -= d->next.work_s - now_s;
}

// Ready, and waits for the hours in which it may activate.
static void wait_for_hours(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    int64_t open_s = install_s(luck, d, now_s);
    if (open_s > now_s)
        wait_until(d, open_s, now_s);
}

// Begins what the machine wants done.
static void begin(const struct sim_world_luck *luck, struct sim_device *d, uint32_t work,
                  int64_t now_s) {
    if (work & FSM_DO_FETCH)
        begin_fetch(luck, d, now_s);
    if (work & FSM_DO_LATER) {
        d->back_off_ms = fsm_pace_backoff_ms(d->back_off_ms, BACK_OFF_MS,
                                             (int64_t)BACK_OFF_MAX_S * 1000, random32(&d->install));
        d->pausing = true;
        d->next.work_s = now_s + 1 + d->back_off_ms / 1000;
    }
    if (work & FSM_DO_WAIT)
        wait_for_hours(luck, d, now_s);
    if (work & FSM_DO_GATE)
        d->next.work_s = now_s + 1 + (int64_t)sim_dice_below(&d->install, GATE_S);
    if (work & (FSM_DO_ACTIVATE | FSM_DO_REVERT))
        d->next.work_s = now_s + 1 + (int64_t)sim_dice_below(&d->install, SWAP_S);
    if (work & FSM_DO_REBOOT)
        d->next.work_s = now_s + BOOT_S;
    if (work & FSM_DO_WATCH) {
        uint64_t left_s = d->record->update.probation_s - d->record->update.probation_done_s;
        d->watched_s = now_s;
        if (d->will_loop)
            left_s = BOOT_S;
        else if (d->will_revert)
            left_s = sim_dice_below(&d->install, left_s + 1);
        d->next.work_s = now_s + 1 + (int64_t)left_s;
    }
    if (d->record->state == FSM_COMMITTED && work & FSM_DO_CLEAN)
        (void)plain_step(d, FSM_CLEANED, now_s);
}

// It runs the release from now on.
static void launch(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    size_t fault = 0;
    if (d->running_s < 0) {
        d->running_s = now_s;
        d->installs++;
    }
    if (d->will_die)
        d->death_s =
            now_s + 1 + (int64_t)sim_dice_below(&d->install, d->record->update.probation_s);
    if (has(luck, d, SIM_FLEET_SILENT_DEATH, &fault)) {
        int64_t at_s = now_s + (int64_t)luck->world->fleet->faults[fault].after_s;
        d->death_s = at_s < d->death_s ? at_s : d->death_s;
    }
}

static uint32_t watch_over(struct sim_device *d, int64_t now_s) {
    struct fsm_update *update = &d->record->update;
    if (d->will_loop || d->will_revert)
        return say_step(d, FSM_UNHEALTHY, "probe_failed", "a probe failed in probation", now_s);
    update->probation_done_s = update->probation_s;
    return plain_step(d, FSM_HEALTHY, now_s);
}

static uint32_t work_done(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    const struct sim_world *world = luck->world;
    uint32_t loss_ppm = world->fleet->kinds[world->devices[d->index].kind].loss_ppm;
    size_t fault = 0;
    switch (d->record->state) {
    case FSM_OFFERED:
        return FSM_DO_FETCH;
    case FSM_FETCHING:
        if (d->pausing || d->left_s > 0)
            return FSM_DO_FETCH;
        if (has(luck, d, SIM_FLEET_HANG, &fault) ||
            sim_world_reachable_s(luck, d->index, now_s) > now_s ||
            sim_dice_chance(&d->install, loss_ppm))
            return say_step(d, FSM_HICCUP, "download_broke", "the download broke", now_s);
        d->back_off_ms = 0;
        return plain_step(d, FSM_FETCHED, now_s);
    case FSM_STAGED:
        if (d->will_refuse)
            return say_step(d, FSM_REFUSED, "probe_failed", "a probe before the swap failed",
                            now_s);
        return say_step(d, FSM_GATED, "last_look", "asks whether it may activate", now_s);
    case FSM_WAITING:
        check_in_soon(d, now_s);
        return 0;
    case FSM_ACTIVATING:
        launch(luck, d, now_s);
        return plain_step(d, sim_dice_below(&d->install, 4) == 0 ? FSM_REBOOT : FSM_ACTIVATED,
                          now_s);
    case FSM_REBOOTING:
        return plain_step(d, FSM_BOOTED, now_s);
    case FSM_PROBATION:
        if (d->will_loop && !fsm_attempt_interrupted(d->record)) {
            sim_device_restart(luck, d, now_s);
            return 0;
        }
        return watch_over(d, now_s);
    case FSM_SHAM_RESTARTING:
        return plain_step(d, FSM_ACTIVATED, now_s);
    case FSM_SHAM_PROBATION:
        return watch_over(d, now_s);
    case FSM_REVERTING:
        d->running_s = -1;
        return plain_step(d, FSM_REVERTED, now_s);
    default:
        return 0;
    }
}

void sim_device_work(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    d->next.work_s = SIM_DEVICE_NEVER;
    if (d->dead || d->record == NULL)
        return;
    begin(luck, d, work_done(luck, d, now_s), now_s);
}

void sim_device_restart(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    if (d->dead || d->record == NULL)
        return;
    if (d->record->state == FSM_PROBATION || d->record->state == FSM_SHAM_PROBATION) {
        struct fsm_update *update = &d->record->update;
        uint64_t on_s = (uint64_t)(now_s - d->watched_s) + update->probation_done_s;
        update->probation_done_s = on_s < update->probation_s ? on_s : update->probation_s;
    }
    d->next.work_s = SIM_DEVICE_NEVER;
    d->left_s = 0;
    uint32_t work = d->record->state == FSM_REBOOTING ? FSM_DO_REBOOT : 0;
    work |= plain_step(d, FSM_RESTARTED, now_s);
    if (fsm_attempt_interrupted(d->record))
        work = d->record->state < FSM_ACTIVATING
                   ? say_step(d, FSM_REFUSED, "interrupted", "too many restarts", now_s)
                   : say_step(d, FSM_UNHEALTHY, "interrupted", "too many restarts", now_s);
    begin(luck, d, work, now_s);
    check_in_soon(d, now_s);
}

// ── The controller ──

static int first_offer(struct sim_device *d, struct err *e) {
    if (d->record != NULL)
        return 0;
    struct fsm_record *record = calloc(1, sizeof *record);
    struct sim_device_report *reports = calloc(SIM_DEVICE_REPORTS_MAX, sizeof *reports);
    if (record == NULL || reports == NULL) {
        free(record);
        free(reports);
        return err_set(e, &err_memory, "simulating: out of memory");
    }
    fsm_machine_init(record, 1, 2);
    d->record = record;
    d->reports = reports;
    return 0;
}

static int take_offer(const struct sim_world_luck *luck, struct sim_device *d,
                      const struct sim_device_answer *answer, int64_t now_s, struct err *e) {
    const struct rollout_policy *policy = luck->world->policy;
    if (first_offer(d, e) < 0)
        return -1;
    // I4; I5: when transitions fill the queue nothing new is begun.
    if (!fsm_attempt_admits(d->record, &answer->bundle, answer->attempt) ||
        d->n_reports > SIM_DEVICE_REPORTS_MAX / 2)
        return 0;
    struct fsm_update offer = {.attempt = answer->attempt,
                               .has_bundle = true,
                               .bundle = answer->bundle,
                               .probation_s = luck->world->fleet->probation_s,
                               .windows = policy->windows};
    (void)snprintf(offer.rollout, sizeof offer.rollout, "%s", policy->name);
    (void)snprintf(offer.name, sizeof offer.name, "%s", policy->release_name);
    (void)snprintf(offer.release, sizeof offer.release, "%s", policy->release_version);
    struct fsm_input in = {.offer = &offer};
    draw_fate(luck, d);
    d->offered_once = true;
    d->left_s = 0;
    begin(luck, d, step(d, FSM_OFFER, &in, now_s), now_s);
    return 0;
}

// It restarts what it runs, which goes wrong as often as any release that activates.
static int take_sham(const struct sim_world_luck *luck, struct sim_device *d,
                     const struct sim_device_answer *answer, int64_t now_s, struct err *e) {
    const struct sim_fleet *fleet = luck->world->fleet;
    const char *rollout = luck->world->policy->name;
    if (first_offer(d, e) < 0)
        return -1;
    if (d->record->state != FSM_IDLE || d->n_reports > SIM_DEVICE_REPORTS_MAX / 2 ||
        fsm_sham_admits(d->record, rollout, answer->attempt, now_s) != 0)
        return 0;
    struct fsm_update sham = {.attempt = answer->attempt,
                              .has_bundle = true,
                              .bundle = answer->bundle,
                              .probation_s = fleet->probation_s};
    (void)snprintf(sham.rollout, sizeof sham.rollout, "%s", rollout);
    struct fsm_input in = {.offer = &sham};
    uint64_t activated_ppm = SIM_DICE_PPM - fleet->refused_ppm;
    d->will_refuse = d->will_loop = d->will_die = false;
    d->will_revert =
        activated_ppm > 0 && sim_dice_below(&d->install, activated_ppm) < fleet->reverted_ppm;
    fsm_sham_note(d->record, rollout, answer->attempt, now_s);
    (void)step(d, FSM_SHAM, &in, now_s);
    begin(luck, d, plain_step(d, FSM_GO, now_s), now_s);
    return 0;
}

static void drop_acked(struct sim_device *d, uint64_t acked) {
    size_t n = 0;
    while (n < d->n_reports && d->reports[n].id <= acked)
        n++;
    if (n == 0)
        return;
    memmove(d->reports, d->reports + n, (d->n_reports - n) * sizeof *d->reports);
    d->n_reports -= n;
    d->acked = acked;
}

int sim_device_hear(const struct sim_world_luck *luck, struct sim_device *d,
                    const struct sim_device_answer *answer, int64_t now_s, struct err *e) {
    check_in_later(luck, d, now_s);
    drop_acked(d, answer->acked);
    if (d->record != NULL && d->n_reports > 0)
        check_in_soon(d, now_s);
    // The hours may have gone by while it was out of reach.
    if (d->record != NULL && d->record->state == FSM_WAITING)
        wait_for_hours(luck, d, now_s);
    switch (answer->action) {
    case SIM_DEVICE_NOTHING:
        break;
    case SIM_DEVICE_INSTALL:
        return take_offer(luck, d, answer, now_s, e);
    case SIM_DEVICE_SHAM:
        return take_sham(luck, d, answer, now_s, e);
    case SIM_DEVICE_ACTIVATE:
        if (d->record != NULL && d->record->state == FSM_WAITING &&
            install_s(luck, d, now_s) <= now_s) {
            d->record->update.looked = true;
            begin(luck, d, plain_step(d, FSM_GO, now_s), now_s);
        }
        break;
    case SIM_DEVICE_CANCEL:
        if (d->record != NULL)
            begin(luck, d,
                  say_step(d, FSM_ASK_CANCEL, "cancelled", "the controller gave it up", now_s),
                  now_s);
        break;
    case SIM_DEVICE_REVERT:
        if (d->record != NULL)
            begin(luck, d,
                  say_step(d, FSM_ASK_REVERT, "asked", "the controller wants it back", now_s),
                  now_s);
        break;
    }
    return 0;
}

void sim_device_miss(const struct sim_world_luck *luck, struct sim_device *d, int64_t now_s) {
    int64_t open_s = sim_world_reachable_s(luck, d->index, now_s);
    check_in_later(luck, d, now_s);
    // What was out of reach comes back spread over a rhythm.
    if (open_s > d->next.checkin_s)
        d->next.checkin_s = open_s + (int64_t)sim_dice_below(&d->rhythm, poll_s(luck, d) / 2 + 1);
}
