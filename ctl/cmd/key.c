// SPDX-License-Identifier: Apache-2.0
//
// `edgectl key`: secret keys in files, and the public halves that others may have.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/key.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/workspace.h"
#include "keys/sign/pkcs11.h"

#define KEY_FILE_PATH_BYTES 512
#define KEYS_OPTION                                                                                \
    {                                                                                              \
        .name = "keys", .value = "DIR",                                                            \
        .help = "The folder of keys (default: offline/keys of the workspace)"                      \
    }

static const struct opt new_options[] = {
    CMD_WORKSPACE_OPTION,
    KEYS_OPTION,
    CMD_PASSPHRASE_OPTION,
    {.name = "no-passphrase",
     .help = "Leave the key unsealed: for the controller's own key, or trials"},
    CMD_OPTION_JSON,
    CMD_OPTION_END};
static const struct opt look_options[] = {CMD_WORKSPACE_OPTION, KEYS_OPTION, CMD_OPTION_JSON,
                                          CMD_OPTION_END};
static const struct opt show_options[] = {
    CMD_WORKSPACE_OPTION,
    KEYS_OPTION,
    {.name = "out", .value = "FILE.pub", .help = "Write its public half into this file"},
    CMD_PASSPHRASE_OPTION,
    CMD_OPTION_JSON,
    CMD_OPTION_END};

// The folder of keys that the options name, opened, and its path for messages.
static int open_keys(const struct opt_args *args, char ret_path[static KEY_FILE_PATH_BYTES],
                     int *ret, struct err *e) {
    const char *keys = opt_get(args, "keys");
    const char *workspace = opt_get(args, "workspace");
    if (keys)
        (void)snprintf(ret_path, KEY_FILE_PATH_BYTES, "%s", keys);
    else if (workspace)
        (void)snprintf(ret_path, KEY_FILE_PATH_BYTES, "%s/" CMD_WORKSPACE_KEYS, workspace);
    else
        return err_set(e, &err_usage, "which keys? Give --workspace DIR or --keys DIR");
    return fs_open_dir(AT_FDCWD, ret_path, ret, e);
}

// The root that says what keys are for; NULL without a workspace.
static int open_root(const struct opt_args *args, struct keys_root **ret, struct err *e) {
    const char *workspace = opt_get(args, "workspace");
    return workspace ? cmd_workspace_root(workspace, ret, e) : 0;
}

static json_t *describe(const struct sign_keyfile_info *info, bool secret,
                        const struct keys_root *root, const char *file) {
    char roles[CMD_WORKSPACE_ROLES_BYTES] = "";
    char public[2 * KEYS_ED25519_PUBLIC_BYTES + 1];
    text_hex(info->pub.ed25519, KEYS_ED25519_PUBLIC_BYTES, public);
    if (root)
        cmd_workspace_roles_of(root, &info->pub, roles);
    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:s}", "name", info->name, "file", file, "keyid",
                     info->pub.id, "public", public, "secret", secret, "sealed",
                     secret && info->sealed, "roles", roles);
}

static int run_new(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    char path[KEY_FILE_PATH_BYTES];
    const char *name = opt_operand(args, 0);
    OWN(fd) int dir = -1;
    OWN(passphrase) struct cmd_passphrase p;
    const struct keys_secret *passphrase = NULL;
    struct sign_keyfile_info info = {.sealed = !opt_given(args, "no-passphrase")};
    cmd_passphrase_init(&p, args);
    if (open_keys(args, path, &dir, e) < 0)
        return -1;
    if (info.sealed && cmd_passphrase_get(&p, CMD_PASSPHRASE_NEW, name, &passphrase, e) < 0)
        return -1;
    if (sign_keyfile_create(dir, name, passphrase, &sign_keyfile_kdf_default, &info.pub, e) < 0)
        return -1;
    (void)snprintf(info.name, sizeof info.name, "%s", name);
    if (opt_given(args, "json")) {
        OWN(json) json_t *said = describe(&info, true, NULL, path);
        if (!said)
            return err_set(e, &err_memory, "printing the key: no memory");
        cmd_print_json(said);
        return 0;
    }
    (void)printf("%s/%s.key  secret, %s\n%s/%s.pub  public, id %s\n", path, name,
                 info.sealed ? "sealed with the passphrase" : "NOT sealed", path, name,
                 info.pub.id);
    return 0;
}

struct listing {
    int dir;
    const struct keys_root *root;
    json_t *keys;
};

// A .key file, or a .pub file whose .key is not here.
static int visit(void *context, const char *name, mode_t type, struct err *e) {
    struct listing *listing = context;
    struct sign_keyfile_info info = {.sealed = false};
    char other[KEY_FILE_PATH_BYTES];
    struct stat st;
    bool secret = text_ends_with(name, ".key");
    if (!S_ISREG(type) || fs_is_temporary(name) || (!secret && !text_ends_with(name, ".pub")))
        return 0;
    if (secret) {
        if (sign_keyfile_info(listing->dir, name, &info, e) < 0)
            return -1;
    } else {
        int stem = (int)(strlen(name) - 4);
        (void)snprintf(other, sizeof other, "%.*s.key", stem, name);
        int found = fs_stat(listing->dir, other, &st, e);
        if (found != FS_ABSENT)
            return found;
        if (sign_keyfile_read_pub(listing->dir, name, &info.pub, e) < 0)
            return -1;
        (void)snprintf(info.name, sizeof info.name, "%.*s", stem < 63 ? stem : 63, name);
    }
    if (json_array_append_new(listing->keys, describe(&info, secret, listing->root, name)) < 0)
        return err_set(e, &err_memory, "listing keys: no memory");
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(cmd_print_string(*(json_t *const *)a, "name"),
                  cmd_print_string(*(json_t *const *)b, "name"));
}

static int sort_by_name(json_t **array, struct err *e) {
    size_t n = json_array_size(*array);
    OWN(mem) json_t **items = calloc(n + 1, sizeof *items);
    OWN(json) json_t *sorted = json_array();
    if (!items || !sorted)
        return err_set(e, &err_memory, "listing keys: no memory");
    for (size_t i = 0; i < n; i++)
        items[i] = json_array_get(*array, i);
    qsort(items, n, sizeof(json_t *), by_name);
    for (size_t i = 0; i < n; i++)
        if (json_array_append(sorted, items[i]) < 0)
            return err_set(e, &err_memory, "listing keys: no memory");
    json_decref(*array);
    *array = own_take(&sorted);
    return 0;
}

static int print_keys(const json_t *keys, struct err *e) {
    static const char *const titles[] = {"NAME", "KEY ID", "ROLES", "SECRET"};
    OWN(print_table) struct cmd_print_table table = CMD_PRINT_TABLE_NONE;
    size_t i;
    json_t *key;
    if (cmd_print_begin(&table, 4, titles, e) < 0)
        return -1;
    json_array_foreach (keys, i, key) {
        const char *how = !json_is_true(json_object_get(key, "secret"))  ? "public only"
                          : json_is_true(json_object_get(key, "sealed")) ? "sealed"
                                                                         : "NOT sealed";
        if (cmd_print_cell(&table, cmd_print_string(key, "name"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(key, "keyid"), e) < 0 ||
            cmd_print_cell(&table, cmd_print_string(key, "roles"), e) < 0 ||
            cmd_print_cell(&table, how, e) < 0)
            return -1;
    }
    cmd_print_end(&table);
    return 0;
}

static int run_list(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    char path[KEY_FILE_PATH_BYTES];
    OWN(fd) int dir = -1;
    OWN(root) struct keys_root *root = NULL;
    OWN(json) json_t *keys = json_array();
    if (open_keys(args, path, &dir, e) < 0 || open_root(args, &root, e) < 0)
        return -1;
    struct listing listing = {dir, root, keys};
    if (fs_list(dir, ".", visit, &listing, e) < 0)
        return err_prefix(e, "listing the keys in %s", path);
    if (sort_by_name(&keys, e) < 0)
        return -1;
    if (!opt_given(args, "json"))
        return print_keys(keys, e);
    OWN(json) json_t *said = json_pack("{s:O}", "keys", keys);
    if (!said)
        return err_set(e, &err_memory, "listing keys: no memory");
    cmd_print_json(said);
    return 0;
}

// A key on a token is named by its URI alone; its file, when it is given one, by whoever asks.
static int find_on_token(const struct opt_args *args, const char *uri,
                         struct sign_keyfile_info *ret, struct err *e) {
    OWN(passphrase) struct cmd_passphrase p;
    OWN(pkcs11) struct sign_pkcs11 *key = NULL;
    cmd_passphrase_init(&p, args);
    const struct sign_pkcs11_pin pin = {.ask = cmd_passphrase_pin, .context = &p};
    (void)snprintf(ret->name, sizeof ret->name, "token");
    return sign_pkcs11_open(uri, &pin, &key, &ret->pub, e);
}

// NAME in the folder of keys, or the path of a file.
static int find_key(const struct opt_args *args, const char *given, struct sign_keyfile_info *ret,
                    bool *ret_secret, struct err *e) {
    char path[KEY_FILE_PATH_BYTES];
    OWN(fd) int dir = -1;
    int from = AT_FDCWD;
    bool is_path =
        strchr(given, '/') || text_ends_with(given, ".key") || text_ends_with(given, ".pub");
    if (!is_path) {
        if (open_keys(args, path, &dir, e) < 0)
            return -1;
        from = dir;
        (void)snprintf(path, sizeof path, "%s.key", given);
    } else {
        (void)snprintf(path, sizeof path, "%s", given);
    }
    *ret_secret = !text_ends_with(path, ".pub");
    if (*ret_secret)
        return sign_keyfile_info(from, path, ret, e);
    const char *slash = strrchr(path, '/');
    (void)snprintf(ret->name, sizeof ret->name, "%.*s", 63, slash ? slash + 1 : path);
    ret->name[strcspn(ret->name, ".")] = '\0';
    return sign_keyfile_read_pub(from, path, &ret->pub, e);
}

// Its public half as a file of its own. One that is there with the same key is as good.
static int write_pub(const char *path, const struct keys_pub *pub, struct err *e) {
    char folder[KEY_FILE_PATH_BYTES] = ".", name[SIGN_KEYFILE_NAME_BYTES + 1];
    struct keys_pub there;
    struct stat st;
    OWN(fd) int dir = -1;
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    if (!text_ends_with(file, ".pub"))
        return err_set(e, &err_usage, "--out %s: files of public keys are called NAME.pub", path);
    if (slash)
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash + 1 - path), path);
    (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - 4), file);
    int found = fs_stat(AT_FDCWD, path, &st, e);
    if (found == FS_ABSENT)
        return fs_open_dir(AT_FDCWD, folder, &dir, e) < 0
                   ? -1
                   : sign_keyfile_write_pub(dir, name, pub, e);
    if (found < 0 || sign_keyfile_read_pub(AT_FDCWD, path, &there, e) < 0)
        return -1;
    return strcmp(there.id, pub->id) == 0
               ? 0
               : err_set(e, &err_exists, "%s is there, with another key", path);
}

static int run_show(void *context, const struct opt_args *args, struct err *e) {
    (void)context;
    OWN(root) struct keys_root *root = NULL;
    struct sign_keyfile_info info = {.sealed = false};
    bool secret = false;
    const char *given = opt_operand(args, 0);
    const char *out = opt_get(args, "out");
    bool token = sign_pkcs11_is_uri(given);
    if (open_root(args, &root, e) < 0 || (token ? find_on_token(args, given, &info, e) < 0
                                                : find_key(args, given, &info, &secret, e) < 0))
        return -1;
    OWN(json) json_t *said = describe(&info, secret, root, token ? "" : given);
    if (!said || json_object_set_new(said, "token", json_boolean(token)) < 0)
        return err_set(e, &err_memory, "printing the key: no memory");
    if (out && write_pub(out, &info.pub, e) < 0)
        return -1;
    if (opt_given(args, "json")) {
        cmd_print_json(said);
        return 0;
    }
    cmd_print_field("name", info.name);
    cmd_print_field("key id", info.pub.id);
    cmd_print_field("public", cmd_print_string(said, "public"));
    cmd_print_field("roles", cmd_print_string(said, "roles"));
    cmd_print_field("secret", token         ? "on the token"
                              : !secret     ? "not in this file"
                              : info.sealed ? "sealed"
                                            : "NOT sealed");
    return 0;
}

const struct opt_command cmd_key[] = {
    {.name = "key new",
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Make a key: NAME.key, secret and sealed, and NAME.pub",
     .options = new_options,
     .run = run_new},
    {.name = "key list",
     .operands = "",
     .help = "List the keys of a workspace or a folder, and what they may sign",
     .options = look_options,
     .run = run_list},
    {.name = "key show",
     .operands = "NAME|FILE|URI",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Show one key: its id, its public half, and what it may sign",
     .options = show_options,
     .run = run_show},
    {.name = "key rotate",
     .operands = "ROLE",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Put a new key in the place of one of a role, in the next root",
     .options = cmd_key_rotate_options,
     .run = cmd_key_rotate},
    {.name = "key revoke",
     .operands = "ROLE KEYID",
     .operands_min = 2,
     .operands_max = 2,
     .help = "Take a key from a role, in the next root",
     .options = cmd_key_revoke_options,
     .run = cmd_key_revoke},
    {.name = "key add",
     .operands = "ROLE [FILE.pub…]",
     .operands_min = 1,
     .operands_max = 1 + KEYS_ROLE_KEYS_MAX,
     .help = "Give keys to a role, or another threshold, in the next root",
     .options = cmd_key_add_options,
     .run = cmd_key_add},
    {.name = NULL}};
