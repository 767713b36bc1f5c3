// SPDX-License-Identifier: Apache-2.0
//
// How a device begins: with what its image brought, or with nothing; and whether more fits.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/store.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/kind.h"

#define EMPTY_PARTIAL "0.partial"
#define BLOCK_BYTES   4096
#define RECORD_FILE   "generation.json"
#define LINK_PROBE    ".link"
#define META_DIR      ".edge"

static int make_empty(const struct agent_store *store, struct err *e) {
    OWN(fd) int dir = -1;
    OWN(fd) int meta = -1;
    OWN(fd) int file = -1;
    OWN(buf) struct buf text;
    struct bundle_generation empty = {.number = 0};
    buf_init(&text, BUNDLE_GENERATION_RECORD_MAX_BYTES);
    if (bundle_generation_format(&empty, &text, e) < 0 ||
        fs_remove_tree(store->generations, EMPTY_PARTIAL, e) < 0 ||
        fs_mkdir(store->generations, EMPTY_PARTIAL, 0755, e) < 0 ||
        fs_open_dir(store->generations, EMPTY_PARTIAL, &dir, e) < 0 ||
        fs_mkdir(dir, META_DIR, 0755, e) < 0 || fs_open_dir(dir, META_DIR, &meta, e) < 0 ||
        fs_create(meta, RECORD_FILE, 0444, &file, e) < 0 ||
        fs_write(file, text.data, text.len, e) < 0 ||
        fs_set_time(file, BUNDLE_GENERATION_TIME_S, e) < 0 ||
        fs_set_time(meta, BUNDLE_GENERATION_TIME_S, e) < 0 ||
        fs_set_time(dir, BUNDLE_GENERATION_TIME_S, e) < 0 || fs_sync_all(dir, e) < 0 ||
        agent_store_promote(store, 0, e) < 0)
        return err_prefix(e, "making the empty generation 0");
    return 0;
}

static int note_number(void *context, const char *name, mode_t type, struct err *e) {
    uint64_t *next = context;
    char digits[32];
    uint64_t number;
    struct err ignored = ERR_NONE;
    size_t len = strspn(name, "0123456789");
    (void)type;
    (void)e;
    if (len == 0 || len >= sizeof digits)
        return 0;
    memcpy(digits, name, len);
    digits[len] = '\0';
    if (num_parse_u64(digits, "generation", 0, INT64_MAX - 1, &number, &ignored) == 0 &&
        number >= *next)
        *next = number + 1;
    return 0;
}

int agent_store_adopt(const struct agent_store *store, uint64_t *ret, uint64_t *ret_next,
                      struct err *e) {
    struct stat status;
    struct bundle_generation record;
    uint64_t generation = 0, next = 1;
    int found = agent_store_current(store, &generation, e);
    if (found < 0)
        return -1;
    if (found == AGENT_STORE_ABSENT) {
        int seeded = fs_stat(store->generations, "0", &status, e);
        if (seeded < 0 || (seeded == FS_ABSENT && make_empty(store, e) < 0))
            return -1;
    }
    // I1 holds from the first moment: what the image brought is believed after it was hashed.
    if (agent_store_verify(store, generation, NULL, NULL, &record, e) < 0)
        return err_prefix(e, "taking over what the image brought");
    if (found == AGENT_STORE_ABSENT && agent_store_point(store, generation, e) < 0)
        return -1;
    if (fs_list(store->generations, ".", note_number, &next, e) < 0)
        return -1;
    *ret = generation;
    *ret_next = next;
    return 0;
}

// What one component occupies at most: contents, its tree twice (kept, and scratch while staging),
// one block of rounding for each entry.
static bool add_component(const struct bundle_component *c, bool shared, uint64_t *bytes,
                          uint64_t *inodes) {
    uint64_t rounding, sum;
    if (c->type == BUNDLE_COMPONENT_IMAGE) // a directory, a link, a manifest
        return num_add_u64(*bytes, 3ULL * BLOCK_BYTES, bytes) && num_add_u64(*inodes, 3, inodes);
    return num_mul_u64(c->entries + 1, BLOCK_BYTES, &rounding) &&
           num_add_u64(shared ? 0 : c->stream_bytes, rounding, &sum) &&
           num_add_u64(sum, c->size, &sum) && num_add_u64(*bytes, sum, bytes) &&
           num_add_u64(*inodes, c->entries + 2, inodes);
}

// Whether a file can have a second name here, tried with the record of the generation before. What
// a power cut leaves of it is garbage like any other in generations/.
static bool has_links(const struct agent_store *store, uint64_t generation) {
    char record[64];
    struct err ignored = ERR_NONE;
    (void)snprintf(record, sizeof record, "%" PRIu64 "/" META_DIR "/" RECORD_FILE, generation);
    if (fs_remove(store->generations, LINK_PROBE, &ignored) < 0 ||
        fs_link(store->generations, record, store->generations, LINK_PROBE, &ignored) < 0)
        return false;
    return fs_remove(store->generations, LINK_PROBE, &ignored) == 0;
}

static bool is_shared(const struct bundle_component *c, const struct bundle_generation *before) {
    const struct bundle_generation_component *there = bundle_generation_component(before, c->name);
    return there && keys_digest_equal(&there->digest, &c->digest);
}

int agent_store_check_space(const struct agent_store *store,
                            const struct bundle_manifest_view *view,
                            const struct bundle_generation *before, uint64_t reserve_bytes,
                            uint64_t reserve_inodes, struct err *e) {
    uint64_t bytes = 0, inodes = 16, free_bytes, free_inodes;
    char wanted[NUM_SIZE_TEXT], there[NUM_SIZE_TEXT];
    bool fits = true, links = has_links(store, before->number);
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        fits = fits && add_component(c, links && is_shared(c, before), &bytes, &inodes);
    }
    fits = fits && num_add_u64(bytes, reserve_bytes, &bytes) &&
           num_add_u64(inodes, reserve_inodes, &inodes);
    if (!fits)
        return err_set(e, &err_no_space, "%s %s is larger than any disk", view->name,
                       view->release);
    if (fs_free(store->generations, &free_bytes, &free_inodes, e) < 0)
        return -1;
    if (bytes > free_bytes)
        return err_set(e, &err_no_space,
                       "%s %s may need %s with the reserve, %s are free: make room below the state "
                       "directory, or lower reserve_bytes",
                       view->name, view->release, num_format_size(bytes, wanted),
                       num_format_size(free_bytes, there));
    // Some file systems have no fixed number of inodes and say 0.
    if (free_inodes > 0 && inodes > free_inodes)
        return err_set(e, &err_no_space,
                       "%s %s may need %" PRIu64 " inodes with the reserve, %" PRIu64 " are free",
                       view->name, view->release, inodes, free_inodes);
    return 0;
}
