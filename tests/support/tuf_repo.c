// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tuf_repo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "keys/digest.h"
#include "keys/pub.h"
#include "keys/secret.h"

#define BYTES_MAX (16 * 1024 * 1024)

static void must(bool held, const char *what) {
    if (held)
        return;
    (void)fprintf(stderr, "tuf_repo: %s\n", what);
    abort();
}

static void done(int failed, const struct err *e) {
    must(failed == 0, e->text);
}

// ── Keys and signatures ────────────────────────────────────────────────────────────────────────

static struct keys_secret *seed_of(unsigned n) {
    struct err e = ERR_NONE;
    uint8_t bytes[KEYS_ED25519_SEED_BYTES];
    struct keys_secret *seed = NULL;
    memset(bytes, (int)n, sizeof bytes);
    done(keys_secret_init(&e), &e);
    done(keys_secret_take(bytes, sizeof bytes, &seed, &e), &e);
    return seed;
}

static struct keys_pub pub_of(const struct keys_secret *seed) {
    struct err e = ERR_NONE;
    uint8_t public[KEYS_ED25519_PUBLIC_BYTES];
    struct keys_pub pub;
    done(keys_secret_public(seed, public, &e), &e);
    done(keys_pub_from_bytes(public, &pub, &e), &e);
    return pub;
}

const char *tuf_repo_add_key(json_t *keys, unsigned key) {
    struct err e = ERR_NONE;
    OWN(secret) struct keys_secret *seed = seed_of(key);
    struct keys_pub pub = pub_of(seed);
    json_t *object = NULL;
    done(keys_pub_format(&pub, &object, &e), &e);
    must(json_object_set_new(keys, pub.id, object) == 0, "a key");
    const char *id = NULL;
    json_t *value = NULL;
    json_object_foreach (keys, id, value)
        if (strcmp(id, pub.id) == 0)
            break;
    return id;
}

static json_t *sign_one(unsigned key, struct slice message) {
    struct err e = ERR_NONE;
    OWN(secret) struct keys_secret *seed = seed_of(key);
    uint8_t sig[KEYS_ED25519_SIGNATURE_BYTES];
    char hex[2 * sizeof sig + 1];
    done(keys_secret_sign(seed, message, sig, &e), &e);
    text_hex(sig, sizeof sig, hex);
    return json_pack("{s:s,s:s}", "keyid", pub_of(seed).id, "sig", hex);
}

// Canonical JSON of compact, sorted JSON, in place: only `"` and `\\` stay escaped. Another way to
// it than the one under test.
static void make_canonical(char *text) {
    static const char letters[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        const char *letter = at[0] == '\\' ? strchr(letters, at[1]) : NULL;
        if (letter) {
            *to++ = meant[letter - letters];
            at++;
        } else if (at[0] == '\\' && at[1] == 'u') {
            const char digits[] = {at[4], at[5], '\0'}; // \u00XX: jansson escapes nothing else
            *to++ = (char)strtol(digits, NULL, 16);
            at += 5;
        } else {
            if (at[0] == '\\')
                *to++ = *at++;
            *to++ = *at;
        }
    }
    *to = '\0';
}

void tuf_repo_sign(const json_t *part, const json_t *keys, struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(mem) char *text = json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    must(text, "a signed part");
    OWN(mem) char *message = strdup(text);
    must(message, "a signed part");
    make_canonical(message);
    OWN(json) json_t *signatures = json_array();
    for (size_t i = 0; i < json_array_size(keys); i++)
        (void)json_array_append_new(
            signatures, sign_one((unsigned)json_integer_value(json_array_get(keys, i)),
                                 (struct slice){(const uint8_t *)message, strlen(message)}));
    OWN(mem) char *list = json_dumps(signatures, JSON_COMPACT);
    buf_clear(ret);
    done(buf_add_format(ret, &e, "{\"signatures\":%s,\"signed\":", list), &e);
    done(buf_add_text(ret, text, &e), &e);
    done(buf_add_text(ret, "}", &e), &e);
}

// ── Files ──────────────────────────────────────────────────────────────────────────────────────

static struct tuf_repo_file *find_file(const struct tuf_repo_files *files, const char *name) {
    for (size_t i = 0; i < files->n; i++)
        if (strcmp(files->files[i].name, name) == 0)
            return &files->files[i];
    return NULL;
}

struct buf *tuf_repo_bytes(struct tuf_repo_files *files, const char *name) {
    struct tuf_repo_file *file = find_file(files, name);
    return file ? &file->bytes : NULL;
}

static int add_file(struct tuf_repo_files *files, const char *name, struct tuf_repo_file **ret,
                    struct err *e) {
    if (!files->files)
        files->files = calloc(TUF_REPO_FILES_MAX, sizeof *files->files);
    if (!files->files)
        return err_set(e, &err_memory, "the table of files");
    must(files->n < TUF_REPO_FILES_MAX, "too many files");
    must(strlen(name) < TUF_REPO_FILE_NAME_BYTES, "a file's name is too long");
    *ret = &files->files[files->n++];
    (void)snprintf((*ret)->name, sizeof(*ret)->name, "%s", name);
    buf_init(&(*ret)->bytes, BYTES_MAX);
    return 0;
}

// All or nothing, as a file is replaced.
static int put(struct tuf_repo_files *files, const char *name, struct slice bytes, struct err *e) {
    struct buf new;
    struct tuf_repo_file *file = find_file(files, name);
    buf_init(&new, BYTES_MAX);
    if (buf_add(&new, bytes.data, bytes.len, e) < 0)
        return -1;
    if (!file && add_file(files, name, &file, e) < 0) {
        buf_clear(&new);
        return -1;
    }
    buf_clear(&file->bytes);
    file->bytes = new;
    return 0;
}

void tuf_repo_put(struct tuf_repo_files *files, const char *name, struct slice bytes) {
    struct err e = ERR_NONE;
    done(put(files, name, bytes, &e), &e);
}

void tuf_repo_drop(struct tuf_repo_files *files, const char *name) {
    struct tuf_repo_file *file = find_file(files, name);
    if (!file)
        return;
    buf_clear(&file->bytes);
    *file = files->files[--files->n];
}

struct tuf_repo_files tuf_repo_copy_files(const struct tuf_repo_files *files) {
    struct tuf_repo_files copy = {.n = 0};
    for (size_t i = 0; i < files->n; i++)
        tuf_repo_put(&copy, files->files[i].name, buf_slice(&files->files[i].bytes));
    return copy;
}

void tuf_repo_clear_files(struct tuf_repo_files *files) {
    for (size_t i = 0; i < files->n; i++)
        buf_clear(&files->files[i].bytes);
    free(files->files);
    *files = (struct tuf_repo_files){.n = 0};
}

uint64_t tuf_repo_stored(struct tuf_repo *repo, const char *name) {
    const struct buf *bytes = tuf_repo_bytes(&repo->stored, name);
    if (!bytes)
        return 0;
    OWN(json) json_t *envelope = json_loadb((const char *)bytes->data, bytes->len, 0, NULL);
    return (uint64_t)json_integer_value(
        json_object_get(json_object_get(envelope, "signed"), "version"));
}

// ── Roles ──────────────────────────────────────────────────────────────────────────────────────

json_t *tuf_repo_role(struct tuf_repo *repo, const char *name) {
    return json_object_get(repo->parts, name);
}

void tuf_repo_set(struct tuf_repo *repo, const char *name, const char *member, json_t *value) {
    must(json_object_set_new(tuf_repo_role(repo, name), member, value) == 0, name);
}

uint64_t tuf_repo_version(struct tuf_repo *repo, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(tuf_repo_role(repo, name), "version"));
}

static unsigned key_number(char digit) {
    return digit >= 'a' ? (unsigned)(digit - 'a') + 10 : (unsigned)(digit - '0');
}

static void add_signer(struct tuf_repo *repo, const char *name, unsigned key) {
    json_t *list = json_object_get(repo->signers, name);
    if (!list) {
        list = json_array();
        must(json_object_set_new(repo->signers, name, list) == 0, name);
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == (json_int_t)key)
            return;
    must(json_array_append_new(list, json_integer((json_int_t)key)) == 0, name);
}

void tuf_repo_set_signers(struct tuf_repo *repo, const char *name, const char *keys) {
    must(json_object_set_new(repo->signers, name, json_array()) == 0, name);
    for (; *keys != '\0'; keys++)
        add_signer(repo, name, key_number(*keys));
}

static json_t *new_part(const char *type) {
    return json_pack("{s:s,s:s,s:i,s:s}", "_type", type, "spec_version", "1.0.31", "version", 0,
                     "expires", TUF_REPO_EXPIRES);
}

static bool is_consistent(struct tuf_repo *repo) {
    return json_is_true(json_object_get(tuf_repo_role(repo, "root"), "consistent_snapshot"));
}

static void name_stored(const char *role, char ret[static TUF_REPO_FILE_NAME_BYTES]) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf name;
    buf_init(&name, TUF_REPO_FILE_NAME_BYTES - 32);
    done(tuf_client_quote(role, &name, &e), &e);
    (void)snprintf(ret, TUF_REPO_FILE_NAME_BYTES, "%s.json", buf_text(&name));
}

static void name_served(struct tuf_repo *repo, const char *role,
                        char ret[static TUF_REPO_FILE_NAME_BYTES]) {
    char name[TUF_REPO_FILE_NAME_BYTES];
    name_stored(role, name);
    bool versioned =
        strcmp(role, "root") == 0 || (strcmp(role, "timestamp") != 0 && is_consistent(repo));
    if (versioned)
        (void)snprintf(ret, TUF_REPO_FILE_NAME_BYTES, "%llu.%.370s",
                       (unsigned long long)tuf_repo_version(repo, role), name);
    else
        (void)snprintf(ret, TUF_REPO_FILE_NAME_BYTES, "%s", name);
}

void tuf_repo_serve(struct tuf_repo *repo, const char *name) {
    char served[TUF_REPO_FILE_NAME_BYTES];
    OWN(buf) struct buf bytes;
    buf_init(&bytes, BYTES_MAX);
    name_served(repo, name, served);
    tuf_repo_sign(tuf_repo_role(repo, name), json_object_get(repo->signers, name), &bytes);
    tuf_repo_put(&repo->served, served, buf_slice(&bytes));
}

static json_t *hashes_of(struct slice bytes) {
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    keys_digest_of(bytes.data, bytes.len, &digest);
    return json_pack("{s:s}", "blake2b-256", keys_digest_hex(&digest, hex));
}

void tuf_repo_name_in(struct tuf_repo *repo, const char *list, const char *name) {
    char served[TUF_REPO_FILE_NAME_BYTES];
    char entry[TUF_REPO_FILE_NAME_BYTES];
    name_served(repo, name, served);
    const struct buf *bytes = tuf_repo_bytes(&repo->served, served);
    must(bytes, served);
    json_t *meta = json_pack("{s:I}", "version", (json_int_t)tuf_repo_version(repo, name));
    if (!repo->without_hashes) {
        (void)json_object_set_new(meta, "length", json_integer((json_int_t)bytes->len));
        (void)json_object_set_new(meta, "hashes", hashes_of(buf_slice(bytes)));
    }
    (void)snprintf(entry, sizeof entry, "%s.json", name);
    must(json_object_set_new(json_object_get(tuf_repo_role(repo, list), "meta"), entry, meta) == 0,
         name);
}

static void serve_next(struct tuf_repo *repo, const char *name) {
    tuf_repo_set(repo, name, "version", json_integer((json_int_t)tuf_repo_version(repo, name) + 1));
    tuf_repo_serve(repo, name);
}

void tuf_repo_publish(struct tuf_repo *repo, const char *name) {
    serve_next(repo, name);
    if (strcmp(name, "root") == 0 || strcmp(name, "timestamp") == 0)
        return;
    if (strcmp(name, "snapshot") != 0) {
        tuf_repo_name_in(repo, "snapshot", name);
        serve_next(repo, "snapshot");
    }
    tuf_repo_name_in(repo, "timestamp", "snapshot");
    serve_next(repo, "timestamp");
}

static bool is_top_level(const char *role) {
    return strcmp(role, "root") == 0 || strcmp(role, "timestamp") == 0 ||
           strcmp(role, "snapshot") == 0 || strcmp(role, "targets") == 0;
}

void tuf_repo_publish_all(struct tuf_repo *repo) {
    const char *name;
    json_t *part;
    json_object_foreach (repo->parts, name, part)
        if (!is_top_level(name))
            tuf_repo_publish(repo, name);
    tuf_repo_publish(repo, "targets");
}

void tuf_repo_trust(struct tuf_repo *repo, const char *role, const char *keys, unsigned threshold) {
    json_t *root = tuf_repo_role(repo, "root");
    json_t *ids = json_array();
    tuf_repo_set_signers(repo, role, keys);
    for (; *keys != '\0'; keys++)
        (void)json_array_append_new(
            ids, json_string(tuf_repo_add_key(json_object_get(root, "keys"), key_number(*keys))));
    must(json_object_set_new(json_object_get(root, "roles"), role,
                             json_pack("{s:o,s:i}", "keyids", ids, "threshold", (int)threshold)) ==
             0,
         role);
}

void tuf_repo_add_target(struct tuf_repo *repo, const char *role, const char *path,
                         struct slice content) {
    json_t *target =
        json_pack("{s:I,s:o}", "length", (json_int_t)content.len, "hashes", hashes_of(content));
    must(json_object_set_new(json_object_get(tuf_repo_role(repo, role), "targets"), path, target) ==
             0,
         path);
}

static json_t *new_targets(void) {
    json_t *part = new_part("targets");
    (void)json_object_set_new(part, "targets", json_object());
    return part;
}

json_t *tuf_repo_delegate(struct tuf_repo *repo, const char *delegator, const char *name,
                          unsigned key, const char *pattern) {
    json_t *part = tuf_repo_role(repo, delegator);
    json_t *delegations = json_object_get(part, "delegations");
    if (!delegations) {
        delegations = json_pack("{s:{},s:[]}", "keys", "roles");
        must(json_object_set_new(part, "delegations", delegations) == 0, name);
    }
    if (!tuf_repo_role(repo, name))
        must(json_object_set_new(repo->parts, name, new_targets()) == 0, name);
    add_signer(repo, name, key);
    json_t *role = json_pack("{s:s,s:[s],s:i,s:b,s:[s]}", "name", name, "keyids",
                             tuf_repo_add_key(json_object_get(delegations, "keys"), key),
                             "threshold", 1, "terminating", 0, "paths", pattern);
    must(json_array_append_new(json_object_get(delegations, "roles"), role) == 0, name);
    return role;
}

// ── The device ─────────────────────────────────────────────────────────────────────────────────

// Whether this operation is the one that fails.
static int stumble(struct tuf_repo *repo, unsigned op, struct err *e) {
    if (!(repo->fail_ops & op) || (repo->has_failed && !repo->for_ever) || repo->fail_at-- > 0)
        return 0;
    repo->fail_at = 0;
    repo->has_failed = true;
    return err_set(e, &err_io, "this operation fails in this test");
}

static int give(struct tuf_repo_files *files, const char *name, struct buf *ret, struct err *e) {
    const struct buf *bytes = tuf_repo_bytes(files, name);
    return bytes ? buf_add(ret, bytes->data, bytes->len, e) : TUF_ABSENT;
}

static int load(void *context, const char *name, size_t max_bytes, struct buf *ret, struct err *e) {
    struct tuf_repo *repo = context;
    must(max_bytes == ret->ceiling, "a ceiling");
    return stumble(repo, TUF_REPO_LOAD, e) < 0 ? -1 : give(&repo->stored, name, ret, e);
}

static int fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                 struct err *e) {
    struct tuf_repo *repo = context;
    struct err ignored = ERR_NONE;
    must(max_bytes == ret->ceiling, "a ceiling");
    (void)buf_add_format(&repo->requests, &ignored, "%s ", name);
    repo->most_bytes = max_bytes > repo->most_bytes ? max_bytes : repo->most_bytes;
    return stumble(repo, TUF_REPO_FETCH, e) < 0 ? -1 : give(&repo->served, name, ret, e);
}

static int store(void *context, const char *name, struct slice bytes, struct err *e) {
    struct tuf_repo *repo = context;
    return stumble(repo, TUF_REPO_STORE, e) < 0 ? -1 : put(&repo->stored, name, bytes, e);
}

static int forget(void *context, const char *name, struct err *e) {
    struct tuf_repo *repo = context;
    if (stumble(repo, TUF_REPO_FORGET, e) < 0)
        return -1;
    tuf_repo_drop(&repo->stored, name);
    return 0;
}

static const struct tuf_client_ops ops = {
    .load = load, .fetch = fetch, .store = store, .forget = forget};

int tuf_repo_open(struct tuf_repo *repo, struct tuf_client **ret, struct err *e) {
    struct tuf_client_options options = repo->options;
    options.now_s = repo->now_s;
    options.timestamp_first = repo->timestamp_first;
    return tuf_client_open(&options, ret, e);
}

int tuf_repo_refresh(struct tuf_repo *repo, struct err *e) {
    OWN(tuf_client) struct tuf_client *client = NULL;
    if (tuf_repo_open(repo, &client, e) < 0)
        return -1;
    return tuf_client_refresh(client, e);
}

int tuf_repo_find(struct tuf_repo *repo, const char *path, struct err *e) {
    OWN(tuf_client) struct tuf_client *client = NULL;
    struct tuf_target target;
    if (tuf_repo_open(repo, &client, e) < 0 || tuf_client_refresh(client, e) < 0)
        return -1;
    return tuf_client_find(client, path, &target, e);
}

// ── The whole ──────────────────────────────────────────────────────────────────────────────────

void tuf_repo_make(struct tuf_repo *ret) {
    *ret = (struct tuf_repo){.parts = json_object(),
                             .signers = json_object(),
                             .now_s = TUF_REPO_NOW_S,
                             .options = {.ops = &ops, .context = ret}};
    buf_init(&ret->requests, BYTES_MAX);
    json_t *root = new_part("root");
    json_t *snapshot = new_part("snapshot");
    json_t *timestamp = new_part("timestamp");
    (void)json_object_update_new(
        root, json_pack("{s:b,s:{},s:{}}", "consistent_snapshot", 1, "keys", "roles"));
    (void)json_object_set_new(snapshot, "meta", json_object());
    (void)json_object_set_new(timestamp, "meta", json_object());
    (void)json_object_set_new(ret->parts, "root", root);
    (void)json_object_set_new(ret->parts, "snapshot", snapshot);
    (void)json_object_set_new(ret->parts, "timestamp", timestamp);
    (void)json_object_set_new(ret->parts, "targets", new_targets());
    tuf_repo_trust(ret, "root", "1", 1);
    tuf_repo_trust(ret, "timestamp", "2", 1);
    tuf_repo_trust(ret, "snapshot", "3", 1);
    tuf_repo_trust(ret, "targets", "4", 1);
    tuf_repo_publish(ret, "root");
    tuf_repo_publish(ret, "targets");
    tuf_repo_put(&ret->stored, "root.json", buf_slice(tuf_repo_bytes(&ret->served, "1.root.json")));
}

void tuf_repo_clear(struct tuf_repo *repo) {
    json_decref(repo->parts);
    json_decref(repo->signers);
    tuf_repo_clear_files(&repo->served);
    tuf_repo_clear_files(&repo->stored);
    buf_clear(&repo->requests);
}
