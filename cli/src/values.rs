//! The values of options and arguments, read from their text.

use std::time::Duration;

use synctable::encrypted::Anchor;
use synctable::{NameError, QueryId, RecordId, TableName};

use crate::args::Deletes;

pub(crate) fn table(text: &str) -> Result<TableName, NameError> {
    TableName::new(text)
}

pub(crate) fn id(text: &str) -> Result<RecordId, NameError> {
    RecordId::new(text)
}

pub(crate) fn query_id(text: &str) -> Result<QueryId, NameError> {
    QueryId::new(text)
}

pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or("give a number of seconds above 0")
}

pub(crate) fn anchor(text: &str) -> Result<Anchor, &'static str> {
    text.parse()
        .map_err(|_| "give the number that synctable inspect says, such as 42 or 42:1")
}

pub(crate) fn days(text: &str) -> Result<Duration, &'static str> {
    const HOUR: u64 = 60 * 60;
    let (number, seconds) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24 * HOUR),
        (_, Some(hours)) => (hours, HOUR),
        _ => ("", 0),
    };
    number
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number: u64| number.checked_mul(seconds))
        .map(Duration::from_secs)
        .ok_or("give a number of days or hours above 0, such as 90d or 12h")
}

pub(crate) fn served_table(text: &str) -> Result<(TableName, Deletes), String> {
    let (name, deletes) = match text.split_once(':') {
        None => (text, Deletes::Forgotten),
        Some((name, "soft-delete")) => (name, Deletes::Kept),
        Some(_) => return Err("only ':soft-delete' may follow the name".into()),
    };
    let name = TableName::new(name).map_err(|error| error.to_string())?;
    Ok((name, deletes))
}
