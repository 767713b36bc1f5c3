// SPDX-License-Identifier: Apache-2.0
//
// The program's own malloc goes before the library's in symbol lookup, so that these definitions
// see every call. They hand on to the sanitizer's allocator when there is one, and to the C
// library's otherwise; free is theirs.

#include "tests/support/alloc_fault.h"

#include <errno.h>

extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *old, size_t size) __attribute__((weak));
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);

static _Thread_local bool armed, always, refused;
static _Thread_local size_t left;

static bool is_refused(void) {
    if (!armed)
        return false;
    if (left > 0) {
        left--;
        return false;
    }
    armed = always;
    refused = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    if (is_refused())
        return NULL;
    return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    if (is_refused())
        return NULL;
    return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    if (is_refused())
        return NULL;
    return __interceptor_realloc ? __interceptor_realloc(old, size) : __libc_realloc(old, size);
}

void alloc_fault_begin(size_t at, bool for_ever) {
    left = at;
    always = for_ever;
    refused = false;
    armed = true;
}

bool alloc_fault_end(void) {
    armed = false;
    return refused;
}
