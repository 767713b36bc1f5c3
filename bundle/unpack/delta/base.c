// SPDX-License-Identifier: Apache-2.0
//
// The old stream over files: its table, its runs, its window.
#include "bundle/unpack/delta/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"

int delta_base_new(const struct bundle_delta_head *head, int table_fd,
                   struct unpack_delta_base **ret, struct err *e) {
    struct unpack_delta_base *base = calloc(1, sizeof *base);
    if (!base)
        return err_set(e, &err_memory, "opening the old contents");
    base->head = head;
    base->bytes = bundle_delta_base_bytes(head);
    base->spool = -1;
    unpack_scratch_init(&base->rows, table_fd);
    uint64_t at = 0;
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++) {
        base->components[i] =
            (struct delta_base_component){.from = at, .dir = -1, .image = -1, .tree = -1};
        if (i < head->n_components)
            at += bundle_delta_component_bytes(&head->components[i]);
    }
    for (size_t i = 0; i < DELTA_BASE_OPEN_MAX; i++)
        base->open[i].fd = -1;
    *ret = base;
    return 0;
}

static void drop_run(struct delta_base_run *run) {
    if (!run->borrowed)
        own_drop_fd(&run->fd);
    *run = (struct delta_base_run){.fd = -1};
}

void unpack_delta_base_close(struct unpack_delta_base *base) {
    if (!base)
        return;
    for (size_t i = 0; i < DELTA_BASE_OPEN_MAX; i++)
        drop_run(&base->open[i]);
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++) {
        own_drop_fd(&base->components[i].dir);
        if (!base->components[i].tree_borrowed)
            own_drop_fd(&base->components[i].tree);
    }
    free(base);
}

static int add_row(struct unpack_delta_base *base, uint64_t address, uint64_t tree_offset,
                   size_t component, struct err *e) {
    const struct unpack_scratch_row row = {.key = address, .a = tree_offset, .b = component};
    return unpack_scratch_add(&base->rows, &row, e);
}

static int add_files(struct unpack_delta_base *base, size_t number, struct bundle_tree_reader *tree,
                     struct err *e) {
    const struct bundle_delta_component *c = &base->head->components[number];
    uint64_t from = base->components[number].from + c->size, bytes = 0;
    struct bundle_tree_entry entry;
    int r;
    while ((r = bundle_tree_next_file(tree, &entry, e)) == 0) {
        if (entry.size > c->stream_bytes - bytes)
            return err_set(e, &err_bad_delta, "its files are larger than the head says");
        if (add_row(base, from + bytes, bundle_tree_offset(tree), number, e) < 0)
            return -1;
        bytes += entry.size;
    }
    if (r < 0)
        return -1;
    if (bytes != c->stream_bytes)
        return err_set(e, &err_bad_delta, "its files are smaller than the head says");
    return 0;
}

int delta_base_add(struct unpack_delta_base *base, size_t number, struct err *e) {
    const struct bundle_delta_component *c = &base->head->components[number];
    struct delta_base_component *place = &base->components[number];
    struct bundle_tree_reader *tree = NULL;
    place->first = base->rows.n;
    if (c->type == BUNDLE_COMPONENT_IMAGE)
        return add_row(base, place->from, DELTA_BASE_IMAGE, number, e);
    if (bundle_tree_open(place->tree, place->tree_at, c->size, &tree, e) < 0)
        return -1;
    int r = add_files(base, number, tree, e);
    bundle_tree_close(tree);
    return r;
}

static int describe(const struct unpack_delta_base *base, const struct unpack_scratch_row *row,
                    struct delta_base_content *ret, struct err *e) {
    const struct bundle_delta_component *c = &base->head->components[row->b];
    const struct delta_base_component *place = &base->components[row->b];
    uint8_t line[BUNDLE_TREE_LINE_MAX];
    size_t got = 0;
    ret->component = (size_t)row->b;
    if (row->a == DELTA_BASE_IMAGE) {
        ret->entry.type = BUNDLE_TREE_FILE;
        ret->entry.path[0] = '\0';
        ret->entry.size = c->size;
        ret->entry.digest = c->digest;
        return 0;
    }
    if (fs_pread(place->tree, line, sizeof line, place->tree_at + row->a, &got, e) < 0)
        return err_prefix(e, "reading an old tree");
    const uint8_t *newline = memchr(line, '\n', got);
    if (!newline)
        return err_set(e, &err_bad_generation, "an old tree changed while it was in use");
    return bundle_tree_parse((struct slice){line, (size_t)(newline - line) + 1}, &ret->entry, e);
}

int delta_base_content(struct unpack_delta_base *base, uint64_t number,
                       struct delta_base_content *ret, struct err *e) {
    struct unpack_scratch_row row;
    if (number >= base->rows.n)
        return err_set(e, &err_bad_delta, "there is no old content number %" PRIu64, number);
    if (unpack_scratch_get(&base->rows, number, &row, e) < 0)
        return -1;
    return describe(base, &row, ret, e);
}

int delta_base_file(const struct unpack_delta_base *base, const struct delta_base_content *content,
                    int *ret_fd, struct err *e) {
    int image = base->components[content->component].image;
    if (image >= 0) {
        int fd = fcntl(image, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return err_errno(e, errno, "reading an old image");
        *ret_fd = fd;
        return 0;
    }
    if (fs_open_read(base->components[content->component].dir, content->entry.path, ret_fd, e) < 0)
        return err_prefix(e, "old contents, %s", content->entry.path);
    return 0;
}

// Which component an address lies in; one of no bytes holds none.
static size_t component_at(const struct unpack_delta_base *base, uint64_t address) {
    size_t i = base->head->n_components;
    while (i > 1 && base->components[i - 1].from > address)
        i--;
    return i - 1;
}

// Finds where an address lies, and opens it.
static int locate(struct unpack_delta_base *base, uint64_t address, struct delta_base_run *ret,
                  struct err *e) {
    size_t number = component_at(base, address);
    const struct delta_base_component *place = &base->components[number];
    const struct bundle_delta_component *c = &base->head->components[number];
    if (base->spool >= 0) {
        *ret = (struct delta_base_run){.end = base->bytes, .fd = base->spool, .borrowed = true};
        return 0;
    }
    if (address - place->from < c->size) {
        bool image = c->type == BUNDLE_COMPONENT_IMAGE;
        *ret = (struct delta_base_run){.from = place->from,
                                       .end = place->from + c->size,
                                       .fd = image ? place->image : place->tree,
                                       .borrowed = true,
                                       .offset = place->tree_at};
        return 0;
    }
    struct unpack_scratch_row row = {.key = 0};
    struct delta_base_content content;
    int fd = -1;
    int r = unpack_scratch_find(&base->rows, address, &row, e);
    if (r != 0)
        return r < 0 ? -1 : err_set(e, &err_internal, "no old content holds an old address");
    if (describe(base, &row, &content, e) < 0 || delta_base_file(base, &content, &fd, e) < 0)
        return -1;
    *ret = (struct delta_base_run){.from = row.key, .end = row.key + content.entry.size, .fd = fd};
    return 0;
}

static int find_run(struct unpack_delta_base *base, uint64_t address, struct delta_base_run **ret,
                    struct err *e) {
    struct delta_base_run found;
    for (size_t i = 0; i < DELTA_BASE_OPEN_MAX; i++)
        if (base->open[i].from <= address && address < base->open[i].end) {
            *ret = &base->open[i];
            return 0;
        }
    if (locate(base, address, &found, e) < 0)
        return -1;
    struct delta_base_run *place = &base->open[base->oldest];
    base->oldest = (base->oldest + 1) % DELTA_BASE_OPEN_MAX;
    drop_run(place);
    *place = found;
    *ret = place;
    return 0;
}

static int read_run(const struct delta_base_run *run, uint64_t address, uint8_t *to, size_t len,
                    struct err *e) {
    size_t got = 0;
    if (fs_pread(run->fd, to, len, run->offset + (address - run->from), &got, e) < 0)
        return err_prefix(e, "reading old contents");
    if (got < len)
        return err_set(e, &err_bad_generation, "a file of the old contents was cut short");
    return 0;
}

static size_t least(uint64_t a, size_t b) {
    return a < b ? (size_t)a : b;
}

// Reads what one step can: out of the window, straight from the file when it is much, else by
// filling the window from here on.
static int read_some(struct unpack_delta_base *base, uint64_t address, uint8_t *to, size_t len,
                     size_t *ret_len, struct err *e) {
    struct delta_base_run *run = NULL;
    if (address >= base->window_at && address - base->window_at < base->window_len) {
        size_t at = (size_t)(address - base->window_at);
        *ret_len = least(base->window_len - at, len);
        memcpy(to, base->window + at, *ret_len);
        return 0;
    }
    if (find_run(base, address, &run, e) < 0)
        return -1;
    uint64_t left = run->end - address;
    if (len >= sizeof base->window / 2) {
        *ret_len = least(left, len);
        return read_run(run, address, to, *ret_len, e);
    }
    base->window_len = 0;
    size_t n = least(left, sizeof base->window);
    if (read_run(run, address, base->window, n, e) < 0)
        return -1;
    base->window_at = address;
    base->window_len = n;
    *ret_len = least(n, len);
    memcpy(to, base->window, *ret_len);
    return 0;
}

static int read_base(void *context, uint64_t address, void *data, size_t len, struct err *e) {
    struct unpack_delta_base *base = context;
    uint8_t *to = data;
    if (address > base->bytes || len > base->bytes - address)
        return err_set(e, &err_bad_delta, "it reads outside the old contents");
    while (len > 0) {
        size_t n = 0;
        if (read_some(base, address, to, len, &n, e) < 0)
            return -1;
        to += n;
        address += n;
        len -= n;
    }
    return 0;
}

void delta_base_reader(struct unpack_delta_base *base, struct delta_base *ret) {
    *ret = (struct delta_base){.read = read_base, .bytes = base->bytes, .context = base};
}
