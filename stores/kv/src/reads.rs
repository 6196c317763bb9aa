//! What is read of a store: each time from one moment of it.

use std::sync::Arc;

use synctable_core::query::{Judge, Query, Window, page_of};
use synctable_core::store::{Access, Page, Plan as Explained, StoreError};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::backend::KvBackend;
use crate::catalogue::Catalogue;
use crate::index::{PageOf, Walker};
use crate::key::{Key, all_records, behind};
use crate::plan::{Plan, plan};
use crate::read::KvRead;
use crate::scan::{entries, records};
use crate::store::KvStore;
use crate::value;

/// One moment of the store: what is stored, and the tables as they are then.
struct View<'a> {
    catalogue: Arc<Catalogue>,
    snapshot: Box<dyn KvRead + 'a>,
}

impl<B: KvBackend> KvStore<B> {
    fn view(&self) -> Result<View<'_>, StoreError> {
        let before = self.known.get()?;
        let snapshot = self.backend.snapshot()?;
        if self.is_shared() {
            let catalogue = self.seen.catalogue(&*snapshot)?;
            return Ok(View {
                catalogue,
                snapshot,
            });
        }
        // A change of the tables that was committed in between has made it unsure first, or another one.
        let same = |after: &Arc<Catalogue>| before.iter().any(|it| Arc::ptr_eq(it, after));
        let catalogue = match self.known.get()?.filter(same) {
            Some(catalogue) => catalogue,
            None => Arc::new(Catalogue::stored(&*snapshot)?),
        };
        Ok(View {
            catalogue,
            snapshot,
        })
    }

    pub(crate) fn get_now(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let view = self.view()?;
        view.catalogue.table(table)?;
        let read = |id| get(&*view.snapshot, table, id);
        ids.iter().map(read).collect()
    }

    pub(crate) fn query_now(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        let View {
            catalogue,
            snapshot,
        } = self.view()?;
        let schema = catalogue.table(table)?;
        match plan(
            query,
            schema,
            catalogue.ready(table),
            self.backend.engine.indexes(),
        ) {
            Plan::Id(id) => {
                let found = get(&*snapshot, table, &id)?;
                page_of(query, schema, found.map(Ok))
            }
            Plan::Index(walk) => {
                let walker = Walker {
                    snapshot: &*snapshot,
                    table,
                    schema,
                    walk: &walk,
                };
                if let Some(direction) = walk.order
                    && let Some(page) = walker.page(query, direction)?
                {
                    return Ok(page);
                }
                page_of(query, schema, walker.records())
            }
            Plan::Table if query.order.is_empty() => page_by_id(&*snapshot, table, schema, query),
            Plan::Table => page_of(
                query,
                schema,
                records(&*snapshot, table, &all_records(table)),
            ),
        }
    }

    pub(crate) fn schema_now(&self) -> Result<Schema, StoreError> {
        Ok(self.catalogue()?.schema.clone())
    }

    pub(crate) fn explain_now(
        &self,
        table: &TableName,
        query: &Query,
    ) -> Result<Explained, StoreError> {
        let catalogue = self.catalogue()?;
        let schema = catalogue.table(table)?;
        let plan = plan(
            query,
            schema,
            catalogue.ready(table),
            self.backend.engine.indexes(),
        );
        Ok(match plan {
            Plan::Id(_) => Explained::new(Access::Ids, true),
            Plan::Index(walk) => {
                let access = Access::Index {
                    fields: walk.index.fields.clone(),
                    equal: walk.equal,
                    range: !walk.parts.is_empty(),
                };
                Explained::new(access, walk.order.is_some())
            }
            Plan::Table => Explained::new(Access::Scan, query.order.is_empty()),
        })
    }

    pub(crate) fn count_now(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        let View {
            catalogue,
            snapshot,
        } = self.view()?;
        let schema = catalogue.table(table)?;
        let keys = all_records(table);
        let judge = Judge::new(query, schema);
        if query.filter.is_none() && query.within.is_none() {
            return entries(&*snapshot, &keys)
                .map(|entry| entry.and_then(|_| judge.pass().map(|()| 1)))
                .sum();
        }
        let one = |record: Result<Record, StoreError>| judge.wants(&record?).map(u64::from);
        let mut unordered = query.clone();
        unordered.order.clear();
        match plan(
            &unordered,
            schema,
            catalogue.ready(table),
            self.backend.engine.indexes(),
        ) {
            Plan::Id(id) => get(&*snapshot, table, &id)?.map_or(Ok(0), |record| one(Ok(record))),
            Plan::Index(walk) => {
                let walker = Walker {
                    snapshot: &*snapshot,
                    table,
                    schema,
                    walk: &walk,
                };
                walker.records().map(one).sum()
            }
            Plan::Table => records(&*snapshot, table, &keys).map(one).sum(),
        }
    }
}

pub(crate) fn get(
    read: &(impl KvRead + ?Sized),
    table: &TableName,
    id: &RecordId,
) -> Result<Option<Record>, StoreError> {
    let value = read.get(&Key::record(table, id).encode())?;
    value
        .map(|value| value::decode(table, id.clone(), &value))
        .transpose()
}

/// The page of a query without an order: starts behind its cursor and reads no further than it must.
fn page_by_id(
    read: &(impl KvRead + ?Sized),
    table: &TableName,
    schema: &TableSchema,
    query: &Query,
) -> Result<Page, StoreError> {
    let window = Window::of(query)?;
    if window.length == 0 {
        return Ok(Page::default());
    }
    let mut keys = all_records(table);
    if let Some(place) = &window.start {
        keys.start = behind(Key::record(table, &place.id).encode());
    }
    let mut page = PageOf::new(query, &window, schema);
    for record in records(read, table, &keys) {
        if page.add(record?)? {
            break;
        }
    }
    Ok(page.end())
}
