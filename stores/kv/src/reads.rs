//! What is read of a store: each time from one moment of it.

use std::ops::Range;
use std::sync::Arc;

use synctable_core::query::{Judge, Query, Window, page_of};
use synctable_core::store::{Access, Page, Plan as Explained, StoreError};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::backend::KvBackend;
use crate::catalogue::Catalogue;
use crate::index::{PageOf, Walker};
use crate::key::{Key, all_records, behind};
use crate::plan::{Between, Plan, is_by_id, plan};
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
        if let Some(seen) = &self.seen {
            let catalogue = seen.catalogue(&*snapshot)?;
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
            Plan::Ids(ids) => page_of(query, schema, some(&*snapshot, table, &ids)),
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
            Plan::Table(between) => {
                let keys = records_between(table, &between);
                if is_by_id(&query.order) {
                    return page_by_id(&*snapshot, table, schema, query, keys);
                }
                page_of(query, schema, records(&*snapshot, table, &keys))
            }
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
            // One comes in any order.
            Plan::Ids(ids) => Explained::new(Access::Ids, ids.len() <= 1 || is_by_id(&query.order)),
            Plan::Index(walk) => {
                let access = Access::Index {
                    fields: walk.index.fields.clone(),
                    equal: walk.equal,
                    range: !walk.parts.is_empty(),
                };
                Explained::new(access, walk.order.is_some())
            }
            Plan::Table(_) => Explained::new(Access::Scan, is_by_id(&query.order)),
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
            Plan::Ids(ids) => some(&*snapshot, table, &ids).map(one).sum(),
            Plan::Index(walk) => {
                let walker = Walker {
                    snapshot: &*snapshot,
                    table,
                    schema,
                    walk: &walk,
                };
                walker.records().map(one).sum()
            }
            Plan::Table(between) => records(&*snapshot, table, &records_between(table, &between))
                .map(one)
                .sum(),
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

/// Those of some records that there are.
fn some<'a>(
    read: &'a (impl KvRead + ?Sized),
    table: &'a TableName,
    ids: &'a [RecordId],
) -> impl Iterator<Item = Result<Record, StoreError>> + 'a {
    ids.iter().filter_map(|id| get(read, table, id).transpose())
}

/// The keys of the records between two ids.
fn records_between(table: &TableName, between: &Between) -> Range<Vec<u8>> {
    let mut keys = all_records(table);
    if let Some(first) = &between.first {
        keys.start = Key::record(table, first).encode();
    }
    if let Some(last) = &between.last {
        keys.end = behind(Key::record(table, last).encode());
    }
    // Where the ends have changed places there is nothing between them.
    keys.end = keys.end.max(keys.start.clone());
    keys
}

/// The page of a query by id: starts behind its cursor and reads no further than it must.
fn page_by_id(
    read: &(impl KvRead + ?Sized),
    table: &TableName,
    schema: &TableSchema,
    query: &Query,
    mut keys: Range<Vec<u8>>,
) -> Result<Page, StoreError> {
    let window = Window::of(query)?;
    if window.length == 0 {
        return Ok(Page::default());
    }
    if let Some(place) = &window.start {
        let behind = behind(Key::record(table, &place.id).encode());
        keys.start = keys.start.max(behind);
        keys.end = keys.end.max(keys.start.clone());
    }
    let mut page = PageOf::new(query, &window, schema);
    for record in records(read, table, &keys) {
        if page.add(record?)? {
            break;
        }
    }
    Ok(page.end())
}
