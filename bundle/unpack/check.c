// SPDX-License-Identifier: Apache-2.0
//
// Checking a bundle without unpacking it: everything that staging and sealing would find, and the
// chunk digests too. Index and trees are kept in memory files, nothing is written to a disk.
#include "bundle/unpack/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/tree.h"
#include "bundle/unpack/stream.h"
#include "keys/blocks.h"

struct check {
    const struct bundle_manifest_view *view;
    int index;
    int trees[BUNDLE_COMPONENTS_MAX];
    struct unpack_stream *stream;
};

static int memory_file(int *ret, struct err *e) {
    int fd = memfd_create("edge-check", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "a file in memory");
    *ret = fd;
    return 0;
}

static int check_chunk(const struct unpack_piece *piece, const struct keys_digest *found,
                       struct err *e) {
    if (memcmp(found->bytes, piece->digest, sizeof piece->digest) != 0)
        return err_set(e, &err_bad_index, "a chunk's digest is not that of its bytes");
    return 0;
}

static int check_blocks(struct keys_blocks *state, const struct keys_digest *blocks,
                        struct err *e) {
    struct keys_digest found;
    keys_blocks_final(state, &found);
    return keys_digest_equal(&found, blocks)
               ? 0
               : err_set(e, &err_bad_content,
                         "the digest of its blocks is not that of its contents");
}

// Takes one content, checks every chunk and the whole, by blocks too unless `blocks` is NULL, and
// keeps it in fd unless that is -1.
static int check_content(struct check *c, const struct keys_digest *digest,
                         const struct keys_digest *blocks, uint64_t size, int fd, struct err *e) {
    struct keys_digest_state state;
    struct keys_blocks by_blocks;
    struct keys_digest found;
    keys_digest_init(&state);
    keys_blocks_init(&by_blocks);
    struct unpack_piece piece = {.bytes = 0};
    for (uint64_t done = 0; done < size;) {
        const uint8_t *bytes = NULL;
        if (unpack_stream_next(c->stream, size - done, &piece, e) < 0 ||
            (piece.repeat ? unpack_stream_again : unpack_stream_bytes)(c->stream, &piece, &bytes,
                                                                       e) < 0)
            return -1;
        if (piece.bytes < size) {
            keys_digest_of(bytes, piece.bytes, &found);
            if (check_chunk(&piece, &found, e) < 0)
                return -1;
        }
        keys_digest_add(&state, bytes, piece.bytes);
        if (blocks)
            keys_blocks_add(&by_blocks, bytes, piece.bytes);
        if (fd >= 0 && fs_pwrite(fd, bytes, piece.bytes, done, e) < 0)
            return -1;
        done += piece.bytes;
    }
    keys_digest_final(&state, &found);
    if (!keys_digest_equal(&found, digest))
        return err_set(e, &err_bad_content, "its contents are not those that were signed");
    if (blocks && check_blocks(&by_blocks, blocks, e) < 0)
        return -1;
    // Of a content that is one chunk, one digest serves both.
    return size > 0 && piece.bytes == size ? check_chunk(&piece, &found, e) : 0;
}

static int check_entries(struct check *c, const struct bundle_component *component,
                         struct bundle_tree_reader *tree, struct err *e) {
    struct bundle_tree_entry entry;
    uint64_t bytes = 0;
    bool executable = false;
    int r;
    while ((r = bundle_tree_next_file(tree, &entry, e)) == 0) {
        executable = executable || entry.exec;
        bytes += entry.size; // at most 10^6 entries of 2^42: no overflow
        if (bytes > component->stream_bytes)
            return err_set(e, &err_bad_tree, "its files are larger than the manifest says");
        if (check_content(c, &entry.digest, NULL, entry.size, -1, e) < 0)
            return err_prefix(e, "%s", entry.path);
    }
    if (r < 0)
        return -1;
    if (bundle_tree_entries(tree) != component->entries || bytes != component->stream_bytes ||
        executable != component->executable)
        return err_set(e, &err_bad_tree, "its tree is not what the manifest says of it");
    return 0;
}

static int check_component(struct check *c, size_t number, struct err *e) {
    const struct bundle_component *component = &c->view->components[number];
    struct bundle_tree_reader *tree = NULL;
    if (component->type == BUNDLE_COMPONENT_IMAGE)
        return check_content(c, &component->digest,
                             component->has_blocks ? &component->blocks : NULL, component->size, -1,
                             e);
    if (bundle_tree_open(c->trees[number], 0, component->size, &tree, e) < 0)
        return -1;
    int r = check_entries(c, component, tree, e);
    bundle_tree_close(tree);
    return r;
}

static int check_tree(struct check *c, size_t number, struct err *e) {
    const struct bundle_component *component = &c->view->components[number];
    if (component->type != BUNDLE_COMPONENT_FILES)
        return 0;
    if (memory_file(&c->trees[number], e) < 0)
        return -1;
    int r = check_content(c, &component->digest, NULL, component->size, c->trees[number], e);
    if (r < 0 && err_is(e, &err_bad_content))
        e->kind = &err_bad_tree;
    return r < 0 ? err_prefix(e, "the tree of %s", component->name) : 0;
}

static int run_check(struct check *c, const struct unpack_bundle *bundle,
                     const struct unpack_source *source, uint64_t decode_max_bytes, struct err *e) {
    if (memory_file(&c->index, e) < 0 ||
        unpack_stream_open(bundle, source, UNPACK_STREAM_FORWARD, c->index, decode_max_bytes,
                           &c->stream, e) < 0)
        return -1;
    for (size_t i = 0; i < c->view->n_components; i++)
        if (check_tree(c, i, e) < 0)
            return -1;
    if (unpack_stream_border(c->stream, e) < 0)
        return -1;
    for (size_t i = 0; i < c->view->n_components; i++)
        if (check_component(c, i, e) < 0)
            return err_prefix(e, "component %s", c->view->components[i].name);
    return unpack_stream_end(c->stream, e);
}

int unpack_check(const struct unpack_bundle *bundle, const struct unpack_source *source,
                 uint64_t decode_max_bytes, struct err *e) {
    struct check c = {.view = bundle_manifest_view(unpack_bundle_manifest(bundle)), .index = -1};
    memset(c.trees, 0xff, sizeof c.trees); // -1 each
    int r = run_check(&c, bundle, source, decode_max_bytes, e);
    unpack_stream_close(c.stream);
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        own_drop_fd(&c.trees[i]);
    own_drop_fd(&c.index);
    return r;
}
