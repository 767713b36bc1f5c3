// SPDX-License-Identifier: Apache-2.0
//
// The floors that a release declares; see release_floors.h.
#include "ctl/cmd/release_floors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "bundle/target.h"
#include "ctl/cmd/bundle.h"
#include "ctl/cmd/print.h"
#include "ctl/kind.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"
#include "keys/tuf/delegation.h"

// The manifest with its header, and the header behind it.
#define HEAD_BYTES (BUNDLE_MANIFEST_MAX_BYTES + 2 * BUNDLE_SKELETON_BLOCK)

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "reading floors: no memory");
}

int cmd_release_floors_open(struct cmd_release_floors *f, const struct cmd_context *context,
                            const struct opt_args *args, struct err *e) {
    return cmd_release_open(&f->edit, context, args, e) < 0 ||
                   cmd_remote_open(args, &f->client, e) < 0
               ? -1
               : 0;
}

void cmd_release_floors_close(struct cmd_release_floors *f) {
    cmd_release_close(&f->edit);
    own_drop_net_client(&f->client);
    own_drop_json(&f->floors);
    own_drop_json(&f->weakest);
}

// ── What one bundle says ─────────────────────────────────────────────────────────────────────────

static int note_component(struct cmd_release_floors *f, const struct bundle_component *c,
                          const char *variant, struct err *e) {
    const json_t *known = json_object_get(f->weakest, c->name);
    if (known && (uint64_t)cmd_print_integer(known, "security_version") <= c->security_version)
        return 0;
    json_t *weakest = json_pack("{s:I,s:s}", "security_version", (json_int_t)c->security_version,
                                "variant", variant);
    return json_object_set_new(f->weakest, c->name, weakest) < 0 ? no_memory(e) : 0;
}

static int note_manifest(struct cmd_release_floors *f, const struct bundle_manifest_view *view,
                         struct err *e) {
    const char *component = NULL;
    json_t *floor = NULL;
    for (size_t i = 0; i < view->n_components; i++)
        if (note_component(f, &view->components[i], view->variant, e) < 0)
            return -1;
    json_object_foreach ((json_t *)view->floors, component, floor) // of none when it is NULL
        if (json_integer_value(floor) > cmd_print_integer(f->floors, component) &&
            json_object_set(f->floors, component, floor) < 0)
            return no_memory(e);
    return 0;
}

// The head of a bundle as a source: what lies behind it is never asked for.
static int read_head(void *context, uint64_t offset, void *data, size_t len, struct err *e) {
    const struct buf *head = context;
    if (offset > head->len || len > head->len - offset)
        return err_set(e, &err_truncated, "the bundle ends within its manifest");
    memcpy(data, head->data + offset, len);
    return 0;
}

static uint64_t size_unknown(void *context) {
    (void)context;
    return UINT64_MAX;
}

static int fetch_head(struct cmd_release_floors *f, const struct bundle_target *target,
                      struct buf *ret, struct err *e) {
    char path[KEYS_DIGEST_HEX + 32];
    (void)snprintf(path, sizeof path, "/bundles/%s.edge", target->id);
    int r = net_client_fetch_head(f->client, path, ret, e);
    if (r == NET_CLIENT_ABSENT)
        return err_set(e, &err_not_found,
                       "the targets name it, and the controller does not have it (release publish "
                       "gives it there, release withdraw takes the release out of the targets)");
    return r;
}

// As a device does, whatever the bytes came from.
static int verify_head(const struct cmd_release_floors *f, struct buf *head,
                       const struct bundle_target *target, struct bundle_manifest **ret,
                       struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(unpack_candidate) struct unpack_candidate *candidate = NULL;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    const struct unpack_source source = {.read = read_head, .size = size_unknown, .context = head};
    char id[KEYS_DIGEST_HEX];
    if (cmd_workspace_root(f->edit.workspace, &root, e) < 0 ||
        unpack_open(&source, &candidate, e) < 0 ||
        bundle_manifest_verify_root(unpack_candidate_manifest(candidate), root, &manifest, e) < 0)
        return -1;
    const struct bundle_manifest_view *view = bundle_manifest_view(manifest);
    if (strcmp(keys_digest_hex(bundle_manifest_id(manifest), id), target->id) != 0 ||
        strcmp(view->name, target->name) != 0 || strcmp(view->release, target->release) != 0)
        return err_set(e, &err_digest_mismatch, "the controller gives another bundle, %s %s (%.8s)",
                       view->name, view->release, id);
    *ret = own_take(&manifest);
    return 0;
}

// The limits of the delegation that names it, as devices judge them.
static int judge(const json_t *delegation, const struct bundle_manifest_view *view, struct err *e) {
    for (size_t i = 0; delegation && i < view->n_components; i++) {
        const struct bundle_component *c = &view->components[i];
        bool executable = c->executable || c->type == BUNDLE_COMPONENT_IMAGE;
        if (repo_targets_allows(delegation, c->name, executable, e) < 0)
            return -1;
    }
    return 0;
}

static int read_bundle(struct cmd_release_floors *f, const struct bundle_target *target,
                       const json_t *delegation, struct err *e) {
    OWN(buf) struct buf head;
    OWN(manifest) struct bundle_manifest *manifest = NULL;
    buf_init(&head, HEAD_BYTES);
    if (++f->bundles > CMD_RELEASE_FLOORS_BUNDLES_MAX)
        return err_set(e, &err_limit, "the targets name more than %d bundles of %s %s",
                       CMD_RELEASE_FLOORS_BUNDLES_MAX, f->name, f->version);
    if (fetch_head(f, target, &head, e) < 0 || verify_head(f, &head, target, &manifest, e) < 0 ||
        judge(delegation, bundle_manifest_view(manifest), e) < 0)
        return err_prefix(e, "bundle %.8s of %s %s", target->id, target->name, target->release);
    return note_manifest(f, bundle_manifest_view(manifest), e);
}

// ── Which bundles ────────────────────────────────────────────────────────────────────────────────

// Whether a delegation's pattern leaves room for a bundle of this release, whatever its id.
static bool is_for(const json_t *delegation, const char *folder) {
    const json_t *paths = json_object_get(delegation, "paths");
    size_t i;
    json_t *pattern;
    json_array_foreach (paths, i, pattern) {
        const char *text = json_string_value(pattern);
        const char *slash = text ? strrchr(text, '/') : NULL;
        OWN(mem) char *above = slash ? strndup(text, (size_t)(slash - text)) : NULL;
        if (above && tuf_delegation_glob(above, folder))
            return true;
    }
    return !paths; // by hash prefixes: nobody can tell
}

// Whether a device that looks for the path comes to the n-th delegation.
static bool leads_to(const json_t *delegations, size_t n, const char *path) {
    for (size_t i = 0; i < n; i++) {
        const json_t *before = json_array_get(delegations, i);
        if (json_is_true(json_object_get(before, "terminating")) &&
            repo_targets_matches(before, path))
            return false;
    }
    return repo_targets_matches(json_array_get(delegations, n), path);
}

// The bundles of the release among the targets of one role: the n-th delegation, or the top level
// when there are no delegations on the way.
static int read_targets(struct cmd_release_floors *f, const json_t *content,
                        const json_t *delegations, size_t n, struct err *e) {
    const char *path = NULL;
    json_t *entry = NULL;
    json_object_foreach (json_object_get(content, "targets"), path, entry) {
        struct bundle_target target;
        struct err ignored = ERR_NONE;
        if (bundle_target_parse(path, &target, &ignored) < 0 || bundle_target_is_delta(&target) ||
            strcmp(target.name, f->name) != 0 || strcmp(target.release, f->version) != 0)
            continue;
        if (delegations && !leads_to(delegations, n, path))
            continue;
        if (read_bundle(f, &target, json_array_get(delegations, n), e) < 0)
            return -1;
    }
    return 0;
}

static int read_delegated(struct cmd_release_floors *f, const json_t *targets, struct err *e) {
    char folder[BUNDLE_TARGET_PATH_BYTES];
    const json_t *roles = json_object_get(json_object_get(targets, "delegations"), "roles");
    (void)snprintf(folder, sizeof folder, "%s/%s", f->name, f->version);
    for (size_t i = 0; i < json_array_size(roles); i++) {
        OWN(document) struct cmd_document role = CMD_DOCUMENT_NONE;
        const json_t *delegation = json_array_get(roles, i);
        if (!is_for(delegation, folder))
            continue;
        if (cmd_source_current(f->edit.source, cmd_print_string(delegation, "name"), &role, e) <
                0 ||
            read_targets(f, role.content, roles, i, e) < 0)
            return -1;
    }
    return 0;
}

// A floor above what one of the bundles has would shut out the devices that this bundle is for.
static int check_agreement(const struct cmd_release_floors *f, struct err *e) {
    const char *component = NULL;
    json_t *floor = NULL;
    json_object_foreach (f->floors, component, floor) {
        const json_t *weakest = json_object_get(f->weakest, component);
        json_int_t has = cmd_print_integer(weakest, "security_version");
        const char *variant = cmd_print_string(weakest, "variant");
        if (has < json_integer_value(floor))
            return err_set(e, &err_below_floor,
                           "%s %s declares the floor %lld for %s, and %s%s of the same release has "
                           "security version %lld: its devices could never install it again",
                           f->name, f->version, (long long)json_integer_value(floor), component,
                           *variant ? "the variant " : "another bundle", variant, (long long)has);
    }
    return 0;
}

// Everything anew, of what the last refresh found: others may have published meanwhile. The top
// level is `content`, or the current one when that is NULL; delegated roles are as they are now.
static int read_release(struct cmd_release_floors *f, const json_t *content, struct err *e) {
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    own_drop_json(&f->floors);
    own_drop_json(&f->weakest);
    f->bundles = 0;
    f->floors = json_object();
    f->weakest = json_object();
    if (!f->floors || !f->weakest)
        return no_memory(e);
    if (cmd_source_current(f->edit.source, "targets", &targets, e) < 0 ||
        read_targets(f, content ? content : targets.content, NULL, 0, e) < 0 ||
        read_delegated(f, targets.content, e) < 0)
        return -1;
    if (f->bundles == 0)
        return err_set(e, &err_not_published, "the targets name no bundle of %s %s", f->name,
                       f->version);
    return check_agreement(f, e);
}

static int look_at_release(struct cmd_release_floors *f, const char *name, const char *version,
                           struct err *e) {
    f->name = name;
    f->version = version;
    return cmd_source_refresh(f->edit.source, e) < 0 ? -1 : read_release(f, NULL, e);
}

// ── Before and after a rollout ───────────────────────────────────────────────────────────────────

// What the controller demands of who puts targets there (ctl/serve/route.c).
static int check_token(const struct cmd_release_floors *f, struct err *e) {
    OWN(json) json_t *who = NULL;
    char shown[64];
    if (net_client_get(f->client, "/api/v1/whoami", &who, e) < 0)
        return -1;
    const char *role = cmd_print_string(who, "role");
    bool may = strcmp(role, "publisher") == 0 || strcmp(role, "admin") == 0;
    if (may && !*cmd_print_string(who, "selector"))
        return 0;
    return err_set(e, &err_permission,
                   "the token (role %s) may not publish targets, which takes a publisher or admin "
                   "of the whole fleet: leave out --raise-floors, and give such a token to edgectl "
                   "release floor --rollout afterwards",
                   text_safe(role, shown, sizeof shown));
}

int cmd_release_floors_check(struct cmd_release_floors *f, const char *name, const char *version,
                             struct err *e) {
    if (check_token(f, e) < 0 || cmd_release_check(&f->edit, e) < 0 ||
        look_at_release(f, name, version, e) < 0)
        return -1;
    if (json_object_size(f->floors) == 0)
        (void)fprintf(stderr,
                      "edgectl: %s %s declares no floors: --raise-floors has none to raise\n", name,
                      version);
    return 0;
}

static int raise_in(struct cmd_release_floors *f, struct err *e) {
    struct cmd_release_edit *edit = &f->edit;
    const char *component = NULL;
    json_t *floor = NULL;
    json_object_foreach (f->floors, component, floor) {
        const json_t *now = json_object_get(edit->content, "floors");
        json_int_t wanted = json_integer_value(floor);
        if (wanted <= cmd_print_integer(now, component))
            continue;
        if (repo_targets_floor(edit->content, component, (uint64_t)wanted, e) < 0)
            return -1;
        edit->changed = true;
    }
    return json_object_set(edit->said, "floors", f->floors) < 0 ? no_memory(e) : 0;
}

// What floors there are to raise is read from the very targets that are changed, each time: a
// weaker variant that came in between would be shut out for ever.
static int raise_declared(struct cmd_release_floors *f, struct err *e) {
    int r = cmd_release_begin(&f->edit, e);
    while (r == CMD_RELEASE_CHANGE) {
        if (read_release(f, f->edit.content, e) < 0 || raise_in(f, e) < 0)
            return -1;
        r = cmd_release_put(&f->edit, e);
    }
    return r;
}

// Nothing is declared, so whatever else waits for signatures is left alone.
static int say_nothing(const struct cmd_release_floors *f, struct err *e) {
    if (!opt_given(f->edit.args, "json")) {
        (void)printf("%s %s declares no floors: nothing is raised\n", f->name, f->version);
        return 0;
    }
    OWN(json) json_t *said = json_pack("{s:s,s:s}", "outcome", "unchanged", "role", "targets");
    if (!said || json_object_update(said, f->edit.said) < 0)
        return no_memory(e);
    cmd_release_say(&f->edit, said);
    return 0;
}

int cmd_release_floors_raise(struct cmd_release_floors *f, const char *rollout, const char *name,
                             const char *version, struct err *e) {
    if (look_at_release(f, name, version, e) < 0)
        return -1;
    json_decref(f->edit.said);
    f->edit.said = json_pack("{s:s,s:{s:s,s:s},s:O}", "rollout", rollout, "release", "name", name,
                             "version", version, "floors", f->floors);
    if (!f->edit.said)
        return no_memory(e);
    return json_object_size(f->floors) == 0 ? say_nothing(f, e) : raise_declared(f, e);
}

int cmd_release_floors_of_rollout(const struct cmd_context *context, const struct opt_args *args,
                                  const char *rollout, struct err *e) {
    OWN(release_floors) struct cmd_release_floors f = CMD_RELEASE_FLOORS_NONE;
    OWN(json) json_t *shown = NULL;
    OWN(buf) struct buf path;
    char state[64];
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_release_floors_open(&f, context, args, e) < 0 ||
        cmd_remote_path(&path, e, "rollouts/%", rollout) < 0 ||
        net_client_get(f.client, buf_text(&path), &shown, e) < 0)
        return -1;
    const json_t *release = json_object_get(shown, "release");
    const char *name = cmd_print_string(release, "name");
    const char *version = cmd_print_string(release, "version");
    if (strcmp(cmd_print_string(shown, "state"), "finished") != 0)
        return err_set(e, &err_rollout_state,
                       "it is %s: floors are raised for a rollout that has finished",
                       text_safe(cmd_print_string(shown, "state"), state, sizeof state));
    if (!text_is_name(name, BUNDLE_NAME_MAX) || !text_is_name(version, BUNDLE_RELEASE_MAX))
        return err_set(e, &err_controller_garbage, "the controller does not say of which release");
    return cmd_release_floors_raise(&f, rollout, name, version, e);
}
