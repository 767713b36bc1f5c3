// SPDX-License-Identifier: Apache-2.0
//
// Words are names, numbers, strings and the fixed words of the grammar; longest match.
#include "bundle/predicate/lex.h"

#include <string.h>

#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/limits.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
static const char name_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-";
static const char blanks[] = " \t\r\n";

int predicate_lex_fail(const struct lex *lex, const char *wanted, struct err *e) {
    if (!lex->source[lex->at])
        return err_set(e, &err_bad_predicate, "predicate, at its end: expected %s", wanted);
    char cut[24], shown[48];
    size_t len = strnlen(lex->source + lex->at, sizeof cut - 1);
    memcpy(cut, lex->source + lex->at, len);
    cut[len] = '\0';
    return err_set(e, &err_bad_predicate, "predicate, byte %zu (%s): expected %s", lex->at + 1,
                   text_safe(cut, shown, sizeof shown), wanted);
}

static const char *keep(struct lex *lex, const char *text, size_t len) {
    char *kept = lex->arena;
    memcpy(kept, text, len);
    kept[len] = '\0';
    lex->arena += len + 1;
    return kept;
}

static int lex_word(struct lex *lex, struct err *e) {
    const char *word = lex->source + lex->at;
    size_t len = strspn(word, name_bytes);
    lex->next = lex->at + len;
    for (enum predicate_op op = 0; op < PREDICATE_OPS; op++) {
        const char *fixed = predicate_node_words[op];
        if (strlen(fixed) == len && memcmp(fixed, word, len) == 0) {
            lex->kind = LEX_OP;
            lex->op = op;
            return 0;
        }
    }
    if (len > BUNDLE_FACT_NAME_MAX)
        return predicate_lex_fail(lex, "a shorter name (64 bytes at most)", e);
    lex->kind = LEX_NAME;
    lex->text = keep(lex, word, len);
    return 0;
}

static int lex_number(struct lex *lex, struct err *e) {
    const char *number = lex->source + lex->at;
    size_t len = 1 + strspn(number + 1, "0123456789.");
    if (number[len] && strchr(name_bytes, number[len]))
        return predicate_lex_fail(lex, "a number (and then a blank)", e);
    lex->next = lex->at + len;
    lex->kind = LEX_NUMBER;
    lex->text = keep(lex, number, len);
    return 0;
}

static int lex_string(struct lex *lex, struct err *e) {
    char *to = lex->arena;
    lex->kind = LEX_STRING;
    lex->text = to;
    const char *from = lex->source + lex->at + 1;
    for (; *from != '"'; from++) {
        if ((unsigned char)*from < 0x20 || *from == 0x7f)
            return predicate_lex_fail(
                lex, "a string that ends with \" and has no control characters", e);
        if (*from == '\\' && *++from != '"' && *from != '\\')
            return predicate_lex_fail(lex, "a string in which only \" and \\ follow a \\", e);
        *to++ = *from;
    }
    *to++ = '\0';
    if ((size_t)(to - lex->arena) - 1 > BUNDLE_FACT_VALUE_MAX)
        return predicate_lex_fail(lex, "a shorter string (256 bytes at most)", e);
    lex->arena = to;
    lex->next = (size_t)(from + 1 - lex->source);
    return 0;
}

static int lex_symbol(struct lex *lex, struct err *e) {
    static const struct {
        char text[3];
        enum lex_kind kind;
        enum predicate_op op;
    } symbols[] = {
        {"==", LEX_OP, PREDICATE_EQ},  {"!=", LEX_OP, PREDICATE_NE}, {"<=", LEX_OP, PREDICATE_LE},
        {">=", LEX_OP, PREDICATE_GE},  {"<", LEX_OP, PREDICATE_LT},  {">", LEX_OP, PREDICATE_GT},
        {"~", LEX_OP, PREDICATE_GLOB}, {"(", LEX_OPEN, 0},           {")", LEX_CLOSE, 0},
        {",", LEX_COMMA, 0},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        size_t len = strlen(symbols[i].text);
        if (strncmp(lex->source + lex->at, symbols[i].text, len) == 0) {
            lex->kind = symbols[i].kind;
            lex->op = symbols[i].op;
            lex->next = lex->at + len;
            return 0;
        }
    }
    return predicate_lex_fail(lex, "a name, a value, an operator or a parenthesis", e);
}

int predicate_lex_next(struct lex *lex, struct err *e) {
    lex->at = lex->next + strspn(lex->source + lex->next, blanks);
    lex->text = "";
    char c = lex->source[lex->at];
    if (!c) {
        lex->next = lex->at;
        lex->kind = LEX_END;
        return 0;
    }
    if (c == '"')
        return lex_string(lex, e);
    if (c == '-' || (c >= '0' && c <= '9'))
        return lex_number(lex, e);
    if (strchr(letters, c))
        return lex_word(lex, e);
    return lex_symbol(lex, e);
}
