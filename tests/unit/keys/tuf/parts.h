// SPDX-License-Identifier: Apache-2.0
//
// One member of a signed part, by its way through the document: "meta/snapshot.json/version",
// "roles/0/name". For tables of what may and may not stand there.
#pragma once

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#define PARTS_WAY_BYTES 256

static inline json_t *parts_child(json_t *node, const char *name) {
    return json_is_array(node) ? json_array_get(node, (size_t)atoi(name))
                               : json_object_get(node, name);
}

// Puts a value, written as JSON, at the end of the way; "" removes what is there.
static inline void parts_put(json_t *part, const char *way, const char *text) {
    char words[PARTS_WAY_BYTES];
    cr_assert_lt(strlen(way), sizeof words);
    (void)snprintf(words, sizeof words, "%s", way);
    json_t *node = part;
    char *rest = words;
    char *word = strsep(&rest, "/");
    for (; rest; word = strsep(&rest, "/")) {
        node = parts_child(node, word);
        cr_assert_not_null(node, "%s: no %s", way, word);
    }
    if (*text == '\0') {
        cr_assert_eq(json_is_array(node) ? json_array_remove(node, (size_t)atoi(word))
                                         : json_object_del(node, word),
                     0, "%s", way);
        return;
    }
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(value, "%s", text);
    cr_assert_eq(json_is_array(node) ? json_array_set_new(node, (size_t)atoi(word), value)
                                     : json_object_set_new(node, word, value),
                 0, "%s", way);
}
