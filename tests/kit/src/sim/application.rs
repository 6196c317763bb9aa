//! An application in place of the simulator's own tables and users.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use synctable_core::threads::{MaybeSend, MaybeSync};

use async_trait::async_trait;
use synctable_core::sync::{ConflictPolicy, ParkedOperation, Resolution, SyncContext};
use synctable_core::{Declarations, Error, Record, TableName};

use super::dice::Dice;
use super::far::FarSide;

/// Your application under simulation: its tables, how it treats conflicts, what its users do, and what has to be true in the end.
///
/// The simulator pushes, pulls, crashes and loses answers around it. In the end all clients have to hold what the
/// server holds, and no operation may be left. A list of votes to which several devices add:
///
/// ```
/// use std::collections::{BTreeMap, BTreeSet};
/// use std::sync::{Arc, Mutex};
///
/// use serde_json::{Value, json};
/// use synctable_core::sync::SyncContext;
/// use synctable_core::{Error, MergeRule, Record, Declarations, TableName, Declaration};
/// use synctable_memory::MemoryStore;
/// use synctable_testkit::async_trait;
/// use synctable_testkit::sim::{Application, Dice, Simulation};
///
/// #[derive(Default)]
/// struct Votes {
///     cast: Mutex<BTreeSet<String>>,
/// }
///
/// #[async_trait]
/// impl Application for Votes {
///     fn schema(&self) -> Declarations {
///         let votes = Declaration::new().with_merge("by", MergeRule::Set);
///         Declarations::new().with_table(TableName::new("votes").unwrap(), votes)
///     }
///
///     async fn act(&self, sync: &SyncContext, dice: &mut Dice) -> Result<(), Error> {
///         let votes = sync.table::<Value>("votes")?;
///         let voter = format!("{:x}", dice.draw());
///         let name = voter.clone();
///         let add = move |row: Value| {
///             let mut by = row["by"].as_array().cloned().unwrap_or_default();
///             by.push(name.clone().into());
///             json!({ "by": by })
///         };
///         match votes.modify("all", add).await {
///             Err(Error::NotFound { .. }) => {
///                 votes.insert(&json!({"id": "all", "by": [voter]})).await.map(drop)?;
///             }
///             done => done.map(drop)?,
///         }
///         self.cast.lock().unwrap().insert(voter);
///         Ok(())
///     }
///
///     /// No vote that was acknowledged is lost. (A crash may hide from the user that one was taken.)
///     fn check(&self, rows: &BTreeMap<TableName, Vec<Record>>) -> Result<(), String> {
///         let by = rows.values().flatten().filter_map(|row| row.member("by"));
///         let counted: BTreeSet<String> =
///             by.flat_map(|by| serde_json::from_value::<Vec<String>>(by).unwrap()).collect();
///         match self.cast.lock().unwrap().difference(&counted).next() {
///             None => Ok(()),
///             Some(voter) => Err(format!("the vote of {voter} is lost")),
///         }
///     }
/// }
///
/// let simulation = Simulation::new(|| Arc::new(MemoryStore::new())).application(Votes::default);
/// simulation.steps(100).check(0..10);
/// ```
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait Application: MaybeSend + MaybeSync + 'static {
    /// The tables, with their rules for merging.
    fn schema(&self) -> Declarations;

    /// What a push does with conflicts.
    fn conflicts(&self) -> ConflictPolicy {
        ConflictPolicy::Merge
    }

    /// A user does something. Choices are those of `dice` alone, else a seed would not be one history.
    ///
    /// The program may crash at any await, so what comes after one may never happen. Errors that faults and conflicts
    /// explain are expected: give them back.
    async fn act(&self, sync: &SyncContext, dice: &mut Dice) -> Result<(), Error>;

    /// As [`act`](Self::act), by the user of one client; the same number is always the same client.
    async fn act_as(
        &self,
        client: usize,
        sync: &SyncContext,
        dice: &mut Dice,
    ) -> Result<(), Error> {
        let _ = client;
        self.act(sync, dice).await
    }

    /// A user ends a conflict that was parked; where nothing else is said by merging, or else by taking the server's side.
    async fn resolve(&self, sync: &SyncContext, parked: &ParkedOperation) -> Result<(), Error> {
        match sync.resolve_parked(parked, Resolution::Merge).await {
            Err(Error::CannotMerge { .. }) => {
                sync.resolve_parked(parked, Resolution::Server).await?;
            }
            done => _ = done?,
        }
        Ok(())
    }

    /// A user does something about an operation that was refused; where nothing else is said, it is tried again as it is.
    async fn refused(&self, sync: &SyncContext, parked: &ParkedOperation) -> Result<(), Error> {
        sync.retry(parked.operation.seq).await.map(drop)
    }

    /// What is wrong with what waits. It is asked after each push; reads may fail while disks do.
    async fn wrong(&self, sync: &SyncContext) -> Result<(), String> {
        let _ = sync;
        Ok(())
    }

    /// A server made for this application, in place of that of the simulation.
    fn far_side(&self, dice: &mut Dice) -> Option<Arc<dyn FarSide>> {
        let _ = dice;
        None
    }

    /// True where order between records matters, so that no push sends several at once.
    fn in_order(&self) -> bool {
        false
    }

    /// False for a table that clients may write and not read: it is not pulled and not compared in the end.
    fn is_readable(&self, table: &TableName) -> bool {
        let _ = table;
        true
    }

    /// Faults have ended, but the server still does to single records what it always does, until
    /// [`FarSide::lift`]. Here an application can look at what that leaves.
    async fn endure(&self, clients: &[Participant]) -> Result<(), String> {
        let _ = clients;
        Ok(())
    }

    /// What is wrong with the records that all hold in the end.
    fn check(&self, rows: &BTreeMap<TableName, Vec<Record>>) -> Result<(), String> {
        let _ = rows;
        Ok(())
    }
}

/// A client of a simulation, as an application gets hold of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Participant {
    /// Its number.
    pub number: usize,
    /// Its program.
    pub sync: SyncContext,
    /// It has a way to wait, so that a push may repeat what found no connection.
    pub waits: bool,
}

/// Who uses the clients of a simulation.
#[derive(Clone)]
pub(crate) enum Users {
    /// Those of the simulator, who tag their changes.
    Tagging,
    /// Those of an application.
    Theirs(Arc<dyn Application>),
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tagging => "Tagging",
            Self::Theirs(_) => "Theirs(..)",
        })
    }
}
