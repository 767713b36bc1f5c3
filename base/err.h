// SPDX-License-Identifier: Apache-2.0
//
// An error: what kind, and one sentence for a person. It lives on the caller's stack, has a fixed
// size and never allocates. The first error wins; context is prefixed on the way up ("installing
// vibration 1.2: reading frame 7: …"), and when the text gets too long the outermost context is
// cut, never the cause.
//
// A function that can fail is `int f(…, struct err *e)`: < 0 failed and *e says why, 0 done, > 0 a
// named outcome. e must not be NULL. Outputs are untouched on failure.
//
// Each room lists its kinds in one X-macro table (base: here; keys/kind.h, bundle/kind.h,
// agent/kind.h, ctl/kind.h). A row is
//     X(name, exit status, retry, text)
// name: stable, for scripts and reports (`why.code`); exit status: what a program exits with,
// unique per kind over all rooms; retry: whether the same attempt may succeed later with nothing
// changed; text: what the man page says.
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#define ERR_TEXT_BYTES 512
#define ERR_NAME_BYTES                                                                             \
    32 // longest kind name with its NUL; a kind's name crosses process borders in this

struct err_kind {
    const char *name;
    int exit_status;
    bool retry;
    const char *text;
};

struct err {
    const struct err_kind *kind; // NULL: no error yet
    char text[ERR_TEXT_BYTES];
};

// clang-format off
#define BASE_KINDS(X)                                                                                                  \
    X(internal,      1, false, "a bug in this program; please report it")                                             \
    X(usage,         2, false, "the command line is wrong")                                                           \
    X(config,        3, false, "a configuration or policy file is wrong")                                             \
    X(syntax,        4, false, "a document is malformed")                                                             \
    X(limit,         5, false, "a size or count is above its ceiling")                                                \
    X(memory,        6, true,  "memory could not be had")                                                             \
    X(io,            7, true,  "a file operation failed")                                                             \
    X(no_space,      8, true,  "the file system is full or a quota is used up")                                       \
    X(read_only,     9, false, "the file system is read-only")                                                        \
    X(not_found,    10, false, "the named thing does not exist")                                                      \
    X(exists,       11, false, "the named thing exists already with other contents")                                  \
    X(permission,   12, false, "not allowed")                                                                         \
    X(busy,         13, true,  "another process holds it")                                                            \
    X(timeout,      14, true,  "it took longer than allowed")                                                         \
    X(newer_format, 15, false, "written by a newer version of this program")
// clang-format on

#define ERR_DECLARE(name, status, retry, text) extern const struct err_kind err_##name;
BASE_KINDS(ERR_DECLARE)

// Null-terminated table of base's rows, in order. Every room has its own: keys_kinds, bundle_kinds,
// …
extern const struct err_kind *const err_base_kinds[];

#define ERR_NONE                                                                                   \
    { .kind = NULL }

// Records kind and sentence unless *e already holds an error. Always returns -1, so that `return
// err_set(…)` reads well.
__attribute__((format(printf, 3, 4), nonnull(1, 2))) int
err_set(struct err *e, const struct err_kind *kind, const char *format, ...);

// As err_set for a failed system call: the kind follows errno (ENOSPC and EDQUOT no_space, EROFS
// read_only, ENOMEM memory, EACCES and EPERM permission, ENOENT not_found, EEXIST exists, EBUSY,
// EAGAIN and ETXTBSY busy, ETIMEDOUT timeout, else io), and ": " and the system's text for it are
// appended. saved_errno is errno as the call left it.
__attribute__((format(printf, 3, 4), nonnull(1))) int err_errno(struct err *e, int saved_errno,
                                                                const char *format, ...);

// Prefixes "context: " to the sentence of *e, which must hold an error. Returns -1.
__attribute__((format(printf, 2, 3), nonnull(1))) int err_prefix(struct err *e, const char *format,
                                                                 ...);

// Forgets the error.
void err_clear(struct err *e) __attribute__((nonnull));

// True when *e is of this kind.
bool err_is(const struct err *e, const struct err_kind *kind) __attribute__((nonnull));

// Finds a row by name in a null-terminated table of rows; NULL when there is none.
const struct err_kind *err_find(const struct err_kind *const *table, const char *name)
    __attribute__((nonnull));
