// SPDX-License-Identifier: Apache-2.0
//
// Probes: checks of a generation that travel in the manifest. What they run is never in the bundle's hands alone: `exec` and `golden` name a
// *runner* that the device's configuration allows by name. In JSON (unknown members refused):
//
//   every probe: {"component":"detector","kind":…,"name":"…","phase":"before"|"after"|"both", "timeout_s":N,
//                 in phase after: "start_delay_s":N,"interval_s":N,"failures":N}
//   exec   + {"runner":"selftest","args":["…"]}          exit status 0 passes
//   http   + {"url":"http://127.0.0.1:8080/healthz","status":200}   loopback only
//   metric + {"source":"http://127.0.0.1:9100/metrics" | "file:/run/app/metrics.prom","metric":"name{label=\"v\"}",
//             "min":"0.5","max":"20"}                     decimals; at least one bound; a missing sample fails
//   golden + {"runner":"tflite","cases":[{"input":"golden/1.bin","expected":"golden/1.out.bin"}],"element":"f32"|"f64"|"i8"|"u8"|"i32"|"text",
//             "tolerance":"0.001","tolerance_relative":"0","latency_p95_us":N,"memory_bytes":N}
//   Paths of cases are relative to the component and must be files of its tree.
//   Placeholders in args: {component} (the component's directory), {generation}.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/doc.h"
#include "base/num.h"
#include "bundle/limits.h"

#define BUNDLE_PROBE_ARGS_MAX 16
#define BUNDLE_PROBE_CASES_MAX 64

enum bundle_probe_kind { BUNDLE_PROBE_EXEC, BUNDLE_PROBE_HTTP, BUNDLE_PROBE_METRIC, BUNDLE_PROBE_GOLDEN };
enum bundle_probe_element {
    BUNDLE_PROBE_F32,
    BUNDLE_PROBE_F64,
    BUNDLE_PROBE_I8,
    BUNDLE_PROBE_U8,
    BUNDLE_PROBE_I32,
    BUNDLE_PROBE_TEXT
};

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
    uint64_t failures; // consecutive failures that make it fail
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

// Reads one probe. Strings stay borrowed from the document. Kind bad_manifest.
int bundle_probe_parse(const struct doc_at *at, struct bundle_probe *ret, struct err *e) __attribute__((nonnull));
void bundle_probe_clear(struct bundle_probe *probe) __attribute__((nonnull));

// The pure judgements, so that agent and tests share them.
// Finds a sample in Prometheus text: `metric` is NAME or NAME{label="value",…} (all given labels must match). 0 and *ret; BUNDLE_PROBE_NO_SAMPLE.
enum { BUNDLE_PROBE_NO_SAMPLE = 1 };
int bundle_probe_find_sample(struct slice text, const char *metric, double *ret, struct err *e) __attribute__((nonnull));
// 0 within bounds; BUNDLE_PROBE_OUTSIDE and a sentence in *ret_why.
enum { BUNDLE_PROBE_OUTSIDE = 1 };
int bundle_probe_judge_value(const struct bundle_probe *probe, double value, char *ret_why, size_t why_bytes)
    __attribute__((nonnull));
// Compares outputs element by element: |got − expected| <= tolerance + tolerance_relative·|expected|; not-a-number never agrees.
int bundle_probe_judge_output(const struct bundle_probe *probe, struct slice expected, struct slice got, char *ret_why,
                              size_t why_bytes) __attribute__((nonnull));
// Nearest-rank 95th percentile; sorts the array.
uint64_t bundle_probe_p95(uint64_t *samples, size_t n) __attribute__((nonnull));
