//! Records that a table may meet.

use std::collections::BTreeMap;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;
use synctable_core::{
    FieldType, Record, RecordId, SystemProperties, TableSchema, Timestamp, Version,
};

use super::value::{fitting, json};

/// Members that are never declared, some of them close to declared or system ones.
pub(crate) const FREE_NAMES: [&str; 7] = ["free", "obj", "Title", "ID", "__x", "", "a/b"];

/// One of few ids, some of which differ only in case.
pub fn id() -> BoxedStrategy<RecordId> {
    let ids = [
        "a", "A", "b", "ab", "a b", "10", "9", "%", "_", "it's", "é", "e\u{301}", "😀",
    ];
    select(ids.to_vec()).prop_map(RecordId::system).boxed()
}

/// Any system properties.
pub fn system() -> BoxedStrategy<SystemProperties> {
    let version = select(vec!["", "1", "AAAAAAAAB9E=", "a\"b", "é"]).prop_map(Version::new);
    let time = || {
        let ticks = prop_oneof![Just(0), Just(17_092_062_005_000_000), any::<i64>()];
        option::of(ticks.prop_map(Timestamp::from_ticks))
    };
    (option::of(version), time(), time(), any::<bool>())
        .prop_map(
            |(version, created_at, updated_at, deleted)| SystemProperties {
                version,
                created_at,
                updated_at,
                deleted,
            },
        )
        .boxed()
}

/// A record of a table: members that are missing, null, of their declared type, of another, and undeclared.
pub fn record(schema: &TableSchema) -> BoxedStrategy<Record> {
    let mut members: Vec<BoxedStrategy<Option<(String, String)>>> = Vec::new();
    let declared = schema.fields.iter().map(|(name, ty)| (name, ty.clone()));
    for (name, ty) in declared.chain(FREE_NAMES.map(|name| (name, FieldType::Json))) {
        let name = name.to_owned();
        let value = prop_oneof![1 => Just("null".to_owned()), 8 => fitting(&ty), 2 => json()];
        members.push(
            option::weighted(0.8, value)
                .prop_map(move |value| Some((name.clone(), value?)))
                .boxed(),
        );
    }
    let count = members.len();
    let order = subsequence((0..count).collect::<Vec<_>>(), count).prop_shuffle();
    (id(), system(), members, order)
        .prop_map(|(id, system, members, order)| {
            let members = order.into_iter().filter_map(|at| members.get(at)?.as_ref());
            let texts: Vec<String> = members
                .map(|(name, value)| format!("{}:{value}", json!(name)))
                .collect();
            let body = format!("{{{}}}", texts.join(","));
            let record = Record::new(id.clone(), &body);
            debug_assert!(record.is_ok(), "not a record: {body}");
            record
                .unwrap_or_else(|_| Record::from_stored(id, SystemProperties::default(), "{}"))
                .with_system(system)
        })
        .boxed()
}

/// Up to `most` records of a table with different ids, in the order of their ids.
pub fn records(schema: &TableSchema, most: usize) -> BoxedStrategy<Vec<Record>> {
    proptest::collection::vec(record(schema), 0..=most)
        .prop_map(|records| {
            let by_id: BTreeMap<RecordId, Record> = records
                .into_iter()
                .map(|record| (record.id().clone(), record))
                .collect();
            by_id.into_values().collect()
        })
        .boxed()
}
