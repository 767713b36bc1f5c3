// SPDX-License-Identifier: Apache-2.0
//
// Naming what was made: why it cannot be done, what is too much, what is lost, what is taken back; and files that go with
// their rows, whatever is sent in meanwhile.
#include <fcntl.h>

#include "ctl/serve/publish_parts.h"
#include "tests/unit/ctl/serve/deltas_shop.h"

static struct shop s;
static struct serve_repository_deltas role;
static struct serve_deltas maker;

static void set_up(void) {
    shop_open(&s, true);
    maker = (struct serve_deltas){.server = &s.server};
    role = (struct serve_repository_deltas){.signer = NULL};
}

static void tear_down(void) {
    serve_repository_deltas_clear(&role);
    serve_repository_deltas_clear(&maker.role);
    serve_delta_count_clear(&maker.last);
    shop_close(&s);
}

TestSuite(deltas_named, .init = set_up, .fini = tear_down, .timeout = 1200);

static int keep(struct serve_repository_deltas *io, struct err *e) {
    return serve_repository_deltas_keep(&s.server, s.db, SHOP_NOW_S * 1000, io, e);
}

static void expect_why(const char *code) {
    struct err e = ERR_NONE;
    must(keep(&role, &e));
    cr_expect_str_eq(role.why.code, code, "%s", role.why.text);
    cr_expect_eq(role.signer == NULL, code[0] != '\0');
    cr_expect_eq(role.why.text[0] == '\0', code[0] == '\0');
}

Test(deltas_named, it_is_said_why_they_cannot_be) {
    const struct keys_role nobody = shop_role(8);
    expect_why("not_published");
    shop_targets(&s, true, 0, NULL);
    expect_why("no_delegation");
    shop_targets(&s, true, 2, &s.online);
    expect_why("below_threshold");
    shop_targets(&s, true, 1, &nobody);
    expect_why("no_key");
    shop_targets(&s, true, 1, &s.online);
    expect_why("");
    cr_expect_not_null(repo_folder_targets(s.server.repository->folder, REPO_TARGETS_DELTAS_ROLE),
                       "a file that names nothing");
    // A delegation that goes takes the key with it.
    shop_targets(&s, true, 0, NULL);
    expect_why("no_delegation");
}

Test(deltas_without_a_repository, have_no_place) {
    shop_open(&s, false);
    expect_why("no_repository");
    serve_repository_deltas_clear(&role);
    shop_close(&s);
}

Test(deltas_named, what_fails_is_tried_again_after_a_while) {
    struct err e = ERR_NONE;
    struct store_delta delta;
    struct sign_signer *timestamp = s.server.repository->timestamp;
    shop_targets(&s, true, 1, &s.online);
    shop_made(&s, 1, 1, true, &delta);
    s.server.repository->timestamp = NULL;
    cr_assert_lt(keep(&role, &e), 0);
    cr_expect(strstr(e.text, "naming deltas (tried again in 60 s)") != NULL, "%s", e.text);
    cr_expect(role.looked == false);
    s.server.repository->timestamp = timestamp;
    err_clear(&e);
    fake_clock_advance(&s.now, SERVE_REPOSITORY_RETRY_S * 1000 - 1);
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 0, "no attempt before");
    fake_clock_advance(&s.now, 1);
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 1);
}

Test(deltas_named, what_is_lost_damaged_or_of_another_head_is_forgotten) {
    struct err e = ERR_NONE;
    struct store_delta good, lost, damaged, other, sent;
    char name[STORE_DELTA_FILE_BYTES];
    shop_targets(&s, true, 1, &s.online);
    shop_made(&s, 1, 1, true, &good);
    shop_made(&s, 2, 2, false, &lost);
    shop_made(&s, 3, 3, true, &damaged);
    must(fs_replace(s.server.bundles, store_delta_file(damaged.head, name), "no delta", 8, 0644,
                    &e));
    shop_made(&s, 4, 4, false, &other);
    struct store_delta row;
    shop_write_delta(&s, s.server.bundles, store_delta_file(other.head, name), 5, &row);
    // One that somebody else sent as well keeps its row and its file.
    shop_made(&s, 6, 6, false, &sent);
    must(store_delta_drop(s.db, sent.head, &e));
    (void)snprintf(sent.actor, sizeof sent.actor, "ci");
    must(store_delta_add(s.db, &sent, &e));
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 1);
    cr_expect(shop_has_row(&s, &good) && shop_has_row(&s, &sent));
    cr_expect_not(shop_has_row(&s, &lost) || shop_has_row(&s, &damaged) ||
                  shop_has_row(&s, &other));
    cr_expect_eq(role.n_gone, 3);
    struct store_making making;
    cr_expect_eq(store_making_get(s.db, lost.bundle, lost.base, &making, &e), STORE_ABSENT);
    cr_expect_eq(store_making_get(s.db, sent.bundle, sent.base, &making, &e), STORE_ABSENT);
    cr_expect_eq(store_making_get(s.db, good.bundle, good.base, &making, &e), 0);
}

// The oldest is real, and so is the newest; what is between them was lost, and counts as long as it is known.
Test(deltas_named, above_the_ceiling_the_oldest_goes_first) {
    for (unsigned more = 0; more <= 1; more++) {
        struct err e = ERR_NONE;
        struct store_delta first, last, other;
        if (more) {
            tear_down();
            set_up();
        }
        shop_targets(&s, true, 1, &s.online);
        shop_made(&s, 0, 1, true, &first);
        for (unsigned i = 1; i < SERVE_REPOSITORY_DELTAS_MAX - 1 + more; i++)
            shop_made(&s, i, 1 + i, false, &other);
        shop_made(&s, 5000, 10000, true, &last);
        must(keep(&role, &e));
        cr_expect_eq(shop_named(&s), 2 - more, "%u above", more);
        cr_expect_eq(shop_has_row(&s, &first), !more);
        cr_expect(shop_has_row(&s, &last));
    }
}

Test(deltas_named, what_was_named_and_is_above_the_ceiling_now_goes) {
    struct err e = ERR_NONE;
    struct store_delta first, last, other;
    unsigned n = 1;
    shop_targets(&s, true, 1, &s.online);
    shop_made(&s, 0, 1, true, &first);
    for (; n < SERVE_REPOSITORY_DELTAS_MAX; n++)
        shop_made(&s, n, 1 + n, false, &other);
    must(keep(&role, &e));
    cr_assert_eq(shop_named(&s), 1);
    cr_assert_eq(role.n_gone, SERVE_REPOSITORY_DELTAS_GONE, "so many of the others are forgotten");
    for (unsigned end = n + SERVE_REPOSITORY_DELTAS_GONE; n < end; n++)
        shop_made(&s, n, 1 + n, false, &other);
    shop_made(&s, 5000, 10000, true, &last);
    role.changed = true;
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 1, "the last in place of the first");
    const struct serve_engine_bundle *b = serve_engine_bundle(s.server.engine, &s.scene.id);
    cr_expect(serve_repository_names_delta(&s.server, &b->row, &last));
    cr_expect(shop_has_row(&s, &first), "its file has no room among those that go");
}

Test(deltas_named, so_many_are_forgotten_at_a_time_until_their_files_have_gone) {
    enum { LOST = 2 * SERVE_REPOSITORY_DELTAS_GONE + 3 };
    struct err e = ERR_NONE;
    struct store_delta lost[LOST];
    unsigned n = 0;
    shop_targets(&s, true, 1, &s.online);
    for (unsigned i = 0; i < LOST; i++)
        shop_made(&s, i, 1 + i, false, &lost[i]);
    for (unsigned round = 0; round < 3; round++) {
        must(keep(&role, &e));
        must(keep(&role, &e));
        cr_assert_eq(role.n_gone, round < 2 ? SERVE_REPOSITORY_DELTAS_GONE : 3, "round %u", round);
        n += (unsigned)role.n_gone;
        cr_expect_eq(role.changed, round < 2 || role.n_gone == 0, "round %u", round);
        role.n_gone = 0;
    }
    cr_expect_eq(n, LOST);
    for (unsigned i = 0; i < LOST; i++)
        cr_expect_not(shop_has_row(&s, &lost[i]), "%u", i);
}

// Signed with the role's key by somebody who is no controller: his delta, and one that nobody sent.
static void name_by_hand(const struct store_delta *sent, const struct store_delta *unsent) {
    struct err e = ERR_NONE;
    struct repo_folder *folder = s.server.repository->folder;
    const struct repo_folder_online online = serve_repository_online(&s.server, SHOP_NOW_S);
    const struct store_delta *const both[] = {sent, unsent};
    OWN(json) json_t *content = NULL;
    OWN(buf) struct buf part;
    OWN(buf) struct buf raw;
    must(repo_targets_new(&content, &e));
    for (size_t i = 0; i < 2; i++) {
        struct repo_target target;
        struct slice head;
        struct unpack_source_file file;
        struct unpack_source source;
        OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
        char name[STORE_DELTA_FILE_BYTES];
        OWN(fd) int fd = openat(s.server.bundles, store_delta_file(both[i]->head, name), O_RDONLY);
        must(unpack_source_from_file(fd, &file, &source, &e));
        must(unpack_delta_open(&source, &candidate, &e));
        must(repo_target_peek_delta(unpack_delta_open_manifest(candidate),
                                    unpack_delta_open_head(candidate), &target, &head, &e));
        must(repo_folder_put_target(folder, &target, head, &e));
        must(repo_targets_add(content, &target, &e));
    }
    uint64_t before = repo_folder_find(folder, REPO_TARGETS_DELTAS_ROLE)->header.version;
    const struct keys_header header = {before + 1, SHOP_NOW_S, SHOP_NOW_S + 86400};
    (void)json_object_set_new(content, "previous", json_integer((json_int_t)before));
    buf_init(&part, REPO_TARGETS_MAX_BYTES);
    buf_init(&raw, REPO_TARGETS_MAX_BYTES);
    must(repo_targets_format(content, &header, &part, &e));
    must(sign_signer_envelope(buf_slice(&part), &role.signer, 1, &raw, &e));
    must(repo_folder_accept(folder, REPO_TARGETS_DELTAS_ROLE, buf_slice(&raw), &online, &e));
}

Test(deltas_named, what_a_person_sent_and_named_with_the_same_key_stays) {
    struct err e = ERR_NONE;
    struct store_delta made, sent, unsent;
    shop_targets(&s, true, 1, &s.online);
    shop_made(&s, 1, 1, true, &made);
    must(keep(&role, &e));
    shop_write_delta(&s, s.server.bundles, NULL, 2, &sent);
    shop_write_delta(&s, s.server.bundles, NULL, 3, &unsent);
    (void)snprintf(sent.actor, sizeof sent.actor, "ci");
    must(store_delta_add(s.db, &sent, &e));
    name_by_hand(&sent, &unsent);
    cr_assert_eq(shop_named(&s), 2, "his and the other");
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 2, "the controller's and his");
    const struct serve_engine_bundle *b = serve_engine_bundle(s.server.engine, &s.scene.id);
    cr_expect(serve_repository_names_delta(&s.server, &b->row, &made));
    cr_expect(serve_repository_names_delta(&s.server, &b->row, &sent));
    cr_expect_not(serve_repository_names_delta(&s.server, &b->row, &unsent));
    // The controller makes one of the same pair: that is it then.
    struct store_making making = {.at_s = 5};
    (void)snprintf(making.bundle, sizeof making.bundle, "%s", sent.bundle);
    (void)snprintf(making.base, sizeof making.base, "%s", sent.base);
    (void)snprintf(making.head, sizeof making.head, "%s", sent.head);
    must(store_making_put(s.db, &making, &e));
    role.changed = true;
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 2);
    must(store_making_drop(s.db, sent.bundle, sent.base, &e));
    // And with its bundle it goes, but for its row, which is his.
    shop_targets(&s, false, 1, &s.online);
    must(keep(&role, &e));
    cr_expect_eq(shop_named(&s), 0);
    cr_expect(shop_has_row(&s, &sent) && shop_has_file(&s, &sent) && !shop_has_row(&s, &made));
}

// Files that go

static void step(void) {
    struct err e = ERR_NONE;
    struct serve_delta_orders orders;
    s.options.deltas_off = true; // none are made, but those that are gone go
    must(serve_delta_plan_step(&maker, s.db, SHOP_NOW_S * 1000, &orders, &e));
}

// Named, then its bundle is withdrawn.
static void forget_one(struct store_delta *ret) {
    struct err e = ERR_NONE;
    shop_targets(&s, true, 1, &s.online);
    shop_made(&s, 1, 1, true, ret);
    must(keep(&maker.role, &e));
    cr_assert_eq(shop_named(&s), 1);
    shop_targets(&s, false, 1, &s.online);
    must(keep(&maker.role, &e));
    cr_assert(shop_named(&s) == 0 && !shop_has_row(&s, ret) && shop_has_file(&s, ret));
}

Test(deltas_named, a_file_goes_when_its_row_is_gone_for_good) {
    struct store_delta delta;
    forget_one(&delta);
    step();
    cr_expect(shop_has_file(&s, &delta), "that may be undone still");
    step();
    cr_expect_not(shop_has_file(&s, &delta));
}

Test(deltas_named, a_file_stays_when_its_row_comes_back) {
    struct err e = ERR_NONE;
    struct store_delta delta;
    forget_one(&delta);
    step();
    must(store_delta_add(s.db, &delta, &e)); // sent, or what forgot it was undone
    step();
    step();
    cr_expect(shop_has_file(&s, &delta));
}

Test(deltas_named, a_file_stays_while_its_row_went_a_second_time) {
    struct store_delta delta;
    forget_one(&delta);
    step();
    memcpy(maker.role.gone[maker.role.n_gone++], delta.head, sizeof delta.head);
    step();
    cr_expect(shop_has_file(&s, &delta), "the second time may be undone still");
    step();
    cr_expect_not(shop_has_file(&s, &delta));
}

// The file has its name before the row is made: what goes in between is not given a row.
Test(deltas_named, what_was_sent_gets_no_row_when_its_file_has_gone) {
    struct err e = ERR_NONE;
    struct store_delta delta;
    struct serve_call call;
    char base[KEYS_DIGEST_HEX];
    forget_one(&delta);
    shop_publish(&s, shop_base(1, base), "forged", "0.9");
    struct serve_upload upload = {.server = &s.server, .fd = -1, .delta = delta};
    (void)store_delta_file(delta.head, upload.name);
    step();
    step();
    serve_call_init(&call, &s.server);
    call.state = &upload;
    cr_assert_lt(serve_publish_run_delta(s.db, &call, &e), 0);
    cr_expect(err_is(&e, &err_overloaded), "%s", e.text);
    cr_expect_not(shop_has_row(&s, &delta));
    // And sent again it has both.
    err_clear(&e);
    shop_write_delta(&s, s.server.bundles, NULL, 1, &delta);
    must(serve_publish_run_delta(s.db, &call, &e));
    cr_expect_eq(call.status, 201);
    step();
    cr_expect(shop_has_row(&s, &delta) && shop_has_file(&s, &delta));
    serve_call_clear(&call);
}
