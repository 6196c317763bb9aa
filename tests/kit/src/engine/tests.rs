//! The macro that names one test for each behaviour of the engine.

/// Makes the tests of the sync engine over the store of a harness: `engine_tests!(MyHarness);`.
///
/// Use it once in a module; the stores pass [`store_tests!`](crate::store_tests) first. See
/// [`engine`](crate::engine).
#[macro_export]
macro_rules! engine_tests {
    ($harness:ty) => {
        $crate::engine_tests!($harness, run);
    };
    ($harness:ty, $run:ident) => {
        $crate::__engine_groups! { [$crate::__engine_tests] $harness, $run }
    };
}

/// The behaviours of each group, handed to the macro `emit`: the only list of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __engine_groups {
    ([$($emit:tt)+] $($args:tt)*) => {
        $($emit)+! { $($args)*, local:
            change_and_operation_are_stored_together
            a_change_is_as_durable_as_it_says
            ids_are_made_where_missing
            wrong_changes_change_nothing
            system_properties_are_the_servers
            local_only_tables_stay_here
            transactions_are_all_or_nothing
            unknown_members_survive_typed_updates
            many_tasks_insert_at_once
            many_tasks_edit_one_record
            steps_of_a_counter_are_not_lost
            numbers_are_never_used_again
            two_contexts_over_one_store_lose_nothing
            two_contexts_write_at_once
            changes_behind_a_gap_join
            declarations_are_kept
            tables_of_two_contexts_are_known
        }
        $($emit)+! { $($args)*, queue:
            pending_operations_are_listed
            a_long_queue_is_read_in_pages
            cancel_restores_the_record
            cancel_of_an_attempted_operation
            cancel_with_a_successor
            discard_leaves_the_record
            discarded_edits_are_not_sent_by_what_was_before_them
            discarded_inserts_can_be_queued_again
            refused_operations_wait_for_a_decision
            refused_operations_can_be_deleted
            changes_of_one_record_join
            delete_then_insert_replaces
            delete_of_a_sent_insert_reaches_the_server
        }
        $($emit)+! { $($args)*, partial:
            t2_only_changed_members_go_out
            t2_another_member_changed_elsewhere_is_a_conflict
            t2_a_removed_member_goes_as_a_whole
            t2_an_unknown_base_goes_as_a_whole
            t2_an_edit_in_flight_is_told_from_the_answer
            t2_a_server_of_whole_records_is_remembered
            t2_a_lost_answer_is_ours_by_what_was_sent
            t2_a_lost_answer_is_open_where_what_was_sent_changed
            t2_the_key_goes_with_what_is_sent
        }
        $($emit)+! { $($args)*, long_queue:
            old_operations_are_found
            a_long_queue_is_pushed_in_order
            contexts_note_each_others_operations
            numbers_of_a_long_queue_are_used_once
            purges_of_a_long_queue_drop_their_own
            a_lost_run_is_found
            runs_are_read_while_others_are_noted
            a_queue_without_runs_gets_them
        }
        $($emit)+! { $($args)*, chain:
            groups_follow_each_other_in_order
            what_was_marked_in_vain_waits_as_before
            what_stays_is_looked_at_again
            a_waiting_pull_comes_between
            groups_of_large_records_are_small
        }
        $($emit)+! { $($args)*, together:
            b1_operations_travel_together_in_order
            b1_a_lost_batch_is_found_out
            b1_what_a_lost_batch_holds_may_be_in
            b1_a_refused_batch_is_halved
            b1_each_operation_has_its_own_answer
            b1_what_was_not_looked_at_is_no_attempt
            b1_batches_go_only_to_servers_that_take_them_and_tell_repeats
            b1_one_that_stops_each_request_holds_up_no_other
            b1_batches_that_always_fail_are_given_up
        }
        $($emit)+! { $($args)*, delivery:
            history_1_five_impossible_records
            history_2_a_forbidden_table
            history_3_lines_wait_for_their_order
            history_4_a_token_that_expires
            one_foreign_row_asks_for_no_new_token
            history_5_a_photo_that_never_arrives
            history_14_a_table_that_is_not_there
            one_failing_record_holds_up_nothing
            a_rule_of_the_table_is_no_conflict_of_versions
            a_row_that_lags_is_read_again
            waits_that_the_server_asks_for_are_kept
            two_failing_tables_do_not_hold_up_a_third
            a_broken_table_does_not_hold_up_another
            a_parent_that_never_comes_is_not_waited_for_for_ever
            nothing_is_sent_twice_while_the_network_answers
        }
        $($emit)+! { $($args)*, whose:
            gateways_that_answer_after_the_effect
            history_7_a_late_first_attempt
            history_8_two_phones_from_one_backup
            history_9_an_insert_that_others_edited
            history_10_an_update_that_leaves_a_member_out
            history_11_a_counter_that_others_moved
            history_12_a_counter_after_another_sign_in
            history_13_an_update_that_never_arrived
            history_15_a_table_that_may_not_be_read
            history_17_restored_backups
            operations_of_an_old_release_keep_their_key
            an_unsure_insert_that_is_deleted_here_is_deleted_there
            edits_behind_an_accepted_change_put_nothing_back
            edits_behind_a_remembered_insert_remove_nothing
            a_delete_behind_an_accepted_change_meets_what_others_did
        }
        $($emit)+! { $($args)*, returned:
            history_6_a_record_that_comes_back
            what_is_in_the_way_may_be_ours
            a_record_comes_back_where_tombstones_are_hidden
            what_others_deleted_after_our_insert_stays_deleted
            an_edit_that_meets_a_tombstone_is_a_conflict
            gone_there_and_deleted_here_is_no_conflict
            another_id_is_sent_once
            empty_versions_are_read_again
            rows_without_versions_are_updated
            retry_of_a_conflict_says_so
        }
        $($emit)+! { $($args)*, push:
            operations_go_out_in_order
            answers_become_the_record
            edit_in_flight_goes_out_next
            edit_of_an_insert_in_flight
            delete_in_flight_goes_out_next
            reinsert_in_flight_goes_out_next
            cancel_in_flight_takes_the_answer
            cancel_of_a_delete_in_flight
            lost_requests_and_answers_have_one_effect
            lost_answer_then_another_writer
            remembered_answer_is_overtaken
            remembered_deletion_is_overtaken
            lost_request_then_another_writer
            equal_content_is_no_conflict
            stopped_push_loses_nothing
            rejection_does_not_block_others
            operations_behind_a_parked_one_wait
            edit_during_a_refusal_is_sent
            parallel_push_has_the_same_result
            tables_can_be_pushed_alone
            nothing_to_send_needs_no_server
            long_queues_are_sent
            successors_follow_in_their_order
        }
        $($emit)+! { $($args)*, stuck:
            failing_operation_is_parked
            unreadable_answers_are_done_once
            an_outage_parks_nothing
            failing_operations_do_not_hold_up_pulls
        }
        $($emit)+! { $($args)*, units:
            b3_a_transaction_arrives_as_one
            b3_the_server_is_asked_before_the_first
            b3_a_refusal_keeps_all_back
            b3_a_conflict_keeps_all_back
            b3_a_policy_sends_all_again
            b3_a_lost_unit_is_found_out
            b3_a_failure_of_one_keeps_all_back
            b3_others_stay_apart
            b3_whole_records_go_together_too
            b3_cancelled_ones_are_left_out
            b3_other_servers_get_them_one_by_one
        }
        $($emit)+! { $($args)*, conflicts:
            server_wins_takes_the_servers_record
            client_wins_sends_the_local_record
            parked_conflicts_are_resolved_later
            parked_conflicts_are_durable
            a_parked_conflict_has_the_words_of_the_server
            parked_records_can_be_edited
            pull_keeps_parked_records
            client_wins_meets_a_third_writer
            rounds_are_bounded
            merge_joins_both_sides
            parked_conflicts_can_be_merged
            handlers_see_all_sides
            failing_handlers_park
            edits_during_a_decision_count
            edits_during_parking_are_kept
            delete_of_a_deleted_record_is_done
            inserts_over_tombstones
        }
        $($emit)+! { $($args)*, asking:
            history_21_a_newer_row_is_asked_about_again
            an_edit_while_it_is_decided_is_asked_about
            history_22_a_handler_uses_the_context
            history_23_one_question_at_a_time
            open_questions_are_asked_again_and_answers_are_not
        }
        $($emit)+! { $($args)*, merging:
            rules_join_what_two_devices_changed
            equal_changes_of_a_counter_both_count
            lost_answer_of_a_counter_counts_once
            clash_without_a_rule_is_parked_by_name
            rules_are_kept_with_the_declaration
            counter_of_an_unsure_change_is_parked
            counter_of_a_recognised_repeat_counts_once
            changed_conflicts_are_decided_anew
            what_a_typed_server_filled_in_is_not_removed
        }
        $($emit)+! { $($args)*, declared:
            defaults_fill_what_is_new_or_replaced
            required_values_and_lengths_are_judged
            a_default_that_the_server_leaves_out_is_no_conflict
            merges_take_a_missing_member_for_its_default
            declarations_of_earlier_stores_are_brought_forward
        }
        $($emit)+! { $($args)*, unknown_values:
            records_with_unknown_values_are_edited
            replaced_records_keep_unknown_values
            what_a_change_sets_must_fit
            merges_keep_unknown_values
            decisions_keep_unknown_values
            unknown_values_are_queried
            unknown_values_are_told
            records_that_a_type_cannot_take_are_named
        }
        $($emit)+! { $($args)*, spelling:
            text_is_stored_as_people_wrote_it
            stores_with_other_spellings_go_on
            ids_of_other_records_are_refused
            records_that_nothing_sends_are_queued_when_asked
            edits_of_a_table_that_became_local_only_stay_here
        }
        $($emit)+! { $($args)*, steps:
            s11_a_rename_here_is_translated_both_ways
            s11_a_queue_of_the_old_schema_is_sent
            s11_what_was_sent_is_not_converted
            s11_edits_behind_what_was_sent_go_on
            s11_what_was_sent_is_settled_in_the_new_words
            s11_filters_of_pulls_follow
        }
        $($emit)+! { $($args)*, converted:
            s11_a_removed_value_survives_a_put
            s11_values_that_do_not_fit_stay_and_are_counted
            s11_an_older_application_is_refused
            s11_a_killed_conversion_goes_on
        }
        $($emit)+! { $($args)*, crossed:
            rows_of_another_program_are_not_overwritten_unseen
            s11_conversions_see_what_others_do
            s11_of_two_releases_at_once_the_newer_one_counts
        }
        $($emit)+! { $($args)*, pull:
            full_pull_brings_everything
            second_pull_brings_only_changes
            filters_choose_records
            deletions_come_once
            equal_rows_are_not_written
            every_page_size_brings_everything
            ties_larger_than_a_page
            rows_that_move_between_pages
            interrupted_pull_goes_on
            names_have_positions_of_their_own
            unfit_queries_are_refused
            full_pull_takes_a_window
            poisoned_times_do_not_hide_changes
            invalid_rows_are_reported
            overlap_catches_late_commits
            change_of_the_server_is_noticed
            pages_that_do_not_move_on_end_the_pull
            edits_between_page_and_store_are_kept
            pull_pushes_first
            pull_does_not_move_records_back
            cancelled_pull_keeps_its_pages
            pull_keeps_edits_of_another_context
            pull_keeps_edits_behind_a_gap
        }
        $($emit)+! { $($args)*, filters:
            filters_are_tightened_and_widened
            history_19_two_named_pulls
            positions_of_others_stay_while_nothing_leaves
            pending_records_stay
            records_that_were_never_sent_stay
            changed_parameters_start_anew
            spelling_makes_no_other_filter
            nothing_leaves_for_a_filter_without_an_answer
            positions_of_another_context_start_anew
            a_filter_that_two_contexts_change_at_once
            dropped_change_of_a_filter_goes_on
            killed_change_of_a_filter_goes_on
        }
        $($emit)+! { $($args)*, forgotten:
            returning_device_lets_go_of_what_was_deleted
            first_pull_from_a_forgetful_server_goes_on
            cut_off_return_begins_anew
            a_delete_of_what_is_forgotten_leaves_nothing
            rows_of_other_pulls_stay
            random_absences_end_equal
            random_absences_from_a_feed_end_equal
        }
        $($emit)+! { $($args)*, feed:
            a_feed_brings_changes_once
            t1_a_walk_that_is_cut_off_goes_on
            t1_a_refused_resume_falls_back_to_the_position
            t1_rows_of_a_refused_first_walk_are_asked_about
            t1_an_expired_position_hides_no_deletion
            t1_a_return_that_is_cut_off_begins_anew
            t1_a_missing_table_deletes_nothing
            t1_what_left_the_query_leaves
            t1_what_another_pull_wants_stays
            t1_a_change_of_what_left_is_not_lost
            t1_a_delete_of_what_left_reaches_the_server
            t1_a_conflict_over_what_was_deleted_ends_in_its_deletion
            t1_empty_pages_lead_on_and_circles_end
            t1_another_kind_of_position_begins_at_the_start
            t1_a_filter_of_a_feed_may_change
            t1_two_contexts_follow_one_feed
            t1_a_purge_forgets_the_position
        }
        $($emit)+! { $($args)*, audit:
            audit_of_an_equal_table_is_clean
            audit_heals_what_a_pull_cannot_see
            audit_heals_rows_that_left_the_filter
            audit_heals_a_restored_backup
            audit_leaves_local_changes_alone
        }
        $($emit)+! { $($args)*, accounts:
            history_20_ada_is_signed_out_while_her_push_runs
            nothing_is_given_away_under_a_push
            changes_of_another_account_are_refused
            an_account_may_get_another_name
            a_name_is_adopted_while_nothing_waits
        }
        $($emit)+! { $($args)*, identity:
            history_18_upgrades_and_another_database
            positions_belong_to_a_server
            a_server_that_moves_is_the_same
            the_application_names_its_server
            a_server_that_changes_during_a_push
            a_server_is_known_before_the_first_write
            what_is_local_outlives_a_change
            a_change_that_is_cut_off_is_whole_or_absent
            a_pull_of_another_context_meets_a_change
            a_pull_of_another_context_meets_a_fresh_start
            the_first_contact_adopts
        }
        $($emit)+! { $($args)*, sign_in:
            t3_sign_out_and_in_as_another_account
            t3_a_long_push_is_of_one_account
            t3_an_account_stays_until_another_is_named
            t3_sign_in_after_opening
            t3_a_change_at_every_await_of_an_edit
        }
        $($emit)+! { $($args)*, connect:
            t3_a_push_ends_where_it_began
            t3_a_pull_ends_where_it_began
            t3_an_accepted_server_waits_for_the_one_before
            t3_the_first_server_is_remembered_before_anything_is_sent
            t3_an_open_answer_is_never_asked_elsewhere
            t3_the_same_server_at_another_address
            t3_a_name_belongs_to_its_server
            t3_clones_share_the_way
            t3_a_push_is_cancelled_before_it_has_met_the_server
            t3_decisions_go_where_the_conflict_was_met
            t3_a_change_at_every_await_of_a_push
        }
        $($emit)+! { $($args)*, kept:
            kept_rows_come_back_after_cancel
            kept_tombstones_come_back_after_cancel
            kept_rows_come_back_after_discard
            kept_rows_come_back_after_push
            deleted_insert_that_met_a_stranger
        }
        $($emit)+! { $($args)*, late:
            history_24_a_late_batch_of_two_contexts
            queues_that_were_half_read_are_read_again
            answers_older_than_a_page_of_another_context
            a_delete_that_another_context_sees_done
            operations_of_another_context_can_be_cancelled
            late_pages_undo_no_edit
            busy_contexts_do_not_starve_a_pull
            busy_contexts_do_not_starve_a_push
            pages_older_than_those_of_another_context
            pushes_behind_a_dropped_edit_see_all_of_it
            purges_behind_a_dropped_insert_see_all_of_it
        }
        $($emit)+! { $($args)*, lease:
            one_process_pushes_at_a_time
            ended_pushes_give_the_lease_back
            slow_pushes_keep_the_lease
            hanging_pushers_are_deposed
            deposed_pushers_stay_deposed
            deposed_pushers_with_a_known_queue_store_nothing
            the_lease_dies_with_its_owner
            dropped_pushes_do_not_lock_their_own_process_out
            jumps_of_the_clock_double_nothing
            random_pushers_have_single_effects
        }
        $($emit)+! { $($args)*, purge:
            purge_is_refused_while_operations_wait
            purged_records_come_back_with_a_pull
            purge_can_keep_positions
            purge_leaves_other_tables_alone
            purge_takes_a_filter
            purge_discards_operations
            purge_discards_matching_operations
            purge_during_a_pull
            purge_of_another_context_during_a_pull
        }
        $($emit)+! { $($args)*, events:
            each_change_is_told_once
            refused_changes_are_not_told
            progress_is_told
            parked_operations_are_told
            slow_listeners_are_told
        }
        $($emit)+! { $($args)*, cancellation:
            dropped_insert_is_whole_or_absent
            dropped_update_is_whole_or_absent
            dropped_delete_is_whole_or_absent
            dropped_transaction_is_whole_or_absent
            edit_whose_commit_lands_late_is_not_overwritten
            dropped_push_then_another
            dropped_push_then_a_crash
            dropped_pull_then_another
            dropped_decisions_are_whole_or_absent
            dropped_purge_is_whole_or_absent
            cancelled_push_goes_on
        }
        $($emit)+! { $($args)*, faults:
            a_call_that_fails_once_disturbs_nothing
            a_store_that_fails_is_whole_when_opened_again
            a_store_that_takes_no_writes_loses_nothing
            commits_of_unknown_outcome_are_found_out
            s6_commits_in_doubt_are_found_out_at_once
            a_full_store_is_still_read
            pushes_make_two_commits_a_group
        }
        $($emit)+! { $($args)*, histories:
            random_histories_converge
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __engine_tests {
    ($harness:ty, $run:ident, $group:ident: $($behaviour:ident)+) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $behaviour() {
                    $crate::$run(async {
                        $crate::engine::$group::$behaviour(&<$harness as Default>::default()).await;
                    });
                }
            )+
        }
    };
}

#[cfg(test)]
mod guard {
    // One is not, as the memory store alone has to do it: each_call_fails_in_every_way in `faults`
    #[test]
    fn every_behaviour_is_listed() {
        let listed: Vec<&str> = include_str!("tests.rs").split_whitespace().collect();
        let sources = [
            include_str!("asking.rs"),
            include_str!("audit.rs"),
            include_str!("accounts.rs"),
            include_str!("connect.rs"),
            include_str!("crossed.rs"),
            include_str!("sign_in.rs"),
            include_str!("identity.rs"),
            include_str!("kept.rs"),
            include_str!("late.rs"),
            include_str!("lease.rs"),
            include_str!("long_queue.rs"),
            include_str!("chain.rs"),
            include_str!("stuck.rs"),
            include_str!("delivery.rs"),
            include_str!("whose.rs"),
            include_str!("returned.rs"),
            include_str!("local.rs"),
            include_str!("queue.rs"),
            include_str!("push.rs"),
            include_str!("partial.rs"),
            include_str!("together.rs"),
            include_str!("units.rs"),
            include_str!("conflicts.rs"),
            include_str!("merging.rs"),
            include_str!("declared.rs"),
            include_str!("pull.rs"),
            include_str!("feed.rs"),
            include_str!("filters.rs"),
            include_str!("forgotten.rs"),
            include_str!("spelling.rs"),
            include_str!("steps.rs"),
            include_str!("converted.rs"),
            include_str!("unknown_values.rs"),
            include_str!("purge.rs"),
            include_str!("events.rs"),
            include_str!("cancellation.rs"),
            include_str!("faults.rs"),
            include_str!("histories.rs"),
        ];
        for source in sources {
            for behaviour in source.split("pub async fn ").skip(1) {
                let (name, _) = behaviour
                    .split_once(['<', '('])
                    .expect("a behaviour is a function");
                assert!(listed.contains(&name), "{name} is not listed");
            }
        }
    }
}
