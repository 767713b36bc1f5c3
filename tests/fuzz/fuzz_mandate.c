// SPDX-License-Identifier: Apache-2.0
//
// Signed parts of mandates, as anybody could have signed them: read by the rules or refused with a
// kind; what was read is written and read again to the same bytes, and judges any offer; nothing
// verifies unsigned.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/facts.h"
#include "bundle/mandate.h"
#include "tests/support/forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keys_role role;

static struct bundle_mandate *read_signed(struct slice signed_part) {
    OWN(buf) struct buf raw;
    struct bundle_mandate *mandate = NULL;
    struct err e = ERR_NONE;
    buf_init(&raw, 2 * BUNDLE_MANDATE_MAX_BYTES);
    forge_envelope(signed_part, &raw);
    if (bundle_mandate_verify(buf_slice(&raw), &role, &mandate, &e) < 0 && !e.kind)
        abort();
    return mandate;
}

static void write_again(const struct bundle_mandate *mandate, struct buf *ret) {
    const struct bundle_mandate_content *content = bundle_mandate_content(mandate);
    OWN(mem) struct bundle_mandate_stratum *strata = calloc(content->n_strata + 1, sizeof *strata);
    struct err e = ERR_NONE;
    buf_init(ret, 2 * BUNDLE_MANDATE_MAX_BYTES);
    if (!strata)
        abort();
    for (size_t i = 0; i < content->n_strata; i++)
        bundle_mandate_stratum(mandate, i, &strata[i]);
    if (bundle_mandate_format(content, strata, ret, &e) < 0)
        abort();
}

static void ask_all(const struct bundle_mandate *mandate) {
    const struct bundle_mandate_content *content = bundle_mandate_content(mandate);
    OWN(json) json_t *object = json_pack("{s:s}", "arch", "arm64");
    OWN(facts) struct bundle_facts *facts = NULL;
    struct err e = ERR_NONE;
    if (bundle_facts_parse(object, &facts, &e) < 0)
        abort();
    struct bundle_mandate_ask ask = {
        .device = "d", .facts = facts, .attempt = 1, .bundle = &content->bundles[0]};
    for (size_t stage = 0; stage <= content->n_stages; stage++) {
        for (unsigned how = 0; how < 4; how++) {
            ask.stage = stage;
            ask.rollout = how & 1 ? content->rollout : "";
            ask.knows_labels = how & 2;
            err_clear(&e);
            if (bundle_mandate_admits(mandate, &ask, &e) < 0 && !e.kind)
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct slice signed_part = {data, size};
    struct bundle_mandate *unsigned_one = NULL;
    struct err e = ERR_NONE;
    if (role.n_keys == 0)
        forge_role(1, 1, &role);
    if (size > BUNDLE_MANDATE_MAX_BYTES - 512)
        return 0;
    if (bundle_mandate_verify(signed_part, &role, &unsigned_one, &e) == 0)
        abort();
    OWN(mandate) struct bundle_mandate *mandate = read_signed(signed_part);
    if (!mandate)
        return 0;
    OWN(buf) struct buf first, second;
    ask_all(mandate);
    write_again(mandate, &first);
    OWN(mandate) struct bundle_mandate *again = read_signed(buf_slice(&first));
    if (!again)
        abort();
    write_again(again, &second);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        abort();
    return 0;
}
