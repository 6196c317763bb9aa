//! Text as a terminal may show it: what came from records, servers, file names or errors is not to move its cursor or turn its text around.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line of plain text or JSON without characters that a terminal obeys. They are written as JSON escapes them, so that the value of
/// JSON stays the same; line breaks and tabs, which JSON has only between its values, become spaces.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_confusing) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => line.push(' '),
            _ if is_confusing(character) => {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            }
            _ => line.push(character),
        }
    }
    Cow::Owned(line)
}

/// Control characters, line separators, and characters that change the direction of the text behind them. All have four hex digits.
fn is_confusing(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_all_else_stays() {
        for plain in ["", "Milk", "größe 日本 😀 שלום مرحبا", "a\u{200d}b\u{feff}"] {
            assert!(matches!(one_line(plain), Cow::Borrowed(_)), "{plain}");
        }
        assert_eq!(one_line("a\tb\r\nc"), "a b  c");
        assert_eq!(
            one_line("\0\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{202e}\u{2066}\u{2028}\u{61c}"),
            "\\u0000\\u001b[2J\\u007f\\u009b31m\\u0085\\u202e\\u2066\\u2028\\u061c"
        );
    }

    #[test]
    fn json_keeps_its_value() {
        for code in 0x7f..0x3000 {
            let text: String = char::from_u32(code).into_iter().collect();
            let json = serde_json::to_string(&text).unwrap();
            let shown = one_line(&json);
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
            assert!(!shown.chars().any(is_confusing), "{shown}");
        }
        let spread = one_line("{\"a\":[1,\n\t2]}");
        assert_eq!(spread, "{\"a\":[1,  2]}");
    }
}
