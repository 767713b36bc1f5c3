// SPDX-License-Identifier: Apache-2.0
//
// How fast and when.
#include "ctl/rollout/policy/pace.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/rollout/policy/read.h"

const char *const policy_pace_batch_members[] = {"start", "factor", "max", "on", NULL};
const char *const policy_pace_windows_members[] = {"download", "install", NULL};
const char *const policy_pace_window_members[] = {"start", "end", "days", NULL};
const char *const policy_pace_retries_members[] = {"max",     "delay_s", "delay",
                                                   "backoff", "codes",   NULL};
const char *const policy_pace_timeouts_members[] = {"offered_s", "offered",     "staged_s",
                                                    "staged",    "activated_s", "activated",
                                                    "stuck_s",   "stuck",       NULL};

static const char *const batch_on_names[] = {"succeeded", "notified"};
static const char *const scope_names[] = {"all", "activated"};

static const struct policy_read_range factor = {ROLLOUT_PPM, 10 * ROLLOUT_PPM,
                                                "a factor from 1 to 10"};

_Static_assert(ROLLOUT_POLICY_BACKOFF_MAX_PPM == 10 * ROLLOUT_PPM &&
                   ROLLOUT_POLICY_FACTOR_MAX_PPM == 10 * ROLLOUT_PPM,
               "the text says so");

static int read_factor(const struct doc_at *at, const char *key, uint32_t *io, struct err *e) {
    uint64_t ppm = *io;
    if (policy_read_ratio(at, key, &factor, &ppm, e) < 0)
        return -1;
    *io = (uint32_t)ppm;
    return 0;
}

static int read_batch(const struct doc_at *root, struct rollout_policy *ret, struct err *e) {
    struct rollout_batch_policy *batch = &ret->batch;
    struct doc_at at;
    unsigned on = 0;
    int found = doc_object_opt(root, "batch", &at, e);
    if (found < 0)
        return policy_read_config(e);
    if (found == DOC_ABSENT && ret->gates.n == 0)
        return 0;
    batch->start = ROLLOUT_POLICY_BATCH_START_DEFAULT;
    batch->factor_ppm = ROLLOUT_POLICY_BATCH_FACTOR_DEFAULT_PPM;
    if (found == DOC_ABSENT)
        return 0;
    if (doc_no_unknown(&at, policy_pace_batch_members, e) < 0 ||
        doc_u64_opt(&at, "start", 1, ROLLOUT_POLICY_COUNT_MAX, &batch->start, e) < 0 ||
        doc_u64_opt(&at, "max", 0, ROLLOUT_POLICY_COUNT_MAX, &batch->max, e) < 0)
        return policy_read_config(e);
    if (read_factor(&at, "factor", &batch->factor_ppm, e) < 0 ||
        policy_read_choice(&at, "on", batch_on_names, 2, "\"succeeded\" or \"notified\"", &on, e) <
            0)
        return -1;
    batch->on_notified = on == 1;
    if (batch->max != 0 && batch->max < batch->start)
        return policy_read_wrong(&at, "max", "0 for no limit, or at least start", e);
    return 0;
}

// "HH:MM-HH:MM", on all days.
static bool is_span(const json_t *value, struct bundle_window *ret) {
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) != 11 || text[5] != '-')
        return false;
    int start = bundle_window_minute(text), end = bundle_window_minute(text + 6);
    *ret = (struct bundle_window){.days = BUNDLE_WINDOW_EVERY_DAY};
    if (start < 0 || end < 0)
        return false;
    ret->start_min = (uint16_t)start;
    ret->end_min = (uint16_t)end;
    return true;
}

static int read_window_list(const struct doc_at *at, const char *key,
                            struct bundle_window_list *ret, struct err *e) {
    struct doc_at list, one;
    int found = doc_array_opt(at, key, BUNDLE_WINDOWS_MAX, &list, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    ret->n = json_array_size(list.value);
    for (size_t i = 0; i < ret->n; i++) {
        struct bundle_window *w = &ret->list[i];
        const json_t *value = json_array_get(list.value, i);
        if (json_is_object(value) && (doc_element(&list, i, &one, e) < 0 ||
                                      doc_no_unknown(&one, policy_pace_window_members, e) < 0 ||
                                      bundle_window_read(&one, w, e) < 0))
            return policy_read_config(e);
        // Always open, or never: a mistake either way.
        if ((!json_is_object(value) && !is_span(value, w)) || w->days == 0 ||
            (w->days == BUNDLE_WINDOW_EVERY_DAY && w->start_min == w->end_min))
            return policy_read_wrong(
                at, key,
                "spans of the device's day, \"22:00-06:00\" or {\"start\": "
                "\"22:00\", \"end\": \"06:00\", \"days\": [\"sat\"]}, from 00:00 "
                "to 23:59, whose ends differ unless days are given",
                e);
    }
    return 0;
}

static int read_windows(const struct doc_at *root, struct bundle_windows *ret, struct err *e) {
    struct doc_at at;
    int found = doc_object_opt(root, "windows", &at, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    if (doc_no_unknown(&at, policy_pace_windows_members, e) < 0)
        return policy_read_config(e);
    if (read_window_list(&at, "download", &ret->download, e) < 0)
        return -1;
    return read_window_list(&at, "install", &ret->install, e);
}

static int read_codes(const struct doc_at *at, struct rollout_retries *ret, struct err *e) {
    struct doc_at codes;
    int found = doc_array_opt(at, "codes", ROLLOUT_POLICY_CODES_MAX, &codes, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    ret->n_codes = json_array_size(codes.value);
    for (size_t i = 0; i < ret->n_codes; i++) {
        const char *code = NULL;
        if (doc_element_string(&codes, i, ERR_NAME_BYTES - 1, &code, e) < 0)
            return policy_read_config(e);
        if (!text_is_name(code, ERR_NAME_BYTES - 1))
            return policy_read_wrong(at, "codes", "codes of errors, like \"unreachable\"", e);
        policy_read_copy(ret->codes[i], sizeof ret->codes[i], code);
    }
    return 0;
}

static int read_retries(const struct doc_at *root, struct rollout_retries *ret, struct err *e) {
    struct doc_at at;
    uint64_t max = 0;
    int found = doc_object_opt(root, "retries", &at, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    if (doc_no_unknown(&at, policy_pace_retries_members, e) < 0 ||
        doc_u64(&at, "max", 1, ROLLOUT_POLICY_RETRIES_MAX, &max, e) < 0)
        return policy_read_config(e);
    ret->max = (uint32_t)max;
    ret->delay_s = ROLLOUT_POLICY_RETRY_DELAY_DEFAULT_S;
    ret->backoff_ppm = ROLLOUT_POLICY_RETRY_BACKOFF_DEFAULT_PPM;
    if (policy_read_duration(&at, "delay_s", 0, &ret->delay_s, e) < 0 ||
        read_factor(&at, "backoff", &ret->backoff_ppm, e) < 0)
        return -1;
    return read_codes(&at, ret, e);
}

static int read_timeouts(const struct doc_at *root, struct rollout_policy *policy, struct err *e) {
    struct rollout_timeouts *ret = &policy->timeouts;
    const uint64_t *const silence[] = {&ret->offered_s, &ret->staged_s, &ret->activated_s};
    struct doc_at at;
    int found = doc_object_opt(root, "timeouts", &at, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    if (doc_no_unknown(&at, policy_pace_timeouts_members, e) < 0)
        return policy_read_config(e);
    if (policy_read_duration(&at, "offered_s", 1, &ret->offered_s, e) < 0 ||
        policy_read_duration(&at, "staged_s", 1, &ret->staged_s, e) < 0 ||
        policy_read_duration(&at, "activated_s", 1, &ret->activated_s, e) < 0 ||
        policy_read_duration(&at, "stuck_s", 1, &ret->stuck_s, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof silence / sizeof *silence && ret->stuck_s > 0; i++)
        if (ret->stuck_s < (*silence[i] == 0 ? policy->timeout_s : *silence[i]))
            return policy_read_wrong(&at, "stuck_s",
                                     "at least as long as each of the timeouts: a device that "
                                     "calls gets as much time as one that is silent",
                                     e);
    return 0;
}

static int read_stones(const struct doc_at *root, struct rollout_policy *ret, struct err *e) {
    struct doc_at stones;
    int found = doc_array_opt(root, "stepping_stones", ROLLOUT_POLICY_STONES_MAX, &stones, e);
    if (found != 0)
        return found < 0 ? policy_read_config(e) : 0;
    ret->n_stones = json_array_size(stones.value);
    for (size_t i = 0; i < ret->n_stones; i++) {
        const char *text = NULL;
        struct rollout_stone *stone = &ret->stones[i];
        if (doc_element_string(&stones, i, BUNDLE_NAME_MAX + 1 + BUNDLE_RELEASE_MAX, &text, e) < 0)
            return policy_read_config(e);
        if (policy_read_release(root, "stepping_stones", text, stone->name, stone->version, e) < 0)
            return -1;
        if (strcmp(stone->name, ret->release_name) == 0 &&
            strcmp(stone->version, ret->release_version) == 0)
            return policy_read_wrong(root, "stepping_stones",
                                     "releases other than the one that is rolled out", e);
    }
    return 0;
}

static int read_priority(const struct doc_at *root, int *ret, struct err *e) {
    const json_t *value = json_object_get(root->value, "priority");
    if (value == NULL || json_is_null(value))
        return 0;
    json_int_t priority = json_integer_value(value);
    if (!json_is_integer(value) || priority < -ROLLOUT_POLICY_PRIORITY_MAX ||
        priority > ROLLOUT_POLICY_PRIORITY_MAX)
        return policy_read_wrong(root, "priority", "an integer from -1000 to 1000", e);
    *ret = (int)priority;
    return 0;
}

int policy_pace_parse(const struct doc_at *root, struct rollout_policy *ret, struct err *e) {
    unsigned scope = ROLLOUT_REVERT_ALL;
    uint64_t rate = ROLLOUT_POLICY_REVERT_RATE_DEFAULT, offers = 0;
    if (read_batch(root, ret, e) < 0 || read_windows(root, &ret->windows, e) < 0 ||
        read_retries(root, &ret->retries, e) < 0 || read_timeouts(root, ret, e) < 0 ||
        read_stones(root, ret, e) < 0 || read_priority(root, &ret->priority, e) < 0 ||
        policy_read_choice(root, "revert_scope", scope_names, 2, "\"all\" or \"activated\"", &scope,
                           e) < 0)
        return -1;
    if (doc_u64_opt(root, "revert_rate", 0, ROLLOUT_POLICY_REVERT_RATE_MAX, &rate, e) < 0 ||
        doc_u64_opt(root, "offer_rate", 0, ROLLOUT_POLICY_OFFER_RATE_MAX, &offers, e) < 0)
        return policy_read_config(e);
    ret->revert_scope = (enum rollout_revert_scope)scope;
    ret->revert_rate = (uint32_t)rate;
    ret->offer_rate = (uint32_t)offers;
    return 0;
}

// ── The normal form ──

static json_t *batch_json(const struct rollout_batch_policy *batch) {
    if (batch->start == 0)
        return json_null();
    return json_pack("{s:I, s:o, s:I, s:s}", "start", (json_int_t)batch->start, "factor",
                     policy_read_ratio_json(batch->factor_ppm), "max", (json_int_t)batch->max, "on",
                     batch_on_names[batch->on_notified]);
}

static json_t *window_json(const struct bundle_window *w) {
    if (w->days != BUNDLE_WINDOW_EVERY_DAY)
        return bundle_window_format(w);
    return json_sprintf("%02d:%02d-%02d:%02d", w->start_min / 60, w->start_min % 60,
                        w->end_min / 60, w->end_min % 60);
}

static json_t *windows_json(const struct bundle_window_list *windows) {
    json_t *all = json_array();
    for (size_t i = 0; i < windows->n; i++)
        (void)json_array_append_new(all, window_json(&windows->list[i]));
    return all;
}

static json_t *retries_json(const struct rollout_retries *retries) {
    if (retries->max == 0)
        return json_null();
    json_t *codes = json_array();
    for (size_t i = 0; i < retries->n_codes; i++)
        (void)json_array_append_new(codes, json_string(retries->codes[i]));
    return json_pack("{s:I, s:I, s:o, s:o}", "max", (json_int_t)retries->max, "delay_s",
                     (json_int_t)retries->delay_s, "backoff",
                     policy_read_ratio_json(retries->backoff_ppm), "codes", codes);
}

static json_t *seconds_json(uint64_t seconds) {
    return seconds == 0 ? json_null() : json_integer((json_int_t)seconds);
}

int policy_pace_format(const struct rollout_policy *p, json_t *io) {
    json_t *stones = json_array();
    for (size_t i = 0; i < p->n_stones; i++)
        (void)json_array_append_new(stones,
                                    json_sprintf("%s %s", p->stones[i].name, p->stones[i].version));
    json_t *made = json_pack(
        "{s:o, s:{s:o, s:o}, s:o, s:{s:o, s:o, s:o, s:o}, s:i, s:o, s:s, s:I, s:I}", "batch",
        batch_json(&p->batch), "windows", "download", windows_json(&p->windows.download), "install",
        windows_json(&p->windows.install), "retries", retries_json(&p->retries), "timeouts",
        "offered_s", seconds_json(p->timeouts.offered_s), "staged_s",
        seconds_json(p->timeouts.staged_s), "activated_s", seconds_json(p->timeouts.activated_s),
        "stuck_s", seconds_json(p->timeouts.stuck_s), "priority", p->priority, "stepping_stones",
        stones, "revert_scope", scope_names[p->revert_scope], "revert_rate",
        (json_int_t)p->revert_rate, "offer_rate", (json_int_t)p->offer_rate);
    int done = made == NULL ? -1 : json_object_update(io, made);
    json_decref(made);
    return done;
}
