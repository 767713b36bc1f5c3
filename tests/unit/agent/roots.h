// SPDX-License-Identifier: Apache-2.0
//
// Roots, incoming files and verdicts for a device of device.h.
#pragma once

#include "agent/trust/adopt.h"
#include "tests/unit/agent/device.h"

#define ROOTS_ISSUED_S 1780000000LL

// A root of that version and date whose role `other` (KEYS_ROOT_ROLES: none) has key 7 and not key
// 0. Signed by key 0.
static inline void roots_make_at(uint64_t version, int64_t issued_s, enum keys_root_role other,
                                 struct buf *ret) {
    struct err e = ERR_NONE;
    struct keys_role roles[KEYS_ROOT_ROLES];
    struct keys_header header = {version, issued_s, FORGE_EXPIRES_S};
    struct buf part;
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    if (other != KEYS_ROOT_ROLE_MANDATE)
        roles[KEYS_ROOT_ROLE_MANDATE].n_keys = 0;
    if (other != KEYS_ROOT_ROLES)
        keys_secret_free(forge_key(7, &roles[other].keys[0]));
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(ret, KEYS_ROOT_MAX_BYTES);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), ret);
    buf_clear(&part);
}

static inline void roots_make(uint64_t version, enum keys_root_role other, struct buf *ret) {
    roots_make_at(version, ROOTS_ISSUED_S + (int64_t)version, other, ret);
}

static inline void roots_provision(struct device *d, uint64_t version, enum keys_root_role other) {
    struct buf raw;
    roots_make(version, other, &raw);
    device_write(d, "root.json", raw.data, raw.len);
    buf_clear(&raw);
}

static inline uint64_t roots_version(const struct device *d) {
    return keys_root_header(d->state.root)->version;
}

// A verdict in the making, over a directory with what it names.
struct judged {
    int incoming;
    json_t *steps;
    json_t *all;
};

static inline void judged_begin(struct device *d, struct judged *j) {
    struct err e = ERR_NONE;
    j->steps = json_array();
    j->all = json_object();
    cr_assert_eq(
        trust_store_open_incoming(d->state.private_dir, (uid_t)-1, (gid_t)-1, &j->incoming, &e), 0,
        "%s", e.text);
}

static inline void judged_file(struct judged *j, const char *from, const char *to,
                               struct slice bytes) {
    struct err e = ERR_NONE;
    struct keys_digest digest;
    char hex[KEYS_DIGEST_HEX];
    keys_digest_of(bytes.data, bytes.len, &digest);
    cr_assert_eq(fs_replace(j->incoming, from, bytes.data, bytes.len, 0644, &e), 0, "%s", e.text);
    json_array_append_new(j->steps,
                          json_pack("{ss sI ss ss}", "blake2b-256", keys_digest_hex(&digest, hex),
                                    "bytes", (json_int_t)bytes.len, "from", from, "to", to));
}

static inline void judged_text(struct judged *j, const char *from, const char *to,
                               const char *text) {
    judged_file(j, from, to, (struct slice){(const uint8_t *)text, strlen(text)});
}

static inline void judged_root(struct judged *j, uint64_t version, enum keys_root_role other) {
    struct buf raw;
    char name[32];
    roots_make(version, other, &raw);
    (void)snprintf(name, sizeof name, "%" PRIu64 ".root.json", version);
    judged_file(j, name, "root.json", buf_slice(&raw));
    buf_clear(&raw);
}

static inline void judged_role(struct judged *j, const char *name, int version, int64_t issued_s,
                               int64_t expires_s) {
    json_object_set_new(j->all, name,
                        json_pack("{si sI sI}", "version", version, "issued", (json_int_t)issued_s,
                                  "expires", (json_int_t)expires_s));
}

static inline void judged_verdict(struct judged *j, struct trust_verdict *ret) {
    struct err e = ERR_NONE;
    json_object_set(j->all, "steps", j->steps);
    char *text = json_dumps(j->all, 0);
    cr_assert_eq(trust_verdict_parse((struct slice){(const uint8_t *)text, strlen(text)}, ret, &e),
                 0, "%s", e.text);
    free(text);
}

static inline void judged_end(struct judged *j) {
    json_decref(j->steps);
    json_decref(j->all);
    own_drop_fd(&j->incoming);
}

// The text of a file below private/tuf, "" when it is not there. Borrowed until the next call.
static inline const char *trusted_text(const struct device *d, const char *name) {
    static struct buf text;
    struct stat status;
    struct err e = ERR_NONE;
    buf_clear(&text);
    buf_init(&text, KEYS_ROOT_MAX_BYTES);
    if (fs_stat(d->state.trust.dir, name, &status, &e) != 0)
        return "";
    cr_assert_eq(fs_read_file(d->state.trust.dir, name, KEYS_ROOT_MAX_BYTES, &text, &e), 0, "%s",
                 e.text);
    return buf_text(&text);
}
