// SPDX-License-Identifier: Apache-2.0
//
// A repository in a folder: published, renewed, damaged, restored, rotated.
#include "ctl/kind.h"
#include "tests/unit/ctl/repo/folder.h"

Test(folder, what_was_published_is_whole_and_found_by_who_opens_it) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    for (int i = 0; i < 2; i++) {
        static const char *const roles[] = {"root", "timestamp", "snapshot", "targets"};
        cr_assert_eq(repo_folder_n_states(p.folder), 4);
        for (size_t k = 0; k < 4; k++)
            cr_assert(is_valid(&p, roles[k]), "%s: %s", roles[k],
                      repo_folder_find(p.folder, roles[k])->why.text);
        cr_assert(is_named(&p, &t));
        cr_assert_eq(version_of(&p, "snapshot"), NOW);
        place_reopen(&p);
    }
    t.bundle.id[0] = t.bundle.id[0] == '0' ? '1' : '0';
    cr_assert_not(is_named(&p, &t));
}

Test(folder, a_timestamp_leads_to_bytes_and_they_to_all_others) {
    OWN(place) struct place p;
    char file[64];
    (void)begin(&p);
    OWN(json) json_t *timestamp = place_json(&p, "timestamp.json");
    const json_t *meta = json_object_get(json_object_get(timestamp, "signed"), "meta");
    cr_assert_eq(json_object_size(meta), 1);
    (void)snprintf(file, sizeof file, "%lld.snapshot.json",
                   (long long)json_integer_value(
                       json_object_get(json_object_get(meta, "snapshot.json"), "version")));
    OWN(json) json_t *snapshot = place_json(&p, file);
    meta = json_object_get(json_object_get(snapshot, "signed"), "meta");
    cr_assert_eq(
        json_integer_value(json_object_get(json_object_get(meta, "targets.json"), "version")), 1);
}

Test(folder, the_same_again_changes_nothing) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    (void)begin(&p);
    buf_init(&raw, REPO_TARGETS_MAX_BYTES);
    must(repo_folder_read(p.folder, "targets", &raw, &e));
    uint64_t before = version_of(&p, "timestamp");
    cr_assert_eq(repo_folder_accept(p.folder, "targets", buf_slice(&raw), &p.online, &e),
                 REPO_FOLDER_SAME);
    cr_assert_eq(version_of(&p, "timestamp"), before);
}

Test(folder, targets_need_the_keys_of_the_role_a_higher_version_and_a_life) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    OWN(json) json_t *targets = targets_of(&t, 1);
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 7), &err_below_threshold);
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 3), &err_below_threshold);
    (void)json_object_set_new(targets, "x", json_true());
    cr_assert_eq(place_targets(&p, "targets", targets, 1, 1 << 2), &err_rollback);
    cr_assert_eq(place_targets(&p, "targets", targets, NOW + 2 * DAY, 1 << 2), &err_limit);
    p.online.now_s = NOW - 2 * DAY; // and it comes from the future
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 2), &err_limit);
    p.online.now_s = NOW + 366 * DAY;
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 2), &err_expired);
    p.online.now_s = NOW;
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 2));
    cr_assert_eq(version_of(&p, "targets"), 2);
}

Test(folder, what_was_made_from_a_version_that_is_not_current_would_undo_another) {
    OWN(place) struct place p;
    struct repo_target list[2] = {begin(&p)};
    list[1] = place_target(&p, "app", "1.1");
    OWN(json) json_t *first = targets_of(list, 2);
    OWN(json) json_t *second = targets_of(list, 1);
    (void)json_object_set_new(first, "previous", json_integer(1));
    (void)json_object_set_new(second, "previous", json_integer(1));
    cr_assert_null(place_targets(&p, "targets", first, 5, 1 << 2));
    cr_assert_eq(place_targets(&p, "targets", second, 6, 1 << 2), &err_conflict);
    (void)json_object_set_new(second, "previous", json_integer(-1));
    cr_assert_eq(place_targets(&p, "targets", second, 6, 1 << 2), &err_conflict);
    (void)json_object_set_new(second, "previous", json_string("5"));
    cr_assert_eq(place_targets(&p, "targets", second, 6, 1 << 2), &err_conflict);
    cr_assert_eq(version_of(&p, "targets"), 5);
    cr_assert(is_named(&p, &list[1]), "what came first is still there");
    (void)json_object_set_new(second, "previous", json_integer(5));
    cr_assert_null(place_targets(&p, "targets", second, 6, 1 << 2));
    // The folder is older than what people have: a backup was put back.
    (void)json_object_set_new(second, "previous", json_integer(8));
    cr_assert_null(place_targets(&p, "targets", second, 9, 1 << 2));
}

Test(folder, a_target_that_nobody_uploaded_is_not_named) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    struct repo_target list[] = {t, t};
    memset(list[1].bundle.id, 'a', KEYS_DIGEST_HEX - 1);
    memset(list[1].digest, 'a', KEYS_DIGEST_HEX - 1);
    OWN(json) json_t *targets = targets_of(list, 2);
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 2), &err_not_found);
    cr_assert_eq(version_of(&p, "targets"), 1);
}

Test(folder, the_bytes_of_a_target_are_its_own) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target t = begin(&p);
    const char *const hashes[] = {t.bundle.id, t.sha256};
    for (size_t i = 0; i < 2; i++) { // clients ask by either: one is not enough
        char file[REPO_TARGET_FILE_BYTES], path[REPO_TARGET_FILE_BYTES + 16];
        cr_assert_eq(repo_folder_has_target(p.folder, &t, &e), 0);
        (void)snprintf(path, sizeof path, "targets/%s",
                       repo_target_file(&t.bundle, hashes[i], file));
        must(fs_remove(p.dir.fd, path, &e));
        cr_assert_eq(repo_folder_has_target(p.folder, &t, &e), REPO_FOLDER_ABSENT);
        (void)place_target(&p, "app", "1.0");
    }
    t.length = 3;
    cr_assert_lt(
        repo_folder_put_target(p.folder, &t, (struct slice){(const uint8_t *)"{ }", 3}, &e), 0);
    cr_assert(err_is(&e, &err_digest_mismatch));
    err_clear(&e);
    cr_assert_eq(repo_folder_has_target(p.folder, &t, &e), REPO_FOLDER_ABSENT); // another length
}

Test(folder, online_roles_are_signed_anew_when_half_is_over) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    (void)begin(&p);
    cr_assert_eq(repo_folder_renew(p.folder, &p.online, &e), REPO_FOLDER_SAME);
    p.online.now_s = NOW + REPO_FOLDER_TIMESTAMP_EXPIRES_DEFAULT_S / 2 - 1;
    cr_assert_eq(repo_folder_renew(p.folder, &p.online, &e), REPO_FOLDER_SAME);
    p.online.now_s++;
    must(repo_folder_renew(p.folder, &p.online, &e));
    cr_assert_eq(version_of(&p, "timestamp"), (uint64_t)p.online.now_s);
    cr_assert_eq(version_of(&p, "snapshot"), NOW);
    p.online.now_s = NOW + REPO_FOLDER_SNAPSHOT_EXPIRES_DEFAULT_S / 2;
    must(repo_folder_renew(p.folder, &p.online, &e));
    cr_assert_eq(version_of(&p, "snapshot"), (uint64_t)p.online.now_s);
    cr_assert_eq(version_of(&p, "targets"), 1);
    place_reopen(&p);
    cr_assert(is_valid(&p, "timestamp") && is_valid(&p, "snapshot") && is_valid(&p, "targets"));
}

Test(folder, what_holds_for_too_long_is_signed_anew) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    (void)begin(&p);
    p.online.timestamp_s = DAY; // made shorter
    must(repo_folder_renew(p.folder, &p.online, &e));
    cr_assert_eq(repo_folder_find(p.folder, "timestamp")->header.expires_s, NOW + DAY);
    cr_assert_eq(repo_folder_renew(p.folder, &p.online, &e), REPO_FOLDER_SAME);
    p.online.now_s = NOW - 20 * 365 * DAY; // the clock had run twenty years ahead
    must(repo_folder_renew(p.folder, &p.online, &e));
    cr_assert_eq(repo_folder_find(p.folder, "timestamp")->header.expires_s, p.online.now_s + DAY);
    cr_assert_lt(repo_folder_find(p.folder, "snapshot")->header.expires_s, NOW);
}

Test(folder, versions_rise_when_the_clock_goes_back_and_when_a_backup_came_back) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    (void)begin(&p);
    OWN(buf) struct buf backup;
    buf_init(&backup, 1 << 16);
    must(fs_read_file(p.dir.fd, "metadata/timestamp.json", 1 << 16, &backup, &e));
    p.online.now_s = NOW + 10 * DAY;
    must(repo_folder_renew(p.folder, &p.online, &e));
    uint64_t seen = version_of(&p, "timestamp");
    // Restored: what devices have seen is not known here any more.
    must(fs_replace(p.dir.fd, "metadata/timestamp.json", backup.data, backup.len, 0644, &e));
    place_reopen(&p);
    cr_assert_lt(version_of(&p, "timestamp"), seen);
    p.online.now_s = NOW + 11 * DAY;
    must(repo_folder_renew(p.folder, &p.online, &e));
    cr_assert_gt(version_of(&p, "timestamp"), seen);
    cr_assert_gt(version_of(&p, "snapshot"), seen);
    // A clock that was set back: the version before + 1.
    seen = version_of(&p, "timestamp");
    OWN(json) json_t *targets = json_deep_copy(repo_folder_targets(p.folder, "targets"));
    p.online.now_s = NOW;
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 2));
    cr_assert_eq(version_of(&p, "timestamp"), seen + 1);
}

Test(folder, a_lost_or_damaged_timestamp_is_made_again_from_what_lies_there) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target t = begin(&p);
    must(fs_replace(p.dir.fd, "metadata/timestamp.json", "{}", 2, 0644, &e));
    place_reopen(&p);
    cr_assert_not(is_valid(&p, "timestamp"));
    cr_assert(is_valid(&p, "snapshot") && is_valid(&p, "targets"));
    must(repo_folder_renew(p.folder, &p.online, &e));
    cr_assert(is_valid(&p, "timestamp"));
    must(fs_remove(p.dir.fd, "metadata/timestamp.json", &e));
    char file[64];
    (void)snprintf(file, sizeof file, "metadata/%llu.snapshot.json",
                   (unsigned long long)version_of(&p, "snapshot"));
    must(fs_remove(p.dir.fd, file, &e));
    place_reopen(&p);
    cr_assert_not(is_valid(&p, "snapshot"));
    cr_assert_eq(version_of(&p, "targets"), 1);
    must(repo_folder_renew(p.folder, &p.online, &e));
    place_reopen(&p);
    cr_assert(is_valid(&p, "timestamp") && is_valid(&p, "snapshot"));
    cr_assert(is_named(&p, &t));
}

Test(folder, damaged_targets_are_not_believed_and_their_version_still_counts) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    struct repo_target t = begin(&p);
    buf_init(&raw, REPO_TARGETS_MAX_BYTES);
    must(repo_folder_read(p.folder, "targets", &raw, &e));
    char *length = strstr((char *)raw.data, "\"length\":") + 9;
    *length = *length == '9' ? '8' : '9';
    must(fs_replace(p.dir.fd, "metadata/1.targets.json", raw.data, raw.len, 0644, &e));
    place_reopen(&p);
    cr_assert_not(is_valid(&p, "targets"));
    cr_assert(err_is(&repo_folder_find(p.folder, "targets")->why, &err_bad_signature));
    cr_assert_null(repo_folder_targets(p.folder, "targets"));
    cr_assert_not(is_named(&p, &t));
    cr_assert_eq(repo_folder_next_version(p.folder, "targets", 0), 2);
}

Test(folder, old_versions_go_and_roots_and_current_ones_stay) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct stat st;
    (void)begin(&p);
    for (unsigned i = 0; i < REPO_FOLDER_KEPT + 4; i++) {
        OWN(json) json_t *targets = json_deep_copy(repo_folder_targets(p.folder, "targets"));
        p.online.now_s++;
        cr_assert_null(place_targets(&p, "targets", targets, 2 + i, 1 << 2));
    }
    cr_assert_eq(version_of(&p, "targets"), REPO_FOLDER_KEPT + 5);
    cr_assert_eq(fs_stat(p.dir.fd, "metadata/5.targets.json", &st, &e), FS_ABSENT);
    cr_assert_eq(fs_stat(p.dir.fd, "metadata/6.targets.json", &st, &e), 0);
    cr_assert_eq(fs_stat(p.dir.fd, "metadata/1.root.json", &st, &e), 0);
    char file[64];
    (void)snprintf(file, sizeof file, "metadata/%lld.snapshot.json", NOW + 4);
    cr_assert_eq(fs_stat(p.dir.fd, file, &st, &e), FS_ABSENT);
    (void)snprintf(file, sizeof file, "metadata/%lld.snapshot.json", NOW + 5);
    cr_assert_eq(fs_stat(p.dir.fd, file, &st, &e), 0);
}

// ── Rotation ─────────────────────────────────────────────────────────────────────────────────────

static const struct err_kind *put_root(struct place *p, const struct keys_root_content *content,
                                       uint64_t keys) {
    OWN(buf) struct buf raw;
    root_sign(content, keys, &raw);
    return place_accept(p, "root", buf_slice(&raw));
}

Test(folder, a_new_root_follows_and_brings_a_new_timestamp) {
    OWN(place) struct place p;
    struct keys_root_content content;
    (void)begin(&p);
    root_content(2, &content);
    cr_assert_eq(put_root(&p, &content, 1 << 2), &err_root_chain);
    root_content(3, &content);
    cr_assert_eq(put_root(&p, &content, 1 << 1), &err_root_chain);
    root_content(2, &content);
    uint64_t before = version_of(&p, "timestamp");
    cr_assert_null(put_root(&p, &content, 1 << 1));
    cr_assert_null(put_root(&p, &content, 1 << 1)); // the same again
    cr_assert_eq(version_of(&p, "root"), 2);
    cr_assert_gt(version_of(&p, "timestamp"), before);
    place_reopen(&p); // by the first root: the chain is followed
    cr_assert_eq(version_of(&p, "root"), 2);
}

Test(folder, a_root_that_takes_the_online_keys_away_needs_the_new_ones_at_hand) {
    OWN(place) struct place p;
    struct keys_root_content content;
    (void)begin(&p);
    root_content(2, &content);
    content.roles[KEYS_ROOT_ROLE_TIMESTAMP] = role_of(8, 1, 1);
    cr_assert_eq(put_root(&p, &content, 1 << 1), &err_bad_key);
    cr_assert_eq(version_of(&p, "root"), 1);
    struct sign_signer *old = p.timestamp;
    p.online.timestamp = p.timestamp = forge_signer(8);
    sign_signer_free(old);
    cr_assert_null(put_root(&p, &content, 1 << 1));
    cr_assert(is_valid(&p, "timestamp") && is_valid(&p, "snapshot"));
    place_reopen(&p);
    cr_assert(is_valid(&p, "timestamp"));
}

Test(folder, after_a_rotation_of_targets_the_old_ones_do_not_hold_until_they_are_signed_anew) {
    OWN(place) struct place p;
    struct keys_root_content content;
    struct repo_target t = begin(&p);
    root_content(2, &content);
    content.roles[KEYS_ROOT_ROLE_TARGETS] = role_of(8, 1, 1);
    cr_assert_null(put_root(&p, &content, 1 << 1));
    cr_assert_not(is_valid(&p, "targets"));
    cr_assert_not(is_named(&p, &t));
    OWN(json) json_t *targets = targets_of(&t, 1);
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 2), &err_below_threshold);
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 8));
    cr_assert(is_valid(&p, "targets"));
    cr_assert(is_named(&p, &t));
}

Test(folder, what_is_made_here_is_not_taken_in_and_what_nobody_delegates_does_not_exist) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    OWN(json) json_t *targets = targets_of(&t, 1);
    cr_assert_eq(place_targets(&p, "snapshot", targets, 9, 1 << 3), &err_usage);
    cr_assert_eq(place_targets(&p, "timestamp", targets, 9, 1 << 4), &err_usage);
    cr_assert_eq(place_targets(&p, "models", targets, 9, 1 << 2), &err_not_found);
}
