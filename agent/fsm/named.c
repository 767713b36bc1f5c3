// SPDX-License-Identifier: Apache-2.0
//
// See named.h.
#include "agent/fsm/named.h"

static bool same(const struct fsm_named *a, const struct fsm_named *b) {
    return a->root == b->root && a->snapshot == b->snapshot;
}

bool fsm_named_is_old(const struct fsm_named *trusted, const struct fsm_named *hinted) {
    return hinted->root > trusted->root || hinted->snapshot > trusted->snapshot;
}

bool fsm_named_holds(const struct fsm_named_facts *f) {
    if (f->found.root == 0 || f->found.snapshot == 0 || !same(&f->found, &f->trusted))
        return false;
    return f->asked ? !fsm_named_is_old(&f->trusted, &f->hinted) : same(&f->trusted, &f->hinted);
}
