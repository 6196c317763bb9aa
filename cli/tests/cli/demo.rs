//! The demo tells its story to the end.

use crate::kit::{Device, Ran, command};

#[test]
fn the_demo_converges_and_keeps_its_stores_where_asked() {
    let device = Device::new();
    let lines = device
        .ok(&["demo", "--records", "1200", "--dir", "kept"])
        .lines();
    let steps: Vec<_> = lines
        .iter()
        .filter_map(|line| line["step"].as_str())
        .collect();
    assert_eq!(
        steps,
        [
            "offline",
            "push",
            "push",
            "pull",
            "pull",
            "edit",
            "conflict",
            "resolve",
            "incremental",
            "purge_refused",
            "purge",
            "converged"
        ]
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["ok"], &last["records"]),
        (&true.into(), &1199.into())
    );
    let [ada, ben] = ["ada", "ben"].map(|name| {
        let store = format!("sqlite:kept/{name}.db");
        device.ok(&["export", "todoitem", "--store", &store]).out
    });
    assert_eq!((ada.lines().count(), ada == ben), (1199, true));
    // What is there is not written over.
    let again = device.run(&["demo", "--dir", "kept"]).expect(2);
    assert!(again.err.contains("--dir"), "{again:?}");
}

#[test]
fn small_demos_work_and_plain_lines_are_plain() {
    let device = Device::new();
    for records in ["1", "2", "7"] {
        let ran = Ran::of(command(device.folder()).args(["demo", "--records", records])).expect(0);
        assert!(ran.out.lines().count() > 10, "{ran:?}");
        assert!(!ran.out.contains('\u{1b}') && ran.err.is_empty(), "{ran:?}");
    }
    assert_eq!(device.folder().read_dir().unwrap().count(), 0);
}
