//! What a filter demands of single fields, as far as an index can use it: a pure function of filter and declared table.
//!
//! What a condition admits is a superset of what matches: the whole filter is judged again on every record. So a comparison is only
//! used where the kinds of values that can meet it are plain from the declared type of its field.

use synctable_core::query::{
    BinaryOp, Counterpart, Expr, FieldPath, Literal, SortValue, ValueKind,
};
use synctable_core::{RecordId, TableSchema, Timestamp};

use crate::values;

/// The most values of one field that are looked up one by one.
const MOST_VALUES: usize = 64;

/// Conditions on one field that all matching records meet.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Condition {
    /// It has one of these.
    values: Option<Vec<SortValue>>,
    lower: Option<SortValue>,
    upper: Option<SortValue>,
    /// Or any text at all: one that does not fit the declared type is compared by rules of its own.
    misfits: bool,
}

/// A part of an index: the least encoded value, and what the largest starts with.
pub(crate) type Part = (Vec<u8>, Vec<u8>);

/// What demands say of single fields, all of them together; `Err` with the id where they hold for no other record.
pub(crate) fn conditions<'q>(
    demands: impl IntoIterator<Item = &'q Expr>,
    schema: &TableSchema,
) -> Result<Vec<(&'q str, Condition)>, RecordId> {
    let mut found: Vec<(&str, Condition)> = Vec::new();
    for expr in demands {
        let comparison = comparison(expr);
        if let Some((BinaryOp::Eq, "id", Literal::String(id))) = comparison {
            return Err(RecordId::system(id));
        }
        let new = match comparison {
            Some((op, field, literal)) => {
                sought(field, schema, literal).and_then(|sought| bound(op, field, sought))
            }
            None => one_of(expr, schema),
        };
        let Some((field, new)) = new else { continue };
        match found.iter_mut().find(|(known, _)| *known == field) {
            Some((_, condition)) => condition.narrow(new),
            None => found.push((field, new)),
        }
    }
    Ok(found)
}

impl Condition {
    /// The only value that is admitted.
    pub(crate) fn value(&self) -> Option<&SortValue> {
        match self.values.as_deref() {
            Some([value]) if !self.misfits => Some(value),
            _ => None,
        }
    }

    /// The texts between which all lies that is admitted, both included.
    pub(crate) fn texts(&self) -> (Option<&str>, Option<&str>) {
        let bounds = [&self.lower, &self.upper].map(|bound| match bound {
            Some(SortValue::Text(text)) if !self.misfits => Some(text.as_str()),
            _ => None,
        });
        bounds.into()
    }

    /// All values that are admitted, where they can be told.
    pub(crate) fn values(&self) -> Option<&[SortValue]> {
        self.values.as_deref().filter(|_| !self.misfits)
    }

    /// The parts of an index that hold what is admitted, in its order, without overlap.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let encoded = |value: &SortValue| {
            let mut bytes = Vec::new();
            values::push(&mut bytes, value);
            bytes
        };
        let mut parts: Vec<Part> = match (&self.values, self.lower.as_ref().or(self.upper.as_ref()))
        {
            (Some(values), _) => values
                .iter()
                .map(|value| (encoded(value), encoded(value)))
                .collect(),
            (None, Some(bound)) => {
                let (first, last) = values::kind(bound);
                let lower = self.lower.as_ref().map_or(vec![first], encoded);
                let upper = self.upper.as_ref().map_or(vec![last], encoded);
                vec![(lower, upper)]
            }
            (None, None) => Vec::new(),
        };
        if self.misfits && !parts.is_empty() {
            let (first, last) = values::kind(&SortValue::Text(String::new()));
            parts.push((vec![first], vec![last]));
        }
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// Of two bounds, or two lists of values, one is enough.
    fn narrow(&mut self, new: Self) {
        self.values = new.values.or(self.values.take());
        self.lower = new.lower.or(self.lower.take());
        self.upper = new.upper.or(self.upper.take());
        self.misfits |= new.misfits;
    }
}

/// A member that is not nested compared with a constant, the member on the left.
fn comparison(expr: &Expr) -> Option<(BinaryOp, &str, &Literal)> {
    let Expr::Binary(op, left, right) = expr else {
        return None;
    };
    match (&**left, &**right) {
        (Expr::Field(path), Expr::Literal(literal)) => Some((*op, name(path)?, literal)),
        (Expr::Literal(literal), Expr::Field(path)) => Some((turned(*op)?, name(path)?, literal)),
        _ => None,
    }
}

/// A value that is looked for.
struct Sought {
    value: SortValue,
    misfits: bool,
}

fn bound(op: BinaryOp, field: &str, sought: Sought) -> Option<(&str, Condition)> {
    let mut condition = Condition {
        misfits: sought.misfits,
        ..Condition::default()
    };
    let value = match (op, sought.value) {
        // Times are whole ticks: what is behind one is at the next one or later. All records of one commit of a server have one time.
        (BinaryOp::Gt, SortValue::DateTime(time)) if time < Timestamp::MAX => {
            SortValue::DateTime(Timestamp::from_ticks(time.ticks() + 1))
        }
        (_, value) => value,
    };
    match op {
        BinaryOp::Eq => condition.values = Some(vec![value]),
        BinaryOp::Gt | BinaryOp::Ge if value != SortValue::Null => condition.lower = Some(value),
        BinaryOp::Lt | BinaryOp::Le if value != SortValue::Null => condition.upper = Some(value),
        _ => return None,
    }
    Some((field, condition))
}

/// `field in (..)`, or a chain of `or` over one field.
fn one_of<'q>(expr: &'q Expr, schema: &TableSchema) -> Option<(&'q str, Condition)> {
    let mut pairs: Vec<(&str, &Literal)> = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::Binary(BinaryOp::Or, left, right) => open.extend([&**left, &**right]),
            Expr::In(left, list) => {
                let Expr::Field(path) = &**left else {
                    return None;
                };
                for item in list {
                    let Expr::Literal(literal) = item else {
                        return None;
                    };
                    pairs.push((name(path)?, literal));
                }
            }
            other => match comparison(other)? {
                (BinaryOp::Eq, field, literal) => pairs.push((field, literal)),
                _ => return None,
            },
        }
        if pairs.len() > MOST_VALUES {
            return None;
        }
    }
    let field = pairs.first()?.0;
    let mut condition = Condition::default();
    let mut values = Vec::new();
    for (other, literal) in pairs {
        if other != field {
            return None;
        }
        let sought = sought(field, schema, literal)?;
        condition.misfits |= sought.misfits;
        values.push(sought.value);
    }
    condition.values = Some(values);
    Some((field, condition))
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
pub(crate) fn name(path: &FieldPath) -> Option<&str> {
    path.rest().is_empty().then(|| path.head())
}

/// The one value by which an index has all records that compare with `literal`, but for misfits; `None` where others may, too.
fn sought(field: &str, schema: &TableSchema, literal: &Literal) -> Option<Sought> {
    if *literal == Literal::Null {
        return Some(Sought {
            value: SortValue::Null,
            misfits: false,
        });
    }
    let system = ValueKind::of_system(field);
    let kind = system.or_else(|| schema.field(field).map(ValueKind::of_type))?;
    match kind.counterpart(literal) {
        Counterpart::Value(value) => Some(Sought {
            value,
            misfits: kind.has_text_misfits() && system.is_none(),
        }),
        // What never compares with values that fit may compare with others.
        Counterpart::Never | Counterpart::Depends => None,
    }
}
