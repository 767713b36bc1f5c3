// SPDX-License-Identifier: Apache-2.0
//
// The command line of the public TUF conformance suite (theupdateframework/tuf-conformance,
// CLIENT-CLI.md) over the verification core that devices use (keys/tuf) and their HTTP client
// (agent/net):
//
//     tuf_client --metadata-dir DIR init ROOT
//     tuf_client --metadata-url URL --metadata-dir DIR refresh
//     tuf_client --metadata-url URL --metadata-dir DIR --target-name NAME… --target-dir DIR
//                --target-base-url URL download
//
// --timestamp-first, which the suite does not know, asks as devices do: one request when nothing is
// new.
//
// Exits with 0, or 1 for any failure, which is what the suite tells apart. It takes the time from
// the machine's clock, so that the suite can set it (faketime), and reads from loopback only.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/net/handle.h"
#include "agent/net/request.h"
#include "base/chrono.h"
#include "base/fs.h"
#include "base/opt.h"
#include "base/own.h"
#include "keys/foreign/ops.h"
#include "keys/secret.h"
#include "keys/tuf/client.h"

#define TIMEOUT_S       20
#define URL_MAX         8192
#define PAGE_MAX        8192 // of an answer that is no file
#define TARGET_MAX      (64 * 1024 * 1024)
#define TARGET_NAME_MAX 232

// ── What the client is given ───────────────────────────────────────────────────────────────────

struct place {
    int dir;
    const char *url;
    bool timestamp_first;
};

static int load(void *context, const char *name, size_t max_bytes, struct buf *ret, struct err *e) {
    const struct place *place = context;
    struct err why = ERR_NONE;
    if (fs_read_file(place->dir, name, max_bytes, ret, &why) == 0)
        return 0;
    if (err_is(&why, &err_not_found))
        return TUF_ABSENT;
    *e = why;
    return -1;
}

static int get(const char *url, struct buf *ret, struct err *e) {
    long status = 0;
    if (net_request_get_local(url, TIMEOUT_S, ret, &status, e) < 0)
        return -1;
    if (status != 200)
        buf_clear(ret);
    if (status == 404 || status == 403)
        return TUF_ABSENT;
    if (status != 200)
        return err_set(e, &err_io, "%s: the server answered %ld", url, status);
    return 0;
}

static int fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                 struct err *e) {
    const struct place *place = context;
    OWN(buf) struct buf url;
    buf_init(&url, URL_MAX);
    if (buf_add_text(&url, place->url, e) < 0 || buf_add_text(&url, name, e) < 0)
        return -1;
    if (max_bytes >= PAGE_MAX)
        return get(buf_text(&url), ret, e);
    // The page of a 404 may be longer than what was asked for.
    OWN(buf) struct buf body;
    buf_init(&body, PAGE_MAX);
    int got = get(buf_text(&url), &body, e);
    return got != 0 ? got : buf_add(ret, body.data, body.len, e);
}

static int store(void *context, const char *name, struct slice bytes, struct err *e) {
    const struct place *place = context;
    return fs_replace(place->dir, name, bytes.data, bytes.len, 0644, e);
}

static int forget(void *context, const char *name, struct err *e) {
    const struct place *place = context;
    return fs_remove(place->dir, name, e);
}

static const struct tuf_client_ops ops = {
    .load = load, .fetch = fetch, .store = store, .forget = forget};

// ── Commands ───────────────────────────────────────────────────────────────────────────────────

static int open_client(struct place *place, struct tuf_client **ret, struct err *e) {
    const struct tuf_client_options options = {
        .ops = &ops,
        .context = place,
        .key_ops = &foreign_ops,
        .now_s = chrono_wall_ms(chrono_system()) / 1000,
        .timestamp_first = place->timestamp_first,
    };
    return tuf_client_open(&options, ret, e);
}

static int init(struct place *place, const struct opt_args *args, struct err *e) {
    OWN(buf) struct buf raw;
    OWN(tuf_client) struct tuf_client *client = NULL;
    buf_init(&raw, TUF_ROOT_MAX_BYTES);
    if (opt_operands(args) != 2)
        return err_set(e, &err_usage, "init needs the file of a root");
    if (fs_read_file(AT_FDCWD, opt_operand(args, 1), TUF_ROOT_MAX_BYTES, &raw, e) < 0 ||
        store(place, "root.json", buf_slice(&raw), e) < 0)
        return -1;
    return open_client(place, &client, e);
}

static int refresh(struct place *place, struct tuf_client **ret, struct err *e) {
    if (!place->url)
        return err_set(e, &err_usage, "--metadata-url is missing");
    if (open_client(place, ret, e) < 0 || tuf_client_refresh(*ret, e) < 0)
        return -1;
    return 0;
}

// Whether the target's bytes are in the directory already.
static bool is_there(int dir, const char *name, const struct tuf_target *target) {
    OWN(buf) struct buf bytes;
    struct err why = ERR_NONE;
    buf_init(&bytes, target->length);
    return fs_read_file(dir, name, target->length, &bytes, &why) == 0 &&
           tuf_target_check(target, buf_slice(&bytes), name, &why) == 0;
}

// base URL + the target's place, every byte that could mean something else in a URL quoted.
static int target_url(const struct tuf_client *client, const struct tuf_target *target,
                      const char *path, const char *base, struct buf *ret, struct err *e) {
    OWN(buf) struct buf file;
    buf_init(&file, URL_MAX);
    if (tuf_target_file(client, target, path, &file, e) < 0 || buf_add_text(ret, base, e) < 0)
        return -1;
    char *rest = (char *)file.data;
    for (char *part; (part = strsep(&rest, "/"));)
        if (tuf_client_quote(part, ret, e) < 0 || (rest && buf_add_text(ret, "/", e) < 0))
            return -1;
    return 0;
}

static int download_one(struct tuf_client *client, const char *path, int dir, const char *base,
                        struct err *e) {
    OWN(buf) struct buf url;
    OWN(buf) struct buf name;
    OWN(buf) struct buf bytes;
    struct tuf_target target;
    buf_init(&url, URL_MAX);
    buf_init(&name, TARGET_NAME_MAX);
    int found = tuf_client_find(client, path, &target, e);
    if (found > 0)
        return err_set(e, &err_not_found, "no trusted role lists it");
    if (found < 0 || tuf_client_quote(path, &name, e) < 0)
        return -1;
    if (target.length > TARGET_MAX)
        return err_set(e, &err_limit, "more than %d bytes", TARGET_MAX);
    if (is_there(dir, buf_text(&name), &target))
        return 0;
    buf_init(&bytes, target.length < PAGE_MAX ? PAGE_MAX : target.length);
    if (target_url(client, &target, path, base, &url, e) < 0)
        return -1;
    found = get(buf_text(&url), &bytes, e);
    if (found > 0)
        return err_set(e, &err_not_found, "%s is not there", buf_text(&url));
    if (found < 0 || tuf_target_check(&target, buf_slice(&bytes), path, e) < 0)
        return -1;
    return fs_replace(dir, buf_text(&name), bytes.data, bytes.len, 0644, e);
}

static int download(struct place *place, const struct opt_args *args, struct err *e) {
    OWN(tuf_client) struct tuf_client *client = NULL;
    OWN(fd) int dir = -1;
    const char *base = opt_get(args, "target-base-url");
    const char *into = opt_get(args, "target-dir");
    if (!base || !into)
        return err_set(e, &err_usage, "--target-base-url or --target-dir is missing");
    if (fs_open_dir(AT_FDCWD, into, &dir, e) < 0 || refresh(place, &client, e) < 0)
        return -1;
    for (size_t i = 0; i < opt_count(args, "target-name"); i++) {
        const char *path = opt_get_at(args, "target-name", i);
        if (download_one(client, path, dir, base, e) < 0)
            return err_prefix(e, "target '%s'", path);
    }
    return 0;
}

static int run(void *context, const struct opt_args *args, struct err *e) {
    OWN(fd) int dir = -1;
    OWN(tuf_client) struct tuf_client *client = NULL;
    const char *metadata = opt_get(args, "metadata-dir");
    const char *verb = opt_operand(args, 0);
    (void)context;
    if (!metadata)
        return err_set(e, &err_usage, "--metadata-dir is missing");
    if (keys_secret_init(e) < 0 || net_handle_start(e) < 0 ||
        fs_open_dir(AT_FDCWD, metadata, &dir, e) < 0)
        return -1;
    struct place place = {.dir = dir,
                          .url = opt_get(args, "metadata-url"),
                          .timestamp_first = opt_given(args, "timestamp-first")};
    if (strcmp(verb, "init") == 0)
        return init(&place, args, e);
    if (strcmp(verb, "refresh") == 0)
        return refresh(&place, &client, e);
    if (strcmp(verb, "download") == 0)
        return download(&place, args, e);
    return err_set(e, &err_usage, "'%s' is none of init, refresh, download", verb);
}

int main(int argc, char **argv) {
    static const struct opt options[] = {
        {.name = "metadata-dir", .value = "DIR", .help = "trusted metadata"},
        {.name = "metadata-url", .value = "URL", .help = "the repository's metadata"},
        {.name = "target-name", .repeat = true, .value = "NAME", .help = "a target to download"},
        {.name = "target-dir", .value = "DIR", .help = "where targets go"},
        {.name = "target-base-url", .value = "URL", .help = "the repository's targets"},
        {.name = "timestamp-first", .help = "ask as devices do"},
        {.name = NULL},
    };
    static const struct opt_command command = {
        .name = "tuf_client",
        .operands = "init ROOT | refresh | download",
        .operands_min = 1,
        .operands_max = 2,
        .help = "the conformance suite's client",
        .options = options,
        .run = run,
    };
    struct opt_args *args = NULL;
    struct err e = ERR_NONE;
    int failed = opt_parse(&command, argc - 1, argv + 1, &args, &e);
    if (!failed)
        failed = run(NULL, args, &e);
    if (failed)
        (void)fprintf(stderr, "tuf_client: %s: %s\n", e.kind->name, e.text);
    opt_free(args);
    return failed ? 1 : 0;
}
