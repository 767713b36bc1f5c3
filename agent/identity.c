// SPDX-License-Identifier: Apache-2.0
//
// See identity.h.
#include "agent/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/message.h"

#define KEY_FILE       "device.key"
#define IDENTITY_FILE  "identity"
#define IDENTITY_BYTES 4096
#define ID_DIGITS      16

static int open_key(int private_dir, struct agent_identity *ret, struct err *e) {
    struct stat status;
    uint8_t pub[KEYS_ED25519_PUBLIC_BYTES];
    int found = fs_stat(private_dir, KEY_FILE, &status, e);
    if (found < 0)
        return -1;
    if (found == 0) {
        if (keys_secret_read(private_dir, KEY_FILE, KEYS_ED25519_SEED_BYTES, 0, &ret->key, e) < 0)
            return -1;
        if (keys_secret_len(ret->key) != KEYS_ED25519_SEED_BYTES)
            return err_set(
                e, &err_io,
                "%s does not have %d bytes: restore it, or remove private/ to become a new "
                "device",
                KEY_FILE, KEYS_ED25519_SEED_BYTES);
    } else if (keys_secret_random(KEYS_ED25519_SEED_BYTES, &ret->key, e) < 0 ||
               fs_replace(private_dir, KEY_FILE, keys_secret_data(ret->key),
                          KEYS_ED25519_SEED_BYTES, 0600, e) < 0)
        return -1;
    if (keys_secret_public(ret->key, pub, e) < 0)
        return -1;
    return keys_pub_from_bytes(pub, &ret->pub, e);
}

static int take_text(const struct doc_at *at, const char *key, char *to, size_t to_bytes,
                     struct err *e) {
    const char *text;
    int found = doc_string_opt(at, key, to_bytes - 1, &text, e);
    if (found == 0)
        memcpy(to, text, strlen(text) + 1);
    return found;
}

static int read_identity(int private_dir, struct agent_identity *ret, struct err *e) {
    static const struct doc_limits limits = {.bytes = IDENTITY_BYTES, .depth = 2, .values = 16};
    OWN(buf) struct buf text;
    OWN(json) json_t *document = NULL;
    struct doc_at at;
    struct stat status;
    buf_init(&text, limits.bytes);
    int found = fs_stat(private_dir, IDENTITY_FILE, &status, e);
    if (found != 0)
        return found;
    if (fs_read_file(private_dir, IDENTITY_FILE, limits.bytes, &text, e) < 0 ||
        doc_parse((struct slice){.data = text.data, .len = text.len}, IDENTITY_FILE, &limits,
                  &document, e) < 0 ||
        doc_root(document, IDENTITY_FILE, &at, e) < 0 ||
        take_text(&at, "device", ret->device, sizeof ret->device, e) < 0 ||
        take_text(&at, "nonce", ret->nonce, sizeof ret->nonce, e) < 0 ||
        take_text(&at, "state", ret->state, sizeof ret->state, e) < 0)
        return -1;
    return 0;
}

int agent_identity_open(int private_dir, const char *wish, struct agent_identity *ret,
                        struct err *e) {
    struct agent_identity identity = {.state = "unknown"};
    struct err soft = ERR_NONE;
    if (open_key(private_dir, &identity, e) < 0) {
        agent_identity_clear(&identity);
        return err_prefix(e, "opening the device's key");
    }
    // A damaged file costs the nonce, not the device: the key says who it is.
    (void)read_identity(private_dir, &identity, &soft);
    if (strcmp(identity.state, "accepted") != 0 && strcmp(identity.state, "pending") != 0)
        snprintf(identity.device, sizeof identity.device, "%s", wish);
    if (identity.device[0] == '\0')
        snprintf(identity.device, sizeof identity.device, "d-%.*s", ID_DIGITS, identity.pub.id);
    *ret = identity;
    return 0;
}

void agent_identity_clear(struct agent_identity *identity) {
    keys_secret_free(identity->key);
    identity->key = NULL;
}

int agent_identity_save(int private_dir, const struct agent_identity *identity, struct err *e) {
    OWN(json)
    json_t *document = json_pack("{ss ss ss}", "device", identity->device, "nonce", identity->nonce,
                                 "state", identity->state);
    OWN(buf) struct buf text;
    buf_init(&text, IDENTITY_BYTES);
    if (!document)
        return err_set(e, &err_memory, "writing the device's identity: out of memory");
    if (bundle_message_dump(document, &text, e) < 0)
        return -1;
    return fs_replace(private_dir, IDENTITY_FILE, text.data, text.len, 0600, e);
}

int agent_identity_sign(const struct agent_identity *identity, const char *context,
                        const char *challenge, const char *device,
                        uint8_t ret[static KEYS_ED25519_SIGNATURE_BYTES], struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, 512);
    if (bundle_checkin_signed_text(context, challenge, device, &text, e) < 0)
        return -1;
    return keys_secret_sign(identity->key, (struct slice){.data = text.data, .len = text.len}, ret,
                            e);
}
