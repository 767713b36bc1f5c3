// SPDX-License-Identifier: Apache-2.0
//
// See slots.h.
#include "agent/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"

#define MOUNTS          "/proc/self/mountinfo"
#define MOUNTS_BYTES    (4UL * 1024 * 1024)
#define LOOP_PATH_BYTES 64
#define LOOP_PREFIX     "/dev/loop"
#define MOUNT_SOURCE    " - "

static bool is_same(const struct stat *a, const struct stat *b) {
    if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
        return S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int look(const struct agent_config_slots *slots, unsigned number, struct stat *ret,
                struct err *e) {
    const char *path = slots->paths[number];
    if (stat(path, ret) < 0)
        return err_errno(e, errno, "slot %u of %s, %s", number, slots->component, path);
    if (!S_ISREG(ret->st_mode) && !S_ISBLK(ret->st_mode))
        return err_set(e, &err_config, "slot %u of %s, %s: neither a block device nor a file",
                       number, slots->component, path);
    return 0;
}

// One slot against all others, each of which may be absent as far as this one is concerned.
static int check_alone(const struct agent_config *config, const struct agent_config_slots *slots,
                       unsigned number, const struct stat *status, struct err *e) {
    for (size_t i = 0; i < config->n_slots; i++)
        for (unsigned n = 0; n < BUNDLE_IMAGE_SLOTS; n++) {
            const struct agent_config_slots *others = &config->slots[i];
            struct stat other;
            if ((others == slots && n == number) || stat(others->paths[n], &other) < 0)
                continue;
            if (is_same(status, &other))
                return err_set(e, &err_config, "slots: %s and %s are the same",
                               slots->paths[number], others->paths[n]);
        }
    return 0;
}

static int check_pair(const struct agent_config *config, const struct agent_config_slots *slots,
                      struct err *e) {
    struct stat status[BUNDLE_IMAGE_SLOTS];
    for (unsigned n = 0; n < BUNDLE_IMAGE_SLOTS; n++)
        if (look(slots, n, &status[n], e) < 0 || check_alone(config, slots, n, &status[n], e) < 0)
            return -1;
    if (S_ISBLK(status[0].st_mode) != S_ISBLK(status[1].st_mode))
        return err_set(
            e, &err_config,
            "slots of %s: one is a block device and one a file; both must be of one kind",
            slots->component);
    return 0;
}

int agent_slots_check(const struct agent_config *config, struct err *e) {
    for (size_t i = 0; i < config->n_slots; i++)
        if (check_pair(config, &config->slots[i], e) < 0)
            return -1;
    return 0;
}

static bool loop_backing(unsigned loop, struct stat *ret) {
    char name[LOOP_PATH_BYTES];
    struct err ignored = ERR_NONE;
    OWN(buf) struct buf path;
    buf_init(&path, FS_PATH_BYTES);
    (void)snprintf(name, sizeof name, "/sys/block/loop%u/loop/backing_file", loop);
    if (fs_read_file(AT_FDCWD, name, FS_PATH_BYTES, &path, &ignored) < 0 || path.len == 0)
        return false;
    path.data[path.len - 1] = '\0'; // the newline
    return stat((const char *)path.data, ret) == 0;
}

// Of one line: " MAJOR:MINOR " is its third field; behind " - " are type and source.
static bool line_has(const char *line, const struct stat *slot,
                     bool (*backing)(unsigned loop, struct stat *ret)) {
    unsigned long long id, parent, major, minor, loop;
    char source[FS_PATH_BYTES], type[64];
    const char *rest = strstr(line, MOUNT_SOURCE);
    struct stat behind;
    if (sscanf(line, "%llu %llu %llu:%llu ", &id, &parent, &major, &minor) == 4 &&
        S_ISBLK(slot->st_mode) && slot->st_rdev == makedev((unsigned)major, (unsigned)minor))
        return true;
    if (!rest || sscanf(rest + strlen(MOUNT_SOURCE), "%63s %4095s", type, source) != 2 ||
        source[0] != '/')
        return false;
    // btrfs and others have a device number of their own; their source says it.
    if (S_ISBLK(slot->st_mode) && stat(source, &behind) == 0 && is_same(slot, &behind))
        return true;
    if (strncmp(source, LOOP_PREFIX, strlen(LOOP_PREFIX)) != 0 ||
        sscanf(source + strlen(LOOP_PREFIX), "%llu", &loop) != 1)
        return false;
    return backing((unsigned)loop, &behind) && is_same(slot, &behind);
}

bool agent_slots_is_mounted(const char *mountinfo, const struct stat *slot,
                            bool (*backing)(unsigned loop, struct stat *ret)) {
    for (const char *line = mountinfo; *line;) {
        char one[2 * FS_PATH_BYTES];
        size_t len = strcspn(line, "\n");
        (void)snprintf(one, sizeof one, "%.*s", (int)len, line);
        if (line_has(one, slot, backing))
            return true;
        line += len + (line[len] == '\n');
    }
    return false;
}

static int check_mounts(const struct stat *slot, const char *path, struct err *e) {
    OWN(buf) struct buf text;
    struct err unknown = ERR_NONE;
    buf_init(&text, MOUNTS_BYTES);
    // Without /proc it cannot be told.
    if (fs_read_file(AT_FDCWD, MOUNTS, MOUNTS_BYTES, &text, &unknown) < 0)
        return 0;
    if (agent_slots_is_mounted(buf_text(&text), slot, loop_backing))
        return err_set(e, &err_busy,
                       "%s is mounted, and would be written over while it is used: unmount it, or "
                       "is the device running from the wrong slot?",
                       path);
    return 0;
}

static int check_size(int fd, const struct bundle_generation_component *c, const char *path,
                      struct err *e) {
    char wanted[NUM_SIZE_TEXT], there[NUM_SIZE_TEXT];
    uint64_t size = 0;
    if (fs_size(fd, &size, e) < 0)
        return -1;
    if (size < c->size)
        return err_set(e, &err_no_space, "%s has %s, the image of %s %s", path,
                       num_format_size(size, there), c->name, num_format_size(c->size, wanted));
    return 0;
}

// Opens the slot that an image goes to.
static int claim(const struct agent_config *config, const struct bundle_generation_component *c,
                 struct bundle_image_places *ret, struct err *e) {
    const struct agent_config_slots *slots = agent_config_slots(config, c->name);
    struct stat status;
    OWN(fd) int fd = -1;
    if (!slots)
        return err_set(e, &err_unsupported_component,
                       "component %s is an image; name two places for it under \"slots\" in the "
                       "agent's configuration",
                       c->name);
    const char *path = slots->paths[c->slot];
    if (check_pair(config, slots, e) < 0 || look(slots, c->slot, &status, e) < 0 ||
        check_mounts(&status, path, e) < 0 || fs_open_update(path, &fd, e) < 0 ||
        check_size(fd, c, path, e) < 0)
        return -1;
    // A file may have holes: what they need is to be there before the first byte comes (I8).
    if (S_ISREG(status.st_mode) && fs_allocate(fd, c->size, e) < 0)
        return err_prefix(e, "taking the space of %s", path);
    bundle_image_add(ret, c->name, own_take_fd(&fd), path);
    return 0;
}

int agent_slots_check_running(int generation, const struct bundle_image_places *claimed,
                              struct err *e) {
    for (size_t i = 0; i < claimed->n; i++) {
        const struct bundle_image_place *place = &claimed->all[i];
        char link[BUNDLE_NAME_MAX + sizeof "/" BUNDLE_IMAGE_LINK], path[FS_PATH_BYTES];
        struct stat runs, written;
        struct err none = ERR_NONE;
        (void)snprintf(link, sizeof link, "%s/" BUNDLE_IMAGE_LINK, place->component);
        if (fs_readlink(generation, link, path, sizeof path, &none) < 0 || stat(path, &runs) < 0)
            continue; // there is none that could be written over
        if (fstat(place->fd, &written) < 0)
            return err_errno(e, errno, "looking at a slot of %s", place->component);
        if (is_same(&runs, &written))
            return err_set(e, &err_config,
                           "slots of %s: the image that runs lies in %s, where the next one would "
                           "be written; were the slots swapped or renamed? name them as they were",
                           place->component, path);
    }
    return 0;
}

int agent_slots_claim(const struct agent_config *config, const struct bundle_generation *before,
                      const struct bundle_generation *after, struct bundle_image_places *ret,
                      struct err *e) {
    for (size_t i = 0; i < after->n_components; i++) {
        const struct bundle_generation_component *c = &after->components[i];
        if (bundle_generation_moves(before, c) && claim(config, c, ret, e) < 0)
            return -1;
    }
    return 0;
}

static int open_image(const struct agent_config *config,
                      const struct bundle_generation_component *c, struct bundle_image_places *ret,
                      struct err *e) {
    const struct agent_config_slots *slots = config ? agent_config_slots(config, c->name) : NULL;
    OWN(fd) int fd = -1;
    if (!slots)
        return err_set(e, &err_bad_generation,
                       "component %s is an image in slot %u, and the configuration names no slots "
                       "for it",
                       c->name, c->slot);
    if (fs_open_read(AT_FDCWD, slots->paths[c->slot], &fd, e) < 0) {
        if (err_is(e, &err_not_found))
            e->kind = &err_bad_generation;
        return err_prefix(e, "slot %u of %s", c->slot, c->name);
    }
    bundle_image_add(ret, c->name, own_take_fd(&fd), slots->paths[c->slot]);
    return 0;
}

int agent_slots_open(const struct agent_config *config, const struct bundle_generation *generation,
                     struct bundle_image_places *ret, struct err *e) {
    for (size_t i = 0; i < generation->n_components; i++)
        if (generation->components[i].type == BUNDLE_COMPONENT_IMAGE &&
            open_image(config, &generation->components[i], ret, e) < 0)
            return -1;
    return 0;
}

bool agent_slots_spoil(const struct bundle_generation *before,
                       const struct bundle_generation *after,
                       const struct bundle_generation *other) {
    for (size_t i = 0; i < after->n_components; i++) {
        const struct bundle_generation_component *c = &after->components[i];
        const struct bundle_generation_component *there =
            bundle_generation_component(other, c->name);
        if (bundle_generation_moves(before, c) && there && there->type == BUNDLE_COMPONENT_IMAGE &&
            there->slot == c->slot)
            return true;
    }
    return false;
}
