// SPDX-License-Identifier: Apache-2.0
//
// Looking into ELF files, little-endian ones.
#include "bundle/pack/delta/program.h"

#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// An address in code is one when it leads into the file or a little behind it (its variables), and
// not just next to where it stands.
#define BEYOND(len) ((int64_t)((len) + (len) / 4))
#define NEXT_TO     128

enum pack_delta_program_machine pack_delta_program_machine(struct slice content) {
    Elf64_Ehdr header; // the members looked at are at the same places in Elf32_Ehdr
    if (content.len < sizeof header)
        return PACK_DELTA_PROGRAM_NONE;
    memcpy(&header, content.data, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_DATA] != ELFDATA2LSB)
        return PACK_DELTA_PROGRAM_NONE;
    if (header.e_machine == EM_X86_64 || header.e_machine == EM_386)
        return PACK_DELTA_PROGRAM_X86;
    return header.e_machine == EM_AARCH64 ? PACK_DELTA_PROGRAM_ARM64 : PACK_DELTA_PROGRAM_NONE;
}

static void blank_x86(struct slice content, uint8_t *ret) {
    const uint8_t *d = content.data;
    for (size_t i = 2; i + 4 <= content.len;) {
        int32_t value;
        bool field = d[i - 1] == 0xE8 || d[i - 1] == 0xE9 ||
                     (d[i - 2] == 0x0F && (d[i - 1] & 0xF0) == 0x80) || (d[i - 1] & 0xC7) == 0x05;
        memcpy(&value, d + i, sizeof value);
        int64_t target = (int64_t)i + 4 + value;
        if (!field || target < 0 || target >= BEYOND(content.len) ||
            (value > -NEXT_TO && value < NEXT_TO)) {
            i++;
            continue;
        }
        memset(ret + i, 0, 4);
        i += 4;
    }
}

static void blank_arm64(struct slice content, uint8_t *ret) {
    for (size_t i = 0; i + 4 <= content.len; i += 4) {
        uint32_t word;
        memcpy(&word, content.data + i, sizeof word);
        if ((word & 0x7C000000) != 0x14000000)
            continue;
        word &= 0xFC000000;
        memcpy(ret + i, &word, sizeof word);
    }
}

int pack_delta_program_blank(struct slice content, enum pack_delta_program_machine machine,
                             struct slice *ret, struct err *e) {
    uint8_t *copy = malloc(content.len + 1);
    if (!copy)
        return err_set(e, &err_memory, "matching programs: no memory");
    memcpy(copy, content.data, content.len);
    if (machine == PACK_DELTA_PROGRAM_X86)
        blank_x86(content, copy);
    else if (machine == PACK_DELTA_PROGRAM_ARM64)
        blank_arm64(content, copy);
    *ret = (struct slice){copy, content.len};
    return 0;
}

uint64_t pack_delta_program_unwind_table(struct slice content) {
    Elf64_Ehdr header;
    if (pack_delta_program_machine(content) == PACK_DELTA_PROGRAM_NONE ||
        content.data[EI_CLASS] != ELFCLASS64)
        return 0;
    memcpy(&header, content.data, sizeof header);
    for (size_t i = 0; i < header.e_phnum && header.e_phentsize == sizeof(Elf64_Phdr); i++) {
        Elf64_Phdr part;
        uint64_t end = i * sizeof part + sizeof part;
        if (header.e_phoff > content.len || content.len - header.e_phoff < end)
            return 0;
        memcpy(&part, content.data + header.e_phoff + i * sizeof part, sizeof part);
        if (part.p_type == PT_GNU_EH_FRAME)
            return part.p_offset < content.len ? part.p_offset : 0;
    }
    return 0;
}
