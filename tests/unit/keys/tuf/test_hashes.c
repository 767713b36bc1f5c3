// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <string.h>

#include "base/own.h"
#include "keys/kind.h"
#include "keys/tuf/hashes.h"

// Of "abc": FIPS 180-4's examples, and RFC 7693's function with 32 bytes.
#define SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA512                                                                                     \
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                             \
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define BLAKE2B "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"

static const struct slice abc = {(const uint8_t *)"abc", 3};

// Parses {…}; the caller clears.
static struct tuf_json_at read_text(const char *text, struct tuf_json *json) {
    struct err e = ERR_NONE;
    const struct slice raw = {(const uint8_t *)text, strlen(text)};
    cr_assert_eq(tuf_json_parse(raw, 4096, "hashes", json, &e), 0, "%s", e.text);
    return tuf_json_root(json);
}

static const struct {
    const char *hashes;
    bool holds;
    const char *first; // what may stand in a file's name
} cases[] = {
    {"{\"sha256\":\"" SHA256 "\"}", true, SHA256},
    {"{\"sha512\":\"" SHA512 "\"}", true, SHA512},
    {"{\"blake2b-256\":\"" BLAKE2B "\"}", true, BLAKE2B},
    {"{\"blake2b-256\":\"" BLAKE2B "\",\"sha256\":\"" SHA256 "\",\"sha512\":\"" SHA512 "\"}", true,
     SHA256},
    {"{\"md5\":\"whatever\",\"sha256\":\"" SHA256 "\"}", true, SHA256},
    {"{\"md5\":\"900150983cd24fb0d6963f7d28e17f72\"}", false, NULL},
    {"{}", false, NULL},
    {"{\"sha256\":\"" SHA256 "\",\"sha512\":\"" SHA256 "\"}", false, SHA256},
    {"{\"sha256\":\"" BLAKE2B "\"}", false, BLAKE2B},
    {"{\"sha256\":\"\"}", false, NULL},
    {"{\"sha256\":\"ba78\"}", false, NULL},
    {"{\"sha256\":\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\"}", false,
     NULL},
    {"{\"sha256\":\"" SHA256 "00\"}", false, NULL},
    {"{\"sha256\":\"../../../../../../../../../../../../../../../../../../etc/passwdx\"}", false,
     NULL},
    {"{\"sha256\":\"\",\"sha512\":\"" SHA512 "\"}", false, SHA512},
    {"{\"SHA256\":\"" SHA256 "\"}", false, NULL},
};

Test(hashes, all_that_are_known_must_match_and_one_must_be_known) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
        struct err e = ERR_NONE;
        struct tuf_json_at at = read_text(cases[i].hashes, &json);
        int failed = tuf_hashes_check(at, abc, "abc", &e);
        cr_assert_eq(failed, cases[i].holds ? 0 : -1, "%s: %s", cases[i].hashes, e.text);
        cr_assert_eq(e.kind, cases[i].holds ? NULL : &err_digest_mismatch);
    }
}

Test(hashes, only_one_of_the_right_form_becomes_part_of_a_name) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
        const char *first = tuf_hashes_first(read_text(cases[i].hashes, &json));
        cr_assert_eq(!first, !cases[i].first, "%s", cases[i].hashes);
        if (first)
            cr_assert_str_eq(first, cases[i].first);
    }
}
