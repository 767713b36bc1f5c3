// SPDX-License-Identifier: Apache-2.0
//
// The configuration: defaults, refusals that name the place, and the manual page.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "agent/config_parts.h"
#include "base/fs.h"
#include "base/own.h"
#include "tests/support/tmp.h"

static int read_config(const char *text, enum agent_config_mode mode, struct buf *warnings,
                       struct agent_config *ret, struct err *e) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    char path[TMP_PATH_BYTES + 16];
    cr_assert_eq(fs_replace(dir.fd, "agent.json", text, strlen(text), 0644, e), 0);
    (void)snprintf(path, sizeof path, "%s/agent.json", dir.path);
    return agent_config_read(path, mode, warnings, ret, e);
}

Test(config, every_setting_but_two_has_a_default) {
    OWN(buf) struct buf warnings;
    struct agent_config c;
    struct err e = ERR_NONE;
    buf_init(&warnings, 4096);
    cr_assert_eq(read_config("{\"state_dir\":\"s\",\"root\":\"/r.json\"}", AGENT_CONFIG_STRICT,
                             &warnings, &c, &e),
                 0, "%s", e.text);
    cr_expect_eq(c.poll_s, 1800);
    cr_expect(c.watchdog);
    cr_expect_str_eq(c.root, "/r.json");
    cr_expect(c.state_dir[0] == '/', "a relative path belongs to the folder of the file");
    cr_expect_str_eq(c.proxy, "environment");
    cr_expect_eq(c.window.n, 0);
    cr_expect_str_eq(c.timezone, "", "the system's");
    agent_config_clear(&c);
}

Test(config, a_misspelt_key_is_refused_by_check_and_only_noted_by_run) {
    OWN(buf) struct buf warnings;
    struct agent_config c;
    struct err e = ERR_NONE;
    const char *text = "{\"state_dir\":\"s\",\"root\":\"r\",\"pol_s\":5,\"xyz\":1}";
    buf_init(&warnings, 4096);
    cr_expect_lt(read_config(text, AGENT_CONFIG_STRICT, &warnings, &c, &e), 0);
    cr_expect_eq(e.kind, &err_config);
    cr_expect(strstr(e.text, "pol_s") || strstr(e.text, "xyz"), "%s", e.text);
    err_clear(&e);
    cr_assert_eq(read_config(text, AGENT_CONFIG_LENIENT, &warnings, &c, &e), 0, "%s", e.text);
    cr_expect(strstr(buf_text(&warnings), "poll_s"), "%s", buf_text(&warnings));
    cr_expect(strstr(buf_text(&warnings), "xyz"));
    agent_config_clear(&c);
}

Test(config, wrong_values_are_refused_with_their_place) {
    static const struct {
        const char *member;
        const char *named;
    } rows[] = {
        {"\"poll_s\":\"5\"", "poll_s"},
        {"\"poll_s\":0", "poll_s"},
        {"\"poll_s\":604801", "poll_s"},
        {"\"watchdog\":1", "watchdog"},
        {"\"controller\":5", "controller"},
        {"\"runners\":{\"x\":{\"argv\":[\"relative\"]}}", "argv"},
        {"\"runners\":{\"x\":{\"argv\":[]}}", "argv"},
        {"\"runners\":{\"x\":{\"argv\":[\"/a\"],\"memory\":1}}", "memory"},
        {"\"on_activate\":{\"c\":{\"action\":\"reboot\"}}", "action"},
        {"\"on_activate\":{\"c\":{\"action\":\"restart\"}}", "unit"},
        {"\"on_activate\":{\"c\":{\"action\":\"restart\",\"unit\":\"--help\"}}", "unit"},
        {"\"on_activate\":{\"c\":{\"action\":\"signal\",\"pid_file\":\"/p\",\"signal\":\"XX\"}}",
         "signal"},
        {"\"endpoints\":{\"a b\":\"file:/m\"}", "'a b' is no name"},
        {"\"endpoints\":{\"../x\":\"file:/m\"}", "'../x' is no name"},
        {"\"endpoints\":{\"\":\"file:/m\"}", "'' is no name"},
        {"\"endpoints\":{\"a\\u001b\":\"file:/m\"}", "is no name"},
        {"\"facts\":{\"two words\":1}", "two words"},
        {"\"facts\":{\"label.site\":\"x\"}", "label.site"},
        {"\"facts\":{\"load\":null}", "load"},
        {"\"fact_commands\":{\"9\":[\"/bin/true\"]}", "9"},
        {"\"fact_commands\":{\"label.a\":[\"/bin/true\"]}", "label.a"},
        {"\"slots\":{\"a b\":[\"/a\",\"/b\"]}", "'a b' is no name"},
        {"\"slots\":{\"c\":[\"/a\"]}", "two paths"},
        {"\"slots\":{\"c\":[\"/a\",\"/b\",\"/c\"]}", "c"},
        {"\"slots\":{\"c\":[\"/a\",\"/a\"]}", "two different paths"},
        {"\"slots\":{\"c\":[\"/a\",5]}", "c"},
        {"\"slots\":{\"c\":\"/a\"}", "c"},
        {"\"tpm\":{}", "tcti"},
        {"\"tpm\":{\"tcti\":\"device\"}", "needs a controller"},
        {"\"controller\":\"http://c\",\"tpm\":{\"tcti\":\"\"}", "tcti"},
        {"\"controller\":\"http://c\",\"tpm\":{\"tcti\":\"d\",\"index\":25165823}", "index"},
        {"\"controller\":\"http://c\",\"tpm\":{\"tcti\":\"d\",\"index\":29360128}", "index"},
        {"\"controller\":\"http://c\",\"tpm\":{\"tcti\":\"d\",\"path\":1}", "path"},
        {"\"window\":{\"start\":\"24:00\",\"end\":\"01:00\"}", "start"},
        {"\"window\":{\"end\":\"01:00\"}", "start"},
        {"\"window\":{\"days\":[\"mon\"]}", "start"},
        {"\"window\":{\"start\":\"2:00\",\"end\":\"01:00\"}", "start"},
        {"\"window\":{\"start\":\"02:00\",\"end\":\"01:60\"}", "end"},
        {"\"window\":{\"start\":\"02:00\",\"end\":\"01:00\",\"days\":[\"monday\"]}", "days"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        OWN(buf) struct buf warnings;
        struct agent_config c;
        struct err e = ERR_NONE;
        char text[512];
        buf_init(&warnings, 4096);
        (void)snprintf(text, sizeof text, "{\"state_dir\":\"s\",\"root\":\"r\",%s}",
                       rows[i].member);
        cr_expect_lt(read_config(text, AGENT_CONFIG_LENIENT, &warnings, &c, &e), 0, "%s", text);
        cr_expect_eq(e.kind, &err_config, "%s: %s", text, e.text);
        cr_expect(strstr(e.text, rows[i].named), "%s: %s", rows[i].named, e.text);
        cr_expect(strstr(e.text, "agent.json"), "the error names the file: %s", e.text);
    }
}

Test(config, the_time_zone_is_that_of_its_window_or_stands_alone) {
    static const struct {
        const char *window, *zone;
        size_t n;
    } rows[] = {{"{\"start\":\"22:00\",\"end\":\"06:00\"}", "UTC", 1},
                {"{\"start\":\"22:00\",\"end\":\"06:00\",\"timezone\":\"X-3\"}", "X-3", 1},
                {"{\"timezone\":\"Europe/Berlin\"}", "Europe/Berlin", 0},
                {"{}", "UTC", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        OWN(buf) struct buf warnings;
        struct agent_config c;
        struct err e = ERR_NONE;
        char text[512];
        buf_init(&warnings, 4096);
        (void)snprintf(text, sizeof text, "{\"state_dir\":\"s\",\"root\":\"r\",\"window\":%s}",
                       rows[i].window);
        cr_assert_eq(read_config(text, AGENT_CONFIG_STRICT, &warnings, &c, &e), 0, "%s", e.text);
        cr_expect_eq(c.window.n, rows[i].n, "%s", text);
        cr_expect_str_eq(c.timezone, rows[i].zone, "%s", text);
        agent_config_clear(&c);
    }
}

Test(config, what_is_required_is_named_when_it_is_missing) {
    OWN(buf) struct buf warnings;
    struct agent_config c;
    struct err e = ERR_NONE;
    buf_init(&warnings, 4096);
    cr_expect_lt(read_config("{\"root\":\"r\"}", AGENT_CONFIG_STRICT, &warnings, &c, &e), 0);
    cr_expect(strstr(e.text, "state_dir"), "%s", e.text);
}

Test(config, the_manual_page_describes_every_setting_with_its_default) {
    OWN(buf) struct buf page;
    struct err e = ERR_NONE;
    char wanted[256];
    static const struct {
        const char *name;
        const char *text;
        unsigned long long number;
    } rows[] = {
#define TEXT_ROW(name, d)                             {name, d, 0},
#define PATH_ROW(name, d)                             {name, d, 0},
#define U64_ROW(name, d)                              {name, NULL, d},
#define BOOL_ROW(name, d)                             {name, (d) ? "true" : "false", 0},
#define X(name, type, fallback, min, max, unit, help) type##_ROW(#name, fallback)
        AGENT_CONFIG_TABLE(X)
#undef X
    };
    static const char *const parts[] = {AGENT_CONFIG_PARTS NULL};
    buf_init(&page, 65536);
    cr_assert_eq(fs_read_file(AT_FDCWD, EDGE_SOURCE_DIR "/man/edge-agent.json.5", 65536, &page, &e),
                 0, "%s", e.text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(wanted, sizeof wanted, ".TP\n.B %s\n", rows[i].name);
        const char *at = strstr(buf_text(&page), wanted);
        cr_expect(at, "%s is not described", rows[i].name);
        bool required = strcmp(rows[i].name, "state_dir") == 0 || strcmp(rows[i].name, "root") == 0;
        if (required)
            (void)snprintf(wanted, sizeof wanted, "required)");
        else if (rows[i].text)
            (void)snprintf(wanted, sizeof wanted, "default: %s)",
                           rows[i].text[0] ? rows[i].text : "none");
        else
            (void)snprintf(wanted, sizeof wanted, "default: %llu)", rows[i].number);
        const char *end = at ? strstr(at, "\n.TP") : NULL;
        const char *told = at ? strstr(at, wanted) : NULL;
        cr_expect(told && (!end || told < end), "%s: the page does not say \"%s\"", rows[i].name,
                  wanted);
    }
    for (size_t i = 0; parts[i]; i++)
        cr_expect(strstr(buf_text(&page), parts[i]), "%s is not described", parts[i]);
}

Test(config, a_tpm_has_its_index_and_without_one_there_is_no_anchor) {
    OWN(buf) struct buf warnings;
    struct agent_config c;
    struct err e = ERR_NONE;
    buf_init(&warnings, 4096);
    cr_assert_eq(
        read_config("{\"state_dir\":\"s\",\"root\":\"r\"}", AGENT_CONFIG_STRICT, &warnings, &c, &e),
        0, "%s", e.text);
    cr_expect_null(c.tpm_tcti);
    agent_config_clear(&c);
    cr_assert_eq(read_config("{\"state_dir\":\"s\",\"root\":\"r\",\"controller\":\"http://c\","
                             "\"tpm\":{\"tcti\":\"device:/dev/tpmrm0\"}}",
                             AGENT_CONFIG_STRICT, &warnings, &c, &e),
                 0, "%s", e.text);
    cr_expect_str_eq(c.tpm_tcti, "device:/dev/tpmrm0");
    cr_expect_eq(c.tpm_index, 25165825);
    agent_config_clear(&c);
}
