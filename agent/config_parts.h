// SPDX-License-Identifier: Apache-2.0
//
// The structured settings of the configuration (see agent/config.h for their form).
#pragma once

#include "agent/config.h"
#include "base/doc.h"

// Their names, each followed by a comma, for lists of what is known.
#define AGENT_CONFIG_PARTS                                                                         \
    "facts", "fact_commands", "window", "runners", "on_activate", "endpoints", "metrics", "slots", \
        "tpm",

// Reads them all into *ret. Unknown members inside them are always refused: a misspelt limit of a
// runner would be a limit not kept.
int agent_config_parts_read(const struct doc_at *at, struct agent_config *ret, struct err *e)
    __attribute__((nonnull));

// A relative path belongs to the folder of the file: the joined one replaces *text, and the value
// in the document, which owns all strings.
int agent_config_parts_settle(const struct agent_config *config, const struct doc_at *at,
                              const char *key, const char **text, struct err *e)
    __attribute__((nonnull));
