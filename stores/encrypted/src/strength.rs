//! Whether a passphrase is worth anything, judged where one is given to a store and never where one opens it.

use synctable_core::store::{StoreError, StoreErrorKind};
use zxcvbn::feedback::Feedback;
use zxcvbn::{Score, zxcvbn};

use crate::key::Passphrase;

/// An error of the kind [`WeakPassphrase`](StoreErrorKind::WeakPassphrase) for a passphrase that someone who has the files would guess: one
/// for which `zxcvbn` expects fewer than ten thousand million guesses. The message says why, and shows nothing of it.
///
/// Making a store, adding a key and changing one ask this themselves; an app asks it while a person types.
/// [`Passphrase::accept_weak`] is the way around. The judge keeps no copy, but what it works on is not wiped from memory.
///
/// ```
/// use synctable_encrypted::{Passphrase, check_passphrase};
/// # fn main() -> Result<(), synctable_core::store::StoreError> {
/// let check = |text: &str| check_passphrase(&Passphrase::new(text.to_owned())?);
/// assert!(check("Tr0ub4dour&3").is_err());
/// assert!(check("velvet-anchor-plinth-morose").is_ok());
/// # Ok(()) }
/// ```
pub fn check_passphrase(passphrase: &Passphrase) -> Result<(), StoreError> {
    let found = zxcvbn(passphrase.text(), &["synctable"]);
    if found.score() == Score::Four {
        return Ok(());
    }
    let why = found
        .feedback()
        .and_then(Feedback::warning)
        .map(|warning| warning.to_string())
        .map(|why| format!(" ({})", why.trim_end_matches('.')))
        .unwrap_or_default();
    let message = format!(
        "the passphrase is too easy to guess{why}; take five or more words that do not belong together, or what a password manager makes"
    );
    Err(StoreError::new(StoreErrorKind::WeakPassphrase, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), StoreError> {
        check_passphrase(&Passphrase::new(text.to_owned()).unwrap())
    }

    #[test]
    fn what_is_guessed_is_refused_and_not_shown() {
        for text in [
            "a",
            "letmein",
            "correct horse",
            "hunter2hunter2",
            "Passw0rd!2024",
            "synctable synctable",
            "qwertzuiopasdf",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let error = check(text).expect_err(text);
            assert_eq!(error.kind(), StoreErrorKind::WeakPassphrase);
            let told = error.to_string();
            assert!(text == "a" || !told.contains(text), "{told}");
            assert!(!told.ends_with('.') && !told.contains(char::is_control));
        }
    }

    #[test]
    fn what_is_not_guessed_is_taken() {
        for text in [
            "correct horse battery staple",
            "velvet anchor plinth morose quill",
            "Zx9$kd7!Qm2^vR",
            "b1946ac92492d2347c6235b4d2611184",
            "Grüße aus dem südlichen Schwarzwald",
        ] {
            check(text).expect(text);
        }
    }
}
