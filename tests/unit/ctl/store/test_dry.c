// SPDX-License-Identifier: Apache-2.0
//
// Requests for dry probes in the store.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctl/store/device.h"
#include "ctl/store/dry.h"
#include "tests/support/tmp.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

#define NOW_S 1800000000

struct shelf {
    struct tmp_dir dir;
    char path[300];
    struct store_db *db;
};

static void open_shelf(struct shelf *s) {
    struct err e = ERR_NONE;
    s->dir = tmp_dir_make();
    (void)snprintf(s->path, sizeof s->path, "%s/store.db", s->dir.path);
    must(store_db_open(s->path, &s->db, &e));
}

static void close_shelf(struct shelf *s) {
    store_db_close(s->db);
    tmp_dir_remove(&s->dir);
}

static void add(struct shelf *s, const char *id, int64_t created_s, int64_t expires_s,
                const char *device) {
    struct err e = ERR_NONE;
    struct store_dry dry = {
        .name = "app", .version = "1.0", .created_s = created_s, .expires_s = expires_s};
    struct store_dry_device one = {.stratum = "{}"};
    (void)snprintf(dry.id, sizeof dry.id, "%s", id);
    (void)snprintf(one.device, sizeof one.device, "%s", device);
    (void)memset(one.bundle, 'a', sizeof one.bundle - 1);
    must(store_dry_add(s->db, &dry, &e));
    must(store_dry_add_device(s->db, id, &one, &e));
}

struct ids {
    size_t len, n, max;
    char text[4 * STORE_DRY_ID_BYTES];
};

static int note_due(void *context, const struct store_dry_due *due, struct err *e) {
    struct ids *ids = context;
    (void)e;
    cr_assert_eq(strlen(due->bundle), sizeof due->bundle - 1);
    ids->len += (size_t)snprintf(ids->text + ids->len, sizeof ids->text - ids->len, "%s%s",
                                 ids->n == 0 ? "" : " ", due->id);
    return ++ids->n == ids->max;
}

// What the device may be asked at this time, no more than `max`; "" nothing.
static const char *due_of(struct shelf *s, int64_t now_s, size_t max) {
    static struct ids ids;
    struct err e = ERR_NONE;
    const struct store_dry_when when = {.now_s = now_s, .since_s = now_s - 100, .most = 2};
    ids = (struct ids){.max = max};
    must(store_dry_due(s->db, "d", &when, note_due, &ids, &e));
    return ids.text;
}

static const char *due(struct shelf *s, int64_t now_s) {
    return due_of(s, now_s, 4);
}

Test(store_dry, who_does_not_answer_is_asked_again_and_then_no_more) {
    struct shelf s;
    struct err e = ERR_NONE;
    open_shelf(&s);
    add(&s, "0000000000000001", NOW_S, NOW_S + 1000, "d");
    cr_expect_str_eq(due(&s, NOW_S), "0000000000000001");
    must(store_dry_asked(s.db, "d", "0000000000000001", 7, NOW_S, &e));
    cr_expect_str_eq(due(&s, NOW_S + 100), "", "it may be at it still");
    cr_expect_str_eq(due(&s, NOW_S + 101), "0000000000000001");
    must(store_dry_asked(s.db, "d", "0000000000000001", 8, NOW_S + 101, &e));
    cr_expect_str_eq(due(&s, NOW_S + 500), "", "twice is all");
    add(&s, "0000000000000002", NOW_S + 1, NOW_S + 900, "d");
    cr_expect_str_eq(due(&s, NOW_S + 899), "0000000000000002");
    cr_expect_str_eq(due(&s, NOW_S + 900), "", "it has ended");
    close_shelf(&s);
}

static int note(void *context, const struct store_dry_device *device, struct err *e) {
    json_t **ret = context;
    (void)e;
    cr_expect_str_eq(device->device, "d");
    cr_expect_eq(device->asks, 1);
    cr_expect_eq(device->answered_s, NOW_S + 9);
    *ret = json_incref(device->probes);
    return 0;
}

Test(store_dry, requests_are_offered_oldest_first) {
    struct shelf s;
    open_shelf(&s);
    add(&s, "0000000000000002", NOW_S, NOW_S + 1000, "d");
    add(&s, "0000000000000001", NOW_S + 1, NOW_S + 1000, "d");
    add(&s, "0000000000000003", NOW_S, NOW_S + 1000, "other");
    cr_expect_str_eq(due(&s, NOW_S + 1), "0000000000000002 0000000000000001");
    cr_expect_str_eq(due_of(&s, NOW_S + 1, 1), "0000000000000002",
                     "and no further than is asked for");
    close_shelf(&s);
}

Test(store_dry, an_answer_is_kept_as_it_was_said) {
    struct shelf s;
    struct err e = ERR_NONE;
    json_t *probes = NULL;
    uint64_t live = 0;
    int64_t until_s = 0;
    struct bundle_checkin_probed said = {.sequence = 7, .n = 2};
    open_shelf(&s);
    must(store_dry_until(s.db, &until_s, &e));
    cr_expect_eq(until_s, 0);
    add(&s, "0000000000000001", NOW_S, NOW_S + 1000, "d");
    must(store_dry_asked(s.db, "d", "0000000000000001", 7, NOW_S, &e));
    memset(said.bundle.bytes, 0xaa, sizeof said.bundle.bytes);
    (void)snprintf(said.probes[0].name, sizeof said.probes[0].name, "lens");
    (void)snprintf(said.probes[1].name, sizeof said.probes[1].name, "disk");
    (void)snprintf(said.probes[1].code, sizeof said.probes[1].code, "probe_failed");
    must(store_dry_answered(s.db, "d", &said, NOW_S + 9, &e));
    must(store_dry_list(s.db, "0000000000000001", note, &probes, &e));
    cr_assert_eq(json_array_size(probes), 2);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(probes, 1), "code")),
                     "probe_failed");
    json_decref(probes);
    must(store_dry_until(s.db, &until_s, &e));
    cr_expect_eq(until_s, NOW_S + 1000);
    must(store_dry_live(s.db, NOW_S + 999, &live, &e));
    cr_expect_eq(live, 1);
    must(store_dry_live(s.db, NOW_S + 1000, &live, &e));
    cr_expect_eq(live, 0);
    // And forgotten, the device with it.
    struct store_dry gone;
    must(store_dry_forget(s.db, NOW_S + 1000, &e));
    cr_expect_eq(store_dry_get(s.db, "0000000000000001", &gone, &e), 0, "not before its time");
    must(store_dry_forget(s.db, NOW_S + 1001, &e));
    cr_expect_eq(store_dry_get(s.db, "0000000000000001", &gone, &e), STORE_ABSENT);
    add(&s, "0000000000000003", NOW_S, NOW_S + 1000, "d");
    must(store_device_remove(s.db, "d", &e));
    cr_expect_str_eq(due(&s, NOW_S), "");
    close_shelf(&s);
}
