// SPDX-License-Identifier: Apache-2.0
//
// Files of the repository, as any web server would give them: nothing here needs the store.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "ctl/serve/download.h"
#include "ctl/serve/repository_parts.h"

#define PATH_BYTES (16 + SERVE_CALL_ARGS_MAX * SERVE_CALL_ARG_BYTES)

// Temporaries begin with a dot, which no name may.
static bool is_file(const char *name) {
    size_t len = strlen(name);
    return text_is_name(name, SERVE_CALL_ARG_BYTES) && len > 5 &&
           strcmp(name + len - 5, ".json") == 0;
}

static int give(struct serve_call *call, const char *path, struct err *e) {
    const struct serve_repository *r = call->server->repository;
    struct err why = ERR_NONE;
    if (fs_open_read(r->dir, path, &call->file.fd, &why) < 0)
        return err_is(&why, &err_not_found)
                   ? err_set(e, &err_not_found, "the repository has no such file")
                   : err_set(e, why.kind, "%s", why.text);
    return serve_download_answer(call, e);
}

int serve_repository_metadata(struct serve_call *call, struct err *e) {
    char path[PATH_BYTES];
    if (!is_file(call->args[0]))
        return err_set(e, &err_not_found, "the repository has no such file");
    call->file.changes = strcmp(call->args[0], "timestamp.json") == 0;
    (void)snprintf(path, sizeof path, "metadata/%s", call->args[0]);
    return give(call, path, e);
}

// NAME/RELEASE/FILE of a bundle, NAME/RELEASE/ID/FILE of a delta.
int serve_repository_target(struct serve_call *call, struct err *e) {
    char path[PATH_BYTES];
    const char *id = call->args[3][0] != '\0' ? call->args[2] : NULL;
    const char *file = id != NULL ? call->args[3] : call->args[2];
    if (!text_is_name(call->args[0], BUNDLE_NAME_MAX) ||
        !text_is_name(call->args[1], BUNDLE_RELEASE_MAX) ||
        (id != NULL && !text_is_name(id, KEYS_DIGEST_HEX - 1)) || !is_file(file))
        return err_set(e, &err_not_found, "the repository has no such file");
    (void)snprintf(path, sizeof path, "targets/%s/%s/%s%s%s", call->args[0], call->args[1],
                   id != NULL ? id : "", id != NULL ? "/" : "", file);
    return give(call, path, e);
}
