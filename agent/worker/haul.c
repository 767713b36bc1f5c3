// SPDX-License-Identifier: Apache-2.0
//
// See haul.h.
#include "agent/worker/haul.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/kind.h"
#include "agent/worker/fetch.h"
#include "agent/worker/way.h"
#include "base/own.h"
#include "base/text.h"
#include "bundle/generation.h"
#include "bundle/kind.h"

// Whether what runs came from the bundle that the delta starts from, at least in part; the delta's
// head says exactly what has to be there.
static void look_at_generation(const struct agent_job *job, struct worker_way_facts *ret) {
    OWN(mem) struct bundle_generation *record = calloc(1, sizeof *record);
    struct keys_digest base;
    struct stat st;
    struct err none = ERR_NONE;
    if (!record || fstat(WORKER_FETCH_PREVIOUS_FD, &st) < 0 || !S_ISDIR(st.st_mode) ||
        bundle_generation_read(WORKER_FETCH_PREVIOUS_FD, record, &none) < 0)
        return;
    ret->holds_contents = record->n_components > 0;
    if (keys_digest_parse(job->delta_base, "delta_base", &base, &none) < 0)
        return;
    for (size_t i = 0; i < record->n_components; i++)
        if (keys_digest_equal(&record->components[i].manifest, &base))
            ret->base_held = true;
}

static struct worker_way_choice choose(struct worker_spend *spend) {
    const struct agent_job *job = spend->voice->job;
    struct worker_way_facts facts = {.delta_offered = job->delta_url[0] != '\0',
                                     .delta_named = job->delta_head[0] != '\0',
                                     .delta_bytes = job->delta_bytes,
                                     .bundle_bytes = job->bundle_bytes,
                                     .begun = job->begun == AGENT_JOB_DELTA    ? WORKER_WAY_DELTA
                                              : job->begun == AGENT_JOB_BUNDLE ? WORKER_WAY_BUNDLE
                                                                               : WORKER_WAY_NONE,
                                     .begun_bytes = job->begun_bytes,
                                     .left_bytes = worker_spend_left(spend)};
    look_at_generation(job, &facts);
    facts.holds_contents = facts.holds_contents || facts.begun != WORKER_WAY_NONE;
    spend->holds_contents = facts.holds_contents;
    return worker_way_choose(&facts);
}

// For the agent's log, and for the report of the update.
static void note(struct worker_spend *spend, const char *why) {
    (void)snprintf(spend->said.note, sizeof spend->said.note, "the delta is not used: %s", why);
    char safe[sizeof spend->said.note];
    (void)fprintf(stderr, "%s\n", text_safe(spend->said.note, safe, sizeof safe));
}

static int open_delta(struct worker_staging *s, struct err *e) {
    OWN(delta_candidate) struct unpack_delta_candidate *candidate = NULL;
    const struct agent_job *job = s->voice->job;
    struct unpack_source source;
    if (worker_spend_open(s->spend, WORKER_WAY_DELTA, job->delta_url, job->delta_bytes, &source,
                          e) < 0)
        return -1;
    int r = unpack_delta_open(&source, &candidate, e);
    if (r == UNPACK_DELTA_OPEN_NONE)
        return err_set(e, &err_bad_delta, "what the server has at this address is no delta");
    return r < 0 ? -1 : worker_staging_delta(s, &source, &candidate, e);
}

// A site cache that has it wrong is gone past, once.
static int take_delta(struct worker_staging *s, struct err *e) {
    struct keys_digest head;
    const struct agent_job *job = s->voice->job;
    if (keys_digest_parse(job->delta_head, "delta_head", &head, e) < 0)
        return -1;
    s->head = &head;
    s->head_bytes = job->delta_head_bytes;
    int r = open_delta(s, e);
    bool cached = worker_spend_close(s->spend, e);
    if (r < 0 && cached && !s->alone &&
        worker_way_after(e->kind, s->voice->retry_after_s > 0, job->tries) ==
            WORKER_WAY_BUNDLE_NOW &&
        job->delta_bytes <= worker_spend_left(s->spend)) {
        (void)fprintf(stderr, "the site cache's copy of the delta is wrong; asking its origin\n");
        err_clear(e);
        s->spend->net.site_cache[0] = '\0';
        r = open_delta(s, e);
        (void)worker_spend_close(s->spend, e);
        memcpy(s->spend->net.site_cache, job->net.site_cache, sizeof job->net.site_cache);
    }
    s->head = NULL;
    return r;
}

static int take_bundle(struct worker_staging *s, struct err *e) {
    const struct agent_job *job = s->voice->job;
    struct unpack_source source;
    int r = worker_spend_open(s->spend, WORKER_WAY_BUNDLE, job->url, job->bundle_bytes, &source, e);
    if (r == 0)
        r = worker_staging_bundle(s, &source, e);
    (void)worker_spend_close(s->spend, e);
    return r;
}

// Whether the bundle is taken now, by what the delta failed at; *e stays where it is not.
static bool goes_on(struct worker_staging *s, struct err *e) {
    const struct agent_job *job = s->voice->job;
    bool asked_to_wait = s->voice->retry_after_s > 0;
    if (worker_way_after(e->kind, asked_to_wait, job->tries) != WORKER_WAY_BUNDLE_NOW)
        return false;
    note(s->spend, e->text);
    s->spend->said.no_delta = true;
    err_clear(e);
    s->voice->retry_after_s = 0;
    return true;
}

static int run(struct worker_staging *s, struct err *e) {
    const struct agent_job *job = s->voice->job;
    struct worker_way_choice choice = choose(s->spend);
    if (choice.no_delta)
        note(s->spend, choice.no_delta);
    if (choice.way == WORKER_WAY_NONE)
        return worker_spend_admits(s->spend, choice.cost_bytes > 0 ? choice.cost_bytes : 1, e);
    if (choice.way == WORKER_WAY_DELTA) {
        if (take_delta(s, e) == 0)
            return 0;
        if (!goes_on(s, e))
            return -1;
        // Of what the delta left over something may be used; how much shows in the bundle's index.
        if (worker_spend_left(s->spend) == 0)
            return worker_spend_admits(s->spend, job->bundle_bytes, e);
    }
    return take_bundle(s, e);
}

int worker_haul(struct worker_staging *s, struct err *e) {
    struct worker_spend spend;
    struct err unheard = ERR_NONE;
    worker_spend_begin(&spend, s->voice);
    s->spend = &spend;
    int r = run(s, e);
    // Whatever came of it, what it cost is told. An agent that is gone hears nothing more.
    bool told = worker_spend_tell(&spend, &unheard) == 0;
    s->spend = NULL;
    if (r == 0 && !told) {
        *e = unheard;
        return -1;
    }
    return r;
}
