// SPDX-License-Identifier: Apache-2.0
//
// `edgectl bundle diff OLD NEW`: which components and, with a root to verify both by, which files
// change, and how many bytes of contents that is.
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "bundle/tree.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"

const struct opt cmd_bundle_diff_options[] = {CMD_BUNDLE_ROOT_OPTION, CMD_WORKSPACE_OPTION,
                                              CMD_OPTION_JSON, CMD_OPTION_END};

struct side {
    struct cmd_bundle_file file;
    struct unpack_candidate *candidate;
    struct bundle_manifest_unverified *manifest;
    const struct bundle_manifest_view *view;
    struct unpack_bundle *bundle; // verified, or NULL
    int trees[BUNDLE_COMPONENTS_MAX];
};

struct diff {
    struct side old, new;
    json_t *components; // COMPONENT → {change, added, removed, changed, bytes}
};

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "comparing bundles: no memory");
}

static void clear_side(struct side *s) {
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        own_drop_fd(&s->trees[i]);
    unpack_bundle_free(s->bundle);
    bundle_manifest_peek_free(s->manifest);
    unpack_candidate_free(s->candidate);
    cmd_bundle_close(&s->file);
}

static int open_side(const char *path, const struct keys_root *root, struct side *s,
                     struct err *e) {
    if (cmd_bundle_open(path, &s->file, e) < 0)
        return -1;
    if (unpack_open(&s->file.source, &s->candidate, e) < 0 ||
        bundle_manifest_peek(unpack_candidate_manifest(s->candidate), &s->manifest, e) < 0)
        return err_prefix(e, "%s", path);
    s->view = bundle_manifest_peek_view(s->manifest);
    if (!root)
        return 0;
    if (cmd_bundle_verify(&s->file, root, &s->bundle, e) < 0)
        return -1;
    if (cmd_bundle_trees(s->bundle, &s->file.source, s->trees, e) < 0)
        return err_prefix(e, "%s", path);
    return 0;
}

static size_t find(const struct bundle_manifest_view *view, const char *name) {
    size_t i = 0;
    while (i < view->n_components && strcmp(view->components[i].name, name) != 0)
        i++;
    return i; // n_components: there is none
}

// One tree being walked beside the other; size 0 stands for a component that is not there.
struct walk {
    struct bundle_tree_reader *reader;
    struct bundle_tree_entry entry;
    bool over;
};

static int step(struct walk *w, struct err *e) {
    int r = bundle_tree_next(w->reader, &w->entry, e);
    w->over = r == BUNDLE_TREE_END;
    return r < 0 ? -1 : 0;
}

static int begin(struct walk *w, int tree, uint64_t size, struct err *e) {
    if (tree < 0) {
        w->over = true;
        return 0;
    }
    return bundle_tree_open(tree, 0, size, &w->reader, e) < 0 ? -1 : step(w, e);
}

static bool same(const struct bundle_tree_entry *a, const struct bundle_tree_entry *b) {
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case BUNDLE_TREE_DIR:
        return true;
    case BUNDLE_TREE_LINK:
        return strcmp(a->target, b->target) == 0;
    case BUNDLE_TREE_FILE:
        break;
    }
    return a->exec == b->exec && a->size == b->size && keys_digest_equal(&a->digest, &b->digest);
}

static int note(json_t *row, const char *list, const struct bundle_tree_entry *entry,
                struct err *e) {
    json_t *array = json_object_get(row, list);
    if (json_array_append_new(array, json_string(entry->path)) < 0)
        return no_memory(e);
    return 0;
}

// Walks both trees in their common order.
static int compare_entries(struct walk *a, struct walk *b, json_t *row, uint64_t *ret_bytes,
                           struct err *e) {
    while (!a->over || !b->over) {
        int order = a->over ? 1 : b->over ? -1 : bundle_tree_compare(a->entry.path, b->entry.path);
        bool differs = order != 0 || !same(&a->entry, &b->entry);
        const char *list = order < 0 ? "removed" : order > 0 ? "added" : "changed";
        if (differs && note(row, list, order < 0 ? &a->entry : &b->entry, e) < 0)
            return -1;
        if (differs && order >= 0 && b->entry.type == BUNDLE_TREE_FILE)
            *ret_bytes += b->entry.size;
        if ((order <= 0 && step(a, e) < 0) || (order >= 0 && step(b, e) < 0))
            return -1;
    }
    return 0;
}

static int compare_trees(const struct diff *d, size_t old, size_t new, json_t *row, struct err *e) {
    struct walk a = {.reader = NULL}, b = {.reader = NULL};
    uint64_t bytes = 0;
    bool has_old = old < d->old.view->n_components, has_new = new < d->new.view->n_components;
    int r = json_object_update_new(row,
                                   json_pack("{s:[],s:[],s:[]}", "added", "removed", "changed")) < 0
                ? no_memory(e)
                : 0;
    if (r == 0)
        r = begin(&a, has_old ? d->old.trees[old] : -1,
                  has_old ? d->old.view->components[old].size : 0, e);
    if (r == 0)
        r = begin(&b, has_new ? d->new.trees[new] : -1,
                  has_new ? d->new.view->components[new].size : 0, e);
    if (r == 0)
        r = compare_entries(&a, &b, row, &bytes, e);
    bundle_tree_close(a.reader);
    bundle_tree_close(b.reader);
    if (r == 0 && json_object_set_new(row, "bytes", json_integer((json_int_t)bytes)) < 0)
        r = no_memory(e);
    return r;
}

static int compare(struct diff *d, const char *name, struct err *e) {
    size_t old = find(d->old.view, name), new = find(d->new.view, name);
    bool has_old = old < d->old.view->n_components, has_new = new < d->new.view->n_components;
    const char *change = !has_old   ? "added"
                         : !has_new ? "removed"
                         : keys_digest_equal(&d->old.view->components[old].digest,
                                             &d->new.view->components[new].digest)
                             ? "same"
                             : "changed";
    json_t *row = json_pack("{s:s}", "change", change);
    if (json_object_set_new(d->components, name, row) < 0)
        return no_memory(e);
    if (!d->new.bundle || strcmp(change, "same") == 0)
        return 0;
    return compare_trees(d, old, new, row, e);
}

static int compare_all(struct diff *d, struct err *e) {
    for (size_t i = 0; i < d->old.view->n_components; i++)
        if (compare(d, d->old.view->components[i].name, e) < 0)
            return -1;
    for (size_t i = 0; i < d->new.view->n_components; i++)
        if (!json_object_get(d->components, d->new.view->components[i].name) &&
            compare(d, d->new.view->components[i].name, e) < 0)
            return -1;
    return 0;
}

static void print_list(const json_t *row, const char *list, char mark) {
    size_t i;
    json_t *path;
    json_array_foreach (json_object_get(row, list), i, path) {
        (void)printf("  %c ", mark);
        cmd_print_text(json_string_value(path));
        (void)putchar('\n');
    }
}

static void print_all(const struct diff *d) {
    const char *name;
    json_t *row;
    char size[NUM_SIZE_TEXT];
    (void)printf("%s %s -> %s %s\n", d->old.view->name, d->old.view->release, d->new.view->name,
                 d->new.view->release);
    json_object_foreach (d->components, name, row) {
        const json_t *bytes = json_object_get(row, "bytes");
        (void)printf("%s: %s", name, cmd_print_string(row, "change"));
        if (bytes)
            (void)printf(", %s of contents in %zu new and %zu changed entries",
                         num_format_size((uint64_t)json_integer_value(bytes), size),
                         json_array_size(json_object_get(row, "added")),
                         json_array_size(json_object_get(row, "changed")));
        (void)putchar('\n');
        print_list(row, "removed", '-');
        print_list(row, "added", '+');
        print_list(row, "changed", '~');
    }
    if (!d->new.bundle)
        (void)puts("NOT VERIFIED, and by component only: with --root FILE or --workspace DIR both "
                   "are verified and compared file by file.");
}

static int print_json(const struct diff *d, struct err *e) {
    OWN(json)
    json_t *said =
        json_pack("{s:b,s:{s:s,s:s},s:{s:s,s:s},s:O}", "verified", d->new.bundle != NULL, "old",
                  "name", d->old.view->name, "release", d->old.view->release, "new", "name",
                  d->new.view->name, "release", d->new.view->release, "components", d->components);
    if (!said)
        return no_memory(e);
    cmd_print_json(said);
    return 0;
}

int cmd_bundle_diff(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(root) struct keys_root *root = NULL;
    struct diff d = {.old.file = CMD_BUNDLE_FILE_NONE, .new.file = CMD_BUNDLE_FILE_NONE};
    memset(d.old.trees, 0xff, sizeof d.old.trees); // -1 each
    memset(d.new.trees, 0xff, sizeof d.new.trees);
    d.components = json_object();
    int r = cmd_bundle_root(args, &root, e) < 0 ? -1 : 0;
    if (r == 0 && (open_side(opt_operand(args, 0), root, &d.old, e) < 0 ||
                   open_side(opt_operand(args, 1), root, &d.new, e) < 0 || compare_all(&d, e) < 0))
        r = -1;
    if (r == 0 && opt_given(args, "json"))
        r = print_json(&d, e);
    else if (r == 0)
        print_all(&d);
    clear_side(&d.old);
    clear_side(&d.new);
    json_decref(d.components);
    return r;
}
