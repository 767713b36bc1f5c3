// SPDX-License-Identifier: Apache-2.0
//
// Ownership that ends with the scope. `OWN(fd) int f = -1;` closes f on every way out;
// `own_take_fd(&f)` hands it on. A destructor takes NULL (or -1) and half-built things; handing
// over is the last statement of a function that succeeds.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#define OWN(what) __attribute__((cleanup(own_drop_##what)))

static inline void own_drop_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void own_drop_mem(void *pointer) {
    void **slot = pointer;
    free(*slot);
    *slot = NULL;
}

static inline void own_drop_json(json_t **value) {
    json_decref(*value);
}

// Takes the descriptor out of *fd, which becomes -1.
static inline int own_take_fd(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}

// Takes the pointer out of *slot, which becomes NULL. Typed by its argument.
#define own_take(slot)                                                                             \
    __extension__({                                                                                \
        __typeof__(*(slot)) own_taken = *(slot);                                                   \
        *(slot) = NULL;                                                                            \
        own_taken;                                                                                 \
    })
