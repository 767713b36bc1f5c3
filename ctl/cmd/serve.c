// SPDX-License-Identifier: Apache-2.0
//
// `edgectl serve`: options for the controller (ctl/serve/serve.h), its passphrase and its log.
#include "ctl/serve/serve.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/kind.h"
#include "ctl/repo/folder.h"
#include "ctl/serve/delta.h"

#define LISTEN_DEFAULT "127.0.0.1:8480"
#define POLL_MAX_S     (30ULL * 86400)
#define EXPIRES_MAX_S  (3650ULL * 86400)

#define DELTA_MAX_BYTES (1ULL << 50)
#define DELTA_MAX_S     (30ULL * 86400)

static const struct opt options[] = {
    {.name = "workspace", .value = "DIR", .help = "The folder server/ that edgectl init made"},
    {.name = "listen", .value = "ADDRESS:PORT", .help = "Where (default " LISTEN_DEFAULT ")"},
    {.name = "port-file", .value = "FILE", .help = "Write the port there once listening"},
    {.name = "tls-cert", .value = "FILE", .help = "Certificate chain, PEM"},
    {.name = "tls-key", .value = "FILE", .help = "Its key, PEM"},
    {.name = "public-url", .value = "URL", .help = "Offer bundles below this address instead"},
    {.name = "poll", .value = "TIME", .help = "Ask devices to check in this often"},
    {.name = "timestamp-expires",
     .value = "TIME",
     .help = "How long the repository's timestamp holds (default 3d)"},
    {.name = "snapshot-expires", .value = "TIME", .help = "And its snapshot (default 14d)"},
    {.name = "deltas",
     .value = "auto|off",
     .help = "Make deltas in the background for what the fleet runs (default auto)"},
    {.name = "delta-share",
     .value = "PERCENT",
     .help = "For so many of the devices of a rollout (default 95)"},
    {.name = "delta-memory", .value = "SIZE", .help = "Memory to make one (default 2G)"},
    {.name = "delta-disk", .value = "SIZE", .help = "Disk to make one (default 64G)"},
    {.name = "delta-time", .value = "TIME", .help = "Time to make one (default 6h)"},
    {.name = "connections", .value = "N", .help = "At most so many at a time (default 1024)"},
    {.name = "allow-http", .help = "Plain http on other addresses than loopback"},
    {.name = "allow-offline-keys", .help = "Start though offline keys are in reach: for trials"},
    CMD_PASSPHRASE_OPTION,
    CMD_OPTION_END};

// The journal of the machine adds time and name.
static void say(void *context, enum serve_say what, const char *line) {
    static const char *const marks[] = {"", "", "warning: ", "error: "};
    (void)context;
    (void)fprintf(what == SERVE_SAY_READY ? stdout : stderr, "%s%s\n", marks[what], line);
    (void)fflush(what == SERVE_SAY_READY ? stdout : stderr);
}

struct sealed {
    int dir;
    bool found;
};

static int look_at_key(void *context, const char *name, mode_t type, struct err *e) {
    struct sealed *sealed = context;
    struct sign_keyfile_info info;
    struct err ignored = ERR_NONE;
    size_t len = strlen(name);
    (void)type;
    (void)e;
    // What is wrong with a key is serve_run's to say, with what it means there.
    if (len > 4 && strcmp(name + len - 4, ".key") == 0 &&
        sign_keyfile_info(sealed->dir, name, &info, &ignored) == 0 && info.sealed)
        sealed->found = true;
    return 0;
}

// Asks for the passphrase of the online keys when one is sealed; most are not.
static int open_passphrase(const char *workspace, struct cmd_passphrase *p,
                           const struct keys_secret **ret, struct err *e) {
    char path[FS_PATH_BYTES + 32];
    struct err ignored = ERR_NONE;
    OWN(fd) int dir = -1;
    (void)snprintf(path, sizeof path, "%s/keys", workspace);
    if (fs_open_dir(AT_FDCWD, path, &dir, &ignored) < 0)
        return 0;
    struct sealed sealed = {.dir = dir};
    if (fs_list(dir, ".", look_at_key, &sealed, e) < 0)
        return -1;
    return sealed.found ? cmd_passphrase_get(p, CMD_PASSPHRASE_OPEN, path, ret, e) : 0;
}

static int read_expires(const struct opt_args *args, const char *name, uint64_t *ret_s,
                        struct err *e) {
    const char *text = opt_get(args, name);
    if (!text)
        return 0;
    if (num_parse_seconds(text, name, EXPIRES_MAX_S, ret_s, e) < 0)
        return err_prefix(e, "--%s", name);
    if (*ret_s < REPO_FOLDER_EXPIRES_MIN_S)
        return err_set(e, &err_usage, "--%s: at least %d seconds", name, REPO_FOLDER_EXPIRES_MIN_S);
    return 0;
}

static int read_numbers(const struct opt_args *args, struct serve_options *o, struct err *e) {
    if (read_expires(args, "timestamp-expires", &o->timestamp_expires_s, e) < 0 ||
        read_expires(args, "snapshot-expires", &o->snapshot_expires_s, e) < 0)
        return -1;
    const char *poll = opt_get(args, "poll");
    const char *connections = opt_get(args, "connections");
    if (poll && num_parse_seconds(poll, "--poll", POLL_MAX_S, &o->poll_s, e) < 0)
        return -1;
    if (connections && num_parse_u64(connections, "--connections", 1, SERVE_CONNECTIONS_MAX,
                                     &o->connections_max, e) < 0)
        return -1;
    return 0;
}

static int read_size(const struct opt_args *args, const char *name, uint64_t min, uint64_t *ret,
                     struct err *e) {
    const char *text = opt_get(args, name);
    if (!text)
        return 0;
    if (num_parse_bytes(text, name, DELTA_MAX_BYTES, ret, e) < 0)
        return err_prefix(e, "--%s", name);
    if (*ret < min)
        return err_set(e, &err_usage, "--%s: at least %llu bytes", name, (unsigned long long)min);
    return 0;
}

static int read_deltas(const struct opt_args *args, struct serve_options *o, struct err *e) {
    const char *deltas = opt_get(args, "deltas"), *share = opt_get(args, "delta-share");
    const char *time = opt_get(args, "delta-time");
    uint64_t percent = 0;
    if (deltas && strcmp(deltas, "auto") != 0 && strcmp(deltas, "off") != 0)
        return err_set(e, &err_usage, "--deltas: auto or off, not \"%.40s\"", deltas);
    o->deltas_off = deltas && strcmp(deltas, "off") == 0;
    if ((share && num_parse_u64(share, "--delta-share", 1, 100, &percent, e) < 0) ||
        (time && num_parse_seconds(time, "--delta-time", DELTA_MAX_S, &o->delta_time_s, e) < 0) ||
        read_size(args, "delta-memory", SERVE_DELTA_MEMORY_MIN_BYTES, &o->delta_memory_bytes, e) <
            0 ||
        read_size(args, "delta-disk", 1, &o->delta_disk_bytes, e) < 0)
        return -1;
    if (time && o->delta_time_s == 0)
        return err_set(e, &err_usage, "--delta-time: at least a second");
    o->delta_share_pc = (unsigned)percent;
    return 0;
}

// The folder itself, or the workspace it lies in: both are what people type.
static int find_folder(const char *given, char ret[static FS_PATH_BYTES], struct err *e) {
    struct stat st;
    (void)snprintf(ret, FS_PATH_BYTES, "%s/server/root.json", given);
    int found = fs_stat(AT_FDCWD, ret, &st, e);
    if (found < 0)
        return -1;
    (void)snprintf(ret, FS_PATH_BYTES, found == FS_ABSENT ? "%s" : "%s/server", given);
    return 0;
}

static int run_serve(void *context, const struct opt_args *args, struct err *e) {
    const struct cmd_context *c = context;
    const char *given = opt_get(args, "workspace");
    char folder[FS_PATH_BYTES];
    OWN(passphrase) struct cmd_passphrase passphrase;
    cmd_passphrase_init(&passphrase, args);
    if (!given)
        return err_set(e, &err_usage,
                       "serve: give --workspace DIR, the folder server/ that "
                       "edgectl init made");
    if (find_folder(given, folder, e) < 0)
        return -1;
    struct serve_options o = {
        .workspace = folder,
        .listen = opt_get(args, "listen") ? opt_get(args, "listen") : LISTEN_DEFAULT,
        .port_file = opt_get(args, "port-file"),
        .tls_cert = opt_get(args, "tls-cert"),
        .tls_key = opt_get(args, "tls-key"),
        .public_url = opt_get(args, "public-url"),
        .allow_http = opt_given(args, "allow-http"),
        .allow_offline_keys = opt_given(args, "allow-offline-keys"),
        .clock = c->clock,
        .say = say,
    };
    if (!o.tls_cert != !o.tls_key)
        return err_set(e, &err_usage, "serve: --tls-cert and --tls-key go together");
    if (read_numbers(args, &o, e) < 0 || read_deltas(args, &o, e) < 0 ||
        open_passphrase(folder, &passphrase, &o.passphrase, e) < 0)
        return -1;
    return serve_run(&o, e);
}

const struct opt_command cmd_serve[] = {{.name = "serve",
                                         .operands = "",
                                         .help = "Run the controller",
                                         .options = options,
                                         .run = run_serve},
                                        {.name = NULL}};
