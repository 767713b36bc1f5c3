// SPDX-License-Identifier: Apache-2.0
//
// Keys: whose signature holds, and which two are one.
#include "tests/unit/keys/tuf/sample.h"

static bool verify(const char *key, const struct tuf_key_ops *ops, struct slice message,
                   struct slice signature) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    sample_parse(key, &json);
    return tuf_key_verify(tuf_json_root(&json), ops, message, signature);
}

// RFC 8032 §7.1, tests 1, 2, 3 and SHA(abc).
static const struct {
    const char *key, *message, *signature;
} rfc8032[] = {
    {SAMPLE_KEY("ed25519", "ed25519",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
     "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {SAMPLE_KEY("ed25519", "ed25519",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
     "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {SAMPLE_KEY("ed25519", "ed25519",
                "FC51CD8E6218A1A38DA47ED00230F0580816ED13BA3303AC5DEB911548908025"),
     "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    {SAMPLE_KEY("ed25519", "ed25519",
                "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2b"
                "\\u0066"),
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
     "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
};

static struct slice unhex(const char *hex, uint8_t *ret, size_t max) {
    size_t len = 0;
    cr_assert_eq(sodium_hex2bin(ret, max, hex, strlen(hex), NULL, &len, NULL), 0);
    return (struct slice){ret, len};
}

Test(tuf_key, ed25519_is_the_one_of_rfc_8032) {
    for (size_t i = 0; i < sizeof rfc8032 / sizeof *rfc8032; i++) {
        uint8_t message_bytes[128];
        uint8_t bytes[crypto_sign_BYTES];
        struct slice message = unhex(rfc8032[i].message, message_bytes, sizeof message_bytes);
        struct slice signature = unhex(rfc8032[i].signature, bytes, sizeof bytes);
        cr_assert(verify(rfc8032[i].key, NULL, message, signature), "vector %zu", i);
        for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            cr_assert_not(verify(rfc8032[i].key, NULL, message, signature));
            bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        for (size_t bit = 0; bit < 8 * message.len; bit++) {
            message_bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            cr_assert_not(verify(rfc8032[i].key, NULL, message, signature));
            message_bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        signature.len--;
        cr_assert_not(verify(rfc8032[i].key, NULL, message, signature));
        signature.len = 0;
        cr_assert_not(verify(rfc8032[i].key, NULL, message, signature));
    }
}

// A signature that holds for every message under a key of small order: R is the key, S is 0.
Test(tuf_key, points_that_make_forging_easy_verify_nothing) {
    static const char *const points[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "0200000000000000000000000000000000000000000000000000000000000000", // no point at all
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        char key[256];
        uint8_t signature[crypto_sign_BYTES] = {0};
        (void)snprintf(key, sizeof key, SAMPLE_KEY("ed25519", "ed25519", "%s"), points[i]);
        (void)unhex(points[i], signature, 32);
        for (char message = 'a'; message <= 'p'; message++)
            cr_assert_not(verify(key, NULL, (struct slice){(const uint8_t *)&message, 1},
                                 (struct slice){signature, sizeof signature}));
    }
}

Test(tuf_key, what_is_no_key_of_a_known_scheme_verifies_nothing) {
    static const char *const keys[] = {
        "{}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\"}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":null}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{}}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":1}}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":[\"%s\"]}}",
        "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"\"}}",
        "{\"keytype\":\"ed25519\",\"scheme\":null,\"keyval\":{\"public\":\"%s\"}}",
        "{\"keytype\":1,\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"%s\"}}",
        "{\"scheme\":\"ed25519\",\"keyval\":{\"public\":\"%s\"}}",
        "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"%s\"}}",
        SAMPLE_KEY("ed25519", "ed25519ph", "%s"),
        SAMPLE_KEY("ed25519", "Ed25519", "%s"),
        SAMPLE_KEY("rsa", "ed25519", "%s"),
        SAMPLE_KEY("ed25519", "rsassa-pss-sha256", "%s"),
        SAMPLE_KEY("ed25519", "ed25519", "%s00"),
        SAMPLE_KEY("ed25519", "ed25519", "%s0"),
        SAMPLE_KEY("ed25519", "ed25519", "0%s"),
        SAMPLE_KEY("ed25519", "ed25519", "%.62s"),
        SAMPLE_KEY("ed25519", "ed25519", "%.63s"),
        SAMPLE_KEY("ed25519", "ed25519", "%.62sg0"),
        SAMPLE_KEY("ed25519", "ed25519", " %s"),
        SAMPLE_KEY("ed25519", "ed25519", "0x%.62s"),
    };
    uint8_t bytes[crypto_sign_BYTES];
    struct slice signature = unhex(sample_signature(1, SAMPLE_MESSAGE), bytes, sizeof bytes);
    char key[512];
    (void)snprintf(key, sizeof key, SAMPLE_KEY("ed25519", "ed25519", "%s"), sample_public(1));
    cr_assert(verify(key, NULL, sample_slice(SAMPLE_MESSAGE), signature));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(key, sizeof key, keys[i], sample_public(1));
#pragma GCC diagnostic pop
        cr_assert_not(verify(key, &sample_ops, sample_slice(SAMPLE_MESSAGE), signature), "%s", key);
    }
}

Test(tuf_key, members_nobody_here_knows_do_not_matter) {
    uint8_t bytes[crypto_sign_BYTES];
    struct slice signature = unhex(sample_signature(1, SAMPLE_MESSAGE), bytes, sizeof bytes);
    char key[512];
    (void)snprintf(key, sizeof key,
                   "{\"keyid_hash_algorithms\":[\"sha256\",\"sha512\"],\"x-owner\":null,"
                   "\"keytype\":\"ed25519\",\"scheme\":\"ed25519\","
                   "\"keyval\":{\"private\":\"\",\"public\":\"%s\",\"x\":{}}}",
                   sample_public(1));
    cr_assert(verify(key, NULL, sample_slice(SAMPLE_MESSAGE), signature));
}

Test(tuf_key, others_schemes_need_their_operations) {
    static const struct {
        const char *key, *signature;
    } cases[] = {
        {SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a"), "ec:a"},
        {SAMPLE_KEY("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "ec:a"), "ec:a"},
        {SAMPLE_KEY("rsa", "rsassa-pss-sha256", "rsa:a"), "rsa:a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice signature = sample_slice(cases[i].signature);
        cr_assert(verify(cases[i].key, &sample_ops, sample_slice(SAMPLE_MESSAGE), signature));
        cr_assert_not(verify(cases[i].key, NULL, sample_slice(SAMPLE_MESSAGE), signature));
        cr_assert_not(verify(cases[i].key, &sample_ops, sample_slice("another"), signature));
        cr_assert_not(
            verify(cases[i].key, &sample_ops, sample_slice(SAMPLE_MESSAGE), sample_slice("ec:b")));
    }
    // A key goes to the operation of its own scheme, and only with a keytype that belongs to it.
    static const char *const others[] = {
        SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "rsa:a"),
        SAMPLE_KEY("rsa", "rsassa-pss-sha256", "ec:a"),
        SAMPLE_KEY("rsa", "ecdsa-sha2-nistp256", "ec:a"),
        SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp384", "ec:a"),
        SAMPLE_KEY("ecdsa", "rsassa-pss-sha256", "rsa:a"),
        SAMPLE_KEY("rsa", "rsa-pkcs1v15-sha256", "rsa:a"),
        SAMPLE_KEY("rsassa-pss-sha256", "rsassa-pss-sha256", "rsa:a"),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_assert_not(
            verify(others[i], &sample_ops, sample_slice(SAMPLE_MESSAGE), sample_slice("ec:a")),
            "%s", others[i]);
        cr_assert_not(
            verify(others[i], &sample_ops, sample_slice(SAMPLE_MESSAGE), sample_slice("rsa:a")),
            "%s", others[i]);
    }
}

Test(tuf_key, a_public_part_has_a_ceiling) {
    for (size_t len = TUF_KEY_PUBLIC_MAX; len <= TUF_KEY_PUBLIC_MAX + 1; len++) {
        char public[TUF_KEY_PUBLIC_MAX + 2] = "ec:";
        char key[TUF_KEY_PUBLIC_MAX + 128];
        memset(public + 3, 'a', len - 3);
        public[len] = 0;
        (void)snprintf(key, sizeof key, SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "%s"), public);
        cr_assert_eq(verify(key, &sample_ops, sample_slice(SAMPLE_MESSAGE), sample_slice(public)),
                     len == TUF_KEY_PUBLIC_MAX);
    }
}

static bool same(const char *a, const char *b, const struct tuf_key_ops *ops) {
    OWN(tuf_json) struct tuf_json json_a = TUF_JSON_NONE;
    OWN(tuf_json) struct tuf_json json_b = TUF_JSON_NONE;
    sample_parse(a, &json_a);
    sample_parse(b, &json_b);
    return tuf_key_same(tuf_json_root(&json_a), tuf_json_root(&json_b), ops);
}

#define LOWER "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
#define UPPER "8A88E3DD7409F195FD52DB2D3CBA5D72CA6709BF1D94121BF3748801B40F6F5C"
#define OTHER "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

Test(tuf_key, a_key_is_the_same_however_it_is_spelled) {
    static const struct {
        const char *a, *b;
        bool without, with; // operations
    } cases[] = {
        {SAMPLE_KEY("ed25519", "ed25519", LOWER), SAMPLE_KEY("ed25519", "ed25519", LOWER), true,
         true},
        {SAMPLE_KEY("ed25519", "ed25519", LOWER), SAMPLE_KEY("ed25519", "ed25519", UPPER), true,
         true},
        {SAMPLE_KEY("ed25519", "ed25519", LOWER), SAMPLE_KEY("ed25519", "ed25519", OTHER), false,
         false},
        {SAMPLE_KEY("ed25519", "ed25519", LOWER), SAMPLE_KEY("ed25519", "ed25519", "00"), false,
         false},
        {SAMPLE_KEY("ed25519", "ed25519", "00"), SAMPLE_KEY("ed25519", "ed25519", LOWER), false,
         false},
        {SAMPLE_KEY("rsa", "rsassa-pss-sha256", "rsa:a"),
         SAMPLE_KEY("rsa", "rsassa-pss-sha256", "RSA:a"), false, true},
        {SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a"),
         SAMPLE_KEY("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "EC:A"), false, true},
        {SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a"),
         SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:b"), false, false},
        // Of one text under two schemes at most one can be meant; it is one key.
        {SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "x"),
         SAMPLE_KEY("rsa", "rsassa-pss-sha256", "x"), true, true},
        {SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "x"),
         SAMPLE_KEY("rsa", "rsassa-pss-sha256", "X"), false, false},
        // Nothing is known of the spelling of another scheme.
        {SAMPLE_KEY("new", "new", "x"), SAMPLE_KEY("new", "new", "x"), true, true},
        {SAMPLE_KEY("new", "new", "x"), SAMPLE_KEY("new", "new", "X"), false, false},
        {"{}", "{}", false, false},
        {SAMPLE_KEY("new", "new", "x"), "{\"keyval\":{\"public\":null}}", false, false},
        {"{\"keyval\":{\"public\":\"\"}}", "{\"keyval\":{\"public\":\"\"}}", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(same(cases[i].a, cases[i].b, NULL), cases[i].without, "case %zu", i);
        cr_assert_eq(same(cases[i].b, cases[i].a, NULL), cases[i].without, "case %zu", i);
        cr_assert_eq(same(cases[i].a, cases[i].b, &sample_ops), cases[i].with, "case %zu", i);
        cr_assert_eq(same(cases[i].b, cases[i].a, &sample_ops), cases[i].with, "case %zu", i);
    }
}
