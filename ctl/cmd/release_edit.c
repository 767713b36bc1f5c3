// SPDX-License-Identifier: Apache-2.0
//
// The one way in which targets change; see release.h.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/describe.h"
#include "ctl/cmd/expiry.h"
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

// One attempt: what is current, what waits, and what comes next.
struct cmd_release_attempt {
    int lock;                          // of what is pending
    struct cmd_document current, next; // content NULL: there is none
    json_t *content;                   // being changed
    struct keys_role keys;
    struct cmd_keyring ring;
    struct cmd_quorum quorum;
    char name[CMD_PENDING_NAME_BYTES];
    bool changed; // the next one is not what was pending before
    bool waited;  // something was pending before
    size_t added; // signatures made here
};

static void own_drop_attempt(struct cmd_release_attempt *a) {
    cmd_document_clear(&a->current);
    cmd_document_clear(&a->next);
    cmd_keyring_clear(&a->ring);
    json_decref(a->content);
    own_drop_fd(&a->lock);
}

static void drop_attempt(struct cmd_release_edit *edit) {
    if (edit->attempt)
        own_drop_attempt(edit->attempt);
    free(edit->attempt);
    edit->attempt = NULL;
    edit->content = NULL;
}

void cmd_release_close(struct cmd_release_edit *edit) {
    drop_attempt(edit);
    cmd_source_free(edit->source);
    edit->source = NULL;
    json_decref(edit->said);
    edit->said = NULL;
}

static int find_keys(const struct cmd_release_edit *edit, struct keys_role *ret, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    if (cmd_workspace_root(edit->workspace, &root, e) < 0)
        return -1;
    *ret = *keys_root_role(root, KEYS_ROOT_ROLE_TARGETS);
    if (ret->n_keys == 0)
        return err_set(e, &err_not_found,
                       "the root has no role targets; edgectl key rotate targets gives it a key, "
                       "and timestamp and snapshot need one each as well");
    if (strcmp(edit->role, "targets") == 0)
        return 0;
    if (cmd_source_current(edit->source, "targets", &targets, e) < 0)
        return -1;
    return cmd_pending_role(targets.content, edit->role, ret, e);
}

// What somebody began, unless others published since: then it could never follow.
static int take_pending(const struct cmd_release_edit *edit, struct cmd_release_attempt *a,
                        struct err *e) {
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

static int make_next(const struct cmd_release_edit *edit, struct cmd_release_attempt *a,
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
    if (json_object_set_new(a->content, "previous", json_integer((json_int_t)now)) < 0)
        return err_set(e, &err_memory, "changing targets: no memory");
    if (cmd_document_make(a->content, &header, edit->role, &made, e) < 0)
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

static int begin(const struct cmd_release_edit *edit, struct cmd_release_attempt *a,
                 struct err *e) {
    struct keys_header header;
    if (cmd_pending_lock(edit->workspace, &a->lock, e) < 0 ||
        cmd_source_refresh(edit->source, e) < 0 || find_keys(edit, &a->keys, e) < 0 ||
        cmd_source_current(edit->source, edit->role, &a->current, e) < 0 ||
        take_pending(edit, a, e) < 0 || cmd_keyring_open(edit->workspace, &a->ring, e) < 0)
        return -1;
    const struct cmd_document *base = a->waited ? &a->next : &a->current;
    return base->content
               ? repo_targets_parse(base->envelope.signed_part, edit->role, &a->content, &header, e)
               : repo_targets_new(&a->content, e);
}

int cmd_release_begin(struct cmd_release_edit *edit, struct err *e) {
    drop_attempt(edit);
    edit->attempt = calloc(1, sizeof *edit->attempt);
    if (!edit->attempt)
        return err_set(e, &err_memory, "changing targets: no memory");
    edit->attempt->lock = -1;
    if (begin(edit, edit->attempt, e) < 0)
        return -1;
    edit->content = edit->attempt->content;
    edit->changed = false;
    return CMD_RELEASE_CHANGE;
}

static struct cmd_quorum_hand hand_of(const struct cmd_release_edit *edit) {
    return (struct cmd_quorum_hand){.context = edit->context,
                                    .args = edit->args,
                                    .passphrase = cmd_source_passphrase(edit->source),
                                    .workspace = edit->workspace,
                                    .key_option = edit->key_option,
                                    .keys_folder = edit->keys_folder};
}

static int sign(const struct cmd_release_edit *edit, struct cmd_release_attempt *a, struct err *e) {
    const struct cmd_quorum_hand hand = hand_of(edit);
    if ((edit->changed && make_next(edit, a, e) < 0) ||
        cmd_quorum_of_role(&a->next, a->name, edit->role, &a->keys, &a->quorum, e) < 0)
        return -1;
    return cmd_quorum_sign(&a->quorum, &a->next, a->name, &hand, &a->added, e);
}

int cmd_release_check(struct cmd_release_edit *edit, struct err *e) {
    struct cmd_quorum quorum = {.n = 1};
    const struct cmd_quorum_hand hand = hand_of(edit);
    quorum.parts[0].whose = edit->role;
    if (cmd_source_refresh(edit->source, e) < 0 || find_keys(edit, &quorum.parts[0].role, e) < 0)
        return -1;
    return cmd_quorum_check(&quorum, edit->role, &hand, e);
}

// ── What became of it ────────────────────────────────────────────────────────────────────────────

void cmd_release_say(const struct cmd_release_edit *edit, json_t *said) {
    if (!edit->answer) {
        cmd_print_json(said);
        return;
    }
    json_decref(*edit->answer);
    *edit->answer = json_incref(said);
}

// What was published is worth nothing under a root that devices do not take any more.
static int warn(const struct cmd_release_edit *edit, json_t **ret_expiring, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (cmd_workspace_root(edit->workspace, &root, e) < 0)
        return -1;
    return cmd_expiry_tell_root(keys_root_header(root), chrono_wall_ms(edit->context->clock) / 1000,
                                ret_expiring, e);
}

static int tell_json(const struct cmd_release_edit *edit, const struct cmd_release_attempt *a,
                     const char *outcome, const json_t *changes, const json_t *expiring,
                     struct err *e) {
    const struct cmd_document *document = a->next.content ? &a->next : &a->current;
    OWN(json)
    json_t *said = json_pack(
        "{s:s,s:s,s:I,s:O*,s:o*,s:O}", "outcome", outcome, "role", edit->role, "metadata_version",
        (json_int_t)(document->content ? document->header.version : 0), "changes", changes,
        "signatures", a->next.content ? cmd_quorum_json(&a->quorum, &a->ring) : NULL, "expiring",
        expiring);
    if (!said || (edit->said && json_object_update(said, edit->said) < 0))
        return err_set(e, &err_memory, "printing: no memory");
    cmd_release_say(edit, said);
    return 0;
}

static int tell(const struct cmd_release_edit *edit, const struct cmd_release_attempt *a,
                const char *outcome, struct err *e) {
    OWN(json) json_t *changes = NULL;
    OWN(json) json_t *expiring = NULL;
    const struct cmd_document *before = a->current.content ? &a->current : NULL;
    if (warn(edit, &expiring, e) < 0)
        return -1;
    if (a->next.content && cmd_describe_changes(before, &a->next, &a->ring, &changes, e) < 0)
        return -1;
    if (opt_given(edit->args, "json"))
        return tell_json(edit, a, outcome, changes, expiring, e);
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

static int wait_for_others(const struct cmd_release_edit *edit, const struct cmd_release_attempt *a,
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
    return err_is(why, &err_conflict) || err_is(why, &err_rollback);
}

// What was published counts as seen: nothing older is taken from now on. Whatever fails from here on
// does not take it back.
static int read_back(const struct cmd_release_edit *edit, struct err *e) {
    return cmd_source_refresh(edit->source, e) < 0 ? err_prefix(e, "reading it back") : 0;
}

static int end_published(struct err *e) {
    return err_prefix(e, "it is published");
}

enum { ATTEMPT_LOST = 2 };
static int publish(struct cmd_release_edit *edit, struct cmd_release_attempt *a, struct err *e) {
    struct err why = ERR_NONE;
    bool same = false;
    if (!edit->changed && !a->waited)
        return tell(edit, a, "unchanged", e);
    if (sign(edit, a, e) < 0)
        return -1;
    if (!cmd_quorum_holds(&a->quorum))
        return wait_for_others(edit, a, e);
    edit->sent = true;
    if (cmd_source_put(edit->source, edit->role, &a->next, &same, &why) < 0) {
        if (is_conflict(&why)) {
            edit->sent = false;
            (void)err_set(e, &err_conflict, "%s", why.text);
            return ATTEMPT_LOST;
        }
        // Others' signatures are not to be lost for a controller that is away.
        struct err ignored = ERR_NONE;
        if (a->waited)
            (void)cmd_pending_save(edit->workspace, a->name, &a->next, &ignored);
        return err_set(e, why.kind, "%s", why.text);
    }
    if ((a->waited && cmd_pending_remove(edit->workspace, a->name, e) < 0) ||
        read_back(edit, e) < 0 || tell(edit, a, "published", e) < 0)
        return end_published(e);
    return 0;
}

int cmd_release_put(struct cmd_release_edit *edit, struct err *e) {
    int r = publish(edit, edit->attempt, e);
    drop_attempt(edit);
    if (r != ATTEMPT_LOST)
        return r;
    if (++edit->lost == CMD_RELEASE_TRIES)
        return -1;
    err_clear(e);
    ctl_term_pause(100U * (unsigned)edit->lost);
    return cmd_release_begin(edit, e);
}

// ── A document that has all signatures ───────────────────────────────────────────────────────────

// The same document, waiting here, has come to its end. Another one stays: whoever takes it up is
// told what became of it.
static int sweep(const struct cmd_release_edit *edit, struct cmd_release_attempt *a,
                 struct err *e) {
    OWN(document) struct cmd_document pending = CMD_DOCUMENT_NONE;
    (void)snprintf(a->name, sizeof a->name, "%s.json", edit->role);
    if (cmd_pending_load(edit->workspace, a->name, &pending, e) < 0)
        return -1;
    return pending.content && cmd_document_is_same(&pending, &a->next)
               ? cmd_pending_remove(edit->workspace, a->name, e)
               : 0;
}

int cmd_release_finish(struct cmd_release_edit *edit, const char *path, struct err *e) {
    OWN(attempt) struct cmd_release_attempt a = {.lock = -1};
    struct keys_header header;
    bool same = false;
    char text[256];
    int r = cmd_document_read(AT_FDCWD, path, &a.next, e);
    if (r != 0)
        return r < 0 ? -1 : err_set(e, &err_not_found, "there is no file %s", path);
    if (repo_targets_parse(a.next.envelope.signed_part, path, &a.content, &header, e) < 0 ||
        cmd_pending_lock(edit->workspace, &a.lock, e) < 0 ||
        cmd_source_refresh(edit->source, e) < 0 || find_keys(edit, &a.keys, e) < 0 ||
        cmd_source_current(edit->source, edit->role, &a.current, e) < 0 ||
        cmd_keyring_open(edit->workspace, &a.ring, e) < 0 ||
        cmd_quorum_of_role(&a.next, path, edit->role, &a.keys, &a.quorum, e) < 0)
        return -1;
    if (!cmd_quorum_holds(&a.quorum))
        return err_set(e, &err_pending, "%s waits for %s", path,
                       cmd_quorum_missing(&a.quorum, &a.ring, text, sizeof text));
    if (cmd_source_put(edit->source, edit->role, &a.next, &same, e) < 0)
        return -1;
    if (sweep(edit, &a, e) < 0 || read_back(edit, e) < 0 || tell(edit, &a, "published", e) < 0)
        return end_published(e);
    return 0;
}
