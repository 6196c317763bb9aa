//! The Datasync Toolkit's dialect: PUT of whole records, `$count`, newer query spelling, no version header. Its own servers know no PATCH;
//! one that announces it gets the members that changed alone.

use http::Method;
use synctable_core::RecordId;
use synctable_core::query::RemoteQuery;
use synctable_core::query::odata::Spelling;
use synctable_core::transport::{Change, ChangeKind, TransportError};

use super::{Call, Quirks, Wire, body, spelled};

pub(super) const INCLUDE_DELETED: &str = "__includedeleted=true";

#[derive(Debug)]
pub(super) struct Toolkit;

impl Wire for Toolkit {
    fn quirks(&self) -> Quirks {
        Quirks {
            headers: &[],
            absent_link_ends: true,
            most_rows: None,
            fails_on_filters: false,
            sends_members: true,
        }
    }

    fn change(&self, change: &Change) -> Result<Option<Call>, TransportError> {
        let call = match change.kind {
            ChangeKind::Insert => Call::new(Method::POST, None).with_body(body::whole(change, "")?),
            ChangeKind::Replace => {
                // Nothing else keeps a part of a record from being put over another one.
                let part = change.members.as_deref();
                match part.filter(|_| change.if_match.is_some()) {
                    Some(names) => Call::new(Method::PATCH, Some(&change.id))
                        .with_body(body::members(change, names)?),
                    None => {
                        Call::new(Method::PUT, Some(&change.id)).with_body(body::whole(change, "")?)
                    }
                }
            }
            ChangeKind::Undelete => Call::new(Method::PUT, Some(&change.id))
                .with_query(INCLUDE_DELETED)
                .with_body(body::whole(change, ",\"deleted\":false")?),
            ChangeKind::Delete => Call::new(Method::DELETE, Some(&change.id)),
        };
        Ok(Some(call))
    }

    fn get(&self, id: &RecordId) -> Result<Call, TransportError> {
        Ok(Call::new(Method::GET, Some(id)).with_query(INCLUDE_DELETED))
    }

    fn query(&self, query: &RemoteQuery, top: Option<u64>) -> Result<String, TransportError> {
        spelled(query, top, Spelling::V4)
    }
}

#[cfg(test)]
mod tests {
    use synctable_core::{Record, Version};

    use super::*;

    #[test]
    fn members_go_alone_on_the_condition_of_a_version() {
        let record = Record::from_json(r#"{"id":"a","n":1.50,"t\"":null,"x":1}"#).unwrap();
        let names = vec!["t\"".to_owned(), "n".to_owned()];
        let change = Change::new(ChangeKind::Replace, record.id().clone())
            .with_record(record)
            .with_members(Some(names));
        let call = |change: &Change| Toolkit.change(change).unwrap().unwrap();
        assert_eq!(call(&change).method, Method::PUT);
        let change = change.with_if_match(Some(Version::new("v")));
        let sent = call(&change);
        assert_eq!(sent.body.as_deref(), Some(r#"{"t\"":null,"n":1.50}"#));
        assert_eq!((sent.method, sent.id), (Method::PATCH, Some(change.id)));
    }

    #[test]
    fn a_deleted_record_is_put_back_as_a_whole() {
        let record = Record::from_json(r#"{"id":"a","deleted":true,"n":1}"#).unwrap();
        let change = Change::new(ChangeKind::Undelete, record.id().clone()).with_record(record);
        let call = Toolkit.change(&change).unwrap().unwrap();
        assert_eq!(
            call.body.as_deref(),
            Some(r#"{"id":"a","deleted":false,"n":1}"#)
        );
        assert_eq!(
            (call.method, call.query.as_str()),
            (Method::PUT, "__includedeleted=true")
        );
    }
}
