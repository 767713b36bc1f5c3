// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a judge's verdict: refused as a worker's failure, or everything it says is within
// what the agent acts upon (agent/trust/verdict.h): names that stay below a directory, no root
// removed, numbers in their ranges.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/trust/verdict.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Not by the code under test.
static bool is_below(const char *name) {
    size_t len = strlen(name);
    return len > 5 && len <= TRUST_VERDICT_FILE_MAX && name[0] != '.' && !strchr(name, '/') &&
           strcmp(name + len - 5, ".json") == 0;
}

static void check_steps(const struct trust_verdict *v) {
    if (v->n_steps > TRUST_VERDICT_STEPS_MAX)
        abort();
    for (size_t i = 0; i < v->n_steps; i++) {
        struct trust_verdict_step step = {.to = NULL};
        trust_verdict_step(v, i, &step);
        if (!step.to || !step.from || !is_below(step.to))
            abort();
        bool removes = step.from[0] == '\0';
        if (removes ? strcmp(step.to, TRUST_STORE_ROOT) == 0
                    : !is_below(step.from) || step.bytes == 0 || step.bytes > INT32_MAX)
            abort();
    }
}

static void check_floors(const struct trust_verdict *v) {
    const char *name = NULL;
    json_t *value = NULL;
    if (json_object_size(v->floors) > TRUST_VERDICT_FLOORS_MAX)
        abort();
    json_object_foreach ((json_t *)(uintptr_t)v->floors, name, value) {
        json_int_t floor = json_integer_value(value);
        if (!text_is_name(name, BUNDLE_NAME_MAX) || !json_is_integer(value) || floor < 0 ||
            (uint64_t)floor > BUNDLE_SECURITY_VERSION_MAX)
            abort();
    }
}

static void check_delta(const struct trust_verdict *v) {
    if (v->found_delta && (v->delta.length == 0 || v->delta.length > BUNDLE_MANIFEST_MAX_BYTES))
        abort();
}

static void check_target(const struct trust_verdict *v) {
    size_t i = 0;
    json_t *name = NULL;
    if (!v->found)
        return;
    if (v->target.length == 0 || v->target.length > BUNDLE_MANIFEST_MAX_BYTES)
        abort();
    json_array_foreach (v->target.components, i, name) {
        if (!json_is_string(name) || i >= TRUST_VERDICT_COMPONENTS_MAX)
            abort();
    }
}

static void check_roles(const struct trust_verdict *v) {
    for (size_t i = 0; i < TRUST_STORE_ROLES; i++) {
        const struct trust_verdict_role *role = &v->roles[i];
        if (role->known && (role->version == 0 || role->issued_s < 0 || role->expires_s < 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trust_verdict verdict = {.document = NULL};
    struct err e = ERR_NONE;
    if (trust_verdict_parse((struct slice){data, size}, &verdict, &e) < 0) {
        if (!err_is(&e, &err_worker_failed) || verdict.document)
            abort();
        return 0;
    }
    check_roles(&verdict);
    check_floors(&verdict);
    check_target(&verdict);
    check_delta(&verdict);
    check_steps(&verdict);
    trust_verdict_clear(&verdict);
    return 0;
}
