// SPDX-License-Identifier: Apache-2.0
//
// Metadata of others: the input is a signed part, which this target signs itself, because no fuzzer
// can, and an envelope as it stands. Whatever is believed must be readable to its last member, and
// nothing is believed without the signature.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "keys/tuf/client.h"
#include "keys/tuf/hashes.h"
#include "tests/unit/keys/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX    (256 * 1024)
#define ENVELOPE_MAX (INPUT_MAX + 1024)

// A role of key 1, as a delegator would write it.
static struct tuf_role role_of_one(struct tuf_json *json) {
    struct err e = ERR_NONE;
    struct keys_pub pub = keyring_pub(1);
    char hex[2 * KEYS_ED25519_PUBLIC_BYTES + 1];
    char text[1024];
    struct tuf_role role;
    struct tuf_json_at keys;
    text_hex(pub.ed25519, sizeof pub.ed25519, hex);
    (void)snprintf(text, sizeof text,
                   "{\"keys\":{\"%s\":{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{"
                   "\"public\":\"%s\"}}},\"keyids\":[\"%s\"],\"threshold\":1}",
                   pub.id, hex, pub.id);
    keyring_must(tuf_json_parse((struct slice){(const uint8_t *)text, strlen(text)}, sizeof text,
                                "role", json, &e),
                 &e);
    if (!tuf_json_find(tuf_json_root(json), "keys", &keys))
        abort();
    keyring_must(tuf_role_read(keys, tuf_json_root(json), "role", &role, &e), &e);
    return role;
}

// The envelope of the input by key 1; -1 when the input is no object.
static int wrap(struct slice input, struct buf *ret, struct err *e) {
    OWN(tuf_json) struct tuf_json json = TUF_JSON_NONE;
    OWN(buf) struct buf text;
    struct keys_envelope_signature signature;
    char hex[2 * KEYS_ED25519_SIGNATURE_BYTES + 1];
    buf_init(&text, INPUT_MAX);
    if (tuf_json_parse(input, INPUT_MAX, "input", &json, e) < 0 ||
        tuf_json_canonical(tuf_json_root(&json), &text, e) < 0)
        return -1;
    keyring_sign(1, buf_slice(&text), &signature);
    text_hex(signature.sig, sizeof signature.sig, hex);
    if (buf_add_format(ret, e, "{\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"%s\"}],\"signed\":",
                       signature.keyid, hex) < 0 ||
        buf_add(ret, input.data, input.len, e) < 0)
        return -1;
    return buf_add_text(ret, "}", e);
}

static int read_meta(void *context, const char *file, const struct tuf_meta *meta) {
    const struct tuf_metadata *m = context;
    struct tuf_meta again;
    if (meta->version == 0 || !tuf_metadata_meta(m, file, &again) || again.version != meta->version)
        abort();
    struct err e = ERR_NONE;
    if (meta->has_hashes)
        (void)tuf_hashes_check(meta->hashes, (struct slice){NULL, 0}, file, &e);
    return 0;
}

static void read_targets(const struct tuf_metadata *m) {
    struct tuf_json_at at;
    size_t n = tuf_delegation_count(m);
    if (n > TUF_DELEGATIONS_MAX)
        abort();
    (void)tuf_metadata_target(m, "a/b.json", &at);
    for (size_t i = 0; i < n; i++) {
        struct tuf_delegation d;
        tuf_delegation_get(m, i, &d);
        if (*d.name == '\0' || d.role.threshold == 0)
            abort();
        (void)tuf_delegation_matches(&d, "a/b.json");
        (void)tuf_delegation_matches(&d, "detector/1.0/0123456789abcdef.json");
        (void)tuf_delegation_allows_component(&d, "detector");
        (void)tuf_delegation_allows_executable(&d);
    }
}

static void read_all(struct tuf_metadata *m, enum tuf_type type) {
    if (tuf_metadata_version(m) == 0 || tuf_metadata_expires_s(m) < 0 ||
        tuf_metadata_issued_s(m) < 0)
        abort();
    if (type == TUF_TARGETS)
        read_targets(m);
    else if (type != TUF_ROOT)
        (void)tuf_metadata_each_meta(m, read_meta, m);
    for (size_t i = 0; type == TUF_ROOT && i < TUF_TYPES; i++)
        if (tuf_metadata_role(m, (enum tuf_type)i).threshold == 0 ||
            !tuf_metadata_same_role(m, m, (enum tuf_type)i))
            abort();
}

static void attempt(struct slice envelope, const struct tuf_role *role, bool is_signed) {
    for (size_t i = 0; i < TUF_TYPES; i++) {
        OWN(tuf_metadata) struct tuf_metadata *m = NULL;
        struct tuf_metadata_candidate *candidate = NULL;
        struct err e = ERR_NONE;
        if (tuf_metadata_parse(envelope, (enum tuf_type)i, "input", &candidate, &e) < 0 ||
            tuf_metadata_verify(&candidate, role, NULL, &m, &e) < 0)
            continue;
        if (!is_signed)
            abort();
        read_all(m, (enum tuf_type)i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tuf_json json; // once, and never freed
    static struct tuf_role role;
    OWN(buf) struct buf envelope;
    struct err e = ERR_NONE;
    const struct slice input = {data, size};
    if (size > INPUT_MAX)
        return 0;
    if (role.threshold == 0)
        role = role_of_one(&json);
    buf_init(&envelope, ENVELOPE_MAX);
    attempt(input, &role, false);
    if (wrap(input, &envelope, &e) == 0)
        attempt(buf_slice(&envelope), &role, true);
    return 0;
}
