//! The bodies of changes: members as the text they are kept as.

use std::collections::HashMap;

use synctable_core::transport::{Change, TransportError, TransportErrorKind};
use synctable_core::{Record, RecordId};

/// The whole record as a JSON object: its id, `system` (further members as text), then all its own members. The
/// version goes into `If-Match`, and the server sets the other system properties.
pub(super) fn whole(change: &Change, system: &str) -> Result<String, TransportError> {
    let record = record(change)?;
    let inner = record
        .body()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_default()
        .trim();
    let comma = if inner.is_empty() { "" } else { "," };
    Ok(format!("{{{}{system}{comma}{inner}}}", id(&change.id)))
}

/// The members that go alone, with their values. The record is named by the path.
pub(super) fn members(change: &Change, names: &[String]) -> Result<String, TransportError> {
    Ok(record(change)?.to_json_selected(names))
}

/// What a partial update must hold, so that the record at the server becomes that of the change; `None` where that is nothing.
/// Where the change names no version, the server's record need not be its base, and every member is sent.
pub(super) fn changed(change: &Change) -> Result<Option<String>, TransportError> {
    let record = record(change)?;
    let base = change
        .base
        .as_ref()
        .filter(|base| change.if_match.is_some() && !base.is_deleted());
    let had: HashMap<_, _> = base.map(Record::members).into_iter().flatten().collect();
    let members = record.members();
    let mut out = format!("{{{}", id(&change.id));
    let start = out.len();
    for (name, value) in &members {
        let old = had.get(name).copied();
        if old == Some(*value) || *value == "null" && base.is_some() && old.is_none() {
            continue;
        }
        push(&mut out, name, value);
    }
    let kept: HashMap<_, _> = members.into_iter().collect();
    let gone = base.map(Record::members).into_iter().flatten();
    for (name, value) in gone.filter(|(name, _)| !kept.contains_key(name)) {
        if value != "null" {
            push(&mut out, &name, "null");
        }
    }
    let empty = out.len() == start;
    out.push('}');
    Ok((!empty).then_some(out))
}

fn push(out: &mut String, name: &str, value: &str) {
    out.push(',');
    out.push_str(&text(name));
    out.push(':');
    out.push_str(value);
}

/// The first member, which names the record.
fn id(id: &RecordId) -> String {
    format!("\"id\":{}", text(id.as_str()))
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn record(change: &Change) -> Result<&Record, TransportError> {
    change.record.as_ref().ok_or_else(|| {
        let message = format!("the change to '{}' has no record to send", change.id);
        TransportError::new(TransportErrorKind::BadRequest, message)
    })
}

#[cfg(test)]
mod tests {
    use synctable_core::Version;
    use synctable_core::transport::ChangeKind;

    use super::*;

    fn change(json: &str) -> Change {
        let record = Record::from_json(json).unwrap();
        Change::new(ChangeKind::Replace, record.id().clone()).with_record(record)
    }

    /// What is sent of `now` where the server has `base`.
    fn sent(base: &str, now: &str) -> Option<String> {
        let base = Record::from_json(base).unwrap();
        let change = change(now)
            .with_if_match(Some(Version::new("v")))
            .with_base(Some(base));
        changed(&change).unwrap()
    }

    #[test]
    fn bodies_hold_the_id_and_all_members_but_no_system_properties() {
        let json = r#"{"id":"a'é","version":"v","createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","deleted":true,"n":1.50,"x":null}"#;
        assert_eq!(
            whole(&change(json), "").unwrap(),
            r#"{"id":"a'é","n":1.50,"x":null}"#
        );
        assert_eq!(
            whole(&change(json), ",\"deleted\":false").unwrap(),
            r#"{"id":"a'é","deleted":false,"n":1.50,"x":null}"#
        );
        assert_eq!(
            whole(&change(r#"{"id":"a"}"#), "").unwrap(),
            r#"{"id":"a"}"#
        );
    }

    #[test]
    fn partial_updates_hold_what_differs() {
        for (base, now, expected) in [
            (
                r#"{"id":"a","x":1,"y":2}"#,
                r#"{"id":"a","x":1,"y":3}"#,
                Some(r#"{"id":"a","y":3}"#),
            ),
            (
                r#"{"id":"a","x":1}"#,
                r#"{"id":"a"}"#,
                Some(r#"{"id":"a","x":null}"#),
            ),
            (
                r#"{"id":"a"}"#,
                r#"{"id":"a","q\"":"é"}"#,
                Some(r#"{"id":"a","q\"":"é"}"#),
            ),
            (r#"{"id":"a","x":null}"#, r#"{"id":"a","y":null}"#, None),
            (
                r#"{"id":"a","x":{"y":1}}"#,
                r#"{"id":"a","x":{"y":1}}"#,
                None,
            ),
            (r#"{"id":"a"}"#, r#"{"id":"a"}"#, None),
        ] {
            assert_eq!(sent(base, now).as_deref(), expected, "{base} {now}");
        }
    }

    #[test]
    fn without_a_version_everything_is_sent() {
        let base = Record::from_json(r#"{"id":"a","x":1}"#).unwrap();
        let change = change(r#"{"id":"a","x":1}"#).with_base(Some(base));
        assert_eq!(
            changed(&change).unwrap().as_deref(),
            Some(r#"{"id":"a","x":1}"#)
        );
        let tombstone = Record::from_json(r#"{"id":"a","deleted":true,"x":1}"#).unwrap();
        let change = change
            .with_if_match(Some(Version::new("v")))
            .with_base(Some(tombstone));
        assert_eq!(
            changed(&change).unwrap().as_deref(),
            Some(r#"{"id":"a","x":1}"#)
        );
    }

    #[test]
    fn a_write_without_a_record_is_an_error() {
        let bare = Change::new(ChangeKind::Insert, RecordId::new("a").unwrap());
        assert!(whole(&bare, "").is_err() && changed(&bare).is_err());
    }
}
