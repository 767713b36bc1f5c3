// SPDX-License-Identifier: Apache-2.0
//
// Making a bundle, from the inputs to the file.
#include "bundle/pack/build.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/archive.h"
#include "bundle/pack/document.h"
#include "bundle/pack/measure.h"
#include "bundle/pack/partial.h"
#include "bundle/pack/press.h"
#include "bundle/pack/rows.h"
#include "bundle/pack/table.h"
#include "bundle/pack/walk.h"
#include "bundle/skeleton.h"

#define LEVEL_MAX         22
#define LEVEL_LARGE_FRAME 19 // from here on frames of the largest size are worth their memory

struct build {
    const struct pack_build *how;
    uint64_t frame_bytes;
    char spool[FS_PATH_BYTES];
    struct pack_tree trees[BUNDLE_COMPONENTS_MAX];
    struct pack_content texts[BUNDLE_COMPONENTS_MAX]; // the trees as contents
    struct buf lines[BUNDLE_COMPONENTS_MAX];
    struct bundle_component components[BUNDLE_COMPONENTS_MAX];
    struct pack_reference *reference; // NULL: none is given
    struct pack_table table;
    struct bundle_packing packing;
    struct bundle_skeleton skeleton;
    struct pack_build_result result;
};

static int read_archive(struct build *b, size_t number, struct err *e) {
    OWN(fd) int spool = -1;
    // The spool has no name while it is used, so nothing is left behind.
    if (fs_remove(AT_FDCWD, b->spool, e) < 0 ||
        fs_create(AT_FDCWD, b->spool, 0600, &spool, e) < 0 || fs_remove(AT_FDCWD, b->spool, e) < 0)
        return -1;
    return pack_archive_read(&b->how->components[number], &spool, &b->trees[number], e);
}

static int read_input(struct build *b, size_t number, struct err *e) {
    const struct pack_component *component = &b->how->components[number];
    struct bundle_component *c = &b->components[number];
    struct pack_tree *tree = &b->trees[number];
    size_t len = strlen(component->name);
    if (len > BUNDLE_NAME_MAX)
        return err_set(e, &err_bad_manifest, "the name is longer than %d bytes", BUNDLE_NAME_MAX);
    memcpy(c->name, component->name, len + 1);
    c->security_version = component->security_version;
    c->type = component->type == PACK_INPUT_IMAGE ? BUNDLE_COMPONENT_IMAGE : BUNDLE_COMPONENT_FILES;
    int r = component->type == PACK_INPUT_ARCHIVE ? read_archive(b, number, e)
                                                  : pack_walk_path(component, tree, e);
    if (r < 0)
        return -1;
    if (c->type == BUNDLE_COMPONENT_IMAGE &&
        (tree->n != 1 || tree->items[0].type != BUNDLE_TREE_FILE))
        return err_set(e, &err_usage, "an image is one file, %s is not", component->path);
    if (c->type == BUNDLE_COMPONENT_IMAGE)
        tree->items[0].content.by_blocks = true;
    b->result.stripped += tree->stripped;
    b->result.skipped += tree->skipped;
    return 0;
}

static int read_inputs(struct build *b, struct err *e) {
    for (size_t i = 0; i < b->how->n_components; i++)
        if (read_input(b, i, e) < 0)
            return err_prefix(e, "component %s", b->how->components[i].name);
    return 0;
}

static int measure(const struct build *b, struct pack_content *const *contents, size_t n,
                   uint64_t total_bytes, struct err *e) {
    const struct pack_measure how = {.threads = b->how->threads,
                                     .total_bytes = total_bytes,
                                     .progress = b->how->progress,
                                     .context = b->how->context};
    return pack_measure_all(&how, contents, n, e);
}

static int measure_files(struct build *b, struct err *e) {
    size_t n = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < b->how->n_components; i++)
        n += b->trees[i].n;
    struct pack_content **contents = calloc(n ? n : 1, sizeof(struct pack_content *));
    if (!contents)
        return err_set(e, &err_memory, "packing %zu entries", n);
    n = 0;
    for (size_t i = 0; i < b->how->n_components; i++)
        for (size_t k = 0; k < b->trees[i].n; k++)
            if (b->trees[i].items[k].type == BUNDLE_TREE_FILE) {
                contents[n++] = &b->trees[i].items[k].content;
                bytes += b->trees[i].items[k].content.size;
            }
    int r = measure(b, contents, n, bytes, e);
    free(contents);
    return r;
}

static int format_item(const struct pack_item *item, struct buf *lines, struct err *e) {
    struct bundle_tree_entry entry = {.type = item->type,
                                      .exec = item->exec,
                                      .size = item->content.size,
                                      .digest = item->content.digest};
    memcpy(entry.path, item->path, strlen(item->path) + 1); // both were checked when added
    if (item->type == BUNDLE_TREE_LINK)
        memcpy(entry.target, item->target, strlen(item->target) + 1);
    return bundle_tree_format(&entry, lines, e);
}

static int format_tree(struct build *b, size_t number, struct err *e) {
    struct bundle_component *c = &b->components[number];
    const struct pack_tree *tree = &b->trees[number];
    struct pack_content *text = &b->texts[number];
    struct pack_content *const one[] = {text};
    buf_init(&b->lines[number], BUNDLE_TREE_MAX_BYTES);
    for (size_t i = 0; i < tree->n; i++) {
        const struct pack_item *item = &tree->items[i];
        if (format_item(item, &b->lines[number], e) < 0)
            return -1;
        c->executable = c->executable || item->exec;
        c->stream_bytes += item->type == BUNDLE_TREE_FILE ? item->content.size : 0;
    }
    c->entries = tree->n;
    c->size = b->lines[number].len;
    *text = (struct pack_content){
        .memory = (const uint8_t *)buf_text(&b->lines[number]), .dir = -1, .size = c->size};
    if (measure(b, one, 1, c->size, e) < 0)
        return -1;
    c->digest = text->digest;
    return 0;
}

static void describe_image(struct build *b, size_t number) {
    const struct pack_content *content = &b->trees[number].items[0].content;
    b->components[number].digest = content->digest;
    b->components[number].has_blocks = true;
    b->components[number].blocks = content->blocks;
    b->components[number].size = b->components[number].stream_bytes = content->size;
}

static int read_references(struct build *b, const char *path, struct err *e) {
    char dir[FS_PATH_BYTES];
    const struct pack_reference_new with = {
        .n = b->how->n_components, .components = b->components, .trees = b->trees};
    const char *slash = strrchr(path, '/');
    if (b->how->n_references == 0)
        return 0;
    (void)snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1,
                   slash ? path : ".");
    return pack_reference_open(b->how->references, b->how->n_references, dir, &with, &b->reference,
                               e);
}

// Everything into the table, in the order of the stream.
static int tabulate(struct build *b, struct err *e) {
    pack_table_init(&b->table, b->frame_bytes, b->reference);
    for (size_t i = 0; i < b->how->n_components; i++) {
        if (b->components[i].type == BUNDLE_COMPONENT_IMAGE)
            describe_image(b, i);
        else if (format_tree(b, i, e) < 0 || pack_table_add(&b->table, &b->texts[i], e) < 0)
            return err_prefix(e, "the tree of component %s", b->how->components[i].name);
    }
    pack_table_border(&b->table);
    for (size_t i = 0; i < b->how->n_components; i++)
        for (size_t k = 0; k < b->trees[i].n; k++)
            if (b->trees[i].items[k].type == BUNDLE_TREE_FILE &&
                pack_table_add(&b->table, &b->trees[i].items[k].content, e) < 0)
                return -1;
    return pack_table_finish(&b->table, e);
}

// Where everything goes. The manifest's place is that of one which names the largest data there can
// be, so it is known before the data is packed.
static int lay_out(struct build *b, struct err *e) {
    struct buf signed_part, envelope;
    uint64_t size[BUNDLE_SKELETON_MEMBERS];
    b->packing.frame_bytes = b->frame_bytes;
    b->packing.data_bytes = b->table.raw_bytes;
    if (bundle_index_size(b->table.n_frames, b->table.n_chunks, &b->packing.index_head_bytes,
                          &b->packing.index_bytes, e) < 0)
        return -1;
    buf_init(&signed_part, BUNDLE_MANIFEST_MAX_BYTES);
    buf_init(&envelope, BUNDLE_MANIFEST_MAX_BYTES);
    int r = pack_document_format(b->how, b->components, &b->packing, &signed_part, e);
    if (r == 0)
        r = pack_document_seal(b->how, buf_slice(&signed_part), 0, &envelope, e);
    size[BUNDLE_SKELETON_MANIFEST] = envelope.len;
    size[BUNDLE_SKELETON_INDEX] = b->packing.index_bytes;
    size[BUNDLE_SKELETON_DATA] = b->packing.data_bytes;
    if (r == 0)
        r = bundle_skeleton_layout(size, &b->skeleton, e);
    buf_clear(&signed_part);
    buf_clear(&envelope);
    return r;
}

static int write_manifest(struct build *b, int fd, struct err *e) {
    struct buf signed_part, envelope;
    buf_init(&signed_part, BUNDLE_MANIFEST_MAX_BYTES);
    buf_init(&envelope, BUNDLE_MANIFEST_MAX_BYTES);
    int r = pack_document_format(b->how, b->components, &b->packing, &signed_part, e);
    if (r == 0)
        r = pack_document_seal(b->how, buf_slice(&signed_part),
                               b->skeleton.size[BUNDLE_SKELETON_MANIFEST], &envelope, e);
    if (r == 0)
        r = fs_pwrite(fd, envelope.data, envelope.len, b->skeleton.offset[BUNDLE_SKELETON_MANIFEST],
                      e);
    keys_digest_of(signed_part.data, signed_part.len, &b->result.id);
    buf_clear(&signed_part);
    buf_clear(&envelope);
    return r;
}

static int write_headers(const struct build *b, int fd, struct err *e) {
    for (int i = 0; i < BUNDLE_SKELETON_MEMBERS; i++) {
        uint8_t block[BUNDLE_SKELETON_BLOCK];
        bundle_skeleton_header(&b->skeleton, (enum bundle_skeleton_member)i, block);
        if (fs_pwrite(fd, block, sizeof block, b->skeleton.offset[i] - sizeof block, e) < 0)
            return -1;
    }
    return fs_truncate(fd, b->skeleton.total, e); // what is behind the data is zero
}

static int write_bundle(struct build *b, int fd, struct err *e) {
    const struct pack_press press = {.table = &b->table,
                                     .frame_max = b->frame_bytes,
                                     .level = b->how->level,
                                     .threads = b->how->threads,
                                     .fd = fd,
                                     .data_offset = b->skeleton.offset[BUNDLE_SKELETON_DATA],
                                     .progress = b->how->progress,
                                     .context = b->how->context};
    uint64_t size[BUNDLE_SKELETON_MEMBERS];
    if (pack_press_all(&press, &b->packing.data_bytes, e) < 0 ||
        pack_rows_write(&b->table, b->packing.data_bytes, fd,
                        b->skeleton.offset[BUNDLE_SKELETON_INDEX], &b->packing.index_digest, e) < 0)
        return -1;
    memcpy(size, b->skeleton.size, sizeof size);
    size[BUNDLE_SKELETON_DATA] = b->packing.data_bytes;
    if (bundle_skeleton_layout(size, &b->skeleton, e) < 0 || write_manifest(b, fd, e) < 0)
        return -1;
    return write_headers(b, fd, e);
}

static int write_output(struct build *b, const char *path, struct err *e) {
    struct pack_partial partial;
    if (pack_partial_begin(path, &partial, e) < 0)
        return -1;
    return pack_partial_end(&partial, path, write_bundle(b, partial.fd, e), e);
}

static int check_how(struct build *b, const char *path, struct err *e) {
    const struct pack_build *how = b->how;
    if (how->n_components == 0 || how->n_components > BUNDLE_COMPONENTS_MAX)
        return err_set(e, &err_usage, "a bundle has 1 to %d components", BUNDLE_COMPONENTS_MAX);
    if (how->level < 1 || how->level > LEVEL_MAX)
        return err_set(e, &err_usage, "the level is 1 to %d", LEVEL_MAX);
    b->frame_bytes = how->frame_bytes;
    if (b->frame_bytes == 0)
        b->frame_bytes =
            how->level >= LEVEL_LARGE_FRAME ? BUNDLE_FRAME_MAX_BYTES : BUNDLE_FRAME_DEFAULT_BYTES;
    if (b->frame_bytes < BUNDLE_FRAME_MIN_BYTES || b->frame_bytes > BUNDLE_FRAME_MAX_BYTES)
        return err_set(e, &err_usage, "a frame has %d to %d bytes", BUNDLE_FRAME_MIN_BYTES,
                       BUNDLE_FRAME_MAX_BYTES);
    int n = snprintf(b->spool, sizeof b->spool, "%s.spool", path);
    if (n < 0 || (size_t)n >= sizeof b->spool)
        return err_set(e, &err_usage, "the path of the output is too long");
    return 0;
}

static void fill_result(struct build *b) {
    struct pack_build_result *r = &b->result;
    r->stream_bytes = b->table.stream_bytes;
    r->raw_bytes = b->table.raw_bytes;
    r->data_bytes = b->packing.data_bytes;
    r->file_bytes = b->skeleton.total;
    r->chunks = b->table.n_chunks;
    r->frames = b->table.n_frames;
    for (size_t i = 0; i < b->table.n_frames; i++) {
        const struct bundle_index_frame *f = &b->table.frames[i].row;
        if (f->raw >= b->table.fresh_start) {
            r->fresh_raw_bytes += f->raw_bytes;
            r->fresh_data_bytes += f->stored_bytes;
        }
    }
    for (size_t i = 0; i < b->how->n_components; i++)
        r->entries += b->components[i].entries;
}

static void free_build(struct build *b) {
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++) {
        pack_content_clear_tree(&b->trees[i]);
        buf_clear(&b->lines[i]);
        free(b->texts[i].pieces);
    }
    pack_table_clear(&b->table);
    pack_reference_close(b->reference);
    free(b);
}

int pack_build(const struct pack_build *how, const char *path, struct pack_build_result *ret,
               struct err *e) {
    struct build *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, &err_memory, "packing");
    b->how = how;
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        b->trees[i].dir = -1;
    int r = check_how(b, path, e);
    if (r == 0)
        r = read_inputs(b, e);
    if (r == 0)
        r = measure_files(b, e);
    if (r == 0)
        r = read_references(b, path, e);
    if (r == 0)
        r = tabulate(b, e);
    if (r == 0)
        r = lay_out(b, e);
    if (r == 0)
        r = write_output(b, path, e);
    if (r == 0) {
        fill_result(b);
        *ret = b->result;
    }
    free_build(b);
    return r < 0 ? err_prefix(e, "packing %s %s", how->name, how->release) : 0;
}
