//! Broken stores, each with one planted bug: the kit has to catch every one of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod beside;
mod checks;
mod named;
mod overlap;
mod plain;
mod redefined;
mod values;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::panic::catch_unwind;
use std::sync::Arc;

use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Position, StoreCapabilities, StoreError, Write, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::KvStore;
use synctable_memory::MemoryBackend;
use synctable_testkit::report::{Report, StoreReport, Verdict};
use synctable_testkit::{
    Harness, Lab, assert_groups, async_trait, base, cancel, changes, concurrent, contexts, model,
    persistent, run, schema_change, unordered,
};

use beside::{
    Beside, JudgesByWhatItRead, KeepsDeclarations, KeepsItsOwnLog, NamesItsOwn, ReadsItsOwn,
};

use checks::{
    ComparesVersionsOnly, IgnoresChecks, LosesRevisions, NamesContents, TakesAnyRevision,
};
use named::{
    CountsOwnWrites, ForgetsSoon, IgnoresUnchanged, JudgesEarly, KeepsPositions, KnowsEverything,
    LosesNames, ReachesAhead, StandsStill,
};
use overlap::{
    AnswersTheEnd, ComparesEarly, Judged, JudgesTablesEarly, LandsLate, LandsOverTables,
    LandsUnjudged, NumbersWhatBegins, PassesUnderWay, ReadsWhenCalm,
};
use plain::{
    CommitsOutOfOrder, CountsRows, FoldsIds, ForgetsDelete, IgnoresDirection, LosesLastWrite,
    ReadsStale, Resurrects, SkipsARecord, SplitsBatch, StaysOpen,
};
use values::{ParsesBodies, RoundsDecimals};

use redefined::{ConvertsContents, DoesNothing, DropsRemoved, KeepsOldFields, OnlyWhileOpen};

type Store = KvStore<MemoryBackend>;

/// What is wrong with a store. Every method has a right answer, which a bug replaces.
#[async_trait]
trait Bug: Debug + Default + Send + Sync + 'static {
    async fn define(&self, store: &Store, schema: &Schema) -> Result<(), StoreError> {
        store.define(schema).await
    }
    async fn schema(&self, store: &Store) -> Result<Schema, StoreError> {
        store.schema().await
    }
    async fn redefine(
        &self,
        store: &Store,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        store.redefine(table, declaration).await
    }
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        store.get(table, ids).await
    }
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        store.query(table, query).await
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        store.commit(batch).await
    }
    async fn position(&self, store: &Store) -> Result<Position, StoreError> {
        store.position().await
    }
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        store.changes_since(since, limit).await
    }
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities()
    }
    async fn close(&self, store: &Store) -> Result<(), StoreError> {
        store.close().await
    }
}

/// A store with a bug.
#[derive(Debug)]
struct Broken<B> {
    bug: B,
    store: Arc<Store>,
    /// Other handles have the store open, too.
    shared: bool,
}

#[async_trait]
impl<B: Bug> LocalStore for Broken<B> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.bug.define(&self.store, schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.bug.schema(&self.store).await
    }
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.bug.redefine(&self.store, table, declaration).await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.bug.get(&self.store, table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.bug.query(&self.store, table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        self.bug.commit(&self.store, batch).await
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.bug.position(&self.store).await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.bug.changes_since(&self.store, since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        let promised = self.bug.capabilities(&self.store);
        promised.with_multi_process(self.shared)
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.bug.close(&self.store).await
    }
}

/// Keeps what the store held, so that it can be opened again.
#[derive(Default)]
struct Planted<B> {
    kept: MemoryBackend,
    bug: PhantomData<B>,
}

#[async_trait]
impl<B: Bug> Harness for Planted<B> {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        let store = KvStore::open(self.kept.clone())?;
        Ok(Arc::new(Broken {
            bug: B::default(),
            store: Arc::new(store),
            shared: false,
        }))
    }
}

/// The tests that a bug is caught by the behaviours named, and that a sound store passes them.
macro_rules! caught {
    ($place:ident: $($test:ident: $bug:ident by $($group:ident::$behaviour:ident),+;)+) => {$(
        #[test]
        fn $test() {
            $(
                run(async { $group::$behaviour(&$place::<Sound>::default()).await });
                let outcome = catch_unwind(|| {
                    run(async { $group::$behaviour(&$place::<$bug>::default()).await });
                });
                let name = stringify!($group::$behaviour);
                assert!(outcome.is_err(), "{name} does not catch {}", stringify!($bug));
            )+
        }
    )+};
}

caught! { Planted:
    lost_last_write: LosesLastWrite by base::large_batches_are_taken, model::random_histories_match_a_map;
    split_batch: SplitsBatch by cancel::dropped_commit_is_whole_or_absent, concurrent::no_torn_batch_is_ever_seen;
    ignored_check: IgnoresChecks by base::failing_check_undoes_the_whole_batch, concurrent::compare_and_set_reaches_the_exact_total;
    check_without_text: ComparesVersionsOnly by base::expect_same_is_judged_on_text_and_system_properties;
    ignored_revision: TakesAnyRevision by base::expect_at_is_judged, concurrent::compare_and_set_by_revision_reaches_the_exact_total;
    revision_of_content: NamesContents by base::a_revision_is_never_given_twice, base::expect_at_is_judged, model::random_histories_match_a_map;
    lost_name: LosesNames by changes::every_write_is_named, changes::a_commit_is_followed_in_pages;
    lost_rest: StandsStill by changes::a_commit_is_followed_in_pages;
    short_memory: ForgetsSoon by changes::ten_thousand_changes_are_known;
    strange_position: KnowsEverything by changes::strange_positions_are_not_known;
    position_ahead: ReachesAhead by changes::every_write_is_named;
    position_of_another_opening: KeepsPositions by persistent::another_opening_passes_over_no_change;
    ignored_change: IgnoresUnchanged by changes::expect_unchanged_is_judged, contexts::crossing_batches_do_not_both_land;
    own_change: CountsOwnWrites by changes::expect_unchanged_is_judged;
    judged_early: JudgesEarly by contexts::crossing_batches_do_not_both_land, unordered::overlapping_commits_are_as_one_after_the_other;
    tables_judged_early: JudgesTablesEarly by unordered::only_one_lands_of_those_that_rely_on_a_table, contexts::a_page_of_one_does_not_land_over_an_edit_of_the_other;
    compared_early: ComparesEarly by unordered::overlapping_commits_are_as_one_after_the_other;
    answered_too_far: AnswersTheEnd by unordered::the_position_of_a_commit_lies_right_behind_it;
    numbered_at_the_beginning: NumbersWhatBegins by unordered::no_place_is_ahead_of_what_can_be_read;
    passed_under_way: PassesUnderWay by unordered::no_place_is_ahead_of_what_can_be_read;
    stale_beside_others: ReadsWhenCalm by unordered::an_answered_commit_is_seen_beside_others;
    dropped_rows: LandsUnjudged by unordered::a_dropped_commit_does_not_pass_what_moved_its_row, contexts::a_dropped_commit_of_one_does_not_pass_the_other;
    dropped_tables: LandsOverTables by unordered::a_dropped_commit_does_not_pass_a_fence, contexts::a_dropped_commit_of_one_does_not_pass_the_other;
    missing_revision: LosesRevisions by base::every_read_tells_the_revision;
    wrong_cursor: SkipsARecord by base::pages_follow_each_other_without_gap, model::random_queries_match_the_reference;
    offset_cursor: CountsRows by base::cursor_stays_good_when_records_come_and_go;
    stale_read: ReadsStale by concurrent::acknowledged_commit_is_seen_by_every_task, base::put_inserts_and_replaces_whole;
    folded_ids: FoldsIds by base::ids_are_exact;
    forgotten_delete: ForgetsDelete by base::delete_removes_and_ignores_the_missing, model::random_histories_match_a_map;
    rewritten_numbers: ParsesBodies by base::free_members_survive_exactly;
    rounded_decimals: RoundsDecimals by base::decimals_are_kept_or_refused;
    ignored_direction: IgnoresDirection by base::queries_answer_like_the_reference;
    unordered_commits: CommitsOutOfOrder by concurrent::commits_are_done_in_order_where_claimed;
    open_after_close: StaysOpen by persistent::closed_store_refuses_every_call;
    converted_contents: ConvertsContents by schema_change::contents_stay_as_they_are;
    dropped_with_its_field: DropsRemoved by schema_change::contents_stay_as_they_are;
    kept_fields: KeepsOldFields by schema_change::a_declaration_is_replaced_whole, schema_change::queries_answer_by_the_new_declaration;
    ignored_declaration: DoesNothing by schema_change::a_declaration_is_replaced_whole, schema_change::random_declarations_answer_like_the_reference;
    only_while_open: OnlyWhileOpen by schema_change::a_new_declaration_is_there_when_opened_again;
    resurrected_record: Resurrects by persistent::reopened_store_has_every_record;
}

// What one handle does not know of another.
caught! { Beside:
    own_revisions: NamesItsOwn by contexts::revisions_hold_for_both;
    kept_declarations: KeepsDeclarations by contexts::declarations_of_one_hold_for_the_other, contexts::a_redefinition_of_one_holds_for_the_other;
    own_reads: ReadsItsOwn by contexts::what_one_commits_the_other_reads_and_is_told;
    own_checks: JudgesByWhatItRead by contexts::counting_up_by_both_loses_nothing;
    // The engine reads the queue's own rows, so that a story of edits and a push passes with it.
    own_log: KeepsItsOwnLog by contexts::what_one_commits_the_other_reads_and_is_told, contexts::expect_unchanged_counts_the_other,
        contexts::crossing_batches_do_not_both_land, contexts::a_page_of_one_does_not_land_over_an_edit_of_the_other,
        contexts::pulls_of_one_keep_the_edits_of_the_other;
}

/// The contract lets a dropped commit land late, and others pass it.
#[test]
fn a_dropped_commit_may_land_late() {
    let place = Planted::<LandsLate<Judged>>::default;
    run(async {
        unordered::overlapping_commits_are_as_one_after_the_other(&place()).await;
        unordered::a_dropped_commit_does_not_pass_what_moved_its_row(&place()).await;
        unordered::a_dropped_commit_does_not_pass_a_fence(&place()).await;
        contexts::a_dropped_commit_of_one_does_not_pass_the_other(&place()).await;
        cancel::dropped_commit_is_whole_or_absent(&place()).await;
    });
}

#[test]
fn unlisted_group_is_noticed() {
    fn passes<B: Bug>(groups: &str) -> bool {
        let groups: Vec<&str> = groups.split(' ').collect();
        catch_unwind(|| run(assert_groups::<Planted<B>>(&groups))).is_ok()
    }
    // A bug may say that its store is persistent.
    assert!(passes::<StaysOpen>(
        "base changes long_keys model concurrent unordered contexts cancel persistent kill fault schema_change"
    ));
    assert!(!passes::<StaysOpen>(
        "base changes long_keys model concurrent unordered contexts cancel persistent kill schema_change"
    ));
    assert!(!passes::<StaysOpen>(
        "base changes long_keys model concurrent unordered contexts cancel schema_change"
    ));
    assert!(passes::<Sound>(
        "base changes long_keys model concurrent unordered contexts cancel schema_change"
    ));
    for missing in ["unordered", "contexts"] {
        let all = "base changes long_keys model concurrent unordered contexts cancel schema_change";
        assert!(!passes::<Sound>(&all.replace(&format!(" {missing}"), "")));
    }
    assert!(!passes::<Sound>(
        "base changes long_keys model concurrent unordered contexts cancel persistent schema_change"
    ));
}

#[test]
fn report_names_what_catches_a_bug() {
    let mut report = Report::new();
    let lab = || Lab::new([""; 0]);
    report.run::<Planted<Sound>>("sound", lab);
    assert!(report.passed());
    report.run::<Planted<ForgetsDelete>>("forgetful", lab);
    assert!(!report.passed());
    let [sound, forgetful] = &report.stores[..] else {
        panic!("two stores were run");
    };
    let failed = |report: &StoreReport| {
        let outcomes = report.behaviours.iter();
        let failed = outcomes.filter(|outcome| outcome.verdict == Verdict::Failed);
        failed
            .map(|outcome| format!("{}::{}", outcome.group, outcome.behaviour))
            .collect::<Vec<_>>()
    };
    assert_eq!(failed(sound), [""; 0]);
    assert_eq!(sound.behaviours.len(), forgetful.behaviours.len());
    let text = report.to_markdown();
    for name in [
        "base::delete_removes_and_ignores_the_missing",
        "model::random_histories_match_a_map",
    ] {
        assert!(failed(forgetful).iter().any(|failed| failed == name));
        assert!(text.contains(&format!("`{name}` fails: ")), "{text}");
        // What the contract asks, and where.
        assert!(text.contains(&format!("{name} asks: ")), "{text}");
    }
    assert!(report.to_json().contains(r#""verdict": "failed""#));
}

#[derive(Debug, Default)]
struct Sound;

impl Bug for Sound {}

/// The batch with each of its writes changed or left out.
fn rewritten(
    batch: WriteBatch,
    mut change: impl FnMut(usize, Write) -> Option<Write>,
) -> WriteBatch {
    let writes = batch.writes().iter().cloned().enumerate();
    let changed = writes.filter_map(|(index, write)| change(index, write));
    let changed = changed.collect();
    batch.with_writes(changed)
}
