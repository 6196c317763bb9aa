//! Secondary indexes: their entries, which are written together with the records, and walks along them.

use std::ops::Range;

use synctable_core::query::{
    Direction, Evaluator, FieldPath, Judge, OrderBy, Query, SortKey, SortValue, Window,
};
use synctable_core::store::{Page, StoreError};
use synctable_core::{IndexSpec, Record, RecordId, TableName, TableSchema};

use crate::key::{Key, behind, index_start, same_values, successor};
use crate::plan::Walk;
use crate::read::{KvRead, KvReadExt};
use crate::scan::entries;
use crate::value;
use crate::values;

/// The name of an index: its fields, in which no `/` occurs.
pub(crate) fn name(index: &IndexSpec) -> String {
    index.fields.join("/")
}

/// The key of a record's entry.
pub(crate) fn entry(
    table: &TableName,
    schema: &TableSchema,
    index: &IndexSpec,
    record: &Record,
) -> Vec<u8> {
    let terms: Vec<OrderBy> = index
        .fields
        .iter()
        .map(|field| OrderBy {
            path: FieldPath::new(field),
            direction: Direction::Ascending,
        })
        .collect();
    let key = Evaluator::new(schema).sort_key(&terms, record);
    let values = values::encode(&key.values);
    Key::Index {
        table: table.as_str(),
        index: &name(index),
        values: &values,
        id: record.id().as_str(),
    }
    .encode()
}

/// A walk in one snapshot.
pub(crate) struct Walker<'a> {
    pub(crate) snapshot: &'a dyn KvRead,
    pub(crate) table: &'a TableName,
    pub(crate) schema: &'a TableSchema,
    pub(crate) walk: &'a Walk<'a>,
}

impl Walker<'_> {
    /// The keys of all entries of the walk: ranges in their order, without overlap.
    fn keys(&self) -> Vec<Range<Vec<u8>>> {
        let (table, index) = (self.table.as_str(), name(self.walk.index));
        if !self.walk.exact.is_empty() {
            let lists = self.walk.exact.iter();
            return lists.map(|list| same_values(table, &index, list)).collect();
        }
        let start = index_start(table, &index, 0);
        let with = |bytes: &[u8]| [start.as_slice(), &self.walk.fixed, bytes].concat();
        if self.walk.parts.is_empty() {
            // The next byte is that of another value, or the end of the list: never 255.
            let end = match self.walk.equal {
                0 => index_start(table, &index, 1),
                _ => with(&[u8::MAX]),
            };
            return vec![with(&[])..end];
        }
        let parts = self.walk.parts.iter();
        parts
            .map(|(lower, upper)| with(lower)..successor(with(upper)))
            .collect()
    }

    /// The records of the walk, in the order of the index.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<Record, StoreError>> + '_ {
        self.keys().into_iter().flat_map(move |keys| {
            entries(self.snapshot, &keys).map(move |entry| self.record(&entry?.0))
        })
    }

    /// The record of an entry.
    fn record(&self, entry: &[u8]) -> Result<Record, StoreError> {
        let damaged = || {
            StoreError::corrupt(format!(
                "table {}: an index names a record that is not there",
                self.table
            ))
        };
        let Some(Key::Index { id, .. }) = Key::decode(entry) else {
            return Err(damaged());
        };
        let id = RecordId::system(id);
        let bytes = self.snapshot.get(&Key::record(self.table, &id).encode())?;
        value::decode(self.table, id, &bytes.ok_or_else(damaged)?)
    }

    /// A page of a query whose order is that of the walk. `None` where an entry does not tell the order, because its values are cut.
    pub(crate) fn page(
        &self,
        query: &Query,
        direction: Direction,
    ) -> Result<Option<Page>, StoreError> {
        let window = Window::of(query)?;
        if window.length == 0 {
            return Ok(Some(Page::default()));
        }
        let mut parts = self.keys();
        let mut page = PageOf::new(query, &window, self.schema);
        if let Some(start) = &window.start {
            let values = self.values_of(start);
            if values::is_cut(&values) {
                return Ok(None);
            }
            let group = same_values(self.table.as_str(), &name(self.walk.index), &values);
            let id = [group.start.as_slice(), start.id.as_str().as_bytes()].concat();
            match direction {
                Direction::Ascending => {
                    let from = behind(id);
                    for part in &mut parts {
                        part.start = part.start.clone().max(from.clone());
                    }
                }
                Direction::Descending => {
                    // What is left of the group comes first.
                    match self.take(behind(id)..group.end, &mut page)? {
                        None => return Ok(None),
                        Some(true) => return Ok(Some(page.end())),
                        Some(false) => {}
                    }
                    for part in &mut parts {
                        part.end = part.end.clone().min(group.start.clone());
                    }
                }
            }
        }
        parts.retain(|part| part.start < part.end);
        if direction == Direction::Descending {
            parts.reverse();
        }
        for part in parts {
            let done = match direction {
                Direction::Ascending => self.take(part, &mut page)?,
                Direction::Descending => self.take_back(part, &mut page)?,
            };
            match done {
                None => return Ok(None),
                Some(true) => break,
                Some(false) => {}
            }
        }
        Ok(Some(page.end()))
    }

    /// The values of an entry at a place in the order of the walk. That the id follows all others may be said by both, by the index
    /// or by the query.
    fn values_of(&self, place: &SortKey) -> Vec<u8> {
        let fields = self.walk.index.fields.len() - self.walk.equal;
        let mut terms: Vec<&SortValue> = place.values.iter().take(fields).collect();
        let id = SortValue::Text(place.id.to_string());
        if terms.len() < fields {
            terms.push(&id);
        }
        [self.walk.fixed.as_slice(), &values::encode(terms)].concat()
    }

    /// As [`take`](Self::take), from the last group of equal values to the first, each by ascending id.
    fn take_back(
        &self,
        mut keys: Range<Vec<u8>>,
        page: &mut PageOf<'_>,
    ) -> Result<Option<bool>, StoreError> {
        loop {
            let last = self.snapshot.scan_back(&keys.start..&keys.end, 1)?;
            let Some((last, _)) = last.first() else {
                return Ok(Some(false));
            };
            let Some(Key::Index {
                table,
                index,
                values,
                ..
            }) = Key::decode(last)
            else {
                return Ok(None);
            };
            let group = same_values(table, index, values);
            keys.end.clone_from(&group.start);
            let done = self.take(group, page)?;
            if done != Some(false) {
                return Ok(done);
            }
        }
    }

    /// Fills a page; true when it is full, `None` at an entry whose values are cut.
    fn take(
        &self,
        keys: Range<Vec<u8>>,
        page: &mut PageOf<'_>,
    ) -> Result<Option<bool>, StoreError> {
        for entry in entries(self.snapshot, &keys) {
            let (key, _) = entry?;
            if matches!(Key::decode(&key), Some(Key::Index { values, .. }) if values::is_cut(values))
            {
                return Ok(None);
            }
            if page.add(self.record(&key)?)? {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }
}

/// A page that is being filled.
pub(crate) struct PageOf<'a> {
    query: &'a Query,
    window: &'a Window,
    judge: Judge<'a>,
    schema: &'a TableSchema,
    left_out: usize,
    records: Vec<Record>,
}

impl<'a> PageOf<'a> {
    pub(crate) fn new(query: &'a Query, window: &'a Window, schema: &'a TableSchema) -> Self {
        Self {
            query,
            window,
            judge: Judge::new(query, schema),
            schema,
            left_out: 0,
            records: Vec::new(),
        }
    }

    /// Takes the next record of the order in; true when one more than the page holds was seen.
    pub(crate) fn add(&mut self, record: Record) -> Result<bool, StoreError> {
        if !self.judge.wants(&record)? {
            return Ok(false);
        }
        if self.left_out < self.window.skip {
            self.left_out += 1;
            return Ok(false);
        }
        self.records.push(record);
        Ok(self.records.len() > self.window.length)
    }

    pub(crate) fn end(mut self) -> Page {
        if self.records.len() <= self.window.length {
            return Page::new(self.records, None);
        }
        self.records.truncate(self.window.length);
        let evaluator = Evaluator::new(self.schema);
        let last: Option<SortKey> = self
            .records
            .last()
            .map(|last| evaluator.sort_key(&self.query.order, last));
        let next = self.window.next(last.as_ref(), self.records.len());
        Page::new(self.records, next)
    }
}
