// SPDX-License-Identifier: Apache-2.0
//
// The tables of the mixer.
#include "bundle/tensor/mix.h"

// 65536 / (1 + exp(-x / 2)) for x = -16, …, 16, rounded.
static const uint16_t logistic[33] = {22,    36,    60,    98,    162,   267,   439,   720,   1179,
                                      1921,  3108,  4971,  7812,  11955, 17625, 24743, 32768, 40793,
                                      47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097,
                                      65269, 65374, 65438, 65476, 65500, 65514};

static void init_logistic(struct tensor_mix *m) {
    int32_t logit = -TENSOR_MIX_STRETCHED;
    for (int i = 0; i < 4096; i++) {
        int32_t at = i >> 7, part = i & 127;
        int32_t low = logistic[at], high = logistic[at + 1];
        m->squash[i] = (uint16_t)(low + (high - low) * part / 128);
    }
    for (int32_t p = 0; p < 4096; p++) { // the inverse: both rise
        while (logit < TENSOR_MIX_STRETCHED && m->squash[logit + 2048] < p * 16 + 8)
            logit++;
        m->stretch[p] = (int16_t)logit;
    }
}

void tensor_mix_init(struct tensor_mix *m) {
    init_logistic(m);
    for (unsigned i = 0; i <= TENSOR_MIX_TURNS; i++)
        m->step[i] = (uint16_t)(655360 / (10 * i + 16));
    for (int i = 0; i < TENSOR_MIX_SETS; i++)
        for (int k = 0; k < TENSOR_MIX_INPUTS; k++)
            m->weights[i][k] = 65536 * 13 / 40; // all four together a little above one voice
}
