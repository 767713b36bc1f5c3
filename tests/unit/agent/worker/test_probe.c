// SPDX-License-Identifier: Apache-2.0
//
// Probing loopback URLs and metric files with the worker program.
#include "tests/support/faultd.h"
#include "tests/support/tmp.h"
#include "tests/unit/agent/worker/hired.h"

#define METRICS "# TYPE latency gauge\nlatency{q=\"0.95\"} 12.5\nlatency{q=\"0.5\"} 3\nup 1\n"

static struct agent_job job = {.kind = AGENT_JOB_PROBE, .timeout_s = 60};
static const int no_fds[] = {-1};

TestSuite(probe, .timeout = 1200);

static struct hired probe_scene(const struct faultd_scene *scene, struct faultd **ret) {
    *ret = faultd_open(scene, 1);
    snprintf(job.probe_url, sizeof job.probe_url, "%s/health", faultd_url(*ret));
    return hire(&job, no_fds);
}

static struct hired probe_file(const struct tmp_dir *dir, const char *text) {
    int fd = openat(dir->fd, "metrics", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(job.probe_url, sizeof job.probe_url, "file:%s/metrics", dir->path);
    return hire(&job, no_fds);
}

Test(probe, the_status_of_a_url_is_told_whatever_it_is) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 0, .cut = FAULTD_WHOLE},
        {"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", "", 0, .cut = FAULTD_WHOLE}};
    static const uint64_t statuses[] = {200, 503};
    for (size_t i = 0; i < 2; i++) {
        struct faultd *server;
        struct hired h = probe_scene(&scenes[i], &server);
        cr_assert_eq(hired_say(&h, AGENT_JOB_SAMPLE)->u.sample.status, statuses[i]);
        hired_result(&h, NULL);
        faultd_close(server);
    }
}

Test(probe, a_metric_of_a_url_is_found) {
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", METRICS, sizeof METRICS - 1,
                                       .cut = FAULTD_WHOLE};
    struct faultd *server;
    strcpy(job.metric, "latency{q=\"0.95\"}");
    struct hired h = probe_scene(&scene, &server);
    const struct agent_job_sample *sample = &hired_say(&h, AGENT_JOB_SAMPLE)->u.sample;
    cr_assert(sample->found);
    cr_assert_float_eq(sample->value, 12.5, 1e-9);
    hired_result(&h, NULL);
    faultd_close(server);
}

Test(probe, a_metric_of_a_file_is_found) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    strcpy(job.metric, "up");
    struct hired h = probe_file(&dir, METRICS);
    const struct agent_job_sample *sample = &hired_say(&h, AGENT_JOB_SAMPLE)->u.sample;
    cr_assert(sample->found);
    cr_assert_float_eq(sample->value, 1, 1e-9);
    hired_result(&h, NULL);
}

Test(probe, a_metric_that_is_not_there_is_not_found) {
    OWN(tmp_dir) struct tmp_dir dir = tmp_dir_make();
    strcpy(job.metric, "down");
    struct hired h = probe_file(&dir, METRICS);
    cr_assert(!hired_say(&h, AGENT_JOB_SAMPLE)->u.sample.found);
    hired_result(&h, NULL);
}

Test(probe, metrics_of_a_server_in_trouble_do_not_count) {
    const struct faultd_scene scene = {"HTTP/1.1 500 Oops\r\n\r\n", METRICS, sizeof METRICS - 1,
                                       .cut = FAULTD_WHOLE};
    struct faultd *server;
    strcpy(job.metric, "up");
    struct hired h = probe_scene(&scene, &server);
    hired_result(&h, &err_probe_failed);
    faultd_close(server);
}

Test(probe, a_server_that_hangs_is_too_slow) {
    const struct faultd_scene scene = {"", "", 0, .cut = FAULTD_WHOLE, .stall_ms = 600000};
    struct faultd *server;
    job.timeout_s = 1;
    struct hired h = probe_scene(&scene, &server);
    hired_result(&h, &err_too_slow);
    faultd_close(server);
}

Test(probe, more_text_than_metrics_have_is_refused) {
    static char text[1024 * 1024 + 1];
    memset(text, '#', sizeof text);
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", text, sizeof text,
                                       .cut = FAULTD_WHOLE};
    struct faultd *server;
    struct hired h = probe_scene(&scene, &server);
    hired_result(&h, &err_limit);
    faultd_close(server);
}

Test(probe, only_this_machine_and_files_are_probed) {
    static const struct {
        const char *url;
        const struct err_kind *kind;
    } cases[] = {{"http://192.0.2.1/", &err_permission},
                 {"https://127.0.0.1/", &err_config},
                 {"gopher://127.0.0.1/", &err_config},
                 {"file:/nowhere/metrics", &err_not_found}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        strcpy(job.probe_url, cases[i].url);
        struct hired h = hire(&job, no_fds);
        hired_result(&h, cases[i].kind);
    }
}
