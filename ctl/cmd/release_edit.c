// SPDX-License-Identifier: Apache-2.0
//
// The one way in which targets change; see release.h.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/describe.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/release.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/repo/folder.h"
#include "ctl/repo/targets.h"
#include "ctl/term.h"
#include "keys/kind.h"

int cmd_release_open(struct cmd_release_edit *edit, const struct cmd_context *context,
                     const struct opt_args *args, struct err *e) {
    const char *role = opt_get(args, "role");
    edit->context = context;
    edit->args = args;
    edit->workspace = opt_get(args, "workspace");
    edit->role = role ? role : "targets";
    if (!edit->workspace)
        return err_set(e, &err_usage, "from which root, and with whose keys? Give --workspace DIR");
    if (!text_is_name(edit->role, REPO_TARGETS_NAME_MAX))
        return err_set(e, &err_usage, "\"%.80s\" is no name of a role", edit->role);
    return cmd_source_open(context, args, edit->workspace, CMD_SOURCE_NEEDED, &edit->source, e);
}

void cmd_release_close(struct cmd_release_edit *edit) {
    cmd_source_free(edit->source);
    edit->source = NULL;
    json_decref(edit->said);
    edit->said = NULL;
}

// One attempt: what is current, what waits, and what comes next.
struct attempt {
    struct cmd_document current, next; // content NULL: there is none
    struct keys_role keys;
    struct cmd_keyring ring;
    struct cmd_quorum quorum;
    char name[CMD_PENDING_NAME_BYTES];
    bool changed; // the next one is not what was pending before
    bool waited;  // something was pending before
    size_t added; // signatures made here
};

static void own_drop_attempt(struct attempt *a) {
    cmd_document_clear(&a->current);
    cmd_document_clear(&a->next);
    cmd_keyring_clear(&a->ring);
}

static int find_keys(const struct cmd_release_edit *edit, struct attempt *a, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    if (cmd_workspace_root(edit->workspace, &root, e) < 0)
        return -1;
    a->keys = *keys_root_role(root, KEYS_ROOT_ROLE_TARGETS);
    if (a->keys.n_keys == 0)
        return err_set(e, &err_not_found,
                       "the root has no role targets; edgectl key rotate targets gives it a key, "
                       "and timestamp and snapshot need one each as well");
    if (strcmp(edit->role, "targets") == 0)
        return 0;
    if (cmd_source_current(edit->source, "targets", &targets, e) < 0)
        return -1;
    return cmd_pending_role(targets.content, edit->role, &a->keys, e);
}

// What somebody began, unless others published since: then it could never follow.
static int take_pending(const struct cmd_release_edit *edit, struct attempt *a, struct err *e) {
    (void)snprintf(a->name, sizeof a->name, "%s.json", edit->role);
    if (cmd_pending_load(edit->workspace, a->name, &a->next, e) < 0)
        return -1;
    if (!a->next.content)
        return 0;
    uint64_t now = a->current.content ? a->current.header.version : 0;
    json_int_t previous = json_integer_value(json_object_get(a->next.content, "previous"));
    if (previous >= 0 && (uint64_t)previous == now) {
        a->waited = true;
        return 0;
    }
    (void)fprintf(stderr,
                  "edgectl: %s/pending/%s was made from version %lld, and version %llu is current: "
                  "it is begun anew\n",
                  edit->workspace, a->name, (long long)previous, (unsigned long long)now);
    cmd_document_clear(&a->next);
    return cmd_pending_remove(edit->workspace, a->name, e);
}

static int make_next(const struct cmd_release_edit *edit, struct attempt *a, json_t *content,
                     struct err *e) {
    uint64_t now = a->current.content ? a->current.header.version : 0;
    struct keys_header header = {.version = now + 1};
    struct cmd_document made = CMD_DOCUMENT_NONE;
    size_t lost = a->waited ? a->next.envelope.n_signatures : 0;
    if (cmd_workspace_issued(edit->args, edit->context->clock, &header.issued_s, e) < 0)
        return -1;
    int64_t clock_s = chrono_wall_ms(edit->context->clock) / 1000;
    // Never older than the one before: but one that a clock gone wrong dated ahead must not make
    // every later one as impossible.
    if (a->current.content && header.issued_s < a->current.header.issued_s &&
        a->current.header.issued_s <= clock_s + REPO_FOLDER_AHEAD_MAX_S)
        header.issued_s = a->current.header.issued_s;
    // The larger of the next one and the time, so that nothing restored from a backup goes back.
    if (clock_s > 0 && (uint64_t)clock_s > header.version)
        header.version = (uint64_t)clock_s;
    if (cmd_workspace_expires(edit->args, header.issued_s, REPO_TARGETS_EXPIRES_DEFAULT_S,
                              &header.expires_s, e) < 0)
        return -1;
    if (json_object_set_new(content, "previous", json_integer((json_int_t)now)) < 0)
        return err_set(e, &err_memory, "changing targets: no memory");
    if (cmd_document_make(content, &header, edit->role, &made, e) < 0)
        return -1;
    cmd_document_clear(&a->next);
    a->next = made;
    a->changed = true;
    if (lost > 0)
        (void)fprintf(stderr,
                      "edgectl: %zu signature%s of pending/%s no longer count%s: its contents "
                      "changed\n",
                      lost, lost == 1 ? "" : "s", a->name, lost == 1 ? "s" : "");
    return 0;
}

// CMD_RELEASE_SAME: there is nothing to change, and nothing waits.
static int change(const struct cmd_release_edit *edit, struct attempt *a, struct err *e) {
    OWN(json) json_t *content = NULL;
    const struct cmd_document *base = a->waited ? &a->next : &a->current;
    struct keys_header header;
    if ((base->content
             ? repo_targets_parse(base->envelope.signed_part, edit->role, &content, &header, e)
             : repo_targets_new(&content, e)) < 0)
        return -1;
    int r = edit->change(edit->data, content, e);
    if (r < 0)
        return -1;
    if (r == CMD_RELEASE_SAME)
        return a->waited ? 0 : CMD_RELEASE_SAME;
    return make_next(edit, a, content, e);
}

static int prepare(const struct cmd_release_edit *edit, struct attempt *a, struct err *e) {
    if (cmd_source_refresh(edit->source, e) < 0 || find_keys(edit, a, e) < 0 ||
        cmd_source_current(edit->source, edit->role, &a->current, e) < 0 ||
        take_pending(edit, a, e) < 0 || cmd_keyring_open(edit->workspace, &a->ring, e) < 0)
        return -1;
    int r = change(edit, a, e);
    if (r != 0)
        return r;
    if (cmd_quorum_of_role(&a->next, a->name, edit->role, &a->keys, &a->quorum, e) < 0)
        return -1;
    const struct cmd_quorum_hand hand = {.context = edit->context,
                                         .args = edit->args,
                                         .passphrase = cmd_source_passphrase(edit->source),
                                         .workspace = edit->workspace,
                                         .key_option = edit->key_option};
    return cmd_quorum_sign(&a->quorum, &a->next, a->name, &hand, &a->added, e);
}

// ── What became of it ────────────────────────────────────────────────────────────────────────────

static int tell_json(const struct cmd_release_edit *edit, const struct attempt *a,
                     const char *outcome, const json_t *changes, struct err *e) {
    const struct cmd_document *document = a->next.content ? &a->next : &a->current;
    OWN(json)
    json_t *said = json_pack("{s:s,s:s,s:I,s:O*,s:O*,s:o*}", "outcome", outcome, "role", edit->role,
                             "metadata_version",
                             (json_int_t)(document->content ? document->header.version : 0),
                             "changes", changes, "bundles", edit->said, "signatures",
                             a->next.content ? cmd_quorum_json(&a->quorum, &a->ring) : NULL);
    if (!said)
        return err_set(e, &err_memory, "printing: no memory");
    cmd_print_json(said);
    return 0;
}

static int tell(const struct cmd_release_edit *edit, const struct attempt *a, const char *outcome,
                struct err *e) {
    OWN(json) json_t *changes = NULL;
    const struct cmd_document *before = a->current.content ? &a->current : NULL;
    if (a->next.content && cmd_describe_changes(before, &a->next, &a->ring, &changes, e) < 0)
        return -1;
    if (opt_given(edit->args, "json"))
        return tell_json(edit, a, outcome, changes, e);
    if (!a->next.content) {
        (void)printf("%s: that is so already. Nothing was changed.\n", edit->role);
        return 0;
    }
    cmd_describe_print(&a->next, edit->role, changes);
    cmd_quorum_print(&a->quorum, &a->ring);
    if (strcmp(outcome, "published") == 0)
        (void)printf("published at %s\n", cmd_source_name(edit->source));
    return 0;
}

static int wait_for_others(const struct cmd_release_edit *edit, const struct attempt *a,
                           struct err *e) {
    char text[256];
    if ((a->changed || a->added > 0) && cmd_pending_save(edit->workspace, a->name, &a->next, e) < 0)
        return -1;
    if (tell(edit, a, "pending", e) < 0)
        return -1;
    return err_set(e, &err_pending,
                   "%s/pending/%s waits for %s (edgectl sign FILE, then edgectl "
                   "release publish --metadata FILE)",
                   edit->workspace, a->name,
                   cmd_quorum_missing(&a->quorum, &a->ring, text, sizeof text));
}

// The version is there, or others were faster.
static bool is_conflict(const struct err *why) {
    return err_is(why, &err_conflict) || err_is(why, &err_rollback) || err_is(why, &err_busy);
}

enum { ATTEMPT_LOST = 2 };
static int attempt(struct cmd_release_edit *edit, struct err *e) {
    OWN(attempt) struct attempt a = {.changed = false};
    OWN(fd) int lock = -1;
    struct err why = ERR_NONE;
    bool same = false;
    int r = cmd_pending_lock(edit->workspace, &lock, e);
    if (r == 0)
        r = prepare(edit, &a, e);
    if (r != 0)
        return r < 0 ? -1 : tell(edit, &a, "unchanged", e);
    if (!cmd_quorum_holds(&a.quorum))
        return wait_for_others(edit, &a, e);
    if (cmd_source_put(edit->source, edit->role, &a.next, &same, &why) < 0) {
        if (is_conflict(&why)) {
            (void)err_set(e, &err_conflict, "%s", why.text);
            return ATTEMPT_LOST;
        }
        // Others' signatures are not to be lost for a controller that is away.
        struct err ignored = ERR_NONE;
        if (a.waited)
            (void)cmd_pending_save(edit->workspace, a.name, &a.next, &ignored);
        return err_set(e, why.kind, "%s", why.text);
    }
    if (a.waited && cmd_pending_remove(edit->workspace, a.name, e) < 0)
        return -1;
    // What was published counts as seen: nothing older is taken from now on.
    if (cmd_source_refresh(edit->source, e) < 0)
        return -1;
    return tell(edit, &a, "published", e);
}

int cmd_release_run(struct cmd_release_edit *edit, struct err *e) {
    for (int i = 1; i < CMD_RELEASE_TRIES; i++) {
        int r = attempt(edit, e);
        if (r != ATTEMPT_LOST)
            return r;
        err_clear(e);
        ctl_term_pause(100U * (unsigned)i);
    }
    return attempt(edit, e) == 0 ? 0 : -1;
}

// ── A document that has all signatures ───────────────────────────────────────────────────────────

int cmd_release_finish(struct cmd_release_edit *edit, const char *path, struct err *e) {
    OWN(attempt) struct attempt a = {.changed = false};
    OWN(json) json_t *content = NULL;
    struct keys_header header;
    bool same = false;
    char text[256];
    int r = cmd_document_read(AT_FDCWD, path, &a.next, e);
    if (r != 0)
        return r < 0 ? -1 : err_set(e, &err_not_found, "there is no file %s", path);
    if (repo_targets_parse(a.next.envelope.signed_part, path, &content, &header, e) < 0 ||
        cmd_source_refresh(edit->source, e) < 0 || find_keys(edit, &a, e) < 0 ||
        cmd_source_current(edit->source, edit->role, &a.current, e) < 0 ||
        cmd_keyring_open(edit->workspace, &a.ring, e) < 0 ||
        cmd_quorum_of_role(&a.next, path, edit->role, &a.keys, &a.quorum, e) < 0)
        return -1;
    if (!cmd_quorum_holds(&a.quorum))
        return err_set(e, &err_pending, "%s waits for %s", path,
                       cmd_quorum_missing(&a.quorum, &a.ring, text, sizeof text));
    if (cmd_source_put(edit->source, edit->role, &a.next, &same, e) < 0)
        return -1;
    OWN(document) struct cmd_document pending = CMD_DOCUMENT_NONE;
    (void)snprintf(a.name, sizeof a.name, "%s.json", edit->role);
    if (cmd_pending_load(edit->workspace, a.name, &pending, e) < 0)
        return -1;
    if (pending.content && pending.header.version <= a.next.header.version &&
        cmd_pending_remove(edit->workspace, a.name, e) < 0)
        return -1;
    if (cmd_source_refresh(edit->source, e) < 0)
        return -1;
    return tell(edit, &a, "published", e);
}
