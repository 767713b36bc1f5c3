// SPDX-License-Identifier: Apache-2.0
//
// A rollout on a screen: a line for each stage, and why it does not move.
#include "ctl/cmd/rollout.h"

#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/print.h"
#include "ctl/term.h"

#define LINE_BYTES   1024
#define BAR_CELLS    20
#define NAME_COLUMNS 16

// What is said of a stage beside how many committed, where it is not zero.
static const struct {
    const char *key;
    const char *word;
} rest[] = {{"unresolved", "at work"}, {"failed", "failed"},       {"reverted", "reverted"},
            {"lost", "lost"},          {"cancelled", "cancelled"}, {"skipped", "skipped"}};

int cmd_rollout_show_stage(const json_t *stage, struct buf *ret, struct err *e) {
    char state[64];
    json_int_t already = cmd_print_integer(stage, "already");
    text_safe(cmd_print_string(stage, "state"), state, sizeof state);
    if (buf_add_format(ret, e, "%s: %lld of %lld committed", state,
                       (long long)(cmd_print_integer(stage, "committed") + already),
                       (long long)cmd_print_integer(stage, "planned")) < 0)
        return -1;
    if (already > 0 && buf_add_format(ret, e, " (%lld had it)", (long long)already) < 0)
        return -1;
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        json_int_t count = cmd_print_integer(stage, rest[i].key);
        if (count > 0 && buf_add_format(ret, e, ", %lld %s", (long long)count, rest[i].word) < 0)
            return -1;
    }
    return 0;
}

// Prints at most `width` columns of a line: a wrapped line would be redrawn in the wrong place.
static void print_line(FILE *out, const char *line, unsigned width) {
    unsigned columns = 0;
    const char *at = line;
    while (*at && columns < width) {
        do
            at++;
        while (((unsigned char)*at & 0xC0) == 0x80);
        columns++;
    }
    (void)fprintf(out, "%.*s\n", (int)(at - line), line);
}

static unsigned columns_of(const char *text) {
    unsigned columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

static void show_stage(FILE *out, const json_t *stage, unsigned width) {
    char name[128], bar[CTL_TERM_BAR_BYTES];
    struct err ignored = ERR_NONE;
    OWN(buf) struct buf line;
    buf_init(&line, LINE_BYTES);
    json_int_t done = cmd_print_integer(stage, "committed") + cmd_print_integer(stage, "already");
    json_int_t planned = cmd_print_integer(stage, "planned");
    text_safe(cmd_print_string(stage, "name"), name, sizeof name);
    unsigned columns = columns_of(name);
    (void)buf_add_format(
        &line, &ignored, "  %s%*s %s  ", name,
        columns < NAME_COLUMNS ? (int)(NAME_COLUMNS - columns) : 0, "",
        ctl_term_bar((uint64_t)done, planned > 0 ? (uint64_t)planned : 0, BAR_CELLS, bar));
    (void)cmd_rollout_show_stage(stage, &line, &ignored);
    print_line(out, buf_text(&line), width);
}

// The end of the first line of `text` that fits `width` columns, at a blank where there is one.
static size_t break_at(const char *text, unsigned width) {
    size_t at = 0, blank = 0;
    unsigned columns = 0;
    for (; text[at] && columns <= width; at++) {
        if (text[at] == ' ')
            blank = at;
        columns += ((unsigned char)text[at] & 0xC0) != 0x80;
    }
    if (!text[at] && columns <= width)
        return at;
    if (blank > 0)
        return blank;
    for (at--; at > 1 && ((unsigned char)text[at] & 0xC0) == 0x80;)
        at--;
    return at > 0 ? at : 1;
}

// Several lines where one is too narrow. Returns how many.
static unsigned show_text(FILE *out, const char *text, unsigned width) {
    static const char indent[] = "    ";
    unsigned lines = 0;
    for (const char *at = text; *at; lines++) {
        unsigned taken = lines > 0 ? (unsigned)strlen(indent) : 0;
        size_t len = break_at(at, width > taken + 8 ? width - taken : 8);
        (void)fprintf(out, "%s%.*s\n", lines > 0 ? indent : "", (int)len, at);
        at += len + (at[len] == ' ');
    }
    return lines;
}

static unsigned show_why(FILE *out, const json_t *why, unsigned width) {
    char text[600], code[64], line[LINE_BYTES];
    if (!*cmd_print_string(why, "code"))
        return 0;
    (void)snprintf(line, sizeof line, "  why: %s (%s)",
                   text_safe(cmd_print_string(why, "text"), text, sizeof text),
                   text_safe(cmd_print_string(why, "code"), code, sizeof code));
    return show_text(out, line, width);
}

const char *cmd_rollout_remains(const json_t *rollout, char ret[static CMD_ROLLOUT_REMAINS_BYTES]) {
    const json_t *remains = json_object_get(rollout, "remains");
    const json_t *release = json_object_get(rollout, "release");
    char name[128], version[128], until[64] = "";
    bool targets = json_is_true(json_object_get(remains, "targets"));
    const char *mandate = cmd_print_string(remains, "mandate");
    ret[0] = '\0';
    text_safe(cmd_print_string(release, "name"), name, sizeof name);
    text_safe(cmd_print_string(release, "version"), version, sizeof version);
    text_safe(mandate, until, sizeof until);
    if (targets)
        (void)snprintf(ret, CMD_ROLLOUT_REMAINS_BYTES,
                       "%s %s is still in the targets%s%s, so whoever steals the controller can "
                       "bring it to devices: withdraw it (edgectl release withdraw %s %s)",
                       name, version, *until ? ", and what was signed for it holds until " : "",
                       until, name, version);
    return ret;
}

// What it cost its devices so far. Returns how many lines.
static unsigned show_bytes(FILE *out, const json_t *bytes, unsigned width) {
    char text[CMD_PRINT_BYTES_TEXT], line[CMD_PRINT_BYTES_TEXT + 16];
    if (!*cmd_print_bytes(bytes, text))
        return 0;
    (void)snprintf(line, sizeof line, "  bytes: %s", text);
    print_line(out, line, width);
    return 1;
}

static unsigned show_remains(FILE *out, const json_t *rollout, unsigned width) {
    char text[CMD_ROLLOUT_REMAINS_BYTES], line[LINE_BYTES];
    if (!*cmd_rollout_remains(rollout, text))
        return 0;
    (void)snprintf(line, sizeof line, "  note: %s", text);
    return show_text(out, line, width);
}

unsigned cmd_rollout_show(FILE *out, const json_t *rollout, unsigned width) {
    const json_t *release = json_object_get(rollout, "release");
    const json_t *why = json_object_get(rollout, "why");
    char name[128], state[64], release_name[128], version[128], line[LINE_BYTES];
    unsigned lines = 1;
    size_t i;
    json_t *stage;
    (void)snprintf(line, sizeof line, "%s: %s (%s %s, attempt %lld)",
                   text_safe(cmd_print_string(rollout, "name"), name, sizeof name),
                   text_safe(cmd_print_string(rollout, "state"), state, sizeof state),
                   text_safe(cmd_print_string(release, "name"), release_name, sizeof release_name),
                   text_safe(cmd_print_string(release, "version"), version, sizeof version),
                   (long long)cmd_print_integer(rollout, "attempt"));
    print_line(out, line, width);
    json_array_foreach (json_object_get(rollout, "stages"), i, stage) {
        show_stage(out, stage, width);
        lines++;
    }
    lines += show_bytes(out, json_object_get(rollout, "bytes"), width);
    return lines + show_why(out, why, width) + show_remains(out, rollout, width);
}
