// SPDX-License-Identifier: Apache-2.0
//
// Deltas among the targets of a repository in a folder: where their files lie, who may name them,
// and what a role for deltas can never name.
#include "bundle/delta.h"
#include "bundle/kind.h"
#include "ctl/kind.h"
#include "tests/unit/ctl/repo/folder.h"

static const struct bundle_manifest_view view = {.name = "app", .release = "1.1"};

// The head of a delta from one bundle to another, as an envelope without signatures.
static void head_of(char bundle, char base, uint64_t stream_bytes, struct buf *ret) {
    struct err e = ERR_NONE;
    struct bundle_delta_head head = {.n_components = 1,
                                     .packing = {.data_bytes = 10,
                                                 .decode_bytes = 1 << 20,
                                                 .frame_bytes = 10,
                                                 .stream_bytes = stream_bytes,
                                                 .n_frames = 2,
                                                 .n_tree_frames = 1,
                                                 .n_map_frames = 1}};
    const struct keys_envelope_signature none = {.keyid = ""};
    OWN(buf) struct buf part;
    memset(&head.bundle, bundle, sizeof head.bundle);
    memset(&head.base, base, sizeof head.base);
    (void)snprintf(head.components[0].name, sizeof head.components[0].name, "app");
    buf_init(&part, BUNDLE_DELTA_HEAD_MAX_BYTES);
    buf_init(ret, BUNDLE_DELTA_HEAD_MAX_BYTES);
    must(bundle_delta_format(&head, &part, &e));
    must(keys_envelope_format(buf_slice(&part), &none, 0, ret, &e));
}

// Its file is put into place.
static struct repo_target place_delta(struct place *p, char bundle, char base,
                                      uint64_t stream_bytes) {
    struct err e = ERR_NONE;
    struct repo_target t;
    struct slice part;
    OWN(buf) struct buf head;
    head_of(bundle, base, stream_bytes, &head);
    must(repo_target_of_delta(buf_slice(&head), &view, &t, &part, &e));
    must(repo_folder_put_target(p->folder, &t, part, &e));
    cr_assert_eq(repo_folder_put_target(p->folder, &t, part, &e), REPO_FOLDER_SAME);
    return t;
}

Test(folder_delta, is_a_target_of_its_head) {
    OWN(buf) struct buf head;
    struct err e = ERR_NONE;
    struct repo_target t;
    struct slice part;
    char path[BUNDLE_TARGET_PATH_BYTES], file[REPO_TARGET_FILE_BYTES], wanted[400];
    head_of(0x33, 0x11, 100, &head);
    must(repo_target_of_delta(buf_slice(&head), &view, &t, &part, &e));
    (void)snprintf(wanted, sizeof wanted, "app/1.1/%s/%s.json", t.bundle.id, t.bundle.base);
    cr_expect_str_eq(bundle_target_path(&t.bundle, path), wanted);
    (void)snprintf(wanted, sizeof wanted, "app/1.1/%s/%s.%s.json", t.bundle.id, t.sha256,
                   t.bundle.base);
    cr_expect_str_eq(repo_target_file(&t.bundle, t.sha256, file), wanted);
    cr_expect_eq(t.bundle.id[0], '3');
    cr_expect_eq(t.bundle.base[0], '1');
    cr_expect_eq(t.length, part.len);
    struct slice garbage = {(const uint8_t *)"{}", 2};
    cr_expect_lt(repo_target_of_delta(garbage, &view, &t, &part, &e), 0);
}

Test(folder_delta, lies_below_its_bundle_by_both_hashes_and_is_found_by_devices) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target t = begin(&p);
    struct repo_target d = place_delta(&p, 0x33, 0x11, 100);
    const char *const hashes[] = {d.digest, d.sha256};
    struct repo_target both[] = {t, d};
    OWN(json) json_t *targets = targets_of(both, 2);
    cr_assert_not(is_named(&p, &d));
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 2));
    place_reopen(&p);
    cr_assert(is_named(&p, &d) && is_named(&p, &t));
    for (size_t i = 0; i < 2; i++) {
        char file[REPO_TARGET_FILE_BYTES], path[REPO_TARGET_FILE_BYTES + 16];
        (void)snprintf(path, sizeof path, "targets/%s",
                       repo_target_file(&d.bundle, hashes[i], file));
        must(fs_remove(p.dir.fd, path, &e));
        cr_assert_eq(repo_folder_has_target(p.folder, &d, &e), REPO_FOLDER_ABSENT);
        (void)place_delta(&p, 0x33, 0x11, 100);
        cr_assert_eq(repo_folder_has_target(p.folder, &d, &e), 0);
    }
}

Test(folder_delta, that_nobody_uploaded_is_not_named) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    struct repo_target d = place_delta(&p, 0x33, 0x11, 100);
    memset(d.bundle.base, 'a', KEYS_DIGEST_HEX - 1);
    struct repo_target both[] = {t, d};
    OWN(json) json_t *targets = targets_of(both, 2);
    OWN(buf) struct buf raw;
    struct err e = ERR_NONE;
    targets_sign(targets, 2, 1 << 2, &raw);
    cr_assert_lt(repo_folder_accept(p.folder, "targets", buf_slice(&raw), &p.online, &e), 0);
    cr_assert(err_is(&e, &err_not_found) && strstr(e.text, "a delta from aaaaaaaa to app 1.1"),
              "%s", e.text);
}

Test(folder_delta, a_head_that_was_changed_is_not_admitted) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    (void)begin(&p);
    struct repo_target d = place_delta(&p, 0x33, 0x11, 100);
    char file[REPO_TARGET_FILE_BYTES], path[REPO_TARGET_FILE_BYTES + 10];
    OWN(json) json_t *targets = targets_of(&d, 1);
    OWN(mem) char *other = calloc(1, d.length);
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 2));
    (void)snprintf(path, sizeof path, "targets/%s", repo_target_file(&d.bundle, d.digest, file));
    must(fs_replace(p.dir.fd, path, other, d.length, 0644, &e));
    cr_assert_lt(repo_folder_admits(p.folder, &d.bundle, &e), 0);
    cr_assert(err_is(&e, &err_digest_mismatch), "%s", e.text);
}

// What `edgectl init` makes and `release delegate --deltas-only`.
static void delegate_deltas(struct place *p, const struct repo_target *t, uint64_t version) {
    static const char *const pattern = REPO_TARGETS_DELTAS_PATHS;
    struct err e = ERR_NONE;
    struct keys_role role = role_of(9, 1, 1);
    const struct repo_targets_delegation d = {
        .name = REPO_TARGETS_DELTAS_ROLE, .role = &role, .n_paths = 1, .paths = &pattern};
    OWN(json) json_t *targets = targets_of(t, 1);
    must(repo_targets_delegate(targets, &d, &e));
    cr_assert_eq(repo_targets_delegate(targets, &d, &e), REPO_TARGETS_SAME);
    const json_t *made =
        json_array_get(json_object_get(json_object_get(targets, "delegations"), "roles"), 0);
    cr_assert(json_is_array(json_object_get(made, "components")));
    cr_assert_eq(json_array_size(json_object_get(made, "components")), 0);
    cr_assert(json_is_false(json_object_get(made, "executable")));
    cr_assert_null(place_targets(p, "targets", targets, version, 1 << 2));
}

Test(folder_delta, a_role_for_deltas_names_deltas) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    delegate_deltas(&p, &t, 2);
    struct repo_target first = place_delta(&p, 0x33, 0x11, 100);
    struct repo_target second = place_delta(&p, 0x33, 0x11, 200);
    OWN(json) json_t *named = targets_of(&first, 1);
    OWN(json) json_t *better = targets_of(&second, 1);
    cr_assert_null(place_targets(&p, REPO_TARGETS_DELTAS_ROLE, named, 1, 1 << 9));
    cr_assert(is_named(&p, &first) && is_named(&p, &t));
    cr_assert_null(place_targets(&p, REPO_TARGETS_DELTAS_ROLE, better, 2, 1 << 9));
    place_reopen(&p);
    cr_assert(is_named(&p, &second));
}

// Neither by its paths, nor, where somebody gave it any path, by its components.
Test(folder_delta, a_role_for_deltas_can_name_no_bundle) {
    static const char *const anything[] = {"*/*/*", REPO_TARGETS_DELTAS_PATHS};
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target t = begin(&p);
    delegate_deltas(&p, &t, 2);
    struct repo_target m = place_target_of(
        &p, "m", "1",
        "{\"components\":[{\"executable\":false,\"name\":\"detector\",\"type\":\"files\"}]}");
    OWN(json) json_t *named = targets_of(&m, 1);
    cr_assert_null(place_targets(&p, REPO_TARGETS_DELTAS_ROLE, named, 1, 1 << 9));
    cr_assert_eq(repo_folder_admits(p.folder, &m.bundle, &e), REPO_FOLDER_ABSENT);
    cr_assert_not(is_named(&p, &m));
    struct keys_role role = role_of(9, 1, 1);
    const struct repo_targets_delegation d = {
        .name = REPO_TARGETS_DELTAS_ROLE, .role = &role, .n_paths = 2, .paths = anything};
    OWN(json) json_t *targets = targets_of(&t, 1);
    must(repo_targets_delegate(targets, &d, &e));
    cr_assert_null(place_targets(&p, "targets", targets, 3, 1 << 2));
    cr_assert_lt(repo_folder_admits(p.folder, &m.bundle, &e), 0);
    cr_assert(err_is(&e, &err_delegation), "%s", e.text);
    OWN(json) json_t *delegation = json_pack("{s:s, s:[]}", "name", "deltas", "components");
    cr_assert_lt(repo_targets_allows(delegation, "detector", false, &e), 0);
}

Test(folder_delta, what_a_killed_writer_left_of_it_goes) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct stat st;
    struct repo_target t = begin(&p);
    struct repo_target d = place_delta(&p, 0x33, 0x11, 100);
    char path[400];
    (void)t;
    (void)snprintf(path, sizeof path, "targets/app/1.1/%s/.x.tmp-1234567890abcdef", d.bundle.id);
    must(fs_replace(p.dir.fd, path, "x", 1, 0644, &e));
    cr_assert(fs_is_temporary(strrchr(path, '/') + 1));
    place_reopen(&p);
    cr_assert_eq(fs_stat(p.dir.fd, path, &st, &e), FS_ABSENT);
    cr_assert_eq(repo_folder_has_target(p.folder, &d, &e), 0);
}
