// SPDX-License-Identifier: Apache-2.0
//
// What a mandate allows a device, and what it does not, each with its code.
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "tests/support/forge.h"
#include "tests/unit/bundle/wire.h"

#define NOW_S 1800000000

static struct bundle_mandate_content content;
static struct bundle_mandate_stratum strata[4];
static struct bundle_facts *facts;
static struct bundle_mandate_ask ask;
static struct keys_digest other;

static void set_facts(const char *text) {
    OWN(json) json_t *object = wire_json(text);
    struct err e = ERR_NONE;
    bundle_facts_free(facts);
    facts = NULL;
    cr_assert_eq(bundle_facts_parse(object, &facts, &e), 0, "%s", e.text);
    ask.facts = facts;
}

// A mandate of two stages and an offer of its first that is just within it: the first stage admits
// the device's own rank as its last.
static void good(void) {
    memset(&content, 0, sizeof content);
    memset(content.seed, 9, sizeof content.seed);
    uint64_t rank = bundle_rank("d-1", content.seed);
    content.header =
        (struct keys_header){.version = 3, .issued_s = NOW_S - 60, .expires_s = NOW_S + 1};
    content.attempt_max = 2;
    content.n_bundles = content.n_stratify = 1;
    content.n_stages = content.signed_stages = content.n_strata = 2;
    content.newcomer_bounds[1] = UINT64_MAX;
    content.stages[0].not_before_s = NOW_S;
    (void)snprintf(content.rollout, sizeof content.rollout, "spring");
    (void)snprintf(content.name, sizeof content.name, "app");
    (void)snprintf(content.release, sizeof content.release, "2.0");
    (void)snprintf(content.selector, sizeof content.selector, "arch != \"mips\"");
    (void)snprintf(content.stratify[0], sizeof content.stratify[0], "arch");
    (void)snprintf(content.stages[0].name, sizeof content.stages[0].name, "canary");
    (void)snprintf(content.stages[1].name, sizeof content.stages[1].name, "rest");
    memset(content.bundles[0].bytes, 0xaa, sizeof content.bundles[0].bytes);
    memset(other.bytes, 0xcc, sizeof other.bytes);
    strata[0] = (struct bundle_mandate_stratum){"{\"arch\":\"arm64\"}", {rank, UINT64_MAX}};
    strata[1] = (struct bundle_mandate_stratum){"{\"arch\":\"armhf\"}", {rank - 1, UINT64_MAX}};
    ask = (struct bundle_mandate_ask){.device = "d-1",
                                      .rollout = "spring",
                                      .attempt = 2,
                                      .bundle = &content.bundles[0],
                                      .trusted_s = NOW_S};
    set_facts("{\"arch\":\"arm64\"}");
}

static void judge(const struct err_kind *kind, const char *piece) {
    OWN(buf) struct buf part, raw;
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    struct keys_role role;
    struct err e = ERR_NONE;
    forge_role(1, 1, &role);
    buf_init(&part, BUNDLE_MANDATE_MAX_BYTES);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    cr_assert_eq(bundle_mandate_format(&content, strata, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), &raw);
    cr_assert_eq(bundle_mandate_verify(buf_slice(&raw), &role, &mandate, &e), 0, "%s", e.text);
    int admitted = bundle_mandate_admits(mandate, &ask, &e);
    cr_expect_eq(admitted == 0, kind == NULL, "%s: %s", piece, e.text);
    cr_expect(!kind || err_is(&e, kind), "%s: %s", e.kind ? e.kind->name : "admitted", e.text);
    cr_expect(strstr(e.text, piece), "\"%s\" is not in \"%s\"", piece, e.text);
    bundle_facts_free(facts);
    facts = NULL;
}

static void admitted(void) {
    judge(NULL, "");
}

Test(mandate_admit, what_lies_just_within_it_is_admitted) {
    good();
    admitted();
}

Test(mandate_admit, one_that_expired_allows_nothing) {
    good();
    ask.trusted_s = content.header.expires_s;
    judge(&err_mandate_expired, "expired at");
}

Test(mandate_admit, another_rollout_attempt_stage_or_bundle_is_outside) {
    good();
    ask.rollout = "autumn";
    judge(&err_outside_mandate, "spring");
    good();
    ask.rollout = "";
    judge(&err_outside_mandate, "part of none");
    good();
    ask.attempt = 3;
    judge(&err_outside_mandate, "attempt 3");
    good();
    content.signed_stages = 1;
    ask.stage = 1;
    judge(&err_outside_mandate, "signed for the first 1");
    good();
    ask.stage = UINT64_MAX;
    judge(&err_outside_mandate, "stage");
    good();
    ask.bundle = &other;
    judge(&err_outside_mandate, "app 2.0");
}

Test(mandate_admit, a_device_that_is_not_selected_is_outside) {
    good();
    set_facts("{\"arch\":\"mips\"}");
    judge(&err_outside_mandate, "arch is \"mips\"");
    good();
    set_facts("{}");
    judge(&err_outside_mandate, "arch is unknown");
}

// The first stage admits just the site's rank: all of its devices, and nobody by its id.
static void by_site(void) {
    good();
    (void)snprintf(content.site, sizeof content.site, "place");
    uint64_t rank = bundle_rank("site:b", content.seed);
    strata[0] = (struct bundle_mandate_stratum){"{\"arch\":\"arm64\"}", {rank, UINT64_MAX}};
    strata[1] = (struct bundle_mandate_stratum){"{\"arch\":\"armhf\"}", {rank - 1, UINT64_MAX}};
    set_facts("{\"arch\":\"arm64\",\"place\":\"b\"}");
}

Test(mandate_admit, by_sites_the_rank_is_that_of_the_devices_site) {
    static const char *const ids[] = {"d-1", "d-2", "site", "b"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        by_site();
        ask.device = ids[i];
        admitted();
        by_site();
        ask.device = ids[i];
        set_facts("{\"arch\":\"armhf\",\"place\":\"b\"}");
        judge(&err_rank_beyond, "the rank of site:b is");
    }
}

Test(mandate_admit, a_device_without_a_site_has_its_own_rank) {
    by_site();
    strata[0].bounds[0] = bundle_rank("d-1", content.seed);
    set_facts("{\"arch\":\"arm64\"}");
    admitted();
    by_site();
    strata[0].bounds[0] = bundle_rank("d-1", content.seed) - 1;
    set_facts("{\"arch\":\"arm64\",\"place\":7}");
    judge(&err_rank_beyond, "the rank of d-1 is");
}

Test(mandate_admit, a_rank_above_the_bound_of_its_stratum_is_beyond) {
    good();
    set_facts("{\"arch\":\"armhf\"}");
    judge(&err_rank_beyond, "canary");
    good();
    set_facts("{\"arch\":\"armhf\"}");
    ask.stage = 1;
    admitted();
    // In a stratum that nobody counted.
    good();
    set_facts("{\"arch\":\"riscv64\"}");
    judge(&err_rank_beyond, "canary");
    good();
    set_facts("{\"arch\":\"riscv64\"}");
    content.newcomer_bounds[0] = strata[0].bounds[0];
    admitted();
}

Test(mandate_admit, a_stage_begins_when_both_clocks_say_so) {
    good();
    ask.trusted_s = NOW_S - 1;
    judge(&err_too_early, "canary begins at");
    // Signed time was made to run ahead.
    good();
    ask.wall_s = NOW_S - 1;
    judge(&err_too_early, "canary begins at");
    good();
    ask.wall_s = NOW_S + 1000000;
    admitted();
    // A clock that is behind what people signed is no clock.
    good();
    ask.wall_s = content.header.issued_s - 1;
    admitted();
    good();
    ask.trusted_s = NOW_S - 1;
    ask.wall_s = NOW_S + 1000000;
    judge(&err_too_early, "canary begins at");
}

Test(mandate_admit, a_stage_of_named_devices_is_theirs_alone) {
    OWN(json) json_t *devices = json_pack("[s, s]", "d-0", "d-1");
    OWN(json) json_t *others = json_pack("[s]", "d-11");
    good();
    content.stages[0].devices = devices;
    strata[0].bounds[0] = 0;
    admitted();
    good();
    content.stages[0].devices = others;
    strata[0].bounds[0] = UINT64_MAX;
    judge(&err_outside_mandate, "named");
}

Test(mandate_admit, a_pinned_release_needs_a_mandate_that_names_the_device) {
    OWN(json) json_t *devices = json_pack("[s]", "d-1");
    good();
    content.rollout[0] = '\0';
    content.stages[0].devices = devices;
    ask.rollout = "";
    admitted();
    good();
    content.rollout[0] = '\0';
    content.stages[0].devices = devices;
    judge(&err_outside_mandate, "pinned devices");
}

Test(mandate_admit, a_baseline_begins_with_the_last_stage_and_looks_at_no_rank) {
    good();
    content.baseline = true;
    content.stages[1].not_before_s = NOW_S;
    strata[0].bounds[0] = strata[0].bounds[1] = 0;
    ask.rollout = "";
    ask.stage = 77;
    admitted();
    good();
    content.baseline = true;
    content.stages[1].not_before_s = NOW_S + 1;
    ask.rollout = "";
    judge(&err_too_early, "rest begins");
    good();
    content.baseline = true;
    content.baseline_not_before_s = NOW_S + 1;
    ask.stage = 1;
    admitted(); // as part of the rollout
    set_facts("{\"arch\":\"arm64\"}");
    ask.rollout = "";
    judge(&err_too_early, "the baseline behind stage rest begins");
    set_facts("{\"arch\":\"arm64\"}");
    content.baseline_not_before_s = NOW_S;
    admitted();
    good();
    content.baseline = true;
    ask.rollout = "";
    set_facts("{\"arch\":\"mips\"}");
    judge(&err_outside_mandate, "arch");
    good();
    content.baseline = true;
    ask.rollout = "";
    ask.bundle = &other;
    judge(&err_outside_mandate, "app 2.0");
}

// ── Steps ───────────────────────────────────────────────────────────────────────────────────────

// A stage that is open as a whole at NOW_S, so many tenths of it an hour, and half an hour, before. The
// device's rank is at two thirds.
static json_t *by_steps(uint64_t first_tenths, uint64_t second_tenths) {
    json_t *steps = json_pack("[{s:I, s:I}, {s:I, s:I}]", "before", (json_int_t)3600, "share",
                              (json_int_t)(BUNDLE_MANDATE_WHOLE * first_tenths / 10), "before",
                              (json_int_t)1800, "share",
                              (json_int_t)(BUNDLE_MANDATE_WHOLE * second_tenths / 10));
    good();
    content.header.issued_s = NOW_S - 7200;
    content.stages[1].not_before_s = NOW_S;
    content.stages[1].steps = steps;
    ask.stage = 1;
    strata[0].bounds[0] = 0;
    strata[0].bounds[1] = UINT64_MAX;
    return steps;
}

static void at(int64_t now_s) {
    ask.trusted_s = now_s;
}

Test(mandate_admit, a_rank_is_admitted_from_the_step_on_that_it_is_open_in) {
    static const struct {
        uint64_t first, second;
        int64_t from_s;
    } rows[] = {{7, 8, NOW_S - 3600}, {6, 7, NOW_S - 1800}, {1, 6, NOW_S}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        OWN(json) json_t *steps = by_steps(rows[i].first, rows[i].second);
        at(rows[i].from_s - 1);
        judge(&err_too_early, "rest begins at");
        OWN(json) json_t *again = by_steps(rows[i].first, rows[i].second);
        at(rows[i].from_s);
        admitted();
        OWN(json) json_t *wall = by_steps(rows[i].first, rows[i].second);
        at(NOW_S);
        ask.wall_s = rows[i].from_s - 1;
        judge(&err_too_early, "rest begins at");
    }
}

Test(mandate_admit, whom_a_stage_before_admits_is_open_with_the_first_step) {
    OWN(json) json_t *steps = by_steps(1, 2);
    strata[0].bounds[0] = bundle_rank("d-1", content.seed);
    at(NOW_S - 3601);
    judge(&err_too_early, "rest");
    OWN(json) json_t *again = by_steps(1, 2);
    strata[0].bounds[0] = bundle_rank("d-1", content.seed);
    at(NOW_S - 3600);
    admitted();
}

Test(mandate_admit, steps_go_up_from_the_bound_of_the_stage_before) {
    OWN(json) json_t *steps = by_steps(2, 3);
    uint64_t rank = bundle_rank("d-1", content.seed);
    // A fifth of the way from low to the highest is just the rank.
    strata[0].bounds[0] = rank - 1000;
    strata[0].bounds[1] = rank + 4010;
    at(NOW_S - 3600);
    admitted();
    OWN(json) json_t *again = by_steps(2, 3);
    strata[0].bounds[0] = rank - 1000;
    strata[0].bounds[1] = rank + 3990;
    at(NOW_S - 3600);
    judge(&err_too_early, "rest");
}

Test(mandate_admit, the_highest_rank_of_all_is_open_with_the_whole_stage) {
    OWN(json) json_t *steps = by_steps(1, 2);
    strata[0].bounds[1] = UINT64_MAX;
    strata[0].bounds[0] = bundle_rank("d-1", content.seed) - 1;
    at(NOW_S);
    admitted();
}

// ── Labels ──────────────────────────────────────────────────────────────────────────────────────

Test(mandate_admit, a_selector_counts_as_far_as_the_device_can_know) {
    good();
    (void)snprintf(content.selector, sizeof content.selector,
                   "label.site == \"a\" and arch == \"arm64\"");
    admitted();
    good();
    (void)snprintf(content.selector, sizeof content.selector,
                   "label.site == \"a\" and arch == \"armhf\"");
    judge(&err_outside_mandate, "arch is \"arm64\"");
    good();
    (void)snprintf(content.selector, sizeof content.selector, "label.site == \"a\"");
    ask.knows_labels = true;
    judge(&err_outside_mandate, "label.site is unknown");
}
