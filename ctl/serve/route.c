// SPDX-License-Identifier: Apache-2.0
//
// The table of requests.
#include "ctl/serve/route.h"

#include <assert.h>
#include <string.h>

#include "ctl/serve/checkin.h"
#include "ctl/serve/devices.h"
#include "ctl/serve/download.h"
#include "ctl/serve/dry.h"
#include "ctl/serve/enroll.h"
#include "ctl/serve/plan.h"
#include "ctl/serve/publish.h"
#include "ctl/serve/repository.h"
#include "ctl/serve/rollout_behind.h"
#include "ctl/serve/rollout_why.h"
#include "ctl/serve/rollouts.h"
#include "ctl/serve/tokens.h"
#include "ctl/serve/watch.h"

#define VIEWER    SERVE_ROUTE_ROLE(STORE_ROLE_VIEWER)
#define PUBLISHER SERVE_ROUTE_ROLE(STORE_ROLE_PUBLISHER)
#define DEPLOYER  SERVE_ROUTE_ROLE(STORE_ROLE_DEPLOYER)
#define OPERATOR  SERVE_ROUTE_ROLE(STORE_ROLE_OPERATOR)
#define ADMIN     SERVE_ROUTE_ROLE(STORE_ROLE_ADMIN)
#define ANYONE    (VIEWER | PUBLISHER | DEPLOYER | OPERATOR | ADMIN)

#define API    "/api/v1"
#define DEVICE "/api/device/v1"

static const char *const by_name[] = {"name", NULL};
static const char *const page[] = {"after", "limit", "selector", "state", NULL};
static const char *const by_selector[] = {"selector", NULL};
static const char *const news[] = {"after", "wait_s", "limit", NULL};
static const char *const rows[] = {"after", "limit", NULL};

// clang-format off
#define READ(path, who, wide, params, fn)                                                          \
    {.method = SERVE_GET, .pattern = API path, .access = SERVE_ACCESS_OPERATOR, .roles = (who),    \
     .fleet_wide = (wide), .query = (params), .run = (fn)}
#define WRITE(path, who, wide, fn)                                                                 \
    {.method = SERVE_POST, .pattern = API path, .access = SERVE_ACCESS_OPERATOR, .roles = (who),   \
     .fleet_wide = (wide), .body = SERVE_BODY_JSON, .run = (fn)}
#define DELETE(path, who, wide, fn)                                                                \
    {.method = SERVE_DELETE, .pattern = API path, .access = SERVE_ACCESS_OPERATOR, .roles = (who), \
     .fleet_wide = (wide), .run = (fn)}

const struct serve_route serve_route_table[] = {
    READ("/whoami", ANYONE, false, NULL, serve_tokens_whoami),
    READ("/releases", ANYONE, false, by_name, serve_rollouts_list_releases),
    {.method = SERVE_POST, .pattern = API "/releases", .access = SERVE_ACCESS_OPERATOR,
     .roles = PUBLISHER | ADMIN, .fleet_wide = true, .body = SERVE_BODY_FILE,
     .take = serve_publish_take, .run = serve_publish_run},
    {.method = SERVE_POST, .pattern = API "/deltas", .access = SERVE_ACCESS_OPERATOR,
     .roles = PUBLISHER | ADMIN, .fleet_wide = true, .body = SERVE_BODY_FILE,
     .take = serve_publish_take_delta, .run = serve_publish_run_delta},
    READ("/releases/{}/{}", ANYONE, false, NULL, serve_rollouts_show_release),
    READ("/devices", ANYONE, false, page, serve_devices_list),
    READ("/devices/{}", ANYONE, false, NULL, serve_devices_show),
    DELETE("/devices/{}", OPERATOR | ADMIN, false, serve_devices_remove),
    READ("/devices/{}/why", ANYONE, false, NULL, serve_devices_why),
    WRITE("/devices/{}/accept", OPERATOR | ADMIN, false, serve_devices_accept),
    WRITE("/devices/{}/reject", OPERATOR | ADMIN, false, serve_devices_reject),
    WRITE("/devices/{}/retire", OPERATOR | ADMIN, false, serve_devices_retire),
    WRITE("/devices/{}/label", OPERATOR | ADMIN, false, serve_devices_label),
    WRITE("/devices/{}/pin", OPERATOR | ADMIN, false, serve_devices_pin),
    WRITE("/devices/{}/hold", OPERATOR | ADMIN, false, serve_devices_hold),
    WRITE("/devices/{}/replace", OPERATOR | ADMIN, false, serve_devices_replace),
    READ("/tokens", ADMIN, true, NULL, serve_tokens_list),
    WRITE("/tokens", ADMIN, true, serve_tokens_create),
    DELETE("/tokens/{}", ADMIN, true, serve_tokens_revoke),
    READ("/rollouts", ANYONE, false, NULL, serve_rollouts_list),
    WRITE("/rollouts", DEPLOYER | ADMIN, false, serve_rollouts_apply),
    WRITE("/rollouts/plan", DEPLOYER | ADMIN, false, serve_plan_run),
    WRITE("/rollouts/plan/probes", DEPLOYER | ADMIN, false, serve_dry_ask),
    READ("/rollouts/plan/probes/{}", DEPLOYER | ADMIN, false, NULL, serve_dry_get),
    READ("/rollouts/{}", ANYONE, false, NULL, serve_rollouts_show),
    READ("/rollouts/{}/why", ANYONE, false, NULL, serve_rollout_why),
    READ("/rollouts/{}/failures", ANYONE, false, rows, serve_rollout_behind),
    WRITE("/rollouts/{}/approve", DEPLOYER | ADMIN, false, serve_rollouts_approve),
    WRITE("/rollouts/{}/pause", DEPLOYER | ADMIN, false, serve_rollouts_pause),
    WRITE("/rollouts/{}/resume", DEPLOYER | ADMIN, false, serve_rollouts_resume),
    WRITE("/rollouts/{}/abort", DEPLOYER | ADMIN, false, serve_rollouts_abort),
    WRITE("/rollouts/{}/revert", DEPLOYER | ADMIN, false, serve_rollouts_revert),
    READ("/fleet/summary", ANYONE, false, NULL, serve_watch_summary),
    READ("/fleet/query", ANYONE, false, by_selector, serve_watch_query),
    READ("/events", ANYONE, false, news, serve_watch_events),
    READ("/audit", ADMIN, true, rows, serve_watch_audit),
    READ("/audit/verify", ADMIN, true, NULL, serve_watch_verify_audit),
    READ("/repository", ANYONE, false, NULL, serve_repository_show),
    {.method = SERVE_PUT, .pattern = API "/repository/metadata/{}", .access = SERVE_ACCESS_OPERATOR,
     .roles = PUBLISHER | ADMIN, .fleet_wide = true, .body = SERVE_BODY_METADATA,
     .run = serve_repository_put},
    {.method = SERVE_POST, .pattern = DEVICE "/challenge", .access = SERVE_ACCESS_PUBLIC,
     .body = SERVE_BODY_JSON, .prepare = serve_enroll_challenge},
    {.method = SERVE_POST, .pattern = DEVICE "/enroll", .access = SERVE_ACCESS_PUBLIC,
     .body = SERVE_BODY_JSON, .prepare = serve_enroll_prepare, .run = serve_enroll_run},
    {.method = SERVE_POST, .pattern = DEVICE "/token", .access = SERVE_ACCESS_PUBLIC,
     .body = SERVE_BODY_JSON, .prepare = serve_enroll_prepare_token, .run = serve_enroll_run_token},
    {.method = SERVE_POST, .pattern = DEVICE "/checkin", .access = SERVE_ACCESS_DEVICE,
     .body = SERVE_BODY_JSON, .prepare = serve_checkin_prepare, .run = serve_checkin_run,
     .finish = serve_checkin_finish},
    {.method = SERVE_GET, .pattern = "/healthz", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_health},
    {.method = SERVE_GET, .pattern = "/bundles/{}.edge", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_prepare},
    {.method = SERVE_GET, .pattern = "/bundles/{}.delta", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_delta},
    {.method = SERVE_HEAD, .pattern = "/bundles/{}.edge", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_prepare},
    {.method = SERVE_HEAD, .pattern = "/bundles/{}.delta", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_delta},
    {.method = SERVE_GET, .pattern = "/mandates/{}.json", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_mandate},
    {.method = SERVE_HEAD, .pattern = "/mandates/{}.json", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_download_mandate},
    {.method = SERVE_GET, .pattern = "/repository/metadata/{}", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_repository_metadata},
    {.method = SERVE_HEAD, .pattern = "/repository/metadata/{}", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_repository_metadata},
    {.method = SERVE_GET, .pattern = "/repository/targets/{}/{}/{}", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_repository_target},
    {.method = SERVE_GET, .pattern = "/repository/targets/{}/{}/{}/{}", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_repository_target},
    {.method = SERVE_HEAD, .pattern = "/repository/targets/{}/{}/{}", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_repository_target},
    {.method = SERVE_HEAD, .pattern = "/repository/targets/{}/{}/{}/{}", .access = SERVE_ACCESS_PUBLIC,
     .prepare = serve_repository_target},
};
// clang-format on

const size_t serve_route_count = sizeof serve_route_table / sizeof *serve_route_table;

static const char *const methods[SERVE_METHODS] = {"GET", "HEAD", "POST", "PUT", "DELETE"};

const char *serve_route_method(enum serve_method method) {
    assert(method < SERVE_METHODS);
    return methods[method];
}

// Whether the path is of this form; "{}" takes what is there up to the next '/' or to what follows
// it in the pattern, at least one byte.
static bool fits(const char *pattern, const char *path,
                 char args[SERVE_CALL_ARGS_MAX][SERVE_CALL_ARG_BYTES]) {
    size_t n = 0;
    while (*pattern != '\0') {
        if (pattern[0] != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        pattern += 2;
        size_t len = strcspn(path, "/"), tail = strcspn(pattern, "/");
        if (len <= tail || memcmp(path + len - tail, pattern, tail) != 0 ||
            len - tail >= SERVE_CALL_ARG_BYTES)
            return false;
        assert(n < SERVE_CALL_ARGS_MAX);
        memcpy(args[n], path, len - tail);
        args[n++][len - tail] = '\0';
        path += len;
        pattern += tail;
    }
    return *path == '\0';
}

int serve_route_find(struct serve_call *call, const char *method, const char *path,
                     unsigned *ret_allowed) {
    unsigned allowed = 0;
    for (size_t i = 0; i < serve_route_count; i++) {
        const struct serve_route *route = &serve_route_table[i];
        if (!fits(route->pattern, path, call->args))
            continue;
        allowed |= 1U << route->method;
        if (strcmp(methods[route->method], method) == 0) {
            call->route = route;
            call->method = route->method;
            return 0;
        }
    }
    *ret_allowed = allowed;
    return allowed == 0 ? SERVE_ROUTE_NO_PATH : SERVE_ROUTE_NO_METHOD;
}
