//! The layout of a record's value: a layout byte, the revision, the system properties, then the body text as it is.

use synctable_core::store::{Revision, StoreError, StoreErrorKind};
use synctable_core::{Record, RecordId, SystemProperties, TableName, Timestamp, Version};

const LAYOUT: u8 = 2;
/// That of release 0.1, without a revision.
const FIRST: u8 = 1;
const HAS_VERSION: u8 = 1;
const HAS_CREATED: u8 = 2;
const HAS_UPDATED: u8 = 4;
const DELETED: u8 = 8;
const ALL_FLAGS: u8 = HAS_VERSION | HAS_CREATED | HAS_UPDATED | DELETED;

/// `layout, revision u64, flags, [version length u64, version], [created i64], [updated i64], body`; integers little-endian.
pub(crate) fn encode(record: &Record, revision: u64) -> Vec<u8> {
    let system = record.system();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let mut out = Vec::with_capacity(record.body().len() + 64);
    out.push(LAYOUT);
    out.extend(revision.to_le_bytes());
    out.push(
        flag(system.version.is_some(), HAS_VERSION)
            | flag(system.created_at.is_some(), HAS_CREATED)
            | flag(system.updated_at.is_some(), HAS_UPDATED)
            | flag(system.deleted, DELETED),
    );
    if let Some(version) = &system.version {
        out.extend((version.as_str().len() as u64).to_le_bytes());
        out.extend(version.as_str().as_bytes());
    }
    for time in [system.created_at, system.updated_at].into_iter().flatten() {
        out.extend(time.ticks().to_le_bytes());
    }
    out.extend(record.body().as_bytes());
    out
}

/// The record that [`encode`] wrote.
pub(crate) fn decode(table: &TableName, id: RecordId, bytes: &[u8]) -> Result<Record, StoreError> {
    let found = match bytes.split_first() {
        Some((&LAYOUT, mut rest)) => take::<8>(&mut rest)
            .and_then(|revision| Some((parts(rest)?, Some(Revision::from_bytes(&revision))))),
        Some((&FIRST, rest)) => parts(rest).map(|parts| (parts, None)),
        Some((&layout, _)) if layout > LAYOUT => {
            let message = format!(
                "table {table}, id {id}: a newer release wrote this record; update the program"
            );
            return Err(StoreError::new(StoreErrorKind::FormatTooNew, message));
        }
        _ => None,
    };
    match found {
        Some(((system, body), revision)) => {
            let record = Record::from_stored(id, system, body);
            let revision = revision.unwrap_or_else(|| Revision::of_content(&record));
            Ok(record.at(revision))
        }
        None => Err(StoreError::corrupt(format!(
            "table {table}, id {id}: the stored record is damaged"
        ))),
    }
}

fn parts(bytes: &[u8]) -> Option<(SystemProperties, &str)> {
    let (&flags, mut rest) = bytes.split_first()?;
    if flags & !ALL_FLAGS != 0 {
        return None;
    }
    let mut system = SystemProperties {
        deleted: flags & DELETED != 0,
        ..SystemProperties::default()
    };
    if flags & HAS_VERSION != 0 {
        let length = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        let (version, after) = rest.split_at_checked(length)?;
        system.version = Some(Version::new(std::str::from_utf8(version).ok()?));
        rest = after;
    }
    if flags & HAS_CREATED != 0 {
        system.created_at = Some(time(&mut rest)?);
    }
    if flags & HAS_UPDATED != 0 {
        system.updated_at = Some(time(&mut rest)?);
    }
    let body = std::str::from_utf8(rest).ok()?;
    (body.starts_with('{') && body.ends_with('}')).then_some((system, body))
}

fn time(bytes: &mut &[u8]) -> Option<Timestamp> {
    let ticks = i64::from_le_bytes(take(bytes)?);
    Some(Timestamp::from_ticks(ticks)).filter(|time| time.ticks() == ticks)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    fn time() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.ticks()..=Timestamp::MAX.ticks()).prop_map(Timestamp::from_ticks)
    }

    prop_compose! {
        fn record()(
            version in option::of(".{0,9}"),
            created_at in option::of(time()),
            updated_at in option::of(time()),
            deleted: bool,
            text in "[^}]{0,20}",
        ) -> Record {
            let body = serde_json::json!({ "text": text, "n": 1 }).to_string();
            let version = version.as_deref().map(Version::new);
            let system = SystemProperties { version, created_at, updated_at, deleted };
            Record::from_stored(RecordId::new("a").unwrap(), system, body)
        }
    }

    fn read(bytes: &[u8]) -> Result<Record, StoreError> {
        let table = TableName::new("t").unwrap();
        decode(&table, RecordId::new("a").unwrap(), bytes)
    }

    #[test]
    fn number_texts_survive() {
        let body = r#"{"a":1.50,"b":1e2,"c":12345678901234567890,"d":"\u0000"}"#;
        let record = Record::from_stored(
            RecordId::new("a").unwrap(),
            SystemProperties::default(),
            body,
        );
        assert_eq!(read(&encode(&record, 1)).unwrap().body(), body);
    }

    #[test]
    fn newer_layouts_and_empty_values_are_told_apart() {
        assert_eq!(
            read(&[3, 0, b'{', b'}']).unwrap_err().kind(),
            StoreErrorKind::FormatTooNew
        );
        for damaged in [
            &[][..],
            &[0],
            &[1],
            &[1, 0],
            &[1, 16, b'{', b'}'],
            &[1, 1, 9],
            &[2],
            &[2, 1, 2, 3, 4, 5, 6, 7, 8],
            &[2, 1, 2, 3, 4, 5, 6, 7, 8, 0, b'{'],
        ] {
            assert_eq!(read(damaged).unwrap_err().kind(), StoreErrorKind::Corrupt);
        }
    }

    proptest! {
        #[test]
        fn every_record_survives_exactly(record in record(), revision: u64) {
            let found = read(&encode(&record, revision)).unwrap();
            prop_assert_eq!(found.revision(), Some(&Revision::from_number(revision)));
            prop_assert_eq!(found, record);
        }

        #[test]
        fn what_was_stored_without_a_revision_has_that_of_its_content(record in record(), other in record()) {
            let first = |record: &Record| {
                let bytes = encode(record, 0);
                [&[FIRST], &bytes[9..]].concat()
            };
            let (found, changed) = (read(&first(&record)).unwrap(), read(&first(&other)).unwrap());
            prop_assert_eq!(found.revision() == changed.revision(), record == other);
            prop_assert_eq!(found, record);
        }

        #[test]
        fn cut_values_are_refused(record in record(), cut: prop::sample::Index) {
            let bytes = encode(&record, u64::MAX);
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&bytes);
        }
    }
}
