//! Filters, orders and windows.

use std::cmp::Ordering;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use synctable_core::query::{BinaryOp, Direction, Expr, FieldPath, Function, Query};
use synctable_core::{FieldType, SYSTEM_PROPERTIES, TableSchema};

use super::record::FREE_NAMES;
use super::value::{literal, literal_for};

const COMPARISONS: [BinaryOp; 6] = [
    BinaryOp::Eq,
    BinaryOp::Ne,
    BinaryOp::Gt,
    BinaryOp::Ge,
    BinaryOp::Lt,
    BinaryOp::Le,
];
const ARITHMETIC: [BinaryOp; 5] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Mod,
];

type FilterAndOrder = (Option<Expr>, Vec<(FieldPath, Direction)>);

/// A field: declared, system, undeclared or nested.
fn path(schema: &TableSchema) -> BoxedStrategy<FieldPath> {
    let declared: Vec<String> = schema
        .fields
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    let free = prop_oneof![
        3 => select(SYSTEM_PROPERTIES.to_vec()).prop_map(FieldPath::new),
        2 => select(FREE_NAMES.to_vec()).prop_map(FieldPath::new),
        1 => Just(FieldPath::new("nowhere")),
        2 => select(vec!["obj/b", "obj/b/c", "free/b", "title/b", "place/type", "id/b"]).prop_map(FieldPath::from),
    ];
    if declared.is_empty() {
        free.boxed()
    } else {
        prop_oneof![3 => select(declared).prop_map(FieldPath::new), 1 => free].boxed()
    }
}

/// A field, with a constant of its kind.
fn field_and_literal(schema: &TableSchema) -> BoxedStrategy<(Expr, Expr)> {
    let schema = schema.clone();
    path(&schema)
        .prop_flat_map(move |path| {
            let declared = path
                .rest()
                .is_empty()
                .then(|| schema.field(path.head()))
                .flatten();
            let ty = match (declared, path.head()) {
                (Some(ty), _) => ty.clone(),
                (None, "id" | "version") => FieldType::String,
                (None, "createdAt" | "updatedAt") => FieldType::DateTime,
                (None, "deleted") => FieldType::Boolean,
                (None, _) => FieldType::Json,
            };
            let constant = prop_oneof![6 => literal_for(&ty), 1 => literal()];
            (Just(Expr::Field(path)), constant.prop_map(Expr::Literal))
        })
        .boxed()
}

/// Anything that has a value.
fn value(schema: &TableSchema) -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        3 => path(schema).prop_map(Expr::Field),
        2 => literal().prop_map(Expr::Literal),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let operands = (select(&ARITHMETIC[..]), inner.clone(), inner.clone());
        let call = select(&Function::ALL[..]).prop_flat_map({
            let inner = inner.clone();
            move |function| {
                let (fewest, most) = function.arity();
                let arguments = proptest::collection::vec(inner.clone(), fewest..=most);
                arguments.prop_map(move |arguments| Expr::Call(function, arguments))
            }
        });
        prop_oneof![
            1 => inner.prop_map(|value| Expr::Negate(Box::new(value))),
            2 => operands.prop_map(|(op, left, right)| binary(op, left, right)),
            4 => call,
        ]
    })
    .boxed()
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::Binary(op, Box::new(left), Box::new(right))
}

/// A filter over the fields of a table: comparisons that are likely to hold for some records, and others.
pub fn expr(schema: &TableSchema) -> BoxedStrategy<Expr> {
    let comparison = select(&COMPARISONS[..]);
    let value = value(schema);
    let list = proptest::collection::vec(value.clone(), 1..=3);
    let same_kind = field_and_literal(schema);
    let leaf = prop_oneof![
        12 => (comparison.clone(), same_kind.clone()).prop_map(|(op, (left, right))| binary(op, left, right)),
        1 => (comparison.clone(), same_kind).prop_map(|(op, (left, right))| binary(op, right, left)),
        3 => (comparison, value.clone(), value.clone()).prop_map(|(op, left, right)| binary(op, left, right)),
        1 => (value.clone(), list).prop_map(|(value, list)| Expr::In(Box::new(value), list)),
        1 => value,
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let operands = (
            select(vec![BinaryOp::And, BinaryOp::Or]),
            inner.clone(),
            inner.clone(),
        );
        prop_oneof![
            1 => inner.prop_map(Expr::not),
            3 => operands.prop_map(|(op, left, right)| binary(op, left, right)),
        ]
    })
    .boxed()
}

/// Conditions and an order that a declared index may serve: its first fields fixed, a range or a list behind them, and an order by
/// the rest. Sometimes with a further condition, or without one of them, so that it serves only almost.
fn indexed(schema: &TableSchema) -> BoxedStrategy<FilterAndOrder> {
    let schema = schema.clone();
    select(schema.indexes.clone())
        .prop_flat_map(move |index| {
            let constant = |field: &String| {
                let ty = schema.field(field).cloned().unwrap_or(FieldType::Json);
                prop_oneof![9 => literal_for(&ty), 1 => literal()].prop_map(Expr::Literal)
            };
            let constants: Vec<_> = index
                .fields
                .iter()
                .map(|field| proptest::collection::vec(constant(field), 3..=3))
                .collect();
            let shape = (
                0..=index.fields.len(),
                0..6_usize,
                0..=index.fields.len(),
                select(vec![Direction::Ascending, Direction::Descending]),
                option::weighted(0.2, expr(&schema)),
            );
            (Just(index), constants, shape)
        })
        .prop_map(
            |(index, constants, (equal, then, ordered, direction, further))| {
                let member = |field: &String| Expr::Field(FieldPath::new(field));
                let mut all: Vec<Expr> = Vec::new();
                for (place, (field, values)) in index.fields.iter().zip(constants).enumerate() {
                    let mut values = values.into_iter();
                    let (Some(a), Some(b), Some(c)) = (values.next(), values.next(), values.next())
                    else {
                        continue;
                    };
                    let compare = |op, value| binary(op, member(field), value);
                    match (place.cmp(&equal), then) {
                        (Ordering::Less, _) => all.push(compare(BinaryOp::Eq, a)),
                        (Ordering::Equal, 0) => {
                            all.extend([compare(BinaryOp::Ge, a), compare(BinaryOp::Lt, b)]);
                        }
                        (Ordering::Equal, 1) => all.push(compare(BinaryOp::Gt, a)),
                        (Ordering::Equal, 2) => all.push(compare(BinaryOp::Le, a)),
                        (Ordering::Equal, 3) => {
                            all.push(Expr::In(Box::new(member(field)), vec![a, b, c]));
                        }
                        (Ordering::Equal, 4) => {
                            all.push(compare(BinaryOp::Eq, a).or(compare(BinaryOp::Eq, b)));
                        }
                        _ => {}
                    }
                }
                let order = index.fields.iter().skip(ordered);
                let order = order
                    .map(|field| (FieldPath::new(field), direction))
                    .collect();
                let filter = all.into_iter().chain(further).reduce(Expr::and);
                (filter, order)
            },
        )
        .boxed()
}

/// A query: filter, order and window, some bound to a part of the records. Its pages are small, so that most results have several.
pub fn query(schema: &TableSchema) -> BoxedStrategy<Query> {
    let term = (
        path(schema),
        select(vec![Direction::Ascending, Direction::Descending]),
    );
    let order = proptest::collection::vec(term, 0..=2);
    let any = (option::of(expr(schema)), order);
    let conditions = if schema.indexes.is_empty() {
        any.boxed()
    } else {
        prop_oneof![any, indexed(schema)].boxed()
    };
    let window = (
        prop_oneof![2 => Just(0), 1 => 0..4u64],
        option::of(0..8u64),
        option::of(1..4u32),
    );
    let within = option::weighted(0.3, expr(schema));
    (conditions, within, window)
        .prop_map(|((filter, order), within, (skip, top, page))| {
            let mut query = Query::all().skip(skip);
            query.filter = filter;
            query.within = within;
            query.top = top;
            query.page = page;
            order
                .into_iter()
                .fold(query, |query, (path, direction)| match direction {
                    Direction::Ascending => query.order_by(path),
                    Direction::Descending => query.order_by_desc(path),
                })
        })
        .boxed()
}
