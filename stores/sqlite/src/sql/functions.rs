//! SQL functions that compute exactly what the reference evaluation computes, where SQLite's own differ
//! (letters beyond ASCII, texts with a NUL, integers that overflow).

use std::cell::Cell;
use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result};
use synctable_core::query::text;
use synctable_core::{Date, TimeOfDay, Timestamp};

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
                part_of(args.text(0)?, args.value(1)?).and_then(|parts| parts.get(part).copied()?)
            })?;
        }
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
        self.arithmetic("synctable_add", i64::checked_add, |a, b| a + b)?;
        self.arithmetic("synctable_sub", i64::checked_sub, |a, b| a - b)?;
        self.arithmetic("synctable_mul", i64::checked_mul, |a, b| a * b)?;
        self.arithmetic("synctable_div", i64::checked_div, |a, b| a / b)?;
        self.arithmetic("synctable_mod", i64::checked_rem, |a, b| a % b)?;
        self.scalar("synctable_negate", 1, |args| match args.value(0)? {
            ValueRef::Integer(value) => value.checked_neg().map(Value::Integer),
            ValueRef::Real(value) => Some(Value::Real(-value)),
            _ => None,
        })?;
        self.rounding("synctable_floor", f64::floor)?;
        self.rounding("synctable_ceiling", f64::ceil)?;
        self.rounding("synctable_round", f64::round_ties_even)
    }

    fn arithmetic(
        &self,
        name: &str,
        integers: fn(i64, i64) -> Option<i64>,
        floats: fn(f64, f64) -> f64,
    ) -> Result<()> {
        self.scalar(name, 2, move |args| {
            if let (ValueRef::Integer(a), ValueRef::Integer(b)) = (args.value(0)?, args.value(1)?) {
                return integers(a, b).map(Value::Integer);
            }
            let result = floats(args.float(0)?, args.float(1)?);
            result.is_finite().then_some(Value::Real(result))
        })
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

/// Year to second of a value of a kind; a kind that lacks a part has `None` there.
fn part_of(kind: &str, value: ValueRef<'_>) -> Option<[Option<i64>; 6]> {
    let date = |date: Date| {
        let (year, month, day) = date.parts();
        [Some(year.into()), Some(month.into()), Some(day.into())]
    };
    let time = |time: TimeOfDay| {
        let (hour, minute, second, _) = time.parts();
        [Some(hour), Some(minute), Some(second)]
    };
    let join = |[a, b, c]: [Option<i64>; 3], [d, e, f]: [Option<i64>; 3]| [a, b, c, d, e, f];
    let date_time = |at: Timestamp| join(date(at.date()), time(at.time_of_day()));
    let only_date = |day: Date| join(date(day), [None; 3]);
    let only_time = |at: TimeOfDay| join([None; 3], time(at));
    match (kind, value) {
        ("datetime", ValueRef::Integer(ticks)) => Some(date_time(Timestamp::from_ticks(ticks))),
        ("date", ValueRef::Integer(days)) => {
            Some(only_date(Date::from_days(i32::try_from(days).ok()?)))
        }
        ("time", ValueRef::Integer(ticks)) => Some(only_time(TimeOfDay::from_ticks(ticks))),
        ("text", value) => {
            let text = value.as_str().ok()?;
            let parsed = text.parse().ok().map(date_time);
            let parsed = parsed.or_else(|| text.parse().ok().map(only_date));
            parsed.or_else(|| text.parse().ok().map(only_time))
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

    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer beside a float is computed with as a float"
    )]
    fn float(&self, at: usize) -> Option<f64> {
        match self.value(at)? {
            ValueRef::Integer(value) => Some(value as f64),
            ValueRef::Real(value) => Some(value),
            _ => None,
        }
    }
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
