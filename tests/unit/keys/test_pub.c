// SPDX-License-Identifier: Apache-2.0
//
// Public keys: one form, one id.
#include <criterion/criterion.h>

#include <string.h>

#include "base/own.h"
#include "keys/kind.h"
#include "keys/pub.h"
#include "tests/unit/keys/keyring.h"

static int parse(const char *text, struct keys_pub *ret, struct err *e) {
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    cr_assert_not_null(document, "%s", text);
    struct doc_at at;
    if (doc_root(document, "key", &at, e) < 0)
        return -1;
    return keys_pub_parse(&at, ret, e);
}

// Computed with Python's hashlib over the canonical form.
#define KEY1                                                                                       \
    "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":"                                             \
    "\"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c\"},\"scheme\":"            \
    "\"ed25519\"}"

Test(pub, a_key_reads_and_writes_the_same) {
    struct keys_pub key = keyring_pub(1);
    struct keys_pub read;
    struct err e = ERR_NONE;
    OWN(json) json_t *object = NULL;
    OWN(buf) struct buf text;
    buf_init(&text, 1000);
    cr_assert_eq(keys_pub_format(&key, &object, &e), 0);
    cr_assert_eq(keys_canon_format(object, &text, &e), 0);
    cr_assert_str_eq(buf_text(&text), KEY1);
    cr_assert_eq(parse(KEY1, &read, &e), 0, "%s", e.text);
    cr_assert_str_eq(read.id, key.id);
    cr_assert_arr_eq(read.ed25519, key.ed25519, sizeof key.ed25519);
}

Test(pub, the_id_is_the_sha_256_of_the_canonical_object) {
    cr_assert_str_eq(keyring_pub(1).id,
                     "7ab6b86cb2c9684b0ddc10896153aa2595decf4d4327a5ff1a8ab7422c828b12");
    cr_assert_str_neq(keyring_pub(2).id, keyring_pub(1).id);
}

static void assert_bad(const char *text, const struct err_kind *kind) {
    struct keys_pub key = {.id = "untouched"};
    struct err e = ERR_NONE;
    cr_assert_lt(parse(text, &key, &e), 0, "accepted: %s", text);
    cr_assert(err_is(&e, kind), "%s: kind %s: %s", text, e.kind->name, e.text);
    cr_assert_str_eq(key.id, "untouched");
}

#define HEX "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
#define WITH(type, public, scheme)                                                                 \
    "{\"keytype\":\"" type "\",\"keyval\":{\"public\":\"" public "\"},\"scheme\":\"" scheme "\"}"

Test(pub, other_types_lengths_and_members_are_bad_keys) {
    assert_bad(WITH("rsa", HEX, "ed25519"), &err_bad_key);
    assert_bad(WITH("ed25519", HEX, "ed25519ph"), &err_bad_key);
    assert_bad(WITH("Ed25519", HEX, "ed25519"), &err_bad_key);
    assert_bad(WITH("ed25519", "", "ed25519"), &err_bad_key);
    assert_bad(WITH("ed25519", "8a88", "ed25519"), &err_bad_key);
    assert_bad(WITH("ed25519", HEX "00", "ed25519"), &err_bad_key);
    assert_bad("{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"" HEX
               "\"},\"scheme\":\"ed25519\",\"x\":1}",
               &err_bad_key);
    assert_bad("{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"" HEX
               "\",\"private\":\"\"},\"scheme\":\"ed25519\"}",
               &err_bad_key);
}

Test(pub, points_that_make_forging_easy_are_bad_keys) {
#define POINT(hex) WITH("ed25519", hex, "ed25519")
    // Neutral element, order 2, order 4, order 8, a coordinate above the prime, and no point at
    // all.
    static const char *const keys[] = {
        POINT("0100000000000000000000000000000000000000000000000000000000000000"),
        POINT("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        POINT("0000000000000000000000000000000000000000000000000000000000000000"),
        POINT("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        POINT("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        POINT("0200000000000000000000000000000000000000000000000000000000000000"),
    };
#undef POINT
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_bad(keys[i], &err_bad_key);
}

Test(pub, members_of_another_shape_are_syntax_errors) {
    static const char *const values[] = {"null", "[]", "{}", "1", "true"};
    static const char *const forms[] = {
        "{\"keytype\":%s,\"keyval\":{\"public\":\"" HEX "\"},\"scheme\":\"ed25519\"}",
        "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"" HEX "\"},\"scheme\":%s}",
        "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":%s},\"scheme\":\"ed25519\"}",
        "{\"keytype\":\"ed25519\",\"keyval\":%s,\"scheme\":\"ed25519\"}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            char text[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(text, sizeof text, forms[i], values[j]);
#pragma GCC diagnostic pop
            assert_bad(text, &err_syntax);
        }
    }
    assert_bad("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\"}", &err_syntax);
}

Test(pub, any_flipped_bit_of_signature_or_message_is_noticed) {
    struct keys_pub key = keyring_pub(3);
    struct keys_envelope_signature signature;
    uint8_t message[] = "what was signed";
    struct slice text = {message, sizeof message};
    keyring_sign(3, text, &signature);
    cr_assert(keys_pub_verify(&key, text, signature.sig));
    for (size_t bit = 0; bit < 8 * sizeof signature.sig; bit++) {
        signature.sig[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_not(keys_pub_verify(&key, text, signature.sig));
        signature.sig[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        message[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_not(keys_pub_verify(&key, text, signature.sig));
        message[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    cr_assert_not(keys_pub_verify(&(struct keys_pub){0}, text, signature.sig));
}
