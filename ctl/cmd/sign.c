// SPDX-License-Identifier: Apache-2.0
//
// `edgectl sign FILE`: one more signature on a pending document. The signer needs the root they
// trust and a key, nothing else of the workspace where the document was made. What would change is
// shown first; a document that is no next version of what this root knows is not signed at all.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/describe.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/root_edit.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/workspace.h"
#include "ctl/repo/targets.h"
#include "keys/kind.h"

static const struct opt options[] = {
    CMD_WORKSPACE_OPTION,
    {.name = "root", .value = "FILE", .help = "The root.json to trust (else the workspace's)"},
    CMD_SIGNERS_OPTIONS,
    CMD_PASSPHRASE_OPTION,
    {.name = "role",
     .value = "NAME",
     .help = "The delegated role this is for (else after the file's name)"},
    {.name = "current",
     .value = "FILE",
     .help = "What is in force now, to compare with (else what this workspace saw last)"},
    {.name = "targets",
     .value = "FILE",
     .help = "The targets that delegate to the role (else what this workspace saw last)"},
    {.name = "merge",
     .repeat = true,
     .value = "FILE",
     .help = "Also take the signatures of this copy of the document"},
    {.name = "yes", .help = "Do not ask: what is signed was read before"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct signing {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *path, *workspace;
    char role[REPO_TARGETS_NAME_MAX + 1]; // "root", "targets", or a delegated role
    struct keys_root *root;
    struct cmd_document document, before; // before: content NULL when it is not at hand
    struct cmd_keyring ring;
    struct cmd_quorum quorum;
    struct cmd_passphrase passphrase;
};

static void clear(struct signing *s) {
    keys_root_free(s->root);
    cmd_document_clear(&s->document);
    cmd_document_clear(&s->before);
    cmd_keyring_clear(&s->ring);
    cmd_passphrase_clear(&s->passphrase);
}

static int open_trust(struct signing *s, struct err *e) {
    const char *file = opt_get(s->args, "root");
    s->workspace = opt_get(s->args, "workspace");
    if (s->workspace && cmd_keyring_open(s->workspace, &s->ring, e) < 0)
        return -1;
    if (file)
        return cmd_workspace_open_root(AT_FDCWD, file, &s->root, e);
    if (s->workspace)
        return cmd_workspace_root(s->workspace, &s->root, e);
    return err_set(e, &err_usage,
                   "which root do you trust? Give --workspace DIR, or --root FILE with --key or "
                   "--signer");
}

// "targets.json", "7.targets.json", "models.json": the role is in the name.
static int name_role(struct signing *s, struct err *e) {
    const char *given = opt_get(s->args, "role");
    const char *slash = strrchr(s->path, '/');
    const char *name = slash ? slash + 1 : s->path;
    if (strcmp(s->document.type, "root") == 0) {
        (void)snprintf(s->role, sizeof s->role, "root");
        return 0;
    }
    if (!given) {
        size_t digits = strspn(name, "0123456789");
        name += digits > 0 && name[digits] == '.' ? digits + 1 : 0;
    }
    size_t len = given ? strlen(given) : strcspn(name, ".");
    (void)snprintf(s->role, sizeof s->role, "%.*s", (int)(len < 256 ? len : 256),
                   given ? given : name);
    if (len >= sizeof s->role || !text_is_name(s->role, REPO_TARGETS_NAME_MAX))
        return err_set(e, &err_usage, "%s: for which role is it? Give --role NAME", s->path);
    // A root key never signs what is no root, whatever the file is called.
    if (strcmp(s->role, "root") == 0)
        return err_set(e, &err_wrong_type, "%s: it is %s metadata, and no root", s->path,
                       s->document.type);
    return 0;
}

static int read_at(const char *path, const char *what, struct cmd_document *ret, struct err *e) {
    int r = cmd_document_read(AT_FDCWD, path, ret, e);
    if (r == FS_ABSENT)
        return err_set(e, &err_not_found, "there is no file %s", path);
    return r < 0 ? err_prefix(e, "%s", what) : 0;
}

// A file of --OPTION, else what the workspace saw last; content NULL when there is neither.
static int read_known(const struct signing *s, const char *option, const char *role,
                      struct cmd_document *ret, struct err *e) {
    char path[FS_PATH_BYTES];
    const char *given = opt_get(s->args, option);
    if (given)
        return read_at(given, "comparing", ret, e);
    if (!s->workspace)
        return 0;
    (void)snprintf(path, sizeof path, "%s/" CMD_WORKSPACE_SEEN "/%s.json", s->workspace, role);
    int r = cmd_document_read(AT_FDCWD, path, ret, e);
    return r < 0 ? -1 : 0;
}

static int verify(const struct cmd_document *document, const char *what,
                  const struct keys_role *role, struct err *e) {
    struct cmd_document_tally tally;
    if (cmd_document_tally(document, what, role, &tally, e) < 0)
        return -1;
    if (role->n_keys == 0 || tally.valid < role->threshold)
        return err_set(e, &err_below_threshold,
                       "%s: %zu of the %zu signatures that the role %s needs", what, tally.valid,
                       role->threshold, what);
    return 0;
}

// The keys of the document's role, from the root or from verified targets.
static int find_role(const struct signing *s, struct keys_role *ret, struct err *e) {
    OWN(document) struct cmd_document targets = CMD_DOCUMENT_NONE;
    const struct keys_role *top = keys_root_role(s->root, KEYS_ROOT_ROLE_TARGETS);
    if (top->n_keys == 0)
        return err_set(e, &err_not_found,
                       "the root has no role targets; edgectl key rotate targets gives it one");
    if (strcmp(s->role, "targets") == 0) {
        *ret = *top;
        return 0;
    }
    if (read_known(s, "targets", "targets", &targets, e) < 0)
        return -1;
    if (!targets.content)
        return err_set(e, &err_usage,
                       "whose keys may sign for the role %s? The targets say so: give --targets "
                       "FILE",
                       s->role);
    if (opt_given(s->args, "targets") && verify(&targets, "targets", top, e) < 0)
        return -1;
    return cmd_pending_role(targets.content, s->role, ret, e);
}

static int judge_version(const struct signing *s, struct err *e) {
    uint64_t is = s->document.header.version;
    uint64_t was = s->before.content ? s->before.header.version : 0;
    bool is_root = strcmp(s->role, "root") == 0;
    if (is <= was)
        return err_set(e, &err_rollback,
                       "%s has version %llu, and version %llu is known here already: it was "
                       "published, or is an old one",
                       s->path, (unsigned long long)is, (unsigned long long)was);
    if (is_root && is != was + 1)
        return err_set(e, &err_root_chain,
                       "%s is version %llu of the root, and version %llu comes after the one "
                       "trusted here; first get the roots between (edgectl root update)",
                       s->path, (unsigned long long)is, (unsigned long long)was + 1);
    return keys_envelope_check_expiry(&s->document.header, s->path,
                                      chrono_wall_ms(s->context->clock) / 1000, e);
}

static int judge_root(struct signing *s, struct err *e) {
    char path[FS_PATH_BYTES];
    const char *file = opt_get(s->args, "root");
    (void)snprintf(path, sizeof path, "%s/" CMD_WORKSPACE_ROOT, s->workspace ? s->workspace : "");
    if (read_at(file ? file : path, "comparing", &s->before, e) < 0 || judge_version(s, e) < 0)
        return -1;
    if (cmd_root_edit_check(s->document.content, e) < 0)
        return err_prefix(e, "%s is nothing to sign", s->path);
    return cmd_quorum_of_root(&s->document, s->path, s->root, &s->quorum, e);
}

static int judge_targets(struct signing *s, struct err *e) {
    struct keys_role role;
    if (find_role(s, &role, e) < 0 || read_known(s, "current", s->role, &s->before, e) < 0)
        return -1;
    // What the workspace saw was verified when it was seen.
    if (opt_given(s->args, "current") && verify(&s->before, s->role, &role, e) < 0)
        return err_prefix(e, "comparing");
    if (judge_version(s, e) < 0)
        return -1;
    return cmd_quorum_of_role(&s->document, s->path, s->role, &role, &s->quorum, e);
}

static int merge_copy(struct signing *s, const char *path, size_t *ret_added, struct err *e) {
    OWN(document) struct cmd_document other = CMD_DOCUMENT_NONE;
    if (read_at(path, "taking over signatures", &other, e) < 0)
        return -1;
    for (size_t k = 0; k < s->quorum.n; k++)
        if (cmd_document_merge(&s->document, &other, path, &s->quorum.parts[k].role, ret_added, e) <
            0)
            return -1;
    return 0;
}

static int merge(struct signing *s, size_t *ret_added, struct err *e) {
    for (size_t i = 0; i < opt_count(s->args, "merge"); i++)
        if (merge_copy(s, opt_get_at(s->args, "merge", i), ret_added, e) < 0)
            return -1;
    return 0;
}

// What others added to the same file while it was being read stays: whoever signs holds its folder,
// and looks again.
static int hold(struct signing *s, int *ret_lock, struct err *e) {
    OWN(fd) int lock = -1;
    size_t others = 0;
    if (cmd_pending_lock_beside(s->path, &lock, e) < 0 || merge_copy(s, s->path, &others, e) < 0)
        return -1;
    *ret_lock = own_take_fd(&lock);
    return 0;
}

static int show(const struct signing *s, json_t **ret, struct err *e) {
    const struct cmd_document *before = s->before.content ? &s->before : NULL;
    if (cmd_describe_changes(before, &s->document, &s->ring, ret, e) < 0)
        return -1;
    if (opt_given(s->args, "json"))
        return 0;
    cmd_describe_print(&s->document, s->role, *ret);
    if (!before)
        (void)puts("  (what is in force now is not at hand: all of it is shown as new; --current "
                   "FILE compares)");
    return 0;
}

static int tell(const struct signing *s, const json_t *changes, size_t added, struct err *e) {
    if (!opt_given(s->args, "json")) {
        cmd_quorum_tell(&s->quorum, &s->ring, s->path, added);
        return 0;
    }
    OWN(json)
    json_t *said = json_pack("{s:s,s:s,s:I,s:O,s:I,s:b,s:o}", "file", s->path, "role", s->role,
                             "version", (json_int_t)s->document.header.version, "changes", changes,
                             "added", (json_int_t)added, "complete", cmd_quorum_holds(&s->quorum),
                             "signatures", cmd_quorum_json(&s->quorum, &s->ring));
    if (!said)
        return err_set(e, &err_memory, "printing: no memory");
    cmd_print_json(said);
    return 0;
}

static int sign(struct signing *s, struct err *e) {
    OWN(json) json_t *changes = NULL;
    OWN(fd) int lock = -1;
    size_t merged = 0, added = 0;
    if (open_trust(s, e) < 0 || read_at(s->path, "signing", &s->document, e) < 0 ||
        name_role(s, e) < 0 ||
        (strcmp(s->role, "root") == 0 ? judge_root(s, e) : judge_targets(s, e)) < 0 ||
        merge(s, &merged, e) < 0 || show(s, &changes, e) < 0 ||
        cmd_quorum_confirm(s->args, e) < 0 || hold(s, &lock, e) < 0)
        return -1;
    const struct cmd_quorum_hand hand = {.context = s->context,
                                         .args = s->args,
                                         .passphrase = &s->passphrase,
                                         .workspace = s->workspace};
    if (cmd_quorum_sign(&s->quorum, &s->document, s->path, &hand, &added, e) < 0)
        return -1;
    bool signed_before = false;
    for (size_t i = 0; i < s->quorum.n; i++)
        signed_before = signed_before || s->quorum.parts[i].tally.valid > 0;
    if (added == 0 && merged == 0 && !signed_before)
        return err_set(e, &err_usage,
                       "nobody to sign: no key of this role is at hand; give --key FILE or "
                       "--signer COMMAND");
    if (added + merged > 0 && fs_replace(AT_FDCWD, s->path, s->document.raw.data,
                                         s->document.raw.len, CMD_WORKSPACE_FILE_MODE, e) < 0)
        return -1;
    return tell(s, changes, added + merged, e);
}

static int run_sign(void *context, const struct opt_args *args, struct err *e) {
    struct signing s = {.context = context, .args = args, .path = opt_operand(args, 0)};
    cmd_passphrase_init(&s.passphrase, args);
    int r = sign(&s, e);
    clear(&s);
    return r < 0 ? err_prefix(e, "sign %s", opt_operand(args, 0)) : 0;
}

const struct opt_command cmd_sign[] = {
    {.name = "sign",
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Add a signature to a pending root or targets file, after showing what it changes",
     .options = options,
     .run = run_sign},
    {.name = NULL}};
