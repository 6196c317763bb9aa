//! What may be in the file, and what becomes of the file.

use std::fs;

use super::*;
use crate::log::ring::Bytes;

fn names(ids: &[&str]) -> Vec<Changed> {
    ids.iter().map(|id| todo(id)).collect()
}

#[test]
fn handles_learn_of_each_others_commits() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let (before, of_other) = (one.position(), other.position());
    let first = one.commit(vec![todo("a")]);
    let second = other.commit(vec![todo("b"), todo("c")]);
    assert!(before < first && first < second);
    assert_eq!(one.position(), second);
    assert_eq!(one.since(before), Some(names(&["a", "b", "c"])));
    assert_eq!(other.since(of_other), Some(names(&["a", "b", "c"])));
    assert_eq!(other.since(first), Some(names(&["b", "c"])));
}

#[test]
fn a_position_does_not_pass_what_cannot_be_read_yet() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = other.position();
    one.begin();
    one.log.stage(None, vec![todo("a")]);
    one.log.append(&one.connection, false).unwrap();
    assert_eq!(one.position(), before);
    assert_eq!(other.position(), before);
    one.connection.commit();
    assert_eq!(other.since(before), Some(names(&[])));
    one.log.committed(&one.connection);
    assert_eq!(other.since(before), Some(names(&["a"])));
}

#[test]
fn a_commit_whose_process_died_before_the_mark_is_settled() {
    let store = Store::new();
    let (dies, lives) = (store.open(), store.open());
    let before = lives.position();
    for visible in [true, false] {
        let dies = store.open();
        dies.begin();
        dies.log.stage(None, vec![todo("a")]);
        dies.log.append(&dies.connection, false).unwrap();
        if visible {
            dies.connection.commit();
        } else {
            dies.connection.roll_back(false);
        }
        dies.kill();
        let seen = lives.position();
        assert!(lives.log.position().look, "the writing thread has to look");
        assert!(!lives.begin(), "it is known what happened");
        lives.log.settle(&lives.connection);
        lives.roll_back();
        assert!(!lives.log.position().look);
        assert_eq!(lives.since(seen), Some(names(&["a"])));
    }
    assert_eq!(lives.since(before), Some(names(&["a", "a"])));
    drop(dies);
}

#[test]
fn who_is_alone_begins_another_log_and_who_is_not_joins() {
    let store = Store::new();
    let one = store.open();
    let first = one.commit(vec![todo("a")]);
    let other = store.open();
    assert_eq!(other.position(), first);
    drop(one);
    let third = store.open();
    assert_eq!(third.position(), first);
    drop((other, third));
    assert!(!store.changes().exists(), "the last one removes it");
    let later = store.open();
    assert_ne!(later.position().log(), first.log());
    assert_eq!(later.since(first), None);
    // A dead process leaves the file, which may be older than what is stored.
    later.commit(vec![todo("b")]);
    let place = later.position();
    later.kill();
    assert!(store.changes().exists());
    assert_eq!(store.open().since(place), None);
}

#[test]
fn who_begins_a_log_has_it_named_with_the_first_commit() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let begun = one.position();
    assert_eq!(
        store.state.lock().unwrap().log_id,
        0,
        "opening writes nothing"
    );
    assert!(!other.begin(), "nobody has written since");
    other.roll_back();
    let first = other.commit(vec![todo("a")]);
    assert_eq!(store.state.lock().unwrap().log_id, begun.log());
    assert_eq!(one.since(begun), Some(names(&["a"])));
    assert_eq!(one.commit(vec![todo("b")]).log(), first.log());
}

#[test]
fn a_reader_that_is_overrun_knows_nothing() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let (start, of_one) = (other.position(), one.position());
    let long = "x".repeat(50_000);
    let mut commits = 0;
    while (commits + 1) * 50_000 < 1_700_000 {
        one.commit(vec![todo(&long)]);
        commits += 1;
    }
    assert_eq!(other.since(start).map(|all| all.len()), Some(commits));
    let middle = other.position();
    for _ in 0..60 {
        one.commit(vec![todo(&long)]);
    }
    assert_eq!(other.since(middle), None);
    let now = other.position();
    one.commit(vec![todo("a")]);
    assert_eq!(other.since(now), Some(names(&["a"])));
    assert_eq!(one.since(of_one).map(|all| all.len()), Some(commits + 61));
    let late = other.position();
    for _ in 0..60 {
        one.commit(vec![todo(&long)]);
    }
    other.begin();
    assert!(
        !other.log.is_unchanged(&table("b"), late, None),
        "it may have been changed"
    );
    other.roll_back();
}

#[test]
fn what_is_overwritten_while_it_is_read_is_not_taken() {
    let store = Store::new();
    let one = store.open();
    one.commit(vec![todo("a")]);
    let inner = one.log.lock();
    let ring = inner.ring().unwrap();
    let view = ring.view().unwrap().unwrap();
    let read = |head: &Head| {
        ring.write_head(head).unwrap();
        ring.read(head.id, 0, view.head.written).unwrap()
    };
    assert!(matches!(read(&view.head), Bytes::Whole(_)));
    let far = Head {
        written: (2 << 20) - MOST as u64 + 8,
        ..view.head
    };
    assert_eq!(read(&far), Bytes::Gone);
    let other = Head {
        id: view.head.id ^ 1,
        ..view.head
    };
    ring.write_head(&other).unwrap();
    assert_eq!(
        ring.read(view.head.id, 0, view.head.written).unwrap(),
        Bytes::Gone
    );
}

#[test]
fn a_damaged_file_is_not_believed() {
    for at in [0, 8, 24, 40, 70, 4096, 4100, 4110] {
        let store = Store::new();
        let (one, other) = (store.open(), store.open());
        let before = other.position();
        one.commit(vec![todo("a")]);
        let mut bytes = fs::read(store.changes()).unwrap();
        bytes[at] ^= 1;
        fs::write(store.changes(), &bytes).unwrap();
        let known = other.since(before);
        assert!(
            known.is_none() || known == Some(names(&[])),
            "byte {at}: {known:?}"
        );
        other.begin();
        let holds = other.log.is_unchanged(&table("todo"), before, None);
        other.roll_back();
        assert!(!holds, "byte {at}");
        assert_eq!(other.since(before), None, "byte {at}");
        let here = one.position();
        other.commit(vec![todo("b")]);
        let known = one.since(here);
        assert!(
            known.is_none() || known == Some(names(&["b"])),
            "byte {at}: {known:?}"
        );
    }
}

#[test]
fn a_file_that_was_cut_short_is_begun_anew() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = other.position();
    one.commit(vec![todo("a")]);
    fs::write(store.changes(), "").unwrap();
    assert!(other.log.position().look);
    assert!(other.begin());
    other.roll_back();
    assert_eq!(other.since(before), None);
    let here = one.position();
    other.commit(vec![todo("b")]);
    assert_eq!(one.since(here), Some(names(&["b"])));
}

#[test]
#[cfg(unix)]
fn a_file_that_was_removed_or_replaced_is_noticed() {
    for replaced in [false, true] {
        let store = Store::new();
        let (one, other) = (store.open(), store.open());
        let before = other.position();
        one.commit(vec![todo("a")]);
        fs::remove_file(store.changes()).unwrap();
        if replaced {
            fs::write(store.changes(), "something else").unwrap();
        }
        // It is alone with a new file.
        let third = store.open();
        let start = third.position();
        one.commit(vec![todo("b")]);
        third.begin();
        assert!(!third.log.is_unchanged(&table("todo"), start, None));
        third.roll_back();
        let known = third.since(start);
        assert!(known.is_none() || known == Some(names(&["b"])), "{known:?}");
        assert!(other.log.position().look, "a reader sees that it is gone");
        other.begin();
        assert!(!other.log.is_unchanged(&table("todo"), before, None));
        other.roll_back();
        let here = one.position();
        assert!(one.log.position().look || here == third.position());
        one.begin();
        one.roll_back();
        let here = one.position();
        third.commit(vec![todo("c")]);
        assert_eq!(one.since(here), Some(names(&["c"])));
        assert_eq!(other.position(), one.position());
    }
}

#[test]
fn what_a_stranger_commits_makes_the_log_begin_anew() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = one.commit(vec![todo("a")]);
    let of_other = other.position();
    store.commit_of_a_stranger();
    assert!(other.begin());
    assert!(!other.log.is_unchanged(&table("b"), of_other, None));
    other.roll_back();
    assert_eq!(other.since(of_other), None);
    assert_eq!(one.since(before), None);
    // Between two commits of ours, where entries could explain that somebody has committed.
    let before = one.commit(vec![todo("b")]);
    store.commit_of_a_stranger();
    let third = store.open();
    assert!(third.begin());
    third.roll_back();
    assert_eq!(one.since(before), None);
}

#[test]
fn a_transaction_that_was_rolled_back_leaves_names_too_many_at_most() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = one.position();
    for appended in [false, true] {
        one.begin();
        one.log.stage(None, vec![todo("a")]);
        if appended {
            one.log.append(&one.connection, false).unwrap();
        }
        one.roll_back();
        one.commit(vec![todo("b")]);
    }
    assert_eq!(other.since(before), Some(names(&["b", "a", "b"])));
}

#[test]
fn many_names_become_tables_for_everybody_alike() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = one.position();
    let many: Vec<Changed> = (0..KNOWN_CHANGES)
        .map(|it| todo(&format!("{it:0>30}")))
        .collect();
    let whole = Changed::Table {
        table: table("todo"),
    };
    one.commit(many);
    one.commit(vec![todo(&"x".repeat(70_000))]);
    one.begin();
    for _ in 0..256 {
        one.log.stage(None, vec![todo(&"y".repeat(1000))]);
    }
    one.log.append(&one.connection, false).unwrap();
    one.connection.commit();
    one.log.committed(&one.connection);
    let told = one.since(before).unwrap();
    assert_eq!(told[..2], [whole.clone(), whole.clone()]);
    assert_eq!(told.len(), 258);
    assert!(told[2] != whole && told[257] == whole);
    assert_eq!(other.since(before), Some(told));
}

/// The time of SQLite's log has not moved where two write in the same tick of the clock.
#[test]
fn a_stranger_in_the_same_tick_is_noticed_by_who_looked_before() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = one.commit(vec![todo("a")]);
    other.begin();
    other.roll_back();
    store.state.lock().unwrap().commits.push(0);
    assert!(
        other.begin(),
        "somebody has committed, and no entry tells of it"
    );
    other.roll_back();
    assert_eq!(one.since(before), None);
}

#[test]
fn a_log_that_the_database_does_not_name_is_not_believed() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = one.commit(vec![todo("a")]);
    {
        let inner = other.log.lock();
        let ring = inner.ring().unwrap();
        let another = Head::new(before.log() ^ 1, 0, 9);
        begin(ring, &another, Some(other.connection.stamp())).unwrap();
    }
    assert!(other.begin());
    let named = other.log.is_unchanged(&table("todo"), before, None);
    other.roll_back();
    assert!(!named);
    assert_eq!(one.since(before), None);
}

#[test]
fn what_a_stranger_does_after_a_dead_commit_was_looked_at_is_noticed() {
    let store = Store::new();
    let (dies, lives) = (store.open(), store.open());
    let before = lives.position();
    dies.begin();
    dies.log.stage(None, vec![todo("a")]);
    dies.log.append(&dies.connection, false).unwrap();
    dies.connection.commit();
    dies.kill();
    assert!(!lives.begin());
    lives.roll_back();
    store.commit_of_a_stranger();
    let third = store.open();
    assert!(third.begin());
    third.roll_back();
    assert_eq!(lives.since(before), None);
}

#[test]
fn entries_that_do_not_follow_each_other_are_not_taken() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    let before = other.position();
    let last = one.commit(vec![todo("a")]).commit();
    {
        let inner = one.log.lock();
        let head = inner.head.unwrap();
        let mut entry = Vec::new();
        let place = (head.id, head.written);
        entry::encode(&mut entry, place, last + 5, None, &[todo("b")]);
        let ring = inner.ring().unwrap();
        ring.append(&head, &entry, last + 1).unwrap();
        ring.mark(head.id, last + 1, one.connection.stamp())
            .unwrap();
    }
    assert_eq!(other.since(before), None);
}
