// SPDX-License-Identifier: Apache-2.0
//
// `edgectl image seed`: puts generation 0 into the file system of an image that is being built, of
// any architecture: nothing of it is executed. The directory is the agent's state directory in that
// file system; the agent takes it over, re-verified, at its first start.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/seal.h"
#include "bundle/unpack/stage.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"
#include "ctl/kind.h"
#include "ctl/term.h"

#define GENERATION "0"
#define CURRENT    "generations/" GENERATION
#define NAME_BYTES 32

static const struct opt seed_options[] = {
    {.name = "bundle",
     .repeat = true,
     .value = "FILE",
     .help = "What to put in; several bundles bring different components"},
    CMD_BUNDLE_ROOT_OPTION,
    CMD_WORKSPACE_OPTION,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct seed {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *path;
    struct keys_root *root;
    size_t n_bundles;
    int dir;         // state directory
    int generations; // its generations/
    struct bundle_generation record;
    struct ctl_term_progress progress;
};

// Each bundle is sealed over the one before, in <i>.partial: names that an agent takes for garbage,
// should this be interrupted.
static void name_of(size_t i, char ret[static NAME_BYTES]) {
    (void)snprintf(ret, NAME_BYTES, "%zu.partial", i);
}

static int remove_partials(const struct seed *s, struct err *e) {
    char name[NAME_BYTES];
    for (size_t i = 0; i < s->n_bundles; i++) {
        name_of(i, name);
        if (fs_remove_tree(s->generations, name, e) < 0)
            return -1;
    }
    return 0;
}

static int on_stage(void *context, uint64_t source_bytes, uint64_t stream_bytes, struct err *e) {
    (void)source_bytes;
    (void)e;
    ctl_term_progress_update(context, "unpacking", stream_bytes, 0);
    return 0;
}

static int on_seal(void *context, uint64_t bytes, struct err *e) {
    (void)e;
    ctl_term_progress_update(context, "verifying", bytes, 0);
    return 0;
}

static int stage_and_seal(struct seed *s, const struct cmd_bundle_file *file,
                          const struct unpack_bundle *bundle, int partial, int previous,
                          struct err *e) {
    const struct unpack_stage stage = {.target_dir = partial,
                                       .previous_dir = previous,
                                       .older_dir = -1,
                                       .decode_max_bytes = BUNDLE_FRAME_MAX_BYTES,
                                       .progress = on_stage,
                                       .context = &s->progress};
    struct bundle_generation before = s->record;
    const struct bundle_seal seal = {.partial_dir = partial,
                                     .previous_dir = previous,
                                     .previous = previous >= 0 ? &before : NULL,
                                     .manifest = unpack_bundle_manifest(bundle),
                                     .number = 0,
                                     .set_owner = geteuid() == 0,
                                     .progress = on_seal,
                                     .context = &s->progress};
    struct unpack_stage_result staged;
    struct bundle_seal_result sealed;
    if (unpack_stage(bundle, &file->source, &stage, &staged, e) < 0 ||
        bundle_seal(&seal, &sealed, e) < 0)
        return -1;
    s->record = sealed.record;
    return 0;
}

// A component that a bundle before brought would be replaced without a word.
static int check_new(const struct seed *s, const struct bundle_manifest *manifest, struct err *e) {
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    for (size_t i = 0; i < view->n_components; i++)
        if (bundle_generation_component(&s->record, view->components[i].name))
            return err_set(e, &err_usage, "two of the bundles bring the component %s",
                           view->components[i].name);
    return keys_envelope_check_expiry(&view->header, "the bundle",
                                      chrono_wall_ms(s->context->clock) / 1000, e);
}

static int add_bundle(struct seed *s, size_t i, struct err *e) {
    const char *path = opt_get_at(s->args, "bundle", i);
    char name[NAME_BYTES];
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_bundle) struct unpack_bundle *bundle = NULL;
    OWN(fd) int partial = -1;
    OWN(fd) int previous = -1;
    if (cmd_bundle_open(path, &file, e) < 0 || cmd_bundle_verify(&file, s->root, &bundle, e) < 0)
        return -1;
    name_of(i, name);
    if (check_new(s, unpack_bundle_manifest(bundle), e) < 0 ||
        fs_mkdir(s->generations, name, 0755, e) < 0 ||
        fs_open_dir(s->generations, name, &partial, e) < 0)
        return err_prefix(e, "%s", path);
    if (i > 0) {
        name_of(i - 1, name);
        if (fs_open_dir(s->generations, name, &previous, e) < 0)
            return -1;
    }
    if (stage_and_seal(s, &file, bundle, partial, previous, e) < 0)
        return err_prefix(e, "%s", path);
    return 0;
}

// ── The second time ─────────────────────────────────────────────────────────────────────────────

// Whether the record has all components of a bundle from that very bundle.
static int holds(const struct bundle_generation *record, const struct bundle_manifest *manifest,
                 bool *io) {
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_generation_component *c =
            bundle_generation_component(record, view->components[i].name);
        *io = *io && c && keys_digest_equal(&c->manifest, bundle_manifest_id(manifest));
    }
    return (int)view->n_components;
}

static int check_there(struct seed *s, struct err *e) {
    OWN(fd) int dir = -1;
    bool same = true;
    size_t components = 0;
    if (fs_open_dir(s->generations, GENERATION, &dir, e) < 0 ||
        bundle_seal_verify(dir, on_seal, &s->progress, &s->record, e) < 0)
        return -1;
    for (size_t i = 0; i < s->n_bundles; i++) {
        OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
        OWN(unpack_bundle) struct unpack_bundle *bundle = NULL;
        if (cmd_bundle_open(opt_get_at(s->args, "bundle", i), &file, e) < 0 ||
            cmd_bundle_verify(&file, s->root, &bundle, e) < 0)
            return -1;
        components += (size_t)holds(&s->record, unpack_bundle_manifest(bundle), &same);
    }
    if (!same || components != s->record.n_components)
        return err_set(e, &err_exists,
                       "it has a generation 0 already, with other contents; seed a fresh folder");
    return 0;
}

// ── The first time ──────────────────────────────────────────────────────────────────────────────

static int make(struct seed *s, struct err *e) {
    char name[NAME_BYTES];
    if (remove_partials(s, e) < 0)
        return -1;
    for (size_t i = 0; i < s->n_bundles; i++)
        if (add_bundle(s, i, e) < 0)
            return -1;
    name_of(s->n_bundles - 1, name);
    if (fs_rename_new(s->generations, name, GENERATION, e) < 0 || remove_partials(s, e) < 0)
        return -1;
    return fs_sync(s->generations, e);
}

static int print_seeded(const struct seed *s, bool there, struct err *e) {
    OWN(json) json_t *components = json_object();
    OWN(json)
    json_t *said = components ? json_pack("{s:s,s:b,s:i,s:O}", "state_dir", s->path, "made", !there,
                                          "generation", 0, "components", components)
                              : NULL;
    if (!opt_given(s->args, "json"))
        (void)printf("%s %s generation 0:\n", s->path, there ? "has already" : "now has");
    for (size_t i = 0; i < s->record.n_components; i++) {
        const struct bundle_generation_component *c = &s->record.components[i];
        char id[KEYS_DIGEST_HEX];
        if (!opt_given(s->args, "json"))
            (void)printf("  %s: %s %s\n", c->name, c->bundle_name, c->release);
        else if (!said || json_object_set_new(components, c->name,
                                              json_pack("{s:s,s:s,s:s}", "name", c->bundle_name,
                                                        "version", c->release, "manifest",
                                                        keys_digest_hex(&c->manifest, id))) < 0)
            return err_set(e, &err_memory, "printing the result: no memory");
    }
    if (opt_given(s->args, "json"))
        cmd_print_json(said);
    return 0;
}

static int seed(struct seed *s, struct err *e) {
    struct stat st;
    if (fs_make_dir(AT_FDCWD, s->path, 0755, e) < 0 ||
        fs_open_dir(AT_FDCWD, s->path, &s->dir, e) < 0 ||
        fs_make_dir(s->dir, "generations", 0755, e) < 0 ||
        fs_open_dir(s->dir, "generations", &s->generations, e) < 0)
        return -1;
    int found = fs_stat(s->generations, GENERATION, &st, e);
    if (found < 0)
        return -1;
    ctl_term_progress_init(&s->progress, s->context->clock);
    int r = found == FS_ABSENT ? make(s, e) : check_there(s, e);
    ctl_term_progress_end(&s->progress);
    if (r < 0) {
        struct err ignored = ERR_NONE;
        (void)remove_partials(s, &ignored);
        return -1;
    }
    // Written again when an earlier run was interrupted right before it.
    if (fs_replace_link(s->dir, "current", CURRENT, e) < 0)
        return -1;
    return print_seeded(s, found != FS_ABSENT, e);
}

static int run_seed(void *context, const struct opt_args *args, struct err *e) {
    struct seed s = {.context = context,
                     .args = args,
                     .path = opt_operand(args, 0),
                     .n_bundles = opt_count(args, "bundle"),
                     .dir = -1,
                     .generations = -1};
    if (s.n_bundles == 0)
        return err_set(e, &err_usage, "image seed: with what? Give --bundle FILE");
    int r = cmd_bundle_root(args, &s.root, e);
    if (r == CMD_BUNDLE_NO_ROOT)
        return err_set(e, &err_usage,
                       "image seed: trusted by whom? Give --root FILE (the root.json "
                       "of the devices) or --workspace DIR");
    if (r == 0 && seed(&s, e) < 0)
        r = err_prefix(e, "seeding %s", s.path);
    keys_root_free(s.root);
    own_drop_fd(&s.generations);
    own_drop_fd(&s.dir);
    return r;
}

const struct opt_command cmd_image[] = {
    {.name = "image seed",
     .operands = "DIR",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Put bundles into a state directory of an image being built, as generation 0",
     .options = seed_options,
     .run = run_seed},
    {.name = NULL}};
