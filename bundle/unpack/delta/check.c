// SPDX-License-Identifier: Apache-2.0
//
// Checking a delta without staging: everything is decoded and compared, trees and tables are kept
// in memory files, nothing is written to a disk.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/own.h"
#include "bundle/unpack/delta/apply.h"

struct check {
    struct delta_stream stream;
    struct delta_plan plan;
    int map, table;
    int trees[BUNDLE_COMPONENTS_MAX];
};

static int memory_file(int *ret, struct err *e) {
    int fd = memfd_create("edge-check", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "a file in memory");
    *ret = fd;
    return 0;
}

static int plan_tree(void *context, uint32_t component, int *ret_fd, bool *ret_kept,
                     struct err *e) {
    struct check *c = context;
    if (memory_file(&c->trees[component], e) < 0)
        return -1;
    *ret_fd = c->trees[component];
    *ret_kept = false;
    return 0;
}

static int plan_component(void *context, uint32_t component, struct err *e) {
    (void)context, (void)component, (void)e;
    return 0;
}

static int plan_entry(void *context, const struct bundle_tree_entry *entry, struct err *e) {
    (void)context, (void)entry, (void)e;
    return 0;
}

static int plan_content(void *context, const struct delta_plan_content *content,
                        enum delta_plan_need *ret, uint64_t *ret_have, struct err *e) {
    (void)context, (void)content, (void)ret, (void)ret_have, (void)e;
    return 0;
}

static int apply_take(void *context, const struct delta_plan_content *content, struct err *e) {
    (void)context, (void)content, (void)e;
    return 0;
}

static int apply_begin(void *context, const struct delta_plan_content *content, uint64_t keep,
                       struct keys_digest_state *hash, struct err *e) {
    (void)context, (void)content, (void)keep, (void)hash, (void)e;
    return 0;
}

static int apply_write(void *context, const void *data, size_t len, uint64_t offset,
                       struct err *e) {
    (void)context, (void)data, (void)len, (void)offset, (void)e;
    return 0;
}

static int apply_end(void *context, const struct delta_plan_content *content, bool right,
                     struct err *e) {
    (void)context, (void)content, (void)right, (void)e;
    return 0;
}

static int apply_progress(void *context, uint64_t position, struct err *e) {
    (void)context, (void)position, (void)e;
    return 0;
}

static const struct delta_plan_ops plan_ops = {
    .tree = plan_tree, .component = plan_component, .entry = plan_entry, .content = plan_content};
static const struct delta_apply_ops apply_ops = {.take = apply_take,
                                                 .begin = apply_begin,
                                                 .write = apply_write,
                                                 .end = apply_end,
                                                 .progress = apply_progress};

static int run_check(struct check *c, const struct unpack_delta *delta,
                     const struct unpack_source *source, struct unpack_delta_base *base,
                     uint64_t decode_max_bytes, struct err *e) {
    struct delta_base reader;
    if (memory_file(&c->map, e) < 0 || memory_file(&c->table, e) < 0)
        return -1;
    delta_base_reader(base, &reader);
    c->plan = (struct delta_plan){
        .stream = &c->stream, .base = base, .ops = &plan_ops, .context = c, .map_fd = c->map};
    if (delta_stream_open(&c->stream, delta, source, &reader, decode_max_bytes, e) < 0 ||
        delta_plan_make(&c->plan, c->table, e) < 0)
        return -1;
    return delta_apply(&c->plan, &apply_ops, c, e);
}

int unpack_delta_check(const struct unpack_delta *delta, const struct unpack_source *source,
                       struct unpack_delta_base *base, uint64_t decode_max_bytes, struct err *e) {
    struct check *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, &err_memory, "checking a delta");
    c->map = c->table = -1;
    memset(c->trees, 0xff, sizeof c->trees); // -1 each
    int r = run_check(c, delta, source, base, decode_max_bytes, e);
    delta_stream_close(&c->stream);
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        own_drop_fd(&c->trees[i]);
    own_drop_fd(&c->map);
    own_drop_fd(&c->table);
    free(c);
    return r;
}
