// SPDX-License-Identifier: Apache-2.0
//
// Probes: checks of a generation that travel in the manifest. What they run is never in the
// bundle's hands alone: `exec` and `golden` name a *runner* that the device's configuration allows
// by name. In JSON (unknown members refused):
//
//   every probe {"component":"detector","kind":…,"name":…,"phase":"before"|"after"|"both",
//                "timeout_s":N}
//   after, both + {"start_delay_s":N,"interval_s":N,"failures":N}
//   exec        + {"runner":"selftest","args":["…"]}               exit status 0 passes
//   http        + {"url":"endpoint:NAME"|"http://127.0.0.1:8080/healthz","status":200} loopback
//   only metric      +
//   {"source":"endpoint:NAME"|"http://127.0.0.1:9100/metrics"|"file:/run/m.prom",
//                  "metric":"name{label=\"v\"}","min":"0.5","max":"20"}
//                 decimals; at least one bound; a missing sample fails
//   golden      + {"runner":"tflite","cases":[{"input":"golden/1.bin","expected":"golden/1.out"}],
//                  "element":"f32"|"f64"|"i8"|"u8"|"i32"|"text","tolerance":"0.001",
//                  "tolerance_relative":"0","latency_p95_us":N,"memory_bytes":N}
//
// What has a default may be absent: timeout_s 30, start_delay_s 0, interval_s 10, failures 3, args
// none, status 200, tolerances 0, and no budget of latency or memory. Outputs are little-endian.
// Paths of cases are relative to the component and must be files of its tree (the manifest's and
// the builder's check, not made here). Placeholders in args: {component} (the component's
// directory), {generation}.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/doc.h"
#include "base/num.h"
#include "bundle/limits.h"

#define BUNDLE_PROBE_ARGS_MAX          16
#define BUNDLE_PROBE_ARG_BYTES_MAX     1024
#define BUNDLE_PROBE_CASES_MAX         64
#define BUNDLE_PROBE_METRIC_MAX        512 // bytes of a metric's name with its labels
#define BUNDLE_PROBE_METRIC_LABELS_MAX 16  // labels in it
#define BUNDLE_PROBE_TIMEOUT_MAX_S     3600
#define BUNDLE_PROBE_DELAY_MAX_S       86400 // start delay and interval
#define BUNDLE_PROBE_FAILURES_MAX      1000
#define BUNDLE_PROBE_LATENCY_MAX_US    3600000000ULL
#define BUNDLE_PROBE_MEMORY_MAX_BYTES  (1ULL << 50)

#define BUNDLE_PROBE_TIMEOUT_DEFAULT_S  30
#define BUNDLE_PROBE_INTERVAL_DEFAULT_S 10
#define BUNDLE_PROBE_FAILURES_DEFAULT   3
#define BUNDLE_PROBE_STATUS_DEFAULT     200

enum bundle_probe_kind {
    BUNDLE_PROBE_EXEC,
    BUNDLE_PROBE_HTTP,
    BUNDLE_PROBE_METRIC,
    BUNDLE_PROBE_GOLDEN,
    BUNDLE_PROBE_KINDS
};
extern const char *const bundle_probe_kind_names[BUNDLE_PROBE_KINDS];

enum bundle_probe_element {
    BUNDLE_PROBE_F32,
    BUNDLE_PROBE_F64,
    BUNDLE_PROBE_I8,
    BUNDLE_PROBE_U8,
    BUNDLE_PROBE_I32,
    BUNDLE_PROBE_TEXT,
    BUNDLE_PROBE_ELEMENTS
};
extern const char *const bundle_probe_element_names[BUNDLE_PROBE_ELEMENTS];

struct bundle_probe_case {
    const char *input;
    const char *expected;
};

struct bundle_probe {
    const char *name; // strings are borrowed from the document
    const char *component;
    enum bundle_probe_kind kind;
    bool before;
    bool after;
    uint64_t timeout_s;
    uint64_t start_delay_s;
    uint64_t interval_s;
    uint64_t failures;  // consecutive failures that make it fail
    const char *runner; // exec, golden
    size_t n_args;
    const char *args[BUNDLE_PROBE_ARGS_MAX];
    const char *url;    // http; metric's source
    uint64_t status;    // http
    const char *metric; // metric, golden none
    bool has_min, has_max;
    struct decimal min, max;
    size_t n_cases;
    struct bundle_probe_case *cases; // owned by the probe
    enum bundle_probe_element element;
    struct decimal tolerance, tolerance_relative;
    uint64_t latency_p95_us; // 0: no budget
    uint64_t memory_bytes;   // 0: no budget
};

// Whether a URL may be probed: http on loopback, or file:/….
bool bundle_probe_is_source(const char *url) __attribute__((nonnull));
// The NAME of "endpoint:NAME", borrowed; NULL for any other URL. The device's configuration says
// where an endpoint is, so that a bundle need not know the ports and paths of each device.
const char *bundle_probe_endpoint(const char *url) __attribute__((nonnull));

// Reads one probe. Strings stay borrowed from the document. Kinds: bad_manifest, limit, memory.
int bundle_probe_parse(const struct doc_at *at, struct bundle_probe *ret, struct err *e)
    __attribute__((nonnull));
void bundle_probe_clear(struct bundle_probe *probe) __attribute__((nonnull));

// The pure judgements, so that agent and tests share them. A sentence in ret_why is cut to
// why_bytes and safe for a terminal; it is "" when the judgement is good.

// Finds the first sample in Prometheus text that `metric`, NAME or NAME{label="value",…}, selects
// (all given labels must match, a sample may have more). 0 and *ret, which may be infinite or not a
// number; BUNDLE_PROBE_NO_SAMPLE. Kinds: bad_manifest (the metric), bad_message (the line of that
// sample).
enum { BUNDLE_PROBE_NO_SAMPLE = 1 };
int bundle_probe_find_sample(struct slice text, const char *metric, double *ret, struct err *e)
    __attribute__((nonnull));
// 0 within bounds; BUNDLE_PROBE_OUTSIDE and a sentence in *ret_why.
enum { BUNDLE_PROBE_OUTSIDE = 1 };
int bundle_probe_judge_value(const struct bundle_probe *probe, double value, char *ret_why,
                             size_t why_bytes) __attribute__((nonnull));
// Compares outputs element by element: |got − expected| <= tolerance +
// tolerance_relative·|expected|. Not-a-number never agrees, an infinity only with the same one, and
// an expected output without elements with nothing. `text` compares bytes. 0 or
// BUNDLE_PROBE_OUTSIDE.
int bundle_probe_judge_output(const struct bundle_probe *probe, struct slice expected,
                              struct slice got, char *ret_why, size_t why_bytes)
    __attribute__((nonnull));
// Nearest-rank 95th percentile; sorts the array. 0 when n is 0.
uint64_t bundle_probe_p95(uint64_t *samples, size_t n) __attribute__((nonnull));
