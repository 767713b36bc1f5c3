// SPDX-License-Identifier: Apache-2.0
//
// A small text kept in two checksummed copies, NAME and NAME.2, for what must survive a power cut
// and a flipped bit: the journal, the floors. A copy is one line and the text,
//
//     edge-pair 1 <serial> <bytes> <64 hex digits>\n
//     …
//
// where the digest covers everything before it on the line and the text after it. Writing replaces
// one copy after the other (each atomically and durably) with a serial one higher; reading takes
// the whole copy with the higher serial. So at every instant one copy is whole, and after a
// completed write both.
#pragma once

#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"

#define AGENT_PAIR_MAX_BYTES (128 * 1024)

// Writes both copies below dir, 0600. After a failure the old or the new text will be read.
int agent_pair_write(int dir, const char *name, uint64_t serial, struct slice text, struct err *e)
    __attribute__((nonnull));
// The same of a value as compact JSON with sorted keys; NULL is taken for what memory ran out over.
int agent_pair_write_json(int dir, const char *name, uint64_t serial, const json_t *value,
                          struct err *e) __attribute__((nonnull(2, 5)));
// Appends the text to *ret. AGENT_PAIR_ABSENT when neither copy exists. Kinds: bad_journal when
// what exists is damaged, newer_format, those of fs_read_file.
enum { AGENT_PAIR_ABSENT = 1 };
int agent_pair_read(int dir, const char *name, struct buf *ret, uint64_t *ret_serial, struct err *e)
    __attribute__((nonnull));
