//! The declared tables, in the store and in memory.
//!
//! The store keeps fields and indexes; the row `device` of `__meta` names the device's tables with what the device does with each. What a server does
//! with them is not kept here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::schema::{Declaration, Declarations, DeviceRules};
use crate::store::{Durability, Expect, LocalStore, StoreError, StoreErrorKind, WriteBatch};
use crate::sync::system::{ATTEMPTS, META, meta_row, meta_value};

/// The tables of a store, as a context knows them.
#[derive(Debug)]
pub(crate) struct Tables {
    store: Arc<dyn LocalStore>,
    /// One new table at a time, so that no declaration is lost between reading and writing the list.
    new: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    /// Those that became local only, or ceased to be, when this was opened; and which it is now.
    moved: Vec<(TableName, bool)>,
}

#[derive(Debug)]
struct Known {
    all: Declarations,
    /// Each shared, so that no change copies its declaration.
    tables: HashMap<TableName, Arc<Declaration>>,
}

impl Known {
    fn of(all: Declarations) -> Self {
        let tables = all.tables();
        let shared = tables.map(|(name, table)| (name.clone(), Arc::new(table.clone())));
        Self {
            tables: shared.collect(),
            all,
        }
    }
}

impl Tables {
    /// Joins declarations to those that the store has, and defines all.
    pub(crate) async fn open(
        store: Arc<dyn LocalStore>,
        addition: &Declarations,
    ) -> Result<Self, Error> {
        let (before, all) = declare(store.as_ref(), addition).await?;
        let moved = all.tables().filter_map(|(name, table)| {
            let was = before.table(name)?.device.local_only;
            let now = table.device.local_only;
            (was != now).then(|| (name.clone(), now))
        });
        Ok(Self {
            store,
            new: tokio::sync::Mutex::default(),
            moved: moved.collect(),
            known: Mutex::new(Known::of(all)),
        })
    }

    /// The tables that became local only, or ceased to be, when this was opened; and which it is now.
    pub(crate) fn moved(&self) -> &[(TableName, bool)] {
        &self.moved
    }

    /// All of them.
    pub(crate) fn declarations(&self) -> Declarations {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.all.clone()
    }

    /// The declaration of one; without fields where there is none.
    pub(crate) fn get(&self, table: &TableName) -> Arc<Declaration> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tables.get(table).cloned().unwrap_or_default()
    }

    /// Makes sure that a table exists, declaring it without fields on first use.
    pub(crate) async fn ensure(&self, table: &TableName) -> Result<(), Error> {
        if self.is_known(table) {
            return Ok(());
        }
        let _new = self.new.lock().await;
        let addition = Declarations::new().with_table(table.clone(), Declaration::new());
        let all = self.declarations().merged(&addition)?;
        let (_, all) = declare(self.store.as_ref(), &all).await?;
        let known = Known::of(all);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    fn is_known(&self, table: &TableName) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tables.contains_key(table)
    }
}

/// The answer of a read. A table that was never declared holds nothing, and reading makes none: whoever only reads writes nothing.
pub(crate) fn or_nothing<T: Default>(answer: Result<T, StoreError>) -> Result<T, StoreError> {
    match answer {
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(T::default()),
        answer => answer,
    }
}

/// The declarations that a store holds, with the rows that say what the device does with them.
pub(crate) struct Stored {
    /// All tables of the device.
    pub(crate) declarations: Declarations,
    /// The row `device`.
    device: Option<Record>,
    /// The row `schema`, in which earlier releases kept whole declarations.
    older: Option<Record>,
}

impl Stored {
    /// Reads them; a store that no device has opened holds none.
    pub(crate) async fn read(store: &dyn LocalStore) -> Result<Self, Error> {
        let ids = [device_id(), RecordId::system("schema")];
        let mut rows = or_nothing(store.get(&META, &ids).await)?;
        rows.resize(ids.len(), None);
        let (older, device) = (rows.pop().flatten(), rows.pop().flatten());
        let rules = device.as_ref().map(rules_of).transpose()?;
        let schema = store.schema().await?;
        let mut declarations = Declarations::new();
        for (name, device) in rules.unwrap_or_default() {
            let mut table = Declaration {
                device,
                ..Declaration::default()
            };
            // Defined before the row names it. A store that a reader cannot ask for it holds nothing of it.
            table.schema = schema.table(&name).cloned().unwrap_or_default();
            declarations = declarations.with_table(name, table);
        }
        if let Some(row) = &older {
            let older = Declarations::from_json(&meta_value(row)?)?;
            declarations = declarations.merged(&older)?;
        }
        Ok(Self {
            declarations,
            device,
            older,
        })
    }

    /// Demands that nobody changed which tables there are, nor what the device does with them.
    pub(crate) fn expect_unchanged(&self, batch: &mut WriteBatch) {
        for (id, row) in [
            (device_id(), &self.device),
            (RecordId::system("schema"), &self.older),
        ] {
            let expect = Expect::as_read(row.as_ref());
            batch.check(&META, &id, expect);
        }
    }

    /// Adds to a batch, which expects what was read, that this is the row `device` from then on.
    pub(crate) fn replaced_by(&self, batch: WriteBatch, row: Record) -> WriteBatch {
        let batch = batch.put(&META, row);
        match &self.older {
            // Its fields are the store's, its rules in the other row: a store of before is brought forward.
            Some(older) => batch.delete(&META, older.id()),
            None => batch,
        }
    }

    /// True where a device has declared tables in the store.
    pub(crate) fn is_declared(&self) -> bool {
        self.device.is_some() || self.older.is_some()
    }
}

fn device_id() -> RecordId {
    RecordId::system("device")
}

fn rules_of(row: &Record) -> Result<BTreeMap<TableName, DeviceRules>, StoreError> {
    serde_json::from_str(&meta_value(row)?).map_err(|error| {
        let message = "the row device of __meta is damaged; restore a backup";
        StoreError::corrupt(message).with_source(error)
    })
}

pub(crate) fn rules_row(all: &Declarations) -> Result<Record, StoreError> {
    let tables = all.tables();
    let rules: BTreeMap<_, _> = tables.map(|(name, table)| (name, &table.device)).collect();
    let text = serde_json::to_string(&rules).map_err(|error| {
        StoreError::corrupt("the declarations cannot be written").with_source(error)
    })?;
    meta_row("device", &text)
}

/// Joins declarations to those that the store has, whoever made them, and defines all. Returns those from before and all.
async fn declare(
    store: &dyn LocalStore,
    addition: &Declarations,
) -> Result<(Declarations, Declarations), Error> {
    for _ in 0..ATTEMPTS {
        let stored = Stored::read(store).await?;
        let all = stored.declarations.merged(addition)?;
        if store.capabilities().read_only {
            // What is not there reads as empty.
            return Ok((stored.declarations, all));
        }
        // A crash before the commit leaves tables that the row does not name; their next use adds them.
        store.define(&all.schema()).await?;
        let row = rules_row(&all)?;
        let same = match &stored.device {
            // By its text, as a store may keep the row in another spelling.
            Some(before) => meta_value(before)? == meta_value(&row)?,
            None => all.tables().next().is_none(),
        };
        if same && stored.older.is_none() {
            return Ok((stored.declarations, all));
        }
        // A power cut that takes it back is the same.
        let mut batch = WriteBatch::new().durability(Durability::Eventual);
        stored.expect_unchanged(&mut batch);
        let batch = stored.replaced_by(batch, row);
        match store.commit(batch).await {
            Ok(_) => return Ok((stored.declarations, all)),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Contended)
}
