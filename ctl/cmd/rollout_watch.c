// SPDX-License-Identifier: Apache-2.0
//
// Following a rollout: looks again whenever the controller has news, redraws on a terminal and
// prints changes as lines elsewhere. A controller that does not answer for a while is waited for.
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "ctl/cmd/print.h"
#include "ctl/cmd/remote.h"
#include "ctl/cmd/rollout.h"
#include "ctl/kind.h"
#include "ctl/rollout/policy.h"
#include "ctl/term.h"

#define LINE_BYTES 1024

const struct opt cmd_rollout_watch_options[] = {
    {.name = "timeout", .value = "TIME", .help = "For how long (90, 15m, 2h; default: to its end)"},
    CMD_REMOTE_OPTIONS,
    {.name = "json", .help = "Print each change as JSON, one a line"},
    CMD_OPTION_END};

struct stage_line {
    char state[32];
    char text[LINE_BYTES]; // as printed last
    int64_t said_ms;
};

struct watch {
    const struct cmd_rollout_follow *how;
    const struct chrono *clock;
    int64_t began_ms, answered_ms;
    bool live;
    unsigned drawn; // lines on the screen
    bool complained;
    json_t *rollout;  // the last answer
    json_int_t after; // the last event seen; -1: not known yet
    char head[LINE_BYTES];
    struct stage_line stages[ROLLOUT_POLICY_STAGES_MAX];
};

// How a rollout can end. The others go on.
static const struct {
    const char *state;
    const struct err_kind *kind; // NULL: well
} ends[] = {{"finished", NULL},
            {"failed", &err_rollout_failed},
            {"paused", &err_rollout_stopped},
            {"reverted", &err_rollout_reverted},
            {"aborted", &err_rollout_aborted}};

// 1 when it has not ended.
enum { GOES_ON = 1 };
static int judge(const struct watch *w, struct err *e) {
    const char *state = cmd_print_string(w->rollout, "state");
    char name[128], text[300];
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(ends[i].state, state) != 0)
            continue;
        if (!ends[i].kind)
            return 0;
        const json_t *why = json_object_get(w->rollout, "why");
        const struct err_kind *kind = ends[i].kind;
        if (strcmp(cmd_print_string(why, "code"), "inconclusive") == 0)
            kind = &err_rollout_inconclusive;
        return err_set(e, kind, "rollout %s: %s: %s", text_safe(w->how->name, name, sizeof name),
                       state, text_safe(cmd_print_string(why, "text"), text, sizeof text));
    }
    return GOES_ON;
}

// ── Showing ─────────────────────────────────────────────────────────────────────────────────────

static void redraw(struct watch *w) {
    unsigned width = ctl_term_width(STDOUT_FILENO);
    if (w->drawn > 0)
        (void)printf("\033[%uA\r\033[J", w->drawn);
    w->drawn = cmd_rollout_show(stdout, w->rollout, width > 1 ? width - 1 : 1);
    (void)fflush(stdout);
}

// A change of state is said at once; numbers alone now and then, so that a log of a large fleet
// stays readable.
static void say_stage(struct watch *w, struct stage_line *line, const json_t *stage, bool last) {
    char name[128], state[32];
    struct err ignored = ERR_NONE;
    int64_t now = chrono_boot_ms(w->clock);
    OWN(buf) struct buf text;
    buf_init(&text, LINE_BYTES - 1);
    (void)cmd_rollout_show_stage(stage, &text, &ignored);
    (void)snprintf(state, sizeof state, "%s", cmd_print_string(stage, "state"));
    bool turned = strcmp(state, line->state) != 0;
    bool pending = !line->state[0] && strcmp(state, "pending") == 0;
    bool changed = strcmp(buf_text(&text), line->text) != 0;
    if (pending || !changed || (!turned && !last && now - line->said_ms < CMD_ROLLOUT_LINE_MS))
        return;
    (void)snprintf(line->state, sizeof line->state, "%s", state);
    (void)snprintf(line->text, sizeof line->text, "%s", buf_text(&text));
    line->said_ms = now;
    (void)printf("stage %s: %s\n", text_safe(cmd_print_string(stage, "name"), name, sizeof name),
                 line->text);
}

static void say_changes(struct watch *w, bool last) {
    char name[128], state[64], text[400], head[LINE_BYTES];
    const json_t *why = json_object_get(w->rollout, "why");
    const json_t *stages = json_object_get(w->rollout, "stages");
    size_t i;
    json_t *stage;
    json_array_foreach (stages, i, stage)
        if (i < ROLLOUT_POLICY_STAGES_MAX)
            say_stage(w, &w->stages[i], stage, last);
    // Why it waits changes with each number; the code, with what it waits for.
    (void)snprintf(head, sizeof head, "%s %s", cmd_print_string(w->rollout, "state"),
                   cmd_print_string(why, "code"));
    if (strcmp(head, w->head) != 0) {
        memcpy(w->head, head, sizeof head);
        text_safe(cmd_print_string(why, "text"), text, sizeof text);
        (void)printf("%s: %s%s%s\n", text_safe(w->how->name, name, sizeof name),
                     text_safe(cmd_print_string(w->rollout, "state"), state, sizeof state),
                     *text ? ": " : "", text);
    }
    char remains[CMD_ROLLOUT_REMAINS_BYTES];
    if (last && *cmd_rollout_remains(w->rollout, remains))
        (void)printf("note: %s\n", remains);
    (void)fflush(stdout);
}

static void show(struct watch *w, bool changed, bool last) {
    if (w->how->json) {
        if (w->how->each_change && changed)
            cmd_print_json_line(w->rollout);
    } else if (w->live) {
        redraw(w);
    } else {
        say_changes(w, last);
    }
}

// ── Looking ─────────────────────────────────────────────────────────────────────────────────────

// How long until the timeout; INT64_MAX when there is none.
static int64_t left_ms(const struct watch *w) {
    if (w->how->timeout_s == 0)
        return INT64_MAX;
    int64_t gone = chrono_boot_ms(w->clock) - w->began_ms;
    return (int64_t)w->how->timeout_s * 1000 - gone;
}

static int get_rollout(struct watch *w, json_t **ret, struct err *e) {
    OWN(buf) struct buf path;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "rollouts/%", w->how->name) < 0)
        return -1;
    return net_client_get(w->how->client, buf_text(&path), ret, e);
}

// Waits until something happened in the fleet, or for a while. The first call only learns where the
// stream of events is.
static int wait_for_news(struct watch *w, struct err *e) {
    char number[32];
    int64_t left = left_ms(w);
    int64_t wait_s = left < CMD_ROLLOUT_POLL_S * 1000 ? left / 1000 : CMD_ROLLOUT_POLL_S;
    OWN(buf) struct buf path;
    OWN(json) json_t *answer = NULL;
    buf_init(&path, CMD_REMOTE_PATH_MAX);
    if (cmd_remote_path(&path, e, "events") < 0)
        return -1;
    if (w->after >= 0) {
        (void)snprintf(number, sizeof number, "%lld", (long long)w->after);
        if (net_client_add_query(&path, "after", number, e) < 0 ||
            net_client_add_query(&path, "limit", "1000", e) < 0)
            return -1;
        (void)snprintf(number, sizeof number, "%lld", (long long)(wait_s > 0 ? wait_s : 0));
        if (net_client_add_query(&path, "wait_s", number, e) < 0)
            return -1;
    }
    if (net_client_get(w->how->client, buf_text(&path), &answer, e) < 0)
        return -1;
    w->after = cmd_print_integer(answer, "next");
    return 0;
}

// Not every failure ends the watch: a controller may be restarted meanwhile. *io is cleared when it
// may pass.
static int tolerate(struct watch *w, struct err *io) {
    int64_t silent_ms = chrono_boot_ms(w->clock) - w->answered_ms;
    if (!io->kind->retry || silent_ms > CMD_ROLLOUT_PATIENCE_S * 1000)
        return -1;
    if (!w->complained)
        (void)fprintf(stderr, "note: %s; trying again for up to %d s\n", io->text,
                      CMD_ROLLOUT_PATIENCE_S);
    w->complained = true;
    w->drawn = 0; // the note stands between
    err_clear(io);
    return 0;
}

// One look. GOES_ON when the rollout has not ended.
static int look(struct watch *w, struct err *e) {
    json_t *rollout = NULL;
    if (get_rollout(w, &rollout, e) < 0)
        return tolerate(w, e) < 0 ? -1 : GOES_ON;
    bool changed = !w->rollout || !json_equal(rollout, w->rollout);
    json_decref(w->rollout);
    w->rollout = rollout;
    w->answered_ms = chrono_boot_ms(w->clock);
    w->complained = false;
    struct err end = ERR_NONE;
    int r = judge(w, &end);
    show(w, changed, r != GOES_ON);
    return r < 0 ? err_set(e, end.kind, "%s", end.text) : r;
}

static int follow(struct watch *w, struct err *e) {
    // Where the events are, before the first look: nothing can fall between.
    if (wait_for_news(w, e) < 0 && tolerate(w, e) < 0)
        return -1;
    for (;;) {
        int r = look(w, e);
        if (r != GOES_ON)
            return r;
        if (left_ms(w) <= 0)
            return err_set(e, &err_rollout_pending,
                           "rollout %s has not ended within %llu s; it goes on", w->how->name,
                           (unsigned long long)w->how->timeout_s);
        ctl_term_pause(CMD_ROLLOUT_REFRESH_MS);
        if (wait_for_news(w, e) < 0 && tolerate(w, e) < 0)
            return -1;
    }
}

int cmd_rollout_follow(const struct cmd_rollout_follow *how, json_t **ret_last, struct err *e) {
    OWN(mem) struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, &err_memory, "following a rollout: no memory");
    w->how = how;
    w->clock = how->context->clock;
    w->live = !how->json && ctl_term_is_live(STDOUT_FILENO);
    w->after = -1;
    w->began_ms = w->answered_ms = chrono_boot_ms(w->clock);
    int r = follow(w, e);
    *ret_last = w->rollout;
    return r;
}

int cmd_rollout_watch(void *context, const struct opt_args *args, struct err *e) {
    OWN(net_client) struct net_client *client = NULL;
    OWN(json) json_t *last = NULL;
    bool json = opt_given(args, "json");
    const char *timeout = opt_get(args, "timeout");
    struct cmd_rollout_follow how = {
        .context = context, .name = opt_operand(args, 0), .json = json, .each_change = json};
    if (timeout &&
        num_parse_seconds(timeout, "--timeout", CMD_ROLLOUT_TIMEOUT_MAX_S, &how.timeout_s, e) < 0)
        return -1;
    if (cmd_remote_open(args, &client, e) < 0)
        return -1;
    how.client = client;
    return cmd_rollout_follow(&how, &last, e);
}
