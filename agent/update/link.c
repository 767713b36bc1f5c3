// SPDX-License-Identifier: Apache-2.0
//
// What the update under way may cost the device's link and when, and what it cost. The worker counts and keeps
// within the limit (agent/worker/spend.h); here is what the limit is by now, and the account that
// outlives it. A link that is metered may be left for another one, so an update that does not fit it
// waits, as one does outside of the hours in which its rollout may be fetched; one that does not fit at
// all is refused.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/update/engine.h"
#include "base/fs.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/kind.h"
#include "keys/envelope.h"

#define METERED_FILE_BYTES 4096

// What nobody says is taken for the dearer one: bytes that were paid for do not come back.
static bool is_metered(const struct agent_config *config) {
    OWN(buf) struct buf text;
    struct err unread = ERR_NONE;
    const char *word = config->metered;
    buf_init(&text, METERED_FILE_BYTES);
    if (word[0] == '/') {
        if (fs_read_file(AT_FDCWD, word, METERED_FILE_BYTES, &text, &unread) < 0)
            return true;
        word = buf_text(&text);
    }
    word += strspn(word, " \t\n");
    return strncmp(word, "no", 2) != 0 || (word[2] != '\0' && !strchr(" \t\n", word[2]));
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

// UINT64_MAX: as much as it takes.
static uint64_t limit(const struct agent_update *u, bool metered) {
    const struct agent_config *config = u->host.state->config;
    const struct bundle_instruction_budget *offer = &update_engine_record(u)->update.budget;
    uint64_t most = config->fetch_budget_bytes > 0 ? config->fetch_budget_bytes : INT64_MAX;
    if (offer->has_bytes)
        most = least(most, offer->bytes);
    if (metered)
        most = least(most, config->fetch_budget_metered_bytes);
    if (metered && offer->has_metered_bytes)
        most = least(most, offer->metered_bytes);
    return most < INT64_MAX ? most : UINT64_MAX;
}

static uint64_t limit_now(struct agent_update *u) {
    u->metered = is_metered(u->host.state->config);
    return limit(u, u->metered);
}

void update_link_fill(struct agent_update *u, struct agent_job *job) {
    const struct fsm_update *update = &update_engine_record(u)->update;
    bool may_be_metered = strcmp(u->host.state->config->metered, "no") != 0;
    u->spent_before = update->spent;
    // Who has to be told when a window ends asks as often as who has a limit.
    u->limited = limit(u, may_be_metered) != UINT64_MAX || update->windows.download.n > 0;
    job->limited = u->limited;
    job->limit_bytes = limit_now(u);
    job->spent_bytes = bundle_report_link_bytes(&update->spent);
    job->tries = update->tries;
    job->begun = update->packing;
    job->begun_bytes = update->staged_bytes;
    job->net.fetch_budget_bytes = 0; // the limit says it
}

// Messages carry no more, and a worker that was taken over may say anything.
static uint64_t sum(uint64_t a, uint64_t b) {
    a = least(a, KEYS_VERSION_MAX / 8);
    return least(a + least(b, KEYS_VERSION_MAX / 8), KEYS_VERSION_MAX / 8);
}

static int answer(struct agent_update *u, struct err *e) {
    struct agent_job_message *say = calloc(1, sizeof *say);
    if (!say)
        return err_set(e, &err_memory, "answering the worker: out of memory");
    say->type = AGENT_JOB_LIMIT;
    say->u.limit.bytes = limit_now(u);
    int sent = agent_hire_send(u->hire, say, e);
    free(say);
    return sent;
}

int update_link_note(struct agent_update *u, const struct agent_job_spent *said, struct err *e) {
    struct fsm_update *update = &u->host.state->journal.record.update;
    const struct bundle_report_bytes *before = &u->spent_before, *b = &said->bytes;
    update->spent = (struct bundle_report_bytes){
        .delta = sum(before->delta, b->delta),
        .range = sum(before->range, b->range),
        .full = sum(before->full, b->full),
        .index = sum(before->index, b->index),
        .cache = sum(before->cache, b->cache),
        .reused = sum(b->reused > 0 ? b->reused : before->reused, 0), // of the whole update
    };
    update->packing = least(said->begun, FSM_PACKING_BUNDLE);
    update->staged_bytes = sum(said->begun_bytes, 0);
    update->no_delta = update->no_delta || said->no_delta;
    u->need_bytes = said->need_bytes;
    if (said->note[0] != '\0')
        text_safe(said->note, u->detail, sizeof u->detail);
    if (agent_state_save(u->host.state, e) < 0) {
        update_engine_stop(u, e);
        return -1;
    }
    if (update_window_is_closed(u, UPDATE_WINDOW_DOWNLOAD, e))
        return -1;
    return u->limited ? answer(u, e) : 0;
}

void update_link_unstaged(struct agent_update *u) {
    struct fsm_update *update = &u->host.state->journal.record.update;
    update->packing = FSM_PACKING_NONE;
    update->staged_bytes = 0;
}

bool update_link_may_wait(const struct agent_update *u, const struct err *why) {
    return err_is(why, &err_outside_rollout_window) ||
           (err_is(why, &err_budget) && u->metered && limit(u, true) < limit(u, false) &&
            u->need_bytes <= limit(u, false));
}

void update_link_wait(struct agent_update *u, const struct err *why) {
    struct err waits = ERR_NONE, e = ERR_NONE;
    bool again = u->waits_for_link;
    err_set(&waits, why->kind, "%s%s", why->text,
            err_is(why, &err_budget) ? ", on a metered link: waits for one that is not" : "");
    u->waits_for_link = true;
    if (agent_state_wait(u->host.state, waits.kind, waits.text, &e) < 0)
        update_engine_stop(u, &e);
    else if (again)
        update_fetch_later(u);
    else
        update_engine_fire(u, FSM_HICCUP, &waits);
}

bool update_link_is_closed(struct agent_update *u, struct err *why) {
    if (update_window_is_closed(u, UPDATE_WINDOW_DOWNLOAD, why))
        return true;
    const struct fsm_update *update = &update_engine_record(u)->update;
    char allowed[NUM_SIZE_TEXT];
    uint64_t most = limit_now(u), spent = bundle_report_link_bytes(&update->spent);
    bool fits = spent < most && u->need_bytes <= most;
    if (fits || !u->metered || limit(u, false) == most)
        return false;
    err_set(why, &err_budget, "budget %s, nothing left of it", num_format_size(most, allowed));
    return true;
}
