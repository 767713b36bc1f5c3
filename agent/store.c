// SPDX-License-Identifier: Apache-2.0
//
// See store.h. Adoption and space are in store_adopt.c.
#include "agent/store.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/fsm/machine.h"
#include "agent/slots.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/seal.h"

#define GENERATIONS "generations"
#define CURRENT     "current"
#define PARTIAL     ".partial"
#define NAME_BYTES  64

static void name_of(uint64_t generation, const char *suffix, char ret[static NAME_BYTES]) {
    (void)snprintf(ret, NAME_BYTES, "%" PRIu64 "%s", generation, suffix);
}

int agent_store_open(const char *state_dir, struct agent_store *ret, struct err *e) {
    OWN(fd) int dir = -1;
    OWN(fd) int generations = -1;
    if (fs_make_dir(AT_FDCWD, state_dir, 0755, e) < 0 ||
        fs_open_dir(AT_FDCWD, state_dir, &dir, e) < 0 ||
        fs_make_dir(dir, GENERATIONS, 0755, e) < 0 ||
        fs_open_dir(dir, GENERATIONS, &generations, e) < 0)
        return err_prefix(e, "opening the state directory %s", state_dir);
    *ret = (struct agent_store){.dir = own_take_fd(&dir), .generations = own_take_fd(&generations)};
    return 0;
}

void agent_store_close(struct agent_store *store) {
    own_drop_fd(&store->dir);
    own_drop_fd(&store->generations);
    store->dir = store->generations = -1;
}

int agent_store_current(const struct agent_store *store, uint64_t *ret, struct err *e) {
    char target[NAME_BYTES];
    struct stat status;
    int found = fs_stat(store->dir, CURRENT, &status, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT)
        return AGENT_STORE_ABSENT;
    struct err inner = ERR_NONE;
    size_t prefix = strlen(GENERATIONS "/");
    if (fs_readlink(store->dir, CURRENT, target, sizeof target, &inner) < 0 ||
        strncmp(target, GENERATIONS "/", prefix) != 0 ||
        num_parse_u64(target + prefix, CURRENT, 0, INT64_MAX, ret, &inner) < 0)
        return err_set(e, &err_bad_generation, "%s is not a link to %s/<number>", CURRENT,
                       GENERATIONS);
    return 0;
}

int agent_store_point(const struct agent_store *store, uint64_t generation, struct err *e) {
    char target[NAME_BYTES + sizeof GENERATIONS];
    struct stat status;
    char name[NAME_BYTES];
    name_of(generation, "", name);
    int found = fs_stat(store->generations, name, &status, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT || !S_ISDIR(status.st_mode))
        return err_set(e, &err_bad_generation, "generation %s is not there", name);
    (void)snprintf(target, sizeof target, "%s/%s", GENERATIONS, name);
    if (fs_replace_link(store->dir, CURRENT, target, e) < 0)
        return err_prefix(e, "making generation %s the current one", name);
    return 0;
}

int agent_store_open_generation(const struct agent_store *store, uint64_t generation, int *ret,
                                struct err *e) {
    char name[NAME_BYTES];
    struct stat status;
    name_of(generation, "", name);
    int found = fs_stat(store->generations, name, &status, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT)
        return AGENT_STORE_ABSENT;
    return fs_open_dir(store->generations, name, ret, e);
}

int agent_store_open_partial(const struct agent_store *store, uint64_t generation, uid_t uid,
                             gid_t gid, int *ret, struct err *e) {
    char name[NAME_BYTES];
    OWN(fd) int fd = -1;
    name_of(generation, PARTIAL, name);
    if (fs_make_dir(store->generations, name, 0755, e) < 0 ||
        fs_open_dir(store->generations, name, &fd, e) < 0 ||
        (uid != (uid_t)-1 && fs_chown(fd, uid, gid, e) < 0))
        return err_prefix(e, "making %s", name);
    *ret = own_take_fd(&fd);
    return 0;
}

int agent_store_drop_partial(const struct agent_store *store, uint64_t generation, struct err *e) {
    char name[NAME_BYTES];
    name_of(generation, PARTIAL, name);
    return fs_remove_tree(store->generations, name, e);
}

int agent_store_promote(const struct agent_store *store, uint64_t generation, struct err *e) {
    char from[NAME_BYTES], to[NAME_BYTES];
    name_of(generation, PARTIAL, from);
    name_of(generation, "", to);
    if (fs_rename_new(store->generations, from, to, e) < 0 || fs_sync(store->generations, e) < 0)
        return err_prefix(e, "completing generation %s", to);
    return 0;
}

// One garbage entry at a time: the directory changes under a listing.
struct search {
    const struct fsm_record *record; // NULL: of temporaries
    char name[256];
    bool found;
};

static bool is_needed(const struct fsm_record *record, const char *name) {
    char digits[NAME_BYTES];
    uint64_t generation;
    struct err ignored = ERR_NONE;
    size_t len = strspn(name, "0123456789");
    if (len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, name, len);
    digits[len] = '\0';
    if (num_parse_u64(digits, "generation", 0, INT64_MAX, &generation, &ignored) < 0 ||
        !fsm_machine_needs(record, generation))
        return false;
    if (name[len] == '\0')
        return true;
    bool staging = record->state == FSM_OFFERED || record->state == FSM_FETCHING ||
                   record->state == FSM_STAGED;
    return strcmp(name + len, PARTIAL) == 0 && staging && generation == record->update.target;
}

static int find_garbage(void *context, const char *name, mode_t type, struct err *e) {
    struct search *s = context;
    (void)type;
    (void)e;
    bool garbage = s->record ? !is_needed(s->record, name) : fs_is_temporary(name);
    if (s->found || !garbage)
        return 0;
    s->found = strlen(name) < sizeof s->name;
    if (s->found)
        memcpy(s->name, name, strlen(name) + 1);
    return 0;
}

int agent_store_clean(const struct agent_store *store, const struct fsm_record *record,
                      struct err *e) {
    for (;;) {
        struct search s = {.record = record};
        if (fs_list(store->generations, ".", find_garbage, &s, e) < 0)
            return err_prefix(e, "looking for generations to remove");
        if (!s.found)
            return 0;
        if (fs_remove_tree(store->generations, s.name, e) < 0)
            return err_prefix(e, "removing generation %s", s.name);
    }
}

static int find_partial(void *context, const char *name, mode_t type, struct err *e) {
    bool *found = context;
    size_t len = strlen(name), suffix = strlen(PARTIAL);
    (void)type;
    (void)e;
    *found = *found || (len >= suffix && strcmp(name + len - suffix, PARTIAL) == 0);
    return 0;
}

int agent_store_has_partial(const struct agent_store *store, bool *ret, struct err *e) {
    bool found = false;
    if (fs_list(store->generations, ".", find_partial, &found, e) < 0)
        return err_prefix(e, "looking for unfinished generations");
    *ret = found;
    return 0;
}

int agent_store_tidy(int dir, struct err *e) {
    for (;;) {
        struct search s = {.record = NULL};
        if (fs_list(dir, ".", find_garbage, &s, e) < 0)
            return err_prefix(e, "looking for temporaries to remove");
        if (!s.found)
            return 0;
        if (fs_remove(dir, s.name, e) < 0)
            return err_prefix(e, "removing %s", s.name);
    }
}

// What a directory is called and what its record says it is must agree.
static int check_number(const struct bundle_generation *record, uint64_t generation,
                        struct err *e) {
    if (record->number == generation)
        return 0;
    return err_set(e, &err_bad_generation,
                   "generation %" PRIu64 " has the record of generation %" PRIu64, generation,
                   record->number);
}

static int open_there(const struct agent_store *store, uint64_t generation, int *ret,
                      struct err *e) {
    int found = agent_store_open_generation(store, generation, ret, e);
    if (found == AGENT_STORE_ABSENT)
        return err_set(e, &err_bad_generation, "generation %" PRIu64 " is not there", generation);
    return found;
}

int agent_store_record(const struct agent_store *store, uint64_t generation,
                       struct bundle_generation *ret, struct err *e) {
    OWN(fd) int fd = -1;
    struct bundle_generation record;
    if (open_there(store, generation, &fd, e) < 0 || bundle_generation_read(fd, &record, e) < 0 ||
        check_number(&record, generation, e) < 0)
        return -1;
    *ret = record;
    return 0;
}

int agent_store_verify(const struct agent_store *store, uint64_t generation,
                       int (*progress)(void *context, uint64_t bytes, struct err *e), void *context,
                       struct bundle_generation *ret, struct err *e) {
    OWN(fd) int fd = -1;
    OWN(images) struct bundle_image_places images = {.n = 0};
    struct bundle_generation record;
    if (open_there(store, generation, &fd, e) < 0)
        return -1;
    if (bundle_generation_read(fd, &record, e) < 0 ||
        agent_slots_open(store->config, &record, &images, e) < 0 ||
        bundle_seal_verify_images(fd, &images, progress, context, &record, e) < 0)
        return err_prefix(e, "verifying generation %" PRIu64, generation);
    if (check_number(&record, generation, e) < 0)
        return -1;
    *ret = record;
    return 0;
}
