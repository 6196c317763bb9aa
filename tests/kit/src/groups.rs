//! The macro that names one test for each behaviour, and the check that no group is left out.

use std::collections::BTreeSet;

use crate::Harness;
use crate::report::Case;

/// Makes the tests of a store: `store_tests!(MyHarness; base, changes, long_keys, model, concurrent, unordered, contexts, persistent, cancel);`.
///
/// Use it once in a module. See the [crate's page](crate) for the groups. A test that fails says what the contract asks, and where that is written.
#[macro_export]
macro_rules! store_tests {
    ($harness:ty; $($group:ident),+ $(,)?) => {
        $($crate::__store_group! { [$crate::__store_tests], $harness, $group })+

        #[test]
        fn the_groups_are_those_the_store_claims() {
            $crate::run($crate::assert_groups::<$harness>(&[$(stringify!($group)),+]));
        }
    };
}

/// The behaviours of each group, handed to the macro `emit`: the only list of them.
///
/// Those of groups marked `(lab)` start processes and take a [`Lab`](crate::Lab), too.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_group {
    ([$($emit:tt)+], $harness:ty, base) => {
        $($emit)+! { $harness, base:
            define_twice_changes_nothing
            define_adds_fields_and_keeps_records
            define_refuses_another_type_and_changes_nothing
            define_lets_an_enum_grow
            define_orders_words_that_records_hold_already
            define_leaves_other_tables_alone
            schema_is_what_was_declared
            unknown_tables_are_refused_in_every_call
            get_answers_in_the_order_asked
            get_takes_many_ids
            put_inserts_and_replaces_whole
            delete_removes_and_ignores_the_missing
            clear_empties_one_table
            later_write_of_a_record_wins
            free_members_survive_exactly
            declared_members_survive_exactly
            decimals_are_kept_or_refused
            large_texts_survive
            system_properties_survive_in_every_combination
            tables_do_not_leak_into_each_other
            ids_are_exact
            system_tables_take_long_ids
            large_batches_are_taken
            failing_check_undoes_the_whole_batch
            expect_absent_is_judged
            expect_present_is_judged
            expect_same_is_judged_on_text_and_system_properties
            expect_at_is_judged
            every_read_tells_the_revision
            a_revision_is_never_given_twice
            refused_batches_move_no_revision
            checks_see_the_state_before_the_batch
            checks_alone_write_nothing
            empty_batch_is_taken
            eventual_batch_is_seen_at_once
            queries_answer_like_the_reference
            queries_of_declared_fields_answer_like_the_reference
            pages_follow_each_other_without_gap
            cursor_stays_good_when_records_come_and_go
            cursor_of_another_order_is_refused
            long_texts_are_refused
            only_granted_records_count_against_a_budget
            filters_find_what_the_toolkit_finds
            empty_table_has_one_empty_page
        }
    };
    ([$($emit:tt)+], $harness:ty, changes) => {
        $($emit)+! { $harness, changes:
            every_write_is_named
            a_commit_is_followed_in_pages
            ten_thousand_changes_are_known
            strange_positions_are_not_known
            expect_unchanged_is_judged
            who_follows_the_changes_has_all
        }
    };
    ([$($emit:tt)+], $harness:ty, long_keys) => {
        $($emit)+! { $harness, long_keys:
            long_ids_keep_their_order
            long_ids_are_exact
            long_values_keep_their_order
            many_long_ids_are_paged_through
        }
    };
    ([$($emit:tt)+], $harness:ty, model) => {
        $($emit)+! { $harness, model:
            random_histories_match_a_map
            random_queries_match_the_reference
        }
    };
    ([$($emit:tt)+], $harness:ty, concurrent) => {
        $($emit)+! { $harness, concurrent:
            no_torn_batch_is_ever_seen
            no_commit_is_lost
            compare_and_set_reaches_the_exact_total
            compare_and_set_by_revision_reaches_the_exact_total
            acknowledged_commit_is_seen_by_every_task
            commits_are_done_in_order_where_claimed
        }
    };
    ([$($emit:tt)+], $harness:ty, unordered) => {
        $($emit)+! { $harness, unordered:
            overlapping_commits_are_as_one_after_the_other
            only_one_lands_of_those_that_rely_on_a_table
            the_position_of_a_commit_lies_right_behind_it
            no_place_is_ahead_of_what_can_be_read
            an_answered_commit_is_seen_beside_others
            a_dropped_commit_does_not_pass_what_moved_its_row
            a_dropped_commit_does_not_pass_a_fence
        }
    };
    ([$($emit:tt)+], $harness:ty, contexts) => {
        $($emit)+! { $harness, contexts:
            crossing_batches_do_not_both_land
            revisions_hold_for_both
            expect_unchanged_counts_the_other
            counting_up_by_both_loses_nothing
            a_page_of_one_does_not_land_over_an_edit_of_the_other
            a_dropped_commit_of_one_does_not_pass_the_other
            what_one_commits_the_other_reads_and_is_told
            declarations_of_one_hold_for_the_other
            a_redefinition_of_one_holds_for_the_other
            both_edit_one_pushes_the_other_pulls
            pulls_of_one_keep_the_edits_of_the_other
        }
    };
    ([$($emit:tt)+], $harness:ty, schema_change) => {
        $($emit)+! { $harness, schema_change:
            a_declaration_is_replaced_whole
            contents_stay_as_they_are
            queries_answer_by_the_new_declaration
            only_tables_that_are_there_are_redefined
            a_new_declaration_is_there_when_opened_again
            random_declarations_answer_like_the_reference
        }
    };
    ([$($emit:tt)+], $harness:ty, persistent) => {
        $($emit)+! { $harness, persistent:
            reopened_store_has_every_record
            reopened_store_has_every_declaration
            cursor_outlives_the_store
            another_opening_gives_other_revisions
            another_opening_passes_over_no_change
            closed_store_refuses_every_call
        }
    };
    ([$($emit:tt)+], $harness:ty, cancel) => {
        $($emit)+! { $harness, cancel:
            dropped_commit_is_whole_or_absent
            dropped_commits_do_not_disturb_others
            dropped_calls_leave_the_store_usable
        }
    };
    ([$($emit:tt)+], $harness:ty, kill) => {
        $($emit)+! { $harness, kill(lab):
            killed_writer_loses_nothing_acknowledged
            killed_maker_leaves_a_store_or_nothing
            lock_dies_with_its_owner
        }
    };
    ([$($emit:tt)+], $harness:ty, fault) => {
        $($emit)+! { $harness, fault(lab):
            failed_writes_are_told
            torn_writes_lose_nothing_acknowledged
            failed_syncs_are_told
            failed_opens_are_told
            failed_resizes_are_told
            failed_renames_are_told
        }
    };
    ([$($emit:tt)+], $harness:ty, power_cut) => {
        $($emit)+! { $harness, power_cut(lab):
            cut_power_takes_nothing_immediate
            cut_power_takes_what_is_not_synced
        }
    };
    ([$($emit:tt)+], $harness:ty, processes) => {
        $($emit)+! { $harness, processes(lab):
            processes_make_one_store_and_lose_no_update
            commits_of_another_process_are_seen_at_once
        }
    };
    ([$($emit:tt)+], $harness:ty, $other:ident) => {
        compile_error!(concat!("the kit has no group `", stringify!($other), "`"));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_tests {
    ($harness:ty, $group:ident: $($behaviour:ident)+) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $behaviour() {
                    let _asked = $crate::Asked::of(stringify!($group), stringify!($behaviour));
                    $crate::run(async {
                        $crate::$group::$behaviour(&<$harness as Default>::default()).await;
                    });
                }
            )+
        }
    };
    ($harness:ty, $group:ident(lab): $($behaviour:ident)+) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $behaviour() {
                    let _asked = $crate::Asked::of(stringify!($group), stringify!($behaviour));
                    $crate::run(async {
                        let lab = $crate::Lab::of_test(module_path!());
                        $crate::$group::$behaviour(&<$harness as Default>::default(), &lab).await;
                    });
                }
            )+

            #[test]
            #[ignore = "the process that the tests of this group start"]
            fn child() {
                $crate::child_process::<$harness>();
            }
        }
    };
}

/// Makes a [`Case`] of each behaviour.
macro_rules! __store_cases {
    ($harness:ty, $group:ident: $($behaviour:ident)+) => {
        vec![$(Case {
            group: stringify!($group),
            behaviour: stringify!($behaviour),
            run: |harness, _| Box::pin($crate::$group::$behaviour(harness)),
        }),+]
    };
    ($harness:ty, $group:ident(lab): $($behaviour:ident)+) => {
        vec![$(Case {
            group: stringify!($group),
            behaviour: stringify!($behaviour),
            run: |harness, lab| Box::pin($crate::$group::$behaviour::<$harness>(harness, lab)),
        }),+]
    };
}

/// Every behaviour of every group.
pub(crate) fn cases<H: Harness>() -> Vec<Case<H>> {
    macro_rules! of {
        ($($group:ident)+) => {
            [$(crate::__store_group! { [__store_cases], H, $group }),+]
        };
    }
    let groups = of! { base changes long_keys model concurrent unordered contexts cancel schema_change persistent kill fault power_cut processes };
    groups.into_iter().flatten().collect()
}

/// The groups that the store of `H` has to pass.
pub(crate) async fn claimed<H: Harness>() -> Vec<&'static str> {
    let harness = H::default();
    let store = harness.open().await.expect("the store opens");
    let promises = store.capabilities();
    let mut claimed = vec![
        "base",
        "changes",
        "long_keys",
        "model",
        "concurrent",
        "unordered",
        "contexts",
        "cancel",
    ];
    if promises.redefines {
        claimed.push("schema_change");
    }
    if promises.persistent {
        claimed.extend(["persistent", "kill", "fault"]);
    }
    if promises.durable {
        claimed.push("power_cut");
    }
    if promises.multi_process && promises.persistent {
        claimed.push("processes");
    }
    claimed
}

/// Panics unless `listed` are the groups that the store of `H` has to pass.
pub async fn assert_groups<H: Harness>(listed: &[&str]) {
    let claimed: BTreeSet<&str> = claimed::<H>().await.into_iter().collect();
    let listed: BTreeSet<&str> = listed.iter().copied().collect();
    let missing: Vec<_> = claimed.difference(&listed).collect();
    let surplus: Vec<_> = listed.difference(&claimed).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "the groups listed do not fit the store's capabilities: missing {missing:?}, not claimed {surplus:?}"
    );
}
