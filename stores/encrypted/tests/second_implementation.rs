//! The format as a second implementation understands it: `second.py`, written from `FORMAT.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second.py");
/// What the script imports that an installation may lack.
const NEEDED: &str = "import cryptography.hazmat.primitives.kdf.argon2";

/// False, said on stderr, where the script cannot run.
fn python_is_there() -> bool {
    let probe = Command::new("python3").args(["-c", NEEDED]).output();
    let there = probe.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!(
            "skipped: the second implementation needs python3 with the package cryptography, 44 or later"
        );
    }
    there
}

fn python(arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .arg(SCRIPT)
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn its_cipher_passes_the_accumulated_vector_of_c2sp() {
    if python_is_there() {
        python(&["check"]);
    }
}

#[test]
fn the_stored_vectors_are_what_it_makes() {
    if python_is_there() {
        assert!(python(&["vectors"]) == include_str!("vectors/v1.json"));
    }
}
