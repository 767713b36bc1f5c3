// SPDX-License-Identifier: Apache-2.0
//
// Probing a URL or a metrics file; see probe.h.
#include "agent/worker/probe.h"

#include <fcntl.h>
#include <string.h>

#include "agent/kind.h"
#include "agent/net/request.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/probe.h"

static const char file_scheme[] = "file:";

static int read_text(const struct agent_job *job, struct buf *ret, long *ret_status,
                     struct err *e) {
    size_t scheme_len = sizeof file_scheme - 1;
    if (strncmp(job->probe_url, file_scheme, scheme_len) != 0)
        return net_request_get_local(job->probe_url, job->timeout_s, ret, ret_status, e);
    *ret_status = 200;
    return fs_read_file(AT_FDCWD, job->probe_url + scheme_len, WORKER_PROBE_TEXT_MAX_BYTES, ret, e);
}

int worker_probe(struct worker_voice *v, struct err *e) {
    const struct agent_job *job = v->job;
    struct agent_job_message m = {.type = AGENT_JOB_SAMPLE};
    OWN(buf) struct buf text;
    long status = 0;
    buf_init(&text, WORKER_PROBE_TEXT_MAX_BYTES);
    if (read_text(job, &text, &status, e) < 0)
        return -1;
    m.u.sample.status = (uint64_t)status;
    if (job->metric[0]) {
        if (status != 200)
            return err_set(e, &err_probe_failed, "%s answered with status %ld", job->probe_url,
                           status);
        int found = bundle_probe_find_sample(buf_slice(&text), job->metric, &m.u.sample.value, e);
        if (found < 0)
            return -1;
        m.u.sample.found = found == 0;
    }
    return worker_voice_send(v, &m, e);
}
