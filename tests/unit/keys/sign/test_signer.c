// SPDX-License-Identifier: Apache-2.0
//
// Signers. The external program is a real one: this test program itself, which signs when it is
// called with
// "--sign-as N HOW"; see sign_as().
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/envelope.h"
#include "keys/kind.h"
#include "keys/sign/signer.h"
#include "tests/unit/keys/keyring.h"

// What the program answers. Each is something that a signing program may do.
static int answer(const char *how, const struct keys_envelope_signature *signature) {
    char hex[2 * KEYS_ED25519_SIGNATURE_BYTES + 1];
    text_hex(signature->sig, sizeof signature->sig, hex);
    if (strcmp(how, "raw") == 0)
        return fwrite(signature->sig, 1, sizeof signature->sig, stdout) == sizeof signature->sig
                   ? 0
                   : 1;
    if (strcmp(how, "hex") == 0)
        return printf("%s", hex) > 0 ? 0 : 1;
    if (strcmp(how, "hex line") == 0)
        return printf("%s\r\n", hex) > 0 ? 0 : 1;
    if (strcmp(how, "HEX") == 0) {
        for (char *c = hex; *c; c++)
            (void)putchar(*c >= 'a' ? *c - 'a' + 'A' : *c);
        return 0;
    }
    if (strcmp(how, "short") == 0)
        return fwrite(signature->sig, 1, sizeof signature->sig - 1, stdout) > 0 ? 0 : 1;
    if (strcmp(how, "long") == 0)
        return printf("%s00", hex) > 0 ? 0 : 1;
    if (strcmp(how, "garbled") == 0)
        return printf("%.126szz", hex) > 0 ? 0 : 1;
    if (strcmp(how, "flood") == 0) {
        for (unsigned i = 0; i < 100000; i++)
            (void)printf("%s", hex);
        return 0;
    }
    if (strcmp(how, "refuse") == 0) {
        (void)fprintf(stderr, "connecting\nthe token \x1b[31mis locked\n");
        return 3;
    }
    if (strcmp(how, "die") == 0)
        return raise(SIGKILL);
    return 0; // "nothing"
}

// Runs before Criterion's main: the same executable is the signing program.
__attribute__((constructor)) static void sign_as(int argc, char **argv) {
    if (argc != 4 || strcmp(argv[1], "--sign-as") != 0)
        return;
    static uint8_t message[1 << 20];
    size_t len = fread(message, 1, sizeof message, stdin);
    struct keys_envelope_signature signature;
    keyring_sign((unsigned)strtoul(argv[2], NULL, 10), (struct slice){message, len}, &signature);
    int status = answer(argv[3], &signature);
    (void)fflush(stdout);
    _exit(status);
}

static char program[512];

static void set_up(void) {
    struct err e = ERR_NONE;
    keyring_must(keys_secret_init(&e), &e);
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    cr_assert_gt(len, 0);
    program[len] = 0;
}

TestSuite(signer, .init = set_up);

static void own_drop_signer(struct sign_signer **signer) {
    sign_signer_free(*signer);
}

static struct sign_signer *from_seed(unsigned n) {
    OWN(secret) struct keys_secret *seed = keyring_seed(n);
    struct keys_pub pub = keyring_pub(n);
    struct sign_signer *signer = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(sign_signer_from_seed(&seed, &pub, &signer, &e), 0, "%s", e.text);
    cr_assert_null(seed, "the seed was not taken");
    return signer;
}

// The signer whose public key is key 1 and whose program has key `n` and answers like `how`.
static struct sign_signer *from_program(unsigned n, const char *how) {
    char command[700];
    struct keys_pub pub = keyring_pub(1);
    struct sign_signer *signer = NULL;
    struct err e = ERR_NONE;
    (void)snprintf(command, sizeof command, "  \"%s\" --sign-as\t%u \"%s\" ", program, n, how);
    cr_assert_eq(sign_signer_from_command(command, &pub, chrono_system(), &signer, &e), 0, "%s",
                 e.text);
    return signer;
}

Test(signer, a_seed_signs) {
    OWN(signer) struct sign_signer *signer = from_seed(1);
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0, "%s", e.text);
    cr_assert(keys_pub_verify(sign_signer_pub(signer), keyring_slice("x"), signature));
}

Test(signer, a_seed_of_another_key_is_refused_and_stays_with_the_caller) {
    OWN(secret) struct keys_secret *seed = keyring_seed(1);
    struct keys_pub pub = keyring_pub(2);
    struct sign_signer *signer = NULL;
    struct err e = ERR_NONE;
    cr_assert_lt(sign_signer_from_seed(&seed, &pub, &signer, &e), 0);
    cr_assert(err_is(&e, &err_bad_key), "%s", e.text);
    cr_assert_not_null(seed);
    cr_assert_null(signer);
}

Test(signer, a_program_signs_raw_or_in_hex) {
    static const char *const ways[] = {"raw", "hex", "hex line", "HEX"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        OWN(signer) struct sign_signer *signer = from_program(1, ways[i]);
        OWN(signer) struct sign_signer *ours = from_seed(1);
        uint8_t theirs[KEYS_ED25519_SIGNATURE_BYTES];
        uint8_t expected[KEYS_ED25519_SIGNATURE_BYTES];
        struct err e = ERR_NONE;
        cr_assert_eq(sign_signer_sign(signer, keyring_slice("exact bytes\n"), theirs, &e), 0,
                     "%s: %s", ways[i], e.text);
        cr_assert_eq(sign_signer_sign(ours, keyring_slice("exact bytes\n"), expected, &e), 0);
        cr_assert_arr_eq(theirs, expected, sizeof expected);
    }
}

Test(signer, a_program_gets_every_byte_of_a_large_message) {
    OWN(signer) struct sign_signer *signer = from_program(1, "raw");
    OWN(mem) uint8_t *message = malloc(700000);
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    struct err e = ERR_NONE;
    for (size_t i = 0; i < 700000; i++)
        message[i] = (uint8_t)(i * 31 >> 3);
    cr_assert_eq(sign_signer_sign(signer, (struct slice){message, 700000}, signature, &e), 0, "%s",
                 e.text);
}

Test(signer, what_a_program_signed_with_another_key_is_not_used) {
    OWN(signer) struct sign_signer *signer = from_program(2, "raw");
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES] = {42};
    struct err e = ERR_NONE;
    cr_assert_lt(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0);
    cr_assert(err_is(&e, &err_bad_signature), "%s", e.text);
    cr_assert_eq(signature[0], 42);
}

Test(signer, a_program_that_fails_or_answers_something_else_is_reported) {
    static const char *const ways[] = {"short", "long",   "garbled", "nothing",
                                       "flood", "refuse", "die"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        OWN(signer) struct sign_signer *signer = from_program(1, ways[i]);
        uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES] = {42};
        struct err e = ERR_NONE;
        cr_assert_lt(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0, "%s", ways[i]);
        cr_assert(err_is(&e, &err_signer_failed), "%s: %s: %s", ways[i], e.kind->name, e.text);
        cr_assert_eq(signature[0], 42);
    }
}

Test(signer, the_last_words_of_a_failing_program_are_told_safely) {
    OWN(signer) struct sign_signer *signer = from_program(1, "refuse");
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    struct err e = ERR_NONE;
    cr_assert_lt(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0);
    cr_assert_not_null(strstr(e.text, "exit status 3"), "%s", e.text);
    cr_assert_not_null(strstr(e.text, "is locked"), "%s", e.text);
    cr_assert_null(strchr(e.text, '\x1b'));
    cr_assert_null(strstr(e.text, "connecting"));
}

static const struct err_kind *command_kind(const char *command) {
    struct keys_pub pub = keyring_pub(1);
    OWN(signer) struct sign_signer *signer = NULL;
    struct err e = ERR_NONE;
    int failed = sign_signer_from_command(command, &pub, chrono_system(), &signer, &e);
    cr_assert(failed ? !signer : !!signer);
    return e.kind;
}

Test(signer, commands_that_cannot_be_run_are_refused) {
    char words[200] = "";
    char longest[5000];
    for (size_t i = 0; i < 65; i++)
        memcpy(words + 2 * i, "a ", 3);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    cr_assert_eq(command_kind(""), &err_usage);
    cr_assert_eq(command_kind("  \t "), &err_usage);
    cr_assert_eq(command_kind("\"\""), &err_usage);
    cr_assert_eq(command_kind("/bin/true \"a"), &err_usage);
    cr_assert_eq(command_kind(words), &err_usage);
    cr_assert_eq(command_kind(longest), &err_limit);
    cr_assert_eq(command_kind("no-such-program-anywhere x"), &err_signer_failed);
    cr_assert_null(command_kind("true \"two words\" \"\" x\"y z\"w"));
}

Test(signer, a_program_that_does_not_exist_is_a_failed_signer) {
    struct keys_pub pub = keyring_pub(1);
    OWN(signer) struct sign_signer *signer = NULL;
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    struct err e = ERR_NONE;
    cr_assert_eq(
        sign_signer_from_command("/nonexistent/signer", &pub, chrono_system(), &signer, &e), 0);
    cr_assert_lt(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0);
    cr_assert(err_is(&e, &err_signer_failed), "%s", e.text);
}

// A script that writes its arguments, one a line, where the test can read them.
Test(signer, words_arrive_as_they_were_grouped_and_no_shell_sees_them) {
    char place[] = "/tmp/edge-signer-XXXXXX";
    cr_assert_not_null(mkdtemp(place));
    char script[64];
    char out[64];
    char command[256];
    (void)snprintf(script, sizeof script, "%s/a script", place);
    (void)snprintf(out, sizeof out, "%s/out", place);
    FILE *file = fopen(script, "we");
    cr_assert_not_null(file);
    (void)fprintf(file, "#!/bin/sh\nfor a; do printf '<%%s>' \"$a\"; done > %s\n", out);
    cr_assert_eq(fchmod(fileno(file), 0700), 0);
    cr_assert_eq(fclose(file), 0);

    struct keys_pub pub = keyring_pub(1);
    OWN(signer) struct sign_signer *signer = NULL;
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    struct err e = ERR_NONE;
    (void)snprintf(command, sizeof command,
                   "\"%s\" one  \"two words\"\t\"\" a\"b c\"d $HOME `id` 'x y' *", script);
    cr_assert_eq(sign_signer_from_command(command, &pub, chrono_system(), &signer, &e), 0, "%s",
                 e.text);
    cr_assert_lt(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0);
    char got[256] = "";
    file = fopen(out, "re");
    cr_assert_not_null(file, "%s", e.text);
    cr_assert_not_null(fgets(got, sizeof got, file));
    (void)fclose(file);
    (void)unlink(script);
    (void)unlink(out);
    (void)rmdir(place);
    cr_assert_str_eq(got, "<one><two words><><ab cd><$HOME><`id`><'x><y'><*>");
}

Test(signer, a_name_without_a_slash_is_found_in_path_and_a_relative_one_from_here) {
    char folder[512];
    char command[600];
    (void)snprintf(folder, sizeof folder, "%s", program);
    char *slash = strrchr(folder, '/');
    const char *name = slash + 1;
    *slash = 0;
    struct keys_pub pub = keyring_pub(1);
    for (unsigned relative = 0; relative < 2; relative++) {
        OWN(signer) struct sign_signer *signer = NULL;
        uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
        struct err e = ERR_NONE;
        char path[600];
        (void)snprintf(path, sizeof path, "/nonexistent:relative::%s:/bin", folder);
        cr_assert_eq(relative ? chdir(folder) : setenv("PATH", path, 1), 0);
        (void)snprintf(command, sizeof command, "%s%s --sign-as 1 raw", relative ? "./" : "", name);
        cr_assert_eq(sign_signer_from_command(command, &pub, chrono_system(), &signer, &e), 0, "%s",
                     e.text);
        cr_assert_eq(sign_signer_sign(signer, keyring_slice("x"), signature, &e), 0, "%s", e.text);
    }
}

// ── Envelopes ────────────────────────────────────────────────────────────────────────────────────

static void assert_verifies(struct slice raw, size_t threshold, unsigned n, size_t n_signatures) {
    const struct keys_role role = keyring_role(threshold, n);
    struct keys_envelope_candidate candidate;
    struct keys_envelope envelope;
    struct err e = ERR_NONE;
    cr_assert_eq(keys_envelope_split(raw, "it", &candidate, &e), 0, "%s", e.text);
    cr_assert_eq(candidate.n_signatures, n_signatures);
    cr_assert_eq(keys_envelope_verify(&candidate, "it", &role, &envelope, &e), 0, "%s", e.text);
}

Test(signer, several_sign_one_envelope) {
    OWN(signer) struct sign_signer *a = from_seed(2);
    OWN(signer) struct sign_signer *b = from_program(1, "hex");
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    buf_init(&raw, 4096);
    cr_assert_eq(sign_signer_envelope(keyring_slice("{\"a\":1}"), (struct sign_signer *[]){a, b}, 2,
                                      &raw, &e),
                 0, "%s", e.text);
    assert_verifies(buf_slice(&raw), 2, 2, 2);
}

Test(signer, one_failing_signer_leaves_nothing_behind) {
    OWN(signer) struct sign_signer *a = from_seed(2);
    OWN(signer) struct sign_signer *b = from_program(1, "refuse");
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    buf_init(&raw, 4096);
    cr_assert_lt(
        sign_signer_envelope(keyring_slice("{}"), (struct sign_signer *[]){a, b}, 2, &raw, &e), 0);
    cr_assert(err_is(&e, &err_signer_failed));
    cr_assert_eq(raw.len, 0);
}

Test(signer, the_same_signer_twice_is_refused) {
    OWN(signer) struct sign_signer *a = from_seed(2);
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    buf_init(&raw, 4096);
    cr_assert_lt(
        sign_signer_envelope(keyring_slice("{}"), (struct sign_signer *[]){a, a}, 2, &raw, &e), 0);
    cr_assert(err_is(&e, &err_not_canonical), "%s", e.text);
}

Test(signer, signatures_are_added_one_after_another_and_the_order_does_not_matter) {
    OWN(buf) struct buf forth;
    OWN(buf) struct buf back;
    struct err e = ERR_NONE;
    buf_init(&forth, 1 << 16);
    buf_init(&back, 1 << 16);
    keyring_envelope(keyring_slice("{\"a\":1}"), 0, &forth);
    keyring_envelope(keyring_slice("{\"a\":1}"), 0, &back);
    for (unsigned i = 1; i <= 5; i++) {
        OWN(signer) struct sign_signer *up = from_seed(i);
        OWN(signer) struct sign_signer *down = from_seed(6 - i);
        OWN(buf) struct buf next_forth;
        OWN(buf) struct buf next_back;
        buf_init(&next_forth, 1 << 16);
        buf_init(&next_back, 1 << 16);
        cr_assert_eq(buf_add_text(&forth, "   ", &e), 0); // room behind an envelope does not matter
        cr_assert_eq(sign_signer_add(buf_slice(&forth), up, &next_forth, &e), 0, "%s", e.text);
        cr_assert_eq(sign_signer_add(buf_slice(&back), down, &next_back, &e), 0, "%s", e.text);
        assert_verifies(buf_slice(&next_forth), i, i, i);
        buf_clear(&forth);
        buf_clear(&back);
        cr_assert_eq(buf_add(&forth, next_forth.data, next_forth.len, &e), 0);
        cr_assert_eq(buf_add(&back, next_back.data, next_back.len, &e), 0);
    }
    cr_assert_str_eq(buf_text(&forth), buf_text(&back));
}

Test(signer, a_signature_by_the_same_key_is_replaced) {
    OWN(signer) struct sign_signer *signer = from_seed(1);
    struct keys_envelope_signature bad;
    OWN(buf) struct buf raw;
    OWN(buf) struct buf mended;
    struct err e = ERR_NONE;
    buf_init(&raw, 4096);
    buf_init(&mended, 4096);
    keyring_sign(1, keyring_slice("something else"), &bad);
    cr_assert_eq(keys_envelope_format(keyring_slice("{}"), &bad, 1, &raw, &e), 0);
    cr_assert_eq(sign_signer_add(buf_slice(&raw), signer, &mended, &e), 0, "%s", e.text);
    assert_verifies(buf_slice(&mended), 1, 1, 1);
}

Test(signer, a_full_envelope_takes_no_more_but_a_replacement) {
    OWN(buf) struct buf full;
    OWN(buf) struct buf next;
    struct err e = ERR_NONE;
    buf_init(&full, 1 << 16);
    buf_init(&next, 1 << 16);
    keyring_envelope(keyring_slice("{}"), 0xffffffff, &full);
    OWN(signer) struct sign_signer *another = from_seed(33);
    OWN(signer) struct sign_signer *known = from_seed(32);
    cr_assert_lt(sign_signer_add(buf_slice(&full), another, &next, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    err_clear(&e);
    cr_assert_eq(sign_signer_add(buf_slice(&full), known, &next, &e), 0, "%s", e.text);
    cr_assert_str_eq(buf_text(&next), buf_text(&full));
}

Test(signer, what_is_no_envelope_is_not_signed) {
    OWN(signer) struct sign_signer *signer = from_seed(1);
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    buf_init(&raw, 4096);
    cr_assert_lt(sign_signer_add(keyring_slice("{\"signed\":{}}"), signer, &raw, &e), 0);
    cr_assert(err_is(&e, &err_not_canonical), "%s", e.text);
    cr_assert_eq(raw.len, 0);
}
