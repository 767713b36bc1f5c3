// SPDX-License-Identifier: Apache-2.0
//
// A predicate of any bytes, held against fixed facts: read or refused, and a reason exactly when
// false.
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/predicate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bundle_facts *device(void) {
    struct err e = ERR_NONE;
    struct bundle_facts *facts = NULL;
    OWN(json)
    json_t *object = json_pack("{s:s, s:i, s:s, s:b, s:[s,s]}", "arch", "arm64", "ram_mb", 2048,
                               "temp", "-0.5", "debug", 0, "runtimes", "tflite", "onnx");
    int failed = bundle_facts_parse(object, &facts, &e);
    assert(!failed);
    (void)failed;
    return facts;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(mem) char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct err e = ERR_NONE;
    OWN(predicate) struct bundle_predicate *predicate = NULL;
    if (bundle_predicate_parse(text, &predicate, &e) < 0) {
        assert(err_is(&e, &err_bad_predicate) && *e.text);
        return 0;
    }
    OWN(facts) struct bundle_facts *facts = device();
    char reason[BUNDLE_PREDICATE_REASON_BYTES];
    bool held = bundle_predicate_holds(predicate, facts, reason);
    assert(held == !*reason);
    assert(text_is_utf8(reason, strlen(reason)));
    (void)held;
    return 0;
}
