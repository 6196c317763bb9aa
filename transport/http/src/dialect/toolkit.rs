//! The Datasync Toolkit's dialect: PUT of whole records, `$count`, newer query spelling, no version header.

use http::Method;
use synctable_core::RecordId;
use synctable_core::query::Query;
use synctable_core::query::odata::Spelling;
use synctable_core::transport::{Change, ChangeKind, TransportError, TransportErrorKind};

use super::{Call, Wire};

const INCLUDE_DELETED: &str = "__includedeleted=true";

#[derive(Debug)]
pub(super) struct Toolkit;

impl Wire for Toolkit {
    fn change(&self, change: &Change) -> Result<Call, TransportError> {
        Ok(match change.kind {
            ChangeKind::Insert => Call {
                body: Some(body(change, "")?),
                ..Call::new(Method::POST, None)
            },
            ChangeKind::Replace => Call {
                body: Some(body(change, "")?),
                ..Call::new(Method::PUT, Some(&change.id))
            },
            ChangeKind::Undelete => Call {
                query: INCLUDE_DELETED.to_owned(),
                body: Some(body(change, ",\"deleted\":false")?),
                ..Call::new(Method::PUT, Some(&change.id))
            },
            ChangeKind::Delete => Call::new(Method::DELETE, Some(&change.id)),
        })
    }

    fn get(&self, id: &RecordId) -> Call {
        Call {
            query: INCLUDE_DELETED.to_owned(),
            ..Call::new(Method::GET, Some(id))
        }
    }

    fn query(&self, query: &Query, top: Option<u64>) -> Result<String, TransportError> {
        let mut sent = query.clone();
        sent.top = top;
        sent.to_query_string(Spelling::V4)
            .map_err(|error| TransportError::new(TransportErrorKind::BadQuery, error.to_string()))
    }

    fn absent_link_ends(&self) -> bool {
        true
    }
}

/// The record as a JSON object: its id, `system` (further members as text), then all its own members. The
/// version goes into `If-Match`, and the server sets the other system properties.
fn body(change: &Change, system: &str) -> Result<String, TransportError> {
    let members = change.record.as_ref().and_then(|record| {
        let inner = record.body().strip_prefix('{')?.strip_suffix('}')?;
        Some(inner.trim())
    });
    let (Some(members), Ok(id)) = (members, serde_json::to_string(change.id.as_str())) else {
        let message = format!("the change to '{}' has no record to send", change.id);
        return Err(TransportError::new(TransportErrorKind::BadRequest, message));
    };
    let comma = if members.is_empty() { "" } else { "," };
    Ok(format!("{{\"id\":{id}{system}{comma}{members}}}"))
}

#[cfg(test)]
mod tests {
    use synctable_core::Record;

    use super::*;

    fn change(kind: ChangeKind, json: &str) -> Change {
        let record = Record::from_json(json).unwrap();
        Change::new(kind, record.id().clone()).with_record(record)
    }

    #[test]
    fn bodies_hold_the_id_and_all_members_but_no_system_properties() {
        let json = r#"{"id":"a'é","version":"v","updatedAt":"2026-01-01T00:00:00Z","deleted":true,"n":1.50,"x":null}"#;
        let call = Toolkit.change(&change(ChangeKind::Replace, json)).unwrap();
        assert_eq!(
            call.body.as_deref(),
            Some(r#"{"id":"a'é","n":1.50,"x":null}"#)
        );
        let call = Toolkit.change(&change(ChangeKind::Undelete, json)).unwrap();
        let body = r#"{"id":"a'é","deleted":false,"n":1.50,"x":null}"#;
        assert_eq!(call.body.as_deref(), Some(body));
        assert_eq!(
            (call.method, call.query.as_str()),
            (Method::PUT, "__includedeleted=true")
        );
    }

    #[test]
    fn a_record_without_members_is_its_id() {
        let call = Toolkit
            .change(&change(ChangeKind::Insert, r#"{"id":"a"}"#))
            .unwrap();
        assert_eq!(call.body.as_deref(), Some(r#"{"id":"a"}"#));
        assert_eq!((call.method, call.id), (Method::POST, None));
    }

    #[test]
    fn a_write_without_a_record_is_an_error() {
        let bare = Change::new(ChangeKind::Insert, RecordId::new("a").unwrap());
        assert!(Toolkit.change(&bare).is_err());
    }
}
