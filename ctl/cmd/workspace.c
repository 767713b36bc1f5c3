// SPDX-License-Identifier: Apache-2.0
//
// Finding one's way in a workspace; see workspace.h.
#include "ctl/cmd/workspace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/kind.h"

#define EXPIRES_MAX_S (100ULL * 365 * 86400)

int cmd_workspace_open_root(int dir, const char *path, struct keys_root **ret, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (fs_read_file(dir, path, KEYS_ROOT_MAX_BYTES, &raw, e) < 0)
        return err_prefix(e, "reading the root");
    if (keys_root_open(buf_slice(&raw), ret, e) < 0)
        return err_prefix(e, "%s", path);
    return 0;
}

int cmd_workspace_root(const char *workspace, struct keys_root **ret, struct err *e) {
    OWN(fd) int dir = -1;
    struct stat st;
    if (fs_open_dir(AT_FDCWD, workspace, &dir, e) < 0)
        return err_prefix(e, "opening the workspace");
    int found = fs_stat(dir, CMD_WORKSPACE_ROOT, &st, e);
    if (found < 0)
        return err_prefix(e, "opening the workspace %s", workspace);
    if (found == FS_ABSENT)
        return err_set(e, &err_wrong_workspace,
                       "%s holds no root.json; edgectl init %s makes a workspace there", workspace,
                       workspace);
    if (cmd_workspace_open_root(dir, CMD_WORKSPACE_ROOT, ret, e) < 0)
        return err_prefix(e, "%s", workspace);
    return 0;
}

static size_t add_role(char *text, size_t used, const char *prefix, const char *name) {
    int n = snprintf(text + used, CMD_WORKSPACE_ROLES_BYTES - used, "%s%s%s", used ? ", " : "",
                     prefix, name);
    used += n > 0 ? (size_t)n : 0;
    return used < CMD_WORKSPACE_ROLES_BYTES ? used : CMD_WORKSPACE_ROLES_BYTES - 1;
}

char *cmd_workspace_roles_of(const struct keys_root *root, const struct keys_pub *pub,
                             char ret[static CMD_WORKSPACE_ROLES_BYTES]) {
    const struct keys_root_content *content = keys_root_content(root);
    size_t used = 0;
    ret[0] = '\0';
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        if (keys_role_has(&content->roles[i], pub->id))
            used = add_role(ret, used, "", keys_root_role_names[i]);
    for (size_t i = 0; i < content->n_bundle_roles; i++)
        if (keys_role_has(&content->bundle_roles[i].role, pub->id))
            used = add_role(ret, used, "bundle/", content->bundle_roles[i].name);
    return ret;
}

int cmd_workspace_find_role(const char *name, size_t len, enum keys_root_role *ret, struct err *e) {
    for (int i = 0; i < KEYS_ROOT_ROLES; i++) {
        if (strlen(keys_root_role_names[i]) == len &&
            strncmp(keys_root_role_names[i], name, len) == 0) {
            *ret = (enum keys_root_role)i;
            return 0;
        }
    }
    return err_set(e, &err_usage,
                   "\"%.*s\" is no role; there are root, bundle, director, targets, snapshot and "
                   "timestamp",
                   (int)(len < 64 ? len : 64), name);
}

int cmd_workspace_issued(const struct opt_args *args, const struct chrono *clock, int64_t *ret_s,
                         struct err *e) {
    const char *given = opt_get(args, "issued");
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t seconds = 0;
    if (given)
        return chrono_parse(given, "--issued", ret_s, e);
    if (epoch && *epoch) {
        if (num_parse_u64(epoch, "SOURCE_DATE_EPOCH", 0, CHRONO_MAX_S, &seconds, e) < 0)
            return -1;
        *ret_s = (int64_t)seconds;
        return 0;
    }
    *ret_s = chrono_wall_ms(clock) / 1000;
    return 0;
}

int cmd_workspace_expires(const struct opt_args *args, int64_t issued_s, int64_t default_s,
                          int64_t *ret_s, struct err *e) {
    const char *given = opt_get(args, "expires");
    uint64_t after = (uint64_t)default_s;
    int64_t at = 0;
    if (given && strchr(given, '-')) {
        if (chrono_parse(given, "--expires", &at, e) < 0)
            return -1;
    } else {
        if (given && num_parse_seconds(given, "--expires", EXPIRES_MAX_S, &after, e) < 0)
            return -1;
        at = issued_s + (int64_t)after;
    }
    if (at <= issued_s || at > CHRONO_MAX_S)
        return err_set(e, &err_usage, "--expires: must be after the time of issue");
    *ret_s = at;
    return 0;
}
