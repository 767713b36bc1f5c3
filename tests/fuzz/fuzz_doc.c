// SPDX-License-Identifier: Apache-2.0
//
// Documents. Our scanner and the JSON library read the same bytes: what one takes the other must
// take, but for the few things that only one of them refuses on purpose. What was read is written
// and read again, and must be equal.

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/doc_scan.h"
#include "base/own.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static const struct doc_limits wide = {
    .bytes = SIZE_MAX, .depth = DOC_DEPTH_MAX, .values = SIZE_MAX, .floats = true};

static void require_agreement(struct slice text) {
    struct err e = ERR_NONE;
    json_error_t error;
    int ours = doc_scan(text, "doc", &wide, &e);
    OWN(json) json_t *theirs = json_loadb((const char *)text.data, text.len, 0, &error);
    if (ours == 0 && !theirs)
        REQUIRE(json_error_code(&error) == json_error_numeric_overflow);
    if (ours < 0 && theirs)
        REQUIRE((err_is(&e, &err_limit) && strstr(e.text, "nested")) ||
                memchr(text.data, '\0', text.len)); // jansson 2.14 skips a NUL behind a number
    REQUIRE(ours == 0 || text_is_utf8(e.text, strlen(e.text)));
}

static void require_round_trip(json_t *document) {
    OWN(mem) char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(17));
    REQUIRE(text);
    OWN(json) json_t *again = NULL;
    struct err e = ERR_NONE;
    REQUIRE(doc_parse((struct slice){(const uint8_t *)text, strlen(text)}, "again", &wide, &again,
                      &e) == 0);
    REQUIRE(json_equal(document, again));
}

// Every getter on every member: no answer but the documented ones.
static void ask(struct doc_at *root) {
    static const char *const known[] = {"name", "probes", "poll_s", NULL};
    const char *key;
    json_t *value;
    json_object_foreach (root->value, key, value) {
        struct err e[5] = {ERR_NONE, ERR_NONE, ERR_NONE, ERR_NONE, ERR_NONE};
        struct doc_at at;
        const char *text;
        uint64_t number;
        bool on;
        int done[] = {
            doc_string(root, key, 16, &text, &e[0]), doc_u64(root, key, 1, 100, &number, &e[1]),
            doc_bool(root, key, &on, &e[2]),         doc_object(root, key, &at, &e[3]),
            doc_array(root, key, 4, &at, &e[4]),
        };
        int succeeded = 0;
        for (size_t i = 0; i < 5; i++) {
            REQUIRE((done[i] == 0) == (e[i].kind == NULL));
            REQUIRE(text_is_utf8(e[i].text, strlen(e[i].text)));
            succeeded += done[i] == 0;
        }
        REQUIRE(succeeded <= 1);
        REQUIRE(doc_string_opt(root, key, 16, &text, &e[0]) != DOC_ABSENT || json_is_null(value));
    }
    struct err e = ERR_NONE;
    REQUIRE((doc_no_unknown(root, known, &e) == 0) == (doc_find_unknown(root, known, &key) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct slice text = {data, len};
    require_agreement(text);
    const struct doc_limits limits[] = {wide,
                                        {.bytes = 256, .depth = 4, .values = 20, .floats = false}};
    int done[2];
    for (size_t i = 0; i < 2; i++) {
        OWN(json) json_t *document = NULL;
        struct err e = ERR_NONE;
        done[i] = doc_parse(text, "doc", &limits[i], &document, &e);
        REQUIRE((done[i] == 0) == (document != NULL));
        REQUIRE(!err_is(&e, &err_memory)); // what doc_parse says when the two disagree
        if (done[i] < 0)
            continue;
        require_round_trip(document);
        struct doc_at root;
        struct err not_object = ERR_NONE;
        if (doc_root(document, "doc", &root, &not_object) == 0)
            ask(&root);
    }
    REQUIRE(done[0] == 0 || done[1] < 0); // narrower limits take nothing more
    return 0;
}
