// SPDX-License-Identifier: Apache-2.0
//
// Case directories: tests/data/keys/<family>/{valid,invalid}/<case>/ with the files `envelope`
// (bytes) and `expect` ("ok", or the kinds of error that the case may be refused with).
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "tests/unit/keys/keyring.h"

static inline void cases_read(const char *folder, const char *name, struct buf *ret) {
    char path[768];
    struct err e = ERR_NONE;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    keyring_must(fs_read_file(AT_FDCWD, path, 1 << 20, ret, &e), &e);
}

// True when `kind` is one of the words.
static inline bool cases_allow(const char *words, const char *kind) {
    size_t len = strlen(kind);
    for (const char *at = words; *at; at += strcspn(at, " \n"), at += strspn(at, " \n"))
        if (strcspn(at, " \n") == len && strncmp(at, kind, len) == 0)
            return true;
    return false;
}

// Calls check for every case of a family below the source folder and returns how many there were.
static inline unsigned cases_walk(const char *source, const char *family,
                                  void (*check)(const char *name, struct slice envelope,
                                                const char *expect)) {
    static const char *const halves[] = {"valid", "invalid"};
    unsigned n = 0;
    for (size_t i = 0; i < 2; i++) {
        char folder[256];
        (void)snprintf(folder, sizeof folder, "%s/tests/data/keys/%s/%s", source, family,
                       halves[i]);
        DIR *dir = opendir(folder);
        if (!dir) {
            perror(folder);
            abort();
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (entry->d_name[0] == '.')
                continue;
            char place[600];
            OWN(buf) struct buf envelope;
            OWN(buf) struct buf expect;
            buf_init(&envelope, 1 << 20);
            buf_init(&expect, 1 << 10);
            (void)snprintf(place, sizeof place, "%s/%s", folder, entry->d_name);
            cases_read(place, "envelope", &envelope);
            cases_read(place, "expect", &expect);
            check(entry->d_name, buf_slice(&envelope), buf_text(&expect));
            n++;
        }
        (void)closedir(dir);
    }
    return n;
}
