// SPDX-License-Identifier: Apache-2.0
//
// Trees: lines written and read. The reader is a scanner for exactly three shapes of line; whatever
// is not one of them to the last byte is refused, so there is one way to write an entry.
#include "bundle/tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"

#define SHOWN_BYTES 96 // of a hostile path, in an error

struct bundle_tree_reader {
    int fd;         // the caller's
    uint64_t next;  // offset in fd of the first byte not in the buffer
    uint64_t end;   // offset in fd behind the tree
    uint64_t line;  // offset in the tree of the entry given last
    uint64_t taken; // bytes of the tree given so far
    uint64_t entries;
    size_t from, to; // what the buffer holds and nobody took
    enum bundle_tree_type before_type;
    char before[BUNDLE_PATH_MAX + 1];
    uint8_t buffer[BUNDLE_TREE_LINE_MAX];
};

// UTF-8 in which nothing moves a cursor or ends a line: no C0, DEL or C1.
static bool is_plain_text(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0)
            return false;
    }
    return text_is_utf8(text, len);
}

static int refuse_path(const char *path, size_t len, const char *why, struct err *e) {
    char cut[SHOWN_BYTES], shown[2 * SHOWN_BYTES];
    size_t n = len < sizeof cut ? len : sizeof cut - 1;
    memcpy(cut, path, n);
    cut[n] = '\0';
    return err_set(e, &err_bad_path, "path \"%s\"%s: %s", text_safe(cut, shown, sizeof shown),
                   n < len ? " (cut)" : "", why);
}

static const char *segment_fault(const char *segment, size_t len) {
    if (len == 0)
        return "a segment is empty";
    if (len == 1 && segment[0] == '.')
        return "a segment is \".\"";
    if (len == 2 && segment[0] == '.' && segment[1] == '.')
        return "a segment is \"..\"";
    if (len > BUNDLE_SEGMENT_MAX)
        return "a segment is longer than 255 bytes";
    return NULL;
}

int bundle_tree_check_path(const char *path, size_t len, struct err *e) {
    if (len == 0)
        return refuse_path(path, len, "it is empty", e);
    if (len > BUNDLE_PATH_MAX)
        return refuse_path(path, len, "it is longer than 1024 bytes", e);
    if (path[0] == '/')
        return refuse_path(path, len, "it is absolute", e);
    if (!is_plain_text(path, len))
        return refuse_path(path, len, "it is not UTF-8 without control characters", e);
    unsigned depth = 0;
    for (size_t from = 0; from <= len;) {
        const char *slash = memchr(path + from, '/', len - from);
        size_t to = slash ? (size_t)(slash - path) : len;
        const char *fault = segment_fault(path + from, to - from);
        if (!fault && ++depth > BUNDLE_DEPTH_MAX)
            fault = "it has more than 64 segments";
        if (fault)
            return refuse_path(path, len, fault, e);
        from = to + 1;
    }
    return 0;
}

int bundle_tree_check_target(const char *target, size_t len, struct err *e) {
    if (len == 0 || len > BUNDLE_LINK_MAX)
        return err_set(e, &err_bad_tree, "a link's target has %zu bytes, 1 to %d are allowed", len,
                       BUNDLE_LINK_MAX);
    if (!is_plain_text(target, len))
        return err_set(e, &err_bad_tree, "a link's target is not UTF-8 without control characters");
    return 0;
}

int bundle_tree_compare(const char *a, const char *b) {
    for (;; a++, b++) {
        // The end sorts before '/', which sorts before all else: a directory, then what is in it.
        int x = *a == '\0' ? -1 : *a == '/' ? 0 : (unsigned char)*a;
        int y = *b == '\0' ? -1 : *b == '/' ? 0 : (unsigned char)*b;
        if (x != y)
            return x < y ? -1 : 1;
        if (x < 0)
            return 0;
    }
}

int bundle_tree_check_order(const char *before, enum bundle_tree_type before_type, const char *path,
                            struct err *e) {
    int order = *before ? bundle_tree_compare(before, path) : -1;
    if (order == 0)
        return refuse_path(path, strlen(path), "it is there twice", e);
    if (order > 0)
        return refuse_path(path, strlen(path), "it is out of order", e);
    const char *slash = strrchr(path, '/');
    if (!slash)
        return 0;
    // All above the entry before are known to be directories, and everything in a directory follows
    // it without a gap; so the parent is the entry before, or above it, or missing.
    size_t parent = (size_t)(slash - path);
    if (strncmp(before, path, parent) == 0) {
        if (before[parent] == '/' || (before[parent] == '\0' && before_type == BUNDLE_TREE_DIR))
            return 0;
        if (before[parent] == '\0')
            return refuse_path(path, strlen(path), "what is above it is no directory", e);
    }
    return refuse_path(path, strlen(path), "its directory is not in the tree", e);
}

static int add_string(struct buf *ret, const char *text, struct err *e) {
    if (buf_add_text(ret, "\"", e) < 0)
        return -1;
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "\"\\");
        if (buf_add(ret, at, plain, e) < 0)
            return -1;
        at += plain;
        if (*at && buf_add_format(ret, e, "\\%c", *at++) < 0)
            return -1;
    }
    return buf_add_text(ret, "\"", e);
}

static int format_file(const struct bundle_tree_entry *entry, struct buf *ret, struct err *e) {
    char hex[KEYS_DIGEST_HEX];
    if (buf_add_format(ret, e, "{\"digest\":\"%s\",\"exec\":%s,\"path\":",
                       keys_digest_hex(&entry->digest, hex), entry->exec ? "true" : "false") < 0 ||
        add_string(ret, entry->path, e) < 0)
        return -1;
    return buf_add_format(ret, e, ",\"size\":%" PRIu64 ",\"type\":\"file\"}\n", entry->size);
}

int bundle_tree_format(const struct bundle_tree_entry *entry, struct buf *ret, struct err *e) {
    if (entry->type == BUNDLE_TREE_FILE)
        return format_file(entry, ret, e);
    if (buf_add_text(ret, "{\"path\":", e) < 0 || add_string(ret, entry->path, e) < 0)
        return -1;
    if (entry->type == BUNDLE_TREE_DIR)
        return buf_add_text(ret, ",\"type\":\"dir\"}\n", e);
    if (buf_add_text(ret, ",\"target\":", e) < 0 || add_string(ret, entry->target, e) < 0)
        return -1;
    return buf_add_text(ret, ",\"type\":\"link\"}\n", e);
}

struct scan {
    const char *at;
    const char *end;
};

static bool take(struct scan *s, const char *text) {
    size_t len = strlen(text);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
        return false;
    s->at += len;
    return true;
}

// The inside of a string up to its closing quote, unescaped. False when it is not canonical. What
// does not fit is counted but not kept, so that the rule on length, not the scanner, refuses it.
static bool take_string(struct scan *s, char *ret, size_t ret_bytes, size_t *ret_len) {
    size_t len = 0;
    while (s->at < s->end && *s->at != '"') {
        char c = *s->at++;
        if (c == '\\') {
            if (s->at == s->end || (*s->at != '"' && *s->at != '\\'))
                return false;
            c = *s->at++;
        }
        if (len < ret_bytes)
            ret[len] = c;
        len++;
    }
    *ret_len = len;
    return take(s, "\"");
}

static bool take_size(struct scan *s, uint64_t *ret) {
    uint64_t value = 0;
    const char *first = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        if (__builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (unsigned)(*s->at - '0'), &value))
            return false;
        s->at++;
    }
    *ret = value;
    return s->at > first && (*first != '0' || s->at == first + 1);
}

static int bad_line(struct err *e) {
    return err_set(e, &err_bad_tree, "a line is none of the three canonical forms");
}

static int take_path(struct scan *s, struct bundle_tree_entry *ret, struct err *e) {
    char path[BUNDLE_PATH_MAX];
    size_t len = 0;
    if (!take(s, "\"path\":\"") || !take_string(s, path, sizeof path, &len))
        return bad_line(e);
    if (bundle_tree_check_path(path, len, e) < 0)
        return -1;
    memcpy(ret->path, path, len);
    ret->path[len] = '\0';
    return 0;
}

static int take_file(struct scan *s, struct bundle_tree_entry *ret, struct err *e) {
    char hex[KEYS_DIGEST_HEX];
    size_t len = 0;
    ret->type = BUNDLE_TREE_FILE;
    if (!take_string(s, hex, sizeof hex - 1, &len) || len != sizeof hex - 1)
        return bad_line(e);
    hex[sizeof hex - 1] = '\0';
    struct err not_hex = ERR_NONE;
    if (keys_digest_parse(hex, "digest", &ret->digest, &not_hex) < 0)
        return bad_line(e);
    ret->exec = take(s, ",\"exec\":true,");
    if (!ret->exec && !take(s, ",\"exec\":false,"))
        return bad_line(e);
    if (take_path(s, ret, e) < 0)
        return -1;
    if (!take(s, ",\"size\":") || !take_size(s, &ret->size) || !take(s, ",\"type\":\"file\"}\n"))
        return bad_line(e);
    if (ret->size > BUNDLE_STREAM_MAX_BYTES)
        return err_set(e, &err_bad_tree, "a file claims %" PRIu64 " bytes", ret->size);
    return 0;
}

static int take_link(struct scan *s, struct bundle_tree_entry *ret, struct err *e) {
    char target[BUNDLE_LINK_MAX];
    size_t len = 0;
    ret->type = BUNDLE_TREE_LINK;
    if (!take_string(s, target, sizeof target, &len) || !take(s, ",\"type\":\"link\"}\n"))
        return bad_line(e);
    if (bundle_tree_check_target(target, len, e) < 0)
        return -1;
    memcpy(ret->target, target, len);
    ret->target[len] = '\0';
    return 0;
}

int bundle_tree_parse(struct slice line, struct bundle_tree_entry *ret, struct err *e) {
    struct scan s = {.at = (const char *)line.data, .end = (const char *)line.data + line.len};
    struct bundle_tree_entry entry = {.type = BUNDLE_TREE_DIR};
    if (take(&s, "{\"digest\":\"")) {
        if (take_file(&s, &entry, e) < 0)
            return -1;
    } else {
        if (!take(&s, "{"))
            return bad_line(e);
        if (take_path(&s, &entry, e) < 0)
            return -1;
        if (take(&s, ",\"target\":\"")) {
            if (take_link(&s, &entry, e) < 0)
                return -1;
        } else if (!take(&s, ",\"type\":\"dir\"}\n")) {
            return bad_line(e);
        }
    }
    if (s.at != s.end)
        return bad_line(e);
    *ret = entry;
    return 0;
}

int bundle_tree_open(int fd, uint64_t offset, uint64_t size, struct bundle_tree_reader **ret,
                     struct err *e) {
    uint64_t end;
    if (size > BUNDLE_TREE_MAX_BYTES || __builtin_add_overflow(offset, size, &end))
        return err_set(e, &err_bad_tree, "a tree of %" PRIu64 " bytes is above the ceiling", size);
    struct bundle_tree_reader *reader = malloc(sizeof *reader);
    if (!reader)
        return err_set(e, &err_memory, "opening a tree");
    reader->fd = fd;
    reader->next = offset;
    reader->end = end;
    reader->line = reader->taken = reader->entries = 0;
    reader->from = reader->to = 0;
    reader->before[0] = '\0';
    reader->before_type = BUNDLE_TREE_DIR;
    *ret = reader;
    return 0;
}

void bundle_tree_close(struct bundle_tree_reader *reader) {
    free(reader);
}

int bundle_tree_next_file(struct bundle_tree_reader *reader, struct bundle_tree_entry *ret,
                          struct err *e) {
    int r;
    do
        r = bundle_tree_next(reader, ret, e);
    while (r == 0 && ret->type != BUNDLE_TREE_FILE);
    return r;
}

int bundle_tree_at(int fd, uint64_t offset, struct bundle_tree_entry *ret, struct err *e) {
    uint8_t line[BUNDLE_TREE_LINE_MAX];
    size_t got = 0;
    if (fs_pread(fd, line, sizeof line, offset, &got, e) < 0)
        return err_prefix(e, "reading a tree");
    const uint8_t *newline = memchr(line, '\n', got);
    if (!newline)
        return err_set(e, &err_bad_tree, "a tree changed while it was in use");
    return bundle_tree_parse((struct slice){line, (size_t)(newline - line) + 1}, ret, e);
}

uint64_t bundle_tree_entries(const struct bundle_tree_reader *reader) {
    return reader->entries;
}

uint64_t bundle_tree_offset(const struct bundle_tree_reader *reader) {
    return reader->line;
}

// Moves what is left to the front and reads on.
static int fill(struct bundle_tree_reader *r, struct err *e) {
    memmove(r->buffer, r->buffer + r->from, r->to - r->from);
    r->to -= r->from;
    r->from = 0;
    size_t want = sizeof r->buffer - r->to;
    if (want > r->end - r->next)
        want = (size_t)(r->end - r->next);
    size_t got = 0;
    if (fs_pread(r->fd, r->buffer + r->to, want, r->next, &got, e) < 0)
        return -1;
    if (got < want)
        return err_set(e, &err_truncated, "a tree ends %" PRIu64 " bytes early",
                       r->end - r->next - got);
    r->to += got;
    r->next += got;
    return 0;
}

// The next whole line, in the buffer. BUNDLE_TREE_END when there is none.
static int next_line(struct bundle_tree_reader *r, struct slice *ret, struct err *e) {
    for (int filled = 0;; filled++) {
        const uint8_t *start = r->buffer + r->from;
        const uint8_t *newline = memchr(start, '\n', r->to - r->from);
        if (newline) {
            *ret = (struct slice){.data = start, .len = (size_t)(newline - start) + 1};
            return 0;
        }
        if (r->next == r->end)
            return r->from == r->to ? BUNDLE_TREE_END
                                    : err_set(e, &err_bad_tree, "the last line is not ended");
        if (filled)
            return err_set(e, &err_bad_tree, "a line is longer than %d bytes",
                           BUNDLE_TREE_LINE_MAX);
        if (fill(r, e) < 0)
            return -1;
    }
}

int bundle_tree_next(struct bundle_tree_reader *reader, struct bundle_tree_entry *ret,
                     struct err *e) {
    struct slice line;
    int r = next_line(reader, &line, e);
    if (r != 0)
        return r < 0 ? err_prefix(e, "entry %" PRIu64, reader->entries + 1) : r;
    if (reader->entries == BUNDLE_TREE_ENTRIES_MAX)
        return err_set(e, &err_bad_tree, "more than %d entries", BUNDLE_TREE_ENTRIES_MAX);
    if (bundle_tree_parse(line, ret, e) < 0 ||
        bundle_tree_check_order(reader->before, reader->before_type, ret->path, e) < 0)
        return err_prefix(e, "entry %" PRIu64, reader->entries + 1);
    memcpy(reader->before, ret->path, strlen(ret->path) + 1);
    reader->before_type = ret->type;
    reader->line = reader->taken;
    reader->taken += line.len;
    reader->from += line.len;
    reader->entries++;
    return 0;
}
