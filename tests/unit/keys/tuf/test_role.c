// SPDX-License-Identifier: Apache-2.0
//
// Roles: who is in one, and what is counted.
#include "tests/unit/keys/tuf/sample.h"

static void assert_role_refused(const char *text, const struct err_kind *kind, const char *why) {
    OWN(sample) struct sample d = {.json = TUF_JSON_NONE};
    struct err e = ERR_NONE;
    struct tuf_role role = {.threshold = 77};
    sample_read(text, &d);
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
    sample_add(text, "{\"keys\":{");
    for (size_t i = 0; i < keys; i++)
        sample_add(text, "%s\"%zu\":{}", i > 0 ? "," : "", i);
    sample_add(text, "},\"role\":{\"threshold\":1,\"keyids\":[");
    for (size_t i = 0; i < keyids; i++)
        sample_add(text, "%s\"%0*zu\"", i > 0 ? "," : "", i > 0 ? 1 : id_bytes, i);
    sample_add(text, "]},\"signatures\":[]}");
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
        OWN(sample) struct sample d = {.json = TUF_JSON_NONE};
        struct tuf_role role;
        struct err e = ERR_NONE;
        buf_init(&text, SAMPLE_BYTES);
        add_role(&text, cases[i].keys, cases[i].keyids, cases[i].id_bytes);
        if (cases[i].why) {
            assert_role_refused(buf_text(&text), &err_limit, cases[i].why);
            continue;
        }
        sample_read(buf_text(&text), &d);
        cr_assert_eq(tuf_role_read(d.keys, d.role, "t", &role, &e), 0, "%s", e.text);
        cr_assert_eq(tuf_json_count(role.keyids), cases[i].keyids);
    }
}

// ── Counting ────────────────────────────────────────────────────────────────────────────────────

static int verify_role(const char *text, const struct tuf_key_ops *ops, struct err *e) {
    OWN(sample) struct sample d = {.json = TUF_JSON_NONE};
    struct tuf_role role;
    sample_read(text, &d);
    cr_assert_eq(tuf_role_read(d.keys, d.role, "t", &role, e), 0, "%s: %s", text, e->text);
    return tuf_role_verify(&role, d.signatures, ops, sample_slice(SAMPLE_MESSAGE), "t.json", e);
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
    sample_add(text, "{\"keys\":{");
    for (unsigned i = 1; i <= n; i++)
        sample_add(text, "%s\"%u\":" SAMPLE_KEY("ed25519", "ed25519", "%s"), i > 1 ? "," : "", i,
                   sample_public(i));
    sample_add(text, "},\"role\":{\"threshold\":%u,\"keyids\":[", threshold);
    for (unsigned i = 1; i <= n; i++)
        sample_add(text, "%s\"%u\"", i > 1 ? "," : "", i);
    sample_add(text, "]},\"signatures\":[");
    bool first = true;
    for (unsigned i = 1; i <= n; i++) {
        if (!(signers >> (i - 1) & 1))
            continue;
        sample_add(text, "%s{\"keyid\":\"%u\",\"sig\":\"%s\"}", first ? "" : ",", i,
                   sample_signature(i, SAMPLE_MESSAGE));
        first = false;
    }
    sample_add(text, "]}");
}

Test(tuf_role, every_set_of_signers_counts_its_size) {
    for (unsigned threshold = 1; threshold <= 5; threshold++) {
        for (unsigned signers = 0; signers < 16; signers++) {
            OWN(buf) struct buf text;
            buf_init(&text, SAMPLE_BYTES);
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
    buf_init(&text, SAMPLE_BYTES);
    sample_add(&text, "{\"keys\":{\"1\":" SAMPLE_KEY("ed25519", "ed25519", "%s") ",",
               sample_public(1));
    sample_add(&text, "\"3\":" SAMPLE_KEY("ed25519", "ed25519", "%s") ",", sample_public(3));
    sample_add(&text, "\"4\":" SAMPLE_KEY("new", "new", "%s") ",\"5\":null,", sample_public(4));
    sample_add(&text, "\"2\":" SAMPLE_KEY("ed25519", "ed25519", "%s") "},", sample_public(2));
    sample_add(&text,
               "\"role\":{\"threshold\":2,\"keyids\":[\"1\",\"2\",\"4\",\"5\",\"absent\"]},");
    sample_add(&text, "\"signatures\":[{\"keyid\":\"1\",\"sig\":\"%s\"},",
               sample_signature(1, SAMPLE_MESSAGE));
    sample_add(&text, "%s]}", second);
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
    assert_second(entry("2", sample_signature(2, SAMPLE_MESSAGE)), NULL, NULL);
    // Members nobody knows, and before it one that is passed over.
    (void)snprintf(sig, sizeof sig,
                   "{\"keyid\":\"9\",\"sig\":\"\"},{\"x\":[],\"sig\":\"%s\",\"keyid\":\"2\"}",
                   sample_signature(2, SAMPLE_MESSAGE));
    assert_second(sig, NULL, NULL);
    assert_second(entry("9", sample_signature(2, SAMPLE_MESSAGE)), &err_below_threshold, below);
    // A key that the delegator knows and the role does not list; one that is listed and not known;
    // one of an unknown scheme; one that is no key.
    assert_second(entry("3", sample_signature(3, SAMPLE_MESSAGE)), &err_below_threshold, below);
    assert_second(entry("absent", sample_signature(2, SAMPLE_MESSAGE)), &err_below_threshold,
                  below);
    assert_second(entry("4", sample_signature(4, SAMPLE_MESSAGE)), &err_below_threshold, below);
    assert_second(entry("5", sample_signature(2, SAMPLE_MESSAGE)), &err_below_threshold, below);
    // Another's, of another text, none, not hex, too short, too long.
    assert_second(entry("2", sample_signature(1, SAMPLE_MESSAGE)), &err_below_threshold, below);
    assert_second(entry("2", sample_signature(2, "another")), &err_below_threshold, below);
    assert_second(entry("2", ""), &err_below_threshold, below);
    assert_second(entry("2", "no hex"), &err_below_threshold, below);
    (void)snprintf(sig, sizeof sig, "%.126s", sample_signature(2, SAMPLE_MESSAGE));
    assert_second(entry("2", sig), &err_below_threshold, below);
    (void)snprintf(sig, sizeof sig, "%s0", sample_signature(2, SAMPLE_MESSAGE));
    assert_second(entry("2", sig), &err_below_threshold, below);
    (void)snprintf(sig, sizeof sig, "%s00", sample_signature(2, SAMPLE_MESSAGE));
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
    assert_second(entry("1", sample_signature(1, SAMPLE_MESSAGE)), &err_bad_signature,
                  "key id \"1\" stands twice");
    (void)snprintf(
        text, sizeof text,
        "{\"keyid\":\"2\",\"sig\":\"%s\"},{\"keyid\":\"9\",\"sig\":\"\"},{\"keyid\":\"9\","
        "\"sig\":\"\"}",
        sample_signature(2, SAMPLE_MESSAGE));
    assert_second(text, &err_bad_signature, "key id \"9\" stands twice");
}

Test(tuf_role, signatures_have_a_ceiling) {
    for (unsigned n = TUF_SIGNATURES_MAX; n <= TUF_SIGNATURES_MAX + 1; n++) {
        OWN(buf) struct buf text;
        buf_init(&text, SAMPLE_BYTES);
        sample_add(&text, "{\"keys\":{\"1\":" SAMPLE_KEY("ed25519", "ed25519", "%s") "},",
                   sample_public(1));
        sample_add(&text, "\"role\":{\"keyids\":[\"1\"],\"threshold\":1},\"signatures\":[");
        for (unsigned i = n; i > 1; i--)
            sample_add(&text, "{\"keyid\":\"%u\",\"sig\":\"00\"},", i);
        sample_add(&text, "{\"keyid\":\"1\",\"sig\":\"%s\"}]}",
                   sample_signature(1, SAMPLE_MESSAGE));
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
    (void)snprintf(upper, sizeof upper, "%s", sample_public(1));
    for (char *at = upper; *at; at++)
        if (*at >= 'a')
            *at = (char)(*at - 'a' + 'A');
    const char *spellings[] = {sample_public(1), upper};
    for (size_t i = 0; i < 2; i++) {
        OWN(buf) struct buf text;
        buf_init(&text, SAMPLE_BYTES);
        sample_add(&text, "{\"keys\":{\"a\":" SAMPLE_KEY("ed25519", "ed25519", "%s"),
                   sample_public(1));
        sample_add(&text, ",\"b\":" SAMPLE_KEY("ed25519", "ed25519", "%s") "},", spellings[i]);
        sample_add(&text, "\"role\":{\"keyids\":[\"b\",\"a\"],\"threshold\":2},\"signatures\":[");
        sample_add(&text, "{\"keyid\":\"a\",\"sig\":\"%s\"},", sample_signature(1, SAMPLE_MESSAGE));
        sample_add(&text, "{\"keyid\":\"b\",\"sig\":\"%s\"}]}",
                   sample_signature(1, SAMPLE_MESSAGE));
        assert_refused(buf_text(&text), NULL, &err_below_threshold,
                       "valid signatures by 1 different keys");
    }
    // "ec:a" and "EC:a" in hex: signatures that the played operation takes.
    static const char role[] =
        "{\"keys\":{\"a\":" SAMPLE_KEY("ecdsa", "ecdsa-sha2-nistp256", "ec:a") ",\"b\":" SAMPLE_KEY(
            "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256",
            "%s") "},"
                  "\"role\":{\"keyids\":[\"a\",\"b\"],\"threshold\":2},\"signatures\":["
                  "{\"keyid\":\"a\",\"sig\":\"65633a61\"},{\"keyid\":\"b\",\"sig\":\"%s\"}]}";
    char text[1024];
    (void)snprintf(text, sizeof text, role, "EC:a", "45433a61");
    assert_refused(text, &sample_ops, &err_below_threshold, "by 1 different keys");
    (void)snprintf(text, sizeof text, role, "ec:b", "65633a62");
    assert_verified(text, &sample_ops);
    assert_refused(text, NULL, &err_below_threshold, "by 0 different keys");
}

// Nobody reads such a role; whoever leaves one at zero gets no signature for free.
Test(tuf_role, a_threshold_of_zero_is_not_met_by_nothing) {
    OWN(buf) struct buf text;
    OWN(sample) struct sample d = {.json = TUF_JSON_NONE};
    struct tuf_role role;
    struct err e = ERR_NONE;
    buf_init(&text, SAMPLE_BYTES);
    add_signed(&text, 2, 1, 3);
    sample_read(buf_text(&text), &d);
    cr_assert_eq(tuf_role_read(d.keys, d.role, "t", &role, &e), 0);
    role.threshold = 0;
    cr_assert_lt(tuf_role_verify(&role, d.signatures, NULL, sample_slice(SAMPLE_MESSAGE), "t", &e),
                 0);
    cr_assert(err_is(&e, &err_below_threshold));
}
