// SPDX-License-Identifier: Apache-2.0
//
// `edgectl init DIR`: a workspace in one command. DIR/root.json is written last: while it is absent
// the workspace is unfinished, and the same command again goes on where the last one ended.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "ctl/cmd/init_repository.h"
#include "ctl/cmd/keyring.h"
#include "ctl/cmd/nouns.h"
#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/signers.h"
#include "ctl/cmd/workspace.h"
#include "ctl/kind.h"
#include "ctl/repo/targets.h"
#include "keys/canon.h"

#define PATH_BYTES  160
#define SERVER_KEYS "server/keys"

static const struct opt init_options[] = {
    CMD_PASSPHRASE_OPTION,
    {.name = "no-passphrase", .help = "Leave the offline keys unsealed: for trials only"},
    {.name = "threshold",
     .repeat = true,
     .value = "ROLE=N",
     .help = "How many keys of the role must sign (default 1)"},
    {.name = "key",
     .repeat = true,
     .value = "ROLE=FILE.pub",
     .help = "Another key for the role, beside the one made here"},
    {.name = "mandate",
     .help = "Devices install nothing that people did not sign a plan for (edgectl rollout sign)"},
    {.name = "sign-key", .repeat = true, .value = "FILE", .help = CMD_SIGNERS_KEY_HELP},
    CMD_SIGNERS_COMMAND_OPTIONS,
    {.name = "issued", .value = "TIME", .help = "Time of issue (else SOURCE_DATE_EPOCH, else now)"},
    {.name = "expires", .value = "TIME", .help = "When the root expires: a time, or \"3650d\""},
    CMD_OPTION_JSON,
    CMD_OPTION_END};

// The keys a workspace has, and where.
struct place {
    enum keys_root_role role;
    const char *dir;
    const char *name;
};
static const struct place places[] = {
    {KEYS_ROOT_ROLE_ROOT, CMD_WORKSPACE_KEYS, "root"},
    {KEYS_ROOT_ROLE_BUNDLE, CMD_WORKSPACE_KEYS, "bundle"},
    {KEYS_ROOT_ROLE_TARGETS, CMD_WORKSPACE_KEYS, "targets"},
    {KEYS_ROOT_ROLE_DIRECTOR, SERVER_KEYS, "director"},
    {KEYS_ROOT_ROLE_SNAPSHOT, SERVER_KEYS, "snapshot"},
    {KEYS_ROOT_ROLE_TIMESTAMP, SERVER_KEYS, "timestamp"},
    {KEYS_ROOT_ROLE_MANDATE, CMD_WORKSPACE_KEYS, "mandate"},
};
#define PLACES (sizeof places / sizeof places[0])

struct init {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *path;
    int dir;
    struct keys_role wanted[KEYS_ROOT_ROLES]; // what the options ask for: thresholds, other keys
    bool asked[KEYS_ROOT_ROLES];              // an option spoke of this role
    struct cmd_passphrase passphrase;
    struct cmd_signers signers;
};

static int read_thresholds(struct init *in, struct err *e) {
    for (size_t i = 0; i < opt_count(in->args, "threshold"); i++) {
        const char *text = opt_get_at(in->args, "threshold", i);
        size_t len = strcspn(text, "=");
        enum keys_root_role role;
        uint64_t threshold = 0;
        if (!text[len])
            return err_set(e, &err_usage, "--threshold: expected ROLE=N, found \"%.80s\"", text);
        if (cmd_workspace_find_role(text, len, &role, e) < 0 ||
            num_parse_u64(text + len + 1, "--threshold", 1, KEYS_ROLE_KEYS_MAX, &threshold, e) < 0)
            return -1;
        in->wanted[role].threshold = (size_t)threshold;
        in->asked[role] = true;
    }
    return 0;
}

static int read_other_keys(struct init *in, struct err *e) {
    for (size_t i = 0; i < opt_count(in->args, "key"); i++) {
        const char *text = opt_get_at(in->args, "key", i);
        size_t len = strcspn(text, "=");
        enum keys_root_role role;
        struct keys_pub pub;
        if (!text[len])
            return err_set(e, &err_usage, "--key: expected ROLE=FILE.pub, found \"%.80s\"", text);
        if (cmd_workspace_find_role(text, len, &role, e) < 0 ||
            sign_keyfile_read_pub(AT_FDCWD, text + len + 1, &pub, e) < 0)
            return -1;
        struct keys_role *wanted = &in->wanted[role];
        if (keys_role_has(wanted, pub.id))
            continue;
        if (wanted->n_keys == KEYS_ROLE_KEYS_MAX - 1) // one is made here
            return err_set(e, &err_limit, "--key: more than %d keys for one role",
                           KEYS_ROLE_KEYS_MAX - 1);
        wanted->keys[wanted->n_keys++] = pub;
        in->asked[role] = true;
    }
    return 0;
}

// Before anything is made: a threshold that the keys cannot meet.
static int check_wanted(const struct init *in, struct err *e) {
    for (int i = 0; i < KEYS_ROOT_ROLES; i++) {
        size_t keys = in->wanted[i].n_keys + 1;
        if (in->wanted[i].threshold > keys)
            return err_set(e, &err_usage,
                           "--threshold %s=%zu: the role would have %zu key%s; add some with --key "
                           "%s=FILE.pub",
                           keys_root_role_names[i], in->wanted[i].threshold, keys,
                           keys == 1 ? "" : "s", keys_root_role_names[i]);
    }
    // What is signed here: the root, and the first targets.
    static const enum keys_root_role signing[] = {KEYS_ROOT_ROLE_ROOT, KEYS_ROOT_ROLE_TARGETS};
    size_t signers = 1 + opt_count(in->args, "signer") + opt_count(in->args, "sign-key");
    for (size_t i = 0; i < sizeof signing / sizeof signing[0]; i++)
        if (in->wanted[signing[i]].threshold > signers)
            return err_set(e, &err_usage,
                           "--threshold %s=%zu: that many keys must sign here, and %zu can; give "
                           "--sign-key FILE, or --signer COMMAND --signer-key FILE.pub, for the "
                           "others",
                           keys_root_role_names[signing[i]], in->wanted[signing[i]].threshold,
                           signers);
    static const enum keys_root_role online[] = {KEYS_ROOT_ROLE_SNAPSHOT, KEYS_ROOT_ROLE_TIMESTAMP};
    for (size_t i = 0; i < sizeof online / sizeof online[0]; i++)
        if (in->wanted[online[i]].threshold > 1)
            return err_set(e, &err_usage,
                           "--threshold %s: the controller signs with one key, so it can only be 1",
                           keys_root_role_names[online[i]]);
    return 0;
}

// ── A workspace that is there ───────────────────────────────────────────────────────────────────

static int broken(const struct init *in, const char *what, struct err *e) {
    return err_set(e, &err_wrong_workspace,
                   "%s is a workspace already, but %s; put it back from a copy, or choose another "
                   "folder",
                   in->path, what);
}

// Whether a key of the role lies where it belongs; after a rotation it has another name. Of an
// offline one the public half is enough: the secret one is on a token, or with somebody else.
static bool is_key_there(const struct cmd_keyring *ring, const struct place *place,
                         const struct keys_root *root) {
    bool server = strcmp(place->dir, SERVER_KEYS) == 0;
    for (size_t i = 0; i < ring->n; i++)
        if ((ring->keys[i].secret || (!server && strcmp(ring->keys[i].name, place->name) != 0)) &&
            ring->keys[i].server == server &&
            keys_role_has(keys_root_role(root, place->role), ring->keys[i].pub.id))
            return true;
    return false;
}

// What is wrong with the key that init made, when no other is there in its place.
static int check_key_there(const struct init *in, const struct place *place,
                           const struct keys_root *root, struct err *e) {
    char path[PATH_BYTES];
    char what[PATH_BYTES + 64];
    struct sign_keyfile_info info;
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s.key", place->dir, place->name);
    int found = fs_stat(in->dir, path, &st, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT) {
        (void)snprintf(what, sizeof what, "%s is missing", path);
        return broken(in, what, e);
    }
    if (sign_keyfile_info(in->dir, path, &info, e) < 0)
        return err_prefix(e, "%s", in->path);
    if (!keys_role_has(keys_root_role(root, place->role), info.pub.id)) {
        (void)snprintf(what, sizeof what, "%s is no key of root.json's role %s", path,
                       keys_root_role_names[place->role]);
        return broken(in, what, e);
    }
    return 0;
}

// Options of a second run that the workspace does not fulfil must not seem to have worked.
static int check_options_there(const struct init *in, const struct keys_root *root, struct err *e) {
    for (int i = 0; i < KEYS_ROOT_ROLES; i++) {
        const struct keys_role *role = keys_root_role(root, (enum keys_root_role)i);
        const struct keys_role *wanted = &in->wanted[i];
        bool same = !in->asked[i] || role->threshold == wanted->threshold;
        for (size_t k = 0; k < wanted->n_keys; k++)
            same = same && keys_role_has(role, wanted->keys[k].id);
        if (!same)
            return err_set(e, &err_exists,
                           "%s is a workspace already, with another threshold or other keys for "
                           "the role %s; choose another folder",
                           in->path, keys_root_role_names[i]);
    }
    return 0;
}

// A workspace made before there were repositories has none.
static int check_repository_there(const struct init *in, const struct keys_root *root,
                                  struct err *e) {
    OWN(buf) struct buf raw;
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    if (keys_root_role(root, KEYS_ROOT_ROLE_TIMESTAMP)->n_keys == 0)
        return 0;
    if (fs_read_file(in->dir, CMD_WORKSPACE_ROOT, KEYS_ROOT_MAX_BYTES, &raw, e) < 0 ||
        cmd_init_repository_check(in->dir, buf_slice(&raw), e) < 0)
        return err_prefix(e, "%s", in->path);
    return 0;
}

static int check_there(const struct init *in, struct err *e) {
    OWN(root) struct keys_root *root = NULL;
    OWN(root) struct keys_root *server = NULL;
    struct stat st;
    if (cmd_workspace_open_root(in->dir, CMD_WORKSPACE_ROOT, &root, e) < 0 ||
        check_options_there(in, root, e) < 0)
        return err_prefix(e, "%s", in->path);
    OWN(keyring) struct cmd_keyring ring = CMD_KEYRING_NONE;
    int offline = fs_stat(in->dir, "offline", &st, e);
    if (offline < 0 || cmd_keyring_open(in->path, &ring, e) < 0)
        return -1;
    // Moved to a stick, a safe, another machine: as it should be.
    for (size_t i = 0; i < PLACES; i++) {
        bool away = offline == FS_ABSENT && strncmp(places[i].dir, "offline", 7) == 0;
        if (!away && keys_root_role(root, places[i].role)->n_keys > 0 &&
            !is_key_there(&ring, &places[i], root) && check_key_there(in, &places[i], root, e) < 0)
            return -1;
    }
    if (cmd_workspace_open_root(in->dir, "server/" CMD_WORKSPACE_ROOT, &server, e) < 0)
        return err_prefix(e, "%s", in->path);
    return check_repository_there(in, root, e);
}

// ── A new one ───────────────────────────────────────────────────────────────────────────────────

static int make_dirs(const struct init *in, struct err *e) {
    static const struct {
        const char *path;
        mode_t mode;
    } dirs[] = {{"offline", CMD_WORKSPACE_OFFLINE},
                {CMD_WORKSPACE_KEYS, CMD_WORKSPACE_OFFLINE},
                {"server", 0700},
                {SERVER_KEYS, 0700},
                {"server/bundles", 0700}};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (fs_make_dir(in->dir, dirs[i].path, dirs[i].mode, e) < 0)
            return err_prefix(e, "making %s/%s", in->path, dirs[i].path);
    return 0;
}

// What an interrupted run left: its key is taken as it is; only NAME.pub may still be missing.
static int take_key(int dir, const char *name, struct keys_pub *ret, struct err *e) {
    char path[PATH_BYTES];
    struct sign_keyfile_info info;
    struct stat st;
    (void)snprintf(path, sizeof path, "%s.key", name);
    if (sign_keyfile_info(dir, path, &info, e) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s.pub", name);
    int found = fs_stat(dir, path, &st, e);
    if (found < 0)
        return -1;
    if (found == FS_ABSENT && sign_keyfile_write_pub(dir, name, &info.pub, e) < 0)
        return -1;
    *ret = info.pub;
    return 0;
}

static int make_key_file(struct init *in, const char *folder, const char *name,
                         struct keys_pub *ret, struct err *e) {
    char path[PATH_BYTES];
    struct stat st;
    OWN(fd) int dir = -1;
    const struct keys_secret *passphrase = NULL;
    bool seal = strcmp(folder, SERVER_KEYS) != 0 && !opt_given(in->args, "no-passphrase");
    if (fs_open_dir(in->dir, folder, &dir, e) < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s.key", name);
    int found = fs_stat(dir, path, &st, e);
    if (found < 0)
        return -1;
    if (found != FS_ABSENT)
        return take_key(dir, name, ret, e);
    if (seal && cmd_passphrase_get(&in->passphrase, CMD_PASSPHRASE_NEW, "the offline keys",
                                   &passphrase, e) < 0)
        return -1;
    return sign_keyfile_create(dir, name, passphrase, &sign_keyfile_kdf_default, ret, e);
}

static int make_key(struct init *in, const struct place *place, struct err *e) {
    struct keys_pub pub;
    if (make_key_file(in, place->dir, place->name, &pub, e) < 0)
        return -1;
    struct keys_role *role = &in->wanted[place->role];
    if (!keys_role_has(role, pub.id))
        role->keys[role->n_keys++] = pub;
    return 0;
}

static int make_root(struct init *in, struct buf *ret, struct err *e) {
    struct keys_header header = {.version = 1};
    OWN(buf) struct buf signed_part;
    OWN(root) struct keys_root *root = NULL;
    buf_init(&signed_part, KEYS_ROOT_MAX_BYTES);
    if (cmd_workspace_issued(in->args, in->context->clock, &header.issued_s, e) < 0 ||
        cmd_workspace_expires(in->args, header.issued_s, KEYS_ROOT_EXPIRES_DEFAULT_S,
                              &header.expires_s, e) < 0 ||
        keys_root_format(in->wanted, &header, &signed_part, e) < 0 ||
        cmd_signers_add_file(&in->signers, &in->passphrase, in->dir, CMD_WORKSPACE_KEYS "/root.key",
                             e) < 0 ||
        cmd_signers_collect_given(&in->signers, &in->passphrase, in->args, "sign-key",
                                  in->context->clock, e) < 0 ||
        sign_signer_envelope(buf_slice(&signed_part), in->signers.list, in->signers.n, ret, e) < 0)
        return -1;
    // What devices will refuse must not be written.
    return keys_root_open(buf_slice(ret), &root, e);
}

// The key that names deltas is none of the root's: the first targets delegate to it.
static int make_repository(struct init *in, struct slice root, struct err *e) {
    int64_t issued_s = 0;
    struct keys_pub ignored;
    if (make_key_file(in, SERVER_KEYS, REPO_TARGETS_DELTAS_ROLE, &ignored, e) < 0 ||
        cmd_workspace_issued(in->args, in->context->clock, &issued_s, e) < 0 ||
        cmd_signers_add_file(&in->signers, &in->passphrase, in->dir,
                             CMD_WORKSPACE_KEYS "/targets.key", e) < 0)
        return -1;
    return cmd_init_repository_make(in->dir, root, &in->signers, issued_s, e);
}

// The one role that a root may lack is made when an option speaks of it.
static bool is_wanted(const struct init *in, enum keys_root_role role) {
    return role != KEYS_ROOT_ROLE_MANDATE || in->asked[role];
}

static int make(struct init *in, struct err *e) {
    OWN(buf) struct buf root;
    buf_init(&root, KEYS_ROOT_MAX_BYTES);
    if (make_dirs(in, e) < 0)
        return -1;
    for (size_t i = 0; i < PLACES; i++)
        if (is_wanted(in, places[i].role) && make_key(in, &places[i], e) < 0)
            return -1;
    if (make_root(in, &root, e) < 0)
        return err_prefix(e, "making the root");
    if (make_repository(in, buf_slice(&root), e) < 0)
        return -1;
    if (fs_replace(in->dir, "server/" CMD_WORKSPACE_ROOT, root.data, root.len,
                   CMD_WORKSPACE_FILE_MODE, e) < 0 ||
        fs_replace(in->dir, CMD_WORKSPACE_ROOT, root.data, root.len, CMD_WORKSPACE_FILE_MODE, e) <
            0)
        return -1;
    return 0;
}

static void tell(const struct init *in, bool there) {
    const char *dir = in->path;
    if (opt_given(in->args, "json")) {
        OWN(json) json_t *said = json_pack("{s:s,s:b}", "workspace", dir, "made", !there);
        if (said)
            cmd_print_json(said);
        return;
    }
    if (there) {
        (void)printf("%s is a workspace already, and intact. Nothing was changed.\n", dir);
        return;
    }
    (void)printf("%s is ready.\n"
                 "  %s/root.json  goes onto every device: what devices trust\n"
                 "  %s/offline/   secret keys that sign %s: keep "
                 "them off the controller\n"
                 "  %s/server/    what the controller needs: edgectl serve --workspace %s/server\n",
                 dir, dir, dir,
                 in->asked[KEYS_ROOT_ROLE_MANDATE] ? "roots, bundles, targets and plans"
                                                   : "roots, bundles and targets",
                 dir, dir);
    if (opt_given(in->args, "no-passphrase"))
        (void)fprintf(stderr,
                      "\nWARNING: the keys in %s/offline are NOT sealed with a passphrase. Whoever "
                      "reads them can\n"
                      "         sign for every device that trusts %s/root.json. For trials only.\n",
                      dir, dir);
}

static int is_there(const struct init *in, bool *ret, struct err *e) {
    char path[FS_PATH_BYTES];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/" CMD_WORKSPACE_ROOT, in->path);
    int found = fs_stat(AT_FDCWD, path, &st, e);
    *ret = found == 0;
    return found < 0 ? -1 : 0;
}

// Asked for before anything is made: without a passphrase nothing is left behind.
static int get_passphrase(struct init *in, struct err *e) {
    const struct keys_secret *ignored = NULL;
    if (opt_given(in->args, "no-passphrase"))
        return 0;
    return cmd_passphrase_get(&in->passphrase, CMD_PASSPHRASE_NEW, "the offline keys", &ignored, e);
}

static int init(struct init *in, bool *ret_there, struct err *e) {
    if (is_there(in, ret_there, e) < 0 || (!*ret_there && get_passphrase(in, e) < 0) ||
        fs_make_dir(AT_FDCWD, in->path, CMD_WORKSPACE_DIR_MODE, e) < 0 ||
        fs_open_dir(AT_FDCWD, in->path, &in->dir, e) < 0)
        return -1;
    return *ret_there ? check_there(in, e) : make(in, e);
}

static int run_init(void *context, const struct opt_args *args, struct err *e) {
    struct init in = {.context = context, .args = args, .path = opt_operand(args, 0), .dir = -1};
    bool there = false;
    cmd_passphrase_init(&in.passphrase, args);
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        in.wanted[i].threshold = 1;
    if (opt_given(args, "no-passphrase") && opt_given(args, "passphrase-file"))
        return err_set(e, &err_usage, "--no-passphrase and --passphrase-file exclude each other");
    in.asked[KEYS_ROOT_ROLE_MANDATE] = opt_given(args, "mandate");
    if (read_thresholds(&in, e) < 0 || read_other_keys(&in, e) < 0 || check_wanted(&in, e) < 0)
        return -1;
    int r = init(&in, &there, e);
    if (r == 0)
        tell(&in, there);
    else
        (void)err_prefix(e, "init %s", in.path);
    own_drop_fd(&in.dir);
    cmd_signers_clear(&in.signers);
    cmd_passphrase_clear(&in.passphrase);
    return r;
}

const struct opt_command cmd_init[] = {
    {.name = "init",
     .operands = "DIR",
     .operands_min = 1,
     .operands_max = 1,
     .help = "Make a workspace: keys, the root that devices trust, and the controller's folder",
     .options = init_options,
     .run = run_init},
    {.name = NULL}};
