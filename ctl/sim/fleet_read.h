// SPDX-License-Identifier: Apache-2.0
//
// The parts of a fleet file (fleet.h), each read from its member. Kind config for every mistake.
#pragma once

#include "base/doc.h"
#include "ctl/sim/fleet.h"

// "at.key: expected …", kind config. Returns -1.
int sim_fleet_wrong(const struct doc_at *at, const char *key, const char *expected, struct err *e)
    __attribute__((nonnull));
// Any mistake the getters of base/doc found is one of the configuration. Returns -1.
int sim_fleet_as_config(struct err *e) __attribute__((nonnull));
// Refuses members that are not in the list.
int sim_fleet_known(const struct doc_at *at, const char *const *known, struct err *e)
    __attribute__((nonnull));
// A name of letters, digits, '.', '_', '-', '+'.
int sim_fleet_name(const struct doc_at *at, const char *key, size_t max, char *ret, struct err *e)
    __attribute__((nonnull));
// Absent: *ret stays. Seconds or text with a unit, from min_s on; a percentage; a number that is
// neither an infinity nor below zero; a decimal within ±SIM_FLEET_VALUE_LIMIT.
int sim_fleet_seconds(const struct doc_at *at, const char *key, uint64_t min_s, uint64_t *ret,
                      struct err *e) __attribute__((nonnull));
int sim_fleet_percent(const struct doc_at *at, const char *key, uint32_t *ret_ppm, struct err *e)
    __attribute__((nonnull));
int sim_fleet_rate(const struct doc_at *at, const char *key, uint64_t max, uint64_t *ret_ppm,
                   struct err *e) __attribute__((nonnull));
int sim_fleet_decimal(const struct doc_at *at, const char *key, struct decimal *ret, struct err *e)
    __attribute__((nonnull));

// The members "zones", "facts", "kinds", "metrics", "release".
int sim_fleet_zones_read(const struct doc_at *at, struct sim_fleet *io, struct err *e)
    __attribute__((nonnull));
int sim_fleet_facts_read(const struct doc_at *at, struct sim_fleet_facts *ret, struct err *e)
    __attribute__((nonnull));
int sim_fleet_kinds_read(const struct doc_at *at, uint64_t poll_s, struct sim_fleet *io,
                         struct err *e) __attribute__((nonnull));
int sim_fleet_metrics_read(const struct doc_at *at, struct sim_fleet *io, struct err *e)
    __attribute__((nonnull));
int sim_fleet_release_read(const struct doc_at *at, struct sim_fleet *io, struct err *e)
    __attribute__((nonnull));
