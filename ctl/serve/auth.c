// SPDX-License-Identifier: Apache-2.0
//
// Tokens of devices, identities of people.
#include "ctl/serve/auth.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "bundle/predicate.h"
#include "ctl/kind.h"
#include "ctl/serve/route.h"
#include "ctl/serve/server.h"

#define DEVICE_PREFIX "edge-dv-"

static int check_row(const struct serve_call *call, struct err *e) {
    const struct serve_route *route = call->route;
    const struct serve_identity *who = &call->who;
    if (!(route->roles & SERVE_ROUTE_ROLE(who->role)))
        return err_set(e, &err_permission, "the token %s has the role %s, which may not do this",
                       who->name, store_token_roles[who->role]);
    if (route->fleet_wide && who->selector[0] != '\0')
        return err_set(e, &err_permission,
                       "the token %s is limited to a part of the fleet; this concerns all of it",
                       who->name);
    return 0;
}

int serve_auth_operator(struct store_db *db, struct serve_call *call, struct err *e) {
    struct store_token token;
    int64_t now_s = serve_call_now_s(call);
    if (call->bearer[0] == '\0')
        return err_set(e, &err_unauthorized,
                       "no token: send the header \"Authorization: Bearer TOKEN\"");
    int found = store_token_find(db, call->bearer, &token, e);
    if (found < 0)
        return -1;
    bool holds = found == 0 && token.kind == STORE_TOKEN_OPERATOR && token.revoked_s == 0 &&
                 (token.expires_s == 0 || now_s < token.expires_s) && token.role < STORE_ROLES;
    if (holds) {
        (void)snprintf(call->who.name, sizeof call->who.name, "%s", token.name);
        (void)snprintf(call->who.selector, sizeof call->who.selector, "%s", token.selector);
        call->who.role = token.role;
        call->who.expires_s = token.expires_s;
    }
    if (found == 0)
        store_token_clear(&token);
    if (!holds)
        return err_set(e, &err_unauthorized, "the token is unknown, expired or revoked");
    if (check_row(call, e) < 0)
        return -1;
    if (call->who.selector[0] == '\0' || call->who.predicate != NULL)
        return 0;
    return bundle_predicate_parse(call->who.selector, &call->who.predicate, e);
}

static void mac(const struct serve_server *server, const char *device, const char *expires,
                const char *epoch, char ret[static KEYS_DIGEST_HEX]) {
    char text[BUNDLE_TOKEN_MAX];
    struct keys_digest digest;
    int len = snprintf(text, sizeof text, "device-token\n%s\n%s\n%s", expires, epoch, device);
    keys_digest_keyed(server->token_key, sizeof server->token_key, text, (size_t)len, &digest);
    (void)keys_digest_hex(&digest, ret);
}

void serve_auth_make_token(const struct serve_server *server, const char *device, uint64_t epoch,
                           int64_t expires_s, char ret[static BUNDLE_TOKEN_MAX + 1]) {
    char expires[24], number[24], hex[KEYS_DIGEST_HEX];
    (void)snprintf(expires, sizeof expires, "%" PRId64, expires_s);
    (void)snprintf(number, sizeof number, "%" PRIu64, epoch);
    mac(server, device, expires, number, hex);
    (void)snprintf(ret, BUNDLE_TOKEN_MAX + 1, DEVICE_PREFIX "%s-%s-%s-%s", expires, number, hex,
                   device);
}

// Takes the text up to the next '-' out of *at. False when it is not there or too long.
static bool field(const char **at, char *ret, size_t ret_bytes) {
    const char *end = strchr(*at, '-');
    size_t len = end == NULL ? 0 : (size_t)(end - *at);
    if (end == NULL || len == 0 || len >= ret_bytes)
        return false;
    memcpy(ret, *at, len);
    ret[len] = '\0';
    *at = end + 1;
    return true;
}

int serve_auth_read_token(const struct serve_server *server, const char *token, int64_t now_s,
                          struct serve_auth_device *ret, struct err *e) {
    char expires[24], epoch[24], given[KEYS_DIGEST_HEX], wanted[KEYS_DIGEST_HEX];
    const char *at = token + strlen(DEVICE_PREFIX);
    struct keys_digest a, b;
    uint64_t expires_s = 0;
    struct err ignored = ERR_NONE;
    struct serve_auth_device device = {.epoch = 0};
    if (strncmp(token, DEVICE_PREFIX, strlen(DEVICE_PREFIX)) != 0 ||
        !field(&at, expires, sizeof expires) || !field(&at, epoch, sizeof epoch) ||
        !field(&at, given, sizeof given) || !text_is_name(at, BUNDLE_DEVICE_ID_MAX) ||
        num_parse_u64(expires, "expiry", 0, INT64_MAX, &expires_s, &ignored) < 0 ||
        num_parse_u64(epoch, "epoch", 0, INT64_MAX, &device.epoch, &ignored) < 0 ||
        keys_digest_parse(given, "MAC", &a, &ignored) < 0)
        return err_set(e, &err_unauthorized, "no valid device token: get a new one");
    mac(server, at, expires, epoch, wanted);
    if (keys_digest_parse(wanted, "MAC", &b, &ignored) < 0 || !keys_digest_equal(&a, &b))
        return err_set(e, &err_unauthorized, "no valid device token: get a new one");
    if (now_s >= (int64_t)expires_s)
        return err_set(e, &err_unauthorized, "the device token has expired: get a new one");
    (void)snprintf(device.id, sizeof device.id, "%s", at);
    *ret = device;
    return 0;
}
