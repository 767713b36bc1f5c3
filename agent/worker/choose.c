// SPDX-License-Identifier: Apache-2.0
//
// Choosing a bundle in a directory; see choose.h.
#include "agent/worker/choose.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/worker/sandbox.h"
#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/unpack/open.h"
#include "bundle/unpack/source.h"
#include "keys/root.h"

#define NAME_BYTES    256
#define SUFFIX        ".edge"
#define STORED_ROOT   "private/tuf/root.json"
#define REASONS_BYTES (64 * 1024)
#define FACTS_BYTES   (128 * 1024)
#define FACTS_VALUES  4096

struct choice {
    int dir;
    struct bundle_facts *facts; // owned
    struct keys_root *roots[2]; // owned; any of them may have signed
    size_t n_files;
    struct buf reasons; // one line for each file that was passed over
    char file[NAME_BYTES];
    char rival[NAME_BYTES];     // another bundle of the same release; "" none
    struct unpack_bundle *best; // owned, of `file`; NULL none
};

static void own_drop_choice(struct choice *c) {
    bundle_facts_free(c->facts);
    keys_root_free(c->roots[0]);
    keys_root_free(c->roots[1]);
    buf_clear(&c->reasons);
    unpack_bundle_free(c->best);
}

static void own_drop_bundle(struct unpack_bundle **bundle) {
    unpack_bundle_free(*bundle);
}

static int open_root(int dir, const char *path, struct keys_root **ret, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (fs_read_file(dir, path, KEYS_ROOT_MAX_BYTES, &raw, e) < 0)
        return -1;
    return keys_root_open(buf_slice(&raw), ret, e);
}

static int read_facts(const char *text, struct bundle_facts **ret, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = FACTS_BYTES, .depth = 4, .values = FACTS_VALUES, .floats = true};
    OWN(json) json_t *document = NULL;
    struct slice all = {.data = (const uint8_t *)text, .len = strlen(text)};
    return doc_parse(all, "facts", &limits, &document, e) < 0 ||
                   bundle_facts_parse(document, ret, e) < 0
               ? -1
               : 0;
}

// Opens and verifies with one root.
static int open_bundle(int fd, const struct keys_root *root, struct unpack_bundle **ret,
                       struct err *e) {
    struct unpack_candidate *candidate = NULL;
    struct unpack_source_file file;
    struct unpack_source source;
    if (unpack_source_from_file(fd, &file, &source, e) < 0 ||
        unpack_open(&source, &candidate, e) < 0)
        return -1;
    int verified = unpack_verify_root(&candidate, root, ret, e);
    unpack_candidate_free(candidate);
    return verified;
}

static const struct bundle_manifest_view *view_of(const struct unpack_bundle *bundle) {
    return bundle_manifest_view(unpack_bundle_manifest(bundle));
}

static int consider(const struct choice *c, const char *name, struct unpack_bundle **ret,
                    struct err *e) {
    OWN(bundle) struct unpack_bundle *bundle = NULL;
    OWN(fd) int fd = -1;
    if (fs_open_read(c->dir, name, &fd, e) < 0)
        return -1;
    if (open_bundle(fd, c->roots[0], &bundle, e) < 0) {
        struct err other = ERR_NONE;
        if (!c->roots[1] || open_bundle(fd, c->roots[1], &bundle, &other) < 0)
            return -1;
        err_clear(e);
    }
    if (bundle_manifest_admits(view_of(bundle), c->facts, NULL, e) < 0)
        return -1;
    *ret = own_take(&bundle);
    return 0;
}

static int both(const char *one, const char *other, struct err *e) {
    return err_set(e, &err_usage, "%s and %s are both for this device: name one of them", one,
                   other);
}

// Keeps the better of two; neither is when they are different things. Nothing depends on the order
// in which a directory names its files.
static int compare(struct choice *c, const char *name, struct unpack_bundle **bundle,
                   struct err *e) {
    if (c->best) {
        const struct bundle_manifest_view *have = view_of(c->best), *has = view_of(*bundle);
        int order = text_compare_version(has->release, have->release);
        if (keys_digest_equal(bundle_manifest_id(unpack_bundle_manifest(c->best)),
                              bundle_manifest_id(unpack_bundle_manifest(*bundle))))
            return 0; // a copy
        if (strcmp(have->name, has->name) != 0)
            return both(c->file, name, e);
        if (order == 0)
            (void)snprintf(c->rival, sizeof c->rival, "%s", name);
        if (order <= 0)
            return 0;
    }
    unpack_bundle_free(c->best);
    c->best = own_take(bundle);
    c->rival[0] = '\0';
    (void)snprintf(c->file, sizeof c->file, "%s", name);
    return 0;
}

static int visit(void *context, const char *name, mode_t type, struct err *e) {
    struct choice *c = context;
    OWN(bundle) struct unpack_bundle *bundle = NULL;
    struct err why = ERR_NONE;
    char line[NAME_BYTES + ERR_TEXT_BYTES], safe[2 * sizeof line];
    size_t len = strlen(name);
    if (type != S_IFREG || name[0] == '.' || len <= strlen(SUFFIX) || len >= NAME_BYTES ||
        strcmp(name + len - strlen(SUFFIX), SUFFIX) != 0)
        return 0;
    if (c->n_files++ == WORKER_CHOOSE_FILES_MAX)
        return err_set(e, &err_limit, "more than %d bundles: name one of them",
                       WORKER_CHOOSE_FILES_MAX);
    if (consider(c, name, &bundle, &why) == 0)
        return compare(c, name, &bundle, e);
    // A full buffer is no reason to stop.
    struct err full = ERR_NONE;
    (void)snprintf(line, sizeof line, "%s: %s", name, why.text);
    (void)buf_add_format(&c->reasons, &full, "%s\n", text_safe(line, safe, sizeof safe));
    return 0;
}

static int choose(const struct worker_choose *how, struct choice *c, struct err *e) {
    OWN(fd) int state = -1;
    struct worker_sandbox cage = {.writable_dir = -1, .other_dir = -1, .no_sockets = true};
    struct worker_sandbox_state ignored;
    struct err absent = ERR_NONE;
    if (open_root(AT_FDCWD, how->root, &c->roots[0], e) < 0)
        return err_prefix(e, "root: %s", how->root);
    if (fs_open_dir(AT_FDCWD, how->state_dir, &state, &absent) == 0)
        (void)open_root(state, STORED_ROOT, &c->roots[1], &absent);
    if (read_facts(how->facts, &c->facts, e) < 0 || fs_open_dir(AT_FDCWD, how->dir, &c->dir, e) < 0)
        return -1;
    cage.readable_dir = c->dir;
    if (worker_sandbox_enter(&cage, &ignored, e) < 0 || fs_list(c->dir, ".", visit, c, e) < 0)
        return -1;
    if (c->n_files == 0)
        return err_set(e, &err_not_found, "there is no bundle (*%s) in it", SUFFIX);
    if (!c->best)
        return err_set(e, &err_not_found, "none of its %zu bundles (*%s) is for this device",
                       c->n_files, SUFFIX);
    return c->rival[0] ? both(c->file, c->rival, e) : 0;
}

int worker_choose_bundle(const struct worker_choose *how, struct err *e) {
    OWN(choice) struct choice c = {.dir = -1};
    buf_init(&c.reasons, REASONS_BYTES);
    int done = choose(how, &c, e);
    own_drop_fd(&c.dir);
    if (done == 0)
        (void)fputs(c.file, stdout);
    else if (c.reasons.len > 0)
        (void)fprintf(stderr, "%.*s", (int)c.reasons.len, (const char *)c.reasons.data);
    return done;
}
