//! SQL functions that compute exactly what the reference evaluation computes, where SQLite's own differ
//! (letters beyond ASCII, texts with a NUL, integers that overflow).

use std::cell::Cell;
use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result};
use synctable_core::query::{BinaryOp, Number, text};
use synctable_core::{Date, Record, RecordId, SystemProperties, TimeOfDay, Timestamp};

use super::constant::date_time;
use crate::gauge::Gauge;

/// Makes the functions known to a connection. What they take counts on its gauge.
pub(crate) fn register(conn: &Connection, gauge: &Arc<Gauge>) -> Result<()> {
    let functions = Functions { conn, gauge };
    functions.texts()?;
    functions.numbers()?;
    functions.moments()?;
    let spent = Arc::clone(gauge);
    // Not deterministic: it counts each row.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function("synctable_spend", 1, flags, move |context| {
        if spent.take(context.get(0)?) {
            Ok(1)
        } else {
            Err(over_budget())
        }
    })
}

struct Functions<'a> {
    conn: &'a Connection,
    gauge: &'a Arc<Gauge>,
}

impl Functions<'_> {
    fn moments(&self) -> Result<()> {
        for (name, part) in PARTS {
            self.scalar(name, 2, move |args| {
                moment(args.text(0)?, args.value(1)?)?
                    .parts()
                    .get(part)
                    .copied()?
            })?;
            self.scalar(name, 4, move |args| {
                args.local()?.parts().get(part).copied()?
            })?;
        }
        self.scalar("synctable_to_date", 2, |args| {
            Some(moment(args.text(0)?, args.value(1)?)?.0?.days())
        })?;
        self.scalar("synctable_to_date", 4, |args| Some(args.local()?.0?.days()))?;
        self.scalar("synctable_to_time", 2, |args| {
            Some(moment(args.text(0)?, args.value(1)?)?.1?.ticks())
        })?;
        self.scalar("synctable_to_time", 4, |args| {
            Some(args.local()?.1?.ticks())
        })?;
        self.scalar("synctable_cast", 2, |args| {
            let value = args.value(1)?;
            Some(match (args.text(0)?, value) {
                ("bool", ValueRef::Integer(value)) => (value != 0).to_string(),
                ("number", ValueRef::Integer(value)) => value.to_string(),
                ("number", ValueRef::Real(value)) => text::of_float(value),
                ("datetime", ValueRef::Integer(ticks)) => Timestamp::from_ticks(ticks).to_string(),
                ("date", ValueRef::Integer(days)) => {
                    Date::from_days(i32::try_from(days).ok()?).to_string()
                }
                ("time", ValueRef::Integer(ticks)) => TimeOfDay::from_ticks(ticks).to_string(),
                _ => return None,
            })
        })?;
        self.scalar("synctable_datetime", 1, |args| {
            date_time(args.text(0)?).map(Timestamp::ticks)
        })?;
        self.scalar("synctable_date", 1, |args| {
            Some(i64::from(args.text(0)?.parse::<Date>().ok()?.days()))
        })?;
        self.scalar("synctable_time", 1, |args| {
            Some(args.text(0)?.parse::<TimeOfDay>().ok()?.ticks())
        })
    }

    fn texts(&self) -> Result<()> {
        self.scalar("synctable_tolower", 1, |args| {
            Some(args.text(0)?.to_lowercase())
        })?;
        self.scalar("synctable_toupper", 1, |args| {
            Some(args.text(0)?.to_uppercase())
        })?;
        self.scalar("synctable_trim", 1, |args| {
            Some(args.text(0)?.trim().to_owned())
        })?;
        self.scalar("synctable_length", 1, |args| count(args.text(0)?))?;
        self.scalar("synctable_concat", 2, |args| {
            text::concat(args.text(0)?, args.text(1)?, |bytes| args.may_make(bytes))
        })?;
        self.scalar("synctable_contains", 2, |args| {
            Some(args.text(0)?.contains(args.text(1)?))
        })?;
        self.scalar("synctable_indexof", 2, |args| {
            let (text, part) = (args.text(0)?, args.text(1)?);
            match text.split_once(part) {
                Some((before, _)) => count(before),
                None => Some(-1),
            }
        })?;
        for arguments in [2, 3] {
            self.scalar("synctable_substring", arguments, |args| {
                let (text, start) = (args.text(0)?, args.integer(1)?);
                let rest = text.chars().skip(place(start));
                Some(match args.value(2) {
                    None => rest.collect::<String>(),
                    Some(_) => rest.take(place(args.integer(2)?)).collect(),
                })
            })?;
        }
        self.scalar("synctable_replace", 3, |args| {
            let (text, find, by) = (args.text(0)?, args.text(1)?, args.text(2)?);
            text::replace(text, find, by, |bytes| args.may_make(bytes))
        })?;
        self.scalar("synctable_startswith", 2, |args| {
            Some(args.text(0)?.starts_with(args.text(1)?))
        })?;
        self.scalar("synctable_endswith", 2, |args| {
            Some(args.text(0)?.ends_with(args.text(1)?))
        })
    }

    fn numbers(&self) -> Result<()> {
        for op in BinaryOp::ALL.into_iter().filter(|op| op.is_arithmetic()) {
            self.scalar(&format!("synctable_{}", op.name()), 2, move |args| {
                compute(op, args.number(0)?, args.number(1)?)
            })?;
        }
        // By a column whose zero is not an integer's.
        self.scalar("synctable_div_number", 2, |args| {
            let by = match args.number(1)? {
                Number::Int(0) => Number::Float(0.0),
                by => by,
            };
            compute(BinaryOp::Div, args.number(0)?, by)
        })?;
        self.scalar("synctable_negate", 1, |args| match args.value(0)? {
            ValueRef::Integer(value) => value.checked_neg().map(Value::Integer),
            ValueRef::Real(value) => Some(Value::Real(-value)),
            _ => None,
        })?;
        self.rounding("synctable_floor", f64::floor)?;
        self.rounding("synctable_ceiling", f64::ceil)?;
        self.rounding("synctable_round", f64::round)
    }

    fn scalar<T: rusqlite::ToSql>(
        &self,
        name: &str,
        arguments: i32,
        compute: impl Fn(&Arguments<'_, '_>) -> Option<T> + Send + Sync + 'static,
    ) -> Result<()> {
        let flags = FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_DIRECTONLY;
        let gauge = Arc::clone(self.gauge);
        self.conn
            .create_scalar_function(name, arguments, flags, move |context| {
                let args = Arguments {
                    context,
                    gauge: &gauge,
                    refused: Cell::new(false),
                };
                let value = if gauge.read(args.bytes()) {
                    compute(&args)
                } else {
                    return Err(over_budget());
                };
                if args.refused.get() {
                    Err(over_budget())
                } else {
                    Ok(value)
                }
            })
    }

    fn rounding(&self, name: &str, round: fn(f64) -> f64) -> Result<()> {
        self.scalar(name, 1, move |args| match args.value(0)? {
            ValueRef::Integer(value) => Some(Value::Integer(value)),
            ValueRef::Real(value) => Some(Value::Real(round(value))),
            _ => None,
        })
    }
}

/// The functions for parts of a time, and the place of each part in what [`part_of`] gives.
const PARTS: [(&str, usize); 6] = [
    ("synctable_year", 0),
    ("synctable_month", 1),
    ("synctable_day", 2),
    ("synctable_hour", 3),
    ("synctable_minute", 4),
    ("synctable_second", 5),
];

/// The date and the time of day of a value, as far as it has them.
struct Moment(Option<Date>, Option<TimeOfDay>);

impl Moment {
    /// Year to second.
    fn parts(&self) -> [Option<i64>; 6] {
        let date = self.0.map(Date::parts);
        let time = self.1.map(TimeOfDay::parts);
        [
            date.map(|date| date.0.into()),
            date.map(|date| date.1.into()),
            date.map(|date| date.2.into()),
            time.map(|time| time.0),
            time.map(|time| time.1),
            time.map(|time| time.2),
        ]
    }

    fn of(time: Timestamp) -> Self {
        Self(Some(time.local_date()), Some(time.local_time_of_day()))
    }
}

/// What a value of a kind says.
fn moment(kind: &str, value: ValueRef<'_>) -> Option<Moment> {
    match (kind, value) {
        ("datetime", ValueRef::Integer(ticks)) => Some(Moment::of(Timestamp::from_ticks(ticks))),
        ("date", ValueRef::Integer(days)) => Some(Moment(
            Some(Date::from_days(i32::try_from(days).ok()?)),
            None,
        )),
        ("time", ValueRef::Integer(ticks)) => {
            Some(Moment(None, Some(TimeOfDay::from_ticks(ticks))))
        }
        ("text", value) => {
            let text = value.as_str().ok()?;
            let time = text.parse().ok().map(Moment::of);
            Some(time.unwrap_or_else(|| Moment(text.parse().ok(), text.parse().ok())))
        }
        _ => None,
    }
}

/// The arguments of a call; `None` stands for `NULL` and for a value of another type.
struct Arguments<'a, 'b> {
    context: &'a Context<'b>,
    gauge: &'a Gauge,
    refused: Cell<bool>,
}

impl Arguments<'_, '_> {
    /// What a column of date-times says of its row, by the offset that stands in the row's body: `kind, ticks, body, member`.
    fn local(&self) -> Option<Moment> {
        let plain = moment(self.text(0)?, self.value(1)?)?;
        // Without a body of its own the row prints its times in UTC.
        let Some(body) = self.text(2).filter(|body| !body.is_empty()) else {
            return Some(plain);
        };
        let member = self.text(3)?;
        let record = Record::from_stored(RecordId::system("x"), SystemProperties::default(), body);
        let members = record.members();
        let found = members.iter().rfind(|(name, _)| name == member);
        let time = found.and_then(|(_, json)| serde_json::from_str::<Timestamp>(json).ok());
        Some(time.map_or(plain, Moment::of))
    }

    /// The length of all texts together.
    fn bytes(&self) -> usize {
        let length = |at| match self.context.get_raw(at) {
            ValueRef::Text(text) => text.len(),
            _ => 0,
        };
        (0..self.context.len()).map(length).sum()
    }

    /// Whether a text of this length may be made; if not, the call fails.
    fn may_make(&self, bytes: usize) -> bool {
        let may = self.gauge.make(bytes);
        self.refused.set(!may);
        may
    }

    fn value(&self, at: usize) -> Option<ValueRef<'_>> {
        (at < self.context.len()).then(|| self.context.get_raw(at))
    }

    fn text(&self, at: usize) -> Option<&str> {
        self.value(at)?.as_str().ok()
    }

    fn integer(&self, at: usize) -> Option<i64> {
        self.value(at)?.as_i64().ok()
    }

    fn number(&self, at: usize) -> Option<Number> {
        match self.value(at)? {
            ValueRef::Integer(value) => Some(Number::Int(value)),
            ValueRef::Real(value) => Some(Number::Float(value)),
            _ => None,
        }
    }
}

/// A number as the reference evaluation computes with it.
fn compute(op: BinaryOp, left: Number, right: Number) -> Option<Value> {
    Some(match op.compute(left, right)? {
        Number::Int(value) => Value::Integer(value),
        Number::Float(value) => Value::Real(value),
    })
}

fn over_budget() -> rusqlite::Error {
    rusqlite::Error::UserFunctionError("beyond the budget".into())
}

fn count(text: &str) -> Option<i64> {
    i64::try_from(text.chars().count()).ok()
}

fn place(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}
