// SPDX-License-Identifier: Apache-2.0
//
// A predicate in memory: postfix, so that a stack evaluates it. Shared by the two halves of
// bundle/predicate.h, reading and evaluating, and by nobody else.
#pragma once

#include <stdint.h>

#include "bundle/predicate.h"

enum predicate_op {
    // Leaves that compare `name` with values.
    PREDICATE_EQ,
    PREDICATE_NE,
    PREDICATE_LT,
    PREDICATE_LE,
    PREDICATE_GT,
    PREDICATE_GE,
    PREDICATE_HAS,
    PREDICATE_GLOB,
    PREDICATE_IN,
    // Other leaves.
    PREDICATE_BARE,
    PREDICATE_KNOWN,
    PREDICATE_TRUE,
    PREDICATE_FALSE,
    // Connectives, in rising precedence.
    PREDICATE_OR,
    PREDICATE_AND,
    PREDICATE_NOT,
    PREDICATE_OPS,
};

extern const char *const predicate_node_words[PREDICATE_OPS];

// A number as whole part and billionths, 0 <= nano < 1e9, so that -0.5 is -1 and 500000000.
struct predicate_number {
    int64_t whole;
    int64_t nano;
};

enum predicate_type { PREDICATE_STRING, PREDICATE_NUMBER, PREDICATE_BOOL };

struct predicate_value {
    enum predicate_type type;
    bool truth;
    struct predicate_number number;
    const char *text; // a string's content; a number or a boolean as it was written
};

struct predicate_node {
    enum predicate_op op;
    const char *name;
    uint16_t first; // of its values
    uint16_t count;
};

struct bundle_predicate {
    size_t n_nodes;
    size_t n_values;
    struct predicate_node nodes[BUNDLE_PREDICATE_NODES_MAX];
    struct predicate_value values[BUNDLE_PREDICATE_NODES_MAX];
    char *arena; // owned: names and texts, each with its NUL
};

// Operands that wait on the stack: within each pair of parentheses the left side of an `or`, that
// of an `and`, and what is being read.
#define PREDICATE_OPERANDS_MAX (3 * (BUNDLE_PREDICATE_DEPTH_MAX + 1))

struct predicate_number predicate_node_number(int64_t whole, int64_t nano);
