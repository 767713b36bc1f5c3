// SPDX-License-Identifier: Apache-2.0
//
// Delegations of a repository in a folder: who signs a role, which target is found through which
// role, and what a role may name.
#include "ctl/kind.h"
#include "keys/tuf/client.h"
#include "tests/unit/ctl/repo/folder.h"

// Top-level targets that name t and delegate by each of these, in order: name, pattern, key,
// terminating.
struct wish {
    const char *name, *pattern;
    unsigned key;
    bool terminating;
};

static void delegate(struct place *p, const struct repo_target *t, uint64_t version,
                     const struct wish *wishes, size_t n) {
    struct err e = ERR_NONE;
    OWN(json) json_t *targets = targets_of(t, t ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        struct keys_role role = role_of(wishes[i].key, 1, 1);
        const struct repo_targets_delegation d = {.name = wishes[i].name,
                                                  .role = &role,
                                                  .n_paths = 1,
                                                  .paths = &wishes[i].pattern,
                                                  .any_component = true,
                                                  .executable = true,
                                                  .terminating = wishes[i].terminating};
        must(repo_targets_delegate(targets, &d, &e));
    }
    cr_assert_null(place_targets(p, "targets", targets, version, 1 << 2));
}

Test(folder_delegation, a_delegated_role_is_signed_by_its_keys_and_found_through_its_pattern) {
    OWN(place) struct place p;
    const struct wish wish = {"models", "models/*/*", 9, false};
    struct repo_target t = begin(&p);
    delegate(&p, &t, 2, &wish, 1);
    cr_assert_eq(version_of(&p, "models"), 0);
    struct repo_target m = place_target(&p, "models", "1");
    struct repo_target out = place_target(&p, "other", "1");
    struct repo_target both[] = {m, out};
    OWN(json) json_t *models = targets_of(both, 2);
    cr_assert_eq(place_targets(&p, "models", models, 1, 1 << 2), &err_below_threshold);
    cr_assert_null(place_targets(&p, "models", models, 1, 1 << 9));
    place_reopen(&p);
    cr_assert(is_valid(&p, "models"));
    cr_assert(is_named(&p, &m));
    cr_assert(is_named(&p, &t));
    cr_assert_not(is_named(&p, &out), "a role is trusted for its pattern only");
}

Test(folder_delegation, what_devices_would_refuse_is_not_published) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    struct keys_role role = role_of(9, 1, 1);
    struct err e = ERR_NONE;
    const char *pattern = "m/*/*";
    const struct repo_targets_delegation d = {.name = "models",
                                              .role = &role,
                                              .n_paths = 1,
                                              .paths = &pattern,
                                              .any_component = true,
                                              .executable = true};
    OWN(json) json_t *targets = targets_of(&t, 1);
    must(repo_targets_delegate(targets, &d, &e));
    json_t *made =
        json_array_get(json_object_get(json_object_get(targets, "delegations"), "roles"), 0);
    (void)json_object_set_new(made, "path_hash_prefixes", json_pack("[s]", "00"));
    cr_assert_eq(place_targets(&p, "targets", targets, 2, 1 << 2), &err_syntax);
    (void)json_object_del(made, "paths");
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 2));
    (void)json_object_set_new(made, "path_hash_prefixes", json_array());
    (void)json_object_del(made, "name");
    cr_assert_eq(place_targets(&p, "targets", targets, 3, 1 << 2), &err_syntax);
}

Test(folder_delegation, delegations_of_delegations_are_walked_from_the_top) {
    OWN(place) struct place p;
    const struct wish wish = {"models", "m/*/*", 9, false};
    struct repo_target t = begin(&p);
    struct repo_target m = place_target(&p, "m", "1");
    struct keys_role inner = role_of(10, 1, 1);
    struct err e = ERR_NONE;
    const struct repo_targets_delegation d = {.name = "inner",
                                              .role = &inner,
                                              .n_paths = 1,
                                              .paths = &wish.pattern,
                                              .any_component = true,
                                              .executable = true};
    delegate(&p, &t, 2, &wish, 1);
    OWN(json) json_t *models = targets_of(NULL, 0);
    OWN(json) json_t *named = targets_of(&m, 1);
    must(repo_targets_delegate(models, &d, &e));
    cr_assert_eq(place_targets(&p, "inner", named, 1, 1 << 10), &err_not_found);
    cr_assert_null(place_targets(&p, "models", models, 1, 1 << 9));
    cr_assert_eq(place_targets(&p, "inner", named, 1, 1 << 9), &err_below_threshold);
    cr_assert_null(place_targets(&p, "inner", named, 1, 1 << 10));
    cr_assert(is_named(&p, &m));
    place_reopen(&p);
    cr_assert(is_valid(&p, "inner") && is_named(&p, &m));
}

// Publishes a target with these components by the role models; what its delegations say to it.
static const struct err_kind *allowed(struct place *p, uint64_t version, const char *components) {
    char text[300];
    struct err e = ERR_NONE;
    (void)snprintf(text, sizeof text, "{\"components\":[%s]}", components);
    struct repo_target m = place_target_of(p, "m", "1", text);
    OWN(json) json_t *named = targets_of(&m, 1);
    cr_assert_null(place_targets(p, "models", named, version, 1 << 9));
    return repo_folder_admits(p->folder, &m.bundle, &e) < 0 ? e.kind : NULL;
}

Test(folder_delegation, a_delegation_allows_its_components_and_programs_only_when_it_says_so) {
    OWN(place) struct place p;
    struct repo_target t = begin(&p);
    struct keys_role role = role_of(9, 1, 1);
    struct err e = ERR_NONE;
    const char *pattern = "m/*/*", *component = "detector";
    const struct repo_targets_delegation d = {.name = "models",
                                              .role = &role,
                                              .n_paths = 1,
                                              .paths = &pattern,
                                              .n_components = 1,
                                              .components = &component};
    OWN(json) json_t *targets = targets_of(&t, 1);
    must(repo_targets_delegate(targets, &d, &e));
    cr_assert_null(place_targets(&p, "targets", targets, 2, 1 << 2));
    static const struct {
        const char *components;
        const struct err_kind *kind;
    } rows[] = {
        {"{\"executable\":false,\"name\":\"detector\",\"type\":\"files\"}", NULL},
        {"{\"executable\":true,\"name\":\"detector\",\"type\":\"files\"}", &err_delegation},
        {"{\"name\":\"detector\",\"type\":\"image\"}", &err_delegation},
        {"{\"executable\":false,\"name\":\"app\",\"type\":\"files\"}", &err_delegation},
        {"{\"executable\":false,\"name\":\"detector\",\"type\":\"files\"},"
         "{\"executable\":false,\"name\":\"app\",\"type\":\"files\"}",
         &err_delegation},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(allowed(&p, i + 1, rows[i].components), rows[i].kind, "row %zu", i);
    // The top level names what it likes; and what nobody names nobody allows.
    must(repo_folder_admits(p.folder, &t.bundle, &e));
    t.bundle.id[0] = t.bundle.id[0] == '0' ? '1' : '0';
    cr_assert_eq(repo_folder_admits(p.folder, &t.bundle, &e), REPO_FOLDER_ABSENT);
}

Test(folder_delegation, a_terminating_delegation_ends_the_search_and_an_absent_role_does_too) {
    OWN(place) struct place p;
    const struct wish wishes[] = {{"first", "m/*/*", 9, true}, {"second", "m/*/*", 10, false}};
    struct err e = ERR_NONE;
    struct repo_target t = begin(&p);
    struct repo_target m = place_target(&p, "m", "1");
    delegate(&p, &t, 2, wishes, 2);
    OWN(json) json_t *named = targets_of(&m, 1);
    OWN(json) json_t *none = targets_of(NULL, 0);
    cr_assert_null(place_targets(&p, "second", named, 1, 1 << 10));
    cr_assert_lt(repo_folder_admits(p.folder, &m.bundle, &e), 0);
    cr_assert(err_is(&e, &err_not_found), "first is not there yet: %s", e.text);
    cr_assert_not(is_named(&p, &m));
    err_clear(&e);
    cr_assert_null(place_targets(&p, "first", none, 1, 1 << 9));
    cr_assert_eq(repo_folder_admits(p.folder, &m.bundle, &e), REPO_FOLDER_ABSENT);
    cr_assert_not(is_named(&p, &m));
    const struct wish open[] = {{"first", "m/*/*", 9, false}, {"second", "m/*/*", 10, false}};
    delegate(&p, &t, 3, open, 2);
    cr_assert(is_named(&p, &m));
}

Test(folder_delegation,
     a_role_that_lost_its_delegation_stays_in_the_snapshot_and_is_worth_nothing) {
    OWN(place) struct place p;
    const struct wish wish = {"models", "models/*/*", 9, false};
    struct repo_target t = begin(&p);
    delegate(&p, &t, 2, &wish, 1);
    struct repo_target m = place_target(&p, "models", "1");
    OWN(json) json_t *models = targets_of(&m, 1);
    cr_assert_null(place_targets(&p, "models", models, 1, 1 << 9));
    delegate(&p, &t, 3, NULL, 0);
    cr_assert_not(is_named(&p, &m));
    cr_assert_null(repo_folder_find(p.folder, "models"));
    char file[64];
    (void)snprintf(file, sizeof file, "%llu.snapshot.json",
                   (unsigned long long)version_of(&p, "snapshot"));
    OWN(json) json_t *snapshot = place_json(&p, file);
    cr_assert_not_null(json_object_get(json_object_get(json_object_get(snapshot, "signed"), "meta"),
                                       "models.json"));
}

// TUF_ROLES_PER_SEARCH_MAX roles for one pattern, each signed and empty but for the last.
static struct repo_target search_through(struct place *p, size_t roles) {
    struct wish wishes[TUF_ROLES_PER_SEARCH_MAX + 1];
    char names[TUF_ROLES_PER_SEARCH_MAX + 1][24];
    struct repo_target t = begin(p);
    struct repo_target m = place_target(p, "m", "1");
    OWN(json) json_t *none = targets_of(NULL, 0);
    OWN(json) json_t *named = targets_of(&m, 1);
    for (size_t i = 0; i < roles; i++) {
        (void)snprintf(names[i], sizeof names[i], "r%zu", i);
        wishes[i] = (struct wish){names[i], "m/*/*", 9, false};
    }
    delegate(p, &t, 2, wishes, roles);
    for (size_t i = 0; i < roles; i++)
        cr_assert_null(place_targets(p, names[i], i + 1 < roles ? none : named, 1, 1 << 9));
    return m;
}

Test(folder_delegation, as_many_roles_are_searched_as_a_device_searches) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target m = search_through(&p, TUF_ROLES_PER_SEARCH_MAX);
    cr_assert_eq(repo_folder_admits(p.folder, &m.bundle, &e), 0, "%s", e.text);
    cr_assert(is_named(&p, &m));
}

Test(folder_delegation, a_search_that_a_device_gives_up_is_no_answer) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target m = search_through(&p, TUF_ROLES_PER_SEARCH_MAX + 1);
    cr_assert_lt(repo_folder_admits(p.folder, &m.bundle, &e), 0);
    cr_assert(err_is(&e, &err_limit), "%s", e.text);
    cr_assert_not(is_named(&p, &m));
}

Test(folder_delegation, a_target_whose_file_was_changed_is_not_admitted) {
    OWN(place) struct place p;
    struct err e = ERR_NONE;
    struct repo_target t = begin(&p);
    char file[REPO_TARGET_FILE_BYTES], path[REPO_TARGET_FILE_BYTES + 10];
    must(repo_folder_admits(p.folder, &t.bundle, &e));
    (void)snprintf(path, sizeof path, "targets/%s", repo_target_file(&t.bundle, t.bundle.id, file));
    must(fs_replace(p.dir.fd, path, "{\"of\":\"app 9.0\"}", t.length, 0644, &e));
    cr_assert_lt(repo_folder_admits(p.folder, &t.bundle, &e), 0);
    cr_assert(err_is(&e, &err_digest_mismatch), "%s", e.text);
}
