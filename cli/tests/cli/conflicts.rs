//! Conflicts between two devices, and every way out of them.

use serde_json::{Value, json};

use crate::kit::{Device, Server};

/// Two devices that changed the same record; `mine` met the change of the other.
struct Clash {
    _server: Server,
    mine: Device,
    theirs: Device,
}

impl Clash {
    /// `theirs` is pushed first, then `mine`; both are verbs on a record that both devices hold.
    fn new(theirs_does: &[&str], mine_does: &[&str]) -> Self {
        let server = Server::todos();
        let (mine, theirs) = (Device::of(&server), Device::of(&server));
        theirs.ok(&["insert", "todoitem", r#"{"id":"a","text":"Milk","n":1}"#]);
        theirs.ok(&["push"]);
        mine.ok(&["pull", "todoitem"]);
        theirs.ok(theirs_does);
        theirs.ok(&["push"]);
        mine.ok(mine_does);
        let pushed = mine.run(&["push"]).expect(3).counts();
        assert_eq!(
            pushed,
            json!({"pushed": 0, "conflicts": 1, "rejected": 0, "aside": 0, "pending": 1})
        );
        Self {
            _server: server,
            mine,
            theirs,
        }
    }

    fn edits() -> Self {
        Self::new(
            &["update", "todoitem", "a", r#"{"text":"Oat milk"}"#],
            &["update", "todoitem", "a", r#"{"n":2}"#],
        )
    }

    fn resolve(&self, side: &[&str]) -> Value {
        let seq = self.mine.seq();
        let args = [&["resolve", &seq][..], side].concat();
        self.mine.ok(&args).line()
    }

    /// Both devices sync and must hold the same; gives what that is.
    fn settled(&self) -> String {
        self.mine.ok(&["push"]);
        self.mine.ok(&["pull", "todoitem"]);
        self.theirs.ok(&["pull", "todoitem"]);
        assert_eq!(self.mine.ok(&["pending"]).out, "");
        for device in [&self.mine, &self.theirs] {
            assert_eq!(
                device.ok(&["verify", "--remote"]).line(),
                json!({"ok": true})
            );
        }
        let export = self.mine.export("todoitem");
        assert_eq!(self.theirs.export("todoitem"), export);
        let rows = self
            .mine
            .ok(&["query", "todoitem", "$select=id,text,n"])
            .out;
        assert_eq!(rows.lines().count(), export.lines().count());
        rows
    }
}

#[test]
fn a_conflict_is_parked_listed_and_waits() {
    let clash = Clash::edits();
    let conflict = clash.mine.ok(&["conflicts"]).line();
    let pending = clash.mine.ok(&["pending"]).line();
    assert_eq!(
        pending,
        json!({"seq": pending["seq"], "table": "todoitem", "id": "a", "kind": "replace", "state": "conflict", "attempts": 1,
            "status": 412, "message": "precondition failed"})
    );
    for (name, value) in pending.as_object().unwrap() {
        assert_eq!(&conflict[name], value, "{name}");
    }
    let side = |name: &str| (conflict[name]["text"].clone(), conflict[name]["n"].clone());
    assert_eq!(side("base"), (json!("Milk"), json!(1)));
    assert_eq!(side("local"), (json!("Milk"), json!(2)));
    assert_eq!(side("server"), (json!("Oat milk"), json!(1)));
    // It stays parked, does no harm to others, and a pull leaves its row alone.
    clash.mine.run(&["push"]).expect(3);
    clash.theirs.ok(&["insert", "todoitem", r#"{"id":"b"}"#]);
    clash.theirs.ok(&["push"]);
    clash.mine.ok(&["insert", "todoitem", r#"{"id":"c"}"#]);
    let pulled = clash.mine.ok(&["pull", "todoitem"]).line();
    assert_eq!(
        (&pulled["pushed"], &pulled["added"], &pulled["kept"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(clash.mine.ok(&["get", "todoitem", "a"]).line()["n"], 2);
    assert_eq!(
        clash.mine.ok(&["inspect"]).line()["tables"][0]["conflicts"],
        1
    );
    clash.mine.run(&["sync"]).expect(3);
}

#[test]
fn each_way_out_of_two_edits_settles_both_devices() {
    let with = ["--with", r#"{"text":"Bread"}"#];
    for (side, expected) in [
        (&["--server"][..], r#"{"id":"a","text":"Oat milk","n":1}"#),
        (&["--client"], r#"{"id":"a","text":"Milk","n":2}"#),
        (&["--merge"], r#"{"id":"a","text":"Oat milk","n":2}"#),
        (&with, r#"{"id":"a","text":"Bread","n":null}"#),
    ] {
        let clash = Clash::edits();
        let resolved = clash.resolve(side);
        let expected: Value = serde_json::from_str(expected).unwrap();
        for name in ["id", "text", "n"] {
            assert_eq!(resolved[name], expected[name], "{side:?}");
        }
        assert_eq!(clash.mine.ok(&["conflicts"]).out, "");
        let settled: Value = serde_json::from_str(&clash.settled()).unwrap();
        assert_eq!(settled, expected, "{side:?}");
    }
}

#[test]
fn a_retry_of_a_conflict_says_how_to_end_it() {
    let clash = Clash::edits();
    let seq = clash.mine.seq();
    let refused = clash.mine.run(&["retry", &seq]).expect(1);
    assert!(
        refused.err.contains("is in conflict")
            && refused
                .err
                .contains(&format!("synctable resolve {seq} --server")),
        "{refused:?}"
    );
    assert_eq!(clash.mine.ok(&["conflicts"]).lines().len(), 1);
}

#[test]
fn a_cancelled_conflict_takes_the_server_s_record_or_the_base() {
    let clash = Clash::edits();
    clash.mine.ok(&["cancel", &clash.mine.seq()]);
    assert_eq!(
        clash.settled(),
        "{\"id\":\"a\",\"text\":\"Oat milk\",\"n\":1}\n"
    );
}

#[test]
fn edits_of_the_same_field_cannot_be_merged_and_stay_parked() {
    let clash = Clash::new(
        &["update", "todoitem", "a", r#"{"n":3}"#],
        &["update", "todoitem", "a", r#"{"n":2}"#],
    );
    let seq = clash.mine.seq();
    clash.mine.run(&["resolve", &seq, "--merge"]).expect(1);
    clash
        .mine
        .run(&["resolve", &seq, "--with", r#"{"id":7}"#])
        .expect(2);
    assert_eq!(clash.mine.ok(&["conflicts"]).lines().len(), 1);
}

#[test]
fn an_edit_of_a_deleted_record_has_no_server_side() {
    let clash = |side: &str| {
        let clash = Clash::new(
            &["delete", "todoitem", "a"],
            &["update", "todoitem", "a", r#"{"n":2}"#],
        );
        let conflict = clash.mine.ok(&["conflicts"]).line();
        assert_eq!(conflict["local"]["n"], 2);
        assert!(
            conflict["server"].is_null() || conflict["server"]["deleted"] == true,
            "{conflict}"
        );
        (clash.resolve(&[side]), clash.settled())
    };
    assert_eq!(clash("--server"), (Value::Null, String::new()));
    let (resolved, settled) = clash("--client");
    assert_eq!(
        (&resolved["n"], settled.as_str()),
        (&json!(2), "{\"id\":\"a\",\"text\":\"Milk\",\"n\":2}\n")
    );
}

#[test]
fn a_delete_of_an_edited_record_shows_what_would_be_lost() {
    let clash = |side: &str| {
        let clash = Clash::new(
            &["update", "todoitem", "a", r#"{"n":2}"#],
            &["delete", "todoitem", "a"],
        );
        let conflict = clash.mine.ok(&["conflicts"]).line();
        assert_eq!(
            (
                &conflict["kind"],
                &conflict["local"],
                &conflict["server"]["n"]
            ),
            (&json!("delete"), &Value::Null, &json!(2))
        );
        clash.resolve(&[side]);
        clash.settled()
    };
    assert_eq!(
        clash("--server"),
        "{\"id\":\"a\",\"text\":\"Milk\",\"n\":2}\n"
    );
    assert_eq!(clash("--client"), "");
}

#[test]
fn an_insert_of_a_known_id_shows_the_row_of_the_server() {
    let server = Server::todos();
    let (mine, theirs) = (Device::of(&server), Device::of(&server));
    theirs.ok(&["insert", "todoitem", r#"{"id":"a","text":"theirs"}"#]);
    theirs.ok(&["push"]);
    mine.ok(&["insert", "todoitem", r#"{"id":"a","text":"mine"}"#]);
    mine.run(&["push"]).expect(3);
    let conflict = mine.ok(&["conflicts"]).line();
    assert_eq!(
        (&conflict["kind"], &conflict["base"]),
        (&json!("insert"), &Value::Null)
    );
    assert_eq!(
        (&conflict["local"]["text"], &conflict["server"]["text"]),
        (&json!("mine"), &json!("theirs"))
    );
    mine.ok(&["resolve", &mine.seq(), "--client"]);
    mine.ok(&["push"]);
    theirs.ok(&["pull", "todoitem"]);
    assert_eq!(theirs.ok(&["get", "todoitem", "a"]).line()["text"], "mine");
}

#[test]
fn a_pull_whose_own_push_meets_a_conflict_says_so() {
    let server = Server::todos();
    let (mine, theirs) = (Device::of(&server), Device::of(&server));
    for (device, text) in [(&theirs, "theirs"), (&mine, "mine")] {
        let record = json!({"id": "a", "text": text}).to_string();
        device.ok(&["insert", "todoitem", &record]);
    }
    theirs.ok(&["push"]);
    let pulled = mine.run(&["pull", "todoitem"]).expect(3).line();
    assert_eq!((&pulled["kept"], &pulled["pushed"]), (&json!(1), &json!(0)));
    mine.ok(&["pull", "todoitem"]);
}
