// SPDX-License-Identifier: Apache-2.0
//
// Where a refresh keeps what it accepts: how many files that can be, and which roots are none.
#include "agent/worker/depot.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "keys/kind.h"
#include "keys/tuf/client.h"
#include "tests/support/forge.h"
#include "tests/support/tmp.h"

static struct tmp_dir incoming, trusted;

static void make_root(uint64_t version, struct buf *ret) {
    struct keys_role roles[KEYS_ROOT_ROLES];
    struct keys_header header = {version, FORGE_ISSUED_S, FORGE_EXPIRES_S};
    OWN(buf) struct buf part;
    struct err e = ERR_NONE;
    buf_init(&part, KEYS_ROOT_MAX_BYTES);
    buf_init(ret, KEYS_ROOT_MAX_BYTES + 1);
    for (int i = 0; i < KEYS_ROOT_ROLES; i++)
        forge_role(1, 1, &roles[i]);
    cr_assert_eq(keys_root_format(roles, &header, &part, &e), 0, "%s", e.text);
    forge_envelope(buf_slice(&part), ret);
}

static struct worker_depot start(void) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf root;
    cr_assert_eq(keys_secret_init(&e), 0);
    incoming = tmp_dir_make();
    trusted = tmp_dir_make();
    make_root(1, &root);
    cr_assert_eq(fs_replace(trusted.fd, "root.json", root.data, root.len, 0644, &e), 0);
    return (struct worker_depot){.incoming = incoming.fd, .trusted = trusted.fd};
}

static void finish(struct worker_depot *depot) {
    worker_depot_clear(depot);
    tmp_dir_remove(&incoming);
    tmp_dir_remove(&trusted);
}

static int accept_as(struct worker_depot *depot, const char *served, const char *name,
                     struct slice bytes, struct err *e) {
    cr_assert_eq(worker_depot_served(depot, served, e), 0, "%s", e->text);
    return worker_depot_store(depot, name, bytes, e);
}

// As the client does for a root that takes the online keys away.
static int accept_root(struct worker_depot *depot, uint64_t version, struct slice raw,
                       struct err *e) {
    char served[40];
    (void)snprintf(served, sizeof served, "%" PRIu64 ".root.json", version);
    cr_assert_eq(worker_depot_forget(depot, "timestamp.json", e), 0, "%s", e->text);
    cr_assert_eq(worker_depot_forget(depot, "snapshot.json", e), 0, "%s", e->text);
    return accept_as(depot, served, "root.json", raw, e);
}

Test(depot, the_longest_refresh_there_can_be_fits_and_one_file_more_does_not, .timeout = 250) {
    struct worker_depot depot = start();
    struct err e = ERR_NONE;
    struct slice some = {(const uint8_t *)"x", 1};
    for (uint64_t i = 0; i < TUF_ROOTS_PER_REFRESH_MAX; i++) {
        OWN(buf) struct buf root;
        make_root(i + 2, &root);
        cr_assert_eq(accept_root(&depot, i + 2, buf_slice(&root), &e), 0, "%s", e.text);
    }
    cr_expect_eq(depot.n_steps, TUF_ROOTS_PER_REFRESH_MAX + 2, "forgotten once");
    cr_assert_eq(accept_as(&depot, "timestamp.json", "timestamp.json", some, &e), 0, "%s", e.text);
    cr_assert_eq(accept_as(&depot, "9.snapshot.json", "snapshot.json", some, &e), 0, "%s", e.text);
    cr_assert_eq(accept_as(&depot, "9.targets.json", "targets.json", some, &e), 0, "%s", e.text);
    for (int i = 0; i < TUF_ROLES_PER_SEARCH_MAX; i++) {
        char served[40];
        (void)snprintf(served, sizeof served, "9.r%d.json", i);
        cr_assert_eq(accept_as(&depot, served, served + 2, some, &e), 0, "%s", e.text);
    }
    cr_expect_eq(depot.n_steps, TRUST_VERDICT_STEPS_MAX);
    cr_expect_lt(accept_as(&depot, "9.one-more.json", "one-more.json", some, &e), 0);
    cr_expect(err_is(&e, &err_limit), "%s", e.text);
    // What was stored again can be forgotten again.
    err_clear(&e);
    depot.n_steps--;
    cr_expect_eq(worker_depot_forget(&depot, "timestamp.json", &e), 0, "%s", e.text);
    cr_expect_eq(depot.n_steps, TRUST_VERDICT_STEPS_MAX);
    finish(&depot);
}

// TUF takes any spelling, size and kind of key; the agent would refuse these after all.
Test(depot, a_root_that_the_agent_would_not_take_is_refused_and_takes_nothing_along) {
    static const struct {
        const char *what;
        uint64_t version;
        const struct err_kind *kind;
    } cases[] = {
        {"spelling", 3, &err_not_canonical},
        {"size", 3, &err_limit},
        {"version", 4, &err_root_chain},
        {"nobody's", 3, &err_syntax},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct worker_depot depot = start();
        struct err e = ERR_NONE;
        OWN(buf) struct buf second;
        OWN(buf) struct buf raw;
        make_root(2, &second);
        cr_assert_eq(accept_as(&depot, "2.root.json", "root.json", buf_slice(&second), &e), 0, "%s",
                     e.text);
        make_root(cases[i].version, &raw);
        if (i == 0) { // a blank behind the first brace changes nothing that was signed
            cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
            memmove(raw.data + 2, raw.data + 1, raw.len - 2);
            raw.data[1] = ' ';
        }
        if (i == 1)
            while (raw.len <= KEYS_ROOT_MAX_BYTES)
                cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
        if (i == 3)
            raw.len = 2;
        cr_expect_lt(accept_root(&depot, cases[i].version, buf_slice(&raw), &e), 0);
        cr_expect_eq(e.kind, cases[i].kind, "%s: %s", cases[i].what, e.text);
        cr_expect(strstr(e.text, "root.json"), "%s", e.text);
        cr_expect_eq(depot.n_steps, 1, "%s: the root before alone, and nothing forgotten",
                     cases[i].what);
        finish(&depot);
    }
}
