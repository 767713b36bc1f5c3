// SPDX-License-Identifier: Apache-2.0
//
// A small fleet in a store, in virtual time and without a network: devices check in, take what they
// are offered, measure and report, and the tick passes. What is decided is what a controller would
// decide; a restart of it may come before anything.
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "ctl/serve/fleet.h"
#include "tests/support/tmp.h"

#define SMALL_FLEET_MAX  128
#define SMALL_FLEET_LOG  (256 * 1024)
#define SMALL_FLEET_FROM 1800000000

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

struct small_device {
    unsigned phase; // 0 at rest, 1 was offered, 2 in probation, 3 has gone back, 4 shams, 5 in its
                    // probation
    unsigned shams;
    bool runs, quiet;
    bool hangs; // says that it is at work on the offer, and does not come further
    uint64_t attempt, reports, crashes;
    struct keys_digest bundle;
};

struct small_fleet {
    struct tmp_dir dir;
    struct serve_fleet fleet;
    size_t n;
    struct small_device devices[SMALL_FLEET_MAX];
    // The release: every so many-th device fails its install, crashes, measures so much more.
    unsigned fails_each, crashes_each;
    unsigned sham_fails_each; // every so many-th device fails its sham
    bool had;                 // devices run a release of before, and know how to sham
    int worse;
    bool restarts; // the controller starts anew before each check-in and each tick
    struct keys_digest bundle, old;
    size_t log_len;
    char log[SMALL_FLEET_LOG]; // what was decided
};

static inline const char *small_fleet_id(size_t i, char ret[static 24]) {
    (void)snprintf(ret, 24, "d-%02zu", i);
    return ret;
}

static inline struct serve_engine_rollout *small_fleet_rollout(struct small_fleet *w) {
    return serve_engine_find(w->fleet.engine, "r");
}

static inline void small_fleet_restart(struct small_fleet *w) {
    struct err e = ERR_NONE;
    serve_engine_doubt(w->fleet.engine);
    must(serve_engine_load(w->fleet.engine, w->fleet.db, &e));
}

static inline void small_fleet_add_devices(struct small_fleet *w, size_t n) {
    struct err e = ERR_NONE;
    for (size_t i = 0; i < n; i++) {
        struct store_device device = {.state = STORE_DEVICE_ACCEPTED,
                                      .created_s = SMALL_FLEET_FROM - 30 * 86400,
                                      .seen_s = SMALL_FLEET_FROM,
                                      .direct_attempt = 1};
        (void)small_fleet_id(i, device.id);
        if (w->had)
            device.facts = json_pack("{s:b}", "agent.sham", 1);
        device.labels = json_pack("{s:s}", "site", i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c");
        must(store_device_add(w->fleet.db, &device, &e));
        store_device_clear(&device);
    }
    w->n = n;
}

// A rollout "r" of app 1.0 by this policy, which is consumed.
static inline void small_fleet_apply(struct small_fleet *w, json_t *consumed) {
    struct err e = ERR_NONE;
    OWN(json) json_t *policy = consumed;
    OWN(mem) struct store_rollout *row = calloc(1, sizeof *row);
    struct serve_engine_rollout *r = NULL;
    cr_assert_not_null(row);
    must(rollout_policy_parse(policy, "policy", &row->policy, &e));
    row->created_s = w->fleet.now_ms / 1000;
    row->progress.attempt = 1;
    row->progress.failed_stage = row->policy.n_stages;
    memset(row->seed, 7, sizeof row->seed);
    must(store_rollout_add(w->fleet.db, row, &e));
    must(serve_engine_add(w->fleet.engine, row, &r, &e));
    must(serve_fleet_plan(&w->fleet, r, &e));
    must(serve_fleet_advance(&w->fleet, r, &e));
}

static inline struct small_fleet *small_fleet_make(size_t n, bool had) {
    struct small_fleet *w = calloc(1, sizeof *w);
    struct store_bundle bundle = {.name = "app", .version = "1.0", .size = 1};
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 16];
    cr_assert_not_null(w);
    w->had = had;
    w->dir = tmp_dir_make();
    (void)snprintf(path, sizeof path, "%s/store.db", w->dir.path);
    w->fleet.now_ms = SMALL_FLEET_FROM * 1000LL;
    memset(w->bundle.bytes, 0x5a, sizeof w->bundle.bytes);
    memset(w->old.bytes, 0x4b, sizeof w->old.bytes);
    (void)keys_digest_hex(&w->bundle, bundle.id);
    must(store_db_open(path, &w->fleet.db, &e));
    bundle.components = json_pack("{s:{}}", "app");
    must(store_release_add(w->fleet.db, &bundle, &e));
    store_release_clear(&bundle);
    must(serve_engine_open(&w->fleet.engine, &e));
    must(serve_engine_load(w->fleet.engine, w->fleet.db, &e));
    must(serve_fleet_start(&w->fleet, &e));
    small_fleet_add_devices(w, n);
    return w;
}

static inline struct small_fleet *small_fleet_open(size_t n) {
    return small_fleet_make(n, false);
}

static inline void small_fleet_close(struct small_fleet *w) {
    serve_engine_close(w->fleet.engine);
    store_db_close(w->fleet.db);
    tmp_dir_remove(&w->dir);
    free(w);
}

// ── A device ──

static inline void small_fleet_report(struct small_fleet *w, struct small_device *d,
                                      struct store_device *device, enum bundle_event event) {
    struct bundle_report report = {.id = ++d->reports,
                                   .event = event,
                                   .rollout = "r",
                                   .attempt = d->attempt,
                                   .has_bundle = true,
                                   .bundle = d->bundle};
    struct err e = ERR_NONE;
    must(serve_fleet_report(&w->fleet, device, &report, &e));
}

// What it has to say of what it was told before.
static inline void small_fleet_live(struct small_fleet *w, size_t i, struct store_device *device) {
    struct small_device *d = &w->devices[i];
    bool fails = w->fails_each > 0 && i % w->fails_each == 0;
    switch (d->phase) {
    case 1:
        if (d->hangs)
            break;
        small_fleet_report(w, d, device, BUNDLE_EVENT_ACTIVATED);
        d->phase = 2;
        break;
    case 2:
        small_fleet_report(w, d, device, fails ? BUNDLE_EVENT_REVERTED : BUNDLE_EVENT_COMMITTED);
        d->runs = !fails;
        d->phase = 0;
        break;
    case 3:
        small_fleet_report(w, d, device, BUNDLE_EVENT_REVERTED);
        d->runs = false;
        d->phase = 0;
        break;
    case 4:
        small_fleet_report(w, d, device, BUNDLE_EVENT_SHAM_BEGUN);
        d->phase = 5;
        break;
    case 5:
        small_fleet_report(w, d, device,
                           w->sham_fails_each > 0 && i % w->sham_fails_each == 0
                               ? BUNDLE_EVENT_SHAM_FAILED
                               : BUNDLE_EVENT_SHAMMED);
        d->phase = 0;
        break;
    default:
        break;
    }
    if (d->runs && w->crashes_each > 0 && i % w->crashes_each == 0)
        d->crashes++;
}

static inline json_t *small_fleet_said(const struct small_fleet *w, size_t i) {
    const struct small_device *d = &w->devices[i];
    int64_t beat = w->fleet.now_ms / 1000 - SMALL_FLEET_FROM;
    char hex[KEYS_DIGEST_HEX], latency[32], crashes[32];
    int64_t value = 100 + (int64_t)(i % 7) * 3 + (beat * ((int64_t)i + 3)) % 5;
    (void)snprintf(latency, sizeof latency, "%lld", (long long)value + (d->runs ? w->worse : 0));
    (void)snprintf(crashes, sizeof crashes, "%llu", (unsigned long long)d->crashes);
    json_t *components = json_object();
    if (d->runs || w->had)
        (void)json_object_set_new(components, "app",
                                  json_pack("{s:s, s:s, s:s}", "name", "app", "version",
                                            d->runs ? "1.0" : "0.9", "manifest",
                                            keys_digest_hex(d->runs ? &w->bundle : &w->old, hex)));
    return json_pack("{s:o, s:{s:s, s:s}}", "components", components, "metrics", "latency", latency,
                     "crashes", crashes);
}

static inline void small_fleet_note(struct small_fleet *w, size_t i,
                                    const struct rollout_decision *decision) {
    int len = snprintf(w->log + w->log_len, SMALL_FLEET_LOG - w->log_len, "%zu:%d:%s ", i,
                       (int)decision->action, rollout_why_name(decision->why.code));
    w->log_len += (size_t)len;
    cr_assert_lt(w->log_len, SMALL_FLEET_LOG);
}

static inline enum rollout_action small_fleet_check_in(struct small_fleet *w, size_t i) {
    struct small_device *d = &w->devices[i];
    struct store_device device = {.held = false};
    struct rollout_decision decision;
    struct err e = ERR_NONE;
    char id[24];
    OWN(mem) struct bundle_checkin *checkin = calloc(1, sizeof *checkin);
    cr_assert_not_null(checkin);
    if (w->restarts)
        small_fleet_restart(w);
    must(store_device_get(w->fleet.db, small_fleet_id(i, id), &device, &e));
    w->fleet.before_s = device.seen_s;
    device.seen_s = w->fleet.now_ms / 1000;
    small_fleet_live(w, i, &device);
    json_decref(device.said);
    device.said = small_fleet_said(w, i);
    (void)snprintf(checkin->state, sizeof checkin->state, "%s",
                   d->phase == 2   ? "probation"
                   : d->phase == 5 ? "sham_probation"
                   : d->phase == 1 ? "fetching"
                                   : "idle");
    checkin->has_update = d->phase == 1 || d->phase == 2;
    checkin->attempt = d->attempt;
    checkin->bundle = d->bundle;
    (void)snprintf(checkin->rollout, sizeof checkin->rollout, "r");
    must(serve_fleet_decide(&w->fleet, &device, checkin, &decision, &e));
    if (decision.action == ROLLOUT_ACTION_INSTALL) {
        d->phase = 1;
        d->attempt = decision.attempt;
        d->bundle = decision.bundle;
    } else if (decision.action == ROLLOUT_ACTION_SHAM) {
        cr_assert(d->phase == 0 && !d->runs && keys_digest_equal(&decision.bundle, &w->old));
        cr_assert_str_eq(decision.rollout, "r");
        d->phase = 4;
        d->shams++;
        d->attempt = decision.attempt;
    } else if (decision.action == ROLLOUT_ACTION_REVERT)
        d->phase = 3;
    else if (decision.action == ROLLOUT_ACTION_CANCEL)
        d->phase = 0;
    small_fleet_note(w, i, &decision);
    must(store_device_put(w->fleet.db, &device, &e));
    store_device_clear(&device);
    return decision.action;
}

// ── Time ──

static inline void small_fleet_tick(struct small_fleet *w) {
    struct err e = ERR_NONE;
    if (w->restarts)
        small_fleet_restart(w);
    must(serve_fleet_tick(&w->fleet, &e));
}

// One second: a third of the devices checks in, and the tick passes.
static inline void small_fleet_second(struct small_fleet *w) {
    struct err e = ERR_NONE;
    w->fleet.now_ms += 1000;
    must(store_db_begin(w->fleet.db, &e));
    for (size_t i = 0; i < w->n; i++)
        if ((w->fleet.now_ms / 1000 + (int64_t)i) % 3 == 0 && !w->devices[i].quiet)
            (void)small_fleet_check_in(w, i);
    small_fleet_tick(w);
    must(store_db_commit(w->fleet.db, &e));
}

static inline void small_fleet_pass(struct small_fleet *w, int seconds) {
    for (int i = 0; i < seconds; i++)
        small_fleet_second(w);
}

static inline enum rollout_state small_fleet_state(struct small_fleet *w) {
    return small_fleet_rollout(w)->row.progress.state;
}

// Until it is in that state; fails when it is not within so many seconds.
static inline void small_fleet_until(struct small_fleet *w, enum rollout_state state, int seconds) {
    for (int i = 0; i < seconds && small_fleet_state(w) != state; i++)
        small_fleet_second(w);
    cr_assert_eq(small_fleet_state(w), state, "%s after %d s: %s",
                 rollout_advance_state_name(small_fleet_state(w)), seconds,
                 small_fleet_rollout(w)->row.progress.why.text);
}
