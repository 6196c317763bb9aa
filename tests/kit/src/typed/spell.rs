//! How the two servers write texts, times and numbers.

use std::fmt::Write as _;

use synctable_core::Timestamp;

use super::Flavour;

/// A text in JSON, with its quotes.
pub(super) fn text(flavour: Flavour, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '"' if flavour == Flavour::Zumo3 => out.push_str("\\\""),
            c if is_escaped(flavour, c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_escaped(flavour: Flavour, c: char) -> bool {
    match flavour {
        Flavour::Toolkit => !(' '..'\u{7f}').contains(&c) || "\"&'+<>`".contains(c),
        Flavour::Zumo3 => c < ' ' || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}'),
    }
}

/// A point in time in UTC, cut to milliseconds.
pub(super) fn instant(flavour: Flavour, time: Timestamp) -> String {
    let text = time.floor_millis().to_string();
    match flavour {
        Flavour::Toolkit => text,
        Flavour::Zumo3 => text.replace('Z', "+00:00"),
    }
}

/// A double: the fewest digits that read back as the same number, with an exponent from fifteen zeros on.
pub(super) fn double(flavour: Flavour, number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..15).contains(&exponent) {
        with_point(flavour, number.to_string())
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}E{sign}{:02}", exponent.unsigned_abs())
    }
}

/// The greatest unscaled value of a decimal: 96 bits.
const MOST: u128 = 79_228_162_514_264_337_593_543_950_335;
/// The most digits of a decimal behind its point.
const MOST_SCALE: i64 = 28;

/// A decimal with the scale that it came with, from the text of a JSON number; `None` where it is too large.
pub(super) fn decimal(flavour: Flavour, text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (digits, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent: i64 = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .ok()?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut scale = i64::try_from(fraction.len()).ok()? - exponent;
    let mut value: u128 = 0;
    // Digits that no decimal can hold only matter for the scale.
    for digit in whole.chars().chain(fraction.chars()) {
        if value > MOST * 100 {
            scale -= 1;
        } else {
            value = value * 10 + u128::from(digit.to_digit(10)?);
        }
    }
    while scale < 0 && value <= MOST && value > 0 {
        value *= 10;
        scale += 1;
    }
    scale = scale.max(0);
    while scale > 0 && (value > MOST || scale > MOST_SCALE) {
        let (shorter, rest) = (value / 10, value % 10);
        let up = rest > 5 || rest == 5 && shorter % 2 == 1;
        value = shorter + u128::from(up);
        scale -= 1;
    }
    if value > MOST {
        return None;
    }
    let scale = usize::try_from(scale).ok()?;
    let digits = format!("{value:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale > 0 { "." } else { "" };
    Some(with_point(
        flavour,
        format!("{sign}{whole}{point}{fraction}"),
    ))
}

/// The older server shows that a number may have a fraction.
fn with_point(flavour: Flavour, number: String) -> String {
    if flavour == Flavour::Zumo3 && !number.contains('.') {
        number + ".0"
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_the_runtime_writes_them() {
        for (number, toolkit, zumo3) in [
            (0.0, "0", "0.0"),
            (1e308, "1E+308", "1E+308"),
            (1e15, "1E+15", "1E+15"),
            (1e14, "100000000000000", "100000000000000.0"),
            (0.0001, "0.0001", "0.0001"),
            (0.000_01, "1E-05", "1E-05"),
            (-1.25e-7, "-1.25E-07", "-1.25E-07"),
            (1000.0, "1000", "1000.0"),
        ] {
            assert_eq!(double(Flavour::Toolkit, number), toolkit);
            assert_eq!(double(Flavour::Zumo3, number), zumo3);
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        for (text, toolkit, zumo3) in [
            ("0", Some("0"), Some("0.0")),
            ("0.10", Some("0.10"), Some("0.10")),
            ("-12.500", Some("-12.500"), Some("-12.500")),
            ("1e3", Some("1000"), Some("1000.0")),
            ("1.5e-3", Some("0.0015"), Some("0.0015")),
            (
                "0.12345678901234567890123456785",
                Some("0.1234567890123456789012345678"),
                Some("0.1234567890123456789012345678"),
            ),
            ("79228162514264337593543950336", None, None),
            ("1e308", None, None),
        ] {
            assert_eq!(
                decimal(Flavour::Toolkit, text).as_deref(),
                toolkit,
                "{text}"
            );
            assert_eq!(decimal(Flavour::Zumo3, text).as_deref(), zumo3, "{text}");
        }
    }

    #[test]
    fn texts_are_escaped_by_one_and_not_by_the_other() {
        let sent = "é😀\u{1}<&>+'\"`\\\n";
        let toolkit = r#""\u00E9\uD83D\uDE00\u0001\u003C\u0026\u003E\u002B\u0027\u0022\u0060\\\n""#;
        assert_eq!(text(Flavour::Toolkit, sent), toolkit);
        assert_eq!(
            text(Flavour::Zumo3, sent),
            "\"é😀\\u0001<&>+'\\\"`\\\\\\n\""
        );
    }
}
