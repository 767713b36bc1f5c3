// SPDX-License-Identifier: Apache-2.0
//
// Text onto the tape, in one pass over a copy that ends with a NUL. No token contains one, so that
// it stops every scan and nothing counts the bytes that are left.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/tuf/json_tape.h"

#define SHOWN_KEY_BYTES 80

static_assert(TUF_JSON_BYTES_MAX < UINT32_MAX, "offsets into the text are 32 bits");

struct parser {
    struct tuf_json json;
    uint32_t capacity; // of the tape
    char *at;
    uint32_t key;                      // the name of the value that comes next
    uint32_t depth;                    // containers that are open,
    uint32_t open[TUF_JSON_DEPTH_MAX]; // outermost first
    const char *what;
    struct err *e;
};

static int refuse(const struct parser *p, const char *why) {
    return err_set(p->e, &err_syntax, "%s: byte %td: %s", p->what, p->at - p->json.text, why);
}

static void skip_blanks(struct parser *p) {
    static const char blanks[] = {' ', '\n', '\r', '\t'};
    while (memchr(blanks, *p->at, sizeof blanks))
        p->at++;
}

static int grow(struct parser *p) {
    if (p->capacity == TUF_JSON_VALUES_MAX)
        return err_set(p->e, &err_limit, "%s: more than %d values", p->what, TUF_JSON_VALUES_MAX);
    uint32_t capacity = p->capacity + p->capacity / 2 + 32;
    if (capacity > TUF_JSON_VALUES_MAX)
        capacity = TUF_JSON_VALUES_MAX;
    void *tape = realloc(p->json.tape, capacity * sizeof *p->json.tape);
    if (!tape)
        return err_set(p->e, &err_memory, "%s: no memory for %" PRIu32 " values", p->what,
                       capacity);
    p->json.tape = tape;
    p->capacity = capacity;
    return 0;
}

// Another value on the tape, of the innermost container; NULL when that failed.
static struct tuf_json_value *add(struct parser *p, enum tuf_json_type type) {
    if (p->json.n == p->capacity && grow(p) < 0)
        return NULL;
    if (p->depth > 0)
        p->json.tape[p->open[p->depth - 1]].container.count++;
    struct tuf_json_value *value = &p->json.tape[p->json.n++];
    *value = (struct tuf_json_value){.type = type, .key = p->key};
    return value;
}

// Four hex digits; -1 when they are not.
static int32_t hex4(const char *at) {
    static const char digits[] = "0123456789abcdefABCDEF";
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const char *digit = memchr(digits, at[i], sizeof digits - 1);
        if (!digit)
            return -1;
        int32_t n = (int32_t)(digit - digits);
        value = value * 16 + (n < 16 ? n : n - 6);
    }
    return value;
}

static char *put_utf8(char *to, int32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xE0 | c >> 12);
        } else {
            *to++ = (char)(0xF0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *to++ = (char)(0x80 | (c & 0x3F));
    return to;
}

// \u and four digits, or two of them for a character beyond U+FFFF; p->at is on the backslash.
static int read_unicode(struct parser *p, char **to) {
    int32_t c = hex4(p->at + 2);
    if (c < 0)
        return refuse(p, "\\u needs four hex digits");
    if (c == 0)
        return refuse(p, "a string must not contain NUL");
    if ((c & 0xF800) == 0xD800) {
        const char *second = p->at + 6;
        int32_t low = second[0] == '\\' && second[1] == 'u' ? hex4(second + 2) : -1;
        if (c >= 0xDC00 || (low & ~0x3FF) != 0xDC00)
            return refuse(p, "half a surrogate pair");
        c = 0x10000 + ((c & 0x3FF) << 10) + (low & 0x3FF);
        p->at += 6;
    }
    p->at += 6;
    *to = put_utf8(*to, c);
    return 0;
}

static int read_escape(struct parser *p, char **to) {
    static const char names[] = {'"', '\\', '/', 'b', 'f', 'n', 'r', 't'};
    static const char means[] = {'"', '\\', '/', '\b', '\f', '\n', '\r', '\t'};
    if (p->at[1] == 'u')
        return read_unicode(p, to);
    const char *name = memchr(names, p->at[1], sizeof names);
    if (!name)
        return refuse(p, "an escape that JSON does not know");
    *(*to)++ = means[name - names];
    p->at += 2;
    return 0;
}

// p->at is on the opening quote, afterwards behind the closing one. Decodes in place: the NUL takes
// the place of the closing quote at the latest.
static int read_string(struct parser *p, uint32_t *ret_start, uint32_t *ret_len) {
    char *start = ++p->at;
    char *to = start;
    while (*p->at != '"') {
        if ((unsigned char)*p->at < 0x20)
            return refuse(p, "a string that does not end, or a control character in it");
        if (*p->at != '\\')
            *to++ = *p->at++;
        else if (read_escape(p, &to) < 0)
            return -1;
    }
    p->at++;
    *to = 0;
    *ret_start = (uint32_t)(start - p->json.text);
    *ret_len = (uint32_t)(to - start);
    return 0;
}

static int read_string_value(struct parser *p) {
    uint32_t start;
    uint32_t len;
    if (read_string(p, &start, &len) < 0)
        return -1;
    struct tuf_json_value *value = add(p, TUF_JSON_STRING);
    if (!value)
        return -1;
    value->string.start = start;
    value->string.len = len;
    return 0;
}

// A name and its colon.
static int read_key(struct parser *p) {
    uint32_t len;
    skip_blanks(p);
    if (*p->at != '"')
        return refuse(p, "the name of a member is expected");
    if (read_string(p, &p->key, &len) < 0)
        return -1;
    skip_blanks(p);
    if (*p->at != ':')
        return refuse(p, "':' is expected");
    p->at++;
    return 0;
}

static int read_integer(struct parser *p) {
    bool negative = *p->at == '-';
    const char *first = p->at + negative;
    int64_t number = 0;
    size_t n = 0;
    for (; first[n] >= '0' && first[n] <= '9'; n++) {
        number = number * 10 + (first[n] - '0');
        if (number > TUF_JSON_INTEGER_MAX)
            return refuse(p, "an integer outside ±(2^53 - 1)");
    }
    if (n == 0)
        return refuse(p, "a value is expected");
    if (*first == '0' && n + negative > 1)
        return refuse(p, "an integer with leading zeros, or -0");
    if (memchr(".eE", first[n], 3))
        return refuse(p, "a number with a fraction or exponent; metadata has integers");
    struct tuf_json_value *value = add(p, TUF_JSON_INTEGER);
    if (!value)
        return -1;
    value->integer = negative ? -number : number;
    p->at += (size_t)negative + n;
    return 0;
}

static int read_word(struct parser *p, enum tuf_json_type type, const char *word) {
    for (; *word; word++, p->at++)
        if (*p->at != *word)
            return refuse(p, "a value is expected");
    return add(p, type) ? 0 : -1;
}

static int open_container(struct parser *p, enum tuf_json_type type) {
    if (p->depth == TUF_JSON_DEPTH_MAX)
        return err_set(p->e, &err_limit, "%s: nested deeper than %d levels", p->what,
                       TUF_JSON_DEPTH_MAX);
    p->at++;
    uint32_t index = p->json.n;
    if (!add(p, type))
        return -1;
    p->open[p->depth++] = index;
    return 0;
}

static int read_value(struct parser *p) {
    skip_blanks(p);
    switch (*p->at) {
    case '{':
        return open_container(p, TUF_JSON_OBJECT);
    case '[':
        return open_container(p, TUF_JSON_ARRAY);
    case '"':
        return read_string_value(p);
    case 't':
        return read_word(p, TUF_JSON_TRUE, "true");
    case 'f':
        return read_word(p, TUF_JSON_FALSE, "false");
    case 'n':
        return read_word(p, TUF_JSON_NULL, "null");
    default:
        return read_integer(p);
    }
}

// What follows a value, or the opening of a container: containers that end here, then a comma and
// a name. Afterwards a value comes, or nothing is open.
static int read_between(struct parser *p) {
    while (p->depth > 0) {
        uint32_t index = p->open[p->depth - 1];
        struct tuf_json_value *container = &p->json.tape[index];
        bool object = container->type == TUF_JSON_OBJECT;
        skip_blanks(p);
        if (*p->at == (object ? '}' : ']')) {
            p->at++;
            container->container.end = p->json.n;
            p->depth--;
            continue;
        }
        if (container->container.count > 0) {
            if (*p->at != ',')
                return refuse(p, "',' or the end of its object or array is expected");
            p->at++;
        }
        p->key = (uint32_t)p->json.text_bytes; // the NUL there: what elements are called
        return object ? read_key(p) : 0;
    }
    return 0;
}

static int parse_values(struct parser *p) {
    skip_blanks(p);
    if (*p->at != '{')
        return refuse(p, "an object is expected");
    do {
        if (read_value(p) < 0 || read_between(p) < 0)
            return -1;
    } while (p->depth > 0);
    skip_blanks(p);
    if (*p->at)
        return refuse(p, "something follows the document");
    return 0;
}

// One pass behind the parser, over all objects.
static int refuse_duplicates(const struct tuf_json *json, const char *what, struct err *e) {
    OWN(mem) uint32_t *order = calloc(json->n, sizeof *order);
    if (!order)
        return err_set(e, &err_memory, "%s: no memory to compare its members", what);
    for (struct tuf_json_at at = tuf_json_root(json); at.index < json->n; at.index++) {
        if (tuf_json_type(at) != TUF_JSON_OBJECT)
            continue;
        uint32_t n = tuf_json_tape_children(at, order);
        for (uint32_t i = 1; i < n; i++) {
            const char *key = tuf_json_tape_key(json, order[i]);
            char shown[SHOWN_KEY_BYTES];
            if (strcmp(tuf_json_tape_key(json, order[i - 1]), key) == 0)
                return err_set(e, &err_syntax, "%s: member \"%s\" stands twice in one object", what,
                               text_safe(key, shown, sizeof shown));
        }
    }
    return 0;
}

int tuf_json_parse(struct slice text, size_t max_bytes, const char *what, struct tuf_json *ret,
                   struct err *e) {
    size_t ceiling = max_bytes < TUF_JSON_BYTES_MAX ? max_bytes : TUF_JSON_BYTES_MAX;
    if (text.len > ceiling)
        return err_set(e, &err_limit, "%s: %zu bytes, more than the %zu allowed", what, text.len,
                       ceiling);
    if (text.len == 0)
        return err_set(e, &err_syntax, "%s: empty", what);
    size_t good = text_utf8_prefix((const char *)text.data, text.len);
    if (good < text.len)
        return err_set(e, &err_syntax, "%s: byte %zu: not UTF-8, or NUL", what, good);
    struct parser p = {.what = what, .e = e, .key = (uint32_t)text.len};
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    json.text = malloc(text.len + 1);
    if (!json.text)
        return err_set(e, &err_memory, "%s: no memory for %zu bytes", what, text.len);
    memcpy(json.text, text.data, text.len);
    json.text[text.len] = 0;
    json.text_bytes = text.len;
    p.json = json;
    p.at = json.text;
    int failed = parse_values(&p);
    json = p.json; // the tape may have moved
    if (failed < 0 || refuse_duplicates(&json, what, e) < 0)
        return -1;
    *ret = json;
    json = (struct tuf_json)TUF_JSON_NONE;
    return 0;
}
