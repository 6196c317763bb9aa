//! Constants in the spellings that OData has for them. Errors are messages without a place.

use super::error::shown;
use crate::Timestamp;
use crate::query::Literal;
use crate::timestamp::{Date, TimeOfDay};

/// `prefix'text'`.
pub(super) fn typed(prefix: &str, text: &str) -> Result<Literal, String> {
    match prefix {
        "datetime" | "datetimeoffset" => date_time(text),
        "guid" => guid(text),
        "geography" => point(text),
        _ => Err(format!(
            "unknown kind of constant {}; known are datetime, datetimeoffset, guid and geography",
            shown(prefix)
        )),
    }
}

/// `cast(text,kind)`.
pub(super) fn cast(text: &str, kind: &str) -> Result<Literal, String> {
    match kind {
        "Edm.DateTimeOffset" => date_time(text),
        "Edm.Date" => date(text),
        "Edm.TimeOfDay" => time(text),
        "Edm.Guid" => guid(text),
        _ => Err(format!(
            "cannot cast to {}; known are Edm.String for anything, and Edm.DateTimeOffset, Edm.Date, Edm.TimeOfDay and Edm.Guid for \
             constants",
            shown(kind)
        )),
    }
}

/// The number that is larger than all others, as a filter has it.
pub(super) const INFINITY: &str = "INF";

/// A word that is a constant, and never the name of a member.
pub(super) fn word(word: &str) -> Option<Result<Literal, String>> {
    Some(Ok(match word {
        "null" => Literal::Null,
        "true" => Literal::Bool(true),
        "false" => Literal::Bool(false),
        INFINITY => Literal::Float(f64::INFINITY),
        // It equals nothing, so a filter that compares with it would find nothing without a word.
        "NaN" => {
            let message = "there is no NaN here: what has no result is null, so write eq null";
            return Some(Err(message.to_owned()));
        }
        _ if is_guid(word) => Literal::Guid(word.to_owned()),
        _ => return None,
    }))
}

/// A word that starts with a digit.
pub(super) fn bare(word: &str) -> Result<Literal, String> {
    match (word.as_bytes().get(4), word.as_bytes().get(2)) {
        _ if is_guid(word) => guid(word),
        (Some(b'-'), _) if word.contains(['T', 't']) => date_time(word),
        (Some(b'-'), _) => date(word),
        (_, Some(b':')) => time(word),
        _ => number(word),
    }
}

/// A number with an optional sign and type suffix: `42`, `-42L`, `42.5M`, `1e300`.
pub(super) fn number(text: &str) -> Result<Literal, String> {
    let unsuffixed = text.strip_suffix(['L', 'l', 'f', 'F', 'd', 'D', 'm', 'M']);
    let body = unsuffixed.unwrap_or(text);
    let long = text.ends_with(['L', 'l']);
    let whole = digits(body.strip_prefix('-').unwrap_or(body));
    if !(whole || is_decimal(body) && !long) {
        return Err(format!(
            "{} is not a number; operators are words with blanks around them, as in '5 sub 3'",
            shown(text)
        ));
    }
    if whole
        && (long || unsuffixed.is_none())
        && let Ok(int) = body.parse()
    {
        return Ok(Literal::Int(int));
    }
    match body.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Literal::Float(float)),
        _ => Err("the number is too large".to_owned()),
    }
}

fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(whole) && digits(fraction) && digits(exponent)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A date-time; without an offset it is in UTC, and a date alone is its midnight.
fn date_time(text: &str) -> Result<Literal, String> {
    text.parse()
        .or_else(|error| format!("{text}Z").parse().map_err(|_| error))
        .or_else(|error| text.parse().map(Timestamp::at_midnight).map_err(|_| error))
        .map(Literal::DateTime)
        .map_err(|error| error.to_string())
}

fn date(text: &str) -> Result<Literal, String> {
    let date: Result<Date, _> = text.parse();
    date.map(Literal::Date).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Literal, String> {
    let time: Result<TimeOfDay, _> = text.parse();
    time.map(Literal::Time).map_err(|error| error.to_string())
}

fn guid(text: &str) -> Result<Literal, String> {
    if is_guid(text) {
        Ok(Literal::Guid(text.to_owned()))
    } else {
        Err("not a valid GUID, such as 6f9619ff-8b86-d011-b42d-00cf4fc964ff".to_owned())
    }
}

/// 32 hexadecimal digits in five groups.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// `POINT(longitude latitude)`, perhaps after `SRID=4326;`.
fn point(text: &str) -> Result<Literal, String> {
    let bad =
        || "not a valid point, such as POINT(-122.33 47.6): longitude, then latitude".to_owned();
    let text = text.strip_prefix("SRID=4326;").unwrap_or(text).trim();
    let (name, rest) = text.split_at_checked(5).ok_or_else(bad)?;
    let inner = rest
        .trim_start()
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let mut numbers = inner
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(|word| match number(word) {
            Ok(Literal::Float(float)) => Some(float),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the range check below refuses numbers that lose any"
            )]
            Ok(Literal::Int(int)) => Some(int as f64),
            _ => None,
        });
    match (
        numbers.next().flatten(),
        numbers.next().flatten(),
        numbers.next(),
    ) {
        (Some(longitude), Some(latitude), None)
            if name.eq_ignore_ascii_case("point") && on_globe(longitude, latitude) =>
        {
            Ok(Literal::Point {
                longitude,
                latitude,
            })
        }
        _ => Err(bad()),
    }
}

pub(super) fn on_globe(longitude: f64, latitude: f64) -> bool {
    longitude.abs() <= 180.0 && latitude.abs() <= 90.0
}
