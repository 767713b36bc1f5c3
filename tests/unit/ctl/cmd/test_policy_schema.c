// SPDX-License-Identifier: Apache-2.0
//
// The published schema of policies and the parser know the same members.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "ctl/rollout/policy.h"
#include "ctl/schema.h"

// A schema that is a reference, or may be null, stands for another one.
static const json_t *resolve(const json_t *document, const json_t *schema) {
    static const char defs[] = "#/$defs/";
    for (;;) {
        const char *ref = json_string_value(json_object_get(schema, "$ref"));
        size_t i;
        json_t *one;
        const json_t *found = NULL;
        if (ref != NULL) {
            cr_assert(strncmp(ref, defs, strlen(defs)) == 0, "%s", ref);
            schema = json_object_get(json_object_get(document, "$defs"), ref + strlen(defs));
            cr_assert_not_null(schema, "%s", ref);
            continue;
        }
        json_array_foreach (json_object_get(schema, "anyOf"), i, one) {
            const char *type = json_string_value(json_object_get(one, "type"));
            bool useful =
                json_object_get(one, "$ref") != NULL ||
                (type != NULL && (strcmp(type, "object") == 0 || strcmp(type, "array") == 0));
            found = found == NULL && useful ? one : found;
        }
        if (found == NULL)
            return schema;
        schema = found;
    }
}

// "stages[].gate" from the root.
static const json_t *find(const json_t *document, const char *path) {
    const json_t *at = document;
    char names[64];
    (void)snprintf(names, sizeof names, "%s", path);
    for (char *rest = names, *name; (name = strsep(&rest, ".")) != NULL && *name != '\0';) {
        char *elements = strstr(name, "[]");
        if (elements != NULL)
            *elements = '\0';
        at = resolve(document, json_object_get(json_object_get(at, "properties"), name));
        if (elements != NULL)
            at = resolve(document, json_object_get(at, "items"));
        cr_assert_not_null(at, "%s: %s", path, name);
    }
    return at;
}

Test(policy_schema, has_every_member_that_the_parser_knows_and_no_other) {
    OWN(json) json_t *document = json_loads(ctl_schema_policy, 0, NULL);
    size_t n = 0;
    cr_assert_not_null(document);
    for (const struct rollout_policy_place *p = rollout_policy_places; p->path != NULL; p++, n++) {
        const json_t *at = find(document, p->path);
        const json_t *properties = json_object_get(at, "properties");
        size_t members = 0;
        cr_assert(json_is_false(json_object_get(at, "additionalProperties")), "%s", p->path);
        for (; p->members[members] != NULL; members++)
            cr_expect_not_null(json_object_get(properties, p->members[members]), "%s.%s", p->path,
                               p->members[members]);
        cr_expect_eq(json_object_size(properties), members, "%s", p->path);
    }
    cr_assert_gt(n, 10);
}
