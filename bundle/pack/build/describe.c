// SPDX-License-Identifier: Apache-2.0
//
// Description files: a bundle to be made, as JSON (FORMAT.md §10).
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"

#define DESCRIPTION_MAX_BYTES (1024 * 1024)
#define LEVEL_DEFAULT         3

static const struct doc_limits limits = {
    .bytes = DESCRIPTION_MAX_BYTES, .depth = 16, .values = 65536, .floats = false};

struct pack_description {
    json_t *document;
    char *directory; // of the file, "" or ending in '/'
    struct pack_build build;
    struct pack_component components[BUNDLE_COMPONENTS_MAX];
    char *paths[BUNDLE_COMPONENTS_MAX];
    size_t n_references;
    char *references[PACK_REFERENCES_MAX];
};

static int read_path(const struct pack_description *d, const char *given, char **ret,
                     struct err *e) {
    size_t n = strlen(d->directory) + strlen(given) + 1;
    char *path = malloc(n);
    if (!path)
        return err_set(e, &err_memory, "reading a description");
    (void)snprintf(path, n, "%s%s", *given == '/' ? "" : d->directory, given);
    *ret = path;
    return 0;
}

// Exactly one of "path", "archive" and "image" says where the contents come from.
static int read_input(struct pack_description *d, size_t number, const struct doc_at *at,
                      struct err *e) {
    static const struct {
        const char *key;
        enum pack_input_type type;
    } inputs[] = {
        {"path", PACK_INPUT_PATH}, {"archive", PACK_INPUT_ARCHIVE}, {"image", PACK_INPUT_IMAGE}};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        const char *given = NULL;
        int r = doc_string_opt(at, inputs[i].key, FS_PATH_BYTES - 1, &given, e);
        if (r < 0)
            return -1;
        if (r == DOC_ABSENT)
            continue;
        if (found)
            return err_set(e, &err_config,
                           "%s: \"path\", \"archive\" and \"image\" exclude each "
                           "other",
                           at->path);
        found = given;
        d->components[number].type = inputs[i].type;
    }
    if (!found || !*found)
        return err_set(e, &err_config, "%s: one of \"path\", \"archive\" and \"image\" is needed",
                       at->path);
    if (read_path(d, found, &d->paths[number], e) < 0)
        return -1;
    d->components[number].path = d->paths[number];
    return 0;
}

static int read_component(struct pack_description *d, size_t number, const struct doc_at *at,
                          struct err *e) {
    static const char *const known[] = {"name",  "path",          "archive",          "image",
                                        "model", "strip_special", "security_version", NULL};
    struct pack_component *c = &d->components[number];
    struct doc_at model;
    if (doc_no_unknown(at, known, e) < 0 ||
        doc_string(at, "name", BUNDLE_NAME_MAX, &c->name, e) < 0 ||
        doc_u64_opt(at, "security_version", 0, BUNDLE_SECURITY_VERSION_MAX, &c->security_version,
                    e) < 0 ||
        doc_bool_opt(at, "strip_special", &c->strip_special, e) < 0)
        return -1;
    int r = doc_object_opt(at, "model", &model, e);
    if (r == 0)
        c->model = model.value;
    return r < 0 ? -1 : read_input(d, number, at, e);
}

static int read_components(struct pack_description *d, const struct doc_at *root, struct err *e) {
    struct doc_at array, at;
    if (doc_array(root, "components", BUNDLE_COMPONENTS_MAX, &array, e) < 0)
        return -1;
    d->build.n_components = json_array_size(array.value);
    d->build.components = d->components;
    for (size_t i = 0; i < d->build.n_components; i++)
        if (doc_element(&array, i, &at, e) < 0 || read_component(d, i, &at, e) < 0)
            return -1;
    return 0;
}

static int read_references(struct pack_description *d, const struct doc_at *root, struct err *e) {
    struct doc_at array;
    int r = doc_array_opt(root, "reference", PACK_REFERENCES_MAX, &array, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    for (size_t i = 0; i < json_array_size(array.value); i++) {
        const char *given = NULL;
        if (doc_element_string(&array, i, FS_PATH_BYTES - 1, &given, e) < 0)
            return -1;
        if (!*given)
            return err_set(e, &err_config, "%s: element %zu: the path of a bundle is needed",
                           array.path, i);
        if (read_path(d, given, &d->references[i], e) < 0)
            return -1;
        d->n_references++;
    }
    return 0;
}

static int read_date(const struct doc_at *root, const char *key, int64_t *ret, struct err *e) {
    const char *text = NULL;
    int r = doc_string_opt(root, key, CHRONO_TEXT_BYTES - 1, &text, e);
    return r != 0 ? (r < 0 ? -1 : 0) : chrono_parse(text, key, ret, e);
}

// What the manifest has in the same form; its own rules are applied when it is made.
static int read_borrowed(const struct doc_at *root, struct pack_build *b, struct err *e) {
    struct doc_at at;
    int r = doc_array_opt(root, "probes", BUNDLE_PROBES_MAX, &at, e);
    if (r == 0)
        b->probes = at.value;
    if (r >= 0 && (r = doc_object_opt(root, "floors", &at, e)) == 0)
        b->floors = at.value;
    if (r >= 0 && (r = doc_object_opt(root, "probation", &at, e)) == 0)
        b->probation = at.value;
    return r < 0 ? -1 : 0;
}

static int read_root(struct pack_description *d, const char *path, struct err *e) {
    static const char *const known[] = {"name",        "release",   "variant", "requires",
                                        "version",     "issued",    "expires", "components",
                                        "probes",      "floors",    "level",   "probation",
                                        "frame_bytes", "reference", NULL};
    struct pack_build *b = &d->build;
    struct doc_at root;
    uint64_t level = LEVEL_DEFAULT;
    if (doc_root(d->document, path, &root, e) < 0 || doc_no_unknown(&root, known, e) < 0 ||
        doc_string(&root, "name", BUNDLE_NAME_MAX, &b->name, e) < 0 ||
        doc_string(&root, "release", BUNDLE_RELEASE_MAX, &b->release, e) < 0 ||
        doc_string_opt(&root, "variant", BUNDLE_NAME_MAX, &b->variant, e) < 0 ||
        doc_string_opt(&root, "requires", BUNDLE_PREDICATE_MAX, &b->requires, e) < 0 ||
        doc_u64_opt(&root, "version", 1, KEYS_VERSION_MAX, &b->version, e) < 0 ||
        doc_u64_opt(&root, "level", 1, 22, &level, e) < 0 ||
        doc_u64_opt(&root, "frame_bytes", BUNDLE_FRAME_MIN_BYTES, BUNDLE_FRAME_MAX_BYTES,
                    &b->frame_bytes, e) < 0 ||
        read_date(&root, "issued", &b->issued_s, e) < 0 ||
        read_date(&root, "expires", &b->expires_s, e) < 0)
        return -1;
    b->level = (int)level;
    return read_components(d, &root, e) < 0 || read_references(d, &root, e) < 0
               ? -1
               : read_borrowed(&root, b, e);
}

static int read_description(struct pack_description *d, const char *path, struct err *e) {
    const char *slash = strrchr(path, '/');
    struct buf text;
    d->directory = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
    if (!d->directory)
        return err_set(e, &err_memory, "reading a description");
    d->build.variant = d->build.requires = "";
    buf_init(&text, DESCRIPTION_MAX_BYTES);
    int r = fs_read_file(AT_FDCWD, path, DESCRIPTION_MAX_BYTES, &text, e);
    if (r == 0)
        r = doc_parse(buf_slice(&text), path, &limits, &d->document, e);
    if (r == 0)
        r = read_root(d, path, e);
    buf_clear(&text);
    return r;
}

int pack_build_describe(const char *path, struct pack_description **ret, struct err *e) {
    struct pack_description *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, &err_memory, "reading a description");
    if (read_description(d, path, e) < 0) {
        pack_build_description_free(d);
        if (err_is(e, &err_syntax) || err_is(e, &err_limit))
            e->kind = &err_config;
        return -1;
    }
    *ret = d;
    return 0;
}

struct pack_build *pack_build_described(struct pack_description *d) {
    return &d->build;
}

size_t pack_build_described_references(const struct pack_description *d, const char *const **ret) {
    *ret = (const char *const *)d->references;
    return d->n_references;
}

void pack_build_description_free(struct pack_description *d) {
    if (!d)
        return;
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        free(d->paths[i]);
    for (size_t i = 0; i < PACK_REFERENCES_MAX; i++)
        free(d->references[i]);
    free(d->directory);
    json_decref(d->document);
    free(d);
}
