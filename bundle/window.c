// SPDX-License-Identifier: Apache-2.0
//
// Windows: when they are open, and their JSON.
#include "bundle/window.h"

#include <assert.h>
#include <string.h>

const char *const bundle_window_days[7] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static bool is_open(const struct bundle_window *w, unsigned weekday, unsigned minute) {
    bool today = w->days >> weekday & 1U;
    bool yesterday = w->days >> ((weekday + 6) % 7) & 1U;
    if (w->start_min < w->end_min)
        return today && minute >= w->start_min && minute < w->end_min;
    return (today && minute >= w->start_min) || (yesterday && minute < w->end_min);
}

static unsigned wait_min(const struct bundle_window *w, unsigned weekday, unsigned minute) {
    if (is_open(w, weekday, minute))
        return 0;
    for (unsigned ahead = 0; ahead <= 7; ahead++) {
        unsigned day = (weekday + ahead) % 7;
        if ((w->days >> day & 1U) && (ahead > 0 || minute < w->start_min))
            return ahead * BUNDLE_WINDOW_DAY_MIN + w->start_min - minute;
    }
    return BUNDLE_WINDOW_WEEK_MIN;
}

unsigned bundle_window_wait_min(const struct bundle_window_list *windows, unsigned weekday,
                                unsigned minute) {
    assert(weekday < 7 && minute < BUNDLE_WINDOW_DAY_MIN);
    unsigned least = windows->n == 0 ? 0 : BUNDLE_WINDOW_WEEK_MIN;
    for (size_t i = 0; i < windows->n; i++) {
        unsigned wait = wait_min(&windows->list[i], weekday, minute);
        least = wait < least ? wait : least;
    }
    return least;
}

int bundle_window_minute(const char *text) {
    for (size_t i = 0; i < 5; i++)
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
            return -1;
    int hour = (text[0] - '0') * 10 + text[1] - '0', minute = (text[3] - '0') * 10 + text[4] - '0';
    return hour > 23 || minute > 59 ? -1 : hour * 60 + minute;
}

static int read_minute(const struct doc_at *at, const char *key, uint16_t *ret, struct err *e) {
    const char *text = NULL;
    if (doc_string(at, key, 16, &text, e) < 0)
        return -1;
    int minute = bundle_window_minute(text);
    if (minute < 0 || text[5] != '\0')
        return err_set(e, &err_syntax, "%s.%s: expected a time of day as \"HH:MM\"", at->path, key);
    *ret = (uint16_t)minute;
    return 0;
}

static int read_days(const struct doc_at *at, uint8_t *ret, struct err *e) {
    struct doc_at list;
    int found = doc_array_opt(at, "days", 7, &list, e);
    *ret = found == 0 ? 0 : BUNDLE_WINDOW_EVERY_DAY;
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (json_array_size(list.value) == 0)
        return err_set(e, &err_syntax, "%s.days: a window on no day never opens", at->path);
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        const char *text = NULL;
        unsigned day = 0;
        if (doc_element_string(&list, i, 8, &text, e) < 0)
            return -1;
        while (day < 7 && strcmp(bundle_window_days[day], text) != 0)
            day++;
        if (day == 7)
            return err_set(e, &err_syntax,
                           "%s.days: expected a list of mon, tue, wed, thu, fri, sat, sun",
                           at->path);
        *ret = (uint8_t)(*ret | 1U << day);
    }
    return 0;
}

int bundle_window_read(const struct doc_at *at, struct bundle_window *ret, struct err *e) {
    struct bundle_window window = {.start_min = 0};
    if (read_minute(at, "start", &window.start_min, e) < 0 ||
        read_minute(at, "end", &window.end_min, e) < 0 || read_days(at, &window.days, e) < 0)
        return -1;
    *ret = window;
    return 0;
}

static int read_list(const struct doc_at *at, const char *key, struct bundle_window_list *ret,
                     struct err *e) {
    struct doc_at list, one;
    int found = doc_array_opt(at, key, BUNDLE_WINDOWS_MAX, &list, e);
    ret->n = found == 0 ? json_array_size(list.value) : 0;
    for (size_t i = 0; i < ret->n; i++)
        if (doc_element(&list, i, &one, e) < 0 || bundle_window_read(&one, &ret->list[i], e) < 0)
            return -1;
    return found < 0 ? -1 : 0;
}

int bundle_window_all_read(const struct doc_at *root, struct bundle_windows *ret, struct err *e) {
    struct doc_at at;
    int found = doc_object_opt(root, "windows", &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    return read_list(&at, "download", &ret->download, e) < 0 ||
                   read_list(&at, "install", &ret->install, e) < 0
               ? -1
               : 0;
}

bool bundle_window_any(const struct bundle_windows *windows) {
    return windows->download.n > 0 || windows->install.n > 0;
}

static json_t *minute_json(unsigned minute) {
    return json_sprintf("%02u:%02u", minute / 60, minute % 60);
}

// A list as a value: NULL unless it is as long as it should be, so that what could not be had for
// want of memory is never left out.
static json_t *whole(json_t *list, size_t n) {
    if (json_array_size(list) == n && list != NULL)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *days_json(unsigned days) {
    json_t *list = json_array();
    for (unsigned day = 0; day < 7; day++)
        if (days >> day & 1U)
            (void)json_array_append_new(list, json_string(bundle_window_days[day]));
    return whole(list, (size_t)__builtin_popcount(days));
}

json_t *bundle_window_format(const struct bundle_window *w) {
    json_t *window =
        json_pack("{s:o, s:o}", "end", minute_json(w->end_min), "start", minute_json(w->start_min));
    if (w->days == BUNDLE_WINDOW_EVERY_DAY ||
        json_object_set_new(window, "days", days_json(w->days)) == 0)
        return window;
    json_decref(window);
    return NULL;
}

static json_t *list_json(const struct bundle_window_list *windows) {
    json_t *list = json_array();
    for (size_t i = 0; i < windows->n; i++)
        (void)json_array_append_new(list, bundle_window_format(&windows->list[i]));
    return whole(list, windows->n);
}

json_t *bundle_window_all_format(const struct bundle_windows *windows) {
    return json_pack("{s:o, s:o}", "download", list_json(&windows->download), "install",
                     list_json(&windows->install));
}
