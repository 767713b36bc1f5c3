// SPDX-License-Identifier: Apache-2.0
//
// Collecting signers; see signers.h.
#include "ctl/cmd/signers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/workspace.h"

void cmd_signers_clear(struct cmd_signers *s) {
    while (s->n > 0)
        sign_signer_free(s->list[--s->n]);
}

static bool has(const struct cmd_signers *s, const struct keys_pub *pub) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(sign_signer_pub(s->list[i])->id, pub->id) == 0)
            return true;
    return false;
}

static int room(const struct cmd_signers *s, struct err *e) {
    if (s->n == KEYS_ENVELOPE_SIGNATURES_MAX)
        return err_set(e, &err_limit, "more than %d signers", KEYS_ENVELOPE_SIGNATURES_MAX);
    return 0;
}

int cmd_signers_add_file(struct cmd_signers *s, struct cmd_passphrase *p, int dir, const char *path,
                         struct err *e) {
    OWN(secret) struct keys_secret *seed = NULL;
    struct keys_pub pub;
    if (room(s, e) < 0 || cmd_passphrase_open_key(p, dir, path, &seed, &pub, e) < 0)
        return -1;
    if (has(s, &pub))
        return 0;
    if (sign_signer_from_seed(&seed, &pub, &s->list[s->n], e) < 0)
        return -1;
    s->n++;
    return 0;
}

int cmd_signers_add_token(struct cmd_signers *s, struct cmd_passphrase *p, const char *uri,
                          struct err *e) {
    const struct sign_pkcs11_pin pin = {.ask = cmd_passphrase_pin, .context = p};
    struct sign_signer *signer = NULL;
    if (room(s, e) < 0 || sign_signer_from_pkcs11(uri, &pin, &signer, e) < 0)
        return -1;
    if (has(s, sign_signer_pub(signer)))
        sign_signer_free(signer);
    else
        s->list[s->n++] = signer;
    return 0;
}

int cmd_signers_add_commands(struct cmd_signers *s, const struct opt_args *args,
                             const struct chrono *clock, struct err *e) {
    size_t n = opt_count(args, "signer");
    if (n != opt_count(args, "signer-key"))
        return err_set(e, &err_usage,
                       "each --signer needs its --signer-key FILE.pub: %zu and %zu are given", n,
                       opt_count(args, "signer-key"));
    for (size_t i = 0; i < n; i++) {
        struct keys_pub pub;
        const char *path = opt_get_at(args, "signer-key", i);
        if (room(s, e) < 0 || sign_keyfile_read_pub(AT_FDCWD, path, &pub, e) < 0)
            return -1;
        if (has(s, &pub))
            continue;
        if (sign_signer_from_command(opt_get_at(args, "signer", i), &pub, clock, &s->list[s->n],
                                     e) < 0)
            return -1;
        s->n++;
    }
    return 0;
}

struct offline {
    struct cmd_signers *signers;
    struct cmd_passphrase *passphrase;
    const struct keys_role *const *roles;
    size_t n_roles;
    int dir;
};

static bool wanted(const struct offline *o, const struct keys_pub *pub) {
    for (size_t i = 0; i < o->n_roles; i++)
        if (keys_role_has(o->roles[i], pub->id))
            return true;
    return false;
}

static int visit_key(void *context, const char *name, mode_t type, struct err *e) {
    struct offline *o = context;
    struct sign_keyfile_info info;
    size_t len = strlen(name);
    if (!S_ISREG(type) || len < 5 || strcmp(name + len - 4, ".key") != 0 || fs_is_temporary(name))
        return 0;
    if (sign_keyfile_info(o->dir, name, &info, e) < 0)
        return -1;
    if (!wanted(o, &info.pub))
        return 0;
    return cmd_signers_add_file(o->signers, o->passphrase, o->dir, name, e);
}

int cmd_signers_add_folder(struct cmd_signers *s, struct cmd_passphrase *p, const char *workspace,
                           const char *folder, const struct keys_role *const *roles, size_t n_roles,
                           struct err *e) {
    char path[FS_PATH_BYTES];
    OWN(fd) int dir = -1;
    (void)snprintf(path, sizeof path, "%s/%s", workspace, folder);
    if (fs_open_dir(AT_FDCWD, path, &dir, e) < 0)
        return err_prefix(e, "looking for the keys to sign with (--key FILE names others)");
    struct offline o = {s, p, roles, n_roles, dir};
    if (fs_list(dir, ".", visit_key, &o, e) < 0)
        return err_prefix(e, "%s", path);
    return 0;
}

int cmd_signers_add_roles(struct cmd_signers *s, struct cmd_passphrase *p, const char *workspace,
                          const struct keys_role *const *roles, size_t n_roles, struct err *e) {
    struct err why = ERR_NONE;
    if (cmd_signers_add_folder(s, p, workspace, CMD_WORKSPACE_KEYS, roles, n_roles, &why) == 0 ||
        err_is(&why, &err_not_found))
        return 0;
    return err_set(e, why.kind, "%s", why.text);
}

static int add_workspace(struct cmd_signers *s, struct cmd_passphrase *p, const char *workspace,
                         enum keys_root_role role, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    if (cmd_workspace_root(workspace, &root, e) < 0)
        return -1;
    const struct keys_root_content *content = keys_root_content(root);
    const struct keys_role *roles[1 + KEYS_ROOT_BUNDLE_ROLES_MAX] = {keys_root_role(root, role)};
    size_t n = 1;
    // Who makes bundles of one product line has a key of its delegation alone.
    for (size_t i = 0; role == KEYS_ROOT_ROLE_BUNDLE && i < content->n_bundle_roles; i++)
        roles[n++] = &content->bundle_roles[i].role;
    if (cmd_signers_add_folder(s, p, workspace, CMD_WORKSPACE_KEYS, roles, n, e) < 0)
        return -1;
    if (s->n == 0)
        return err_set(e, &err_usage,
                       "%s/" CMD_WORKSPACE_KEYS
                       " holds no key of the role %s of this workspace's root; give --key FILE "
                       "or --signer COMMAND",
                       workspace, keys_root_role_names[role]);
    return 0;
}

int cmd_signers_collect_given(struct cmd_signers *s, struct cmd_passphrase *p,
                              const struct opt_args *args, const char *key_option,
                              const struct chrono *clock, struct err *e) {
    for (size_t i = 0; i < opt_count(args, key_option); i++) {
        const char *key = opt_get_at(args, key_option, i);
        if (sign_pkcs11_is_uri(key) ? cmd_signers_add_token(s, p, key, e) < 0
                                    : cmd_signers_add_file(s, p, AT_FDCWD, key, e) < 0)
            return -1;
    }
    return cmd_signers_add_commands(s, args, clock, e);
}

int cmd_signers_collect(struct cmd_signers *s, struct cmd_passphrase *p,
                        const struct opt_args *args, const struct chrono *clock,
                        const char *workspace, enum keys_root_role role, struct err *e) {
    if (cmd_signers_collect_given(s, p, args, "key", clock, e) < 0)
        return -1;
    if (s->n > 0)
        return 0;
    if (!workspace)
        return err_set(e, &err_usage,
                       "nobody to sign: give --workspace DIR, --key FILE or --signer COMMAND");
    return add_workspace(s, p, workspace, role, e);
}
