// SPDX-License-Identifier: Apache-2.0
//
// The weighted sum of gates.
#include "ctl/rollout/evidence/combine.h"

#include <assert.h>

static int64_t weighted(const struct evidence_gate *gate) {
    if (gate->weight_ppm == 0)
        return EVIDENCE_LOG_ZERO;
    return evidence_num_product(gate->worse, evidence_num_part(gate->weight_ppm));
}

void evidence_combine(const struct evidence_gate *gates, size_t n, uint32_t alpha_ppm,
                      struct evidence_sum *ret) {
    int64_t logs[EVIDENCE_LINES][EVIDENCE_COMBINE_GATES_MAX];
    size_t counts[EVIDENCE_LINES] = {0}, most[EVIDENCE_LINES] = {0};
    uint64_t weights = 0;
    assert(n > 0 && n <= EVIDENCE_COMBINE_GATES_MAX);
    for (size_t i = 0; i < n; i++) {
        enum evidence_line line = gates[i].line;
        int64_t log = weighted(&gates[i]);
        assert(line < EVIDENCE_LINES);
        if (counts[line] == 0 || log > weighted(&gates[most[line]]))
            most[line] = i;
        logs[line][counts[line]++] = log;
        weights += gates[i].weight_ppm;
    }
    assert(weights == EVIDENCE_PPM);
    *ret = (struct evidence_sum){.level = evidence_num_level(alpha_ppm)};
    size_t best = EVIDENCE_LINES;
    for (size_t line = 0; line < EVIDENCE_LINES; line++) {
        ret->line[line] = evidence_num_sum(logs[line], counts[line]);
        ret->stop = ret->stop || ret->line[line] >= ret->level;
        if (counts[line] > 0 && (best == EVIDENCE_LINES || ret->line[line] > ret->line[best]))
            best = line;
    }
    ret->gate = most[best];
    ret->total = evidence_num_sum(ret->line, EVIDENCE_LINES);
}

void evidence_combine_share(size_t n, uint32_t *ret_weights_ppm) {
    assert(n > 0 && n <= EVIDENCE_COMBINE_GATES_MAX);
    for (size_t i = 0; i < n; i++)
        ret_weights_ppm[i] = (uint32_t)(EVIDENCE_PPM / n + (i < EVIDENCE_PPM % n));
}

enum evidence_verdict evidence_combine_judge(const struct evidence_gate *gate, int64_t better,
                                             uint32_t alpha_ppm, uint32_t alpha_pass_ppm) {
    if (weighted(gate) >= evidence_num_level(alpha_ppm))
        return EVIDENCE_VERDICT_FAIL;
    if (better >= evidence_num_level(alpha_pass_ppm))
        return EVIDENCE_VERDICT_PASS;
    return EVIDENCE_VERDICT_INCONCLUSIVE;
}

int evidence_combine_begin(struct evidence_spend *io, uint32_t alpha_ppm) {
    assert(alpha_ppm > 0);
    if (alpha_ppm > EVIDENCE_COMBINE_SPEND_MAX_PPM ||
        io->total_ppm > EVIDENCE_COMBINE_SPEND_MAX_PPM - alpha_ppm)
        return EVIDENCE_COMBINE_SPENT;
    io->runs++;
    io->alpha_ppm = alpha_ppm;
    io->total_ppm += alpha_ppm;
    return 0;
}
