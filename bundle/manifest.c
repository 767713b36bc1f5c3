// SPDX-License-Identifier: Apache-2.0
//
// Manifests by how far they may be believed. The rules of what they say are in bundle/manifest/.
#include "bundle/manifest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "bundle/facts.h"
#include "bundle/kind.h"
#include "bundle/manifest/parse.h"
#include "bundle/predicate.h"
#include "keys/kind.h"

struct bundle_manifest {
    struct manifest_parse parse;
    struct buf raw; // the envelope without padding
};

struct bundle_manifest_unverified {
    struct manifest_parse parse;
};

static struct slice without_padding(struct slice raw) {
    while (raw.len > 0 && raw.data[raw.len - 1] == ' ')
        raw.len--;
    return raw;
}

// The copy is verified, not the caller's bytes: nothing can change between the two.
static int take(struct slice raw, struct bundle_manifest *m, struct keys_envelope_candidate *ret,
                struct err *e) {
    buf_init(&m->raw, BUNDLE_MANIFEST_MAX_BYTES);
    struct slice bare = without_padding(raw);
    if (buf_add(&m->raw, bare.data, bare.len, e) < 0)
        return -1;
    return keys_envelope_split(buf_slice(&m->raw), "manifest", ret, e);
}

static int read_by_role(const struct keys_envelope_candidate *candidate,
                        const struct keys_role *role, struct bundle_manifest *m, struct err *e) {
    struct keys_envelope envelope;
    if (keys_envelope_verify(candidate, "manifest", role, &envelope, e) < 0)
        return -1;
    return manifest_parse_signed(envelope.signed_part, &m->parse, e);
}

static bool names(const struct keys_root_bundle_role *role, const char *component) {
    for (size_t i = 0; i < role->n_components; i++)
        if (strcmp(role->components[i], component) == 0)
            return true;
    return role->any_component;
}

static int check_delegated(const struct keys_root_bundle_role *role, const char *what,
                           const struct bundle_manifest_view *view, struct err *e) {
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        bool image = c->type == BUNDLE_COMPONENT_IMAGE;
        if (!names(role, c->name))
            return err_set(e, &err_delegation,
                           "%s: the keys of bundle/%s may not sign the component %s", what,
                           role->name, c->name);
        if (!role->executable && (image || c->executable))
            return err_set(e, &err_delegation,
                           "%s: the keys of bundle/%s may sign nothing executable, and %s %s", what,
                           role->name, c->name, image ? "is an image" : "holds an executable file");
    }
    return 0;
}

static_assert(KEYS_ROOT_BUNDLE_ROLES_MAX <= 32, "who_signed() marks roles in 32 bits");

// Whom the signatures satisfy is known before anything signed is read; what a delegation may sign,
// only after. 0: the role bundle. SIGNED_BY_DELEGATION: those delegations whose bit is set in *ret.
enum { SIGNED_BY_DELEGATION = 1 };
static int who_signed(const struct keys_envelope_candidate *candidate, const char *what,
                      const struct keys_root *root, uint32_t *ret, struct err *e) {
    const struct keys_root_content *content = keys_root_content(root);
    struct keys_envelope envelope;
    struct err why = ERR_NONE; // what the role bundle lacked
    uint32_t satisfied = 0;
    if (keys_envelope_verify(candidate, what, keys_root_role(root, KEYS_ROOT_ROLE_BUNDLE),
                             &envelope, &why) == 0)
        return 0;
    if (!err_is(&why, &err_below_threshold))
        return err_set(e, why.kind, "%s", why.text);
    for (size_t i = 0; i < content->n_bundle_roles; i++) {
        struct err lacks = ERR_NONE;
        if (keys_envelope_verify(candidate, what, &content->bundle_roles[i].role, &envelope,
                                 &lacks) == 0)
            satisfied |= UINT32_C(1) << i;
        else if (!err_is(&lacks, &err_below_threshold))
            return err_set(e, lacks.kind, "%s", lacks.text);
    }
    if (satisfied == 0)
        return err_set(e, why.kind, "%s", why.text);
    *ret = satisfied;
    return SIGNED_BY_DELEGATION;
}

static int allowed(uint32_t satisfied, const char *what, const struct keys_root *root,
                   const struct bundle_manifest_view *view, struct err *e) {
    const struct keys_root_content *content = keys_root_content(root);
    struct err refused = ERR_NONE; // by the first one; that another allows it is enough
    for (size_t i = 0; i < content->n_bundle_roles; i++)
        if (satisfied >> i & 1 &&
            check_delegated(&content->bundle_roles[i], what, view, &refused) == 0)
            return 0;
    return err_set(e, refused.kind, "%s", refused.text);
}

static int read_by_root(const struct keys_envelope_candidate *candidate,
                        const struct keys_root *root, struct bundle_manifest *m, struct err *e) {
    uint32_t satisfied = 0;
    int r = who_signed(candidate, "manifest", root, &satisfied, e);
    if (r < 0 || manifest_parse_signed(candidate->signed_part, &m->parse, e) < 0)
        return -1;
    return r == 0 ? 0 : allowed(satisfied, "manifest", root, &m->parse.view, e);
}

int bundle_manifest_verify_beside(const struct bundle_manifest *manifest,
                                  const struct keys_envelope_candidate *candidate, const char *what,
                                  const struct keys_root *root, struct err *e) {
    uint32_t satisfied = 0;
    int r = who_signed(candidate, what, root, &satisfied, e);
    if (r <= 0)
        return r;
    return allowed(satisfied, what, root, &manifest->parse.view, e);
}

static int begin(struct slice raw, struct bundle_manifest **ret,
                 struct keys_envelope_candidate *ret_candidate, struct err *e) {
    if (raw.len > BUNDLE_MANIFEST_MAX_BYTES)
        return err_set(e, &err_limit, "the manifest has %zu bytes, at most %d are allowed", raw.len,
                       BUNDLE_MANIFEST_MAX_BYTES);
    OWN(manifest) struct bundle_manifest *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, &err_memory, "reading a manifest");
    if (take(raw, m, ret_candidate, e) < 0)
        return -1;
    *ret = own_take(&m);
    return 0;
}

int bundle_manifest_verify(struct slice raw, const struct keys_role *role,
                           struct bundle_manifest **ret, struct err *e) {
    OWN(manifest) struct bundle_manifest *m = NULL;
    struct keys_envelope_candidate candidate;
    if (begin(raw, &m, &candidate, e) < 0 || read_by_role(&candidate, role, m, e) < 0)
        return -1;
    *ret = own_take(&m);
    return 0;
}

int bundle_manifest_verify_root(struct slice raw, const struct keys_root *root,
                                struct bundle_manifest **ret, struct err *e) {
    OWN(manifest) struct bundle_manifest *m = NULL;
    struct keys_envelope_candidate candidate;
    if (begin(raw, &m, &candidate, e) < 0 || read_by_root(&candidate, root, m, e) < 0)
        return -1;
    *ret = own_take(&m);
    return 0;
}

int bundle_manifest_verify_id(struct slice raw, const struct keys_digest *id,
                              struct bundle_manifest **ret, struct err *e) {
    OWN(manifest) struct bundle_manifest *m = NULL;
    struct keys_envelope_candidate candidate;
    struct keys_digest digest;
    if (begin(raw, &m, &candidate, e) < 0)
        return -1;
    keys_digest_of(candidate.signed_part.data, candidate.signed_part.len, &digest);
    if (!keys_digest_equal(&digest, id))
        return err_set(e, &err_digest_mismatch, "manifest: it is not the one that was verified");
    if (manifest_parse_signed(candidate.signed_part, &m->parse, e) < 0)
        return -1;
    *ret = own_take(&m);
    return 0;
}

void bundle_manifest_free(struct bundle_manifest *manifest) {
    if (!manifest)
        return;
    manifest_parse_clear(&manifest->parse);
    buf_clear(&manifest->raw);
    free(manifest);
}

const struct bundle_manifest_view *bundle_manifest_view(const struct bundle_manifest *manifest) {
    return &manifest->parse.view;
}

const struct keys_digest *bundle_manifest_id(const struct bundle_manifest *manifest) {
    return &manifest->parse.id;
}

struct slice bundle_manifest_raw(const struct bundle_manifest *manifest) {
    return buf_slice(&manifest->raw);
}

uint64_t bundle_manifest_stream_bytes(const struct bundle_manifest_view *view) {
    uint64_t sum = 0;
    for (size_t i = 0; i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        sum += c->stream_bytes + (c->type == BUNDLE_COMPONENT_FILES ? c->size : 0);
    }
    return sum;
}

const struct bundle_component *bundle_manifest_component(const struct bundle_manifest *manifest,
                                                         const char *name) {
    const struct bundle_manifest_view *v = &manifest->parse.view;
    for (size_t i = 0; i < v->n_components; i++)
        if (strcmp(v->components[i].name, name) == 0)
            return &v->components[i];
    return NULL;
}

int bundle_manifest_peek(struct slice raw, struct bundle_manifest_unverified **ret, struct err *e) {
    struct keys_envelope_candidate candidate;
    if (keys_envelope_split(raw, "manifest", &candidate, e) < 0)
        return -1;
    struct bundle_manifest_unverified *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, &err_memory, "reading a manifest");
    if (manifest_parse_signed(candidate.signed_part, &m->parse, e) < 0) {
        bundle_manifest_peek_free(m);
        return -1;
    }
    *ret = m;
    return 0;
}

const struct bundle_manifest_view *
bundle_manifest_peek_view(const struct bundle_manifest_unverified *m) {
    return &m->parse.view;
}

const struct keys_digest *bundle_manifest_peek_id(const struct bundle_manifest_unverified *m) {
    return &m->parse.id;
}

const json_t *bundle_manifest_peek_json(const struct bundle_manifest_unverified *m) {
    return m->parse.document;
}

void bundle_manifest_peek_free(struct bundle_manifest_unverified *m) {
    if (!m)
        return;
    manifest_parse_clear(&m->parse);
    free(m);
}

int bundle_manifest_check(struct slice signed_part, struct err *e) {
    struct bundle_manifest_unverified *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, &err_memory, "checking a manifest");
    int r = manifest_parse_signed(signed_part, &m->parse, e);
    bundle_manifest_peek_free(m);
    return r;
}

static int check_requires(const struct bundle_manifest_view *view, const struct bundle_facts *facts,
                          struct err *e) {
    char reason[BUNDLE_PREDICATE_REASON_BYTES] = "";
    struct bundle_predicate *predicate = NULL;
    if (bundle_predicate_parse(view->requires, &predicate, e) < 0)
        return err_prefix(e, "what %s %s requires", view->name, view->release);
    bool holds = bundle_predicate_holds(predicate, facts, reason);
    bundle_predicate_free(predicate);
    if (!holds)
        return err_set(e, &err_requirement_unmet, "%s %s is not for this device: %s", view->name,
                       view->release, reason);
    return 0;
}

int bundle_manifest_admits(const struct bundle_manifest_view *view,
                           const struct bundle_facts *facts, const json_t *floors, struct err *e) {
    if (check_requires(view, facts, e) < 0)
        return -1;
    for (size_t i = 0; floors && i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        const json_t *floor = json_object_get(floors, c->name);
        if (floor && (!json_is_integer(floor) || json_integer_value(floor) < 0))
            return err_set(e, &err_internal, "the floor of %s is not a number", c->name);
        if (floor && c->security_version < (uint64_t)json_integer_value(floor))
            return err_set(e, &err_below_floor,
                           "%s has security version %llu, the floor is %lld: it was withdrawn; "
                           "install a newer release",
                           c->name, (unsigned long long)c->security_version,
                           (long long)json_integer_value(floor));
    }
    return 0;
}
