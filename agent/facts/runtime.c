// SPDX-License-Identifier: Apache-2.0
//
// See runtime.h.
#include "agent/facts/runtime.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "agent/facts/read.h"

static const struct {
    const char *fact;
    const char *file_pattern;
} runtimes[] = {
    {"runtime.tflite", "libtensorflow-lite.so*"},
    {"runtime.tflite", "libtensorflowlite*.so*"},
    {"runtime.armnn_tflite", "libarmnnTfLiteParser.so*"},
    {"runtime.armnn", "libarmnn.so*"},
    {"runtime.onnxruntime", "libonnxruntime.so*"},
    {"runtime.tensorrt", "libnvinfer.so*"},
    {"runtime.openvino", "libopenvino.so*"},
    {"runtime.edgetpu", "libedgetpu.so*"},
};

static const char *const folders[] = {"/usr/lib", "/usr/lib/*-linux-gnu*", "/usr/lib64",
                                      "/usr/local/lib", "/opt/intel/openvino*/runtime/lib/*"};

// What follows ".so." in a path, or "".
static const char *version_of(const char *path) {
    const char *mark = strstr(path, ".so.");
    return mark ? mark + 4 : "";
}

static void look(json_t *facts, const char *fact, const char *pattern) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    const char *best = json_string_value(json_object_get(facts, fact));
    if (!best || strcmp(best, "present") == 0)
        best = "";
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *version = version_of(found.gl_pathv[i]);
        if (strlen(version) > strlen(best))
            best = version;
    }
    // The value may borrow from the fact that is being replaced.
    char version[64];
    (void)snprintf(version, sizeof version, "%s", best[0] ? best : "present");
    facts_read_set(facts, fact, version);
    globfree(&found);
}

void facts_runtime_add(json_t *facts) {
    char pattern[512], version[64];
    for (size_t i = 0; i < sizeof runtimes / sizeof runtimes[0]; i++) {
        for (size_t k = 0; k < sizeof folders / sizeof folders[0]; k++) {
            (void)snprintf(pattern, sizeof pattern, "%s/%s", folders[k], runtimes[i].file_pattern);
            look(facts, runtimes[i].fact, pattern);
        }
    }
    if (facts_read_match("/opt/intel/openvino*/runtime/version.txt", pattern, sizeof pattern) &&
        facts_read_line(pattern, version, sizeof version))
        facts_read_set(facts, "runtime.openvino", version);
}
