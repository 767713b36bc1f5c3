// SPDX-License-Identifier: Apache-2.0
//
// See system.h.
#include "agent/facts/system.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/facts/read.h"

#define OS_RELEASE "/etc/os-release"

// The value of NAME=value or NAME="value" in text.
static bool find_setting(const char *text, const char *name, char *ret, size_t ret_bytes) {
    size_t name_len = strlen(name);
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        if (len > name_len && strncmp(line, name, name_len) == 0 && line[name_len] == '=') {
            const char *value = line + name_len + 1;
            size_t value_len = len - name_len - 1;
            if (value_len >= 2 && (value[0] == '"' || value[0] == '\'')) {
                value++;
                value_len -= 2;
            }
            if (value_len >= ret_bytes)
                return false;
            memcpy(ret, value, value_len);
            ret[value_len] = '\0';
            return true;
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

static void add_os(json_t *facts) {
    static const char *const names[][2] = {{"ID", "os.id"},
                                           {"VERSION_ID", "os.version"},
                                           {"VERSION_CODENAME", "os.codename"},
                                           {"VARIANT_ID", "os.variant"}};
    char text[4096], value[256];
    if (!facts_read_text(OS_RELEASE, text, sizeof text))
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (find_setting(text, names[i][0], value, sizeof value))
            facts_read_set(facts, names[i][1], value);
    }
}

// What inference runtimes and builds choose by; a processor names a hundred more.
static const char *const telling[] = {
    "sse4_2",   "avx",      "avx2",     "fma",         "f16c",        "avx_vnni",
    "avx512f",  "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_tile",
    "amx_int8", "amx_bf16", "aes",      "sha_ni",      "neon",        "vfpv4",
    "asimd",    "asimdhp",  "fphp",     "asimddp",     "sve",         "sve2",
    "i8mm",     "bf16",     "crc32",    "sha2",        "atomics",     NULL};

static bool is_telling(const char *feature) {
    for (size_t i = 0; telling[i]; i++) {
        if (strcmp(telling[i], feature) == 0)
            return true;
    }
    return false;
}

// "flags" on x86, "Features" on Arm: the first processor speaks for all.
static void add_cpu(json_t *facts) {
    char line[4096], model[128] = "";
    json_t *features = NULL;
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && !features && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "model name", 10) == 0 && colon[1] == ' ')
            (void)snprintf(model, sizeof model, "%s", colon + 2);
        if (strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0)
            continue;
        features = json_array();
        char *rest = NULL;
        for (char *word = strtok_r(colon + 1, " ", &rest); word && features;
             word = strtok_r(NULL, " ", &rest)) {
            if (is_telling(word))
                (void)json_array_append_new(features, json_string(word));
        }
    }
    if (file)
        (void)fclose(file);
    if (features)
        (void)json_object_set_new(facts, "cpu.features", features);
    facts_read_set(facts, "cpu.model", model);
}

static void add_memory(json_t *facts) {
    char text[512];
    uint64_t kib;
    if (facts_read_text("/proc/meminfo", text, sizeof text) &&
        sscanf(text, "MemTotal: %" SCNu64, &kib) == 1)
        (void)json_object_set_new(facts, "ram_mb", json_integer((json_int_t)(kib / 1024)));
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (cpus > 0)
        (void)json_object_set_new(facts, "cpus", json_integer(cpus));
}

void facts_system_add(json_t *facts) {
    struct utsname name;
    if (uname(&name) == 0) {
        facts_read_set(facts, "arch", name.machine);
        facts_read_set(facts, "kernel", name.release);
        facts_read_set(facts, "hostname", name.nodename);
    }
    add_os(facts);
    add_cpu(facts);
    add_memory(facts);
}
