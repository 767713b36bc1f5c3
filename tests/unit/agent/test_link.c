// SPDX-License-Identifier: Apache-2.0
//
// What an update may cost the link: the least of configuration and offer, by whether it is metered;
// and the account of it, whatever a worker says.
#include "bundle/message.h"
#include "keys/envelope.h"
#include "tests/unit/agent/device.h"

#define NO_LIMIT UINT64_MAX

static struct bundle_instruction_budget *offered(struct device *d) {
    return &d->state.journal.record.update.budget;
}

static struct agent_job filled(struct device *d) {
    struct agent_job job = {.net = {.fetch_budget_bytes = 7}};
    update_link_fill(d->update, &job);
    cr_assert_eq(job.net.fetch_budget_bytes, 0, "the limit says it, not the download's own");
    return job;
}

static void expect_limit(struct device *d, uint64_t bytes, const char *claim) {
    struct agent_job job = filled(d);
    cr_expect_eq(job.limited, bytes != NO_LIMIT, "%s", claim);
    cr_expect_eq(job.limit_bytes, bytes, "%s: %llu", claim, (unsigned long long)job.limit_bytes);
}

Test(link, the_least_of_configuration_and_offer_counts) {
    struct device d;
    device_start(&d, NULL);
    struct bundle_instruction_budget *offer = offered(&d);
    expect_limit(&d, NO_LIMIT, "nobody said anything");
    offer->has_bytes = offer->has_metered_bytes = true;
    offer->bytes = 500;
    offer->metered_bytes = 0;
    expect_limit(&d, 500, "the offer alone, not metered");
    d.config.fetch_budget_bytes = 400;
    expect_limit(&d, 400, "the configuration says less");
    d.config.fetch_budget_bytes = 600;
    expect_limit(&d, 500, "the offer says less");
    d.config.metered = "yes";
    expect_limit(&d, 0, "nothing at all on a metered link, says the offer");
    offer->has_metered_bytes = false;
    expect_limit(&d, 500, "what counts for all links counts for a metered one");
    d.config.fetch_budget_metered_bytes = 30;
    expect_limit(&d, 30, "the configuration of metered links");
    offer->has_metered_bytes = true;
    offer->metered_bytes = 20;
    expect_limit(&d, 20, "the offer of metered links");
    device_drop(&d);
}

Test(link, a_file_says_whether_it_is_metered_and_what_cannot_be_read_says_yes) {
    static const struct {
        const char *text;
        bool metered;
    } words[] = {{"no\n", false}, {"no", false},     {" \t\nno more", false}, {"yes\n", true},
                 {"", true},      {"none\n", true},  {"No\n", true},          {"n", true},
                 {"0", true},     {"\xff\xfe", true}};
    struct device d;
    char path[TMP_PATH_BYTES + 32];
    device_start(&d, NULL);
    (void)snprintf(path, sizeof path, "%s/metered", d.dir.path);
    d.config.metered = path;
    offered(&d)->has_metered_bytes = true;
    offered(&d)->metered_bytes = 9;
    struct agent_job job = filled(&d);
    cr_expect(job.limited && job.limit_bytes == 9, "absent");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        device_write(&d, "metered", words[i].text, strlen(words[i].text));
        job = filled(&d);
        cr_expect(job.limited, "case %zu: it may change at any time", i);
        cr_expect_eq(job.limit_bytes, words[i].metered ? 9 : NO_LIMIT, "case %zu", i);
    }
    static char endless[8192];
    memset(endless, ' ', sizeof endless);
    device_write(&d, "metered", endless, sizeof endless);
    cr_expect_eq(filled(&d).limit_bytes, 9, "more than anybody reads");
    device_drop(&d);
}

Test(link, whatever_a_worker_says_it_spent_can_be_written_down) {
    struct device d;
    struct err e = ERR_NONE;
    device_start(&d, NULL);
    device_release(&d, "1", NULL);
    device_offer_until(&d, true, FSM_OFFERED);
    struct fsm_update *update = &d.state.journal.record.update;
    (void)filled(&d);
    struct agent_job_spent said;
    memset(&said, 0xff, sizeof said);
    said.no_delta = true;
    memset(said.note, 'x', sizeof said.note);
    said.note[sizeof said.note - 1] = '\0';
    cr_assert_eq(update_link_note(d.update, &said, &e), 0, "%s", e.text);
    (void)filled(&d);
    cr_assert_eq(update_link_note(d.update, &said, &e), 0, "%s", e.text);
    cr_expect_leq(bundle_report_link_bytes(&update->spent), KEYS_VERSION_MAX);
    cr_expect_leq(update->packing, FSM_PACKING_BUNDLE);
    cr_expect(update->no_delta);
    device_restart(&d);
    cr_expect(d.state.journal.record.update.no_delta);
    cr_expect_gt(bundle_report_link_bytes(&d.state.journal.record.update.spent), 0);
    device_drop(&d);
}

Test(link, the_account_goes_on_over_jobs_and_restarts) {
    struct device d;
    struct err e = ERR_NONE;
    device_start(&d, NULL);
    device_release(&d, "1", NULL);
    device_offer_until(&d, true, FSM_OFFERED);
    struct agent_job_spent said = {.bytes = {.delta = 10, .cache = 4},
                                   .begun = FSM_PACKING_DELTA,
                                   .begun_bytes = 10,
                                   .note = "the delta is not used: \x1b[31m"};
    cr_expect_eq(filled(&d).spent_bytes, 0);
    cr_assert_eq(update_link_note(d.update, &said, &e), 0, "%s", e.text);
    cr_expect(strchr(d.update->detail, '\x1b') == NULL && d.update->detail[0] != '\0');
    // The same job says more: it counts from where it began.
    said.bytes.delta = 30;
    cr_assert_eq(update_link_note(d.update, &said, &e), 0, "%s", e.text);
    cr_expect_eq(bundle_report_link_bytes(&d.state.journal.record.update.spent), 30);
    // The next one adds to it.
    cr_expect_eq(filled(&d).spent_bytes, 30);
    said = (struct agent_job_spent){.bytes = {.index = 1, .full = 5, .reused = 3},
                                    .begun = FSM_PACKING_BUNDLE,
                                    .begun_bytes = 6};
    cr_assert_eq(update_link_note(d.update, &said, &e), 0, "%s", e.text);
    device_restart(&d);
    const struct fsm_update *update = &d.state.journal.record.update;
    cr_expect_eq(bundle_report_link_bytes(&update->spent), 36);
    cr_expect(update->spent.delta == 30 && update->spent.full == 5 && update->spent.reused == 3);
    struct agent_job job = filled(&d);
    cr_expect(job.begun == AGENT_JOB_BUNDLE && job.begun_bytes == 6 && job.spent_bytes == 36);
    update_link_unstaged(d.update);
    job = filled(&d);
    cr_expect(job.begun == AGENT_JOB_NOTHING_BEGUN && job.begun_bytes == 0 &&
              job.spent_bytes == 36);
    device_drop(&d);
}

Test(link, only_what_a_metered_link_alone_forbids_is_waited_for) {
    struct device d;
    struct err budget = ERR_NONE, other = ERR_NONE, why = ERR_NONE;
    device_start(&d, NULL);
    err_set(&budget, &err_budget, "needs 100 B, budget 50 B");
    err_set(&other, &err_unreachable, "it");
    d.config.fetch_budget_bytes = 200;
    d.config.fetch_budget_metered_bytes = 50;
    d.config.metered = "no";
    (void)filled(&d);
    d.update->need_bytes = 300;
    cr_expect_not(update_link_may_wait(d.update, &budget),
                  "not metered: there is nothing to wait for");
    cr_expect_not(update_link_is_closed(d.update, &why));
    d.config.metered = "yes";
    (void)filled(&d);
    cr_expect_not(update_link_may_wait(d.update, &budget), "too much for any link");
    d.update->need_bytes = 100;
    cr_expect(update_link_may_wait(d.update, &budget));
    cr_expect_not(update_link_may_wait(d.update, &other));
    cr_expect(update_link_is_closed(d.update, &why) && err_is(&why, &err_budget), "%s", why.text);
    d.update->need_bytes = 50;
    cr_expect_not(update_link_is_closed(d.update, &why), "it fits");
    d.config.fetch_budget_metered_bytes = 0;
    d.update->need_bytes = 0;
    cr_expect(update_link_is_closed(d.update, &why), "nothing at all, whatever it needs");
    device_drop(&d);
}
