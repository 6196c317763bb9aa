//! What options name instead of giving it: files and environment variables.

use std::env::{self, VarError};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::errors::Failure;

/// The most bytes of a file that is read as a whole, such as a schema or certificates.
pub(crate) const WHOLE_FILE: u64 = 16 << 20;

/// Reads a file that has `most` bytes or fewer. A device, a pipe or a wrong path may never end. `what` begins the messages.
pub(crate) fn read(path: &Path, most: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // One more tells a file that is as long as it may be from a longer one.
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::bad_input(format!("{what}{shown} cannot be read: {error}")))?;
    if bytes.len() as u64 > most {
        let most = if most < 1 << 20 {
            format!("{most} bytes")
        } else {
            format!("{} MiB", most >> 20)
        };
        return Err(Failure::bad_input(format!(
            "{what}{shown} is larger than {most}; check the path"
        )));
    }
    Ok(bytes)
}

/// The text of an environment variable. `of` says what it is for: `of --auth-env`.
pub(crate) fn variable(name: &str, of: &str) -> Result<String, Failure> {
    env::var(name).map_err(|error| {
        let wrong = match error {
            VarError::NotPresent => "is not set",
            // What is in it may be a secret, so it is not shown.
            VarError::NotUnicode(_) => "is not UTF-8 text",
        };
        Failure::bad_input(format!("the environment variable {name} {of} {wrong}"))
    })
}
