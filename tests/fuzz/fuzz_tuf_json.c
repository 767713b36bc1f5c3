// SPDX-License-Identifier: Apache-2.0
//
// JSON of others. The JSON library reads the same bytes: what one takes the other must take, but
// for what metadata may not hold; and both must come to the same canonical form. Whatever stands
// where keys, a role and signatures belong is judged, and nothing in it can have been signed.
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "keys/tuf/key.h"

#define INPUT_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

// Numbers that metadata may not hold, anywhere in the value.
static bool has_foreign_numbers(const json_t *value) {
    const char *key;
    json_t *child;
    size_t index;
    bool found = json_is_real(value) || json_integer_value(value) > TUF_JSON_INTEGER_MAX ||
                 json_integer_value(value) < -TUF_JSON_INTEGER_MAX;
    json_object_foreach ((json_t *)(uintptr_t)value, key, child)
        found = found || has_foreign_numbers(child);
    json_array_foreach (value, index, child)
        found = found || has_foreign_numbers(child);
    return found;
}

static void require_reason(const struct err *e, struct slice text, const json_t *theirs) {
    REQUIRE(e->kind && text_is_utf8(e->text, strlen(e->text)));
    if (!theirs || err_is(e, &err_limit))
        return;
    REQUIRE(err_is(e, &err_syntax));
    REQUIRE(!json_is_object(theirs) || has_foreign_numbers(theirs) || strstr(e->text, "-0") ||
            memchr(text.data, 0, text.len));
}

static void require_same_form(const struct tuf_json *json, const json_t *theirs) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf ours;
    OWN(buf) struct buf expected;
    buf_init(&ours, json->text_bytes);
    buf_init(&expected, json->text_bytes);
    REQUIRE(tuf_json_canonical(tuf_json_root(json), &ours, &e) == 0);
    REQUIRE(keys_canon_format(theirs, &expected, &e) == 0);
    REQUIRE(ours.len == expected.len && memcmp(ours.data, expected.data, ours.len) == 0);
}

// Every place is reached once, in order, from its parent; every member by its name.
static void require_walk(const struct tuf_json *json) {
    size_t children = 0;
    struct tuf_json_at parent = tuf_json_root(json);
    for (; parent.index < json->n; parent.index++) {
        struct tuf_json_at at;
        struct tuf_json_at found;
        const char *key = NULL;
        size_t n = 0;
        bool is = tuf_json_first(parent, &at, &key);
        for (; is; is = tuf_json_next(parent, &at, &key)) {
            if (tuf_json_type(parent) == TUF_JSON_OBJECT && n < 16)
                REQUIRE(tuf_json_find(parent, key, &found) && found.index == at.index);
            n++;
        }
        REQUIRE(n == tuf_json_count(parent));
        children += n;
    }
    REQUIRE(children + 1 == json->n);
}

static void judge(const struct tuf_json *json) {
    struct tuf_json_at root = tuf_json_root(json);
    struct tuf_json_at keys = root;
    struct tuf_json_at role = root;
    struct tuf_json_at signatures = root;
    struct tuf_role read;
    struct err e = ERR_NONE;
    (void)tuf_json_find(root, "keys", &keys);
    (void)tuf_json_find(root, "role", &role);
    (void)tuf_json_find(root, "signatures", &signatures);
    (void)tuf_key_same(keys, role, NULL);
    if (tuf_role_read(keys, role, "role", &read, &e) < 0) {
        REQUIRE(err_is(&e, &err_syntax) || err_is(&e, &err_limit));
        return;
    }
    static const uint8_t message[] = "signed by nobody";
    REQUIRE(tuf_role_verify(&read, signatures, NULL, (struct slice){message, sizeof message},
                            "role", &e) < 0);
    REQUIRE(err_is(&e, &err_syntax) || err_is(&e, &err_limit) || err_is(&e, &err_bad_signature) ||
            err_is(&e, &err_below_threshold));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    struct slice text = {data, len};
    struct err e = ERR_NONE;
    json_error_t error;
    OWN(json) json_t *theirs = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, &error);
    if (tuf_json_parse(text, INPUT_MAX, "input", &json, &e) < 0) {
        require_reason(&e, text, theirs);
        return 0;
    }
    REQUIRE(theirs);
    require_same_form(&json, theirs);
    require_walk(&json);
    judge(&json);
    return 0;
}
