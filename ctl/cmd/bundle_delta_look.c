// SPDX-License-Identifier: Apache-2.0
//
// Deltas under `edgectl bundle inspect` and `bundle verify`: what one says of itself, and whether
// it makes what was signed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/delta/side.h"
#include "bundle/unpack/delta.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"

struct look {
    const char *path;
    struct unpack_delta_candidate *candidate;
    struct bundle_manifest_unverified *manifest;
    struct keys_envelope_candidate envelope; // the head's
    struct bundle_delta_head head;
    uint64_t file_bytes;
};

static void clear(struct look *look) {
    bundle_manifest_peek_free(look->manifest);
    unpack_delta_open_free(look->candidate);
}

static int read_head(struct look *look, struct err *e) {
    if (bundle_manifest_peek(unpack_delta_open_manifest(look->candidate), &look->manifest, e) < 0 ||
        keys_envelope_split(unpack_delta_open_head(look->candidate), "head", &look->envelope, e) <
            0 ||
        bundle_delta_parse(look->envelope.signed_part, &look->head, e) < 0)
        return err_prefix(e, "%s", look->path);
    return 0;
}

static json_t *digest_json(const struct keys_digest *digest) {
    char hex[KEYS_DIGEST_HEX];
    return json_string(keys_digest_hex(digest, hex));
}

static json_t *components_json(const struct bundle_delta_head *head) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < head->n_components; i++) {
        const struct bundle_delta_component *c = &head->components[i];
        (void)json_array_append_new(array,
                                    json_pack("{s:s,s:s,s:o}", "name", c->name, "type",
                                              c->type == BUNDLE_COMPONENT_FILES ? "files" : "image",
                                              "digest", digest_json(&c->digest)));
    }
    return array;
}

static int print_json(const struct look *look, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_peek_view(look->manifest);
    const struct bundle_delta_packing *p = &look->head.packing;
    OWN(json) json_t *signatures = json_array();
    for (size_t i = 0; signatures && i < look->envelope.n_signatures; i++)
        (void)json_array_append_new(
            signatures,
            json_pack("{s:s}", "keyid", (const char *)look->envelope.signatures[i].keyid));
    OWN(json)
    json_t *said = json_pack(
        "{s:s,s:b,s:s,s:s,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:O}", "type", "delta", "verified", 0,
        "name", view->name, "release", view->release, "bundle", digest_json(&look->head.bundle),
        "base", digest_json(&look->head.base), "components", components_json(&look->head),
        "file_bytes", (json_int_t)look->file_bytes, "data_bytes", (json_int_t)p->data_bytes,
        "stream_bytes", (json_int_t)p->stream_bytes, "frames", (json_int_t)p->n_frames,
        "frame_bytes", (json_int_t)p->frame_bytes, "decode_bytes", (json_int_t)p->decode_bytes,
        "signatures", signatures);
    if (!said)
        return err_set(e, &err_memory, "printing the delta: no memory");
    cmd_print_json(said);
    return 0;
}

static void print_text(const struct look *look) {
    const struct bundle_manifest_view *view = bundle_manifest_peek_view(look->manifest);
    const struct bundle_delta_packing *p = &look->head.packing;
    char hex[KEYS_DIGEST_HEX], a[NUM_SIZE_TEXT], b[NUM_SIZE_TEXT], c[NUM_SIZE_TEXT];
    (void)puts("NOT VERIFIED: this is what the file claims; edgectl bundle verify --root --base "
               "says whether it can be trusted.");
    cmd_print_field("delta to", keys_digest_hex(&look->head.bundle, hex));
    cmd_print_field("name", view->name);
    cmd_print_field("release", view->release);
    cmd_print_field("base", keys_digest_hex(&look->head.base, hex));
    for (size_t i = 0; i < look->head.n_components; i++) {
        const struct bundle_delta_component *component = &look->head.components[i];
        (void)printf("%s %s %.16s\n", i == 0 ? "starts from: " : "             ", component->name,
                     keys_digest_hex(&component->digest, hex));
    }
    (void)printf("packing:      %s: %llu frames, %s decoded; a frame needs at most %s of memory\n",
                 num_format_size(look->file_bytes, a), (unsigned long long)p->n_frames,
                 num_format_size(p->stream_bytes, b), num_format_size(p->decode_bytes, c));
    for (size_t i = 0; i < look->envelope.n_signatures; i++)
        (void)printf("%s %s\n", i == 0 ? "signatures:  " : "             ",
                     look->envelope.signatures[i].keyid);
}

int cmd_bundle_delta_inspect(const struct opt_args *args, const struct cmd_bundle_file *file,
                             struct err *e) {
    struct look look = {.path = file->path, .file_bytes = file->state.size};
    int r = unpack_delta_open(&file->source, &look.candidate, e);
    if (r != 0)
        return r < 0 ? err_prefix(e, "%s", file->path) : CMD_BUNDLE_NO_DELTA;
    r = read_head(&look, e);
    if (r == 0 && opt_given(args, "json"))
        r = print_json(&look, e);
    else if (r == 0)
        print_text(&look);
    clear(&look);
    return r;
}

static const char *temporary(void) {
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/var/tmp";
}

static int check(const struct unpack_delta *delta, const struct unpack_source *source,
                 const struct unpack_bundle *old, const struct cmd_bundle_file *old_file,
                 struct err *e) {
    OWN(delta_base) struct unpack_delta_base *base = NULL;
    OWN(fd) int table = -1;
    struct pack_delta_side side;
    if (!keys_digest_equal(bundle_manifest_id(unpack_bundle_manifest(old)),
                           &unpack_delta_head(delta)->base))
        return err_set(e, &err_wrong_base, "it does not start from %s", old_file->path);
    if (pack_delta_side_temporary(temporary(), &table, e) < 0 ||
        pack_delta_side_open(old, &old_file->source, temporary(), &side, e) < 0)
        return err_prefix(e, "%s", old_file->path);
    int r = unpack_delta_base_spool(delta, side.fd, table, &base, e);
    if (r == 0)
        r = unpack_delta_check(delta, source, base, BUNDLE_DELTA_DECODE_MAX_BYTES, e);
    pack_delta_side_close(&side);
    return r;
}

static int print_verified(const struct opt_args *args, const struct cmd_bundle_file *file,
                          const struct unpack_delta *delta, struct err *e) {
    const struct bundle_manifest *manifest = unpack_delta_manifest(delta);
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    char id[KEYS_DIGEST_HEX], base[KEYS_DIGEST_HEX], size[NUM_SIZE_TEXT];
    keys_digest_hex(bundle_manifest_id(manifest), id);
    keys_digest_hex(&unpack_delta_head(delta)->base, base);
    if (!opt_given(args, "json")) {
        (void)printf("%s: trusted. A delta of %s to %s %s, id %s, from %s\n", file->path,
                     num_format_size(file->state.size, size), view->name, view->release, id, base);
        return 0;
    }
    OWN(json)
    json_t *said = json_pack("{s:b,s:s,s:s,s:s,s:s,s:s,s:I}", "trusted", 1, "type", "delta", "id",
                             id, "base", base, "name", view->name, "release", view->release,
                             "bytes", (json_int_t)file->state.size);
    if (!said)
        return err_set(e, &err_memory, "printing the result: no memory");
    cmd_print_json(said);
    return 0;
}

int cmd_bundle_delta_verify(const struct opt_args *args, const struct cmd_bundle_file *file,
                            const struct keys_root *root, int64_t now_s, struct err *e) {
    const char *base = opt_get(args, "base");
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    OWN(delta) struct unpack_delta *delta = NULL;
    OWN(bundle_file) struct cmd_bundle_file old_file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_bundle) struct unpack_bundle *old = NULL;
    int r = unpack_delta_open(&file->source, &candidate, e);
    if (r != 0)
        return r < 0 ? err_prefix(e, "%s", file->path) : CMD_BUNDLE_NO_DELTA;
    if (!base)
        return err_set(e, &err_usage,
                       "%s is a delta: what it makes can be verified only with the bundle that it "
                       "starts from. Give --base OLD.edge",
                       file->path);
    if (unpack_delta_verify_root(&candidate, root, &delta, e) < 0)
        return err_prefix(e, "%s", file->path);
    if (cmd_bundle_open(base, &old_file, e) < 0 || cmd_bundle_verify(&old_file, root, &old, e) < 0)
        return -1;
    if (check(delta, &file->source, old, &old_file, e) < 0 ||
        keys_envelope_check_expiry(&bundle_manifest_view(unpack_delta_manifest(delta))->header,
                                   "the bundle", now_s, e) < 0)
        return err_prefix(e, "%s", file->path);
    return print_verified(args, file, delta, e);
}
