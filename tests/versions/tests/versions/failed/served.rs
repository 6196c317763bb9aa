//! What a request could do to the server, and what it was not asked to keep.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use crate::device::{Device, id};
use crate::releases::{Release, both};
use crate::server::{LOCAL, Said, Server};
use crate::together::TABLE;

/// The statuses of answers.
fn statuses<const N: usize>(said: [Option<Said>; N]) -> [Option<u16>; N] {
    said.map(|said| Some(said?.status))
}

// The shell of other systems sets no limit of the address space.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs the command of release 0.1"]
fn a_filter_that_makes_a_text_of_gigabytes_does_not_end_the_server() {
    let letters = "a".repeat(200);
    let mut text = "title".to_owned();
    for _ in 0..4 {
        text = format!("replace({text},'a','{letters}')");
    }
    let target = format!("/tables/{TABLE}?$filter=length({text})%20gt%205");
    let [before, today] = both(|release| {
        // The machine is not what is to be tried.
        let device = Device::new(release).behind("ulimit -v 2000000");
        let server = Server::with(device, &["--table", TABLE]);
        let row = json!({"id": "a", "title": "aaaaaaaaaa"});
        statuses([
            server.post(TABLE, &row),
            server.get(&target),
            server.get(&format!("/tables/{TABLE}")),
        ])
    });
    assert_eq!(before, [Some(201), None, None]);
    assert_eq!(today, [Some(201), Some(400), Some(200)]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn looking_at_tables_that_are_not_there_uses_up_nothing() {
    let [before, today] = both(|release| {
        // 0.1 writes a line to its log for each one that it refuses.
        let device = Device::new(release).behind("exec 2>/dev/null");
        let server = Server::with(device, &["--any-table"]);
        let mut looked: BTreeMap<Option<u16>, usize> = BTreeMap::new();
        for n in 0..1100 {
            let said = server.get(&format!("/tables/t{n}"));
            *looked.entry(said.map(|said| said.status)).or_default() += 1;
        }
        let made = server.post("made", &json!({"id": "a"})).unwrap().status;
        (looked, made)
    });
    assert!(before.0[&Some(404)] >= 100, "{before:?}");
    assert_eq!(before.1, 404, "no table can be made any more");
    assert_eq!(today, (BTreeMap::from([(Some(200), 1100)]), 201));
}

const PULL: &str = "$filter=updatedAt ge 2026-01-01T00:00:00Z&$orderby=updatedAt,id&$top=50";

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_page_of_a_pull_is_read_by_an_index() {
    let plan = |device: &Device| {
        let line = device.ok(&["query", TABLE, PULL, "--explain"]).line();
        line["plan"].as_str().unwrap().to_owned()
    };
    let stopped = |release| {
        let server = Server::new(release, &[TABLE]);
        server.post(TABLE, &json!({"id": "a"})).unwrap();
        server.stop()
    };
    let [before, today] = both(|release| plan(&stopped(release)));
    assert_eq!(before, "whole table, sorted");
    assert_eq!(today, "index (updatedAt, id), a range, in order");
    // A store that 0.1 left gets it, too.
    let server = Server::with(stopped(Release::First), &["--table", TABLE]);
    assert_eq!(plan(&server.again(Release::Today).stop()), today);
}

/// How many bytes a server has read from its files and sockets until now.
#[cfg(target_os = "linux")]
fn bytes_read(server: &Server) -> u64 {
    let counters = fs::read_to_string(format!("/proc/{}/io", server.id())).unwrap();
    let read = counters
        .lines()
        .find_map(|line| line.strip_prefix("rchar: "));
    read.unwrap().parse().unwrap()
}

/// The last of three sizes is more than a server keeps in memory: there each page that looks at the whole table reads all of it again.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs the command of release 0.1"]
fn a_first_pull_of_twice_the_rows_reads_twice_as_much() {
    let [before, today] = both(|release| {
        let server = Server::new(release, &[TABLE]);
        let text = "x".repeat(20_000);
        let mut count = 0;
        [500, 1000, 2000].map(|size| {
            for n in count..size {
                let row = json!({"id": format!("r{n:04}"), "text": text});
                assert_eq!(server.post(TABLE, &row).unwrap().status, 201);
            }
            count = size;
            let device = Device::of(Release::Today, &server.url());
            let start = bytes_read(&server);
            let pulled = device.ok(&["pull", TABLE, "--page", "25"]).line();
            assert_eq!(pulled["fetched"], size);
            bytes_read(&server) - start
        })
    });
    println!("bytes read by a first pull: {before:?}, {today:?}");
    assert!(before[2] > 10 * before[1], "{before:?}");
    let [small, middle, large] = today;
    assert!(
        10 * middle < 23 * small && 10 * large < 23 * middle,
        "{today:?}"
    );
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_server_whose_file_was_removed_acknowledges_nothing() {
    let [before, today] = both(|release| {
        let server = Server::new(release, &[TABLE]);
        server.post(TABLE, &json!({"id": "kept"})).unwrap();
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(server.folder().join(format!("synctable.db{suffix}"))).unwrap();
        }
        let status = server.post(TABLE, &json!({"id": "lost"})).unwrap().status;
        let server = server.again(release);
        let page = server.get(&format!("/tables/{TABLE}")).unwrap();
        (status, page.items().len())
    });
    assert_eq!(before, (201, 0), "it was acknowledged, and is not there");
    assert_eq!(today, (503, 0));
}

/// A device pulls, a record is deleted ten days later, and the server forgets it; ten days after that the device pulls once more.
fn away(release: Release) -> (i32, Vec<String>, Vec<String>) {
    let table = format!("{TABLE}:soft-delete");
    let plain = ["--table", &table];
    let server = Server::with(Device::new(release), &plain);
    for id in ["gone", "kept"] {
        server.post(TABLE, &json!({ "id": id })).unwrap();
    }
    let aged = server.stop();
    aged.age(TABLE, 20);
    let server = Server::with(aged, &plain);
    let device = Device::of(release, &server.url());
    device.ok(&["pull", TABLE]);
    let line = format!("DELETE /tables/{TABLE}/gone HTTP/1.1");
    assert_eq!(server.ask(&[&line, LOCAL], "").unwrap().status, 204);
    let aged = server.stop();
    aged.age(TABLE, 10);
    let keeping = [&plain[..], &["--tombstones", "5d"]].concat();
    let mut serve = aged.command(&["serve", "--listen", "127.0.0.1:0"]);
    let code = match release {
        // It knows no such option.
        Release::First => serve.args(&keeping).status().unwrap().code().unwrap(),
        Release::Today => 0,
    };
    let options = if code == 0 { &keeping[..] } else { &plain };
    let server = Server::with(aged, options);
    server.post(TABLE, &json!({"id": "new"})).unwrap();
    let all = format!("/tables/{TABLE}?__includedeleted=true");
    let there = server.get(&all).unwrap().items().iter().map(id).collect();
    let url = server.url();
    device.ok(&["pull", TABLE, "--remote", &url]);
    (code, there, device.ids(TABLE))
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn deleted_rows_go_for_good_and_a_device_that_was_away_is_told() {
    let [before, today] = both(away);
    assert_eq!(before.0, 2);
    assert!(before.1.contains(&"gone".to_owned()), "{before:?}");
    assert_eq!((today.0, today.1), (0, vec!["kept".into(), "new".into()]));
    assert_eq!(today.2, ["kept", "new"]);
}
