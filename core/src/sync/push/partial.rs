//! Updates that send the changed members alone: which they are, and who takes them.

use std::collections::HashMap;

use crate::name::Version;
use crate::record::Record;
use crate::sync::queue::operation::{MOVED, Operation, OperationKind};
use crate::sync::remote::Remote;

/// The members that differ from the base; `None` where the record has to go as a whole: what it is based on is not known, nothing
/// could be demanded of it, a member was taken away (which no value says: `null` may mean that, or `null`), or nothing differs.
pub(super) fn changed_members(
    operation: &Operation,
    record: Option<&Record>,
) -> Option<Vec<String>> {
    let base = operation.base.as_ref().filter(|base| !base.is_deleted())?;
    let version = base.version().map(Version::as_str)?;
    if operation.kind != OperationKind::Replace || version.is_empty() || version == MOVED {
        return None;
    }
    let had: HashMap<_, _> = base.members().into_iter().collect();
    let has = record?.members();
    let kept = has.iter().filter(|(name, _)| had.contains_key(name));
    if kept.count() < had.len() {
        return None;
    }
    // By their text, so that what is read back is what was stored.
    let changed = has
        .iter()
        .filter(|(name, text)| had.get(name) != Some(text))
        .map(|(name, _)| name.clone().into_owned())
        .collect::<Vec<_>>();
    (!changed.is_empty()).then_some(changed)
}

impl Remote {
    /// Whether members of a record of this table may be sent alone, by all that is known.
    pub(super) fn takes_members(&self, operation: &Operation) -> bool {
        self.capabilities().partial_updates && !self.link.takes_whole_only(&operation.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TableName;
    use crate::timestamp::Timestamp;

    fn members(kind: OperationKind, base: Option<&str>, now: &str) -> Option<String> {
        let record = Record::from_json(now).unwrap();
        let base = base.map(|base| Record::from_json(base).unwrap());
        let (table, id) = (TableName::new("t").unwrap(), record.id());
        let operation = Operation::new(1, Timestamp::EPOCH, &table, id, kind, base);
        changed_members(&operation, Some(&record)).map(|names| names.join(" "))
    }

    #[test]
    fn what_differs_from_the_base_is_sent() {
        for (base, now, expected) in [
            (r#""x":1,"y":2"#, r#""x":1,"y":3"#, Some("y")),
            (r#""x":1"#, r#""x":1.0"#, Some("x")),
            (r#""x":1"#, r#""x":null"#, Some("x")),
            (r#""x":1"#, r#""x":1,"z":null,"a":2"#, Some("z a")),
            (r#""x":{"y":1}"#, r#""x":{"y":2}"#, Some("x")),
            // Nothing differs, or a member was taken away.
            (r#""x":1"#, r#""x":1"#, None),
            (r#""x":1,"y":2"#, r#""x":3"#, None),
            (r#""x":1,"y":null"#, r#""x":3"#, None),
            (r#""x":1,"y":2"#, r#""x":3,"z":1"#, None),
        ] {
            let base = format!(r#"{{"id":"a","version":"v",{base}}}"#);
            let now = format!(r#"{{"id":"a",{now}}}"#);
            let found = members(OperationKind::Replace, Some(&base), &now);
            assert_eq!(found.as_deref(), expected, "{base} {now}");
        }
    }

    #[test]
    fn without_a_known_base_the_whole_is_sent() {
        use OperationKind::{Insert, Replace};
        let now = r#"{"id":"a","x":2}"#;
        let moved = format!(r#"{{"id":"a","version":"{MOVED}","x":1}}"#);
        for base in [
            None,
            Some(r#"{"id":"a","x":1}"#),
            Some(r#"{"id":"a","version":"","x":1}"#),
            Some(r#"{"id":"a","version":"v","deleted":true,"x":1}"#),
            Some(moved.as_str()),
        ] {
            assert_eq!(members(Replace, base, now), None, "{base:?}");
        }
        let base = Some(r#"{"id":"a","version":"v","x":1}"#);
        assert_eq!(members(Replace, base, now).as_deref(), Some("x"));
        assert_eq!(members(Insert, base, now), None);
    }
}
