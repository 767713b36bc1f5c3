// SPDX-License-Identifier: Apache-2.0
//
// Sums, medians, 95 in a hundred.
#include "ctl/sim/sum.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"

static int no_memory(struct err *e) {
    return err_set(e, &err_memory, "simulating: out of memory");
}

static int grow(uint64_t **list, size_t capacity, struct err *e) {
    void *grown = reallocarray(*list, capacity, sizeof **list);
    if (grown == NULL)
        return no_memory(e);
    *list = grown;
    return 0;
}

int sim_sum_add(struct sim_sum *sum, uint64_t seed, const struct sim_run_result *result,
                struct err *e) {
    if (sum->runs == sum->capacity) {
        size_t capacity = sum->capacity == 0 ? 64 : 2 * sum->capacity;
        if (grow(&sum->exposed, capacity, e) < 0 || grow(&sum->activated, capacity, e) < 0 ||
            grow(&sum->verdict_s, capacity, e) < 0)
            return -1;
        sum->capacity = capacity;
    }
    sum->exposed[sum->runs] = result->exposed;
    sum->activated[sum->runs] = result->activated;
    sum->verdict_s[sum->runs] = (uint64_t)result->verdict_s;
    sum->runs++;
    sum->ends[result->end]++;
    sum->stopped += result->stopped ? 1 : 0;
    sum->whys[result->why]++;
    sum->checkins += result->checkins;
    sum->sets_scored += result->sets_scored;
    sum->sets_void += result->sets_void;
    sum->digest = (sum->digest ^ result->digest) * 1099511628211ULL;
    sum->broken += result->broken.n;
    if (result->broken.n == 0)
        return 0;
    if (sum->n_broken < SIM_SUM_BROKEN_MAX) {
        struct sim_sum_broken *broken = &sum->list[sum->n_broken];
        broken->seed = seed;
        (void)snprintf(broken->text, sizeof broken->text, "%s", result->broken.first);
    }
    sum->n_broken++;
    return 0;
}

void sim_sum_clear(struct sim_sum *sum) {
    free(sum->exposed);
    free(sum->activated);
    free(sum->verdict_s);
    *sum = (struct sim_sum){.runs = 0};
}

static int by_value(const void *left, const void *right) {
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

uint64_t sim_sum_quantile(uint64_t *values, size_t n, uint32_t ppm) {
    if (n == 0)
        return 0;
    qsort(values, n, sizeof *values, by_value);
    uint64_t at = ((uint64_t)n * ppm + SIM_DICE_PPM - 1) / SIM_DICE_PPM;
    return values[at == 0 ? 0 : at - 1];
}

static json_t *quantiles(uint64_t *values, size_t n) {
    json_int_t median = (json_int_t)sim_sum_quantile(values, n, 500000);
    json_int_t p95 = (json_int_t)sim_sum_quantile(values, n, 950000);
    json_int_t most = (json_int_t)sim_sum_quantile(values, n, 1000000);
    return json_pack("{s:I, s:I, s:I}", "median", median, "p95", p95, "max", most);
}

static json_t *whys(const struct sim_sum *sum) {
    json_t *object = json_object();
    for (int i = ROLLOUT_WHY_NONE + 1; i < ROLLOUT_WHY_CODES; i++)
        if (sum->whys[i] > 0)
            (void)json_object_set_new(object, rollout_why_name((enum rollout_why_code)i),
                                      json_integer((json_int_t)sum->whys[i]));
    return object;
}

static json_t *broken_runs(const struct sim_sum *sum) {
    json_t *list = json_array();
    for (size_t i = 0; i < sum->n_broken && i < SIM_SUM_BROKEN_MAX; i++)
        (void)json_array_append_new(list,
                                    json_pack("{s:I, s:s}", "seed", (json_int_t)sum->list[i].seed,
                                              "text", sum->list[i].text));
    return list;
}

int sim_sum_json(struct sim_sum *sum, json_t **ret, struct err *e) {
    char digest[24];
    (void)snprintf(digest, sizeof digest, "%016llx", (unsigned long long)sum->digest);
    json_t *made = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:s}",
        "runs", (json_int_t)sum->runs, "stopped", (json_int_t)sum->stopped, "reverted",
        (json_int_t)sum->ends[SIM_RUN_REVERTED], "inconclusive",
        (json_int_t)sum->ends[SIM_RUN_INCONCLUSIVE], "finished",
        (json_int_t)sum->ends[SIM_RUN_FINISHED], "paused", (json_int_t)sum->ends[SIM_RUN_PAUSED],
        "unended", (json_int_t)sum->ends[SIM_RUN_UNENDED], "exposed",
        quantiles(sum->exposed, sum->runs), "activated", quantiles(sum->activated, sum->runs),
        "time_to_verdict_s", quantiles(sum->verdict_s, sum->runs), "why", whys(sum), "checkins",
        (json_int_t)sum->checkins, "sets_scored", (json_int_t)sum->sets_scored, "sets_void",
        (json_int_t)sum->sets_void, "broken", (json_int_t)sum->broken, "broken_runs",
        broken_runs(sum), "digest", digest);
    if (made == NULL)
        return no_memory(e);
    *ret = made;
    return 0;
}
