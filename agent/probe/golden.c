// SPDX-License-Identifier: Apache-2.0
//
// See golden.h.
#include "agent/probe/golden.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/kind.h"
#include "base/num.h"
#include "base/own.h"
#include "base/text.h"

int probe_golden_input(const struct bundle_probe *probe, const struct probe_command *command,
                       struct buf *ret, struct err *e) {
    for (size_t i = 0; i < probe->n_cases; i++) {
        if (buf_add_format(ret, e, "%s/%s\n", command->component, probe->cases[i].input) < 0)
            return -1;
    }
    return 0;
}

static int wrong_answer(size_t number, const char *what, struct err *e) {
    return err_set(e, &err_probe_failed, "the runner's answer %zu %s", number + 1, what);
}

// Takes one answer off the front: path and latency, both in the caller's line.
static int take_answer(struct slice *rest, size_t number, char *line, size_t line_bytes,
                       uint64_t *ret_us, struct err *e) {
    const char *text = (const char *)rest->data;
    const char *newline = rest->len > 0 ? memchr(text, '\n', rest->len) : NULL;
    struct err ignored = ERR_NONE;
    if (!newline)
        return wrong_answer(number, "is missing", e);
    size_t len = (size_t)(newline - text);
    *rest = (struct slice){.data = rest->data + len + 1, .len = rest->len - len - 1};
    if (len >= line_bytes)
        return wrong_answer(number, "is too long", e);
    memcpy(line, text, len);
    line[len] = '\0';
    char *tab = strrchr(line, '\t');
    if (!tab || memchr(line, '\0', len))
        return wrong_answer(number, "is not a path, a tab and a latency", e);
    *tab = '\0';
    if (num_parse_u64(tab + 1, "latency", 0, INT64_MAX, ret_us, &ignored) < 0)
        return wrong_answer(number, "has no latency in whole microseconds", e);
    return 0;
}

static int read_expected(const struct probe_command *command, const char *path, struct buf *ret,
                         struct err *e) {
    OWN(fd) int dir = -1;
    if (fs_open_dir(AT_FDCWD, command->component, &dir, e) < 0)
        return -1;
    return fs_read_file(dir, path, PROBE_GOLDEN_OUTPUT_MAX, ret, e);
}

static int read_got(const struct probe_command *command, int state_dir, const char *path,
                    size_t number, struct buf *ret, struct err *e) {
    OWN(fd) int dir = -1;
    struct stat status;
    size_t prefix = strlen(command->scratch);
    if (path[0] == '/') {
        if (strncmp(path, command->scratch, prefix) != 0 || path[prefix] != '/')
            return wrong_answer(number, "names a file outside EDGE_SCRATCH", e);
        path += prefix + 1;
    }
    if (fs_open_dir(state_dir, command->scratch_name, &dir, e) < 0)
        return -1;
    int found = fs_stat(dir, path, &status, e);
    if (found != 0 || !S_ISREG(status.st_mode))
        return found < 0 ? -1 : wrong_answer(number, "names no regular file in EDGE_SCRATCH", e);
    return fs_read_file(dir, path, PROBE_GOLDEN_OUTPUT_MAX, ret, e);
}

static int judge_case(const struct bundle_probe *probe, const struct probe_command *command,
                      int state_dir, size_t number, const char *path, struct err *e) {
    OWN(buf) struct buf expected;
    OWN(buf) struct buf got;
    char why[256];
    buf_init(&expected, PROBE_GOLDEN_OUTPUT_MAX);
    buf_init(&got, PROBE_GOLDEN_OUTPUT_MAX);
    if (read_expected(command, probe->cases[number].expected, &expected, e) < 0 ||
        read_got(command, state_dir, path, number, &got, e) < 0)
        return -1;
    if (bundle_probe_judge_output(probe, (struct slice){expected.data, expected.len},
                                  (struct slice){got.data, got.len}, why, sizeof why) != 0)
        return err_set(e, &err_probe_failed, "input %s: %s", probe->cases[number].input, why);
    return 0;
}

int probe_golden_judge(const struct bundle_probe *probe, const struct probe_command *command,
                       int state_dir, const struct agent_task_result *result, struct err *e) {
    struct slice rest = result->output;
    uint64_t latency_us[BUNDLE_PROBE_CASES_MAX];
    char line[FS_PATH_BYTES], how[256];
    if (!agent_task_passed(result))
        return err_set(e, &err_probe_failed, "the runner failed: %s",
                       agent_task_describe(result, how, sizeof how));
    for (size_t i = 0; i < probe->n_cases; i++) {
        if (take_answer(&rest, i, line, sizeof line, &latency_us[i], e) < 0 ||
            judge_case(probe, command, state_dir, i, line, e) < 0)
            return -1;
    }
    if (rest.len > 0)
        return err_set(e, &err_probe_failed, "the runner answered more lines than it was asked");
    uint64_t p95 = bundle_probe_p95(latency_us, probe->n_cases);
    if (probe->latency_p95_us > 0 && p95 > probe->latency_p95_us)
        return err_set(e, &err_probe_failed,
                       "latency: the 95th percentile is %" PRIu64 " us, allowed are %" PRIu64, p95,
                       probe->latency_p95_us);
    if (probe->memory_bytes > 0 && result->peak_memory_bytes > probe->memory_bytes)
        return err_set(e, &err_probe_failed,
                       "memory: the runner took %" PRIu64 " bytes, allowed are %" PRIu64,
                       result->peak_memory_bytes, probe->memory_bytes);
    return 0;
}
