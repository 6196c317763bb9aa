//! Broken stores, each with one planted bug: the kit has to catch every one of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod checks;
mod named;
mod redefined;
mod values;

use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use synctable_core::query::{Cursor, DEFAULT_PAGE, Direction, Query};
use synctable_core::store::{
    Changes, LocalStore, LocalStoreExt, Page, Position, StoreCapabilities, StoreError, Write,
    WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::KvStore;
use synctable_memory::MemoryBackend;
use synctable_testkit::report::{Report, StoreReport, Verdict};
use synctable_testkit::{
    Harness, Lab, assert_groups, async_trait, base, cancel, changes, concurrent, model, persistent,
    run, schema_change,
};

use checks::{
    ComparesVersionsOnly, IgnoresChecks, LosesRevisions, NamesContents, TakesAnyRevision,
};
use named::{
    CountsOwnWrites, ForgetsSoon, IgnoresUnchanged, JudgesEarly, KeepsPositions, KnowsEverything,
    LosesNames, ReachesAhead, StandsStill,
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
    store: Store,
}

#[async_trait]
impl<B: Bug> LocalStore for Broken<B> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.bug.define(&self.store, schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.store.schema().await
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
        self.bug.capabilities(&self.store)
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
            store,
        }))
    }
}

/// The tests that a bug is caught by the behaviours named, and that a sound store passes them.
macro_rules! caught {
    ($($test:ident: $bug:ident by $($group:ident::$behaviour:ident),+;)+) => {$(
        #[test]
        fn $test() {
            $(
                run(async { $group::$behaviour(&Planted::<Sound>::default()).await });
                let outcome = catch_unwind(|| {
                    run(async { $group::$behaviour(&Planted::<$bug>::default()).await });
                });
                let name = stringify!($group::$behaviour);
                assert!(outcome.is_err(), "{name} does not catch {}", stringify!($bug));
            )+
        }
    )+};
}

caught! {
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
    ignored_change: IgnoresUnchanged by changes::expect_unchanged_is_judged, changes::crossing_batches_do_not_both_land;
    own_change: CountsOwnWrites by changes::expect_unchanged_is_judged;
    judged_early: JudgesEarly by changes::crossing_batches_do_not_both_land;
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

#[test]
fn unlisted_group_is_noticed() {
    fn passes<B: Bug>(groups: &str) -> bool {
        let groups: Vec<&str> = groups.split(' ').collect();
        catch_unwind(|| run(assert_groups::<Planted<B>>(&groups))).is_ok()
    }
    // A bug may say that its store is persistent.
    assert!(passes::<StaysOpen>(
        "base changes long_keys model concurrent cancel persistent kill fault schema_change"
    ));
    assert!(!passes::<StaysOpen>(
        "base changes long_keys model concurrent cancel persistent kill schema_change"
    ));
    assert!(!passes::<StaysOpen>(
        "base changes long_keys model concurrent cancel schema_change"
    ));
    assert!(passes::<Sound>(
        "base changes long_keys model concurrent cancel schema_change"
    ));
    assert!(!passes::<Sound>(
        "base changes long_keys model concurrent cancel persistent schema_change"
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
    }
    assert!(report.to_json().contains(r#""verdict": "failed""#));
}

#[derive(Debug, Default)]
struct Sound;

impl Bug for Sound {}

/// The last of several writes is not done.
#[derive(Debug, Default)]
struct LosesLastWrite;

#[async_trait]
impl Bug for LosesLastWrite {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let several = batch.writes().len() > 1;
        let last = batch.writes().len() - usize::from(several);
        store
            .commit(rewritten(batch, |index, write| {
                (index < last).then_some(write)
            }))
            .await
    }
}

/// Each write is a batch of its own.
#[derive(Debug, Default)]
struct SplitsBatch;

#[async_trait]
impl Bug for SplitsBatch {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let checks = rewritten(batch.clone(), |_, _| None);
        let mut position = store.commit(checks).await?;
        for write in batch.writes() {
            let mut single = WriteBatch::new();
            single.push(write.clone());
            position = store.commit(single).await?;
            tokio::task::yield_now().await;
        }
        Ok(position)
    }
}

/// The next page starts one record too far.
#[derive(Debug, Default)]
struct SkipsARecord;

#[async_trait]
impl Bug for SkipsARecord {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let size = query.page.unwrap_or(DEFAULT_PAGE);
        let longer = query.clone().page(size.saturating_add(1));
        let next = store.query(table, &longer).await?.next;
        let page = store.query(table, query).await?;
        Ok(Page::new(page.records, page.next.and(next)))
    }
}

/// The cursor is a number of records to skip.
#[derive(Debug, Default)]
struct CountsRows;

#[async_trait]
impl Bug for CountsRows {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let mut query = query.clone();
        if let Some(cursor) = query.after.take() {
            query.skip = cursor.as_str().parse().unwrap();
        }
        let page = store.query(table, &query).await?;
        let seen = query.skip + page.records.len() as u64;
        let next = page.next.map(|_| Cursor::from_text(&seen.to_string()));
        Ok(Page::new(page.records, next))
    }
}

/// A record that was read once is never read again.
#[derive(Debug, Default)]
struct ReadsStale(Mutex<HashMap<RecordId, Option<Record>>>);

#[async_trait]
impl Bug for ReadsStale {
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let found = store.get(table, ids).await?;
        let mut seen = self.0.lock().unwrap();
        let pairs = ids.iter().zip(found);
        Ok(pairs
            .map(|(id, record)| seen.entry(id.clone()).or_insert(record).clone())
            .collect())
    }
}

/// Upper and lower case are the same.
#[derive(Debug, Default)]
struct FoldsIds;

#[async_trait]
impl Bug for FoldsIds {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let folded = |id: &RecordId| RecordId::system(&id.as_str().to_lowercase());
        let batch = rewritten(batch, |_, write| {
            Some(match write {
                Write::Put { table, record } => {
                    let id = folded(record.id());
                    Write::Put {
                        table,
                        record: record.with_id(id),
                    }
                }
                Write::Delete { table, id } => Write::Delete {
                    table,
                    id: folded(&id),
                },
                clear @ Write::Clear { .. } => clear,
            })
        });
        store.commit(batch).await
    }
}

/// Deletes are not done.
#[derive(Debug, Default)]
struct ForgetsDelete;

#[async_trait]
impl Bug for ForgetsDelete {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let kept = |_, write| (!matches!(write, Write::Delete { .. })).then_some(write);
        store.commit(rewritten(batch, kept)).await
    }
}

/// Every order is ascending.
#[derive(Debug, Default)]
struct IgnoresDirection;

#[async_trait]
impl Bug for IgnoresDirection {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let mut query = query.clone();
        for term in &mut query.order {
            term.direction = Direction::Ascending;
        }
        store.query(table, &query).await
    }
}

/// Every second commit lets others pass.
#[derive(Debug, Default)]
struct CommitsOutOfOrder(AtomicUsize);

#[async_trait]
impl Bug for CommitsOutOfOrder {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            tokio::task::yield_now().await;
        }
        store.commit(batch).await
    }
}

/// `close` does nothing.
#[derive(Debug, Default)]
struct StaysOpen;

#[async_trait]
impl Bug for StaysOpen {
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities().with_persistent(true)
    }
    async fn close(&self, _: &Store) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Deleted records come back when the store is opened again.
#[derive(Debug, Default)]
struct Resurrects(Mutex<WriteBatch>);

#[async_trait]
impl Bug for Resurrects {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        for write in batch.writes() {
            if let Write::Delete { table, id } = write
                && let Some(record) = store.get_one(table, id).await?
            {
                self.0.lock().unwrap().push(Write::Put {
                    table: table.clone(),
                    record,
                });
            }
        }
        store.commit(batch).await
    }
    async fn close(&self, store: &Store) -> Result<(), StoreError> {
        let deleted = self.0.lock().unwrap().clone();
        store.commit(deleted).await?;
        store.close().await
    }
}

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
