//! One value: read as its type, written in the server's own spelling.

use serde_json::Value;
use synctable_core::{Date, TimeOfDay, Timestamp};

use super::refusal::pascal;
use super::{Flavour, Kind, spell};

/// The value of a member that was left out.
pub(super) fn default(flavour: Flavour, kind: &Kind) -> String {
    match kind {
        Kind::Bool => "false".to_owned(),
        Kind::Int32 | Kind::Int64 => "0".to_owned(),
        Kind::Double => spell::double(flavour, 0.0),
        Kind::Decimal => spell::decimal(flavour, "0").unwrap_or_default(),
        Kind::Enum(words) => match words.first() {
            Some(word) => spell::text(flavour, word),
            None => "null".to_owned(),
        },
        _ => "null".to_owned(),
    }
}

/// The value in the spelling of the server, or the older server's words about it, without its place.
pub(super) fn value(
    flavour: Flavour,
    name: &str,
    (kind, nullable): (&Kind, bool),
    raw: &str,
) -> Result<String, String> {
    let unreadable = |shown: &str| {
        let ty = type_name(name, kind, nullable);
        format!("Error converting value {shown} to type '{ty}'")
    };
    if *kind == Kind::Json {
        return Ok(raw.to_owned());
    }
    let parsed: Value = serde_json::from_str(raw).map_err(|_| unreadable(raw))?;
    match parsed {
        Value::Null if nullable => Ok("null".to_owned()),
        Value::Null => Err(unreadable("{null}")),
        Value::Array(_) | Value::Object(_) => {
            let first = raw.chars().next().unwrap_or('{');
            Err(format!(
                "Unexpected character encountered while parsing value: {first}"
            ))
        }
        Value::Bool(bool) => match kind {
            Kind::Bool => Ok(raw.to_owned()),
            // The older server makes text of anything.
            Kind::Text { .. } if flavour == Flavour::Zumo3 => {
                Ok(spell::text(flavour, &bool.to_string()))
            }
            _ => Err(unreadable(raw)),
        },
        Value::Number(_) => number(flavour, kind, raw).ok_or_else(|| match kind {
            Kind::Int32 if raw.contains(['.', 'e', 'E']) => {
                format!("Input string '{raw}' is not a valid integer")
            }
            Kind::Int32 => format!("JSON integer {raw} is too large or small for an Int32"),
            _ => unreadable(raw),
        }),
        Value::String(text) => of_text(flavour, kind, &text).ok_or_else(|| match kind {
            Kind::Int32 => format!("Could not convert string to integer: {text}"),
            Kind::Bool => format!("Could not convert string to boolean: {text}"),
            Kind::Double => format!("Could not convert string to double: {text}"),
            Kind::Decimal => format!("Could not convert string to decimal: {text}"),
            _ => unreadable(raw),
        }),
    }
}

fn number(flavour: Flavour, kind: &Kind, raw: &str) -> Option<String> {
    match kind {
        Kind::Int32 => raw.parse::<i32>().ok().map(|number| number.to_string()),
        Kind::Int64 => raw.parse::<i64>().ok().map(|number| number.to_string()),
        Kind::Double => {
            let number = raw.parse::<f64>().ok()?;
            number.is_finite().then(|| spell::double(flavour, number))
        }
        Kind::Decimal => spell::decimal(flavour, raw),
        Kind::Enum(words) => {
            let word = words.get(raw.parse::<usize>().ok()?)?;
            Some(spell::text(flavour, word))
        }
        Kind::Text { .. } if flavour == Flavour::Zumo3 => Some(spell::text(flavour, raw)),
        _ => None,
    }
}

fn of_text(flavour: Flavour, kind: &Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Text { .. } | Kind::Bytes => Some(spell::text(flavour, text)),
        Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Decimal => {
            let is_number = serde_json::from_str::<serde_json::Number>(text).is_ok();
            is_number.then(|| number(flavour, kind, text))?
        }
        Kind::Bool if flavour == Flavour::Zumo3 => {
            let bool = text.to_ascii_lowercase().parse::<bool>().ok()?;
            Some(bool.to_string())
        }
        Kind::Instant => {
            let time = instant(text)?;
            Some(format!("\"{}\"", spell::instant(flavour, time)))
        }
        Kind::Date => Some(format!("\"{}\"", text.parse::<Date>().ok()?)),
        Kind::Time => Some(format!("\"{}\"", text.parse::<TimeOfDay>().ok()?)),
        Kind::Guid => Some(format!("\"{}\"", guid(flavour, text)?)),
        Kind::Enum(words) => {
            let word = words.iter().find(|word| word.eq_ignore_ascii_case(text))?;
            Some(spell::text(flavour, word))
        }
        _ => None,
    }
}

/// A point in time; without an offset it is meant in the server's own zone, which is UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let spellings = [
        text.to_owned(),
        format!("{text}Z"),
        format!("{text}T00:00:00Z"),
    ];
    spellings.iter().find_map(|text| text.parse().ok())
}

/// A GUID in lower case with its dashes. The older server reads it without dashes, too.
fn guid(flavour: Flavour, text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let digits = digits.to_ascii_lowercase();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut guid = digits.clone();
    for place in [8, 13, 18, 23] {
        guid.insert(place, '-');
    }
    let bare = flavour == Flavour::Zumo3 && text.len() == 32;
    (bare || text.eq_ignore_ascii_case(&guid)).then_some(guid)
}

/// The name of a member's type in the older server's words.
fn type_name(name: &str, kind: &Kind, nullable: bool) -> String {
    let plain = match kind {
        Kind::Text { .. } => return "System.String".to_owned(),
        Kind::Bytes => return "System.Byte[]".to_owned(),
        Kind::Json => return "System.Object".to_owned(),
        Kind::Bool => "System.Boolean".to_owned(),
        Kind::Int32 => "System.Int32".to_owned(),
        Kind::Int64 => "System.Int64".to_owned(),
        Kind::Double => "System.Double".to_owned(),
        Kind::Decimal => "System.Decimal".to_owned(),
        Kind::Instant => "System.DateTimeOffset".to_owned(),
        Kind::Date => "System.DateOnly".to_owned(),
        Kind::Time => "System.TimeOnly".to_owned(),
        Kind::Guid => "System.Guid".to_owned(),
        Kind::Enum(_) => format!("Srv.{}", pascal(name)),
    };
    if nullable {
        format!("System.Nullable`1[{plain}]")
    } else {
        plain
    }
}
