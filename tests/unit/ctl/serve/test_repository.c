// SPDX-License-Identifier: Apache-2.0
//
// The repository of a running controller: what people sign is taken in when it holds, what the
// online keys sign follows, and a release is offered only when the targets name it.
#include "base/chrono.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/repo/folder.h"
#include "ctl/repo/target.h"
#include "ctl/repo/targets.h"
#include "tests/unit/ctl/serve/controller.h"

#define ISSUED (FORGE_ISSUED_S)

// Key 1 signs roots, key 2 targets; snapshot and timestamp are the controller's own.
struct keyed {
    struct controller c;
    struct keys_root_content content;
};

static void envelope(struct slice part, unsigned key, struct buf *ret) {
    struct err e = ERR_NONE;
    struct sign_signer *signer = forge_signer(key);
    buf_init(ret, REPLY_MAX);
    must(sign_signer_envelope(part, &signer, 1, ret, &e));
    sign_signer_free(signer);
}

static void root_of(const struct keyed *k, struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    must(keys_root_format_content(&k->content, &part, &e));
    envelope(buf_slice(&part), 1, ret);
}

static struct keys_role key_of(unsigned n) {
    struct keys_role role = {.threshold = 1, .n_keys = 1};
    keys_secret_free(forge_key(n, &role.keys[0]));
    return role;
}

static void online_key(const struct controller *c, const char *name, struct keys_role *ret) {
    struct err e = ERR_NONE;
    OWN(fd) int keys = -1;
    *ret = (struct keys_role){.threshold = 1, .n_keys = 1};
    must(fs_open_dir(c->dir.fd, "server/keys", &keys, &e));
    must(sign_keyfile_create(keys, name, NULL, &sign_keyfile_kdf_least, &ret->keys[0], &e));
}

// A root that names the keys of a repository, which k->c.root does not.
static void name_keys(struct keyed *k) {
    k->content = *keys_root_content(k->c.root);
    k->content.header.expires_s = CHRONO_MAX_S;
    k->content.roles[KEYS_ROOT_ROLE_TARGETS] = key_of(2);
    online_key(&k->c, "snapshot", &k->content.roles[KEYS_ROOT_ROLE_SNAPSHOT]);
    online_key(&k->c, "timestamp", &k->content.roles[KEYS_ROOT_ROLE_TIMESTAMP]);
}

static void make(struct keyed *k) {
    OWN(buf) struct buf raw;
    controller_make(&k->c);
    name_keys(k);
    root_of(k, &raw);
    controller_write(&k->c, "server/root.json", buf_slice(&raw));
}

static unsigned put(const struct controller *c, const char *role, const char *token,
                    struct slice raw, struct reply *ret) {
    char path[120];
    (void)snprintf(path, sizeof path, "/api/v1/repository/metadata/%s", role);
    return http_send(c, "PUT", path, token, "", raw, ret);
}

static unsigned put_role(const struct controller *c, const char *role, const json_t *targets,
                         uint64_t version, unsigned key) {
    struct err e = ERR_NONE;
    struct reply r;
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    struct keys_header header = {version, ISSUED, CHRONO_MAX_S};
    buf_init(&part, REPLY_MAX);
    must(repo_targets_format(targets, &header, &part, &e));
    envelope(buf_slice(&part), key, &raw);
    unsigned status = put(c, role, c->admin, buf_slice(&raw), &r);
    http_clear(&r);
    return status;
}

static unsigned put_targets(const struct controller *c, const json_t *targets, uint64_t version,
                            unsigned key) {
    return put_role(c, "targets", targets, version, key);
}

static json_t *file(const struct controller *c, const char *name) {
    char path[120];
    struct reply r;
    (void)snprintf(path, sizeof path, "/repository/metadata/%s", name);
    unsigned status = http_send(c, "GET", path, NULL, "", (struct slice){NULL, 0}, &r);
    json_t *json = status == 200 ? json_loadb(r.body, r.body_len, 0, NULL) : NULL;
    http_clear(&r);
    return json;
}

static json_int_t version_of(const struct controller *c, const char *name) {
    OWN(json) json_t *json = file(c, name);
    return json_integer_value(json_object_get(json_object_get(json, "signed"), "version"));
}

// The manifest of app 1.0 as a target.
static struct repo_target target_of_app(void) {
    struct err e = ERR_NONE;
    struct bundle_manifest_unverified *m = NULL;
    struct repo_target target;
    struct slice part;
    OWN(buf) struct buf bundle;
    bundle_make("1.0", "", "", &bundle);
    struct slice raw = forge_manifest_of(buf_slice(&bundle));
    must(bundle_manifest_peek(raw, &m, &e));
    must(repo_target_of(raw, bundle_manifest_peek_view(m), &target, &part, &e));
    bundle_manifest_peek_free(m);
    return target;
}

static json_t *no_targets(void) {
    struct err e = ERR_NONE;
    json_t *targets = NULL;
    must(repo_targets_new(&targets, &e));
    return targets;
}

static json_t *targets_with_app(void) {
    struct err e = ERR_NONE;
    struct repo_target target = target_of_app();
    json_t *targets = no_targets();
    must(repo_targets_add(targets, &target, &e));
    return targets;
}

static void apply(const struct controller *c, unsigned status, const char *code) {
    OWN(json)
    json_t *said = admin(c, status, "POST", "/api/v1/rollouts",
                         "{\"name\":\"r\",\"release\":\"app 1.0\",\"stages\":[{\"name\":\"all\","
                         "\"percent\":100}]}");
    if (code != NULL)
        cr_assert_str_eq(text_at(said, "code"), code);
}

Test(serve_repository, a_release_is_offered_when_the_targets_name_it) {
    struct keyed k;
    struct keys_digest id;
    OWN(json) json_t *none = no_targets();
    OWN(json) json_t *targets = targets_with_app();
    make(&k);
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, none, 1, 2), 201);
    cr_assert_eq(put_targets(&k.c, targets, 2, 2), 404, "not uploaded yet");
    bundle_publish(&k.c, "1.0", &id);
    apply(&k.c, 409, "not_published");
    cr_assert_eq(put_targets(&k.c, targets, 2, 2), 201);
    apply(&k.c, 201, NULL);
    // What a device will fetch is the signed part.
    char path[REPO_TARGET_FILE_BYTES + 32], name[REPO_TARGET_FILE_BYTES];
    struct reply r;
    struct repo_target target = target_of_app();
    const char *const hashes[] = {target.bundle.id, target.sha256};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "/repository/targets/%s",
                       repo_target_file(&target.bundle, hashes[i], name));
        cr_assert_eq(http_send(&k.c, "GET", path, NULL, "", (struct slice){NULL, 0}, &r), 200);
        cr_assert_eq(r.body_len, target.length);
        http_clear(&r);
    }
    controller_free(&k.c);
}

Test(serve_repository, what_a_delegation_does_not_allow_is_not_offered) {
    struct keyed k;
    struct err e = ERR_NONE;
    struct keys_digest id;
    OWN(json) json_t *targets = no_targets();
    OWN(json) json_t *named = targets_with_app();
    make(&k);
    controller_start(&k.c);
    bundle_publish(&k.c, "1.0", &id);
    struct keys_role role = key_of(8);
    const char *pattern = "*/*/*", *other = "another";
    struct repo_targets_delegation d = {.name = "line",
                                        .role = &role,
                                        .n_paths = 1,
                                        .paths = &pattern,
                                        .n_components = 1,
                                        .components = &other,
                                        .executable = true};
    must(repo_targets_delegate(targets, &d, &e));
    cr_assert_eq(put_targets(&k.c, targets, 1, 2), 201);
    cr_assert_eq(put_role(&k.c, "line", named, 1, 8), 201);
    apply(&k.c, 409, "delegation");
    d.any_component = true;
    d.n_components = 0;
    must(repo_targets_delegate(targets, &d, &e));
    cr_assert_eq(put_targets(&k.c, targets, 2, 2), 201);
    apply(&k.c, 201, NULL);
    controller_free(&k.c);
}

Test(serve_repository, what_does_not_hold_is_not_taken_in_and_a_token_is_no_signature) {
    struct keyed k;
    struct reply r;
    OWN(json) json_t *targets = no_targets();
    OWN(buf) struct buf root;
    make(&k);
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, targets, 5, 0), 400);
    cr_assert_eq(put_targets(&k.c, targets, 5, 2), 201);
    cr_assert_eq(put_targets(&k.c, targets, 5, 2), 200);
    cr_assert_eq(put_targets(&k.c, targets, 4, 2), 409);
    cr_assert_eq(version_of(&k.c, "5.targets.json"), 5);
    OWN(json)
    json_t *made = admin(&k.c, 201, "POST", "/api/v1/tokens",
                         "{\"kind\":\"operator\",\"name\":\"ci\",\"role\":\"publisher\"}");
    k.content.header.version = 2;
    root_of(&k, &root);
    cr_assert_eq(put(&k.c, "root", text_at(made, "secret"), buf_slice(&root), &r), 403);
    http_clear(&r);
    cr_assert_eq(put(&k.c, "snapshot", k.c.admin, buf_slice(&root), &r), 400);
    http_clear(&r);
    cr_assert_eq(put(&k.c, "nobody", k.c.admin, buf_slice(&root), &r), 404);
    http_clear(&r);
    OWN(json) json_t *none = file(&k.c, "2.root.json");
    cr_assert_null(none);
    controller_free(&k.c);
}

// Both began from version 1; in the answer to the later one stands why, and version 2 stays.
Test(serve_repository, of_two_who_publish_from_one_version_the_later_one_begins_anew) {
    struct keyed k;
    struct err e = ERR_NONE;
    OWN(json) json_t *first = no_targets();
    OWN(json) json_t *second = NULL;
    make(&k);
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, first, 1, 2), 201);
    cr_assert_eq(json_object_set_new(first, "previous", json_integer(1)), 0);
    second = json_deep_copy(first);
    must(repo_targets_floor(first, "app", 3, &e));
    cr_assert_eq(put_targets(&k.c, first, 2, 2), 201);
    cr_assert_eq(put_targets(&k.c, first, 2, 2), 200, "the same again is no conflict");
    cr_assert_eq(put_targets(&k.c, second, 3, 2), 409);
    cr_assert_eq(version_of(&k.c, "2.targets.json"), 2);
    OWN(json) json_t *none = file(&k.c, "3.targets.json");
    cr_assert_null(none);
    cr_assert_eq(json_object_set_new(second, "previous", json_integer(2)), 0);
    cr_assert_eq(put_targets(&k.c, second, 3, 2), 201);
    controller_free(&k.c);
}

Test(serve_repository, more_than_a_targets_file_can_be_is_refused_unread) {
    struct keyed k;
    char head[400];
    make(&k);
    controller_start(&k.c);
    for (int more = 0; more < 2; more++) {
        int len = snprintf(head, sizeof head,
                           "PUT /api/v1/repository/metadata/targets HTTP/1.1\r\nHost: x\r\n"
                           "Connection: close\r\nAuthorization: Bearer %s\r\n"
                           "Content-Length: %d\r\nExpect: 100-continue\r\n\r\n",
                           k.c.admin, REPO_TARGETS_MAX_BYTES + more);
        int fd = http_connect(&k.c);
        cr_assert_eq(send(fd, head, (size_t)len, MSG_NOSIGNAL), len);
        char first[13] = "";
        cr_assert_eq(recv(fd, first, 12, MSG_WAITALL), 12);
        cr_assert_str_eq(first, more ? "HTTP/1.1 413" : "HTTP/1.1 100");
        (void)close(fd);
    }
    controller_free(&k.c);
}

static size_t puts_of(const struct controller *c, const char *role) {
    OWN(json) json_t *audit = admin(c, 200, "GET", "/api/v1/audit", "");
    size_t i = 0, n = 0;
    json_t *row = NULL;
    json_array_foreach (json_object_get(audit, "rows"), i, row)
        n += strcmp(text_at(row, "action"), "repository.put") == 0 &&
             strcmp(text_at(row, "subject"), role) == 0;
    cr_assert_gt(i, 0);
    return n;
}

// The root is written, and nothing after it.
Test(serve_repository, a_root_whose_timestamp_could_not_be_written_gets_it_from_the_same_again) {
    static const char timestamp_file[] = "server/repository/metadata/timestamp.json";
    struct keyed k;
    struct err e = ERR_NONE;
    struct reply r;
    OWN(json) json_t *targets = no_targets();
    OWN(buf) struct buf root;
    make(&k);
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, targets, 1, 2), 201);
    k.content.header.version = 2;
    online_key(&k.c, "timestamp-2", &k.content.roles[KEYS_ROOT_ROLE_TIMESTAMP]);
    root_of(&k, &root);
    // What stands in its place cannot be replaced.
    must(fs_remove(k.c.dir.fd, timestamp_file, &e));
    must(fs_make_dir(k.c.dir.fd, timestamp_file, 0755, &e));
    cr_assert_eq(put(&k.c, "root", k.c.admin, buf_slice(&root), &r), 503, "%s", r.body);
    http_clear(&r);
    must(fs_remove_tree(k.c.dir.fd, timestamp_file, &e));
    cr_assert_eq(puts_of(&k.c, "root"), 1, "what is in force has its row, though the call failed");
    cr_assert_eq(put(&k.c, "root", k.c.admin, (struct slice){root.data, root.len - 1}, &r), 400);
    http_clear(&r);
    cr_assert_eq(puts_of(&k.c, "root"), 1, "what is not has none");
    cr_assert_eq(put(&k.c, "root", k.c.admin, buf_slice(&root), &r), 200, "%s", r.body);
    http_clear(&r);
    cr_assert_eq(puts_of(&k.c, "root"), 2, "and so has what was taken once more");
    OWN(json) json_t *timestamp = file(&k.c, "timestamp.json");
    const json_t *signature = json_array_get(json_object_get(timestamp, "signatures"), 0);
    cr_assert_str_eq(text_at(signature, "keyid"),
                     k.content.roles[KEYS_ROOT_ROLE_TIMESTAMP].keys[0].id);
    controller_free(&k.c);
}

// The timestamp is written, and what is too old cannot be removed.
Test(serve_repository, targets_that_came_into_force_by_a_call_that_failed_are_in_the_audit_log) {
    struct keyed k;
    struct err e = ERR_NONE;
    char folder[96];
    OWN(json) json_t *targets = no_targets();
    make(&k);
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, targets, 1, 2), 201);
    cr_assert_eq(puts_of(&k.c, "targets"), 1);
    for (int i = 1; i <= REPO_FOLDER_KEPT; i++) {
        (void)snprintf(folder, sizeof folder, "server/repository/metadata/%d.snapshot.json", i);
        must(fs_make_dir(k.c.dir.fd, folder, 0755, &e));
        (void)snprintf(folder, sizeof folder, "server/repository/metadata/%d.snapshot.json/x", i);
        must(fs_make_dir(k.c.dir.fd, folder, 0755, &e));
    }
    cr_assert_eq(json_object_set_new(targets, "previous", json_integer(1)), 0);
    unsigned status = put_targets(&k.c, targets, 2, 2);
    cr_assert_geq(status, 500, "%u", status);
    cr_assert_eq(version_of(&k.c, "2.targets.json"), 2);
    cr_assert_eq(puts_of(&k.c, "targets"), 2, "what is in force has its row");
    controller_free(&k.c);
}

Test(serve_repository, a_new_root_is_taken_up_with_its_keys_and_outlives_a_restart) {
    struct keyed k;
    struct err e = ERR_NONE;
    struct reply r;
    OWN(json) json_t *targets = no_targets();
    OWN(buf) struct buf root;
    OWN(buf) struct buf kept;
    make(&k);
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, targets, 1, 2), 201);
    json_int_t before = version_of(&k.c, "timestamp.json");
    // New keys for all online roles: refused while they are not there.
    k.content.header.version = 2;
    k.content.roles[KEYS_ROOT_ROLE_TIMESTAMP] = key_of(7);
    root_of(&k, &root);
    cr_assert_eq(put(&k.c, "root", k.c.admin, buf_slice(&root), &r), 400);
    cr_assert_not_null(strstr(r.body, "timestamp"));
    http_clear(&r);
    online_key(&k.c, "timestamp-2", &k.content.roles[KEYS_ROOT_ROLE_TIMESTAMP]);
    online_key(&k.c, "director-2", &k.content.roles[KEYS_ROOT_ROLE_DIRECTOR]);
    buf_clear(&root);
    root_of(&k, &root);
    cr_assert_eq(put(&k.c, "root", k.c.admin, buf_slice(&root), &r), 201, "%s", r.body);
    http_clear(&r);
    cr_assert_eq(put(&k.c, "root", k.c.admin, buf_slice(&root), &r), 200);
    http_clear(&r);
    cr_assert_gt(version_of(&k.c, "timestamp.json"), before);
    buf_init(&kept, KEYS_ROOT_MAX_BYTES);
    must(fs_read_file(k.c.dir.fd, "server/root.json", KEYS_ROOT_MAX_BYTES, &kept, &e));
    cr_assert_eq(kept.len, root.len);
    cr_assert_eq(memcmp(kept.data, root.data, kept.len), 0);
    controller_stop(&k.c);
    controller_start(&k.c);
    OWN(json) json_t *shown = admin(&k.c, 200, "GET", "/api/v1/repository", "");
    size_t i = 0;
    json_t *role = NULL;
    json_array_foreach (json_object_get(shown, "roles"), i, role)
        cr_assert(json_is_true(json_object_get(role, "valid")), "%s", text_at(role, "name"));
    cr_assert_eq(i, 4);
    controller_free(&k.c);
}

Test(serve_repository, a_workspace_made_before_works_as_it_did) {
    struct controller c;
    struct keys_digest id;
    controller_make(&c);
    controller_start(&c);
    OWN(json) json_t *said = admin(&c, 200, "GET", "/api/v1/repository", "");
    const json_t *first = json_array_get(json_object_get(said, "roles"), 0);
    cr_assert_str_eq(text_at(first, "name"), "root");
    cr_assert(json_is_true(json_object_get(first, "valid")));
    OWN(json) json_t *none = file(&c, "timestamp.json");
    cr_assert_null(none);
    bundle_publish(&c, "1.0", &id);
    apply(&c, 201, NULL);
    controller_free(&c);
}

// What the man page says under UPGRADING.
Test(serve_repository, a_workspace_made_before_gets_one_while_it_runs) {
    struct keyed k;
    struct keys_digest id;
    struct reply r;
    OWN(json) json_t *targets = targets_with_app();
    controller_make(&k.c);
    controller_start(&k.c);
    bundle_publish(&k.c, "1.0", &id);
    name_keys(&k);
    k.content.header.version = 2;
    OWN(buf) struct buf raw;
    root_of(&k, &raw);
    cr_assert_eq(put(&k.c, "root", k.c.admin, buf_slice(&raw), &r), 201, "%s", r.body);
    http_clear(&r);
    apply(&k.c, 409, "not_published");
    cr_assert_eq(put_targets(&k.c, targets, 1, 2), 201);
    apply(&k.c, 201, NULL);
    cr_assert_gt(version_of(&k.c, "timestamp.json"), 0);
    controller_free(&k.c);
}

// A copy from before: bundles are there, and what their targets are is not.
Test(serve_repository, a_start_makes_the_files_of_targets_that_are_missing) {
    struct keyed k;
    struct err e = ERR_NONE;
    struct keys_digest id;
    OWN(json) json_t *targets = targets_with_app();
    make(&k);
    controller_start(&k.c);
    bundle_publish(&k.c, "1.0", &id);
    controller_stop(&k.c);
    must(fs_remove_tree(k.c.dir.fd, "server/repository", &e));
    controller_start(&k.c);
    cr_assert_eq(put_targets(&k.c, targets, 1, 2), 201);
    controller_free(&k.c);
}

// Whether the controller ends by itself, with this in its error.
static void must_not_start(const struct controller *c, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    int none = -1;
    struct serve_options options = {.workspace = c->workspace,
                                    .listen = "127.0.0.1:0",
                                    .say = controller_say,
                                    .context = &none};
    cr_assert_lt(serve_run(&options, &e), 0);
    cr_assert(err_is(&e, kind), "%s", e.text);
}

Test(serve_repository, a_missing_online_key_and_a_targets_key_in_sight_are_errors_at_the_start) {
    struct keyed k;
    struct err e = ERR_NONE;
    make(&k);
    OWN(fd) int keys = -1;
    must(fs_open_dir(k.c.dir.fd, "server/keys", &keys, &e));
    must(fs_rename(keys, "timestamp.key", "timestamp.away", &e));
    must_not_start(&k.c, &err_not_found);
    must(fs_rename(keys, "timestamp.away", "timestamp.key", &e));
    struct keys_role targets;
    online_key(&k.c, "targets", &targets);
    k.content.roles[KEYS_ROOT_ROLE_TARGETS] = targets;
    OWN(buf) struct buf raw;
    root_of(&k, &raw);
    controller_write(&k.c, "server/root.json", buf_slice(&raw));
    must_not_start(&k.c, &err_offline_key);
    controller_free(&k.c);
}
