// SPDX-License-Identifier: Apache-2.0
//
// `edgectl key rotate`, `key revoke`, `key add`: changes to who may sign what. Each makes or
// changes DIR/pending/N.root.json and signs it with what is at hand; nothing is in force before
// `edgectl root publish`. A change of the contents makes the signatures so far worthless, so they
// are dropped, and said to be.
#include "ctl/cmd/key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/describe.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/pending.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/root_edit.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/workspace.h"
#include "ctl/repo/folder.h"
#include "keys/kind.h"

#define SHORT_ID_LEAST 8 // digits of a key id that may stand for the whole
#define CHANGE_OPTIONS                                                                             \
    CMD_WORKSPACE_OPTION,                                                                          \
        {.name = "threshold", .value = "N", .help = "How many keys of the role must sign"},        \
        CMD_SIGNERS_OPTIONS, CMD_PASSPHRASE_OPTION,                                                \
        {.name = "issued",                                                                         \
         .value = "TIME",                                                                          \
         .help = "Time of issue (else SOURCE_DATE_EPOCH, else now)"},                              \
    {                                                                                              \
        .name = "expires", .value = "TIME", .help = "When the root expires (default 3650d)"        \
    }

const struct opt cmd_key_rotate_options[] = {
    CHANGE_OPTIONS,
    {.name = "replace",
     .repeat = true,
     .value = "KEYID",
     .help = "The key to replace (else the one key of the role that is here)"},
    {.name = "with", .value = "FILE.pub", .help = "The new key (else one is made here)"},
    {.name = "no-passphrase", .help = "Leave a new offline key unsealed: for trials only"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};
const struct opt cmd_key_revoke_options[] = {CHANGE_OPTIONS, CMD_OPTION_JSON, CMD_OPTION_END};
const struct opt cmd_key_add_options[] = {
    CHANGE_OPTIONS,
    {.name = "component",
     .repeat = true,
     .value = "NAME",
     .help = "bundle/NAME: only bundles of these components"},
    {.name = "no-executable", .help = "bundle/NAME: nothing executable"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

struct change {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *workspace, *role;
    int lock;
    struct cmd_pending_root root;
    struct cmd_keyring ring;
    struct cmd_passphrase passphrase;
    json_t *content; // of the next root, being edited
    bool changed;
};

static void clear(struct change *c) {
    cmd_pending_root_clear(&c->root);
    cmd_keyring_clear(&c->ring);
    json_decref(c->content);
    own_drop_fd(&c->lock);
    cmd_passphrase_clear(&c->passphrase);
}

static int begin(struct change *c, struct err *e) {
    c->workspace = opt_get(c->args, "workspace");
    c->role = opt_operand(c->args, 0);
    cmd_passphrase_init(&c->passphrase, c->args);
    if (!c->workspace)
        return err_set(e, &err_usage, "whose keys? Give --workspace DIR");
    if (cmd_root_edit_check_role(c->role, e) < 0 ||
        cmd_pending_lock(c->workspace, &c->lock, e) < 0 ||
        cmd_pending_root_open(c->workspace, &c->root, e) < 0 ||
        cmd_keyring_open(c->workspace, &c->ring, e) < 0)
        return -1;
    const struct cmd_document *from = c->root.next.content ? &c->root.next : &c->root.current;
    c->content = json_deep_copy(from->content);
    if (!c->content)
        return err_set(e, &err_memory, "changing the root: no memory");
    return cmd_root_edit_modernize(c->content, e);
}

static int note(struct change *c, int outcome) {
    c->changed = c->changed || outcome == 0;
    return outcome < 0 ? -1 : 0;
}

static int read_threshold(const struct change *c, size_t *ret, struct err *e) {
    const char *text = opt_get(c->args, "threshold");
    uint64_t threshold = 0;
    if (text && num_parse_u64(text, "--threshold", 1, KEYS_ROLE_KEYS_MAX, &threshold, e) < 0)
        return -1;
    *ret = (size_t)threshold;
    return 0;
}

static int set_threshold(struct change *c, size_t threshold, struct err *e) {
    if (threshold == 0)
        return 0;
    return note(c, cmd_root_edit_threshold(c->content, c->role, threshold, e));
}

// The role as the root in force has it.
static int current_role(struct change *c, struct keys_role *ret, struct err *e) {
    OWN(json) json_t *content = json_deep_copy(c->root.current.content);
    if (!content)
        return err_set(e, &err_memory, "changing the root: no memory");
    if (cmd_root_edit_modernize(content, e) < 0)
        return -1;
    return cmd_root_edit_role(content, c->role, ret, e);
}

// ── The end of all three ─────────────────────────────────────────────────────────────────────────

// The next root from the edited content; its signatures begin anew.
static int renew(struct change *c, struct err *e) {
    struct cmd_document made = CMD_DOCUMENT_NONE;
    struct keys_header header = {.version = c->root.current.header.version + 1};
    size_t lost = c->root.next.content ? c->root.next.envelope.n_signatures : 0;
    if (cmd_workspace_issued(c->args, c->context->clock, &header.issued_s, e) < 0)
        return -1;
    // A clock that is behind must not make a root that seems older than the one before.
    if (header.issued_s < c->root.current.header.issued_s &&
        c->root.current.header.issued_s <=
            chrono_wall_ms(c->context->clock) / 1000 + REPO_FOLDER_AHEAD_MAX_S)
        header.issued_s = c->root.current.header.issued_s;
    if (cmd_workspace_expires(c->args, header.issued_s, KEYS_ROOT_EXPIRES_DEFAULT_S,
                              &header.expires_s, e) < 0 ||
        cmd_document_make(c->content, &header, c->root.name, &made, e) < 0)
        return -1;
    cmd_document_clear(&c->root.next);
    c->root.next = made;
    if (lost > 0)
        (void)fprintf(stderr,
                      "edgectl: %zu signature%s of %s no longer count%s: its contents changed\n",
                      lost, lost == 1 ? "" : "s", c->root.name, lost == 1 ? "s" : "");
    return 0;
}

static int tell_json(const struct change *c, const struct cmd_quorum *quorum, json_t *changes,
                     struct err *e) {
    char path[FS_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/" CMD_PENDING_DIR "/%s", c->workspace, c->root.name);
    OWN(json)
    json_t *said = json_pack("{s:s,s:I,s:b,s:O,s:b,s:o}", "pending", path, "version",
                             (json_int_t)c->root.next.header.version, "changed", c->changed,
                             "changes", changes, "complete", cmd_quorum_holds(quorum), "signatures",
                             cmd_quorum_json(quorum, &c->ring));
    if (!said)
        return err_set(e, &err_memory, "printing: no memory");
    cmd_print_json(said);
    return 0;
}

static int tell(const struct change *c, const struct cmd_quorum *quorum, struct err *e) {
    OWN(json) json_t *changes = NULL;
    if (cmd_describe_changes(&c->root.current, &c->root.next, &c->ring, &changes, e) < 0)
        return -1;
    if (opt_given(c->args, "json"))
        return tell_json(c, quorum, changes, e);
    if (!c->changed)
        (void)puts("That is so already in the pending root.");
    cmd_describe_print(&c->root.next, "the next root", changes);
    cmd_quorum_print(quorum, &c->ring);
    if (cmd_quorum_holds(quorum))
        (void)printf("Put it in force: edgectl root publish --workspace %s\n", c->workspace);
    else
        (void)printf("Who has a missing key: edgectl sign %s/" CMD_PENDING_DIR "/%s\n",
                     c->workspace, c->root.name);
    return 0;
}

static int finish(struct change *c, struct err *e) {
    struct cmd_quorum quorum;
    const struct cmd_quorum_hand hand = {.context = c->context,
                                         .args = c->args,
                                         .passphrase = &c->passphrase,
                                         .workspace = c->workspace};
    size_t added = 0;
    if (!c->changed && !c->root.next.content) {
        OWN(json)
        json_t *said = json_pack("{s:b,s:I}", "changed", false, "version",
                                 (json_int_t)c->root.current.header.version);
        if (opt_given(c->args, "json") && said)
            cmd_print_json(said);
        else
            (void)puts("That is so already. Nothing was changed.");
        return 0;
    }
    if ((c->changed && renew(c, e) < 0) ||
        cmd_quorum_of_root(&c->root.next, c->root.name, c->root.trusted, &quorum, e) < 0)
        return -1;
    // Without a signature first: a passphrase that is wrong does not undo the change.
    if ((c->changed && cmd_pending_save(c->workspace, c->root.name, &c->root.next, e) < 0) ||
        cmd_quorum_sign(&quorum, &c->root.next, c->root.name, &hand, &added, e) < 0 ||
        (added > 0 && cmd_pending_save(c->workspace, c->root.name, &c->root.next, e) < 0))
        return -1;
    return tell(c, &quorum, e);
}

// ── rotate ───────────────────────────────────────────────────────────────────────────────────────

// A key id, or enough of its first digits to mean one key of the role.
static int find_key(const struct keys_role *role, const char *name, const char *given,
                    const struct keys_pub **ret, struct err *e) {
    size_t len = strlen(given);
    const struct keys_pub *found = NULL;
    if (len < SHORT_ID_LEAST)
        return err_set(e, &err_usage, "\"%s\" is no key id; give at least %d of its digits", given,
                       SHORT_ID_LEAST);
    for (size_t i = 0; i < role->n_keys; i++) {
        if (strncmp(role->keys[i].id, given, len) != 0)
            continue;
        if (found)
            return err_set(e, &err_usage, "\"%s\" may be two keys of the role %s; give more digits",
                           given, name);
        found = &role->keys[i];
    }
    if (!found)
        return err_set(e, &err_not_found,
                       "the role %s has no key %.64s; edgectl root status --workspace DIR lists "
                       "its keys",
                       name, given);
    *ret = found;
    return 0;
}

static int choose_here(const struct change *c, const struct keys_role *role,
                       const struct keys_pub **ret, struct err *e) {
    const struct keys_pub *found = NULL;
    for (size_t i = 0; i < role->n_keys; i++) {
        const struct cmd_keyring_key *known = cmd_keyring_find(&c->ring, role->keys[i].id);
        if (!known || !known->secret)
            continue;
        if (found)
            return err_set(e, &err_usage,
                           "several keys of the role %s are in this workspace; say which to "
                           "replace with --replace KEYID",
                           c->role);
        found = &role->keys[i];
    }
    if (!found)
        return err_set(e, &err_usage,
                       "no key of the role %s is in this workspace; say which to replace with "
                       "--replace KEYID",
                       c->role);
    *ret = found;
    return 0;
}

static bool is_online(const char *role) {
    return strcmp(role, "timestamp") == 0 || strcmp(role, "snapshot") == 0 ||
           strcmp(role, "director") == 0;
}

// NAME-2 for root version 2: named after the version, what an interrupted run made is found again,
// and never taken for a key of long ago. *ret_free: no such file yet.
static int name_key(const struct change *c, int dir, unsigned turn, char *ret, size_t ret_bytes,
                    bool *ret_free, struct keys_pub *ret_pub, struct err *e) {
    char role[KEYS_ROOT_NAME_MAX + 16], path[SIGN_KEYFILE_NAME_BYTES + 8], tail[16] = "";
    struct sign_keyfile_info info;
    struct stat st;
    (void)snprintf(role, sizeof role, "%s", c->role);
    for (char *at = role; *at; at++)
        *at = *at == '/' ? '-' : *at;
    if (turn > 0)
        (void)snprintf(tail, sizeof tail, ".%u", turn + 1);
    (void)snprintf(ret, ret_bytes, "%.32s-%llu%s", role,
                   (unsigned long long)c->root.current.header.version + 1, tail);
    (void)snprintf(path, sizeof path, "%s.key", ret);
    int found = fs_stat(dir, path, &st, e);
    *ret_free = found == FS_ABSENT;
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (sign_keyfile_info(dir, path, &info, e) < 0)
        return -1;
    *ret_pub = info.pub;
    return 0;
}

static int make_key(struct change *c, struct keys_pub *ret, struct err *e) {
    char name[SIGN_KEYFILE_NAME_BYTES], path[FS_PATH_BYTES];
    OWN(fd) int dir = -1;
    const struct keys_secret *secret = NULL;
    struct keys_role wanted;
    bool is_free = false;
    (void)snprintf(path, sizeof path, "%s/%s", c->workspace,
                   is_online(c->role) ? CMD_WORKSPACE_SERVER_KEYS : CMD_WORKSPACE_KEYS);
    if (fs_open_dir(AT_FDCWD, path, &dir, e) < 0)
        return err_prefix(e, "making the new key (--with FILE.pub names one made elsewhere)");
    if (cmd_root_edit_role(c->content, c->role, &wanted, e) < 0)
        return -1;
    for (unsigned turn = 0; turn <= KEYS_ROLE_KEYS_MAX; turn++) {
        if (name_key(c, dir, turn, name, sizeof name, &is_free, ret, e) < 0)
            return -1;
        if (is_free || !keys_role_has(&wanted, ret->id))
            break;
    }
    if (!is_free)
        return 0;
    bool seal = !is_online(c->role) && !opt_given(c->args, "no-passphrase");
    if (seal && cmd_passphrase_get(&c->passphrase, CMD_PASSPHRASE_NEW, name, &secret, e) < 0)
        return -1;
    return sign_keyfile_create(dir, name, secret, &sign_keyfile_kdf_default, ret, e);
}

static int new_key(struct change *c, struct keys_pub *ret, struct err *e) {
    const char *given = opt_get(c->args, "with");
    if (given)
        return sign_keyfile_read_pub(AT_FDCWD, given, ret, e);
    return make_key(c, ret, e);
}

static int replace(struct change *c, const struct keys_pub *old, struct err *e) {
    struct keys_role wanted;
    struct keys_pub fresh;
    if (cmd_root_edit_role(c->content, c->role, &wanted, e) < 0)
        return -1;
    if (old && !keys_role_has(&wanted, old->id))
        return 0; // replaced before
    if (new_key(c, &fresh, e) < 0)
        return -1;
    if (old && strcmp(old->id, fresh.id) == 0)
        return err_set(e, &err_usage, "the new key is the old one, %.8s", fresh.id);
    if (note(c, cmd_root_edit_add(c->content, c->role, &fresh, e)) < 0)
        return -1;
    return old ? note(c, cmd_root_edit_remove(c->content, c->role, old->id, e)) : 0;
}

static int rotate(struct change *c, struct err *e) {
    struct keys_role role, pending;
    const struct keys_pub *old = NULL;
    size_t threshold = 0, n = opt_count(c->args, "replace");
    if (begin(c, e) < 0 || read_threshold(c, &threshold, e) < 0 || current_role(c, &role, e) < 0 ||
        cmd_root_edit_role(c->content, c->role, &pending, e) < 0)
        return -1;
    if (n > 1 && opt_given(c->args, "with"))
        return err_set(e, &err_usage, "--with is one key; rotate one --replace after the other");
    for (size_t i = 0; i < n; i++)
        if (find_key(&role, c->role, opt_get_at(c->args, "replace", i), &old, e) < 0 ||
            replace(c, old, e) < 0)
            return -1;
    if (n == 0) {
        bool first = role.n_keys == 0; // a role that older roots do not have gets its first key
        if (!first && choose_here(c, &role, &old, e) < 0)
            return -1;
        if (!(first && pending.n_keys > 0) && replace(c, old, e) < 0)
            return -1;
    }
    // The ring was read before the new key was made.
    cmd_keyring_clear(&c->ring);
    return cmd_keyring_open(c->workspace, &c->ring, e) < 0 || set_threshold(c, threshold, e) < 0
               ? -1
               : finish(c, e);
}

int cmd_key_rotate(void *context, const struct opt_args *args, struct err *e) {
    struct change c = {.context = context, .args = args, .lock = -1};
    int r = rotate(&c, e);
    clear(&c);
    return r < 0 ? err_prefix(e, "rotating a key of %s", opt_operand(args, 0)) : 0;
}

// ── revoke and add ───────────────────────────────────────────────────────────────────────────────

static int take_away(struct change *c, struct err *e) {
    struct keys_role role, pending;
    const struct keys_pub *key = NULL;
    const char *given = opt_operand(c->args, 1);
    size_t threshold = 0;
    struct err why = ERR_NONE;
    if (begin(c, e) < 0 || read_threshold(c, &threshold, e) < 0 || current_role(c, &role, e) < 0 ||
        cmd_root_edit_role(c->content, c->role, &pending, e) < 0)
        return -1;
    // A key that was only added in the pending root can be taken out of it again.
    if (find_key(&pending, c->role, given, &key, &why) < 0 &&
        find_key(&role, c->role, given, &key, e) < 0)
        return -1;
    // Lowered before the key goes: two can become one in one step. Raised after it went.
    bool lower = threshold > 0 && threshold < pending.threshold;
    if ((lower && set_threshold(c, threshold, e) < 0) ||
        note(c, cmd_root_edit_remove(c->content, c->role, key->id, e)) < 0 ||
        (!lower && set_threshold(c, threshold, e) < 0))
        return -1;
    return finish(c, e);
}

int cmd_key_revoke(void *context, const struct opt_args *args, struct err *e) {
    struct change c = {.context = context, .args = args, .lock = -1};
    int r = take_away(&c, e);
    clear(&c);
    return r < 0 ? err_prefix(e, "revoking a key of %s", opt_operand(args, 0)) : 0;
}

static int read_components(const struct change *c, json_t **ret, struct err *e) {
    size_t n = opt_count(c->args, "component");
    OWN(json) json_t *components = n > 0 ? json_array() : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *name = opt_get_at(c->args, "component", i);
        if (!text_is_name(name, KEYS_ROOT_NAME_MAX))
            return err_set(e, &err_usage, "--component: \"%.80s\" is no name of a component", name);
        if (json_array_append_new(components, json_string(name)) < 0)
            return err_set(e, &err_memory, "changing the root: no memory");
    }
    *ret = own_take(&components);
    return 0;
}

static int add_limits(struct change *c, struct err *e) {
    json_t *components = NULL;
    bool executable = !opt_given(c->args, "no-executable");
    if (opt_count(c->args, "component") == 0 && executable)
        return 0;
    if (strncmp(c->role, "bundle/", 7) != 0)
        return err_set(e, &err_usage,
                       "--component and --no-executable are for a role bundle/NAME; %s has no such "
                       "limits",
                       c->role);
    if (read_components(c, &components, e) < 0)
        return -1;
    return note(c, cmd_root_edit_limits(c->content, c->role, components, executable, e));
}

static int add(struct change *c, struct err *e) {
    size_t threshold = 0;
    if (begin(c, e) < 0 || read_threshold(c, &threshold, e) < 0)
        return -1;
    if (opt_operands(c->args) == 1 && threshold == 0 && !opt_given(c->args, "component") &&
        !opt_given(c->args, "no-executable"))
        return err_set(e, &err_usage, "which key? Give FILE.pub, or --threshold N to change that");
    for (size_t i = 1; i < opt_operands(c->args); i++) {
        struct keys_pub pub;
        if (sign_keyfile_read_pub(AT_FDCWD, opt_operand(c->args, i), &pub, e) < 0 ||
            note(c, cmd_root_edit_add(c->content, c->role, &pub, e)) < 0)
            return -1;
    }
    if (add_limits(c, e) < 0 || set_threshold(c, threshold, e) < 0)
        return -1;
    return finish(c, e);
}

int cmd_key_add(void *context, const struct opt_args *args, struct err *e) {
    struct change c = {.context = context, .args = args, .lock = -1};
    int r = add(&c, e);
    clear(&c);
    return r < 0 ? err_prefix(e, "adding a key to %s", opt_operand(args, 0)) : 0;
}
