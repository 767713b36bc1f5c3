// SPDX-License-Identifier: Apache-2.0
//
// Others' schemes, by the cases of tests/data/tuf/foreign (made by the openssl command, and by hand
// where no honest tool makes them).
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <sodium.h>

#include "base/fs.h"
#include "base/own.h"
#include "keys/foreign/ops.h"
#include "keys/kind.h"
#include "tests/support/alloc_fault.h"

#define CASES          EDGE_SOURCE_DIR "/tests/data/tuf/foreign/"
#define PATH_BYTES     768
#define FILE_BYTES     (1 << 16)
#define DOCUMENT_BYTES (1 << 16)

typedef bool verify_fn(const char *pem, struct slice message, struct slice signature);

// A text file of a case; the caller clears it.
static void read_file(const char *folder, const char *name, struct buf *ret) {
    char path[PATH_BYTES];
    struct err e = ERR_NONE;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(ret, FILE_BYTES);
    cr_assert_eq(fs_read_file(AT_FDCWD, path, FILE_BYTES, ret, &e), 0, "%s", e.text);
}

static size_t read_hex(const char *folder, const char *name, uint8_t ret[TUF_SIGNATURE_MAX + 1]) {
    OWN(buf) struct buf text;
    size_t len = 0;
    read_file(folder, name, &text);
    cr_assert_eq(
        sodium_hex2bin(ret, TUF_SIGNATURE_MAX + 1, buf_text(&text), text.len - 1, NULL, &len, NULL),
        0, "%s/%s", folder, name);
    return len;
}

// Calls `check` for each folder in CASES/family; how many there were.
static size_t each(const char *family, void (*check)(const char *folder)) {
    char path[PATH_BYTES];
    size_t n = 0;
    (void)snprintf(path, sizeof path, CASES "%s", family);
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "%s", path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        char folder[PATH_BYTES];
        cr_assert_lt(snprintf(folder, sizeof folder, "%.400s/%s", path, entry->d_name), PATH_BYTES);
        check(folder);
        n++;
    }
    (void)closedir(dir);
    return n;
}

// ── Signatures ──────────────────────────────────────────────────────────────────────────────────

struct signature {
    struct buf public_part, message;
    uint8_t bytes[TUF_SIGNATURE_MAX + 1];
    size_t len;
    verify_fn *verify;
    verify_fn *other; // of the other scheme
};

static void own_drop_signature(struct signature *s) {
    buf_clear(&s->public_part);
    buf_clear(&s->message);
}

static void read_signature(const char *folder, struct signature *ret) {
    OWN(buf) struct buf scheme;
    read_file(CASES, "message", &ret->message);
    read_file(folder, "public", &ret->public_part);
    read_file(folder, "scheme", &scheme);
    ret->len = read_hex(folder, "signature", ret->bytes);
    bool rsa = strcmp(buf_text(&scheme), "rsa_pss\n") == 0;
    cr_assert(rsa || strcmp(buf_text(&scheme), "ecdsa_p256\n") == 0, "%s", folder);
    ret->verify = rsa ? foreign_ops.rsa_pss : foreign_ops.ecdsa_p256;
    ret->other = rsa ? foreign_ops.ecdsa_p256 : foreign_ops.rsa_pss;
}

static bool holds(const struct signature *s, verify_fn *verify) {
    return verify(buf_text(&s->public_part), buf_slice(&s->message),
                  (struct slice){s->bytes, s->len});
}

// One bit of each byte, another one from byte to byte.
static void assert_flips_are_noticed(const char *folder, struct signature *s, uint8_t *bytes,
                                     size_t len) {
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= (uint8_t)(1U << i % 8);
        cr_assert_not(holds(s, s->verify), "%s: byte %zu", folder, i);
        bytes[i] ^= (uint8_t)(1U << i % 8);
    }
}

static void assert_valid(const char *folder) {
    OWN(signature) struct signature s = {.len = 0};
    read_signature(folder, &s);
    cr_assert(holds(&s, s.verify), "%s", folder);
    cr_assert_not(holds(&s, s.other), "%s", folder);
    assert_flips_are_noticed(folder, &s, s.bytes, s.len);
    assert_flips_are_noticed(folder, &s, s.message.data, s.message.len);
    s.len--;
    cr_assert_not(holds(&s, s.verify), "%s", folder);
    s.len += 2;
    s.bytes[s.len - 1] = 0;
    cr_assert_not(holds(&s, s.verify), "%s", folder);
    s.len--;
    cr_assert(holds(&s, s.verify), "%s", folder);
}

Test(foreign_ops, signatures_of_the_openssl_command_hold_and_flipped_ones_do_not) {
    cr_assert_geq(each("verify/valid", assert_valid), 15);
}

static void assert_invalid(const char *folder) {
    OWN(signature) struct signature s = {.len = 0};
    read_signature(folder, &s);
    cr_assert_not(holds(&s, s.verify), "%s", folder);
}

Test(foreign_ops, other_kinds_of_keys_and_signatures_verify_nothing) {
    cr_assert_geq(each("verify/invalid", assert_invalid), 45);
}

// ── Keys ────────────────────────────────────────────────────────────────────────────────────────

static bool is_same(const char *folder) {
    OWN(buf) struct buf a;
    OWN(buf) struct buf b;
    read_file(folder, "a", &a);
    read_file(folder, "b", &b);
    bool same = foreign_ops.same(buf_text(&a), buf_text(&b));
    cr_assert_eq(foreign_ops.same(buf_text(&b), buf_text(&a)), same, "%s", folder);
    return same;
}

static void assert_same(const char *folder) {
    cr_assert(is_same(folder), "%s", folder);
}

static void assert_different(const char *folder) {
    cr_assert_not(is_same(folder), "%s", folder);
}

Test(foreign_ops, a_key_is_the_same_however_its_pem_is_written) {
    cr_assert_geq(each("same/same", assert_same), 5);
    cr_assert_geq(each("same/different", assert_different), 5);
}

// ── As the verification core uses them ──────────────────────────────────────────────────────────

static void add(struct buf *text, const char *piece) {
    struct err e = ERR_NONE;
    cr_assert_eq(buf_add_text(text, piece, &e), 0);
}

// A KEY object with the PEM of a case, and its signature, under a key id.
static void add_case(struct buf *keys, struct buf *signatures, const char *id, const char *type,
                     const char *scheme, const char *name) {
    OWN(signature) struct signature s = {.len = 0};
    char folder[PATH_BYTES];
    char hex[2 * TUF_SIGNATURE_MAX + 3];
    struct err e = ERR_NONE;
    (void)snprintf(folder, sizeof folder, CASES "verify/valid/%s", name);
    read_signature(folder, &s);
    cr_assert_eq(buf_add_format(keys, &e,
                                "%s\"%s\":{\"keytype\":\"%s\",\"scheme\":\"%s\",\"keyval\":{"
                                "\"public\":\"",
                                keys->len > 0 ? "," : "", id, type, scheme),
                 0);
    for (const char *at = buf_text(&s.public_part); *at; at++)
        add(keys, *at == '\n' ? "\\n" : (char[]){*at, 0});
    add(keys, "\"}}");
    (void)sodium_bin2hex(hex, sizeof hex, s.bytes, s.len);
    cr_assert_eq(buf_add_format(signatures, &e, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}",
                                signatures->len > 0 ? "," : "", id, hex),
                 0);
}

static int verify_role(const struct buf *keys, const struct buf *signatures, unsigned threshold,
                       const struct tuf_key_ops *ops, struct err *e) {
    OWN(buf) struct buf text;
    OWN(buf) struct buf message;
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    struct tuf_json_at at[3];
    struct tuf_role role;
    buf_init(&text, DOCUMENT_BYTES);
    read_file(CASES, "message", &message);
    cr_assert_eq(buf_add_format(&text, e,
                                "{\"keys\":{%s},\"role\":{\"keyids\":[\"a\",\"b\",\"c\"],"
                                "\"threshold\":%u},\"signatures\":[%s]}",
                                buf_text(keys), threshold, buf_text(signatures)),
                 0);
    cr_assert_eq(tuf_json_parse(buf_slice(&text), DOCUMENT_BYTES, "t", &json, e), 0, "%s", e->text);
    cr_assert(tuf_json_find(tuf_json_root(&json), "keys", &at[0]));
    cr_assert(tuf_json_find(tuf_json_root(&json), "role", &at[1]));
    cr_assert(tuf_json_find(tuf_json_root(&json), "signatures", &at[2]));
    cr_assert_eq(tuf_role_read(at[0], at[1], "t", &role, e), 0, "%s", e->text);
    return tuf_role_verify(&role, at[2], ops, buf_slice(&message), "t", e);
}

Test(foreign_ops, one_key_in_two_spellings_is_one_signer_of_a_role) {
    OWN(buf) struct buf keys;
    OWN(buf) struct buf signatures;
    struct err e = ERR_NONE;
    buf_init(&keys, DOCUMENT_BYTES);
    buf_init(&signatures, DOCUMENT_BYTES);
    add_case(&keys, &signatures, "a", "ecdsa", "ecdsa-sha2-nistp256", "ecdsa");
    add_case(&keys, &signatures, "b", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256",
             "ecdsa-compressed-point");
    add_case(&keys, &signatures, "c", "rsa", "rsassa-pss-sha256", "rsa-2048-salt-20");
    cr_assert_eq(verify_role(&keys, &signatures, 2, &foreign_ops, &e), 0, "%s", e.text);
    cr_assert_lt(verify_role(&keys, &signatures, 3, &foreign_ops, &e), 0);
    cr_assert(err_is(&e, &err_below_threshold));
    cr_assert_not_null(strstr(e.text, "by 2 different keys"), "%s", e.text);
    err_clear(&e);
    cr_assert_lt(verify_role(&keys, &signatures, 1, NULL, &e), 0);
    cr_assert(err_is(&e, &err_below_threshold));
}

// ── What is left behind ─────────────────────────────────────────────────────────────────────────

static void expect_queue_as_it_was(const char *folder) {
    unsigned long left = ERR_peek_last_error();
    cr_assert_eq(ERR_GET_LIB(left), ERR_LIB_USER, "%s", folder);
    cr_assert_eq(ERR_GET_REASON(left), 77, "%s", folder);
}

static void assert_queue_of_verify(const char *folder) {
    assert_invalid(folder);
    expect_queue_as_it_was(folder);
}

static void assert_queue_of_same(const char *folder) {
    assert_different(folder);
    expect_queue_as_it_was(folder);
}

Test(foreign_ops, the_error_queue_is_as_it_was) {
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 77);
    cr_assert_gt(each("verify/invalid", assert_queue_of_verify), 0);
    cr_assert_gt(each("same/different", assert_queue_of_same), 0);
    cr_assert_neq(ERR_get_error(), 0);
    cr_assert_eq(ERR_get_error(), 0);
}

// No memory is no signature: false, nothing leaked, and no harm to the calls that follow.
static void assert_allocations_may_fail(const char *folder) {
    OWN(signature) struct signature s = {.len = 0};
    bool refused = true;
    read_signature(folder, &s);
    cr_assert(holds(&s, s.verify)); // what libcrypto sets up once is there
    for (size_t at = 0; refused; at++) {
        alloc_fault_begin(at, false);
        bool held = holds(&s, s.verify);
        refused = alloc_fault_end();
        cr_assert(refused || held, "%s", folder);
        cr_assert_eq(ERR_peek_error(), 0, "%s: allocation %zu", folder, at);
    }
    cr_assert(holds(&s, s.verify));
}

Test(foreign_ops, allocations_may_fail) {
    assert_allocations_may_fail(CASES "verify/valid/ecdsa");
    assert_allocations_may_fail(CASES "verify/valid/rsa-2048-salt-32");
}
