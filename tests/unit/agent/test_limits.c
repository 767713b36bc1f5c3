// SPDX-License-Identifier: Apache-2.0
//
// Each ceiling of the agent's configuration and of its socket: at it, below it, above it.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/talk.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/limits.h"
#include "tests/support/tmp.h"

#define NOTHING_ABOVE ((uint64_t)INT64_MAX) // of numbers: the next one is no JSON integer of ours

static int read_text(const char *text, size_t len, json_t **ret, struct err *e) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    OWN(buf) struct buf warnings;
    struct agent_config config;
    char path[TMP_PATH_BYTES + 16];
    buf_init(&warnings, 4096);
    err_clear(e);
    cr_assert_eq(fs_replace(dir.fd, "agent.json", text, len, 0644, e), 0);
    (void)snprintf(path, sizeof path, "%s/agent.json", dir.path);
    int done = agent_config_read(path, AGENT_CONFIG_STRICT, &warnings, &config, e);
    if (done == 0) {
        *ret = agent_config_effective(&config);
        cr_assert_not_null(*ret);
        agent_config_clear(&config);
    }
    return done;
}

// A configuration with this member: what is in effect then, NULL when it is refused.
static json_t *read_member(const char *name, const char *value) {
    OWN(buf) struct buf text;
    struct err e = ERR_NONE;
    json_t *effective = NULL;
    buf_init(&text, (size_t)2 * AGENT_CONFIG_MAX_BYTES);
    cr_assert_eq(buf_add_text(&text, "{", &e), 0);
    if (strcmp(name, "state_dir") != 0)
        cr_assert_eq(buf_add_text(&text, "\"state_dir\":\"/s\",", &e), 0);
    if (strcmp(name, "root") != 0)
        cr_assert_eq(buf_add_text(&text, "\"root\":\"/r\",", &e), 0);
    cr_assert_eq(buf_add_format(&text, &e, "\"%s\":%s}", name, value), 0, "%s", e.text);
    if (read_text(buf_text(&text), text.len, &effective, &e) == 0)
        return effective;
    cr_expect_eq(e.kind, &err_config, "%s: %s", name, e.text);
    cr_expect(strstr(e.text, "agent.json"), "%s: %s", name, e.text);
    return NULL;
}

static void expect_number(const char *name, uint64_t number, int64_t more, bool good) {
    char value[32];
    uint64_t wanted = number + (uint64_t)more;
    if (more < 0 && number == 0)
        (void)snprintf(value, sizeof value, "-1");
    else
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)wanted);
    OWN(json) json_t *got = read_member(name, value);
    cr_expect_eq(got != NULL, good, "%s: %s", name, value);
    if (got)
        cr_expect_eq((uint64_t)json_integer_value(json_object_get(got, name)), wanted, "%s", name);
}

static void expect_length(const char *name, uint64_t len, bool good) {
    char value[4096] = "\"/";
    cr_assert_lt(len + 3, sizeof value);
    memset(value + 2, 'x', len > 0 ? len - 1 : 0);
    (void)snprintf(value + 1 + len, sizeof value - 1 - len, "\"");
    OWN(json) json_t *got = read_member(name, value);
    cr_expect_eq(got != NULL, good, "%s: %llu bytes", name, (unsigned long long)len);
    if (got && strcmp(name, "enroll_token") != 0) // shown as "(set)"
        cr_expect_eq(json_string_length(json_object_get(got, name)), len, "%s", name);
}

enum row_type { TEXT, PATH, U64, BOOL };

Test(limits, every_setting_of_the_table) {
    static const struct {
        const char *name;
        enum row_type type;
        uint64_t least, most;
    } rows[] = {
#define X(name, type, fallback, min, max, unit, help) {#name, type, min, max},
        AGENT_CONFIG_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = rows[i].name;
        switch (rows[i].type) {
        case TEXT:
        case PATH:
            expect_length(name, rows[i].most - 1, true);
            expect_length(name, rows[i].most, true);
            expect_length(name, rows[i].most + 1, false);
            expect_length(name, 0, rows[i].least == 0);
            break;
        case U64:
            expect_number(name, rows[i].least, -1, false);
            expect_number(name, rows[i].least, 0, true);
            expect_number(name, rows[i].least, 1, true);
            expect_number(name, rows[i].most, -1, true);
            expect_number(name, rows[i].most, 0, true);
            if (rows[i].most < NOTHING_ABOVE)
                expect_number(name, rows[i].most, 1, false);
            break;
        case BOOL:
            break;
        }
    }
}

// n members "NAME0":VALUE, or n elements when it is a list.
static bool takes(const char *key, const char *before, const char *each, const char *after,
                  size_t n) {
    OWN(buf) struct buf value;
    struct err e = ERR_NONE;
    buf_init(&value, 65536);
    cr_assert_eq(buf_add_text(&value, before, &e), 0);
    for (size_t i = 0; i < n; i++) {
        if (each[0] == '"') // an element
            cr_assert_eq(buf_add_format(&value, &e, "%s%s", i > 0 ? "," : "", each), 0);
        else
            cr_assert_eq(
                buf_add_format(&value, &e, "%s\"name%zu\":%s", i > 0 ? "," : "", i, each + 1), 0);
    }
    cr_assert_eq(buf_add_text(&value, after, &e), 0);
    OWN(json) json_t *got = read_member(key, buf_text(&value));
    return got != NULL;
}

Test(limits, how_many_of_each_part) {
    static const struct {
        const char *key, *before, *each, *after;
        size_t most;
    } rows[] = {
        // "=" before a member's value, nothing before an element
        {"runners", "{", "={\"argv\":[\"/bin/true\"]}", "}", AGENT_CONFIG_RUNNERS_MAX},
        {"on_activate", "{", "={\"action\":\"none\"}", "}", AGENT_CONFIG_HOOKS_MAX},
        {"metrics", "{", "={\"file\":\"/m\",\"metric\":\"m\"}", "}", AGENT_CONFIG_METRICS_MAX},
        {"endpoints", "{", "=\"file:/m\"", "}", AGENT_CONFIG_ENDPOINTS_MAX},
        {"fact_commands", "{", "=[\"/bin/true\"]", "}", AGENT_CONFIG_COMMANDS_MAX},
        {"slots", "{", "=[\"/a\",\"/b\"]", "}", AGENT_CONFIG_SLOTS_MAX},
        {"runners", "{\"r\":{\"argv\":[", "\"/a\"", "]}}", AGENT_CONFIG_ARGV_MAX},
        {"fact_commands", "{\"f\":[", "\"/a\"", "]}", AGENT_CONFIG_ARGV_MAX},
        {"on_activate", "{\"c\":{\"action\":\"exec\",\"argv\":[", "\"/a\"", "]}}",
         AGENT_CONFIG_ARGV_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int more = -1; more <= 1; more++)
            cr_expect_eq(takes(rows[i].key, rows[i].before, rows[i].each, rows[i].after,
                               rows[i].most + (size_t)more),
                         more <= 0, "%s: %zu and %d", rows[i].key, rows[i].most, more);
}

// {"xxx…":VALUE}, the name so many bytes long.
static bool takes_name(const char *key, const char *value, size_t len) {
    char name[256], text[512];
    cr_assert_lt(len, sizeof name);
    memset(name, 'x', len);
    name[len] = '\0';
    (void)snprintf(text, sizeof text, "{\"%s\":%s}", name, value);
    OWN(json) json_t *got = read_member(key, text);
    return got != NULL;
}

Test(limits, bytes_of_a_name) {
    static const struct {
        const char *key, *value;
        size_t most;
    } rows[] = {
        {"runners", "{\"argv\":[\"/bin/true\"]}", BUNDLE_NAME_MAX},
        {"on_activate", "{\"action\":\"none\"}", BUNDLE_NAME_MAX},
        {"metrics", "{\"file\":\"/m\",\"metric\":\"m\"}", BUNDLE_NAME_MAX},
        {"endpoints", "\"file:/m\"", BUNDLE_NAME_MAX},
        {"facts", "1", BUNDLE_FACT_NAME_MAX},
        {"fact_commands", "[\"/bin/true\"]", BUNDLE_FACT_NAME_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_not(takes_name(rows[i].key, rows[i].value, 0), "%s", rows[i].key);
        cr_expect(takes_name(rows[i].key, rows[i].value, 1), "%s", rows[i].key);
        for (int more = -1; more <= 1; more++)
            cr_expect_eq(takes_name(rows[i].key, rows[i].value, rows[i].most + (size_t)more),
                         more <= 0, "%s: %zu and %d", rows[i].key, rows[i].most, more);
    }
}

Test(limits, bytes_of_the_file) {
    for (int more = -1; more <= 1; more++) {
        OWN(buf) struct buf text;
        OWN(json) json_t *got = NULL;
        struct err e = ERR_NONE;
        const char start[] = "{\"state_dir\":\"/s\",\"root\":\"/r\"}";
        size_t len = AGENT_CONFIG_MAX_BYTES + (size_t)more;
        buf_init(&text, AGENT_CONFIG_MAX_BYTES + 16);
        cr_assert_eq(buf_add_text(&text, start, &e), 0);
        while (text.len < len)
            cr_assert_eq(buf_add_text(&text, " ", &e), 0);
        cr_expect_eq(read_text(buf_text(&text), text.len, &got, &e) == 0, more <= 0, "%d: %s", more,
                     e.text);
    }
}

// ── The socket ──

struct desk {
    struct tmp_dir dir;
    struct agent_loop loop;
    struct agent_talk_server *server;
    struct sockaddr_un address;
};

static int answer_yes(void *context, struct agent_talk_request *request, json_t **ret,
                      struct err *e) {
    (void)context;
    (void)request;
    (void)e;
    *ret = json_pack("{sb}", "ok", 1);
    return 0;
}

static void desk_open(struct desk *d) {
    struct err e = ERR_NONE;
    d->dir = tmp_dir_make();
    d->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    cr_assert_lt(strlen(d->dir.path) + 3, sizeof d->address.sun_path);
    (void)snprintf(d->address.sun_path, sizeof d->address.sun_path, "%.90s/s", d->dir.path);
    agent_loop_init(&d->loop, chrono_system());
    cr_assert_eq(
        agent_talk_listen(&d->loop, d->address.sun_path, "", answer_yes, NULL, &d->server, &e), 0,
        "%s", e.text);
}

static void desk_close(struct desk *d) {
    agent_talk_close(d->server);
    tmp_dir_remove(&d->dir);
}

static void desk_turn(struct desk *d) {
    struct err e = ERR_NONE;
    for (int i = 0; i < 4; i++)
        cr_assert_geq(agent_loop_turn(&d->loop, 0, &e), 0, "%s", e.text);
}

static int come(struct desk *d) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&d->address, sizeof d->address), 0, "%s",
                 strerror(errno));
    desk_turn(d);
    return fd;
}

// Whether a client that asked gets an answer; turns are made until it does or is shut out.
static bool is_answered(struct desk *d, int fd) {
    char text[64];
    for (int i = 0; i < 100; i++) {
        ssize_t got = recv(fd, text, sizeof text, 0);
        if (got >= 0 || errno != EAGAIN)
            return got > 0 && strncmp(text, "{\"ok\":true}", 11) == 0;
        desk_turn(d);
    }
    cr_assert_fail("neither answered nor shut out");
    return false;
}

Test(limits, clients_at_the_socket) {
    struct desk d;
    int fds[AGENT_TALK_CLIENTS_MAX + 1];
    desk_open(&d);
    for (size_t i = 0; i <= AGENT_TALK_CLIENTS_MAX; i++)
        fds[i] = come(&d);
    cr_expect_not(is_answered(&d, fds[AGENT_TALK_CLIENTS_MAX]), "the one too many is shut out");
    for (size_t i = 0; i < AGENT_TALK_CLIENTS_MAX; i++) {
        cr_assert_eq(send(fds[i], "{}\n", 3, MSG_NOSIGNAL), 3);
        cr_expect(is_answered(&d, fds[i]), "client %zu", i);
    }
    int again = come(&d); // places are free again
    cr_assert_eq(send(again, "{}\n", 3, MSG_NOSIGNAL), 3);
    cr_expect(is_answered(&d, again));
    (void)close(again);
    for (size_t i = 0; i <= AGENT_TALK_CLIENTS_MAX; i++)
        (void)close(fds[i]);
    desk_close(&d);
}

// A line of so many bytes, its newline among them.
static bool takes_line(struct desk *d, size_t len) {
    char chunk[4096];
    int fd = come(d);
    size_t sent = 0;
    while (sent < len) {
        size_t part = len - sent < sizeof chunk ? len - sent : sizeof chunk;
        memset(chunk, ' ', sizeof chunk);
        if (sent == 0)
            memcpy(chunk, "{}", 2);
        if (sent + part == len)
            chunk[part - 1] = '\n';
        ssize_t n = send(fd, chunk, part, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        sent += n > 0 ? (size_t)n : 0;
        desk_turn(d);
    }
    bool answered = is_answered(d, fd);
    (void)close(fd);
    return answered;
}

Test(limits, bytes_of_a_line_at_the_socket) {
    struct desk d;
    desk_open(&d);
    cr_expect(takes_line(&d, AGENT_TALK_LINE_MAX - 1));
    cr_expect(takes_line(&d, AGENT_TALK_LINE_MAX));
    cr_expect_not(takes_line(&d, AGENT_TALK_LINE_MAX + 1));
    desk_close(&d);
}
