// SPDX-License-Identifier: Apache-2.0
//
// `edgectl root`: the root in force and the next one; who has signed, who is missing, what expires;
// and putting the next one in force.
#include "ctl/cmd/root.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "ctl/cmd/describe.h"
#include "ctl/cmd/expiry.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/source.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "keys/kind.h"

static const struct opt publish_options[] = {CMD_SOURCE_OPTIONS, CMD_PASSPHRASE_OPTION,
                                             CMD_OPTION_JSON, CMD_OPTION_END};
static const struct opt update_options[] = {CMD_SOURCE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};

static int need_workspace(const struct opt_args *args, const char **ret, struct err *e) {
    *ret = opt_get(args, "workspace");
    return *ret ? 0 : err_set(e, &err_usage, "whose root? Give --workspace DIR");
}

// ── publish ──────────────────────────────────────────────────────────────────────────────────────

static int missing(const struct cmd_pending_root *root, const struct cmd_quorum *quorum,
                   const char *workspace, struct err *e) {
    OWN(keyring) struct cmd_keyring ring = CMD_KEYRING_NONE;
    char text[320];
    if (cmd_keyring_open(workspace, &ring, e) < 0)
        return -1;
    return err_set(e, &err_pending, "version %llu waits for %s (edgectl sign %s/pending/%s)",
                   (unsigned long long)root->next.header.version,
                   cmd_quorum_missing(quorum, &ring, text, sizeof text), workspace, root->name);
}

// The workspace's own copies, the controller's first: each step can be done again.
static int keep(const char *workspace, const struct cmd_document *document, struct err *e) {
    OWN(fd) int dir = -1;
    struct stat st;
    if (fs_open_dir(AT_FDCWD, workspace, &dir, e) < 0)
        return -1;
    int server = fs_stat(dir, "server/" CMD_WORKSPACE_ROOT, &st, e);
    if (server < 0 ||
        (server == 0 && fs_replace(dir, "server/" CMD_WORKSPACE_ROOT, document->raw.data,
                                   document->raw.len, CMD_WORKSPACE_FILE_MODE, e) < 0))
        return -1;
    return fs_replace(dir, CMD_WORKSPACE_ROOT, document->raw.data, document->raw.len,
                      CMD_WORKSPACE_FILE_MODE, e);
}

// What an earlier run may have left: the pending file of the root that is in force by now. One with
// other contents was overtaken: to take it for published would lose what it was made for.
static int sweep(const char *workspace, const struct cmd_document *current, struct err *e) {
    OWN(document) struct cmd_document left = CMD_DOCUMENT_NONE;
    char name[CMD_PENDING_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%llu.root.json",
                   (unsigned long long)current->header.version);
    int r = cmd_pending_load(workspace, name, &left, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (!cmd_document_is_same(&left, current))
        return err_set(e, &err_conflict,
                       "another root than %s/" CMD_PENDING_DIR "/%s is in force as version %llu, "
                       "and lacks what this one was to change: remove this file, and make its "
                       "changes again",
                       workspace, name, (unsigned long long)current->header.version);
    return cmd_pending_remove(workspace, name, e);
}

struct publishing {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *workspace;
    struct cmd_pending_root root;
    struct cmd_source *source;
};

static bool is_broken(const struct err *why) {
    static const struct err_kind *const broken[] = {
        &err_below_threshold, &err_bad_signature, &err_expired,       &err_digest_mismatch,
        &err_not_found,       &err_rollback,      &err_not_canonical, &err_syntax};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        if (err_is(why, broken[i]))
            return true;
    return false;
}

// Seen before the keys change: what was verified by the old keys is what new keys sign anew.
static int look_before(struct publishing *p, struct err *e) {
    struct err why = ERR_NONE;
    if (keys_root_role(p->root.trusted, KEYS_ROOT_ROLE_TARGETS)->n_keys == 0)
        return 0;
    if (cmd_source_refresh(p->source, &why) >= 0)
        return 0;
    // A root is how a broken repository is mended: that must not stand in its way. But what could
    // not be read or kept now could never be signed anew.
    if (!is_broken(&why))
        return err_set(e, why.kind, "%s", why.text);
    (void)fprintf(stderr, "edgectl: the repository as it is does not hold: %s\n", why.text);
    return 0;
}

static bool other_targets(const struct publishing *p) {
    struct cmd_quorum quorum;
    struct err ignored = ERR_NONE;
    OWN(document) struct cmd_document seen = CMD_DOCUMENT_NONE;
    OWN(root) struct keys_root *root = NULL;
    if (cmd_source_current(p->source, "targets", &seen, &ignored) != 0 ||
        cmd_workspace_root(p->workspace, &root, &ignored) < 0)
        return false;
    return cmd_quorum_of_role(&seen, "targets", "targets",
                              keys_root_role(root, KEYS_ROOT_ROLE_TARGETS), &quorum,
                              &ignored) < 0 ||
           !cmd_quorum_holds(&quorum);
}

// Rollouts that were under way before, and the pins and baselines, go on with what is signed alone.
static void warn_of_mandates(const struct publishing *p) {
    OWN(root) struct keys_root *now = NULL;
    struct err none = ERR_NONE;
    const enum keys_root_role role = KEYS_ROOT_ROLE_MANDATE;
    if (!p->root.next.content || !p->root.trusted ||
        keys_root_role(p->root.trusted, role)->n_keys > 0 ||
        keys_root_advance(p->root.trusted, buf_slice(&p->root.next.raw), &now, &none) < 0 ||
        keys_root_role(now, role)->n_keys == 0)
        return;
    (void)fprintf(
        stderr, "WARNING: this root has the role mandate, and the one before had not. From now on "
                "devices install nothing that it did not sign for: rollouts under way, baselines "
                "and pins stand still (no_mandate) until they are planned and signed anew.\n");
}

// What became of a root: it came into force now, or it was before.
enum outcome { OUTCOME_PUBLISHED, OUTCOME_SAME };
static int tell_published(const struct publishing *p, const struct keys_header *root,
                          enum outcome outcome, struct err *e) {
    OWN(json) json_t *expiring = NULL;
    bool anew = other_targets(p);
    if (cmd_expiry_tell_root(root, chrono_wall_ms(p->context->clock) / 1000, &expiring, e) < 0)
        return -1;
    if (opt_given(p->args, "json")) {
        OWN(json)
        json_t *said =
            json_pack("{s:I,s:b,s:s,s:b,s:O}", "version", (json_int_t)root->version, "published",
                      outcome == OUTCOME_PUBLISHED, "repository", cmd_source_name(p->source),
                      "targets_to_sign", anew, "expiring", expiring);
        if (!said)
            return err_set(e, &err_memory, "printing: no memory");
        cmd_print_json(said);
        return 0;
    }
    (void)printf("root version %llu %s in force at %s\n", (unsigned long long)root->version,
                 outcome == OUTCOME_SAME ? "was" : "is", cmd_source_name(p->source));
    if (anew)
        (void)printf("Its keys for targets are others than those that signed the current ones: "
                     "edgectl release renew --workspace %s\n",
                     p->workspace);
    return 0;
}

// Nothing is pending: the root that is here may still be missing there.
static int publish_again(struct publishing *p, struct err *e) {
    bool same = false;
    if (cmd_source_put(p->source, "root", &p->root.current, &same, e) < 0 ||
        keep(p->workspace, &p->root.current, e) < 0)
        return -1;
    return tell_published(p, &p->root.current.header, same ? OUTCOME_SAME : OUTCOME_PUBLISHED, e);
}

static int publish_next(struct publishing *p, struct err *e) {
    struct cmd_quorum quorum;
    OWN(root) struct keys_root *next = NULL;
    bool same = false;
    const struct cmd_document *document = &p->root.next;
    if (cmd_quorum_of_root(document, p->root.name, p->root.trusted, &quorum, e) < 0)
        return -1;
    if (!cmd_quorum_holds(&quorum))
        return missing(&p->root, &quorum, p->workspace, e);
    // As a device would; what devices refuse must not be published.
    if (keys_root_advance(p->root.trusted, buf_slice(&document->raw), &next, e) < 0 ||
        keys_envelope_check_expiry(&document->header, p->root.name,
                                   chrono_wall_ms(p->context->clock) / 1000, e) < 0)
        return -1;
    warn_of_mandates(p);
    if (cmd_source_put(p->source, "root", document, &same, e) < 0 ||
        keep(p->workspace, document, e) < 0 || sweep(p->workspace, document, e) < 0)
        return -1;
    return tell_published(p, &document->header, same ? OUTCOME_SAME : OUTCOME_PUBLISHED, e);
}

static int publish(struct publishing *p, struct err *e) {
    OWN(fd) int lock = -1;
    if (need_workspace(p->args, &p->workspace, e) < 0 ||
        cmd_pending_lock(p->workspace, &lock, e) < 0 ||
        cmd_source_open(p->context, p->args, p->workspace, CMD_SOURCE_NEEDED, &p->source, e) < 0 ||
        cmd_pending_root_open(p->workspace, &p->root, e) < 0 || look_before(p, e) < 0)
        return -1;
    // The refresh may have brought this very root: somebody else published it, or we did and were
    // interrupted.
    cmd_pending_root_clear(&p->root);
    if (cmd_pending_root_open(p->workspace, &p->root, e) < 0 ||
        sweep(p->workspace, &p->root.current, e) < 0)
        return -1;
    return p->root.next.content ? publish_next(p, e) : publish_again(p, e);
}

static int run_publish(void *context, const struct opt_args *args, struct err *e) {
    struct publishing p = {.context = context, .args = args};
    int r = publish(&p, e);
    cmd_source_free(p.source);
    cmd_pending_root_clear(&p.root);
    return r < 0 ? err_prefix(e, "publishing the root") : 0;
}

// ── update ───────────────────────────────────────────────────────────────────────────────────────

static int run_update(void *context, const struct opt_args *args, struct err *e) {
    OWN(source) struct cmd_source *source = NULL;
    OWN(root) struct keys_root *before = NULL;
    OWN(fd) int lock = -1;
    const char *workspace = NULL;
    uint64_t version = 0;
    if (need_workspace(args, &workspace, e) < 0 || cmd_workspace_root(workspace, &before, e) < 0 ||
        cmd_pending_lock(workspace, &lock, e) < 0 ||
        cmd_source_open(context, args, workspace, CMD_SOURCE_NEEDED, &source, e) < 0 ||
        cmd_source_update_root(source, &version, e) < 0)
        return err_prefix(e, "updating the root");
    bool changed = keys_root_header(before)->version != version;
    if (opt_given(args, "json")) {
        OWN(json)
        json_t *said = json_pack("{s:I,s:b}", "version", (json_int_t)version, "changed", changed);
        if (said)
            cmd_print_json(said);
        return 0;
    }
    (void)printf("%s/root.json %s version %llu\n", workspace, changed ? "is now" : "is still",
                 (unsigned long long)version);
    return 0;
}

const struct opt_command cmd_root[] = {
    {.name = "root status",
     .operands = "",
     .help = "Say which keys may do what, what waits for whose signature, and what expires",
     .options = cmd_root_status_options,
     .run = cmd_root_status},
    {.name = "root publish",
     .operands = "",
     .help = "Put the next root in force, once old and new threshold have signed it",
     .options = publish_options,
     .run = run_publish},
    {.name = "root update",
     .operands = "",
     .help = "Bring the workspace's root.json up to date from the repository",
     .options = update_options,
     .run = run_update},
    {.name = NULL}};
