// SPDX-License-Identifier: Apache-2.0
//
// The record of a generation.
#include "bundle/generation.h"

#include <inttypes.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "keys/canon.h"

#define RECORD_PATH ".edge/generation.json"
// That of records without images, and that of those with them.
enum { FORMAT_FILES = 1, FORMAT_IMAGES = 2 };

static const struct doc_limits limits = {
    .bytes = BUNDLE_GENERATION_RECORD_MAX_BYTES, .depth = 4, .values = 256, .floats = false};

static int read_text(const struct doc_at *at, const char *key, size_t max, char *ret,
                     struct err *e) {
    const char *text = NULL;
    if (doc_string(at, key, max, &text, e) < 0)
        return -1;
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static int read_digest(const struct doc_at *at, const char *key, struct keys_digest *ret,
                       struct err *e) {
    const char *hex = NULL;
    if (doc_string(at, key, KEYS_DIGEST_HEX - 1, &hex, e) < 0)
        return -1;
    return keys_digest_parse(hex, key, ret, e);
}

// An image has both members, a component of files has neither.
static int read_image(const struct doc_at *at, struct bundle_generation_component *c,
                      struct err *e) {
    uint64_t slot = 0;
    if (!json_object_get(at->value, "size") && !json_object_get(at->value, "slot"))
        return 0;
    c->type = BUNDLE_COMPONENT_IMAGE;
    if (doc_u64(at, "size", 0, BUNDLE_STREAM_MAX_BYTES, &c->size, e) < 0 ||
        doc_u64(at, "slot", 0, BUNDLE_IMAGE_SLOTS - 1, &slot, e) < 0)
        return -1;
    c->slot = (unsigned)slot;
    return 0;
}

static int read_component(const struct doc_at *components, const char *name,
                          struct bundle_generation_component *c, struct err *e) {
    static const char *const known[] = {"digest",           "manifest", "name", "release",
                                        "security_version", "size",     "slot", NULL};
    struct doc_at at;
    if (!text_is_name(name, BUNDLE_NAME_MAX))
        return err_set(e, &err_bad_generation, "a component's name is not a name");
    memcpy(c->name, name, strlen(name) + 1);
    if (doc_object(components, name, &at, e) < 0 || doc_no_unknown(&at, known, e) < 0 ||
        read_digest(&at, "digest", &c->digest, e) < 0 ||
        read_digest(&at, "manifest", &c->manifest, e) < 0 ||
        read_text(&at, "name", BUNDLE_NAME_MAX, c->bundle_name, e) < 0 ||
        read_text(&at, "release", BUNDLE_RELEASE_MAX, c->release, e) < 0)
        return -1;
    if (doc_u64(&at, "security_version", 0, BUNDLE_SECURITY_VERSION_MAX, &c->security_version, e) <
        0)
        return -1;
    return read_image(&at, c, e);
}

// Where a name belongs among those before it.
static size_t place_of(const struct bundle_generation *g, const char *name) {
    size_t at = 0;
    while (at < g->n_components && strcmp(g->components[at].name, name) < 0)
        at++;
    return at;
}

// Puts a component in its place; one of the same name is replaced. Kind limit.
static int insert(struct bundle_generation *g, const struct bundle_generation_component *c,
                  struct err *e) {
    size_t at = place_of(g, c->name);
    if (at < g->n_components && strcmp(g->components[at].name, c->name) == 0) {
        g->components[at] = *c;
        return 0;
    }
    if (g->n_components == BUNDLE_COMPONENTS_MAX)
        return err_set(e, &err_limit, "a generation has at most %d components",
                       BUNDLE_COMPONENTS_MAX);
    memmove(&g->components[at + 1], &g->components[at], (g->n_components - at) * sizeof *c);
    g->components[at] = *c;
    g->n_components++;
    return 0;
}

static unsigned format_of(const struct bundle_generation *g) {
    unsigned format = FORMAT_FILES;
    for (size_t i = 0; i < g->n_components; i++)
        if (g->components[i].type == BUNDLE_COMPONENT_IMAGE)
            format = FORMAT_IMAGES;
    return format;
}

static int read_record(const struct doc_at *root, struct bundle_generation *g, struct err *e) {
    static const char *const known[] = {"_type", "components", "format", "number", NULL};
    const char *type = NULL, *name;
    struct doc_at components;
    uint64_t format = 0;
    json_t *value;
    if (doc_no_unknown(root, known, e) < 0 || doc_string(root, "_type", 16, &type, e) < 0 ||
        doc_u64(root, "format", 0, KEYS_VERSION_MAX, &format, e) < 0)
        return -1;
    if (strcmp(type, "generation") != 0)
        return err_set(e, &err_bad_generation, "its type is not \"generation\"");
    if (format != FORMAT_FILES && format != FORMAT_IMAGES)
        return err_set(e, &err_newer_format,
                       "the generation's record has format %" PRIu64 ", this program knows %d",
                       format, FORMAT_IMAGES);
    if (doc_u64(root, "number", 0, KEYS_VERSION_MAX, &g->number, e) < 0 ||
        doc_object(root, "components", &components, e) < 0)
        return -1;
    json_object_foreach (components.value, name, value) {
        struct bundle_generation_component c;
        memset(&c, 0, sizeof c);
        if (read_component(&components, name, &c, e) < 0 || insert(g, &c, e) < 0)
            return -1;
    }
    return format == format_of(g) ? 0
                                  : err_set(e, &err_bad_generation,
                                            "a record has format %d when it has an image, else %d",
                                            FORMAT_IMAGES, FORMAT_FILES);
}

int bundle_generation_parse(struct slice text, struct bundle_generation *ret, struct err *e) {
    OWN(json) json_t *document = NULL;
    struct bundle_generation g;
    struct doc_at root;
    memset(&g, 0, sizeof g);
    if (keys_canon_parse(text, "generation.json", &limits, &document, e) < 0 ||
        doc_root(document, "generation.json", &root, e) < 0 || read_record(&root, &g, e) < 0) {
        if (!err_is(e, &err_memory) && !err_is(e, &err_newer_format))
            e->kind = &err_bad_generation;
        return -1;
    }
    *ret = g;
    return 0;
}

static json_t *component_value(const struct bundle_generation_component *c) {
    char digest[KEYS_DIGEST_HEX], manifest[KEYS_DIGEST_HEX];
    json_t *value =
        json_pack("{s:s,s:s,s:s,s:s,s:I}", "digest", keys_digest_hex(&c->digest, digest),
                  "manifest", keys_digest_hex(&c->manifest, manifest), "name", c->bundle_name,
                  "release", c->release, "security_version", (json_int_t)c->security_version);
    if (value && c->type == BUNDLE_COMPONENT_IMAGE &&
        (json_object_set_new(value, "size", json_integer((json_int_t)c->size)) < 0 ||
         json_object_set_new(value, "slot", json_integer((json_int_t)c->slot)) < 0)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

int bundle_generation_format(const struct bundle_generation *g, struct buf *ret, struct err *e) {
    OWN(json) json_t *components = json_object();
    for (size_t i = 0; i < g->n_components; i++)
        if (json_object_set_new(components, g->components[i].name,
                                component_value(&g->components[i])) < 0)
            return err_set(e, &err_memory, "writing the record of a generation");
    OWN(json)
    json_t *root = json_pack("{s:s,s:O,s:i,s:I}", "_type", "generation", "components", components,
                             "format", (int)format_of(g), "number", (json_int_t)g->number);
    if (!root)
        return err_set(e, &err_memory, "writing the record of a generation");
    return keys_canon_format(root, ret, e);
}

int bundle_generation_read(int generation_dir, struct bundle_generation *ret, struct err *e) {
    struct buf text;
    buf_init(&text, BUNDLE_GENERATION_RECORD_MAX_BYTES);
    int r = fs_read_file(generation_dir, RECORD_PATH, BUNDLE_GENERATION_RECORD_MAX_BYTES, &text, e);
    if (r == 0)
        r = bundle_generation_parse(buf_slice(&text), ret, e);
    else if (err_is(e, &err_not_found) || err_is(e, &err_limit))
        e->kind = &err_bad_generation;
    buf_clear(&text);
    return r;
}

static const struct bundle_generation_component *
image_before(const struct bundle_generation *before, const char *name) {
    const struct bundle_generation_component *c = bundle_generation_component(before, name);
    return c && c->type == BUNDLE_COMPONENT_IMAGE ? c : NULL;
}

static unsigned slot_after(const struct bundle_generation *before,
                           const struct bundle_generation_component *c) {
    const struct bundle_generation_component *old =
        c->type == BUNDLE_COMPONENT_IMAGE ? image_before(before, c->name) : NULL;
    if (!old)
        return 0;
    return old->size == c->size && keys_digest_equal(&old->digest, &c->digest) ? old->slot
                                                                               : 1 - old->slot;
}

bool bundle_generation_moves(const struct bundle_generation *before,
                             const struct bundle_generation_component *after) {
    const struct bundle_generation_component *old = image_before(before, after->name);
    return after->type == BUNDLE_COMPONENT_IMAGE && (!old || old->slot != after->slot);
}

void bundle_generation_leave_slots(struct bundle_generation *after,
                                   const struct bundle_generation *before,
                                   const struct bundle_manifest *manifest) {
    for (size_t i = 0; i < after->n_components; i++) {
        struct bundle_generation_component *c = &after->components[i];
        if (c->type == BUNDLE_COMPONENT_IMAGE && bundle_manifest_component(manifest, c->name) &&
            image_before(before, c->name) && !bundle_generation_moves(before, c))
            c->slot = 1 - c->slot;
    }
}

int bundle_generation_after(const struct bundle_generation *before,
                            const struct bundle_manifest *manifest, uint64_t number,
                            struct bundle_generation *ret, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    struct bundle_generation g = *before;
    g.number = number;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *from = &view->components[i];
        struct bundle_generation_component c;
        memset(&c, 0, sizeof c);
        memcpy(c.name, from->name, sizeof c.name);
        memcpy(c.bundle_name, view->name, strlen(view->name) + 1);
        memcpy(c.release, view->release, strlen(view->release) + 1);
        c.manifest = *bundle_manifest_id(manifest);
        c.digest = from->digest;
        c.security_version = from->security_version;
        c.type = from->type;
        c.size = from->type == BUNDLE_COMPONENT_IMAGE ? from->size : 0;
        c.slot = slot_after(before, &c);
        if (insert(&g, &c, e) < 0)
            return -1;
    }
    *ret = g;
    return 0;
}

const struct bundle_generation_component *
bundle_generation_component(const struct bundle_generation *g, const char *name) {
    size_t at = place_of(g, name);
    return at < g->n_components && strcmp(g->components[at].name, name) == 0 ? &g->components[at]
                                                                             : NULL;
}
