// SPDX-License-Identifier: Apache-2.0
//
// Probes: their form, samples in Prometheus text, and judgements.
#include "tests/unit/bundle/wire.h"

#include <locale.h>
#include <math.h>

#include "bundle/kind.h"
#include "bundle/probe.h"

static const char exec_probe[] = "{\"component\":\"detector\",\"kind\":\"exec\",\"name\":\"self\","
                                 "\"phase\":\"before\",\"timeout_s\":5,"
                                 "\"runner\":\"selftest\",\"args\":[\"--model\",\"{component}\"]}";
static const char http_probe[] = "{\"component\":\"app\",\"kind\":\"http\",\"name\":\"health\","
                                 "\"phase\":\"after\",\"timeout_s\":5,"
                                 "\"start_delay_s\":10,\"interval_s\":30,\"failures\":2,\"url\":"
                                 "\"http://127.0.0.1:8080/healthz\",\"status\":204}";
static const char metric_probe[] = "{\"component\":\"app\",\"kind\":\"metric\",\"name\":"
                                   "\"latency\",\"phase\":\"both\",\"timeout_s\":5,"
                                   "\"source\":\"file:/run/app/"
                                   "metrics.prom\",\"metric\":\"latency_ms{quantile=\\\"0.95\\\"}"
                                   "\",\"min\":\"0.5\",\"max\":\"20\"}";
static const char golden_probe[] =
    "{\"component\":\"detector\",\"kind\":\"golden\",\"name\":\"golden\",\"phase\":\"before\","
    "\"timeout_s\":60,"
    "\"runner\":\"tflite\",\"cases\":[{\"input\":\"golden/1.bin\",\"expected\":\"golden/"
    "1.out.bin\"}],"
    "\"element\":\"f32\",\"tolerance\":\"0.001\",\"tolerance_relative\":\"0.01\",\"latency_p95_"
    "us\":20000,\"memory_bytes\":1048576}";

static int read_into(json_t *document, struct bundle_probe *ret, struct err *e) {
    struct doc_at at;
    if (!json_is_object(document))
        return err_set(e, &err_bad_manifest, "not an object");
    cr_assert_eq(doc_root(document, "probe", &at, e), 0);
    return bundle_probe_parse(&at, ret, e);
}

static int read_probe(json_t *document, struct err *e) {
    struct bundle_probe probe;
    memset(&probe, 0x5a, sizeof probe);
    int got = read_into(document, &probe, e);
    if (got == 0) {
        bundle_probe_clear(&probe);
        return 0;
    }
    for (size_t i = 0; i < sizeof probe; i++)
        cr_assert_eq(((unsigned char *)&probe)[i], 0x5a, "output touched on failure");
    return got;
}

// A good probe with members changed by a patch; a null takes a member out.
static void refused(const char *probe, const char *patch, const char *piece) {
    OWN(json) json_t *document = wire_json(probe);
    OWN(json) json_t *change = wire_json(patch);
    const char *key;
    json_t *value;
    json_object_foreach (change, key, value) {
        if (json_is_null(value))
            json_object_del(document, key);
        else
            json_object_set(document, key, value);
    }
    struct err e = ERR_NONE;
    cr_assert_lt(read_probe(document, &e), 0, "accepted: %s", patch);
    cr_assert(err_is(&e, &err_bad_manifest) || err_is(&e, &err_limit), "%s: %s", e.kind->name,
              e.text);
    cr_assert(strstr(e.text, piece), "%s: \"%s\" is not in \"%s\"", patch, piece, e.text);
}

Test(probe, every_kind_is_read) {
    struct bundle_probe probe;
    struct err e = ERR_NONE;
    OWN(json) json_t *exec = wire_json(exec_probe);
    cr_assert_eq(read_into(exec, &probe, &e), 0, "%s", e.text);
    cr_assert_eq(probe.kind, BUNDLE_PROBE_EXEC);
    cr_assert(probe.before && !probe.after);
    cr_assert_eq(probe.n_args, 2);
    cr_assert_str_eq(probe.args[1], "{component}");
    bundle_probe_clear(&probe);

    OWN(json) json_t *http = wire_json(http_probe);
    cr_assert_eq(read_into(http, &probe, &e), 0, "%s", e.text);
    cr_assert(!probe.before && probe.after);
    cr_assert_eq(probe.start_delay_s, 10);
    cr_assert_eq(probe.interval_s, 30);
    cr_assert_eq(probe.failures, 2);
    cr_assert_eq(probe.status, 204);
    bundle_probe_clear(&probe);

    OWN(json) json_t *metric = wire_json(metric_probe);
    cr_assert_eq(read_into(metric, &probe, &e), 0, "%s", e.text);
    cr_assert(probe.before && probe.after && probe.has_min && probe.has_max);
    cr_assert_eq(probe.min.nano, 500000000);
    cr_assert_eq(probe.interval_s, BUNDLE_PROBE_INTERVAL_DEFAULT_S);
    bundle_probe_clear(&probe);

    OWN(json) json_t *golden = wire_json(golden_probe);
    cr_assert_eq(read_into(golden, &probe, &e), 0, "%s", e.text);
    cr_assert_eq(probe.n_cases, 1);
    cr_assert_str_eq(probe.cases[0].expected, "golden/1.out.bin");
    cr_assert_eq(probe.element, BUNDLE_PROBE_F32);
    cr_assert_eq(probe.latency_p95_us, 20000);
    bundle_probe_clear(&probe);
    cr_assert_null(probe.cases);
}

Test(probe, hostile_values_in_every_place_are_refused_cleanly) {
    static const char *const probes[] = {exec_probe, http_probe, metric_probe, golden_probe};
    for (size_t i = 0; i < 4; i++) {
        struct wire_swapped count = {0, 0};
        OWN(json) json_t *document = wire_json(probes[i]);
        wire_swap(document, document, read_probe, &count);
        cr_assert_gt(count.refused, count.read * 3 / 4, "%zu of %zu", count.refused, count.read);
        struct err e = ERR_NONE;
        cr_assert_eq(read_probe(document, &e), 0, "the document was not put back");
    }
}

Test(probe, what_has_a_default_may_be_absent_and_nothing_else) {
    static const char *const none[] = {"timeout_s", "args", NULL};
    static const char *const http[] = {"timeout_s", "start_delay_s", "interval_s",
                                       "failures",  "status",        NULL};
    static const char *const metric[] = {"timeout_s", "min", "max", NULL};
    static const char *const golden[] = {"timeout_s",      "tolerance",    "tolerance_relative",
                                         "latency_p95_us", "memory_bytes", NULL};
    const struct {
        const char *probe;
        const char *const *optional;
    } rows[] = {
        {exec_probe, none}, {http_probe, http}, {metric_probe, metric}, {golden_probe, golden}};
    for (size_t i = 0; i < 4; i++) {
        OWN(json) json_t *document = wire_json(rows[i].probe);
        wire_omit(document, read_probe, rows[i].optional);
    }
}

Test(probe, members_that_do_not_belong_are_refused) {
    refused(exec_probe, "{\"url\":\"http://127.0.0.1/\"}", "url: unknown");
    refused(exec_probe, "{\"interval_s\":3}", "interval_s: unknown");
    refused(http_probe, "{\"runner\":\"x\"}", "runner: unknown");
    refused(metric_probe, "{\"tolerance\":\"1\"}", "tolerance: unknown");
    refused(golden_probe, "{\"tolerence\":\"1\"}", "tolerence: unknown");
    refused(golden_probe, "{\"cases\":[{\"input\":\"a\",\"expected\":\"b\",\"weight\":1}]}",
            "weight: unknown");
}

Test(probe, rules_of_each_kind_hold) {
    refused(exec_probe, "{\"kind\":\"shell\"}", "kind: shell is not one");
    refused(exec_probe, "{\"phase\":\"during\"}", "phase: during is not one");
    refused(exec_probe, "{\"runner\":\"../sh\"}", "runner: expected a name");
    refused(exec_probe, "{\"name\":\"\"}", "name: expected a name");
    refused(exec_probe, "{\"timeout_s\":0}", "timeout_s");
    refused(exec_probe, "{\"timeout_s\":3601}", "timeout_s");
    refused(http_probe, "{\"interval_s\":0}", "interval_s");
    refused(http_probe, "{\"failures\":1001}", "failures");
    refused(http_probe, "{\"status\":99}", "status");
    refused(metric_probe, "{\"min\":null,\"max\":null}", "at least one bound");
    refused(metric_probe, "{\"min\":\"21\"}", "no less than min");
    refused(metric_probe, "{\"max\":\"1e3\"}", "max: expected a decimal");
    refused(metric_probe, "{\"max\":20}", "max");
    refused(metric_probe, "{\"metric\":\"9x\"}", "expected NAME");
    refused(metric_probe, "{\"metric\":\"x{a=b}\"}", "expected label");
    refused(metric_probe, "{\"source\":\"file:relative\"}",
            "source: expected endpoint:NAME, file:/");
    refused(metric_probe, "{\"source\":\"file:/\"}", "source: expected endpoint:NAME, file:/");
    refused(golden_probe, "{\"cases\":[]}", "at least one");
    refused(golden_probe, "{\"cases\":[{\"input\":\"/etc/shadow\",\"expected\":\"b\"}]}",
            "cases[0].input");
    refused(golden_probe, "{\"cases\":[{\"input\":\"a\",\"expected\":\"../b\"}]}",
            "cases[0].expected");
    refused(golden_probe, "{\"tolerance\":\"-0.1\"}", "not negative");
    refused(golden_probe, "{\"element\":\"f16\"}", "f16 is not one");
    refused(golden_probe, "{\"element\":\"text\"}", "agrees or does not");
}

Test(probe, urls_lead_to_this_machine_only) {
    static const char *const good[] = {"http://127.0.0.1", "http://127.0.0.1:1/",
                                       "http://localhost:65535/a?b=c%20", "http://[::1]:80/x",
                                       "endpoint:inference"};
    static const char *const bad[] = {"endpoint:",
                                      "endpoint:../x",
                                      "endpoint:a b",
                                      "https://127.0.0.1/",
                                      "http://127.0.0.1.example.org/",
                                      "http://127.0.0.1@example.org/",
                                      "http://127.0.0.1:80@example.org/",
                                      "http://localhost.example.org/",
                                      "http://example.org/",
                                      "http://127.0.0.1:0/",
                                      "http://127.0.0.1:65536/",
                                      "http://127.0.0.1:/",
                                      "http://127.0.0.1:080/",
                                      "http://127.0.0.1:99999999999999999999/",
                                      "http://127.0.0.1/a b",
                                      "http://127.0.0.1/\\u0001",
                                      "http://127.0.0.1\\\\@example.org",
                                      "http://127.0.0.2/",
                                      "HTTP://127.0.0.1/",
                                      "http://127.0.0.1?x",
                                      "http://127.0.0.1#x",
                                      "http://10.0.0.1/",
                                      "http://[::ffff:10.0.0.1]/",
                                      "",
                                      "file:/etc/passwd",
                                      "http://127.0.0.1/\xc3\xa4"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        OWN(json) json_t *document = wire_json(http_probe);
        struct err e = ERR_NONE;
        json_object_set_new(document, "url", json_string(good[i]));
        cr_assert_eq(read_probe(document, &e), 0, "%s: %s", good[i], e.text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char patch[256];
        (void)snprintf(patch, sizeof patch, "{\"url\":\"%s\"}", bad[i]);
        refused(http_probe, patch, "url: expected endpoint:NAME or an http:// URL");
    }
}

// n strings or cases in a list.
static void with_list(const char *probe, const char *key, json_t *element, size_t n, bool good) {
    OWN(json) json_t *document = wire_json(probe);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append(list, element);
    json_object_set_new(document, key, list);
    struct err e = ERR_NONE;
    cr_assert_eq(read_probe(document, &e) == 0, good, "%s %zu: %s", key, n, e.text);
    cr_assert(good || err_is(&e, &err_limit));
    json_decref(element);
}

Test(probe, ceilings_hold_exactly) {
    OWN(mem) char *arg = wire_repeat('x', BUNDLE_PROBE_ARG_BYTES_MAX + 1);
    with_list(exec_probe, "args", json_string(arg), 1, false);
    with_list(exec_probe, "args", json_string(arg + 1), 1, true);
    with_list(exec_probe, "args", json_string("x"), BUNDLE_PROBE_ARGS_MAX, true);
    with_list(exec_probe, "args", json_string("x"), BUNDLE_PROBE_ARGS_MAX + 1, false);
    with_list(golden_probe, "cases", wire_json("{\"input\":\"a\",\"expected\":\"b\"}"),
              BUNDLE_PROBE_CASES_MAX, true);
    with_list(golden_probe, "cases", wire_json("{\"input\":\"a\",\"expected\":\"b\"}"),
              BUNDLE_PROBE_CASES_MAX + 1, false);
    char metric[BUNDLE_PROBE_METRIC_MAX + 2];
    memset(metric, 'm', sizeof metric);
    for (size_t len = BUNDLE_PROBE_METRIC_MAX; len <= BUNDLE_PROBE_METRIC_MAX + 1; len++) {
        OWN(json) json_t *document = wire_json(metric_probe);
        struct err e = ERR_NONE;
        json_object_set_new(document, "metric", json_stringn(metric, len));
        cr_assert_eq(read_probe(document, &e) == 0, len == BUNDLE_PROBE_METRIC_MAX, "%s", e.text);
    }
}

// ── Samples ──

static const char exposition[] =
    "# HELP latency_ms Latency.\n"
    "# TYPE latency_ms summary\n"
    "#latency_ms 99\n"
    "\n"
    "latency_ms_sum 1e3 1712345678901\n"
    "latency_ms{quantile=\"0.5\",} 3.5\n"
    " latency_ms { quantile = \"0.95\" , model = \"a\\\"b\\\\c\\nd\" }\t 12.25 1712345678901\r\n"
    "bucket{le=\"+Inf\"} +Inf\n"
    "nothing NaN\n"
    "low -Inf\n"
    "tiny 1.5e-3\n"
    "huge +2.5E+3 # {trace=\"x\"} 1\n"
    "point .5\n"
    "whole 5.\n"
    "job:rate:5m 7\n"
    "odd{ 1\n"
    "broken 1x\n"
    "hex 0x10\n"
    "none\n"
    "last 42";

static int find(const char *metric, double *ret, struct err *e) {
    struct slice text = {(const uint8_t *)exposition, sizeof exposition - 1};
    return bundle_probe_find_sample(text, metric, ret, e);
}

Test(probe, samples_are_found) {
    static const struct {
        const char *metric;
        double value;
    } rows[] = {
        {"latency_ms_sum", 1000},
        {"latency_ms", 3.5},
        {"latency_ms{quantile=\"0.95\"}", 12.25},
        {"latency_ms{model=\"a\\\"b\\\\c\\nd\",quantile=\"0.95\"}", 12.25},
        {"bucket{le=\"+Inf\"}", INFINITY},
        {"low", -INFINITY},
        {"tiny", 0.0015},
        {"huge", 2500},
        {"point", 0.5},
        {"whole", 5},
        {"job:rate:5m", 7},
        {"last", 42},
        {"latency_ms{}", 3.5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value = -1;
        struct err e = ERR_NONE;
        cr_assert_eq(find(rows[i].metric, &value, &e), 0, "%s: %s", rows[i].metric, e.text);
        cr_assert_eq(value, rows[i].value, "%s is %g", rows[i].metric, value);
    }
    double value = 0;
    struct err e = ERR_NONE;
    cr_assert_eq(find("nothing", &value, &e), 0);
    cr_assert(isnan(value));
}

Test(probe, a_missing_sample_is_an_outcome) {
    static const char *const rows[] = {"latency",
                                       "latency_ms{quantile=\"0.99\"}",
                                       "latency_ms_sum{a=\"b\"}",
                                       "HELP",
                                       "latency_ms{quantile=\"0.5\",model=\"x\"}",
                                       "Last"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value = -1;
        struct err e = ERR_NONE;
        cr_assert_eq(find(rows[i], &value, &e), BUNDLE_PROBE_NO_SAMPLE, "%s", rows[i]);
        cr_assert_eq(value, -1);
    }
    double value = -1;
    struct err e = ERR_NONE;
    cr_assert_eq(bundle_probe_find_sample((struct slice){NULL, 0}, "x", &value, &e),
                 BUNDLE_PROBE_NO_SAMPLE);
}

Test(probe, a_malformed_line_of_the_metric_is_an_error_with_its_number) {
    static const char *const rows[] = {"odd", "broken", "hex", "none"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value = -1;
        struct err e = ERR_NONE;
        cr_assert_lt(find(rows[i], &value, &e), 0, "%s is %g", rows[i], value);
        cr_assert(err_is(&e, &err_bad_message));
        cr_assert(strstr(e.text, "metrics, line 1"), "%s", e.text);
        cr_assert_eq(value, -1);
    }
}

Test(probe, metrics_that_select_nothing_sensible_are_refused) {
    static const char *const rows[] = {"",
                                       "{a=\"b\"}",
                                       "x{",
                                       "x{a}",
                                       "x{a=}",
                                       "x{a=\"b",
                                       "x{a=\"b\"",
                                       "x{a=\"b\"}y",
                                       "x y",
                                       "x{a=\"b\"c=\"d\"}",
                                       "x{a=\"b\",a=\"c\"}",
                                       "x{1a=\"b\"}",
                                       "x{a=\"b\\"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value = -1;
        struct err e = ERR_NONE;
        cr_assert_lt(find(rows[i], &value, &e), 0, "%s", rows[i]);
        cr_assert(err_is(&e, &err_bad_manifest));
    }
}

Test(probe, the_ceiling_of_labels_holds) {
    for (size_t n = 15; n <= 17; n++) {
        char metric[512] = "x{";
        size_t len = 2;
        for (size_t i = 0; i < n; i++)
            len += (size_t)snprintf(metric + len, sizeof metric - len, "%sl%zu=\"v\"", i ? "," : "",
                                    i);
        (void)snprintf(metric + len, sizeof metric - len, "}");
        char line[600];
        int bytes = snprintf(line, sizeof line, "%s 3\n", metric);
        double value = 0;
        struct err e = ERR_NONE;
        int got = bundle_probe_find_sample((struct slice){(const uint8_t *)line, (size_t)bytes},
                                           metric, &value, &e);
        cr_assert_eq(got, n <= 16 ? 0 : -1, "%zu: %s", n, e.text);
    }
}

Test(probe, neither_reading_nor_writing_follows_the_locale) {
    // Whichever of these the machine has; the C.UTF-8 of every machine still proves the plain path.
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8", "C"};
    for (size_t i = 0; i < 4 && !setlocale(LC_ALL, names[i]); i++)
        ;
    double value = 0;
    struct err e = ERR_NONE;
    cr_assert_eq(find("latency_ms", &value, &e), 0);
    cr_assert_eq(value, 3.5);
    struct bundle_probe probe = {.metric = "m", .has_max = true, .max = {2500000000}};
    char why[128];
    cr_assert_eq(bundle_probe_judge_value(&probe, value, why, sizeof why), BUNDLE_PROBE_OUTSIDE);
    cr_assert_str_eq(why, "m is 3.5, at most 2.5 is allowed");
    (void)setlocale(LC_ALL, "C");
}
