// SPDX-License-Identifier: Apache-2.0
//
// What is made next, what becomes of it, and what is taken in of what came out: the maker of deltas between its
// count of the fleet and its child, which is played here.
#include "ctl/serve/delta_child.h"
#include "ctl/store/event.h"
#include "keys/kind.h"
#include "tests/unit/ctl/serve/deltas_shop.h"

static struct shop s;
static struct serve_deltas maker;
static struct serve_delta_pair pair; // the scene's bundle, from base 1
static int64_t now_s;

static void add_device(unsigned number, unsigned base) {
    struct err e = ERR_NONE;
    struct store_device d = {.state = STORE_DEVICE_ACCEPTED};
    char id[KEYS_DIGEST_HEX];
    (void)snprintf(d.id, sizeof d.id, "dev-%05u", number);
    d.labels = json_object();
    d.facts = json_object();
    d.said = json_pack("{s:{s:{s:s}}}", "components", "c", "manifest", shop_base(base, id));
    must(store_device_add(s.db, &d, &e));
    must(store_device_put_facts(s.db, &d, &e));
    must(store_device_put(s.db, &d, &e));
    store_device_clear(&d);
}

static void add_rollout(enum rollout_state state) {
    static struct store_rollout row;
    struct err e = ERR_NONE;
    row = (struct store_rollout){.created_s = 1};
    (void)snprintf(row.policy.name, sizeof row.policy.name, "r");
    (void)snprintf(row.policy.release_name, sizeof row.policy.release_name, "forged");
    (void)snprintf(row.policy.release_version, sizeof row.policy.release_version, "1.0");
    (void)snprintf(row.policy.stages[0].name, sizeof row.policy.stages[0].name, "all");
    row.policy.n_stages = 1;
    row.policy.stages[0].gate =
        (struct rollout_gate_bounds){.success_ppm = 900000, .failure_ppm = 100000, .min_sample = 1};
    row.policy.stages[0].ppm = ROLLOUT_PPM;
    row.policy.timeout_s = 3600;
    row.progress.state = state;
    row.progress.attempt = 1;
    must(store_rollout_add(s.db, &row, &e));
    serve_engine_doubt(s.server.engine);
}

static void set_up(void) {
    char id[KEYS_DIGEST_HEX];
    shop_open(&s, true);
    now_s = SHOP_NOW_S;
    maker = (struct serve_deltas){.server = &s.server, .started_s = now_s};
    (void)snprintf(pair.bundle, sizeof pair.bundle, "%s", s.bundle);
    (void)shop_base(1, pair.base);
    shop_publish(&s, pair.base, "forged", "0.1");
    shop_publish(&s, shop_base(2, id), "forged", "0.2");
}

static void tear_down(void) {
    serve_repository_deltas_clear(&maker.role);
    serve_delta_count_clear(&maker.last);
    serve_delta_count_clear(&maker.walk);
    shop_close(&s);
}

TestSuite(delta_plan, .init = set_up, .fini = tear_down, .timeout = 1200);

// Two devices run base 1, one runs base 2, and a rollout would bring all of them the bundle.
static void open_the_shop(void) {
    struct err e = ERR_NONE;
    shop_targets(&s, true, 1, &s.online);
    add_rollout(ROLLOUT_STATE_RUNNING);
    add_device(0, 1);
    add_device(1, 1);
    add_device(2, 2);
    must(serve_engine_load(s.server.engine, s.db, &e));
}

// Looks until there is nothing more to count, as long as that takes.
static enum serve_delta_next look(struct serve_delta_orders *ret) {
    struct err e = ERR_NONE;
    serve_delta_tick(&maker, s.db, now_s * 1000);
    do
        must(serve_delta_plan_step(&maker, s.db, now_s * 1000, ret, &e));
    while (ret->next == SERVE_DELTA_GO_ON);
    return ret->next;
}

static void pass(int64_t seconds) {
    fake_clock_advance(&s.now, seconds * 1000);
    now_s += seconds;
}

static void expect_made(unsigned base) {
    struct serve_delta_orders orders;
    char id[KEYS_DIGEST_HEX];
    cr_assert_eq(look(&orders), SERVE_DELTA_MAKE);
    cr_expect_str_eq(orders.pair.bundle, s.bundle);
    cr_expect_str_eq(orders.pair.base, shop_base(base, id));
}

static void expect_nothing(const char *what) {
    struct serve_delta_orders orders;
    cr_expect_eq(look(&orders), SERVE_DELTA_WAIT, "%s", what);
}

static void end_with(const struct err_kind *kind) {
    struct err e = ERR_NONE, why = ERR_NONE;
    (void)err_set(&why, kind, "so it went");
    must(serve_delta_plan_end(&maker, s.db, now_s * 1000, NULL, &why, &e));
}

Test(delta_plan, most_devices_first_and_each_once) {
    struct err e = ERR_NONE;
    struct store_delta made;
    open_the_shop();
    expect_made(1);
    shop_write_delta(&s, s.server.bundles, NULL, 1, &made);
    must(serve_delta_plan_end(&maker, s.db, now_s * 1000, &made, NULL, &e));
    cr_expect(shop_has_row(&s, &made));
    cr_expect(strstr(s.said, "made the delta forged 0.1 to forged 1.0") != NULL, "%s", s.said);
    expect_made(2);
    cr_expect_eq(shop_named(&s), 1, "the first is named meanwhile");
    end_with(&err_no_gain);
    expect_nothing("both were");
    cr_expect(strstr(s.said, "no delta forged 0.2 to forged 1.0: it would not be smaller") != NULL);
}

Test(delta_plan, what_was_broken_off_is_begun_again) {
    struct err e = ERR_NONE;
    struct store_making making;
    open_the_shop();
    expect_made(1);
    must(serve_delta_plan_end(&maker, s.db, now_s * 1000, NULL, NULL, &e));
    cr_expect_eq(store_making_get(s.db, pair.bundle, pair.base, &making, &e), STORE_ABSENT);
    expect_made(1);
}

static int count_failed(void *context, const struct store_event *event, struct err *e) {
    (void)e;
    *(unsigned *)context += strcmp(event->kind, "delta_failed") == 0;
    return 0;
}

Test(delta_plan, what_failed_is_tried_again_after_a_while_or_by_another_process) {
    struct err e = ERR_NONE;
    struct store_making making;
    unsigned failed = 0;
    open_the_shop();
    expect_made(1);
    end_with(&err_no_space);
    cr_expect(strstr(s.said, "making the delta forged 0.1 to forged 1.0: so it went (no_space)"));
    must(store_making_get(s.db, pair.bundle, pair.base, &making, &e));
    cr_expect_str_eq(making.code, "no_space");
    cr_expect_str_eq(making.text, "so it went");
    cr_expect_str_eq(making.head, "");
    expect_made(2);
    end_with(&err_no_gain);
    must(store_event_list(s.db, 0, count_failed, &failed, &e));
    cr_expect_eq(failed, 1, "what brings nothing is no failure");
    pass(SERVE_DELTA_RETRY_S - 1);
    expect_nothing("not so soon");
    pass(SERVE_DELTA_CHOOSE_S);
    expect_made(1);
    end_with(&err_no_space);
    expect_nothing("once in a while");
    pass(SERVE_DELTA_CHOOSE_S);
    maker.started_s = now_s; // another process
    expect_made(1);
    end_with(&err_no_gain);
    pass(2 * SERVE_DELTA_RETRY_S);
    maker.started_s = now_s;
    expect_nothing("what would not be smaller never will be");
}

Test(delta_plan, nothing_is_made_that_could_not_be_named) {
    struct err e = ERR_NONE;
    const struct keys_role nobody = shop_role(8);
    open_the_shop();
    shop_targets(&s, true, 1, &nobody);
    expect_nothing("no key");
    cr_expect(strstr(s.said, "no deltas are made: keys/ holds no key") != NULL, "%s", s.said);
    s.said[0] = '\0';
    expect_nothing("no key");
    cr_expect_str_eq(s.said, "", "said once");
    shop_targets(&s, true, 1, &s.online);
    s.options.deltas_off = true;
    expect_nothing("they are off");
    s.options.deltas_off = false;
    expect_made(1);
    must(serve_delta_plan_end(&maker, s.db, now_s * 1000, NULL, NULL, &e));
    struct serve_engine_rollout *r = serve_engine_find(s.server.engine, "r");
    r->row.progress.state = ROLLOUT_STATE_PAUSED;
    expect_nothing("a rollout that stands still");
}

// Files

static void put_bundle(const char *id, size_t bytes, uint64_t *ret_file) {
    struct err e = ERR_NONE;
    char name[KEYS_DIGEST_HEX + 8];
    OWN(mem) uint8_t *data = calloc(1, bytes);
    OWN(buf) struct buf tree;
    OWN(buf) struct buf bundle;
    const struct slice content = {data, bytes};
    buf_init(&tree, 4096);
    buf_init(&bundle, 1 << 20);
    forge_file_line("a", content, false, &tree);
    const struct forge f = {.tree = buf_text(&tree), .n_contents = 1, .contents = &content};
    forge_bundle(&f, &bundle);
    (void)snprintf(name, sizeof name, "%s.edge", id);
    must(fs_replace(s.server.bundles, name, bundle.data, bundle.len, 0644, &e));
    *ret_file = bundle.len;
}

Test(delta_plan, it_is_reckoned_how_much_of_the_disk_it_takes) {
    struct err e = ERR_NONE;
    uint64_t need = 0, file = 0, ignored = 0, one = 0, free_bytes = 0, inodes = 0;
    put_bundle(pair.base, 1000, &ignored);
    cr_expect_lt(serve_delta_file_need(&s.server, &pair, &need, &e), 0);
    cr_expect(err_is(&e, &err_not_found), "%s", e.text);
    err_clear(&e);
    put_bundle(pair.bundle, 3000, &file);
    must(serve_delta_file_need(&s.server, &pair, &need, &e));
    put_bundle(pair.bundle, 3001, &file);
    must(serve_delta_file_need(&s.server, &pair, &one, &e));
    cr_expect_eq(one, need + 1);
    cr_expect_geq(one, 4001 + file, "contents of both, and the delta");
    cr_expect_leq(one, 4001 + 2 * 400 + file, "with their trees");

    s.options.delta_disk_bytes = one;
    must(serve_delta_file_check(&s.server, one, &e));
    cr_expect_lt(serve_delta_file_check(&s.server, one + 1, &e), 0);
    cr_expect(err_is(&e, &err_limit) && strstr(e.text, "--delta-disk"), "%s", e.text);
    err_clear(&e);
    s.options.delta_disk_bytes = 0;
    must(serve_delta_file_check(&s.server, 1, &e));
    cr_expect_lt(serve_delta_file_check(&s.server, SERVE_DELTA_DISK_DEFAULT_BYTES + 1, &e), 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    err_clear(&e);
    s.options.delta_disk_bytes = UINT64_MAX;
    must(fs_free(s.server.workspace, &free_bytes, &inodes, &e));
    cr_expect_lt(serve_delta_file_check(&s.server, UINT64_MAX, &e), 0);
    cr_expect(err_is(&e, &err_no_space) && strstr(e.text, "left to others"), "%s", e.text);
}

static void expect_refused(const struct err_kind *kind, const char *words) {
    struct err e = ERR_NONE;
    struct store_delta row = {.size = 77};
    cr_expect_lt(serve_delta_file_take(&s.server, &pair, &row, &e), 0);
    cr_expect(err_is(&e, kind) && strstr(e.text, "taking in what was made") &&
                  strstr(e.text, words),
              "%s", e.text);
    cr_expect_eq(row.size, 77, "the result is untouched");
}

Test(delta_plan, only_what_was_asked_for_is_taken_in) {
    struct err e = ERR_NONE;
    struct store_delta made, row;
    struct stat st;
    uint64_t ignored = 0;
    char name[KEYS_DIGEST_HEX + 8];
    expect_refused(&err_not_found, "");
    put_bundle("made", 10, &ignored);
    must(fs_rename(s.dir.fd, "bundles/made.edge", SERVE_DELTA_CHILD_MADE, &e));
    expect_refused(&err_internal, "no delta");
    shop_write_delta(&s, s.dir.fd, SERVE_DELTA_CHILD_MADE, 2, &made);
    expect_refused(&err_internal, "another pair of bundles");
    shop_write_delta(&s, s.dir.fd, SERVE_DELTA_CHILD_MADE, 1, &made);
    OWN(buf) struct buf bytes;
    buf_init(&bytes, 1 << 20);
    must(fs_read_file(s.dir.fd, SERVE_DELTA_CHILD_MADE, 1 << 20, &bytes, &e));
    // Its manifest is signed by nobody any more.
    char *signature = memmem(bytes.data, bytes.len, "\"sig\":\"", 7);
    cr_assert_not_null(signature);
    signature[7] = signature[7] == '0' ? '1' : '0';
    must(fs_replace(s.dir.fd, SERVE_DELTA_CHILD_MADE, bytes.data, bytes.len, 0644, &e));
    expect_refused(&err_bad_signature, "");
    cr_expect_not(shop_has_file(&s, &made));

    shop_write_delta(&s, s.dir.fd, SERVE_DELTA_CHILD_MADE, 1, &made);
    must(serve_delta_file_take(&s.server, &pair, &row, &e));
    cr_expect(shop_has_file(&s, &made));
    cr_expect_str_eq(row.head, made.head);
    cr_expect_str_eq(row.bundle, pair.bundle);
    cr_expect_str_eq(row.base, pair.base);
    cr_expect_str_eq(row.actor, STORE_DELTA_MADE);
    cr_expect(row.size == made.size && row.head_bytes == made.head_bytes);
    cr_expect_eq(fs_stat(s.dir.fd, SERVE_DELTA_CHILD_MADE, &st, &e), FS_ABSENT);
    must(fs_stat(s.server.bundles, store_delta_file(made.head, name), &st, &e));
    cr_expect_eq(st.st_mode & 07777, 0640);
}
