// SPDX-License-Identifier: Apache-2.0
//
// The report queue; see queue.h. The file is the truth and is read when needed: between check-ins
// the agent holds counters only.
#include "agent/queue.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/kind.h"
#include "base/buf.h"
#include "base/doc.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/message.h"
#include "keys/digest.h"

#define NAME       "queue"
#define REFUSED    "refused"
#define MARK       "edge-queue 1\n"
#define SUM_BYTES  8
#define SUM_DIGITS (2 * SUM_BYTES)

static const struct doc_limits limits = {
    .bytes = 32 * 1024, .depth = 3, .values = 64, .floats = false};

static void sum_of(const char *text, size_t len, char ret[static SUM_DIGITS + 1]) {
    struct keys_digest digest;
    keys_digest_of(text, len, &digest);
    text_hex(digest.bytes, SUM_BYTES, ret);
}

static int add_record(struct buf *b, json_t *value, struct err *e) {
    OWN(buf) struct buf text;
    char sum[SUM_DIGITS + 1];
    buf_init(&text, limits.bytes);
    if (!value)
        return err_set(e, &err_memory, "writing the report queue: out of memory");
    if (bundle_message_dump(value, &text, e) < 0)
        return -1;
    sum_of(buf_text(&text), text.len, sum);
    return buf_add_format(b, e, "%s %s\n", sum, buf_text(&text));
}

static int add_report(struct buf *b, const struct bundle_report *report, struct err *e) {
    OWN(json) json_t *value = bundle_report_format(report);
    return add_record(b, value, e);
}

static int add_head(struct buf *b, const struct agent_queue *q, struct err *e) {
    OWN(json)
    json_t *head = json_pack("{sI sI sI}", "next", (json_int_t)q->next, "dropped",
                             (json_int_t)q->dropped, "refused", (json_int_t)q->refused);
    if (buf_add_text(b, MARK, e) < 0)
        return -1;
    return add_record(b, head, e);
}

// Takes one record off the front of *text. 0 and a new value; 1 at the end; 2 for a damaged record.
enum { RECORD_END = 1, RECORD_DAMAGED = 2 };
static int take_record(struct slice *text, json_t **ret) {
    if (text->len == 0)
        return RECORD_END;
    const char *line = (const char *)text->data;
    const char *newline = memchr(line, '\n', text->len);
    size_t len = newline ? (size_t)(newline - line) : text->len;
    size_t taken = newline ? len + 1 : len;
    *text = (struct slice){.data = text->data + taken, .len = text->len - taken};
    char sum[SUM_DIGITS + 1];
    struct err ignored = ERR_NONE;
    if (!newline || len <= SUM_DIGITS + 1 || line[SUM_DIGITS] != ' ')
        return RECORD_DAMAGED;
    struct slice json = {.data = (const uint8_t *)line + SUM_DIGITS + 1,
                         .len = len - SUM_DIGITS - 1};
    sum_of((const char *)json.data, json.len, sum);
    if (memcmp(sum, line, SUM_DIGITS) != 0 || doc_parse(json, NAME, &limits, ret, &ignored) < 0)
        return RECORD_DAMAGED;
    return 0;
}

static int read_file(const struct agent_queue *q, struct buf *ret, struct err *e) {
    struct stat status;
    buf_init(ret, AGENT_QUEUE_FILE_MAX);
    int found = fs_stat(q->private_dir, NAME, &status, e);
    if (found != 0)
        return found;
    return fs_read_file(q->private_dir, NAME, AGENT_QUEUE_FILE_MAX, ret, e);
}

// Walks the file: head and reports, whole records only.
struct visitor {
    int (*report)(void *context, const struct bundle_report *report, struct err *e);
    void *context;
    uint64_t damaged;
    struct agent_queue *head; // gets next, dropped, refused; may be NULL
};

static void read_head(json_t *value, struct agent_queue *q) {
    uint64_t next = (uint64_t)json_integer_value(json_object_get(value, "next"));
    q->next = next > q->next ? next : q->next;
    q->dropped = (uint64_t)json_integer_value(json_object_get(value, "dropped"));
    q->refused = (uint64_t)json_integer_value(json_object_get(value, "refused"));
}

static int visit_record(struct visitor *v, json_t *value, bool first, struct err *e) {
    if (first && json_object_get(value, "next")) {
        if (v->head)
            read_head(value, v->head);
        return 0;
    }
    struct doc_at at;
    struct bundle_report report;
    struct err ignored = ERR_NONE;
    if (doc_root(value, NAME, &at, &ignored) < 0 ||
        bundle_report_parse(&at, &report, &ignored) < 0) {
        v->damaged++;
        return 0;
    }
    return v->report(v->context, &report, e);
}

static int visit(const struct buf *file, struct visitor *v, struct err *e) {
    struct slice rest = {.data = file->data, .len = file->len};
    size_t mark = strlen(MARK);
    if (rest.len >= mark && memcmp(rest.data, MARK, mark) == 0)
        rest = (struct slice){.data = rest.data + mark, .len = rest.len - mark};
    else if (rest.len > 0)
        v->damaged++;
    for (bool first = true;; first = false) {
        OWN(json) json_t *value = NULL;
        int found = take_record(&rest, &value);
        if (found == RECORD_END)
            return 0;
        if (found == RECORD_DAMAGED)
            v->damaged++;
        else if (visit_record(v, value, first, e) < 0)
            return -1;
    }
}

static int count_report(void *context, const struct bundle_report *report, struct err *e) {
    struct agent_queue *q = context;
    (void)e;
    if (report->id >= q->next)
        q->next = report->id + 1;
    q->n++;
    q->n_transitions += report->event != BUNDLE_EVENT_WAITING;
    return 0;
}

// What a rewriting keeps.
struct keep {
    struct buf out;
    struct buf aside; // refused ones
    struct agent_queue *queue;
    uint64_t acked;
    uint64_t anew; // 0, or the id from which on all are numbered anew
    const uint64_t *refused;
    size_t n_refused;
    size_t drop_heartbeats;
    size_t drop_oldest;
};

static int keep_report(void *context, const struct bundle_report *report, struct err *e) {
    struct keep *k = context;
    bool heartbeat = report->event == BUNDLE_EVENT_WAITING;
    for (size_t i = 0; i < k->n_refused; i++) {
        if (k->refused[i] != report->id)
            continue;
        k->queue->refused++;
        return add_report(&k->aside, report, e);
    }
    if (report->id <= k->acked)
        return 0;
    if (k->drop_oldest > 0 || (heartbeat && k->drop_heartbeats > 0)) {
        *(k->drop_oldest > 0 ? &k->drop_oldest : &k->drop_heartbeats) -= 1;
        k->queue->dropped++;
        return 0;
    }
    k->queue->n++;
    k->queue->n_transitions += !heartbeat;
    struct bundle_report kept = *report;
    if (k->anew > 0)
        kept.id = k->queue->next++;
    return add_report(&k->out, &kept, e);
}

static int set_aside(const struct agent_queue *q, const struct buf *aside, struct err *e) {
    OWN(fd) int fd = -1;
    uint64_t size;
    if (aside->len == 0)
        return 0;
    if (fs_open_append(q->private_dir, REFUSED, 0600, &fd, e) < 0 || fs_size(fd, &size, e) < 0)
        return -1;
    // Kept for a person to look at; when there are many the last ones say enough.
    if (size > AGENT_QUEUE_REFUSED_MAX && fs_truncate(fd, 0, e) < 0)
        return -1;
    return fs_write(fd, aside->data, aside->len, e);
}

// Replaces the file by its head and what *k keeps. The counters of *q change only when that is
// durable.
static int rewrite(struct agent_queue *q, struct keep *k, struct err *e) {
    OWN(buf) struct buf file;
    OWN(buf) struct buf whole;
    struct agent_queue after = *q;
    after.n = after.n_transitions = 0;
    after.next = k->anew > 0 ? k->anew : q->next;
    k->queue = &after;
    buf_init(&k->out, AGENT_QUEUE_FILE_MAX);
    buf_init(&k->aside, AGENT_QUEUE_FILE_MAX);
    buf_init(&whole, AGENT_QUEUE_FILE_MAX);
    struct visitor v = {.report = keep_report, .context = k};
    int done = read_file(q, &file, e) < 0 || visit(&file, &v, e) < 0 ||
                       set_aside(q, &k->aside, e) < 0 || add_head(&whole, &after, e) < 0 ||
                       buf_add(&whole, k->out.data, k->out.len, e) < 0 ||
                       fs_replace(q->private_dir, NAME, whole.data, whole.len, 0600, e) < 0
                   ? -1
                   : 0;
    buf_clear(&k->out);
    buf_clear(&k->aside);
    if (done == 0)
        *q = after;
    return done;
}

int agent_queue_look(int private_dir, uint64_t at_least, struct agent_queue *ret, struct err *e) {
    OWN(buf) struct buf file;
    struct agent_queue q = {.private_dir = private_dir, .next = at_least > 0 ? at_least : 1};
    struct visitor v = {.report = count_report, .context = &q, .head = &q};
    int found = read_file(&q, &file, e);
    if (found < 0 || visit(&file, &v, e) < 0)
        return err_prefix(e, "reading the report queue");
    q.damaged = v.damaged;
    *ret = q;
    return found;
}

int agent_queue_open(int private_dir, uint64_t at_least, struct agent_queue *ret, struct err *e) {
    struct agent_queue q;
    struct keep all = {.acked = 0};
    int found = agent_queue_look(private_dir, at_least, &q, e);
    if (found < 0)
        return -1;
    // A fresh file gets its mark; a damaged tail must not stand before what is appended next.
    if ((found == AGENT_QUEUE_ABSENT || q.damaged > 0) && rewrite(&q, &all, e) < 0)
        return err_prefix(e, "writing the report queue");
    *ret = q;
    return 0;
}

// Half at a time: the file is rewritten once for many reports.
static int turn_ring(struct agent_queue *queue, struct err *e) {
    struct keep last = {.drop_oldest = queue->n - AGENT_QUEUE_RING_MAX / 2};
    return rewrite(queue, &last, e) < 0 ? err_prefix(e, "dropping old reports") : 0;
}

int agent_queue_add(struct agent_queue *queue, const struct bundle_report *report, struct err *e) {
    assert(report->id == queue->next && "I5: ids of reports rise by one and never repeat");
    bool heartbeat = report->event == BUNDLE_EVENT_WAITING;
    if (queue->ring && queue->n >= AGENT_QUEUE_RING_MAX && turn_ring(queue, e) < 0)
        return -1;
    if (queue->n >= AGENT_QUEUE_REPORTS_MAX) {
        struct keep without = {.drop_heartbeats = queue->n - AGENT_QUEUE_REPORTS_MAX + 1};
        if (queue->n > queue->n_transitions && rewrite(queue, &without, e) < 0)
            return err_prefix(e, "dropping heartbeats");
        if (heartbeat && queue->n >= AGENT_QUEUE_REPORTS_MAX) {
            // The id is used up all the same: what is dropped is missing from the sequence.
            queue->dropped++;
            queue->next++;
            return 0;
        }
    }
    OWN(buf) struct buf line;
    OWN(fd) int fd = -1;
    buf_init(&line, AGENT_QUEUE_FILE_MAX);
    if (add_report(&line, report, e) < 0 ||
        fs_open_append(queue->private_dir, NAME, 0600, &fd, e) < 0 ||
        fs_write(fd, line.data, line.len, e) < 0 || fs_sync(fd, e) < 0)
        return err_prefix(e, "queueing report %" PRIu64, report->id);
    queue->next++;
    queue->n++;
    queue->n_transitions += !heartbeat;
    return 0;
}

bool agent_queue_has_room(const struct agent_queue *queue) {
    return queue->ring ||
           queue->n_transitions + AGENT_QUEUE_UPDATE_NEEDS <= AGENT_QUEUE_REPORTS_MAX;
}

struct collect {
    struct bundle_report *reports;
    size_t n;
    size_t max;
};

static int collect_report(void *context, const struct bundle_report *report, struct err *e) {
    struct collect *c = context;
    (void)e;
    if (c->n < c->max)
        c->reports[c->n++] = *report;
    return 0;
}

int agent_queue_peek(const struct agent_queue *queue, size_t max, struct bundle_report **ret,
                     size_t *ret_n, struct err *e) {
    OWN(buf) struct buf file;
    size_t wanted = queue->n < max ? queue->n : max;
    struct collect c = {.max = wanted};
    if (read_file(queue, &file, e) < 0)
        return -1;
    c.reports = calloc(wanted > 0 ? wanted : 1, sizeof *c.reports);
    if (!c.reports)
        return err_set(e, &err_memory, "reading the report queue: out of memory");
    struct visitor v = {.report = collect_report, .context = &c};
    if (visit(&file, &v, e) < 0) {
        free(c.reports);
        return -1;
    }
    *ret = c.reports;
    *ret_n = c.n;
    return 0;
}

int agent_queue_settle(struct agent_queue *queue, uint64_t acked, const uint64_t *refused,
                       size_t n_refused, struct err *e) {
    struct keep k = {.acked = acked, .refused = refused, .n_refused = n_refused};
    bool behind = acked >= queue->next && acked - queue->next < AGENT_QUEUE_LEAP_MAX;
    if (behind || queue->unsure)
        k = (struct keep){.anew = behind ? acked + 1 : queue->next};
    else if (queue->n == 0)
        return 0;
    if (rewrite(queue, &k, e) < 0)
        return err_prefix(e, "settling the report queue");
    queue->unsure = false;
    return 0;
}
