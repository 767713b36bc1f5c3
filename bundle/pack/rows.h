// SPDX-License-Identifier: Apache-2.0
//
// The index of a table, written page by page.
#pragma once

#include "bundle/pack/table.h"

// Writes it at `offset` of fd; *ret_head is the digest of its head.
int pack_rows_write(const struct pack_table *table, uint64_t data_bytes, int fd, uint64_t offset,
                    struct keys_digest *ret_head, struct err *e) __attribute__((nonnull));
