// SPDX-License-Identifier: Apache-2.0
//
// Reading other people's archives, on the building machine only.
#include "bundle/pack/archive.h"

#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/pack/build.h"
#include "bundle/pack/walk.h"

#define READ_BYTES 65536

struct input {
    const struct pack_component *component;
    struct pack_tree *tree;
    struct archive *archive;
    uint64_t spooled; // bytes in the spool
    bool has_owner;
    int64_t uid, gid; // of the first entry
};

static int failed(const struct input *in, struct err *e) {
    const char *why = archive_error_string(in->archive);
    return err_set(e, &err_syntax, "reading the archive %s: %s", in->component->path,
                   why ? why : "it is damaged");
}

// One by one: what is not named here is not tried on the input, and no external program is run.
static int open_archive(const struct input *in, struct err *e) {
    static int (*const support[])(struct archive *) = {
        archive_read_support_filter_none,  archive_read_support_filter_gzip,
        archive_read_support_filter_bzip2, archive_read_support_filter_xz,
        archive_read_support_filter_lzma,  archive_read_support_filter_zstd,
        archive_read_support_format_tar,   archive_read_support_format_gnutar,
        archive_read_support_format_cpio,  archive_read_support_format_zip,
        archive_read_support_format_7zip,
    };
    for (size_t i = 0; i < sizeof support / sizeof *support; i++)
        if (support[i](in->archive) != ARCHIVE_OK)
            return err_set(e, &err_internal, "libarchive was built without a filter it needs");
    if (archive_read_open_filename(in->archive, in->component->path, READ_BYTES) != ARCHIVE_OK)
        return failed(in, e);
    return 0;
}

// The path as a tree has it: "./" before and '/' behind are the archiver's habit. Empty for the
// top.
static void clean_path(const char *given, char *ret, size_t ret_bytes) {
    while (given[0] == '.' && given[1] == '/') {
        given += 2;
        while (*given == '/')
            given++;
    }
    size_t len = strlen(given);
    while (len > 0 && given[len - 1] == '/' && len > 1)
        len--;
    if (len == 1 && given[0] == '.')
        len = 0;
    if (len >= ret_bytes)
        len = ret_bytes - 1; // longer than any path may be: refused by the rule
    memcpy(ret, given, len);
    ret[len] = '\0';
}

static int refuse(const struct input *in, const char *path, const char *what, struct err *e) {
    return err_set(e, &err_unsupported_member,
                   "%s has %s, which a bundle of files cannot carry: remove it, strip special "
                   "members, or ship an image (in %s)",
                   path, what, in->component->path);
}

static int judge(struct input *in, struct archive_entry *entry, const char *path, struct err *e) {
    int r = pack_walk_judge(in->component, path, archive_entry_mode(entry), in->tree, e);
    if (r != 0)
        return r;
    const char *what = NULL;
    if (archive_entry_xattr_count(entry) > 0)
        what = "extended attributes";
    else if (archive_entry_acl_types(entry) != 0)
        what = "an access control list";
    else if (in->has_owner &&
             (archive_entry_uid(entry) != in->uid || archive_entry_gid(entry) != in->gid))
        what = "another owner than the entries before it";
    if (!in->has_owner) {
        in->has_owner = true;
        in->uid = archive_entry_uid(entry);
        in->gid = archive_entry_gid(entry);
    }
    if (!what)
        return 0;
    if (!in->component->strip_special)
        return refuse(in, path, what, e);
    in->tree->stripped++;
    return 0;
}

static int spool_data(struct input *in, struct pack_content *content, struct err *e) {
    uint8_t buffer[READ_BYTES];
    content->dir = in->tree->dir;
    content->offset = in->spooled;
    for (;;) {
        la_ssize_t n = archive_read_data(in->archive, buffer, sizeof buffer);
        if (n < 0)
            return failed(in, e);
        if (n == 0)
            break;
        if (in->spooled + (uint64_t)n > BUNDLE_STREAM_MAX_BYTES)
            return err_set(e, &err_limit, "the archive unpacks to more than %lld bytes",
                           BUNDLE_STREAM_MAX_BYTES);
        if (fs_pwrite(in->tree->dir, buffer, (size_t)n, in->spooled, e) < 0)
            return err_prefix(e, "spooling the archive");
        in->spooled += (uint64_t)n;
    }
    content->size = in->spooled - content->offset;
    return 0;
}

static int set_target(struct pack_item *item, const char *target, struct err *e) {
    item->target = strdup(target);
    return item->target ? 0 : err_set(e, &err_memory, "a link");
}

static int add_hard_link(struct pack_item *item, const char *target, struct err *e) {
    char path[BUNDLE_PATH_MAX + 2];
    clean_path(target, path, sizeof path);
    item->type = BUNDLE_TREE_FILE;
    item->seen_link = true;
    return set_target(item, path, e);
}

static int add_entry(struct input *in, struct archive_entry *entry, struct err *e) {
    char path[BUNDLE_PATH_MAX + 2];
    struct pack_item *item = NULL;
    const char *given = archive_entry_pathname(entry);
    if (!given)
        return err_set(e, &err_bad_path, "an entry of the archive has no readable name");
    clean_path(given, path, sizeof path);
    if (*path == '\0')
        return 0;
    const char *hard = archive_entry_hardlink(entry);
    int r = hard ? 0 : judge(in, entry, path, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (pack_content_add_item(in->tree, path, &item, e) < 0)
        return -1;
    if (hard)
        return add_hard_link(item, hard, e);
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return 0; // what a new item is
    if (archive_entry_filetype(entry) == AE_IFLNK) {
        const char *target = archive_entry_symlink(entry);
        item->type = BUNDLE_TREE_LINK;
        if (bundle_tree_check_target(target ? target : "", target ? strlen(target) : 0, e) < 0)
            return err_prefix(e, "%s", path);
        return set_target(item, target, e);
    }
    item->type = BUNDLE_TREE_FILE;
    item->exec = (archive_entry_perm(entry) & 0111) != 0;
    return spool_data(in, &item->content, e);
}

static int compare_paths(const void *a, const void *b) {
    return bundle_tree_compare(((const struct pack_item *)a)->path,
                               ((const struct pack_item *)b)->path);
}

// Directories may be named twice, and may be missing.
static int complete_directories(struct pack_tree *tree, struct err *e) {
    size_t named = tree->n;
    for (size_t i = 0; i < named; i++) {
        char path[BUNDLE_PATH_MAX + 1];
        struct pack_item *item = NULL;
        memcpy(path, tree->items[i].path, strlen(tree->items[i].path) + 1);
        for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            // Entries of one directory mostly stand together: most of these are dropped again.
            const char *before = i ? tree->items[i - 1].path : "";
            size_t len = (size_t)(slash - path);
            if (strncmp(before, path, len + 1) == 0)
                continue;
            *slash = '\0';
            if (pack_content_add_item(tree, path, &item, e) < 0)
                return -1;
            *slash = '/';
        }
    }
    if (tree->n > 0)
        qsort(tree->items, tree->n, sizeof *tree->items, compare_paths);
    size_t kept = 0;
    for (size_t i = 0; i < tree->n; i++) {
        struct pack_item *last = kept ? &tree->items[kept - 1] : NULL;
        struct pack_item *item = &tree->items[i];
        if (last && strcmp(last->path, item->path) == 0 && last->type == BUNDLE_TREE_DIR &&
            item->type == BUNDLE_TREE_DIR) {
            free(item->path);
            continue;
        }
        tree->items[kept++] = *item;
    }
    tree->n = kept;
    return 0;
}

// A hard link is the file that it names, which may be a hard link itself.
static int resolve_links(struct pack_tree *tree, struct err *e) {
    for (size_t i = 0; i < tree->n; i++) {
        struct pack_item *item = &tree->items[i], *to = item;
        for (size_t steps = 0; to && to->seen_link; steps++) {
            const struct pack_item key = {.path = to->target};
            to = steps == tree->n ? NULL
                                  : bsearch(&key, tree->items, tree->n, sizeof key, compare_paths);
        }
        if (to == item)
            continue;
        if (!to || to->type != BUNDLE_TREE_FILE)
            return err_set(e, &err_bad_path, "%s is a hard link to %s, which is no file in it",
                           item->path, item->target);
        item->content = to->content;
        item->exec = to->exec;
    }
    return 0;
}

static int read_entries(struct input *in, struct err *e) {
    struct archive_entry *entry = NULL;
    if (open_archive(in, e) < 0)
        return -1;
    for (;;) {
        int r = archive_read_next_header(in->archive, &entry);
        if (r == ARCHIVE_EOF)
            return 0;
        // A warning is a name or an attribute that could not be converted: not what was packed.
        if (r != ARCHIVE_OK)
            return failed(in, e);
        if (add_entry(in, entry, e) < 0)
            return -1;
    }
}

int pack_archive_read(const struct pack_component *component, int *spool, struct pack_tree *ret,
                      struct err *e) {
    struct input in = {.component = component, .tree = ret, .archive = archive_read_new()};
    ret->dir = own_take_fd(spool);
    int r = in.archive ? read_entries(&in, e) : err_set(e, &err_memory, "reading an archive");
    (void)archive_read_free(in.archive);
    if (r < 0 || complete_directories(ret, e) < 0 || resolve_links(ret, e) < 0)
        return -1;
    return pack_content_sort(ret, e);
}
