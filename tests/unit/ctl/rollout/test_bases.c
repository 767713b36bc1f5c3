// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/bases.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

// A bundle by a letter; the same letter, the same bundle.
static struct keys_digest id_of(char letter) {
    struct keys_digest id;
    memset(id.bytes, letter, sizeof id.bytes);
    return id;
}

// "N:a60 N:b30 N:-10" — 60 devices would get N and start from a, ten have nothing to start from.
static void count(struct rollout_bases *bases, const char *fleet) {
    struct err e = ERR_NONE;
    char bundle = 0, base = 0;
    unsigned devices = 0;
    int taken = 0;
    for (; sscanf(fleet, " %c:%c%u%n", &bundle, &base, &devices, &taken) == 3; fleet += taken) {
        struct keys_digest to = id_of(bundle), from = id_of(base);
        for (unsigned i = 0; i < devices; i++)
            cr_assert_eq(rollout_bases_count(bases, &to, base == '-' ? NULL : &from, &e), 0, "%s",
                         e.text);
    }
}

// What there is: "N:a+" a delta, "N:a!" one that was tried.
static enum rollout_bases_state look(void *context, const struct keys_digest *bundle,
                                     const struct keys_digest *base) {
    char pair[] = {(char)bundle->bytes[0], ':', (char)base->bytes[0], '\0'};
    const char *found = strstr(context, pair);
    if (found == NULL)
        return ROLLOUT_BASES_WANTED;
    return found[3] == '+' ? ROLLOUT_BASES_THERE : ROLLOUT_BASES_TRIED;
}

// The choice as text: "N:a60 N:b30+ N:c5!".
static void tell(const struct rollout_bases_plan *plan, char *ret, size_t ret_bytes) {
    static const char *const marks[] = {"", "+", "!"};
    size_t len = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < plan->n; i++) {
        const struct rollout_bases_choice *c = &plan->choices[i];
        len += (size_t)snprintf(ret + len, ret_bytes - len, "%s%c:%c%llu%s", i > 0 ? " " : "",
                                c->pair.bundle.bytes[0], c->pair.base.bytes[0],
                                (unsigned long long)c->pair.devices, marks[c->state]);
    }
}

static const struct {
    const char *fleet, *there;
    unsigned share_pc;
    size_t most;
    const char *chosen;
    unsigned devices, based, reached;
} cases[] = {
    // Most devices first, until the share is reached, and not one more.
    {"N:a10 N:b60 N:c30", "", 95, 8, "N:b60 N:c30 N:a10", 100, 100, 0},
    {"N:a5 N:b60 N:c35", "", 95, 8, "N:b60 N:c35", 100, 100, 0},
    {"N:a6 N:b60 N:c34", "", 95, 8, "N:b60 N:c34 N:a6", 100, 100, 0},
    {"N:a5 N:b60 N:c35", "", 60, 8, "N:b60", 100, 100, 0},
    {"N:a5 N:b60 N:c35", "", 100, 8, "N:b60 N:c35 N:a5", 100, 100, 0},
    // The limit comes first; with as many devices the order is that of the digests.
    {"N:d1 N:c1 N:b1 N:a1", "", 95, 3, "N:a1 N:b1 N:c1", 4, 4, 0},
    {"N:a1 N:b1 N:c1 N:d1 N:e1 N:f1 N:g1 N:h1 N:i1 N:j1", "", 95, 8,
     "N:a1 N:b1 N:c1 N:d1 N:e1 N:f1 N:g1 N:h1", 10, 10, 0},
    // Nobody, nobody with a base, some without.
    {"", "", 95, 8, "", 0, 0, 0},
    {"N:-3", "", 95, 8, "", 3, 0, 0},
    {"N:a80 N:b9 N:-20", "", 80, 8, "N:a80 N:b9", 109, 89, 0},
    {"N:a80 N:b9 N:-20", "", 73, 8, "N:a80", 109, 89, 0},
    // Each variant has its share; all together most devices first.
    {"N:a50 N:b50 M:a70 M:c1", "", 95, 8, "M:a70 N:a50 N:b50", 171, 171, 0},
    {"N:a2 M:a2", "", 95, 8, "M:a2 N:a2", 4, 4, 0},
    // Who has it already is reached.
    {"N:N94 N:a6", "", 95, 8, "N:a6", 100, 6, 0},
    {"N:N95 N:a5", "", 95, 8, "", 100, 5, 0},
    {"N:N50 N:a45 N:b5", "N:a+", 95, 8, "N:a45+", 100, 50, 45},
    // What is there or was tried keeps its place; what is there reaches its devices, chosen or not.
    {"N:a60 N:b35 N:c5", "N:a+", 95, 8, "N:a60+ N:b35", 100, 100, 60},
    {"N:a60 N:b35 N:c5", "N:a!", 95, 8, "N:a60! N:b35", 100, 100, 0},
    {"N:a60 N:b35 N:c5", "N:c+ N:b!", 95, 8, "N:a60 N:b35!", 100, 100, 5},
};

Test(rollout_bases, most_devices_first_until_the_share_is_reached) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_NONE;
        char chosen[200], there[60];
        OWN(bases) struct rollout_bases bases = {.n = 0};
        OWN(bases_plan) struct rollout_bases_plan plan = {.n = 0};
        (void)snprintf(there, sizeof there, "%s", cases[i].there);
        const struct rollout_bases_how how = {
            .share_pc = cases[i].share_pc, .most = cases[i].most, .state = look, .context = there};
        count(&bases, cases[i].fleet);
        cr_assert_eq(rollout_bases_choose(&bases, &how, &plan, &e), 0, "%s", e.text);
        tell(&plan, chosen, sizeof chosen);
        cr_expect_str_eq(chosen, cases[i].chosen, "%s / %s: %s", cases[i].fleet, there, chosen);
        cr_expect_eq(plan.devices, cases[i].devices, "%s: devices", cases[i].fleet);
        cr_expect_eq(plan.had, strstr(cases[i].fleet, "N:N") ? plan.devices - plan.based : 0);
        cr_expect_eq(plan.based, cases[i].based, "%s: based", cases[i].fleet);
        cr_expect_eq(plan.reached, cases[i].reached, "%s: reached", cases[i].fleet);
    }
}

// Counted in any order, and as they come: the choice is the same.
Test(rollout_bases, the_order_of_the_fleet_does_not_matter) {
    struct err e = ERR_NONE;
    char there[] = "", a[200], b[200];
    const struct rollout_bases_how how = {
        .share_pc = 95, .most = 8, .state = look, .context = there};
    OWN(bases) struct rollout_bases one = {.n = 0}, other = {.n = 0};
    OWN(bases_plan) struct rollout_bases_plan from_one = {.n = 0}, from_other = {.n = 0};
    count(&one, "N:a3 N:b3 M:b2 M:c2 N:-1");
    for (int i = 0; i < 2; i++)
        count(&other, "M:c1 N:b1 N:a1 M:b1");
    count(&other, "N:-1 N:b1 N:a1");
    cr_assert_eq(rollout_bases_choose(&one, &how, &from_one, &e), 0);
    cr_assert_eq(rollout_bases_choose(&other, &how, &from_other, &e), 0);
    tell(&from_one, a, sizeof a);
    tell(&from_other, b, sizeof b);
    cr_assert_str_eq(a, "N:a3 N:b3 M:b2 M:c2");
    cr_assert_str_eq(a, b);
}

// A fleet that runs anything and everything: memory stays bounded, nobody is lost.
Test(rollout_bases, above_the_ceiling_further_pairs_count_as_without_a_base) {
    struct err e = ERR_NONE;
    OWN(bases) struct rollout_bases bases = {.n = 0};
    struct keys_digest bundle = id_of('N'), base = id_of('a');
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < ROLLOUT_BASES_PAIRS_MAX + 10; i++) {
            base.bytes[0] = (uint8_t)(i >> 8);
            base.bytes[1] = (uint8_t)i;
            cr_assert_eq(rollout_bases_count(&bases, &bundle, &base, &e), 0, "%s", e.text);
        }
    cr_assert_eq(bases.n, ROLLOUT_BASES_PAIRS_MAX + 1);
    cr_assert_eq(bases.pairs[0].devices, 20, "the row of those without a base");
    for (size_t i = 1; i < bases.n; i++)
        cr_assert_eq(bases.pairs[i].devices, 2);
}
