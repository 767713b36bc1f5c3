// SPDX-License-Identifier: Apache-2.0
//
// See read.h.
#include "agent/facts/read.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/limits.h"

bool facts_read_text(const char *path, char *ret, size_t ret_bytes) {
    OWN(fd) int fd = -1;
    struct err e = ERR_NONE;
    size_t len;
    if (fs_open_read(AT_FDCWD, path, &fd, &e) < 0 || fs_read(fd, ret, ret_bytes - 1, &len, &e) < 0)
        return false;
    ret[len] = '\0';
    return true;
}

bool facts_read_line(const char *path, char *ret, size_t ret_bytes) {
    if (!facts_read_text(path, ret, ret_bytes))
        return false;
    size_t len = strcspn(ret, "\n");
    while (len > 0 && (ret[len - 1] == ' ' || ret[len - 1] == '\r'))
        len--;
    ret[len] = '\0';
    size_t blanks = strspn(ret, " ");
    memmove(ret, ret + blanks, len - blanks + 1);
    return ret[0] != '\0';
}

void facts_read_set(json_t *facts, const char *name, const char *value) {
    size_t len = strlen(value);
    if (len > 0 && len <= BUNDLE_FACT_VALUE_MAX && text_is_utf8(value, len))
        (void)json_object_set_new(facts, name, json_string(value));
}

bool facts_read_match(const char *pattern, char *ret, size_t ret_bytes) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return false;
    int len = snprintf(ret, ret_bytes, "%s", found.gl_pathv[0]);
    globfree(&found);
    return len > 0 && (size_t)len < ret_bytes;
}
