//! Functions that make texts. Where short ones make long ones, the length is known before the memory is taken.

/// `left` and `right` as one text, where `may_make` allows its length in bytes.
///
/// ```
/// use synctable_core::query::text::concat;
/// assert_eq!(concat("a", "b", |bytes| bytes <= 2).as_deref(), Some("ab"));
/// assert_eq!(concat("a", "bc", |bytes| bytes <= 2), None);
/// ```
pub fn concat(left: &str, right: &str, may_make: impl FnOnce(usize) -> bool) -> Option<String> {
    may_make(left.len().saturating_add(right.len())).then(|| [left, right].concat())
}

/// `text` with each `find` turned into `by`, where `may_make` allows its length in bytes. An empty `find` is found nowhere.
///
/// ```
/// use synctable_core::query::text::replace;
/// assert_eq!(replace("aba", "a", "cc", |bytes| bytes <= 5).as_deref(), Some("ccbcc"));
/// assert_eq!(replace("aba", "a", "cc", |bytes| bytes <= 4), None);
/// ```
pub fn replace(
    text: &str,
    find: &str,
    by: &str,
    may_make: impl FnOnce(usize) -> bool,
) -> Option<String> {
    let found = match find {
        "" => 0,
        _ => text.matches(find).count(),
    };
    let kept = text.len().saturating_sub(found.saturating_mul(find.len()));
    let length = found.saturating_mul(by.len()).saturating_add(kept);
    may_make(length).then(|| match found {
        0 => text.to_owned(),
        _ => text.replace(find, by),
    })
}

/// A number that is no integer as text: with a point or an exponent.
///
/// ```
/// use synctable_core::query::text::of_float;
/// assert_eq!([of_float(1.0), of_float(-0.5), of_float(f64::INFINITY)], ["1.0", "-0.5", "INF"]);
/// ```
pub fn of_float(value: f64) -> String {
    if value.is_infinite() {
        String::from(if value > 0.0 { "INF" } else { "-INF" })
    } else {
        format!("{value:?}")
    }
}
