// SPDX-License-Identifier: Apache-2.0
//
// Instructions: signed here with a real key, read back, and refused for every reason there is.
#include "tests/unit/bundle/wire.h"

#include "bundle/instruction.h"
#include "bundle/kind.h"
#include "bundle/mandate.h"
#include "keys/canon.h"
#include "keys/kind.h"

#define NOW_S 1800000000

struct signer {
    struct keys_secret *seed;
    struct keys_role role;
};

static struct signer new_signer(uint8_t fill) {
    struct signer s = {.role = {.threshold = 1, .n_keys = 1}};
    struct err e = ERR_NONE;
    uint8_t seed[KEYS_ED25519_SEED_BYTES], public[KEYS_ED25519_PUBLIC_BYTES];
    memset(seed, fill, sizeof seed);
    cr_assert_eq(keys_secret_init(&e), 0);
    cr_assert_eq(keys_secret_take(seed, sizeof seed, &s.seed, &e), 0, "%s", e.text);
    cr_assert_eq(keys_secret_public(s.seed, public, &e), 0);
    cr_assert_eq(keys_pub_from_bytes(public, &s.role.keys[0], &e), 0);
    return s;
}

static struct bundle_instruction good(void) {
    struct bundle_instruction i;
    memset(&i, 0, sizeof i);
    i.header =
        (struct keys_header){.version = 7, .issued_s = NOW_S - 60, .expires_s = NOW_S + 3600};
    (void)snprintf(i.device, sizeof i.device, "d-1");
    (void)snprintf(i.rollout, sizeof i.rollout, "spring");
    i.attempt = 2;
    memset(i.bundle.bytes, 0xab, sizeof i.bundle.bytes);
    (void)snprintf(i.bundle_name, sizeof i.bundle_name, "vibration");
    (void)snprintf(i.release, sizeof i.release, "2.0~rc1");
    i.size = 123456;
    (void)snprintf(i.url, sizeof i.url, "/api/device/v1/bundles/abc");
    return i;
}

// The envelope of a signed part.
static void sign(const struct signer *s, struct slice signed_part, struct buf *ret) {
    struct err e = ERR_NONE;
    struct keys_envelope_signature signature;
    memcpy(signature.keyid, s->role.keys[0].id, sizeof signature.keyid);
    cr_assert_eq(keys_secret_sign(s->seed, signed_part, signature.sig, &e), 0, "%s", e.text);
    cr_assert_eq(keys_envelope_format(signed_part, &signature, 1, ret, &e), 0, "%s", e.text);
}

static int verify(const struct signer *s, struct slice raw, const char *device, uint64_t last,
                  int64_t now_s, struct bundle_instruction *ret, struct err *e) {
    struct bundle_instruction scratch;
    memset(&scratch, 0x5a, sizeof scratch);
    int got = bundle_instruction_verify(raw, &s->role, device, last, now_s, &scratch, e);
    if (got == 0) {
        *ret = scratch;
        return 0;
    }
    for (size_t i = 0; i < sizeof scratch; i++)
        cr_assert_eq(((unsigned char *)&scratch)[i], 0x5a, "output touched on failure");
    return got;
}

static void format_signed(const struct signer *s, const struct bundle_instruction *i,
                          struct buf *ret) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, BUNDLE_INSTRUCTION_MAX_BYTES);
    buf_init(ret, BUNDLE_INSTRUCTION_MAX_BYTES * 2);
    cr_assert_eq(bundle_instruction_format(i, &part, &e), 0, "%s", e.text);
    sign(s, buf_slice(&part), ret);
}

static void fails(const struct signer *s, struct slice raw, const char *device, uint64_t last,
                  int64_t now_s, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    struct bundle_instruction ignored;
    cr_assert_lt(verify(s, raw, device, last, now_s, &ignored, &e), 0, "accepted; wanted %s",
                 kind->name);
    cr_assert(err_is(&e, kind), "%s, wanted %s: %s", e.kind->name, kind->name, e.text);
}

Test(instruction, every_action_comes_back_as_it_was_written) {
    struct signer s = new_signer(1);
    for (enum bundle_action action = 0; action < BUNDLE_ACTIONS; action++) {
        struct bundle_instruction i = good(), back;
        i.action = action;
        OWN(buf) struct buf raw;
        format_signed(&s, &i, &raw);
        struct err e = ERR_NONE;
        cr_assert_eq(verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, &e), 0, "%s", e.text);
        if (action != BUNDLE_ACTION_INSTALL && action != BUNDLE_ACTION_PROBE) {
            i.size = 0;
            i.url[0] = '\0';
        }
        cr_assert_eq(back.header.version, 7);
        cr_assert_eq(back.header.issued_s, i.header.issued_s);
        cr_assert_eq(back.header.expires_s, i.header.expires_s);
        cr_assert_str_eq(back.device, i.device);
        cr_assert_eq(back.action, action);
        cr_assert_str_eq(back.rollout, i.rollout);
        cr_assert_eq(back.attempt, 2);
        cr_assert(keys_digest_equal(&back.bundle, &i.bundle));
        cr_assert_str_eq(back.bundle_name, i.bundle_name);
        cr_assert_str_eq(back.release, i.release);
        cr_assert_eq(back.size, i.size);
        cr_assert_str_eq(back.url, i.url);
        cr_assert_eq(back.delta.size, 0);
        cr_assert_not(back.budget.has_bytes || back.budget.has_metered_bytes);
    }
    keys_secret_free(s.seed);
}

// A good one with all that may be absent.
static struct bundle_instruction full(void) {
    struct bundle_instruction i = good();
    memset(i.delta.base.bytes, 0xcd, sizeof i.delta.base.bytes);
    i.delta.size = 4321;
    (void)snprintf(i.delta.url, sizeof i.delta.url, "https://cdn.example.org/a.delta");
    i.budget = (struct bundle_instruction_budget){
        .has_bytes = true, .has_metered_bytes = true, .bytes = 1000, .metered_bytes = 0};
    memset(i.mandate.id.bytes, 0xef, sizeof i.mandate.id.bytes);
    i.mandate.size = 2222;
    (void)snprintf(i.mandate.url, sizeof i.mandate.url, "/mandates/e.json");
    i.stage = 3;
    i.windows.download = (struct bundle_window_list){
        .n = 2, .list = {{1320, 360, BUNDLE_WINDOW_EVERY_DAY}, {0, 0, 0x41}}};
    i.windows.install =
        (struct bundle_window_list){.n = 1, .list = {{150, 240, BUNDLE_WINDOW_EVERY_DAY}}};
    return i;
}

static bool same_budget(const struct bundle_instruction_budget *a,
                        const struct bundle_instruction_budget *b) {
    return a->has_bytes == b->has_bytes && a->has_metered_bytes == b->has_metered_bytes &&
           a->bytes == b->bytes && a->metered_bytes == b->metered_bytes;
}

Test(instruction, a_delta_and_a_budget_come_back_as_they_were_written) {
    static const struct bundle_instruction_budget budgets[] = {
        {.bytes = 0},
        {.has_bytes = true, .bytes = 1},
        {.has_metered_bytes = true, .metered_bytes = 0},
        {.has_metered_bytes = true, .metered_bytes = 7},
        {.has_bytes = true, .has_metered_bytes = true, .bytes = 9, .metered_bytes = 0},
        {.has_bytes = true, .bytes = KEYS_VERSION_MAX},
    };
    struct signer s = new_signer(1);
    for (size_t n = 0; n < sizeof budgets / sizeof budgets[0]; n++) {
        struct bundle_instruction i = full(), back;
        struct err e = ERR_NONE;
        i.budget = budgets[n];
        OWN(buf) struct buf raw;
        format_signed(&s, &i, &raw);
        cr_assert_eq(verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, &e), 0, "%s", e.text);
        cr_assert(keys_digest_equal(&back.delta.base, &i.delta.base));
        cr_assert_eq(back.delta.size, 4321);
        cr_assert_str_eq(back.delta.url, i.delta.url);
        cr_assert(same_budget(&back.budget, &i.budget), "budget %zu", n);
    }
    keys_secret_free(s.seed);
}

Test(instruction, only_an_install_has_a_delta_and_a_budget) {
    struct signer s = new_signer(1);
    static const struct bundle_instruction_budget none;
    for (enum bundle_action action = 0; action < BUNDLE_ACTIONS; action++) {
        struct bundle_instruction i = full(), back;
        struct err e = ERR_NONE;
        i.action = action;
        OWN(buf) struct buf raw;
        format_signed(&s, &i, &raw);
        cr_assert_eq(strstr(buf_text(&raw), "delta") != NULL, action == BUNDLE_ACTION_INSTALL);
        cr_assert_eq(strstr(buf_text(&raw), "budget") != NULL, action == BUNDLE_ACTION_INSTALL);
        cr_assert_eq(verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, &e), 0, "%s", e.text);
        if (action != BUNDLE_ACTION_INSTALL) {
            cr_assert_eq(back.delta.size, 0);
            cr_assert(same_budget(&back.budget, &none));
        }
    }
    keys_secret_free(s.seed);
}

Test(instruction, what_brings_a_release_says_what_people_signed_for_and_when) {
    struct signer s = new_signer(1);
    for (enum bundle_action action = 0; action < BUNDLE_ACTIONS; action++) {
        struct bundle_instruction i = full(), back;
        struct err e = ERR_NONE;
        bool brings = action == BUNDLE_ACTION_INSTALL || action == BUNDLE_ACTION_ACTIVATE;
        i.action = action;
        OWN(buf) struct buf raw;
        format_signed(&s, &i, &raw);
        cr_assert_eq(strstr(buf_text(&raw), "mandate") != NULL, brings);
        cr_assert_eq(verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, &e), 0, "%s", e.text);
        cr_assert_eq(back.mandate.size, brings ? 2222 : 0);
        cr_assert_eq(back.stage, brings ? 3 : 0);
        cr_assert(!brings || keys_digest_equal(&back.mandate.id, &i.mandate.id));
        cr_assert(!brings || strcmp(back.mandate.url, i.mandate.url) == 0);
        bool waits = brings || action == BUNDLE_ACTION_SHAM;
        cr_assert_eq(strstr(buf_text(&raw), "windows") != NULL, waits);
        cr_assert_eq(back.windows.download.n, waits ? 2 : 0);
        cr_assert_eq(back.windows.install.n, waits ? 1 : 0);
        cr_assert_eq(back.windows.download.list[1].days, waits ? 0x41 : 0);
    }
    keys_secret_free(s.seed);
}

Test(instruction, the_written_form_is_the_documented_one) {
    struct bundle_instruction i = good();
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, BUNDLE_INSTRUCTION_MAX_BYTES);
    cr_assert_eq(bundle_instruction_format(&i, &part, &e), 0, "%s", e.text);
    cr_assert_str_eq(
        buf_text(&part),
        "{\"_type\":\"instruction\",\"action\":\"install\",\"attempt\":2,\"bundle\":{\"id\":"
        "\"abababababababababababababababababababababababababababababababab\",\"name\":"
        "\"vibration\","
        "\"release\":\"2.0~rc1\",\"size\":123456,\"url\":\"/api/device/v1/bundles/"
        "abc\"},\"device\":\"d-1\","
        "\"expires\":\"2027-01-15T09:00:00Z\",\"issued\":\"2027-01-15T07:59:00Z\",\"rollout\":"
        "\"spring\","
        "\"spec_version\":\"1.0\",\"version\":7}");
    i = full();
    buf_clear(&part);
    cr_assert_eq(bundle_instruction_format(&i, &part, &e), 0, "%s", e.text);
    cr_assert(strstr(buf_text(&part), "\"budget\":{\"bytes\":1000,\"metered_bytes\":0},"));
    cr_assert(strstr(buf_text(&part),
                     ",\"delta\":{\"base\":"
                     "\"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\","
                     "\"size\":4321,\"url\":\"https://cdn.example.org/a.delta\"},"));
    cr_assert(strstr(buf_text(&part),
                     ",\"mandate\":{\"id\":"
                     "\"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef\","
                     "\"size\":2222,\"url\":\"/mandates/e.json\"},\"rollout\""));
    cr_assert(strstr(buf_text(&part), ",\"stage\":3,"));
    cr_assert(strstr(buf_text(&part),
                     ",\"windows\":{\"download\":[{\"end\":\"06:00\",\"start\":\"22:00\"},"
                     "{\"days\":[\"sun\",\"sat\"],\"end\":\"00:00\",\"start\":\"00:00\"}],"
                     "\"install\":[{\"end\":\"04:00\",\"start\":\"02:30\"}]}"));
}

Test(instruction, anothers_replayed_and_expired_ones_are_refused) {
    struct signer s = new_signer(1), other = new_signer(2);
    struct bundle_instruction i = good(), back;
    OWN(buf) struct buf raw;
    format_signed(&s, &i, &raw);
    struct slice slice = buf_slice(&raw);
    fails(&s, slice, "d-2", 6, NOW_S, &err_wrong_device);
    fails(&s, slice, "d-11", 6, NOW_S, &err_wrong_device);
    fails(&s, slice, "d-", 6, NOW_S, &err_wrong_device);
    fails(&s, slice, "d-1", 7, NOW_S, &err_replayed);
    fails(&s, slice, "d-1", UINT64_MAX, NOW_S, &err_replayed);
    fails(&s, slice, "d-1", 6, NOW_S + 3600, &err_expired);
    fails(&other, slice, "d-1", 6, NOW_S, &err_below_threshold);
    struct err e = ERR_NONE;
    cr_assert_eq(verify(&s, slice, "d-1", 6, NOW_S + 3599, &back, &e), 0, "%s", e.text);
    keys_secret_free(s.seed);
    keys_secret_free(other.seed);
}

Test(instruction, any_flipped_bit_and_any_cut_is_refused) {
    struct signer s = new_signer(1);
    struct bundle_instruction i = good(), back;
    OWN(buf) struct buf raw;
    format_signed(&s, &i, &raw);
    for (size_t at = 0; at < raw.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct err e = ERR_NONE;
            raw.data[at] ^= (uint8_t)(1 << bit);
            cr_assert_lt(verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, &e), 0,
                         "byte %zu bit %d", at, bit);
            raw.data[at] ^= (uint8_t)(1 << bit);
        }
        struct err e = ERR_NONE;
        cr_assert_lt(verify(&s, (struct slice){raw.data, at}, "d-1", 6, NOW_S, &back, &e), 0,
                     "cut at %zu", at);
    }
    keys_secret_free(s.seed);
}

// Signs a good signed part with members changed, and says what becomes of it.
static int verify_patched(const char *path, json_t *value, struct err *e) {
    struct signer s = new_signer(1);
    struct bundle_instruction i = full(), back;
    OWN(buf) struct buf part, raw;
    buf_init(&part, BUNDLE_INSTRUCTION_MAX_BYTES);
    buf_init(&raw, 2 * BUNDLE_INSTRUCTION_MAX_BYTES);
    cr_assert_eq(bundle_instruction_format(&i, &part, e), 0);
    OWN(json) json_t *document = wire_json(buf_text(&part));
    char object[32];
    const char *dot = strchr(path, '.');
    (void)snprintf(object, sizeof object, "%.*s", dot ? (int)(dot - path) : 0, path);
    json_t *within = dot ? json_object_get(document, object) : document;
    const char *key = dot ? dot + 1 : path;
    if (value)
        json_object_set_new(within, key, value);
    else
        json_object_del(within, key);
    buf_clear(&part);
    cr_assert_eq(keys_canon_format(document, &part, e), 0, "%s", e->text);
    sign(&s, buf_slice(&part), &raw);
    int got = verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, e);
    keys_secret_free(s.seed);
    return got;
}

static void patched(const char *path, json_t *value, const struct err_kind *kind) {
    struct err e = ERR_NONE;
    int got = verify_patched(path, value, &e);
    cr_assert_eq(got < 0, kind != NULL, "%s: %s", path, got < 0 ? e.text : "accepted");
    cr_assert(!kind || err_is(&e, kind), "%s: %s, wanted %s: %s", path, e.kind->name, kind->name,
              e.text);
}

Test(instruction, a_signed_one_that_breaks_a_rule_is_refused) {
    patched("novelty", json_string("of a later protocol"), NULL);
    patched("bundle.novelty", json_integer(3), NULL);
    patched("action", json_string("reformat"), &err_unknown_action);
    patched("action", json_string(""), &err_unknown_action);
    patched("action", json_integer(1), &err_bad_message);
    patched("_type", json_string("bundle"), &err_wrong_type);
    patched("spec_version", json_string("2.0"), &err_newer_format);
    patched("version", json_integer(0), &err_bad_message);
    patched("expires", json_string("2027-01-15"), &err_bad_message);
    patched("expires", json_string("2026-01-15T07:59:00Z"), &err_bad_message);
    patched("device", json_integer(1), &err_bad_message);
    patched("attempt", json_integer(0), &err_bad_message);
    patched("rollout", json_string(""), NULL);
    patched("rollout", json_string("a/b"), &err_bad_message);
    patched("bundle", json_null(), &err_bad_message);
    patched("bundle.id", json_string("AB"), &err_bad_message);
    patched("bundle.size", json_integer(0), &err_bad_message);
    patched("bundle.size", NULL, &err_bad_message);
    patched("bundle.release", json_string("1\n2"), &err_bad_message);
    patched("mandate", NULL, NULL);
    patched("mandate", json_null(), NULL);
    patched("mandate", json_integer(1), &err_bad_message);
    patched("mandate", json_object(), &err_bad_message);
    patched("mandate.id", json_string(""), &err_bad_message);
    patched("mandate.size", json_integer(0), &err_bad_message);
    patched("mandate.url", NULL, &err_bad_message);
    patched("mandate.url", json_string("ftp://h/x"), &err_bad_message);
    patched("stage", NULL, NULL);
    patched("stage", json_string("3"), &err_bad_message);
    patched("delta", NULL, NULL);
    patched("delta", json_null(), NULL);
    patched("delta", json_object(), &err_bad_message);
    patched("delta", json_array(), &err_bad_message);
    patched("delta.novelty", json_integer(3), NULL);
    patched("delta.base", json_string("AB"), &err_bad_message);
    patched("delta.base", json_string(""), &err_bad_message);
    patched("delta.base", NULL, &err_bad_message);
    patched("delta.size", json_integer(0), &err_bad_message);
    patched("delta.size", NULL, &err_bad_message);
    patched("delta.url", NULL, &err_bad_message);
    patched("budget", NULL, NULL);
    patched("budget", json_null(), NULL);
    patched("budget", json_object(), NULL);
    patched("budget", json_integer(5), &err_bad_message);
    patched("budget.novelty", json_string("x"), NULL);
    patched("budget.bytes", NULL, NULL);
    patched("budget.bytes", json_null(), NULL);
    patched("budget.bytes", json_integer(0), &err_bad_message);
    patched("budget.bytes", json_string("12"), &err_bad_message);
    patched("budget.metered_bytes", NULL, NULL);
    patched("budget.metered_bytes", json_integer(0), NULL);
    patched("budget.metered_bytes", json_integer(-1), &err_bad_message);
    static const char *const missing[] = {"_type",          "action",    "attempt",   "bundle",
                                          "device",         "expires",   "issued",    "rollout",
                                          "spec_version",   "version",   "bundle.id", "bundle.name",
                                          "bundle.release", "bundle.url"};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        patched(missing[i], NULL, &err_bad_message);
}

Test(instruction, signed_windows_that_break_a_rule_are_refused) {
    patched("windows", NULL, NULL);
    patched("windows", json_null(), NULL);
    patched("windows", json_object(), NULL);
    patched("windows", json_array(), &err_bad_message);
    patched("windows.novelty", json_integer(3), NULL);
    patched("windows.download", NULL, NULL);
    patched("windows.install", json_string("22:00-06:00"), &err_bad_message);
    patched("windows.install", json_pack("[s]", "22:00-06:00"), &err_bad_message);
    patched("windows.install", json_pack("[{s:s}]", "start", "22:00"), &err_bad_message);
    patched("windows.install", json_pack("[{s:s, s:s}]", "start", "22:00", "end", "24:00"),
            &err_bad_message);
}

Test(instruction, urls_are_absolute_or_paths_on_the_controller) {
    static const char *const good_urls[] = {"/a", "http://h/x?y=%20#z",
                                            "https://cdn.example.org:8443/b.edge",
                                            "https://[2001:db8::1]/b"};
    static const char *const bad_urls[] = {
        "",        "a",         "//evil/x",    "ftp://h/x",    "file:///etc/passwd",
        "http://", "http:///x", "https://@h/", "http://h/a b", "http://h\\x",
        "/a\tb",   "HTTP://h/", "/\xc3\xa4",   "/a\x7f",       "javascript:1"};
    for (size_t i = 0; i < sizeof good_urls / sizeof good_urls[0]; i++)
        patched("bundle.url", json_string(good_urls[i]), NULL);
    for (size_t i = 0; i < sizeof good_urls / sizeof good_urls[0]; i++)
        patched("delta.url", json_string(good_urls[i]), NULL);
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++)
        patched("delta.url", json_string(bad_urls[i]), &err_bad_message);
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++)
        patched("bundle.url", json_string(bad_urls[i]), &err_bad_message);
}

static json_t *repeated(size_t n) {
    OWN(mem) char *text = wire_repeat('x', n);
    text[0] = '/';
    return json_string(text);
}

static json_t *windows(size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s}", "start", "01:00", "end", "02:00"));
    return list;
}

Test(instruction, ceilings_hold_exactly) {
    patched("bundle.url", repeated(BUNDLE_URL_MAX - 1), NULL);
    patched("bundle.url", repeated(BUNDLE_URL_MAX), NULL);
    patched("bundle.url", repeated(BUNDLE_URL_MAX + 1), &err_limit);
    patched("bundle.release", repeated(BUNDLE_RELEASE_MAX), NULL);
    patched("bundle.release", repeated(BUNDLE_RELEASE_MAX + 1), &err_limit);
    patched("bundle.size", json_integer((json_int_t)KEYS_VERSION_MAX), NULL);
    patched("bundle.size", json_integer((json_int_t)KEYS_VERSION_MAX + 1), &err_limit);
    patched("device", repeated(BUNDLE_DEVICE_ID_MAX + 1), &err_limit);
    patched("delta.url", repeated(BUNDLE_URL_MAX), NULL);
    patched("delta.url", repeated(BUNDLE_URL_MAX + 1), &err_limit);
    patched("delta.size", json_integer((json_int_t)KEYS_VERSION_MAX), NULL);
    patched("delta.size", json_integer((json_int_t)KEYS_VERSION_MAX + 1), &err_limit);
    patched("windows.download", windows(BUNDLE_WINDOWS_MAX), NULL);
    patched("windows.download", windows(BUNDLE_WINDOWS_MAX + 1), &err_limit);
    patched("mandate.size", json_integer(BUNDLE_MANDATE_MAX_BYTES), NULL);
    patched("mandate.size", json_integer(BUNDLE_MANDATE_MAX_BYTES + 1), &err_limit);
    patched("budget.bytes", json_integer((json_int_t)KEYS_VERSION_MAX), NULL);
    patched("budget.bytes", json_integer((json_int_t)KEYS_VERSION_MAX + 1), &err_limit);
    patched("budget.metered_bytes", json_integer((json_int_t)KEYS_VERSION_MAX + 1), &err_limit);

    struct signer s = new_signer(1);
    struct bundle_instruction i = good(), back;
    struct err e = ERR_NONE;
    OWN(buf) struct buf raw;
    format_signed(&s, &i, &raw);
    while (raw.len < BUNDLE_INSTRUCTION_MAX_BYTES)
        cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
    cr_assert_eq(verify(&s, buf_slice(&raw), "d-1", 6, NOW_S, &back, &e), 0, "%s", e.text);
    cr_assert_eq(buf_add(&raw, " ", 1, &e), 0);
    fails(&s, buf_slice(&raw), "d-1", 6, NOW_S, &err_limit);
    keys_secret_free(s.seed);
}

Test(instruction, what_a_device_would_refuse_is_not_written) {
    struct err e = ERR_NONE;
    OWN(buf) struct buf part;
    buf_init(&part, BUNDLE_INSTRUCTION_MAX_BYTES);
    struct bundle_instruction i = good();
    (void)snprintf(i.url, sizeof i.url, "relative");
    cr_assert_lt(bundle_instruction_format(&i, &part, &e), 0);
    cr_assert(err_is(&e, &err_bad_message), "%s", e.text);
    cr_assert_eq(part.len, 0);
    err_clear(&e);
    i = good();
    i.attempt = 0;
    cr_assert_lt(bundle_instruction_format(&i, &part, &e), 0);
    err_clear(&e);
    i = good();
    i.header.expires_s = i.header.issued_s;
    cr_assert_lt(bundle_instruction_format(&i, &part, &e), 0);
    err_clear(&e);
    i = full();
    (void)snprintf(i.delta.url, sizeof i.delta.url, "relative");
    cr_assert_lt(bundle_instruction_format(&i, &part, &e), 0);
    cr_assert(err_is(&e, &err_bad_message), "%s", e.text);
    err_clear(&e);
    i = full();
    i.budget.bytes = 0;
    cr_assert_lt(bundle_instruction_format(&i, &part, &e), 0);
    cr_assert(err_is(&e, &err_bad_message), "%s", e.text);
    err_clear(&e);
    i = good();
    i.device[0] = '\0';
    cr_assert_lt(bundle_instruction_format(&i, &part, &e), 0);
}
