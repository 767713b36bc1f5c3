// SPDX-License-Identifier: Apache-2.0
//
// See depot.h.
#include "agent/worker/depot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "keys/tuf/client.h"

_Static_assert(TRUST_VERDICT_STEPS_MAX ==
                   TUF_ROOTS_PER_REFRESH_MAX + 2 + 3 + TUF_ROLES_PER_SEARCH_MAX,
               "the longest list of steps that a refresh can make");
// More than any refresh needs: each file may be asked for twice.
#define SERVED_MAX (2 * TRUST_VERDICT_STEPS_MAX)

void worker_depot_clear(struct worker_depot *depot) {
    free(depot->steps);
    free(depot->served);
    keys_root_free(depot->root);
    depot->root = NULL;
    depot->steps = NULL;
    depot->served = NULL;
    depot->n_steps = depot->n_served = 0;
}

static int check_name(const char *name, struct err *e) {
    return trust_verdict_is_file(name)
               ? 0
               : err_set(e, &err_limit, "a role's name makes no file name of at most %d bytes",
                         TRUST_VERDICT_FILE_MAX);
}

int worker_depot_served(struct worker_depot *depot, const char *name, struct err *e) {
    if (check_name(name, e) < 0)
        return -1;
    if (depot->n_served == SERVED_MAX)
        return err_set(e, &err_limit, "more than %d files in one refresh", SERVED_MAX);
    void *longer = realloc(depot->served, (depot->n_served + 1) * sizeof *depot->served);
    if (!longer)
        return err_set(e, &err_memory, "refreshing: out of memory");
    depot->served = longer;
    memcpy(depot->served[depot->n_served++], name, strlen(name) + 1);
    return 0;
}

int worker_depot_read(int dir, const char *name, size_t max_bytes, struct buf *ret, struct err *e) {
    struct stat status;
    int found = fs_stat(dir, name, &status, e);
    if (found != 0)
        return found < 0 ? -1 : TUF_ABSENT;
    return fs_read_file(dir, name, max_bytes, ret, e);
}

// The last of a trusted name; NULL when this run changed nothing there.
static const struct worker_depot_step *find_step(const struct worker_depot *depot,
                                                 const char *name) {
    for (size_t i = depot->n_steps; i > 0; i--)
        if (strcmp(depot->steps[i - 1].to, name) == 0)
            return &depot->steps[i - 1];
    return NULL;
}

int worker_depot_load(void *context, const char *name, size_t max_bytes, struct buf *ret,
                      struct err *e) {
    struct worker_depot *depot = context;
    if (check_name(name, e) < 0)
        return -1;
    const struct worker_depot_step *step = find_step(depot, name);
    if (!step)
        return worker_depot_read(depot->trusted, name, max_bytes, ret, e);
    return step->from[0] ? worker_depot_read(depot->incoming, step->from, max_bytes, ret, e)
                         : TUF_ABSENT;
}

// "4.snapshot.json" is served for snapshot.json, and so is snapshot.json.
static bool serves(const char *served, const char *name) {
    size_t digits = strspn(served, "0123456789");
    return strcmp(served, name) == 0 ||
           (digits > 0 && served[digits] == '.' && strcmp(served + digits + 1, name) == 0);
}

static const char *served_for(const struct worker_depot *depot, const char *name) {
    for (size_t i = depot->n_served; i > 0; i--)
        if (serves(depot->served[i - 1], name))
            return depot->served[i - 1];
    return NULL;
}

static int add_step(struct worker_depot *depot, const struct worker_depot_step *step,
                    struct err *e) {
    if (depot->n_steps == TRUST_VERDICT_STEPS_MAX)
        return err_set(e, &err_limit, "more than %d files accepted in one refresh",
                       TRUST_VERDICT_STEPS_MAX);
    void *longer = realloc(depot->steps, (depot->n_steps + 1) * sizeof *depot->steps);
    if (!longer)
        return err_set(e, &err_memory, "refreshing: out of memory");
    depot->steps = longer;
    depot->steps[depot->n_steps++] = *step;
    return 0;
}

// Not durable: garbage until it is judged, and removed when a refresh begins.
static int write_file(int dir, const char *name, struct slice bytes, struct err *e) {
    OWN(fd) int fd = -1;
    if (fs_open_write(dir, name, 0644, &fd, e) < 0 || fs_truncate(fd, 0, e) < 0)
        return -1;
    return fs_pwrite(fd, bytes.data, bytes.len, 0, e);
}

static int read_root(struct worker_depot *depot, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (depot->root)
        return 0;
    if (fs_read_file(depot->trusted, TRUST_STORE_ROOT, KEYS_ROOT_MAX_BYTES, &raw, e) < 0)
        return -1;
    return keys_root_open(buf_slice(&raw), &depot->root, e);
}

// What the client forgets because of a root comes before it: a root that is refused here takes
// nothing from what is trusted.
static int advance_root(struct worker_depot *depot, const char *from, struct slice bytes,
                        struct err *e) {
    struct keys_root *next = NULL;
    if (read_root(depot, e) < 0 || keys_root_advance(depot->root, bytes, &next, e) < 0) {
        while (depot->n_steps > 0 && depot->steps[depot->n_steps - 1].from[0] == '\0')
            depot->n_steps--;
        return err_prefix(e, "%s", from);
    }
    keys_root_free(depot->root);
    depot->root = next;
    return 0;
}

int worker_depot_store(void *context, const char *name, struct slice bytes, struct err *e) {
    struct worker_depot *depot = context;
    struct worker_depot_step step = {.bytes = bytes.len};
    const char *from = served_for(depot, name);
    if (check_name(name, e) < 0)
        return -1;
    if (!from)
        return err_set(e, &err_internal, "%s was accepted but never fetched", name);
    memcpy(step.to, name, strlen(name) + 1);
    memcpy(step.from, from, strlen(from) + 1);
    keys_digest_of(bytes.data, bytes.len, &step.digest);
    if (strcmp(name, TRUST_STORE_ROOT) == 0 && advance_root(depot, from, bytes, e) < 0)
        return -1;
    if (depot->writes && write_file(depot->incoming, step.from, bytes, e) < 0)
        return err_prefix(e, "keeping %s", step.from);
    return add_step(depot, &step, e);
}

int worker_depot_forget(void *context, const char *name, struct err *e) {
    struct worker_depot *depot = context;
    struct worker_depot_step step = {.bytes = 0};
    if (check_name(name, e) < 0)
        return -1;
    const struct worker_depot_step *before = find_step(depot, name);
    if (before && !before->from[0])
        return 0;
    memcpy(step.to, name, strlen(name) + 1);
    return add_step(depot, &step, e);
}
