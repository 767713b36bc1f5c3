// SPDX-License-Identifier: Apache-2.0
//
// Key files. The seed is in clear in two places only: in guarded memory, and, for an unsealed key,
// in the file. An unsealed file is therefore written from guarded memory, and before it is parsed
// the seed is blotted out of the copy that the JSON parser sees.
#include "keys/sign/keyfile.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/canon.h"
#include "keys/kind.h"

#define TYPE              "edgectl-key"
#define FORMAT            1
#define KDF_OPS_MAX       64
#define KDF_MEM_MAX_BYTES (1ULL << 30) // what a key file may ask of the machine that opens it

#define KEY_BYTES   crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SALT_BYTES  crypto_pwhash_SALTBYTES
#define BOX_BYTES   (KEYS_ED25519_SEED_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES)
#define HEX(bytes)  (2 * (bytes) + 1)
#define PATH_BYTES  (SIGN_KEYFILE_NAME_BYTES + 16)

const struct sign_kdf sign_keyfile_kdf_default = {.ops = 3, .mem_bytes = 64ULL << 20};
const struct sign_kdf sign_keyfile_kdf_least = {.ops = crypto_pwhash_argon2id_OPSLIMIT_MIN,
                                                .mem_bytes = crypto_pwhash_argon2id_MEMLIMIT_MIN};

static const struct doc_limits keyfile_limits = {
    .bytes = SIGN_KEYFILE_MAX_BYTES, .depth = 4, .values = 64, .floats = false};

// What stands in a key file, in clear.
struct content {
    struct sign_keyfile_info info;
    json_t *clear; // all members but the seed; what the seal is bound to
    struct sign_kdf kdf;
    uint8_t salt[SALT_BYTES];
    uint8_t nonce[NONCE_BYTES];
    uint8_t box[BOX_BYTES];
};

static void own_drop_content(struct content *content) {
    json_decref(content->clear);
}

// ── Sealing ──────────────────────────────────────────────────────────────────────────────────────

static int derive(const struct keys_secret *passphrase, const struct sign_kdf *kdf,
                  const uint8_t salt[static SALT_BYTES], uint8_t ret[static KEY_BYTES],
                  struct err *e) {
    if (keys_secret_len(passphrase) > SIGN_PASSPHRASE_MAX_BYTES)
        return err_set(e, &err_limit, "a passphrase has at most %d bytes",
                       SIGN_PASSPHRASE_MAX_BYTES);
    const char *bytes = (const char *)keys_secret_data(passphrase);
    if (crypto_pwhash(ret, KEY_BYTES, bytes, keys_secret_len(passphrase), salt, kdf->ops,
                      (size_t)kdf->mem_bytes, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return err_set(
            e, &err_memory,
            "turning the passphrase into a key needs %llu MiB of memory, which could not "
            "be had",
            (unsigned long long)(kdf->mem_bytes >> 20));
    return 0;
}

static int check_kdf(const struct sign_kdf *kdf, struct err *e) {
    if (kdf->ops < sign_keyfile_kdf_least.ops || kdf->ops > KDF_OPS_MAX ||
        kdf->mem_bytes < sign_keyfile_kdf_least.mem_bytes || kdf->mem_bytes > KDF_MEM_MAX_BYTES)
        return err_set(e, &err_limit,
                       "a key derivation of %llu passes over %llu bytes is outside of what is "
                       "allowed (%d passes, %llu bytes)",
                       (unsigned long long)kdf->ops, (unsigned long long)kdf->mem_bytes,
                       KDF_OPS_MAX, KDF_MEM_MAX_BYTES);
    return 0;
}

// The clear members in canonical form: change one of them and the seal does not open.
static int bind(const json_t *clear, struct buf *ret, struct err *e) {
    buf_init(ret, SIGN_KEYFILE_MAX_BYTES);
    return keys_canon_format(clear, ret, e);
}

static int seal(const struct keys_secret *seed, const struct keys_secret *passphrase,
                struct content *content, struct err *e) {
    OWN(buf) struct buf bound;
    uint8_t key[KEY_BYTES];
    if (bind(content->clear, &bound, e) < 0 ||
        derive(passphrase, &content->kdf, content->salt, key, e) < 0)
        return -1;
    int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(
        content->box, NULL, keys_secret_data(seed), keys_secret_len(seed), bound.data, bound.len,
        NULL, content->nonce, key);
    sodium_memzero(key, sizeof key);
    if (failed)
        return err_set(e, &err_internal, "sealing a key failed");
    return 0;
}

static int unseal(const struct content *content, const struct keys_secret *passphrase,
                  struct keys_secret **ret, struct err *e) {
    OWN(buf) struct buf bound;
    uint8_t key[KEY_BYTES];
    uint8_t seed[KEYS_ED25519_SEED_BYTES];
    if (bind(content->clear, &bound, e) < 0 ||
        derive(passphrase, &content->kdf, content->salt, key, e) < 0)
        return -1;
    int failed = crypto_aead_xchacha20poly1305_ietf_decrypt(
        seed, NULL, NULL, content->box, BOX_BYTES, bound.data, bound.len, content->nonce, key);
    sodium_memzero(key, sizeof key);
    if (failed)
        return err_set(e, &err_bad_passphrase,
                       "the passphrase does not open the key \"%s\" (or its file was changed)",
                       content->info.name);
    return keys_secret_take(seed, sizeof seed, ret, e);
}

// ── Writing ──────────────────────────────────────────────────────────────────────────────────────

// Removes what stands at the path if it is that open file, and not somebody else's.
static void remove_own(int dir, const char *path, int fd) {
    struct err ignored = ERR_NONE;
    struct stat own, there;
    if (fstat(fd, &own) == 0 && fs_stat(dir, path, &there, &ignored) == 0 &&
        own.st_dev == there.st_dev && own.st_ino == there.st_ino)
        (void)fs_remove(dir, path, &ignored);
}

// Puts a whole new file in place, or none, durably. It may have come into place and only its
// durability, or the acknowledgement, failed.
static int write_new(int dir, const char *path, const void *data, size_t len, mode_t mode,
                     struct err *e) {
    char temporary[PATH_BYTES + 8];
    (void)snprintf(temporary, sizeof temporary, ".%s.new", path);
    OWN(fd) int fd = -1;
    if (fs_remove(dir, temporary, e) < 0 || fs_create(dir, temporary, mode, &fd, e) < 0)
        return -1;
    if (fs_write(fd, data, len, e) < 0 || fs_sync(fd, e) < 0 ||
        fs_rename_new(dir, temporary, path, e) < 0 || fs_sync(dir, e) < 0) {
        remove_own(dir, path, fd);
        remove_own(dir, temporary, fd);
        return err_prefix(e, "writing %s", path);
    }
    return 0;
}

// The members that are in clear, sealed or not.
static json_t *clear_members(const struct content *content) {
    char public[HEX(KEYS_ED25519_PUBLIC_BYTES)];
    char salt[HEX(SALT_BYTES)];
    text_hex(content->info.pub.ed25519, KEYS_ED25519_PUBLIC_BYTES, public);
    text_hex(content->salt, SALT_BYTES, salt);
    json_t *kdf = content->info.sealed ? json_pack("{s:s,s:I,s:I,s:s}", "name", "argon2id", "ops",
                                                   (json_int_t)content->kdf.ops, "mem_bytes",
                                                   (json_int_t)content->kdf.mem_bytes, "salt", salt)
                                       : json_pack("{s:s}", "name", "none");
    return json_pack("{s:s,s:i,s:s,s:s,s:s,s:o}", "_type", TYPE, "format", FORMAT, "name",
                     content->info.name, "keyid", content->info.pub.id, "public", public, "kdf",
                     kdf);
}

static int write_sealed(int dir, const char *path, const struct content *content, struct err *e) {
    char nonce[HEX(NONCE_BYTES)];
    char box[HEX(BOX_BYTES)];
    text_hex(content->nonce, NONCE_BYTES, nonce);
    text_hex(content->box, BOX_BYTES, box);
    OWN(json) json_t *all = json_copy(content->clear);
    json_t *sealed = json_pack("{s:s,s:s}", "nonce", nonce, "box", box);
    if (json_object_set_new(all, "sealed", sealed) < 0)
        return err_set(e, &err_memory, "writing a key file: out of memory");
    OWN(buf) struct buf text;
    buf_init(&text, SIGN_KEYFILE_MAX_BYTES);
    if (keys_canon_format(all, &text, e) < 0 || buf_add(&text, "\n", 1, e) < 0)
        return -1;
    return write_new(dir, path, text.data, text.len, 0600, e);
}

// The seed is the last member, so that the text is made of the clear part and an end; both in
// guarded memory.
static int write_unsealed(int dir, const char *path, const struct content *content,
                          const struct keys_secret *seed, struct err *e) {
    static const char opening[] = ",\"seed\":\"";
    static const char closing[] = "\"}\n";
    OWN(buf) struct buf clear;
    buf_init(&clear, SIGN_KEYFILE_MAX_BYTES);
    if (keys_canon_format(content->clear, &clear, e) < 0)
        return -1;
    size_t len = clear.len - 1 + strlen(opening) + 2 * KEYS_ED25519_SEED_BYTES + strlen(closing);
    char *text = sodium_malloc(len + 1);
    if (!text)
        return err_set(e, &err_memory, "writing a key file: out of guarded memory");
    char *at = text;
    memcpy(at, clear.data, clear.len - 1); // without its last brace
    at += clear.len - 1;
    memcpy(at, opening, strlen(opening));
    at += strlen(opening);
    (void)sodium_bin2hex(at, HEX(KEYS_ED25519_SEED_BYTES), keys_secret_data(seed),
                         KEYS_ED25519_SEED_BYTES);
    at += 2 * KEYS_ED25519_SEED_BYTES;
    memcpy(at, closing, strlen(closing));
    int failed = write_new(dir, path, text, len, 0600, e);
    sodium_free(text);
    return failed;
}

static int check_name(const char *name, struct err *e) {
    if (text_is_name(name, SIGN_KEYFILE_NAME_BYTES - 1))
        return 0;
    return err_set(e, &err_usage,
                   "a key's name has 1 to %d letters, digits, '.', '_', '+' or '-' and begins with "
                   "none of '.' and '-'",
                   SIGN_KEYFILE_NAME_BYTES - 1);
}

int sign_keyfile_write_pub(int dir, const char *name, const struct keys_pub *pub, struct err *e) {
    OWN(json) json_t *object = NULL;
    OWN(buf) struct buf text;
    char path[PATH_BYTES];
    buf_init(&text, SIGN_KEYFILE_MAX_BYTES);
    (void)snprintf(path, sizeof path, "%s.pub", name);
    if (check_name(name, e) < 0)
        return -1;
    if (keys_pub_format(pub, &object, e) < 0 || keys_canon_format(object, &text, e) < 0 ||
        buf_add(&text, "\n", 1, e) < 0)
        return -1;
    return write_new(dir, path, text.data, text.len, 0644, e);
}

static int refuse_existing(int dir, const char *path, struct err *e) {
    struct stat st;
    int found = fs_stat(dir, path, &st, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT)
        return 0;
    return err_set(e, &err_exists, "%s exists; a key is never overwritten", path);
}

static int write_pair(int dir, const struct content *content, const struct keys_secret *seed,
                      struct err *e) {
    char key[PATH_BYTES];
    char pub[PATH_BYTES];
    (void)snprintf(key, sizeof key, "%s.key", content->info.name);
    (void)snprintf(pub, sizeof pub, "%s.pub", content->info.name);
    if (refuse_existing(dir, key, e) < 0 || refuse_existing(dir, pub, e) < 0)
        return -1;
    if ((content->info.sealed ? write_sealed(dir, key, content, e)
                              : write_unsealed(dir, key, content, seed, e)) < 0)
        return -1;
    if (sign_keyfile_write_pub(dir, content->info.name, &content->info.pub, e) == 0)
        return 0;
    // Nobody has used it, and the next attempt shall not find half a pair. Only what was made here
    // goes: another process may be making a key of the same name.
    struct err ignored = ERR_NONE;
    (void)fs_remove(dir, key, &ignored);
    return -1;
}

int sign_keyfile_create(int dir, const char *name, const struct keys_secret *passphrase,
                        const struct sign_kdf *kdf, struct keys_pub *ret, struct err *e) {
    if (check_name(name, e) < 0)
        return -1;
    OWN(content) struct content content = {.kdf = *kdf, .info.sealed = passphrase != NULL};
    (void)snprintf(content.info.name, sizeof content.info.name, "%s", name);
    OWN(fd) int here = -1; // dir may be AT_FDCWD, which cannot be synced
    OWN(secret) struct keys_secret *seed = NULL;
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    if ((passphrase && check_kdf(kdf, e) < 0) || fs_open_dir(dir, ".", &here, e) < 0 ||
        keys_secret_random(KEYS_ED25519_SEED_BYTES, &seed, e) < 0 ||
        keys_secret_public(seed, public, e) < 0 ||
        keys_pub_from_bytes(public, &content.info.pub, e) < 0)
        return -1;
    randombytes_buf(content.salt, sizeof content.salt);
    randombytes_buf(content.nonce, sizeof content.nonce);
    content.clear = clear_members(&content);
    if (!content.clear)
        return err_set(e, &err_memory, "making a key: out of memory");
    if ((passphrase && seal(seed, passphrase, &content, e) < 0) ||
        write_pair(here, &content, seed, e) < 0)
        return err_prefix(e, "making the key \"%s\"", name);
    *ret = content.info.pub;
    return 0;
}

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────

static size_t skip_blanks(const uint8_t *text, size_t len, size_t at) {
    while (at < len &&
           (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
        at++;
    return at;
}

// The first byte of the value behind the next "seed" name at or after `from`; len when there is
// none.
static size_t find_seed(const uint8_t *text, size_t len, size_t from) {
    static const char name[] = "\"seed\"";
    while (from < len) {
        const uint8_t *hit = memmem(text + from, len - from, name, strlen(name));
        if (!hit)
            return len;
        from = (size_t)(hit - text) + strlen(name);
        size_t at = skip_blanks(text, len, from);
        if (at == len || text[at] != ':')
            continue;
        at = skip_blanks(text, len, at + 1);
        if (at < len && text[at] == '"')
            return at + 1;
    }
    return len;
}

// Copies the file's text for the parser with every seed blotted out; *ret_seed is where the first
// was, or the length.
static int blot(const struct keys_secret *file, struct buf *ret, size_t *ret_seed, struct err *e) {
    const uint8_t *text = keys_secret_data(file);
    size_t len = keys_secret_len(file);
    size_t first = find_seed(text, len, 0);
    size_t done = 0;
    for (size_t at = first; at < len; at = find_seed(text, len, at)) {
        if (buf_add(ret, text + done, at - done, e) < 0)
            return -1;
        for (; at < len && text[at] != '"'; at++)
            if (buf_add(ret, "0", 1, e) < 0)
                return -1;
        done = at;
    }
    if (buf_add(ret, text + done, len - done, e) < 0)
        return -1;
    *ret_seed = first;
    return 0;
}

static int read_hex(const struct doc_at *at, const char *member, uint8_t *ret, size_t len,
                    struct err *e) {
    const char *hex = NULL;
    if (doc_string(at, member, 256, &hex, e) < 0)
        return -1;
    if (text_unhex(hex, ret, len, member, e) < 0)
        return err_prefix(e, "%s", at->path);
    return 0;
}

static int read_head(const struct doc_at *top, struct err *e) {
    const char *type = NULL;
    uint64_t format = 0;
    if (doc_string(top, "_type", 64, &type, e) < 0)
        return -1;
    if (strcmp(type, TYPE) != 0)
        return err_set(e, &err_wrong_type, "%s: not a key file (its _type is not \"%s\")",
                       top->path, TYPE);
    if (doc_u64(top, "format", 1, UINT32_MAX, &format, e) < 0)
        return -1;
    if (format > FORMAT)
        return err_set(e, &err_newer_format, "%s: a key file of format %llu; this program knows %d",
                       top->path, (unsigned long long)format, FORMAT);
    return 0;
}

static int read_public(const struct doc_at *top, struct sign_keyfile_info *ret, struct err *e) {
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    const char *id = NULL;
    const char *name = NULL;
    if (doc_string(top, "name", SIGN_KEYFILE_NAME_BYTES - 1, &name, e) < 0 ||
        doc_string(top, "keyid", KEYS_ID_HEX - 1, &id, e) < 0 ||
        read_hex(top, "public", public, sizeof public, e) < 0 ||
        keys_pub_from_bytes(public, &ret->pub, e) < 0)
        return -1;
    if (!text_is_name(name, SIGN_KEYFILE_NAME_BYTES - 1))
        return err_set(e, &err_syntax, "%s.name: not a name", top->path);
    if (strcmp(id, ret->pub.id) != 0)
        return err_set(e, &err_bad_key, "%s.keyid: not the id of the public key beside it",
                       top->path);
    (void)snprintf(ret->name, sizeof ret->name, "%s", name);
    return 0;
}

static int read_kdf(const struct doc_at *top, struct content *ret, struct err *e) {
    struct doc_at kdf;
    struct doc_at sealed;
    const char *name = NULL;
    if (doc_object(top, "kdf", &kdf, e) < 0 || doc_string(&kdf, "name", 64, &name, e) < 0)
        return -1;
    ret->info.sealed = strcmp(name, "none") != 0;
    if (!ret->info.sealed)
        return 0;
    if (strcmp(name, "argon2id") != 0)
        return err_set(e, &err_syntax, "%s.name: \"argon2id\" and \"none\" are known", kdf.path);
    if (doc_u64(&kdf, "ops", 0, UINT32_MAX, &ret->kdf.ops, e) < 0 ||
        doc_u64(&kdf, "mem_bytes", 0, UINT32_MAX, &ret->kdf.mem_bytes, e) < 0 ||
        read_hex(&kdf, "salt", ret->salt, SALT_BYTES, e) < 0 || check_kdf(&ret->kdf, e) < 0 ||
        doc_object(top, "sealed", &sealed, e) < 0 ||
        read_hex(&sealed, "nonce", ret->nonce, NONCE_BYTES, e) < 0)
        return -1;
    return read_hex(&sealed, "box", ret->box, BOX_BYTES, e);
}

static int read_content(struct slice text, const char *path, struct content *ret, struct err *e) {
    static const char *const known[] = {"_type", "format", "name", "keyid", "public",
                                        "kdf",   "sealed", "seed", NULL};
    OWN(json) json_t *document = NULL;
    struct doc_at top;
    if (doc_parse(text, path, &keyfile_limits, &document, e) < 0 ||
        doc_root(document, path, &top, e) < 0 || read_head(&top, e) < 0 ||
        doc_no_unknown(&top, known, e) < 0 || read_public(&top, &ret->info, e) < 0 ||
        read_kdf(&top, ret, e) < 0)
        return -1;
    bool seed = json_object_get(document, "seed") != NULL;
    if (seed == ret->info.sealed)
        return err_set(e, &err_syntax,
                       "%s: a sealed key has \"sealed\", one that is not has \"seed\"", path);
    (void)json_object_del(document, "sealed");
    (void)json_object_del(document, "seed");
    ret->clear = own_take(&document);
    return 0;
}

// The file in guarded memory, its content, and where an unsealed seed stands in it.
static int load(int dir, const char *path, struct keys_secret **ret_file, struct content *ret,
                size_t *ret_seed, struct err *e) {
    OWN(secret) struct keys_secret *file = NULL;
    OWN(buf) struct buf text;
    buf_init(&text, SIGN_KEYFILE_MAX_BYTES);
    if (keys_secret_read(dir, path, SIGN_KEYFILE_MAX_BYTES, 0, &file, e) < 0 ||
        blot(file, &text, ret_seed, e) < 0 || read_content(buf_slice(&text), path, ret, e) < 0)
        return -1;
    *ret_file = own_take(&file);
    return 0;
}

int sign_keyfile_info(int dir, const char *path, struct sign_keyfile_info *ret, struct err *e) {
    OWN(content) struct content content = {.clear = NULL};
    OWN(secret) struct keys_secret *file = NULL;
    size_t seed_at = 0;
    if (load(dir, path, &file, &content, &seed_at, e) < 0)
        return -1;
    *ret = content.info;
    return 0;
}

static int take_unsealed(const struct keys_secret *file, size_t at, const char *path,
                         struct keys_secret **ret, struct err *e) {
    const size_t digits = 2 * KEYS_ED25519_SEED_BYTES;
    const uint8_t *text = keys_secret_data(file);
    size_t len = keys_secret_len(file);
    uint8_t seed[KEYS_ED25519_SEED_BYTES];
    size_t got = 0;
    bool fits = at < len && len - at > digits && text[at + digits] == '"';
    if (!fits ||
        sodium_hex2bin(seed, sizeof seed, (const char *)text + at, digits, NULL, &got, NULL) < 0 ||
        got != sizeof seed) {
        sodium_memzero(seed, sizeof seed);
        return err_set(e, &err_syntax, "%s: seed: %zu hex digits are expected", path, digits);
    }
    return keys_secret_take(seed, sizeof seed, ret, e);
}

int sign_keyfile_open(int dir, const char *path, const struct keys_secret *passphrase,
                      struct keys_secret **ret_seed, struct keys_pub *ret_pub, struct err *e) {
    OWN(content) struct content content = {.clear = NULL};
    OWN(secret) struct keys_secret *file = NULL;
    OWN(secret) struct keys_secret *seed = NULL;
    size_t seed_at = 0;
    if (load(dir, path, &file, &content, &seed_at, e) < 0)
        return -1;
    if (content.info.sealed && !passphrase)
        return err_set(e, &err_bad_passphrase, "%s is sealed: a passphrase is needed", path);
    int failed = content.info.sealed ? unseal(&content, passphrase, &seed, e)
                                     : take_unsealed(file, seed_at, path, &seed, e);
    if (failed)
        return -1;
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    if (keys_secret_public(seed, public, e) < 0)
        return -1;
    if (memcmp(public, content.info.pub.ed25519, sizeof public) != 0)
        return err_set(e, &err_bad_key,
                       "%s: the secret key is not that of the public key beside it", path);
    *ret_seed = own_take(&seed);
    *ret_pub = content.info.pub;
    return 0;
}

int sign_keyfile_read_pub(int dir, const char *path, struct keys_pub *ret, struct err *e) {
    OWN(buf) struct buf text;
    OWN(json) json_t *document = NULL;
    struct doc_at top;
    buf_init(&text, SIGN_KEYFILE_MAX_BYTES);
    if (fs_read_file(dir, path, SIGN_KEYFILE_MAX_BYTES, &text, e) < 0 ||
        doc_parse(buf_slice(&text), path, &keyfile_limits, &document, e) < 0 ||
        doc_root(document, path, &top, e) < 0)
        return -1;
    return keys_pub_parse(&top, ret, e);
}
