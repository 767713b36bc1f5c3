// SPDX-License-Identifier: Apache-2.0
//
// Guarded memory and Ed25519 with the vectors of RFC 8032.
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/pub.h"
#include "keys/secret.h"
#include "tests/unit/keys/keyring.h"

// RFC 8032, 7.1: secret, public, message, signature.
static const char *const vectors[][4] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46bd25bf5f0"
     "595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c387b2eae"
     "b4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6594a7c15e9"
     "716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fee"
     "bbd454d4423"
     "643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e"
     "0303dca179c"
     "138ac17ad9bef1177331a704"},
};

static size_t unhex(const char *hex, uint8_t *ret) {
    struct err e = ERR_NONE;
    size_t len = strlen(hex) / 2;
    keyring_must(text_unhex(hex, ret, len, "vector", &e), &e);
    return len;
}

static struct keys_secret *take_text(const char *text) {
    struct err e = ERR_NONE;
    struct keys_secret *secret = NULL;
    char copy[256];
    (void)snprintf(copy, sizeof copy, "%s", text);
    keyring_must(keys_secret_init(&e), &e);
    keyring_must(keys_secret_take(copy, strlen(text), &secret, &e), &e);
    return secret;
}

Test(secret, the_vectors_of_rfc_8032_hold) {
    struct err e = ERR_NONE;
    cr_assert_eq(keys_secret_init(&e), 0);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t seed_bytes[32];
        uint8_t public[32];
        uint8_t message[64];
        uint8_t expected[64];
        uint8_t got_public[32];
        uint8_t got[64];
        (void)unhex(vectors[i][0], seed_bytes);
        (void)unhex(vectors[i][1], public);
        struct slice text = {message, unhex(vectors[i][2], message)};
        (void)unhex(vectors[i][3], expected);
        OWN(secret) struct keys_secret *seed = NULL;
        struct keys_pub pub;
        cr_assert_eq(keys_secret_take(seed_bytes, 32, &seed, &e), 0, "%s", e.text);
        cr_assert_eq(keys_secret_public(seed, got_public, &e), 0, "%s", e.text);
        cr_assert_arr_eq(got_public, public, 32);
        cr_assert_eq(keys_secret_sign(seed, text, got, &e), 0, "%s", e.text);
        cr_assert_arr_eq(got, expected, 64);
        cr_assert_eq(keys_pub_from_bytes(public, &pub, &e), 0, "%s", e.text);
        cr_assert(keys_pub_verify(&pub, text, expected));
    }
}

Test(secret, a_taken_secret_is_wiped_where_it_came_from) {
    struct err e = ERR_NONE;
    char bytes[] = "correct horse";
    char zeros[sizeof bytes] = "";
    OWN(secret) struct keys_secret *secret = NULL;
    cr_assert_eq(keys_secret_init(&e), 0);
    cr_assert_eq(keys_secret_take(bytes, sizeof bytes, &secret, &e), 0);
    cr_assert_arr_eq(bytes, zeros, sizeof bytes);
    cr_assert_eq(keys_secret_len(secret), sizeof bytes);
    cr_assert_str_eq((const char *)keys_secret_data(secret), "correct horse");
}

Test(secret, the_largest_secret_is_taken_and_a_larger_one_wiped_and_refused) {
    struct err e = ERR_NONE;
    static uint8_t bytes[KEYS_SECRET_MAX_BYTES + 1];
    OWN(secret) struct keys_secret *secret = NULL;
    cr_assert_eq(keys_secret_init(&e), 0);
    memset(bytes, 7, sizeof bytes);
    cr_assert_lt(keys_secret_take(bytes, sizeof bytes, &secret, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    cr_assert_null(secret);
    for (size_t i = 0; i < sizeof bytes; i++)
        cr_assert_eq(bytes[i], 0);
    err_clear(&e);
    memset(bytes, 7, sizeof bytes);
    cr_assert_eq(keys_secret_take(bytes, sizeof bytes - 1, &secret, &e), 0, "%s", e.text);
    cr_assert_eq(keys_secret_data(secret)[KEYS_SECRET_MAX_BYTES - 1], 7);
    cr_assert_lt(keys_secret_random(KEYS_SECRET_MAX_BYTES + 1, &secret, &e), 0);
    cr_assert(err_is(&e, &err_limit));
}

Test(secret, an_empty_secret_is_a_secret) {
    OWN(secret) struct keys_secret *secret = take_text("");
    cr_assert_eq(keys_secret_len(secret), 0);
}

Test(secret, random_secrets_differ) {
    struct err e = ERR_NONE;
    OWN(secret) struct keys_secret *a = NULL;
    OWN(secret) struct keys_secret *b = NULL;
    cr_assert_eq(keys_secret_init(&e), 0);
    cr_assert_eq(keys_secret_random(32, &a, &e), 0);
    cr_assert_eq(keys_secret_random(32, &b, &e), 0);
    cr_assert_arr_neq(keys_secret_data(a), keys_secret_data(b), 32);
}

Test(secret, writing_into_a_secret_is_a_fault, .signal = SIGSEGV) {
    OWN(secret) struct keys_secret *secret = take_text("constant");
    (void)signal(SIGSEGV, SIG_DFL); // a sanitizer would make it an exit status
    *(volatile uint8_t *)(uintptr_t)keys_secret_data(secret) = 'C';
}

Test(secret, reading_behind_a_secret_is_a_fault, .signal = SIGSEGV) {
    OWN(secret) struct keys_secret *secret = take_text("constant");
    (void)signal(SIGSEGV, SIG_DFL);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < 64; i++)
        sum = (uint8_t)(sum + ((const volatile uint8_t *)keys_secret_data(secret))[i]);
}

Test(secret, it_works_where_no_memory_may_be_locked) {
    struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    if (geteuid() == 0)
        cr_assert_eq(setuid(65534), 0); // root may lock in spite of the limit
    OWN(secret) struct keys_secret *seed = keyring_seed(1);
    uint8_t signature[64];
    struct err e = ERR_NONE;
    cr_assert_eq(keys_secret_sign(seed, keyring_slice("x"), signature, &e), 0, "%s", e.text);
}

Test(secret, only_a_seed_of_32_bytes_signs) {
    OWN(secret) struct keys_secret *word = take_text("not a seed");
    struct err e = ERR_NONE;
    uint8_t out[64] = {9};
    cr_assert_lt(keys_secret_sign(word, keyring_slice("x"), out, &e), 0);
    cr_assert(err_is(&e, &err_internal));
    cr_assert_eq(out[0], 9);
}

// ── Reading from a file ──────────────────────────────────────────────────────────────────────────

struct place {
    char path[64];
    int dir;
};

static struct place make_place(const char *content, size_t len, mode_t mode) {
    struct place place = {.path = "/tmp/edge-secret-XXXXXX"};
    struct err e = ERR_NONE;
    keyring_must(keys_secret_init(&e), &e);
    cr_assert_not_null(mkdtemp(place.path));
    place.dir = open(place.path, O_RDONLY | O_DIRECTORY);
    int fd = openat(place.dir, "secret", O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, content, len), (ssize_t)len);
    cr_assert_eq(fchmod(fd, mode), 0);
    (void)close(fd);
    return place;
}

static void drop_place(struct place *place) {
    (void)unlinkat(place->dir, "secret", 0);
    (void)close(place->dir);
    (void)rmdir(place->path);
}

static void assert_read(const char *content, size_t max, int trim, const char *expected) {
    struct place place = make_place(content, strlen(content), 0600);
    OWN(secret) struct keys_secret *secret = NULL;
    struct err e = ERR_NONE;
    int failed = keys_secret_read(place.dir, "secret", max, trim, &secret, &e);
    drop_place(&place);
    if (!expected) {
        cr_assert_lt(failed, 0);
        cr_assert(err_is(&e, &err_limit), "%s", e.text);
        cr_assert_null(secret);
        return;
    }
    cr_assert_eq(failed, 0, "%s", e.text);
    cr_assert_eq(keys_secret_len(secret), strlen(expected));
    cr_assert_arr_eq(keys_secret_data(secret), expected, strlen(expected));
}

Test(secret, a_file_is_read_up_to_its_limit_and_one_newline_is_trimmed) {
    assert_read("12345678", 8, 1, "12345678");
    assert_read("12345678\n", 8, 1, "12345678");
    assert_read("1234567\n\n", 8, 1, "1234567\n");
    assert_read("1234567\n", 8, 0, "1234567\n");
    assert_read("12345678\n", 8, 0, NULL);
    assert_read("123456789", 8, 1, NULL);
    assert_read("12345678\n\n", 8, 1, NULL);
    assert_read("12345678901234567890", 8, 1, NULL);
    assert_read("\n", 8, 1, "");
    assert_read("", 8, 1, "");
}

Test(secret, a_file_that_others_may_use_is_refused_and_the_error_does_not_show_it) {
    static const mode_t modes[] = {0640, 0604, 0620, 0610, 0644, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct place place = make_place("hunter2", 7, modes[i]);
        struct keys_secret *secret = NULL;
        struct err e = ERR_NONE;
        cr_assert_lt(keys_secret_read(place.dir, "secret", 64, 1, &secret, &e), 0, "%o", modes[i]);
        drop_place(&place);
        cr_assert(err_is(&e, &err_permission), "%s", e.text);
        cr_assert_null(strstr(e.text, "hunter2"));
        cr_assert_not_null(strstr(e.text, "chmod 600"));
    }
}

Test(secret, a_missing_file_and_a_directory_are_errors) {
    struct place place = make_place("x", 1, 0600);
    struct keys_secret *secret = NULL;
    struct err e = ERR_NONE;
    cr_assert_lt(keys_secret_read(place.dir, "nothing", 64, 1, &secret, &e), 0);
    cr_assert(err_is(&e, &err_not_found), "%s", e.text);
    err_clear(&e);
    cr_assert_lt(keys_secret_read(AT_FDCWD, place.path, 64, 1, &secret, &e), 0);
    cr_assert_not_null(e.kind);
    drop_place(&place);
}
