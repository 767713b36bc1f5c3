// SPDX-License-Identifier: Apache-2.0
//
// Keys and roles: what a signature counts for. Schemes of libcrypto are played by a few lines here;
// the real ones are tested with keys/foreign.
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/kind.h"
#include "keys/tuf/key.h"

#define DOCUMENT_BYTES (1 << 20)
#define MESSAGE        "the signed part"

// ── Documents ───────────────────────────────────────────────────────────────────────────────────

// {"keys":{…},"role":{"keyids":[…],"threshold":…},"signatures":[…]}
struct document {
    struct tuf_json json;
    struct tuf_json_at keys, role, signatures;
};

static void clear(struct document *document) {
    tuf_json_clear(&document->json);
}
#define own_drop_document clear

static void parse(const char *text, struct tuf_json *ret) {
    struct err e = ERR_NONE;
    struct slice slice = {(const uint8_t *)text, strlen(text)};
    cr_assert_eq(tuf_json_parse(slice, DOCUMENT_BYTES, "t", ret, &e), 0, "%s: %s", text, e.text);
}

static void read_document(const char *text, struct document *ret) {
    parse(text, &ret->json);
    struct tuf_json_at root = tuf_json_root(&ret->json);
    cr_assert(tuf_json_find(root, "keys", &ret->keys), "%s", text);
    cr_assert(tuf_json_find(root, "role", &ret->role), "%s", text);
    cr_assert(tuf_json_find(root, "signatures", &ret->signatures), "%s", text);
}

__attribute__((format(printf, 2, 3))) static void add(struct buf *text, const char *format, ...) {
    char piece[8192];
    struct err e = ERR_NONE;
    va_list args;
    va_start(args, format);
    cr_assert_lt(vsnprintf(piece, sizeof piece, format, args), (int)sizeof piece);
    va_end(args);
    cr_assert_eq(buf_add_text(text, piece, &e), 0);
}

// Key n has the seed of 32 bytes n.
static const char *public_of(unsigned n) {
    static char hex[2 * crypto_sign_PUBLICKEYBYTES + 1];
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t public[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    memset(seed, (int)n, sizeof seed);
    (void)crypto_sign_seed_keypair(public, secret, seed);
    text_hex(public, sizeof public, hex);
    return hex;
}

static const char *signature_of(unsigned n, const char *message) {
    static char hex[2 * crypto_sign_BYTES + 1];
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t public[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    uint8_t signature[crypto_sign_BYTES];
    memset(seed, (int)n, sizeof seed);
    (void)crypto_sign_seed_keypair(public, secret, seed);
    (void)crypto_sign_detached(signature, NULL, (const uint8_t *)message, strlen(message), secret);
    text_hex(signature, sizeof signature, hex);
    return hex;
}

// ── The schemes of libcrypto, played ────────────────────────────────────────────────────────────

// A "PEM" is "ec:NAME" or "rsa:NAME", in letters of either case; its signature is those bytes.
static bool play(const char *scheme, const char *pem, struct slice message,
                 struct slice signature) {
    return strncasecmp(pem, scheme, strlen(scheme)) == 0 && message.len == strlen(MESSAGE) &&
           memcmp(message.data, MESSAGE, message.len) == 0 && signature.len == strlen(pem) &&
           memcmp(signature.data, pem, signature.len) == 0;
}

static bool play_ecdsa(const char *pem, struct slice message, struct slice signature) {
    return play("ec:", pem, message, signature);
}

static bool play_rsa(const char *pem, struct slice message, struct slice signature) {
    return play("rsa:", pem, message, signature);
}

static bool play_same(const char *a, const char *b) {
    return strcasecmp(a, b) == 0;
}

static const struct tuf_key_ops played = {play_ecdsa, play_rsa, play_same};

static struct slice slice(const char *text) {
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

// ── One key ─────────────────────────────────────────────────────────────────────────────────────

static bool verify(const char *key, const struct tuf_key_ops *ops, struct slice message,
                   struct slice signature) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    parse(key, &json);
    return tuf_key_verify(tuf_json_root(&json), ops, message, signature);
}

#define KEY(type, scheme, public)                                                                  \
    "{\"keytype\":\"" type "\",\"scheme\":\"" scheme "\",\"keyval\":{\"public\":\"" public "\"}}"

// RFC 8032 §7.1, tests 1, 2, 3 and SHA(abc).
static const struct {
    const char *key, *message, *signature;
} rfc8032[] = {
    {KEY("ed25519", "ed25519", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
     "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {KEY("ed25519", "ed25519", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
     "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {KEY("ed25519", "ed25519", "FC51CD8E6218A1A38DA47ED00230F0580816ED13BA3303AC5DEB911548908025"),
     "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    {KEY("ed25519", "ed25519",
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
        (void)snprintf(key, sizeof key, KEY("ed25519", "ed25519", "%s"), points[i]);
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
        KEY("ed25519", "ed25519ph", "%s"),
        KEY("ed25519", "Ed25519", "%s"),
        KEY("rsa", "ed25519", "%s"),
        KEY("ed25519", "rsassa-pss-sha256", "%s"),
        KEY("ed25519", "ed25519", "%s00"),
        KEY("ed25519", "ed25519", "%s0"),
        KEY("ed25519", "ed25519", "0%s"),
        KEY("ed25519", "ed25519", "%.62s"),
        KEY("ed25519", "ed25519", "%.63s"),
        KEY("ed25519", "ed25519", "%.62sg0"),
        KEY("ed25519", "ed25519", " %s"),
        KEY("ed25519", "ed25519", "0x%.62s"),
    };
    uint8_t bytes[crypto_sign_BYTES];
    struct slice signature = unhex(signature_of(1, MESSAGE), bytes, sizeof bytes);
    char key[512];
    (void)snprintf(key, sizeof key, KEY("ed25519", "ed25519", "%s"), public_of(1));
    cr_assert(verify(key, NULL, slice(MESSAGE), signature));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(key, sizeof key, keys[i], public_of(1));
#pragma GCC diagnostic pop
        cr_assert_not(verify(key, &played, slice(MESSAGE), signature), "%s", key);
    }
}

Test(tuf_key, members_nobody_here_knows_do_not_matter) {
    uint8_t bytes[crypto_sign_BYTES];
    struct slice signature = unhex(signature_of(1, MESSAGE), bytes, sizeof bytes);
    char key[512];
    (void)snprintf(key, sizeof key,
                   "{\"keyid_hash_algorithms\":[\"sha256\",\"sha512\"],\"x-owner\":null,"
                   "\"keytype\":\"ed25519\",\"scheme\":\"ed25519\","
                   "\"keyval\":{\"private\":\"\",\"public\":\"%s\",\"x\":{}}}",
                   public_of(1));
    cr_assert(verify(key, NULL, slice(MESSAGE), signature));
}

Test(tuf_key, others_schemes_need_their_operations) {
    static const struct {
        const char *key, *signature;
    } cases[] = {
        {KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a"), "ec:a"},
        {KEY("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "ec:a"), "ec:a"},
        {KEY("rsa", "rsassa-pss-sha256", "rsa:a"), "rsa:a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice signature = slice(cases[i].signature);
        cr_assert(verify(cases[i].key, &played, slice(MESSAGE), signature));
        cr_assert_not(verify(cases[i].key, NULL, slice(MESSAGE), signature));
        cr_assert_not(verify(cases[i].key, &played, slice("another"), signature));
        cr_assert_not(verify(cases[i].key, &played, slice(MESSAGE), slice("ec:b")));
    }
    // A key goes to the operation of its own scheme, and only with a keytype that belongs to it.
    static const char *const others[] = {
        KEY("ecdsa", "ecdsa-sha2-nistp256", "rsa:a"),
        KEY("rsa", "rsassa-pss-sha256", "ec:a"),
        KEY("rsa", "ecdsa-sha2-nistp256", "ec:a"),
        KEY("ecdsa", "ecdsa-sha2-nistp384", "ec:a"),
        KEY("ecdsa", "rsassa-pss-sha256", "rsa:a"),
        KEY("rsa", "rsa-pkcs1v15-sha256", "rsa:a"),
        KEY("rsassa-pss-sha256", "rsassa-pss-sha256", "rsa:a"),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_assert_not(verify(others[i], &played, slice(MESSAGE), slice("ec:a")), "%s", others[i]);
        cr_assert_not(verify(others[i], &played, slice(MESSAGE), slice("rsa:a")), "%s", others[i]);
    }
}

Test(tuf_key, a_public_part_has_a_ceiling) {
    for (size_t len = TUF_KEY_PUBLIC_MAX; len <= TUF_KEY_PUBLIC_MAX + 1; len++) {
        char public[TUF_KEY_PUBLIC_MAX + 2] = "ec:";
        char key[TUF_KEY_PUBLIC_MAX + 128];
        memset(public + 3, 'a', len - 3);
        public[len] = 0;
        (void)snprintf(key, sizeof key, KEY("ecdsa", "ecdsa-sha2-nistp256", "%s"), public);
        cr_assert_eq(verify(key, &played, slice(MESSAGE), slice(public)),
                     len == TUF_KEY_PUBLIC_MAX);
    }
}

static bool same(const char *a, const char *b, const struct tuf_key_ops *ops) {
    OWN(tuf_json) struct tuf_json json_a = TUF_JSON_NONE;
    OWN(tuf_json) struct tuf_json json_b = TUF_JSON_NONE;
    parse(a, &json_a);
    parse(b, &json_b);
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
        {KEY("ed25519", "ed25519", LOWER), KEY("ed25519", "ed25519", LOWER), true, true},
        {KEY("ed25519", "ed25519", LOWER), KEY("ed25519", "ed25519", UPPER), true, true},
        {KEY("ed25519", "ed25519", LOWER), KEY("ed25519", "ed25519", OTHER), false, false},
        {KEY("ed25519", "ed25519", LOWER), KEY("ed25519", "ed25519", "00"), false, false},
        {KEY("ed25519", "ed25519", "00"), KEY("ed25519", "ed25519", LOWER), false, false},
        {KEY("rsa", "rsassa-pss-sha256", "rsa:a"), KEY("rsa", "rsassa-pss-sha256", "RSA:a"), false,
         true},
        {KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a"),
         KEY("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "EC:A"), false, true},
        {KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a"), KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:b"),
         false, false},
        // Of one text under two schemes at most one can be meant; it is one key.
        {KEY("ecdsa", "ecdsa-sha2-nistp256", "x"), KEY("rsa", "rsassa-pss-sha256", "x"), true,
         true},
        {KEY("ecdsa", "ecdsa-sha2-nistp256", "x"), KEY("rsa", "rsassa-pss-sha256", "X"), false,
         false},
        // Nothing is known of the spelling of another scheme.
        {KEY("new", "new", "x"), KEY("new", "new", "x"), true, true},
        {KEY("new", "new", "x"), KEY("new", "new", "X"), false, false},
        {"{}", "{}", false, false},
        {KEY("new", "new", "x"), "{\"keyval\":{\"public\":null}}", false, false},
        {"{\"keyval\":{\"public\":\"\"}}", "{\"keyval\":{\"public\":\"\"}}", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(same(cases[i].a, cases[i].b, NULL), cases[i].without, "case %zu", i);
        cr_assert_eq(same(cases[i].b, cases[i].a, NULL), cases[i].without, "case %zu", i);
        cr_assert_eq(same(cases[i].a, cases[i].b, &played), cases[i].with, "case %zu", i);
        cr_assert_eq(same(cases[i].b, cases[i].a, &played), cases[i].with, "case %zu", i);
    }
}

// ── Roles ───────────────────────────────────────────────────────────────────────────────────────

static void assert_role_refused(const char *text, const struct err_kind *kind, const char *why) {
    OWN(document) struct document d = {.json = TUF_JSON_NONE};
    struct err e = ERR_NONE;
    struct tuf_role role = {.threshold = 77};
    read_document(text, &d);
    cr_assert_lt(tuf_role_read(d.keys, d.role, "root.json", &role, &e), 0, "%.100s", text);
    cr_assert(err_is(&e, kind), "%.100s: kind %s: %s", text, e.kind->name, e.text);
    cr_assert_eq(strncmp(e.text, "root.json: ", 11), 0, "%s", e.text);
    cr_assert_not_null(strstr(e.text, why), "%.100s: %s", text, e.text);
    cr_assert_eq(role.threshold, 77U);
}

#define ROLE(keys, keyids, threshold)                                                              \
    "{\"keys\":" keys ",\"role\":{\"keyids\":" keyids ",\"threshold\":" threshold                  \
    "},\"signatures\":[]}"

Test(tuf_role, a_threshold_is_an_integer_of_at_least_one) {
    static const char *const thresholds[] = {"0", "-1", "2147483648", "9007199254740991"};
    static const char *const others[] = {"\"1\"", "null", "true", "[1]", "{}"};
    char text[256];
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        (void)snprintf(text, sizeof text, ROLE("{}", "[\"a\"]", "%s"), thresholds[i]);
        assert_role_refused(text, &err_syntax, thresholds[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        (void)snprintf(text, sizeof text, ROLE("{}", "[\"a\"]", "%s"), others[i]);
        assert_role_refused(text, &err_syntax, "without an integer threshold");
    }
    assert_role_refused("{\"keys\":{},\"role\":{\"keyids\":[]},\"signatures\":[]}", &err_syntax,
                        "without an integer threshold");
}

Test(tuf_role, key_ids_are_different_strings) {
    assert_role_refused(ROLE("{}", "[\"a\",\"b\",\"a\"]", "1"), &err_syntax,
                        "key id \"a\" stands twice");
    assert_role_refused(ROLE("{}", "[\"a\",1]", "1"), &err_syntax, "a key id that is no string");
    assert_role_refused(ROLE("{}", "[null]", "1"), &err_syntax, "a key id that is no string");
    assert_role_refused(ROLE("{}", "{\"a\":1}", "1"), &err_syntax, "without a list keyids");
    assert_role_refused(ROLE("{}", "\"a\"", "1"), &err_syntax, "without a list keyids");
    assert_role_refused(ROLE("{}", "null", "1"), &err_syntax, "without a list keyids");
    assert_role_refused("{\"keys\":{},\"role\":{\"threshold\":1},\"signatures\":[]}", &err_syntax,
                        "without a list keyids");
    assert_role_refused("{\"keys\":{},\"role\":[],\"signatures\":[]}", &err_syntax,
                        "without a list keyids");
    assert_role_refused(ROLE("[]", "[]", "1"), &err_syntax, "keys is no object");
    assert_role_refused(ROLE("null", "[]", "1"), &err_syntax, "keys is no object");
}

// A role with so many keys and key ids, the first id of so many bytes.
static void add_role(struct buf *text, size_t keys, size_t keyids, int id_bytes) {
    add(text, "{\"keys\":{");
    for (size_t i = 0; i < keys; i++)
        add(text, "%s\"%zu\":{}", i > 0 ? "," : "", i);
    add(text, "},\"role\":{\"threshold\":1,\"keyids\":[");
    for (size_t i = 0; i < keyids; i++)
        add(text, "%s\"%0*zu\"", i > 0 ? "," : "", i > 0 ? 1 : id_bytes, i);
    add(text, "]},\"signatures\":[]}");
}

Test(tuf_role, keys_and_key_ids_have_ceilings) {
    static const struct {
        size_t keys, keyids;
        int id_bytes;
        const char *why; // NULL: accepted
    } cases[] = {
        {TUF_KEYS_MAX, TUF_ROLE_KEYS_MAX, TUF_KEY_ID_MAX, NULL},
        {TUF_KEYS_MAX + 1, 1, 1, "more than 1024 keys"},
        {1, TUF_ROLE_KEYS_MAX + 1, 1, "more than 256 keys in one role"},
        {1, 1, TUF_KEY_ID_MAX + 1, "a key id of more than 256 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(buf) struct buf text;
        OWN(document) struct document d = {.json = TUF_JSON_NONE};
        struct tuf_role role;
        struct err e = ERR_NONE;
        buf_init(&text, DOCUMENT_BYTES);
        add_role(&text, cases[i].keys, cases[i].keyids, cases[i].id_bytes);
        if (cases[i].why) {
            assert_role_refused(buf_text(&text), &err_limit, cases[i].why);
            continue;
        }
        read_document(buf_text(&text), &d);
        cr_assert_eq(tuf_role_read(d.keys, d.role, "t", &role, &e), 0, "%s", e.text);
        cr_assert_eq(tuf_json_count(role.keyids), cases[i].keyids);
    }
}

// ── Counting ────────────────────────────────────────────────────────────────────────────────────

static int verify_role(const char *text, const struct tuf_key_ops *ops, struct err *e) {
    OWN(document) struct document d = {.json = TUF_JSON_NONE};
    struct tuf_role role;
    read_document(text, &d);
    cr_assert_eq(tuf_role_read(d.keys, d.role, "t", &role, e), 0, "%s: %s", text, e->text);
    return tuf_role_verify(&role, d.signatures, ops, slice(MESSAGE), "t.json", e);
}

static void assert_verified(const char *text, const struct tuf_key_ops *ops) {
    struct err e = ERR_NONE;
    cr_assert_eq(verify_role(text, ops, &e), 0, "%s: %s", text, e.text);
}

static void assert_refused(const char *text, const struct tuf_key_ops *ops,
                           const struct err_kind *kind, const char *why) {
    struct err e = ERR_NONE;
    cr_assert_lt(verify_role(text, ops, &e), 0, "accepted: %s", text);
    cr_assert(err_is(&e, kind), "%s: kind %s: %s", text, e.kind->name, e.text);
    cr_assert_not_null(strstr(e.text, why), "%s is not in: %s", why, e.text);
}

// Keys 1 to n under the ids "1" to "n", all in the role; signed by those whose bits are set (bit 0
// is key 1).
static void add_signed(struct buf *text, unsigned n, unsigned threshold, unsigned signers) {
    add(text, "{\"keys\":{");
    for (unsigned i = 1; i <= n; i++)
        add(text, "%s\"%u\":" KEY("ed25519", "ed25519", "%s"), i > 1 ? "," : "", i, public_of(i));
    add(text, "},\"role\":{\"threshold\":%u,\"keyids\":[", threshold);
    for (unsigned i = 1; i <= n; i++)
        add(text, "%s\"%u\"", i > 1 ? "," : "", i);
    add(text, "]},\"signatures\":[");
    bool first = true;
    for (unsigned i = 1; i <= n; i++) {
        if (!(signers >> (i - 1) & 1))
            continue;
        add(text, "%s{\"keyid\":\"%u\",\"sig\":\"%s\"}", first ? "" : ",", i,
            signature_of(i, MESSAGE));
        first = false;
    }
    add(text, "]}");
}

Test(tuf_role, every_set_of_signers_counts_its_size) {
    for (unsigned threshold = 1; threshold <= 5; threshold++) {
        for (unsigned signers = 0; signers < 16; signers++) {
            OWN(buf) struct buf text;
            buf_init(&text, DOCUMENT_BYTES);
            add_signed(&text, 4, threshold, signers);
            unsigned count = (unsigned)__builtin_popcount(signers);
            char why[128];
            (void)snprintf(
                why, sizeof why,
                "t.json: valid signatures by %u different keys of its role, %u are needed", count,
                threshold);
            if (count >= threshold)
                assert_verified(buf_text(&text), NULL);
            else
                assert_refused(buf_text(&text), NULL, &err_below_threshold, why);
        }
    }
}

// {"keys":{"1":…, "2":…},"role":{1, 2; threshold 2},"signatures":[key 1's, `second`]}
static void assert_second(const char *second, const struct err_kind *kind, const char *why) {
    OWN(buf) struct buf text;
    buf_init(&text, DOCUMENT_BYTES);
    add(&text, "{\"keys\":{\"1\":" KEY("ed25519", "ed25519", "%s") ",", public_of(1));
    add(&text, "\"3\":" KEY("ed25519", "ed25519", "%s") ",", public_of(3));
    add(&text, "\"4\":" KEY("new", "new", "%s") ",\"5\":null,", public_of(4));
    add(&text, "\"2\":" KEY("ed25519", "ed25519", "%s") "},", public_of(2));
    add(&text, "\"role\":{\"threshold\":2,\"keyids\":[\"1\",\"2\",\"4\",\"5\",\"absent\"]},");
    add(&text, "\"signatures\":[{\"keyid\":\"1\",\"sig\":\"%s\"},", signature_of(1, MESSAGE));
    add(&text, "%s]}", second);
    if (kind)
        assert_refused(buf_text(&text), NULL, kind, why);
    else
        assert_verified(buf_text(&text), NULL);
}

static const char *entry(const char *keyid, const char *sig) {
    static char text[8192];
    (void)snprintf(text, sizeof text, "{\"keyid\":\"%s\",\"sig\":\"%s\"}", keyid, sig);
    return text;
}

Test(tuf_role, what_is_no_signature_of_the_role_is_passed_over) {
    static const char below[] = "valid signatures by 1 different keys of its role, 2 are needed";
    char sig[300];
    assert_second(entry("2", signature_of(2, MESSAGE)), NULL, NULL);
    // Members nobody knows, and before it one that is passed over.
    (void)snprintf(sig, sizeof sig,
                   "{\"keyid\":\"9\",\"sig\":\"\"},{\"x\":[],\"sig\":\"%s\",\"keyid\":\"2\"}",
                   signature_of(2, MESSAGE));
    assert_second(sig, NULL, NULL);
    assert_second(entry("9", signature_of(2, MESSAGE)), &err_below_threshold, below);
    // A key that the delegator knows and the role does not list; one that is listed and not known;
    // one of an unknown scheme; one that is no key.
    assert_second(entry("3", signature_of(3, MESSAGE)), &err_below_threshold, below);
    assert_second(entry("absent", signature_of(2, MESSAGE)), &err_below_threshold, below);
    assert_second(entry("4", signature_of(4, MESSAGE)), &err_below_threshold, below);
    assert_second(entry("5", signature_of(2, MESSAGE)), &err_below_threshold, below);
    // Another's, of another text, none, not hex, too short, too long.
    assert_second(entry("2", signature_of(1, MESSAGE)), &err_below_threshold, below);
    assert_second(entry("2", signature_of(2, "another")), &err_below_threshold, below);
    assert_second(entry("2", ""), &err_below_threshold, below);
    assert_second(entry("2", "no hex"), &err_below_threshold, below);
    (void)snprintf(sig, sizeof sig, "%.126s", signature_of(2, MESSAGE));
    assert_second(entry("2", sig), &err_below_threshold, below);
    (void)snprintf(sig, sizeof sig, "%s0", signature_of(2, MESSAGE));
    assert_second(entry("2", sig), &err_below_threshold, below);
    (void)snprintf(sig, sizeof sig, "%s00", signature_of(2, MESSAGE));
    assert_second(entry("2", sig), &err_below_threshold, below);
    char longer[2 * TUF_SIGNATURE_MAX + 3];
    memset(longer, '0', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_second(entry("2", longer), &err_below_threshold, below);
}

Test(tuf_role, signatures_of_another_form_refuse_the_file) {
    static const char *const others[] = {
        "null",
        "1",
        "\"2\"",
        "[]",
        "{}",
        "{\"keyid\":\"2\"}",
        "{\"sig\":\"\"}",
        "{\"keyid\":2,\"sig\":\"\"}",
        "{\"keyid\":\"2\",\"sig\":null}",
        "{\"keyid\":null,\"sig\":\"\"}",
        "{\"keyid\":\"2\",\"sig\":[]}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_second(others[i], &err_syntax, "a signature without the strings keyid and sig");
    static const char *const lists[] = {"null", "{}", "\"\"", "1", "true"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "{\"keys\":{},\"role\":{\"keyids\":[],\"threshold\":1},\"signatures\":%s}",
                       lists[i]);
        assert_refused(text, NULL, &err_syntax, "signatures is no list");
    }
}

// Also of a key that would not have counted: who signs twice is up to something.
Test(tuf_role, a_key_id_that_signs_twice_refuses_the_file) {
    char text[1024];
    assert_second(entry("1", signature_of(1, MESSAGE)), &err_bad_signature,
                  "key id \"1\" stands twice");
    (void)snprintf(
        text, sizeof text,
        "{\"keyid\":\"2\",\"sig\":\"%s\"},{\"keyid\":\"9\",\"sig\":\"\"},{\"keyid\":\"9\","
        "\"sig\":\"\"}",
        signature_of(2, MESSAGE));
    assert_second(text, &err_bad_signature, "key id \"9\" stands twice");
}

Test(tuf_role, signatures_have_a_ceiling) {
    for (unsigned n = TUF_SIGNATURES_MAX; n <= TUF_SIGNATURES_MAX + 1; n++) {
        OWN(buf) struct buf text;
        buf_init(&text, DOCUMENT_BYTES);
        add(&text, "{\"keys\":{\"1\":" KEY("ed25519", "ed25519", "%s") "},", public_of(1));
        add(&text, "\"role\":{\"keyids\":[\"1\"],\"threshold\":1},\"signatures\":[");
        for (unsigned i = n; i > 1; i--)
            add(&text, "{\"keyid\":\"%u\",\"sig\":\"00\"},", i);
        add(&text, "{\"keyid\":\"1\",\"sig\":\"%s\"}]}", signature_of(1, MESSAGE));
        if (n == TUF_SIGNATURES_MAX)
            assert_verified(buf_text(&text), NULL);
        else
            assert_refused(buf_text(&text), NULL, &err_limit, "more than 256 signatures");
    }
    char id[TUF_KEY_ID_MAX + 2];
    memset(id, 'a', sizeof id - 1);
    id[sizeof id - 1] = 0;
    assert_second(entry(id, ""), &err_limit, "a key id of more than 256 bytes");
}

// One public key under two ids, in two spellings, and PEM texts that only libcrypto can tell.
Test(tuf_role, one_key_under_two_ids_counts_once) {
    char upper[2 * crypto_sign_PUBLICKEYBYTES + 1];
    (void)snprintf(upper, sizeof upper, "%s", public_of(1));
    for (char *at = upper; *at; at++)
        if (*at >= 'a')
            *at = (char)(*at - 'a' + 'A');
    const char *spellings[] = {public_of(1), upper};
    for (size_t i = 0; i < 2; i++) {
        OWN(buf) struct buf text;
        buf_init(&text, DOCUMENT_BYTES);
        add(&text, "{\"keys\":{\"a\":" KEY("ed25519", "ed25519", "%s"), public_of(1));
        add(&text, ",\"b\":" KEY("ed25519", "ed25519", "%s") "},", spellings[i]);
        add(&text, "\"role\":{\"keyids\":[\"b\",\"a\"],\"threshold\":2},\"signatures\":[");
        add(&text, "{\"keyid\":\"a\",\"sig\":\"%s\"},", signature_of(1, MESSAGE));
        add(&text, "{\"keyid\":\"b\",\"sig\":\"%s\"}]}", signature_of(1, MESSAGE));
        assert_refused(buf_text(&text), NULL, &err_below_threshold,
                       "valid signatures by 1 different keys");
    }
    // "ec:a" and "EC:a" in hex: signatures that the played operation takes.
    static const char role[] =
        "{\"keys\":{\"a\":" KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a") ",\"b\":" KEY(
            "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256",
            "%s") "},"
                  "\"role\":{\"keyids\":[\"a\",\"b\"],\"threshold\":2},\"signatures\":["
                  "{\"keyid\":\"a\",\"sig\":\"65633a61\"},{\"keyid\":\"b\",\"sig\":\"%s\"}]}";
    char text[1024];
    (void)snprintf(text, sizeof text, role, "EC:a", "45433a61");
    assert_refused(text, &played, &err_below_threshold, "by 1 different keys");
    (void)snprintf(text, sizeof text, role, "ec:b", "65633a62");
    assert_verified(text, &played);
    assert_refused(text, NULL, &err_below_threshold, "by 0 different keys");
}

// Nobody reads such a role; whoever leaves one at zero gets no signature for free.
Test(tuf_role, a_threshold_of_zero_is_not_met_by_nothing) {
    OWN(buf) struct buf text;
    OWN(document) struct document d = {.json = TUF_JSON_NONE};
    struct tuf_role role;
    struct err e = ERR_NONE;
    buf_init(&text, DOCUMENT_BYTES);
    add_signed(&text, 2, 1, 3);
    read_document(buf_text(&text), &d);
    cr_assert_eq(tuf_role_read(d.keys, d.role, "t", &role, &e), 0);
    role.threshold = 0;
    cr_assert_lt(tuf_role_verify(&role, d.signatures, NULL, slice(MESSAGE), "t", &e), 0);
    cr_assert(err_is(&e, &err_below_threshold));
}
