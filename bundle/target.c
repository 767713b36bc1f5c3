// SPDX-License-Identifier: Apache-2.0
//
// Paths of targets.
#include "bundle/target.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct bundle_target *bundle_target_set(struct bundle_target *ret, const char *name,
                                        const char *release, const struct keys_digest *id) {
    assert(strlen(name) < sizeof ret->name && strlen(release) < sizeof ret->release);
    *ret = (struct bundle_target){.name = ""};
    (void)snprintf(ret->name, sizeof ret->name, "%s", name);
    (void)snprintf(ret->release, sizeof ret->release, "%s", release);
    (void)keys_digest_hex(id, ret->id);
    return ret;
}

struct bundle_target *bundle_target_set_delta(struct bundle_target *ret, const char *name,
                                              const char *release, const struct keys_digest *id,
                                              const struct keys_digest *base) {
    (void)bundle_target_set(ret, name, release, id);
    (void)keys_digest_hex(base, ret->base);
    return ret;
}

bool bundle_target_is_delta(const struct bundle_target *target) {
    return target->base[0] != '\0';
}

char *bundle_target_path(const struct bundle_target *target,
                         char ret[static BUNDLE_TARGET_PATH_BYTES]) {
    const char *between = bundle_target_is_delta(target) ? "/" : "";
    (void)snprintf(ret, BUNDLE_TARGET_PATH_BYTES, "%s/%s/%s%s%s" BUNDLE_TARGET_SUFFIX, target->name,
                   target->release, target->id, between, target->base);
    return ret;
}

// The next part of a path into ret, and the path behind its '/'.
static bool take_name(const char **path, char *ret, size_t max) {
    size_t len = strcspn(*path, "/");
    if (len > max || (*path)[len] != '/')
        return false;
    memcpy(ret, *path, len);
    ret[len] = '\0';
    *path += len + 1;
    return text_is_name(ret, max);
}

// An id, and the path behind it.
static bool take_id(const char **path, char ret[static KEYS_DIGEST_HEX]) {
    struct keys_digest id;
    struct err ignored = ERR_NONE;
    size_t digits = KEYS_DIGEST_HEX - 1;
    if (strlen(*path) < digits)
        return false;
    memcpy(ret, *path, digits);
    ret[digits] = '\0';
    *path += digits;
    return keys_digest_parse(ret, "id", &id, &ignored) == 0;
}

// What is left: one id or two, and nothing else before the suffix.
static bool take_ids(const char *path, struct bundle_target *ret) {
    if (!take_id(&path, ret->id))
        return false;
    if (*path == '/') {
        path++;
        if (!take_id(&path, ret->base))
            return false;
    }
    return strcmp(path, BUNDLE_TARGET_SUFFIX) == 0;
}

int bundle_target_parse(const char *path, struct bundle_target *ret, struct err *e) {
    char shown[128];
    struct bundle_target target = {.name = ""};
    const char *at = path;
    if (!take_name(&at, target.name, BUNDLE_NAME_MAX) ||
        !take_name(&at, target.release, BUNDLE_RELEASE_MAX) || !take_ids(at, &target))
        return err_set(e, &err_syntax,
                       "the target \"%s\" is not of the form NAME/RELEASE/ID.json or "
                       "NAME/RELEASE/ID/BASE.json",
                       text_safe(path, shown, sizeof shown));
    *ret = target;
    return 0;
}
