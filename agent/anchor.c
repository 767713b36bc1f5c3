// SPDX-License-Identifier: Apache-2.0
//
// See anchor.h.
#include "agent/anchor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/kind.h"
#include "agent/pair.h"
#include "base/num.h"
#include "base/own.h"
#include "base/proc.h"

#define NAME         "anchor"
#define NUMBER_BYTES 32
#define NOISE_BYTES  512

const char *const agent_anchor_names[AGENT_ANCHOR_VERDICTS] = {
    [AGENT_ANCHOR_NONE] = "none",       [AGENT_ANCHOR_HELD] = "held",
    [AGENT_ANCHOR_CUT] = "cut",         [AGENT_ANCHOR_RESTORED] = "restored",
    [AGENT_ANCHOR_UNKNOWN] = "unknown",
};

enum agent_anchor_verdict agent_anchor_judge(bool has_number, uint64_t number, uint64_t counter) {
    if (has_number && number == counter)
        return AGENT_ANCHOR_HELD;
    if (has_number && number > counter && number - counter == 1)
        return AGENT_ANCHOR_CUT;
    return AGENT_ANCHOR_RESTORED;
}

// Drops the line end that both the program's answers and complaints have.
static const char *line(struct buf *text) {
    while (text->len > 0 && text->data[text->len - 1] == '\n')
        text->data[--text->len] = 0;
    return buf_text(text);
}

// Runs the program. COUNTER_ABSENT: the TPM has no such counter yet.
enum { COUNTER_ABSENT = 1 };
static int ask(const struct agent_anchor *a, const char *verb, uint64_t *ret, struct err *e) {
    char index[16];
    (void)snprintf(index, sizeof index, "%" PRIu32, a->config.index);
    const char *const argv[] = {a->config.program, a->config.tcti, index, verb, NULL};
    OWN(buf) struct buf output;
    OWN(buf) struct buf noise;
    buf_init(&output, NUMBER_BYTES);
    buf_init(&noise, NOISE_BYTES);
    struct proc_spec spec = proc_spec_none;
    spec.argv = argv;
    struct proc_run how = {.output = &output,
                           .noise = &noise,
                           .timeout_ms = AGENT_ANCHOR_TIMEOUT_MS,
                           .clock = a->clock};
    int status = 0;
    if (proc_run(&spec, &how, &status, e) < 0)
        return err_prefix(e, "asking the TPM");
    if (WIFEXITED(status) && WEXITSTATUS(status) == err_not_found.exit_status)
        return COUNTER_ABSENT;
    if (status != 0) {
        char ended[64];
        return err_set(e, &err_io, "asking the TPM: %s: %s",
                       proc_describe(status, ended, sizeof ended), line(&noise));
    }
    return num_parse_u64(line(&output), "the TPM's counter", 0, UINT64_MAX, ret, e);
}

static int read_number(struct agent_anchor *a, int private_dir, bool *ret_has, struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, NUMBER_BYTES);
    int found = agent_pair_read(private_dir, NAME, &text, &a->serial, e);
    if (found < 0)
        return -1;
    *ret_has = found == 0;
    return found == 0 ? num_parse_u64(line(&text), NAME, 0, UINT64_MAX, &a->number, e) : 0;
}

static int write_number(struct agent_anchor *a, int private_dir, uint64_t number, struct err *e) {
    char text[NUMBER_BYTES];
    int len = snprintf(text, sizeof text, "%" PRIu64 "\n", number);
    struct slice slice = {.data = (const uint8_t *)text, .len = (size_t)len};
    if (agent_pair_write(private_dir, NAME, a->serial + 1, slice, e) < 0)
        return err_prefix(e, "keeping the anchor");
    a->serial++;
    a->number = number;
    return 0;
}

// Takes the counter's number as this state's.
static int take(struct agent_anchor *a, int private_dir, uint64_t counter, struct err *e) {
    if (write_number(a, private_dir, counter, e) < 0)
        return -1;
    a->verdict = AGENT_ANCHOR_HELD;
    return 0;
}

// Judges what the TPM says; *why holds what went wrong with it.
static int meet(struct agent_anchor *a, int private_dir, struct err *why, struct err *e) {
    bool has_number = false;
    uint64_t counter = 0;
    if (read_number(a, private_dir, &has_number, e) < 0)
        return -1;
    int asked = ask(a, "read", &counter, why);
    if (asked == COUNTER_ABSENT && !has_number && ask(a, "increment", &counter, why) == 0)
        return take(a, private_dir, counter, e);
    a->verdict = asked < 0 || why->kind ? AGENT_ANCHOR_UNKNOWN : AGENT_ANCHOR_RESTORED;
    if (asked == 0)
        a->verdict = agent_anchor_judge(has_number, a->number, counter);
    if (a->verdict == AGENT_ANCHOR_CUT)
        a->verdict = ask(a, "increment", &counter, why) == 0 && counter == a->number
                         ? AGENT_ANCHOR_HELD
                         : AGENT_ANCHOR_UNKNOWN;
    return 0;
}

int agent_anchor_open(const struct agent_anchor_config *config, int private_dir,
                      const struct chrono *clock, struct agent_anchor *ret, struct err *why,
                      struct err *e) {
    struct agent_anchor a = {.config = *config, .clock = clock, .verdict = AGENT_ANCHOR_NONE};
    if (config->tcti[0] != '\0' && meet(&a, private_dir, why, e) < 0)
        return -1;
    *ret = a;
    return 0;
}

int agent_anchor_raise(struct agent_anchor *a, int private_dir, struct err *e) {
    struct err why = ERR_NONE;
    uint64_t counter = 0;
    if (a->verdict != AGENT_ANCHOR_HELD)
        return 0;
    if (write_number(a, private_dir, a->number + 1, e) < 0)
        return -1;
    if (ask(a, "increment", &counter, &why) != 0)
        a->verdict = AGENT_ANCHOR_UNKNOWN;
    else if (counter != a->number) // somebody else raised it: the next start would say restored
        return take(a, private_dir, counter, e);
    return 0;
}

int agent_anchor_renew(struct agent_anchor *a, int private_dir, struct err *e) {
    struct err why = ERR_NONE;
    uint64_t counter = 0;
    if (a->verdict != AGENT_ANCHOR_RESTORED && a->verdict != AGENT_ANCHOR_UNKNOWN)
        return 0;
    // Raised, so that the copy that was put back is noticed again when it is put back again.
    if (ask(a, "increment", &counter, &why) != 0) {
        a->verdict = AGENT_ANCHOR_UNKNOWN;
        return 0;
    }
    return take(a, private_dir, counter, e);
}

int agent_anchor_admits_revert(const struct agent_anchor *a, struct err *e) {
    if (a->verdict != AGENT_ANCHOR_RESTORED)
        return 0;
    return err_set(e, &err_state_restored,
                   "the state directory is an older copy than the TPM's counter knows: nothing is "
                   "reverted before the repository was asked for the floors");
}

int agent_anchor_admits_stick(const struct agent_anchor *a, struct err *e) {
    if (a->verdict == AGENT_ANCHOR_UNKNOWN)
        return err_set(e, &err_state_restored,
                       "the TPM cannot be asked whether the state directory is the latest: nothing "
                       "is installed from a file before the repository was asked for the floors");
    if (a->verdict == AGENT_ANCHOR_RESTORED)
        return err_set(e, &err_state_restored,
                       "the state directory is an older copy than the TPM's counter knows: nothing "
                       "is installed from a file before the repository was asked for the floors");
    return 0;
}
