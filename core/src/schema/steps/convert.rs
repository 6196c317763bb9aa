//! A value in another type.

use crate::record::push_json_text;
use crate::schema::FieldType;

/// The JSON text of the same value as one of type `new`; `None` where the type has none.
pub(super) fn converted(text: &str, new: &FieldType) -> Option<String> {
    if new.fits(text) {
        return Some(text.to_owned());
    }
    let other = match (new, text) {
        (FieldType::Integer | FieldType::Number, "true") | (FieldType::Boolean, "\"true\"") => {
            if *new == FieldType::Boolean {
                "true"
            } else {
                "1"
            }
            .to_owned()
        }
        (FieldType::Integer | FieldType::Number, "false") => "0".to_owned(),
        (FieldType::Boolean, "1") => "true".to_owned(),
        (FieldType::Boolean, "0" | "\"false\"") => "false".to_owned(),
        // A number or a word as text, an object as nothing.
        _ if !text.starts_with(['"', '{', '[']) => {
            let mut quoted = String::with_capacity(text.len() + 2);
            push_json_text(&mut quoted, text);
            quoted
        }
        _ => {
            let inner: String = serde_json::from_str(text).ok()?;
            // JSON allows blanks around a value.
            if inner.trim() != inner || inner.starts_with(['"', '{', '[']) {
                return None;
            }
            inner
        }
    };
    new.fits(&other).then_some(other)
}

/// The text that a value of type `old` has in type `new`, so that it comes back to the very same text; as it is where there is none.
pub(super) fn there(text: &str, old: &FieldType, new: &FieldType) -> Option<String> {
    let converted = converted(text, new)?;
    let back = self::converted(&converted, old);
    (back.as_deref() == Some(text)).then_some(converted)
}
