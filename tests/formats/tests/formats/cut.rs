//! A store of an earlier format is brought forward and cut off at any of its writes, or the disk is full from there on: nothing is lost, and the
//! next opening goes on.
//!
//! Runs on Linux where there is a C compiler. `SYNCTABLE_FAULTS=all` cuts at each write in turn; otherwise some are picked.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;

use synctable::sync::SyncContext;
use synctable::testkit::fault::{Fault, Shim};

use crate::fixture::{Fixture, STORES};
use crate::held::{contents, context};

/// At how many writes of each store it is cut, unless at all.
const CUTS: u64 = 6;

const FOLDER: &str = "SYNCTABLE_CUT_FOLDER";
const NAME: &str = "SYNCTABLE_CUT_NAME";

/// What the process did.
#[derive(Debug, PartialEq)]
enum End {
    Killed,
    Failed(String),
    Done,
}

fn fixtures() -> Vec<Fixture> {
    Fixture::all().filter(Fixture::is_earlier).collect()
}

fn again(like: &Fixture) -> Fixture {
    fixtures()
        .into_iter()
        .find(|it| it.name == like.name)
        .unwrap()
}

/// Brings a store forward in a process of its own, with a fault.
fn brought_forward(fixture: &Fixture, environment: &[(&'static str, OsString)]) -> End {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cut::child", "--ignored", "--nocapture"])
        .env(FOLDER, fixture.folder())
        .env(NAME, &fixture.name)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    if child.status.signal() == Some(9) {
        return End::Killed;
    }
    let what = format!(
        "{}: {said}{}",
        fixture.name,
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(child.status.success(), "{what}");
    match said.lines().find_map(|line| line.split_once("ENDED ")) {
        Some((_, "well")) => End::Done,
        Some((_, error)) => End::Failed(error.to_owned()),
        None => panic!("{what}"),
    }
}

/// Cuts the upgrade of each store with an error at one write after the other.
fn sweep(error: &'static str, sticky: bool, check: impl Fn(&End, &str)) {
    let Ok(shim) = Shim::build().inspect_err(|why| eprintln!("not run: {why}")) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let all = std::env::var("SYNCTABLE_FAULTS").is_ok_and(|it| it == "all");
    for fixture in fixtures() {
        let (call, at) = ("write", 0);
        let none = Fault {
            call,
            error,
            at,
            sticky,
        };
        let expected = runtime.block_on(async {
            let sync = context(&again(&fixture)).await;
            contents(&sync).await
        });
        assert_eq!(
            brought_forward(&fixture, &shim.environment(fixture.folder(), none)),
            End::Done
        );
        let (_, calls) = shim.report();
        let calls = calls.of(call);
        assert!(calls > 0, "{}: nothing was written", fixture.name);
        let step = if all { 1 } else { calls.div_ceil(CUTS).max(1) };
        let mut struck = 0;
        for at in (1..=calls).step_by(usize::try_from(step).unwrap()) {
            let fixture = again(&fixture);
            let fault = Fault { at, ..none };
            let end = brought_forward(&fixture, &shim.environment(fixture.folder(), fault));
            let what = format!("{}, {error} at write {at} of {calls}", fixture.name);
            check(&end, &what);
            struck += u64::from(end != End::Done);
            runtime.block_on(async {
                let sync = context(&fixture).await;
                assert_eq!(contents(&sync).await, expected, "{what}");
                // It goes on.
                sync.set_setting("after", "the cut").await.unwrap();
                sync.close().await.unwrap();
                let sync = context(&fixture).await;
                assert_eq!(contents(&sync).await, expected, "{what}");
            });
        }
        assert!(struck > 0, "{}: no fault struck", fixture.name);
    }
}

#[test]
fn an_upgrade_that_is_killed_at_any_write_loses_nothing() {
    sweep("kill", false, |end, what| {
        assert!(matches!(end, End::Killed | End::Done), "{what}: {end:?}");
    });
}

#[test]
fn an_upgrade_on_a_full_disk_loses_nothing() {
    sweep("ENOSPC", true, |end, what| {
        assert!(matches!(end, End::Failed(_) | End::Done), "{what}: {end:?}");
    });
}

/// The process that is cut off: it opens the store and writes what no export shows.
#[test]
#[ignore = "a process of the tests above"]
fn child() {
    let name = std::env::var(NAME).unwrap();
    let store = name.split_once('/').unwrap().1;
    let (_, scheme) = STORES
        .into_iter()
        .find(|(known, _)| *known == store)
        .unwrap();
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let fixture = Fixture::left_in(folder, &name, scheme);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let end = runtime.block_on(async {
        let store = fixture.try_device().map_err(|error| error.to_string())?;
        let opened = SyncContext::builder(store)
            .schema(fixture.schema())
            .open()
            .await;
        let sync = opened.map_err(|error| error.to_string())?;
        let written = sync.set_setting("cut", "here").await;
        written.map_err(|error| error.to_string())?;
        sync.close().await.map_err(|error| error.to_string())
    });
    println!("ENDED {}", end.err().unwrap_or_else(|| "well".to_owned()));
}
