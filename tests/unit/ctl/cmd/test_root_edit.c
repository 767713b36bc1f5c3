// SPDX-License-Identifier: Apache-2.0
//
// Changes to who may sign what: each once, only what was asked for, and nothing that nobody could
// meet.
#include "ctl/cmd/root_edit.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "keys/kind.h"
#include "tests/unit/keys/keyring.h"

static json_t *key_object(unsigned n) {
    struct err e = ERR_NONE;
    json_t *object = NULL;
    struct keys_pub pub = keyring_pub(n);
    keyring_must(keys_pub_format(&pub, &object, &e), &e);
    return object;
}

// Key 1 is root's; keys 1 and 2 are bundle's, at the place of old; and there are things nobody
// knows.
static json_t *old_root(void) {
    char one[KEYS_ID_HEX], two[KEYS_ID_HEX];
    memcpy(one, keyring_pub(1).id, sizeof one);
    memcpy(two, keyring_pub(2).id, sizeof two);
    json_t *root =
        json_pack("{s:s,s:{s:o,s:o},s:{s:{s:[s],s:i},s:{s:[s,s],s:i,s:s},s:{s:[s],s:i}},s:s}",
                  "_type", "root", "keys", one, key_object(1), two, key_object(2), "roles", "root",
                  "keyids", one, "threshold", 1, "bundle", "keyids", one, two, "threshold", 2,
                  "note", "kept", "director", "keyids", one, "threshold", 1, "unheard-of", "kept");
    cr_assert(root);
    return root;
}

static json_t *root_of_today(void) {
    struct err e = ERR_NONE;
    json_t *root = old_root();
    cr_assert_eq(cmd_root_edit_modernize(root, &e), 0);
    return root;
}

Test(root_edit, roles_of_our_own_move_to_where_they_stand_today) {
    struct err e = ERR_NONE;
    OWN(json) json_t *root = root_of_today();
    const json_t *bundle = json_object_get(json_object_get(root, "edge_roles"), "bundle");
    cr_expect_str_eq(json_string_value(json_object_get(bundle, "note")), "kept");
    cr_expect_eq(json_object_size(json_object_get(root, "roles")), 1);
    cr_expect_str_eq(json_string_value(json_object_get(root, "unheard-of")), "kept");
    OWN(json) json_t *again = json_deep_copy(root);
    cr_assert_eq(cmd_root_edit_modernize(again, &e), 0);
    cr_expect(json_equal(root, again));
}

Test(root_edit, a_key_is_added_once) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct keys_pub three = keyring_pub(3);
    OWN(json) json_t *root = root_of_today();
    cr_assert_eq(cmd_root_edit_add(root, "targets", &three, &e), 0);
    cr_expect_eq(cmd_root_edit_add(root, "targets", &three, &e), CMD_ROOT_EDIT_SAME);
    cr_assert_eq(cmd_root_edit_role(root, "targets", &role, &e), 0);
    cr_expect_eq(role.n_keys, 1);
    cr_expect_eq(role.threshold, 1);
    cr_expect_str_eq(role.keys[0].id, three.id);
    cr_expect_eq(cmd_root_edit_check(root, &e), 0, "%s", e.text);
}

Test(root_edit, a_role_takes_as_many_keys_as_a_role_can_have) {
    struct err e = ERR_NONE;
    OWN(json) json_t *root = root_of_today();
    for (unsigned n = 1; n <= KEYS_ROLE_KEYS_MAX; n++) {
        struct keys_pub key = keyring_pub(n);
        cr_assert_eq(cmd_root_edit_add(root, "targets", &key, &e), 0, "%u: %s", n, e.text);
    }
    struct keys_pub one_more = keyring_pub(KEYS_ROLE_KEYS_MAX + 1);
    cr_expect_eq(cmd_root_edit_add(root, "targets", &one_more, &e), -1);
    cr_expect(err_is(&e, &err_limit));
}

Test(root_edit, what_a_threshold_needs_stays) {
    struct err e = ERR_NONE;
    OWN(json) json_t *root = root_of_today();
    OWN(json) json_t *before = json_deep_copy(root);
    cr_expect_eq(cmd_root_edit_remove(root, "bundle", keyring_pub(2).id, &e), -1);
    cr_expect(err_is(&e, &err_permission));
    cr_expect(json_equal(root, before), "a refused change changed something");
    err_clear(&e);
    cr_expect_eq(cmd_root_edit_remove(root, "bundle", keyring_pub(9).id, &e), CMD_ROOT_EDIT_SAME);
    cr_assert_eq(cmd_root_edit_threshold(root, "bundle", 1, &e), 0);
    cr_expect_eq(cmd_root_edit_threshold(root, "bundle", 1, &e), CMD_ROOT_EDIT_SAME);
    cr_assert_eq(cmd_root_edit_remove(root, "bundle", keyring_pub(2).id, &e), 0);
    cr_expect_not(json_object_get(json_object_get(root, "keys"), keyring_pub(2).id),
                  "a key that no role names is still there");
    cr_expect(json_object_get(json_object_get(root, "keys"), keyring_pub(1).id),
              "a key that other roles name is gone");
    cr_expect_eq(cmd_root_edit_remove(root, "bundle", keyring_pub(1).id, &e), -1);
}

Test(root_edit, a_threshold_is_what_keys_can_meet) {
    struct err e = ERR_NONE;
    OWN(json) json_t *root = root_of_today();
    static const size_t wrong[] = {0, 3};
    for (size_t i = 0; i < 2; i++) {
        err_clear(&e);
        cr_expect_eq(cmd_root_edit_threshold(root, "bundle", wrong[i], &e), -1);
        cr_expect(err_is(&e, &err_permission));
    }
    err_clear(&e);
    cr_expect_eq(cmd_root_edit_threshold(root, "targets", 1, &e), -1);
    cr_expect(err_is(&e, &err_not_found));
}

Test(root_edit, a_delegation_of_bundle_goes_with_its_last_key) {
    struct err e = ERR_NONE;
    struct keys_pub three = keyring_pub(3);
    OWN(json) json_t *root = root_of_today();
    OWN(json) json_t *before = json_deep_copy(root);
    cr_assert_eq(cmd_root_edit_add(root, "bundle/models", &three, &e), 0);
    cr_assert_eq(
        cmd_root_edit_limits(root, "bundle/models", json_pack("[s]", "detector"), false, &e), 0);
    cr_expect_eq(
        cmd_root_edit_limits(root, "bundle/models", json_pack("[s]", "detector"), false, &e),
        CMD_ROOT_EDIT_SAME);
    const json_t *role = json_object_get(json_object_get(root, "edge_roles"), "bundle/models");
    cr_expect(json_is_false(json_object_get(role, "executable")));
    cr_expect_eq(json_array_size(json_object_get(role, "components")), 1);
    cr_assert_eq(cmd_root_edit_remove(root, "bundle/models", three.id, &e), 0);
    cr_expect(json_equal(root, before));
    cr_expect_eq(cmd_root_edit_limits(root, "bundle/models", NULL, false, &e), -1);
    cr_expect(err_is(&e, &err_not_found));
}

Test(root_edit, a_role_mandate_comes_and_goes_among_our_own) {
    struct err e = ERR_NONE;
    struct keys_role role;
    struct keys_pub three = keyring_pub(3);
    OWN(json) json_t *root = root_of_today();
    OWN(json) json_t *before = json_deep_copy(root);
    cr_assert_eq(cmd_root_edit_check_role("mandate", &e), 0);
    cr_assert_eq(cmd_root_edit_add(root, "mandate", &three, &e), 0);
    cr_assert(json_object_get(json_object_get(root, "edge_roles"), "mandate"));
    cr_assert_eq(cmd_root_edit_role(root, "mandate", &role, &e), 0);
    cr_expect_str_eq(role.keys[0].id, three.id);
    cr_assert_eq(cmd_root_edit_remove(root, "mandate", three.id, &e), 0);
    cr_expect(json_equal(root, before));
}

Test(root_edit, what_nobody_should_sign_is_found) {
    static const char *const names[] = {"mirrors", "bundle/", "bundle/../x", "bundle/a b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct err e = ERR_NONE;
        OWN(json) json_t *root = root_of_today();
        struct keys_pub one = keyring_pub(1);
        cr_assert_eq(cmd_root_edit_add(root, names[i], &one, &e), 0);
        cr_expect_eq(cmd_root_edit_check(root, &e), -1, "%s", names[i]);
        cr_expect(err_is(&e, &err_usage));
    }
    struct err e = ERR_NONE;
    OWN(json) json_t *root = root_of_today();
    json_object_set_new(json_object_get(json_object_get(root, "roles"), "root"), "threshold",
                        json_integer(2));
    cr_expect_eq(cmd_root_edit_check(root, &e), -1);
    cr_expect(err_is(&e, &err_bad_key));
}

Test(root_edit, a_key_under_the_id_of_another_is_found) {
    struct err e = ERR_NONE;
    OWN(json) json_t *root = root_of_today();
    json_object_set_new(json_object_get(root, "keys"), keyring_pub(1).id, key_object(3));
    cr_expect_eq(cmd_root_edit_check(root, &e), -1);
    cr_expect(err_is(&e, &err_bad_key));
}
