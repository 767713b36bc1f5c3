// SPDX-License-Identifier: Apache-2.0
//
// What selects a sample: a name and labels. Inside bundle/probe/ only.
#pragma once

#include "bundle/probe.h"

struct probe_metric_label {
    struct slice name;
    struct slice value; // as written, escapes and all
};

struct probe_metric {
    struct slice name;
    size_t n_labels;
    struct probe_metric_label labels[BUNDLE_PROBE_METRIC_LABELS_MAX];
};

// Takes NAME or NAME{label="value",…} apart; slices are borrowed from the text. Kind bad_manifest.
int probe_metric_parse(const char *text, struct probe_metric *ret, struct err *e)
    __attribute__((nonnull));
