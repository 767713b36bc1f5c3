// SPDX-License-Identifier: Apache-2.0
//
// Key files: made, opened, damaged.
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "keys/kind.h"
#include "keys/sign/keyfile.h"
#include "tests/support/fs_fault.h"
#include "tests/unit/keys/keyring.h"

static char folder[64];
static int dir = -1;

static void set_up(void) {
    struct err e = ERR_NONE;
    keyring_must(keys_secret_init(&e), &e);
    (void)snprintf(folder, sizeof folder, "/tmp/edge-keyfile-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dir, 0);
}

static void tear_down(void) {
    struct err e = ERR_NONE;
    (void)close(dir);
    cr_assert_eq(fs_remove_tree(AT_FDCWD, folder, &e), 0, "%s", e.text);
}

TestSuite(keyfile, .init = set_up, .fini = tear_down);

static struct keys_secret *phrase(const char *text) {
    char copy[SIGN_PASSPHRASE_MAX_BYTES + 8];
    struct keys_secret *secret = NULL;
    struct err e = ERR_NONE;
    (void)snprintf(copy, sizeof copy, "%s", text);
    keyring_must(keys_secret_take(copy, strlen(text), &secret, &e), &e);
    return secret;
}

static struct keys_pub must_create(const char *name, const struct keys_secret *passphrase) {
    struct keys_pub pub;
    struct err e = ERR_NONE;
    cr_assert_eq(sign_keyfile_create(dir, name, passphrase, &sign_keyfile_kdf_least, &pub, &e), 0,
                 "%s", e.text);
    return pub;
}

static void read_text(const char *path, struct buf *ret) {
    struct err e = ERR_NONE;
    buf_init(ret, 1 << 16);
    cr_assert_eq(fs_read_file(dir, path, 1 << 16, ret, &e), 0, "%s", e.text);
}

static void write_text(const char *path, const void *data, size_t len, mode_t mode) {
    struct err e = ERR_NONE;
    cr_assert_eq(fs_replace(dir, path, data, len, mode, &e), 0, "%s", e.text);
}

static const struct err_kind *open_kind(const char *path, const struct keys_secret *passphrase,
                                        struct err *e) {
    OWN(secret) struct keys_secret *seed = NULL;
    struct keys_pub pub;
    *e = (struct err)ERR_NONE;
    int failed = sign_keyfile_open(dir, path, passphrase, &seed, &pub, e);
    cr_assert(failed ? !seed && e->kind : seed && !e->kind);
    return e->kind;
}

static mode_t mode_of(const char *path) {
    struct stat st;
    cr_assert_eq(fstatat(dir, path, &st, 0), 0);
    return st.st_mode & 07777;
}

static void assert_signs(const char *path, const struct keys_secret *passphrase,
                         const struct keys_pub *expected) {
    OWN(secret) struct keys_secret *seed = NULL;
    struct keys_pub pub;
    struct err e = ERR_NONE;
    uint8_t signature[KEYS_ED25519_SIGNATURE_BYTES];
    cr_assert_eq(sign_keyfile_open(dir, path, passphrase, &seed, &pub, &e), 0, "%s", e.text);
    cr_assert_str_eq(pub.id, expected->id);
    cr_assert_eq(keys_secret_sign(seed, keyring_slice("x"), signature, &e), 0, "%s", e.text);
    cr_assert(keys_pub_verify(expected, keyring_slice("x"), signature));
}

Test(keyfile, a_sealed_key_opens_with_its_passphrase_and_no_other) {
    OWN(secret) struct keys_secret *right = phrase("correct horse battery staple");
    OWN(secret) struct keys_secret *wrong = phrase("correct horse battery stable");
    OWN(secret) struct keys_secret *empty = phrase("");
    struct err e;
    struct keys_pub pub = must_create("release", right);
    assert_signs("release.key", right, &pub);
    cr_assert_eq(open_kind("release.key", wrong, &e), &err_bad_passphrase, "%s", e.text);
    cr_assert_eq(open_kind("release.key", empty, &e), &err_bad_passphrase, "%s", e.text);
    cr_assert_eq(open_kind("release.key", NULL, &e), &err_bad_passphrase, "%s", e.text);
}

Test(keyfile, an_unsealed_key_needs_none) {
    struct keys_pub pub = must_create("director", NULL);
    assert_signs("director.key", NULL, &pub);
}

Test(keyfile, the_public_part_stands_beside_it_for_everyone) {
    OWN(secret) struct keys_secret *word = phrase("word");
    struct keys_pub read;
    struct err e = ERR_NONE;
    struct keys_pub pub = must_create("release", word);
    cr_assert_eq(mode_of("release.key"), 0600);
    cr_assert_eq(mode_of("release.pub"), 0644);
    cr_assert_eq(sign_keyfile_read_pub(dir, "release.pub", &read, &e), 0, "%s", e.text);
    cr_assert_str_eq(read.id, pub.id);
    cr_assert_arr_eq(read.ed25519, pub.ed25519, sizeof pub.ed25519);
}

Test(keyfile, what_needs_no_passphrase_is_read_without) {
    OWN(secret) struct keys_secret *word = phrase("word");
    struct sign_keyfile_info info;
    struct err e = ERR_NONE;
    struct keys_pub sealed = must_create("a.sealed-key_1", word);
    struct keys_pub open = must_create("open", NULL);
    cr_assert_eq(sign_keyfile_info(dir, "a.sealed-key_1.key", &info, &e), 0, "%s", e.text);
    cr_assert(info.sealed);
    cr_assert_str_eq(info.name, "a.sealed-key_1");
    cr_assert_str_eq(info.pub.id, sealed.id);
    cr_assert_eq(sign_keyfile_info(dir, "open.key", &info, &e), 0, "%s", e.text);
    cr_assert_not(info.sealed);
    cr_assert_str_eq(info.pub.id, open.id);
}

Test(keyfile, two_keys_of_one_passphrase_share_nothing) {
    OWN(secret) struct keys_secret *word = phrase("word");
    OWN(buf) struct buf a;
    OWN(buf) struct buf b;
    (void)must_create("a", word);
    (void)must_create("b", word);
    read_text("a.key", &a);
    read_text("b.key", &b);
    static const char *const members[] = {"\"salt\":\"", "\"nonce\":\"", "\"box\":\"",
                                          "\"public\":\""};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *in_a = strstr(buf_text(&a), members[i]);
        const char *in_b = strstr(buf_text(&b), members[i]);
        cr_assert(in_a && in_b);
        cr_assert_neq(strncmp(in_a, in_b, strlen(members[i]) + 32), 0, "%s", members[i]);
    }
}

Test(keyfile, a_sealed_file_does_not_hold_the_seed) {
    OWN(secret) struct keys_secret *word = phrase("word");
    OWN(secret) struct keys_secret *seed = NULL;
    OWN(buf) struct buf text;
    struct keys_pub pub;
    struct err e = ERR_NONE;
    char hex[65];
    (void)must_create("release", word);
    cr_assert_eq(sign_keyfile_open(dir, "release.key", word, &seed, &pub, &e), 0, "%s", e.text);
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", keys_secret_data(seed)[i]);
    read_text("release.key", &text);
    cr_assert_null(strstr(buf_text(&text), hex));
    cr_assert_null(memmem(text.data, text.len, keys_secret_data(seed), 32));
}

Test(keyfile, an_existing_file_is_never_overwritten) {
    struct keys_pub pub = must_create("release", NULL);
    struct keys_pub none = {.id = "untouched"};
    struct err e = ERR_NONE;
    cr_assert_lt(sign_keyfile_create(dir, "release", NULL, &sign_keyfile_kdf_least, &none, &e), 0);
    cr_assert(err_is(&e, &err_exists), "%s", e.text);
    cr_assert_str_eq(none.id, "untouched");
    cr_assert_eq(unlinkat(dir, "release.key", 0), 0);
    err_clear(&e);
    cr_assert_lt(sign_keyfile_create(dir, "release", NULL, &sign_keyfile_kdf_least, &none, &e), 0,
                 "over the .pub");
    cr_assert(err_is(&e, &err_exists), "%s", e.text);
    cr_assert_eq(faccessat(dir, "release.key", F_OK, 0), -1);
    struct keys_pub kept;
    err_clear(&e);
    cr_assert_eq(sign_keyfile_read_pub(dir, "release.pub", &kept, &e), 0);
    cr_assert_str_eq(kept.id, pub.id);
}

Test(keyfile, what_a_broken_off_attempt_left_is_no_obstacle) {
    write_text(".release.key.new", "half", 4, 0600);
    struct keys_pub pub = must_create("release", NULL);
    assert_signs("release.key", NULL, &pub);
    cr_assert_eq(faccessat(dir, ".release.key.new", F_OK, 0), -1);
}

Test(keyfile, names_and_costs_outside_of_their_ranges_are_refused) {
    static const char *const names[] = {
        "",
        ".a",
        "-a",
        "a/b",
        "a b",
        "../a",
        "a234567890123456789012345678901234567890123456789012345678901234"};
    struct keys_pub pub;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct err e = ERR_NONE;
        cr_assert_lt(sign_keyfile_create(dir, names[i], NULL, &sign_keyfile_kdf_least, &pub, &e), 0,
                     "%s", names[i]);
        cr_assert(err_is(&e, &err_usage), "%s: %s", names[i], e.text);
    }
    OWN(secret) struct keys_secret *word = phrase("word");
    static const struct sign_kdf costs[] = {
        {0, 8192}, {1, 8191}, {65, 8192}, {1, (1ULL << 30) + 1}, {1, 0}};
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        struct err e = ERR_NONE;
        cr_assert_lt(sign_keyfile_create(dir, "a", word, &costs[i], &pub, &e), 0);
        cr_assert(err_is(&e, &err_limit), "%s", e.text);
    }
    (void)must_create("a23456789012345678901234567890123456789012345678901234567890123", NULL);
}

Test(keyfile, a_passphrase_has_a_longest_length) {
    char text[SIGN_PASSPHRASE_MAX_BYTES + 2];
    memset(text, 'p', sizeof text);
    text[SIGN_PASSPHRASE_MAX_BYTES] = 0;
    OWN(secret) struct keys_secret *longest = phrase(text);
    struct keys_pub pub = must_create("longest", longest);
    assert_signs("longest.key", longest, &pub);
    text[SIGN_PASSPHRASE_MAX_BYTES] = 'p';
    text[SIGN_PASSPHRASE_MAX_BYTES + 1] = 0;
    OWN(secret) struct keys_secret *longer = phrase(text);
    struct err e = ERR_NONE;
    cr_assert_lt(sign_keyfile_create(dir, "longer", longer, &sign_keyfile_kdf_least, &pub, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    cr_assert_eq(faccessat(dir, "longer.key", F_OK, 0), -1);
}

Test(keyfile, the_costs_are_what_the_header_says) {
    cr_assert_eq(sign_keyfile_kdf_default.ops, 3);
    cr_assert_eq(sign_keyfile_kdf_default.mem_bytes, 64 << 20);
    cr_assert_eq(sign_keyfile_kdf_least.mem_bytes, 8192);
}

// ── Damage ───────────────────────────────────────────────────────────────────────────────────────

Test(keyfile, every_flipped_bit_of_a_sealed_file_is_refused) {
    OWN(secret) struct keys_secret *word = phrase("word");
    OWN(buf) struct buf text;
    (void)must_create("release", word);
    read_text("release.key", &text);
    int fd = openat(dir, "flipped.key", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (size_t bit = 0; bit < 8 * text.len; bit++) {
        struct err e;
        text.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_assert_eq(pwrite(fd, text.data, text.len, 0), (ssize_t)text.len);
        // Blanks behind the document may change into other blanks: nothing else may.
        bool blank = bit / 8 == text.len - 1 && strchr(" \t\r\n", text.data[text.len - 1]);
        const struct err_kind *kind = open_kind("flipped.key", word, &e);
        cr_assert(kind || blank, "bit %zu of byte %zu", bit % 8, bit / 8);
        text.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    (void)close(fd);
}

Test(keyfile, every_truncation_is_refused) {
    OWN(secret) struct keys_secret *word = phrase("word");
    static const char *const names[] = {"sealed", "open"};
    (void)must_create("sealed", word);
    (void)must_create("open", NULL);
    for (size_t i = 0; i < 2; i++) {
        char path[16];
        OWN(buf) struct buf text;
        (void)snprintf(path, sizeof path, "%s.key", names[i]);
        read_text(path, &text);
        int fd = openat(dir, path, O_RDWR | O_CLOEXEC);
        for (size_t len = text.len - 1; len-- > 0;) {
            struct err e;
            cr_assert_eq(ftruncate(fd, (off_t)len), 0);
            cr_assert_not_null(open_kind(path, i == 0 ? word : NULL, &e), "%s: %zu bytes", path,
                               len);
        }
        (void)close(fd);
    }
}

// Replaces `from` by `to` in a key file and says how it opens then.
static const struct err_kind *edited_kind(const char *path, const char *from, const char *to,
                                          const struct keys_secret *passphrase, struct err *e) {
    OWN(buf) struct buf text;
    OWN(buf) struct buf edited;
    read_text(path, &text);
    buf_init(&edited, 1 << 16);
    const char *at = strstr(buf_text(&text), from);
    cr_assert_not_null(at, "%s is not in %s", from, buf_text(&text));
    size_t before = (size_t)(at - buf_text(&text));
    struct err ignored = ERR_NONE;
    cr_assert_eq(buf_add(&edited, text.data, before, &ignored), 0);
    cr_assert_eq(buf_add_text(&edited, to, &ignored), 0);
    cr_assert_eq(buf_add_text(&edited, at + strlen(from), &ignored), 0);
    write_text("edited.key", edited.data, edited.len, 0600);
    return open_kind("edited.key", passphrase, e);
}

Test(keyfile, what_the_seal_is_bound_to_cannot_be_changed) {
    OWN(secret) struct keys_secret *word = phrase("word");
    struct err e;
    (void)must_create("release", word);
    cr_assert_eq(edited_kind("release.key", "\"release\"", "\"re1ease\"", word, &e),
                 &err_bad_passphrase, "%s", e.text);
    cr_assert_eq(edited_kind("release.key", "\"ops\":1", "\"ops\":2", word, &e),
                 &err_bad_passphrase, "%s", e.text);
    // Only how the JSON is written may.
    cr_assert_null(edited_kind("release.key", ",\"name\"", ",\n  \"name\"", word, &e), "%s",
                   e.text);
}

Test(keyfile, a_file_that_asks_for_too_much_is_refused_before_it_is_tried) {
    OWN(secret) struct keys_secret *word = phrase("word");
    struct err e;
    (void)must_create("release", word);
    cr_assert_eq(edited_kind("release.key", "\"ops\":1", "\"ops\":4000000000", word, &e),
                 &err_limit, "%s", e.text);
    cr_assert_eq(edited_kind("release.key", ":8192", ":4000000000", word, &e), &err_limit, "%s",
                 e.text);
    cr_assert_eq(edited_kind("release.key", "\"ops\":1", "\"ops\":0", word, &e), &err_limit, "%s",
                 e.text);
}

Test(keyfile, other_files_are_told_apart) {
    struct err e;
    (void)must_create("open", NULL);
    cr_assert_eq(edited_kind("open.key", "edgectl-key", "edgectl-yek", NULL, &e), &err_wrong_type,
                 "%s", e.text);
    cr_assert_eq(edited_kind("open.key", "\"format\":1", "\"format\":2", NULL, &e),
                 &err_newer_format, "%s", e.text);
    cr_assert_eq(edited_kind("open.key", "\"name\":\"none\"", "\"name\":\"rot13\"", NULL, &e),
                 &err_syntax, "%s", e.text);
    cr_assert_eq(edited_kind("open.key", "\"seed\"", "\"sealed\"", NULL, &e), &err_syntax, "%s",
                 e.text);
    cr_assert_eq(edited_kind("open.key", "{", "{\"x\":1,", NULL, &e), &err_syntax, "%s", e.text);
}

Test(keyfile, a_seed_that_is_not_that_of_the_public_key_is_a_bad_key) {
    OWN(buf) struct buf text;
    struct err e;
    (void)must_create("open", NULL);
    read_text("open.key", &text);
    char *digit = strstr((char *)text.data, "\"seed\":\"") + 8;
    *digit = *digit == '0' ? '1' : '0';
    write_text("open.key", text.data, text.len, 0600);
    cr_assert_eq(open_kind("open.key", NULL, &e), &err_bad_key, "%s", e.text);
    *digit = 'x';
    write_text("open.key", text.data, text.len, 0600);
    cr_assert_eq(open_kind("open.key", NULL, &e), &err_syntax, "%s", e.text);
}

Test(keyfile, an_id_that_is_not_that_of_the_public_key_is_a_bad_key) {
    OWN(buf) struct buf text;
    struct sign_keyfile_info info;
    struct err e = ERR_NONE;
    (void)must_create("open", NULL);
    read_text("open.key", &text);
    char *digit = strstr((char *)text.data, "\"keyid\":\"") + 9;
    *digit = *digit == '0' ? '1' : '0';
    write_text("open.key", text.data, text.len, 0600);
    cr_assert_lt(sign_keyfile_info(dir, "open.key", &info, &e), 0);
    cr_assert(err_is(&e, &err_bad_key), "%s", e.text);
}

Test(keyfile, a_key_file_with_blanks_between_opens_too) {
    struct err e;
    (void)must_create("open", NULL);
    cr_assert_null(edited_kind("open.key", "\"seed\":\"", "\"seed\" :\n \"", NULL, &e), "%s",
                   e.text);
}

Test(keyfile, errors_about_a_damaged_unsealed_file_never_show_the_seed) {
    static const char *const edits[][2] = {{"\"}", "\"]"},
                                           {"\"}", "\""},
                                           {"\"seed\":\"", "\"seed\":[\""},
                                           {"{", "[{"},
                                           {"{", "{\"x\":1,"},
                                           {"\"_type\"", "\"type\""},
                                           {"\"}\n", "zz\"}\n"},
                                           {"\"kdf\":{\"name\":\"none\"}", "\"kdf\":7"}};
    OWN(buf) struct buf text;
    char seed[9] = "";
    (void)must_create("open", NULL);
    read_text("open.key", &text);
    memcpy(seed, strstr(buf_text(&text), "\"seed\":\"") + 8, 8);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        struct err e;
        const char *from = edits[i][0];
        cr_assert_not_null(edited_kind("open.key", from, edits[i][1], NULL, &e), "%s", edits[i][1]);
        cr_assert_null(strstr(e.text, seed), "%s", e.text);
    }
}

// The digits of the seed in the open key file, and how often the JSON parser freed memory that held
// them.
static char seed_digits[2 * KEYS_ED25519_SEED_BYTES + 1];
static unsigned seeds_freed;
static unsigned blocks_freed;

static void watch_free(void *block) {
    if (!block)
        return;
    blocks_freed++;
    seeds_freed += memmem(block, malloc_usable_size(block), seed_digits, 16) != NULL;
    free(block);
}

Test(keyfile, the_json_parser_never_sees_an_unsealed_seed) {
    OWN(buf) struct buf text;
    struct err e;
    (void)must_create("open", NULL);
    read_text("open.key", &text);
    memcpy(seed_digits, strstr(buf_text(&text), "\"seed\":\"") + 8, sizeof seed_digits - 1);
    json_set_alloc_funcs(malloc, watch_free);
    cr_assert_null(open_kind("open.key", NULL, &e), "%s", e.text);
    OWN(json) json_t *proof = json_loads(buf_text(&text), 0, NULL);
    cr_assert_eq(seeds_freed, 0);
    cr_assert_gt(blocks_freed, 10);
    json_decref(own_take(&proof));
    cr_assert_gt(seeds_freed, 0, "the watch does not see what it should");
}

Test(keyfile, a_file_that_others_may_read_is_refused) {
    struct err e;
    struct sign_keyfile_info info;
    (void)must_create("open", NULL);
    cr_assert_eq(fchmodat(dir, "open.key", 0640, 0), 0);
    cr_assert_eq(open_kind("open.key", NULL, &e), &err_permission, "%s", e.text);
    err_clear(&e);
    cr_assert_lt(sign_keyfile_info(dir, "open.key", &info, &e), 0);
    cr_assert(err_is(&e, &err_permission));
    cr_assert_eq(open_kind("nothing.key", NULL, &e), &err_not_found, "%s", e.text);
}

Test(keyfile, a_file_above_the_ceiling_is_refused) {
    char big[SIGN_KEYFILE_MAX_BYTES + 1];
    struct err e;
    memset(big, ' ', sizeof big);
    write_text("big.key", big, sizeof big, 0600);
    cr_assert_eq(open_kind("big.key", NULL, &e), &err_limit, "%s", e.text);
}

// A call that was made and then reported as failed is the one that leaves something behind.
Test(keyfile, a_disk_that_fails_leaves_no_half_of_a_pair_in_the_way) {
    bool hit = true;
    for (size_t at = 0; hit; at++) {
        struct err e = ERR_NONE;
        struct keys_pub pub;
        const struct fs_fault fault = {.at = at, .effect = FS_FAULT_AFTERWARDS, .error = EIO};
        cr_assert_lt(at, 100);
        fs_fault_begin(&fault);
        int made = sign_keyfile_create(dir, "ann", NULL, &sign_keyfile_kdf_least, &pub, &e);
        hit = fs_fault_end(NULL);
        cr_assert(hit || made == 0, "%s", e.text);
        if (made < 0)
            (void)must_create("ann", NULL);
        cr_assert_eq(fs_remove(dir, "ann.key", &e), 0, "%s", e.text);
        cr_assert_eq(fs_remove(dir, "ann.pub", &e), 0, "%s", e.text);
    }
}
