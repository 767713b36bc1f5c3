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

#define LISTEN_DEFAULT "127.0.0.1:8480"
#define POLL_MAX_S     (30ULL * 86400)

static const struct opt options[] = {
    {.name = "workspace", .value = "DIR", .help = "The folder server/ that edgectl init made"},
    {.name = "listen", .value = "ADDRESS:PORT", .help = "Where (default " LISTEN_DEFAULT ")"},
    {.name = "port-file", .value = "FILE", .help = "Write the port there once listening"},
    {.name = "tls-cert", .value = "FILE", .help = "Certificate chain, PEM"},
    {.name = "tls-key", .value = "FILE", .help = "Its key, PEM"},
    {.name = "public-url", .value = "URL", .help = "Offer bundles below this address instead"},
    {.name = "poll", .value = "TIME", .help = "Ask devices to check in this often"},
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

// Asks for the passphrase of the online key when it is sealed; most are not.
static int open_passphrase(const char *workspace, struct cmd_passphrase *p,
                           const struct keys_secret **ret, struct err *e) {
    char path[FS_PATH_BYTES + 32];
    struct sign_keyfile_info info;
    struct err ignored = ERR_NONE;
    (void)snprintf(path, sizeof path, "%s/keys/director.key", workspace);
    // What is wrong with the key is serve_run's to say, with what it means there.
    if (sign_keyfile_info(AT_FDCWD, path, &info, &ignored) < 0 || !info.sealed)
        return 0;
    return cmd_passphrase_get(p, CMD_PASSPHRASE_OPEN, path, ret, e);
}

static int read_numbers(const struct opt_args *args, struct serve_options *o, struct err *e) {
    const char *poll = opt_get(args, "poll");
    const char *connections = opt_get(args, "connections");
    if (poll && num_parse_seconds(poll, "--poll", POLL_MAX_S, &o->poll_s, e) < 0)
        return -1;
    if (connections && num_parse_u64(connections, "--connections", 1, SERVE_CONNECTIONS_MAX,
                                     &o->connections_max, e) < 0)
        return -1;
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
    if (read_numbers(args, &o, e) < 0 || open_passphrase(folder, &passphrase, &o.passphrase, e) < 0)
        return -1;
    return serve_run(&o, e);
}

const struct opt_command cmd_serve[] = {{.name = "serve",
                                         .operands = "",
                                         .help = "Run the controller",
                                         .options = options,
                                         .run = run_serve},
                                        {.name = NULL}};
