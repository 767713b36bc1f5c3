// SPDX-License-Identifier: Apache-2.0
//
// The rules of a manifest, one function for each part of it.
#include "bundle/manifest/parse.h"

#include <inttypes.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/predicate.h"
#include "keys/canon.h"

#define DEPTH_MAX           12
#define VALUES_MAX          8192
#define PROBATION_DEFAULT_S 600
#define PROBATION_MAX_S     (30ULL * 86400)
#define RESTARTS_DEFAULT    3
#define RESTARTS_MAX        1000

static const struct doc_limits limits = {
    .bytes = BUNDLE_MANIFEST_MAX_BYTES, .depth = DEPTH_MAX, .values = VALUES_MAX, .floats = false};

static int wrong(const struct doc_at *at, const char *member, const char *what, struct err *e) {
    return err_set(e, &err_bad_manifest, "%s.%s: %s", at->path, member, what);
}

// What people call a version, and names: they become parts of file names and of log lines.
static bool is_release(const char *text) {
    size_t len = strlen(text);
    if (len == 0 || len > BUNDLE_RELEASE_MAX || text[0] == '.' || text[0] == '-')
        return false;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+~-") ==
           len;
}

static int read_name(const struct doc_at *at, const char *key, const char **ret, struct err *e) {
    const char *name = NULL;
    if (doc_string(at, key, BUNDLE_NAME_MAX, &name, e) < 0)
        return -1;
    if (!text_is_name(name, BUNDLE_NAME_MAX))
        return wrong(at, key, "not a name (letters, digits, '.', '_', '-', '+'; at most 64)", e);
    *ret = name;
    return 0;
}

static int read_digest(const struct doc_at *at, struct keys_digest *ret, struct err *e) {
    const char *hex = NULL;
    if (doc_string(at, "digest", KEYS_DIGEST_HEX - 1, &hex, e) < 0)
        return -1;
    return keys_digest_parse(hex, at->path, ret, e);
}

static int read_blocks(const struct doc_at *at, struct bundle_component *c, struct err *e) {
    const char *hex = NULL;
    int r = doc_string_opt(at, "blocks", KEYS_DIGEST_HEX - 1, &hex, e);
    c->has_blocks = r == 0;
    return r != 0 ? (r < 0 ? -1 : 0) : keys_digest_parse(hex, at->path, &c->blocks, e);
}

static int read_files(const struct doc_at *at, struct bundle_component *c, struct err *e) {
    static const char *const known[] = {
        "entries",      "executable", "model", "name", "security_version",
        "stream_bytes", "tree",       "type",  NULL};
    static const char *const known_tree[] = {"digest", "size", NULL};
    struct doc_at tree;
    c->type = BUNDLE_COMPONENT_FILES;
    if (doc_no_unknown(at, known, e) < 0 ||
        doc_u64(at, "entries", 0, BUNDLE_TREE_ENTRIES_MAX, &c->entries, e) < 0 ||
        doc_bool(at, "executable", &c->executable, e) < 0 ||
        doc_u64(at, "stream_bytes", 0, BUNDLE_STREAM_MAX_BYTES, &c->stream_bytes, e) < 0 ||
        doc_object(at, "tree", &tree, e) < 0 || doc_no_unknown(&tree, known_tree, e) < 0 ||
        read_digest(&tree, &c->digest, e) < 0 ||
        doc_u64(&tree, "size", 0, BUNDLE_TREE_MAX_BYTES, &c->size, e) < 0)
        return -1;
    if ((c->entries == 0) != (c->size == 0))
        return wrong(at, "entries", "does not fit the size of the tree", e);
    return 0;
}

static int read_image(const struct doc_at *at, struct bundle_component *c, struct err *e) {
    static const char *const known[] = {"content",          "model", "name",
                                        "security_version", "type",  NULL};
    static const char *const known_content[] = {"blocks", "digest", "size", NULL};
    struct doc_at content;
    c->type = BUNDLE_COMPONENT_IMAGE;
    if (doc_no_unknown(at, known, e) < 0 || doc_object(at, "content", &content, e) < 0 ||
        doc_no_unknown(&content, known_content, e) < 0 ||
        read_digest(&content, &c->digest, e) < 0 || read_blocks(&content, c, e) < 0 ||
        doc_u64(&content, "size", 1, BUNDLE_STREAM_MAX_BYTES, &c->size, e) < 0)
        return -1;
    c->stream_bytes = c->size;
    return 0;
}

static int read_component(const struct doc_at *at, struct bundle_component *c, struct err *e) {
    const char *name = NULL, *type = NULL;
    struct doc_at model;
    if (read_name(at, "name", &name, e) < 0 || doc_string(at, "type", 16, &type, e) < 0 ||
        doc_u64(at, "security_version", 0, BUNDLE_SECURITY_VERSION_MAX, &c->security_version, e) <
            0)
        return -1;
    memcpy(c->name, name, strlen(name) + 1);
    int r = doc_object_opt(at, "model", &model, e);
    if (r < 0)
        return -1;
    if (r == 0)
        c->model = model.value;
    if (strcmp(type, "files") == 0)
        return read_files(at, c, e);
    if (strcmp(type, "image") == 0)
        return read_image(at, c, e);
    return wrong(at, "type", "neither \"files\" nor \"image\"", e);
}

static int read_components(const struct doc_at *root, struct manifest_parse *p, struct err *e) {
    struct doc_at array, at;
    uint64_t stream = 0;
    if (doc_array(root, "components", BUNDLE_COMPONENTS_MAX, &array, e) < 0)
        return -1;
    size_t n = json_array_size(array.value);
    if (n == 0)
        return wrong(root, "components", "a bundle has at least one", e);
    for (size_t i = 0; i < n; i++) {
        struct bundle_component *c = &p->components[i];
        if (doc_element(&array, i, &at, e) < 0 || read_component(&at, c, e) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(p->components[k].name, c->name) == 0)
                return wrong(&at, "name", "another component has it", e);
        stream += c->stream_bytes + (c->type == BUNDLE_COMPONENT_FILES ? c->size : 0);
        if (stream > BUNDLE_STREAM_MAX_BYTES)
            return wrong(root, "components", "their contents are above the ceiling", e);
    }
    p->view.components = p->components;
    p->view.n_components = n;
    return 0;
}

static int read_packing(const struct doc_at *root, struct bundle_packing *p, struct err *e) {
    static const char *const known[] = {"data_bytes", "frame_bytes", "index", NULL};
    static const char *const known_index[] = {"digest", "head_bytes", "size", NULL};
    struct doc_at at, index;
    if (doc_object(root, "packing", &at, e) < 0 || doc_no_unknown(&at, known, e) < 0 ||
        doc_u64(&at, "data_bytes", 0, BUNDLE_STREAM_MAX_BYTES, &p->data_bytes, e) < 0 ||
        doc_u64(&at, "frame_bytes", BUNDLE_FRAME_MIN_BYTES, BUNDLE_FRAME_MAX_BYTES, &p->frame_bytes,
                e) < 0 ||
        doc_object(&at, "index", &index, e) < 0 || doc_no_unknown(&index, known_index, e) < 0 ||
        read_digest(&index, &p->index_digest, e) < 0 ||
        doc_u64(&index, "size", BUNDLE_INDEX_PAGE_BYTES, BUNDLE_INDEX_MAX_BYTES, &p->index_bytes,
                e) < 0 ||
        doc_u64(&index, "head_bytes", BUNDLE_INDEX_PAGE_BYTES, p->index_bytes, &p->index_head_bytes,
                e) < 0)
        return -1;
    if (p->index_bytes % BUNDLE_INDEX_PAGE_BYTES || p->index_head_bytes % BUNDLE_INDEX_PAGE_BYTES)
        return wrong(&index, "size", "not whole pages", e);
    return 0;
}

static int read_probes(const struct doc_at *root, struct manifest_parse *p, struct err *e) {
    struct doc_at array, at;
    int r = doc_array_opt(root, "probes", BUNDLE_PROBES_MAX, &array, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    size_t n = json_array_size(array.value);
    for (size_t i = 0; i < n; i++) {
        struct bundle_probe *probe = &p->probes[i];
        bool found = false;
        if (doc_element(&array, i, &at, e) < 0 || bundle_probe_parse(&at, probe, e) < 0)
            return -1;
        p->n_probes++;
        for (size_t k = 0; k < p->view.n_components; k++)
            found = found || strcmp(p->components[k].name, probe->component) == 0;
        if (!found)
            return wrong(&at, "component", "not a component of this bundle", e);
        for (size_t k = 0; k < i; k++)
            if (strcmp(p->probes[k].name, probe->name) == 0)
                return wrong(&at, "name", "another probe has it", e);
    }
    p->view.probes = p->probes;
    p->view.n_probes = n;
    return 0;
}

// A floor is raised when the bundle is committed: what then runs must not be below it.
static int check_floor(const struct doc_at *at, const char *name, uint64_t floor,
                       const struct bundle_manifest_view *v, struct err *e) {
    for (size_t i = 0; i < v->n_components; i++) {
        if (strcmp(v->components[i].name, name) != 0)
            continue;
        if (floor <= v->components[i].security_version)
            return 0;
        return err_set(e, &err_bad_manifest,
                       "%s.%s: %" PRIu64 " is above the component's own security version, %" PRIu64
                       ": what the bundle installs would be below its own floor",
                       at->path, name, floor, v->components[i].security_version);
    }
    return wrong(at, name, "not a component of this bundle", e);
}

static int read_floors(const struct doc_at *root, struct bundle_manifest_view *v, struct err *e) {
    struct doc_at at;
    const char *name;
    json_t *value;
    int r = doc_object_opt(root, "floors", &at, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (json_object_size(at.value) > BUNDLE_COMPONENTS_MAX)
        return wrong(root, "floors", "more than 16", e);
    json_object_foreach (at.value, name, value) {
        uint64_t floor = 0;
        if (!text_is_name(name, BUNDLE_NAME_MAX))
            return wrong(root, "floors", "a member's name is not a component's name", e);
        if (doc_u64(&at, name, 0, BUNDLE_SECURITY_VERSION_MAX, &floor, e) < 0 ||
            check_floor(&at, name, floor, v, e) < 0)
            return -1;
    }
    v->floors = at.value;
    return 0;
}

static int read_probation(const struct doc_at *root, struct bundle_probation *ret, struct err *e) {
    struct doc_at at;
    ret->duration_s = PROBATION_DEFAULT_S;
    ret->restarts_max = RESTARTS_DEFAULT;
    int r = doc_object_opt(root, "probation", &at, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (doc_u64_opt(&at, "duration_s", 0, PROBATION_MAX_S, &ret->duration_s, e) < 0 ||
        doc_u64_opt(&at, "restarts_max", 0, RESTARTS_MAX, &ret->restarts_max, e) < 0)
        return -1;
    return 0;
}

static int read_requires(const struct doc_at *root, const char **ret, struct err *e) {
    *ret = "";
    int r = doc_string_opt(root, "requires", BUNDLE_PREDICATE_MAX, ret, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    struct bundle_predicate *predicate = NULL;
    if (bundle_predicate_parse(*ret, &predicate, e) < 0)
        return err_prefix(e, "%s.requires", root->path);
    bundle_predicate_free(predicate);
    return 0;
}

static int read_root(const struct doc_at *root, struct manifest_parse *p, struct err *e) {
    struct bundle_manifest_view *v = &p->view;
    if (keys_envelope_header(root, "bundle", &v->header, e) < 0 ||
        read_name(root, "name", &v->name, e) < 0 ||
        doc_string(root, "release", BUNDLE_RELEASE_MAX, &v->release, e) < 0)
        return -1;
    if (!is_release(v->release))
        return wrong(root, "release", "not a version (letters, digits, '.', '_', '-', '+', '~')",
                     e);
    v->variant = "";
    if (doc_string_opt(root, "variant", BUNDLE_NAME_MAX, &v->variant, e) < 0)
        return -1;
    if (*v->variant && !text_is_name(v->variant, BUNDLE_NAME_MAX))
        return wrong(root, "variant", "not a name", e);
    if (read_requires(root, &v->requires, e) < 0 || read_components(root, p, e) < 0 ||
        read_packing(root, &v->packing, e) < 0 || read_probes(root, p, e) < 0 ||
        read_floors(root, v, e) < 0)
        return -1;
    return read_probation(root, &v->probation, e);
}

int manifest_parse_signed(struct slice signed_part, struct manifest_parse *ret, struct err *e) {
    struct doc_at root;
    memset(ret, 0, sizeof *ret);
    keys_digest_of(signed_part.data, signed_part.len, &ret->id);
    if (keys_canon_parse(signed_part, "manifest", &limits, &ret->document, e) < 0)
        return -1;
    if (doc_root(ret->document, "manifest", &root, e) < 0 || read_root(&root, ret, e) < 0) {
        // A member of the wrong type or out of bounds breaks a rule of this format, whatever the
        // reader of documents calls it.
        if (err_is(e, &err_syntax) || err_is(e, &err_limit) || err_is(e, &err_config))
            e->kind = &err_bad_manifest;
        return -1;
    }
    return 0;
}

void manifest_parse_clear(struct manifest_parse *p) {
    for (size_t i = 0; i < p->n_probes; i++)
        bundle_probe_clear(&p->probes[i]);
    p->n_probes = 0;
    json_decref(p->document);
    p->document = NULL;
}
