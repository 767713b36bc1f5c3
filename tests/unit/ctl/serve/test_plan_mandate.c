// SPDX-License-Identifier: Apache-2.0
//
// What people sign of a plan: the steps of its stages, the hold-back as a stage of its own, and strata
// as devices know them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "bundle/mandate.h"
#include "ctl/rollout/batch.h"
#include "ctl/serve/plan.h"
#include "keys/envelope.h"

#define DEVICES 300
#define NOW_S   1800000000

static const char *const keys[] = {"{\"arch\":\"arm64\",\"label.site\":\"a\"}",
                                   "{\"arch\":\"arm64\",\"label.site\":\"b\"}",
                                   "{\"arch\":\"mips\",\"label.site\":\"a\"}"};
static const char text[] =
    "{\"name\":\"r\",\"release\":\"app 2.0\",\"stratify\":[\"arch\",\"label.site\"],"
    "\"gates\":[{\"name\":\"i\",\"kind\":\"install\"}],"
    "\"evidence\":{\"holdback_pct\":20,\"rhythm_s\":60},"
    "\"stages\":[{\"name\":\"canary\",\"percent\":10},"
    "{\"name\":\"rest\",\"percent\":100,\"approve\":true}]}";

struct made {
    struct rollout_policy policy;
    struct rollout_member members[DEVICES];
    struct rollout_plan_census census;
    struct rollout_plan plan;
    struct serve_engine engine;
    struct serve_engine_bundle bundle;
    uint64_t counted[3];
    uint32_t groups[3];
};

static void make(struct made *m) {
    json_t *document = json_loads(text, 0, NULL);
    struct err e = ERR_NONE;
    memset(m, 0, sizeof *m);
    cr_assert_eq(rollout_policy_parse(document, "policy", &m->policy, &e), 0, "%s", e.text);
    json_decref(document);
    (void)snprintf(m->bundle.row.name, sizeof m->bundle.row.name, "app");
    (void)snprintf(m->bundle.row.version, sizeof m->bundle.row.version, "2.0");
    m->engine.bundles = &m->bundle;
    m->engine.n_bundles = 1;
    for (uint64_t i = 0; i < DEVICES; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "d-%llu", (unsigned long long)i);
        m->members[i].stratum = (uint32_t)(i % 3);
        m->members[i].rank = bundle_rank(id, m->plan.seed);
    }
    m->census = (struct rollout_plan_census){.n_strata = 3,
                                             .keys = keys,
                                             .counted = m->counted,
                                             .members = m->members,
                                             .n_members = DEVICES};
    m->plan.made_s = NOW_S;
}

static int find(struct made *m, struct bundle_mandate_unverified **ret, struct buf *part,
                struct err *e) {
    const struct serve_plan_ask ask = {.engine = &m->engine,
                                       .policy = &m->policy,
                                       .scope = "",
                                       .now_s = NOW_S,
                                       .expires_s = NOW_S + 86400,
                                       .seed = m->plan.seed};
    const struct keys_envelope_signature none = {.keyid = ""};
    OWN(buf) struct buf raw;
    buf_init(part, BUNDLE_MANDATE_MAX_BYTES);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    rollout_plan_make(&m->policy, &m->census, &m->plan);
    if (serve_plan_mandate(&ask, &m->census, &m->plan, part, e) < 0)
        return -1;
    cr_assert_eq(keys_envelope_format(buf_slice(part), &none, 0, &raw, e), 0, "%s", e->text);
    return bundle_mandate_peek(buf_slice(&raw), ret, e);
}

Test(serve_plan_mandate, signs_strata_as_devices_know_them_and_what_is_held_back_as_a_stage) {
    static struct made m;
    OWN(mandate_unverified) struct bundle_mandate_unverified *read = NULL;
    OWN(buf) struct buf part = {.data = NULL};
    struct err e = ERR_NONE;
    make(&m);
    cr_assert_eq(rollout_strata_group(keys, 3, m.groups, &m.census.n_groups, &e), 0);
    m.census.groups = m.groups;
    cr_assert_eq(find(&m, &read, &part, &e), 0, "%s", e.text);
    const struct bundle_mandate_content *c = bundle_mandate_peek_content(read);
    cr_expect_eq(c->n_stratify, 1);
    cr_expect_str_eq(c->stratify[0], "arch");
    cr_expect_eq(c->n_strata, 2);
    cr_assert_eq(c->n_stages, 3);
    cr_expect_str_eq(c->stages[2].name, BUNDLE_MANDATE_HELD_BACK);
    cr_expect_eq(c->signed_stages, 1, "up to the first that waits for approval");
    cr_expect(c->stages[1].approve);
    uint64_t held = rollout_batch_holdback(&m.policy);
    cr_expect_eq(c->newcomer_bounds[1], held, "nobody who is held back");
    cr_expect_eq(c->newcomer_bounds[2], UINT64_MAX);
    // Thirty devices in batches of 10 and 20; a rhythm each.
    cr_assert_eq(bundle_mandate_steps(&c->stages[0]), 1);
    cr_expect_eq(bundle_mandate_step(&c->stages[0], 0).from_s, NOW_S);
    cr_expect_eq(c->stages[0].not_before_s, NOW_S + 60);
    cr_expect_gt(bundle_mandate_steps(&c->stages[1]), 1);
    cr_expect_geq(bundle_mandate_step(&c->stages[1], 0).from_s, NOW_S + 120);
    cr_expect_geq(bundle_mandate_step(&c->stages[2], 0).from_s, c->stages[1].not_before_s);
    cr_expect_geq(c->baseline_not_before_s, c->stages[2].not_before_s);
    cr_expect_not(c->baseline, "before all of it is signed");
}

Test(serve_plan_mandate, of_a_plan_by_labels_there_is_nothing_that_devices_could_hold_to) {
    static struct made m;
    OWN(mandate_unverified) struct bundle_mandate_unverified *read = NULL;
    OWN(buf) struct buf part = {.data = NULL};
    struct err e = ERR_NONE;
    make(&m);
    cr_assert_lt(find(&m, &read, &part, &e), 0);
    cr_expect(strstr(e.text, "labels"), "%s", e.text);
}

Test(serve_plan_mandate, of_a_plan_by_sites_the_fact_is_signed_and_a_label_cannot_be) {
    static struct made m;
    OWN(mandate_unverified) struct bundle_mandate_unverified *read = NULL;
    OWN(buf) struct buf part = {.data = NULL}, none = {.data = NULL};
    struct err e = ERR_NONE;
    make(&m);
    cr_assert_eq(rollout_strata_group(keys, 3, m.groups, &m.census.n_groups, &e), 0);
    m.census.groups = m.groups;
    m.policy.gates.unit = ROLLOUT_UNIT_SITE;
    cr_assert_str_eq(m.policy.gates.site, "label.site");
    cr_assert_lt(find(&m, &read, &none, &e), 0);
    cr_expect(strstr(e.text, "sites by label.site"), "%s", e.text);
    e = (struct err)ERR_NONE;
    (void)snprintf(m.policy.gates.site, sizeof m.policy.gates.site, "place");
    cr_assert_eq(find(&m, &read, &part, &e), 0, "%s", e.text);
    cr_expect_str_eq(bundle_mandate_peek_content(read)->site, "place");
}
