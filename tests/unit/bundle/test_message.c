// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing messages when memory runs out: at the first allocation, the second, … until
// it succeeds. Each time it says so, and nothing leaks (the sanitizer watches).
#include "tests/unit/bundle/wire.h"

#include "bundle/checkin.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/predicate.h"
#include "bundle/probe.h"
#include "tests/support/alloc_fault.h"

static int rewrite_checkin(json_t *document, struct err *e) {
    struct bundle_checkin m;
    if (bundle_checkin_parse(document, &m, e) < 0)
        return -1;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    int failed = bundle_checkin_format(&m, &text, e);
    bundle_checkin_clear(&m);
    return failed;
}

static int rewrite_answer(json_t *document, struct err *e) {
    struct bundle_answer m;
    if (bundle_checkin_parse_answer(document, &m, e) < 0)
        return -1;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    int failed = bundle_checkin_format_answer(&m, &text, e);
    bundle_checkin_clear_answer(&m);
    return failed;
}

static int rewrite_enroll(json_t *document, struct err *e) {
    struct bundle_enroll m;
    if (bundle_checkin_parse_enroll(document, &m, e) < 0)
        return -1;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    return bundle_checkin_format_enroll(&m, &text, e);
}

static int read_predicate(json_t *document, struct err *e) {
    (void)document;
    OWN(predicate) struct bundle_predicate *predicate = NULL;
    return bundle_predicate_parse("arch in (\"a\", \"b\") or not ram_mb > 3", &predicate, e);
}

static int read_golden(json_t *document, struct err *e) {
    struct doc_at at = {.value = document, .path = "probe"};
    struct bundle_probe probe;
    if (bundle_probe_parse(&at, &probe, e) < 0)
        return -1;
    bundle_probe_clear(&probe);
    return 0;
}

static void until_it_succeeds(const char *what, json_t *document, wire_read *run) {
    for (size_t at = 0; at < 5000; at++) {
        struct err e = ERR_NONE;
        alloc_fault_begin(at, false);
        int got = run(document, &e);
        bool refused = alloc_fault_end();
        if (!refused) {
            cr_assert_eq(got, 0, "%s: %s", what, e.text);
            cr_assert_gt(at, 0, "%s allocates nothing", what);
            return;
        }
        cr_assert(got < 0 && err_is(&e, &err_memory), "%s, allocation %zu: %s: %s", what, at,
                  e.kind ? e.kind->name : "succeeded", e.text);
    }
    cr_assert_fail("%s never succeeded", what);
}

Test(message, memory_that_runs_out_is_said_and_nothing_leaks) {
    static const struct {
        const char *name;
        wire_read *run;
    } rows[] = {
        {"checkin", rewrite_checkin}, {"answer", rewrite_answer}, {"enroll", rewrite_enroll}};
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        (void)snprintf(path, sizeof path,
                       EDGE_SOURCE_DIR "/tests/data/wire/%s/valid/full/message.json", rows[i].name);
        OWN(mem) char *text = wire_file(path);
        OWN(json) json_t *document = wire_json(text);
        until_it_succeeds(rows[i].name, document, rows[i].run);
    }
    until_it_succeeds("predicate", NULL, read_predicate);
    OWN(json)
    json_t *golden = wire_json(
        "{\"component\":\"d\",\"kind\":\"golden\",\"name\":\"g\",\"phase\":\"before\","
        "\"runner\":\"r\",\"element\":\"u8\",\"cases\":[{\"input\":\"a\",\"expected\":\"b\"}]}");
    until_it_succeeds("golden probe", golden, read_golden);
}
