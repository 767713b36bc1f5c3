// SPDX-License-Identifier: Apache-2.0
//
// Two copies of a text; see pair.h for the form.
#include "agent/pair.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "bundle/message.h"
#include "keys/digest.h"

#define MARK           "edge-pair "
#define NAME_MAX_BYTES 64
#define HEAD_MAX_BYTES 160

enum { COPIES = 2 };

static void copy_name(const char *name, int copy, char ret[static NAME_MAX_BYTES]) {
    int len = snprintf(ret, NAME_MAX_BYTES, copy == 0 ? "%s" : "%s.2", name);
    assert(len > 0 && len < NAME_MAX_BYTES);
    (void)len;
}

static void digest_of(const char *head, size_t head_len, struct slice text,
                      struct keys_digest *ret) {
    struct keys_digest_state state;
    keys_digest_init(&state);
    keys_digest_add(&state, head, head_len);
    keys_digest_add(&state, text.data, text.len);
    keys_digest_final(&state, ret);
}

int agent_pair_write(int dir, const char *name, uint64_t serial, struct slice text, struct err *e) {
    char head[HEAD_MAX_BYTES];
    char hex[KEYS_DIGEST_HEX];
    char file[NAME_MAX_BYTES];
    struct keys_digest digest;
    int head_len = snprintf(head, sizeof head, MARK "1 %" PRIu64 " %zu ", serial, text.len);
    digest_of(head, (size_t)head_len, text, &digest);
    OWN(buf) struct buf whole;
    buf_init(&whole, AGENT_PAIR_MAX_BYTES);
    if (buf_add_format(&whole, e, "%s%s\n", head, keys_digest_hex(&digest, hex)) < 0 ||
        buf_add(&whole, text.data, text.len, e) < 0)
        return err_prefix(e, "writing %s", name);
    // Each with its own sync of the directory: the second is begun when the first is durable, so that
    // a power cut meets one of them half done at most, even where a rename is no atom.
    for (int copy = 0; copy < COPIES; copy++) {
        copy_name(name, copy, file);
        if (fs_replace(dir, file, whole.data, whole.len, 0600, e) < 0)
            return err_prefix(e, "writing %s", file);
    }
    return 0;
}

int agent_pair_write_json(int dir, const char *name, uint64_t serial, const json_t *value,
                          struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, AGENT_PAIR_MAX_BYTES);
    if (!value)
        return err_set(e, &err_memory, "writing %s: out of memory", name);
    if (bundle_message_dump(value, &text, e) < 0)
        return err_prefix(e, "writing %s", name);
    return agent_pair_write(dir, name, serial, buf_slice(&text), e);
}

// Takes one word of digits and the blank behind it off the front of a line.
static int take_number(const char **at, uint64_t *ret) {
    char digits[24];
    size_t len = strspn(*at, "0123456789");
    struct err e = ERR_NONE;
    if (len == 0 || len >= sizeof digits || (*at)[len] != ' ')
        return -1;
    memcpy(digits, *at, len);
    digits[len] = '\0';
    *at += len + 1;
    return num_parse_u64(digits, "pair", 0, UINT64_MAX, ret, &e);
}

// Reads one copy. 0 and the text in *ret (borrowed from whole), 1 when there is none.
static int read_copy(int dir, const char *file, struct buf *whole, uint64_t *ret_serial,
                     struct slice *ret, struct err *e) {
    struct stat status;
    int found = fs_stat(dir, file, &status, e);
    if (found != 0)
        return found;
    if (fs_read_file(dir, file, AGENT_PAIR_MAX_BYTES, whole, e) < 0)
        return -1;
    const char *text = buf_text(whole);
    const char *newline = memchr(text, '\n', whole->len);
    const char *at = text + strlen(MARK);
    uint64_t format, len;
    if (!newline || strncmp(text, MARK, strlen(MARK)) != 0 || take_number(&at, &format) < 0)
        return err_set(e, &err_bad_journal, "%s is damaged: its first line is not one", file);
    if (format != 1)
        return err_set(e, &err_newer_format, "%s has format %" PRIu64 "; this agent knows 1", file,
                       format);
    struct keys_digest wanted, digest;
    char hex[KEYS_DIGEST_HEX];
    struct err ignored = ERR_NONE;
    if (take_number(&at, ret_serial) < 0 || take_number(&at, &len) < 0 ||
        newline - at != KEYS_DIGEST_HEX - 1 || len != whole->len - (size_t)(newline + 1 - text))
        return err_set(e, &err_bad_journal, "%s is damaged: it is cut or its head is not one",
                       file);
    memcpy(hex, at, KEYS_DIGEST_HEX - 1);
    hex[KEYS_DIGEST_HEX - 1] = '\0';
    *ret = (struct slice){.data = (const uint8_t *)newline + 1, .len = (size_t)len};
    digest_of(text, (size_t)(at - text), *ret, &digest);
    if (keys_digest_parse(hex, file, &wanted, &ignored) < 0 || !keys_digest_equal(&wanted, &digest))
        return err_set(e, &err_bad_journal, "%s is damaged: its checksum does not match", file);
    return 0;
}

int agent_pair_read(int dir, const char *name, struct buf *ret, uint64_t *ret_serial,
                    struct err *e) {
    OWN(buf) struct buf first;
    OWN(buf) struct buf second;
    buf_init(&first, AGENT_PAIR_MAX_BYTES);
    buf_init(&second, AGENT_PAIR_MAX_BYTES);
    struct buf *const whole[COPIES] = {&first, &second};
    struct slice text[COPIES];
    uint64_t serial[COPIES] = {0, 0};
    struct err errors[COPIES] = {ERR_NONE, ERR_NONE};
    int found[COPIES];
    char file[NAME_MAX_BYTES];
    for (int copy = 0; copy < COPIES; copy++) {
        copy_name(name, copy, file);
        found[copy] = read_copy(dir, file, whole[copy], &serial[copy], &text[copy], &errors[copy]);
    }
    int best = found[0] == 0 && (found[1] != 0 || serial[0] >= serial[1]) ? 0 : 1;
    if (found[best] == 0) {
        if (buf_add(ret, text[best].data, text[best].len, e) < 0)
            return -1;
        *ret_serial = serial[best];
        return 0;
    }
    if (found[0] > 0 && found[1] > 0)
        return AGENT_PAIR_ABSENT;
    *e = errors[errors[0].kind ? 0 : 1];
    return -1;
}
