// SPDX-License-Identifier: Apache-2.0
//
// Fleet files: what is taken, and what is said of those that are wrong.
#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"
#include "ctl/sim/fleet.h"

static int parse(const char *text, struct sim_fleet *ret, struct err *e) {
    json_error_t where;
    OWN(json) json_t *document = json_loads(text, 0, &where);
    cr_assert_not_null(document, "%s: %s", text, where.text);
    return sim_fleet_parse(document, "fleet", ret, e);
}

Test(sim_fleet, only_a_name_and_a_number_of_devices_are_needed) {
    OWN(mem) struct sim_fleet *fleet = calloc(1, sizeof *fleet);
    struct err e = ERR_NONE;
    cr_assert_eq(parse("{\"name\": \"f\", \"devices\": 3}", fleet, &e), 0, "%s", e.text);
    cr_assert_eq(fleet->devices, 3);
    cr_assert_eq(fleet->sites, 1);
    cr_assert_str_eq(fleet->site_fact, "label.site");
    cr_assert_eq(fleet->n_kinds, 1);
    cr_assert_eq(fleet->kinds[0].poll_s, 1800);
    cr_assert_eq(fleet->duration_s, 14 * 86400);
    cr_assert_eq(fleet->probation_s, 600);
    cr_assert_eq(fleet->approve_s, 3600);
    cr_assert_eq(fleet->n_faults + fleet->n_metrics + fleet->facts.n, 0);
}

Test(sim_fleet, everything_that_can_be_said_is_read) {
    OWN(mem) struct sim_fleet *fleet = calloc(1, sizeof *fleet);
    struct err e = ERR_NONE;
    const char *text =
        "{\"name\": \"f\", \"devices\": 1000000, \"sites\": 7, \"site_fact\": \"label.plant\", "
        "\"poll_s\": \"20m\", \"duration\": \"2d\", \"newcomers_pct\": \"2.5\", "
        "\"facts\": {\"b\": {\"y\": 2, \"x\": 1}, \"a\": true, \"c\": 5}, "
        "\"kinds\": [{\"name\": \"k\", \"weight\": 3, \"poll_s\": 60, \"off\": \"20:15-06:00\", "
        "\"loss_pct\": 5, \"facts\": {\"a\": false}}, {\"name\": \"l\"}], "
        "\"metrics\": {\"m\": {\"mean\": -1, \"sd\": \"0.5\", \"device_sd\": 1, \"site_sd\": 2, "
        "\"day\": 3, \"step\": \"0.25\", \"heavy\": true}, \"c\": {\"per_day\": \"0.2\"}}, "
        "\"installs\": {\"refused_pct\": 1, \"reverted_pct\": 2, \"lost_pct\": 3, \"fetch\": 5, "
        "\"probation\": \"1m\"}, \"outages\": {\"site_per_week\": 1, \"fleet_per_week\": \"0.5\", "
        "\"last\": \"1h\", \"restarts_per_week\": 2, \"controller_per_week\": 3}, "
        "\"people\": {\"approve_after\": 7, \"resume\": 2}, "
        "\"release\": [{\"kind\": \"slow_poison\", \"metric\": \"m\", \"by\": \"-0.5\", "
        "\"percent\": 20, \"sites_pct\": 30, \"after\": \"1h\", \"where\": \"a\"}, "
        "{\"kind\": \"event_rate\", \"metric\": \"c\", \"times\": 4}, "
        "{\"kind\": \"liar\", \"say\": \"bad\"}]}";
    cr_assert_eq(parse(text, fleet, &e), 0, "%s", e.text);
    cr_assert_str_eq(fleet->facts.list[0].name, "a"); // by name, whatever the document's order
    cr_assert_str_eq(fleet->facts.list[1].values[0].text, "x");
    cr_assert_eq(fleet->facts.list[1].weights, 3);
    cr_assert(fleet->kinds[0].has_off);
    cr_assert_eq(fleet->kinds[0].off_start_min, 20 * 60 + 15);
    cr_assert_eq(fleet->kinds[0].loss_ppm, 50000);
    cr_assert_eq(fleet->kinds[1].poll_s, 1200);
    cr_assert_str_eq(fleet->metrics[0].name, "c");
    cr_assert_eq(fleet->metrics[0].per_day_ppm, 200000);
    cr_assert(fleet->metrics[1].heavy);
    cr_assert_eq(fleet->metrics[1].mean.nano, -NUM_DECIMAL_SCALE);
    cr_assert_eq(fleet->newcomers_ppm, 25000);
    cr_assert_eq(fleet->fleet_outages_ppm, 500000);
    cr_assert_eq(fleet->n_faults, 3);
    cr_assert_eq(fleet->faults[0].metric, 1);
    cr_assert_eq(fleet->faults[0].by.nano, -NUM_DECIMAL_SCALE / 2);
    cr_assert_eq(fleet->faults[0].share_ppm, 200000);
    cr_assert_eq(fleet->faults[1].times_ppm, 4000000);
    cr_assert(fleet->faults[2].says_bad);
}

#define HEAD "{\"name\": \"f\", \"devices\": 3, "

Test(sim_fleet, what_is_wrong_is_named_with_its_place) {
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"{\"devices\": 3}", "name"},
        {"{\"name\": \"f\"}", "devices"},
        {"{\"name\": \"f\", \"devices\": 0}", "devices"},
        {"{\"name\": \"f\", \"devices\": 1000001}", "devices"},
        {"{\"name\": \"f g\", \"devices\": 1}", "name"},
        {HEAD "\"site\": 3}", "sites"},
        {HEAD "\"sites\": 100001}", "sites"},
        {HEAD "\"site_fact\": \"a b\"}", "site_fact"},
        {HEAD "\"poll_s\": 0}", "poll_s"},
        {HEAD "\"duration\": \"367d\"}", "duration"},
        {HEAD "\"newcomers_pct\": 101}", "newcomers_pct"},
        {HEAD "\"facts\": {\"a b\": 1}}", "facts"},
        {HEAD "\"facts\": {\"a\": {}}}", "facts.a"},
        {HEAD "\"facts\": {\"a\": {\"x\": 0}}}", "facts.a"},
        {HEAD "\"facts\": {\"a\": [1]}}", "facts.a"},
        {HEAD "\"kinds\": []}", "kinds"},
        {HEAD "\"kinds\": [{\"weight\": 1}]}", "kinds[0].name"},
        {HEAD "\"kinds\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}", "kinds[1].name"},
        {HEAD "\"kinds\": [{\"name\": \"a\", \"off\": \"24:00-06:00\"}]}", "kinds[0].off"},
        {HEAD "\"kinds\": [{\"name\": \"a\", \"off\": \"06:00-06:00\"}]}", "kinds[0].off"},
        {HEAD "\"kinds\": [{\"name\": \"a\", \"off\": \"6:00-07:00\"}]}", "kinds[0].off"},
        {HEAD "\"metrics\": {\"m\": {\"mean\": \"x\"}}}", "metrics.m.mean"},
        {HEAD "\"metrics\": {\"m\": {\"sd\": -1}}}", "metrics.m.sd"},
        {HEAD "\"metrics\": {\"m\": {\"mean\": 1000001}}}", "metrics.m.mean"},
        {HEAD "\"metrics\": {\"m\": {\"per_day\": 1, \"mean\": 1}}}", "mean"},
        {HEAD "\"installs\": {\"refused_pct\": 50, \"lost_pct\": 51}}", "installs"},
        {HEAD "\"installs\": {\"fetch\": 0}}", "installs.fetch"},
        {HEAD "\"outages\": {\"site_per_week\": -1}}", "outages.site_per_week"},
        {HEAD "\"people\": {\"resume\": 17}}", "people.resume"},
        {HEAD "\"release\": [{\"kind\": \"gremlins\"}]}", "release[0].kind"},
        {HEAD "\"release\": [{\"kind\": \"liar\", \"say\": \"maybe\"}]}", "release[0].say"},
        {HEAD "\"release\": [{\"kind\": \"metric_shift\", \"metric\": \"m\"}]}", "release[0].by"},
        {HEAD "\"release\": [{\"kind\": \"boot_loop\", \"by\": 1}]}", "by"},
        {HEAD "\"release\": [{\"kind\": \"boot_loop\", \"where\": \"a ==\"}]}", "release[0].where"},
        {HEAD "\"metrics\": {\"m\": {\"mean\": 1}}, \"release\": [{\"kind\": \"event_rate\", "
              "\"metric\": \"m\"}]}",
         "release[0].metric"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OWN(mem) struct sim_fleet *fleet = calloc(1, sizeof *fleet);
        struct err e = ERR_NONE;
        cr_assert_eq(parse(cases[i].text, fleet, &e), -1, "%s", cases[i].text);
        cr_assert_not_null(strstr(e.text, cases[i].place), "%s: %s", cases[i].text, e.text);
        cr_assert_eq(fleet->devices, 0, "the output is untouched");
    }
}
