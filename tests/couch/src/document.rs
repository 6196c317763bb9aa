//! Documents and records: `_id` is the id, `_rev` the version, everything else the members.

use serde::Deserialize;
use serde_json::value::RawValue;
use synctable_core::transport::{FeedChange, InvalidRow};
use synctable_core::{Record, RecordId, SystemProperties, Version};

/// A page of `_changes`. Positions are opaque: numbers once, long texts today.
#[derive(Debug, Deserialize)]
pub(crate) struct Changes<'a> {
    #[serde(borrow)]
    pub(crate) results: Vec<ChangeRow<'a>>,
    #[serde(borrow)]
    pub(crate) last_seq: &'a RawValue,
    /// How many changes follow.
    pub(crate) pending: u64,
}

/// What became of one document.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangeRow<'a> {
    id: String,
    #[serde(default)]
    deleted: bool,
    #[serde(borrow)]
    doc: Option<&'a RawValue>,
}

impl ChangeRow<'_> {
    pub(crate) fn is_design(&self) -> bool {
        is_design(&self.id)
    }
}

/// A page of `_all_docs`.
#[derive(Debug, Deserialize)]
pub(crate) struct AllDocs<'a> {
    #[serde(borrow)]
    pub(crate) rows: Vec<DocRow<'a>>,
}

/// One document.
#[derive(Debug, Deserialize)]
pub(crate) struct DocRow<'a> {
    pub(crate) id: String,
    #[serde(borrow)]
    pub(crate) doc: &'a RawValue,
}

/// The answer to a write.
#[derive(Debug, Deserialize)]
pub(crate) struct Written {
    pub(crate) rev: String,
}

/// An error.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Refused {
    #[serde(default)]
    pub(crate) reason: String,
}

#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "_rev")]
    rev: String,
}

/// True for documents that are the server's own.
pub(crate) fn is_design(id: &str) -> bool {
    id.starts_with("_design/") || id.starts_with("_local/")
}

/// A change, or why its row is none.
pub(crate) fn change_of(row: &ChangeRow<'_>) -> Result<FeedChange, InvalidRow> {
    let invalid = |reason: &str| InvalidRow::new(Some(row.id.clone()), reason);
    let id = RecordId::new(&row.id).map_err(|error| invalid(&error.to_string()))?;
    let doc = row.doc.map(RawValue::get);
    if !row.deleted {
        let doc = doc.ok_or_else(|| invalid("it comes without its document"))?;
        return record_of(&row.id, doc).map(FeedChange::Row);
    }
    let head: Option<Head> = doc.and_then(|doc| serde_json::from_str(doc).ok());
    Ok(match head {
        // Its revision is what an undelete is based on.
        Some(head) => FeedChange::Row(tombstone(id, &head.rev)),
        None => FeedChange::Deleted(id),
    })
}

/// A document as a record, or why it is none.
pub(crate) fn record_of(id: &str, doc: &str) -> Result<Record, InvalidRow> {
    let invalid = |reason: String| InvalidRow::new(Some(id.to_owned()), reason);
    let head: Head = serde_json::from_str(doc).map_err(|error| invalid(error.to_string()))?;
    let id = RecordId::new(id).map_err(|error| invalid(error.to_string()))?;
    let whole = Record::new(id.clone(), doc).map_err(|error| invalid(error.to_string()))?;
    // The members as they are written, so that a record that is read back is the one that was sent.
    let members = whole.members();
    let members = members.iter().filter(|(name, _)| !name.starts_with('_'));
    let members = members.map(|(name, value)| format!("{}:{value}", serde_json::json!(name)));
    let members: Vec<String> = members.collect();
    let record = Record::new(id, &format!("{{{}}}", members.join(",")));
    let record = record.map_err(|error| invalid(error.to_string()))?;
    Ok(at(record, &head.rev))
}

/// The record at a revision.
pub(crate) fn at(record: Record, rev: &str) -> Record {
    let mut system = record.system().clone();
    system.version = Some(Version::new(rev));
    system.deleted = false;
    record.with_system(system)
}

/// A deleted document.
fn tombstone(id: RecordId, rev: &str) -> Record {
    let system = SystemProperties {
        version: Some(Version::new(rev)),
        deleted: true,
        ..SystemProperties::default()
    };
    Record::from_stored(id, system, "{}")
}
