// SPDX-License-Identifier: Apache-2.0
//
// Which bundle a device can start from.
#include "ctl/serve/delta_base.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

#define BUNDLES 5

static struct serve_engine_bundle bundles[BUNDLES];
static struct serve_engine engine = {.n_bundles = BUNDLES, .bundles = bundles};

// A bundle by a hexadecimal digit, its name, its components.
static void publish(size_t at, char digit, const char *name, const char *components) {
    struct serve_engine_bundle *b = &bundles[at];
    struct err e = ERR_NONE;
    memset(b->row.id, digit, sizeof b->row.id - 1);
    cr_assert_eq(keys_digest_parse(b->row.id, "id", &b->id, &e), 0);
    (void)snprintf(b->row.name, sizeof b->row.name, "%s", name);
    b->row.components = json_object();
    for (const char *at_name = components; *at_name; at_name++)
        (void)json_object_set_new(b->row.components, (char[]){*at_name, '\0'}, json_object());
}

static void set_up(void) {
    publish(0, '0', "new", "ab");  // to be got
    publish(1, '1', "new", "ab");  // an older one
    publish(2, '2', "other", "a"); // shares a
    publish(3, '3', "else", "c");  // nothing in common
    publish(4, '4', "new", "b");   // shares b
}

static void tear_down(void) {
    for (size_t i = 0; i < BUNDLES; i++)
        json_decref(bundles[i].row.components);
}

TestSuite(serve_delta_base, .init = set_up, .fini = tear_down);

// What a device says: "a1b1c3" is component a from bundle 1, b from 1, c from 3.
static json_t *said(const char *components) {
    json_t *all = json_object();
    for (; *components; components += 2) {
        char id[KEYS_DIGEST_HEX] = "";
        memset(id, components[1], sizeof id - 1);
        (void)json_object_set_new(all, (char[]){components[0], '\0'},
                                  json_pack("{s:s}", "manifest", id));
    }
    return all;
}

Test(serve_delta_base, is_held_whole_and_has_most_in_common) {
    static const struct {
        const char *said;
        int base; // -1: none
    } cases[] = {
        {"a1b1", 1},  {"b1a1", 1},  {"a1b1c3", 1}, // what else is there does not matter
        {"a1", -1},   {"a1b4", 4},                 // of 1 not all, of 4 all
        {"a2c3", 2},  {"a2b4", 4},                 // as much in common: the same name
        {"c3", -1},   {"", -1},                    // nothing in common, nothing at all
        {"a0b0", 0},  {"a0b1", -1},                // it is there; a mixture is nothing
        {"a9b9", -1},                              // published elsewhere
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(json) json_t *components = said(cases[i].said);
        const struct serve_engine_bundle *found =
            serve_delta_base(&engine, &bundles[0], components);
        int number = found == NULL ? -1 : (int)(found - bundles);
        cr_expect_eq(number, cases[i].base, "%s: %d", cases[i].said, number);
    }
    cr_expect_null(serve_delta_base(&engine, &bundles[0], NULL), "a device that said nothing");
}
