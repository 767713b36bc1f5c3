// SPDX-License-Identifier: Apache-2.0
//
// A device whose root has the role mandate: what it takes, what it refuses before a byte of the bundle
// is fetched, and what it refuses before the swap.
#include "bundle/instruction.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "keys/kind.h"
#include "tests/support/alloc_fault.h"
#include "tests/unit/agent/roots.h"

#define DAY_S 86400
#define NOW_S (FORGE_ISSUED_S + DAY_S)

// What the mandate of the next offer says: of one stage, whose last device is this one.
static struct bundle_mandate_content content;
static uint64_t attempt; // of the next offer

static struct keys_root *root_with_role(unsigned key) {
    struct err e = ERR_NONE;
    struct keys_role roles[KEYS_ROOT_ROLES];
    struct keys_root *root = NULL;
    const struct keys_header header = {2, ROOTS_ISSUED_S, FORGE_EXPIRES_S};
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    keys_secret_free(forge_key(key, &roles[KEYS_ROOT_ROLE_MANDATE].keys[0]));
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(&raw, KEYS_ROOT_MAX_BYTES);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), &raw);
    cr_assert_eq(keys_root_open(buf_slice(&raw), &root, &e), 0, "%s", e.text);
    return root;
}

static void set_root(struct device *d, unsigned key) {
    keys_root_free(d->state.root);
    d->state.root = root_with_role(key);
}

// A device that runs 1.0, is offered 1.1, and has a root with the role.
static void start(struct device *d) {
    device_start(d, NULL);
    device_install(d, "1.0", NULL);
    device_release(d, "1.1", NULL);
    set_root(d, 0);
    memset(&content, 0, sizeof content);
    content.header = (struct keys_header){5, FORGE_ISSUED_S, NOW_S + DAY_S};
    content.n_bundles = content.n_stages = content.signed_stages = 1;
    content.attempt_max = 2;
    attempt = 1;
    content.bundles[0] = d->bundle;
    content.newcomer_bounds[0] = bundle_rank(d->state.identity.device, content.seed);
    (void)snprintf(content.rollout, sizeof content.rollout, "spring");
    (void)snprintf(content.name, sizeof content.name, "thing");
    (void)snprintf(content.release, sizeof content.release, "1.1");
    (void)snprintf(content.stages[0].name, sizeof content.stages[0].name, "all");
}

static void sign_mandate(struct device *d) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, BUNDLE_MANDATE_MAX_BYTES);
    buf_clear(&d->mandate);
    buf_init(&d->mandate, BUNDLE_MANDATE_MAX_BYTES);
    cr_assert_eq(bundle_mandate_format(&content, NULL, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), &d->mandate);
}

static struct bundle_instruction told(const struct device *d, enum bundle_action action) {
    struct bundle_instruction i = device_told(d, action, d->state.journal.sequence + 1);
    i.header.expires_s = NOW_S + DAY_S;
    i.attempt = attempt;
    i.mandate.size = d->mandate.len;
    (void)snprintf(i.rollout, sizeof i.rollout, "spring");
    (void)snprintf(i.mandate.url, sizeof i.mandate.url, "/mandates/m.json");
    keys_digest_of(d->mandate.data, d->mandate.len, &i.mandate.id);
    return i;
}

static int send(struct device *d, struct bundle_instruction i, struct err *e) {
    return device_send(d, &i, e);
}

// The last report of the queue.
static void check_reported(struct device *d, const char *code) {
    OWN(mem) struct bundle_report *reports = NULL;
    struct err e = ERR_NONE;
    size_t n = 0;
    cr_assert_eq(
        agent_queue_peek(&d->state.queue, BUNDLE_REPORTS_PER_CHECKIN_MAX, &reports, &n, &e), 0,
        "%s", e.text);
    cr_assert_gt(n, 0);
    cr_expect_eq(reports[n - 1].event, BUNDLE_EVENT_REFUSED);
    cr_expect_str_eq(reports[n - 1].code, code);
    cr_expect_str_eq(reports[n - 1].rollout, "spring");
}

// Back as it was, nothing held against the bundle (I4).
static void check_as_before(struct device *d) {
    char runs[16];
    cr_expect_str_eq(device_runs(d, runs), "1.0");
    cr_expect_eq(d->state.journal.record.state, FSM_IDLE);
    cr_expect_eq(d->state.journal.record.n_failures, 0, "I4");
}

Test(mandate, without_one_no_offer_is_taken) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    struct bundle_instruction i = told(&d, BUNDLE_ACTION_INSTALL);
    i.mandate.size = 0;
    cr_assert_lt(send(&d, i, &e), 0);
    cr_expect(err_is(&e, &err_no_mandate), "%s", e.text);
    check_reported(&d, "no_mandate");
    check_as_before(&d);
    device_drop(&d);
}

Test(mandate, a_root_without_the_role_asks_for_none) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    struct keys_root *with = d.state.root;
    OWN(buf) struct buf raw;
    roots_make(2, KEYS_ROOT_ROLES, &raw);
    cr_assert_eq(keys_root_open(buf_slice(&raw), &d.state.root, &e), 0, "%s", e.text);
    keys_root_free(with);
    d.holds_back = true;
    d.update->host.fetch = NULL;
    sign_mandate(&d);
    cr_assert_eq(send(&d, told(&d, BUNDLE_ACTION_INSTALL), &e), 0, "%s", e.text);
    cr_assert(device_reach(&d, FSM_FETCHING));
    cr_expect_str_eq(d.asked_mandate, "", "nothing is fetched that nobody looks at");
    device_drop(&d);
}

// Takes an offer, up to the question to the repository, which nobody has answered then.
static void take_offer(struct device *d, uint64_t stage) {
    struct err e = ERR_NONE;
    d->holds_back = true;
    d->update->host.fetch = NULL;
    struct bundle_instruction i = told(d, BUNDLE_ACTION_INSTALL);
    i.stage = stage;
    d->asked = 0;
    cr_assert_eq(send(d, i, &e), 0, "%s", e.text);
    for (int turn = 0; turn < 100 && d->asked == 0; turn++)
        cr_assert_eq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
    cr_assert_eq(d->asked, 1);
}

static void refused_before_the_download(struct device *d, const char *code) {
    struct err e = ERR_NONE;
    device_answer(d);
    cr_assert_eq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
    check_reported(d, code);
    device_drive(d);
    check_as_before(d);
    device_drop(d);
}

static void give_up(struct device *d) {
    struct err e = ERR_NONE, why = ERR_NONE;
    err_set(&why, &err_cancelled, "given up");
    cr_assert_eq(agent_update_ask(d->update, FSM_ASK_CANCEL, &why, &e), 0, "%s", e.text);
    device_drive(d);
    attempt++;
}

Test(mandate, it_is_fetched_once_and_looked_at_before_the_download) {
    struct device d;
    struct stat status;
    struct err e = ERR_NONE;
    start(&d);
    sign_mandate(&d);
    take_offer(&d, 0);
    cr_expect(strstr(d.asked_mandate, "/mandates/m.json"), "%s", d.asked_mandate);
    device_answer(&d);
    cr_expect_eq(d.state.journal.record.state, FSM_FETCHING);
    cr_expect(d.update->verdict.found, "the download begins");
    cr_expect_eq(fs_stat(d.state.private_dir, "mandate", &status, &e), 0);
    // A later offer by the same one is judged when it comes, and nothing is fetched again.
    give_up(&d);
    struct bundle_instruction i = told(&d, BUNDLE_ACTION_INSTALL);
    i.stage = 1;
    cr_assert_lt(send(&d, i, &e), 0);
    cr_expect(err_is(&e, &err_outside_mandate), "%s", e.text);
    check_reported(&d, "outside_mandate");
    d.asked_mandate[0] = 'x';
    take_offer(&d, 0);
    cr_expect_str_eq(d.asked_mandate, "");
    device_drop(&d);
}

Test(mandate, what_is_outside_is_refused_before_the_download) {
    static const char *const codes[] = {"outside_mandate", "rank_beyond",     "too_early",
                                        "mandate_expired", "outside_mandate", "outside_mandate",
                                        "outside_mandate", "below_threshold"};
    for (size_t n = 0; n < sizeof codes / sizeof *codes; n++) {
        struct device d;
        start(&d);
        if (n == 0)
            content.bundles[0].bytes[0] ^= 1;
        else if (n == 1)
            content.newcomer_bounds[0]--;
        else if (n == 2)
            content.stages[0].not_before_s = NOW_S + 60;
        else if (n == 3)
            content.header.expires_s = NOW_S;
        else if (n == 4)
            (void)snprintf(content.rollout, sizeof content.rollout, "autumn");
        else if (n == 5)
            (void)snprintf(content.selector, sizeof content.selector, "arch == \"mips\"");
        sign_mandate(&d);
        if (n == 7)
            set_root(&d, 7);
        take_offer(&d, n == 6);
        refused_before_the_download(&d, codes[n]);
    }
}

Test(mandate, what_was_fetched_has_to_be_what_was_named) {
    struct device d;
    struct stat status;
    struct err e = ERR_NONE;
    start(&d);
    sign_mandate(&d);
    take_offer(&d, 0);
    content.header.version++;
    sign_mandate(&d);
    device_answer(&d);
    // A broken server may be whole later.
    cr_expect_eq(d.state.journal.record.state, FSM_FETCHING);
    cr_expect_str_eq(d.state.journal.record.why.code, "garbage");
    cr_expect_eq(fs_stat(d.state.private_dir, "mandate", &status, &e), FS_ABSENT);
    device_drop(&d);
}

Test(mandate, a_controller_cannot_go_back_to_an_older_one) {
    struct device d;
    start(&d);
    sign_mandate(&d);
    take_offer(&d, 0);
    device_answer(&d);
    give_up(&d);
    content.header.version--;
    sign_mandate(&d);
    take_offer(&d, 0);
    device_answer(&d);
    check_reported(&d, "outside_mandate");
    device_drop(&d);
}

// Takes a mandate of this rollout and version, whatever it allows, and gives the offer up.
static void see(struct device *d, const char *rollout, uint64_t version, int64_t expires_s) {
    content.header.version = version;
    content.header.expires_s = expires_s;
    (void)snprintf(content.rollout, sizeof content.rollout, "%s", rollout);
    content.attempt_max = attempt + 1;
    sign_mandate(d);
    take_offer(d, 0);
    device_answer(d);
    if (d->state.journal.record.state != FSM_IDLE)
        give_up(d);
    else
        attempt++;
}

static json_t *seen(const struct device *d) {
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    buf_init(&text, 65536);
    cr_assert_eq(fs_read_file(d->state.private_dir, "mandates", 65536, &text, &e), 0, "%s", e.text);
    json_t *read = json_loads(buf_text(&text), 0, NULL);
    cr_assert_not_null(read, "%s", buf_text(&text));
    return read;
}

Test(mandate, nor_with_that_of_another_rollout_in_between) {
    struct device d;
    start(&d);
    see(&d, "spring", 5, NOW_S + DAY_S);
    see(&d, "autumn", 1, NOW_S + DAY_S);
    check_reported(&d, "outside_mandate"); // of another rollout; it was seen all the same
    OWN(json) json_t *both = seen(&d);
    cr_expect_eq(json_object_size(both), 2);
    see(&d, "spring", 4, NOW_S + DAY_S);
    check_reported(&d, "outside_mandate");
    cr_expect(strstr(d.state.journal.record.why.text, "version 4 was given after one of version 5"),
              "%s", d.state.journal.record.why.text);
    see(&d, "spring", 5, NOW_S + DAY_S);
    see(&d, "spring", 6, NOW_S + DAY_S / 2);
    OWN(json) json_t *again = seen(&d);
    const json_t *entry = json_object_get(again, "spring");
    cr_expect_eq(json_integer_value(json_array_get(entry, 0)), 6);
    cr_expect_eq(json_integer_value(json_array_get(entry, 1)), NOW_S + DAY_S,
                 "as long as any of them holds");
    device_drop(&d);
}

Test(mandate, of_more_rollouts_than_there_is_room_for_the_one_that_ends_first_is_forgotten) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    OWN(json) json_t *full = json_object();
    for (int i = 0; i < 64; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "r-%02d", i);
        json_object_set_new(full, name, json_pack("[i, I]", 3, (json_int_t)NOW_S + DAY_S + i));
    }
    OWN(mem) char *text = json_dumps(full, JSON_COMPACT);
    cr_assert_eq(fs_replace(d.state.private_dir, "mandates", text, strlen(text), 0600, &e), 0);
    see(&d, "spring", 5, NOW_S + DAY_S);
    OWN(json) json_t *after = seen(&d);
    cr_expect_eq(json_object_size(after), 64);
    cr_expect_null(json_object_get(after, "r-00"));
    cr_expect_not_null(json_object_get(after, "r-01"));
    cr_expect_not_null(json_object_get(after, "spring"));
    // What has expired makes room for more than one.
    for (int i = 1; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "r-%02d", i);
        json_object_set_new(after, name, json_pack("[i, I]", 3, (json_int_t)1));
    }
    OWN(mem) char *some = json_dumps(after, JSON_COMPACT);
    cr_assert_eq(fs_replace(d.state.private_dir, "mandates", some, strlen(some), 0600, &e), 0);
    see(&d, "autumn", 1, NOW_S + DAY_S);
    OWN(json) json_t *fewer = seen(&d);
    cr_expect_eq(json_object_size(fewer), 64 - 9 + 1);
    device_drop(&d);
}

Test(mandate, a_table_that_is_damaged_refuses_nothing_honest) {
    struct device d;
    struct err e = ERR_NONE;
    start(&d);
    cr_assert_eq(fs_replace(d.state.private_dir, "mandates", "{\"spring", 8, 0600, &e), 0);
    see(&d, "spring", 5, NOW_S + DAY_S);
    OWN(json) json_t *after = seen(&d);
    cr_expect_eq(json_object_size(after), 1);
    device_drop(&d);
}

// At a moment without memory none is taken that is not remembered, and none is forgotten.
Test(mandate, whatever_allocation_fails_what_was_seen_stays_so) {
    static const char table[] = "{\"autumn\":[3,4102444800],\"spring\":[5,4102444800]}";
    struct device d;
    bool refused = true;
    start(&d);
    content.header.version = 6;
    sign_mandate(&d);
    take_offer(&d, 0);
    for (size_t n = 0; refused; n++) {
        struct err e = ERR_NONE;
        cr_assert_eq(fs_replace(d.state.private_dir, "mandates", table, sizeof table - 1, 0600, &e),
                     0);
        alloc_fault_begin(n, false);
        int taken = update_mandate_take(d.update, buf_slice(&d.mandate), &e);
        refused = alloc_fault_end();
        OWN(json) json_t *after = seen(&d);
        json_int_t version =
            json_integer_value(json_array_get(json_object_get(after, "spring"), 0));
        cr_assert(version == 6 || (taken < 0 && version == 5), "allocation %zu", n);
        cr_assert_not_null(json_object_get(after, "autumn"), "allocation %zu", n);
        cr_assert(refused || (taken == 0 && n > 0), "%zu: %s", n, e.text);
    }
    device_drop(&d);
}

// With the mandate at hand, an update that waits for its last look.
static void wait_with(struct device *d) {
    struct err e = ERR_NONE;
    start(d);
    sign_mandate(d);
    cr_assert_eq(
        fs_replace(d->state.private_dir, "mandate", d->mandate.data, d->mandate.len, 0600, &e), 0);
    cr_assert_eq(send(d, told(d, BUNDLE_ACTION_INSTALL), &e), 0, "%s", e.text);
    cr_assert(device_reach(d, FSM_WAITING));
    d->asked = 0;
}

Test(mandate, the_last_look_goes_by_the_newest) {
    struct device d;
    struct err e = ERR_NONE;
    char runs[16];
    wait_with(&d);
    content.header.version++;
    sign_mandate(&d);
    cr_assert_eq(send(&d, told(&d, BUNDLE_ACTION_ACTIVATE), &e), 0, "%s", e.text);
    device_drive(&d);
    cr_expect(strstr(d.asked_mandate, "/mandates/m.json"), "%s", d.asked_mandate);
    cr_expect_str_eq(device_runs(&d, runs), "1.1");
    device_drop(&d);
    wait_with(&d);
    content.header.version++;
    content.newcomer_bounds[0]--;
    sign_mandate(&d);
    cr_assert_eq(send(&d, told(&d, BUNDLE_ACTION_ACTIVATE), &e), 0, "%s", e.text);
    device_drive(&d);
    check_reported(&d, "rank_beyond");
    check_as_before(&d);
    device_drop(&d);
}

Test(mandate, what_expired_or_lost_its_signer_while_it_waited_is_given_up) {
    static const char *const codes[] = {"mandate_expired", "below_threshold"};
    for (size_t n = 0; n < 2; n++) {
        struct device d;
        struct err e = ERR_NONE;
        wait_with(&d);
        struct bundle_instruction i = told(&d, BUNDLE_ACTION_ACTIVATE);
        if (n == 0) {
            i.header.issued_s = content.header.expires_s;
            i.header.expires_s = i.header.issued_s + DAY_S;
        } else {
            set_root(&d, 7);
        }
        buf_clear(&d.mandate); // nothing new to fetch
        cr_assert_eq(send(&d, i, &e), 0, "%s", e.text);
        device_drive(&d);
        check_reported(&d, codes[n]);
        check_as_before(&d);
        device_drop(&d);
    }
}

Test(mandate, an_update_from_a_file_at_hand_needs_none) {
    struct device d;
    start(&d);
    device_install(&d, "1.1", NULL);
    device_drop(&d);
}
