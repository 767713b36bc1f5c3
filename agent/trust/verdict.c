// SPDX-License-Identifier: Apache-2.0
//
// See verdict.h.
#include "agent/trust/verdict.h"

#include <string.h>

#include "agent/kind.h"
#include "base/chrono.h"
#include "base/doc.h"
#include "base/own.h"
#include "base/text.h"

static const struct doc_limits limits = {
    .bytes = TRUST_VERDICT_MAX_BYTES, .depth = 4, .values = 8192};

bool trust_verdict_is_file(const char *name) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~%";
    static const char end[] = ".json";
    size_t len = strlen(name);
    return len > strlen(end) && len <= TRUST_VERDICT_FILE_MAX && name[0] != '.' &&
           strspn(name, allowed) == len && strcmp(name + len - strlen(end), end) == 0;
}

static int wrong(const char *what, struct err *e) {
    return err_set(e, &err_syntax, "%s", what);
}

static int read_role(const struct doc_at *root, const char *name, struct trust_verdict_role *ret,
                     struct err *e) {
    struct doc_at at;
    uint64_t issued, expires;
    int found = doc_object_opt(root, name, &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (doc_u64(&at, "version", 1, KEYS_VERSION_MAX, &ret->version, e) < 0 ||
        doc_u64(&at, "issued", 0, CHRONO_MAX_S, &issued, e) < 0 ||
        doc_u64(&at, "expires", 0, CHRONO_MAX_S, &expires, e) < 0)
        return -1;
    ret->issued_s = (int64_t)issued;
    ret->expires_s = (int64_t)expires;
    ret->known = true;
    return 0;
}

static int read_floors(const struct doc_at *root, struct trust_verdict *v, struct err *e) {
    struct doc_at at;
    const char *name;
    json_t *value;
    uint64_t floor;
    int found = doc_object_opt(root, "floors", &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (json_object_size(at.value) > TRUST_VERDICT_FLOORS_MAX)
        return err_set(e, &err_limit, "too many floors");
    json_object_foreach (at.value, name, value) {
        if (!text_is_name(name, BUNDLE_NAME_MAX))
            return wrong("a floor of what is no component", e);
        if (doc_u64(&at, name, 0, BUNDLE_SECURITY_VERSION_MAX, &floor, e) < 0)
            return -1;
    }
    v->floors = at.value;
    return 0;
}

static int read_target(const struct doc_at *root, const char *key, bool *ret_found,
                       struct trust_verdict_target *t, struct err *e) {
    struct doc_at at, names;
    const char *hex, *name;
    int found = doc_object_opt(root, key, &at, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (doc_string(&at, "blake2b-256", KEYS_DIGEST_HEX - 1, &hex, e) < 0 ||
        keys_digest_parse(hex, key, &t->id, e) < 0 ||
        doc_u64(&at, "length", 1, BUNDLE_MANIFEST_MAX_BYTES, &t->length, e) < 0 ||
        doc_bool(&at, "executable", &t->executable, e) < 0)
        return -1;
    found = doc_array_opt(&at, "components", TRUST_VERDICT_COMPONENTS_MAX, &names, e);
    if (found < 0)
        return -1;
    for (size_t i = 0; found == 0 && i < json_array_size(names.value); i++)
        if (doc_element_string(&names, i, BUNDLE_NAME_MAX, &name, e) < 0)
            return -1;
    t->components = found == 0 ? names.value : NULL;
    *ret_found = true;
    return 0;
}

static int read_step(const struct doc_at *at, struct trust_verdict_step *ret, struct err *e) {
    const char *hex;
    if (doc_string(at, "to", TRUST_VERDICT_FILE_MAX, &ret->to, e) < 0 ||
        doc_string(at, "from", TRUST_VERDICT_FILE_MAX, &ret->from, e) < 0)
        return -1;
    if (!trust_verdict_is_file(ret->to) || (ret->from[0] && !trust_verdict_is_file(ret->from)))
        return wrong("a step names what is no metadata file", e);
    if (ret->from[0] == '\0')
        return strcmp(ret->to, TRUST_STORE_ROOT) == 0 ? wrong("a step removes the root", e) : 0;
    if (doc_u64(at, "bytes", 1, INT32_MAX, &ret->bytes, e) < 0 ||
        doc_string(at, "blake2b-256", KEYS_DIGEST_HEX - 1, &hex, e) < 0)
        return -1;
    return keys_digest_parse(hex, "step", &ret->digest, e);
}

static int read_steps(const struct doc_at *root, struct trust_verdict *v, struct err *e) {
    struct doc_at list, at;
    struct trust_verdict_step step;
    if (doc_array(root, "steps", TRUST_VERDICT_STEPS_MAX, &list, e) < 0)
        return -1;
    v->steps = list.value;
    v->n_steps = json_array_size(list.value);
    for (size_t i = 0; i < v->n_steps; i++)
        if (doc_element(&list, i, &at, e) < 0 || read_step(&at, &step, e) < 0)
            return -1;
    return 0;
}

int trust_verdict_parse(struct slice text, struct trust_verdict *ret, struct err *e) {
    OWN(json) json_t *document = NULL;
    struct trust_verdict v = {.document = NULL};
    struct doc_at root;
    struct err why = ERR_NONE;
    bool read = doc_parse(text, "verdict", &limits, &document, &why) == 0 &&
                doc_root(document, "verdict", &root, &why) == 0;
    for (size_t i = 0; read && i < TRUST_STORE_ROLES; i++)
        read = read_role(&root, trust_store_names[i], &v.roles[i], &why) == 0;
    if (!read || read_floors(&root, &v, &why) < 0 ||
        read_target(&root, "target", &v.found, &v.target, &why) < 0 ||
        read_target(&root, "delta", &v.found_delta, &v.delta, &why) < 0 ||
        read_steps(&root, &v, &why) < 0)
        return err_set(e, &err_worker_failed, "the judge's verdict cannot be read: %s", why.text);
    v.document = own_take(&document);
    *ret = v;
    return 0;
}

void trust_verdict_clear(struct trust_verdict *verdict) {
    json_decref(verdict->document);
    *verdict = (struct trust_verdict){.document = NULL};
}

void trust_verdict_step(const struct trust_verdict *verdict, size_t n,
                        struct trust_verdict_step *ret) {
    struct doc_at at = {.value = json_array_get(verdict->steps, n), .path = "verdict"};
    struct err never = ERR_NONE;
    *ret = (struct trust_verdict_step){.bytes = 0};
    (void)read_step(&at, ret, &never);
}
