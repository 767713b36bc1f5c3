// SPDX-License-Identifier: Apache-2.0
//
// Enrolment, check-in and answer: cases, hostile values, and that each is written as it is read.
#include "tests/unit/bundle/wire.h"

#include "bundle/checkin.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "keys/kind.h"

static json_t *dumped(struct buf *b) {
    json_t *document = wire_json(buf_text(b));
    buf_clear(b);
    return document;
}

// Reads a check-in, writes it, reads that and writes it again: the two texts are one.
static int read_checkin(json_t *document, struct err *e) {
    struct bundle_checkin m, again;
    memset(&m, 0x5a, sizeof m);
    int got = bundle_checkin_parse(document, &m, e);
    for (size_t i = 0; got < 0 && i < sizeof m; i++)
        cr_assert_eq(((unsigned char *)&m)[i], 0x5a, "output touched on failure");
    if (got < 0)
        return got;
    OWN(buf) struct buf first, second;
    buf_init(&first, BUNDLE_MESSAGE_MAX_BYTES);
    buf_init(&second, BUNDLE_MESSAGE_MAX_BYTES);
    cr_assert_eq(bundle_checkin_format(&m, &first, e), 0, "%s", e->text);
    OWN(json) json_t *written = wire_json(buf_text(&first));
    cr_assert_eq(bundle_checkin_parse(written, &again, e), 0, "%s", e->text);
    cr_assert_eq(bundle_checkin_format(&again, &second, e), 0, "%s", e->text);
    cr_assert_str_eq(buf_text(&first), buf_text(&second));
    bundle_checkin_clear(&m);
    bundle_checkin_clear(&again);
    return 0;
}

static int read_answer(json_t *document, struct err *e) {
    struct bundle_answer m, again;
    int got = bundle_checkin_parse_answer(document, &m, e);
    if (got < 0)
        return got;
    OWN(buf) struct buf first, second;
    buf_init(&first, BUNDLE_MESSAGE_MAX_BYTES);
    buf_init(&second, BUNDLE_MESSAGE_MAX_BYTES);
    cr_assert_eq(bundle_checkin_format_answer(&m, &first, e), 0, "%s", e->text);
    OWN(json) json_t *written = wire_json(buf_text(&first));
    cr_assert_eq(bundle_checkin_parse_answer(written, &again, e), 0, "%s", e->text);
    cr_assert_eq(bundle_checkin_format_answer(&again, &second, e), 0, "%s", e->text);
    cr_assert_str_eq(buf_text(&first), buf_text(&second));
    bundle_checkin_clear_answer(&m);
    bundle_checkin_clear_answer(&again);
    return 0;
}

static int read_enroll(json_t *document, struct err *e) {
    struct bundle_enroll m, again;
    int got = bundle_checkin_parse_enroll(document, &m, e);
    if (got < 0)
        return got;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    cr_assert_eq(bundle_checkin_format_enroll(&m, &text, e), 0, "%s", e->text);
    OWN(json) json_t *written = dumped(&text);
    cr_assert_eq(bundle_checkin_parse_enroll(written, &again, e), 0, "%s", e->text);
    cr_assert_str_eq(m.device, again.device);
    cr_assert_str_eq(m.enroll_token, again.enroll_token);
    cr_assert_str_eq(m.challenge, again.challenge);
    cr_assert_str_eq(m.key.id, again.key.id);
    cr_assert_eq(m.protocol_max, again.protocol_max);
    cr_assert_eq(memcmp(m.signature, again.signature, sizeof m.signature), 0);
    cr_assert(json_equal(m.facts, again.facts));
    return 0;
}

static const struct {
    const char *name;
    wire_read *read;
    const char *optional[10];
} messages[] = {
    {"checkin",
     read_checkin,
     {"dropped", "facts", "look", "metrics", "previous", "progress", "update", "why", NULL}},
    {"answer", read_answer, {"instruction", "refused", "repository", "why", NULL}},
    {"enroll", read_enroll, {"enroll_token", NULL}},
};

static json_t *full(const char *name) {
    char path[512];
    (void)snprintf(path, sizeof path, EDGE_SOURCE_DIR "/tests/data/wire/%s/valid/full/message.json",
                   name);
    OWN(mem) char *text = wire_file(path);
    return wire_json(text);
}

Test(checkin, cases) {
    for (size_t i = 0; i < 3; i++)
        wire_cases(messages[i].name, messages[i].read);
}

Test(checkin, hostile_values_in_every_place_are_refused_cleanly) {
    for (size_t i = 0; i < 3; i++) {
        OWN(json) json_t *document = full(messages[i].name);
        struct wire_swapped count = {0, 0};
        wire_swap(document, document, messages[i].read, &count);
        cr_assert_gt(count.refused, count.read / 3, "%s: %zu of %zu", messages[i].name,
                     count.refused, count.read);
    }
}

Test(checkin, only_what_may_be_absent_may_be_absent) {
    for (size_t i = 0; i < 3; i++) {
        OWN(json) json_t *document = full(messages[i].name);
        wire_omit(document, messages[i].read, messages[i].optional);
    }
}

Test(checkin, every_member_reaches_its_field) {
    OWN(json) json_t *document = full("checkin");
    struct bundle_checkin m;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_checkin_parse(document, &m, &e), 0, "%s", e.text);
    cr_assert_str_eq(m.agent, "edge-agent 0.1.0");
    cr_assert_eq(m.n_components, 2);
    cr_assert_str_eq(m.components[0].name, "detector");
    cr_assert_str_eq(m.components[0].bundle_name, "vibration");
    cr_assert_str_eq(m.components[1].version, "2.0~rc1");
    cr_assert_eq(m.components[0].security_version, 3);
    cr_assert_eq(m.dropped_heartbeats, 4);
    cr_assert_eq(m.refused_reports, 1);
    cr_assert_eq(m.generation, 5);
    cr_assert(m.look && m.has_previous && m.has_progress && m.has_update);
    cr_assert_eq(m.previous, 4);
    cr_assert_eq(m.done_bytes, 100);
    cr_assert_eq(m.total_bytes, 2000);
    cr_assert_eq(m.sequence, 41);
    cr_assert_str_eq(m.state, "staged");
    cr_assert_eq(m.attempt, 2);
    cr_assert_str_eq(m.rollout, "spring");
    cr_assert_eq(m.bundle.bytes[31], 0xab);
    cr_assert_str_eq(m.why_code, "inhibited");
    cr_assert_eq(m.n_reports, 2);
    cr_assert_eq(m.reports[0].id, 17);
    cr_assert_eq(json_object_size(m.metrics), 2);
    bundle_checkin_clear(&m);
    cr_assert_null(m.reports);
}

Test(checkin, a_malformed_report_is_named_and_the_others_are_read) {
    OWN(json) json_t *document = full("checkin");
    json_object_set_new(json_array_get(json_object_get(document, "reports"), 0), "event",
                        json_integer(1));
    struct bundle_checkin m;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_checkin_parse(document, &m, &e), 0, "%s", e.text);
    cr_assert_eq(m.n_reports, 1);
    cr_assert_eq(m.reports[0].id, 18);
    cr_assert_eq(m.n_malformed, 1);
    cr_assert_eq(m.malformed[0], 17);
    bundle_checkin_clear(&m);
}

Test(checkin, the_largest_of_everything_still_fits_a_message) {
    struct bundle_checkin m;
    struct bundle_report reports[BUNDLE_REPORTS_PER_CHECKIN_MAX];
    memset(&m, 0, sizeof m);
    memset(reports, 0, sizeof reports);
    for (size_t i = 0; i < BUNDLE_REPORTS_PER_CHECKIN_MAX; i++) {
        reports[i].id = i + 1;
        memset(reports[i].text, 'x', sizeof reports[i].text - 1);
        memset(reports[i].detail, 'x', sizeof reports[i].detail - 1);
        memset(reports[i].rollout, 'x', sizeof reports[i].rollout - 1);
        memset(reports[i].code, 'x', sizeof reports[i].code - 1);
    }
    m.protocol_max = m.protocol_min = 1;
    memset(m.device, 'x', sizeof m.device - 1);
    memset(m.agent, 'x', sizeof m.agent - 1);
    memset(m.state, 'x', sizeof m.state - 1);
    m.reports = reports;
    m.n_reports = BUNDLE_REPORTS_PER_CHECKIN_MAX;
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    buf_init(&text, BUNDLE_MESSAGE_MAX_BYTES);
    cr_assert_eq(bundle_checkin_format(&m, &text, &e), 0, "%s", e.text);
    OWN(json) json_t *document = NULL;
    cr_assert_eq(doc_parse(buf_slice(&text), "checkin", &bundle_checkin_limits, &document, &e), 0,
                 "%s", e.text);
    cr_assert_eq(read_checkin(document, &e), 0, "%s", e.text);
    // Text whose every byte takes six in JSON does not, and says so instead of sending half.
    for (size_t i = 0; i < BUNDLE_REPORTS_PER_CHECKIN_MAX; i++)
        memset(reports[i].detail, 1, sizeof reports[i].detail - 1);
    size_t before = text.len;
    cr_assert_lt(bundle_checkin_format(&m, &text, &e), 0);
    cr_assert(err_is(&e, &err_limit));
    cr_assert_eq(text.len, before);
}

Test(checkin, the_highest_protocol_in_common_is_spoken) {
    uint64_t protocol = 0;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_checkin_protocol(1, 1, &protocol, &e), 0);
    cr_assert_eq(protocol, 1);
    cr_assert_eq(bundle_checkin_protocol(0, 99, &protocol, &e), 0);
    cr_assert_eq(protocol, BUNDLE_PROTOCOL_MAX);
    static const uint64_t bad[][2] = {{2, 9}, {0, 0}, {3, 1}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < 4; i++) {
        err_clear(&e);
        protocol = 77;
        cr_assert_lt(bundle_checkin_protocol(bad[i][0], bad[i][1], &protocol, &e), 0);
        cr_assert(err_is(&e, &err_protocol_range));
        cr_assert_eq(protocol, 77);
    }
}

Test(checkin, what_is_signed_is_the_documented_text) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf text;
    buf_init(&text, 256);
    cr_assert_eq(bundle_checkin_signed_text(BUNDLE_TOKEN_CONTEXT, "c0ffee", "d-1", &text, &e), 0);
    cr_assert_str_eq(buf_text(&text), "edge-token-v1\nc0ffee\nd-1");
}
