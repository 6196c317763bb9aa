//! Records of twelve members (four of them system properties), about 330 bytes of JSON, with random ids and index keys.

use synctable::{FieldType, Schema, TableName, TableSchema, Timestamp};

/// A record as plain Rust values, ready to be bound.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub version: String,
    pub updated_at: i64,
    pub name: String,
    pub category: String,
    pub quantity: i64,
    pub price: f64,
    pub done: bool,
    pub due: String,
    pub note: String,
    pub tag: String,
}

/// A small generator, so that every run has the same data.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub fn item(number: u64, numbers: &mut Numbers) -> Item {
    let random = numbers.next();
    Item {
        id: format!("{:016x}{:016x}", numbers.next(), numbers.next()),
        version: format!("AAAA{number:012}="),
        updated_at: 1_700_000_000_000 + i64::try_from(number).unwrap(),
        name: format!("item number {number} of the catalogue"),
        category: format!("category-{:03}", random % 1000),
        quantity: i64::try_from(random >> 40).unwrap() % 10_000,
        price: f64::from(u32::try_from(random % 100_000).unwrap()) / 4.0,
        done: random.is_multiple_of(3),
        due: format!("2026-{:02}-{:02}", random % 12 + 1, random % 28 + 1),
        note: format!("a longer text that nobody indexes, {random:016x}, with some words"),
        tag: format!("t{}", random % 50),
    }
}

pub fn items(count: u64) -> Vec<Item> {
    let mut numbers = Numbers::new(42);
    (0..count)
        .map(|number| item(number, &mut numbers))
        .collect()
}

impl Item {
    pub fn members(&self) -> String {
        format!(
            r#""name":"{}","category":"{}","quantity":{},"price":{:?},"done":{},"due":"{}","note":"{}","tag":"{}""#,
            self.name,
            self.category,
            self.quantity,
            self.price,
            self.done,
            self.due,
            self.note,
            self.tag
        )
    }

    /// As a device writes it.
    pub fn local_json(&self) -> String {
        format!(r#"{{"id":"{}",{}}}"#, self.id, self.members())
    }

    /// As a server sends it.
    pub fn server_json(&self) -> String {
        let time = Timestamp::from_millis(self.updated_at);
        format!(
            r#"{{"id":"{}","version":"{}","updatedAt":"{time}","deleted":false,{}}}"#,
            self.id,
            self.version,
            self.members()
        )
    }
}

pub fn table() -> TableName {
    TableName::new("items").unwrap()
}

/// The table with its eight fields and `indexes` of them.
pub fn schema(indexes: &[&str]) -> Schema {
    let table_schema = TableSchema::new()
        .with_field("name", FieldType::String)
        .with_field("category", FieldType::String)
        .with_field("quantity", FieldType::Integer)
        .with_field("price", FieldType::Number)
        .with_field("done", FieldType::Boolean)
        .with_field("due", FieldType::Date)
        .with_field("note", FieldType::String)
        .with_field("tag", FieldType::String);
    let table_schema = indexes
        .iter()
        .fold(table_schema, |schema, field| schema.with_index([*field]));
    Schema::new().with_table(table(), table_schema)
}
