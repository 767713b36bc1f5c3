// SPDX-License-Identifier: Apache-2.0
//
// `edgectl bundle inspect`: what a bundle or a delta says of itself. Without a root nothing of it
// is verified, and the first thing that is printed says so.
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "bundle/tree.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"

const struct opt cmd_bundle_inspect_options[] = {
    CMD_BUNDLE_ROOT_OPTION,
    CMD_WORKSPACE_OPTION,
    {.name = "files", .help = "List every file too; needs a root to verify with"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct inspect {
    const struct opt_args *args;
    struct cmd_bundle_file file;
    struct unpack_candidate *candidate;
    struct bundle_manifest_unverified *manifest;
    struct keys_envelope_candidate envelope;
    struct keys_root *root;       // or NULL
    struct unpack_bundle *bundle; // verified, or NULL
    char id[KEYS_DIGEST_HEX];
    json_t *said;
};

static void clear(struct inspect *in) {
    json_decref(in->said);
    unpack_bundle_free(in->bundle);
    keys_root_free(in->root);
    bundle_manifest_peek_free(in->manifest);
    unpack_candidate_free(in->candidate);
    cmd_bundle_close(&in->file);
}

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "inspecting the bundle: no memory");
}

static int open_all(struct inspect *in, struct err *e) {
    if (unpack_open(&in->file.source, &in->candidate, e) < 0)
        return err_prefix(e, "%s", in->file.path);
    struct slice raw = unpack_candidate_manifest(in->candidate);
    if (bundle_manifest_peek(raw, &in->manifest, e) < 0 ||
        keys_envelope_split(raw, "manifest", &in->envelope, e) < 0)
        return err_prefix(e, "%s", in->file.path);
    keys_digest_hex(bundle_manifest_peek_id(in->manifest), in->id);
    int found = cmd_bundle_root(in->args, &in->root, e);
    if (found < 0)
        return -1;
    return in->root ? cmd_bundle_verify(&in->file, in->root, &in->bundle, e) : 0;
}

static json_t *signatures_of(const struct inspect *in) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < in->envelope.n_signatures; i++) {
        const char *keyid = in->envelope.signatures[i].keyid;
        json_t *row = json_pack("{s:s}", "keyid", keyid);
        if (in->root)
            (void)json_object_set_new(row, "known",
                                      json_boolean(keys_role_has(
                                          keys_root_role(in->root, KEYS_ROOT_ROLE_BUNDLE), keyid)));
        (void)json_array_append_new(array, row);
    }
    return array;
}

static json_t *entry_of(const struct bundle_tree_entry *entry) {
    char digest[KEYS_DIGEST_HEX];
    switch (entry->type) {
    case BUNDLE_TREE_DIR:
        return json_pack("{s:s,s:s}", "path", entry->path, "type", "dir");
    case BUNDLE_TREE_LINK:
        return json_pack("{s:s,s:s,s:s}", "path", entry->path, "type", "link", "target",
                         entry->target);
    case BUNDLE_TREE_FILE:
        break;
    }
    return json_pack("{s:s,s:s,s:I,s:b,s:s}", "path", entry->path, "type", "file", "size",
                     (json_int_t)entry->size, "exec", entry->exec, "digest",
                     keys_digest_hex(&entry->digest, digest));
}

static int list_entries(int tree, uint64_t size, json_t *ret, struct err *e) {
    struct bundle_tree_reader *reader = NULL;
    struct bundle_tree_entry entry;
    int r = bundle_tree_open(tree, 0, size, &reader, e);
    while (r == 0 && (r = bundle_tree_next(reader, &entry, e)) == 0)
        if (json_array_append_new(ret, entry_of(&entry)) < 0)
            r = no_memory(e);
    bundle_tree_close(reader);
    return r < 0 ? -1 : 0;
}

// COMPONENT → how many entries and bytes, and with --files the entries themselves.
static int add_files(struct inspect *in, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_peek_view(in->manifest);
    bool list = opt_given(in->args, "files");
    int trees[BUNDLE_COMPONENTS_MAX];
    json_t *files = json_object();
    int r = json_object_set_new(in->said, "files", files) < 0 ? no_memory(e) : 0;
    if (r < 0 || (list && cmd_bundle_trees(in->bundle, &in->file.source, trees, e) < 0))
        return -1;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        bool has_tree = c->type == BUNDLE_COMPONENT_FILES;
        if (r == 0 && has_tree) {
            json_t *row = json_pack("{s:I,s:I}", "entries", (json_int_t)c->entries, "bytes",
                                    (json_int_t)c->stream_bytes);
            json_t *entries = list ? json_array() : NULL;
            if (json_object_set_new(files, c->name, row) < 0 ||
                (list && json_object_set_new(row, "list", entries) < 0))
                r = no_memory(e);
            else if (list)
                r = list_entries(trees[i], c->size, entries, e);
        }
        if (list)
            own_drop_fd(&trees[i]);
    }
    return r;
}

static int collect(struct inspect *in, struct err *e) {
    const json_t *manifest = bundle_manifest_peek_json(in->manifest);
    in->said = json_pack("{s:b,s:s}", "verified", in->bundle != NULL, "id", in->id);
    if (!in->said || json_object_update_missing(in->said, (json_t *)manifest) < 0 ||
        json_object_set_new(in->said, "signatures", signatures_of(in)) < 0 ||
        json_object_set_new(in->said, "file_bytes", json_integer((json_int_t)in->file.state.size)) <
            0)
        return no_memory(e);
    return add_files(in, e);
}

static int print_components(const struct bundle_manifest_view *view, struct err *e) {
    static const char *const titles[] = {"  COMPONENT", "TYPE",     "ENTRIES",
                                         "BYTES",       "SECURITY", "DIGEST"};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    if (cmd_print_begin(&table, 6, titles, e) < 0)
        return -1;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        char digest[KEYS_DIGEST_HEX], size[NUM_SIZE_TEXT];
        bool files = c->type == BUNDLE_COMPONENT_FILES;
        if (cmd_print_cell_format(&table, e, "  %s", c->name) < 0 ||
            cmd_print_cell(&table, files ? "files" : "image", e) < 0 ||
            cmd_print_cell_format(&table, e, "%llu", (unsigned long long)c->entries) < 0 ||
            cmd_print_cell(&table, num_format_size(files ? c->stream_bytes : c->size, size), e) <
                0 ||
            cmd_print_cell_format(&table, e, "%llu", (unsigned long long)c->security_version) < 0 ||
            cmd_print_cell_format(&table, e, "%.16s", keys_digest_hex(&c->digest, digest)) < 0)
            return -1;
    }
    (void)puts("components:");
    cmd_print_end(&table);
    return 0;
}

static void print_packing(const struct inspect *in, const struct bundle_manifest_view *view) {
    char total[NUM_SIZE_TEXT], data[NUM_SIZE_TEXT], index[NUM_SIZE_TEXT], frame[NUM_SIZE_TEXT];
    (void)printf("packing:      %s: %s of data in frames of at most %s, %s of index\n",
                 num_format_size(in->file.state.size, total),
                 num_format_size(view->packing.data_bytes, data),
                 num_format_size(view->packing.frame_bytes, frame),
                 num_format_size(view->packing.index_bytes, index));
    for (size_t i = 0; i < in->envelope.n_signatures; i++)
        (void)printf("%s %s\n", i == 0 ? "signatures:  " : "             ",
                     in->envelope.signatures[i].keyid);
}

static void print_files(const struct inspect *in) {
    const char *name;
    json_t *component, *entry;
    size_t i;
    json_object_foreach (json_object_get(in->said, "files"), name, component) {
        json_array_foreach (json_object_get(component, "list"), i, entry) {
            const char *target = cmd_print_string(entry, "target");
            (void)printf("%-4s %12lld  ", cmd_print_string(entry, "type"),
                         (long long)cmd_print_integer(entry, "size"));
            cmd_print_text(name);
            (void)putchar('/');
            cmd_print_text(cmd_print_string(entry, "path"));
            if (*target) {
                (void)fputs(" -> ", stdout);
                cmd_print_text(target);
            }
            (void)putchar('\n');
        }
    }
}

static int print_all(const struct inspect *in, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_peek_view(in->manifest);
    char text[128];
    if (!in->bundle)
        (void)puts("NOT VERIFIED: this is what the file claims; edgectl bundle verify --root says "
                   "whether it can be trusted.");
    cmd_print_field("id", in->id);
    cmd_print_field("name", view->name);
    cmd_print_field("release", view->release);
    cmd_print_field("variant", view->variant);
    cmd_print_field("requires", view->requires);
    cmd_print_field("issued", cmd_print_string(in->said, "issued"));
    cmd_print_field("expires", cmd_print_string(in->said, "expires"));
    (void)snprintf(text, sizeof text, "%llu s, %zu probe%s",
                   (unsigned long long)view->probation.duration_s, view->n_probes,
                   view->n_probes == 1 ? "" : "s");
    cmd_print_field("probation", text);
    if (print_components(view, e) < 0)
        return -1;
    print_packing(in, view);
    print_files(in);
    return 0;
}

static int inspect(struct inspect *in, struct err *e) {
    if (cmd_bundle_open(opt_operand(in->args, 0), &in->file, e) < 0)
        return -1;
    int r = cmd_bundle_delta_inspect(in->args, &in->file, e);
    if (r != CMD_BUNDLE_NO_DELTA)
        return r;
    if (open_all(in, e) < 0)
        return -1;
    if (opt_given(in->args, "files") && !in->bundle)
        return err_set(e, &err_usage,
                       "--files reads contents, and only verified ones: give --root "
                       "FILE or --workspace DIR");
    if (collect(in, e) < 0)
        return -1;
    if (!opt_given(in->args, "json"))
        return print_all(in, e);
    cmd_print_json(in->said);
    return 0;
}

int cmd_bundle_inspect(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    struct inspect in = {.args = args, .file = CMD_BUNDLE_FILE_NONE};
    int r = inspect(&in, e);
    clear(&in);
    return r;
}
