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
#define FORMAT      1

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

static int read_component(const struct doc_at *components, const char *name,
                          struct bundle_generation_component *c, struct err *e) {
    static const char *const known[] = {"digest",  "manifest",         "name",
                                        "release", "security_version", NULL};
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
    return doc_u64(&at, "security_version", 0, BUNDLE_SECURITY_VERSION_MAX, &c->security_version,
                   e);
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
    if (format != FORMAT)
        return err_set(e, &err_newer_format,
                       "the generation's record has format %" PRIu64 ", this program knows %d",
                       format, FORMAT);
    if (doc_u64(root, "number", 0, KEYS_VERSION_MAX, &g->number, e) < 0 ||
        doc_object(root, "components", &components, e) < 0)
        return -1;
    json_object_foreach (components.value, name, value) {
        struct bundle_generation_component c;
        memset(&c, 0, sizeof c);
        if (read_component(&components, name, &c, e) < 0 || insert(g, &c, e) < 0)
            return -1;
    }
    return 0;
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
    return json_pack("{s:s,s:s,s:s,s:s,s:I}", "digest", keys_digest_hex(&c->digest, digest),
                     "manifest", keys_digest_hex(&c->manifest, manifest), "name", c->bundle_name,
                     "release", c->release, "security_version", (json_int_t)c->security_version);
}

int bundle_generation_format(const struct bundle_generation *g, struct buf *ret, struct err *e) {
    OWN(json) json_t *components = json_object();
    for (size_t i = 0; i < g->n_components; i++)
        if (json_object_set_new(components, g->components[i].name,
                                component_value(&g->components[i])) < 0)
            return err_set(e, &err_memory, "writing the record of a generation");
    OWN(json)
    json_t *root = json_pack("{s:s,s:O,s:i,s:I}", "_type", "generation", "components", components,
                             "format", FORMAT, "number", (json_int_t)g->number);
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
