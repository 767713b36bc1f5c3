// SPDX-License-Identifier: Apache-2.0
//
// Attacks by amount: what is endless, long, deep or many ends at a ceiling, before it is read where
// nobody signed it.
#include "tests/unit/keys/tuf/attack.h"

// ── Endless data ───────────────────────────────────────────────────────────────────────────────

// A repository that does not stop talking when it is asked for one of its files.
struct endless {
    struct tuf_repo *repo;
    const struct tuf_client_ops *ops;
    const char *name;
    size_t asked_max_bytes; // how much the client would take
    size_t taken_bytes;     // and took
};

static int endless_load(void *context, const char *name, size_t max_bytes, struct buf *ret,
                        struct err *e) {
    const struct endless *x = context;
    return x->ops->load(x->repo, name, max_bytes, ret, e);
}

static int endless_fetch(void *context, const char *name, size_t max_bytes, struct buf *ret,
                         struct err *e) {
    static const char blanks[1024] = {' '};
    struct endless *x = context;
    if (strcmp(name, x->name) != 0)
        return x->ops->fetch(x->repo, name, max_bytes, ret, e);
    x->asked_max_bytes = max_bytes;
    while (x->taken_bytes < (size_t)1 << 30) {
        if (buf_add(ret, blanks, sizeof blanks, e) < 0 && buf_add(ret, blanks, 1, e) < 0)
            return -1;
        x->taken_bytes = ret->len;
    }
    return 0;
}

static int endless_store(void *context, const char *name, struct slice bytes, struct err *e) {
    const struct endless *x = context;
    return x->ops->store(x->repo, name, bytes, e);
}

static int endless_forget(void *context, const char *name, struct err *e) {
    const struct endless *x = context;
    return x->ops->forget(x->repo, name, e);
}

static const struct tuf_client_ops endless_ops = {
    .load = endless_load, .fetch = endless_fetch, .store = endless_store, .forget = endless_forget};

static const size_t ceilings[A_ROLES] = {512000, 16384, 2000000, 5000000, 5000000};

static void take_endless(struct attack *a, enum attack_role role, size_t ceiling) {
    char name[ATTACK_NAME_BYTES];
    struct tuf_repo *repo = &a->repo;
    attack_serve(a, role);
    struct endless x = {
        .repo = repo, .ops = repo->options.ops, .name = attack_served(a, role, name)};
    if (ceiling == 0)
        ceiling = tuf_repo_bytes(&repo->served, name)->len;
    repo->options.ops = &endless_ops;
    repo->options.context = &x;
    attack_must_fail(a, role, &err_limit, name);
    repo->options.ops = x.ops;
    repo->options.context = repo;
    cr_assert_eq(x.asked_max_bytes, ceiling, "%s: %zu", name, x.asked_max_bytes);
    cr_assert_leq(x.taken_bytes, ceiling);
    attack_recover(a, name);
}

Test(attack, endless_data_ends_at_the_signed_length_or_at_the_ceiling_of_its_role) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        OWN(attack) struct attack b;
        attack_make(&a);
        take_endless(&a, (enum attack_role)role, role <= A_TIMESTAMP ? ceilings[role] : 0);
        attack_make_without_hashes(&b);
        take_endless(&b, (enum attack_role)role, ceilings[role]);
    }
}

// Blanks behind a document say nothing, so that its length alone is judged.
static void pad(struct attack *a, enum attack_role role, size_t bytes) {
    char name[ATTACK_NAME_BYTES];
    OWN(buf) struct buf padded;
    struct err e = ERR_NONE;
    const struct buf *now = tuf_repo_bytes(&a->repo.served, attack_served(a, role, name));
    size_t n = bytes - now->len;
    OWN(mem) char *blanks = malloc(n);
    cr_assert_not_null(blanks);
    memset(blanks, ' ', n);
    buf_init(&padded, bytes);
    cr_assert_eq(buf_add(&padded, now->data, now->len, &e), 0);
    cr_assert_eq(buf_add(&padded, blanks, n, &e), 0);
    tuf_repo_put(&a->repo.served, name, buf_slice(&padded));
}

Test(attack, endless_data_one_byte_above_is_refused_and_the_ceiling_itself_is_not) {
    for (int role = A_ROOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        struct err e = ERR_NONE;
        attack_make_without_hashes(&a);
        attack_serve(&a, (enum attack_role)role);
        pad(&a, (enum attack_role)role, ceilings[role] + 1);
        attack_must_fail_and_recover(&a, (enum attack_role)role, &err_limit, attack_names[role]);
        attack_begin(&a);
        attack_serve(&a, (enum attack_role)role);
        pad(&a, (enum attack_role)role, ceilings[role]);
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s: %s", attack_names[role], e.text);
    }
}

Test(attack, endless_data_one_byte_above_what_was_signed_is_refused) {
    for (int role = A_SNAPSHOT; role < A_ROLES; role++) {
        OWN(attack) struct attack a;
        char name[ATTACK_NAME_BYTES];
        attack_make(&a);
        attack_publish(&a);
        (void)attack_served(&a, (enum attack_role)role, name);
        pad(&a, (enum attack_role)role, tuf_repo_bytes(&a.repo.served, name)->len + 1);
        attack_must_fail_and_recover(&a, (enum attack_role)role, &err_limit, name);
    }
}

// ── U11 ────────────────────────────────────────────────────────────────────────────────────────

Test(attack, u11_a_thousand_and_twenty_five_roots_are_followed_in_bounded_steps, .timeout = 60) {
    static const uint64_t roots = 1025;
    OWN(attack) struct attack a;
    attack_make(&a);
    for (uint64_t trusted = 1; trusted < roots;) {
        uint64_t end = trusted + TUF_ROOTS_PER_REFRESH_MAX + 1 < roots
                           ? trusted + TUF_ROOTS_PER_REFRESH_MAX + 1
                           : roots;
        for (uint64_t next = tuf_repo_version(&a.repo, "root"); next < end; next++)
            tuf_repo_publish(&a.repo, "root");
        buf_clear(&a.repo.requests);
        device_must_refresh(&a.repo);
        size_t asked = 0;
        for (const char *at = buf_text(&a.repo.requests); (at = strstr(at, "root.json")); at++)
            asked++;
        cr_assert_leq(asked, TUF_ROOTS_PER_REFRESH_MAX);
        uint64_t now = tuf_repo_stored(&a.repo, "root.json");
        cr_assert_leq(now - trusted, TUF_ROOTS_PER_REFRESH_MAX);
        cr_assert_gt(now, trusted);
        for (; trusted < now; trusted++) { // the table of files is not endless
            char name[ATTACK_NAME_BYTES];
            (void)snprintf(name, sizeof name, "%llu.root.json", (unsigned long long)trusted);
            tuf_repo_drop(&a.repo.served, name);
        }
    }
    cr_assert_eq(tuf_repo_stored(&a.repo, "root.json"), roots);
}

// Makes n things of a kind in the files to come; at one more than n they are refused.
struct amount {
    const char *name;
    size_t n;
    enum attack_role role; // whose file is refused
    void (*make)(struct attack *a, size_t n);
};

static void many_signatures(struct attack *a, size_t n) {
    attack_publish(a);
    OWN(json) json_t *envelope = attack_envelope(a, A_TIMESTAMP);
    json_t *list = json_object_get(envelope, "signatures");
    for (size_t i = 1; i < n; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "%zu", i);
        (void)json_array_append_new(list, json_pack("{s:s,s:s}", "keyid", id, "sig", ""));
    }
    attack_put(a, A_TIMESTAMP, envelope);
}

static void many_keys(struct attack *a, size_t n) {
    json_t *keys = json_object_get(tuf_repo_role(&a->repo, "root"), "keys");
    while (json_object_size(keys) < n) {
        char id[32];
        (void)snprintf(id, sizeof id, "%zu", json_object_size(keys));
        (void)json_object_set_new(
            keys, id, json_pack("{s:s,s:s,s:{}}", "keytype", "x", "scheme", "x", "keyval"));
    }
    tuf_repo_publish(&a->repo, "root");
}

static void many_role_keys(struct attack *a, size_t n) {
    json_t *roles = json_object_get(tuf_repo_role(&a->repo, "root"), "roles");
    json_t *ids = json_object_get(json_object_get(roles, "targets"), "keyids");
    while (json_array_size(ids) < n) {
        char id[32];
        (void)snprintf(id, sizeof id, "%zu", json_array_size(ids));
        (void)json_array_append_new(ids, json_string(id));
    }
    tuf_repo_publish(&a->repo, "root");
}

// The signed part is the second level.
static void deep(struct attack *a, size_t n) {
    json_t *nested = json_array();
    for (size_t i = 3; i < n; i++) {
        json_t *outer = json_array();
        (void)json_array_append_new(outer, nested);
        nested = outer;
    }
    tuf_repo_set(&a->repo, "targets", "x", nested);
    attack_publish(a);
}

static void many_delegations(struct attack *a, size_t n) {
    json_t *delegations = json_object_get(tuf_repo_role(&a->repo, "targets"), "delegations");
    json_t *roles = json_object_get(delegations, "roles");
    while (json_array_size(roles) < n) {
        char name[32];
        (void)snprintf(name, sizeof name, "r%zu", json_array_size(roles));
        (void)json_array_append_new(roles,
                                    json_pack("{s:s,s:[],s:i,s:b,s:[]}", "name", name, "keyids",
                                              "threshold", 1, "terminating", 0, "paths"));
    }
    attack_publish(a);
}

// Each is compared with each of the next snapshot.
static void many_files(struct attack *a, size_t n) {
    json_t *meta = json_object_get(tuf_repo_role(&a->repo, "snapshot"), "meta");
    while (json_object_size(meta) < n) {
        char name[32];
        (void)snprintf(name, sizeof name, "r%zu.json", json_object_size(meta));
        (void)json_object_set_new(meta, name, json_pack("{s:i}", "version", 1));
    }
    attack_publish(a);
}

static const struct amount amounts[] = {
    {"signatures", TUF_SIGNATURES_MAX, A_TIMESTAMP, many_signatures},
    {"keys", TUF_KEYS_MAX, A_ROOT, many_keys},
    {"keys of a role", TUF_ROLE_KEYS_MAX, A_ROOT, many_role_keys},
    {"levels", TUF_JSON_DEPTH_MAX, A_TARGETS, deep},
    {"delegations", TUF_DELEGATIONS_MAX, A_TARGETS, many_delegations},
    {"files of a snapshot", TUF_META_FILES_MAX, A_SNAPSHOT, many_files},
};

Test(attack, u11_what_there_may_be_many_of_ends_at_a_ceiling, .timeout = 60) {
    for (size_t i = 0; i < ATTACK_COUNT(amounts); i++) {
        OWN(attack) struct attack a;
        OWN(attack) struct attack b;
        struct err e = ERR_NONE;
        attack_make(&a);
        amounts[i].make(&a, amounts[i].n);
        cr_assert_eq(tuf_repo_find(&a.repo, "d/x", &e), 0, "%s: %s", amounts[i].name, e.text);
        attack_make(&b);
        amounts[i].make(&b, amounts[i].n + 1);
        attack_must_fail_and_recover(&b, amounts[i].role, &err_limit, amounts[i].name);
    }
}

// A chain of delegations as long as there are levels, or a fan of them.
static int search_far(size_t roles, bool chain, struct err *e) {
    OWN(attack) struct attack a;
    char before[32] = "targets";
    attack_make(&a);
    for (size_t i = 0; i < roles; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "r%zu", i);
        (void)tuf_repo_delegate(&a.repo, chain ? before : "targets", name, 6, "far");
        (void)snprintf(before, sizeof before, "%s", name);
    }
    for (size_t i = roles; i-- > 0;) {
        char name[32];
        (void)snprintf(name, sizeof name, "r%zu", i);
        tuf_repo_publish(&a.repo, name);
    }
    attack_publish(&a);
    buf_clear(&a.repo.requests);
    int found = tuf_repo_find(&a.repo, "far", e);
    size_t asked = 0;
    for (const char *at = buf_text(&a.repo.requests); (at = strchr(at, ' ')); at++)
        asked++;
    cr_assert_leq(asked, 4 + TUF_ROLES_PER_SEARCH_MAX);
    return found;
}

Test(attack, u11_a_search_ends_after_so_many_roles_and_so_many_levels) {
    struct err e = ERR_NONE;
    cr_assert_eq(search_far(TUF_ROLES_PER_SEARCH_MAX, false, &e), TUF_ABSENT, "%s", e.text);
    cr_assert_eq(search_far(TUF_DELEGATION_DEPTH_MAX, true, &e), TUF_ABSENT, "%s", e.text);
    cr_assert_lt(search_far(TUF_ROLES_PER_SEARCH_MAX + 1, false, &e), 0);
    cr_assert_eq(e.kind, &err_limit);
    err_clear(&e);
    cr_assert_lt(search_far(TUF_DELEGATION_DEPTH_MAX + 1, true, &e), 0);
    cr_assert_eq(e.kind, &err_limit);
}

Test(attack, u11_roles_that_delegate_to_each_other_are_left) {
    OWN(attack) struct attack a;
    struct err e = ERR_NONE;
    attack_make(&a);
    (void)tuf_repo_delegate(&a.repo, "d", "e", 6, "d/*");
    (void)tuf_repo_delegate(&a.repo, "e", "d", 5, "d/*");
    tuf_repo_publish(&a.repo, "e");
    attack_publish(&a);
    cr_assert_eq(tuf_repo_find(&a.repo, "d/nowhere", &e), TUF_ABSENT, "%s", e.text);
}
