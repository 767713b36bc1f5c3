// SPDX-License-Identifier: Apache-2.0
//
// Reading a predicate: operator precedence with a stack of its own (Dijkstra's shunting yard),
// which writes the nodes in postfix order as it goes.
#include "bundle/predicate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/limits.h"
#include "bundle/predicate/lex.h"

// On the stack of connectives only.
#define PARENTHESIS PREDICATE_OPS

// Within one pair of parentheses connectives wait in strictly rising precedence: or, and, not.
#define WAITING_MAX (4 * (BUNDLE_PREDICATE_DEPTH_MAX + 1))

struct parser {
    struct lex lex;
    struct bundle_predicate *predicate;
    size_t depth; // open parentheses
    size_t n_waiting;
    enum predicate_op waiting[WAITING_MAX];
};

static int add_node(struct parser *p, struct predicate_node node, struct err *e) {
    struct bundle_predicate *predicate = p->predicate;
    if (predicate->n_nodes == BUNDLE_PREDICATE_NODES_MAX)
        return predicate_lex_fail(&p->lex, "fewer comparisons (256 with their connectives at most)",
                                  e);
    predicate->nodes[predicate->n_nodes++] = node;
    return 0;
}

static int read_number(const char *text, struct predicate_number *ret, struct err *e) {
    struct decimal decimal;
    if (strchr(text, '.')) {
        if (num_parse_decimal(text, "decimal", &decimal, e) < 0)
            return -1;
        *ret = predicate_node_number(0, decimal.nano);
        return 0;
    }
    bool negative = *text == '-';
    uint64_t digits = 0;
    if (num_parse_u64(text + negative, "integer", 0, INT64_MAX, &digits, e) < 0)
        return -1;
    *ret = (struct predicate_number){negative ? -(int64_t)digits : (int64_t)digits, 0};
    return 0;
}

// Reads the current token as a value that `op` can compare with, and steps on.
static int read_value(struct parser *p, enum predicate_op op, struct err *e) {
    struct lex *lex = &p->lex;
    struct predicate_value value = {.text = lex->text};
    struct err cause = ERR_NONE;
    if (lex->kind == LEX_STRING) {
        value.type = PREDICATE_STRING;
    } else if (op == PREDICATE_HAS || op == PREDICATE_GLOB) {
        return predicate_lex_fail(lex, "text in double quotes", e);
    } else if (lex->kind == LEX_NUMBER) {
        value.type = PREDICATE_NUMBER;
        if (read_number(lex->text, &value.number, &cause) < 0)
            return predicate_lex_fail(
                lex, "an integer, or a decimal of at most nine digits and nine decimals", e);
    } else if (lex->kind == LEX_OP && (lex->op == PREDICATE_TRUE || lex->op == PREDICATE_FALSE)) {
        if (op != PREDICATE_EQ && op != PREDICATE_NE && op != PREDICATE_IN)
            return predicate_lex_fail(lex, "text or a number, for true and false have no order", e);
        value.type = PREDICATE_BOOL;
        value.truth = lex->op == PREDICATE_TRUE;
        value.text = predicate_node_words[lex->op];
    } else {
        return predicate_lex_fail(lex, "text in double quotes, a number, true or false", e);
    }
    struct bundle_predicate *predicate = p->predicate;
    if (predicate->n_values == BUNDLE_PREDICATE_NODES_MAX)
        return predicate_lex_fail(lex, "fewer values (256 at most)", e);
    predicate->values[predicate->n_values++] = value;
    return predicate_lex_next(lex, e);
}

static int expect(struct parser *p, enum lex_kind kind, const char *wanted, struct err *e) {
    return p->lex.kind == kind ? predicate_lex_next(&p->lex, e)
                               : predicate_lex_fail(&p->lex, wanted, e);
}

static int read_list(struct parser *p, struct err *e) {
    if (expect(p, LEX_OPEN, "( after in", e) < 0 || read_value(p, PREDICATE_IN, e) < 0)
        return -1;
    while (p->lex.kind == LEX_COMMA)
        if (predicate_lex_next(&p->lex, e) < 0 || read_value(p, PREDICATE_IN, e) < 0)
            return -1;
    return expect(p, LEX_CLOSE, "a comma or )", e);
}

// A name and what it is compared with, if anything.
static int read_comparison(struct parser *p, struct err *e) {
    struct predicate_node node = {
        .op = PREDICATE_BARE, .name = p->lex.text, .first = (uint16_t)p->predicate->n_values};
    if (predicate_lex_next(&p->lex, e) < 0)
        return -1;
    if (p->lex.kind == LEX_OP && p->lex.op < PREDICATE_BARE) {
        node.op = p->lex.op;
        if (predicate_lex_next(&p->lex, e) < 0)
            return -1;
        if ((node.op == PREDICATE_IN ? read_list(p, e) : read_value(p, node.op, e)) < 0)
            return -1;
        node.count = (uint16_t)(p->predicate->n_values - node.first);
    }
    return add_node(p, node, e);
}

static int read_known(struct parser *p, struct err *e) {
    if (predicate_lex_next(&p->lex, e) < 0 || expect(p, LEX_OPEN, "( after known", e) < 0)
        return -1;
    struct predicate_node node = {.op = PREDICATE_KNOWN, .name = p->lex.text};
    if (expect(p, LEX_NAME, "the name of a fact", e) < 0 || expect(p, LEX_CLOSE, ")", e) < 0)
        return -1;
    return add_node(p, node, e);
}

static void hold(struct parser *p, enum predicate_op op) {
    assert(p->n_waiting < WAITING_MAX);
    p->waiting[p->n_waiting++] = op;
}

// One step where an operand must stand. 1 when it was read whole.
static int read_operand(struct parser *p, struct err *e) {
    struct lex *lex = &p->lex;
    if (lex->kind == LEX_OPEN) {
        if (p->depth == BUNDLE_PREDICATE_DEPTH_MAX)
            return predicate_lex_fail(lex, "fewer parentheses within each other (32 at most)", e);
        p->depth++;
        hold(p, PARENTHESIS);
        return predicate_lex_next(lex, e);
    }
    bool after_not = p->n_waiting > 0 && p->waiting[p->n_waiting - 1] == PREDICATE_NOT;
    if (lex->kind == LEX_OP && lex->op == PREDICATE_NOT && !after_not) {
        hold(p, PREDICATE_NOT);
        return predicate_lex_next(lex, e);
    }
    int failed;
    if (lex->kind == LEX_NAME)
        failed = read_comparison(p, e);
    else if (lex->kind == LEX_OP && lex->op == PREDICATE_KNOWN)
        failed = read_known(p, e);
    else if (lex->kind == LEX_OP && (lex->op == PREDICATE_TRUE || lex->op == PREDICATE_FALSE))
        failed = add_node(p, (struct predicate_node){.op = lex->op}, e) < 0
                     ? -1
                     : predicate_lex_next(lex, e);
    else
        failed = predicate_lex_fail(lex, "the name of a fact, (, not, known, true or false", e);
    return failed < 0 ? -1 : 1;
}

// Writes what waits and binds at least as strongly as op, back to the last parenthesis.
static int settle(struct parser *p, enum predicate_op op, struct err *e) {
    while (p->n_waiting > 0) {
        enum predicate_op top = p->waiting[p->n_waiting - 1];
        if (top == PARENTHESIS || top < op)
            break;
        if (add_node(p, (struct predicate_node){.op = top}, e) < 0)
            return -1;
        p->n_waiting--;
    }
    return 0;
}

// One step where an operand has just ended. 1 when another must follow.
static int read_connective(struct parser *p, struct err *e) {
    struct lex *lex = &p->lex;
    if (lex->kind == LEX_OP && (lex->op == PREDICATE_AND || lex->op == PREDICATE_OR)) {
        if (settle(p, lex->op, e) < 0)
            return -1;
        hold(p, lex->op);
        return predicate_lex_next(lex, e) < 0 ? -1 : 1;
    }
    if (lex->kind == LEX_CLOSE && p->depth > 0) {
        if (settle(p, PREDICATE_OR, e) < 0)
            return -1;
        assert(p->n_waiting > 0 && p->waiting[p->n_waiting - 1] == PARENTHESIS);
        p->n_waiting--;
        p->depth--;
        return predicate_lex_next(lex, e);
    }
    return predicate_lex_fail(lex, p->depth > 0 ? "and, or, or )" : "and, or, or the end", e);
}

static int read_all(struct parser *p, struct err *e) {
    bool operand = true;
    while (operand || p->depth > 0 || p->lex.kind != LEX_END) {
        int turned = operand ? read_operand(p, e) : read_connective(p, e);
        if (turned < 0)
            return -1;
        if (turned)
            operand = !operand;
    }
    return settle(p, PREDICATE_OR, e);
}

int bundle_predicate_parse(const char *text, struct bundle_predicate **ret, struct err *e) {
    size_t len = strlen(text);
    if (len > BUNDLE_PREDICATE_MAX)
        return err_set(e, &err_bad_predicate, "predicate: %zu bytes, at most %d are allowed", len,
                       BUNDLE_PREDICATE_MAX);
    if (!text_is_utf8(text, len))
        return err_set(e, &err_bad_predicate, "predicate: not UTF-8");
    OWN(predicate) struct bundle_predicate *predicate = calloc(1, sizeof *predicate);
    if (!predicate)
        return err_set(e, &err_memory, "reading a predicate: out of memory");
    // Each token keeps at most one byte more than it has in the text, its NUL.
    predicate->arena = malloc(2 * len + 1);
    if (!predicate->arena)
        return err_set(e, &err_memory, "reading a predicate: out of memory");
    struct parser p = {.lex = {.source = text, .arena = predicate->arena}, .predicate = predicate};
    if (predicate_lex_next(&p.lex, e) < 0)
        return -1;
    if (p.lex.kind != LEX_END && read_all(&p, e) < 0)
        return -1;
    *ret = own_take(&predicate);
    return 0;
}

void bundle_predicate_free(struct bundle_predicate *predicate) {
    if (!predicate)
        return;
    free(predicate->arena);
    free(predicate);
}
