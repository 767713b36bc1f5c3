// SPDX-License-Identifier: Apache-2.0
//
// Enrolment, what its signature covers, and the protocol versions.
#include "bundle/checkin.h"

#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/message.h"

// What a device or a controller sends: at most so big, and no floating point.
const struct doc_limits bundle_checkin_limits = {
    .bytes = BUNDLE_MESSAGE_MAX_BYTES, .depth = 8, .values = 32768};

#define MEMBER(key, type, need, field) BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_enroll, field)

static const struct bundle_message_member protocol_members[] = {
    MEMBER("max", U64, REQUIRED, protocol_max),
    MEMBER("min", U64, REQUIRED, protocol_min),
    {.key = NULL},
};

static const struct bundle_message_member members[] = {
    MEMBER("challenge", HEX, REQUIRED, challenge),
    MEMBER("device", NAME, REQUIRED, device),
    MEMBER("enroll_token", LINE, OPTIONAL, enroll_token),
    BUNDLE_MESSAGE_MEMBERS("protocol", REQUIRED, protocol_members, BUNDLE_MESSAGE_NO_FLAG),
    {.key = NULL},
};

#define SIGNATURE_HEX (2 * KEYS_ED25519_SIGNATURE_BYTES)

int bundle_checkin_protocol(uint64_t min, uint64_t max, uint64_t *ret, struct err *e) {
    uint64_t common = max < BUNDLE_PROTOCOL_MAX ? max : BUNDLE_PROTOCOL_MAX;
    if (min > max || common < min || common < BUNDLE_PROTOCOL_MIN)
        return err_set(
            e, &err_protocol_range,
            "the other side speaks protocols %llu to %llu, this one %d to %d; update the "
            "older of the two",
            (unsigned long long)min, (unsigned long long)max, BUNDLE_PROTOCOL_MIN,
            BUNDLE_PROTOCOL_MAX);
    *ret = common;
    return 0;
}

int bundle_checkin_signed_text(const char *context, const char *challenge, const char *device,
                               struct buf *ret, struct err *e) {
    // The context ends with a newline, and neither hex nor a device id holds one.
    return buf_add_format(ret, e, "%s%s\n%s", context, challenge, device);
}

static int read_key(const struct doc_at *at, struct bundle_enroll *ret, struct err *e) {
    struct doc_at key;
    const char *signature = NULL;
    struct err cause = ERR_NONE;
    if (doc_object(at, "key", &key, &cause) < 0 || keys_pub_parse(&key, &ret->key, &cause) < 0 ||
        doc_string(at, "signature", SIGNATURE_HEX, &signature, &cause) < 0 ||
        text_unhex(signature, ret->signature, sizeof ret->signature, "enroll: signature", &cause) <
            0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    return 0;
}

static int read_facts(const struct doc_at *at, struct bundle_enroll *ret, struct err *e) {
    struct doc_at facts;
    struct err cause = ERR_NONE;
    if (doc_object(at, "facts", &facts, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    OWN(facts) struct bundle_facts *checked = NULL;
    if (bundle_facts_parse(facts.value, &checked, e) < 0)
        return err_prefix(e, "enroll");
    ret->facts = facts.value;
    return 0;
}

int bundle_checkin_parse_enroll(json_t *document, struct bundle_enroll *ret, struct err *e) {
    struct doc_at at;
    struct err cause = ERR_NONE;
    struct bundle_enroll enroll;
    memset(&enroll, 0, sizeof enroll);
    if (doc_root(document, "enroll", &at, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (bundle_message_read(&at, members, &enroll, e) < 0 || read_key(&at, &enroll, e) < 0 ||
        read_facts(&at, &enroll, e) < 0)
        return -1;
    *ret = enroll;
    return 0;
}

int bundle_checkin_format_enroll(const struct bundle_enroll *m, struct buf *ret, struct err *e) {
    char signature[SIGNATURE_HEX + 1];
    text_hex(m->signature, sizeof m->signature, signature);
    OWN(json) json_t *object = json_object();
    OWN(json) json_t *key = NULL;
    if (keys_pub_format(&m->key, &key, e) < 0)
        return -1;
    // The object takes a reference of its own; the facts themselves are not changed.
    json_t *facts = (json_t *)(uintptr_t)m->facts;
    if (!object || json_object_set(object, "key", key) < 0 ||
        json_object_set_new(object, "signature", json_string(signature)) < 0 ||
        json_object_set(object, "facts", facts) < 0)
        return err_set(e, &err_memory, "writing an enrolment: out of memory");
    if (bundle_message_write(object, members, m, e) < 0)
        return -1;
    return bundle_message_dump(object, ret, e);
}
