// SPDX-License-Identifier: Apache-2.0
//
// Documents that wait for signatures: who has signed, copies put together, and what is no document.
#include "ctl/cmd/document.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/cmd/describe.h"
#include "ctl/cmd/quorum.h"
#include "keys/kind.h"
#include "tests/unit/keys/keyring.h"

static struct cmd_document make(json_t *content) {
    struct err e = ERR_NONE;
    struct cmd_document document = CMD_DOCUMENT_NONE;
    const struct keys_header header = {.version = 7, .issued_s = 1000, .expires_s = 2000};
    OWN(json) json_t *taken = content;
    cr_assert_eq(cmd_document_make(taken, &header, "targets", &document, &e), 0, "%s", e.text);
    return document;
}

static struct cmd_document targets(json_int_t floor) {
    return make(
        json_pack("{s:s,s:{},s:{s:I}}", "_type", "targets", "targets", "floors", "app", floor));
}

static int sign(struct cmd_document *document, unsigned n) {
    struct err e = ERR_NONE;
    struct keys_pub pub = keyring_pub(n);
    struct sign_signer *signer = NULL;
    OWN(secret) struct keys_secret *seed = keyring_seed(n);
    cr_assert_eq(sign_signer_from_seed(&seed, &pub, &signer, &e), 0);
    int r = cmd_document_sign(document, signer, &e);
    sign_signer_free(signer);
    cr_assert_geq(r, 0, "%s", e.text);
    return r;
}

static struct cmd_document copy(const struct cmd_document *document) {
    struct err e = ERR_NONE;
    struct cmd_document other = CMD_DOCUMENT_NONE;
    cr_assert_eq(cmd_document_parse(buf_slice(&document->raw), "copy", &other, &e), 0);
    return other;
}

Test(document, it_is_read_as_it_was_made) {
    OWN(document) struct cmd_document made = targets(1);
    OWN(document) struct cmd_document read = copy(&made);
    cr_expect_str_eq(read.type, "targets");
    cr_expect_eq(read.header.version, 7);
    cr_expect_eq(read.header.issued_s, 1000);
    cr_expect_eq(read.header.expires_s, 2000);
    cr_expect_eq(read.envelope.n_signatures, 0);
}

Test(document, signatures_of_the_role_count_once_each) {
    struct err e = ERR_NONE;
    struct cmd_document_tally tally;
    const struct keys_role role = keyring_role(2, 3);
    OWN(document) struct cmd_document document = targets(1);
    cr_expect_eq(sign(&document, 2), 0);
    cr_expect_eq(sign(&document, 2), CMD_DOCUMENT_SIGNED);
    cr_expect_eq(sign(&document, 9), 0); // another role's: passed over
    cr_assert_eq(cmd_document_tally(&document, "it", &role, &tally, &e), 0);
    cr_expect_eq(tally.valid, 1);
    cr_expect(!tally.has[0] && tally.has[1] && !tally.has[2]);
}

Test(document, a_signature_of_other_contents_refuses_it) {
    struct err e = ERR_NONE;
    struct cmd_document_tally tally = {.valid = 99};
    const struct keys_role role = keyring_role(1, 1);
    OWN(document) struct cmd_document document = targets(1);
    OWN(document) struct cmd_document other = targets(2);
    (void)sign(&document, 1);
    OWN(buf) struct buf raw;
    buf_init(&raw, CMD_DOCUMENT_MAX_BYTES);
    cr_assert_eq(
        keys_envelope_format(other.envelope.signed_part, document.envelope.signatures, 1, &raw, &e),
        0);
    OWN(document) struct cmd_document forged = CMD_DOCUMENT_NONE;
    cr_assert_eq(cmd_document_parse(buf_slice(&raw), "it", &forged, &e), 0);
    cr_expect_eq(cmd_document_tally(&forged, "it", &role, &tally, &e), -1);
    cr_expect(err_is(&e, &err_bad_signature));
    cr_expect_eq(tally.valid, 99, "an output was touched");
    // Its own key may put that right.
    cr_expect_eq(sign(&forged, 1), 0);
    err_clear(&e);
    cr_expect_eq(cmd_document_tally(&forged, "it", &role, &tally, &e), 0);
}

Test(document, copies_of_the_same_are_put_together_and_of_another_are_not) {
    struct err e = ERR_NONE;
    size_t added = 0;
    const struct keys_role role = keyring_role(2, 2);
    OWN(document) struct cmd_document first = targets(1);
    OWN(document) struct cmd_document second = copy(&first);
    OWN(document) struct cmd_document third = targets(2);
    (void)sign(&first, 1);
    (void)sign(&second, 2);
    (void)sign(&second, 9); // nobody of the role: not taken over
    (void)sign(&third, 2);
    cr_expect_eq(cmd_document_merge(&first, &third, "third", &role, &added, &e), -1);
    cr_expect(err_is(&e, &err_exists));
    cr_expect_eq(added, 0);
    err_clear(&e);
    cr_expect_eq(cmd_document_merge(&first, &second, "second", &role, &added, &e), 0, "%s", e.text);
    cr_expect_eq(added, 1);
    cr_expect_eq(first.envelope.n_signatures, 2);
    cr_expect_eq(cmd_document_merge(&first, &second, "second", &role, &added, &e), 0);
    cr_expect_eq(added, 1, "the same signature was taken twice");
}

Test(document, only_what_people_sign_is_a_document) {
    static const char *const wrong[] = {"timestamp", "snapshot", "bundle", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = ERR_NONE;
        OWN(document) struct cmd_document document = CMD_DOCUMENT_NONE;
        const struct keys_header header = {.version = 1, .issued_s = 1, .expires_s = 2};
        OWN(json) json_t *content = json_pack("{s:s}", "_type", wrong[i]);
        cr_expect_eq(cmd_document_make(content, &header, "it", &document, &e), -1, "%s", wrong[i]);
        cr_expect(err_is(&e, &err_wrong_type), "%s: %s", wrong[i], e.text);
    }
}

Test(document, a_document_of_exactly_the_ceiling_is_read_and_one_byte_more_is_not) {
    struct err e = ERR_NONE;
    OWN(document) struct cmd_document document = targets(1);
    OWN(document) struct cmd_document read = CMD_DOCUMENT_NONE;
    OWN(buf) struct buf padded;
    buf_init(&padded, CMD_DOCUMENT_MAX_BYTES + 1);
    uint8_t *room = NULL;
    size_t more = CMD_DOCUMENT_MAX_BYTES - document.raw.len;
    cr_assert_eq(buf_add(&padded, document.raw.data, document.raw.len, &e), 0);
    cr_assert_eq(buf_reserve(&padded, more + 1, &room, &e), 0);
    memset(room, ' ', more + 1); // spaces may follow an envelope
    buf_commit(&padded, more);
    cr_expect_eq(cmd_document_parse(buf_slice(&padded), "it", &read, &e), 0, "%s", e.text);
    buf_commit(&padded, 1);
    cmd_document_clear(&read);
    cr_expect_eq(cmd_document_parse(buf_slice(&padded), "it", &read, &e), -1);
    cr_expect(err_is(&e, &err_limit));
}

// ── Quorum ───────────────────────────────────────────────────────────────────────────────────────

Test(quorum, the_threshold_holds_with_its_last_signature_and_not_before) {
    const struct keys_role role = keyring_role(3, 4);
    OWN(document) struct cmd_document document = targets(1);
    for (unsigned n = 1; n <= 4; n++) {
        struct err e = ERR_NONE;
        struct cmd_quorum quorum;
        (void)sign(&document, n);
        cr_assert_eq(cmd_quorum_of_role(&document, "it", "targets", &role, &quorum, &e), 0);
        cr_expect_eq(cmd_quorum_holds(&quorum), n >= 3, "%u of 3", n);
    }
}

Test(quorum, a_role_without_keys_never_holds) {
    struct err e = ERR_NONE;
    struct cmd_quorum quorum;
    const struct keys_role none = {.n_keys = 0};
    OWN(document) struct cmd_document document = targets(1);
    cr_assert_eq(cmd_quorum_of_role(&document, "it", "targets", &none, &quorum, &e), 0);
    cr_expect_not(cmd_quorum_holds(&quorum));
    cr_expect_not(cmd_quorum_holds(&(struct cmd_quorum){.n = 0}));
}

// ── Changes in words ─────────────────────────────────────────────────────────────────────────────

static bool says(const json_t *lines, const char *what) {
    size_t i;
    json_t *line;
    json_array_foreach ((json_t *)lines, i, line)
        if (strstr(json_string_value(line), what))
            return true;
    return false;
}

static json_t *changes(const struct cmd_document *before, const struct cmd_document *after) {
    struct err e = ERR_NONE;
    const struct cmd_keyring ring = CMD_KEYRING_NONE;
    json_t *lines = NULL;
    cr_assert_eq(cmd_describe_changes(before, after, &ring, &lines, &e), 0);
    return lines;
}

Test(describe, every_kind_of_change_to_targets_is_said) {
    OWN(document)
    struct cmd_document before = make(json_pack(
        "{s:s,s:{s:{s:i},s:{s:i}},s:{s:i,s:i},s:{s:{},s:[{s:s,s:[s],s:b}]}}", "_type", "targets",
        "targets", "a/1/x.json", "length", 1, "a/2/x.json", "length", 2, "floors", "app", 1, "gone",
        1, "delegations", "keys", "roles", "name", "old", "keyids", "k1", "terminating", 0));
    OWN(document)
    struct cmd_document after =
        make(json_pack("{s:s,s:{s:{s:i},s:{s:i}},s:{s:i,s:i},s:{s:{},s:[{s:s,s:[s,s],s:b}]},s:i}",
                       "_type", "targets", "targets", "a/1/x.json", "length", 9, "a/3/x.json",
                       "length", 3, "floors", "app", 4, "new", 2, "delegations", "keys", "roles",
                       "name", "fresh", "keyids", "k1", "k2", "terminating", 1, "unheard-of", 1));
    OWN(json) json_t *lines = changes(&before, &after);
    static const char *const wanted[] = {
        "a/1/x.json CHANGES",          "a/3/x.json is added",    "a/2/x.json is withdrawn",
        "app: was 1, becomes 4",       "new: none before",       "gone is taken away",
        "delegation fresh is new",     "fresh: key k2 is added", "delegation old is taken away",
        "member \"unheard-of\" is new"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        cr_expect(says(lines, wanted[i]), "nothing says: %s", wanted[i]);
    OWN(json) json_t *none = changes(&after, &after);
    cr_expect_eq(json_array_size(none), 0);
}

Test(describe, what_a_terminal_would_act_upon_is_shown_as_what_it_is) {
    OWN(document)
    struct cmd_document after =
        make(json_pack("{s:s,s:{s:{}}}", "_type", "targets", "targets", "a\x1b[2J/1/x.json"));
    OWN(json) json_t *lines = changes(NULL, &after);
    cr_assert_eq(json_array_size(lines), 1);
    cr_expect_null(strchr(json_string_value(json_array_get(lines, 0)), '\x1b'));
}
