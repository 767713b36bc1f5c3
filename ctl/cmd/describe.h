// SPDX-License-Identifier: Apache-2.0
//
// What signing a document would change, in words, so that nobody signs what they did not read: a
// root against the root before, targets against the current ones. Nothing is left out: what this
// program has no words for is named as a member that differs.
#pragma once

#include <jansson.h>

#include "ctl/cmd/document.h"
#include "ctl/cmd/keyring.h"

// An array of sentences, the caller's; empty when nothing changes. before NULL: everything counts
// as new. Kind memory.
int cmd_describe_changes(const struct cmd_document *before, const struct cmd_document *after,
                         const struct cmd_keyring *ring, json_t **ret, struct err *e)
    __attribute__((nonnull(2, 3, 4, 5)));

// For people, on standard output: "targets, version 7, issued …, expires …" and the changes.
void cmd_describe_print(const struct cmd_document *document, const char *name,
                        const json_t *changes) __attribute__((nonnull));
