// SPDX-License-Identifier: Apache-2.0
//
// The mode --choose: which of the bundles in a directory is for this device. Each *.edge file there
// whose manifest is signed by a trusted key and whose requirements hold is a candidate; of one name
// the highest release is taken (text_compare_version). It chooses only: what is installed is
// verified again. Manifests of strangers are read in the worker's cage.
#pragma once

#include "base/err.h"

#define WORKER_CHOOSE_FILES_MAX 256

struct worker_choose {
    const char *dir;
    const char *facts;     // JSON of bundle/facts.h
    const char *root;      // provisioned root.json
    const char *state_dir; // whose newer root counts as well, when it has one
};

// Writes the chosen file's name to stdout, and nothing after it. What was passed over, and why, is
// said on stderr when nothing can be chosen. Kinds: not_found (none fits), usage (two would), limit
// (too many files), io, those of a root.
int worker_choose_bundle(const struct worker_choose *how, struct err *e) __attribute__((nonnull));
