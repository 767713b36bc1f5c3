// SPDX-License-Identifier: Apache-2.0
//
// How a predicate's operators are written, and its numbers.
#include "bundle/predicate/node.h"

#include "base/num.h"

const char *const predicate_node_words[PREDICATE_OPS] = {
    [PREDICATE_EQ] = "==",       [PREDICATE_NE] = "!=",       [PREDICATE_LT] = "<",
    [PREDICATE_LE] = "<=",       [PREDICATE_GT] = ">",        [PREDICATE_GE] = ">=",
    [PREDICATE_HAS] = "has",     [PREDICATE_GLOB] = "~",      [PREDICATE_IN] = "in",
    [PREDICATE_BARE] = "",       [PREDICATE_KNOWN] = "known", [PREDICATE_TRUE] = "true",
    [PREDICATE_FALSE] = "false", [PREDICATE_OR] = "or",       [PREDICATE_AND] = "and",
    [PREDICATE_NOT] = "not",
};

struct predicate_number predicate_node_number(int64_t whole, int64_t nano) {
    int64_t carry = nano / NUM_DECIMAL_SCALE - (nano % NUM_DECIMAL_SCALE < 0);
    return (struct predicate_number){whole + carry, nano - carry * NUM_DECIMAL_SCALE};
}
