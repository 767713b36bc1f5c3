// SPDX-License-Identifier: Apache-2.0
//
// Numbers, durations, facts and kinds of a fleet file.
#include "ctl/sim/fleet_read.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "bundle/window.h"

int sim_fleet_wrong(const struct doc_at *at, const char *key, const char *expected, struct err *e) {
    return err_set(e, &err_config, "%s.%s: expected %s", at->path, key, expected);
}

int sim_fleet_as_config(struct err *e) {
    if (err_is(e, &err_syntax) || err_is(e, &err_limit))
        e->kind = &err_config;
    return -1;
}

int sim_fleet_known(const struct doc_at *at, const char *const *known, struct err *e) {
    return doc_no_unknown(at, known, e) < 0 ? sim_fleet_as_config(e) : 0;
}

int sim_fleet_name(const struct doc_at *at, const char *key, size_t max, char *ret, struct err *e) {
    const char *text = NULL;
    if (doc_string(at, key, max, &text, e) < 0)
        return sim_fleet_as_config(e);
    if (!text_is_name(text, max))
        return sim_fleet_wrong(at, key, "a name of letters, digits, '.', '_', '-' and '+'", e);
    int n = snprintf(ret, max + 1, "%s", text);
    assert(n >= 0 && (size_t)n <= max);
    return 0;
}

int sim_fleet_seconds(const struct doc_at *at, const char *key, uint64_t min_s, uint64_t *ret,
                      struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    struct err ignored = ERR_NONE;
    uint64_t seconds = 0;
    if (value == NULL || json_is_null(value))
        return 0;
    bool right =
        json_is_string(value) && num_parse_seconds(json_string_value(value), key,
                                                   SIM_FLEET_TIME_MAX_S, &seconds, &ignored) == 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        (uint64_t)json_integer_value(value) <= SIM_FLEET_TIME_MAX_S) {
        seconds = (uint64_t)json_integer_value(value);
        right = true;
    }
    if (!right || seconds < min_s)
        return sim_fleet_wrong(at, key,
                               min_s > 0 ? "a duration like 90, \"15m\", \"2h\" or \"3d\", at "
                                           "least a second and at most 366 days"
                                         : "a duration like 90, \"15m\", \"2h\" or \"3d\", at "
                                           "most 366 days",
                               e);
    *ret = seconds;
    return 0;
}

// An integer, a decimal in text, or a real number.
static bool take_decimal(const json_t *value, int64_t limit, struct decimal *ret) {
    struct err ignored = ERR_NONE;
    if (json_is_integer(value)) {
        if (json_integer_value(value) < -limit || json_integer_value(value) > limit)
            return false;
        *ret = num_decimal_of(json_integer_value(value));
        return true;
    }
    if (json_is_real(value)) {
        double real = json_real_value(value);
        if (!(real >= (double)-limit && real <= (double)limit))
            return false;
        ret->nano = (int64_t)(real * (double)NUM_DECIMAL_SCALE + (real < 0 ? -0.5 : 0.5));
        return true;
    }
    return json_is_string(value) &&
           num_parse_decimal(json_string_value(value), "", ret, &ignored) == 0 &&
           ret->nano >= -limit * NUM_DECIMAL_SCALE && ret->nano <= limit * NUM_DECIMAL_SCALE;
}

int sim_fleet_decimal(const struct doc_at *at, const char *key, struct decimal *ret,
                      struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    struct decimal decimal = {0};
    if (value == NULL || json_is_null(value))
        return 0;
    if (!take_decimal(value, SIM_FLEET_VALUE_LIMIT, &decimal))
        return sim_fleet_wrong(at, key, "a number from -1000000 to 1000000, like 12 or \"0.5\"", e);
    *ret = decimal;
    return 0;
}

int sim_fleet_rate(const struct doc_at *at, const char *key, uint64_t max, uint64_t *ret_ppm,
                   struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    struct decimal decimal = {0};
    char expected[64];
    (void)snprintf(expected, sizeof expected, "a number from 0 to %llu", (unsigned long long)max);
    if (value == NULL || json_is_null(value))
        return 0;
    if (!take_decimal(value, (int64_t)max, &decimal) || decimal.nano < 0)
        return sim_fleet_wrong(at, key, expected, e);
    *ret_ppm = (uint64_t)decimal.nano / 1000;
    return 0;
}

int sim_fleet_percent(const struct doc_at *at, const char *key, uint32_t *ret_ppm, struct err *e) {
    const json_t *value = json_object_get(at->value, key);
    struct decimal decimal = {0};
    if (value == NULL || json_is_null(value))
        return 0;
    if (!take_decimal(value, 100, &decimal) || decimal.nano < 0)
        return sim_fleet_wrong(at, key, "a percentage from 0 to 100", e);
    *ret_ppm = (uint32_t)(decimal.nano / (NUM_DECIMAL_SCALE / 10000));
    return 0;
}

// ── Facts ──

static int read_value(const struct doc_at *at, const char *key, const json_t *value,
                      struct sim_fleet_value *ret, struct err *e) {
    *ret = (struct sim_fleet_value){.weight = 1};
    if (json_is_boolean(value)) {
        ret->type = SIM_FLEET_BOOLEAN;
        ret->number = json_is_true(value) ? 1 : 0;
        return 0;
    }
    if (json_is_integer(value)) {
        ret->type = SIM_FLEET_INTEGER;
        ret->number = json_integer_value(value);
        return 0;
    }
    if (!json_is_string(value) || json_string_length(value) > SIM_FLEET_VALUE_MAX ||
        json_string_length(value) == 0)
        return sim_fleet_wrong(at, key,
                               "a text of at most 64 bytes, an integer, true or false, or an "
                               "object of texts with their weights",
                               e);
    ret->type = SIM_FLEET_TEXT;
    (void)snprintf(ret->text, sizeof ret->text, "%s", json_string_value(value));
    return 0;
}

static int read_weight(const struct doc_at *at, const char *key, const json_t *value, uint32_t *ret,
                       struct err *e) {
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > 1000000)
        return sim_fleet_wrong(at, key, "a weight from 1 to 1000000", e);
    *ret = (uint32_t)json_integer_value(value);
    return 0;
}

// {"A": 60, "B": 40}
static int read_weighted(const struct doc_at *at, const char *key, const json_t *values,
                         struct sim_fleet_fact *ret, struct err *e) {
    const char *text = NULL;
    json_t *weight = NULL;
    if (json_object_size(values) == 0 || json_object_size(values) > SIM_FLEET_VALUES_MAX)
        return sim_fleet_wrong(at, key, "one to 16 values with their weights", e);
    json_object_foreach ((json_t *)(uintptr_t)values, text, weight) {
        struct sim_fleet_value *value = &ret->values[ret->n];
        if (strlen(text) > SIM_FLEET_VALUE_MAX || *text == '\0')
            return sim_fleet_wrong(at, key, "values of 1 to 64 bytes", e);
        *value = (struct sim_fleet_value){.type = SIM_FLEET_TEXT};
        (void)snprintf(value->text, sizeof value->text, "%s", text);
        if (read_weight(at, key, weight, &value->weight, e) < 0)
            return -1;
        ret->weights += value->weight;
        ret->n++;
    }
    return 0;
}

static int by_name(const void *left, const void *right) {
    const struct sim_fleet_fact *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static int by_text(const void *left, const void *right) {
    const struct sim_fleet_value *a = left, *b = right;
    return strcmp(a->text, b->text);
}

int sim_fleet_facts_read(const struct doc_at *at, struct sim_fleet_facts *ret, struct err *e) {
    struct doc_at facts;
    const char *name = NULL;
    json_t *value = NULL;
    int found = doc_object_opt(at, "facts", &facts, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    if (json_object_size(facts.value) > SIM_FLEET_FACTS_MAX)
        return sim_fleet_wrong(at, "facts", "at most 16 of them", e);
    json_object_foreach (facts.value, name, value) {
        struct sim_fleet_fact *fact = &ret->list[ret->n];
        if (!text_is_name(name, BUNDLE_FACT_NAME_MAX))
            return sim_fleet_wrong(&facts, "*", "names of facts, like arch or label.line", e);
        *fact = (struct sim_fleet_fact){.n = 0};
        (void)snprintf(fact->name, sizeof fact->name, "%s", name);
        if (json_is_object(value)) {
            if (read_weighted(&facts, name, value, fact, e) < 0)
                return -1;
            // A document's members have no order that a seed could hold to.
            qsort(fact->values, fact->n, sizeof fact->values[0], by_text);
        } else {
            if (read_value(&facts, name, value, &fact->values[0], e) < 0)
                return -1;
            fact->n = 1;
            fact->weights = 1;
        }
        ret->n++;
    }
    qsort(ret->list, ret->n, sizeof ret->list[0], by_name);
    return 0;
}

// ── Zones ──

// "+05:30"
static bool take_zone(const char *text, int16_t *ret) {
    int minute = text[0] == '+' || text[0] == '-' ? bundle_window_minute(text + 1) : -1;
    if (minute < 0 || text[6] != '\0' || minute > SIM_FLEET_ZONE_MAX_MIN)
        return false;
    *ret = (int16_t)(text[0] == '-' ? -minute : minute);
    return true;
}

static int by_east(const void *left, const void *right) {
    const struct sim_fleet_zone *a = left, *b = right;
    return a->east_min - b->east_min;
}

int sim_fleet_zones_read(const struct doc_at *at, struct sim_fleet *io, struct err *e) {
    struct doc_at zones;
    const char *name = NULL;
    json_t *weight = NULL;
    int found = doc_object_opt(at, "zones", &zones, e);
    if (found != 0)
        return found < 0 ? sim_fleet_as_config(e) : 0;
    if (json_object_size(zones.value) > SIM_FLEET_ZONES_MAX)
        return sim_fleet_wrong(at, "zones", "at most 16 of them", e);
    json_object_foreach (zones.value, name, weight) {
        struct sim_fleet_zone *zone = &io->zones[io->n_zones];
        if (!take_zone(name, &zone->east_min))
            return sim_fleet_wrong(at, "zones",
                                   "hours and minutes from UTC, -14:00 to +14:00, like +05:30, "
                                   "with their weights",
                                   e);
        if (read_weight(&zones, name, weight, &zone->weight, e) < 0)
            return -1;
        io->n_zones++;
    }
    // A document's members have no order that a seed could hold to.
    qsort(io->zones, io->n_zones, sizeof io->zones[0], by_east);
    return 0;
}

// ── Kinds ──

// "20:00-06:00"
static bool take_minutes(const char *text, unsigned *ret_start, unsigned *ret_end) {
    unsigned numbers[4];
    const char *at = text;
    static const char after[] = {':', '-', ':', '\0'};
    for (int i = 0; i < 4; i++) {
        if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9' || at[2] != after[i])
            return false;
        numbers[i] = (unsigned)(at[0] - '0') * 10 + (unsigned)(at[1] - '0');
        at += 3;
    }
    if (numbers[0] > 23 || numbers[1] > 59 || numbers[2] > 23 || numbers[3] > 59)
        return false;
    *ret_start = numbers[0] * 60 + numbers[1];
    *ret_end = numbers[2] * 60 + numbers[3];
    return *ret_start != *ret_end;
}

static int read_kind(const struct doc_at *at, struct sim_fleet_kind *io, struct err *e) {
    static const char *const known[] = {"name",     "weight", "poll_s", "off",
                                        "loss_pct", "facts",  NULL};
    const char *off = NULL;
    uint64_t weight = 1;
    if (sim_fleet_known(at, known, e) < 0 ||
        sim_fleet_name(at, "name", BUNDLE_NAME_MAX, io->name, e) < 0 ||
        sim_fleet_seconds(at, "poll_s", 1, &io->poll_s, e) < 0 ||
        sim_fleet_percent(at, "loss_pct", &io->loss_ppm, e) < 0 ||
        sim_fleet_facts_read(at, &io->facts, e) < 0)
        return -1;
    if (doc_u64_opt(at, "weight", 1, 1000000, &weight, e) < 0)
        return sim_fleet_as_config(e);
    io->weight = (uint32_t)weight;
    int found = doc_string_opt(at, "off", 16, &off, e);
    if (found < 0)
        return sim_fleet_as_config(e);
    io->has_off = found == 0;
    if (io->has_off && !take_minutes(off, &io->off_start_min, &io->off_end_min))
        return sim_fleet_wrong(at, "off", "a part of the day like \"20:00-06:00\"", e);
    return 0;
}

int sim_fleet_kinds_read(const struct doc_at *at, uint64_t poll_s, struct sim_fleet *io,
                         struct err *e) {
    struct doc_at kinds, kind;
    int found = doc_array_opt(at, "kinds", SIM_FLEET_KINDS_MAX, &kinds, e);
    if (found < 0)
        return sim_fleet_as_config(e);
    if (found == DOC_ABSENT) {
        io->n_kinds = 1;
        io->kinds[0] = (struct sim_fleet_kind){.name = "all", .weight = 1, .poll_s = poll_s};
        return 0;
    }
    io->n_kinds = json_array_size(kinds.value);
    if (io->n_kinds == 0)
        return sim_fleet_wrong(at, "kinds", "at least one", e);
    for (size_t i = 0; i < io->n_kinds; i++) {
        if (doc_element(&kinds, i, &kind, e) < 0)
            return sim_fleet_as_config(e);
        io->kinds[i] = (struct sim_fleet_kind){.weight = 1, .poll_s = poll_s};
        if (read_kind(&kind, &io->kinds[i], e) < 0)
            return -1;
        for (size_t j = 0; j < i; j++)
            if (strcmp(io->kinds[i].name, io->kinds[j].name) == 0)
                return sim_fleet_wrong(&kind, "name", "a name that no kind before has", e);
    }
    return 0;
}
