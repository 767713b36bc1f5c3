// SPDX-License-Identifier: Apache-2.0
//
// When windows are open, and how they are written.
#include <criterion/criterion.h>
#include <string.h>

#include "bundle/window.h"
#include "keys/canon.h"

static struct bundle_window_list one(unsigned start_min, unsigned end_min, unsigned days) {
    return (struct bundle_window_list){
        .n = 1, .list = {{(uint16_t)start_min, (uint16_t)end_min, (uint8_t)days}}};
}

Test(window, opens_and_closes_at_its_minutes) {
    struct bundle_window_list w = one(120, 240, BUNDLE_WINDOW_EVERY_DAY);
    cr_expect_eq(bundle_window_wait_min(&w, 3, 119), 1);
    cr_expect_eq(bundle_window_wait_min(&w, 3, 120), 0);
    cr_expect_eq(bundle_window_wait_min(&w, 3, 239), 0);
    cr_expect_eq(bundle_window_wait_min(&w, 3, 240), 1440 - 120);
}

Test(window, over_midnight_it_belongs_to_the_day_it_begins) {
    struct bundle_window_list w = one(1380, 60, 1U << 5);
    cr_expect_eq(bundle_window_wait_min(&w, 5, 1380), 0);
    cr_expect_eq(bundle_window_wait_min(&w, 6, 59), 0);
    cr_expect_eq(bundle_window_wait_min(&w, 6, 60), 6 * 1440 + 1380 - 60);
    cr_expect_eq(bundle_window_wait_min(&w, 5, 30), 1350);
}

Test(window, equal_ends_are_a_whole_day) {
    struct bundle_window_list w = one(0, 0, 1U << 6);
    cr_expect_eq(bundle_window_wait_min(&w, 6, 0), 0);
    cr_expect_eq(bundle_window_wait_min(&w, 6, 1439), 0);
    cr_expect_eq(bundle_window_wait_min(&w, 0, 0), 6 * 1440);
}

Test(window, without_one_nothing_waits_and_without_a_day_nothing_opens) {
    struct bundle_window_list none = {.n = 0}, never = one(0, 60, 0);
    for (unsigned day = 0; day < 7; day++) {
        cr_expect_eq(bundle_window_wait_min(&none, day, 1439), 0);
        cr_expect_eq(bundle_window_wait_min(&never, day, 30), BUNDLE_WINDOW_WEEK_MIN);
    }
}

Test(window, of_several_the_one_that_opens_first_counts_and_they_may_overlap) {
    struct bundle_window_list w = {.n = 3,
                                   .list = {{600, 720, BUNDLE_WINDOW_EVERY_DAY},
                                            {660, 780, BUNDLE_WINDOW_EVERY_DAY},
                                            {1320, 60, 1U << 1}}};
    cr_expect_eq(bundle_window_wait_min(&w, 2, 540), 60);
    cr_expect_eq(bundle_window_wait_min(&w, 2, 730), 0, "the second goes on");
    cr_expect_eq(bundle_window_wait_min(&w, 2, 780), 1440 - 780 + 600);
    cr_expect_eq(bundle_window_wait_min(&w, 1, 780), 540, "the third");
    cr_expect_eq(bundle_window_wait_min(&w, 2, 59), 0, "of yesterday");
}

Test(window, every_minute_of_the_week_is_open_or_leads_to_an_open_one) {
    struct bundle_window_list w = one(1320, 90, 0x12);
    w.n = 2;
    w.list[1] = (struct bundle_window){.start_min = 300, .end_min = 301, .days = 0x40};
    for (unsigned at = 0; at < BUNDLE_WINDOW_WEEK_MIN; at++) {
        unsigned wait =
            bundle_window_wait_min(&w, at / BUNDLE_WINDOW_DAY_MIN, at % BUNDLE_WINDOW_DAY_MIN);
        for (unsigned ahead = 0; ahead <= wait; ahead++) {
            unsigned then = (at + ahead) % BUNDLE_WINDOW_WEEK_MIN;
            unsigned left = bundle_window_wait_min(&w, then / BUNDLE_WINDOW_DAY_MIN,
                                                   then % BUNDLE_WINDOW_DAY_MIN);
            cr_assert_eq(left, wait - ahead, "minute %u, %u later", at, ahead);
        }
    }
}

static int parse(const char *text, struct bundle_windows *ret, struct err *e) {
    static const struct doc_limits limits = {.bytes = 65536, .depth = 8, .values = 1000};
    struct slice raw = {(const uint8_t *)text, strlen(text)};
    json_t *document = NULL;
    struct doc_at at;
    cr_assert_eq(doc_parse(raw, "it", &limits, &document, e), 0, "%s", e->text);
    cr_assert_eq(doc_root(document, "it", &at, e), 0);
    memset(ret, 0, sizeof *ret);
    int done = bundle_window_all_read(&at, ret, e);
    json_decref(document);
    return done;
}

Test(window, what_is_written_is_read_as_it_was) {
    struct bundle_windows w, back;
    struct err e = ERR_NONE;
    cr_assert_eq(parse("{}", &w, &e), 0);
    cr_expect_not(bundle_window_any(&w));
    cr_assert_eq(parse("{\"windows\":{\"install\":[{\"start\":\"23:59\",\"end\":\"00:00\","
                       "\"days\":[\"sat\",\"sun\",\"wed\"]},{\"end\":\"06:00\",\"start\":"
                       "\"22:05\",\"x\":1}]}}",
                       &w, &e),
                 0, "%s", e.text);
    cr_expect(bundle_window_any(&w));
    cr_expect_eq(w.download.n, 0);
    cr_assert_eq(w.install.n, 2);
    cr_expect_eq(w.install.list[0].start_min, 1439);
    cr_expect_eq(w.install.list[0].end_min, 0);
    cr_expect_eq(w.install.list[0].days, 1U << 6 | 1U << 0 | 1U << 3);
    cr_expect_eq(w.install.list[1].start_min, 22 * 60 + 5);
    cr_expect_eq(w.install.list[1].days, BUNDLE_WINDOW_EVERY_DAY);
    json_t *document = json_pack("{s:o}", "windows", bundle_window_all_format(&w));
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    cr_expect_str_eq(text, "{\"windows\":{\"download\":[],\"install\":[{\"days\":[\"sun\",\"wed\","
                           "\"sat\"],\"end\":\"00:00\",\"start\":\"23:59\"},{\"end\":\"06:00\","
                           "\"start\":\"22:05\"}]}}");
    cr_assert_eq(parse(text, &back, &e), 0, "%s", e.text);
    cr_expect_eq(memcmp(&w.install.list[0].days, &back.install.list[0].days, 1), 0);
    cr_expect_eq(back.install.list[1].end_min, 360);
    free(text);
    json_decref(document);
}

Test(window, what_is_no_window_is_refused_by_name) {
    static const struct {
        const char *text, *named;
    } rows[] = {
        {"{\"windows\":1}", "windows"},
        {"{\"windows\":{\"install\":1}}", "install"},
        {"{\"windows\":{\"install\":[1]}}", "install[0]"},
        {"{\"windows\":{\"download\":[{\"end\":\"01:00\"}]}}", "download[0].start"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:00\"}]}}", "download[0].end"},
        {"{\"windows\":{\"download\":[{\"start\":\"1:00\",\"end\":\"02:00\"}]}}", "start"},
        {"{\"windows\":{\"download\":[{\"start\":\"\",\"end\":\"02:00\"}]}}", "start"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:000\",\"end\":\"02:00\"}]}}", "start"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"24:00\"}]}}", "end"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"02:60\"}]}}", "end"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"02:00\",\"days\":"
         "[]}]}}",
         "days"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"02:00\",\"days\":"
         "[\"Mon\"]}]}}",
         "days"},
        {"{\"windows\":{\"download\":[{\"start\":\"01:00\",\"end\":\"02:00\",\"days\":"
         "\"mon\"}]}}",
         "days"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bundle_windows w;
        struct err e = ERR_NONE;
        cr_assert_lt(parse(rows[i].text, &w, &e), 0, "%s", rows[i].text);
        cr_expect(err_is(&e, &err_syntax), "%s: %s", rows[i].text, e.text);
        cr_expect(strstr(e.text, rows[i].named), "%s: %s", rows[i].named, e.text);
    }
}
