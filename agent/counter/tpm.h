// SPDX-License-Identifier: Apache-2.0
//
// A monotonic counter in a TPM 2.0 (an NV index of type TPM_NT_COUNTER, TPM 2.0 Library part 1
// §37.2.3): it can be read and raised by one, never lowered; an index made anew starts above every
// counter that the TPM ever had. The index has an empty authorisation: what protects it is that it
// only rises.
//
// tcti names the way to the TPM as tpm2-tss does: "device:/dev/tpmrm0",
// "swtpm:host=127.0.0.1,port=2321".
#pragma once

#include <stdint.h>

#include "base/err.h"

// Indexes that the TCG leaves to owners of devices.
#define COUNTER_TPM_INDEX_MIN 0x01800000U
#define COUNTER_TPM_INDEX_MAX 0x01BFFFFFU

// The value. Kinds: not_found (no such index), exists (it is no counter of ours), io (the TPM or
// the way to it).
int counter_tpm_read(const char *tcti, uint32_t index, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
// Raises it by one, making it where it is absent, and reads it back.
int counter_tpm_increment(const char *tcti, uint32_t index, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
