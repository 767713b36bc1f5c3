// SPDX-License-Identifier: Apache-2.0
//
// `edgectl bundle delta`: a delta from one bundle to another.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "bundle/delta.h"
#include "bundle/kind.h"
#include "bundle/pack/crew.h"
#include "bundle/pack/delta.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/signers.h"

const struct opt cmd_bundle_delta_options[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .help = "The delta to write"},
    CMD_BUNDLE_ROOT_OPTION,
    CMD_SIGNERS_OPTIONS,
    {.name = "decode-memory",
     .value = "SIZE",
     .help = "Memory that decoding a frame may take (default 8M)"},
    {.name = "frame-size", .value = "SIZE", .help = "Largest stored frame (default 1M)"},
    {.name = "threads", .value = "N", .help = "Threads (default: one for each core)"},
    {.name = "temporary", .value = "DIR", .help = "Where contents are unpacked (TMPDIR, /var/tmp)"},
    CMD_WORKSPACE_OPTION,
    CMD_PASSPHRASE_OPTION,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct delta {
    const struct opt_args *args;
    struct keys_root *root;
    struct cmd_bundle_file files[2];
    struct unpack_bundle *bundles[2];
    struct cmd_signers signers;
    struct cmd_passphrase passphrase;
    struct pack_delta_build build;
};

static int size_option(const struct opt_args *args, const char *name, uint64_t min, uint64_t max,
                       uint64_t *ret, struct err *e) {
    const char *text = opt_get(args, name);
    if (!text)
        return 0;
    if (num_parse_bytes(text, name, max, ret, e) < 0)
        return -1;
    return *ret < min ? err_set(e, &err_usage, "--%s: at least %llu", name, (unsigned long long)min)
                      : 0;
}

// Those that were named, else what the workspace has; there may be none.
static int collect_signers(struct delta *d, const struct chrono *clock, struct err *e) {
    const char *workspace = opt_get(d->args, "workspace");
    const struct keys_role *role = keys_root_role(d->root, KEYS_ROOT_ROLE_BUNDLE);
    if (cmd_signers_collect_given(&d->signers, &d->passphrase, d->args, "key", clock, e) < 0)
        return -1;
    if (d->signers.n > 0 || !workspace)
        return 0;
    return cmd_signers_add_roles(&d->signers, &d->passphrase, workspace, &role, 1, e);
}

static int read_options(struct delta *d, const struct chrono *clock, struct err *e) {
    struct pack_delta_build *b = &d->build;
    const char *threads = opt_get(d->args, "threads"), *dir = opt_get(d->args, "temporary");
    uint64_t n = 0;
    if (size_option(d->args, "frame-size", PACK_DELTA_FRAME_MIN_BYTES, BUNDLE_FRAME_MAX_BYTES,
                    &b->frame_bytes, e) < 0 ||
        size_option(d->args, "decode-memory", PACK_DELTA_DECODE_MIN_BYTES,
                    BUNDLE_DELTA_DECODE_MAX_BYTES, &b->decode_bytes, e) < 0 ||
        (threads && num_parse_u64(threads, "--threads", 1, PACK_CREW_MAX, &n, e) < 0) ||
        collect_signers(d, clock, e) < 0)
        return -1;
    if (!dir)
        dir = getenv("TMPDIR");
    b->root = d->root;
    b->dir = dir && *dir ? dir : "/var/tmp";
    b->threads = (unsigned)n;
    b->n_signers = d->signers.n;
    b->signers = d->signers.list;
    return 0;
}

static int open_bundles(struct delta *d, struct err *e) {
    struct pack_delta_from *const from[] = {&d->build.old_bundle, &d->build.new_bundle};
    for (int i = 0; i < 2; i++) {
        if (cmd_bundle_open(opt_operand(d->args, (size_t)i), &d->files[i], e) < 0 ||
            cmd_bundle_verify(&d->files[i], d->root, &d->bundles[i], e) < 0)
            return -1;
        *from[i] = (struct pack_delta_from){.bundle = d->bundles[i], .source = &d->files[i].source};
    }
    return 0;
}

static int print_json(const struct delta *d, const char *path, const struct pack_delta_result *made,
                      struct err *e) {
    char head[KEYS_DIGEST_HEX], bundle[KEYS_DIGEST_HEX], base[KEYS_DIGEST_HEX];
    OWN(json)
    json_t *said = json_pack(
        "{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i}", "file", path, "head",
        keys_digest_hex(&made->head, head), "bundle",
        keys_digest_hex(bundle_manifest_id(unpack_bundle_manifest(d->bundles[1])), bundle), "base",
        keys_digest_hex(bundle_manifest_id(unpack_bundle_manifest(d->bundles[0])), base),
        "head_bytes", (json_int_t)made->head_bytes, "file_bytes", (json_int_t)made->file_bytes,
        "tree_bytes", (json_int_t)made->tree_bytes, "map_bytes", (json_int_t)made->map_bytes,
        "content_bytes", (json_int_t)made->content_bytes, "full_bytes",
        (json_int_t)made->full_bytes, "contents_same", (json_int_t)made->same, "contents_coded",
        (json_int_t)made->coded, "coded_bytes", (json_int_t)made->coded_bytes, "frames",
        (json_int_t)made->frames, "decode_bytes", (json_int_t)made->decode_bytes, "signatures",
        (int)d->signers.n);
    if (!said)
        return err_set(e, &err_memory, "printing the result: no memory");
    cmd_print_json(said);
    return 0;
}

static void print_text(const struct delta *d, const char *path,
                       const struct pack_delta_result *made) {
    char file[NUM_SIZE_TEXT], full[NUM_SIZE_TEXT], tree[NUM_SIZE_TEXT], map[NUM_SIZE_TEXT],
        contents[NUM_SIZE_TEXT], coded[NUM_SIZE_TEXT], memory[NUM_SIZE_TEXT];
    (void)printf("%s: %s, %.2f %% of the bundle's %s; tried: it decodes to what was signed\n", path,
                 num_format_size(made->file_bytes, file),
                 100 * (double)made->file_bytes / (double)made->full_bytes,
                 num_format_size(made->full_bytes, full));
    (void)printf("trees %s, map %s, contents %s: %llu of %llu coded, %s when made\n",
                 num_format_size(made->tree_bytes, tree), num_format_size(made->map_bytes, map),
                 num_format_size(made->content_bytes, contents), (unsigned long long)made->coded,
                 (unsigned long long)(made->same + made->coded),
                 num_format_size(made->coded_bytes, coded));
    (void)printf("%llu frames, at most %s of memory to decode one; head signed by %zu key%s\n",
                 (unsigned long long)made->frames, num_format_size(made->decode_bytes, memory),
                 d->signers.n, d->signers.n == 1 ? "" : "s");
}

static void on_progress(void *context, const char *step) {
    (void)context;
    (void)fprintf(stderr, "%s\n", step);
}

static int delta(struct delta *d, const struct chrono *clock, struct err *e) {
    const char *path = opt_get(d->args, "output");
    struct pack_delta_result made;
    if (!path)
        return err_set(e, &err_usage, "bundle delta: where to? Give -o FILE");
    int found = cmd_bundle_root(d->args, &d->root, e);
    if (found < 0)
        return -1;
    if (found == CMD_BUNDLE_NO_ROOT)
        return err_set(e, &err_usage,
                       "bundle delta: contents are read, and only trusted ones: give --root FILE "
                       "(the root.json of the devices) or --workspace DIR");
    if (read_options(d, clock, e) < 0 || open_bundles(d, e) < 0)
        return -1;
    d->build.progress = opt_given(d->args, "json") ? NULL : on_progress;
    int r = pack_delta_build(&d->build, path, &made, e);
    if (r < 0)
        return err_prefix(e, "making %s", path);
    if (r == PACK_DELTA_NOT_WORTH_IT)
        return err_set(e, &err_no_gain,
                       "%s was not written: with %llu bytes it would not be smaller than the "
                       "bundle, which has %llu; give devices the bundle",
                       path, (unsigned long long)made.file_bytes,
                       (unsigned long long)made.full_bytes);
    if (opt_given(d->args, "json"))
        return print_json(d, path, &made, e);
    print_text(d, path, &made);
    return 0;
}

int cmd_bundle_delta(void *context, const struct opt_args *args, struct err *e) {
    const struct cmd_context *c = context;
    struct delta d = {.args = args, .files = {CMD_BUNDLE_FILE_NONE, CMD_BUNDLE_FILE_NONE}};
    cmd_passphrase_init(&d.passphrase, args);
    int r = delta(&d, c->clock, e);
    for (int i = 0; i < 2; i++) {
        unpack_bundle_free(d.bundles[i]);
        cmd_bundle_close(&d.files[i]);
    }
    keys_root_free(d.root);
    cmd_signers_clear(&d.signers);
    cmd_passphrase_clear(&d.passphrase);
    return r;
}
