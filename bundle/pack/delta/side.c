// SPDX-License-Identifier: Apache-2.0
//
// Laying a bundle's contents end to end.
#include "bundle/pack/delta/side.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/random.h"
#include "bundle/kind.h"
#include "bundle/tree.h"
#include "bundle/unpack/stream.h"

struct lay {
    struct pack_delta_side *side;
    struct unpack_stream *stream;
};

int pack_delta_side_temporary(const char *dir, int *ret, struct err *e) {
    char path[FS_PATH_BYTES];
    OWN(fd) int fd = -1;
    int n = snprintf(path, sizeof path, "%s/.edge-delta-%016llx", dir,
                     (unsigned long long)random_below(UINT64_MAX));
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, &err_usage, "the path of the temporary folder is too long");
    // It has no name while it is used, so nothing is left behind.
    if (fs_create(AT_FDCWD, path, 0600, &fd, e) < 0 || fs_remove(AT_FDCWD, path, e) < 0)
        return -1;
    *ret = own_take_fd(&fd);
    return 0;
}

static int map_file(struct pack_delta_side *side, const char *dir, struct err *e) {
    side->len = bundle_manifest_stream_bytes(side->view);
    if (pack_delta_side_temporary(dir, &side->fd, e) < 0)
        return -1;
    // Too little room is found out before the work, not in the middle of it.
    if (fs_allocate(side->fd, side->len, e) < 0 || fs_truncate(side->fd, side->len, e) < 0)
        return -1;
    if (side->len == 0)
        return 0;
    void *bytes = mmap(NULL, side->len, PROT_READ, MAP_SHARED, side->fd, 0);
    if (bytes == MAP_FAILED)
        return err_errno(e, errno, "mapping %llu bytes of contents", (unsigned long long)side->len);
    side->bytes = bytes;
    return 0;
}

// Takes one content off the stream. Chunks that repeat are read from the bundle again: slower than
// from here, and simpler.
static int lay_content(struct lay *lay, uint64_t address, uint64_t size,
                       const struct keys_digest *digest, struct err *e) {
    struct keys_digest_state state;
    struct keys_digest found;
    keys_digest_init(&state);
    for (uint64_t done = 0; done < size;) {
        struct unpack_piece piece;
        const uint8_t *bytes = NULL;
        if (unpack_stream_next(lay->stream, size - done, &piece, e) < 0 ||
            (piece.repeat ? unpack_stream_again : unpack_stream_bytes)(lay->stream, &piece, &bytes,
                                                                       e) < 0 ||
            fs_pwrite(lay->side->fd, bytes, piece.bytes, address + done, e) < 0)
            return -1;
        keys_digest_add(&state, bytes, piece.bytes);
        done += piece.bytes;
    }
    keys_digest_final(&state, &found);
    return keys_digest_equal(&found, digest)
               ? 0
               : err_set(e, &err_bad_content, "its contents are not those that were signed");
}

static int add(struct pack_delta_side *side, const struct pack_delta_content *content,
               const char *path, struct err *e) {
    if (side->n == side->max) {
        size_t max = side->max ? 2 * side->max : 256;
        void *grown = realloc(side->contents, max * sizeof *side->contents);
        if (!grown)
            return err_set(e, &err_memory, "listing %zu contents", max);
        side->contents = grown;
        side->max = max;
    }
    char *copy = strdup(path);
    if (!copy)
        return err_set(e, &err_memory, "listing contents");
    side->contents[side->n] = *content;
    side->contents[side->n++].path = copy;
    return 0;
}

static int lay_files(struct lay *lay, size_t number, uint64_t address, struct err *e) {
    struct pack_delta_side *side = lay->side;
    const struct bundle_component *component = &side->view->components[number];
    struct bundle_tree_reader *tree = NULL;
    struct bundle_tree_entry entry;
    uint64_t end = address + component->stream_bytes;
    int r = bundle_tree_open(side->fd, side->trees[number], component->size, &tree, e);
    while (r == 0 && (r = bundle_tree_next_file(tree, &entry, e)) == 0) {
        const struct pack_delta_content content = {.address = address,
                                                   .size = entry.size,
                                                   .digest = entry.digest,
                                                   .component = (uint32_t)number};
        if (entry.size > end - address)
            r = err_set(e, &err_bad_tree, "its files are larger than the manifest says");
        else if (lay_content(lay, address, entry.size, &entry.digest, e) < 0)
            r = err_prefix(e, "%s", entry.path);
        else
            r = add(side, &content, entry.path, e);
        address += entry.size;
    }
    bundle_tree_close(tree);
    if (r >= 0 && address != end)
        r = err_set(e, &err_bad_tree, "its files are smaller than the manifest says");
    return r < 0 ? -1 : 0;
}

static int lay_component(struct lay *lay, size_t number, uint64_t address, struct err *e) {
    const struct bundle_component *component = &lay->side->view->components[number];
    if (component->type == BUNDLE_COMPONENT_FILES)
        return lay_files(lay, number, address + component->size, e);
    const struct pack_delta_content content = {.address = address,
                                               .size = component->size,
                                               .digest = component->digest,
                                               .component = (uint32_t)number};
    if (lay_content(lay, address, component->size, &component->digest, e) < 0)
        return -1;
    return add(lay->side, &content, "", e);
}

static int lay_all(struct lay *lay, struct err *e) {
    struct pack_delta_side *side = lay->side;
    const struct bundle_manifest_view *view = side->view;
    uint64_t address = 0;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        side->trees[i] = address;
        if (c->type == BUNDLE_COMPONENT_FILES) {
            if (lay_content(lay, address, c->size, &c->digest, e) < 0)
                return err_prefix(e, "the tree of component %s", c->name);
            address += c->size;
        }
        address += c->stream_bytes;
    }
    if (unpack_stream_border(lay->stream, e) < 0)
        return -1;
    for (size_t i = 0; i < view->n_components; i++)
        if (lay_component(lay, i, side->trees[i], e) < 0)
            return err_prefix(e, "component %s", view->components[i].name);
    return unpack_stream_end(lay->stream, e);
}

int pack_delta_side_open(const struct unpack_bundle *bundle, const struct unpack_source *source,
                         const char *dir, struct pack_delta_side *ret, struct err *e) {
    const struct bundle_manifest *manifest = unpack_bundle_manifest(bundle);
    struct lay lay = {.side = ret};
    OWN(fd) int index = -1;
    *ret = (struct pack_delta_side){
        .view = bundle_manifest_view(manifest), .id = bundle_manifest_id(manifest), .fd = -1};
    int r = -1;
    if (pack_delta_side_temporary(dir, &index, e) == 0 && map_file(ret, dir, e) == 0 &&
        unpack_stream_open(bundle, source, UNPACK_STREAM_FORWARD, index, BUNDLE_FRAME_MAX_BYTES,
                           &lay.stream, e) == 0)
        r = lay_all(&lay, e);
    unpack_stream_close(lay.stream);
    if (r < 0)
        pack_delta_side_close(ret);
    return r;
}

const struct pack_delta_content *pack_delta_side_find(const struct pack_delta_side *side,
                                                      uint32_t component, const char *path) {
    size_t low = 0, high = side->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct pack_delta_content *c = &side->contents[middle];
        if (c->component < component ||
            (c->component == component && bundle_tree_compare(c->path, path) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    const struct pack_delta_content *found = low < side->n ? &side->contents[low] : NULL;
    return found && found->component == component && strcmp(found->path, path) == 0 ? found : NULL;
}

void pack_delta_side_close(struct pack_delta_side *side) {
    for (size_t i = 0; i < side->n; i++)
        free((void *)(uintptr_t)side->contents[i].path);
    free(side->contents);
    if (side->bytes)
        (void)munmap((void *)(uintptr_t)side->bytes, side->len);
    own_drop_fd(&side->fd);
    *side = (struct pack_delta_side){.fd = -1};
}
