//! Which records a query looks at, and in what order: a pure function of the query and the declared table.

use synctable_core::query::{Direction, OrderBy, Query, SortValue};
use synctable_core::{IndexSpec, RecordId, TableSchema};

use crate::backend::Indexes;
use crate::condition::{Condition, Part, conditions, name};
use crate::values;

/// Where to look.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan<'q> {
    /// At these records, by id.
    Ids(Vec<RecordId>),
    /// Along an index.
    Index(Walk<'q>),
    /// At all records between two ids, by id.
    Table(Between),
}

/// No id that can be a key is longer, in bytes: 255 characters of at most four.
const LONGEST_ID: usize = 4 * 255;

/// Ids from one to another, both included; without an end where there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Between {
    pub(crate) first: Option<RecordId>,
    pub(crate) last: Option<RecordId>,
}

/// Parts of an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Walk<'q> {
    pub(crate) index: &'q IndexSpec,
    /// The encoded values of the first fields, which are fixed.
    pub(crate) fixed: Vec<u8>,
    /// How many fields these are.
    pub(crate) equal: usize,
    /// The whole lists of values, in their order, if all can be told.
    pub(crate) exact: Vec<Vec<u8>>,
    /// The parts by the value of the next field; none for all of them.
    pub(crate) parts: Vec<Part>,
    /// The entries come in the order of the query, in this direction.
    pub(crate) order: Option<Direction>,
}

/// The way to answer a query with the indexes that are ready.
pub(crate) fn plan<'q>(
    query: &Query,
    schema: &TableSchema,
    ready: impl Iterator<Item = &'q IndexSpec>,
    use_of: Indexes,
) -> Plan<'q> {
    let conditions = match conditions(query.narrowing(), schema) {
        Ok(conditions) => conditions,
        Err(id) => return Plan::Ids(vec![id]),
    };
    let by_id = conditions.iter().find(|(name, _)| *name == "id");
    let by_id = by_id.map(|(_, condition)| condition);
    if let Some(ids) = by_id.and_then(Condition::values).and_then(ids) {
        return Plan::Ids(ids);
    }
    let walks = ready.filter_map(|index| walk(index, &conditions, query, use_of));
    let best = walks.max_by_key(|walk| (walk.equal, !walk.parts.is_empty(), walk.order.is_some()));
    best.map_or_else(
        || Plan::Table(by_id.map(Between::of).unwrap_or_default()),
        Plan::Index,
    )
}

/// The ids that are looked for, in order; `None` where something else is.
fn ids(values: &[SortValue]) -> Option<Vec<RecordId>> {
    let id = |value: &SortValue| match value {
        SortValue::Text(text) => Some(RecordId::system(text)),
        _ => None,
    };
    let mut ids: Vec<RecordId> = values.iter().map(id).collect::<Option<_>>()?;
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

impl Between {
    fn of(condition: &Condition) -> Self {
        let (first, last) = condition.texts();
        let id = |text: &str| (text.len() <= LONGEST_ID).then(|| RecordId::system(text));
        Self {
            first: first.and_then(id),
            last: last.and_then(id),
        }
    }
}

/// Whether records come in this order by their keys.
pub(crate) fn is_by_id(order: &[OrderBy]) -> bool {
    order.first().is_none_or(is_id)
}

fn walk<'q>(
    index: &'q IndexSpec,
    conditions: &[(&str, Condition)],
    query: &Query,
    use_of: Indexes,
) -> Option<Walk<'q>> {
    let condition = |field: &String| {
        let found = conditions.iter().find(|(name, _)| name == field);
        found.map(|(_, condition)| condition)
    };
    let mut fixed = Vec::new();
    let mut known = Vec::new();
    for field in &index.fields {
        let Some(value) = condition(field).and_then(Condition::value) else {
            break;
        };
        values::push(&mut fixed, value);
        known.push(value);
    }
    let equal = known.len();
    let rest = index.fields.get(equal..).unwrap_or_default();
    let next = rest.first().and_then(condition);
    let mut exact = Vec::new();
    match (rest, next.and_then(Condition::values)) {
        ([], _) => exact.push(values::encode(known)),
        ([_], Some(last)) => {
            let lists = last.iter();
            exact.extend(lists.map(|value| values::encode(known.iter().copied().chain([value]))));
            exact.sort_unstable();
            exact.dedup();
        }
        _ => {}
    }
    let usable = match use_of {
        Indexes::Ordered => true,
        Indexes::Equality => !exact.is_empty(),
        Indexes::None => false,
    };
    if !usable {
        return None;
    }
    let parts = next.map(Condition::parts).unwrap_or_default();
    let sorted = use_of == Indexes::Ordered || rest.is_empty();
    let followed = sorted && query.may_follow(&index.fields, equal);
    let order = in_order(rest, query).filter(|_| followed);
    (equal > 0 || !parts.is_empty() || order.is_some()).then_some(Walk {
        index,
        fixed,
        equal,
        exact,
        parts,
        order,
    })
}

/// The direction in which entries that share their first fields come in the order of the query.
fn in_order(rest: &[String], query: &Query) -> Option<Direction> {
    let direction = query
        .order
        .first()
        .map_or(Direction::Ascending, |term| term.direction);
    // Records with equal terms come by id, whether the index or the order says so or not. Against the direction of the index they would
    // come by falling id.
    let terms = match query.order.split_last() {
        Some((last, terms)) if is_id(last) => terms,
        _ => &query.order,
    };
    let rest = match rest.split_last() {
        Some((last, fields)) if last == "id" && direction == Direction::Ascending => fields,
        _ => rest,
    };
    // All fields of the index have to be terms: records with equal terms come by id.
    let same = rest.len() == terms.len()
        && rest
            .iter()
            .zip(terms)
            .all(|(field, term)| name(&term.path) == Some(field) && term.direction == direction);
    same.then_some(direction)
}

/// The term that follows every order anyway.
fn is_id(term: &OrderBy) -> bool {
    name(&term.path) == Some("id") && term.direction == Direction::Ascending
}
