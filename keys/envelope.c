// SPDX-License-Identifier: Apache-2.0
//
// Envelopes: taken apart by a scanner that knows one shape, verified as raw bytes, put together.
// The scanner stands between the network and everything else, so it looks at each byte before
// `signed` once, keeps no state but its position, allocates nothing and calls no parser.
#include "keys/envelope.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/num.h"
#include "base/text.h"
#include "keys/kind.h"

static_assert(KEYS_ROLE_KEYS_MAX <= 32, "verify() marks the keys it has seen in 32 bits");

#define SIGNATURE_HEX (2 * KEYS_ED25519_SIGNATURE_BYTES)
#define SHOWN_KEYS    6 // named in an error
#define SHORT_ID      8 // digits of a key id that a person compares

// ── Taking apart ─────────────────────────────────────────────────────────────────────────────────

struct scan {
    const uint8_t *data;
    size_t at;
    size_t end; // behind the last byte that is not a space
    const char *what;
};

static int truncated(const struct scan *scan, struct err *e) {
    return err_set(e, &err_syntax, "%s: the envelope ends early, at byte %zu", scan->what,
                   scan->end);
}

static int expect(struct scan *scan, const char *text, struct err *e) {
    for (; *text; text++, scan->at++) {
        if (scan->at == scan->end)
            return truncated(scan, e);
        if (scan->data[scan->at] != (uint8_t)*text)
            return err_set(e, &err_not_canonical,
                           "%s: not an envelope in canonical form: byte %zu should be '%c'",
                           scan->what, scan->at, *text);
    }
    return 0;
}

// A string of exactly `digits` lower-case hex digits and the quote that ends it; *ret borrows the
// digits.
static int expect_hex(struct scan *scan, size_t digits, const char *name, const char **ret,
                      struct err *e) {
    size_t start = scan->at;
    while (scan->at < scan->end && scan->data[scan->at] != '"') {
        uint8_t c = scan->data[scan->at];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return err_set(e, &err_syntax, "%s: %s: byte %zu is not a lower-case hex digit",
                           scan->what, name, scan->at);
        if (scan->at - start == digits)
            return err_set(e, &err_syntax, "%s: %s at byte %zu is longer than %zu hex digits",
                           scan->what, name, start, digits);
        scan->at++;
    }
    if (scan->at == scan->end)
        return truncated(scan, e);
    if (scan->at - start != digits)
        return err_set(e, &err_syntax, "%s: %s at byte %zu has %zu hex digits, not %zu", scan->what,
                       name, start, scan->at - start, digits);
    scan->at++;
    *ret = (const char *)scan->data + start;
    return 0;
}

static int scan_signature(struct scan *scan, struct keys_envelope_signature *ret, struct err *e) {
    const char *keyid = NULL;
    const char *sig = NULL;
    if (expect(scan, "{\"keyid\":\"", e) < 0 ||
        expect_hex(scan, KEYS_ID_HEX - 1, "keyid", &keyid, e) < 0 ||
        expect(scan, ",\"sig\":\"", e) < 0 || expect_hex(scan, SIGNATURE_HEX, "sig", &sig, e) < 0 ||
        expect(scan, "}", e) < 0)
        return -1;
    memcpy(ret->keyid, keyid, KEYS_ID_HEX - 1);
    ret->keyid[KEYS_ID_HEX - 1] = 0;
    char digits[SIGNATURE_HEX + 1];
    memcpy(digits, sig, SIGNATURE_HEX);
    digits[SIGNATURE_HEX] = 0;
    return text_unhex(digits, ret->sig, sizeof ret->sig, scan->what, e);
}

// The list between "[" and "]". Ids must rise: the same signatures are always the same bytes, and
// no key stands twice.
static int scan_signatures(struct scan *scan, struct keys_envelope_candidate *ret, struct err *e) {
    ret->n_signatures = 0;
    while (scan->at < scan->end && scan->data[scan->at] != ']') {
        size_t n = ret->n_signatures;
        if (n == KEYS_ENVELOPE_SIGNATURES_MAX)
            return err_set(e, &err_limit, "%s: more than %d signatures", scan->what,
                           KEYS_ENVELOPE_SIGNATURES_MAX);
        if (n > 0 && expect(scan, ",", e) < 0)
            return -1;
        if (scan_signature(scan, &ret->signatures[n], e) < 0)
            return -1;
        if (n > 0 && strcmp(ret->signatures[n - 1].keyid, ret->signatures[n].keyid) >= 0)
            return err_set(
                e, &err_not_canonical,
                "%s: signatures are not in the order of their key ids, or key %.*s signs "
                "twice",
                scan->what, SHORT_ID, ret->signatures[n].keyid);
        ret->n_signatures++;
    }
    return expect(scan, "]", e);
}

int keys_envelope_split(struct slice raw, const char *what, struct keys_envelope_candidate *ret,
                        struct err *e) {
    struct scan scan = {.data = raw.data, .end = raw.len, .what = what};
    while (scan.end > 0 && raw.data[scan.end - 1] == ' ')
        scan.end--;
    if (scan.end == 0)
        return err_set(e, &err_syntax, "%s: empty", what);
    struct keys_envelope_candidate candidate;
    if (expect(&scan, "{\"signatures\":[", e) < 0 || scan_signatures(&scan, &candidate, e) < 0 ||
        expect(&scan, ",\"signed\":", e) < 0)
        return -1;
    // What is signed is everything up to the brace that ends the envelope; it is an object itself.
    if (scan.end - scan.at < 3)
        return truncated(&scan, e);
    if (raw.data[scan.end - 1] != '}' || raw.data[scan.end - 2] != '}' || raw.data[scan.at] != '{')
        return err_set(e, &err_syntax,
                       "%s: the envelope does not end with a signed object and spaces alone", what);
    candidate.signed_part = (struct slice){raw.data + scan.at, scan.end - 1 - scan.at};
    *ret = candidate;
    return 0;
}

// ── Verifying ────────────────────────────────────────────────────────────────────────────────────

static const struct keys_pub *find_key(const struct keys_role *role, const char *id,
                                       size_t *ret_index) {
    for (size_t i = 0; i < role->n_keys; i++) {
        if (strcmp(role->keys[i].id, id) == 0) {
            *ret_index = i;
            return &role->keys[i];
        }
    }
    return NULL;
}

// A role is a promise only if its threshold can be met by different keys. Roots are read so that it
// can; roles that a program puts together from key files come through here as well.
static int check_role(const struct keys_role *role, const char *what, struct err *e) {
    if (role->n_keys > KEYS_ROLE_KEYS_MAX || role->threshold == 0 || role->threshold > role->n_keys)
        return err_set(e, &err_below_threshold,
                       "%s: its role asks for %zu of %zu keys, which can never be shown", what,
                       role->threshold, role->n_keys);
    for (size_t i = 0; i < role->n_keys; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(role->keys[i].id, role->keys[j].id) == 0 ||
                memcmp(role->keys[i].ed25519, role->keys[j].ed25519, KEYS_ED25519_PUBLIC_BYTES) ==
                    0)
                return err_set(e, &err_below_threshold,
                               "%s: its role lists one key twice, as %.*s and %.*s", what, SHORT_ID,
                               role->keys[i].id, SHORT_ID, role->keys[j].id);
    return 0;
}

struct names {
    char text[SHOWN_KEYS * (SHORT_ID + 2) + 8];
    size_t n;
};

static void add_name(struct names *names, const char *id) {
    if (names->n < SHOWN_KEYS) {
        size_t used = strlen(names->text);
        (void)snprintf(names->text + used, sizeof names->text - used, "%s%.*s",
                       names->n > 0 ? ", " : "", SHORT_ID, id);
    } else if (names->n == SHOWN_KEYS) {
        size_t used = strlen(names->text);
        (void)snprintf(names->text + used, sizeof names->text - used, ", …");
    }
    names->n++;
}

static int below_threshold(const struct keys_role *role, uint32_t seen, size_t n_foreign,
                           const char *what, struct err *e) {
    struct names have = {.n = 0};
    struct names lack = {.n = 0};
    for (size_t i = 0; i < role->n_keys; i++)
        add_name(seen >> i & 1 ? &have : &lack, role->keys[i].id);
    return err_set(
        e, &err_below_threshold,
        "%s: signed by %zu of the %zu keys it needs (%s); %zu more of %s have to sign it; "
        "signatures by other keys: %zu",
        what, have.n, role->threshold, have.n > 0 ? have.text : "none", role->threshold - have.n,
        lack.text, n_foreign);
}

int keys_envelope_verify(const struct keys_envelope_candidate *candidate, const char *what,
                         const struct keys_role *role, struct keys_envelope *ret, struct err *e) {
    if (check_role(role, what, e) < 0)
        return -1;
    assert(candidate->n_signatures <= KEYS_ENVELOPE_SIGNATURES_MAX);
    uint32_t seen = 0;
    size_t n_seen = 0;
    size_t n_foreign = 0;
    for (size_t i = 0; i < candidate->n_signatures; i++) {
        const struct keys_envelope_signature *signature = &candidate->signatures[i];
        size_t index = 0;
        const struct keys_pub *key = find_key(role, signature->keyid, &index);
        if (!key) {
            n_foreign++;
            continue;
        }
        if (seen >> index & 1)
            return err_set(e, &err_bad_signature, "%s: key %.*s signs twice", what, SHORT_ID,
                           key->id);
        if (!keys_pub_verify(key, candidate->signed_part, signature->sig))
            return err_set(
                e, &err_bad_signature,
                "%s: the signature by key %.*s does not match; it was damaged or changed "
                "after signing",
                what, SHORT_ID, key->id);
        seen |= UINT32_C(1) << index;
        n_seen++;
    }
    if (n_seen < role->threshold)
        return below_threshold(role, seen, n_foreign, what, e);
    *ret = (struct keys_envelope){.signed_part = candidate->signed_part};
    return 0;
}

// ── The head of every signed part ────────────────────────────────────────────────────────────────

// "1.0" or "1.0.31": one major is known, a higher one was written by something newer.
static int check_spec_version(const struct doc_at *signed_part, unsigned known, struct err *e) {
    const char *text = NULL;
    if (doc_string(signed_part, "spec_version", 16, &text, e) < 0)
        return -1;
    size_t parts = 0;
    uint64_t major = 0;
    for (const char *at = text; parts < 4; at++) {
        char digits[16] = "";
        uint64_t number = 0;
        struct err why = ERR_NONE;
        size_t len = strcspn(at, ".");
        memcpy(digits, at, len);
        if (num_parse_u64(digits, "spec_version", 0, 9999, &number, &why) < 0)
            break;
        if (parts++ == 0)
            major = number;
        at += len;
        if (*at == 0) {
            if (parts < 2 || parts > 3 || major < known)
                break;
            if (major == known)
                return 0;
            return err_set(e, &err_newer_format,
                           "%s.spec_version: %s is newer than the %u.x known here",
                           signed_part->path, text, known);
        }
    }
    char shown[32];
    return err_set(e, &err_syntax, "%s.spec_version: \"%s\" is not like \"%u.0\"",
                   signed_part->path, text_safe(text, shown, sizeof shown), known);
}

static int read_time(const struct doc_at *at, const char *member, int64_t *ret_s, struct err *e) {
    const char *text = NULL;
    if (doc_string(at, member, CHRONO_TEXT_BYTES, &text, e) < 0)
        return -1;
    if (chrono_parse(text, member, ret_s, e) < 0)
        return err_prefix(e, "%s", at->path);
    return 0;
}

int keys_envelope_header(const struct doc_at *signed_part, const char *type,
                         struct keys_header *ret, struct err *e) {
    return keys_envelope_header_of(signed_part, type, 1, ret, e);
}

int keys_envelope_header_of(const struct doc_at *signed_part, const char *type, unsigned major,
                            struct keys_header *ret, struct err *e) {
    const char *found = NULL;
    if (doc_string(signed_part, "_type", 256, &found, e) < 0)
        return -1;
    if (strcmp(found, type) != 0) {
        char shown[80];
        return err_set(e, &err_wrong_type, "%s: its _type is \"%s\", \"%s\" is expected here",
                       signed_part->path, text_safe(found, shown, sizeof shown), type);
    }
    struct keys_header header;
    if (check_spec_version(signed_part, major, e) < 0 ||
        doc_u64(signed_part, "version", 1, KEYS_VERSION_MAX, &header.version, e) < 0 ||
        read_time(signed_part, "issued", &header.issued_s, e) < 0 ||
        read_time(signed_part, "expires", &header.expires_s, e) < 0)
        return -1;
    if (header.expires_s <= header.issued_s)
        return err_set(e, &err_syntax, "%s: it expires before or when it was issued",
                       signed_part->path);
    *ret = header;
    return 0;
}

int keys_envelope_check_expiry(const struct keys_header *header, const char *what, int64_t now_s,
                               struct err *e) {
    if (now_s < header->expires_s)
        return 0;
    char expired[CHRONO_TEXT_BYTES];
    char now[CHRONO_TEXT_BYTES];
    return err_set(e, &err_expired, "%s: expired at %s, and it is %s", what,
                   chrono_format(header->expires_s, expired), chrono_format(now_s, now));
}

// ── Putting together ─────────────────────────────────────────────────────────────────────────────

static void sort_by_key(const struct keys_envelope_signature *signatures, size_t n,
                        const struct keys_envelope_signature **ret) {
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(ret[at - 1]->keyid, signatures[i].keyid) > 0; at--)
            ret[at] = ret[at - 1];
        ret[at] = &signatures[i];
    }
}

static int add_signatures(const struct keys_envelope_signature *const *sorted, size_t n,
                          struct buf *ret, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        char hex[SIGNATURE_HEX + 1];
        text_hex(sorted[i]->sig, sizeof sorted[i]->sig, hex);
        if (buf_add_format(ret, e, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}", i > 0 ? "," : "",
                           sorted[i]->keyid, hex) < 0)
            return -1;
    }
    return 0;
}

int keys_envelope_format(struct slice signed_part, const struct keys_envelope_signature *signatures,
                         size_t n, struct buf *ret, struct err *e) {
    const struct keys_envelope_signature *sorted[KEYS_ENVELOPE_SIGNATURES_MAX];
    if (n > KEYS_ENVELOPE_SIGNATURES_MAX)
        return err_set(e, &err_limit, "%zu signatures; an envelope holds at most %d", n,
                       KEYS_ENVELOPE_SIGNATURES_MAX);
    if (signed_part.len < 2 || signed_part.data[0] != '{' ||
        signed_part.data[signed_part.len - 1] != '}')
        return err_set(e, &err_not_canonical,
                       "what is signed has to be an object in canonical form");
    sort_by_key(signatures, n, sorted);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->keyid, sorted[i]->keyid) == 0)
            return err_set(e, &err_not_canonical, "key %.*s signs twice", SHORT_ID,
                           sorted[i]->keyid);
    size_t before = ret->len;
    if (buf_add_text(ret, "{\"signatures\":[", e) < 0 || add_signatures(sorted, n, ret, e) < 0 ||
        buf_add_text(ret, "],\"signed\":", e) < 0 ||
        buf_add(ret, signed_part.data, signed_part.len, e) < 0 || buf_add(ret, "}", 1, e) < 0) {
        if (ret->len > before) {
            ret->len = before; // only what was appended here is taken back
            ret->data[before] = 0;
        }
        return -1;
    }
    return 0;
}
