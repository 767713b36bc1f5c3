# SPDX-License-Identifier: Apache-2.0
#
# The defences of the device and of the controller, which stand on that core, each taken out: read by tests/attack/mutants.py, which
# builds and runs them, and by tests/lint/mutants.py, which sees that they still fit the source and leave out no
# row of SECURITY.md. Nothing but one literal.
#
# (id, file, the exact source, which stands there once, what stands there without the defence, and the tests that
# fail then, each of them: suite/test, or a scenario of the real programs: e2e_script/function)
MUTANTS = (
    # ── U01: stored before it was verified ──
    ("u01-taken-over-in-order", "agent/trust/adopt.c",
     "    for (size_t i = 0; i < v->n_steps; i++) {\n"
     "        OWN(buf) struct buf bytes = {.data = NULL};\n"
     "        trust_verdict_step(v, i, &step);",
     "    for (size_t i = v->n_steps; i-- > 0;) {\n"
     "        OWN(buf) struct buf bytes = {.data = NULL};\n"
     "        trust_verdict_step(v, i, &step);",
     "trust/a_cut_at_any_call_leaves_what_the_next_refresh_goes_on_from"),
    ("u01-forgotten-first", "agent/trust/adopt.c",
     "        state->journal.trusted = dates;\n"
     "        if (agent_state_save(state, e) < 0)\n"
     "            return -1;\n",
     "        state->journal.trusted = dates;\n",
     "trust/a_cut_at_any_call_leaves_what_the_next_refresh_goes_on_from"),

    # ── U10: hostile names ──
    ("u10-file-name", "agent/trust/verdict.c",
     "           strspn(name, allowed) == len && strcmp", "           strcmp",
     "verdict/file_names"),
    ("u10-file-length", "agent/trust/verdict.c",
     "len <= TRUST_VERDICT_FILE_MAX && ", "",
     "verdict/file_names"),

    # ── U11, endless data ──
    ("endless-answer", "agent/worker/refresh.c",
     "buf_init(&answer.body, max_bytes);", "buf_init(&answer.body, SIZE_MAX / 2);",
     "refresh/a_file_without_an_end_is_cut_at_its_ceiling"),
    ("endless-coded", "agent/net/download/answer.c",
     "if (headers->encoded)", "if (false)",
     "answers/a_content_coding_is_refused"),

    # ── Arbitrary software, wrong software, mix and match, stolen keys ──
    ("wrong-software-hardware", "bundle/manifest.c",
     "    if (!holds)\n"
     "        return err_set(e, &err_requirement_unmet",
     "    if (false)\n"
     "        return err_set(e, &err_requirement_unmet",
     "manifest/other_hardware_and_versions_below_the_floor_are_not_admitted"),
    ("wrong-software-device", "bundle/instruction.c",
     "if (strcmp(named, device) != 0)", "if (false)",
     "instruction/anothers_replayed_and_expired_ones_are_refused"),
    ("wrong-software-replayed", "bundle/instruction.c",
     "if (header->version <= last_sequence)", "if (header->version < last_sequence)",
     "instruction/anothers_replayed_and_expired_ones_are_refused"),
    ("wrong-software-expired", "bundle/instruction.c",
     "    return keys_envelope_check_expiry(header, \"instruction\", now_s, e);\n",
     "    (void)now_s;\n"
     "    return 0;\n",
     "instruction/anothers_replayed_and_expired_ones_are_refused"),

    # ── The device: time, and what it takes over ──
    ("clock-online-date", "agent/fsm/trusted.c",
     "        value = lower(value, bounds->snapshot_s);", "        value = lower(value, 0);",
     "trusted/frozen_at_most_until_the_snapshot_expires"),
    ("clock-voucher", "agent/fsm/trusted.c",
     "        value = lower(value, bounds->root_s);", "        value = lower(value, 0);",
     "trusted/a_date_counts_up_to_what_vouches_for_its_signer"),
    ("clock-rotation", "agent/fsm/trusted.c",
     "    trusted->dates[source] = (struct fsm_trusted_date){.signed_s = 0};\n", "",
     "trusted/a_rotation_undoes_a_stolen_key_and_only_that"),
    ("clock-root-ahead", "agent/trust/store.c",
     "bool changed = keys_root_header(after)->issued_s < keys_root_header(before)->issued_s &&",
     "bool changed = false &&",
     "trust/a_root_signed_by_a_clock_ahead_is_undone_by_the_next_one"),
    ("clock-restart", "agent/fsm/trusted.c",
     "        trusted->dates[i].at_s = trusted->dates[i].signed_s;\n", "        trusted->dates[i].at_s = 0;\n",
     "instruction/trusted_time_survives_a_restart_into_1970"),
    ("clock-wall", "agent/state.c",
     "    return fsm_trusted_now_s(&state->journal.trusted, chrono_boot_ms(state->clock));",
     "    return chrono_wall_ms(state->clock) / 1000;",
     "e2e_trust_device/a_wall_clock_twenty_years_off_changes_nothing"),
    ("swap-after-judgement", "agent/trust/adopt.c",
     "if (ret->len != step->bytes || !keys_digest_equal(&digest, &step->digest))", "if (false)",
     "trust/what_was_changed_after_the_judgement_is_not_taken_over"),

    # ── Slow retrieval, dropped requests ──
    ("slow-refresh-deadline", "agent/net/request.c",
     "    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)timeout_ms);\n", "    (void)timeout_ms;\n",
     "refresh/a_drip_ends_with_the_deadline_of_the_whole"),
    ("slow-refresh-deadline-of-each", "agent/worker/refresh.c",
     "int64_t left_ms = r->deadline_ms - chrono_boot_ms(r->voice->clock);",
     "int64_t left_ms = (int64_t)r->voice->job->timeout_s * 1000;",
     "refresh/answers_that_are_slow_one_by_one_share_one_deadline"),
    ("slow-silence", "agent/net/handle.c",
     "    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, (long)net->rate_min_bytes_s);\n", "",
     "refresh/silence_ends_with_the_least_rate",
     "answers/a_server_below_the_least_rate_is_left"),
    ("slow-request-deadline", "agent/net/request.c",
     "    curl_easy_setopt(handle, CURLOPT_TIMEOUT, (long)request->net->request_timeout_s);\n", "",
     "request/the_whole_request_has_a_deadline"),
    ("dropped-long-page", "agent/net/request.c",
     "if (!sink.too_large || status < 400)", "if (true)",
     "refresh/a_repository_with_nothing_in_it_is_not_found"),
    ("dropped-not-found", "agent/worker/refresh.c",
     "if (answer->status == 404 || answer->status == 403)", "if (false)",
     "refresh/a_repository_with_nothing_in_it_is_not_found"),

    # ── Rollback of software ──
    ("rollback-below-floor", "bundle/manifest.c",
     "if (floor && c->security_version < (uint64_t)json_integer_value(floor))", "if (false)",
     "manifest/other_hardware_and_versions_below_the_floor_are_not_admitted"),
    ("rollback-way-back", "agent/floors.c",
     "if (floor > 0 && c->security_version < (uint64_t)floor)", "if (false)",
     "cycle/i6_nothing_below_the_floor_is_gone_back_to"),
    ("rollback-floors-unheard", "agent/trust/adopt.c",
     "agent_floors_raise(state->private_dir, &state->floors, verdict->floors, e) < 0", "false",
     "e2e_trust_device/floors_of_the_targets_are_kept"),
    ("rollback-old-state", "agent/anchor.c",
     "if (has_number && number == counter)", "if (has_number && number <= counter)",
     "anchor/a_state_that_is_put_back_is_noticed_until_the_repository_was_asked"),
    ("rollback-old-state-again", "agent/anchor.c",
     "    if (ask(a, \"increment\", &counter, &why) != 0) {\n", "    if (ask(a, \"read\", &counter, &why) != 0) {\n",
     "anchor/no_copy_made_before_it_was_renewed_is_the_latest_afterwards"),
    ("rollback-old-state-hidden", "agent/anchor.c",
     "    if (a->verdict != AGENT_ANCHOR_HELD)\n"
     "        return 0;\n",
     "",
     "anchor/a_state_that_is_put_back_is_noticed_until_the_repository_was_asked"),
    ("rollback-old-state-back", "agent/anchor.c",
     "    if (a->verdict != AGENT_ANCHOR_RESTORED)\n"
     "        return 0;\n",
     "    if (true)\n"
     "        return 0;\n",
     "anchor/a_state_that_is_put_back_is_noticed_until_the_repository_was_asked"),
    ("rollback-old-state-stick", "agent/anchor.c",
     "    if (a->verdict == AGENT_ANCHOR_RESTORED)\n"
     "        return err_set",
     "    if (false)\n"
     "        return err_set",
     "anchor/a_state_that_is_put_back_is_noticed_until_the_repository_was_asked"),

    # ── Part of a bundle, a swap at the moment of installing ──
    ("partial-two-steps", "agent/store.c",
     "    if (fs_replace_link(store->dir, CURRENT, target, e) < 0)\n",
     "    if (fs_remove(store->dir, CURRENT, e) < 0 || fs_symlink(target, store->dir, CURRENT, e) < 0)\n",
     "cycle/killed_at_any_call_an_update_that_commits_leaves_i1_to_i8"),
    ("partial-frame", "bundle/unpack/frame.c",
     "if (!keys_digest_equal(&found, &row->digest))", "if (false)",
     "fetch/changed_contents_are_refused_by_the_kind_of_what_changed"),
    ("partial-missing-file", "bundle/seal/verify.c",
     "    if (r == FS_ABSENT || !S_ISREG(status.st_mode))\n"
     "        return err_set(e, &err_bad_content, \"there is no file\");\n",
     "    if (r == FS_ABSENT || !S_ISREG(status.st_mode))\n"
     "        return 0;\n",
     "seal/any_damage_to_a_generation_is_found"),
    ("swap-not-read-again", "agent/update/activate.c",
     "bool fresh = fresh_will_do && u->read_back_ms >= 0 && age_ms <= UPDATE_ENGINE_FRESH_MS;",
     "bool fresh = fresh_will_do && age_ms >= 0;",
     "cycle/i1_a_generation_that_was_changed_before_the_swap_is_not_activated"),
    ("swap-flipped-bit", "bundle/seal/verify.c",
     "if (!keys_digest_equal(&found, &entry->digest))", "if (false)",
     "seal/any_damage_to_a_generation_is_found"),
    ("swap-more-than-signed", "bundle/seal/verify.c",
     "if (w->listed != entries)", "if (false)",
     "seal/any_damage_to_a_generation_is_found"),
    ("swap-mode", "bundle/seal/verify.c",
     "if ((status.st_mode & PERMISSIONS) != (entry->exec ? 0555U : 0444U))", "if (false)",
     "seal/any_damage_to_a_generation_is_found"),
    ("swap-link", "base/fs_path.c",
     ".resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,", ".resolve = 0,",
     "stage/a_link_in_the_way_is_not_followed"),

    # ── Director, repository and bundle keys; a worker taken over ──
    ("agree-director", "bundle/instruction.c",
     "        keys_envelope_verify(&candidate, \"instruction\", director, &envelope, e) < 0)\n"
     "        return -1;\n",
     "        !director)\n"
     "        return -1;\n"
     "    envelope.signed_part = candidate.signed_part;\n",
     "e2e_attack/every_set_of_compromised_parts_but_the_whole_installs_nothing"),
    ("agree-repository", "agent/trust/run.c",
     "    if (t->path[0] == '\\0' || v->found)\n", "    if (true)\n",
     "e2e_attack/every_set_of_compromised_parts_but_the_whole_installs_nothing"),
    ("agree-threshold", "keys/envelope.c",
     "if (n_seen < role->threshold)", "if (false)",
     "e2e_attack/every_set_of_compromised_parts_but_the_whole_installs_nothing"),
    ("worker-judge-looks-away", "agent/worker/judge.c",
     "bool held = tuf_client_refresh(client, e) >= 0;", "bool held = true;",
     "judge/accepts_nothing_of_what_a_worker_made_up"),
    ("worker-root-chain", "agent/trust/adopt.c",
     "            keys_root_advance(last, buf_slice(&raw), &next, e) < 0)",
     "            keys_root_open(buf_slice(&raw), &next, e) < 0)",
     "trust/a_judge_cannot_make_a_root"),
    ("worker-judge-talks", "agent/worker/sandbox.c",
     "(!without_sockets || install(no_sockets, sizeof no_sockets / sizeof no_sockets[0]));",
     "(!without_sockets || sizeof no_sockets > 0);",
     "sandbox_judge/reaches_nobody"),

    # ── Withdrawn, or not to be published any more, between fetch and swap ──
    ("withdrawn-not-asked", "agent/update/wait.c",
     "    update_trust_ask(u);\n", "    update_engine_fire(u, FSM_GO, NULL);\n",
     "named/what_was_withdrawn_while_it_waited_is_given_up_and_not_held_against_it"),
    ("withdrawn-hinted", "agent/update/wait.c",
     "    update_trust_ask(u);\n",
     "    u->host.state->trust.hinted.snapshot == u->host.state->trust.files[TRUST_STORE_SNAPSHOT].version\n"
     "        ? update_engine_fire(u, FSM_GO, NULL)\n        : update_trust_ask(u);\n",
     "named/it_is_asked_once_whatever_the_controller_says_of_the_repository"),
    ("withdrawn-forgotten", "agent/update/wait.c",
     "    if (!looked(u)) {", "    if (!looked(u) && !r->update.looked) {",
     "named/a_restart_while_it_waits_does_not_make_it_forget_to_ask"),
    ("withdrawn-restarted", "agent/update/engine.c",
     "if (r->state == FSM_ACTIVATING && !update_activate_swapped(update))", "if (false)",
     "named/i11_a_power_cut_between_the_yes_and_the_swap_makes_it_look_and_ask_again"),
    ("withdrawn-key", "agent/update/wait.c",
     "bundle_manifest_verify_root(bundle_manifest_raw(u->manifest), state->root, &manifest, e) <",
     "bundle_manifest_verify_id(bundle_manifest_raw(u->manifest), bundle_manifest_id(u->manifest), &manifest, e) <",
     "named/what_the_root_took_the_key_away_from_is_given_up_wherever_it_came_from"),
    ("withdrawn-expired", "agent/update/wait.c",
     "                                   agent_state_trusted_s(state), e) < 0)", "                                   0, e) < 0)",
     "named/what_expired_while_it_waited_is_given_up"),
    ("withdrawn-limits", "agent/update/wait.c",
     "    return update_trust_admits(u, manifest, e);", "    return 0;",
     "named/what_its_publishers_may_not_publish_any_more_is_given_up"),
    ("withdrawn-component", "agent/update/trust.c",
     "if (target->components && !lists(target->components, c->name))", "if (false)",
     "named/what_its_publishers_may_not_publish_any_more_is_given_up"),
    ("withdrawn-executable", "agent/update/trust.c",
     "if (!target->executable && (c->executable || c->type == BUNDLE_COMPONENT_IMAGE))", "if (false)",
     "named/what_its_publishers_may_not_publish_any_more_is_given_up"),
    ("withdrawn-other-content", "agent/update/trust.c",
     "        target->length != envelope.signed_part.len)", "        false)",
     "named/what_its_publishers_may_not_publish_any_more_is_given_up"),
    ("withdrawn-old-copy", "agent/update/wait.c",
     "bool answered = !why.kind && agent_trust_check_newest(u->host.state, &why) == 0;",
     "bool answered = !why.kind;",
     "named/a_copy_older_than_the_controller_knows_is_waited_for_even_when_it_names_the_bundle"),

    # ── Denial of service on the controller ──
    ("dos-rate", "ctl/serve/pace.c",
     "if (pace->places[at].room_milli < 1000)", "if (false)",
     "serve_pace/a_device_that_asks_too_often_is_told_so_and_others_are_not",
     "e2e_rogue/a_device_that_floods_is_alone_in_its_trouble"),
    ("dos-deadline", "ctl/serve/guard.c",
     "if (now_ms >= entry->deadline_ms) {", "if (now_ms < 0) {",
     "serve_guard/a_connection_that_is_late_is_shut_down",
     "e2e_rogue/the_slow_are_cut_in_time",
     "e2e_rogue/many_idle_connections_do_not_shut_others_out_for_long"),
    ("dos-reports", "ctl/serve/checkin.c",
     "if (said->reports[i].id <= device->report_acked)", "if (false)",
     "e2e_rogue/reports_are_taken_once_and_in_order"),
)
