// SPDX-License-Identifier: Apache-2.0
//
// Mandates: written, signed, read back, and every limit of what they allow.
#include "bundle/mandate.h"

#include "bundle/facts.h"
#include "bundle/kind.h"
#include "keys/canon.h"
#include "keys/kind.h"
#include "tests/support/forge.h"
#include "tests/unit/bundle/wire.h"

#define NOW_S 1800000000

static struct bundle_mandate_content content;
static struct bundle_mandate_stratum strata[BUNDLE_STRATA_MAX];
static struct keys_role role;
static char keys[BUNDLE_STRATA_MAX][64];

// Two stages, the first admits a quarter of arm64 and none of armhf, the second all.
static void good(void) {
    forge_role(1, 1, &role);
    memset(&content, 0, sizeof content);
    content = (struct bundle_mandate_content){
        .header = {.version = 3, .issued_s = NOW_S - 60, .expires_s = NOW_S + 86400},
        .attempt_max = 2,
        .n_bundles = 2,
        .n_stratify = 1,
        .n_stages = 2,
        .signed_stages = 2,
        .newcomer_bounds = {UINT64_MAX / 8, UINT64_MAX},
        .n_strata = 2,
    };
    (void)snprintf(content.rollout, sizeof content.rollout, "spring");
    (void)snprintf(content.name, sizeof content.name, "app");
    (void)snprintf(content.release, sizeof content.release, "2.0");
    (void)snprintf(content.selector, sizeof content.selector, "arch != \"mips\"");
    (void)snprintf(content.stratify[0], sizeof content.stratify[0], "arch");
    (void)snprintf(content.stages[0].name, sizeof content.stages[0].name, "canary");
    (void)snprintf(content.stages[1].name, sizeof content.stages[1].name, "rest");
    content.stages[1].not_before_s = NOW_S + 3600;
    memset(content.seed, 9, sizeof content.seed);
    memset(content.bundles[0].bytes, 0xaa, sizeof content.bundles[0].bytes);
    memset(content.bundles[1].bytes, 0xbb, sizeof content.bundles[1].bytes);
    strata[0] = (struct bundle_mandate_stratum){"{\"arch\":\"armhf\"}", {0, UINT64_MAX}};
    strata[1] =
        (struct bundle_mandate_stratum){"{\"arch\":\"arm64\"}", {UINT64_MAX / 4, UINT64_MAX}};
}

static int format(struct buf *ret, struct err *e) {
    buf_init(ret, BUNDLE_MANDATE_MAX_BYTES);
    return bundle_mandate_format(&content, strata, ret, e);
}

static int verify_part(struct slice signed_part, struct bundle_mandate **ret, struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, 1 << 20);
    forge_envelope(signed_part, &raw);
    return bundle_mandate_verify(buf_slice(&raw), &role, ret, e);
}

static struct bundle_mandate *made(void) {
    OWN(buf) struct buf part;
    struct bundle_mandate *mandate = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(format(&part, &e), 0, "%s", e.text);
    cr_assert_eq(verify_part(buf_slice(&part), &mandate, &e), 0, "%s", e.text);
    return mandate;
}

Test(mandate, what_is_written_is_read_the_same) {
    good();
    content.stages[1].devices = json_pack("[s, s]", "d-1", "d-2");
    OWN(mandate) struct bundle_mandate *mandate = made();
    const struct bundle_mandate_content *read = bundle_mandate_content(mandate);
    struct bundle_mandate_stratum stratum;
    cr_expect_eq(read->header.version, 3);
    cr_expect_eq(read->header.expires_s, NOW_S + 86400);
    cr_expect_str_eq(read->rollout, "spring");
    cr_expect_eq(read->attempt_max, 2);
    cr_expect_str_eq(read->name, "app");
    cr_expect_str_eq(read->release, "2.0");
    cr_expect_eq(read->n_bundles, 2);
    cr_expect(keys_digest_equal(&read->bundles[1], &content.bundles[1]));
    cr_expect_str_eq(read->selector, "arch != \"mips\"");
    cr_expect_eq(memcmp(read->seed, content.seed, sizeof read->seed), 0);
    cr_expect_eq(read->n_stratify, 1);
    cr_expect_str_eq(read->stratify[0], "arch");
    cr_expect_eq(read->n_stages, 2);
    cr_expect_eq(read->signed_stages, 2);
    cr_expect_str_eq(read->stages[0].name, "canary");
    cr_expect_eq(read->stages[0].not_before_s, 0);
    cr_expect_null(read->stages[0].devices);
    cr_expect_eq(read->stages[1].not_before_s, NOW_S + 3600);
    cr_expect(json_equal(read->stages[1].devices, content.stages[1].devices));
    cr_expect_eq(read->newcomer_bounds[0], UINT64_MAX / 8);
    cr_expect_not(read->baseline);
    cr_assert_eq(read->n_strata, 2);
    // In the order of their keys.
    bundle_mandate_stratum(mandate, 0, &stratum);
    cr_expect_str_eq(stratum.key, "{\"arch\":\"arm64\"}");
    cr_expect_eq(stratum.bounds[0], UINT64_MAX / 4);
    json_decref((json_t *)(uintptr_t)content.stages[1].devices);
}

Test(mandate, any_flipped_bit_and_any_cut_is_refused) {
    good();
    OWN(buf) struct buf part, raw;
    struct err e = ERR_NONE;
    struct bundle_mandate *none = NULL;
    cr_assert_eq(format(&part, &e), 0, "%s", e.text);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    forge_envelope(buf_slice(&part), &raw);
    for (size_t i = 0; i < raw.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            raw.data[i] ^= (uint8_t)(1U << bit);
            err_clear(&e);
            cr_assert_lt(bundle_mandate_verify(buf_slice(&raw), &role, &none, &e), 0);
            raw.data[i] ^= (uint8_t)(1U << bit);
        }
        err_clear(&e);
        cr_assert_lt(bundle_mandate_verify((struct slice){raw.data, i}, &role, &none, &e), 0);
    }
}

Test(mandate, it_is_the_role_that_signs) {
    good();
    OWN(buf) struct buf part;
    struct err e = ERR_NONE;
    struct bundle_mandate *none = NULL;
    cr_assert_eq(format(&part, &e), 0);
    forge_role(2, 2, &role);
    cr_assert_lt(verify_part(buf_slice(&part), &none, &e), 0);
    cr_assert(err_is(&e, &err_below_threshold), "%s", e.text);
    // A root without the role: nothing can be signed by it.
    role = (struct keys_role){.n_keys = 0};
    err_clear(&e);
    cr_assert_lt(verify_part(buf_slice(&part), &none, &e), 0);
    cr_assert(err_is(&e, &err_below_threshold), "%s", e.text);
}

Test(mandate, one_that_is_not_signed_is_shown_and_no_more) {
    good();
    OWN(buf) struct buf part, raw;
    struct err e = ERR_NONE;
    OWN(mandate_unverified) struct bundle_mandate_unverified *shown = NULL;
    struct bundle_mandate *none = NULL;
    cr_assert_eq(format(&part, &e), 0);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES);
    const struct keys_envelope_signature unused = {.keyid = ""};
    cr_assert_eq(keys_envelope_format(buf_slice(&part), &unused, 0, &raw, &e), 0, "%s", e.text);
    cr_assert_eq(bundle_mandate_peek(buf_slice(&raw), &shown, &e), 0, "%s", e.text);
    cr_expect_str_eq(bundle_mandate_peek_content(shown)->rollout, "spring");
    cr_assert_lt(bundle_mandate_verify(buf_slice(&raw), &role, &none, &e), 0);
    cr_assert(err_is(&e, &err_below_threshold), "%s", e.text);
}

// ── Members ─────────────────────────────────────────────────────────────────────────────────────

static int read_document(json_t *document, struct err *e) {
    OWN(buf) struct buf part;
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    struct err unwritable = ERR_NONE;
    buf_init(&part, 1 << 20);
    if (keys_canon_format(document, &part, &unwritable) < 0)
        return err_set(e, &err_bad_message, "no canonical form: %s", unwritable.text);
    return verify_part(buf_slice(&part), &mandate, e);
}

static json_t *two_steps(void) {
    return json_pack("[{s:i, s:i}, {s:i, s:i}]", "before", 600, "share", 1000, "before", 300,
                     "share", 2000);
}

static json_t *good_document(void) {
    OWN(buf) struct buf part;
    struct err e = ERR_NONE;
    good();
    OWN(json) json_t *devices = json_pack("[s]", "d-1");
    OWN(json) json_t *steps = two_steps();
    content.stages[0].devices = devices;
    content.stages[1].steps = steps;
    content.stages[1].approve = true;
    cr_assert_eq(format(&part, &e), 0, "%s", e.text);
    return wire_json(buf_text(&part));
}

Test(mandate, no_member_may_be_of_another_type) {
    OWN(json) json_t *document = good_document();
    struct wire_swapped count = {0};
    struct err e = ERR_NONE;
    wire_swap(document, document, read_document, &count);
    cr_expect_gt(count.read, 400);
    cr_expect_gt(count.refused, count.read / 2);
    cr_assert_eq(read_document(document, &e), 0, "%s", e.text);
}

Test(mandate, every_member_has_to_be_there) {
    static const char *const none[] = {NULL};
    OWN(json) json_t *document = good_document();
    wire_omit(document, read_document, none);
    static const char *const optional[] = {"devices", "steps", "not_before", "approve", NULL};
    json_t *stages = json_object_get(document, "stages");
    for (size_t i = 0; optional[i]; i++)
        for (size_t s = 0; s < 2; s++)
            (void)json_object_del(json_array_get(stages, s), optional[i]);
    struct err e = ERR_NONE;
    cr_assert_eq(read_document(document, &e), 0, "%s", e.text);
}

static void refused(const char *piece) {
    OWN(buf) struct buf part;
    struct err e = ERR_NONE;
    cr_assert_lt(format(&part, &e), 0, "written, though: %s", piece);
    cr_expect(!err_is(&e, &err_memory), "%s", e.text);
    cr_expect(strstr(e.text, piece), "\"%s\" is not in \"%s\"", piece, e.text);
    cr_expect_eq(part.len, 0);
    buf_clear(&part);
    good();
}

Test(mandate, what_makes_no_sense_is_not_written) {
    good();
    content.signed_stages = 3;
    refused("stages");
    content.signed_stages = 0;
    refused("signed_stages");
    content.n_bundles = 0;
    refused("bundles");
    content.attempt_max = 0;
    refused("attempt_max");
    (void)snprintf(content.selector, sizeof content.selector, "arch ==");
    refused("predicate, at its end");
    strata[0].bounds[1] = 0;
    strata[0].bounds[0] = 1;
    refused("less than the one before");
    content.newcomer_bounds[1] = 0;
    refused("less than the one before");
    strata[1].key = strata[0].key;
    refused("order of their keys");
    content.baseline = true;
    content.signed_stages = 1;
    refused("every stage is signed");
    OWN(json) json_t *devices = json_pack("[s]", "d-1");
    content.baseline = true;
    content.stages[0].devices = devices;
    refused("by rank");
    content.n_stages = 0;
    refused("stages");
    content.header.expires_s = content.header.issued_s;
    refused("expires");
    // The controller's word: no device could tell which stratum it is in.
    (void)snprintf(content.stratify[0], sizeof content.stratify[0], "label.site");
    refused("facts that devices know");
    (void)snprintf(content.site, sizeof content.site, "label.site");
    refused("a fact that devices know");
    (void)snprintf(content.site, sizeof content.site, "a place");
    refused("a fact that devices know");
}

// Where sites are drawn a device that goes by ids alone must refuse: the whole of it is of another
// version, and what would say the one and be the other is not read.
Test(mandate, one_by_sites_is_of_a_version_of_its_own) {
    struct err e = ERR_NONE;
    OWN(json) json_t *document = good_document();
    cr_expect_str_eq(json_string_value(json_object_get(document, "spec_version")), "1.0");
    cr_expect_null(json_object_get(document, "site"), "nothing changes for those by devices");
    json_object_set_new(document, "site", json_string("place"));
    cr_assert_lt(read_document(document, &e), 0, "a site, and the version of those without");
    e = (struct err)ERR_NONE;
    json_object_set_new(document, "spec_version", json_string("2.0"));
    cr_assert_eq(read_document(document, &e), 0, "%s", e.text);
    json_object_set_new(document, "spec_version", json_string("3.0"));
    cr_assert_lt(read_document(document, &e), 0);
    cr_expect(err_is(&e, &err_newer_format), "%s", e.text);
    e = (struct err)ERR_NONE;
    json_object_del(document, "site");
    json_object_set_new(document, "spec_version", json_string("2.0"));
    cr_assert_lt(read_document(document, &e), 0);
    cr_expect(err_is(&e, &err_newer_format), "what older devices say: %s", e.text);
    e = (struct err)ERR_NONE;
    json_object_set_new(document, "site", json_null());
    cr_assert_lt(read_document(document, &e), 0, "null is none");
    cr_expect(err_is(&e, &err_newer_format), "%s", e.text);
    e = (struct err)ERR_NONE;
    json_object_set_new(document, "spec_version", json_string("1.0"));
    cr_assert_eq(read_document(document, &e), 0, "%s", e.text);
    good();
    (void)snprintf(content.site, sizeof content.site, "place");
    OWN(mandate) struct bundle_mandate *mandate = made();
    cr_expect_str_eq(bundle_mandate_content(mandate)->site, "place");
}

static void step_refused(const char *piece, const char *json) {
    OWN(json) json_t *steps = wire_json(json);
    content.stages[1].steps = json_object_get(steps, "steps");
    refused(piece);
}

Test(mandate, steps_come_before_the_stage_and_rise) {
    good();
    step_refused("expected some", "{\"steps\":[]}");
    step_refused("share", "{\"steps\":[{\"before\":9,\"share\":0}]}");
    step_refused("share", "{\"steps\":[{\"before\":9,\"share\":4294967296}]}");
    step_refused("before", "{\"steps\":[{\"before\":0,\"share\":1}]}");
    step_refused("before", "{\"steps\":[{\"before\":2147483648,\"share\":1}]}");
    step_refused("before", "{\"steps\":[{\"before\":9,\"share\":1},{\"before\":9,\"share\":2}]}");
    step_refused("share", "{\"steps\":[{\"before\":9,\"share\":1},{\"before\":8,\"share\":1}]}");
    OWN(json) json_t *steps = two_steps();
    OWN(json) json_t *devices = json_pack("[s]", "d-1");
    content.stages[1].steps = steps;
    content.stages[1].devices = devices;
    refused("by rank");
    content.stages[0].steps = steps; // which begins at no time
    refused("with a time");
}

Test(mandate, a_stage_opens_step_by_step_and_then_as_a_whole) {
    good();
    OWN(json) json_t *steps = two_steps();
    content.stages[1].steps = steps;
    OWN(mandate) struct bundle_mandate *mandate = made();
    const struct bundle_mandate_stage *stage = &bundle_mandate_content(mandate)->stages[1];
    static const struct bundle_mandate_step wanted[] = {
        {NOW_S + 3000, 1000}, {NOW_S + 3300, 2000}, {NOW_S + 3600, BUNDLE_MANDATE_WHOLE}};
    cr_assert_eq(bundle_mandate_steps(stage), 2);
    for (size_t i = 0; i < 3; i++) {
        struct bundle_mandate_step step = bundle_mandate_step(stage, i);
        cr_expect_eq(step.from_s, wanted[i].from_s);
        cr_expect_eq(step.share, wanted[i].share);
    }
    cr_expect_eq(bundle_mandate_steps(&bundle_mandate_content(mandate)->stages[0]), 0);
}

Test(mandate, there_are_at_most_so_many_steps) {
    good();
    OWN(json) json_t *steps = json_array();
    content.stages[1].steps = steps;
    for (int i = 0; i < BUNDLE_MANDATE_STEPS_MAX; i++)
        json_array_append_new(steps, json_pack("{s:i, s:i}", "before", 1000 - i, "share", i + 1));
    OWN(mandate) struct bundle_mandate *mandate = made();
    json_array_append_new(steps, json_pack("{s:i, s:i}", "before", 1, "share", 1000));
    refused("steps");
}

Test(mandate, every_ceiling_holds_at_and_above) {
    good();
    OWN(buf) struct buf part;
    struct err e = ERR_NONE;
    content.n_bundles = BUNDLE_MANDATE_BUNDLES_MAX;
    content.n_stages = content.signed_stages = BUNDLE_MANDATE_STAGES_MAX;
    content.n_stratify = BUNDLE_MANDATE_STRATIFY_MAX;
    for (size_t i = 0; i < content.n_stages; i++)
        (void)snprintf(content.stages[i].name, sizeof content.stages[i].name, "s%zu", i);
    for (size_t i = 0; i < content.n_stratify; i++)
        (void)snprintf(content.stratify[i], sizeof content.stratify[i], "f%zu", i);
    content.newcomer_bounds[0] = 0;
    for (size_t i = 1; i < content.n_stages; i++)
        content.newcomer_bounds[i] = i;
    content.n_strata = 0;
    cr_assert_eq(format(&part, &e), 0, "%s", e.text);
    size_t *const counts[] = {&content.n_bundles, &content.n_stages, &content.n_stratify};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        OWN(buf) struct buf none;
        ++*counts[i];
        err_clear(&e);
        cr_expect_lt(format(&none, &e), 0);
        cr_expect(err_is(&e, &err_limit), "%s", e.text);
        --*counts[i];
    }
    OWN(json) json_t *devices = json_array();
    content.stages[0].devices = devices;
    for (size_t i = 0; i <= BUNDLE_MANDATE_DEVICES_MAX; i++) {
        OWN(buf) struct buf some;
        err_clear(&e);
        int done = format(&some, &e);
        cr_expect_eq(done == 0, i <= BUNDLE_MANDATE_DEVICES_MAX, "%zu: %s", i, e.text);
        json_array_append_new(devices, json_string("d"));
    }
    OWN(buf) struct buf above;
    err_clear(&e);
    cr_expect_lt(format(&above, &e), 0);
}

Test(mandate, there_may_be_as_many_strata_as_the_controller_tells_apart) {
    good();
    struct err e = ERR_NONE;
    for (size_t i = 0; i < BUNDLE_STRATA_MAX; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "{\"arch\":\"%03zu\"}", i);
        strata[i] = (struct bundle_mandate_stratum){keys[i], {i, UINT64_MAX}};
    }
    content.n_strata = BUNDLE_STRATA_MAX;
    OWN(mandate) struct bundle_mandate *mandate = made();
    cr_expect_eq(bundle_mandate_content(mandate)->n_strata, BUNDLE_STRATA_MAX);
    OWN(buf) struct buf above;
    content.n_strata++;
    cr_expect_lt(format(&above, &e), 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
}

Test(mandate, one_of_exactly_the_ceiling_is_read_and_one_byte_more_is_not) {
    good();
    OWN(buf) struct buf part, raw;
    OWN(mandate) struct bundle_mandate *mandate = NULL;
    struct bundle_mandate *none = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(format(&part, &e), 0);
    buf_init(&raw, BUNDLE_MANDATE_MAX_BYTES + 1);
    forge_envelope(buf_slice(&part), &raw);
    while (raw.len < BUNDLE_MANDATE_MAX_BYTES)
        cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
    cr_assert_eq(bundle_mandate_verify(buf_slice(&raw), &role, &mandate, &e), 0, "%s", e.text);
    cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
    cr_assert_lt(bundle_mandate_verify(buf_slice(&raw), &role, &none, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
}
