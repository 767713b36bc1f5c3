// SPDX-License-Identifier: Apache-2.0
//
// `edgectl bundle create`: options, or a description file and options over it, into struct
// pack_build.
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/pack/build.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/bundle_reference.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/signers.h"
#include "ctl/term.h"
#include "keys/kind.h"

#define LEVEL_DEFAULT     3
#define LEVEL_MAX         22
#define THREADS_MAX       1024
#define EXPIRES_DEFAULT_S (365LL * 86400)
#define PROBATION_MAX_S   (30ULL * 86400)
#define RESTARTS_MAX      1000
#define JSON_MAX_BYTES    (256 * 1024)

const struct opt cmd_bundle_create_options[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .help = "The bundle to write"},
    {.name = "name", .value = "NAME", .help = "Name of the release"},
    {.name = "version", .value = "VERSION", .help = "Version of the release"},
    {.name = "component",
     .repeat = true,
     .value = "NAME=PATH",
     .help = "A component from a folder, or from one file"},
    {.name = "archive",
     .repeat = true,
     .value = "NAME=PATH",
     .help = "A component from an archive: tar (.gz, .xz, .zst), zip, cpio and others"},
    {.name = "image",
     .repeat = true,
     .value = "NAME=PATH",
     .help = "A component that is one image, for a partition"},
    {.name = "description", .value = "FILE", .help = "Take all this from a JSON file; options win"},
    {.name = "variant", .value = "NAME", .help = "One of several bundles of the release"},
    {.name = "requires", .value = "PREDICATE", .help = "What a device must be like"},
    {.name = "security-version",
     .repeat = true,
     .value = "COMPONENT=N",
     .help = "Security version of a component (default 0)"},
    {.name = "floor",
     .repeat = true,
     .value = "COMPONENT=N",
     .help = "Security version below which devices will never install it again"},
    {.name = "model",
     .repeat = true,
     .value = "COMPONENT=FILE",
     .help = "Facts about the model in a component: a JSON object"},
    {.name = "probes", .value = "FILE", .help = "Checks of the installed release: a JSON array"},
    {.name = "probation", .value = "TIME", .help = "How long they must hold: 90, 15m, 2h"},
    {.name = "restarts", .value = "N", .help = "Interruptions allowed during probation"},
    {.name = "reference",
     .repeat = true,
     .value = "FILE",
     .help = "A bundle that devices have: what they lack gets frames of its own"},
    {.name = "strip-special",
     .help = "Drop what a bundle cannot carry (setuid bits, owners, devices) instead of refusing"},
    {.name = "level", .value = "N", .help = "zstd level, 1 to 22 (default 3)"},
    {.name = "frame-size", .value = "SIZE", .help = "Bytes compressed together, up to 4M"},
    {.name = "threads", .value = "N", .help = "Threads (default: one for each core)"},
    {.name = "serial", .value = "N", .help = "Serial of the manifest (default: seconds of issue)"},
    {.name = "issued", .value = "TIME", .help = "Time of issue (else SOURCE_DATE_EPOCH, else now)"},
    {.name = "expires", .value = "TIME", .help = "A time, or a duration (default 365d)"},
    CMD_BUNDLE_ROOT_OPTION,
    CMD_WORKSPACE_OPTION,
    CMD_SIGNERS_OPTIONS,
    CMD_PASSPHRASE_OPTION,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct create {
    const struct cmd_context *context;
    const struct opt_args *args;
    struct pack_description *description; // or NULL
    struct pack_build build;
    struct pack_component components[BUNDLE_COMPONENTS_MAX];
    char names[BUNDLE_COMPONENTS_MAX][BUNDLE_NAME_MAX + 1];
    json_t *models[BUNDLE_COMPONENTS_MAX];
    json_t *probes, *floors, *probation;
    struct cmd_bundle_reference references;
    struct cmd_signers signers;
    struct cmd_passphrase passphrase;
    struct ctl_term_progress progress;
};

static void clear(struct create *c) {
    for (size_t i = 0; i < BUNDLE_COMPONENTS_MAX; i++)
        json_decref(c->models[i]);
    json_decref(c->probes);
    json_decref(c->floors);
    json_decref(c->probation);
    cmd_bundle_reference_clear(&c->references);
    cmd_signers_clear(&c->signers);
    cmd_passphrase_clear(&c->passphrase);
    pack_build_description_free(c->description);
}

// Splits "NAME=REST" of an option.
static int split(const char *option, const char *text, char ret_name[static BUNDLE_NAME_MAX + 1],
                 const char **ret_rest, struct err *e) {
    size_t len = strcspn(text, "=");
    if (len == 0 || len > BUNDLE_NAME_MAX || !text[len] || !text[len + 1])
        return err_set(e, &err_usage, "--%s: expected NAME=…, found \"%.80s\"", option, text);
    (void)snprintf(ret_name, BUNDLE_NAME_MAX + 1, "%.*s", (int)len, text);
    *ret_rest = text + len + 1;
    return 0;
}

static struct pack_component *find(struct create *c, const char *name) {
    for (size_t i = 0; i < c->build.n_components; i++)
        if (strcmp(c->components[i].name, name) == 0)
            return &c->components[i];
    return NULL;
}

static int add_components(struct create *c, const char *option, enum pack_input_type type,
                          struct err *e) {
    for (size_t i = 0; i < opt_count(c->args, option); i++) {
        size_t n = c->build.n_components;
        const char *path = NULL;
        char name[BUNDLE_NAME_MAX + 1];
        if (split(option, opt_get_at(c->args, option, i), name, &path, e) < 0)
            return -1;
        if (find(c, name))
            return err_set(e, &err_usage, "--%s: there is another component called %s", option,
                           name);
        if (n == BUNDLE_COMPONENTS_MAX)
            return err_set(e, &err_limit, "--%s: more than %d components", option,
                           BUNDLE_COMPONENTS_MAX);
        memcpy(c->names[n], name, sizeof name);
        c->components[n] = (struct pack_component){
            .name = c->names[n],
            .type = type,
            .path = path,
            .strip_special = opt_given(c->args, "strip-special"),
        };
        c->build.n_components = n + 1;
    }
    return 0;
}

// In the order of their names, so that the order of options does not change the bundle.
static int by_name(const void *a, const void *b) {
    return strcmp(((const struct pack_component *)a)->name,
                  ((const struct pack_component *)b)->name);
}

static int read_components(struct create *c, struct err *e) {
    if (add_components(c, "component", PACK_INPUT_PATH, e) < 0 ||
        add_components(c, "archive", PACK_INPUT_ARCHIVE, e) < 0 ||
        add_components(c, "image", PACK_INPUT_IMAGE, e) < 0)
        return -1;
    if (c->build.n_components == 0)
        return err_set(e, &err_usage, "nothing to put into it: give --component NAME=PATH");
    qsort(c->components, c->build.n_components, sizeof c->components[0], by_name);
    c->build.components = c->components;
    return 0;
}

static int of_component(struct create *c, const char *option, size_t index,
                        struct pack_component **ret, const char **ret_rest, struct err *e) {
    char name[BUNDLE_NAME_MAX + 1];
    if (split(option, opt_get_at(c->args, option, index), name, ret_rest, e) < 0)
        return -1;
    *ret = find(c, name);
    if (!*ret)
        return err_set(e, &err_usage, "--%s: this bundle has no component called %s", option, name);
    return 0;
}

static int read_json(const char *path, json_t **ret, struct err *e) {
    const struct doc_limits limits = {
        .bytes = JSON_MAX_BYTES, .depth = 32, .values = 16384, .floats = false};
    OWN(buf) struct buf text;
    buf_init(&text, JSON_MAX_BYTES);
    if (fs_read_file(AT_FDCWD, path, JSON_MAX_BYTES, &text, e) < 0)
        return -1;
    return doc_parse(buf_slice(&text), path, &limits, ret, e);
}

static int read_security_versions(struct create *c, struct err *e) {
    for (size_t i = 0; i < opt_count(c->args, "security-version"); i++) {
        struct pack_component *component = NULL;
        const char *rest = NULL;
        if (of_component(c, "security-version", i, &component, &rest, e) < 0 ||
            num_parse_u64(rest, "--security-version", 0, BUNDLE_SECURITY_VERSION_MAX,
                          &component->security_version, e) < 0)
            return -1;
    }
    return 0;
}

static int read_models(struct create *c, struct err *e) {
    for (size_t i = 0; i < opt_count(c->args, "model"); i++) {
        struct pack_component *component = NULL;
        const char *rest = NULL;
        OWN(json) json_t *model = NULL;
        if (of_component(c, "model", i, &component, &rest, e) < 0 || read_json(rest, &model, e) < 0)
            return -1;
        size_t n = (size_t)(component - c->components);
        json_decref(c->models[n]);
        c->models[n] = own_take(&model);
        component->model = c->models[n];
    }
    return 0;
}

static int read_floors(struct create *c, struct err *e) {
    size_t n = opt_count(c->args, "floor");
    if (n > 0 && !(c->floors = json_object()))
        return err_set(e, &err_memory, "reading --floor: no memory");
    for (size_t i = 0; i < n; i++) {
        struct pack_component *component = NULL;
        const char *rest = NULL;
        uint64_t floor = 0;
        if (of_component(c, "floor", i, &component, &rest, e) < 0 ||
            num_parse_u64(rest, "--floor", 0, BUNDLE_SECURITY_VERSION_MAX, &floor, e) < 0)
            return -1;
        if (floor > component->security_version)
            return err_set(e, &err_usage,
                           "--floor %s: %" PRIu64 " is above its --security-version, %" PRIu64
                           ": what this bundle installs would be below its own floor",
                           component->name, floor, component->security_version);
        if (json_object_set_new(c->floors, component->name, json_integer((json_int_t)floor)) < 0)
            return err_set(e, &err_memory, "reading --floor: no memory");
    }
    if (c->floors)
        c->build.floors = c->floors;
    return 0;
}

static int read_probation(struct create *c, struct err *e) {
    const char *duration = opt_get(c->args, "probation");
    const char *restarts = opt_get(c->args, "restarts");
    uint64_t value = 0;
    if (!duration && !restarts)
        return 0;
    c->probation = c->build.probation ? json_deep_copy(c->build.probation) : json_object();
    if (!c->probation)
        return err_set(e, &err_memory, "reading --probation: no memory");
    if (duration &&
        (num_parse_seconds(duration, "--probation", PROBATION_MAX_S, &value, e) < 0 ||
         json_object_set_new(c->probation, "duration_s", json_integer((json_int_t)value)) < 0))
        return err_set(e, &err_memory, "reading --probation: no memory");
    if (restarts &&
        (num_parse_u64(restarts, "--restarts", 0, RESTARTS_MAX, &value, e) < 0 ||
         json_object_set_new(c->probation, "restarts_max", json_integer((json_int_t)value)) < 0))
        return err_set(e, &err_memory, "reading --restarts: no memory");
    c->build.probation = c->probation;
    return 0;
}

// An option that is given wins over what a description says.
static void take(const struct create *c, const char *option, const char **io) {
    const char *given = opt_get(c->args, option);
    if (given)
        *io = given;
    else if (!*io)
        *io = "";
}

static int read_numbers(struct create *c, struct err *e) {
    struct pack_build *b = &c->build;
    const char *level = opt_get(c->args, "level");
    const char *frame = opt_get(c->args, "frame-size");
    const char *threads = opt_get(c->args, "threads");
    const char *serial = opt_get(c->args, "serial");
    uint64_t value = 0;
    if (level) {
        if (num_parse_u64(level, "--level", 1, LEVEL_MAX, &value, e) < 0)
            return -1;
        b->level = (int)value;
    }
    if (b->level == 0)
        b->level = LEVEL_DEFAULT;
    if (frame &&
        num_parse_bytes(frame, "--frame-size", BUNDLE_FRAME_MAX_BYTES, &b->frame_bytes, e) < 0)
        return -1;
    if (threads) {
        if (num_parse_u64(threads, "--threads", 1, THREADS_MAX, &value, e) < 0)
            return -1;
        b->threads = (unsigned)value;
    }
    if (serial && num_parse_u64(serial, "--serial", 1, KEYS_VERSION_MAX, &b->version, e) < 0)
        return -1;
    return 0;
}

// What a description says counts, unless an option says otherwise. The serial rises by itself from
// release to release, and is a function of the input like all else.
static int read_times(struct create *c, struct err *e) {
    struct pack_build *b = &c->build;
    bool described = b->issued_s > 0 && !opt_given(c->args, "issued");
    if (!described && cmd_workspace_issued(c->args, c->context->clock, &b->issued_s, e) < 0)
        return -1;
    described = b->expires_s > 0 && !opt_given(c->args, "expires");
    if (!described &&
        cmd_workspace_expires(c->args, b->issued_s, EXPIRES_DEFAULT_S, &b->expires_s, e) < 0)
        return -1;
    if (b->version == 0)
        b->version = b->issued_s > 0 ? (uint64_t)b->issued_s : 1;
    return 0;
}

static int read_description(struct create *c, const char *path, struct err *e) {
    if (pack_build_describe(path, &c->description, e) < 0)
        return -1;
    c->build = *pack_build_described(c->description);
    if (c->build.n_components > BUNDLE_COMPONENTS_MAX)
        return err_set(e, &err_limit, "%s: more than %d components", path, BUNDLE_COMPONENTS_MAX);
    for (size_t i = 0; i < c->build.n_components; i++)
        c->components[i] = c->build.components[i];
    return 0;
}

static int read_options(struct create *c, struct err *e) {
    struct pack_build *b = &c->build;
    const char *description = opt_get(c->args, "description");
    const char *probes = opt_get(c->args, "probes");
    if (description && read_description(c, description, e) < 0)
        return -1;
    take(c, "name", &b->name);
    take(c, "version", &b->release);
    take(c, "variant", &b->variant);
    take(c, "requires", &b->requires);
    if (!*b->name || !*b->release)
        return err_set(e, &err_usage,
                       "bundle create: --name and --version are needed, or a "
                       "--description that has them");
    if (probes && read_json(probes, &c->probes, e) < 0)
        return -1;
    if (c->probes)
        b->probes = c->probes;
    if (read_components(c, e) < 0 || read_security_versions(c, e) < 0 || read_models(c, e) < 0 ||
        read_floors(c, e) < 0 || read_probation(c, e) < 0 || read_numbers(c, e) < 0)
        return -1;
    return read_times(c, e);
}

static int read_references(struct create *c, struct err *e) {
    const char *const *paths = NULL;
    size_t n = c->description ? pack_build_described_references(c->description, &paths) : 0;
    if (cmd_bundle_reference_open(c->args, paths, n, &c->references, e) < 0)
        return -1;
    c->build.n_references = c->references.n;
    c->build.references = c->references.from;
    return 0;
}

static void on_progress(void *context, const char *step, uint64_t done, uint64_t total) {
    ctl_term_progress_update(context, step, done, total);
}

// Whether devices of this workspace would take it: said now, not when the first device refuses.
static int check_signatures(const struct create *c, const char *path, struct err *e) {
    const char *workspace = opt_get(c->args, "workspace");
    OWN(root) struct keys_root *root = NULL;
    OWN(bundle_file) struct cmd_bundle_file file = CMD_BUNDLE_FILE_NONE;
    OWN(unpack_bundle) struct unpack_bundle *bundle = NULL;
    struct err why = ERR_NONE;
    if (!workspace)
        return 0;
    if (cmd_workspace_root(workspace, &root, e) < 0 || cmd_bundle_open(path, &file, e) < 0)
        return -1;
    if (cmd_bundle_verify(&file, root, &bundle, &why) == 0)
        return 0;
    // Others' signatures make either good.
    if (!err_is(&why, &err_below_threshold) && !err_is(&why, &err_delegation))
        return err_set(e, why.kind, "the bundle that was made is not one: %s", why.text);
    (void)fprintf(stderr,
                  "note: devices do not take it yet: %s. edgectl bundle sign adds "
                  "signatures.\n",
                  why.text);
    return 0;
}

static int print_result(const struct create *c, const char *path,
                        const struct pack_build_result *made, struct err *e) {
    char id[KEYS_DIGEST_HEX], contents[NUM_SIZE_TEXT], size[NUM_SIZE_TEXT];
    keys_digest_hex(&made->id, id);
    if (opt_given(c->args, "json")) {
        OWN(json)
        json_t *said = json_pack(
            "{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "file", path, "id", id,
            "name", c->build.name, "release", c->build.release, "file_bytes",
            (json_int_t)made->file_bytes, "stream_bytes", (json_int_t)made->stream_bytes,
            "raw_bytes", (json_int_t)made->raw_bytes, "data_bytes", (json_int_t)made->data_bytes,
            "entries", (json_int_t)made->entries, "chunks", (json_int_t)made->chunks, "frames",
            (json_int_t)made->frames, "fresh_raw_bytes", (json_int_t)made->fresh_raw_bytes,
            "fresh_data_bytes", (json_int_t)made->fresh_data_bytes, "stripped",
            (json_int_t)made->stripped, "skipped", (json_int_t)made->skipped);
        if (!said)
            return err_set(e, &err_memory, "printing the result: no memory");
        cmd_print_json(said);
        return 0;
    }
    (void)printf("%s: %s %s, %llu entries, %s of contents in %s, signed by %zu key%s\nid %s\n",
                 path, c->build.name, c->build.release, (unsigned long long)made->entries,
                 num_format_size(made->stream_bytes, contents),
                 num_format_size(made->file_bytes, size), c->signers.n,
                 c->signers.n == 1 ? "" : "s", id);
    if (c->references.n > 0)
        (void)printf("%s of them not in the reference%s, stored in %s\n",
                     num_format_size(made->fresh_raw_bytes, contents),
                     c->references.n == 1 ? "" : "s",
                     num_format_size(made->fresh_data_bytes, size));
    if (made->stripped > 0 || made->skipped > 0)
        (void)printf("%llu entries lost modes, owners or attributes, %llu were left out\n",
                     (unsigned long long)made->stripped, (unsigned long long)made->skipped);
    return 0;
}

static int create(struct create *c, struct err *e) {
    const char *path = opt_get(c->args, "output");
    struct pack_build_result made;
    if (!path)
        return err_set(e, &err_usage, "bundle create: where to? Give -o FILE");
    if (read_options(c, e) < 0 || read_references(c, e) < 0 ||
        cmd_signers_collect(&c->signers, &c->passphrase, c->args, c->context->clock,
                            opt_get(c->args, "workspace"), KEYS_ROOT_ROLE_BUNDLE, e) < 0)
        return -1;
    c->build.signers = c->signers.list;
    c->build.n_signers = c->signers.n;
    c->build.progress = on_progress;
    c->build.context = &c->progress;
    ctl_term_progress_init(&c->progress, c->context->clock);
    int r = pack_build(&c->build, path, &made, e);
    ctl_term_progress_end(&c->progress);
    if (r < 0)
        return err_prefix(e, "making %s", path);
    if (check_signatures(c, path, e) < 0)
        return -1;
    return print_result(c, path, &made, e);
}

int cmd_bundle_create(void *context, const struct opt_args *args, struct err *e) {
    struct create c = {.context = context, .args = args};
    cmd_passphrase_init(&c.passphrase, args);
    int r = create(&c, e);
    clear(&c);
    return r;
}
