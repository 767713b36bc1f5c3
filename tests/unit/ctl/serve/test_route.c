// SPDX-License-Identifier: Apache-2.0
//
// The table of routes is what ctl/openapi.json promises, row by row.
#include "ctl/serve/route.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

static json_t *spec;

static void set_up(void) {
    json_error_t at;
    spec = json_load_file(EDGE_SOURCE_DIR "/ctl/openapi.json", JSON_REJECT_DUPLICATES, &at);
    cr_assert_not_null(spec, "line %d: %s", at.line, at.text);
}

static void tear_down(void) {
    json_decref(spec);
}

TestSuite(serve_route, .init = set_up, .fini = tear_down);

// "/devices/{id}/why" → "/devices/{}/why"
static void without_names(const char *path, char *ret) {
    for (; *path != '\0'; path++) {
        *ret++ = *path;
        if (*path == '{')
            path += strcspn(path, "}") - 1;
    }
    *ret = '\0';
}

static const struct serve_route *find(const char *method, const char *path) {
    char upper[16] = "", pattern[128];
    for (size_t i = 0; method[i] != '\0'; i++)
        upper[i] = (char)toupper((unsigned char)method[i]);
    without_names(path, pattern);
    for (size_t i = 0; i < serve_route_count; i++)
        if (strcmp(serve_route_table[i].pattern, pattern) == 0 &&
            strcmp(serve_route_method(serve_route_table[i].method), upper) == 0)
            return &serve_route_table[i];
    return NULL;
}

static unsigned roles_of(const json_t *operation) {
    unsigned roles = 0;
    size_t i = 0;
    json_t *name = NULL;
    json_array_foreach (json_object_get(operation, "x-roles"), i, name) {
        for (unsigned role = 0; role < STORE_ROLES; role++)
            if (strcmp(store_token_roles[role], json_string_value(name)) == 0)
                roles |= SERVE_ROUTE_ROLE(role);
    }
    return roles;
}

static size_t query_of(const json_t *operation, const struct serve_route *route) {
    size_t i = 0, n = 0;
    json_t *parameter = NULL;
    json_array_foreach (json_object_get(operation, "parameters"), i, parameter) {
        const char *name = json_string_value(json_object_get(parameter, "name"));
        if (strcmp(json_string_value(json_object_get(parameter, "in")), "query") != 0)
            continue;
        bool known = false;
        for (const char *const *q = route->query; q != NULL && *q != NULL; q++)
            known = known || strcmp(*q, name) == 0;
        cr_assert(known, "%s: the parameter %s is promised and not known", route->pattern, name);
        n++;
    }
    return n;
}

Test(serve_route, the_openapi_file_and_the_table_have_the_same_rows) {
    const char *path = NULL, *method = NULL;
    json_t *methods = NULL, *operation = NULL;
    size_t n = 0;
    json_object_foreach (json_object_get(spec, "paths"), path, methods) {
        json_object_foreach (methods, method, operation) {
            const struct serve_route *route = find(method, path);
            cr_assert_not_null(route, "%s %s is promised and not there", method, path);
            n++;
            size_t known = 0;
            for (const char *const *q = route->query; q != NULL && *q != NULL; q++)
                known++;
            cr_assert_eq(query_of(operation, route), known, "%s %s", method, path);
            cr_assert_eq(roles_of(operation), route->roles, "%s %s: roles", method, path);
            cr_assert_eq(json_is_true(json_object_get(operation, "x-fleet-wide")),
                         route->fleet_wide, "%s %s", method, path);
            const char *scheme = route->access == SERVE_ACCESS_OPERATOR ? "operator" : "device";
            json_t *security = json_array_get(json_object_get(operation, "security"), 0);
            cr_assert_eq(route->access == SERVE_ACCESS_PUBLIC, security == NULL, "%s", path);
            cr_assert(security == NULL || json_object_get(security, scheme) != NULL, "%s", path);
        }
    }
    cr_assert_eq(n, serve_route_count, "a route is not in ctl/openapi.json");
}

static int look_up(const char *method, const char *path, struct serve_call *call) {
    unsigned allowed = 0;
    serve_call_init(call, NULL);
    return serve_route_find(call, method, path, &allowed);
}

Test(serve_route, a_segment_is_taken_whole_and_never_empty) {
    struct serve_call call;
    cr_assert_eq(look_up("GET", "/api/v1/devices/a.b", &call), 0);
    cr_assert_str_eq(call.args[0], "a.b");
    cr_assert_eq(look_up("GET", "/api/v1/releases/app/1.0", &call), 0);
    cr_assert_str_eq(call.args[1], "1.0");
    cr_assert_eq(look_up("HEAD", "/bundles/00ff.edge", &call), 0);
    cr_assert_str_eq(call.args[0], "00ff");
    cr_assert_eq(look_up("GET", "/api/v1/devices/", &call), SERVE_ROUTE_NO_PATH);
    cr_assert_eq(look_up("GET", "/bundles/.edge", &call), SERVE_ROUTE_NO_PATH);
    cr_assert_eq(look_up("GET", "/api/v1/devices/a/b/c", &call), SERVE_ROUTE_NO_PATH);
    cr_assert_eq(look_up("GET", "/api/v1/devices/a/", &call), SERVE_ROUTE_NO_PATH);
    cr_assert_eq(look_up("PATCH", "/api/v1/devices", &call), SERVE_ROUTE_NO_METHOD);
}
