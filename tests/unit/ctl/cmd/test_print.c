// SPDX-License-Identifier: Apache-2.0
//
// What updates cost, in words.
#include "ctl/cmd/print.h"

#include <criterion/criterion.h>

#include "base/own.h"

static const char *said(const char *text) {
    static char ret[CMD_PRINT_BYTES_TEXT];
    OWN(json) json_t *bytes = text ? json_loads(text, 0, NULL) : NULL;
    return cmd_print_bytes(bytes, ret);
}

Test(print, bytes_are_said_by_kind_where_there_are_any) {
    cr_expect_str_eq(said(NULL), "");
    cr_expect_str_eq(said("{\"delta\":0,\"reused\":0}"), "");
    cr_expect_str_eq(said("{\"delta\":1048576,\"range\":0,\"full\":0,\"index\":0}"),
                     "1 MiB over the link (delta 1 MiB)");
    cr_expect_str_eq(said("{\"delta\":1048576,\"range\":2097152,\"full\":3145728,\"index\":4194304,"
                          "\"cache\":5242880,\"reused\":6291456}"),
                     "10 MiB over the link (delta 1 MiB, range 2 MiB, full 3 MiB, index "
                     "4 MiB), 5 MiB of "
                     "it from a site cache, 6 MiB reused");
    cr_expect_str_eq(said("{\"reused\":1048576}"), "0 B over the link, 1 MiB reused");
}

// What a controller says is as little believed as what anybody says.
Test(print, numbers_that_are_none_are_nothing) {
    cr_expect_str_eq(said("{\"delta\":-1,\"full\":\"x\",\"range\":null}"), "");
    cr_expect_neq(said("{\"delta\":9223372036854775807,\"full\":9223372036854775807,"
                       "\"range\":9223372036854775807,\"index\":9223372036854775807}")[0],
                  '\0');
}
