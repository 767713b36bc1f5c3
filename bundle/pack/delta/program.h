// SPDX-License-Identifier: Apache-2.0
//
// What a builder knows of programs (ELF files): for which machine their code is, and where a table
// stands whose values count from its own start. Guesses that only cost bytes when they are wrong.
#pragma once

#include "base/buf.h"

enum pack_delta_program_machine {
    PACK_DELTA_PROGRAM_NONE,
    PACK_DELTA_PROGRAM_X86,
    PACK_DELTA_PROGRAM_ARM64
};

// PACK_DELTA_PROGRAM_NONE for what is no ELF file, or code without a predictor.
enum pack_delta_program_machine pack_delta_program_machine(struct slice content);
// A copy of the content in which addresses inside code are zero; *ret is the caller's to free. Kind
// memory.
int pack_delta_program_blank(struct slice content, enum pack_delta_program_machine machine,
                             struct slice *ret, struct err *e) __attribute__((nonnull));
// Offset of the table of unwinding entries (.eh_frame_hdr); 0 when there is none.
uint64_t pack_delta_program_unwind_table(struct slice content);
