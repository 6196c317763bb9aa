//! Which records a query looks at, and in what order: a pure function of the query and the declared table.
//!
//! What a plan finds is a superset of what matches: the whole filter is judged again on every record. So a condition is only used
//! where the kinds of values that can meet it are plain from the declared type of its field.

use synctable_core::query::{BinaryOp, Direction, Expr, FieldPath, Literal, Query, SortValue};
use synctable_core::{FieldType, IndexSpec, RecordId, TableSchema};

use crate::backend::Indexes;
use crate::values;

/// Where to look.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan<'q> {
    /// At one record.
    Id(RecordId),
    /// Along an index.
    Index(Walk<'q>),
    /// At all records, by id.
    Table,
}

/// A part of an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Walk<'q> {
    pub(crate) index: &'q IndexSpec,
    /// The encoded values of the first fields, which are fixed.
    pub(crate) fixed: Vec<u8>,
    /// How many fields these are.
    pub(crate) equal: usize,
    /// The whole list of values, if all are fixed.
    pub(crate) exact: Option<Vec<u8>>,
    /// What the encoded value of the next field is not below, and what it starts with at most.
    pub(crate) bounds: Option<(Vec<u8>, Vec<u8>)>,
    /// The entries come in the order of the query, in this direction.
    pub(crate) order: Option<Direction>,
}

/// Conditions on one field that all matching records meet.
#[derive(Debug, Default, Clone, PartialEq)]
struct Condition {
    equal: Option<SortValue>,
    lower: Option<SortValue>,
    upper: Option<SortValue>,
}

/// The way to answer a query with the indexes that are ready.
pub(crate) fn plan<'q>(
    query: &Query,
    schema: &TableSchema,
    ready: impl Iterator<Item = &'q IndexSpec>,
    use_of: Indexes,
) -> Plan<'q> {
    let mut conditions: Vec<(&str, Condition)> = Vec::new();
    let mut waiting: Vec<&Expr> = query.filter.iter().collect();
    while let Some(expr) = waiting.pop() {
        match expr {
            Expr::Binary(BinaryOp::And, left, right) => waiting.extend([&**left, &**right]),
            Expr::Binary(op, left, right) => {
                let found = match (&**left, &**right) {
                    (Expr::Field(path), Expr::Literal(literal)) => Some((*op, path, literal)),
                    (Expr::Literal(literal), Expr::Field(path)) => {
                        turned(*op).map(|op| (op, path, literal))
                    }
                    _ => None,
                };
                let Some((op, path, literal)) = found else {
                    continue;
                };
                if let (BinaryOp::Eq, Some("id"), Literal::String(id)) = (op, name(path), literal) {
                    return Plan::Id(RecordId::system(id));
                }
                if let Some((name, value)) = name(path).zip(value(path, schema, literal)) {
                    let place = conditions.iter().position(|(known, _)| *known == name);
                    let condition = match place.and_then(|place| conditions.get_mut(place)) {
                        Some((_, condition)) => condition,
                        None => {
                            conditions.push((name, Condition::default()));
                            match conditions.last_mut() {
                                Some((_, condition)) => condition,
                                None => continue,
                            }
                        }
                    };
                    // Of two bounds one is enough: what is found is judged again.
                    match op {
                        BinaryOp::Eq => condition.equal = Some(value),
                        BinaryOp::Gt | BinaryOp::Ge if value != SortValue::Null => {
                            condition.lower = Some(value);
                        }
                        BinaryOp::Lt | BinaryOp::Le if value != SortValue::Null => {
                            condition.upper = Some(value);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let walks = ready.filter_map(|index| walk(index, &conditions, query, use_of));
    let best = walks.max_by_key(|walk| (walk.equal, walk.bounds.is_some(), walk.order.is_some()));
    best.map_or(Plan::Table, Plan::Index)
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
        let Some(value) = condition(field).and_then(|condition| condition.equal.as_ref()) else {
            break;
        };
        values::push(&mut fixed, value);
        known.push(value);
    }
    let equal = known.len();
    let all_fixed = equal == index.fields.len();
    if use_of != Indexes::Ordered && !(use_of == Indexes::Equality && all_fixed) {
        return None;
    }
    let bounds = index.fields.get(equal).and_then(condition).and_then(bounds);
    let rest = index.fields.get(equal..).unwrap_or_default();
    let order = in_order(rest, query);
    (equal > 0 || bounds.is_some() || order.is_some()).then_some(Walk {
        index,
        fixed,
        equal,
        exact: all_fixed.then(|| values::encode(known)),
        bounds,
        order,
    })
}

/// The direction in which entries that share their first fields come in the order of the query.
fn in_order(rest: &[String], query: &Query) -> Option<Direction> {
    let direction = query
        .order
        .first()
        .map_or(Direction::Ascending, |term| term.direction);
    // All fields of the index have to be terms: records with equal terms come by id.
    let same = rest.len() == query.order.len()
        && rest
            .iter()
            .zip(&query.order)
            .all(|(field, term)| name(&term.path) == Some(field) && term.direction == direction);
    same.then_some(direction)
}

fn bounds(condition: &Condition) -> Option<(Vec<u8>, Vec<u8>)> {
    let bound = condition.lower.as_ref().or(condition.upper.as_ref())?;
    let (first, last) = values::kind(bound);
    let encoded = |value: &SortValue| {
        let mut bytes = Vec::new();
        values::push(&mut bytes, value);
        bytes
    };
    let lower = condition.lower.as_ref().map_or(vec![first], encoded);
    let upper = condition.upper.as_ref().map_or(vec![last], encoded);
    Some((lower, upper))
}

/// The operator with its sides exchanged.
fn turned(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Eq => BinaryOp::Eq,
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Ge => BinaryOp::Le,
        _ => return None,
    })
}

/// The name of a member that is not nested.
fn name(path: &FieldPath) -> Option<&str> {
    path.rest().is_empty().then(|| path.head())
}

/// The one value by which an index has all records that compare with `literal`; `None` where other kinds may, too.
fn value(path: &FieldPath, schema: &TableSchema, literal: &Literal) -> Option<SortValue> {
    let system_time = matches!(path.head(), "createdAt" | "updatedAt");
    match (schema.field(path.head()), literal) {
        (_, Literal::Null) => Some(SortValue::Null),
        (Some(FieldType::Integer | FieldType::Number), Literal::Int(n)) => Some(SortValue::Int(*n)),
        (Some(FieldType::Integer | FieldType::Number), Literal::Float(n)) => {
            Some(SortValue::Float(*n))
        }
        (Some(FieldType::String), Literal::String(text)) => Some(SortValue::Text(text.clone())),
        (Some(FieldType::Boolean), Literal::Bool(value)) => Some(SortValue::Bool(*value)),
        (None, Literal::DateTime(time)) if system_time => Some(SortValue::DateTime(*time)),
        (None, Literal::Bool(value)) if path.head() == "deleted" => Some(SortValue::Bool(*value)),
        _ => None,
    }
}
