// SPDX-License-Identifier: Apache-2.0
//
// See trusted.h.
#include "agent/fsm/trusted.h"

#include "base/chrono.h"

const char *const fsm_trusted_names[FSM_TRUSTED_SOURCES] = {
    [FSM_TRUSTED_ROOT] = "root",
    [FSM_TRUSTED_TARGETS] = "targets",
    [FSM_TRUSTED_BUNDLE] = "bundle",
    [FSM_TRUSTED_ONLINE] = "online",
};

static int64_t lower(int64_t value, int64_t bound) {
    return bound > 0 && bound < value ? bound : value;
}

static int64_t cut(enum fsm_trusted_source source, int64_t signed_s,
                   const struct fsm_trusted_bounds *bounds) {
    int64_t value = lower(signed_s, CHRONO_MAX_S);
    if (source != FSM_TRUSTED_ROOT)
        value = lower(value, bounds->root_s);
    if (source == FSM_TRUSTED_BUNDLE || source == FSM_TRUSTED_ONLINE)
        value = lower(value, bounds->targets_s);
    if (source == FSM_TRUSTED_ONLINE)
        value = lower(value, bounds->snapshot_s);
    return value;
}

// By the dates that were not cut and the boot clock since.
static int64_t running(const struct fsm_trusted_date *date, int64_t boot_ms) {
    int64_t since_ms = boot_ms - date->boot_ms;
    return date->at_s + (date->at_s > 0 && since_ms > 0 ? since_ms / 1000 : 0);
}

static int64_t now_by(const struct fsm_trusted_date *date, int64_t boot_ms) {
    int64_t now_s = running(date, boot_ms);
    return now_s > date->held_s ? now_s : date->held_s;
}

void fsm_trusted_start(struct fsm_trusted *trusted, int64_t boot_ms) {
    for (int i = 0; i < FSM_TRUSTED_SOURCES; i++) {
        trusted->dates[i].at_s = trusted->dates[i].signed_s;
        trusted->dates[i].boot_ms = boot_ms;
    }
}

bool fsm_trusted_learn(struct fsm_trusted *trusted, enum fsm_trusted_source source,
                       int64_t signed_s, const struct fsm_trusted_bounds *bounds, int64_t boot_ms) {
    struct fsm_trusted_date *date = &trusted->dates[source];
    int64_t value = cut(source, signed_s, bounds);
    int64_t *durable = value < signed_s ? &date->held_s : &date->signed_s;
    if (value == signed_s && value > running(date, boot_ms)) {
        date->at_s = value;
        date->boot_ms = boot_ms;
    }
    // The boot clock may be ahead of a date that is new all the same, and a restart begins from it.
    if (value <= *durable)
        return false;
    *durable = value;
    return true;
}

bool fsm_trusted_forget(struct fsm_trusted *trusted, enum fsm_trusted_source source) {
    const struct fsm_trusted_date *date = &trusted->dates[source];
    bool had = date->signed_s > 0 || date->held_s > 0;
    trusted->dates[source] = (struct fsm_trusted_date){.signed_s = 0};
    return had;
}

int64_t fsm_trusted_now_s(const struct fsm_trusted *trusted, int64_t boot_ms) {
    int64_t now_s = 0;
    for (int i = 0; i < FSM_TRUSTED_SOURCES; i++) {
        int64_t by = now_by(&trusted->dates[i], boot_ms);
        now_s = by > now_s ? by : now_s;
    }
    return now_s;
}

int64_t fsm_trusted_signed_s(const struct fsm_trusted *trusted) {
    int64_t last_s = 0;
    for (int i = 0; i < FSM_TRUSTED_SOURCES; i++) {
        const struct fsm_trusted_date *date = &trusted->dates[i];
        int64_t one_s = date->signed_s > date->held_s ? date->signed_s : date->held_s;
        last_s = one_s > last_s ? one_s : last_s;
    }
    return last_s;
}
