// SPDX-License-Identifier: Apache-2.0
//
// Challenges: 8 bytes time, 8 random, 16 of a MAC over both.
#include "ctl/serve/challenge.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "ctl/kind.h"
#include "keys/digest.h"

#define BODY_BYTES 16
#define ALL_BYTES  32

struct used {
    int64_t at_ms;
    uint8_t body[BODY_BYTES];
    uint32_t older; // slot + 1 of the one noted before it in its chain; 0: none
};

struct serve_challenges {
    pthread_mutex_t lock;
    uint8_t key[32];
    struct used *used; // a ring in order of use; grows up to its ceiling
    uint32_t *newest;  // [capacity]: slot + 1 of the newest of each chain; 0: none
    size_t first, n, capacity;
    uint64_t n_compared;
};

int serve_challenge_open(struct serve_challenges **ret, struct err *e) {
    struct serve_challenges *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(e, &err_memory, "starting: out of memory");
    (void)pthread_mutex_init(&c->lock, NULL);
    random_fill(c->key, sizeof c->key);
    *ret = c;
    return 0;
}

void serve_challenge_close(struct serve_challenges *c) {
    if (c == NULL)
        return;
    (void)pthread_mutex_destroy(&c->lock);
    free(c->used);
    free(c->newest);
    free(c);
}

static void seal(const struct serve_challenges *c, uint8_t bytes[static ALL_BYTES]) {
    struct keys_digest mac;
    keys_digest_keyed(c->key, sizeof c->key, bytes, BODY_BYTES, &mac);
    memcpy(bytes + BODY_BYTES, mac.bytes, ALL_BYTES - BODY_BYTES);
}

void serve_challenge_make(struct serve_challenges *c, int64_t now_ms,
                          char ret[static BUNDLE_CHALLENGE_HEX]) {
    uint8_t bytes[ALL_BYTES];
    memcpy(bytes, &now_ms, sizeof now_ms);
    random_fill(bytes + sizeof now_ms, BODY_BYTES - sizeof now_ms);
    seal(c, bytes);
    text_hex(bytes, sizeof bytes, ret);
}

static bool differ(const uint8_t *a, const uint8_t *b, size_t len) {
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++)
        bits |= (unsigned)a[i] ^ b[i];
    return bits != 0;
}

// The random bytes are ours and under the MAC: nobody can choose them so that chains get long.
static uint32_t *chain(struct serve_challenges *c, const uint8_t *body) {
    uint64_t random = 0;
    memcpy(&random, body + sizeof(int64_t), sizeof random);
    return &c->newest[random % c->capacity];
}

static void add(struct serve_challenges *c, const uint8_t *body, int64_t at_ms) {
    size_t slot = (c->first + c->n++) % c->capacity;
    uint32_t *newest = chain(c, body);
    c->used[slot] = (struct used){.at_ms = at_ms, .older = *newest};
    memcpy(c->used[slot].body, body, BODY_BYTES);
    *newest = (uint32_t)slot + 1;
}

// The oldest of all is the last of its chain.
static void drop_oldest(struct serve_challenges *c) {
    uint32_t *at = chain(c, c->used[c->first].body);
    while (*at != c->first + 1)
        at = &c->used[*at - 1].older;
    *at = 0;
    c->first = (c->first + 1) % c->capacity;
    c->n--;
}

static bool is_used(struct serve_challenges *c, const uint8_t *body) {
    if (c->n == 0)
        return false;
    for (uint32_t at = *chain(c, body); at != 0; at = c->used[at - 1].older) {
        c->n_compared++;
        if (memcmp(c->used[at - 1].body, body, BODY_BYTES) == 0)
            return true;
    }
    return false;
}

static int grow(struct serve_challenges *c, struct err *e) {
    struct serve_challenges old = *c;
    size_t capacity = c->capacity == 0 ? 256 : c->capacity * 2;
    if (capacity > SERVE_CHALLENGE_USED_MAX)
        return err_set(e, &err_overloaded, "too many devices sign in at the same time");
    struct used *used = malloc(capacity * sizeof *used);
    uint32_t *newest = calloc(capacity, sizeof *newest);
    if (used == NULL || newest == NULL) {
        free(used);
        free(newest);
        return err_set(e, &err_memory, "noting a challenge: out of memory");
    }
    c->used = used;
    c->newest = newest;
    c->capacity = capacity;
    c->first = c->n = 0;
    for (size_t i = 0; i < old.n; i++) {
        const struct used *one = &old.used[(old.first + i) % old.capacity];
        add(c, one->body, one->at_ms);
    }
    free(old.used);
    free(old.newest);
    return 0;
}

// Notes it as used. Under the lock.
static int note(struct serve_challenges *c, const uint8_t *body, int64_t now_ms, struct err *e) {
    while (c->n > 0 && now_ms - c->used[c->first].at_ms > SERVE_CHALLENGE_S * 1000LL)
        drop_oldest(c);
    if (is_used(c, body))
        return err_set(e, &err_unauthorized, "the challenge was used already: get a new one");
    if (c->n == c->capacity && grow(c, e) < 0)
        return -1;
    add(c, body, now_ms);
    return 0;
}

// The bytes of one that was made here and is not too old.
static int unseal(const struct serve_challenges *c, const char *challenge, int64_t now_ms,
                  uint8_t given[static ALL_BYTES], struct err *e) {
    uint8_t made[ALL_BYTES];
    int64_t at_ms = 0;
    struct err ignored = ERR_NONE;
    if (text_unhex(challenge, given, ALL_BYTES, "challenge", &ignored) < 0)
        return err_set(e, &err_unauthorized, "the challenge is not one of this controller's");
    memcpy(made, given, BODY_BYTES);
    seal(c, made);
    memcpy(&at_ms, given, sizeof at_ms);
    if (differ(given, made, ALL_BYTES))
        return err_set(e, &err_unauthorized,
                       "the challenge is not one of this controller's: get a new one");
    if (now_ms - at_ms > SERVE_CHALLENGE_S * 1000LL || now_ms < at_ms)
        return err_set(e, &err_unauthorized, "the challenge has expired: get a new one");
    return 0;
}

int serve_challenge_check(const struct serve_challenges *c, const char *challenge, int64_t now_ms,
                          struct err *e) {
    uint8_t given[ALL_BYTES];
    return unseal(c, challenge, now_ms, given, e);
}

int serve_challenge_use(struct serve_challenges *c, const char *challenge, int64_t now_ms,
                        struct err *e) {
    uint8_t given[ALL_BYTES];
    if (unseal(c, challenge, now_ms, given, e) < 0)
        return -1;
    (void)pthread_mutex_lock(&c->lock);
    int done = note(c, given, now_ms, e);
    (void)pthread_mutex_unlock(&c->lock);
    return done;
}

uint64_t serve_challenge_compared(struct serve_challenges *c) {
    (void)pthread_mutex_lock(&c->lock);
    uint64_t n = c->n_compared;
    (void)pthread_mutex_unlock(&c->lock);
    return n;
}
