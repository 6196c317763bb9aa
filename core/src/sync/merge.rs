//! Three-way merge of records, member by member.

use std::borrow::Cow;

use serde_json::Value;

use crate::record::{Draft, Record, same_value};

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// Everything fits together.
    Clean(Record),
    /// These members were changed on both sides to different values.
    Clash(Vec<String>),
}

/// Joins the changes that `local` and `server` made to `base`. A member that only one side changed is taken from
/// that side; one that both changed to the same value is taken as it is. Values are compared as values:
/// numbers as numbers, `null` as missing. The result has the server's system properties.
///
/// ```
/// use synctable_core::{Record, sync::{Merged, merge}};
/// let record = |json| Record::from_json(json).unwrap();
/// let merged = merge(
///     Some(&record(r#"{"id":"a","x":1,"y":1}"#)),
///     &record(r#"{"id":"a","x":2,"y":1}"#),
///     &record(r#"{"id":"a","x":1,"y":3}"#),
/// );
/// assert!(matches!(merged, Merged::Clean(record) if record.body() == r#"{"x":2,"y":3}"#));
/// ```
pub fn merge(base: Option<&Record>, local: &Record, server: &Record) -> Merged {
    let parse = |text: Option<&str>| -> Value {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or(Value::Null)
    };
    let base_members = base.map(Record::members).unwrap_or_default();
    let local_members = local.members();
    let server_members = server.members();
    let find = |members: &[(Cow<'_, str>, &str)], name: &str| -> Value {
        parse(
            members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, text)| *text),
        )
    };
    let mut changes: Vec<(Cow<'_, str>, &str)> = Vec::new();
    let mut clashes = Vec::new();
    let local_names = local_members
        .iter()
        .map(|(name, text)| (name.clone(), *text));
    let dropped = base_members
        .iter()
        .filter(|(name, _)| !local_members.iter().any(|(key, _)| key == name));
    for (name, text) in local_names.chain(dropped.map(|(name, _)| (name.clone(), "null"))) {
        let (old, ours) = (find(&base_members, &name), parse(Some(text)));
        if same_value(&old, &ours) {
            continue;
        }
        let theirs = find(&server_members, &name);
        if same_value(&ours, &theirs) {
            continue;
        }
        if same_value(&old, &theirs) {
            changes.push((name, text));
        } else {
            clashes.push(name.into_owned());
        }
    }
    if !clashes.is_empty() {
        return Merged::Clash(clashes);
    }
    // Both sides were records, so their members can be read back.
    match Draft::from_json(&crate::record::body_text(&changes)) {
        Ok(changes) => Merged::Clean(server.patched(&changes)),
        Err(_) => Merged::Clash(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &str) -> Record {
        Record::new(crate::RecordId::new("a").unwrap(), body).unwrap()
    }

    /// Every combination of a member being missing, 1, 2 or 3 in base, local and server.
    #[test]
    fn one_member_exhaustively() {
        let bodies = ["{}", r#"{"x":1}"#, r#"{"x":2}"#, r#"{"x":3}"#];
        for base in bodies {
            for local in bodies {
                for server in bodies {
                    let merged = merge(Some(&record(base)), &record(local), &record(server));
                    let expected = if local == base || local == server {
                        Some(server)
                    } else if server == base {
                        Some(local)
                    } else {
                        None
                    };
                    match (merged, expected) {
                        (Merged::Clean(merged), Some(expected)) => {
                            assert!(
                                merged.same_members(&record(expected)),
                                "{base} {local} {server}"
                            );
                        }
                        (Merged::Clash(names), None) => assert_eq!(names, ["x"]),
                        (merged, _) => panic!("{base} {local} {server}: {merged:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn without_a_base_only_equal_or_separate_members_merge() {
        let merged = merge(
            None,
            &record(r#"{"x":1,"y":2.0}"#),
            &record(r#"{"y":2,"z":3}"#),
        );
        assert!(
            matches!(merged, Merged::Clean(r) if r.same_members(&record(r#"{"x":1,"y":2,"z":3}"#)))
        );
        assert_eq!(
            merge(None, &record(r#"{"x":1}"#), &record(r#"{"x":2}"#)),
            Merged::Clash(vec!["x".into()])
        );
    }
}
