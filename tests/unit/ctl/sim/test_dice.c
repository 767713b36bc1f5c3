// SPDX-License-Identifier: Apache-2.0
//
// Random numbers and the queue of the simulator.
#include <criterion/criterion.h>

#include "ctl/sim/dice.h"
#include "ctl/sim/queue.h"

Test(sim_dice, a_stream_is_the_same_on_every_machine) {
    struct sim_dice dice = sim_dice_make(1, 2, 3);
    uint64_t first = sim_dice_bits(&dice), second = sim_dice_bits(&dice);
    cr_assert_eq(first, UINT64_C(0x383f9bb563b54912), "%llx", (unsigned long long)first);
    cr_assert_eq(second, UINT64_C(0x6d57ea2962bcbc70), "%llx", (unsigned long long)second);
}

Test(sim_dice, neighbouring_streams_have_nothing_in_common) {
    for (uint64_t i = 0; i < 64; i++) {
        struct sim_dice a = sim_dice_make(1, i, 0), b = sim_dice_make(1, i + 1, 0);
        struct sim_dice c = sim_dice_make(1, i, 1), d = sim_dice_make(2, i, 0);
        uint64_t bits = sim_dice_bits(&a);
        cr_assert_neq(bits, sim_dice_bits(&b));
        cr_assert_neq(bits, sim_dice_bits(&c));
        cr_assert_neq(bits, sim_dice_bits(&d));
        cr_assert_neq(sim_dice_bits(&a), sim_dice_bits(&b));
    }
}

Test(sim_dice, numbers_below_n_are_below_n_and_all_occur) {
    struct sim_dice dice = sim_dice_make(4, 5, 6);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++)
        seen[sim_dice_below(&dice, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert(seen[i] > 850 && seen[i] < 1150, "%u", seen[i]);
    cr_assert_eq(sim_dice_below(&dice, 0), 0);
    cr_assert_not(sim_dice_chance(&dice, 0));
    cr_assert(sim_dice_chance(&dice, SIM_DICE_PPM));
}

Test(sim_dice, normal_numbers_have_mean_0_and_deviation_1) {
    struct sim_dice dice = sim_dice_make(7, 8, 9);
    double sum = 0, squares = 0;
    const int n = 40000;
    for (int i = 0; i < n; i++) {
        double x = (double)sim_dice_normal(&dice) / (double)SIM_DICE_WHOLE;
        sum += x;
        squares += x * x;
    }
    cr_assert(sum / n > -0.02 && sum / n < 0.02);
    cr_assert(squares / n > 0.97 && squares / n < 1.03);
}

Test(sim_dice, wild_numbers_are_cut) {
    struct sim_dice dice = sim_dice_make(7, 8, 10);
    int far = 0;
    for (int i = 0; i < 10000; i++) {
        int64_t x = sim_dice_wild(&dice);
        cr_assert(x <= 1000000 * SIM_DICE_WHOLE && x >= -1000000 * SIM_DICE_WHOLE);
        far += x > 100 * SIM_DICE_WHOLE || x < -100 * SIM_DICE_WHOLE;
    }
    cr_assert_gt(far, 20);
}

Test(sim_queue, the_earliest_comes_first_and_of_one_second_the_one_that_was_put_in_first) {
    struct sim_queue queue = {.n = 0};
    struct sim_dice dice = sim_dice_make(1, 1, 1);
    struct err e = ERR_NONE;
    struct sim_event before = {.at_s = -1}, event;
    for (uint32_t i = 0; i < 5000; i++) {
        const struct sim_event put = {.at_s = (int64_t)sim_dice_below(&dice, 300), .subject = i};
        cr_assert_eq(sim_queue_put(&queue, &put, &e), 0);
    }
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(sim_queue_take(&queue, &event), 0);
        cr_assert(event.at_s > before.at_s ||
                  (event.at_s == before.at_s && event.subject > before.subject));
        before = event;
    }
    cr_assert_eq(sim_queue_take(&queue, &event), SIM_QUEUE_EMPTY);
    sim_queue_clear(&queue);
}
