// SPDX-License-Identifier: Apache-2.0
//
// Facts: a copy of a JSON object of which every name and value was checked.
#include "bundle/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "keys/canon.h"

static const char label_prefix[] = "label.";
#define LABEL_PREFIX_BYTES (sizeof label_prefix - 1)

struct bundle_facts {
    json_t *object; // owned, all of it
};

static bool is_fact_name(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char others[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-";
    return *name && strchr(letters, *name) && name[strspn(name, others)] == '\0';
}

static int check_name(const char *name, struct err *e) {
    char shown[BUNDLE_FACT_NAME_MAX + 8];
    if (strlen(name) > BUNDLE_FACT_NAME_MAX)
        return err_set(e, &err_limit, "facts: the name %s is longer than %d bytes",
                       text_safe(name, shown, sizeof shown), BUNDLE_FACT_NAME_MAX);
    if (!is_fact_name(name))
        return err_set(
            e, &err_bad_message,
            "facts: %s: a name is letters, digits, '.', '_' and '-', and begins with a letter",
            text_safe(name, shown, sizeof shown));
    return 0;
}

static int check_string(const char *name, const json_t *value, struct err *e) {
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (len > BUNDLE_FACT_VALUE_MAX)
        return err_set(e, &err_limit, "facts: %s: a string of %zu bytes, at most %d are allowed",
                       name, len, BUNDLE_FACT_VALUE_MAX);
    if (memchr(text, 0, len))
        return err_set(e, &err_bad_message, "facts: %s: a string with a NUL in it", name);
    return 0;
}

static int check_list(const char *name, const json_t *list, struct err *e) {
    size_t n = json_array_size(list);
    if (n > BUNDLE_FACTS_LIST_MAX)
        return err_set(e, &err_limit, "facts: %s: a list of %zu, at most %d are allowed", name, n,
                       BUNDLE_FACTS_LIST_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *element = json_array_get(list, i);
        if (!json_is_string(element))
            return err_set(e, &err_bad_message, "facts: %s[%zu]: expected a string", name, i);
        if (check_string(name, element, e) < 0)
            return -1;
    }
    return 0;
}

static int check_value(const char *name, const json_t *value, struct err *e) {
    switch (json_typeof(value)) {
    case JSON_STRING:
        return check_string(name, value, e);
    case JSON_ARRAY:
        return check_list(name, value, e);
    case JSON_INTEGER:
    case JSON_TRUE:
    case JSON_FALSE:
        return 0;
    default:
        return err_set(e, &err_bad_message,
                       "facts: %s: expected a string, an integer, a boolean or a list of strings",
                       name);
    }
}

static int add(json_t *object, const char *name, const json_t *value, struct err *e) {
    if (json_object_size(object) == BUNDLE_FACTS_MAX)
        return err_set(e, &err_limit, "facts: more than %d", BUNDLE_FACTS_MAX);
    // A copy: whoever holds the document may go on changing it. At most two levels deep.
    if (json_object_set_new(object, name, json_deep_copy(value)) < 0)
        return err_set(e, &err_memory, "reading facts: out of memory");
    return 0;
}

static int add_facts(json_t *object, const json_t *facts, struct err *e) {
    if (!json_is_object(facts))
        return err_set(e, &err_bad_message, "facts: expected an object");
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)facts, name, value) {
        if (check_name(name, e) < 0 || check_value(name, value, e) < 0)
            return -1;
        if (strncmp(name, label_prefix, LABEL_PREFIX_BYTES) == 0)
            return err_set(e, &err_bad_message,
                           "facts: %s: names that begin with \"label.\" are the controller's",
                           name);
        if (add(object, name, value, e) < 0)
            return -1;
    }
    return 0;
}

static int add_labels(json_t *object, const json_t *labels, struct err *e) {
    if (!json_is_object(labels))
        return err_set(e, &err_bad_message, "labels: expected an object");
    const char *label;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)labels, label, value) {
        char name[BUNDLE_FACT_NAME_MAX + 2];
        int len = snprintf(name, sizeof name, "%s%s", label_prefix, label);
        // One byte more than a name may have still fits, so that a name that was cut is refused.
        if (len < 0 || check_name(name, e) < 0)
            return -1;
        if (!json_is_string(value))
            return err_set(e, &err_bad_message, "facts: %s: expected a string", name);
        if (check_string(name, value, e) < 0 || add(object, name, value, e) < 0)
            return -1;
    }
    return 0;
}

int bundle_facts_with_labels(const json_t *facts, const json_t *labels, struct bundle_facts **ret,
                             struct err *e) {
    OWN(json) json_t *object = json_object();
    OWN(mem) struct bundle_facts *set = calloc(1, sizeof *set);
    if (!object || !set)
        return err_set(e, &err_memory, "reading facts: out of memory");
    if (add_facts(object, facts, e) < 0 || (labels && add_labels(object, labels, e) < 0))
        return -1;
    set->object = own_take(&object);
    *ret = own_take(&set);
    return 0;
}

int bundle_facts_parse(const json_t *object, struct bundle_facts **ret, struct err *e) {
    return bundle_facts_with_labels(object, NULL, ret, e);
}

void bundle_facts_free(struct bundle_facts *facts) {
    if (!facts)
        return;
    json_decref(facts->object);
    free(facts);
}

const json_t *bundle_facts_find(const struct bundle_facts *facts, const char *name) {
    return json_object_get(facts->object, name);
}

int bundle_facts_digest(const json_t *object, struct keys_digest *ret, struct err *e) {
    OWN(buf) struct buf canonical;
    buf_init(&canonical, BUNDLE_MESSAGE_MAX_BYTES);
    if (keys_canon_format(object, &canonical, e) < 0)
        return err_prefix(e, "facts");
    keys_digest_of(canonical.data, canonical.len, ret);
    return 0;
}
