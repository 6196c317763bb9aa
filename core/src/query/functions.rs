//! Arithmetic and functions. An argument of the wrong kind gives null.

use std::borrow::Cow;

use super::budget::{Budget, Meter};
use super::value::Operand;
use super::{BinaryOp, Function, text};
use crate::timestamp::{Date, TimeOfDay, Timestamp};

const EARTH_RADIUS_KM: f64 = 6371.0;

/// A number to compute with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// Any other number, perhaps infinite.
    Float(f64),
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "float arithmetic is asked for")]
    fn as_float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl BinaryOp {
    /// `left op right` for an arithmetic operator: of two integers an integer. `None` beyond all numbers, and where an integer zero
    /// divides; a zero that is no integer makes infinity.
    ///
    /// ```
    /// use synctable_core::query::{BinaryOp, Number::{Float, Int}};
    /// assert_eq!(BinaryOp::Div.compute(Int(7), Int(2)), Some(Int(3)));
    /// assert_eq!(BinaryOp::Div.compute(Float(1.0), Int(0)), None);
    /// assert_eq!(BinaryOp::Div.compute(Int(-1), Float(0.0)), Some(Float(f64::NEG_INFINITY)));
    /// ```
    pub fn compute(self, left: Number, right: Number) -> Option<Number> {
        if let (Number::Int(a), Number::Int(b)) = (left, right) {
            let result = match self {
                Self::Add => a.checked_add(b),
                Self::Sub => a.checked_sub(b),
                Self::Mul => a.checked_mul(b),
                Self::Div => a.checked_div(b),
                Self::Mod => a.checked_rem(b),
                _ => None,
            };
            return result.map(Number::Int);
        }
        let (a, b) = (left.as_float(), right.as_float());
        let result = match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div if right == Number::Int(0) => f64::NAN,
            Self::Div => a / b,
            Self::Mod => a % b,
            _ => f64::NAN,
        };
        // Infinity comes from a zero or from infinity, never from numbers that are too large.
        let lawful = a.is_infinite() || b.is_infinite() || self == Self::Div && b == 0.0;
        (result.is_finite() || lawful && !result.is_nan()).then_some(Number::Float(result))
    }
}

/// `left op right` for an arithmetic operator.
pub(crate) fn arithmetic<'a>(op: BinaryOp, left: &Operand<'_>, right: &Operand<'_>) -> Operand<'a> {
    let number = |operand: &Operand<'_>| match operand {
        Operand::Int(number) => Some(Number::Int(*number)),
        Operand::Float(number) => Some(Number::Float(*number)),
        _ => None,
    };
    let result = number(left).zip(number(right));
    match result.and_then(|(left, right)| op.compute(left, right)) {
        Some(Number::Int(number)) => Operand::Int(number),
        Some(Number::Float(number)) => Operand::Float(number),
        None => Operand::Null,
    }
}

/// `-operand`.
pub(crate) fn negate<'a>(operand: &Operand<'_>) -> Operand<'a> {
    match operand {
        Operand::Int(number) => number.checked_neg().map_or(Operand::Null, Operand::Int),
        Operand::Float(number) => Operand::Float(-number),
        _ => Operand::Null,
    }
}

/// A function call; null where `meter` has no room for it.
pub(crate) fn call<'a>(
    function: Function,
    arguments: &[Operand<'a>],
    meter: &Meter<'_>,
) -> Operand<'a> {
    match (function, arguments) {
        (
            Function::Year
            | Function::Month
            | Function::Day
            | Function::Hour
            | Function::Minute
            | Function::Second,
            [moment],
        ) => part(function, moment).map_or(Operand::Null, Operand::Int),
        (Function::Floor | Function::Ceiling | Function::Round, [number]) => {
            round(function, number)
        }
        (Function::Date | Function::Time, [moment]) => date_or_time(function, moment),
        (Function::CastText, [value]) => cast_text(value, meter),
        (Function::GeoDistance, [from, to]) => {
            let distance = from
                .as_point()
                .zip(to.as_point())
                .map(|(from, to)| distance_km(from, to));
            distance.map_or(Operand::Null, Operand::Float)
        }
        _ => text_function(function, arguments, meter).unwrap_or(Operand::Null),
    }
}

fn round<'a>(function: Function, number: &Operand<'_>) -> Operand<'a> {
    match (number, function) {
        (Operand::Int(number), _) => Operand::Int(*number),
        (Operand::Float(number), Function::Floor) => Operand::Float(number.floor()),
        (Operand::Float(number), Function::Ceiling) => Operand::Float(number.ceil()),
        (Operand::Float(number), _) => Operand::Float(number.round()),
        _ => Operand::Null,
    }
}

/// The date and the time of day of a value, as far as it has them, by its own offset.
fn date_and_time(moment: &Operand<'_>) -> (Option<Date>, Option<TimeOfDay>) {
    let both = |moment: Timestamp| (Some(moment.local_date()), Some(moment.local_time_of_day()));
    match moment {
        Operand::DateTime(moment) => both(*moment),
        Operand::Date(date) => (Some(*date), None),
        Operand::Time(time) => (None, Some(*time)),
        Operand::Text(text) => match text.parse() {
            Ok(moment) => both(moment),
            Err(_) => (text.parse().ok(), text.parse().ok()),
        },
        _ => (None, None),
    }
}

fn date_or_time<'a>(function: Function, moment: &Operand<'_>) -> Operand<'a> {
    match (function, date_and_time(moment)) {
        (Function::Date, (Some(date), _)) => Operand::Date(date),
        (Function::Time, (_, Some(time))) => Operand::Time(time),
        _ => Operand::Null,
    }
}

/// A value as text, as a filter would write it without quotes.
fn cast_text<'a>(value: &Operand<'a>, meter: &Meter<'_>) -> Operand<'a> {
    let owned = |text: String| Operand::Text(Cow::Owned(text));
    match value {
        Operand::Bool(value) => owned(value.to_string()),
        Operand::Int(value) => owned(value.to_string()),
        Operand::Float(value) => owned(text::of_float(*value)),
        Operand::DateTime(value) => owned(value.to_string()),
        Operand::Date(value) => owned(value.to_string()),
        Operand::Time(value) => owned(value.to_string()),
        Operand::Text(text) if meter.take(Budget::steps_for(text.len())) => value.clone(),
        Operand::Guid(_) | Operand::Enum { .. } => value
            .as_text()
            .map_or(Operand::Null, |text| owned(text.to_owned())),
        _ => Operand::Null,
    }
}

fn part(function: Function, moment: &Operand<'_>) -> Option<i64> {
    let (date, time) = date_and_time(moment);
    match function {
        Function::Year => date.map(|date| date.parts().0.into()),
        Function::Month => date.map(|date| date.parts().1.into()),
        Function::Day => date.map(|date| date.parts().2.into()),
        Function::Hour => time.map(|time| time.parts().0),
        Function::Minute => time.map(|time| time.parts().1),
        _ => time.map(|time| time.parts().2),
    }
}

fn distance_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (lon1, lat1) = (from.0.to_radians(), from.1.to_radians());
    let (lon2, lat2) = (to.0.to_radians(), to.1.to_radians());
    let (dlat, dlon) = ((lat2 - lat1) / 2.0, (lon2 - lon1) / 2.0);
    let h = dlat.sin().powi(2) + lat1.cos() * lat2.cos() * dlon.sin().powi(2);
    2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
}

fn text_function<'a>(
    function: Function,
    arguments: &[Operand<'a>],
    meter: &Meter<'_>,
) -> Option<Operand<'a>> {
    let texts = arguments.iter().filter_map(Operand::as_text);
    let read = texts.map(str::len).fold(0, usize::saturating_add);
    if !meter.take(Budget::steps_for(read)) {
        return None;
    }
    let argument = |place: usize| arguments.get(place).and_then(Operand::as_text);
    let number = |place: usize| match arguments.get(place) {
        Some(Operand::Int(number)) => Some(*number),
        _ => None,
    };
    let owned = |text: String| Operand::Text(Cow::Owned(text));
    let subject = argument(0)?;
    Some(match function {
        Function::ToLower => owned(subject.to_lowercase()),
        Function::ToUpper => owned(subject.to_uppercase()),
        Function::Trim => owned(subject.trim().to_owned()),
        Function::Length => Operand::Int(chars(subject)),
        Function::Concat => owned(text::concat(subject, argument(1)?, |bytes| {
            meter.make(bytes)
        })?),
        Function::IndexOf => {
            let found = subject.find(argument(1)?);
            Operand::Int(found.and_then(|at| subject.get(..at)).map_or(-1, chars))
        }
        Function::Substring => {
            let start = index(number(1)?);
            let rest = subject.chars().skip(start);
            match arguments.get(2) {
                None => owned(rest.collect()),
                Some(_) => owned(rest.take(index(number(2)?)).collect()),
            }
        }
        Function::Replace => {
            let (find, by) = (argument(1)?, argument(2)?);
            owned(text::replace(subject, find, by, |bytes| meter.make(bytes))?)
        }
        Function::StartsWith => Operand::Bool(subject.starts_with(argument(1)?)),
        Function::EndsWith => Operand::Bool(subject.ends_with(argument(1)?)),
        Function::Contains => Operand::Bool(subject.contains(argument(1)?)),
        _ => return None,
    })
}

fn chars(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// A position or count: below zero is zero.
fn index(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}
