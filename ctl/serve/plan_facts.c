// SPDX-License-Identifier: Apache-2.0
//
// Reading facts where they lie.
#include "ctl/serve/plan_facts.h"

#include <string.h>

#include "base/own.h"
#include "ctl/kind.h"

#define LABEL     "label."
#define LABEL_LEN (sizeof LABEL - 1)

static bool starts_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool goes_on(char c) {
    return starts_name(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

static bool add(struct serve_plan_facts *facts, const char *name, size_t len) {
    if (len > BUNDLE_FACT_NAME_MAX)
        return true; // no fact is called so
    for (size_t i = 0; i < facts->n; i++)
        if (strncmp(facts->names[i], name, len) == 0 && facts->names[i][len] == '\0')
            return true;
    if (facts->n == SERVE_PLAN_FACTS_MAX)
        return false;
    memcpy(facts->names[facts->n], name, len);
    facts->names[facts->n++][len] = '\0';
    return true;
}

bool serve_plan_facts_name(struct serve_plan_facts *facts, const char *text) {
    for (const char *at = text; *at != '\0';) {
        if (*at == '"') { // a value: up to its end
            for (at++; *at != '\0' && *at != '"'; at++)
                at += *at == '\\' && at[1] != '\0';
            at += *at == '"';
        } else if (starts_name(*at)) {
            const char *from = at;
            while (goes_on(*at))
                at++;
            if (!add(facts, from, (size_t)(at - from)))
                return false;
        } else {
            at++;
        }
    }
    return true;
}

// The end of the value that begins at `at`: behind it is a comma or a brace. NULL when it has none.
static const uint8_t *skip(const uint8_t *at, const uint8_t *end) {
    unsigned depth = 0;
    for (; at < end; at++) {
        if (*at == '"') {
            for (at++; at < end && *at != '"'; at++)
                at += *at == '\\';
            if (at >= end)
                return NULL;
        } else if (*at == '[' || *at == '{') {
            depth++;
        } else if (depth > 0 && (*at == ']' || *at == '}')) {
            depth--;
        } else if (depth == 0 && (*at == ',' || *at == '}')) {
            return at;
        }
    }
    return NULL;
}

struct found {
    struct slice values[SERVE_PLAN_FACTS_MAX];
};

static void note(const struct serve_plan_facts *facts, const char *prefix, struct slice name,
                 struct slice value, struct found *io) {
    size_t skipped = strlen(prefix);
    for (size_t i = 0; i < facts->n; i++) {
        const char *wanted = facts->names[i];
        if (strncmp(wanted, prefix, skipped) == 0 &&
            strncmp(wanted + skipped, (const char *)name.data, name.len) == 0 &&
            wanted[skipped + name.len] == '\0')
            io->values[i] = value;
    }
}

// False when the text is not of the form that is written.
static bool scan(const struct serve_plan_facts *facts, const char *prefix, struct slice text,
                 struct found *io) {
    const uint8_t *at = text.data, *end = text.data + text.len;
    if (text.len == 0 || (text.len == 2 && memcmp(text.data, "{}", 2) == 0))
        return true;
    if (*at != '{')
        return false;
    while (at < end && *at != '}') {
        const uint8_t *name = at + 2; // behind the brace or comma, and the quote
        if (end - at < 4 || at[1] != '"')
            return false;
        const uint8_t *quote = memchr(name, '"', (size_t)(end - name));
        if (quote == NULL || end - quote < 3 || quote[1] != ':')
            return false;
        const uint8_t *value = quote + 2;
        at = skip(value, end);
        if (at == NULL)
            return false;
        note(facts, prefix, (struct slice){.data = name, .len = (size_t)(quote - name)},
             (struct slice){.data = value, .len = (size_t)(at - value)}, io);
    }
    return at + 1 == end;
}

int serve_plan_facts_project(const struct serve_plan_facts *facts,
                             const struct store_census_row *row, struct buf *ret, struct err *e) {
    struct found found = {.values = {{.len = 0}}};
    if (!scan(facts, "", row->facts, &found) || !scan(facts, LABEL, row->labels, &found)) {
        if (buf_add(ret, row->facts.data, row->facts.len, e) < 0 || buf_add(ret, "\n", 1, e) < 0)
            return -1;
        return buf_add(ret, row->labels.data, row->labels.len, e);
    }
    for (size_t i = 0; i < facts->n; i++)
        if (buf_add(ret, found.values[i].data, found.values[i].len, e) < 0 ||
            buf_add(ret, "\n", 1, e) < 0)
            return -1;
    return 0;
}

// ── One of them ──

static int take_text(const json_t *value, char ret[static BUNDLE_FACT_VALUE_MAX + 1]) {
    if (!json_is_string(value) || json_string_length(value) > BUNDLE_FACT_VALUE_MAX)
        return STORE_ABSENT;
    memcpy(ret, json_string_value(value), json_string_length(value) + 1);
    return 0;
}

// Of facts that are not of the form that is written.
static int search(const char *name, const struct store_census_row *row,
                  char ret[static BUNDLE_FACT_VALUE_MAX + 1], struct err *e) {
    bool label = strncmp(name, LABEL, LABEL_LEN) == 0;
    struct slice text = label ? row->labels : row->facts;
    OWN(json) json_t *all = NULL;
    if (text.len == 0)
        return STORE_ABSENT;
    all = json_loadb((const char *)text.data, text.len, 0, NULL);
    if (all == NULL)
        return err_set(e, &err_bad_store, "counting the fleet: a device's facts are damaged");
    return take_text(json_object_get(all, label ? name + LABEL_LEN : name), ret);
}

int serve_plan_facts_text(const struct serve_plan_facts *facts, const struct store_census_row *row,
                          char ret[static BUNDLE_FACT_VALUE_MAX + 1], struct err *e) {
    struct found found = {.values = {{.len = 0}}};
    const struct slice *value = &found.values[0];
    if (!scan(facts, "", row->facts, &found) || !scan(facts, LABEL, row->labels, &found))
        return search(facts->names[0], row, ret, e);
    if (value->len < 2 || value->data[0] != '"')
        return STORE_ABSENT;
    if (memchr(value->data, '\\', value->len) == NULL && value->len - 2 <= BUNDLE_FACT_VALUE_MAX) {
        memcpy(ret, value->data + 1, value->len - 2);
        ret[value->len - 2] = '\0';
        return 0;
    }
    OWN(json)
    json_t *read = json_loadb((const char *)value->data, value->len, JSON_DECODE_ANY, NULL);
    return read == NULL ? search(facts->names[0], row, ret, e) : take_text(read, ret);
}
