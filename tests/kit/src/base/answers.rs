//! What a genuine server answers: the Toolkit's, over EF Core and SQLite, to 129 filters on 120 rows.

use serde::Deserialize;
use serde_json::value::RawValue;
use synctable_core::query::Query;
use synctable_core::query::odata::parse_filter;
use synctable_core::{FieldType, Record, TableSchema};

use crate::Place;
use crate::fixture::{declare, put, store_of, table};

/// One line: a row of the table, or a filter and what the server says of it.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    row: Option<&'a RawValue>,
    filter: Option<String>,
    ids: Option<Vec<String>>,
    status: Option<u16>,
}

/// Where we answer otherwise, and why.
const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "EF Core cannot say it in SQLite's words and refuses it; here it means what OData says",
        &[
            "round(amount) eq 3",
            "round(amount) eq 2",
            "concat(concat(title,', '),mood) eq 'Alpha, Calm'",
            "year(when) eq 2026",
            "year(when) eq 2025",
            "month(when) eq 12",
            "day(when) eq 29",
            "hour(when) eq 22",
            "hour(when) eq 0",
            "minute(when) eq 30",
            "second(when) eq 59",
            "at eq 12:00:00",
            "at gt cast(12:00:00,Edm.TimeOfDay)",
            "hour(at) eq 23",
            "minute(at) eq 59",
            "second(at) eq 59",
            "date(when) eq 2024-02-29",
            "time(when) eq 12:00:00",
            "mood gt 'Calm'",
            "now() gt when",
            "mindatetime() lt when",
            "due lt now()",
        ],
    ),
    (
        "a value of another type is refused there; here it is unequal to all, as members need not have one type",
        &[
            "rating eq 'x'",
            "title eq 5",
            "startswith(rating,'x')",
            "length(rating) eq 1",
        ],
    ),
    (
        "SQLite's LIKE takes ASCII letters of either case for the same; OData does not",
        &["startswith(title,'al')"],
    ),
    (
        "SQLite's lower and upper change ASCII letters alone; here all letters",
        &[
            "tolower(title) eq 'ärger'",
            "toupper(title) eq 'STRASSE'",
            "toupper(title) eq 'STRAßE'",
        ],
    ),
];

/// The table as the genuine server declares it.
pub fn toolkit_schema() -> TableSchema {
    let words = ["Calm", "Happy", "Angry"].map(str::to_owned).to_vec();
    TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("complete", FieldType::Boolean)
        .with_field("rating", FieldType::Integer)
        .with_field("big", FieldType::Integer)
        .with_field("price", FieldType::Number)
        .with_field("amount", FieldType::Number)
        .with_field("due", FieldType::Date)
        .with_field("at", FieldType::Time)
        .with_field("when", FieldType::DateTime)
        .with_field("uid", FieldType::String)
        .with_field("mood", FieldType::Enum(words))
}

/// The rows of the genuine server's table.
pub fn toolkit_rows() -> Vec<Record> {
    let rows = lines().into_iter().filter_map(|line| line.row);
    rows.map(|row| Record::from_json(row.get()).expect("a record"))
        .collect()
}

/// What the genuine server says of a filter.
#[derive(Debug)]
pub struct ToolkitAnswer {
    /// The filter.
    pub filter: String,
    /// The ids that it found; `None` where it refused the filter.
    pub ids: Option<Vec<String>>,
    /// Why we answer otherwise, if we do.
    pub why_not: Option<&'static str>,
}

/// What the genuine server says of each filter.
pub fn toolkit_answers() -> Vec<ToolkitAnswer> {
    let answers = lines().into_iter().filter_map(|line| {
        let filter = line.filter?;
        assert!(
            line.ids.is_some() || line.status.is_some(),
            "{filter}: no answer"
        );
        let why = DIFFERENCES
            .iter()
            .find(|(_, filters)| filters.contains(&filter.as_str()));
        Some(ToolkitAnswer {
            filter,
            ids: line.ids,
            why_not: why.map(|(why, _)| *why),
        })
    });
    answers.collect()
}

fn lines() -> Vec<Line<'static>> {
    let text = include_str!("toolkit-ef-answers.jsonl");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line"))
        .collect()
}

/// Filters find what they find at a genuine server, but where we say why not.
pub async fn filters_find_what_the_toolkit_finds(harness: &dyn Place) {
    let name = table("answers");
    let schema = toolkit_schema();
    let store = store_of(harness, &declare(&name, schema.clone())).await;
    put(&store, &name, &toolkit_rows()).await;
    let mut wrong = Vec::new();
    for answer in toolkit_answers() {
        let ToolkitAnswer {
            filter,
            ids: expected,
            why_not: why,
        } = answer;
        let found = match parse_filter(&filter) {
            Err(_) => None,
            Ok(expr) => {
                let query = Query::all().filter(expr).named(&schema).page(200);
                match query.check_fields(&schema) {
                    Err(_) => None,
                    Ok(()) => {
                        let page = store.query(&name, &query).await.expect("an answer");
                        Some(
                            page.records
                                .iter()
                                .map(|record| record.id().to_string())
                                .collect(),
                        )
                    }
                }
            }
        };
        if (found == expected) == why.is_some() {
            wrong.push(format!(
                "{filter}: here {found:?}, there {expected:?}, {why:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
