// SPDX-License-Identifier: Apache-2.0
//
// A rollout's deltas on a screen: whom they reach, and each on a line.
#include "ctl/cmd/rollout.h"

#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "ctl/cmd/print.h"

#define SHOWN_BYTES 600

// States as ctl/openapi.json has them, in words.
static const struct {
    const char *state, *words;
} states[] = {{"offered", "offered"},   {"stored", "there, and not named by the repository"},
              {"making", "being made"}, {"waiting", "to be made"},
              {"failed", "failed"},     {"no_gain", "would not be smaller than the bundle"}};

static const char *words_of(const char *state) {
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i].state, state) == 0)
            return states[i].words;
    return "in a state that this program does not know";
}

static void show_one(FILE *out, const json_t *row) {
    char name[128], version[128], text[SHOWN_BYTES], code[64], size[NUM_SIZE_TEXT];
    const json_t *from = json_object_get(row, "from"), *why = json_object_get(row, "why");
    json_int_t bytes = cmd_print_integer(row, "size"), devices = cmd_print_integer(row, "devices");
    if (json_is_object(from))
        (void)fprintf(
            out, "    from %s %s: ", text_safe(cmd_print_string(from, "name"), name, sizeof name),
            text_safe(cmd_print_string(from, "version"), version, sizeof version));
    else
        (void)fprintf(
            out, "    from %.16s: ", text_safe(cmd_print_string(row, "base"), name, sizeof name));
    (void)fputs(words_of(cmd_print_string(row, "state")), out);
    if (bytes > 0)
        (void)fprintf(out, ", %s", num_format_size((uint64_t)bytes, size));
    if (devices > 0)
        (void)fprintf(out, ", %lld device%s", (long long)devices, devices == 1 ? "" : "s");
    if (json_is_object(why) && strcmp(cmd_print_string(row, "state"), "no_gain") != 0)
        (void)fprintf(out, ": %s (%s)", text_safe(cmd_print_string(why, "text"), text, sizeof text),
                      text_safe(cmd_print_string(why, "code"), code, sizeof code));
    (void)fputc('\n', out);
}

void cmd_rollout_show_deltas(FILE *out, const json_t *rollout) {
    const json_t *deltas = json_object_get(rollout, "deltas");
    const json_t *why = json_object_get(deltas, "why");
    char text[SHOWN_BYTES], code[64];
    json_int_t left = cmd_print_integer(deltas, "devices") - cmd_print_integer(deltas, "had");
    size_t i = 0;
    json_t *row = NULL;
    if (!json_is_object(deltas))
        return;
    if (json_is_object(why))
        (void)fprintf(out, "  deltas: none are made: %s (%s)\n",
                      text_safe(cmd_print_string(why, "text"), text, sizeof text),
                      text_safe(cmd_print_string(why, "code"), code, sizeof code));
    else if (!json_is_string(json_object_get(deltas, "counted")))
        (void)fputs("  deltas: what devices run was not counted\n", out);
    else
        (void)fprintf(out, "  deltas: for %lld of %lld device%s that need the release\n",
                      (long long)cmd_print_integer(deltas, "reached"), (long long)left,
                      left == 1 ? "" : "s");
    json_array_foreach (json_object_get(deltas, "list"), i, row)
        show_one(out, row);
}
