// SPDX-License-Identifier: Apache-2.0
//
// When a controller refuses to start.
#include "tests/unit/ctl/serve/controller.h"

static const char *start_fails(const char *workspace, const char *address,
                               bool allow_offline_keys) {
    struct err e = ERR_NONE;
    struct serve_options options = {.workspace = workspace,
                                    .listen = address,
                                    .allow_offline_keys = allow_offline_keys,
                                    .say = controller_say};
    cr_assert_lt(serve_run(&options, &e), 0);
    return e.kind->name;
}

Test(serve_start, refuses_what_is_no_workspace_and_addresses_that_are_none, .timeout = 1200) {
    struct controller c;
    controller_make(&c);
    cr_assert_str_eq(start_fails(c.dir.path, "127.0.0.1:0", false), "wrong_workspace");
    cr_assert_str_eq(start_fails("/nonexistent", "127.0.0.1:0", false), "not_found");
    cr_assert_str_eq(start_fails(c.workspace, "127.0.0.1", false), "config");
    cr_assert_str_eq(start_fails(c.workspace, "127.0.0.1:65536", false), "config");
    cr_assert_str_eq(start_fails(c.workspace, "192.0.2.1:0", false), "cleartext");
    cr_assert_str_eq(start_fails(c.workspace, ":0", false), "cleartext");
    controller_free(&c);
}

// A root whose bundle key lies in a file beside the workspace.
static void reveal_key(struct controller *c) {
    struct err e = ERR_NONE;
    struct keys_role roles[KEYS_ROOT_ROLES];
    struct keys_header header = {
        .version = 1, .issued_s = FORGE_ISSUED_S, .expires_s = FORGE_EXPIRES_S};
    struct sign_signer *root = forge_signer(1);
    struct buf part, raw;
    int dir = -1;
    for (unsigned i = 0; i < KEYS_ROOT_ROLES; i++)
        roles[i] = *keys_root_role(c->root, (enum keys_root_role)i);
    must(fs_mkdir(c->dir.fd, "offline", 0700, &e));
    must(fs_open_dir(c->dir.fd, "offline", &dir, &e));
    must(sign_keyfile_create(dir, "bundle", NULL, &sign_keyfile_kdf_least,
                             &roles[KEYS_ROOT_ROLE_BUNDLE].keys[0], &e));
    (void)close(dir);
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    must(keys_root_format(roles, &header, &part, &e));
    must(sign_signer_envelope(buf_slice(&part), &root, 1, &raw, &e));
    controller_write(c, "server/root.json", buf_slice(&raw));
    buf_clear(&part);
    buf_clear(&raw);
    sign_signer_free(root);
}

Test(serve_start, refuses_to_run_where_it_can_see_an_offline_key, .timeout = 1200) {
    struct controller c;
    controller_make(&c);
    reveal_key(&c);
    cr_assert_str_eq(start_fails(c.workspace, "127.0.0.1:0", false), "offline_key");
    // Allowed, the next thing that is wrong is found.
    cr_assert_str_eq(start_fails(c.workspace, "127.0.0.1", true), "config");
    controller_free(&c);
}
