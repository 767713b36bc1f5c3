// SPDX-License-Identifier: Apache-2.0
//
// Reports: what is written is read again, and what is malformed is not.
#include "tests/unit/bundle/wire.h"

#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/report.h"
#include "keys/envelope.h"

static int parse(json_t *document, struct bundle_report *ret, struct err *e) {
    struct doc_at at;
    if (!json_is_object(document))
        return err_set(e, &err_bad_message, "not an object");
    cr_assert_eq(doc_root(document, "report", &at, e), 0);
    return bundle_report_parse(&at, ret, e);
}

static int read_report(json_t *document, struct err *e) {
    struct bundle_report report;
    memset(&report, 0x5a, sizeof report);
    int got = parse(document, &report, e);
    for (size_t i = 0; got < 0 && i < sizeof report; i++)
        cr_assert_eq(((unsigned char *)&report)[i], 0x5a, "output touched on failure");
    if (got < 0)
        return got;
    // Whatever is accepted is written so that it reads the same.
    struct bundle_report again;
    OWN(json) json_t *written = bundle_report_format(&report);
    cr_assert(written);
    cr_assert_eq(parse(written, &again, e), 0, "%s", e->text);
    cr_assert_eq(memcmp(&report, &again, sizeof report), 0);
    return 0;
}

Test(report, cases) {
    wire_cases("report", read_report);
}

Test(report, hostile_values_in_every_place_are_refused_cleanly) {
    OWN(mem)
    char *text = wire_file(EDGE_SOURCE_DIR "/tests/data/wire/report/valid/full/message.json");
    OWN(json) json_t *document = wire_json(text);
    struct wire_swapped count = {0, 0};
    wire_swap(document, document, read_report, &count);
    cr_assert_gt(count.refused, count.read / 2);
    static const char *const optional[] = {"at", "bytes", NULL};
    wire_omit(document, read_report, optional);
}

Test(report, bytes_by_kind_come_back_and_are_written_only_when_there_are_any) {
    struct bundle_report report = {.id = 1, .at_s = -1, .event = BUNDLE_EVENT_STAGED}, back;
    struct err e = ERR_NONE;
    OWN(json) json_t *without = bundle_report_format(&report);
    cr_assert_null(json_object_get(without, "bytes"));
    cr_assert_eq(parse(without, &back, &e), 0, "%s", e.text);
    cr_assert_not(back.has_bytes);
    report.has_bytes = true;
    report.bytes = (struct bundle_report_bytes){
        .delta = 1, .range = 2, .full = 3, .index = 4, .cache = 5, .reused = KEYS_VERSION_MAX};
    OWN(json) json_t *with = bundle_report_format(&report);
    cr_assert_eq(json_object_size(json_object_get(with, "bytes")), 6);
    cr_assert_eq(parse(with, &back, &e), 0, "%s", e.text);
    cr_assert(back.has_bytes);
    cr_assert_eq(memcmp(&back.bytes, &report.bytes, sizeof back.bytes), 0);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(with, "bytes"), "index")), 4);
}

Test(report, every_event_has_a_name_that_is_read_back) {
    for (enum bundle_event event = 0; event < BUNDLE_EVENTS; event++) {
        struct bundle_report report = {.id = 1, .at_s = -1, .event = event}, back;
        struct err e = ERR_NONE;
        OWN(json) json_t *written = bundle_report_format(&report);
        cr_assert_eq(parse(written, &back, &e), 0, "%s", e.text);
        cr_assert_eq(back.event, event);
        cr_assert_eq(back.at_s, -1);
        cr_assert_not(back.has_bundle);
        cr_assert(json_is_null(json_object_get(written, "at")));
    }
}

Test(report, output_that_is_not_text_is_escaped_and_still_sent) {
    struct bundle_report report = {.id = 1, .at_s = 0, .detail = "ok \xff\xfe\n", .text = "\xc3"},
                         back;
    struct err e = ERR_NONE;
    OWN(json) json_t *written = bundle_report_format(&report);
    cr_assert(written);
    cr_assert_eq(parse(written, &back, &e), 0, "%s", e.text);
    cr_assert_str_eq(back.detail, "ok \\xFF\\xFE\\n");
    cr_assert_eq(back.at_s, 0);
    memset(report.detail, 0xff, sizeof report.detail - 1);
    OWN(json) json_t *full = bundle_report_format(&report);
    cr_assert_eq(parse(full, &back, &e), 0, "%s", e.text);
    cr_assert(text_is_utf8(back.detail, strlen(back.detail)));
}
