// SPDX-License-Identifier: Apache-2.0
//
// Whether the targets still name the bundle of an update that is about to be activated. Days may
// lie between the download, before which the repository was asked, and the swap: what people
// withdrew in the meantime must not be activated, nor what the keys that published it may not
// publish any more. Pure.
//
// What targets say is known by the versions of the root and the snapshot under which they were
// read: as long as those are what is trusted, and what the controller says the repository has,
// nothing changed. Otherwise the repository is asked again. So a controller that says what is not
// so can make a device ask, or wait; or not ask, for no longer than until what is trusted expires
// (a timestamp's days). SECURITY.md says so.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fsm_named {
    uint64_t root, snapshot; // versions; 0 unknown
};

struct fsm_named_facts {
    struct fsm_named found;   // under which the bundle was found
    struct fsm_named trusted; // now
    struct fsm_named hinted;  // what the controller said last that the repository has
    bool asked;               // since the last look said yes
};

// True: nothing is to be asked. After asking a controller that says nothing, or knows less than
// the repository, changes nothing; one that knows more makes it wait.
bool fsm_named_holds(const struct fsm_named_facts *facts) __attribute__((nonnull));
// Whether the controller knows a newer repository than what is trusted.
bool fsm_named_is_old(const struct fsm_named *trusted, const struct fsm_named *hinted)
    __attribute__((nonnull));
