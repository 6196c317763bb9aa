//! Whether what a server holds is what was sent: by meaning, as a server with types gives back other text than it got.
//!
//! Members that were left out come back with their default, members that it does not know are gone, times are in UTC with the digits
//! that it keeps, GUIDs in one spelling, numbers in its own. So records are compared member by member, each as what it says.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use crate::record::{Member, Record, body_text, same_value};
use crate::schema::Defaults;
use crate::timestamp::Timestamp;

/// The coarsest precision of times that servers keep, in digits of a second.
const LEAST_DIGITS: u32 = 3;
/// Digits of a tick of 100 ns.
const TICK_DIGITS: u32 = 7;

/// How the members that an update changed stand at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All are as they were sent.
    Taken,
    /// All are as they were before.
    AtBase,
    /// Some are neither, or some are this and some that, or it cannot be told.
    Open,
}

/// How records are compared in a table with these defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meaning<'d>(pub(crate) &'d Defaults);

impl Meaning<'_> {
    /// True where a server that was sent `sent` as a new record may answer with `found`.
    ///
    /// `drops` names the members that this server does not know; `any` says that every member of which nothing is left counts as one.
    pub(crate) fn inserted(
        self,
        sent: &Record,
        found: &Record,
        drops: &HashSet<String>,
        any: bool,
    ) -> bool {
        let (sent, found) = (Members::of(sent), Members::of(found));
        names(&[&sent, &found]).into_iter().all(|name| {
            let (ours, theirs) = (sent.value(&name), found.value(&name));
            let dropped = !ours.is_null() && found.text(&name).is_none();
            (dropped && (any || drops.contains(&*name)))
                || means(&ours, &theirs)
                || self.is_same(&name, &sent, &found)
                || ours.is_null() && is_name(&theirs)
        })
    }

    /// How the members that differ between `base` and `sent` stand in `found`; `only`: where these were sent alone, the others say nothing.
    pub(crate) fn updated(
        self,
        base: Option<&Record>,
        sent: &Record,
        only: Option<&[String]>,
        found: &Record,
        drops: &HashSet<String>,
    ) -> Standing {
        let empty = Record::from_stored(sent.id().clone(), sent.system().clone(), "{}");
        let base = base.unwrap_or(&empty);
        let (base, sent, found) = (Members::of(base), Members::of(sent), Members::of(found));
        let (mut taken, mut at_base, mut changed, mut told) = (true, true, false, false);
        for name in names(&[&base, &sent]) {
            let (old, ours, theirs) = (base.value(&name), sent.value(&name), found.value(&name));
            let unsent = only.is_some_and(|only| !only.contains(&name));
            if unsent || means(&ours, &old) || self.is_same(&name, &sent, &base) {
                continue;
            }
            changed = true;
            // A server that does not know the member leaves no trace of it, whether it got it or not.
            if theirs.is_null() && old.is_null() {
                told |= drops.contains(&*name);
                continue;
            }
            // What was left out may be back with its default, which happens to be what was there before.
            if ours.is_null() && is_name(&theirs) && old == theirs {
                continue;
            }
            told = true;
            taken &= means(&ours, &theirs) || self.is_same(&name, &sent, &found);
            at_base &= same_value(&old, &theirs)
                || value_means(&old, &theirs)
                || self.is_same(&name, &base, &found);
        }
        match (taken, at_base) {
            _ if !changed => Standing::Taken,
            _ if !told => Standing::Open,
            (true, _) => Standing::Taken,
            (false, true) => Standing::AtBase,
            (false, false) => Standing::Open,
        }
    }

    /// What was sent and a later edit of it, both in the words of the server: members that mean the same as the server's are given its
    /// text, so that only real changes are left between them.
    pub(crate) fn aligned(self, sent: &Record, edited: &Record, row: &Record) -> (Record, Record) {
        let (ours, later, theirs) = (Members::of(sent), Members::of(edited), Members::of(row));
        let (mut base, mut local) = (Vec::new(), Vec::new());
        let all = names(&[&ours, &later, &theirs]);
        for name in &all {
            let (old, new) = (ours.text(name), later.text(name));
            let (was, is) = (ours.value(name), theirs.value(name));
            let silent = was.is_null() && (means(&was, &is) || is_name(&is));
            let unknown = !was.is_null() && theirs.text(name).is_none();
            let same = self.is_same(name, &ours, &theirs);
            let before = if silent || unknown || same || means(&was, &is) {
                theirs.text(name)
            } else {
                old
            };
            let untouched = old == new
                || same_value(&was, &later.value(name))
                || self.is_same(name, &ours, &later);
            let after = if untouched { before } else { new };
            push(&mut base, name, before);
            push(&mut local, name, after);
        }
        let built = |record: &Record, members: &[Member<'_>]| {
            Record::from_stored(
                record.id().clone(),
                record.system().clone(),
                body_text(members),
            )
        };
        (built(sent, &base), built(edited, &local))
    }

    /// True where a declared member is the same in two records, if one that is missing stands for its default.
    fn is_same(self, name: &str, left: &Members<'_>, right: &Members<'_>) -> bool {
        let Some(default) = self.0.value(name) else {
            return false;
        };
        let value = |members: &Members<'_>| match members.text(name) {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => default.clone(),
        };
        let (left, right) = (value(left), value(right));
        same_value(&left, &right) || value_means(&left, &right)
    }
}

/// The members that were sent with a value and that the answer lacks: a server that accepted them does not know them. `only`: these
/// were sent alone.
pub(crate) fn dropped(sent: &Record, answer: &Record, only: Option<&[String]>) -> Vec<String> {
    if sent.body() == answer.body() {
        return Vec::new();
    }
    let (sent, answer) = (Members::of(sent), Members::of(answer));
    let was_sent = |name: &str| only.is_none_or(|only| only.iter().any(|sent| sent == name));
    let lacks =
        |name: &&str| was_sent(name) && !sent.value(name).is_null() && answer.text(name).is_none();
    let names = sent.0.iter().map(|(name, _)| &**name);
    names.filter(lacks).map(str::to_owned).collect()
}

/// The record with what it leaves out where that was the zero of its type, or its default. To leave that out takes nothing away, and a
/// server with types has no other way to keep nothing than its zero.
pub(crate) fn with_zeros(base: &Record, local: &Record, defaults: &Defaults) -> Record {
    let (old, new) = (Members::of(base), Members::of(local));
    let left_out = |(name, text): &&Member<'_>| {
        let value = serde_json::from_str(text).unwrap_or_default();
        let stood_for = || match defaults.value(name) {
            Some(default) => same_value(default, &value),
            None => means(&Value::Null, &value),
        };
        new.text(name).is_none() && !Value::is_null(&value) && stood_for()
    };
    let zeros: Vec<Member<'_>> = old.0.iter().filter(left_out).cloned().collect();
    if zeros.is_empty() {
        return local.clone();
    }
    let all: Vec<Member<'_>> = new.0.into_iter().chain(zeros).collect();
    let (id, system) = (local.id().clone(), local.system().clone());
    Record::from_stored(id, system, body_text(&all))
}

fn push<'a>(members: &mut Vec<Member<'a>>, name: &'a str, text: Option<&'a str>) {
    if let Some(text) = text {
        members.push((Cow::Borrowed(name), text));
    }
}

/// A record's members, to be found by name.
struct Members<'a>(Vec<Member<'a>>);

impl<'a> Members<'a> {
    fn of(record: &'a Record) -> Self {
        Self(record.members())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, text)| *text)
    }

    /// The value of a member; a missing one is `null`.
    fn value(&self, name: &str) -> Value {
        let text = self.text(name);
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }
}

fn names(records: &[&Members<'_>]) -> BTreeSet<String> {
    let members = records.iter().flat_map(|members| &members.0);
    members.map(|(name, _)| name.clone().into_owned()).collect()
}

/// True where a server that was sent `sent` may hold `found`. Of what was sent as nothing, the zero of the type may be left.
fn means(sent: &Value, found: &Value) -> bool {
    match sent {
        Value::Null => match found {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            _ => false,
        },
        sent => value_means(sent, found),
    }
}

/// True where two values say the same.
fn value_means(sent: &Value, found: &Value) -> bool {
    match (sent, found) {
        (Value::String(sent), Value::String(found)) => {
            sent == found || same_instant(sent, found) || same_guid(sent, found)
        }
        (Value::Array(sent), Value::Array(found)) => {
            sent.len() == found.len() && sent.iter().zip(found).all(|(a, b)| value_means(a, b))
        }
        (Value::Object(sent), Value::Object(found)) => {
            sent.keys().chain(found.keys()).all(|name| {
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(name).cloned().unwrap_or_default()
                };
                means(&of(sent), &of(found))
            })
        }
        _ => same_value(sent, found),
    }
}

/// True for text that may be the name of an enum's first value, which a server gives to what was left out.
fn is_name(value: &Value) -> bool {
    let Value::String(text) = value else {
        return false;
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(word)
}

/// True where `found` is the instant `sent`, cut or rounded to the digits that the server prints.
fn same_instant(sent: &str, found: &str) -> bool {
    let (Ok(sent), Ok(at)) = (sent.parse::<Timestamp>(), found.parse::<Timestamp>()) else {
        return false;
    };
    let printed = found.split_once('.').map_or(0, |(_, rest)| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let printed = u32::try_from(printed).unwrap_or(TICK_DIGITS);
    let digits = printed.clamp(LEAST_DIGITS, TICK_DIGITS);
    let unit = 10_i64.pow(TICK_DIGITS - digits);
    let (sent, at) = (sent.ticks(), at.ticks());
    let cut = sent.div_euclid(unit).checked_mul(unit);
    let rounded = sent
        .checked_add(unit / 2)
        .and_then(|sent| sent.div_euclid(unit).checked_mul(unit));
    cut == Some(at) || rounded == Some(at)
}

/// True for two spellings of one GUID.
fn same_guid(sent: &str, found: &str) -> bool {
    let value = |text: &str| -> Option<u128> {
        let text = text.trim_start_matches('{').trim_end_matches('}');
        let dashes = text.matches('-').count();
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        let shaped = hex.len() == 32 && matches!(dashes, 0 | 4);
        shaped
            .then(|| u128::from_str_radix(&hex, 16).ok())
            .flatten()
    };
    matches!((value(sent), value(found)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests;
