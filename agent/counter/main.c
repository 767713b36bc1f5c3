// SPDX-License-Identifier: Apache-2.0
//
// edge-agent-counter: reads or raises the TPM's counter for edge-agent, which does not link a TPM
// library. It is not for people:
//
//   edge-agent-counter TCTI INDEX read|increment
//
// prints the value in decimal. Otherwise one line on stderr, and the error kind's exit status.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/counter/tpm.h"
#include "base/num.h"

static int run(char **argv, uint64_t *ret, struct err *e) {
    uint64_t index = 0;
    if (num_parse_u64(argv[2], "the counter's index", COUNTER_TPM_INDEX_MIN, COUNTER_TPM_INDEX_MAX,
                      &index, e) < 0)
        return -1;
    if (strcmp(argv[3], "read") == 0)
        return counter_tpm_read(argv[1], (uint32_t)index, ret, e);
    if (strcmp(argv[3], "increment") == 0)
        return counter_tpm_increment(argv[1], (uint32_t)index, ret, e);
    return err_set(e, &err_usage, "\"%.40s\" is neither read nor increment", argv[3]);
}

int main(int argc, char **argv) {
    struct err e = ERR_NONE;
    uint64_t value = 0;
    // What goes wrong is said once, below; a failure to set this means some lines more.
    (void)setenv("TSS2_LOG", "all+none", 0);
    if (argc != 4)
        (void)err_set(&e, &err_usage, "it is started by edge-agent; see edge-agent.json(5)");
    else if (run(argv, &value, &e) == 0 && printf("%" PRIu64 "\n", value) > 0 &&
             fflush(stdout) == 0)
        return 0;
    if (!e.kind)
        (void)err_set(&e, &err_io, "writing the answer failed");
    (void)fprintf(stderr, "edge-agent-counter: %s\n", e.text);
    return e.kind->exit_status;
}
