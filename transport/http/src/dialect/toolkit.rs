//! The Datasync Toolkit's dialect: PUT of whole records, `$count`, newer query spelling, no version header.

use http::Method;
use synctable_core::RecordId;
use synctable_core::query::Query;
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
        }
    }

    fn change(&self, change: &Change) -> Result<Option<Call>, TransportError> {
        let call = match change.kind {
            ChangeKind::Insert => Call::new(Method::POST, None).with_body(body::whole(change, "")?),
            ChangeKind::Replace => {
                Call::new(Method::PUT, Some(&change.id)).with_body(body::whole(change, "")?)
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

    fn query(&self, query: &Query, top: Option<u64>) -> Result<String, TransportError> {
        spelled(query, top, Spelling::V4)
    }
}

#[cfg(test)]
mod tests {
    use synctable_core::Record;

    use super::*;

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
