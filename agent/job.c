// SPDX-License-Identifier: Apache-2.0
//
// The job as JSON, from one table of fields, and the packets of agent/job.h. A packet is a head of
// two words (type, bytes that follow) and the body as it lies in memory: both programs are of one
// version and one machine. The receiver trusts nothing of it but its own sizes.
#include "agent/job.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/kind.h"
#include "base/doc.h"
#include "base/own.h"
#include "bundle/message.h"

enum field_type { FIELD_TEXT, FIELD_U64, FIELD_I64, FIELD_BOOL };

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    size_t bytes; // of the array, for text
};

#define FIELD(name_, type_, member_)                                                               \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct agent_job, member_),           \
        .bytes = sizeof(((struct agent_job *)NULL)->member_)                                       \
    }

static const struct field fields[] = {
    FIELD("controller", FIELD_TEXT, net.controller),
    FIELD("ca_file", FIELD_TEXT, net.ca_file),
    FIELD("proxy", FIELD_TEXT, net.proxy),
    FIELD("site_cache", FIELD_TEXT, net.site_cache),
    FIELD("connect_timeout_s", FIELD_U64, net.connect_timeout_s),
    FIELD("request_timeout_s", FIELD_U64, net.request_timeout_s),
    FIELD("rate_max_bytes_s", FIELD_U64, net.rate_max_bytes_s),
    FIELD("rate_min_bytes_s", FIELD_U64, net.rate_min_bytes_s),
    FIELD("stall_s", FIELD_U64, net.stall_s),
    FIELD("fetch_timeout_s", FIELD_U64, net.fetch_timeout_s),
    FIELD("fetch_budget_bytes", FIELD_U64, net.fetch_budget_bytes),
    FIELD("retries", FIELD_U64, net.retries),
    FIELD("time_floor_s", FIELD_I64, net.time_floor_s),
    FIELD("allow_http", FIELD_BOOL, net.allow_http),
    FIELD("device", FIELD_TEXT, device),
    FIELD("token", FIELD_TEXT, token),
    FIELD("enroll_token", FIELD_TEXT, enroll_token),
    FIELD("public_key", FIELD_TEXT, public_key),
    FIELD("url", FIELD_TEXT, url),
    FIELD("bundle_bytes", FIELD_U64, bundle_bytes),
    FIELD("bundle", FIELD_TEXT, bundle),
    FIELD("resume", FIELD_BOOL, resume),
    FIELD("decode_max_bytes", FIELD_U64, decode_max_bytes),
    FIELD("delta_url", FIELD_TEXT, delta_url),
    FIELD("delta_bytes", FIELD_U64, delta_bytes),
    FIELD("delta_base", FIELD_TEXT, delta_base),
    FIELD("delta_head", FIELD_TEXT, delta_head),
    FIELD("delta_head_bytes", FIELD_U64, delta_head_bytes),
    FIELD("limited", FIELD_BOOL, limited),
    FIELD("limit_bytes", FIELD_U64, limit_bytes),
    FIELD("spent_bytes", FIELD_U64, spent_bytes),
    FIELD("tries", FIELD_U64, tries),
    FIELD("begun", FIELD_U64, begun),
    FIELD("begun_bytes", FIELD_U64, begun_bytes),
    FIELD("probe_url", FIELD_TEXT, probe_url),
    FIELD("metric", FIELD_TEXT, metric),
    FIELD("timeout_s", FIELD_U64, timeout_s),
    FIELD("repository", FIELD_TEXT, repository),
    FIELD("now_s", FIELD_I64, now_s),
    FIELD("target", FIELD_TEXT, target),
    FIELD("delta_target", FIELD_TEXT, delta_target),
    FIELD("mandate_url", FIELD_TEXT, mandate_url),
    FIELD("mandate_bytes", FIELD_U64, mandate_bytes),
};
#define FIELDS (sizeof fields / sizeof fields[0])

static const char *const kind_names[AGENT_JOB_KINDS] = {
    [AGENT_JOB_CHECKIN] = "checkin", [AGENT_JOB_ENROLL] = "enroll",   [AGENT_JOB_FETCH] = "fetch",
    [AGENT_JOB_PROBE] = "probe",     [AGENT_JOB_REFRESH] = "refresh", [AGENT_JOB_JUDGE] = "judge",
};

static json_t *field_value(const struct field *field, const char *at) {
    uint64_t number;
    int64_t seconds;
    bool flag;
    switch (field->type) {
    case FIELD_TEXT:
        return json_string(at);
    case FIELD_U64:
        memcpy(&number, at, sizeof number);
        // JSON integers are signed: a limit above that is no limit.
        return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
    case FIELD_I64:
        memcpy(&seconds, at, sizeof seconds);
        return json_integer((json_int_t)(seconds < 0 ? 0 : seconds));
    case FIELD_BOOL:
        memcpy(&flag, at, sizeof flag);
        return json_boolean(flag);
    }
    return NULL;
}

int agent_job_format(const struct agent_job *job, struct buf *ret, struct err *e) {
    assert((unsigned)job->kind < AGENT_JOB_KINDS);
    OWN(json) json_t *object = json_object();
    if (!object || json_object_set_new(object, "kind", json_string(kind_names[job->kind])) < 0)
        return err_set(e, &err_memory, "writing the worker's job: out of memory");
    for (size_t i = 0; i < FIELDS; i++) {
        json_t *value = field_value(&fields[i], (const char *)job + fields[i].offset);
        if (json_object_set_new(object, fields[i].name, value) < 0)
            return err_set(e, &err_memory,
                           "writing the worker's job: %s is not text, or out of memory",
                           fields[i].name);
    }
    return bundle_message_dump(object, ret, e) < 0 ? err_prefix(e, "writing the worker's job") : 0;
}

static int read_field(const struct doc_at *at, const struct field *field, char *to, struct err *e) {
    const char *text;
    uint64_t number;
    int64_t seconds;
    bool flag;
    switch (field->type) {
    case FIELD_TEXT:
        if (doc_string(at, field->name, field->bytes - 1, &text, e) < 0)
            return -1;
        memcpy(to, text, strlen(text) + 1);
        return 0;
    case FIELD_U64:
        if (doc_u64(at, field->name, 0, INT64_MAX, &number, e) < 0)
            return -1;
        memcpy(to, &number, sizeof number);
        return 0;
    case FIELD_I64:
        if (doc_u64(at, field->name, 0, INT64_MAX, &number, e) < 0)
            return -1;
        seconds = (int64_t)number;
        memcpy(to, &seconds, sizeof seconds);
        return 0;
    case FIELD_BOOL:
        if (doc_bool(at, field->name, &flag, e) < 0)
            return -1;
        memcpy(to, &flag, sizeof flag);
        return 0;
    }
    return err_set(e, &err_internal, "a field of a job has no type");
}

int agent_job_parse(struct slice text, struct agent_job *ret, struct err *e) {
    static const struct doc_limits limits = {
        .bytes = AGENT_JOB_SPEC_MAX_BYTES, .depth = 2, .values = 2 * FIELDS};
    OWN(json) json_t *document = NULL;
    struct doc_at at;
    const char *kind;
    if (doc_parse(text, "job", &limits, &document, e) < 0 ||
        doc_root(document, "job", &at, e) < 0 ||
        doc_string(&at, "kind", ERR_NAME_BYTES, &kind, e) < 0)
        return -1;
    struct agent_job job = {.kind = AGENT_JOB_KINDS};
    for (unsigned i = 0; i < AGENT_JOB_KINDS; i++) {
        if (strcmp(kind, kind_names[i]) == 0)
            job.kind = (enum agent_job_kind)i;
    }
    if (job.kind == AGENT_JOB_KINDS)
        return err_set(e, &err_syntax, "job: '%s' is no kind of job", kind);
    for (size_t i = 0; i < FIELDS; i++) {
        if (read_field(&at, &fields[i], (char *)&job + fields[i].offset, e) < 0)
            return -1;
    }
    *ret = job;
    return 0;
}

struct head {
    uint32_t type;
    uint32_t bytes;
};

// The size of each body; an answer is sent up to the end of its instruction.
static size_t body_bytes(enum agent_job_message_type type) {
    static const size_t bytes[] = {
        [AGENT_JOB_SIGN] = sizeof(struct agent_job_sign),
        [AGENT_JOB_SIGNATURE] = sizeof(struct agent_job_signature),
        [AGENT_JOB_TOKEN] = sizeof(struct agent_job_token),
        [AGENT_JOB_ENROLLED] = sizeof(struct agent_job_enrolled),
        [AGENT_JOB_ANSWER] = offsetof(struct agent_job_answer, instruction),
        [AGENT_JOB_MANIFEST] = sizeof(struct agent_job_manifest),
        [AGENT_JOB_PROGRESS] = sizeof(struct agent_job_progress),
        [AGENT_JOB_SAMPLE] = sizeof(struct agent_job_sample),
        [AGENT_JOB_RESULT] = sizeof(struct agent_job_result),
        [AGENT_JOB_PROCEED] = sizeof(struct agent_job_proceed),
        [AGENT_JOB_SPENT] = sizeof(struct agent_job_spent),
        [AGENT_JOB_LIMIT] = sizeof(struct agent_job_limit),
        [AGENT_JOB_SETTLED] = sizeof(struct agent_job_settled),
    };
    assert(type >= AGENT_JOB_SIGN && type <= AGENT_JOB_SETTLED);
    return bytes[type];
}

// Room for the descriptors of a PROCEED, aligned as the kernel wants it.
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(AGENT_JOB_PROCEED_FDS_MAX * sizeof(int))];
};

static int send_packet(int fd, const struct agent_job_message *message, const int *fds,
                       size_t n_fds, struct err *e) {
    union control control = {.bytes = {0}};
    size_t len = body_bytes(message->type);
    if (message->type == AGENT_JOB_ANSWER) {
        assert(message->u.answer.instruction_bytes <= BUNDLE_INSTRUCTION_MAX_BYTES);
        len += (size_t)message->u.answer.instruction_bytes;
    }
    struct head head = {.type = message->type, .bytes = (uint32_t)len};
    // sendmsg does not write through iov_base; its type predates const.
    struct iovec parts[2] = {{.iov_base = &head, .iov_len = sizeof head},
                             {.iov_base = (void *)(uintptr_t)&message->u, .iov_len = len}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    if (n_fds > 0) {
        control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS,
                                          .cmsg_len = CMSG_LEN(n_fds * sizeof *fds)};
        memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof *fds);
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(n_fds * sizeof *fds);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return err_errno(e, errno, "speaking between agent and worker");
    return 0;
}

int agent_job_send(int fd, const struct agent_job_message *message, struct err *e) {
    return send_packet(fd, message, NULL, 0, e);
}

static size_t count_fds(const struct agent_job_message *m) {
    if (m->type != AGENT_JOB_PROCEED)
        return 0;
    return (size_t)m->u.proceed.n_images + (m->u.proceed.has_scribe ? AGENT_JOB_SCRIBE_FDS : 0);
}

int agent_job_send_proceed(int fd, const struct agent_job_message *message, const int *fds,
                           struct err *e) {
    assert(message->type == AGENT_JOB_PROCEED &&
           message->u.proceed.n_images <= AGENT_JOB_IMAGES_MAX);
    return send_packet(fd, message, fds, count_fds(message), e);
}

static int garbled(const char *what, struct err *e) {
    return err_set(e, &err_worker_failed, "the other side of the worker's socket sent %s", what);
}

static bool is_flag(const bool *flag) {
    uint8_t byte;
    memcpy(&byte, flag, sizeof byte);
    return byte <= 1;
}

#define TERMINATE(array) ((array)[sizeof(array) - 1] = '\0')

static int tame_proceed(struct agent_job_proceed *p, struct err *e) {
    if (p->n_images > AGENT_JOB_IMAGES_MAX)
        return garbled("more images than a bundle has components", e);
    for (size_t i = 0; i < p->n_images; i++) {
        TERMINATE(p->images[i].component);
        if (!is_flag(&p->images[i].old))
            return garbled("a flag that is neither 0 nor 1", e);
    }
    return is_flag(&p->has_scribe) ? 0 : garbled("a flag that is neither 0 nor 1", e);
}

// Ends every string and checks what has a range. The packet's length was checked already.
static int tame(struct agent_job_message *m, size_t len, struct err *e) {
    switch (m->type) {
    case AGENT_JOB_SIGN:
        TERMINATE(m->u.sign.challenge);
        TERMINATE(m->u.sign.device);
        return is_flag(&m->u.sign.enroll) ? 0 : garbled("a flag that is neither 0 nor 1", e);
    case AGENT_JOB_TOKEN:
        TERMINATE(m->u.token.token);
        return 0;
    case AGENT_JOB_ENROLLED:
        TERMINATE(m->u.enrolled.device);
        TERMINATE(m->u.enrolled.state);
        return 0;
    case AGENT_JOB_ANSWER:
        TERMINATE(m->u.answer.nonce);
        TERMINATE(m->u.answer.why_code);
        TERMINATE(m->u.answer.why_text);
        if (!is_flag(&m->u.answer.facts_wanted))
            return garbled("a flag that is neither 0 nor 1", e);
        if (m->u.answer.n_refused > BUNDLE_REPORTS_PER_CHECKIN_MAX)
            return garbled("more refused reports than a check-in has", e);
        if (m->u.answer.instruction_bytes != len - body_bytes(AGENT_JOB_ANSWER))
            return garbled("an instruction of another length than it says", e);
        return 0;
    case AGENT_JOB_SAMPLE:
        return is_flag(&m->u.sample.found) ? 0 : garbled("a flag that is neither 0 nor 1", e);
    case AGENT_JOB_RESULT:
        TERMINATE(m->u.result.kind);
        TERMINATE(m->u.result.text);
        return 0;
    case AGENT_JOB_PROCEED:
        return tame_proceed(&m->u.proceed, e);
    case AGENT_JOB_SPENT:
        TERMINATE(m->u.spent.note);
        return is_flag(&m->u.spent.no_delta) ? 0 : garbled("a flag that is neither 0 nor 1", e);
    case AGENT_JOB_SIGNATURE:
    case AGENT_JOB_MANIFEST:
    case AGENT_JOB_PROGRESS:
    case AGENT_JOB_LIMIT:
    case AGENT_JOB_SETTLED:
        return 0;
    }
    return garbled("a message of an unknown type", e);
}

// control NULL: a packet with descriptors is refused.
static int receive_packet(int fd, struct agent_job_message *ret, union control *control,
                          size_t *ret_control_len, struct err *e) {
    struct head head;
    struct iovec parts[2] = {{.iov_base = &head, .iov_len = sizeof head},
                             {.iov_base = &ret->u, .iov_len = sizeof ret->u}};
    struct msghdr packet = {.msg_iov = parts,
                            .msg_iovlen = 2,
                            .msg_control = control,
                            .msg_controllen = control ? sizeof *control : 0};
    ssize_t got;
    do
        got = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return AGENT_JOB_NOTHING;
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return AGENT_JOB_CLOSED;
    if (got < 0)
        return err_errno(e, errno, "listening between agent and worker");
    *ret_control_len = packet.msg_controllen;
    if ((size_t)got < sizeof head || (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return garbled("a packet that is too short, too long or carries a descriptor", e);
    size_t len = (size_t)got - sizeof head;
    if (head.type < AGENT_JOB_SIGN || head.type > AGENT_JOB_SETTLED || head.bytes != len)
        return garbled("a packet of an unknown type or another length than it says", e);
    ret->type = (enum agent_job_message_type)head.type;
    size_t wanted = body_bytes(ret->type);
    if (ret->type == AGENT_JOB_ANSWER ? len < wanted : len != wanted)
        return garbled("a packet whose length is not that of its type", e);
    return tame(ret, len, e);
}

int agent_job_receive(int fd, struct agent_job_message *ret, struct err *e) {
    size_t none = 0;
    return receive_packet(fd, ret, NULL, &none, e);
}

// The descriptors of a packet; what is no list of them is none.
static size_t take_descriptors(const union control *control, size_t len, int *ret) {
    const struct cmsghdr *h = &control->header;
    if (len < sizeof *h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS ||
        h->cmsg_len < CMSG_LEN(0))
        return 0;
    size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof *ret;
    assert(n <= AGENT_JOB_PROCEED_FDS_MAX);
    memcpy(ret, CMSG_DATA(h), n * sizeof *ret);
    return n;
}

int agent_job_receive_proceed(int fd, struct agent_job_message *ret, int *ret_fds, struct err *e) {
    union control control = {.bytes = {0}};
    int fds[AGENT_JOB_PROCEED_FDS_MAX];
    size_t control_len = 0;
    int got = receive_packet(fd, ret, &control, &control_len, e);
    size_t n = take_descriptors(&control, control_len, fds);
    if (got == 0 && n != count_fds(ret))
        got = garbled("another number of descriptors than it says", e);
    if (got == 0)
        memcpy(ret_fds, fds, n * sizeof *fds);
    else
        for (size_t i = 0; i < n; i++)
            (void)close(fds[i]);
    return got;
}
