//! Declarations of tables.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use synctable_core::{FieldType, SYSTEM_PROPERTIES, TableSchema};

use super::value::ENUM_WORDS;

/// Names of fields that may be declared. No two differ only in case.
pub(crate) const NAMES: [&str; 12] = [
    "title",
    "count",
    "done",
    "due",
    "place",
    "rating",
    "größe",
    "with space",
    "it's",
    "a.b",
    "select",
    "$x",
];

/// Any type of a field.
pub fn field_type() -> BoxedStrategy<FieldType> {
    let words = subsequence(&ENUM_WORDS[..], 1..=ENUM_WORDS.len());
    prop_oneof![
        8 => select(vec![
            FieldType::String,
            FieldType::Integer,
            FieldType::Number,
            FieldType::Boolean,
            FieldType::Date,
            FieldType::Time,
            FieldType::DateTime,
            FieldType::Bytes,
            FieldType::GeoPoint,
            FieldType::Json,
        ]),
        2 => words.prop_map(|words| FieldType::Enum(words.into_iter().map(str::to_owned).collect())),
    ]
    .boxed()
}

/// A table with up to eight declared fields and up to two indexes; one in nine has none.
pub fn schema() -> BoxedStrategy<TableSchema> {
    subsequence(&NAMES[..], 0..=8)
        .prop_flat_map(|names| {
            let types = proptest::collection::vec(field_type(), names.len());
            let indexable: Vec<&str> = names.iter().copied().chain(SYSTEM_PROPERTIES).collect();
            let indexes = proptest::collection::hash_set(subsequence(indexable, 1..=2), 0..=2);
            (Just(names), types, indexes)
        })
        .prop_map(|(names, types, indexes)| {
            let fields = names.into_iter().zip(types);
            let table = fields.fold(TableSchema::new(), |table, (name, ty)| {
                table.with_field(name, ty)
            });
            indexes.into_iter().fold(table, TableSchema::with_index)
        })
        .boxed()
}
