// SPDX-License-Identifier: Apache-2.0
//
// Where frames are cut.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/pack/table.h"

#define PIECES      100
#define PIECE_BYTES 32768
#define FRAME_BYTES (1024 * 1024)

static void add(struct pack_table *table, struct pack_content *content, unsigned first) {
    struct err e = ERR_NONE;
    *content = (struct pack_content){.n_pieces = PIECES,
                                     .max_pieces = PIECES,
                                     .pieces = calloc(PIECES, sizeof *content->pieces)};
    cr_assert(content->pieces);
    for (unsigned i = 0; i < PIECES; i++) {
        unsigned number = first + i;
        content->pieces[i].bytes = PIECE_BYTES;
        memcpy(content->pieces[i].digest, &number, sizeof number);
    }
    cr_assert_eq(pack_table_add(table, content, &e), 0, "%s", e.text);
}

Test(table, frames_of_trees_are_small_and_end_where_the_trees_do) {
    struct err e = ERR_NONE;
    struct pack_table table;
    struct pack_content tree, file;
    pack_table_init(&table, FRAME_BYTES, NULL);
    add(&table, &tree, 1);
    pack_table_border(&table);
    add(&table, &file, 1 + PIECES);
    cr_assert_eq(pack_table_finish(&table, &e), 0, "%s", e.text);
    for (size_t i = 0; i < table.n_frames; i++) {
        const struct bundle_index_frame *row = &table.frames[i].row;
        bool of_trees = row->raw < table.trees_end;
        cr_expect_leq(row->raw_bytes, of_trees ? PACK_TABLE_TREE_FRAME_BYTES : FRAME_BYTES);
        cr_expect(!of_trees || row->raw + row->raw_bytes <= table.trees_end, "%zu", i);
    }
    cr_expect_eq(table.n_frames, PIECES * PIECE_BYTES / PACK_TABLE_TREE_FRAME_BYTES + 4);
    pack_table_clear(&table);
}
