//! Azure Mobile Apps with protocol version 2: PATCH of what changed, `$inlinecount`, the older query spelling.
//!
//! What its servers do otherwise than one would think, and what is done about it:
//!
//! * The answer to an insert of a taken id holds the row that was *sent*: it has no version, so the row is read.
//! * A deleted row is not shown by its id, and a change of it is answered as if there were none (404): rows are read by a
//!   query that shows deleted ones, too.
//! * A deleted row comes back by a POST without a body, which leaves its members: a PATCH follows.
//! * There is no PUT: a member that was taken away is sent as `null`, and a record of which nothing is known as all its members.
//! * A PATCH of nothing fails: what changes nothing is not sent.
//! * A filter that cannot be taken is answered by 500, like a failure of the server: the table is then asked without it.
//! * On SQLite, `startswith` and its like find nothing: before the first such filter it is asked for something that is there.
//! * The header `Link` names neither port nor path of the next page: it is not used.

use http::Method;
use synctable_core::query::odata::Spelling;
use synctable_core::query::{Query, RemoteQuery, field};
use synctable_core::transport::{Change, ChangeKind, TransportError};
use synctable_core::{Record, RecordId};
use synctable_wire::{ZUMO2, header as names};

use super::{AGENT, Call, Quirks, RELATIVE_LINKS, Wire, body, follow_up, spelled};

#[derive(Debug)]
pub(super) struct Zumo2;

impl Wire for Zumo2 {
    fn quirks(&self) -> Quirks {
        Quirks {
            headers: &[
                (names::API_VERSION, names::API_VERSION_2),
                (names::CLIENT_VERSION, AGENT),
                RELATIVE_LINKS,
            ],
            absent_link_ends: false,
            most_rows: ZUMO2.most_top,
            fails_on_filters: true,
            sends_members: false,
        }
    }

    fn change(&self, change: &Change) -> Result<Option<Call>, TransportError> {
        Ok(match change.kind {
            ChangeKind::Insert => {
                Some(Call::new(Method::POST, None).with_body(body::whole(change, "")?))
            }
            ChangeKind::Replace => body::changed(change)?
                .map(|body| Call::new(Method::PATCH, Some(&change.id)).with_body(body)),
            ChangeKind::Undelete => Some(Call::new(Method::POST, Some(&change.id))),
            ChangeKind::Delete => Some(Call::new(Method::DELETE, Some(&change.id))),
        })
    }

    fn may_have_rest(&self, change: &Change) -> bool {
        change.kind == ChangeKind::Undelete
    }

    fn rest(&self, change: &Change, server: &Record) -> Result<Option<Change>, TransportError> {
        let same = |record: &Record| record.same_members(server);
        if !self.may_have_rest(change) || change.record.as_ref().is_none_or(same) {
            return Ok(None);
        }
        Ok(Some(follow_up(change, server)))
    }

    fn get(&self, id: &RecordId) -> Result<Call, TransportError> {
        let query = Query::all()
            .filter(field("id").eq(id.as_str()))
            .include_deleted();
        Ok(Call::new(Method::GET, None).with_query(spelled(&query, None, Spelling::V2)?))
    }

    fn query(&self, query: &RemoteQuery, top: Option<u64>) -> Result<String, TransportError> {
        spelled(query, top, Spelling::V2)
    }
}

#[cfg(test)]
mod tests {
    use synctable_core::Version;

    use super::*;

    #[test]
    fn records_are_asked_for_by_a_query_that_shows_deleted_ones() {
        let call = Zumo2.get(&RecordId::new("o'b q").unwrap()).unwrap();
        assert_eq!(
            call.query,
            "$filter=%28id%20eq%20%27o%27%27b%20q%27%29&__includeDeleted=true"
        );
        assert_eq!((call.method, call.id), (Method::GET, None));
    }

    #[test]
    fn the_members_of_a_record_that_comes_back_follow() {
        let record = Record::from_json(r#"{"id":"a","x":2}"#).unwrap();
        let change = Change::new(ChangeKind::Undelete, record.id().clone())
            .with_record(record)
            .with_if_match(Some(Version::new("1")))
            .with_operation_id("k");
        let back = Record::from_json(r#"{"id":"a","version":"2","x":1,"y":1}"#).unwrap();
        let rest = Zumo2.rest(&change, &back).unwrap().unwrap();
        assert_eq!(rest.if_match, Some(Version::new("2")));
        assert_eq!(rest.operation_id.as_deref(), Some("k-members"));
        let call = Zumo2.change(&rest).unwrap().unwrap();
        assert_eq!(call.body.as_deref(), Some(r#"{"id":"a","x":2,"y":null}"#));
        assert_eq!(call.method, Method::PATCH);

        let back = Record::from_json(r#"{"id":"a","version":"2","x":2.0,"y":null}"#).unwrap();
        assert_eq!(Zumo2.rest(&change, &back).unwrap(), None);
    }
}
