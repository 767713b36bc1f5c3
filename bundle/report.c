// SPDX-License-Identifier: Apache-2.0
//
// Reports: a table of members, and the two that may be missing.
#include "bundle/report.h"

#include <assert.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/message.h"

const char *const bundle_report_event_names[BUNDLE_EVENTS] = {
    [BUNDLE_EVENT_OFFERED] = "offered",         [BUNDLE_EVENT_STAGED] = "staged",
    [BUNDLE_EVENT_WAITING] = "waiting",         [BUNDLE_EVENT_ACTIVATED] = "activated",
    [BUNDLE_EVENT_COMMITTED] = "committed",     [BUNDLE_EVENT_REFUSED] = "refused",
    [BUNDLE_EVENT_REVERTED] = "reverted",       [BUNDLE_EVENT_CANCELLED] = "cancelled",
    [BUNDLE_EVENT_FAILED] = "failed",           [BUNDLE_EVENT_SHAM_BEGUN] = "sham_begun",
    [BUNDLE_EVENT_SHAMMED] = "shammed",         [BUNDLE_EVENT_SHAM_REFUSED] = "sham_refused",
    [BUNDLE_EVENT_SHAM_FAILED] = "sham_failed",
};

#define MEMBER(key, type, need, field) BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_report, field)

static const struct bundle_message_member members[] = {
    MEMBER("attempt", U64, REQUIRED, attempt),
    MEMBER("boot_ms", U64, REQUIRED, boot_ms),
    MEMBER("bundle", DIGEST, OR_EMPTY, bundle),
    MEMBER("code", NAME, OR_EMPTY, code),
    MEMBER("detail", TEXT, REQUIRED, detail),
    MEMBER("id", COUNT, REQUIRED, id),
    MEMBER("rollout", NAME, OR_EMPTY, rollout),
    MEMBER("text", TEXT, REQUIRED, text),
    {.key = NULL},
};

// Of an object of its own, which is written only where it is there.
static const struct bundle_message_member members_bytes[] = {
    MEMBER("cache", U64, REQUIRED, bytes.cache),
    MEMBER("delta", U64, REQUIRED, bytes.delta),
    MEMBER("full", U64, REQUIRED, bytes.full),
    MEMBER("index", U64, REQUIRED, bytes.index),
    MEMBER("range", U64, REQUIRED, bytes.range),
    MEMBER("reused", U64, REQUIRED, bytes.reused),
    {.key = NULL},
};

// Read alone: an unknown time is written as null, and bytes are when nothing was spent not written.
static const struct bundle_message_member members_at[] = {
    MEMBER("at", TIME, OPTIONAL, at_s),
    BUNDLE_MESSAGE_MEMBERS("bytes", OPTIONAL, members_bytes,
                           offsetof(struct bundle_report, has_bytes)),
    {.key = NULL},
};

static int read_event(const struct doc_at *at, enum bundle_event *ret, struct err *e) {
    struct err cause = ERR_NONE;
    const char *text = NULL;
    if (doc_string(at, "event", BUNDLE_NAME_MAX, &text, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    for (enum bundle_event event = 0; event < BUNDLE_EVENTS; event++) {
        if (strcmp(text, bundle_report_event_names[event]) == 0) {
            *ret = event;
            return 0;
        }
    }
    char shown[BUNDLE_NAME_MAX];
    return err_set(e, &err_bad_message, "%s.event: \"%s\" is not one this program knows", at->path,
                   text_safe(text, shown, sizeof shown));
}

uint64_t bundle_report_link_bytes(const struct bundle_report_bytes *b) {
    return b->delta + b->range + b->full + b->index;
}

int bundle_report_parse(const struct doc_at *at, struct bundle_report *ret, struct err *e) {
    static const struct keys_digest none;
    struct bundle_report report;
    memset(&report, 0, sizeof report);
    report.at_s = -1;
    if (bundle_message_read(at, members, &report, e) < 0 ||
        bundle_message_read(at, members_at, &report, e) < 0 || read_event(at, &report.event, e) < 0)
        return -1;
    report.has_bundle = !keys_digest_equal(&report.bundle, &none);
    *ret = report;
    return 0;
}

static int add_bytes(json_t *object, const struct bundle_report *report) {
    struct err unused = ERR_NONE;
    json_t *bytes = json_object();
    if (bytes && bundle_message_write(bytes, members_bytes, report, &unused) < 0) {
        json_decref(bytes);
        return -1;
    }
    return json_object_set_new(object, "bytes", bytes);
}

// What the table does not write.
static int add_others(json_t *object, const struct bundle_report *report) {
    const char *event = bundle_report_event_names[report->event];
    char at[CHRONO_TEXT_BYTES];
    json_t *when = report->at_s < 0 ? json_null() : json_string(chrono_format(report->at_s, at));
    if (json_object_set_new(object, "at", when) < 0 ||
        json_object_set_new(object, "event", json_string(event)) < 0)
        return -1;
    if (!report->has_bundle && json_object_set_new(object, "bundle", json_string("")) < 0)
        return -1;
    return report->has_bytes ? add_bytes(object, report) : 0;
}

json_t *bundle_report_format(const struct bundle_report *report) {
    assert(report->event < BUNDLE_EVENTS);
    struct err unused = ERR_NONE;
    OWN(json) json_t *object = json_object();
    if (!object || bundle_message_write(object, members, report, &unused) < 0 ||
        add_others(object, report) < 0)
        return NULL;
    return own_take(&object);
}
