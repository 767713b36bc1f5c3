// SPDX-License-Identifier: Apache-2.0
//
// See body.h.
#include "agent/checkin/body.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"
#include "bundle/checkin.h"
#include "bundle/probe.h"

#define METRICS_FILE_MAX (1024 * 1024)

static int add_components(const struct agent_state *state, struct bundle_checkin *m,
                          struct err *e) {
    struct bundle_generation g;
    uint64_t runs;
    // What runs, which in probation is not what is committed.
    if (agent_store_current(&state->store, &runs, e) != 0)
        return e->kind ? -1 : 0;
    m->generation = runs;
    if (agent_store_record(&state->store, runs, &g, e) < 0)
        return -1;
    m->n_components = g.n_components;
    for (size_t i = 0; i < g.n_components; i++) {
        struct bundle_checkin_component *to = &m->components[i];
        const struct bundle_generation_component *from = &g.components[i];
        _Static_assert(sizeof to->version == sizeof from->release, "names of releases");
        memcpy(to->name, from->name, sizeof to->name);
        memcpy(to->bundle_name, from->bundle_name, sizeof to->bundle_name);
        memcpy(to->version, from->release, sizeof to->version);
        to->manifest = from->manifest;
        to->security_version = from->security_version;
    }
    return 0;
}

// A sample as a decimal string; what a decimal cannot hold is left out.
static json_t *decimal_of(double value) {
    char text[NUM_DECIMAL_TEXT];
    if (!isfinite(value) || fabs(value) > (double)NUM_DECIMAL_MAX)
        return NULL;
    struct decimal decimal = {
        .nano = (int64_t)(value * (double)NUM_DECIMAL_SCALE + (value < 0 ? -0.5 : 0.5))};
    return json_string(num_format_decimal(decimal, text));
}

static void add_metrics(const struct agent_config *config, struct bundle_checkin *m) {
    m->metrics = config->n_metrics > 0 ? json_object() : NULL;
    for (size_t i = 0; m->metrics && i < config->n_metrics; i++) {
        const struct agent_config_metric *metric = &config->metrics[i];
        OWN(buf) struct buf text;
        struct err e = ERR_NONE;
        double value;
        buf_init(&text, METRICS_FILE_MAX);
        // An application that is not running has no metrics; that is no error of the check-in.
        if (fs_read_file(AT_FDCWD, metric->file, METRICS_FILE_MAX, &text, &e) < 0 ||
            bundle_probe_find_sample((struct slice){text.data, text.len}, metric->metric, &value,
                                     &e) != 0)
            continue;
        json_t *decimal = decimal_of(value);
        if (decimal)
            (void)json_object_set_new(m->metrics, metric->name, decimal);
    }
}

static void add_update(const struct checkin_body *what, struct bundle_checkin *m) {
    const struct fsm_record *r = &what->state->journal.record;
    // A sham is no update: `state` says that there is one.
    m->has_update = r->has_update && r->update.has_bundle && !fsm_machine_is_sham(r->state);
    if (m->has_update) {
        memcpy(m->rollout, r->update.rollout, sizeof m->rollout);
        m->attempt = r->update.attempt;
        m->bundle = r->update.bundle;
    }
    m->look = agent_update_wants_look(what->update);
    m->has_progress = agent_update_progress(what->update, &m->done_bytes, &m->total_bytes);
    const struct bundle_checkin_probed *probed = agent_update_probed(what->update);
    if (probed)
        m->probed = *probed;
    memcpy(m->why_code, r->why.code, sizeof m->why_code);
    memcpy(m->why_text, r->why.text, sizeof m->why_text);
}

static int fill(const struct checkin_body *what, struct bundle_checkin *m, struct err *e) {
    const struct agent_state *state = what->state;
    const struct fsm_record *r = &state->journal.record;
    m->protocol_min = BUNDLE_PROTOCOL_MIN;
    m->protocol_max = BUNDLE_PROTOCOL_MAX;
    memcpy(m->device, state->identity.device, sizeof m->device);
    memcpy(m->nonce, state->identity.nonce, sizeof m->nonce);
    (void)snprintf(m->agent, sizeof m->agent, "%s", EDGE_VERSION);
    (void)snprintf(m->state, sizeof m->state, "%s", fsm_machine_state_names[r->state]);
    m->has_previous = r->has_previous;
    m->previous = r->previous;
    m->sequence = state->journal.sequence;
    m->dropped_heartbeats = state->queue.dropped;
    m->refused_reports = state->queue.refused;
    m->facts_digest = *what->facts_digest;
    if (what->send_facts)
        m->facts = json_incref((json_t *)(uintptr_t)what->facts);
    add_update(what, m);
    add_metrics(state->config, m);
    if (add_components(state, m, e) < 0)
        return -1;
    size_t most = state->queue.unsure ? 0 : BUNDLE_REPORTS_PER_CHECKIN_MAX;
    return agent_queue_peek(&state->queue, most, &m->reports, &m->n_reports, e);
}

int checkin_body_format(const struct checkin_body *what, struct buf *ret, struct err *e) {
    struct bundle_checkin *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, &err_memory, "writing a check-in: out of memory");
    int done = fill(what, m, e) < 0 ? -1 : bundle_checkin_format(m, ret, e);
    bundle_checkin_clear(m);
    free(m);
    return done;
}
