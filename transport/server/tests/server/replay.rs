//! Exchanges recorded at the genuine node server of protocol version 2, played again.
//!
//! `exchanges.json` holds what was asked and answered there, and under `ours` where this server answers otherwise on
//! purpose: each such line belongs to a row of the table in `DIALECTS.md`. Ids that the server gives, versions and times
//! differ by nature; what they were there stands for what they are here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use synctable_core::{Declaration, Declarations, FieldType};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;

use crate::common::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    name: String,
    method: String,
    target: String,
    headers: HashMap<String, String>,
    body: Option<String>,
    /// The body is a record of so many bytes.
    body_of_bytes: Option<usize>,
    #[serde(flatten)]
    genuine: Recorded,
    ours: Option<Ours>,
}

#[derive(Deserialize)]
struct Recorded {
    status: u16,
    /// The version in the `ETag`; weak tags are not recorded.
    etag: Option<String>,
    #[serde(default)]
    link: bool,
    /// The body, if it was JSON and short enough to be recorded whole.
    answer: Option<Value>,
    /// The body was a list of rows.
    #[serde(default)]
    rows: bool,
}

/// Where this server answers otherwise: the reason, a row of the table, and what is different.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    why: String,
    status: Option<u16>,
    link: Option<bool>,
    answer: Option<Value>,
    #[serde(default)]
    rows: bool,
}

/// What ids, versions and times of the recording are here.
#[derive(Default)]
struct Here {
    ids: HashMap<String, String>,
    /// By recorded id and version.
    versions: HashMap<(String, String), String>,
    times: HashMap<String, String>,
}

impl Here {
    fn id(&self, recorded: &str) -> String {
        let here = self.ids.get(recorded);
        here.cloned().unwrap_or_else(|| recorded.to_owned())
    }

    /// A request's text with the ids and times of here.
    fn text(&self, recorded: &str) -> String {
        let known = self.ids.iter().chain(&self.times);
        known.fold(recorded.to_owned(), |text, (there, here)| {
            text.replace(there, here)
        })
    }

    fn version(&self, id: &str, recorded: &str) -> String {
        let key = (id.to_owned(), recorded.to_owned());
        let here = self.versions.get(&key);
        here.cloned().unwrap_or_else(|| recorded.to_owned())
    }

    /// Compares an answer with the recorded one and learns what names the same things.
    fn compare(&mut self, there: &Value, here: &Value, at: &str) {
        match (there, here) {
            (Value::Array(there), Value::Array(here)) => {
                assert_eq!(there.len(), here.len(), "{at}: {here:?}");
                for (there, here) in there.iter().zip(here) {
                    self.compare(there, here, at);
                }
            }
            (Value::Object(there), Value::Object(here)) => {
                if there.contains_key("error") {
                    let error = here.get("error").and_then(Value::as_str);
                    assert!(error.is_some_and(|text| !text.is_empty()), "{at}: {here:?}");
                    return;
                }
                let id = there.get("id").and_then(Value::as_str).unwrap_or_default();
                for (name, there) in there {
                    let here = here
                        .get(name)
                        .unwrap_or_else(|| panic!("{at}: no '{name}' in {here:?}"));
                    match (name.as_str(), there.as_str(), here.as_str()) {
                        ("id", Some(there), Some(here)) => {
                            let known = self.id(there);
                            if known != here {
                                assert_eq!(known, there, "{at}: {there} is {known} and {here}");
                                self.ids.insert(there.to_owned(), here.to_owned());
                            }
                        }
                        ("version", Some(there), Some(here)) => {
                            let key = (id.to_owned(), there.to_owned());
                            self.versions.insert(key, here.to_owned());
                        }
                        ("createdAt" | "updatedAt", Some(there), Some(here)) => {
                            assert_eq!(here.len(), there.len(), "{at}: {name} {here}");
                            assert!(here.ends_with('Z'), "{at}: {name} {here}");
                            self.times.insert(there.to_owned(), here.to_owned());
                        }
                        _ => self.compare(there, here, &format!("{at}: {name}")),
                    }
                }
                // Declared fields are there from the start; there, columns come with the first record that has them.
                let more: HashSet<_> = here
                    .iter()
                    .filter(|(name, value)| !there.contains_key(*name) && !value.is_null())
                    .collect();
                assert!(more.is_empty(), "{at}: also {more:?}");
            }
            _ => assert_eq!(here, there, "{at}"),
        }
    }
}

async fn server() -> TableServer {
    let rows = Declaration::new()
        .with_soft_delete()
        .with_field("text", FieldType::String)
        .with_field("complete", FieldType::Boolean)
        .with_field("rank", FieldType::Integer)
        .with_field("extra", FieldType::Number)
        .with_field("when", FieldType::DateTime);
    TableServer::builder(Arc::new(MemoryStore::new()))
        .schema(Declarations::new().with_table(table("todoitem"), rows))
        .build()
        .await
        .unwrap()
}

/// The id in the path of a target.
fn id_of(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    path.strip_prefix("/tables/todoitem/").unwrap_or_default()
}

#[tokio::test]
async fn the_recorded_exchanges_have_the_answers_recorded_or_listed() {
    let exchanges: Vec<Exchange> = serde_json::from_str(include_str!("exchanges.json")).unwrap();
    let page = include_str!("../../DIALECTS.md");
    let server = server().await;
    let mut here = Here::default();
    assert_eq!(exchanges.len(), 116, "no exchange is left out");
    for exchange in exchanges {
        let name = &exchange.name;
        let headers: Vec<(String, String)> = exchange
            .headers
            .iter()
            .map(|(name, value)| match name.as_str() {
                "if-match" | "if-none-match" if value != "*" => {
                    let version = here.version(id_of(&exchange.target), value.trim_matches('"'));
                    (name.clone(), format!("\"{version}\""))
                }
                _ => (name.clone(), value.clone()),
            })
            .collect();
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = match (&exchange.body, exchange.body_of_bytes) {
            (Some(body), _) => here.text(body),
            (None, Some(bytes)) => format!(r#"{{"id":"big","text":"{}"}}"#, "x".repeat(bytes)),
            (None, None) => String::new(),
        };
        let target = here.text(&exchange.target);
        let answer = send(&server, &exchange.method, &target, &headers, &body).await;

        let (genuine, ours) = (&exchange.genuine, exchange.ours.as_ref());
        if let Some(ours) = ours {
            let row = format!("| {} |", ours.why);
            assert!(page.contains(&row), "{name}: '{}' is not listed", ours.why);
        }
        let status = ours.and_then(|ours| ours.status).unwrap_or(genuine.status);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        let link = ours.and_then(|ours| ours.link).unwrap_or(genuine.link);
        assert_eq!(answer.header("link").is_some(), link, "{name}: {answer:?}");
        let (answers, rows) = match ours {
            Some(ours) if ours.rows || ours.answer.is_some() || ours.status.is_some() => {
                (&ours.answer, ours.rows)
            }
            _ => (&genuine.answer, genuine.rows),
        };
        if let Some(expected) = answers {
            here.compare(expected, &answer.json(), name);
        } else if rows {
            assert!(answer.json().is_array(), "{name}: {answer:?}");
        }
        if genuine.etag.is_some() && ours.is_none() {
            let tag = format!("\"{}\"", answer.version());
            assert_eq!(answer.header("etag"), Some(tag.as_str()), "{name}");
        }
    }
}
