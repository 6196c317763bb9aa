//! The program starts its children and writes its report.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::process::Command;

#[test]
fn short_run_writes_a_report() {
    let out = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_synctable-endurance"))
        .args(["--stores", "memory,sqlite", "--groups", "kill,cancel"])
        .args(["--cycles", "3", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    let markdown = fs::read_to_string(out.path().join("REPORT.md")).unwrap();
    let [sqlite, memory] = ["sqlite", "memory"].map(|store| markdown.find(&format!("## {store}")));
    assert!(sqlite.is_some() && memory > sqlite, "{markdown}");
    assert!(markdown.contains("| kill | 3 | "), "{markdown}");
    let json = fs::read_to_string(out.path().join("report.json")).unwrap();
    assert!(
        json.contains(r#""verdict": "passed""#) && json.contains(r#""kills": 3"#),
        "{json}"
    );
}
