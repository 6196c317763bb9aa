//! Bringing a store to the words of the application that opens it, before anything else is read.
//!
//! One commit begins it: from there on no context with fewer steps changes anything. Then the store takes the new declarations, and the records follow
//! in portions, each with its operations and with how far it got. What is cut off goes on at the next opening. Nothing is queued.

use std::collections::{BTreeMap, HashMap};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Cursor, Query};
use crate::record::Record;
use crate::schema::{SchemaError, Steps, TableSchema};
use crate::store::{
    Durability, Expect, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, Write, WriteBatch,
};
use crate::sync::pull::query::{read, text_of};
use crate::sync::queue::operation::Operation;
use crate::sync::system::{
    ATTEMPTS, DELTA, DeltaToken, FAILURES, FailureRow, META, OPERATIONS, seq_id,
};
use crate::sync::tables::{Stored, or_nothing, rules_row};
use crate::sync::words::row::{Conversion, StepsRow};

/// Records of one commit.
const PORTION: u32 = 200;

/// Brings the store to these steps, and says what they are and which values did not fit. `None`: those of the store.
pub(crate) async fn bring_forward(
    store: &dyn LocalStore,
    given: Option<Steps>,
) -> Result<(Steps, StepsRow), Error> {
    for _ in 0..ATTEMPTS {
        let (row, noted) = StepsRow::find(store).await?;
        let known = of_row(&noted);
        let steps = match &given {
            Some(given) => given.clone(),
            None => known.clone(),
        };
        if noted.number() > steps.len() {
            return Err(Error::SchemaNewer {
                store: noted.number(),
                here: steps.len(),
            });
        }
        if let Some(place) = noted
            .steps
            .iter()
            .zip(steps.steps())
            .position(|(one, other)| one != other)
        {
            let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
            let reason = "the store has made another one under this number";
            return Err(SchemaError::Step { number, reason }.into());
        }
        if noted.open.is_none() && noted.number() == steps.len() {
            return Ok((steps, noted));
        }
        let promises = store.capabilities();
        if promises.read_only || !promises.redefines {
            let message = "the schema of the store is to change, which it cannot as it is open; open it for writing once, or take another kind of store";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message).into());
        }
        let done = match noted.open {
            None => begin(store, &steps, row, noted).await,
            Some(_) => convert(store, &known, row, noted).await,
        };
        match done {
            Err(Error::Store(error)) if error.kind() == StoreErrorKind::CheckFailed => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
    }
    Err(Error::Contended)
}

fn of_row(noted: &StepsRow) -> Steps {
    let steps = (1..).zip(noted.steps.iter().cloned());
    steps.fold(Steps::new(), |all, (number, step)| all.step(number, step))
}

/// The tables that are still to be converted.
fn tables_of(noted: &StepsRow) -> Vec<TableName> {
    let open = noted.open.iter();
    open.flat_map(|open| open.tables.keys().cloned()).collect()
}

fn expecting(row: Option<&Record>) -> WriteBatch {
    let mut batch = WriteBatch::new().durability(Durability::Immediate);
    batch.check(&META, &StepsRow::id(), Expect::as_read(row));
    batch
}

/// Notes what is to be done. A crash before it leaves the store as it was, one after it a conversion that goes on.
async fn begin(
    store: &dyn LocalStore,
    steps: &Steps,
    row: Option<Record>,
    mut noted: StepsRow,
) -> Result<(), Error> {
    let from = noted.number();
    let stored = Stored::read(store).await?;
    let mut batch = expecting(row.as_ref());
    stored.expect_unchanged(&mut batch);
    let mut tables: BTreeMap<TableName, TableSchema> = BTreeMap::new();
    let mut declarations = stored.declarations.clone();
    for name in steps.tables(from) {
        if let Some(before) = stored.declarations.table(&name) {
            let now = steps.declared(&name, from, before.clone());
            tables.insert(name.clone(), now.schema.clone());
            declarations = declarations.with_table(name, now);
        }
    }
    noted.steps = steps.steps().cloned().collect();
    noted.open = (!tables.is_empty()).then_some(Conversion {
        from,
        tables,
        after: None,
    });
    if stored.is_declared() {
        batch = stored.replaced_by(batch, rules_row(&declarations)?);
    }
    for position in or_nothing(store.query_all(&DELTA, &Query::all()).await)? {
        let mut token = DeltaToken::from_row(&position)?;
        let asked = read(&token.filter).filter(|_| tables_of(&noted).contains(&token.table));
        if let Some(asked) = asked {
            // The same filter in the new words, so that the pull goes on.
            let now =
                asked.renamed(&|name| Some(steps.name_now(&token.table, from, name).to_owned()));
            token.filter = text_of(&now)?;
            batch.check(&DELTA, position.id(), Expect::as_read(Some(&position)));
            batch = batch.put(&DELTA, token.to_row()?);
        }
    }
    // There is no such row. That the queue was changed is what others notice: their next commit fails, and they look.
    let fence = RecordId::system("fence");
    let batch = batch
        .put(&META, noted.to_row()?)
        .delete(&OPERATIONS, &fence);
    store.commit(batch).await?;
    Ok(())
}

/// Goes on with what was begun, to its end.
async fn convert(
    store: &dyn LocalStore,
    steps: &Steps,
    mut row: Option<Record>,
    mut noted: StepsRow,
) -> Result<(), Error> {
    let tables = tables_of(&noted);
    // Nothing is queued meanwhile, and each is written under the check that it is as it was read.
    let mut operations = operations(store, &tables).await?;
    while let Some(open) = noted.open.clone() {
        let Some((table, declared)) = open.tables.iter().next() else {
            noted.open = None;
            store
                .commit(expecting(row.as_ref()).put(&META, noted.to_row()?))
                .await?;
            return Ok(());
        };
        store.redefine(table, declared).await?;
        let mut queued = operations.remove(table).unwrap_or_default();
        let mut after = open.after.clone();
        loop {
            let mut query = Query::all().page(PORTION);
            query.after = after.take().map(Cursor::behind);
            let page = store.query(table, &query).await?;
            let mut portion = Portion {
                steps,
                table,
                from: open.from,
                batch: expecting(row.as_ref()),
            };
            let mut next = noted.clone();
            for record in &page.records {
                let changed = portion.record(record);
                for field in steps.misfits(table, open.from, &changed) {
                    let fields = next.kept.entry(table.clone()).or_default();
                    *fields.entry(field.to_owned()).or_default() += 1;
                }
                for operation in queued.remove(record.id()).unwrap_or_default() {
                    portion.operation(store, operation, Some(record)).await?;
                }
            }
            let ended = page.next.is_none();
            if ended {
                // Operations on records that are deleted here.
                for (id, operations) in queued.drain() {
                    if open.after.as_ref().is_some_and(|done| id <= *done)
                        && store
                            .get(table, std::slice::from_ref(&id))
                            .await?
                            .iter()
                            .any(Option::is_some)
                    {
                        continue;
                    }
                    for operation in operations {
                        portion.operation(store, operation, None).await?;
                    }
                }
            }
            if let Some(open) = &mut next.open {
                open.after = page.records.last().map(|last| last.id().clone());
                if ended {
                    open.after = None;
                    open.tables.remove(table);
                }
                if open.tables.is_empty() {
                    next.open = None;
                }
            }
            let written = next.to_row()?;
            store
                .commit(portion.batch.put(&META, written.clone()))
                .await?;
            // Should another context go on with it, the check of the next portion fails.
            (row, noted) = (Some(written), next);
            if ended {
                break;
            }
            after = noted.open.as_ref().and_then(|open| open.after.clone());
        }
    }
    Ok(())
}

type Queued = HashMap<RecordId, Vec<Operation>>;

/// The operations of these tables, by record.
async fn operations(
    store: &dyn LocalStore,
    tables: &[TableName],
) -> Result<HashMap<TableName, Queued>, Error> {
    let mut found: HashMap<TableName, Queued> = HashMap::new();
    let mut query = Query::all().page(PORTION);
    loop {
        let page = or_nothing(store.query(&OPERATIONS, &query).await)?;
        for row in &page.records {
            let operation = Operation::from_row(row)?;
            if tables.contains(&operation.table) {
                let of_table = found.entry(operation.table.clone()).or_default();
                let of_record = of_table.entry(operation.id.clone()).or_default();
                of_record.push(operation);
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(found),
        }
    }
}

/// What is written at once.
struct Portion<'a> {
    steps: &'a Steps,
    table: &'a TableName,
    from: u32,
    batch: WriteBatch,
}

impl Portion<'_> {
    fn record(&mut self, record: &Record) -> Record {
        let changed = self.steps.forward(self.table, self.from, record.clone());
        if changed.body() != record.body() {
            let expect = Expect::as_read(Some(record));
            self.batch.check(self.table, record.id(), expect);
            self.batch.push(Write::Put {
                table: self.table.clone(),
                record: changed.clone(),
            });
        }
        changed
    }

    async fn operation(
        &mut self,
        store: &dyn LocalStore,
        operation: Operation,
        record: Option<&Record>,
    ) -> Result<(), Error> {
        let (seq, as_read) = (operation.seq, operation.as_read()?);
        let carried = operation.carried(self.steps, self.from, record);
        self.batch.check(&OPERATIONS, &seq_id(seq), as_read);
        self.batch.push(Write::Put {
            table: OPERATIONS.clone(),
            record: carried.to_row()?,
        });
        let failure = or_nothing(store.get(&FAILURES, &[seq_id(seq)]).await)?;
        let Some(row) = failure.into_iter().next().flatten() else {
            return Ok(());
        };
        let mut failure = FailureRow::from_row(&row)?;
        if let Some(server) = failure.server.take() {
            failure.server = Some(self.steps.forward(self.table, self.from, server));
            self.batch
                .check(&FAILURES, row.id(), Expect::as_read(Some(&row)));
            self.batch.push(Write::Put {
                table: FAILURES.clone(),
                record: failure.to_row(seq)?,
            });
        }
        Ok(())
    }
}
