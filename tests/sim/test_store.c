// SPDX-License-Identifier: Apache-2.0
//
// A fleet that is simulated from a controller's store.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/cmd/simulate_store.h"
#include "ctl/sim/run.h"
#include "ctl/store/device.h"
#include "tests/support/tmp.h"

struct scene {
    struct sim_fleet fleet;
    struct rollout_policy policy;
};

static struct scene *read_scene(void) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e = ERR_NONE;
    OWN(json)
    json_t *fleet =
        json_pack("{s:s, s:i, s:s}", "name", "f", "devices", 5, "site_fact", "label.plant");
    OWN(json)
    json_t *policy = json_pack("{s:s, s:s, s:s, s:[s], s:b}", "name", "p", "release", "r 1",
                               "selector", "line != \"C\"", "stratify", "line", "baseline", 0);
    cr_assert_eq(sim_fleet_parse(fleet, "fleet", &s->fleet, &e), 0, "%s", e.text);
    cr_assert_eq(rollout_policy_parse(policy, "policy", &s->policy, &e), 0, "%s", e.text);
    return s;
}

// Sixty devices on three lines at four plants; each tenth is not accepted.
static void make_store(const char *path) {
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(store_db_open(path, &db, &e), 0, "%s", e.text);
    cr_assert_eq(store_db_begin(db, &e), 0);
    for (unsigned i = 0; i < 60; i++) {
        struct store_device device = {.state = i % 10 == 9 ? STORE_DEVICE_PENDING
                                                           : STORE_DEVICE_ACCEPTED};
        char plant[8];
        (void)snprintf(device.id, sizeof device.id, "d-%u", i);
        (void)snprintf(plant, sizeof plant, "p%u", i % 4);
        device.facts = json_pack("{s:s}", "line", i % 3 == 0 ? "A" : i % 3 == 1 ? "B" : "C");
        device.labels = i == 8 ? NULL : json_pack("{s:s}", "plant", plant);
        cr_assert_eq(store_device_add(db, &device, &e), 0, "%s", e.text);
        store_device_clear(&device);
    }
    cr_assert_eq(store_db_commit(db, &e), 0);
    store_db_close(db);
}

Test(simulate_store, its_accepted_devices_take_the_place_of_those_in_the_file) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(mem) struct scene *s = read_scene();
    OWN(world) struct sim_world world = {.n = 0};
    struct cmd_simulate_store store = {.n = 0};
    struct sim_run_result result = {.n_samples = 0};
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    make_store(path);
    cr_assert_eq(cmd_simulate_store_read(path, &s->fleet, &store, &e), 0, "%s", e.text);
    cr_assert_eq(s->fleet.devices, 54);
    cr_assert_eq(s->fleet.sites, 5, "four plants, and one device that says none");
    const struct sim_world_given given = {.facts = store.facts, .sites = store.sites};
    cr_assert_eq(sim_world_take(&s->fleet, &s->policy, &given, &world, &e), 0, "%s", e.text);
    cr_assert_eq(world.n_strata, 3);
    size_t selected = 0;
    for (size_t i = 0; i < world.n; i++)
        selected += world.devices[i].selected;
    cr_assert_eq(selected, 36, "%zu", selected);
    const struct sim_run_options how = {.seed = 1};
    cr_assert_eq(sim_run(&world, &how, &result, &e), 0, "%s", e.text);
    cr_assert_eq(result.end, SIM_RUN_FINISHED);
    cr_assert_eq(result.exposed, 36);
    cr_assert_eq(result.broken.n, 0, "%s", result.broken.first);
    cmd_simulate_store_clear(&store);
}

Test(simulate_store, what_is_not_there_is_not_made) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(mem) struct scene *s = read_scene();
    struct cmd_simulate_store store = {.n = 0};
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    cr_assert_eq(cmd_simulate_store_read(path, &s->fleet, &store, &e), -1);
    cr_assert_eq(e.kind, &err_not_found);
    cr_assert_eq(access(path, F_OK), -1);
    cr_assert_eq(s->fleet.devices, 5);
}

Test(simulate_store, a_store_without_devices_is_no_fleet) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(mem) struct scene *s = read_scene();
    struct cmd_simulate_store store = {.n = 0};
    struct store_db *db = NULL;
    struct err e = ERR_NONE;
    char path[TMP_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/store.db", dir.path);
    cr_assert_eq(store_db_open(path, &db, &e), 0, "%s", e.text);
    store_db_close(db);
    cr_assert_eq(cmd_simulate_store_read(path, &s->fleet, &store, &e), -1);
    cr_assert_eq(e.kind, &err_config);
}
