//! What a server with types makes of what it is sent: other text that says the same.
//!
//! So do the genuine servers of .NET: members that were left out come back with their default, members that the server does not
//! know are gone, times are in UTC with milliseconds, GUIDs in lower case, numbers in its own spelling.

use serde_json::{Number, Value};
use synctable_core::{Record, Timestamp};

use super::device::Device;
use crate::harness::is_typed;

/// Declared members that clients of the tests leave out, and what comes back then.
const DEFAULTS: [(&str, &str); 6] = [
    ("complete", "false"),
    ("stars", "0"),
    ("cost", "0"),
    ("due", "null"),
    ("owner", "null"),
    ("mood", "\"Calm\""),
];
/// Members with this prefix are not declared.
const UNKNOWN: &str = "unknown";

/// The record as the server keeps it.
pub(super) fn normal(record: &Record) -> Record {
    let mut members: Vec<(String, String)> = Vec::new();
    for (name, text) in record.members() {
        if !name.starts_with(UNKNOWN) {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            members.push((name.into_owned(), normal_value(&value)));
        }
    }
    for (name, default) in DEFAULTS {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, text)) if text == "null" => default.clone_into(text),
            Some(_) => {}
            None => members.push((name.to_owned(), default.to_owned())),
        }
    }
    let members: Vec<String> = members
        .iter()
        .map(|(name, text)| format!("{}:{text}", Value::from(name.as_str())))
        .collect();
    Record::from_stored(
        record.id().clone(),
        record.system().clone(),
        format!("{{{}}}", members.join(",")),
    )
}

fn normal_value(value: &Value) -> String {
    match value {
        Value::String(text) => Value::from(normal_text(text)).to_string(),
        Value::Number(number) => normal_number(number),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(normal_value).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

fn normal_text(text: &str) -> String {
    if let Ok(time) = text.parse::<Timestamp>() {
        return time.floor_millis().to_string();
    }
    let guid = text.len() == 36
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if guid {
        text.to_lowercase()
    } else {
        text.to_owned()
    }
}

/// Whole numbers as such.
fn normal_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// Demands that a row of the server is this, as the device's store keeps it; of a server with types, that it says at least this.
pub(super) fn assert_holds(device: &Device, row: &Record, members: &str) {
    if !is_typed() {
        return device.assert_says(row, members);
    }
    let expected = Record::new(row.id().clone(), members).expect("an object");
    for (name, text) in expected.members() {
        let value: Value = serde_json::from_str(text).expect("JSON");
        let found = row.member(&name).unwrap_or_default();
        let same = match (found.as_f64(), value.as_f64()) {
            (Some(found), Some(value)) => (found - value).abs() < 1e-9,
            _ => found == value,
        };
        assert!(same, "{name} of {}", row.to_json());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::record;

    #[test]
    fn answers_say_the_same_in_other_words() {
        let sent = record(
            r#"{"id":"a","n":1e3,"at":"1955-11-05T06:15:00.1234567+05:30","g":"C0FFEE00-1234-5678-9ABC-DEF012345678","mood":null,"unknown1":1}"#,
        );
        assert_eq!(
            normal(&sent).body(),
            r#"{"n":1000,"at":"1955-11-05T00:45:00.123Z","g":"c0ffee00-1234-5678-9abc-def012345678","mood":"Calm","complete":false,"stars":0,"cost":0,"due":null,"owner":null}"#
        );
        assert_eq!(normal(&normal(&sent)), normal(&sent));
    }
}
