//! What the server announced of itself in the headers of its answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use synctable_core::transport::TransportCapabilities;
use synctable_wire::header::{
    OPERATION_IDS_HONOURED, OPERATION_IDS_KEPT_UNSAID, PARTIAL_UPDATES_TAKEN,
};

use crate::header::{self, OPERATION_IDS, OPERATION_IDS_KEPT, PARTIAL_UPDATES};
use crate::packing::Effort;

/// The announcements since a push began.
#[derive(Debug, Default)]
pub(crate) struct Announced(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    offers: TransportCapabilities,
    /// The server takes bodies that are packed.
    unpacks: bool,
    /// How hard batches are packed on this line.
    effort: Effort,
}

impl Announced {
    /// Takes note of an answer. A success without the announcement withdraws it: the server may have been rolled back. A
    /// refusal without it says nothing, as a gateway may have given it.
    pub(crate) fn note(&self, status: StatusCode, headers: &HeaderMap) {
        let mut all = self.lock();
        let unpacks = header::unpacks(headers);
        if unpacks || status.is_success() {
            all.unpacks = unpacks;
        }
        let known = &mut all.offers;
        let kept = kept(headers);
        if kept.is_some() || status.is_success() {
            known.operation_ids_kept = kept;
        }
        let batches = header::batches(headers);
        if batches.is_some() || status.is_success() {
            known.batches = batches;
        }
        let partial = header::says(headers, &PARTIAL_UPDATES, PARTIAL_UPDATES_TAKEN);
        if partial || status.is_success() {
            known.partial_updates = partial;
        }
        if let Some(time) = header::server_time(headers) {
            known.server_time = Some(time);
        }
        // An older release behind the same name says nothing, and takes nothing back.
        if let Some(id) = header::server_id(headers) {
            known.server_id = Some(id);
        }
    }

    /// Forgets what would do harm where it does not hold any more. A server that does not take members alone any more says so, and does
    /// nothing.
    pub(crate) fn forget(&self) {
        let mut known = self.lock();
        let partial_updates = known.offers.partial_updates;
        *known = Known::default();
        known.offers.partial_updates = partial_updates;
    }

    /// True where the server takes bodies that are packed.
    pub(crate) fn unpacks(&self) -> bool {
        self.lock().unpacks
    }

    /// The server did not take a body that was packed.
    pub(crate) fn does_not_unpack(&self) {
        self.lock().unpacks = false;
    }

    /// How hard the next batch is packed.
    pub(crate) fn effort(&self) -> Effort {
        self.lock().effort
    }

    /// A batch of so many bytes took so long; `here` where the server is on this machine by its name.
    pub(crate) fn note_time(&self, bytes: usize, time: Duration, here: bool) {
        let mut known = self.lock();
        known.effort = known.effort.after(bytes, time, here);
    }

    pub(crate) fn get(&self) -> TransportCapabilities {
        self.lock().offers.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the server keeps operation ids, where it says that it does. A time that cannot be read is no promise.
fn kept(headers: &HeaderMap) -> Option<Duration> {
    match headers.get(OPERATION_IDS_KEPT) {
        Some(seconds) => {
            let seconds = seconds.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_secs(seconds))
        }
        None => header::says(headers, &OPERATION_IDS, OPERATION_IDS_HONOURED)
            .then_some(OPERATION_IDS_KEPT_UNSAID),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use synctable_core::transport::BatchLimits;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    const IDS: (&str, &str) = ("synctable-operation-ids", "1");

    #[test]
    fn the_time_is_thirty_days_or_what_is_said() {
        let said = |text| ("synctable-operation-ids-kept", text);
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        for (pairs, expected) in [
            (&[][..], None),
            (&[("synctable-operation-ids", "2")], None),
            (&[IDS], days(30)),
            (&[IDS, said("86400")], days(1)),
            (&[said("86400")], days(1)),
            (&[IDS, said("0")], days(0)),
            (&[IDS, said("soon")], None),
            (&[IDS, said("-1")], None),
            (&[IDS, said("99999999999999999999999")], None),
        ] {
            assert_eq!(kept(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_success_without_the_announcement_withdraws_it() {
        let announced = Announced::default();
        let note = |status: u16, pairs: &[_]| {
            announced.note(StatusCode::from_u16(status).unwrap(), &headers(pairs));
            announced.get().operation_ids_kept.is_some()
        };
        assert!(!note(200, &[]));
        assert!(note(412, &[IDS]));
        assert!(note(502, &[]));
        assert!(!note(204, &[]));
        assert!(note(201, &[IDS]));
        announced.forget();
        assert_eq!(announced.get(), TransportCapabilities::default());
    }

    #[test]
    fn batches_are_taken_back_as_operation_ids_are() {
        let announced = Announced::default();
        let said = |text| ("synctable-batch", text);
        let limits = |changes, bytes| Some(BatchLimits::of(changes).with_bytes(Some(bytes)));
        for (status, pairs, known) in [
            (200, &[][..], None),
            (412, &[said("10 1000")], limits(10, 1000)),
            (502, &[], limits(10, 1000)),
            (413, &[said("soon")], limits(10, 1000)),
            (200, &[said("20 2000")], limits(20, 2000)),
            (200, &[said("1 2000")], None),
            (404, &[said("20 2000")], limits(20, 2000)),
            (204, &[], None),
            (201, &[said("2 9")], limits(2, 9)),
        ] {
            announced.note(StatusCode::from_u16(status).unwrap(), &headers(pairs));
            assert_eq!(announced.get().batches, known, "{status} {pairs:?}");
        }
        announced.forget();
        assert_eq!(announced.get().batches, None);
    }

    #[test]
    fn packed_bodies_are_taken_while_the_server_says_so() {
        let announced = Announced::default();
        let said = |text| ("accept-encoding", text);
        for (status, pairs, taken) in [
            (200, &[][..], false),
            (404, &[said("br, GZIP;q=0.5")], true),
            (502, &[], true),
            (200, &[said("gzip;q=0")], false),
            (200, &[said("gzip")], true),
            (200, &[said("identity, x-gzip")], false),
            (200, &[said("gzip ; q=1")], true),
            (204, &[], false),
            (201, &[said("gzip")], true),
        ] {
            announced.note(StatusCode::from_u16(status).unwrap(), &headers(pairs));
            assert_eq!(announced.unpacks(), taken, "{status} {pairs:?}");
        }
        announced.forget();
        assert!(!announced.unpacks());
    }

    #[test]
    fn members_alone_are_taken_until_a_success_says_nothing_of_it() {
        let announced = Announced::default();
        let said = |text| ("synctable-partial-updates", text);
        for (status, pairs, taken) in [
            (200, &[][..], false),
            (200, &[said("2")], false),
            (412, &[said("1")], true),
            (405, &[], true),
            (502, &[], true),
            (200, &[], false),
            (201, &[said("1")], true),
        ] {
            announced.note(StatusCode::from_u16(status).unwrap(), &headers(pairs));
            assert_eq!(announced.get().partial_updates, taken, "{status} {pairs:?}");
        }
        announced.forget();
        assert!(announced.get().partial_updates);
    }

    #[test]
    fn the_id_of_the_server_is_the_last_one_that_can_be_read() {
        let announced = Announced::default();
        let said = |text| ("synctable-server-id", text);
        let long: &'static str = Box::leak("x".repeat(201).into_boxed_str());
        for (status, pairs, known) in [
            (200, &[][..], None),
            (404, &[said("x")], Some("x")),
            (200, &[], Some("x")),
            (200, &[said("")], Some("x")),
            (200, &[said(long)], Some("x")),
            (502, &[said("y")], Some("y")),
        ] {
            announced.note(StatusCode::from_u16(status).unwrap(), &headers(pairs));
            assert_eq!(announced.get().server_id.as_deref(), known, "{pairs:?}");
        }
        let mut twice = headers(&[said("x")]);
        twice.append("synctable-server-id", HeaderValue::from_static("y"));
        assert_eq!(header::server_id(&twice), None);
    }

    #[test]
    fn the_last_clock_seen_counts() {
        let announced = Announced::default();
        for date in [
            Some("Sun, 06 Nov 1994 08:49:35 GMT"),
            Some("Sun, 06 Nov 1994 08:49:37 GMT"),
            None,
        ] {
            let pairs: Vec<_> = date.map(|date| ("date", date)).into_iter().collect();
            announced.note(StatusCode::OK, &headers(&pairs));
        }
        let time = announced.get().server_time.unwrap();
        assert_eq!(time.to_string(), "1994-11-06T08:49:37.000Z");
    }
}
