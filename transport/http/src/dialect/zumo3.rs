//! Azure Mobile Apps with protocol version 3: the Toolkit's verbs with a version header, and PATCH where a deleted record
//! comes back. A PATCH keeps members that are left out, so a PUT of the whole follows where there are some.
//!
//! Updates are sent as its own clients send them, whole, unless the server announces otherwise: to a genuine one a PATCH is a JSON patch, which
//! some releases take in no other form (415), and which fails at a member that the class does not have, where a PUT leaves it out.

use std::collections::HashSet;

use http::Method;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{Change, ChangeKind, TransportError};
use synctable_core::{Record, RecordId};
use synctable_wire::header as names;

use super::toolkit::{INCLUDE_DELETED, Toolkit};
use super::{AGENT, Call, Quirks, RELATIVE_LINKS, Wire, body, follow_up};

#[derive(Debug)]
pub(super) struct Zumo3;

impl Wire for Zumo3 {
    fn quirks(&self) -> Quirks {
        Quirks {
            headers: &[
                (names::API_VERSION, names::API_VERSION_3),
                (names::CLIENT_VERSION, AGENT),
                RELATIVE_LINKS,
            ],
            ..Toolkit.quirks()
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

    fn may_have_rest(&self, change: &Change) -> bool {
        change.kind == ChangeKind::Undelete
    }

    fn rest(&self, change: &Change, server: &Record) -> Result<Option<Change>, TransportError> {
        let Some(record) = &change.record else {
            return Ok(None);
        };
        let sent: HashSet<_> = record.members().into_iter().map(|(name, _)| name).collect();
        let kept = |(name, value): &(_, &str)| *value != "null" && !sent.contains(name);
        let keeps = self.may_have_rest(change) && server.members().iter().any(kept);
        Ok(keeps.then(|| follow_up(change, server)))
    }

    fn get(&self, id: &RecordId) -> Result<Call, TransportError> {
        Toolkit.get(id)
    }

    fn query(&self, query: &RemoteQuery, top: Option<u64>) -> Result<String, TransportError> {
        Toolkit.query(query, top)
    }
}

#[cfg(test)]
mod tests {
    use synctable_core::Version;

    use super::*;

    #[test]
    fn members_that_were_left_out_are_taken_away_by_the_whole() {
        let record = Record::from_json(r#"{"id":"a","x":2}"#).unwrap();
        let change = Change::new(ChangeKind::Undelete, record.id().clone())
            .with_record(record)
            .with_if_match(Some(Version::new("1")));
        let rest = |back: &str| {
            let back = Record::from_json(back).unwrap();
            Zumo3.rest(&change, &back).unwrap()
        };
        assert_eq!(rest(r#"{"id":"a","version":"2","x":2,"y":null}"#), None);
        let rest = rest(r#"{"id":"a","version":"2","x":2,"y":1}"#).unwrap();
        assert_eq!(rest.if_match, Some(Version::new("2")));
        let call = Zumo3.change(&rest).unwrap().unwrap();
        assert_eq!(call.method, Method::PUT);
        assert_eq!(call.body.as_deref(), Some(r#"{"id":"a","x":2}"#));
    }
}
