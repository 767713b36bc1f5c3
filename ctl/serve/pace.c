// SPDX-License-Identifier: Apache-2.0
//
// How often one device may check in.
#include "ctl/serve/pace.h"

#include <string.h>

#include "keys/digest.h"

bool serve_pace_allows(struct serve_pace *pace, const char *device, int64_t boot_ms) {
    struct keys_digest digest;
    uint64_t hash = 0;
    keys_digest_of(device, strlen(device), &digest);
    memcpy(&hash, digest.bytes, sizeof hash);
    hash |= 1; // never the mark of a free place
    size_t at = (hash >> 8) % SERVE_PACE_PLACES;
    if (pace->places[at].device != hash) {
        pace->places[at].device = hash;
        pace->places[at].room_milli = SERVE_PACE_BURST * 1000;
    } else {
        int64_t more = (boot_ms - pace->places[at].at_ms) * SERVE_PACE_PER_S;
        int64_t room = pace->places[at].room_milli + (more > 0 ? more : 0);
        pace->places[at].room_milli =
            room > SERVE_PACE_BURST * 1000 ? SERVE_PACE_BURST * 1000 : room;
    }
    pace->places[at].at_ms = boot_ms;
    if (pace->places[at].room_milli < 1000)
        return false;
    pace->places[at].room_milli -= 1000;
    return true;
}
