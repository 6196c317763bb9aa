//! Azure Mobile Apps with protocol version 3: the Toolkit's verbs with a version header, and PATCH where a deleted record
//! comes back.

use http::Method;
use synctable_core::RecordId;
use synctable_core::query::Query;
use synctable_core::transport::{Change, ChangeKind, TransportError};

use super::toolkit::{INCLUDE_DELETED, Toolkit};
use super::{AGENT, Call, Habits, Wire, body};

#[derive(Debug)]
pub(super) struct Zumo3;

impl Wire for Zumo3 {
    fn habits(&self) -> Habits {
        Habits {
            headers: &[("zumo-api-version", "3.0.0"), ("x-zumo-version", AGENT)],
            ..Toolkit.habits()
        }
    }

    fn change(&self, change: &Change) -> Result<Option<Call>, TransportError> {
        if change.kind != ChangeKind::Undelete {
            return Toolkit.change(change);
        }
        let call = Call::new(Method::PATCH, Some(&change.id))
            .with_query(INCLUDE_DELETED)
            .with_body(body::whole(change, ",\"deleted\":false")?);
        Ok(Some(call))
    }

    fn get(&self, id: &RecordId) -> Result<Call, TransportError> {
        Toolkit.get(id)
    }

    fn query(&self, query: &Query, top: Option<u64>) -> Result<String, TransportError> {
        Toolkit.query(query, top)
    }
}
