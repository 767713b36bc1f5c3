// SPDX-License-Identifier: Apache-2.0
//
// Downloads.
#include "ctl/serve/download.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/num.h"
#include "ctl/kind.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"
#include "keys/digest.h"

static bool number(const char *text, size_t len, uint64_t *ret) {
    char digits[24];
    struct err ignored = ERR_NONE;
    if (len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    digits[len] = '\0';
    return num_parse_u64(digits, "range", 0, UINT64_MAX, ret, &ignored) == 0;
}

int serve_download_range(const char *header, uint64_t total, struct serve_download_range *ret) {
    uint64_t first = 0, last = 0;
    if (strncmp(header, "bytes=", 6) != 0)
        return SERVE_DOWNLOAD_ALL;
    const char *from = header + 6, *dash = strchr(from, '-');
    if (dash == NULL)
        return SERVE_DOWNLOAD_ALL;
    bool has_first = dash != from, has_last = dash[1] != '\0';
    if ((has_first && !number(from, (size_t)(dash - from), &first)) ||
        (has_last && !number(dash + 1, strlen(dash + 1), &last)) || (!has_first && !has_last))
        return SERVE_DOWNLOAD_ALL;
    if (!has_first) { // the last bytes
        if (last == 0 || total == 0)
            return SERVE_DOWNLOAD_OUTSIDE;
        first = last >= total ? 0 : total - last;
        last = total - 1;
    } else if (!has_last || last >= total) {
        last = total == 0 ? 0 : total - 1;
    } else if (last < first) {
        return SERVE_DOWNLOAD_ALL;
    }
    if (first >= total)
        return SERVE_DOWNLOAD_OUTSIDE;
    *ret = (struct serve_download_range){.first = first, .len = last - first + 1};
    return 0;
}

// The id and nothing else: what names a file must not name another.
static int open_file(struct serve_call *call, const char *what, const char *suffix, struct err *e) {
    struct keys_digest id;
    struct err ignored = ERR_NONE;
    char hex[KEYS_DIGEST_HEX], name[KEYS_DIGEST_HEX + 8];
    struct serve_file *file = &call->file;
    if (keys_digest_parse(call->args[0], "id", &id, &ignored) < 0)
        return err_set(e, &err_not_found, "there is no such %s", what);
    (void)snprintf(name, sizeof name, "%s.%s", keys_digest_hex(&id, hex), suffix);
    if (fs_open_read(call->server->bundles, name, &file->fd, e) < 0) {
        bool absent = err_is(e, &err_not_found);
        if (absent) {
            err_clear(e);
            (void)err_set(e, &err_not_found, "there is no such %s", what);
        }
        return -1;
    }
    return 0;
}

// Sizes, and an ETag of what a replaced file cannot share with the one before: its inode, size and
// time. A bundle of the same id may be sent again with other signatures, or more room for them.
static int describe(struct serve_file *file, struct err *e) {
    struct stat st;
    if (fs_size(file->fd, &file->total, e) < 0)
        return -1;
    if (fstat(file->fd, &st) < 0)
        return err_errno(e, errno, "looking at a file");
    (void)snprintf(file->etag, sizeof file->etag, "\"%llx-%llx-%llx\"",
                   (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                   (unsigned long long)st.st_mtim.tv_sec * 1000000000ULL +
                       (unsigned long long)st.st_mtim.tv_nsec);
    return 0;
}

static int answer_empty(struct serve_call *call, unsigned status) {
    (void)close(call->file.fd);
    call->file.fd = -1;
    call->status = status;
    return SERVE_ROUTE_ANSWERED;
}

int serve_download_prepare(struct serve_call *call, struct err *e) {
    if (open_file(call, "bundle", "edge", e) < 0)
        return -1;
    return serve_download_answer(call, e);
}

int serve_download_delta(struct serve_call *call, struct err *e) {
    if (open_file(call, "delta", "delta", e) < 0)
        return -1;
    return serve_download_answer(call, e);
}

int serve_download_mandate(struct serve_call *call, struct err *e) {
    if (open_file(call, "mandate", "mandate", e) < 0)
        return -1;
    return serve_download_answer(call, e);
}

int serve_download_answer(struct serve_call *call, struct err *e) {
    const struct serve_conditions *asked = &call->conditions;
    struct serve_file *file = &call->file;
    struct serve_download_range range;
    if (describe(file, e) < 0)
        return -1;
    file->offset = 0;
    file->len = file->total;
    call->status = 200;
    if (strcmp(asked->if_none_match, "*") == 0 || strstr(asked->if_none_match, file->etag) != NULL)
        return answer_empty(call, 304);
    // A part of what the asker has, or all of it.
    if (asked->range[0] == '\0' ||
        (asked->if_range[0] != '\0' && strcmp(asked->if_range, file->etag) != 0))
        return SERVE_ROUTE_ANSWERED;
    switch (serve_download_range(asked->range, file->total, &range)) {
    case 0:
        file->offset = range.first;
        file->len = range.len;
        call->status = 206;
        return SERVE_ROUTE_ANSWERED;
    case SERVE_DOWNLOAD_OUTSIDE:
        return answer_empty(call, 416);
    default:
        return SERVE_ROUTE_ANSWERED;
    }
}

int serve_download_health(struct serve_call *call, struct err *e) {
    if (serve_call_answer(call, 200,
                          json_pack("{s:s, s:s}", "status", "ok", "version", EDGE_VERSION), e) < 0)
        return -1;
    return SERVE_ROUTE_ANSWERED;
}
