//! Operation ids: the key under which a server recognises a repeat. Made once, stored with the operation, sent with each attempt.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::name::RecordId;
use crate::record::Record;
use crate::sync::queue::operation::Operation;
use crate::timestamp::Timestamp;

/// Characters of a key that say when the operation was queued.
const OF_TIME: usize = 9;

/// A new key: 43 characters, never to be made again, as `random` never comes again. A restored backup that makes the same change
/// anew has another key, so it is not taken for a repeat.
///
/// It begins with the time at which the operation was queued: keys that are sent together stand together in an index of the server, which then
/// writes few of its pages.
pub(crate) fn new_key(
    store_id: &str,
    account: Option<&str>,
    operation: &Operation,
    random: &RecordId,
) -> String {
    let version = operation.base.as_ref().and_then(Record::version);
    let kind = match &operation.members {
        Some(_) => "patch",
        None => operation.kind.as_str(),
    };
    let parts = [
        store_id,
        account.unwrap_or_default(),
        operation.table.as_str(),
        operation.id.as_str(),
        kind,
        version.map_or("", |version| version.as_str()),
        random.as_str(),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps parts apart.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = time(operation.queued_at);
    let hash = URL_SAFE_NO_PAD.encode(hash.finalize());
    key.extend(hash.chars().skip(OF_TIME));
    key
}

/// Milliseconds in digits to the base of 32, which sort as the times do.
fn time(queued_at: Timestamp) -> String {
    let millis = queued_at.millis().unsigned_abs();
    let digit = |place: usize| {
        let value = u32::try_from(millis >> (5 * place) & 31).unwrap_or_default();
        char::from_digit(value, 32).unwrap_or_default()
    };
    (0..OF_TIME).rev().map(digit).collect()
}

/// The key that 0.1 computed, for operations that it has sent: the server may know it.
pub(crate) fn legacy_key(
    store_id: &str,
    operation: &Operation,
    content: Option<&Record>,
) -> String {
    let version = operation.base.as_ref().and_then(Record::version);
    let parts = [
        operation.table.as_str(),
        operation.id.as_str(),
        operation.kind.as_str(),
        version.map_or("", |version| version.as_str()),
        content.map_or("", Record::body),
    ];
    let hash = parts
        .iter()
        .flat_map(|part| part.bytes().chain([0xff]))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    format!(
        "{store_id}-{}-{}-{hash:016x}",
        operation.seq, operation.edits
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableName;
    use crate::sync::queue::operation::OperationKind;
    use crate::timestamp::Timestamp;

    fn operation(id: &str) -> Operation {
        let (table, id) = (TableName::new("t").unwrap(), RecordId::new(id).unwrap());
        Operation::new(
            1,
            Timestamp::EPOCH,
            &table,
            &id,
            OperationKind::Insert,
            None,
        )
    }

    #[test]
    fn keys_are_short_text_and_differ_in_every_part() {
        let random = |text| RecordId::new(text).unwrap();
        let key = |store, account, id, part| new_key(store, account, &operation(id), &random(part));
        let first = key("s", Some("ada"), "a", "r");
        assert_eq!(first.len(), 43);
        assert!(
            first
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert_eq!(first, key("s", Some("ada"), "a", "r"));
        for other in [
            key("z", Some("ada"), "a", "r"),
            key("s", Some("bob"), "a", "r"),
            key("s", None, "a", "r"),
            key("s", Some("ada"), "b", "r"),
            key("s", Some("ada"), "a", "q"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn keys_sort_by_the_time_of_the_operation() {
        let random = RecordId::new("r").unwrap();
        let times = [0, 1, 31, 32, 1_800_000_000_000, 253_402_300_799_999];
        let keys = times.map(|millis| {
            let mut operation = operation("a");
            operation.queued_at = Timestamp::from_millis(millis);
            new_key("s", None, &operation, &random)
        });
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| key.len() == 43));
    }

    #[test]
    fn a_part_of_a_record_has_another_key_than_the_whole() {
        let random = RecordId::new("r").unwrap();
        let whole = operation("a");
        let mut part = whole.clone();
        part.members = Some(vec!["n".to_owned()]);
        let key = |operation| new_key("s", None, operation, &random);
        assert_ne!(key(&whole), key(&part));
    }

    #[test]
    fn the_key_of_an_old_release_is_the_same_still() {
        let key = legacy_key("store", &operation("a"), None);
        assert_eq!(key, format!("store-1-0-{}", &key[10..]));
        assert_eq!(key.len(), 26);
    }
}
