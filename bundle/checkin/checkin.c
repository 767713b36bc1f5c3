// SPDX-License-Identifier: Apache-2.0
//
// The check-in: what a device says of itself, and its reports.
#include "bundle/checkin.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/message.h"

#define MEMBER(key, type, need, field) BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_checkin, field)
#define FLAG(field)                    offsetof(struct bundle_checkin, field)

static const struct bundle_message_member protocol_members[] = {
    MEMBER("max", U64, REQUIRED, protocol_max),
    MEMBER("min", U64, REQUIRED, protocol_min),
    {.key = NULL},
};

static const struct bundle_message_member dropped_members[] = {
    MEMBER("heartbeats", U64, REQUIRED, dropped_heartbeats),
    MEMBER("refused", U64, REQUIRED, refused_reports),
    {.key = NULL},
};

static const struct bundle_message_member previous_members[] = {
    MEMBER("generation", U64, REQUIRED, previous),
    {.key = NULL},
};

static const struct bundle_message_member progress_members[] = {
    MEMBER("done", U64, REQUIRED, done_bytes),
    MEMBER("total", U64, REQUIRED, total_bytes),
    {.key = NULL},
};

static const struct bundle_message_member update_members[] = {
    MEMBER("attempt", U64, REQUIRED, attempt),
    MEMBER("bundle", DIGEST, REQUIRED, bundle),
    MEMBER("rollout", NAME, OR_EMPTY, rollout),
    {.key = NULL},
};

static const struct bundle_message_member why_members[] = {
    MEMBER("code", NAME, OR_EMPTY, why_code),
    MEMBER("text", TEXT, REQUIRED, why_text),
    {.key = NULL},
};

static const struct bundle_message_member members[] = {
    MEMBER("agent", LINE, REQUIRED, agent),
    MEMBER("device", NAME, REQUIRED, device),
    BUNDLE_MESSAGE_MEMBERS("dropped", OPTIONAL, dropped_members, BUNDLE_MESSAGE_NO_FLAG),
    MEMBER("facts_digest", DIGEST, REQUIRED, facts_digest),
    MEMBER("generation", U64, REQUIRED, generation),
    MEMBER("look", BOOL, OPTIONAL, look),
    MEMBER("nonce", HEX, OR_EMPTY, nonce),
    BUNDLE_MESSAGE_MEMBERS("previous", OPTIONAL, previous_members, FLAG(has_previous)),
    BUNDLE_MESSAGE_MEMBERS("progress", OPTIONAL, progress_members, FLAG(has_progress)),
    BUNDLE_MESSAGE_MEMBERS("protocol", REQUIRED, protocol_members, BUNDLE_MESSAGE_NO_FLAG),
    MEMBER("sequence", U64, REQUIRED, sequence),
    MEMBER("state", NAME, REQUIRED, state),
    BUNDLE_MESSAGE_MEMBERS("update", OPTIONAL, update_members, FLAG(has_update)),
    BUNDLE_MESSAGE_MEMBERS("why", OPTIONAL, why_members, BUNDLE_MESSAGE_NO_FLAG),
    {.key = NULL},
};

#define COMPONENT(key, type, need, field)                                                          \
    BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_checkin_component, field)

static const struct bundle_message_member component_members[] = {
    COMPONENT("manifest", DIGEST, REQUIRED, manifest),
    COMPONENT("name", NAME, REQUIRED, bundle_name),
    COMPONENT("security_version", U64, REQUIRED, security_version),
    COMPONENT("version", LINE, REQUIRED, version),
    {.key = NULL},
};

#define PROBED(key, type, need, field)                                                             \
    BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_checkin_probed, field)

static const struct bundle_message_member probed_members[] = {
    PROBED("bundle", DIGEST, REQUIRED, bundle),
    PROBED("code", NAME, OR_EMPTY, code),
    PROBED("sequence", COUNT, REQUIRED, sequence),
    PROBED("text", TEXT, REQUIRED, text),
    {.key = NULL},
};

static const struct bundle_message_member probe_members[] = {
    BUNDLE_MESSAGE_MEMBER("code", NAME, OR_EMPTY, bundle_checkin_probe, code),
    BUNDLE_MESSAGE_MEMBER("name", NAME, REQUIRED, bundle_checkin_probe, name),
    {.key = NULL},
};

// ── Reading ──

static int read_components(const struct doc_at *at, struct bundle_checkin *ret, struct err *e) {
    struct doc_at all, one;
    struct err cause = ERR_NONE;
    if (doc_object(at, "components", &all, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (json_object_size(all.value) > BUNDLE_COMPONENTS_MAX)
        return err_set(e, &err_limit, "%s: %zu components, at most %d are allowed", all.path,
                       json_object_size(all.value), BUNDLE_COMPONENTS_MAX);
    const char *name;
    json_t *value;
    json_object_foreach (all.value, name, value) {
        struct bundle_checkin_component *component = &ret->components[ret->n_components++];
        if (!text_is_name(name, BUNDLE_NAME_MAX))
            return err_set(e, &err_bad_message, "%s: a component's name is malformed", all.path);
        if (doc_object(&all, name, &one, &cause) < 0)
            return bundle_message_fail(&cause, &err_bad_message, e);
        if (bundle_message_read(&one, component_members, component, e) < 0)
            return -1;
        memcpy(component->name, name, strlen(name) + 1);
    }
    return 0;
}

static int read_facts(const struct doc_at *at, struct bundle_checkin *ret, struct err *e) {
    struct doc_at facts;
    struct err cause = ERR_NONE;
    int got = doc_object_opt(at, "facts", &facts, &cause);
    if (got < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (got == DOC_ABSENT)
        return 0;
    OWN(facts) struct bundle_facts *checked = NULL;
    struct keys_digest digest;
    if (bundle_facts_parse(facts.value, &checked, e) < 0 ||
        bundle_facts_digest(facts.value, &digest, e) < 0)
        return err_prefix(e, "checkin");
    // Facts kept under another digest would be asked for again at every check-in.
    if (!keys_digest_equal(&digest, &ret->facts_digest))
        return err_set(e, &err_bad_message,
                       "checkin: facts_digest: not the digest of the facts in it");
    ret->facts = json_incref(facts.value);
    return 0;
}

static int read_metrics(const struct doc_at *at, struct bundle_checkin *ret, struct err *e) {
    struct doc_at metrics;
    struct err cause = ERR_NONE;
    int got = doc_object_opt(at, "metrics", &metrics, &cause);
    if (got < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (got == DOC_ABSENT)
        return 0;
    if (json_object_size(metrics.value) > BUNDLE_METRICS_MAX)
        return err_set(e, &err_limit, "%s: %zu metrics, at most %d are allowed", metrics.path,
                       json_object_size(metrics.value), BUNDLE_METRICS_MAX);
    const char *name;
    json_t *value;
    json_object_foreach (metrics.value, name, value) {
        struct decimal number;
        if (!text_is_name(name, BUNDLE_NAME_MAX))
            return err_set(e, &err_bad_message, "%s: a metric's name is malformed", metrics.path);
        if (!json_is_string(value) ||
            num_parse_decimal(json_string_value(value), name, &number, &cause) < 0)
            return err_set(e, &err_bad_message, "%s.%s: expected a decimal in quotes", metrics.path,
                           name);
    }
    ret->metrics = json_incref(metrics.value);
    return 0;
}

static int read_probed(const struct doc_at *at, struct bundle_checkin_probed *ret, struct err *e) {
    struct doc_at probed, list, one;
    struct err cause = ERR_NONE;
    int got = doc_object_opt(at, "probed", &probed, &cause);
    if (got == DOC_ABSENT)
        return 0;
    if (got < 0 || doc_array(&probed, "probes", BUNDLE_PROBES_MAX, &list, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    ret->n = json_array_size(list.value);
    for (size_t i = 0; i < ret->n; i++) {
        if (doc_element(&list, i, &one, &cause) < 0)
            return bundle_message_fail(&cause, &err_bad_message, e);
        if (bundle_message_read(&one, probe_members, &ret->probes[i], e) < 0)
            return -1;
    }
    return bundle_message_read(&probed, probed_members, ret, e);
}

// Reads one report, or, when it is malformed and has an id, notes that.
static int read_report(const struct doc_at *list, size_t index, struct bundle_checkin *ret,
                       uint64_t *ret_id, struct err *e) {
    struct doc_at at;
    struct err cause = ERR_NONE;
    if (doc_element(list, index, &at, &cause) < 0 ||
        doc_u64(&at, "id", 1, KEYS_VERSION_MAX, ret_id, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (bundle_report_parse(&at, &ret->reports[ret->n_reports], &cause) == 0) {
        ret->n_reports++;
        return 0;
    }
    if (err_is(&cause, &err_memory))
        return bundle_message_fail(&cause, &err_bad_message, e);
    ret->malformed[ret->n_malformed++] = *ret_id;
    return 0;
}

static int read_reports(const struct doc_at *at, struct bundle_checkin *ret, struct err *e) {
    struct doc_at list;
    struct err cause = ERR_NONE;
    if (doc_array(at, "reports", BUNDLE_REPORTS_PER_CHECKIN_MAX, &list, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    size_t n = json_array_size(list.value);
    if (n == 0)
        return 0;
    ret->reports = calloc(n, sizeof *ret->reports);
    if (!ret->reports)
        return err_set(e, &err_memory, "reading %zu reports: out of memory", n);
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = 0;
        if (read_report(&list, i, ret, &id, e) < 0)
            return -1;
        if (id <= last)
            return err_set(e, &err_bad_message,
                           "%s[%zu].id: expected more than %llu, the one before", list.path, i,
                           (unsigned long long)last);
        last = id;
    }
    return 0;
}

int bundle_checkin_parse(json_t *document, struct bundle_checkin *ret, struct err *e) {
    struct doc_at at;
    struct err cause = ERR_NONE;
    if (doc_root(document, "checkin", &at, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    struct bundle_checkin checkin;
    memset(&checkin, 0, sizeof checkin);
    if (bundle_message_read(&at, members, &checkin, e) < 0 ||
        read_components(&at, &checkin, e) < 0 || read_facts(&at, &checkin, e) < 0 ||
        read_metrics(&at, &checkin, e) < 0 || read_probed(&at, &checkin.probed, e) < 0 ||
        read_reports(&at, &checkin, e) < 0) {
        bundle_checkin_clear(&checkin);
        return -1;
    }
    *ret = checkin;
    return 0;
}

// ── Writing ──

static json_t *new_components(const struct bundle_checkin *m) {
    struct err unused = ERR_NONE;
    OWN(json) json_t *all = json_object();
    assert(m->n_components <= BUNDLE_COMPONENTS_MAX);
    for (size_t i = 0; i < m->n_components; i++) {
        const struct bundle_checkin_component *component = &m->components[i];
        json_t *one = json_object();
        // A NULL makes the next call fail; the container takes `one` in every case.
        if (json_object_set_new(all, component->name, one) < 0 ||
            bundle_message_write(one, component_members, component, &unused) < 0)
            return NULL;
    }
    return own_take(&all);
}

static json_t *new_reports(const struct bundle_checkin *m) {
    OWN(json) json_t *all = json_array();
    assert(m->n_reports <= BUNDLE_REPORTS_PER_CHECKIN_MAX);
    for (size_t i = 0; i < m->n_reports; i++)
        if (json_array_append_new(all, bundle_report_format(&m->reports[i])) < 0)
            return NULL;
    return own_take(&all);
}

static int add_probed(json_t *object, const struct bundle_checkin_probed *p, struct err *e) {
    json_t *probed = json_object(), *list = json_array();
    // Each container takes its part in every case, a NULL too, which makes the call fail.
    bool failed = json_object_set_new(object, "probed", probed) < 0;
    failed = json_object_set_new(probed, "probes", list) < 0 || failed;
    for (size_t i = 0; i < p->n && !failed; i++) {
        json_t *one = json_object();
        failed = json_array_append_new(list, one) < 0 ||
                 bundle_message_write(one, probe_members, &p->probes[i], e) < 0;
    }
    if (failed)
        return e->kind ? -1 : err_set(e, &err_memory, "writing a check-in: out of memory");
    return bundle_message_write(probed, probed_members, p, e);
}

int bundle_checkin_format(const struct bundle_checkin *m, struct buf *ret, struct err *e) {
    OWN(json) json_t *object = json_object();
    if (!object || json_object_set_new(object, "components", new_components(m)) < 0 ||
        json_object_set_new(object, "reports", new_reports(m)) < 0 ||
        (m->facts && json_object_set(object, "facts", m->facts) < 0) ||
        (m->metrics && json_object_set(object, "metrics", m->metrics) < 0))
        return err_set(e, &err_memory, "writing a check-in: out of memory");
    if ((m->probed.sequence > 0 && add_probed(object, &m->probed, e) < 0) ||
        bundle_message_write(object, members, m, e) < 0)
        return -1;
    return bundle_message_dump(object, ret, e);
}

void bundle_checkin_clear(struct bundle_checkin *m) {
    json_decref(m->facts);
    json_decref(m->metrics);
    free(m->reports);
    memset(m, 0, sizeof *m);
}
