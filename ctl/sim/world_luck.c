// SPDX-License-Identifier: Apache-2.0
//
// What a run's seed adds to the fleet: outages, faults, readings.
#include <stdlib.h>
#include <string.h>

#include "ctl/sim/world.h"

#define WEEK_S INT64_C(604800)
#define DAY_S  INT64_C(86400)

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulating: out of memory");
}

// ── Outages ──

struct outages {
    size_t n, capacity;
    struct sim_world_outage *list;
};

static int add_outage(struct outages *outages, const struct sim_world_outage *outage,
                      struct err *e) {
    if (outages->n == outages->capacity) {
        size_t capacity = outages->capacity == 0 ? 64 : 2 * outages->capacity;
        void *grown = reallocarray(outages->list, capacity, sizeof *outages->list);
        if (grown == NULL)
            return no_memory(e);
        outages->list = grown;
        outages->capacity = capacity;
    }
    outages->list[outages->n++] = *outage;
    return 0;
}

// So many a week, each at any time of it.
static int roll_outages(const struct sim_world_luck *luck, uint32_t site, uint64_t per_week_ppm,
                        struct outages *ret, struct err *e) {
    struct sim_dice dice = sim_dice_make(luck->seed, site, SIM_WORLD_OUTAGES);
    uint64_t lasts_s = luck->world->fleet->outage_s;
    for (int64_t week_s = luck->start_s; week_s < luck->end_s && per_week_ppm > 0;
         week_s += WEEK_S) {
        uint64_t n = per_week_ppm / SIM_DICE_PPM;
        if (sim_dice_chance(&dice, (uint32_t)(per_week_ppm % SIM_DICE_PPM)))
            n++;
        for (uint64_t i = 0; i < n; i++) {
            int64_t start_s = week_s + (int64_t)sim_dice_below(&dice, (uint64_t)WEEK_S);
            int64_t length_s = (int64_t)(lasts_s / 2 + sim_dice_below(&dice, lasts_s + 1));
            struct sim_world_outage outage = {site, start_s, start_s + length_s};
            if (add_outage(ret, &outage, e) < 0)
                return -1;
        }
    }
    return 0;
}

static int by_site(const void *left, const void *right) {
    const struct sim_world_outage *a = left, *b = right;
    if (a->site != b->site)
        return a->site < b->site ? -1 : 1;
    if (a->start_s != b->start_s)
        return a->start_s < b->start_s ? -1 : 1;
    return (a->end_s > b->end_s) - (a->end_s < b->end_s);
}

static int roll_all(struct sim_world_luck *luck, struct err *e) {
    const struct sim_fleet *fleet = luck->world->fleet;
    struct outages outages = {.n = 0};
    int done = 0;
    for (uint32_t site = 0; done == 0 && site < fleet->sites && fleet->site_outages_ppm > 0; site++)
        done = roll_outages(luck, site, fleet->site_outages_ppm, &outages, e);
    if (done == 0)
        done = roll_outages(luck, (uint32_t)fleet->sites, fleet->fleet_outages_ppm, &outages, e);
    luck->outages = outages.list;
    luck->n_outages = outages.n;
    if (done < 0)
        return -1;
    if (outages.n > 0)
        qsort(luck->outages, luck->n_outages, sizeof *luck->outages, by_site);
    size_t at = 0;
    for (size_t site = 0; site < fleet->sites + 2; site++) {
        while (at < luck->n_outages && luck->outages[at].site < site)
            at++;
        luck->first[site] = at;
    }
    return 0;
}

// Which sites each fault is at, two bytes a site.
static void roll_sites(struct sim_world_luck *luck) {
    const struct sim_fleet *fleet = luck->world->fleet;
    for (size_t i = 0; i < fleet->n_faults; i++)
        for (size_t site = 0; site < fleet->sites; site++) {
            struct sim_dice dice = sim_dice_make(luck->seed, site, SIM_WORLD_FAULTS + 2 * i + 1);
            if (sim_dice_chance(&dice, fleet->faults[i].sites_ppm))
                luck->sites_hit[2 * site + i / 8] |= (uint8_t)(1U << i % 8);
        }
}

int sim_world_roll(const struct sim_world *world, uint64_t seed, int64_t start_s, int64_t end_s,
                   struct sim_world_luck *ret, struct err *e) {
    struct sim_world_luck luck = {.world = world, .seed = seed, .start_s = start_s, .end_s = end_s};
    luck.first = calloc(world->fleet->sites + 2, sizeof *luck.first);
    luck.sites_hit = calloc(world->fleet->sites, 2);
    int done = luck.first == NULL || luck.sites_hit == NULL ? no_memory(e) : roll_all(&luck, e);
    if (done < 0) {
        sim_world_luck_clear(&luck);
        return -1;
    }
    roll_sites(&luck);
    *ret = luck;
    return 0;
}

void sim_world_luck_clear(struct sim_world_luck *luck) {
    free(luck->outages);
    free(luck->first);
    free(luck->sites_hit);
    *luck = (struct sim_world_luck){.world = NULL};
}

static int64_t out_of_outages(const struct sim_world_luck *luck, size_t site, int64_t now_s) {
    for (size_t i = luck->first[site]; i < luck->first[site + 1]; i++) {
        const struct sim_world_outage *outage = &luck->outages[i];
        if (outage->start_s > now_s)
            break;
        if (now_s < outage->end_s)
            now_s = outage->end_s;
    }
    return now_s;
}

static int64_t out_of_hours(const struct sim_fleet_kind *kind, int64_t now_s) {
    int64_t day_s = now_s % DAY_S;
    int64_t start_s = (int64_t)kind->off_start_min * 60, end_s = (int64_t)kind->off_end_min * 60;
    if (!kind->has_off)
        return now_s;
    if (start_s < end_s)
        return day_s >= start_s && day_s < end_s ? now_s + end_s - day_s : now_s;
    if (day_s >= start_s)
        return now_s + DAY_S - day_s + end_s;
    return day_s < end_s ? now_s + end_s - day_s : now_s;
}

int64_t sim_world_reachable_s(const struct sim_world_luck *luck, size_t device, int64_t now_s) {
    const struct sim_fleet *fleet = luck->world->fleet;
    const struct sim_world_device *d = &luck->world->devices[device];
    int64_t at_s = now_s, before_s;
    // One cause can end within another; what lasts for ever is no outage.
    for (int i = 0; i < 16; i++) {
        before_s = at_s;
        at_s = out_of_hours(&fleet->kinds[d->kind], at_s);
        at_s = out_of_outages(luck, d->site, at_s);
        at_s = out_of_outages(luck, fleet->sites, at_s);
        if (at_s == before_s)
            break;
    }
    return at_s;
}

// ── What the release does ──

uint32_t sim_world_faults(const struct sim_world_luck *luck, size_t device) {
    const struct sim_fleet *fleet = luck->world->fleet;
    const struct sim_world_device *d = &luck->world->devices[device];
    uint32_t faults = 0;
    for (size_t i = 0; i < fleet->n_faults; i++) {
        struct sim_dice dice = sim_dice_make(luck->seed, device, SIM_WORLD_FAULTS + 2 * i);
        bool hit = sim_dice_chance(&dice, fleet->faults[i].share_ppm);
        bool here = luck->sites_hit[2 * (size_t)d->site + i / 8] >> i % 8 & 1;
        if (hit && here && d->where >> i & 1)
            faults |= 1U << i;
    }
    return faults;
}

// ── Readings ──

// Within what a decimal can be, so that a few of them add up within 64 bits.
static int64_t cut(__int128 nano) {
    const int64_t most = NUM_DECIMAL_MAX * NUM_DECIMAL_SCALE;
    if (nano > most)
        return most;
    return nano < -most ? -most : (int64_t)nano;
}

static int64_t scaled(struct decimal by, int64_t units) {
    return cut((__int128)by.nano * units / SIM_DICE_WHOLE);
}

static int64_t offset(uint64_t seed, uint64_t subject, size_t metric, struct decimal sd) {
    if (sd.nano == 0)
        return 0;
    struct sim_dice dice = sim_dice_make(seed, subject, SIM_WORLD_OFFSETS + metric);
    return scaled(sd, sim_dice_normal(&dice));
}

// Two parabolas in place of a sine: up by day, down by night.
static int64_t wave(int64_t now_s) {
    const int64_t half = DAY_S / 2;
    int64_t in = now_s % DAY_S, at = in % half;
    int64_t height =
        (int64_t)((__int128)4 * at * (half - at) * SIM_DICE_WHOLE / ((__int128)half * half));
    return in < half ? height : -height;
}

static int64_t shift(const struct sim_fleet *fleet, size_t metric, int64_t running_for_s,
                     uint32_t faults) {
    __int128 sum = 0;
    for (size_t i = 0; i < fleet->n_faults && faults != 0; i++) {
        const struct sim_fleet_fault *fault = &fleet->faults[i];
        bool gauge = fault->kind == SIM_FLEET_METRIC_SHIFT || fault->kind == SIM_FLEET_SLOW_POISON;
        int64_t since_s = running_for_s - (int64_t)fault->after_s;
        if (!gauge || !(faults >> i & 1) || fault->metric != metric || since_s < 0)
            continue;
        sum += fault->kind == SIM_FLEET_METRIC_SHIFT ? fault->by.nano
                                                     : (__int128)fault->by.nano * since_s / DAY_S;
    }
    return cut(sum);
}

int64_t sim_world_read(const struct sim_world_luck *luck, size_t device, size_t metric,
                       int64_t now_s, int64_t running_s, uint32_t faults, struct sim_dice *noise) {
    const struct sim_fleet *fleet = luck->world->fleet;
    const struct sim_fleet_metric *m = &fleet->metrics[metric];
    // Sites have streams behind those of the devices.
    uint64_t site = luck->world->n + luck->world->devices[device].site;
    int64_t value = m->mean.nano + offset(luck->seed, device, metric, m->device_sd) +
                    offset(luck->seed, site, metric, m->site_sd);
    if (m->day.nano != 0)
        value += scaled(m->day, wave(now_s));
    if (m->sd.nano != 0)
        value += scaled(m->sd, m->heavy ? sim_dice_wild(noise) : sim_dice_normal(noise));
    if (running_s >= 0)
        value += shift(fleet, metric, now_s - running_s, faults);
    if (m->step.nano != 0)
        value -= ((value % m->step.nano) + m->step.nano) % m->step.nano;
    return cut(value);
}

static uint64_t times(const struct sim_fleet *fleet, size_t metric, int64_t running_for_s,
                      uint32_t faults) {
    for (size_t i = 0; i < fleet->n_faults && faults != 0; i++)
        if (fleet->faults[i].kind == SIM_FLEET_EVENT_RATE && faults >> i & 1 &&
            fleet->faults[i].metric == metric && running_for_s >= (int64_t)fleet->faults[i].after_s)
            return fleet->faults[i].times_ppm;
    return SIM_DICE_PPM;
}

uint32_t sim_world_count(const struct sim_world_luck *luck, size_t metric, int64_t from_s,
                         int64_t now_s, int64_t running_s, uint32_t faults,
                         struct sim_dice *noise) {
    const struct sim_fleet *fleet = luck->world->fleet;
    unsigned __int128 expected_ppm =
        (unsigned __int128)fleet->metrics[metric].per_day_ppm * (uint64_t)(now_s - from_s);
    if (running_s >= 0)
        expected_ppm =
            expected_ppm * times(fleet, metric, now_s - running_s, faults) / SIM_DICE_PPM;
    expected_ppm /= (uint64_t)DAY_S;
    uint64_t whole = (uint64_t)(expected_ppm / SIM_DICE_PPM);
    bool more = sim_dice_chance(noise, (uint32_t)(expected_ppm % SIM_DICE_PPM));
    whole = whole > UINT32_MAX / 2 ? UINT32_MAX / 2 : whole;
    return (uint32_t)whole + (more ? 1 : 0);
}
