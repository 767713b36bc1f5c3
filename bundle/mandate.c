// SPDX-License-Identifier: Apache-2.0
//
// Mandates: verified, read. Scalars by a table of members, the lists by hand. Strata stay in the
// document, where the one that is asked for is found: there may be hundreds.
#include "bundle/mandate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/mandate/parts.h"
#include "bundle/message.h"
#include "bundle/predicate.h"
#include "keys/canon.h"

static const struct doc_limits limits = {
    .bytes = BUNDLE_MANDATE_MAX_BYTES, .depth = 8, .values = 8192};

// Seconds from a member that may be absent; 0 then.
static int read_time_opt(const struct doc_at *at, const char *key, int64_t *ret, struct err *e) {
    const char *text = NULL;
    int found = doc_string_opt(at, key, CHRONO_TEXT_BYTES, &text, e);
    *ret = 0;
    return found == 0 ? chrono_parse(text, key, ret, e) : found < 0 ? -1 : 0;
}

static int read_bounds(const struct doc_at *at, const char *key, size_t n, uint64_t *ret,
                       struct err *e) {
    const char *text = NULL;
    uint8_t bytes[BUNDLE_MANDATE_STAGES_MAX * sizeof(uint64_t)];
    if (doc_string(at, key, n * MANDATE_BOUND_CHARS, &text, e) < 0 ||
        text_unhex(text, bytes, n * sizeof(uint64_t), key, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        ret[i] = 0;
        for (size_t k = 0; k < sizeof(uint64_t); k++)
            ret[i] = ret[i] << 8 | bytes[i * sizeof(uint64_t) + k];
        if (i > 0 && ret[i] < ret[i - 1])
            return err_set(e, &err_bad_message, "%s.%s: a stage admits less than the one before",
                           at->path, key);
    }
    return 0;
}

static int read_release(const struct doc_at *top, struct bundle_mandate_content *ret,
                        struct err *e) {
    struct doc_at release, bundles;
    const char *text = NULL;
    static const struct bundle_message_member members[] = {
        BUNDLE_MESSAGE_MEMBER("name", NAME, REQUIRED, bundle_mandate_content, name),
        BUNDLE_MESSAGE_MEMBER("version", LINE, REQUIRED, bundle_mandate_content, release),
        {.key = NULL}};
    if (doc_object(top, "release", &release, e) < 0 ||
        bundle_message_read(&release, members, ret, e) < 0 ||
        doc_array(&release, "bundles", BUNDLE_MANDATE_BUNDLES_MAX, &bundles, e) < 0)
        return -1;
    ret->n_bundles = json_array_size(bundles.value);
    if (ret->n_bundles == 0)
        return err_set(e, &err_bad_message, "%s: expected one or more", bundles.path);
    for (size_t i = 0; i < ret->n_bundles; i++)
        if (doc_element_string(&bundles, i, KEYS_DIGEST_HEX - 1, &text, e) < 0 ||
            keys_digest_parse(text, bundles.path, &ret->bundles[i], e) < 0)
            return -1;
    return 0;
}

static int read_stratify(const struct doc_at *top, struct bundle_mandate_content *ret,
                         struct err *e) {
    struct doc_at list;
    const char *name = NULL;
    if (doc_array(top, "stratify", BUNDLE_MANDATE_STRATIFY_MAX, &list, e) < 0)
        return -1;
    ret->n_stratify = json_array_size(list.value);
    for (size_t i = 0; i < ret->n_stratify; i++) {
        if (doc_element_string(&list, i, BUNDLE_FACT_NAME_MAX, &name, e) < 0)
            return -1;
        if (!name[0] || strncmp(name, BUNDLE_MANDATE_LABEL, strlen(BUNDLE_MANDATE_LABEL)) == 0)
            return err_set(e, &err_bad_message, "%s: expected facts that devices know", list.path);
        memcpy(ret->stratify[i], name, strlen(name) + 1);
    }
    return 0;
}

// Ranks that the device could not find out for itself would bind it to nothing.
static int read_site(const struct doc_at *top, struct bundle_mandate_content *ret, struct err *e) {
    const char *fact = NULL;
    int found = doc_string_opt(top, "site", BUNDLE_FACT_NAME_MAX, &fact, e);
    ret->site[0] = '\0';
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (!text_is_name(fact, BUNDLE_FACT_NAME_MAX) ||
        strncmp(fact, BUNDLE_MANDATE_LABEL, strlen(BUNDLE_MANDATE_LABEL)) == 0)
        return err_set(e, &err_bad_message, "%s.site: expected a fact that devices know",
                       top->path);
    memcpy(ret->site, fact, strlen(fact) + 1);
    return 0;
}

static int read_devices(const struct doc_at *at, struct bundle_mandate_stage *ret, struct err *e) {
    struct doc_at list;
    const char *id = NULL;
    int found = doc_array_opt(at, "devices", BUNDLE_MANDATE_DEVICES_MAX, &list, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        if (doc_element_string(&list, i, BUNDLE_DEVICE_ID_MAX, &id, e) < 0)
            return -1;
        if (!text_is_name(id, BUNDLE_DEVICE_ID_MAX))
            return err_set(e, &err_bad_message, "%s: the %zuth is no device's id", list.path,
                           i + 1);
    }
    ret->devices = list.value;
    return 0;
}

size_t bundle_mandate_steps(const struct bundle_mandate_stage *stage) {
    return json_array_size(stage->steps);
}

struct bundle_mandate_step bundle_mandate_step(const struct bundle_mandate_stage *stage, size_t n) {
    const json_t *step = json_array_get(stage->steps, n); // NULL behind the last
    json_int_t share = json_integer_value(json_object_get(step, "share"));
    return (struct bundle_mandate_step){
        .from_s = stage->not_before_s - json_integer_value(json_object_get(step, "before")),
        .share = step ? (uint64_t)share : BUNDLE_MANDATE_WHOLE};
}

static int read_steps(const struct doc_at *at, struct bundle_mandate_stage *ret, struct err *e) {
    struct doc_at list, step;
    uint64_t last_s = BUNDLE_MANDATE_STEP_MAX_S + 1ULL, open = 0;
    int found = doc_array_opt(at, "steps", BUNDLE_MANDATE_STEPS_MAX, &list, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    size_t n = json_array_size(list.value);
    if (n == 0 || ret->devices || ret->not_before_s == 0)
        return err_set(e, &err_bad_message, "%s: expected some, of a stage by rank with a time",
                       list.path);
    for (size_t i = 0; i < n; i++)
        if (doc_element(&list, i, &step, e) < 0 ||
            doc_u64(&step, "before", 1, last_s - 1, &last_s, e) < 0 ||
            doc_u64(&step, "share", open + 1, BUNDLE_MANDATE_WHOLE - 1, &open, e) < 0)
            return -1;
    ret->steps = list.value;
    return 0;
}

static int read_stages(const struct doc_at *top, struct bundle_mandate_content *ret,
                       struct err *e) {
    struct doc_at list, at;
    const char *name = NULL;
    if (doc_array(top, "stages", BUNDLE_MANDATE_STAGES_MAX, &list, e) < 0)
        return -1;
    ret->n_stages = json_array_size(list.value);
    if (ret->n_stages == 0 || ret->signed_stages > ret->n_stages)
        return err_set(e, &err_bad_message, "%s: expected one or more, and as many as are signed",
                       list.path);
    for (size_t i = 0; i < ret->n_stages; i++) {
        struct bundle_mandate_stage *stage = &ret->stages[i];
        if (doc_element(&list, i, &at, e) < 0 ||
            doc_string(&at, "name", BUNDLE_NAME_MAX, &name, e) < 0 ||
            read_time_opt(&at, "not_before", &stage->not_before_s, e) < 0 ||
            doc_bool_opt(&at, "approve", &stage->approve, e) < 0 ||
            read_devices(&at, stage, e) < 0 || read_steps(&at, stage, e) < 0)
            return -1;
        memcpy(stage->name, name, strlen(name) + 1);
        if (ret->baseline && (stage->devices || ret->signed_stages < ret->n_stages))
            return err_set(e, &err_bad_message,
                           "baseline: only where every stage is signed, and admits by rank");
    }
    return 0;
}

static int read_stratum(const struct doc_at *list, size_t index, size_t n_stages,
                        struct bundle_mandate_stratum *ret, struct err *e) {
    struct doc_at at;
    if (doc_element(list, index, &at, e) < 0 ||
        doc_string(&at, "key", BUNDLE_STRATUM_KEY_MAX_BYTES, &ret->key, e) < 0)
        return -1;
    return read_bounds(&at, "bounds", n_stages, ret->bounds, e);
}

static int read_strata(const struct doc_at *top, struct bundle_mandate *io, struct err *e) {
    struct doc_at list;
    struct bundle_mandate_content *content = &io->content;
    if (read_bounds(top, "newcomer_bounds", content->n_stages, content->newcomer_bounds, e) < 0 ||
        doc_array(top, "strata", BUNDLE_STRATA_MAX, &list, e) < 0)
        return -1;
    content->n_strata = json_array_size(list.value);
    io->strata = list.value;
    struct bundle_mandate_stratum one, before = {.key = ""};
    for (size_t i = 0; i < content->n_strata; i++) {
        if (read_stratum(&list, i, content->n_stages, &one, e) < 0)
            return -1;
        if (i > 0 && strcmp(before.key, one.key) >= 0)
            return err_set(e, &err_bad_message, "%s: not in the order of their keys", list.path);
        before = one;
    }
    return 0;
}

static int read_selector(const char *selector, struct err *e) {
    OWN(predicate) struct bundle_predicate *parsed = NULL;
    return bundle_predicate_parse(selector, &parsed, e);
}

static int read_seed(const struct doc_at *top, uint8_t *ret, struct err *e) {
    const char *text = NULL;
    if (doc_string(top, "seed", 2 * BUNDLE_RANK_SEED_BYTES, &text, e) < 0)
        return -1;
    return text_unhex(text, ret, BUNDLE_RANK_SEED_BYTES, "seed", e);
}

int bundle_mandate_header(const struct doc_at *signed_part, struct keys_header *ret,
                          struct err *e) {
    bool by_site = json_is_string(json_object_get(signed_part->value, "site")); // null: none
    return keys_envelope_header_of(signed_part, MANDATE_TYPE, by_site ? MANDATE_BY_SITE : 1, ret,
                                   e);
}

int bundle_mandate_read(struct bundle_mandate *io, struct err *e) {
    static const struct bundle_message_member members[] = {
        BUNDLE_MESSAGE_MEMBER("attempt_max", COUNT, REQUIRED, bundle_mandate_content, attempt_max),
        BUNDLE_MESSAGE_MEMBER("baseline", BOOL, REQUIRED, bundle_mandate_content, baseline),
        BUNDLE_MESSAGE_MEMBER("rollout", NAME, OR_EMPTY, bundle_mandate_content, rollout),
        BUNDLE_MESSAGE_MEMBER("selector", TEXT, OR_EMPTY, bundle_mandate_content, selector),
        {.key = NULL}};
    struct bundle_mandate_content *content = &io->content;
    struct doc_at top;
    struct err cause = ERR_NONE;
    uint64_t signed_stages = 0;
    if (doc_root(io->document, "mandate", &top, &cause) < 0 ||
        bundle_mandate_header(&top, &content->header, &cause) < 0 ||
        doc_u64(&top, "signed_stages", 1, BUNDLE_MANDATE_STAGES_MAX, &signed_stages, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    content->signed_stages = (size_t)signed_stages;
    if (bundle_message_read(&top, members, content, &cause) < 0 ||
        read_selector(content->selector, &cause) < 0 ||
        read_seed(&top, content->seed, &cause) < 0 || read_release(&top, content, &cause) < 0 ||
        read_stratify(&top, content, &cause) < 0 || read_site(&top, content, &cause) < 0 ||
        read_stages(&top, content, &cause) < 0 || read_strata(&top, io, &cause) < 0 ||
        read_time_opt(&top, "baseline_not_before", &content->baseline_not_before_s, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    return 0;
}

static int split(struct slice raw, struct keys_envelope_candidate *ret, struct err *e) {
    if (raw.len > BUNDLE_MANDATE_MAX_BYTES)
        return err_set(e, &err_limit, "mandate: %zu bytes, at most %d are allowed", raw.len,
                       BUNDLE_MANDATE_MAX_BYTES);
    return keys_envelope_split(raw, "mandate", ret, e);
}

static int open_signed(struct slice signed_part, struct bundle_mandate **ret, struct err *e) {
    OWN(mandate) struct bundle_mandate *mandate = calloc(1, sizeof *mandate);
    if (!mandate)
        return err_set(e, &err_memory, "reading a mandate: out of memory");
    struct err cause = ERR_NONE;
    if (keys_canon_parse(signed_part, "mandate", &limits, &mandate->document, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (bundle_mandate_read(mandate, e) < 0)
        return -1;
    *ret = own_take(&mandate);
    return 0;
}

int bundle_mandate_verify(struct slice raw, const struct keys_role *role,
                          struct bundle_mandate **ret, struct err *e) {
    struct keys_envelope_candidate candidate;
    struct keys_envelope envelope;
    if (split(raw, &candidate, e) < 0 ||
        keys_envelope_verify(&candidate, "mandate", role, &envelope, e) < 0)
        return -1;
    return open_signed(envelope.signed_part, ret, e);
}

void bundle_mandate_free(struct bundle_mandate *mandate) {
    if (!mandate)
        return;
    json_decref(mandate->document);
    free(mandate);
}

const struct bundle_mandate_content *bundle_mandate_content(const struct bundle_mandate *mandate) {
    return &mandate->content;
}

void bundle_mandate_stratum(const struct bundle_mandate *mandate, size_t n,
                            struct bundle_mandate_stratum *ret) {
    const struct doc_at list = {.value = (json_t *)(uintptr_t)mandate->strata, .path = "strata"};
    struct err none = ERR_NONE;
    int read = read_stratum(&list, n, mandate->content.n_stages, ret, &none);
    assert(read == 0 && "it was read before");
    (void)read;
}

struct bundle_mandate_unverified {
    struct bundle_mandate *read;
};

int bundle_mandate_peek(struct slice raw, struct bundle_mandate_unverified **ret, struct err *e) {
    struct keys_envelope_candidate candidate;
    struct bundle_mandate_unverified *made = calloc(1, sizeof *made);
    if (!made)
        return err_set(e, &err_memory, "reading a mandate: out of memory");
    if (split(raw, &candidate, e) < 0 || open_signed(candidate.signed_part, &made->read, e) < 0) {
        free(made);
        return -1;
    }
    *ret = made;
    return 0;
}

void bundle_mandate_peek_free(struct bundle_mandate_unverified *mandate) {
    if (!mandate)
        return;
    bundle_mandate_free(mandate->read);
    free(mandate);
}

const struct bundle_mandate_content *
bundle_mandate_peek_content(const struct bundle_mandate_unverified *mandate) {
    return &mandate->read->content;
}

void bundle_mandate_peek_stratum(const struct bundle_mandate_unverified *mandate, size_t n,
                                 struct bundle_mandate_stratum *ret) {
    bundle_mandate_stratum(mandate->read, n, ret);
}
