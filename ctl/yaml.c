// SPDX-License-Identifier: Apache-2.0
//
// libyaml's events into jansson's values, with a stack of our own; see yaml.h.
#include "ctl/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"

#define KEY_BYTES   256
#define SHOWN_BYTES 120

struct level {
    json_t *container; // borrowed from the one below, or from root
    bool has_key;
    char key[KEY_BYTES];
};

struct yaml {
    const char *what;
    yaml_parser_t parser;
    yaml_event_t event;
    json_t *root;
    struct level levels[CTL_YAML_DEPTH_MAX];
    size_t depth, values;
    struct err *e;
};

static int wrong_at(struct yaml *y, const struct err_kind *kind, yaml_mark_t mark,
                    const char *text) {
    return err_set(y->e, kind, "%s: line %zu, column %zu: %s", y->what, mark.line + 1,
                   mark.column + 1, text);
}

static int wrong(struct yaml *y, const char *text) {
    return wrong_at(y, &err_syntax, y->event.start_mark, text);
}

static int no_memory(struct yaml *y) {
    return err_set(y->e, &err_memory, "%s: no memory", y->what);
}

// What libyaml found wrong.
static int parser_failed(struct yaml *y) {
    char text[SHOWN_BYTES];
    if (y->parser.error == YAML_MEMORY_ERROR)
        return no_memory(y);
    const char *problem = y->parser.problem ? y->parser.problem : "not YAML";
    bool tab = strstr(problem, "cannot start any token") != NULL;
    (void)snprintf(text, sizeof text, "%s%s%s%s", y->parser.context ? y->parser.context : "",
                   y->parser.context ? ": " : "", problem,
                   tab ? " (indent with blanks, not tabs)" : "");
    return wrong_at(y, &err_syntax, y->parser.problem_mark, text);
}

// An integer as JSON writes it; what else looks like a number is text.
static bool is_integer(const char *text, json_int_t *ret) {
    struct err ignored = ERR_NONE;
    uint64_t value = 0;
    bool negative = *text == '-';
    if (num_parse_u64(text + negative, "integer", 0, INT64_MAX, &value, &ignored) < 0)
        return false;
    if (negative && value == 0)
        return false;
    *ret = negative ? -(json_int_t)value : (json_int_t)value;
    return true;
}

static json_t *plain(const char *text, size_t len) {
    static const struct {
        const char *word;
        int value; // 0 false, 1 true, 2 null
    } words[] = {{"true", 1}, {"True", 1}, {"TRUE", 1}, {"false", 0}, {"False", 0}, {"FALSE", 0},
                 {"null", 2}, {"Null", 2}, {"NULL", 2}, {"~", 2},     {"", 2}};
    json_int_t integer = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i].word) == 0)
            return words[i].value == 2 ? json_null() : json_boolean(words[i].value);
    return is_integer(text, &integer) ? json_integer(integer) : json_stringn(text, len);
}

// The value joins the container on top of the stack, or becomes the root. Consumes it.
static int place(struct yaml *y, json_t *consumed) {
    OWN(json) json_t *value = consumed;
    if (!value)
        return no_memory(y);
    if (++y->values > CTL_YAML_VALUES_MAX)
        return wrong_at(y, &err_limit, y->event.start_mark, "more values than allowed");
    if (y->depth == 0) {
        y->root = own_take(&value);
        return 0;
    }
    struct level *level = &y->levels[y->depth - 1];
    if (json_is_array(level->container))
        return json_array_append(level->container, value) < 0 ? no_memory(y) : 0;
    if (!level->has_key)
        return wrong(y, "a key must be plain text");
    level->has_key = false;
    return json_object_set(level->container, level->key, value) < 0 ? no_memory(y) : 0;
}

static int take_key(struct yaml *y, struct level *level, const char *text, size_t len) {
    char shown[64], said[SHOWN_BYTES];
    if (len >= sizeof level->key)
        return wrong_at(y, &err_limit, y->event.start_mark, "a key is longer than allowed");
    if (json_object_get(level->container, text)) {
        (void)snprintf(said, sizeof said, "the key \"%s\" stands here a second time",
                       text_safe(text, shown, sizeof shown));
        return wrong(y, said);
    }
    memcpy(level->key, text, len + 1);
    level->has_key = true;
    return 0;
}

static int on_scalar(struct yaml *y) {
    const char *text = (const char *)y->event.data.scalar.value;
    size_t len = y->event.data.scalar.length;
    struct level *level = y->depth > 0 ? &y->levels[y->depth - 1] : NULL;
    if (y->event.data.scalar.anchor)
        return wrong(y, "anchors and aliases are not taken: write it out");
    if (y->event.data.scalar.tag)
        return wrong(y, "tags are not taken: quote what is text");
    if (strlen(text) != len)
        return wrong(y, "a NUL in a text");
    if (level && json_is_object(level->container) && !level->has_key)
        return take_key(y, level, text, len);
    bool is_plain = y->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return place(y, is_plain ? plain(text, len) : json_stringn(text, len));
}

static int on_begin(struct yaml *y, json_t *container, const yaml_char_t *anchor,
                    const yaml_char_t *tag) {
    if (anchor || tag) {
        json_decref(container);
        return wrong(y, anchor ? "anchors and aliases are not taken: write it out"
                               : "tags are not taken");
    }
    if (y->depth == CTL_YAML_DEPTH_MAX) {
        json_decref(container);
        return wrong_at(y, &err_limit, y->event.start_mark, "nested deeper than allowed");
    }
    if (place(y, container) < 0) // alive from here on in its parent
        return -1;
    y->levels[y->depth] = (struct level){.container = container};
    y->depth++;
    return 0;
}

// 1 when the stream is over.
static int on_event(struct yaml *y) {
    switch (y->event.type) {
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_DOCUMENT_START_EVENT:
        return y->root ? wrong(y, "a second document begins; one file holds one") : 0;
    case YAML_ALIAS_EVENT:
        return wrong(y, "anchors and aliases are not taken: write it out");
    case YAML_SCALAR_EVENT:
        return on_scalar(y);
    case YAML_MAPPING_START_EVENT:
        return on_begin(y, json_object(), y->event.data.mapping_start.anchor,
                        y->event.data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(y, json_array(), y->event.data.sequence_start.anchor,
                        y->event.data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        y->depth--;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

static int parse(struct yaml *y) {
    for (;;) {
        if (!yaml_parser_parse(&y->parser, &y->event))
            return parser_failed(y);
        int r = on_event(y);
        yaml_event_delete(&y->event);
        if (r != 0)
            return r < 0 ? -1 : 0;
    }
}

int ctl_yaml_parse(struct slice text, const char *what, json_t **ret, struct err *e) {
    OWN(mem) struct yaml *y = calloc(1, sizeof *y);
    if (!y)
        return err_set(e, &err_memory, "%s: no memory", what);
    y->what = what;
    y->e = e;
    if (text.len > CTL_YAML_BYTES_MAX)
        return err_set(e, &err_limit, "%s: longer than %d bytes", what, CTL_YAML_BYTES_MAX);
    // libyaml would also take UTF-16, which nobody means.
    if (text.len > 0 && !text_is_utf8((const char *)text.data, text.len))
        return err_set(e, &err_syntax, "%s: not UTF-8", what);
    if (!yaml_parser_initialize(&y->parser))
        return no_memory(y);
    yaml_parser_set_encoding(&y->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y->parser, text.data ? text.data : (const uint8_t *)"", text.len);
    int r = parse(y);
    yaml_parser_delete(&y->parser);
    if (r == 0 && !y->root)
        r = err_set(e, &err_syntax, "%s: empty", what);
    if (r < 0) {
        json_decref(y->root);
        return -1;
    }
    *ret = y->root;
    return 0;
}
