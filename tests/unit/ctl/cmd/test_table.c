// SPDX-License-Identifier: Apache-2.0
//
// The table of commands, and what is written about it: every kind of error stands in the man page.
#include "ctl/cmd/table.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "ctl/kind.h"
#include "keys/kind.h"

#define PAGE_MAX_BYTES (1024 * 1024)

static void read_page(struct buf *ret) {
    struct err e = ERR_NONE;
    buf_init(ret, PAGE_MAX_BYTES);
    cr_assert_eq(fs_read_file(AT_FDCWD, EDGE_SOURCE_DIR "/man/edgectl.1", PAGE_MAX_BYTES, ret, &e),
                 0, "%s", e.text);
}

// roff without the backslash before a hyphen.
static void strip(struct buf *page) {
    char *to = (char *)page->data;
    for (const char *from = to; *from; from++)
        if (from[0] != '\\' || from[1] != '-')
            *to++ = *from;
    *to = '\0';
}

static void has_rows(const char *page, const struct err_kind *const *kinds) {
    char row[512];
    for (; *kinds; kinds++) {
        const struct err_kind *kind = *kinds;
        (void)snprintf(row, sizeof row, "\n%d\t%s\t%s\tT{\n%s\nT}\n", kind->exit_status, kind->name,
                       kind->retry ? "yes" : "no", kind->text);
        cr_expect(strstr(page, row), "man/edgectl.1 has no row for %s as it is in the table",
                  kind->name);
    }
}

Test(table, the_man_page_has_every_kind_of_error) {
    OWN(buf) struct buf page;
    read_page(&page);
    strip(&page);
    has_rows(buf_text(&page), err_base_kinds);
    has_rows(buf_text(&page), keys_kinds);
    has_rows(buf_text(&page), bundle_kinds);
    has_rows(buf_text(&page), ctl_kinds);
}

static bool is_taken(const struct err_kind *const *kinds, const struct err_kind *mine) {
    for (; *kinds; kinds++)
        if (*kinds != mine && (*kinds)->exit_status == mine->exit_status)
            return true;
    return false;
}

Test(table, an_exit_status_means_one_kind) {
    const struct err_kind *const *const tables[] = {err_base_kinds, keys_kinds, bundle_kinds,
                                                    ctl_kinds};
    for (size_t i = 0; i < 4; i++)
        for (const struct err_kind *const *kind = tables[i]; *kind; kind++)
            for (size_t k = 0; k < 4; k++)
                cr_expect(!is_taken(tables[k], *kind), "%s shares exit status %d", (*kind)->name,
                          (*kind)->exit_status);
}

Test(table, every_command_can_be_run_and_says_what_it_is) {
    for (const struct opt_command *c = cmd_table_get(); c->name; c++) {
        cr_expect(c->run, "%s", c->name);
        cr_expect(c->options && c->operands && c->help && *c->help, "%s", c->name);
        cr_expect(c->help[strlen(c->help) - 1] != '.', "%s: help ends with a full stop", c->name);
        cr_expect_leq(c->operands_min, c->operands_max, "%s", c->name);
        cr_expect_eq(c->operands_max == 0, *c->operands == '\0', "%s", c->name);
    }
}

Test(table, options_of_a_command_have_names_of_their_own) {
    for (const struct opt_command *c = cmd_table_get(); c->name; c++)
        for (const struct opt *a = c->options; a->name; a++)
            for (const struct opt *b = a + 1; b->name; b++) {
                cr_expect_str_neq(a->name, b->name, "%s", c->name);
                cr_expect(!a->letter || a->letter != b->letter, "%s: -%c", c->name, a->letter);
            }
}

// words: what stands behind the program's name, separated by blanks.
static void refused(const char *words, const char *says) {
    struct err e = ERR_NONE;
    char line[256];
    char *argv[8];
    int argc = 0;
    (void)snprintf(line, sizeof line, "%s", words);
    for (char *rest = line; *line && rest;)
        argv[argc++] = strsep(&rest, " ");
    argv[argc] = NULL;
    cr_assert_lt(cmd_table_run(argc, argv, &e), 0);
    cr_assert_eq(e.kind, &err_usage, "%s", e.text);
    cr_assert(strstr(e.text, says), "\"%s\" does not say \"%s\"", e.text, says);
}

Test(table, a_wrong_command_line_is_told_what_would_be_right) {
    refused("", "edgectl init");
    refused("frobnicate", "unknown command");
    refused("rollout aply", "rollout apply");
    refused("bundle", "create, sign, inspect, verify, diff");
    refused("init --treshold=root=2", "--threshold");
    refused("init", "DIR");
}

Test(table, without_a_controller_or_a_token_the_error_says_how_to_name_them) {
    cr_assert_eq(unsetenv("EDGECTL_CONTROLLER"), 0);
    cr_assert_eq(unsetenv("EDGECTL_TOKEN"), 0);
    refused("device list", "EDGECTL_CONTROLLER");
    refused("device list --controller=http://127.0.0.1:1", "EDGECTL_TOKEN");
}
