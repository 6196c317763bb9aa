//! The records and changes in the bodies of requests.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use synctable_core::{Draft, SYSTEM_PROPERTIES};

use crate::dialect::Dialect;
use crate::error::Failure;
use crate::handler::Call;

const JSON_PATCH: &str = "application/json-patch+json";
/// In it `null` takes a member away (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What a `PATCH` asks for.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) draft: Draft,
    /// Whether it says that the record is not deleted.
    pub(crate) undeletes: bool,
}

/// A step of a JSON patch (RFC 6902).
#[derive(Deserialize)]
struct Step {
    op: String,
    path: String,
    #[serde(default)]
    value: Box<RawValue>,
}

/// A record, perhaps without its id.
pub(crate) fn record(call: &Call<'_>) -> Result<Draft, Failure> {
    read(call.dialect(), call.json_text()?)
}

/// The members to change.
pub(crate) fn changes(call: &Call<'_>) -> Result<Changes, Failure> {
    let text = call.json_text()?;
    let media = call.media_type();
    // What means something else is not taken for plain members.
    if call.dialect() == Dialect::Toolkit && [JSON_PATCH, MERGE_PATCH].contains(&&*media) {
        return Err(Failure::unsupported_media(
            "a change is an object of the members to set; send it as 'application/json'",
        ));
    }
    if call.dialect() == Dialect::Zumo3 && media == JSON_PATCH {
        from_text(call.dialect(), &merge_text(text)?)
    } else {
        from_text(call.dialect(), text)
    }
}

fn from_text(dialect: Dialect, text: &str) -> Result<Changes, Failure> {
    let draft = read(dialect, text)?;
    let undeletes = !draft.system.deleted && names(text).contains("deleted");
    Ok(Changes { draft, undeletes })
}

fn read(dialect: Dialect, text: &str) -> Result<Draft, Failure> {
    let draft = Draft::from_json(text).map_err(|error| Failure::bad_request(error.to_string()))?;
    if dialect == Dialect::Zumo2 {
        refuse_reserved(text)?;
    }
    Ok(draft)
}

/// Version 2 refuses properties that only the server sets.
fn refuse_reserved(text: &str) -> Result<(), Failure> {
    let reserved = SYSTEM_PROPERTIES
        .iter()
        .filter(|name| !matches!(**name, "id" | "version"));
    let names = names(text);
    for property in reserved {
        if names.iter().any(|name| name.eq_ignore_ascii_case(property)) {
            return Err(Failure::bad_request(format!(
                "the property '{property}' is the server's; leave it out"
            )));
        }
    }
    Ok(())
}

/// The names of an object's members.
fn names(text: &str) -> HashSet<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    members.into_keys().collect()
}

/// A JSON patch as the object of the members that it sets. Only whole members can be set.
fn merge_text(patch: &str) -> Result<String, Failure> {
    let steps: Vec<Step> = serde_json::from_str(patch)
        .map_err(|error| Failure::bad_request(format!("not a JSON patch: {error}")))?;
    let mut members = BTreeMap::new();
    for step in steps {
        let name = match step.path.strip_prefix('/') {
            Some(name) if !name.contains('/') => name.replace("~1", "/").replace("~0", "~"),
            _ => {
                return Err(Failure::bad_request(
                    "a JSON patch can change whole members only, such as '/title'",
                ));
            }
        };
        let value = match step.op.as_str() {
            "add" | "replace" => step.value,
            "remove" => Box::default(),
            _ => {
                return Err(Failure::bad_request(
                    "a JSON patch can 'add', 'replace' and 'remove' only",
                ));
            }
        };
        members.insert(name, value);
    }
    serde_json::to_string(&members).map_err(|error| Failure::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_patches_become_members() {
        for (patch, text) in [
            ("[]", Some("{}")),
            (
                r#"[{"op":"replace","path":"/a","value":1.50},{"op":"add","path":"/b~1c","value":null}]"#,
                Some(r#"{"a":1.50,"b/c":null}"#),
            ),
            (
                r#"[{"op":"add","path":"/a","value":{"x":[1]}},{"op":"remove","path":"/a"}]"#,
                Some(r#"{"a":null}"#),
            ),
            (r#"[{"op":"move","path":"/a","from":"/b"}]"#, None),
            (r#"[{"op":"replace","path":"/a/b","value":1}]"#, None),
            (r#"[{"op":"replace","path":"","value":{}}]"#, None),
            (r#"{"a":1}"#, None),
        ] {
            assert_eq!(merge_text(patch).ok().as_deref(), text, "{patch}");
        }
    }

    #[test]
    fn version_2_refuses_what_only_the_server_sets() {
        for (text, good) in [
            (r#"{"id":"a","version":"v","x":{"deleted":1}}"#, true),
            (r#"{"createdAt":"2026-01-01T00:00:00Z"}"#, false),
            (r#"{"UPDATEDAT":1}"#, false),
            (r#"{"deleted":false}"#, false),
        ] {
            assert_eq!(read(Dialect::Zumo2, text).is_ok(), good, "{text}");
            assert!(read(Dialect::Zumo3, text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_change_undeletes_where_it_says_so() {
        for (text, undeletes) in [
            (r#"{"deleted":false}"#, true),
            (r#"{"deleted":true}"#, false),
            ("{}", false),
        ] {
            let changes = from_text(Dialect::Zumo3, text).unwrap();
            assert_eq!(changes.undeletes, undeletes, "{text}");
        }
    }
}
