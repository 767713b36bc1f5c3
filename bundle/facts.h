// SPDX-License-Identifier: Apache-2.0
//
// What is known of a device: names with values, reported by the agent (arch, os.id, ram_mb,
// accel.edgetpu, runtime.tflite, …) and, at the controller, labels under "label.". A value is a
// string, an integer, a decimal, a boolean or a list of strings. In JSON one flat object; decimals
// are strings. The set is immutable once parsed.
//
// A name is letters, digits, '.', '_' and '-', and begins with a letter or '_'. No name that a
// device reports begins with "label.": what people said of a device is never the device's to say.
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "bundle/limits.h"
#include "keys/digest.h"

#define BUNDLE_FACTS_LIST_MAX 64 // strings in a list

struct bundle_facts; // owned set

// Reads an object. *ret is the caller's (bundle_facts_free). Kinds: bad_message (names the member),
// limit.
int bundle_facts_parse(const json_t *object, struct bundle_facts **ret, struct err *e)
    __attribute__((nonnull));
// The same with labels (object of strings, may be NULL) added under "label.". The ceilings hold for
// both together.
int bundle_facts_with_labels(const json_t *facts, const json_t *labels, struct bundle_facts **ret,
                             struct err *e) __attribute__((nonnull(1, 3, 4)));
void bundle_facts_free(struct bundle_facts *facts);
static inline void own_drop_facts(struct bundle_facts **facts) {
    bundle_facts_free(*facts);
    *facts = NULL;
}

// NULL when unknown. Borrowed until free.
const json_t *bundle_facts_find(const struct bundle_facts *facts, const char *name)
    __attribute__((nonnull));

// The digest of the object in canonical JSON, by which a check-in says that its facts did not
// change.
int bundle_facts_digest(const json_t *object, struct keys_digest *ret, struct err *e)
    __attribute__((nonnull));
