// SPDX-License-Identifier: Apache-2.0
//
// Envelopes: the one function that verifies everything signed. The case directories hold what
// people thought of; the loops here go through what nobody has to think of: every bit, every
// length, every subset of signers.
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "keys/envelope.h"
#include "keys/kind.h"
#include "tests/unit/keys/cases.h"
#include "tests/unit/keys/keyring.h"

static const char signed_text[] = "{\"_type\":\"thing\",\"text\":\"words\"}";

static int open_envelope(struct slice raw, const struct keys_role *role, struct keys_envelope *ret,
                         struct err *e) {
    struct keys_envelope_candidate candidate;
    if (keys_envelope_split(raw, "thing", &candidate, e) < 0)
        return -1;
    return keys_envelope_verify(&candidate, "thing", role, ret, e);
}

static void make(uint64_t keys, struct buf *ret) {
    buf_init(ret, 1 << 16);
    keyring_envelope(keyring_slice(signed_text), keys, ret);
}

static void check_case(const char *name, struct slice raw, const char *expect) {
    static const struct doc_limits limits = {.bytes = 65536, .depth = 8, .values = 100};
    const struct keys_role role = keyring_role(2, 3);
    struct keys_envelope envelope = {.signed_part = {NULL, 42}};
    struct err e = ERR_NONE;
    int failed = open_envelope(raw, &role, &envelope, &e);
    if (failed) {
        cr_expect(cases_allow(expect, e.kind->name), "%s: %s (%s), expected %s", name, e.kind->name,
                  e.text, expect);
        cr_expect_eq(envelope.signed_part.len, 42, "%s: an output was touched", name);
        return;
    }
    cr_assert(cases_allow(expect, "ok"), "%s was accepted, expected %s", name, expect);
    OWN(json) json_t *value = NULL;
    cr_expect_eq(keys_canon_parse(envelope.signed_part, name, &limits, &value, &e), 0, "%s: %s",
                 name, e.text);
}

Test(envelope, every_case_ends_as_it_says) {
    cr_assert_eq(cases_walk(EDGE_SOURCE_DIR, "envelope", check_case), 63);
}

Test(envelope, what_was_signed_is_what_comes_out) {
    const struct keys_role role = keyring_role(2, 3);
    struct keys_envelope envelope;
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    make(7, &raw);
    cr_assert_eq(open_envelope(buf_slice(&raw), &role, &envelope, &e), 0, "%s", e.text);
    cr_assert_eq(envelope.signed_part.len, strlen(signed_text));
    cr_assert_arr_eq(envelope.signed_part.data, signed_text, strlen(signed_text));
    cr_assert(envelope.signed_part.data > raw.data &&
              envelope.signed_part.data < raw.data + raw.len);
}

Test(envelope, every_flipped_bit_is_refused) {
    const struct keys_role role = keyring_role(2, 2);
    OWN(buf) struct buf raw;
    struct err ignored = ERR_NONE;
    make(3, &raw);
    cr_assert_eq(buf_add_text(&raw, "    ", &ignored), 0);
    for (size_t bit = 0; bit < 8 * raw.len; bit++) {
        struct keys_envelope envelope;
        struct err e = ERR_NONE;
        raw.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_lt(open_envelope(buf_slice(&raw), &role, &envelope, &e), 0, "bit %zu of byte %zu",
                     bit % 8, bit / 8);
        raw.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

Test(envelope, every_truncation_is_refused) {
    const struct keys_role role = keyring_role(2, 2);
    OWN(buf) struct buf raw;
    make(3, &raw);
    for (size_t len = 0; len < raw.len; len++) {
        // A copy of exactly this length, so that reading behind it is seen.
        OWN(mem) uint8_t *copy = malloc(len + (len == 0));
        memcpy(copy, raw.data, len);
        struct keys_envelope envelope;
        struct err e = ERR_NONE;
        cr_assert_lt(open_envelope((struct slice){copy, len}, &role, &envelope, &e), 0, "%zu bytes",
                     len);
        cr_assert(err_is(&e, &err_syntax) || err_is(&e, &err_bad_signature), "%zu bytes: %s", len,
                  e.text);
    }
}

Test(envelope, every_byte_inserted_or_dropped_is_refused) {
    const struct keys_role role = keyring_role(2, 2);
    OWN(buf) struct buf raw;
    make(3, &raw);
    OWN(mem) uint8_t *copy = malloc(raw.len + 1);
    for (size_t at = 0; at < raw.len; at++) {
        struct keys_envelope envelope;
        struct err e = ERR_NONE;
        memcpy(copy, raw.data, at);
        memcpy(copy + at, raw.data + at + 1, raw.len - at - 1);
        cr_assert_lt(open_envelope((struct slice){copy, raw.len - 1}, &role, &envelope, &e), 0,
                     "without byte %zu", at);
        static const char inserted[] = " \n,:\"{}[]0a";
        for (const char *c = inserted; *c; c++) {
            struct err why = ERR_NONE;
            copy[at] = (uint8_t)*c;
            memcpy(copy + at + 1, raw.data + at, raw.len - at);
            cr_assert_lt(open_envelope((struct slice){copy, raw.len + 1}, &role, &envelope, &why),
                         0, "'%c' before byte %zu", *c, at);
        }
    }
}

Test(envelope, a_signature_of_any_length_but_64_bytes_is_refused) {
    const struct keys_role role = keyring_role(1, 1);
    struct keys_envelope_signature signature;
    keyring_sign(1, keyring_slice(signed_text), &signature);
    for (size_t len = 0; len <= 200; len++) {
        OWN(buf) struct buf raw;
        struct err e = ERR_NONE;
        struct keys_envelope envelope;
        buf_init(&raw, 4096);
        cr_assert_eq(buf_add_format(&raw, &e, "{\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"",
                                    signature.keyid),
                     0);
        for (size_t i = 0; i < len; i++)
            cr_assert_eq(buf_add_format(&raw, &e, "%02x", signature.sig[i % 64]), 0);
        cr_assert_eq(buf_add_format(&raw, &e, "\"}],\"signed\":%s}", signed_text), 0);
        int failed = open_envelope(buf_slice(&raw), &role, &envelope, &e);
        cr_assert_eq(failed, len == 64 ? 0 : -1, "%zu bytes", len);
        if (failed)
            cr_assert(err_is(&e, &err_syntax), "%zu bytes: %s", len, e.text);
    }
}

static unsigned count(unsigned bits) {
    return (unsigned)__builtin_popcount(bits);
}

Test(envelope, of_all_subsets_of_signers_exactly_those_of_threshold_size_pass) {
    // Keys 1 to 4 are the role's; 5 and 6 are strangers and never help.
    for (size_t threshold = 1; threshold <= 4; threshold++) {
        const struct keys_role role = keyring_role(threshold, 4);
        for (unsigned signers = 0; signers < 64; signers++) {
            OWN(buf) struct buf raw;
            struct keys_envelope envelope;
            struct err e = ERR_NONE;
            make(signers, &raw);
            int failed = open_envelope(buf_slice(&raw), &role, &envelope, &e);
            cr_assert_eq(failed, count(signers & 15) >= threshold ? 0 : -1,
                         "%zu of 4, signed by %#x", threshold, signers);
            if (failed)
                cr_assert(err_is(&e, &err_below_threshold), "%s", e.text);
        }
    }
}

Test(envelope, one_signature_that_does_not_match_refuses_however_many_others_hold) {
    const struct keys_role role = keyring_role(1, 4);
    for (unsigned damaged = 0; damaged < 4; damaged++) {
        struct keys_envelope_candidate candidate = {.signed_part = keyring_slice(signed_text),
                                                    .n_signatures = 4};
        struct keys_envelope envelope;
        struct err e = ERR_NONE;
        for (unsigned i = 0; i < 4; i++)
            keyring_sign(i + 1, candidate.signed_part, &candidate.signatures[i]);
        candidate.signatures[damaged].sig[0] ^= 1;
        cr_assert_lt(keys_envelope_verify(&candidate, "thing", &role, &envelope, &e), 0);
        cr_assert(err_is(&e, &err_bad_signature), "%s", e.text);
        cr_assert_not_null(strstr(e.text, (char[]){candidate.signatures[damaged].keyid[0],
                                                   candidate.signatures[damaged].keyid[1], 0}));
    }
}

Test(envelope, thresholds_from_1_to_the_most_keys_can_be_met_and_missed) {
    OWN(buf) struct buf all;
    OWN(buf) struct buf but_one;
    buf_init(&all, 1 << 16);
    buf_init(&but_one, 1 << 16);
    keyring_envelope(keyring_slice(signed_text), 0xffffffff, &all);
    keyring_envelope(keyring_slice(signed_text), 0x7fffffff, &but_one);
    struct keys_role role = keyring_role(1, KEYS_ROLE_KEYS_MAX);
    for (size_t threshold = 1; threshold <= KEYS_ROLE_KEYS_MAX; threshold++) {
        struct keys_envelope envelope;
        struct err e = ERR_NONE;
        role.threshold = threshold;
        cr_assert_eq(open_envelope(buf_slice(&all), &role, &envelope, &e), 0, "%s", e.text);
        cr_assert_eq(open_envelope(buf_slice(&but_one), &role, &envelope, &e),
                     threshold == KEYS_ROLE_KEYS_MAX ? -1 : 0);
    }
}

Test(envelope, a_role_that_could_never_be_met_verifies_nothing) {
    OWN(buf) struct buf raw;
    make(3, &raw);
    struct keys_role roles[] = {keyring_role(0, 2),        keyring_role(3, 2), keyring_role(1, 2),
                                keyring_role(SIZE_MAX, 2), keyring_role(2, 2), keyring_role(2, 2),
                                keyring_role(0, 0)};
    roles[2].n_keys = SIZE_MAX;
    roles[4].keys[1] = roles[4].keys[0];
    // One public key under two ids.
    memcpy(roles[5].keys[1].ed25519, roles[5].keys[0].ed25519, sizeof roles[5].keys[0].ed25519);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        struct keys_envelope envelope;
        struct err e = ERR_NONE;
        cr_assert_lt(open_envelope(buf_slice(&raw), &roles[i], &envelope, &e), 0, "role %zu", i);
        cr_assert(err_is(&e, &err_below_threshold), "role %zu: %s", i, e.text);
    }
}

Test(envelope, one_key_does_not_count_twice_even_in_a_candidate_made_by_hand) {
    const struct keys_role role = keyring_role(2, 3);
    struct keys_envelope_candidate candidate = {.signed_part = keyring_slice(signed_text),
                                                .n_signatures = 2};
    struct keys_envelope envelope;
    struct err e = ERR_NONE;
    keyring_sign(1, candidate.signed_part, &candidate.signatures[0]);
    keyring_sign(1, candidate.signed_part, &candidate.signatures[1]);
    cr_assert_lt(keys_envelope_verify(&candidate, "thing", &role, &envelope, &e), 0);
    cr_assert(err_is(&e, &err_bad_signature), "%s", e.text);
}

Test(envelope, too_few_signatures_say_how_many_and_whose) {
    const struct keys_role role = keyring_role(3, 4);
    OWN(buf) struct buf raw;
    struct keys_envelope envelope;
    struct err e = ERR_NONE;
    char id[9];
    make(1 | 16, &raw);
    cr_assert_lt(open_envelope(buf_slice(&raw), &role, &envelope, &e), 0);
    cr_assert_not_null(strstr(e.text, "1 of the 3 keys"), "%s", e.text);
    cr_assert_not_null(strstr(e.text, "by other keys: 1"), "%s", e.text);
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(id, sizeof id, "%.8s", role.keys[i].id);
        cr_assert_not_null(strstr(e.text, id), "%s", e.text);
    }
}

// ── Writing ──────────────────────────────────────────────────────────────────────────────────────

Test(envelope, the_order_of_signers_does_not_change_the_bytes) {
    struct keys_envelope_signature signatures[3];
    struct keys_envelope_signature reversed[3];
    struct err e = ERR_NONE;
    OWN(buf) struct buf a;
    OWN(buf) struct buf b;
    buf_init(&a, 4096);
    buf_init(&b, 4096);
    for (unsigned i = 0; i < 3; i++) {
        keyring_sign(i + 1, keyring_slice(signed_text), &signatures[i]);
        reversed[2 - i] = signatures[i];
    }
    cr_assert_eq(keys_envelope_format(keyring_slice(signed_text), signatures, 3, &a, &e), 0, "%s",
                 e.text);
    cr_assert_eq(keys_envelope_format(keyring_slice(signed_text), reversed, 3, &b, &e), 0, "%s",
                 e.text);
    cr_assert_str_eq(buf_text(&a), buf_text(&b));
}

Test(envelope, what_cannot_be_split_again_is_not_written) {
    static struct keys_envelope_signature signatures[KEYS_ENVELOPE_SIGNATURES_MAX + 1];
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    buf_init(&raw, 1 << 16);
    for (unsigned i = 0; i <= KEYS_ENVELOPE_SIGNATURES_MAX; i++)
        keyring_sign(i + 1, keyring_slice("{}"), &signatures[i]);
    cr_assert_lt(keys_envelope_format(keyring_slice("{}"), signatures,
                                      KEYS_ENVELOPE_SIGNATURES_MAX + 1, &raw, &e),
                 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    err_clear(&e);
    signatures[1] = signatures[0];
    cr_assert_lt(keys_envelope_format(keyring_slice("{}"), signatures, 2, &raw, &e), 0);
    cr_assert(err_is(&e, &err_not_canonical), "%s", e.text);
    static const char *const parts[] = {"", "{", "}", "[]", "1", " {}", "{} "};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        err_clear(&e);
        cr_assert_lt(keys_envelope_format(keyring_slice(parts[i]), signatures, 1, &raw, &e), 0,
                     "%s", parts[i]);
        cr_assert(err_is(&e, &err_not_canonical), "%s", e.text);
    }
    cr_assert_eq(raw.len, 0);
}

Test(envelope, a_full_buffer_is_an_error_and_stays_as_it_was) {
    struct keys_envelope_signature signature;
    keyring_sign(1, keyring_slice("{}"), &signature);
    OWN(buf) struct buf whole;
    struct err e = ERR_NONE;
    buf_init(&whole, 4096);
    cr_assert_eq(keys_envelope_format(keyring_slice("{}"), &signature, 1, &whole, &e), 0);
    for (size_t ceiling = 3; ceiling < whole.len + 3; ceiling++) {
        OWN(buf) struct buf raw;
        struct err why = ERR_NONE;
        buf_init(&raw, ceiling);
        cr_assert_eq(buf_add_text(&raw, "abc", &why), 0);
        cr_assert_lt(keys_envelope_format(keyring_slice("{}"), &signature, 1, &raw, &why), 0);
        cr_assert(err_is(&why, &err_limit));
        cr_assert_str_eq(buf_text(&raw), "abc");
    }
}

// ── The head ─────────────────────────────────────────────────────────────────────────────────────

static int read_header(const char *text, struct keys_header *ret, struct err *e) {
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    struct doc_at at;
    cr_assert_not_null(document, "%s", text);
    cr_assert_eq(doc_root(document, "thing", &at, e), 0);
    return keys_envelope_header(&at, "thing", ret, e);
}

#define HEAD(type, spec, version, issued, expires)                                                 \
    "{\"_type\":" type ",\"spec_version\":" spec ",\"version\":" version ",\"issued\":" issued     \
    ",\"expires\":" expires "}"
#define ISSUED  "\"2026-01-01T00:00:00Z\""
#define EXPIRES "\"2026-01-01T00:00:01Z\""

Test(envelope, a_head_is_read_at_the_edges_of_its_ranges) {
    struct keys_header header;
    struct err e = ERR_NONE;
    cr_assert_eq(read_header(HEAD("\"thing\"", "\"1.0\"", "1", ISSUED, EXPIRES), &header, &e), 0,
                 "%s", e.text);
    cr_assert_eq(header.version, 1);
    cr_assert_eq(header.issued_s, 1767225600);
    cr_assert_eq(header.expires_s, 1767225601);
    cr_assert_eq(read_header(HEAD("\"thing\"", "\"1.9999.9999\"", "9007199254740991", ISSUED,
                                  "\"9999-12-31T23:59:59Z\""),
                             &header, &e),
                 0, "%s", e.text);
    cr_assert_eq(header.version, KEYS_VERSION_MAX);
    cr_assert_eq(header.expires_s, CHRONO_MAX_S);
}

// A document that takes another major version has that one, and no other.
Test(envelope, a_head_of_another_major_version_is_asked_for_by_it) {
    static const struct {
        const char *version;
        const struct err_kind *kind;
    } cases[] = {{"1.0", &err_syntax}, {"2.0", NULL}, {"2.7.1", NULL}, {"3.0", &err_newer_format}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct keys_header header;
        struct err e = ERR_NONE;
        OWN(json)
        json_t *head = json_pack("{s:s, s:s, s:i, s:s, s:s}", "_type", "thing", "spec_version",
                                 cases[i].version, "version", 1, "issued", "2026-01-01T00:00:00Z",
                                 "expires", "2026-01-01T00:00:01Z");
        const struct doc_at at = {.value = head, .path = "thing"};
        int read = keys_envelope_header_of(&at, "thing", 2, &header, &e);
        cr_assert_eq(read == 0, cases[i].kind == NULL, "%s: %s", cases[i].version, e.text);
        cr_assert(cases[i].kind == NULL || err_is(&e, cases[i].kind), "%s", e.text);
    }
}

Test(envelope, a_head_beyond_them_is_refused) {
    static const struct {
        const char *text;
        const struct err_kind *kind;
    } cases[] = {
        {HEAD("\"other\"", "\"1.0\"", "1", ISSUED, EXPIRES), &err_wrong_type},
        {HEAD("\"thing2\"", "\"1.0\"", "1", ISSUED, EXPIRES), &err_wrong_type},
        {HEAD("null", "\"1.0\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"2.0\"", "1", ISSUED, EXPIRES), &err_newer_format},
        {HEAD("\"thing\"", "\"0.1\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\".1\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0.0.0\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0.0.0.0\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0x\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"+1.0\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.10000\"", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "1", "1", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "0", ISSUED, EXPIRES), NULL},
        {HEAD("\"thing\"", "\"1.0\"", "-1", ISSUED, EXPIRES), NULL},
        {HEAD("\"thing\"", "\"1.0\"", "9007199254740992", ISSUED, EXPIRES), NULL},
        {HEAD("\"thing\"", "\"1.0\"", "\"1\"", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "null", ISSUED, EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "1", ISSUED, ISSUED), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "1", EXPIRES, ISSUED), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "1", "\"2026-01-01\"", EXPIRES), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "1", ISSUED, "\"2026-13-01T00:00:00Z\""), &err_syntax},
        {HEAD("\"thing\"", "\"1.0\"", "1", ISSUED, "1767225601"), &err_syntax},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct keys_header header = {.version = 77};
        struct err e = ERR_NONE;
        cr_assert_lt(read_header(cases[i].text, &header, &e), 0, "accepted: %s", cases[i].text);
        if (cases[i].kind)
            cr_assert(err_is(&e, cases[i].kind), "%s: %s: %s", cases[i].text, e.kind->name, e.text);
        else
            cr_assert(err_is(&e, &err_syntax) || err_is(&e, &err_limit), "%s", e.text);
        cr_assert_eq(header.version, 77);
    }
}

Test(envelope, it_expires_in_the_second_it_names) {
    const struct keys_header header = {.version = 1, .issued_s = 100, .expires_s = 200};
    struct err e = ERR_NONE;
    cr_assert_eq(keys_envelope_check_expiry(&header, "thing", 0, &e), 0);
    cr_assert_eq(keys_envelope_check_expiry(&header, "thing", 199, &e), 0);
    cr_assert_lt(keys_envelope_check_expiry(&header, "thing", 200, &e), 0);
    cr_assert(err_is(&e, &err_expired), "%s", e.text);
    cr_assert_not_null(strstr(e.text, "1970-01-01T00:03:20Z"), "%s", e.text);
}
