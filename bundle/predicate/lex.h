// SPDX-License-Identifier: Apache-2.0
//
// The words of a predicate, one at a time.
#pragma once

#include "bundle/predicate/node.h"

enum lex_kind {
    LEX_END,
    LEX_NAME,   // text is the name
    LEX_STRING, // text is its content
    LEX_NUMBER, // text is the number as written
    LEX_OP,     // a comparison, a connective, true, false or known: op says which
    LEX_OPEN,
    LEX_CLOSE,
    LEX_COMMA,
};

struct lex {
    const char *source; // borrowed
    size_t next;        // offset of the first byte not read
    char *arena;        // where texts go; borrowed, of at least 2 * strlen(source) + 1 bytes
    // The current token.
    enum lex_kind kind;
    enum predicate_op op;
    size_t at; // its offset
    const char *text;
};

// Reads the next token into the lexer. Kind bad_predicate.
int predicate_lex_next(struct lex *lex, struct err *e);
// "byte 12 ("foo"): expected WANTED". Returns -1.
int predicate_lex_fail(const struct lex *lex, const char *wanted, struct err *e);
