// SPDX-License-Identifier: Apache-2.0
//
// Instructions: one table of members for both ways; what is written is read back by the same rules
// before it is handed out.
#include "bundle/instruction.h"

#include <assert.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "bundle/message.h"
#include "keys/canon.h"

#define INSTRUCTION_TYPE "instruction"

const char *const bundle_instruction_action_names[BUNDLE_ACTIONS] = {
    [BUNDLE_ACTION_INSTALL] = "install", [BUNDLE_ACTION_ACTIVATE] = "activate",
    [BUNDLE_ACTION_CANCEL] = "cancel",   [BUNDLE_ACTION_REVERT] = "revert",
    [BUNDLE_ACTION_PROBE] = "probe",     [BUNDLE_ACTION_SHAM] = "sham",
};

static const struct doc_limits instruction_limits = {
    .bytes = BUNDLE_INSTRUCTION_MAX_BYTES, .depth = 16, .values = 1024};

#define MEMBER(key, type, need, field)                                                             \
    BUNDLE_MESSAGE_MEMBER(key, type, need, bundle_instruction, field)

static const struct bundle_message_member bundle_members[] = {
    MEMBER("id", DIGEST, REQUIRED, bundle),     MEMBER("name", NAME, REQUIRED, bundle_name),
    MEMBER("release", LINE, REQUIRED, release), MEMBER("size", U64, OPTIONAL, size),
    MEMBER("url", LINE, OPTIONAL, url),         {.key = NULL},
};

// Read and written only where they are there: an instruction without one does not mention it.
static const struct bundle_message_member delta_members[] = {
    MEMBER("base", DIGEST, REQUIRED, delta.base),
    MEMBER("size", COUNT, REQUIRED, delta.size),
    MEMBER("url", LINE, REQUIRED, delta.url),
    {.key = NULL},
};

static const struct bundle_message_member mandate_members[] = {
    MEMBER("id", DIGEST, REQUIRED, mandate.id),
    MEMBER("size", COUNT, REQUIRED, mandate.size),
    MEMBER("url", LINE, REQUIRED, mandate.url),
    {.key = NULL},
};

// What is in every instruction beside the header and the action.
static const struct bundle_message_member members[] = {
    MEMBER("attempt", COUNT, REQUIRED, attempt),
    BUNDLE_MESSAGE_MEMBERS("bundle", REQUIRED, bundle_members, BUNDLE_MESSAGE_NO_FLAG),
    MEMBER("device", NAME, REQUIRED, device),
    MEMBER("rollout", NAME, OR_EMPTY, rollout),
    MEMBER("stage", U64, OPTIONAL, stage),
    {.key = NULL},
};

// A path on the controller, or http(s)://… whose characters no reader of URLs takes for something
// else.
static bool is_url(const char *url) {
    if (url[0] == '/') {
        if (url[1] == '/')
            return false; // another host, to some readers
    } else if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) {
        const char *host = strchr(url, ':') + 3;
        if (!*host || strchr("/?#:@", *host))
            return false;
    } else {
        return false;
    }
    for (; *url; url++)
        if (*url <= 0x20 || *url >= 0x7f || strchr("\\\"<>^`{|}", *url))
            return false;
    return true;
}

static int read_action(const struct doc_at *at, enum bundle_action *ret, struct err *e) {
    struct err cause = ERR_NONE;
    const char *text = NULL;
    if (doc_string(at, "action", BUNDLE_NAME_MAX, &text, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    for (enum bundle_action action = 0; action < BUNDLE_ACTIONS; action++) {
        if (strcmp(text, bundle_instruction_action_names[action]) == 0) {
            *ret = action;
            return 0;
        }
    }
    char shown[BUNDLE_NAME_MAX];
    return err_set(e, &err_unknown_action,
                   "instruction: the action \"%s\" is not known to this agent; update it first",
                   text_safe(text, shown, sizeof shown));
}

static int check_url(const char *url, const char *whose, struct err *e) {
    return is_url(url) ? 0
                       : err_set(e, &err_bad_message,
                                 "instruction: %s.url: expected http://…, https://… or /… without "
                                 "blanks",
                                 whose);
}

// A member that says where something lies, and may be absent.
static int read_place(const struct doc_at *at, const char *key,
                      const struct bundle_message_member *table, const char *url,
                      struct bundle_instruction *ret, struct err *e) {
    struct err cause = ERR_NONE;
    struct doc_at place;
    int found = doc_object_opt(at, key, &place, &cause);
    if (found < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (found == DOC_ABSENT)
        return 0;
    return bundle_message_read(&place, table, ret, e) < 0 ? -1 : check_url(url, key, e);
}

static int read_mandate(const struct doc_at *at, struct bundle_instruction *ret, struct err *e) {
    if (read_place(at, "mandate", mandate_members, ret->mandate.url, ret, e) < 0)
        return -1;
    if (ret->mandate.size > BUNDLE_MANDATE_MAX_BYTES)
        return err_set(e, &err_limit, "instruction: mandate.size: at most %d are allowed",
                       BUNDLE_MANDATE_MAX_BYTES);
    return 0;
}

static int read_budget(const struct doc_at *at, struct bundle_instruction_budget *ret,
                       struct err *e) {
    struct err cause = ERR_NONE;
    struct doc_at budget;
    int found = doc_object_opt(at, "budget", &budget, &cause);
    if (found == DOC_ABSENT)
        return 0;
    int all = found, metered = found;
    if (found == 0)
        all = doc_u64_opt(&budget, "bytes", 1, KEYS_VERSION_MAX, &ret->bytes, &cause);
    if (all >= 0 && found == 0)
        metered =
            doc_u64_opt(&budget, "metered_bytes", 0, KEYS_VERSION_MAX, &ret->metered_bytes, &cause);
    if (all < 0 || metered < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    ret->has_bytes = all != DOC_ABSENT;
    ret->has_metered_bytes = metered != DOC_ABSENT;
    return 0;
}

static int read_windows(const struct doc_at *at, struct bundle_windows *ret, struct err *e) {
    struct err cause = ERR_NONE;
    return bundle_window_all_read(at, ret, &cause) < 0
               ? bundle_message_fail(&cause, &err_bad_message, e)
               : 0;
}

static bool has_windows(enum bundle_action action) {
    return action == BUNDLE_ACTION_INSTALL || action == BUNDLE_ACTION_ACTIVATE ||
           action == BUNDLE_ACTION_SHAM;
}

static int read_members(const struct doc_at *at, struct bundle_instruction *ret, struct err *e) {
    bool installs = ret->action == BUNDLE_ACTION_INSTALL;
    if (bundle_message_read(at, members, ret, e) < 0)
        return -1;
    if ((installs || ret->action == BUNDLE_ACTION_ACTIVATE) && read_mandate(at, ret, e) < 0)
        return -1;
    if (has_windows(ret->action) && read_windows(at, &ret->windows, e) < 0)
        return -1;
    if (!installs && ret->action != BUNDLE_ACTION_PROBE)
        return 0;
    if (ret->size == 0)
        return err_set(e, &err_bad_message, "instruction: bundle.size: expected 1 or more");
    if (check_url(ret->url, "bundle", e) < 0)
        return -1;
    if (!installs)
        return 0;
    if (read_place(at, "delta", delta_members, ret->delta.url, ret, e) < 0)
        return -1;
    return read_budget(at, &ret->budget, e);
}

// Whether it is for this device, new, and still holds. These are looked at before anything that a
// later protocol could have changed.
static int check_addressee(const struct doc_at *at, const struct keys_header *header,
                           const char *device, uint64_t last_sequence, int64_t now_s,
                           struct err *e) {
    struct err cause = ERR_NONE;
    const char *named = NULL;
    char shown[BUNDLE_DEVICE_ID_MAX + 1];
    if (doc_string(at, "device", BUNDLE_DEVICE_ID_MAX, &named, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (strcmp(named, device) != 0)
        return err_set(e, &err_wrong_device,
                       "instruction: for the device \"%s\", this one is \"%s\"",
                       text_safe(named, shown, sizeof shown), device);
    if (header->version <= last_sequence)
        return err_set(e, &err_replayed,
                       "instruction: its sequence %llu is not higher than %llu, the last one taken",
                       (unsigned long long)header->version, (unsigned long long)last_sequence);
    return keys_envelope_check_expiry(header, "instruction", now_s, e);
}

int bundle_instruction_verify(struct slice raw, const struct keys_role *director,
                              const char *device, uint64_t last_sequence, int64_t now_s,
                              struct bundle_instruction *ret, struct err *e) {
    if (raw.len > BUNDLE_INSTRUCTION_MAX_BYTES)
        return err_set(e, &err_limit, "instruction: %zu bytes, at most %d are allowed", raw.len,
                       BUNDLE_INSTRUCTION_MAX_BYTES);
    struct keys_envelope_candidate candidate;
    struct keys_envelope envelope;
    if (keys_envelope_split(raw, "instruction", &candidate, e) < 0 ||
        keys_envelope_verify(&candidate, "instruction", director, &envelope, e) < 0)
        return -1;
    OWN(json) json_t *document = NULL;
    struct doc_at at;
    struct err cause = ERR_NONE;
    struct bundle_instruction instruction;
    memset(&instruction, 0, sizeof instruction);
    if (keys_canon_parse(envelope.signed_part, "instruction", &instruction_limits, &document,
                         &cause) < 0 ||
        doc_root(document, "instruction", &at, &cause) < 0 ||
        keys_envelope_header(&at, INSTRUCTION_TYPE, &instruction.header, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    if (check_addressee(&at, &instruction.header, device, last_sequence, now_s, e) < 0 ||
        read_action(&at, &instruction.action, e) < 0 || read_members(&at, &instruction, e) < 0)
        return -1;
    *ret = instruction;
    return 0;
}

static int add_header(json_t *object, const struct bundle_instruction *instruction, struct err *e) {
    char issued[CHRONO_TEXT_BYTES], expires[CHRONO_TEXT_BYTES];
    json_t *header =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "_type", INSTRUCTION_TYPE, "spec_version",
                  KEYS_SPEC_VERSION, "action", bundle_instruction_action_names[instruction->action],
                  "issued", chrono_format(instruction->header.issued_s, issued), "expires",
                  chrono_format(instruction->header.expires_s, expires), "version",
                  (json_int_t)instruction->header.version);
    int failed = header ? json_object_update(object, header) : -1;
    json_decref(header);
    return failed < 0 ? err_set(e, &err_memory, "writing an instruction: out of memory") : 0;
}

static int add_place(json_t *object, const char *key, const struct bundle_message_member *table,
                     uint64_t size, const struct bundle_instruction *instruction, struct err *e) {
    if (size == 0)
        return 0;
    json_t *place = json_object();
    if (place && bundle_message_write(place, table, instruction, e) < 0) {
        json_decref(place);
        return -1;
    }
    return json_object_set_new(object, key, place) < 0
               ? err_set(e, &err_memory, "writing an instruction: out of memory")
               : 0;
}

static int add_budget(json_t *object, const struct bundle_instruction_budget *b, struct err *e) {
    if (!b->has_bytes && !b->has_metered_bytes)
        return 0;
    json_t *budget = json_object();
    bool failed =
        !budget || (b->has_bytes &&
                    json_object_set_new(budget, "bytes", json_integer((json_int_t)b->bytes)) < 0);
    failed = failed || (b->has_metered_bytes &&
                        json_object_set_new(budget, "metered_bytes",
                                            json_integer((json_int_t)b->metered_bytes)) < 0);
    // The object is taken over, or NULL, which is want of memory too.
    failed = json_object_set_new(object, "budget", budget) < 0 || failed;
    return failed ? err_set(e, &err_memory, "writing an instruction: out of memory") : 0;
}

static int add_windows(json_t *object, const struct bundle_windows *windows, struct err *e) {
    if (!bundle_window_any(windows))
        return 0;
    return json_object_set_new(object, "windows", bundle_window_all_format(windows)) < 0
               ? err_set(e, &err_memory, "writing an instruction: out of memory")
               : 0;
}

// The rules of reading, on what is about to be signed.
static int check_written(json_t *object, struct err *e) {
    struct doc_at at;
    struct keys_header header;
    struct bundle_instruction again;
    struct err cause = ERR_NONE;
    memset(&again, 0, sizeof again);
    if (doc_root(object, "instruction", &at, &cause) < 0 ||
        keys_envelope_header(&at, INSTRUCTION_TYPE, &header, &cause) < 0)
        return bundle_message_fail(&cause, &err_bad_message, e);
    return read_action(&at, &again.action, e) < 0 || read_members(&at, &again, e) < 0 ? -1 : 0;
}

int bundle_instruction_format(const struct bundle_instruction *instruction, struct buf *ret,
                              struct err *e) {
    assert(instruction->action < BUNDLE_ACTIONS);
    struct bundle_instruction written = *instruction;
    if (written.action != BUNDLE_ACTION_INSTALL && written.action != BUNDLE_ACTION_PROBE) {
        written.size = 0;
        written.url[0] = '\0';
    }
    if (written.action != BUNDLE_ACTION_INSTALL) {
        written.delta.size = 0;
        written.budget = (struct bundle_instruction_budget){.bytes = 0};
    }
    if (written.action != BUNDLE_ACTION_INSTALL && written.action != BUNDLE_ACTION_ACTIVATE)
        written.mandate.size = written.stage = 0;
    if (!has_windows(written.action))
        written.windows.download.n = written.windows.install.n = 0;
    OWN(json) json_t *object = json_object();
    if (!object)
        return err_set(e, &err_memory, "writing an instruction: out of memory");
    if (add_header(object, &written, e) < 0 ||
        bundle_message_write(object, members, &written, e) < 0 ||
        add_place(object, "delta", delta_members, written.delta.size, &written, e) < 0 ||
        add_place(object, "mandate", mandate_members, written.mandate.size, &written, e) < 0 ||
        add_budget(object, &written.budget, e) < 0 ||
        add_windows(object, &written.windows, e) < 0 || check_written(object, e) < 0)
        return -1;
    return keys_canon_format(object, ret, e);
}
