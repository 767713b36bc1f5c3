// SPDX-License-Identifier: Apache-2.0
//
// edgectl: makes and signs bundles, serves them to a fleet, and rolls them out in stages.
// Everything is in ctl/cmd; here a failure becomes one line and an exit status.
#include <stdio.h>

#include "ctl/cmd/table.h"

// What is quoted in an error was escaped where it was quoted; this is the last net: whatever a
// terminal would act upon becomes a question mark.
static void complain(const struct err *e) {
    (void)fflush(stdout);
    (void)fputs("edgectl: ", stderr);
    for (const unsigned char *at = (const unsigned char *)e->text; *at; at++) {
        if (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0)
            at++;
        else if (at[0] >= 0x20 && at[0] != 0x7F) {
            (void)fputc(at[0], stderr);
            continue;
        }
        (void)fputc('?', stderr);
    }
    (void)fputc('\n', stderr);
}

int main(int argc, char **argv) {
    struct err e = ERR_NONE;
    int result = cmd_table_run(argc > 0 ? argc - 1 : 0, argv + 1, &e);
    // A full disk or a closed pipe behind standard output is a failure too.
    if (result >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
        result = err_set(&e, &err_io, "writing to standard output failed");
    if (result >= 0)
        return 0;
    complain(&e);
    return e.kind->exit_status;
}
