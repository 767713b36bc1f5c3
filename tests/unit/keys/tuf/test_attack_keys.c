// SPDX-License-Identifier: Apache-2.0
//
// Attacks on who signed: one key that would count twice, thresholds that would ask for nobody,
// files that nobody, too few or the wrong ones signed.
#include <ctype.h>

#include "tests/unit/keys/tuf/attack.h"

#define NINE 9 // a key of nobody until it is given to a role

// Where somebody says who may sign. The old root is asked about the next one; the new one answers
// for itself.
enum place { OLD_ROOT, NEW_ROOT, TIMESTAMP, SNAPSHOT, TARGETS, DELEGATED, PLACES };

static const struct {
    const char *name;
    enum attack_role signed_by;    // whose signatures are attacked
    enum attack_role described_in; // the file with its keys and threshold
    unsigned key;                  // the one that tries to be two
} places[PLACES] = {
    {"old root", A_ROOT, A_ROOT, 1},       {"new root", A_ROOT, A_ROOT, 7},
    {"timestamp", A_TIMESTAMP, A_ROOT, 2}, {"snapshot", A_SNAPSHOT, A_ROOT, 3},
    {"targets", A_TARGETS, A_ROOT, 4},     {"delegation", A_DELEGATED, A_TARGETS, 5},
};

// The description of a role and the keys that stand beside it; borrowed.
static json_t *describe(struct attack *a, enum place place, json_t **ret_keys) {
    json_t *root = tuf_repo_role(&a->repo, "root");
    json_t *delegations = json_object_get(tuf_repo_role(&a->repo, "targets"), "delegations");
    json_t *from = place == DELEGATED ? delegations : root;
    *ret_keys = json_object_get(from, "keys");
    json_t *roles = json_object_get(from, "roles");
    return place == DELEGATED ? json_array_get(roles, 0)
                              : json_object_get(roles, attack_names[places[place].signed_by]);
}

// ── U02 ────────────────────────────────────────────────────────────────────────────────────────

enum twice { SIGNATURE_TWICE, KEYID_TWICE, UNDER_TWO_IDS, SPELLED_TWICE, WAYS };

static const char *const ways[WAYS] = {"its signature twice", "its id twice in the role",
                                       "under two ids", "under two ids and spelled in two ways"};

// The same key under the id "alias".
static void add_alias(json_t *keys, const char *id, enum twice way) {
    json_t *copy = json_deep_copy(json_object_get(keys, id));
    if (way == SPELLED_TWICE) {
        char hex[128];
        json_t *keyval = json_object_get(copy, "keyval");
        (void)snprintf(hex, sizeof hex, "%s", json_string_value(json_object_get(keyval, "public")));
        for (char *at = hex; *at != '\0'; at++)
            *at = (char)toupper((unsigned char)*at);
        cr_assert_eq(json_object_set_new(keyval, "public", json_string(hex)), 0);
    }
    cr_assert_eq(json_object_set_new(keys, "alias", copy), 0);
}

// The role asks for two of its keys: one, which an attacker has, and key 9.
static void ask_for_two(struct attack *a, enum place place, enum twice way) {
    json_t *keys;
    json_t *role = describe(a, place, &keys);
    json_t *ids = json_array();
    const char *id = tuf_repo_add_key(keys, places[place].key);
    (void)json_array_append_new(ids, json_string(id));
    if (way == KEYID_TWICE)
        (void)json_array_append_new(ids, json_string(id));
    if (way == UNDER_TWO_IDS || way == SPELLED_TWICE) {
        add_alias(keys, id, way);
        (void)json_array_append_new(ids, json_string("alias"));
    }
    (void)json_array_append_new(ids, json_string(tuf_repo_add_key(keys, NINE)));
    (void)json_object_set_new(role, "keyids", ids);
    (void)json_object_set_new(role, "threshold", json_integer(2));
}

// The attacker's one signature stands there once more.
static void double_signature(struct attack *a, enum place place, enum twice way) {
    OWN(json) json_t *envelope = attack_envelope(a, places[place].signed_by);
    json_t *signatures = json_object_get(envelope, "signatures");
    // The last one: in front of it stands the old root's, where there are two.
    size_t n = json_array_size(signatures) - (place == OLD_ROOT ? 2 : 1);
    json_t *again = json_deep_copy(json_array_get(signatures, n));
    if (way == UNDER_TWO_IDS || way == SPELLED_TWICE)
        (void)json_object_set_new(again, "keyid", json_string("alias"));
    if (way == KEYID_TWICE)
        json_decref(again);
    else
        (void)json_array_append_new(signatures, again);
    attack_put(a, places[place].signed_by, envelope);
}

static void sign_by(struct attack *a, enum place place, const char *keys) {
    tuf_repo_set_signers(&a->repo, attack_names[places[place].signed_by], keys);
}

// Honest signers of what `ask_for_two` describes.
static const char *const both[PLACES] = {"19", "179", "29", "39", "49", "59"};
static const char *const one[PLACES] = {"17", "17", "2", "3", "4", "5"};

// A device that trusts such a role, where a device can be brought to it.
static void make_two(struct attack *a, enum place place, enum twice way) {
    attack_make_without_hashes(a);
    if (way == KEYID_TWICE || place == NEW_ROOT)
        return;
    ask_for_two(a, place, way);
    sign_by(a, place, both[place]);
    if (places[place].described_in == A_ROOT)
        tuf_repo_publish(&a->repo, "root");
    attack_publish(a);
    attack_begin(a);
}

static void attack_twice(struct attack *a, enum place place, enum twice way) {
    if (way == KEYID_TWICE || place == NEW_ROOT)
        ask_for_two(a, place, way);
    // The one that the old root should let pass is whole otherwise.
    if (place == OLD_ROOT && way != KEYID_TWICE)
        tuf_repo_trust(&a->repo, "root", "7", 1);
    sign_by(a, place, one[place]);
    if (places[place].described_in == A_ROOT && (place <= NEW_ROOT || way == KEYID_TWICE))
        tuf_repo_publish(&a->repo, "root");
    attack_publish(a);
    double_signature(a, place, way);
}

Test(attack, u02_one_key_counts_once_in_four_ways_for_six_roles, .timeout = 120) {
    for (int place = 0; place < PLACES; place++) {
        for (int way = 0; way < WAYS; way++) {
            OWN(attack) struct attack a;
            char what[128];
            (void)snprintf(what, sizeof what, "%s: %s", places[place].name, ways[way]);
            make_two(&a, (enum place)place, (enum twice)way);
            attack_twice(&a, (enum place)place, (enum twice)way);
            attack_must_fail_and_recover(
                &a, way == KEYID_TWICE ? places[place].described_in : places[place].signed_by, NULL,
                what);
        }
    }
}

Test(attack, u02_two_keys_count_twice_for_the_same_six_roles) {
    for (int place = 0; place < PLACES; place++) {
        for (int way = UNDER_TWO_IDS; way < WAYS; way++) {
            OWN(attack) struct attack a;
            struct err e = ERR_NONE;
            make_two(&a, (enum place)place, (enum twice)way);
            if (place == NEW_ROOT)
                ask_for_two(&a, NEW_ROOT, (enum twice)way);
            if (place == OLD_ROOT)
                tuf_repo_trust(&a.repo, "root", "7", 1);
            sign_by(&a, (enum place)place, place == OLD_ROOT ? "197" : both[place]);
            tuf_repo_publish(&a.repo, "root");
            attack_publish(&a);
            cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s: %s", places[place].name,
                         e.text);
            cr_assert_eq(tuf_repo_stored(&a.repo, "root.json"), tuf_repo_version(&a.repo, "root"));
            cr_assert_eq(tuf_repo_stored(&a.repo, "d.json"), tuf_repo_version(&a.repo, "d"));
        }
    }
}

// ── U03 ────────────────────────────────────────────────────────────────────────────────────────

#define RAW "4242424242" // stands for a number that jansson does not write

static const struct {
    const char *json;
    const char *raw; // what is served in place of RAW
} thresholds[] = {
    {"-1", NULL},
    {"0", NULL},
    {"2147483648", NULL},
    {RAW, "9223372036854775808"},
    {RAW, "18446744073709551616"},
    {RAW, "-9223372036854775808"},
    {"1.0", NULL},
    {RAW, "1e0"},
    {"\"1\"", NULL},
    {"null", NULL},
    {"true", NULL},
    {"[]", NULL},
    {"[1]", NULL},
    {"{}", NULL},
    {"", NULL},
};

static void replace_raw(struct attack *a, enum attack_role role, const char *raw) {
    char name[ATTACK_NAME_BYTES];
    const struct buf *bytes = tuf_repo_bytes(&a->repo.served, attack_served(a, role, name));
    OWN(mem) char *text = strdup(buf_text(bytes));
    OWN(buf) struct buf changed;
    struct err e = ERR_NONE;
    char *at = strstr(text, RAW);
    cr_assert_not_null(at);
    *at = '\0';
    buf_init(&changed, 1 << 20);
    cr_assert_eq(buf_add_format(&changed, &e, "%s%s%s", text, raw, at + strlen(RAW)), 0);
    attack_put_text(a, role, buf_text(&changed));
}

static void set_threshold(struct attack *a, enum place place, const char *json) {
    json_t *keys;
    json_t *role = describe(a, place, &keys);
    parts_put(role, "threshold", json);
}

Test(attack, u03_a_threshold_that_is_no_number_of_at_least_one_is_refused, .timeout = 120) {
    for (int place = NEW_ROOT; place < PLACES; place++) {
        for (size_t i = 0; i < ATTACK_COUNT(thresholds); i++) {
            OWN(attack) struct attack a;
            char what[128];
            (void)snprintf(what, sizeof what, "%s: %s%s", places[place].name, thresholds[i].json,
                           thresholds[i].raw ? thresholds[i].raw : "");
            attack_make_without_hashes(&a);
            set_threshold(&a, (enum place)place, thresholds[i].json);
            // Whose file nobody signs: it is what such a threshold would let pass.
            if (place > NEW_ROOT)
                sign_by(&a, (enum place)place, "");
            if (places[place].described_in == A_ROOT)
                tuf_repo_publish(&a.repo, "root");
            attack_publish(&a);
            if (thresholds[i].raw)
                replace_raw(&a, places[place].described_in, thresholds[i].raw);
            attack_must_fail_and_recover(&a, places[place].described_in, &err_syntax, what);
        }
    }
}

Test(attack, u03_a_trusted_root_with_such_a_threshold_is_none) {
    for (size_t i = 0; i < ATTACK_COUNT(thresholds); i++) {
        OWN(attack) struct attack a;
        attack_make(&a);
        set_threshold(&a, OLD_ROOT, thresholds[i].json);
        tuf_repo_serve(&a.repo, "root");
        if (thresholds[i].raw)
            replace_raw(&a, A_ROOT, thresholds[i].raw);
        tuf_repo_put(&a.repo.stored, "root.json",
                     buf_slice(tuf_repo_bytes(&a.repo.served, "1.root.json")));
        buf_clear(&a.repo.requests);
        device_must_refuse(&a.repo, &err_syntax);
        cr_assert_eq(a.repo.requests.len, 0, "something was asked for");
    }
}

Test(attack, u03_a_threshold_above_the_number_of_keys_is_never_met) {
    for (int place = TIMESTAMP; place < PLACES; place++) {
        OWN(attack) struct attack a;
        attack_make(&a);
        set_threshold(&a, (enum place)place, "2147483647");
        if (places[place].described_in == A_ROOT)
            tuf_repo_publish(&a.repo, "root");
        attack_publish(&a);
        attack_must_fail_and_recover(&a, places[place].signed_by, &err_below_threshold,
                                     places[place].name);
    }
}

// ── Arbitrary software ─────────────────────────────────────────────────────────────────────────

// Who signs in place of those who should: nobody, strangers, half of them, another role.
static const char *const impostors[] = {"", "z", "0", "yz", "1", "2", "3", "4", "5"};

Test(attack, arbitrary_software_needs_the_signatures_of_its_own_role, .timeout = 120) {
    for (int place = TIMESTAMP; place < PLACES; place++) {
        for (size_t i = 0; i < ATTACK_COUNT(impostors); i++) {
            if (strcmp(impostors[i], one[place]) == 0)
                continue;
            OWN(attack) struct attack a;
            char what[128];
            (void)snprintf(what, sizeof what, "%s signed by \"%s\"", places[place].name,
                           impostors[i]);
            attack_make(&a);
            sign_by(&a, (enum place)place, impostors[i]);
            attack_publish(&a);
            attack_must_fail_and_recover(&a, places[place].signed_by, &err_below_threshold, what);
        }
    }
}

Test(attack, arbitrary_software_half_signed_is_not_signed) {
    for (int place = TIMESTAMP; place < PLACES; place++) {
        OWN(attack) struct attack a;
        make_two(&a, (enum place)place, SIGNATURE_TWICE);
        sign_by(&a, (enum place)place, one[place]);
        attack_publish(&a);
        attack_must_fail_and_recover(&a, places[place].signed_by, &err_below_threshold,
                                     places[place].name);
    }
}

Test(attack, arbitrary_software_a_root_needs_the_old_and_the_new_threshold) {
    // Old: two of 1, 2, 3. New: two of 4, 5, 6. Every set of signers.
    for (unsigned set = 0; set < 64; set++) {
        OWN(attack) struct attack a;
        char keys[8] = "";
        for (unsigned i = 0; i < 6; i++)
            if (set & 1U << i)
                (void)snprintf(keys + strlen(keys), 2, "%u", i + 1);
        attack_make(&a);
        tuf_repo_trust(&a.repo, "root", "123", 2);
        tuf_repo_publish(&a.repo, "root");
        attack_begin(&a);
        tuf_repo_trust(&a.repo, "root", "456", 2);
        tuf_repo_set_signers(&a.repo, "root", keys);
        tuf_repo_publish(&a.repo, "root");
        bool good = __builtin_popcount(set & 7) >= 2 && __builtin_popcount(set >> 3) >= 2;
        if (good) {
            device_must_refresh(&a.repo);
            cr_assert_eq(tuf_repo_stored(&a.repo, "root.json"), 3);
        } else {
            attack_must_fail_and_recover(&a, A_ROOT, &err_root_chain, keys);
        }
    }
}

// ── U13 ────────────────────────────────────────────────────────────────────────────────────────

Test(attack, u13_a_key_of_any_length_but_its_own_signs_nothing, .timeout = 120) {
    for (size_t digits = 0; digits <= 2 * 64; digits++) {
        if (digits == 64)
            continue;
        OWN(attack) struct attack a;
        char what[32];
        char hex[2 * 64 + 1];
        attack_make(&a);
        json_t *root = tuf_repo_role(&a.repo, "root");
        json_t *keys = json_object_get(root, "keys");
        json_t *key = json_object_get(keys, tuf_repo_add_key(keys, 2));
        json_t *keyval = json_object_get(key, "keyval");
        (void)snprintf(hex, sizeof hex, "%s%s",
                       json_string_value(json_object_get(keyval, "public")),
                       json_string_value(json_object_get(keyval, "public")));
        hex[digits] = '\0';
        (void)json_object_set_new(keyval, "public", json_string(hex));
        tuf_repo_publish(&a.repo, "root");
        attack_publish(&a);
        (void)snprintf(what, sizeof what, "%zu digits", digits);
        attack_must_fail_and_recover(&a, A_TIMESTAMP, &err_below_threshold, what);
    }
}
