// SPDX-License-Identifier: Apache-2.0
//
// Writing a delta, and trying it.
#include "bundle/pack/delta/write.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/pack/document.h"
#include "bundle/pack/partial.h"
#include "bundle/skeleton.h"
#include "bundle/unpack/delta.h"

// What padding leaves for signatures that are added to the head.
#define HEAD_ROOM_BYTES 1024

struct writing {
    const struct pack_delta_write *in;
    struct pack_delta_result *result;
    struct bundle_delta_head head;
    struct bundle_skeleton_delta skeleton;
    struct buf manifest, signed_part, envelope, index;
};

static void describe_base(struct writing *w) {
    const struct bundle_manifest_view *view = w->in->old_side->view;
    w->head.base = *w->in->old_side->id;
    w->head.n_components = view->n_components;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        struct bundle_delta_component *to = &w->head.components[i];
        memcpy(to->name, c->name, sizeof to->name);
        to->type = c->type;
        to->digest = c->digest;
        to->size = c->size;
        to->stream_bytes = c->stream_bytes;
    }
}

// One kind of frames: their rows, and what they add to the sums.
static int add_rows(struct writing *w, const struct pack_delta_frames *frames, uint64_t *ret_stored,
                    struct err *e) {
    struct bundle_delta_packing *p = &w->head.packing;
    for (size_t i = 0; i < frames->n; i++) {
        const struct pack_delta_made *made = &frames->list[i];
        struct bundle_delta_frame row = {.offset = p->data_bytes,
                                         .position = p->stream_bytes,
                                         .out_bytes = made->out_bytes,
                                         .stored_bytes = (uint32_t)made->stored.len};
        uint8_t bytes[BUNDLE_DELTA_ROW_BYTES];
        keys_digest_of(made->stored.data, made->stored.len, &row.digest);
        bundle_delta_format_row(&row, bytes);
        if (buf_add(&w->index, bytes, sizeof bytes, e) < 0)
            return -1;
        p->data_bytes += made->stored.len;
        p->stream_bytes += made->out_bytes;
        if (made->decode_bytes > p->decode_bytes)
            p->decode_bytes = made->decode_bytes;
        if (made->stored.len > p->frame_bytes)
            p->frame_bytes = made->stored.len;
        *ret_stored += made->stored.len;
    }
    p->n_frames += frames->n;
    return 0;
}

static int describe_frames(struct writing *w, struct err *e) {
    struct pack_delta_result *r = w->result;
    uint64_t *const stored[PACK_DELTA_WRITE_KINDS] = {&r->tree_bytes, &r->map_bytes,
                                                      &r->content_bytes};
    for (int i = 0; i < PACK_DELTA_WRITE_KINDS; i++)
        if (add_rows(w, w->in->frames[i], stored[i], e) < 0)
            return -1;
    struct bundle_delta_packing *p = &w->head.packing;
    p->n_tree_frames = w->in->frames[PACK_DELTA_WRITE_TREES]->n;
    p->n_map_frames = w->in->frames[PACK_DELTA_WRITE_MAP]->n;
    keys_digest_of(w->index.data, w->index.len, &p->index_digest);
    r->frames = p->n_frames;
    r->decode_bytes = p->decode_bytes;
    return 0;
}

static int pad(struct buf *b, size_t align, size_t room, struct err *e) {
    size_t wanted = (b->len + room + align - 1) / align * align - b->len;
    uint8_t *to = NULL;
    if (wanted == 0)
        return 0;
    if (buf_reserve(b, wanted, &to, e) < 0)
        return -1;
    memset(to, ' ', wanted);
    buf_commit(b, wanted);
    return 0;
}

// NEW's manifest as it was signed, with the least padding: nobody signs it in here.
static int make_members(struct writing *w, struct err *e) {
    const struct pack_delta_build *how = w->in->how;
    const struct bundle_manifest *manifest = unpack_bundle_manifest(how->new_bundle.bundle);
    struct slice raw = bundle_manifest_raw(manifest);
    w->head.bundle = *bundle_manifest_id(manifest);
    if (buf_add(&w->manifest, raw.data, raw.len, e) < 0 ||
        pad(&w->manifest, BUNDLE_MANIFEST_ALIGN, 0, e) < 0 ||
        bundle_delta_format(&w->head, &w->signed_part, e) < 0 ||
        sign_signer_envelope(buf_slice(&w->signed_part), how->signers, how->n_signers, &w->envelope,
                             e) < 0 ||
        pad(&w->envelope, BUNDLE_DELTA_HEAD_ALIGN, how->n_signers ? 0 : HEAD_ROOM_BYTES, e) < 0)
        return -1;
    keys_digest_of(w->signed_part.data, w->signed_part.len, &w->result->head);
    w->result->head_bytes = w->signed_part.len;
    const uint64_t size[BUNDLE_SKELETON_DELTA_MEMBERS] = {
        [BUNDLE_SKELETON_DELTA_MANIFEST] = w->manifest.len,
        [BUNDLE_SKELETON_DELTA_HEAD] = w->envelope.len,
        [BUNDLE_SKELETON_DELTA_INDEX] = w->index.len,
        [BUNDLE_SKELETON_DELTA_DATA] = w->head.packing.data_bytes};
    if (bundle_skeleton_delta_layout(size, &w->skeleton, e) < 0)
        return -1;
    w->result->file_bytes = w->skeleton.total;
    return 0;
}

static int write_frames(const struct writing *w, int fd, struct err *e) {
    uint64_t at = w->skeleton.offset[BUNDLE_SKELETON_DELTA_DATA];
    for (int i = 0; i < PACK_DELTA_WRITE_KINDS; i++)
        for (size_t k = 0; k < w->in->frames[i]->n; k++) {
            const struct buf *stored = &w->in->frames[i]->list[k].stored;
            if (fs_pwrite(fd, stored->data, stored->len, at, e) < 0)
                return -1;
            at += stored->len;
        }
    return 0;
}

static int write_file(const struct writing *w, int fd, struct err *e) {
    const struct buf *const members[] = {&w->manifest, &w->envelope, &w->index};
    for (int i = 0; i < BUNDLE_SKELETON_DELTA_MEMBERS; i++) {
        uint8_t block[BUNDLE_SKELETON_BLOCK];
        bundle_skeleton_delta_header(&w->skeleton, (enum bundle_skeleton_delta_member)i, block);
        if (fs_pwrite(fd, block, sizeof block, w->skeleton.offset[i] - sizeof block, e) < 0 ||
            (i < BUNDLE_SKELETON_DELTA_DATA &&
             fs_pwrite(fd, members[i]->data, members[i]->len, w->skeleton.offset[i], e) < 0))
            return -1;
    }
    if (write_frames(w, fd, e) < 0)
        return -1;
    return fs_truncate(fd, w->skeleton.total, e); // what is behind the data is zero
}

// Opens the delta as a device does, decodes all of it with the old bundle's contents, and compares.
static int try(const struct writing *w, int fd, struct err *e) {
    const struct pack_delta_build *how = w->in->how;
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    OWN(fd) int table = -1;
    struct unpack_source_file file;
    struct unpack_source source;
    if (unpack_source_from_file(fd, &file, &source, e) < 0 ||
        unpack_delta_open(&source, &candidate, e) < 0 ||
        unpack_delta_verify_digest(&candidate, how->root, &w->result->head, w->result->head_bytes,
                                   &delta, e) < 0 ||
        pack_delta_side_temporary(how->dir, &table, e) < 0 ||
        unpack_delta_base_spool(delta, w->in->old_side->fd, table, &base, e) < 0 ||
        unpack_delta_check(delta, &source, base, w->head.packing.decode_bytes, e) < 0)
        return err_prefix(e, "trying the delta that was made");
    return 0;
}

static int write_output(const struct writing *w, const char *path, struct err *e) {
    struct pack_partial partial;
    if (pack_partial_begin(path, &partial, e) < 0)
        return -1;
    int r = write_file(w, partial.fd, e);
    if (r == 0)
        r = try(w, partial.fd, e);
    return pack_partial_end(&partial, path, r, e);
}

int pack_delta_write(const struct pack_delta_write *write, const char *path,
                     struct pack_delta_result *ret, struct err *e) {
    struct writing w = {.in = write, .result = ret};
    buf_init(&w.manifest, BUNDLE_MANIFEST_MAX_BYTES);
    buf_init(&w.signed_part, BUNDLE_DELTA_HEAD_MAX_BYTES);
    buf_init(&w.envelope, BUNDLE_DELTA_HEAD_MAX_BYTES);
    buf_init(&w.index, (size_t)BUNDLE_DELTA_FRAMES_MAX * BUNDLE_DELTA_ROW_BYTES);
    describe_base(&w);
    int r = describe_frames(&w, e);
    if (r == 0)
        r = make_members(&w, e);
    if (r == 0)
        r = ret->file_bytes >= ret->full_bytes ? PACK_DELTA_NOT_WORTH_IT
                                               : write_output(&w, path, e);
    buf_clear(&w.manifest);
    buf_clear(&w.signed_part);
    buf_clear(&w.envelope);
    buf_clear(&w.index);
    return r;
}
