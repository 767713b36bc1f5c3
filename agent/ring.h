// SPDX-License-Identifier: Apache-2.0
//
// Memory that a worker and its scribe share, for the bytes of images on their way into slots: through a pipe each would be copied twice more, and both
// would wait for the pipe's lock. The agent makes it, and it cannot shrink: whoever maps it is never struck down by who else has it. What lies in it is
// the worker's to change at any time, also while it is written to a slot; so whoever reads there believes nothing (bundle/seal reads the slot back).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define AGENT_RING_BYTES (1024UL * 1024)

// The descriptor is the caller's. Kinds: io.
int agent_ring_make(int *ret_fd, struct err *e) __attribute__((nonnull));
// Maps it, to read, or to write as well; agent_ring_unmap is due. Kinds: io; worker_failed: it is no such memory.
int agent_ring_map(int fd, bool writes, uint8_t **ret, struct err *e) __attribute__((nonnull));
// NULL is fine.
void agent_ring_unmap(uint8_t *ring);
