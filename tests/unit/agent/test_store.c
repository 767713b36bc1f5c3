// SPDX-License-Identifier: Apache-2.0
//
// The generations on disk: what counts as unfinished, what is cleaned up, and that a generation is
// the one that its name says.
#include "bundle/kind.h"
#include "tests/unit/agent/device.h"

static bool has_partial(const struct agent_store *store) {
    struct err e = ERR_NONE;
    bool found = false;
    cr_assert_eq(agent_store_has_partial(store, &found, &e), 0, "%s", e.text);
    return found;
}

static struct agent_store open_store(struct tmp_dir *dir) {
    struct agent_store store;
    struct err e = ERR_NONE;
    *dir = tmp_dir_make();
    cr_assert_eq(agent_store_open(dir->path, &store, &e), 0, "%s", e.text);
    return store;
}

Test(store, i8_an_unfinished_generation_is_seen_until_it_is_dropped_or_finished) {
    OWN(tmp_dir) struct tmp_dir dir;
    struct err e = ERR_NONE;
    struct agent_store store = open_store(&dir);
    cr_expect_not(has_partial(&store), "an empty store");
    for (int finish = 0; finish < 2; finish++) {
        OWN(fd) int fd = -1;
        cr_assert_eq(agent_store_open_partial(&store, 7, (uid_t)-1, (gid_t)-1, &fd, &e), 0);
        cr_expect(has_partial(&store));
        if (finish)
            cr_assert_eq(agent_store_promote(&store, 7, &e), 0, "%s", e.text);
        else
            cr_assert_eq(agent_store_drop_partial(&store, 7, &e), 0, "%s", e.text);
        cr_expect_not(has_partial(&store));
    }
    agent_store_close(&store);
}

Test(store, i8_only_what_ends_like_one_is_unfinished) {
    static const struct {
        const char *name;
        bool partial;
    } rows[] = {{"7", false},
                {"partial", false},
                {"7.partial2", false},
                {"7.part", false},
                {".partial", true},
                {"x.partial", true},
                {"18446744073709551616.partial", true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        OWN(tmp_dir) struct tmp_dir dir;
        struct err e = ERR_NONE;
        struct agent_store store = open_store(&dir);
        cr_assert_eq(fs_mkdir(store.generations, rows[i].name, 0755, &e), 0, "%s", e.text);
        cr_expect_eq(has_partial(&store), rows[i].partial, "%s", rows[i].name);
        agent_store_close(&store);
    }
}

Test(store, i8_a_store_that_cannot_be_listed_is_an_error_and_no_answer) {
    OWN(tmp_dir) struct tmp_dir dir;
    struct err e = ERR_NONE;
    struct agent_store store = open_store(&dir), closed = {.dir = -1, .generations = -1};
    bool found = true;
    cr_expect_lt(agent_store_has_partial(&closed, &found, &e), 0);
    cr_expect(e.kind && found, "untouched");
    agent_store_close(&store);
}

Test(store, i1_a_generation_under_another_ones_name_is_not_taken_for_it) {
    struct device d;
    struct err e = ERR_NONE;
    struct bundle_generation record;
    device_start_with(&d, "1.0", "");
    cr_assert_eq(fs_rename_new(d.state.store.generations, "1", "5", &e), 0, "%s", e.text);
    cr_expect_lt(agent_store_record(&d.state.store, 5, &record, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
    err_clear(&e);
    cr_expect_lt(agent_store_verify(&d.state.store, 5, NULL, NULL, &record, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
    err_clear(&e);
    cr_expect_lt(agent_store_record(&d.state.store, 1, &record, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
    device_drop(&d);
}

// ── An update that was given up ─────────────────────────────────────────────────────────────────

static void expect_nothing_left(struct device *d, const char *code) {
    device_drive(d);
    cr_expect_eq(d->state.journal.record.state, FSM_IDLE);
    cr_expect_str_eq(d->update->ended_why.code, code);
    cr_expect_not(has_partial(&d->state.store), "I8, %s", code);
    cr_expect_eq(device_generations(d), 2, "I8, %s", code);
}

// A device at 1.0 that downloads 2.0, of which `bytes` are there when it breaks.
static void break_download(struct device *d, uint64_t quota_bytes, uint64_t bytes) {
    struct err e = ERR_NONE;
    device_make(d, json_pack("{sI si si}", "quota_bytes", (json_int_t)quota_bytes, "fetch_tries", 3,
                             "backoff_base_s", 3600));
    cr_assert_eq(device_open(d, &e), 0, "%s", e.text);
    device_install(d, "1.0", NULL);
    device_release(d, "2.0", NULL);
    d->breaks = &err_unreachable;
    d->breaks_left = 3;
    d->broken_bytes = bytes;
    cr_assert_eq(device_offer(d, false, &e), 0, "%s", e.text);
    cr_assert(device_reach(d, FSM_FETCHING));
}

Test(store, i8_what_is_kept_to_resume_is_within_its_quota) {
    for (uint64_t bytes = 999; bytes <= 1001; bytes++) {
        struct device d;
        break_download(&d, 1000, bytes);
        cr_expect_str_eq(d.state.journal.record.why.code, "unreachable");
        cr_expect_eq(has_partial(&d.state.store), bytes <= 1000, "%" PRIu64 " bytes", bytes);
        device_drop(&d);
    }
}

Test(store, i8_a_download_given_up_leaves_nothing) {
    for (int way = 0; way < 2; way++) {
        struct device d;
        break_download(&d, 1000, 1000);
        cr_assert(has_partial(&d.state.store));
        if (way == 0)
            device_obey(&d, FSM_ASK_CANCEL);
        while (way == 1 && d.breaks_left > 0) {
            fake_clock_advance(&d.clock, 24LL * 3600 * 1000);
            device_drive(&d);
        }
        expect_nothing_left(&d, way == 0 ? "cancelled" : "unreachable");
        device_drop(&d);
    }
}

Test(store, i8_a_sealed_update_that_is_cancelled_leaves_nothing) {
    struct device d;
    device_start_with(&d, "1.0", "");
    device_release(&d, "2.0", NULL);
    device_offer_until(&d, false, FSM_WAITING);
    cr_expect_eq(device_generations(&d), 3);
    device_obey(&d, FSM_ASK_CANCEL);
    expect_nothing_left(&d, "cancelled");
    device_drop(&d);
}
