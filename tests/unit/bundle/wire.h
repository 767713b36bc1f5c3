// SPDX-License-Identifier: Apache-2.0
//
// What the tests of messages share: strict reading of a text, cases kept as directories, and
// hostile values in the place of every member.
//
// A case is tests/data/wire/<message>/{valid,invalid}/<case>/message.json; beside an invalid one
// lies `expected`: the kind of the error in its first line, in its second a piece of the sentence.
#pragma once

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/own.h"

// What reads one kind of message in full and drops it again.
typedef int wire_read(json_t *document, struct err *e);

static inline json_t *wire_json(const char *text) {
    static const struct doc_limits limits = {.bytes = 1 << 22, .depth = 32, .values = 1 << 20};
    struct err e = ERR_NONE;
    json_t *document = NULL;
    struct slice slice = {(const uint8_t *)text, strlen(text)};
    cr_assert_eq(doc_parse(slice, "test", &limits, &document, &e), 0, "%s: %s", e.text, text);
    return document;
}

static inline char *wire_file(const char *path) {
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    char *text = calloc(1, 1 << 20);
    cr_assert(text);
    cr_assert(fread(text, 1, (1 << 20) - 1, file) > 0, "%s is empty", path);
    (void)fclose(file);
    return text;
}

static inline void wire_case(const char *folder, bool valid, wire_read *read) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/message.json", folder);
    OWN(mem) char *text = wire_file(path);
    OWN(json) json_t *document = wire_json(text);
    struct err e = ERR_NONE;
    int got = read(document, &e);
    if (valid) {
        cr_assert_eq(got, 0, "%s: %s", folder, e.text);
        return;
    }
    (void)snprintf(path, sizeof path, "%s/expected", folder);
    OWN(mem) char *expected = wire_file(path);
    char *newline = strchr(expected, '\n');
    cr_assert(newline, "%s", path);
    *newline = '\0';
    char *piece = newline + 1;
    piece[strcspn(piece, "\n")] = '\0';
    cr_assert_lt(got, 0, "%s was accepted", folder);
    cr_assert_str_eq(e.kind->name, expected, "%s: %s: %s", folder, e.kind->name, e.text);
    cr_assert(strstr(e.text, piece), "%s: \"%s\" is not in \"%s\"", folder, piece, e.text);
}

static inline void wire_cases(const char *message, wire_read *read) {
    static const char *const sorts[] = {"invalid", "valid"};
    for (size_t valid = 0; valid < 2; valid++) {
        char folder[512];
        (void)snprintf(folder, sizeof folder, "%s/tests/data/wire/%s/%s", EDGE_SOURCE_DIR, message,
                       sorts[valid]);
        DIR *dir = opendir(folder);
        cr_assert(dir, "%s", folder);
        size_t n = 0;
        for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
            char path[800];
            if (entry->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            wire_case(path, valid, read);
            n++;
        }
        (void)closedir(dir);
        cr_assert_gt(n, 0, "%s holds no case", folder);
    }
}

// How often a swapped message was read and refused.
struct wire_swapped {
    size_t read;
    size_t refused;
};

static inline void wire_try(json_t *document, wire_read *read, struct wire_swapped *count) {
    struct err e = ERR_NONE;
    if (read(document, &e) < 0) {
        cr_assert(e.kind && *e.text);
        cr_assert_str_neq(e.kind->name, "internal", "%s", e.text);
        cr_assert_str_neq(e.kind->name, "memory", "%s", e.text);
        cr_assert_str_neq(e.kind->name, "syntax", "%s", e.text);
        count->refused++;
    }
    count->read++;
}

// Puts a value of each type, and values at the edges, into the place of every member and element.
static inline void wire_swap(json_t *document, json_t *within, wire_read *read,
                             struct wire_swapped *count) {
    static const char hostile[] =
        "[null,[],{},[null],{\"\":null},0,1,-1,9007199254740991,9007199254740992,"
        "9223372036854775807,-9223372036854775808,\"\",\"x\",\"\\u0001\\u001b[31m\",\"../..\","
        "\"\\u202e\",true,false]";
    OWN(json) json_t *values = wire_json(hostile);
    if (json_is_object(within)) {
        const char *key;
        json_t *kept;
        void *next;
        json_object_foreach_safe (within, next, key, kept) {
            json_incref(kept);
            char name[256];
            (void)snprintf(name, sizeof name, "%s", key);
            for (size_t i = 0; i < json_array_size(values); i++) {
                json_object_set(within, name, json_array_get(values, i));
                wire_try(document, read, count);
            }
            json_object_set_new(within, name, kept);
            wire_swap(document, kept, read, count);
        }
    }
    for (size_t at = 0; json_is_array(within) && at < json_array_size(within); at++) {
        json_t *kept = json_incref(json_array_get(within, at));
        for (size_t i = 0; i < json_array_size(values); i++) {
            json_array_set(within, at, json_array_get(values, i));
            wire_try(document, read, count);
        }
        json_array_set_new(within, at, kept);
        wire_swap(document, kept, read, count);
    }
}

// Reads the message with every member in turn left out; names those without which it is still read.
static inline void wire_omit(json_t *document, wire_read *read, const char *const *optional) {
    const char *key;
    json_t *unused;
    json_object_foreach (document, key, unused) {
        OWN(json) json_t *without = json_copy(document);
        json_object_del(without, key);
        bool may = false;
        for (size_t i = 0; optional[i]; i++)
            may = may || strcmp(optional[i], key) == 0;
        struct err e = ERR_NONE;
        int got = read(without, &e);
        cr_assert_eq(got < 0, !may, "without %s: %s", key, got < 0 ? e.text : "accepted");
    }
}

// A string of n times c, the caller's.
static inline char *wire_repeat(char c, size_t n) {
    char *text = malloc(n + 1);
    cr_assert(text);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}
