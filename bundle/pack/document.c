// SPDX-License-Identifier: Apache-2.0
//
// Manifests, made. The same rules that readers apply are applied to what was made here, so a
// builder cannot produce what a device refuses.
#include "bundle/pack/document.h"

#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "keys/canon.h"

static json_t *digest_value(const struct keys_digest *digest) {
    char hex[KEYS_DIGEST_HEX];
    return json_string(keys_digest_hex(digest, hex));
}

static json_t *integer(uint64_t value) {
    return json_integer((json_int_t)value);
}

// Puts a new member; false when memory is out, as for a value that could not be made.
static bool put(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

// Puts a borrowed member when there is one.
static bool put_borrowed(json_t *object, const char *key, const json_t *value) {
    return !value || put(object, key, json_deep_copy(value));
}

static json_t *format_component(const struct bundle_component *c, const json_t *model) {
    json_t *object = json_object(), *content = json_object();
    bool files = c->type == BUNDLE_COMPONENT_FILES;
    bool good = put(content, "digest", digest_value(&c->digest)) &&
                put(content, "size", integer(c->size)) &&
                (!c->has_blocks || put(content, "blocks", digest_value(&c->blocks)));
    good = put(object, files ? "tree" : "content", content) && good;
    good = good && put(object, "name", json_string(c->name)) &&
           put(object, "security_version", integer(c->security_version)) &&
           put(object, "type", json_string(files ? "files" : "image")) &&
           put_borrowed(object, "model", model);
    if (good && files)
        good = put(object, "entries", integer(c->entries)) &&
               put(object, "executable", json_boolean(c->executable)) &&
               put(object, "stream_bytes", integer(c->stream_bytes));
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *format_components(const struct pack_build *how,
                                 const struct bundle_component *components) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < how->n_components; i++)
        if (json_array_append_new(array,
                                  format_component(&components[i], how->components[i].model)) < 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

static json_t *format_packing(const struct bundle_packing *p) {
    json_t *object = json_object(), *index = json_object();
    bool good = put(index, "digest", digest_value(&p->index_digest)) &&
                put(index, "head_bytes", integer(p->index_head_bytes)) &&
                put(index, "size", integer(p->index_bytes));
    good = put(object, "index", index) && good;
    if (good && put(object, "data_bytes", integer(p->data_bytes)) &&
        put(object, "frame_bytes", integer(p->frame_bytes)))
        return object;
    json_decref(object);
    return NULL;
}

static bool put_header(json_t *root, const struct pack_build *how) {
    char issued[CHRONO_TEXT_BYTES], expires[CHRONO_TEXT_BYTES];
    return put(root, "_type", json_string("bundle")) &&
           put(root, "spec_version", json_string(KEYS_SPEC_VERSION)) &&
           put(root, "version", integer(how->version)) &&
           put(root, "issued", json_string(chrono_format(how->issued_s, issued))) &&
           put(root, "expires", json_string(chrono_format(how->expires_s, expires)));
}

static bool put_text(json_t *root, const char *key, const char *text) {
    return !text || !*text || put(root, key, json_string(text));
}

int pack_document_format(const struct pack_build *how, const struct bundle_component *components,
                         const struct bundle_packing *packing, struct buf *ret, struct err *e) {
    OWN(json) json_t *root = json_object();
    struct buf text;
    if (!root || !put_header(root, how) || !put(root, "name", json_string(how->name)) ||
        !put(root, "release", json_string(how->release)) ||
        !put_text(root, "variant", how->variant) || !put_text(root, "requires", how->requires) ||
        !put(root, "components", format_components(how, components)) ||
        !put(root, "packing", format_packing(packing)) ||
        !put_borrowed(root, "probes", how->probes) || !put_borrowed(root, "floors", how->floors) ||
        !put_borrowed(root, "probation", how->probation))
        return err_set(e, &err_bad_manifest,
                       "a name or text of the bundle is not UTF-8, or memory is out");
    buf_init(&text, BUNDLE_MANIFEST_MAX_BYTES);
    int r = keys_canon_format(root, &text, e);
    if (r == 0)
        r = bundle_manifest_check(buf_slice(&text), e);
    if (r == 0)
        r = buf_add(ret, text.data, text.len, e);
    buf_clear(&text);
    return r;
}

int pack_document_pad(struct buf *b, uint64_t member_bytes, struct err *e) {
    uint64_t wanted = member_bytes;
    if (wanted == 0) {
        wanted = b->len + BUNDLE_MANIFEST_ROOM_BYTES + BUNDLE_MANIFEST_ALIGN - 1;
        wanted -= wanted % BUNDLE_MANIFEST_ALIGN;
    }
    if (wanted > BUNDLE_MANIFEST_MAX_BYTES)
        return err_set(e, &err_limit,
                       "the manifest with its signatures needs %llu bytes, at most %d are "
                       "allowed: fewer probes, or less about the model",
                       (unsigned long long)wanted, BUNDLE_MANIFEST_MAX_BYTES);
    if (wanted < b->len)
        return err_set(e, &err_internal, "the manifest outgrew its place");
    size_t n = (size_t)wanted - b->len;
    uint8_t *to = NULL;
    if (n > 0 && buf_reserve(b, n, &to, e) < 0)
        return -1;
    if (n > 0) {
        memset(to, ' ', n);
        buf_commit(b, n);
    }
    return 0;
}

int pack_document_seal(const struct pack_build *how, struct slice signed_part,
                       uint64_t member_bytes, struct buf *ret, struct err *e) {
    if (sign_signer_envelope(signed_part, how->signers, how->n_signers, ret, e) < 0)
        return -1;
    return pack_document_pad(ret, member_bytes, e);
}
