// SPDX-License-Identifier: Apache-2.0
//
// Evaluating a predicate. With each intermediate result goes the chain of leaves that made it what
// it is, so that the reason names those alone: of a false `and` one side, of a false `or` both.
#include "bundle/predicate.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/limits.h"
#include "bundle/predicate/node.h"

// Kleene's three values: and is the lesser, or the greater, not 2 minus it.
enum truth { NO, UNKNOWN, YES };

#define CHAIN_END UINT16_MAX

struct operand {
    enum truth truth;
    unsigned may;   // all it could be: bits 1 << enum truth
    uint16_t first; // of its leaves to blame, linked by struct run's next
    uint16_t last;
};

struct run {
    const struct bundle_predicate *predicate;
    const struct bundle_facts *facts;
    const char *prefix;                           // of the facts that could be anything; NULL none
    enum truth truth[BUNDLE_PREDICATE_NODES_MAX]; // of leaves
    uint16_t next[BUNDLE_PREDICATE_NODES_MAX];
    size_t n_operands;
    struct operand operands[PREDICATE_OPERANDS_MAX];
};

static bool number_of(const json_t *fact, struct predicate_number *ret) {
    if (json_is_integer(fact)) {
        *ret = (struct predicate_number){json_integer_value(fact), 0};
        return true;
    }
    struct err unused = ERR_NONE;
    struct decimal decimal;
    if (!json_is_string(fact) ||
        num_parse_decimal(json_string_value(fact), "fact", &decimal, &unused) < 0)
        return false;
    *ret = predicate_node_number(0, decimal.nano);
    return true;
}

static int sign(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

// Whether fact and value are of one type, and then how they lie to each other.
static bool compare(const json_t *fact, const struct predicate_value *value, bool as_version,
                    int *ret) {
    struct predicate_number number;
    switch (value->type) {
    case PREDICATE_STRING:
        if (!json_is_string(fact))
            return false;
        *ret = as_version ? text_compare_version(json_string_value(fact), value->text)
                          : strcmp(json_string_value(fact), value->text);
        return true;
    case PREDICATE_NUMBER:
        if (!number_of(fact, &number))
            return false;
        *ret = sign(number.whole, value->number.whole);
        if (*ret == 0)
            *ret = sign(number.nano, value->number.nano);
        return true;
    case PREDICATE_BOOL:
        if (!json_is_boolean(fact))
            return false;
        *ret = json_is_true(fact) != value->truth;
        return true;
    }
    return false;
}

// * is any bytes, ? is one character. Goes back to the last star alone, so at worst text times
// glob.
static bool matches(const char *glob, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            resume = text;
        } else if (*glob == '?') {
            glob++;
            do
                text++;
            while (((unsigned char)*text & 0xC0) == 0x80);
        } else if (*glob == *text) {
            glob++;
            text++;
        } else if (star) {
            glob = star;
            do
                resume++;
            while (((unsigned char)*resume & 0xC0) == 0x80);
            text = resume;
        } else {
            return false;
        }
    }
    while (*glob == '*')
        glob++;
    return !*glob;
}

static enum truth of_bool(bool truth) {
    return truth ? YES : NO;
}

static enum truth has(const json_t *fact, const char *text) {
    if (!json_is_array(fact))
        return UNKNOWN;
    for (size_t i = 0; i < json_array_size(fact); i++)
        if (strcmp(json_string_value(json_array_get(fact, i)), text) == 0)
            return YES;
    return NO;
}

static enum truth is_in(const json_t *fact, const struct predicate_value *values, size_t n) {
    enum truth found = NO;
    for (size_t i = 0; i < n && found != YES; i++) {
        int order = 0;
        if (!compare(fact, &values[i], false, &order))
            found = UNKNOWN;
        else if (order == 0)
            found = YES;
    }
    return found;
}

static enum truth order_holds(enum predicate_op op, const json_t *fact,
                              const struct predicate_value *value) {
    int order = 0;
    if (!compare(fact, value, op != PREDICATE_EQ && op != PREDICATE_NE, &order))
        return UNKNOWN;
    switch (op) {
    case PREDICATE_EQ:
        return of_bool(order == 0);
    case PREDICATE_NE:
        return of_bool(order != 0);
    case PREDICATE_LT:
        return of_bool(order < 0);
    case PREDICATE_LE:
        return of_bool(order <= 0);
    case PREDICATE_GT:
        return of_bool(order > 0);
    default:
        return of_bool(order >= 0);
    }
}

static enum truth leaf_truth(const struct run *run, const struct predicate_node *node) {
    if (node->op == PREDICATE_TRUE || node->op == PREDICATE_FALSE)
        return of_bool(node->op == PREDICATE_TRUE);
    const json_t *fact = bundle_facts_find(run->facts, node->name);
    if (node->op == PREDICATE_KNOWN)
        return of_bool(fact != NULL);
    if (!fact)
        return UNKNOWN;
    const struct predicate_value *values = run->predicate->values + node->first;
    switch (node->op) {
    case PREDICATE_BARE:
        return json_is_boolean(fact) ? of_bool(json_is_true(fact)) : UNKNOWN;
    case PREDICATE_HAS:
        return has(fact, values->text);
    case PREDICATE_GLOB:
        return json_is_string(fact) ? of_bool(matches(values->text, json_string_value(fact)))
                                    : UNKNOWN;
    case PREDICATE_IN:
        return is_in(fact, values, node->count);
    default:
        return order_holds(node->op, fact, values);
    }
}

static struct operand both(struct run *run, struct operand a, struct operand b) {
    run->next[a.last] = b.first;
    a.last = b.last;
    return a;
}

// Both sides have a say when neither decides alone; otherwise the one that does is to blame, and of
// two that do the first.
static struct operand connect(struct run *run, enum predicate_op op, struct operand a,
                              struct operand b) {
    enum truth decides = op == PREDICATE_AND ? NO : YES;
    if (a.truth == decides)
        return a;
    if (b.truth == decides)
        return b;
    if (a.truth == b.truth)
        return both(run, a, b);
    // One is unknown, the other leaves it to that one.
    return a.truth == UNKNOWN ? (op == PREDICATE_OR ? both(run, a, b) : a)
                              : (op == PREDICATE_OR ? both(run, b, a) : b);
}

// All that could come of it: and is the lesser of two, or the greater.
static unsigned connect_may(enum predicate_op op, unsigned a, unsigned b) {
    unsigned may = 0;
    for (enum truth x = NO; x <= YES; x++)
        for (enum truth y = NO; y <= YES; y++)
            if (a >> x & 1 && b >> y & 1)
                may |= 1U << ((op == PREDICATE_AND) == (x < y) ? x : y);
    return may;
}

static unsigned not_may(unsigned may) {
    return (may & 1U << UNKNOWN) | (may >> NO & 1U) << YES | (may >> YES & 1U) << NO;
}

static bool is_free(const struct run *run, const struct predicate_node *node) {
    return run->prefix && node->op != PREDICATE_TRUE && node->op != PREDICATE_FALSE &&
           strncmp(node->name, run->prefix, strlen(run->prefix)) == 0;
}

static struct operand pop(struct run *run) {
    assert(run->n_operands > 0);
    return run->operands[--run->n_operands];
}

static void push(struct run *run, struct operand operand) {
    assert(run->n_operands < PREDICATE_OPERANDS_MAX);
    run->operands[run->n_operands++] = operand;
}

static void step(struct run *run, uint16_t at) {
    const struct predicate_node *node = &run->predicate->nodes[at];
    if (node->op == PREDICATE_NOT) {
        struct operand inner = pop(run);
        inner.truth = 2 - inner.truth;
        inner.may = not_may(inner.may);
        push(run, inner);
    } else if (node->op == PREDICATE_AND || node->op == PREDICATE_OR) {
        struct operand right = pop(run);
        struct operand left = pop(run);
        struct operand result = connect(run, node->op, left, right);
        result.may = connect_may(node->op, left.may, right.may);
        push(run, result);
    } else {
        run->truth[at] = leaf_truth(run, node);
        run->next[at] = CHAIN_END;
        const unsigned any = 1U << NO | 1U << UNKNOWN | 1U << YES;
        unsigned may = is_free(run, node) ? any : 1U << run->truth[at];
        push(run, (struct operand){run->truth[at], may, at, at});
    }
}

// Text of a fixed size that remembers whether something did not fit.
struct reason {
    char *text;
    size_t len;
    bool cut;
};

__attribute__((format(printf, 2, 3))) static void say(struct reason *r, const char *format, ...) {
    size_t room = BUNDLE_PREDICATE_REASON_BYTES - r->len;
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(r->text + r->len, room, format, args);
    va_end(args);
    r->cut = r->cut || wanted < 0 || (size_t)wanted >= room;
    r->len += strlen(r->text + r->len);
}

static void say_string(struct reason *r, const char *text) {
    char safe[BUNDLE_PREDICATE_REASON_BYTES];
    say(r, "\"%s\"", text_safe(text, safe, sizeof safe));
}

static void say_fact(struct reason *r, const json_t *fact) {
    if (json_is_string(fact)) {
        say_string(r, json_string_value(fact));
    } else if (json_is_integer(fact)) {
        say(r, "%lld", (long long)json_integer_value(fact));
    } else if (json_is_boolean(fact)) {
        say(r, "%s", json_is_true(fact) ? "true" : "false");
    } else {
        say(r, "[");
        for (size_t i = 0; i < json_array_size(fact) && !r->cut; i++) {
            say(r, "%s", i ? ", " : "");
            say_string(r, json_string_value(json_array_get(fact, i)));
        }
        say(r, "]");
    }
}

static void say_values(struct reason *r, const struct predicate_node *node,
                       const struct predicate_value *values) {
    if (node->op == PREDICATE_IN)
        say(r, "(");
    for (size_t i = 0; i < node->count && !r->cut; i++) {
        say(r, "%s", i ? ", " : "");
        if (values[i].type == PREDICATE_STRING)
            say_string(r, values[i].text);
        else
            say(r, "%s", values[i].text);
    }
    if (node->op == PREDICATE_IN)
        say(r, ")");
}

// What a leaf found. Its own truth says whether it stands below a `not`.
static void say_leaf(struct reason *r, const struct run *run, uint16_t at) {
    const struct predicate_node *node = &run->predicate->nodes[at];
    enum truth truth = run->truth[at];
    if (node->op == PREDICATE_TRUE || node->op == PREDICATE_FALSE) {
        say(r, "the predicate says %s%s", truth == YES ? "not " : "",
            predicate_node_words[node->op]);
        return;
    }
    const json_t *fact = bundle_facts_find(run->facts, node->name);
    if (!fact || node->op == PREDICATE_KNOWN) {
        say(r, "%s is %s", node->name, fact ? "known" : "unknown");
        return;
    }
    say(r, "%s is ", node->name);
    say_fact(r, fact);
    say(r, truth == UNKNOWN ? ", which cannot be compared: wanted " : ", wanted ");
    if (truth == YES)
        say(r, "not ");
    if (node->op == PREDICATE_BARE) {
        say(r, "true");
        return;
    }
    say(r, "%s ", predicate_node_words[node->op]);
    say_values(r, node, run->predicate->values + node->first);
}

static void explain(const struct run *run, struct operand result, char *ret_reason) {
    static const char ellipsis[] = "…";
    struct reason r = {.text = ret_reason};
    for (uint16_t at = result.first; at != CHAIN_END && !r.cut; at = run->next[at]) {
        say(&r, "%s", r.len ? "; " : "");
        say_leaf(&r, run, at);
        if (at == result.last)
            break;
    }
    if (!r.cut)
        return;
    size_t keep = BUNDLE_PREDICATE_REASON_BYTES - sizeof ellipsis;
    if (keep > r.len)
        keep = r.len;
    while (keep > 0 && ((unsigned char)ret_reason[keep] & 0xC0) == 0x80)
        keep--;
    memcpy(ret_reason + keep, ellipsis, sizeof ellipsis);
}

static bool holds(struct run *run, char *ret_reason) {
    ret_reason[0] = '\0';
    if (run->predicate->n_nodes == 0)
        return true;
    for (size_t i = 0; i < run->predicate->n_nodes; i++)
        step(run, (uint16_t)i);
    struct operand result = pop(run);
    assert(run->n_operands == 0);
    if (result.may >> YES & 1)
        return true;
    explain(run, result, ret_reason);
    return false;
}

bool bundle_predicate_holds(const struct bundle_predicate *predicate,
                            const struct bundle_facts *facts,
                            char ret_reason[static BUNDLE_PREDICATE_REASON_BYTES]) {
    struct run run = {.predicate = predicate, .facts = facts};
    return holds(&run, ret_reason);
}

bool bundle_predicate_may_hold(const struct bundle_predicate *predicate,
                               const struct bundle_facts *facts, const char *prefix,
                               char ret_reason[static BUNDLE_PREDICATE_REASON_BYTES]) {
    struct run run = {.predicate = predicate, .facts = facts, .prefix = prefix};
    return holds(&run, ret_reason);
}
