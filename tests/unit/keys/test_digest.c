// SPDX-License-Identifier: Apache-2.0
//
// BLAKE2b-256 against other implementations' results, in one go, in pieces and from a file.
#include <criterion/criterion.h>
#include <sodium.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "keys/blake.h"
#include "keys/digest.h"

static void assert_digest(const struct keys_digest *digest, const char *expected) {
    char hex[KEYS_DIGEST_HEX];
    cr_assert_str_eq(keys_digest_hex(digest, hex), expected);
}

// The bytes that the self-test of RFC 7693 (appendix E) feeds to itself.
static void fill_sequence(uint8_t *ret, size_t len) {
    uint32_t a = 0xDEAD4BADU * (uint32_t)len;
    uint32_t b = 1;
    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        ret[i] = (uint8_t)(t >> 24);
    }
}

Test(digest, the_self_test_of_rfc_7693_holds_for_32_byte_digests) {
    static const size_t lengths[] = {0, 3, 128, 129, 255, 1024};
    struct keys_digest_state all;
    keys_digest_init(&all);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t input[1024];
        uint8_t key[KEYS_DIGEST_BYTES];
        struct keys_digest digest;
        fill_sequence(input, lengths[i]);
        fill_sequence(key, sizeof key);
        keys_digest_of(input, lengths[i], &digest);
        keys_digest_add(&all, digest.bytes, sizeof digest.bytes);
        keys_digest_keyed(key, sizeof key, input, lengths[i], &digest);
        keys_digest_add(&all, digest.bytes, sizeof digest.bytes);
    }
    struct keys_digest digest;
    keys_digest_final(&all, &digest);
    assert_digest(&digest, "0e7fcfd0480d6f3567c2b83fb286726669708471d0d8820c18a8d46b92d66d4e");
}

Test(digest, known_texts_have_their_known_digests) {
    struct keys_digest digest;
    keys_digest_of(NULL, 0, &digest);
    assert_digest(&digest, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    keys_digest_of("abc", 3, &digest);
    assert_digest(&digest, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

Test(digest, keys_of_16_32_and_64_bytes_change_it) {
    uint8_t key[64];
    struct keys_digest digest;
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    keys_digest_keyed(key, 16, "abc", 3, &digest);
    assert_digest(&digest, "3fd8fd31501cdbe942607b204368e3dc4ebce5744de1a955a6025f5c9848bb20");
    keys_digest_keyed(key, 32, "abc", 3, &digest);
    assert_digest(&digest, "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
    keys_digest_keyed(key, 64, "abc", 3, &digest);
    assert_digest(&digest, "dff38c978666dff5631db35ca15535520d134f5c8060ea569c6a178ad393719f");
}

Test(digest, pieces_of_any_size_give_the_same_digest) {
    uint8_t data[600];
    struct keys_digest whole;
    fill_sequence(data, sizeof data);
    keys_digest_of(data, sizeof data, &whole);
    for (size_t piece = 1; piece <= sizeof data; piece++) {
        struct keys_digest_state state;
        struct keys_digest digest;
        keys_digest_init(&state);
        for (size_t at = 0; at < sizeof data; at += piece)
            keys_digest_add(&state, data + at, at + piece > sizeof data ? sizeof data - at : piece);
        keys_digest_add(&state, NULL, 0);
        keys_digest_final(&state, &digest);
        cr_assert(keys_digest_equal(&digest, &whole), "pieces of %zu", piece);
    }
}

Test(digest, a_file_is_read_from_its_start_whatever_its_offset_and_size) {
    static const struct {
        size_t bytes;
        const char *digest;
    } cases[] = {
        {0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
        {1, "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"},
        {4095, "983ce89f07993a0d939e60ddb384093d2bb33c3c3175d804cd0eb84ef5e9988b"},
        {4096, "bec24b5a5157c7daa9a7c3ee0c808223bf239840bd071bcf0f68436137217a2a"},
        {4097, "5b7ca09856ce250f048bcb6e1080dbc23797608f5cc9418b8be1d3b10ecde5f0"},
        {8192, "f6bbad2bf381ee231cc10dbd8c01eceb5cafceb96303f51b5286bfce00bca66b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(fd) int fd = memfd_create("digest", MFD_CLOEXEC);
        uint8_t data[8192];
        uint8_t buffer[4096];
        struct keys_digest digest;
        struct err e = ERR_NONE;
        uint64_t bytes = 99;
        for (size_t n = 0; n < cases[i].bytes; n++)
            data[n] = (uint8_t)(n * 7);
        cr_assert_eq(write(fd, data, cases[i].bytes), (ssize_t)cases[i].bytes);
        cr_assert_eq(keys_digest_fd(fd, buffer, sizeof buffer, &digest, &bytes, &e), 0, "%s",
                     e.text);
        cr_assert_eq(bytes, cases[i].bytes);
        assert_digest(&digest, cases[i].digest);
    }
}

Test(digest, a_descriptor_that_cannot_be_read_is_an_error_and_leaves_the_outputs) {
    struct err e = ERR_NONE;
    struct keys_digest digest = {.bytes = {1, 2, 3}};
    uint8_t buffer[16];
    uint64_t bytes = 7;
    cr_assert_lt(keys_digest_fd(-1, buffer, sizeof buffer, &digest, &bytes, &e), 0);
    cr_assert(err_is(&e, &err_io), "%s", e.text);
    cr_assert_eq(bytes, 7);
    cr_assert_eq(digest.bytes[1], 2);
}

Test(digest, hex_is_read_only_when_it_is_64_lower_case_digits) {
    char hex[] = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8";
    struct keys_digest digest;
    struct keys_digest empty;
    struct err e = ERR_NONE;
    cr_assert_eq(keys_digest_parse(hex, "digest", &digest, &e), 0, "%s", e.text);
    keys_digest_of("", 0, &empty);
    cr_assert(keys_digest_equal(&digest, &empty));

    struct keys_digest before = digest;
    const char *bad[] = {"",
                         "0e",
                         "0E5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
                         "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a",
                         "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8a",
                         "xe5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err why = ERR_NONE;
        cr_assert_lt(keys_digest_parse(bad[i], "digest", &digest, &why), 0, "%s", bad[i]);
        cr_assert(err_is(&why, &err_syntax));
        cr_assert(keys_digest_equal(&digest, &before));
    }
}

Test(digest, one_different_bit_makes_it_unequal) {
    struct keys_digest a;
    keys_digest_of("abc", 3, &a);
    for (size_t bit = 0; bit < 8 * sizeof a.bytes; bit++) {
        struct keys_digest b = a;
        b.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_not(keys_digest_equal(&a, &b));
    }
}

Test(digest, libsodium_makes_the_same_at_every_length_and_however_it_is_fed) {
    static uint8_t input[4096];
    fill_sequence(input, sizeof input);
    for (size_t len = 0; len <= sizeof input; len += len < 600 ? 1 : 37) {
        struct keys_digest whole, fed, theirs;
        struct keys_digest_state state;
        cr_assert_eq(crypto_generichash(theirs.bytes, sizeof theirs.bytes, input, len, NULL, 0), 0);
        keys_digest_of(input, len, &whole);
        cr_assert(keys_digest_equal(&whole, &theirs), "%zu bytes", len);
        keys_digest_init(&state);
        for (size_t done = 0, n; done < len; done += n) {
            n = 1 + (done * 7 + len) % 300;
            n = n < len - done ? n : len - done;
            keys_digest_add(&state, input + done, n);
        }
        keys_digest_final(&state, &fed);
        cr_assert(keys_digest_equal(&fed, &theirs), "%zu bytes in pieces", len);
    }
}

Test(digest, sha256_is_that_of_fips_180_4) {
    char hex[KEYS_DIGEST_HEX];
    cr_assert_str_eq(keys_digest_sha256("abc", 3, hex),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_assert_str_eq(keys_digest_sha256("", 0, hex),
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

Test(digest, every_processor_compresses_alike) {
    uint64_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, plain[8];
    uint8_t block[KEYS_BLAKE_BLOCK_BYTES];
    memcpy(plain, h, sizeof h);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t last = i % 3 == 0 ? UINT64_MAX : 0;
        fill_sequence(block, sizeof block);
        memcpy(block, h, sizeof h);
        keys_blake_compress(h, block, i << 20, last);
        keys_blake_compress_plain(plain, block, i << 20, last);
        cr_assert_arr_eq(h, plain, sizeof h, "block %zu", (size_t)i);
    }
}
