//! What the disk of a client sees of changes: in which realm each was made, and which ones a change of realm took away.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use synctable_core::query::Query;
use synctable_core::store::{LocalStoreExt, StoreError, Write, WriteBatch};
use synctable_core::{Record, RecordId};

use super::act::{KEPT, PASSING};
use super::ledger::{LOGS, Ledger, tags_in};
use super::realms::{Mark, Realms};
use crate::fixture::{Store, table};

/// Keeps the books of one client at the moment at which its store does a commit, so that nothing is left to guess.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    client: usize,
    ledger: Arc<Mutex<Ledger>>,
    realms: Arc<Realms>,
}

/// The changes of tags and passing records that are lost when a batch is done.
pub(crate) type Lost = Vec<String>;

impl Witness {
    pub(crate) fn new(client: usize, ledger: &Arc<Mutex<Ledger>>, realms: &Arc<Realms>) -> Self {
        Self {
            client,
            ledger: Arc::clone(ledger),
            realms: Arc::clone(realms),
        }
    }

    fn books(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a batch that is about to be done.
    pub(crate) async fn before(
        &self,
        store: &Store,
        batch: &WriteBatch,
    ) -> Result<Lost, StoreError> {
        let drops = batch.writes().iter().any(
            |write| matches!(write, Write::Clear { table } if table.as_str() == "__operations"),
        );
        if !drops {
            return Ok(Lost::new());
        }
        let home = self.books().home(self.client);
        let mut lost = Lost::new();
        for row in store
            .query_all(&table("__operations"), &Query::all())
            .await?
        {
            let text = |name: &str| match row.member(name) {
                Some(Value::String(text)) => text,
                _ => String::new(),
            };
            let id = text("recordId");
            match text("table").as_str() {
                PASSING => lost.push(id),
                KEPT => {
                    let id = RecordId::system(&id);
                    let here = store.get_one(&table(KEPT), &id).await?;
                    let mut there = BTreeSet::new();
                    for (realm, far) in self.realms.far().iter().enumerate() {
                        if home.is_none_or(|home| home == realm) {
                            let rows = far.live(&table(KEPT)).await;
                            let row = rows.into_iter().find(|row| *row.id() == id);
                            there.extend(row.iter().flat_map(tags));
                        }
                    }
                    let here = here.iter().flat_map(tags);
                    lost.extend(here.filter(|tag| !there.contains(tag)));
                }
                _ => {}
            }
        }
        Ok(lost)
    }

    /// The batch was done.
    pub(crate) fn after(&self, batch: &WriteBatch, lost: Lost) {
        let mut books = self.books();
        for change in lost {
            books.drop_change(self.client, &change);
        }
        for write in batch.writes() {
            let Write::Put { table, record } = write else {
                continue;
            };
            match table.as_str() {
                KEPT => {
                    for tag in tags(record) {
                        books.place(self.client, &tag);
                    }
                }
                PASSING => books.place(self.client, record.id().as_str()),
                "__meta" if record.id().as_str() == "home" => {
                    let home = self.realms.whose(record);
                    // A store without an account holds the rows of whoever was signed in first.
                    if home.is_some() || self.realms.mark() != Mark::Account {
                        books.set_home(self.client, home);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The changes that a kept record counts.
fn tags(record: &Record) -> Vec<String> {
    LOGS.iter().flat_map(|log| tags_in(record, log)).collect()
}
