// SPDX-License-Identifier: Apache-2.0
//
// A rollout on screens of several widths: every line fits, and as many are counted as are printed.
#include "ctl/cmd/rollout.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"

static json_t *rollout(void) {
    json_t *value = json_pack(
        "{s:s,s:{s:s,s:s},s:s,s:i,s:[{s:s,s:s,s:i,s:i,s:i,s:i},{s:s,s:s,s:i}],s:{s:s,s:s},s:{s:I,s:"
        "I}}",
        "name", "r", "release", "name", "vibration", "version", "1.1", "state", "running",
        "attempt", 1, "stages", "name", "canary", "state", "done", "planned", 10, "committed", 7,
        "already", 2, "failed", 1, "name", "äöü-überall", "state", "pending", "planned", 90, "why",
        "code", "waiting_devices", "text",
        "stage all: 3 of 10 devices have an outcome, 5 are at work on it, 2 haven't asked since",
        "bytes", "delta", (json_int_t)1048576, "reused", (json_int_t)2097152);
    cr_assert(value);
    return value;
}

static unsigned columns_of(const char *line, size_t len) {
    unsigned columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)line[i] & 0xC0) != 0x80;
    return columns;
}

static char *shown(unsigned width, unsigned *ret_lines) {
    OWN(json) json_t *value = rollout();
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cr_assert(out);
    *ret_lines = cmd_rollout_show(out, value, width);
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(rollout_show, every_line_fits_whatever_the_width) {
    for (unsigned width = 12; width < 200; width++) {
        unsigned lines = 0, counted = 0;
        OWN(mem) char *text = shown(width, &lines);
        for (const char *at = text; *at; counted++) {
            size_t len = strcspn(at, "\n");
            cr_expect_leq(columns_of(at, len), width, "width %u: %.*s", width, (int)len, at);
            at += len + 1;
        }
        cr_expect_eq(counted, lines, "width %u: %u lines printed, %u counted", width, counted,
                     lines);
    }
}

Test(rollout_show, numbers_that_are_not_zero_are_said) {
    unsigned lines = 0;
    OWN(mem) char *text = shown(4096, &lines);
    cr_assert(strstr(text, "done: 9 of 10 committed (2 had it), 1 failed\n"), "%s", text);
    cr_assert(strstr(text, "  bytes: 1 MiB over the link (delta 1 MiB), 2 MiB reused\n"), "%s",
              text);
    cr_assert(strstr(text, "pending: 0 of 90 committed\n"), "%s", text);
    cr_assert(strstr(text, "asked since (waiting_devices)\n"), "%s", text);
    cr_assert_eq(lines, 5);
}

Test(rollout_show, nothing_in_an_answer_can_drive_the_terminal) {
    OWN(json)
    json_t *value = json_pack("{s:s,s:s,s:[{s:s,s:s}],s:{s:s,s:s}}", "name", "\033[2J", "state",
                              "\033c", "stages", "name", "a\nb", "state", "\r", "why", "code", "\b",
                              "text", "\033]0;x\a");
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cr_assert(out && value);
    unsigned lines = cmd_rollout_show(out, value, 400);
    cr_assert_eq(fclose(out), 0);
    cr_assert_eq(lines, 3);
    for (size_t i = 0; i < len; i++)
        cr_expect(text[i] == '\n' || (unsigned char)text[i] >= ' ', "byte %zu is %d", i, text[i]);
    free(text);
}

Test(rollout_show, what_is_left_to_withdraw_is_said_until_it_is_withdrawn) {
    static const struct {
        const char *remains, *says;
    } cases[] = {{"{\"targets\":true,\"mandate\":null}", "edgectl release withdraw app 1.1"},
                 {"{\"targets\":true,\"mandate\":\"2026-12-01T00:00:00Z\"}",
                  "holds until 2026-12-01T00:00:00Z"},
                 {"{\"targets\":false,\"mandate\":\"2026-12-01T00:00:00Z\"}", NULL},
                 {"null", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(json)
        json_t *value = json_pack("{s:{s:s, s:s}, s:o}", "release", "name", "app", "version", "1.1",
                                  "remains", json_loads(cases[i].remains, JSON_DECODE_ANY, NULL));
        char text[CMD_ROLLOUT_REMAINS_BYTES];
        cr_assert_not_null(value);
        (void)cmd_rollout_remains(value, text);
        if (cases[i].says == NULL)
            cr_expect_str_eq(text, "", "case %zu", i);
        else
            cr_expect(strstr(text, cases[i].says), "case %zu: %s", i, text);
    }
}
