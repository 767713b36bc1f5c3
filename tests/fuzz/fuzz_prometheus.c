// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as metrics; the first line of the input is the metric that is looked for.
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline)
        return 0;
    size_t len = (size_t)(newline - data);
    OWN(mem) char *metric = malloc(len + 1);
    if (!metric)
        return 0;
    memcpy(metric, data, len);
    metric[len] = '\0';
    struct err e = ERR_NONE;
    double value = 0;
    struct slice text = {newline + 1, size - len - 1};
    int got = bundle_probe_find_sample(text, metric, &value, &e);
    if (got < 0)
        assert(err_is(&e, &err_bad_manifest) || err_is(&e, &err_bad_message));
    return 0;
}
