//! Dates and times as text, put together digit by digit: each record has some, and the formatter takes ten times as long.

use super::{Date, TimeOfDay};

/// The text so far.
#[derive(Default)]
pub(super) struct Digits {
    /// As long as the longest, `9999-12-31T23:59:59.9999999Z`.
    bytes: [u8; 28],
    length: usize,
}

impl Digits {
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// The last digits of a number that is not negative.
    fn number(&mut self, number: i64, digits: u32) {
        for place in (0..digits).rev() {
            let digit = number / 10_i64.pow(place) % 10;
            self.byte(b'0' + u8::try_from(digit).unwrap_or_default());
        }
    }

    pub(super) fn date(&mut self, date: Date) {
        let (year, month, day) = date.parts();
        self.number(year.into(), 4);
        self.byte(b'-');
        self.number(month.into(), 2);
        self.byte(b'-');
        self.number(day.into(), 2);
    }

    pub(super) fn time(&mut self, time: TimeOfDay) {
        let (hour, minute, second, ticks) = time.parts();
        self.number(hour, 2);
        self.byte(b':');
        self.number(minute, 2);
        self.byte(b':');
        self.number(second, 2);
        self.byte(b'.');
        if ticks % 10_000 == 0 {
            self.number(ticks / 10_000, 3);
        } else {
            self.number(ticks, 7);
        }
    }

    pub(super) fn as_str(&self) -> &str {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Date, TimeOfDay, Timestamp};

    proptest! {
        #[test]
        fn texts_are_those_of_the_formatter(days in -719_162..=2_932_896, ticks in 0..864_000_000_000_i64, whole: bool) {
            let date = Date::from_days(days);
            let (year, month, day) = date.parts();
            let date_text = format!("{year:04}-{month:02}-{day:02}");
            prop_assert_eq!(date.to_string(), &*date_text);
            let ticks = if whole { ticks / 10_000 * 10_000 } else { ticks };
            let time = TimeOfDay::from_ticks(ticks);
            let (hour, minute, second, rest) = time.parts();
            let (fraction, width) = if rest % 10_000 == 0 { (rest / 10_000, 3) } else { (rest, 7) };
            let time_text = format!("{hour:02}:{minute:02}:{second:02}.{fraction:0width$}");
            prop_assert_eq!(time.to_string(), &*time_text);
            prop_assert_eq!(time_text.parse::<TimeOfDay>(), Ok(time));
            let text = format!("{date_text}T{time_text}Z");
            let both: Timestamp = text.parse().unwrap();
            prop_assert_eq!(both.to_string(), text);
        }
    }
}
