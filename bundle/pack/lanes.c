// SPDX-License-Identifier: Apache-2.0
//
// Many digests at once.
#include "bundle/pack/lanes.h"

void pack_lanes_digest(struct pack_lanes_job *jobs, size_t n) {
    for (size_t i = 0; i < n; i++)
        keys_digest_of(jobs[i].data, jobs[i].len, &jobs[i].digest);
}
