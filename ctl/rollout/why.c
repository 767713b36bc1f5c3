// SPDX-License-Identifier: Apache-2.0
//
// The names of the reasons.
#include "ctl/rollout/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[ROLLOUT_WHY_CODES] = {[ROLLOUT_WHY_NONE] = "",
#define ROLLOUT_WHY_ROW(name, text) [ROLLOUT_WHY_##name] = #name,
                                                     ROLLOUT_WHYS(ROLLOUT_WHY_ROW)
#undef ROLLOUT_WHY_ROW
};

const char *rollout_why_name(enum rollout_why_code code) {
    return code < ROLLOUT_WHY_CODES ? names[code] : "";
}

enum rollout_why_code rollout_why_find(const char *name) {
    for (unsigned i = 1; i < ROLLOUT_WHY_CODES; i++)
        if (strcmp(names[i], name) == 0)
            return (enum rollout_why_code)i;
    return ROLLOUT_WHY_NONE;
}

void rollout_why_set(struct rollout_why *why, enum rollout_why_code code, const char *format, ...) {
    va_list args;
    why->code = code;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}
