// SPDX-License-Identifier: Apache-2.0
//
// Tokens of the admin API.
#include "ctl/serve/tokens.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/predicate.h"
#include "ctl/kind.h"
#include "ctl/serve/admin.h"
#include "ctl/serve/show.h"

#define EXPIRES_DEFAULT_S (90LL * 86400)
#define EXPIRES_MAX_S     (3650LL * 86400)
#define USES_MAX          100000000ULL
#define LABELS_MAX        64

int serve_tokens_whoami(struct store_db *db, struct serve_call *call, struct err *e) {
    const struct serve_identity *who = &call->who;
    (void)db;
    return serve_call_answer(call, 200,
                             json_pack("{s:s, s:s, s:s, s:o}", "name", who->name, "role",
                                       store_token_roles[who->role], "selector", who->selector,
                                       "expires", serve_show_time(who->expires_s)),
                             e);
}

static int add_shown(void *context, const struct store_token *token, struct err *e) {
    if (json_array_append_new(context, serve_show_token(token)) < 0)
        return err_set(e, &err_memory, "listing tokens: out of memory");
    return 0;
}

int serve_tokens_list(struct store_db *db, struct serve_call *call, struct err *e) {
    json_t *all = json_array();
    if (store_token_list(db, add_shown, all, e) < 0) {
        json_decref(all);
        return -1;
    }
    return serve_call_answer(call, 200, json_pack("{s:o}", "tokens", all), e);
}

// ── Create ──

static int wrong(const char *member, const char *expected, struct err *e) {
    return err_set(e, &err_bad_request, "body.%s: expected %s", member, expected);
}

static int read_role(const struct doc_at *at, struct store_token *ret, struct err *e) {
    const char *text = NULL;
    if (doc_string(at, "role", 16, &text, e) < 0)
        return -1;
    for (unsigned i = 0; i < STORE_ROLES; i++)
        if (strcmp(text, store_token_roles[i]) == 0) {
            ret->role = (enum store_role)i;
            return 0;
        }
    return wrong("role", "viewer, publisher, deployer, operator or admin", e);
}

static int read_selector(const struct doc_at *at, struct store_token *ret, struct err *e) {
    const char *text = "";
    struct bundle_predicate *predicate = NULL;
    if (doc_string_opt(at, "selector", BUNDLE_PREDICATE_MAX, &text, e) < 0 ||
        bundle_predicate_parse(text, &predicate, e) < 0)
        return -1;
    bundle_predicate_free(predicate);
    (void)snprintf(ret->selector, sizeof ret->selector, "%s", text);
    return 0;
}

static int read_labels(const struct doc_at *at, struct store_token *ret, struct err *e) {
    struct doc_at labels;
    const char *name = NULL;
    json_t *value = NULL;
    int found = doc_object_opt(at, "labels", &labels, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (json_object_size(labels.value) > LABELS_MAX)
        return wrong("labels", "at most 64", e);
    json_object_foreach (labels.value, name, value) {
        if (!text_is_name(name, BUNDLE_FACT_NAME_MAX - 6) || !json_is_string(value) ||
            json_string_length(value) > BUNDLE_FACT_VALUE_MAX)
            return wrong("labels", "names with texts of at most 256 bytes", e);
    }
    ret->labels = json_incref(labels.value);
    return 0;
}

static int read_serials(const struct doc_at *at, struct store_token *ret, struct err *e) {
    struct doc_at serials;
    int found = doc_array_opt(at, "serials", STORE_TOKEN_SERIALS_MAX, &serials, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    for (size_t i = 0; i < json_array_size(serials.value); i++) {
        const char *serial = NULL;
        if (doc_element_string(&serials, i, BUNDLE_DEVICE_ID_MAX, &serial, e) < 0)
            return -1;
        if (!text_is_name(serial, BUNDLE_DEVICE_ID_MAX))
            return wrong("serials", "ids of devices", e);
    }
    ret->serials = json_incref(serials.value);
    return 0;
}

static int read_request(struct serve_call *call, struct store_token *ret, struct err *e) {
    static const char *const known[] = {"kind",    "name",     "role",         "selector", "labels",
                                        "serials", "max_uses", "expires_in_s", NULL};
    struct doc_at at;
    const char *kind = NULL, *name = "";
    uint64_t expires_in_s = EXPIRES_DEFAULT_S;
    if (serve_call_members(call, known, &at, e) < 0 || doc_string(&at, "kind", 16, &kind, e) < 0 ||
        doc_string_opt(&at, "name", BUNDLE_NAME_MAX, &name, e) < 0 ||
        doc_u64_opt(&at, "expires_in_s", 1, EXPIRES_MAX_S, &expires_in_s, e) < 0 ||
        doc_u64_opt(&at, "max_uses", 0, USES_MAX, &ret->max_uses, e) < 0)
        return -1;
    if (strcmp(kind, "enroll") != 0 && strcmp(kind, "operator") != 0)
        return wrong("kind", "\"enroll\" or \"operator\"", e);
    bool is_operator = kind[0] == 'o';
    if ((name[0] != '\0' || is_operator) && !text_is_name(name, BUNDLE_NAME_MAX))
        return wrong("name", "whose token it is: letters, digits, '.', '_', '-' and '+'", e);
    ret->kind = is_operator ? STORE_TOKEN_OPERATOR : STORE_TOKEN_ENROLL;
    (void)snprintf(ret->name, sizeof ret->name, "%s", name);
    ret->created_s = serve_call_now_s(call);
    ret->expires_s = ret->created_s + (int64_t)expires_in_s;
    if (is_operator)
        return read_role(&at, ret, e) < 0 || read_selector(&at, ret, e) < 0 ? -1 : 0;
    return read_labels(&at, ret, e) < 0 || read_serials(&at, ret, e) < 0 ? -1 : 0;
}

static int create(struct store_db *db, struct serve_call *call, struct store_token *token,
                  struct err *e) {
    char secret[STORE_TOKEN_SECRET_BYTES];
    if (read_request(call, token, e) < 0 || store_token_add(db, token, secret, e) < 0)
        return -1;
    int done = serve_admin_audit(db, call, "token.create", token->id, call->document, e);
    if (done == 0)
        done = serve_call_answer(
            call, 201, json_pack("{s:s, s:o}", "secret", secret, "token", serve_show_token(token)),
            e);
    explicit_bzero(secret, sizeof secret);
    return done;
}

int serve_tokens_create(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_token token = {.max_uses = 0};
    int done = create(db, call, &token, e);
    store_token_clear(&token);
    return done;
}

int serve_tokens_revoke(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_token token;
    int found = store_token_get(db, call->args[0], &token, e);
    if (found != 0)
        return found < 0 ? -1 : err_set(e, &err_not_found, "there is no token %s", call->args[0]);
    int done = 0;
    if (token.revoked_s == 0) {
        token.revoked_s = serve_call_now_s(call);
        done = store_token_put(db, &token, e);
        if (done == 0)
            done = serve_admin_audit(db, call, "token.revoke", token.id, NULL, e);
    }
    if (done == 0)
        done = serve_call_answer(call, 200, serve_show_token(&token), e);
    store_token_clear(&token);
    return done;
}
