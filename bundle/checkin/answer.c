// SPDX-License-Identifier: Apache-2.0
//
// The answer to a check-in.
#include "bundle/checkin.h"

#include <assert.h>
#include <string.h>

#include "base/own.h"
#include "bundle/kind.h"
#include "bundle/message.h"

#define MEMBER(key, type, need, field) BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_answer, field)

static const struct bundle_message_member why_members[] = {
    MEMBER("code", NAME, OR_EMPTY, why_code),
    MEMBER("text", TEXT, REQUIRED, why_text),
    {.key = NULL},
};

static const struct bundle_message_member repository_members[] = {
    MEMBER("root", COUNT, REQUIRED, repository_root),
    MEMBER("snapshot", U64, REQUIRED, repository_snapshot),
    {.key = NULL},
};

static const struct bundle_message_member members[] = {
    MEMBER("acked", U64, REQUIRED, acked),
    MEMBER("facts_wanted", BOOL, REQUIRED, facts_wanted),
    MEMBER("nonce", HEX, REQUIRED, nonce),
    MEMBER("now", TIME, REQUIRED, now_s),
    MEMBER("poll_s", U64, REQUIRED, poll_s),
    MEMBER("protocol", COUNT, REQUIRED, protocol),
    BUNDLE_MESSAGE_MEMBERS("repository", OPTIONAL, repository_members, BUNDLE_MESSAGE_NO_FLAG),
    BUNDLE_MESSAGE_MEMBERS("why", OPTIONAL, why_members, BUNDLE_MESSAGE_NO_FLAG),
    {.key = NULL},
};

static int read_refused(const struct doc_at *at, struct bundle_answer *ret, struct err *e) {
    struct doc_at list;
    struct err cause = ERR_NONE;
    int got = doc_array_opt(at, "refused", BUNDLE_REPORTS_PER_CHECKIN_MAX, &list, &cause);
    if (got < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    size_t n = got == DOC_ABSENT ? 0 : json_array_size(list.value);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(list.value, i);
        if (!json_is_integer(id) || json_integer_value(id) < 1 ||
            (uint64_t)json_integer_value(id) > KEYS_VERSION_MAX)
            return err_set(e, &err_bad_message, "%s[%zu]: expected a report's id", list.path, i);
        ret->refused[ret->n_refused++] = (uint64_t)json_integer_value(id);
    }
    return 0;
}

static int read_instruction(const struct doc_at *at, struct bundle_answer *ret, struct err *e) {
    const char *text = NULL;
    struct err cause = ERR_NONE;
    int got = doc_string_opt(at, "instruction", BUNDLE_INSTRUCTION_MAX_BYTES, &text, &cause);
    if (got < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    return got == DOC_ABSENT ? 0 : buf_add_text(&ret->instruction, text, e);
}

int bundle_checkin_parse_answer(json_t *document, struct bundle_answer *ret, struct err *e) {
    struct doc_at at;
    struct err cause = ERR_NONE;
    if (doc_root(document, "answer", &at, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    struct bundle_answer answer;
    memset(&answer, 0, sizeof answer);
    buf_init(&answer.instruction, BUNDLE_INSTRUCTION_MAX_BYTES);
    if (bundle_message_read(&at, members, &answer, e) < 0 || read_refused(&at, &answer, e) < 0)
        return -1;
    if (answer.poll_s > BUNDLE_POLL_MAX_S)
        return err_set(e, &err_limit, "answer: poll_s: %llu, at most %d are allowed",
                       (unsigned long long)answer.poll_s, BUNDLE_POLL_MAX_S);
    if (read_instruction(&at, &answer, e) < 0)
        return -1;
    *ret = answer;
    return 0;
}

static json_t *new_refused(const struct bundle_answer *m) {
    OWN(json) json_t *list = json_array();
    assert(m->n_refused <= BUNDLE_REPORTS_PER_CHECKIN_MAX);
    for (size_t i = 0; i < m->n_refused; i++)
        if (json_array_append_new(list, json_integer((json_int_t)m->refused[i])) < 0)
            return NULL;
    return own_take(&list);
}

int bundle_checkin_format_answer(const struct bundle_answer *m, struct buf *ret, struct err *e) {
    if (m->instruction.len > BUNDLE_INSTRUCTION_MAX_BYTES)
        return err_set(e, &err_limit, "answer: an instruction of %zu bytes, at most %d are allowed",
                       m->instruction.len, BUNDLE_INSTRUCTION_MAX_BYTES);
    json_t *instruction = m->instruction.len
                              ? json_stringn(buf_text(&m->instruction), m->instruction.len)
                              : json_null();
    OWN(json) json_t *object = json_object();
    // The first call takes the instruction whether it succeeds or not.
    if (json_object_set_new(object, "instruction", instruction) < 0 ||
        json_object_set_new(object, "refused", new_refused(m)) < 0)
        return err_set(e, &err_memory, "writing an answer: out of memory");
    if (bundle_message_write(object, members, m, e) < 0)
        return -1;
    return bundle_message_dump(object, ret, e);
}

void bundle_checkin_clear_answer(struct bundle_answer *m) {
    buf_clear(&m->instruction);
    memset(m, 0, sizeof *m);
}
