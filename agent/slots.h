// SPDX-License-Identifier: Apache-2.0
//
// The slots of images on this device (bundle/image.h), as the configuration names them: each component
// of type image has two, both block devices or both ordinary files. Nothing here writes to one; who
// does gets a descriptor from agent_slots_claim, and only after all of these hold:
//
//   both slots are there, of one kind, and no other slot of any component is the same file or device
//   the slot to be written is as large as the image; of a file the space is taken now
//   nothing is mounted from it, directly or by a loop device, as far as that can be told; a block device
//     that is in use otherwise is refused by the kernel
//
// A slot that is read may be mounted: it holds what runs. Mounted for writing, what it holds is soon no
// longer what was signed, and is refused as damaged the next time it is verified.
#pragma once

#include <sys/stat.h>

#include "agent/config.h"
#include "bundle/generation.h"
#include "bundle/image.h"

// Whether the slots that are configured can be told apart and opened; for `check`. Kinds config,
// not_found, permission.
int agent_slots_check(const struct agent_config *config, struct err *e) __attribute__((nonnull));

// Opens the slots of a generation's images for reading. Descriptors are the caller's
// (bundle_image_close), also after a failure; paths are the configuration's. Kind bad_generation when
// one is not configured or not there. config may be NULL: there are none.
int agent_slots_open(const struct agent_config *config, const struct bundle_generation *generation,
                     struct bundle_image_places *ret, struct err *e)
    __attribute__((nonnull(2, 3, 4)));
// Opens for writing the slots of those images of `after` that are not where `before` has them.
// Descriptors as above. Kinds unsupported_component (no slots are configured), config, no_space, busy.
int agent_slots_claim(const struct agent_config *config, const struct bundle_generation *before,
                      const struct bundle_generation *after, struct bundle_image_places *ret,
                      struct err *e) __attribute__((nonnull));
// Whether none of the slots that were claimed is what an image of the generation that runs leads to. By the record it
// cannot be; but slots that are configured in another order have other numbers. Kind config.
int agent_slots_check_running(int generation, const struct bundle_image_places *claimed,
                              struct err *e) __attribute__((nonnull));
// Whether writing them destroys an image of generation `other`.
bool agent_slots_spoil(const struct bundle_generation *before,
                       const struct bundle_generation *after, const struct bundle_generation *other)
    __attribute__((nonnull));

// Whether something is mounted from this file or block device by the word of a text like
// /proc/self/mountinfo. backing(loop) is the file behind the loop device of this number; false: none.
bool agent_slots_is_mounted(const char *mountinfo, const struct stat *slot,
                            bool (*backing)(unsigned loop, struct stat *ret))
    __attribute__((nonnull));
