// SPDX-License-Identifier: Apache-2.0
//
// Finding the controller and its token; see remote.h.
#include "ctl/cmd/remote.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/serve/serve.h"
#include "keys/secret.h"

// --token-file, else EDGECTL_TOKEN, else what the workspace's controller wrote at its first start.
static int read_token(const struct opt_args *args, char ret[static NET_CLIENT_TOKEN_MAX + 1],
                      struct err *e) {
    const char *file = opt_get(args, "token-file");
    const char *given = getenv(CMD_REMOTE_TOKEN);
    const char *workspace = opt_get(args, "workspace");
    char path[FS_PATH_BYTES];
    OWN(secret) struct keys_secret *secret = NULL;
    if (!file && given && *given) {
        if (strlen(given) > NET_CLIENT_TOKEN_MAX)
            return err_set(e, &err_limit, CMD_REMOTE_TOKEN " is longer than %d bytes",
                           NET_CLIENT_TOKEN_MAX);
        (void)snprintf(ret, NET_CLIENT_TOKEN_MAX + 1, "%s", given);
        return 0;
    }
    if (!file && !workspace)
        return err_set(e, &err_usage,
                       "no token: set " CMD_REMOTE_TOKEN ", or give --token-file FILE or "
                       "--workspace DIR; edgectl token create makes tokens, and the first one is "
                       "in DIR/server/" SERVE_TOKEN_FILE);
    if (!file) {
        (void)snprintf(path, sizeof path, "%s/server/" SERVE_TOKEN_FILE, workspace);
        file = path;
    }
    if (keys_secret_read(AT_FDCWD, file, NET_CLIENT_TOKEN_MAX, 1, &secret, e) < 0)
        return err_prefix(e, "reading the token");
    (void)snprintf(ret, NET_CLIENT_TOKEN_MAX + 1, "%.*s", (int)keys_secret_len(secret),
                   (const char *)keys_secret_data(secret));
    return 0;
}

int cmd_remote_open(const struct opt_args *args, struct net_client **ret, struct err *e) {
    char token[NET_CLIENT_TOKEN_MAX + 1] = "";
    const char *url = opt_get(args, "controller");
    if (!url)
        url = getenv(CMD_REMOTE_CONTROLLER);
    if (!url || !*url)
        return err_set(e, &err_usage,
                       "which controller? Give --controller URL or set " CMD_REMOTE_CONTROLLER
                       ", for example http://127.0.0.1:8480");
    if (read_token(args, token, e) < 0)
        return -1;
    const struct net_client_options options = {.url = url,
                                               .token = token,
                                               .ca_file = opt_get(args, "ca-file"),
                                               .allow_http = opt_given(args, "allow-http")};
    int r = net_client_open(&options, ret, e);
    explicit_bzero(token, sizeof token);
    return r;
}

int cmd_remote_path(struct buf *path, struct err *e, const char *pattern, ...) {
    int r = buf_add_text(path, "/api/v1", e);
    va_list args;
    va_start(args, pattern);
    for (const char *at = pattern; r == 0 && *at;) {
        size_t len = strcspn(at, "/");
        if (len == 1 && *at == '%')
            r = net_client_add_segment(path, va_arg(args, const char *), e);
        else
            r = buf_add_format(path, e, "/%.*s", (int)len, at);
        at += len + (at[len] == '/');
    }
    va_end(args);
    return r;
}

int cmd_remote_get(const struct opt_args *args, const char *path, json_t **ret, struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    return net_client_get(client, path, ret, e);
}

int cmd_remote_label(const char *what, const char *text, json_t *labels, struct err *e) {
    size_t len = strcspn(text, "=");
    if (len == 0 || !text[len])
        return err_set(e, &err_usage, "%s: expected KEY=VALUE, found \"%.80s\"", what, text);
    OWN(mem) char *key = strndup(text, len);
    if (!key || json_object_set_new(labels, key, json_string(text + len + 1)) < 0)
        return err_set(e, &err_usage, "%s: not UTF-8", what);
    return 0;
}
