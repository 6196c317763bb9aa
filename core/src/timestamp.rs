//! Points in time, dates and times of day. They hide the date library and compare as integers.

mod digits;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use jiff::civil;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use digits::Digits;

/// Text that is not a time in the form that was expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a valid {expected}, such as {example}")]
pub struct TimeError {
    expected: &'static str,
    example: &'static str,
}

const BAD_TIMESTAMP: TimeError = TimeError {
    expected: "date-time with offset",
    example: "2026-01-31T12:00:00.000Z",
};
const BAD_DATE: TimeError = TimeError {
    expected: "date",
    example: "2026-01-31",
};
const BAD_TIME: TimeError = TimeError {
    expected: "time of day",
    example: "12:30:00.000",
};

const TICKS_PER_SECOND: i64 = 10_000_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// 0001-01-01T00:00:00Z and the last tick of the year 9999.
const MIN_TICKS: i64 = -62_135_596_800 * TICKS_PER_SECOND;
const MAX_TICKS: i64 = 253_402_300_800 * TICKS_PER_SECOND - 1;

/// A point in time: 100 ns ticks since 1970-01-01T00:00:00Z, from year 1 to year 9999, and the offset from UTC with which it was written.
///
/// Two times are equal when they are the same point, whatever their offsets. Text with more than seven fraction digits is cut, never
/// rounded up. Prints in UTC, with three fraction digits, or with seven where three would lose something.
///
/// ```
/// use synctable_core::Timestamp;
/// let t: Timestamp = "2026-01-31T12:00:00.5+01:00".parse().unwrap();
/// assert_eq!(t.to_string(), "2026-01-31T11:00:00.500Z");
/// assert_eq!(t.local_time_of_day().parts().0, 12);
/// ```
#[derive(Clone, Copy)]
pub struct Timestamp {
    ticks: i64,
    /// Minutes before UTC.
    offset: i16,
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.ticks == other.ticks
    }
}

impl Eq for Timestamp {}

impl Hash for Timestamp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ticks.hash(state);
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ticks.cmp(&other.ticks)
    }
}

impl Timestamp {
    /// The earliest: 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self::at_utc(MIN_TICKS);
    /// The latest: the last tick of the year 9999.
    pub const MAX: Self = Self::at_utc(MAX_TICKS);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self::at_utc(0);

    const fn at_utc(ticks: i64) -> Self {
        Self { ticks, offset: 0 }
    }

    /// From 100 ns ticks since 1970; cut to the range of the type.
    pub fn from_ticks(ticks: i64) -> Self {
        Self::at_utc(ticks.clamp(MIN_TICKS, MAX_TICKS))
    }

    /// 100 ns ticks since 1970.
    pub fn ticks(self) -> i64 {
        self.ticks
    }

    /// From milliseconds since 1970; cut to the range of the type.
    pub fn from_millis(millis: i64) -> Self {
        Self::from_ticks(millis.saturating_mul(10_000))
    }

    /// Whole milliseconds since 1970, cut downwards.
    pub fn millis(self) -> i64 {
        self.ticks.div_euclid(10_000)
    }

    /// The start of the millisecond in which this time lies.
    #[must_use]
    pub fn floor_millis(self) -> Self {
        Self::from_millis(self.millis())
    }

    /// This time plus `millis` (which may be negative), cut to the range of the type.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_ticks(self.ticks.saturating_add(millis.saturating_mul(10_000)))
    }

    /// The calendar date in UTC.
    pub fn date(self) -> Date {
        Date(i32::try_from(self.ticks.div_euclid(TICKS_PER_DAY)).unwrap_or_default())
    }

    /// The time of day in UTC.
    pub fn time_of_day(self) -> TimeOfDay {
        TimeOfDay(self.ticks.rem_euclid(TICKS_PER_DAY))
    }

    /// The calendar date where it was written, by its own offset.
    pub fn local_date(self) -> Date {
        self.local().date()
    }

    /// The time of day where it was written, by its own offset.
    pub fn local_time_of_day(self) -> TimeOfDay {
        self.local().time_of_day()
    }

    /// The same point in time as one that was written in UTC.
    #[must_use]
    pub fn utc(self) -> Self {
        Self::at_utc(self.ticks)
    }

    /// The point whose parts in UTC are those of this one by its own offset.
    fn local(self) -> Self {
        let offset = i64::from(self.offset) * 60 * TICKS_PER_SECOND;
        Self::from_ticks(self.ticks.saturating_add(offset))
    }

    /// Midnight UTC at the start of `date`.
    pub fn at_midnight(date: Date) -> Self {
        Self::from_ticks(i64::from(date.0).saturating_mul(TICKS_PER_DAY))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        // Not the library's own parser: it reads more forms than a server may send, and ends a day before 9999 does.
        let parse = || {
            let date: Date = text.get(..10)?.parse().ok()?;
            let rest = text.get(10..)?.strip_prefix(['T', 't', ' '])?;
            let (time, offset) = match rest.strip_suffix(['Z', 'z']) {
                Some(time) => (time, 0),
                None => {
                    let (time, offset) = rest.split_at_checked(rest.rfind(['+', '-'])?)?;
                    (time, offset_minutes(offset)?)
                }
            };
            let time: TimeOfDay = time.parse().ok()?;
            let local = i64::from(date.0) * TICKS_PER_DAY + time.0;
            let ticks = local - i64::from(offset) * 60 * TICKS_PER_SECOND;
            (MIN_TICKS..=MAX_TICKS)
                .contains(&ticks)
                .then_some(Self { ticks, offset })
        };
        parse().ok_or(BAD_TIMESTAMP)
    }
}

/// `+HH:MM`, `-HH:MM`, `+HHMM` or `+HH` as minutes.
fn offset_minutes(text: &str) -> Option<i16> {
    let digits: String = text.get(1..)?.replacen(':', "", 1);
    let valid = matches!(digits.len(), 2 | 4) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: i16 = if valid {
        digits.parse().ok()?
    } else {
        return None;
    };
    let (hours, minutes) = if digits.len() == 2 {
        (number, 0)
    } else {
        (number / 100, number % 100)
    };
    let offset = hours * 60 + minutes;
    (hours < 24 && minutes < 60).then_some(if text.starts_with('-') {
        -offset
    } else {
        offset
    })
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Digits::default();
        text.date(self.date());
        text.byte(b'T');
        text.time(self.time_of_day());
        text.byte(b'Z');
        f.write_str(text.as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A calendar date, from year 1 to year 9999.
///
/// ```
/// use synctable_core::Date;
/// assert_eq!("2024-02-29".parse::<Date>().unwrap().to_string(), "2024-02-29");
/// assert!("2023-02-29".parse::<Date>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(i32);

impl Date {
    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// From days since 1970-01-01; cut to the range of the type.
    pub fn from_days(days: i32) -> Self {
        Self(days.clamp(-719_162, 2_932_896))
    }

    /// Year, month and day.
    pub fn parts(self) -> (i16, i8, i8) {
        let date = self.civil();
        (date.year(), date.month(), date.day())
    }

    fn civil(self) -> civil::Date {
        let span = jiff::Span::new().days(self.0);
        civil::date(1970, 1, 1)
            .checked_add(span)
            .unwrap_or(civil::Date::ZERO)
    }
}

impl std::str::FromStr for Date {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let number = |range: std::ops::Range<usize>| -> Option<i16> {
            let digits = text.get(range)?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        };
        let parse = || {
            if text.len() != 10 || text.get(4..5)? != "-" || text.get(7..8)? != "-" {
                return None;
            }
            let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
            if year == 0 {
                return None;
            }
            let date =
                civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
            let days = date
                .since((jiff::Unit::Day, civil::date(1970, 1, 1)))
                .ok()?
                .get_days();
            Some(Self(days))
        };
        parse().ok_or(BAD_DATE)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Digits::default();
        text.date(*self);
        f.write_str(text.as_str())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time of day in 100 ns ticks since midnight.
///
/// ```
/// use synctable_core::TimeOfDay;
/// assert_eq!("02:14:00".parse::<TimeOfDay>().unwrap().to_string(), "02:14:00.000");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeOfDay(i64);

impl TimeOfDay {
    /// 100 ns ticks since midnight.
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// From 100 ns ticks since midnight; cut to one day.
    pub fn from_ticks(ticks: i64) -> Self {
        Self(ticks.clamp(0, TICKS_PER_DAY - 1))
    }

    /// Hour, minute, second and the ticks below a second.
    pub fn parts(self) -> (i64, i64, i64, i64) {
        let seconds = self.0 / TICKS_PER_SECOND;
        (
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            self.0 % TICKS_PER_SECOND,
        )
    }
}

impl std::str::FromStr for TimeOfDay {
    type Err = TimeError;

    /// Reads `HH:mm`, `HH:mm:ss` and up to nine fraction digits.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let two = |range: std::ops::Range<usize>, limit: i64| -> Option<i64> {
            let digits = text.get(range)?;
            let value: i64 = digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())??;
            (value < limit).then_some(value)
        };
        let parse = || {
            let mut ticks = (two(0..2, 24)? * 60 + two(3..5, 60)?) * 60 * TICKS_PER_SECOND;
            if text.get(2..3)? != ":" {
                return None;
            }
            if text.len() > 5 {
                if text.get(5..6)? != ":" {
                    return None;
                }
                ticks += two(6..8, 60)? * TICKS_PER_SECOND;
            }
            if text.len() > 8 {
                let fraction = text.get(8..)?.strip_prefix('.')?;
                let valid = (1..=9).contains(&fraction.len())
                    && fraction.bytes().all(|b| b.is_ascii_digit());
                if !valid {
                    return None;
                }
                let seven = fraction.bytes().chain(std::iter::repeat(b'0')).take(7);
                ticks += seven.fold(0, |ticks, digit| ticks * 10 + i64::from(digit - b'0'));
            }
            Some(Self(ticks))
        };
        parse().ok_or(BAD_TIME)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Digits::default();
        text.time(*self);
        f.write_str(text.as_str())
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Timestamp, Date, TimeOfDay);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_fraction_and_offset_and_never_rounds_up() {
        let cases = [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00.100Z"),
            (
                "2026-01-31T12:00:00.999999999Z",
                "2026-01-31T12:00:00.9999999Z",
            ),
            ("2026-01-31T00:30:00.5+01:00", "2026-01-30T23:30:00.500Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            (
                "9999-12-31T23:59:59.9999999Z",
                "9999-12-31T23:59:59.9999999Z",
            ),
        ];
        for (text, printed) in cases {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), printed);
        }
        for bad in [
            "",
            "2026",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-13-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "x",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_keeps_the_offset_it_was_written_with() {
        for (text, date, hour) in [
            ("2026-01-31T12:00:00Z", "2026-01-31", 12),
            ("2026-01-31T23:30:00-01:00", "2026-01-31", 23),
            ("2026-02-01T00:30:00+02:00", "2026-02-01", 0),
            ("9999-12-31T23:59:59-00:00", "9999-12-31", 23),
            ("0001-01-01T05:00:00+05:00", "0001-01-01", 5),
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.local_date().to_string(), date, "{text}");
            assert_eq!(time.local_time_of_day().parts().0, hour, "{text}");
            assert_eq!(time.utc(), time);
            assert_eq!(time.utc().local_date(), time.date());
        }
    }

    #[test]
    fn dates_and_times_reject_nonsense() {
        for bad in [
            "2023-02-29",
            "0000-01-01",
            "2026-1-01",
            "2026-01-01T",
            "+026-01-01",
            "",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
        for bad in [
            "24:00:00",
            "1:00",
            "12:60",
            "12:00:00.",
            "12:00:00.1234567890",
            "12-00",
            "",
            "12:00:",
        ] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_tick_prints_and_parses_back(ticks in MIN_TICKS..=MAX_TICKS) {
            let time = Timestamp::from_ticks(ticks);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            prop_assert_eq!(time.date().to_string().parse::<Date>().unwrap(), time.date());
            prop_assert_eq!(time.time_of_day().to_string().parse::<TimeOfDay>().unwrap(), time.time_of_day());
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
            let _ = text.parse::<Date>();
            let _ = text.parse::<TimeOfDay>();
        }
    }
}
