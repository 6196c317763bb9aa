//! Words of a message: bounded, whatever they quote.

use std::borrow::Cow;

/// The most characters of a message.
pub(crate) const LONGEST_MESSAGE: usize = 500;
/// The most characters of a name or value that a message quotes.
pub(crate) const LONGEST_QUOTE: usize = 80;

/// Text for a message, of about `most` characters: whole where it is short, else its two ends and how much was left out between them.
/// The end of an error often says where it is.
///
/// ```
/// use synctable_core::brief;
/// assert_eq!(brief("short", 10), "short");
/// assert_eq!(brief(&"x".repeat(1000), 9), "xxxxxx… (991 characters left out) …xxx");
/// ```
pub fn brief(text: &str, most: usize) -> Cow<'_, str> {
    // A character has at least a byte.
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let count = text.chars().count();
    if count <= most {
        return Cow::Borrowed(text);
    }
    let tail = most / 3;
    let place = |nth: usize| {
        text.char_indices()
            .nth(nth)
            .map_or(text.len(), |(place, _)| place)
    };
    let head = text.get(..place(most - tail)).unwrap_or_default();
    let tail = text.get(place(count - tail)..).unwrap_or_default();
    let left_out = count - most;
    Cow::Owned(format!("{head}… ({left_out} characters left out) …{tail}"))
}

/// A message of no more than its length.
pub(crate) fn message(text: impl Into<String>) -> String {
    let text = text.into();
    match brief(&text, LONGEST_MESSAGE) {
        Cow::Owned(brief) => brief,
        Cow::Borrowed(_) => text,
    }
}

/// A name or value as a message quotes it.
pub(crate) fn quote(text: &str) -> Cow<'_, str> {
    brief(text, LONGEST_QUOTE)
}

/// An error of JSON whose words are bounded: they may quote a whole text.
pub(crate) fn json_error(error: serde_json::Error) -> serde_json::Error {
    let text = error.to_string();
    match brief(&text, LONGEST_MESSAGE) {
        // It reads line and column back from the end of the text.
        Cow::Owned(brief) => serde::de::Error::custom(brief),
        Cow::Borrowed(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_stays_and_long_text_keeps_its_ends() {
        for text in ["", "a", "ééééé"] {
            assert!(matches!(brief(text, 5), Cow::Borrowed(_)), "{text}");
        }
        assert_eq!(brief("éabcdefghié", 6), "éabc… (5 characters left out) …ié");
        assert_eq!(brief("ab", 0), "… (2 characters left out) …");
    }

    #[test]
    fn an_error_of_json_is_bounded_and_still_says_where() {
        let text = format!("\"{}\"", "x".repeat(20_000));
        let error = serde_json::from_str::<u8>(&text).map_err(json_error);
        let error = error.unwrap_err();
        let words = error.to_string();
        assert!(words.chars().count() < 600, "{words}");
        assert!(words.contains("characters left out"), "{words}");
        assert_eq!((error.line(), error.column()), (1, 20_002), "{words}");
    }
}
