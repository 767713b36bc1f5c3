// SPDX-License-Identifier: Apache-2.0
//
// The journal as JSON; see journal.h.
#include "agent/journal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/fsm/machine.h"
#include "agent/kind.h"
#include "agent/pair.h"
#include "base/doc.h"
#include "base/own.h"
#include "bundle/message.h"

#define NAME "journal"

static const struct doc_limits limits = {
    .bytes = AGENT_PAIR_MAX_BYTES, .depth = 8, .values = 1024, .floats = false};

// What an update may cost and did: later than the rest, so that an agent one version back passes
// over it, and what it wrote has none.
#define LINK(key, type, field) BUNDLE_MESSAGE_MEMBER(key, type, OPTIONAL, fsm_update, field)
static const struct bundle_message_member link_members[] = {
    LINK("budget_set", BOOL, budget.has_bytes),
    LINK("budget", U64, budget.bytes),
    LINK("metered_set", BOOL, budget.has_metered_bytes),
    LINK("metered", U64, budget.metered_bytes),
    LINK("cache", U64, spent.cache),
    LINK("delta", U64, spent.delta),
    LINK("full", U64, spent.full),
    LINK("index", U64, spent.index),
    LINK("range", U64, spent.range),
    LINK("reused", U64, spent.reused),
    LINK("packing", U64, packing),
    LINK("staged", U64, staged_bytes),
    LINK("no_delta", BOOL, no_delta),
    LINK("until", U64, until_s),
    {.key = NULL},
};

static json_t *link_format(const struct fsm_update *u) {
    struct err unused = ERR_NONE;
    json_t *link = json_object();
    if (link && bundle_message_write(link, link_members, u, &unused) < 0) {
        json_decref(link);
        return NULL;
    }
    return link;
}

static json_t *update_format(const struct fsm_update *u) {
    char hex[KEYS_DIGEST_HEX] = "";
    if (u->has_bundle)
        keys_digest_hex(&u->bundle, hex);
    return json_pack("{sb sI ss sI ss ss ss ss sI sb sI sI sI sI sI so so}", "local", u->local,
                     "target", (json_int_t)u->target, "rollout", u->rollout, "attempt",
                     (json_int_t)u->attempt, "bundle", hex, "name", u->name, "release", u->release,
                     "url", u->url, "size", (json_int_t)u->size, "looked", u->looked, "tries",
                     (json_int_t)u->tries, "restarts", (json_int_t)u->restarts, "restarts_max",
                     (json_int_t)u->restarts_max, "probation_s", (json_int_t)u->probation_s,
                     "probation_done_s", (json_int_t)u->probation_done_s, "link", link_format(u),
                     "windows", bundle_window_all_format(&u->windows));
}

static json_t *failures_format(const struct fsm_record *r) {
    json_t *list = json_array();
    char hex[KEYS_DIGEST_HEX];
    for (size_t i = 0; list && i < r->n_failures; i++) {
        json_t *entry = json_pack("{ss sI}", "bundle", keys_digest_hex(&r->failures[i].bundle, hex),
                                  "attempt", (json_int_t)r->failures[i].attempt);
        if (json_array_append_new(list, entry) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *dates_format(const struct fsm_trusted *t) {
    json_t *all = json_object();
    for (size_t i = 0; all && i < FSM_TRUSTED_SOURCES; i++) {
        json_t *one = json_pack("{sI sI}", "held", (json_int_t)t->dates[i].held_s, "signed",
                                (json_int_t)t->dates[i].signed_s);
        if (json_object_set_new(all, fsm_trusted_names[i], one) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

// json_pack's "o" fails as a whole when the value is NULL for want of memory; null is a value.
static json_t *or_null(bool exists, json_t *value) {
    return exists ? value : json_null();
}

static json_t *taken_format(const struct fsm_record *r) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->n_shams; i++) {
        const struct fsm_sham_taken *taken = &r->shams[i];
        json_t *entry = json_pack("{sI sI ss}", "at", (json_int_t)taken->at_s, "attempt",
                                  (json_int_t)taken->attempt, "rollout", taken->rollout);
        if (json_array_append_new(list, entry) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *report_format(const struct agent_journal *j, bool exists) {
    return or_null(exists, exists ? bundle_report_format(&j->report) : NULL);
}

static json_t *sham_format(const struct agent_journal *j) {
    const struct fsm_record *r = &j->record;
    bool under_way = fsm_machine_is_sham(r->state);
    return json_pack("{so ss so so}", "report",
                     report_format(j, j->has_report && BUNDLE_EVENT_IS_SHAM(j->report.event)),
                     "state", under_way ? fsm_machine_state_names[r->state] : "", "taken",
                     taken_format(r), "update",
                     or_null(under_way, under_way ? update_format(&r->update) : NULL));
}

static json_t *journal_format(const struct agent_journal *j) {
    const struct fsm_record *r = &j->record;
    bool sham = fsm_machine_is_sham(r->state), update = r->has_update && !sham;
    return json_pack(
        "{si ss sI so sI so so so sb sI s{ss ss} sI so sI so sI so}", "format",
        AGENT_JOURNAL_FORMAT, "state", fsm_machine_state_names[sham ? FSM_IDLE : r->state],
        "committed", (json_int_t)r->committed, "previous",
        or_null(r->has_previous, r->has_previous ? json_integer((json_int_t)r->previous) : NULL),
        "next", (json_int_t)r->next, "update",
        or_null(update, update ? update_format(&r->update) : NULL), "last",
        or_null(r->has_last, r->has_last ? update_format(&r->last) : NULL), "failures",
        failures_format(r), "revert_committed", r->revert_committed, "revert_to",
        (json_int_t)r->revert_to, "why", "code", r->why.code, "text", r->why.text, "sequence",
        (json_int_t)j->sequence, "sham", sham_format(j), "trusted_s",
        (json_int_t)fsm_trusted_signed_s(&j->trusted), "dates", dates_format(&j->trusted),
        "report_next", (json_int_t)j->report_next, "report",
        report_format(j, j->has_report && !BUNDLE_EVENT_IS_SHAM(j->report.event)));
}

int agent_journal_write(int private_dir, struct agent_journal *journal, struct err *e) {
    OWN(json) json_t *document = journal_format(journal);
    if (agent_pair_write_json(private_dir, NAME, journal->serial + 1, document, e) < 0)
        return -1;
    journal->serial++;
    return 0;
}

static int copy_text(const struct doc_at *at, const char *key, char *to, size_t to_bytes,
                     struct err *e) {
    const char *text;
    int found = doc_string_opt(at, key, to_bytes - 1, &text, e);
    if (found == 0)
        memcpy(to, text, strlen(text) + 1);
    return found;
}

static int number(const struct doc_at *at, const char *key, uint64_t *to, struct err *e) {
    return doc_u64_opt(at, key, 0, INT64_MAX, to, e);
}

static int read_digest(const struct doc_at *at, const char *key, bool *ret_has,
                       struct keys_digest *ret, struct err *e) {
    char hex[KEYS_DIGEST_HEX] = "";
    if (copy_text(at, key, hex, sizeof hex, e) < 0)
        return -1;
    *ret_has = hex[0] != '\0';
    return *ret_has ? keys_digest_parse(hex, key, ret, e) : 0;
}

static int read_update(const struct doc_at *root, const char *key, bool *ret_has,
                       struct fsm_update *u, struct err *e) {
    struct doc_at at, link;
    int found = doc_object_opt(root, key, &at, e);
    *ret_has = found == 0;
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (doc_bool_opt(&at, "local", &u->local, e) < 0 || number(&at, "target", &u->target, e) < 0 ||
        copy_text(&at, "rollout", u->rollout, sizeof u->rollout, e) < 0 ||
        number(&at, "attempt", &u->attempt, e) < 0 ||
        read_digest(&at, "bundle", &u->has_bundle, &u->bundle, e) < 0 ||
        copy_text(&at, "name", u->name, sizeof u->name, e) < 0 ||
        copy_text(&at, "release", u->release, sizeof u->release, e) < 0 ||
        copy_text(&at, "url", u->url, sizeof u->url, e) < 0 ||
        number(&at, "size", &u->size, e) < 0 || doc_bool_opt(&at, "looked", &u->looked, e) < 0 ||
        number(&at, "tries", &u->tries, e) < 0 || number(&at, "restarts", &u->restarts, e) < 0 ||
        number(&at, "restarts_max", &u->restarts_max, e) < 0 ||
        number(&at, "probation_s", &u->probation_s, e) < 0 ||
        number(&at, "probation_done_s", &u->probation_done_s, e) < 0)
        return -1;
    found = doc_object_opt(&at, "link", &link, e);
    if (found < 0 || (found == 0 && bundle_message_read(&link, link_members, u, e) < 0))
        return -1;
    return bundle_window_all_read(&at, &u->windows, e);
}

static int read_failures(const struct doc_at *root, struct fsm_record *r, struct err *e) {
    struct doc_at list, at;
    int found = doc_array_opt(root, "failures", FSM_FAILURES_MAX, &list, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        bool has;
        struct fsm_failure *entry = &r->failures[i];
        if (doc_element(&list, i, &at, e) < 0 ||
            read_digest(&at, "bundle", &has, &entry->bundle, e) < 0 ||
            number(&at, "attempt", &entry->attempt, e) < 0)
            return -1;
        r->n_failures = i + 1;
    }
    return 0;
}

static int read_taken(const struct doc_at *sham, struct fsm_record *r, struct err *e) {
    struct doc_at list, at;
    int found = doc_array_opt(sham, "taken", FSM_SHAMS_MAX, &list, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        struct fsm_sham_taken *taken = &r->shams[i];
        uint64_t at_s = 0;
        if (doc_element(&list, i, &at, e) < 0 || number(&at, "at", &at_s, e) < 0 ||
            number(&at, "attempt", &taken->attempt, e) < 0 ||
            copy_text(&at, "rollout", taken->rollout, sizeof taken->rollout, e) < 0)
            return -1;
        taken->at_s = (int64_t)at_s;
        r->n_shams = i + 1;
    }
    return 0;
}

static int find_state(const char *name, enum fsm_state *ret, struct err *e) {
    for (unsigned state = 0; state < FSM_STATES; state++) {
        if (strcmp(name, fsm_machine_state_names[state]) == 0) {
            *ret = (enum fsm_state)state;
            return 0;
        }
    }
    return err_set(e, &err_newer_format, "the journal has the state '%s', unknown to this agent",
                   name);
}

static int read_report(const struct doc_at *at, struct agent_journal *ret, struct err *e) {
    struct doc_at report;
    int found = doc_object_opt(at, "report", &report, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    ret->has_report = true;
    return bundle_report_parse(&report, &ret->report, e);
}

static int read_sham(const struct doc_at *root, struct agent_journal *ret, struct err *e) {
    struct fsm_record *r = &ret->record;
    struct doc_at at;
    char state[ERR_NAME_BYTES] = "";
    int found = doc_object_opt(root, "sham", &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (copy_text(&at, "state", state, sizeof state, e) < 0 || read_taken(&at, r, e) < 0 ||
        read_report(&at, ret, e) < 0)
        return -1;
    if (state[0] == '\0')
        return 0;
    return find_state(state, &r->state, e) < 0 ||
                   read_update(&at, "update", &r->has_update, &r->update, e) < 0
               ? -1
               : 0;
}

static int read_record(const struct doc_at *root, struct fsm_record *r, struct err *e) {
    struct doc_at why;
    const char *state;
    if (doc_string(root, "state", ERR_NAME_BYTES, &state, e) < 0 ||
        find_state(state, &r->state, e) < 0 ||
        doc_u64(root, "committed", 0, INT64_MAX, &r->committed, e) < 0 ||
        doc_u64(root, "next", 1, INT64_MAX, &r->next, e) < 0)
        return -1;
    int previous = number(root, "previous", &r->previous, e);
    r->has_previous = previous == 0;
    if (previous < 0 || read_update(root, "update", &r->has_update, &r->update, e) < 0 ||
        read_update(root, "last", &r->has_last, &r->last, e) < 0 || read_failures(root, r, e) < 0 ||
        doc_bool_opt(root, "revert_committed", &r->revert_committed, e) < 0 ||
        number(root, "revert_to", &r->revert_to, e) < 0)
        return -1;
    int found = doc_object_opt(root, "why", &why, e);
    if (found == 0 && (copy_text(&why, "code", r->why.code, sizeof r->why.code, e) < 0 ||
                       copy_text(&why, "text", r->why.text, sizeof r->why.text, e) < 0))
        return -1;
    return found < 0 ? -1 : 0;
}

static int read_dates(const struct doc_at *root, struct fsm_trusted *t, struct err *e) {
    struct doc_at all, one;
    int found = doc_object_opt(root, "dates", &all, e);
    if (found < 0)
        return -1;
    for (size_t i = 0; found == 0 && i < FSM_TRUSTED_SOURCES; i++) {
        uint64_t held = 0, given = 0;
        int has = doc_object_opt(&all, fsm_trusted_names[i], &one, e);
        if (has < 0 || (has == 0 && (number(&one, "held", &held, e) < 0 ||
                                     number(&one, "signed", &given, e) < 0)))
            return -1;
        t->dates[i] =
            (struct fsm_trusted_date){.signed_s = (int64_t)given, .held_s = (int64_t)held};
    }
    uint64_t trusted = 0;
    if (number(root, "trusted_s", &trusted, e) < 0)
        return -1;
    if (found == DOC_ABSENT)
        t->dates[FSM_TRUSTED_ONLINE].signed_s = (int64_t)trusted;
    return 0;
}

// What the checksum cannot say: that the numbers fit together, as the machine asserts of its own.
static bool is_sound(const struct fsm_record *r) {
    bool reverting = r->state == FSM_REVERTING || r->state == FSM_FAILED;
    return r->committed < r->next && r->has_update == (r->state != FSM_IDLE) &&
           (!r->has_previous || (r->previous != r->committed && r->previous < r->next)) &&
           (!r->has_update || r->update.target < r->next) &&
           (!reverting || r->revert_to == (r->revert_committed ? r->previous : r->committed)) &&
           (r->state != FSM_COMMITTED || (r->has_previous && r->committed == r->update.target)) &&
           (!fsm_machine_is_sham(r->state) || r->committed == r->update.target);
}

static int journal_parse(json_t *document, struct agent_journal *ret, struct err *e) {
    struct doc_at root;
    uint64_t format;
    if (doc_root(document, NAME, &root, e) < 0 ||
        doc_u64(&root, "format", 1, UINT32_MAX, &format, e) < 0)
        return -1;
    if (format > AGENT_JOURNAL_FORMAT)
        return err_set(e, &err_newer_format,
                       "the journal has format %llu; this agent knows up to %d: install the newer "
                       "agent again",
                       (unsigned long long)format, AGENT_JOURNAL_FORMAT);
    if (read_record(&root, &ret->record, e) < 0 ||
        number(&root, "sequence", &ret->sequence, e) < 0 ||
        read_dates(&root, &ret->trusted, e) < 0 ||
        number(&root, "report_next", &ret->report_next, e) < 0)
        return -1;
    if (read_report(&root, ret, e) < 0 || read_sham(&root, ret, e) < 0)
        return -1;
    if (!is_sound(&ret->record))
        return err_set(e, &err_bad_journal, "the journal contradicts itself");
    return 0;
}

int agent_journal_read(int private_dir, struct agent_journal *ret, struct err *e) {
    OWN(buf) struct buf text;
    OWN(json) json_t *document = NULL;
    buf_init(&text, AGENT_PAIR_MAX_BYTES);
    struct agent_journal journal = {.report_next = 1};
    int found = agent_pair_read(private_dir, NAME, &text, &journal.serial, e);
    if (found != 0)
        return found < 0 ? -1 : AGENT_JOURNAL_ABSENT;
    struct slice slice = {.data = text.data, .len = text.len};
    if (doc_parse(slice, NAME, &limits, &document, e) < 0 ||
        journal_parse(document, &journal, e) < 0)
        return -1;
    *ret = journal;
    return 0;
}
