//! Stores in a file, each with one planted bug that shows only when something ends badly: the kit has to catch every
//! one, and pass the store without a bug.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod log;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Position, StoreCapabilities, StoreError, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName};
use synctable_kv::KvStore;
use synctable_testkit::{
    FolderHarness, InFolder, Lab, async_trait, child_process, fault, kill, power_cut, processes,
    run,
};

use crate::log::LogFile;

/// What is wrong with a store.
trait Flaw: Debug + Default + Send + Sync + 'static {
    /// A batch is acknowledged when it is in memory, and written with the next one.
    const ACKNOWLEDGES_EARLY: bool = false;
    /// A batch is written and synced in two parts that nothing holds together.
    const SPLITS: bool = false;
    /// A failed sync is not told.
    const SWALLOWS_SYNC: bool = false;
    /// A failed write is not told.
    const SWALLOWS_WRITE: bool = false;
    /// What a write left half-done is not cut off at the next opening.
    const KEEPS_TORN_END: bool = false;
    /// Nothing is ever synced.
    const NEVER_SYNCS: bool = false;
    /// The file is not locked.
    const NO_LOCK: bool = false;
    /// The store says that it may be opened by several processes.
    const CLAIMS_PROCESSES: bool = false;
}

struct InLog<F>(std::marker::PhantomData<F>);

#[async_trait]
impl<F: Flaw> FolderHarness for InLog<F> {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        let log = LogFile::<F>::open(&folder.join("store.log"))?;
        let store = KvStore::open(log)?;
        Ok(if F::CLAIMS_PROCESSES {
            Arc::new(Claiming(store))
        } else {
            Arc::new(store)
        })
    }
}

/// A store that says of another one that several processes may open it.
#[derive(Debug)]
struct Claiming<S>(S);

#[async_trait]
impl<S: LocalStore> LocalStore for Claiming<S> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.0.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.0.schema().await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.0.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.0.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        self.0.commit(batch).await
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.0.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.0.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities().with_multi_process(true)
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

/// For each flaw a module with the tests that the behaviours named catch it, and pass a sound store.
macro_rules! caught {
    ($($module:ident: $flaw:ident { $($set:ident),* } by $($group:ident::$behaviour:ident),+;)+) => {$(
        mod $module {
            use super::*;

            #[derive(Debug, Default)]
            struct $flaw;

            const FLAWS: &[&str] = &[$(stringify!($set)),*];

            impl Flaw for $flaw {
                $(const $set: bool = true;)*
            }

            #[test]
            #[ignore = "the process that the tests here start"]
            fn child() {
                child_process::<InFolder<InLog<$flaw>>>();
            }

            $(
                #[test]
                fn $behaviour() {
                    let lab = Lab::of_test(module_path!()).with_cycles(30);
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        run($group::$behaviour(&InFolder::<InLog<$flaw>>::default(), &lab));
                    }));
                    if lab.seen().not_run.is_none() {
                        assert_eq!(outcome.is_err(), !FLAWS.is_empty(), "flaws {FLAWS:?}");
                    }
                }
            )+
        }
    )+};
}

caught! {
    sound: Sound {} by kill::killed_writer_loses_nothing_acknowledged, kill::killed_maker_leaves_a_store_or_nothing,
        kill::lock_dies_with_its_owner, fault::failed_writes_are_told, fault::failed_syncs_are_told,
        fault::torn_writes_lose_nothing_acknowledged, power_cut::cut_power_takes_nothing_immediate;
    acknowledgement_before_the_write: AcknowledgesEarly { ACKNOWLEDGES_EARLY } by
        kill::killed_writer_loses_nothing_acknowledged;
    batch_in_two_parts: Splits { SPLITS } by
        kill::killed_writer_loses_nothing_acknowledged, fault::failed_writes_are_told;
    failed_sync_swallowed: SwallowsSync { SWALLOWS_SYNC } by fault::failed_syncs_are_told;
    failed_write_swallowed: SwallowsWrite { SWALLOWS_WRITE } by fault::failed_writes_are_told;
    torn_end_kept: KeepsTornEnd { KEEPS_TORN_END } by fault::torn_writes_lose_nothing_acknowledged;
    no_sync: NeverSyncs { NEVER_SYNCS } by power_cut::cut_power_takes_nothing_immediate;
    no_lock: Unlocked { NO_LOCK } by kill::lock_dies_with_its_owner;
    no_lock_for_processes: UnlockedForProcesses { NO_LOCK, CLAIMS_PROCESSES } by
        processes::processes_make_one_store_and_lose_no_update, processes::commits_of_another_process_are_seen_at_once;
}
