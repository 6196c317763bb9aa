use super::*;
use crate::RecordId;

fn record(body: &str) -> Record {
    Record::new(RecordId::new("a").unwrap(), body).unwrap()
}

fn plain<T>(ask: impl FnOnce(Meaning<'_>) -> T) -> T {
    ask(Meaning(&Defaults::default()))
}

fn took(sent: &str, found: &str) -> bool {
    plain(|meaning| meaning.inserted(&record(sent), &record(found), &HashSet::new(), false))
}

#[test]
fn an_insert_is_known_again_in_the_words_of_the_server() {
    for (sent, found) in [
        (
            r#"{"n":1}"#,
            r#"{"n":1,"done":false,"rating":0,"price":0.0,"due":null,"mood":"Calm"}"#,
        ),
        (
            r#"{"at":"1955-11-05T06:15:00.1234567+05:30"}"#,
            r#"{"at":"1955-11-05T00:45:00.123Z"}"#,
        ),
        (
            r#"{"at":"1955-11-05T06:15:00.1239+05:30"}"#,
            r#"{"at":"1955-11-05T00:45:00.124+00:00"}"#,
        ),
        (
            r#"{"at":"2026-01-01T00:00:00Z"}"#,
            r#"{"at":"2026-01-01T00:00:00.0000000Z"}"#,
        ),
        (
            r#"{"g":"C0FFEE00-1234-5678-9ABC-DEF012345678"}"#,
            r#"{"g":"c0ffee00-1234-5678-9abc-def012345678"}"#,
        ),
        (r#"{"x":1e3}"#, r#"{"x":1000}"#),
        (r#"{"x":1e308,"y":0.10}"#, r#"{"x":1E+308,"y":0.1}"#),
        (r#"{"x":null}"#, r#"{"x":0}"#),
        (
            r#"{"x":{"a":null,"t":"2026-01-01T01:00:00+01:00"}}"#,
            r#"{"x":{"t":"2026-01-01T00:00:00.000Z"}}"#,
        ),
    ] {
        assert!(took(sent, found), "{sent} {found}");
    }
}

#[test]
fn another_record_is_not_taken_for_it() {
    for (sent, found) in [
        (r#"{"n":1}"#, r#"{"n":2}"#),
        (r#"{"n":1}"#, r#"{"n":1,"rating":5}"#),
        (r#"{"n":1}"#, r#"{"n":1,"done":true}"#),
        (r#"{"n":1}"#, r#"{"n":1,"note":"by somebody else"}"#),
        (r#"{"n":1,"x":2}"#, r#"{"n":1}"#),
        (r#"{"x":2}"#, r#"{"x":null}"#),
        (r#"{"x":0}"#, r#"{"x":null}"#),
        (r#"{"x":9007199254740993}"#, r#"{"x":9007199254740992}"#),
        (
            r#"{"at":"2026-01-01T00:00:00.123Z"}"#,
            r#"{"at":"2026-01-01T00:00:00Z"}"#,
        ),
        (
            r#"{"at":"2026-01-01T00:00:00.123Z"}"#,
            r#"{"at":"2026-01-01T00:00:00.125Z"}"#,
        ),
        (r#"{"x":"1"}"#, r#"{"x":1}"#),
    ] {
        assert!(!took(sent, found), "{sent} {found}");
    }
}

#[test]
fn members_that_a_server_drops_are_learned() {
    let (sent, answer) = (record(r#"{"n":1,"x":2,"y":null}"#), record(r#"{"n":1}"#));
    let drops: HashSet<String> = dropped(&sent, &answer, None).into_iter().collect();
    assert_eq!(drops, HashSet::from(["x".to_owned()]));
    assert!(plain(
        |meaning| meaning.inserted(&sent, &answer, &drops, false)
    ));
    assert!(plain(|meaning| meaning.inserted(
        &sent,
        &answer,
        &HashSet::new(),
        true
    )));
}

#[test]
fn what_an_update_changed_tells_whether_it_is_in() {
    use Standing::{AtBase, Open, Taken};
    let base = r#"{"title":"a","done":false,"n":1}"#;
    for (sent, found, standing) in [
        (
            r#"{"title":"b","done":false,"n":1}"#,
            r#"{"title":"b","done":true,"n":7}"#,
            Taken,
        ),
        (
            r#"{"title":"a","done":true,"n":1}"#,
            r#"{"title":"z","done":false,"n":1}"#,
            AtBase,
        ),
        (
            r#"{"title":"b","done":true,"n":1}"#,
            r#"{"title":"b","done":false,"n":1}"#,
            Open,
        ),
        (
            r#"{"title":"b","done":false,"n":1}"#,
            r#"{"title":"c","done":false,"n":1}"#,
            Open,
        ),
        // Only leaves a member out: gone means taken, still there means not.
        (
            r#"{"title":"a","done":false}"#,
            r#"{"title":"a","done":false,"n":0}"#,
            Taken,
        ),
        (
            r#"{"title":"a","done":false}"#,
            r#"{"title":"z","done":false,"n":1}"#,
            AtBase,
        ),
        (
            r#"{"title":"a","done":false}"#,
            r#"{"title":"a","done":false,"n":5}"#,
            Open,
        ),
        // A member that the base lacks, too: the server may not know it.
        (
            r#"{"title":"a","done":false,"n":1,"x":1}"#,
            r#"{"title":"z","done":false,"n":1}"#,
            Open,
        ),
        (
            r#"{"title":"b","done":false,"n":1,"x":1}"#,
            r#"{"title":"b","done":false,"n":1}"#,
            Taken,
        ),
        (base, r#"{"title":"z"}"#, Taken),
        // Leaves out what has a name for its default.
        (
            r#"{"done":true,"n":1}"#,
            r#"{"title":"a","done":true,"n":1}"#,
            Taken,
        ),
        (
            r#"{"done":false,"n":1}"#,
            r#"{"title":"a","done":false,"n":1}"#,
            Open,
        ),
    ] {
        let none = HashSet::new();
        let found = plain(|meaning| {
            meaning.updated(
                Some(&record(base)),
                &record(sent),
                None,
                &record(found),
                &none,
            )
        });
        assert_eq!(found, standing, "{sent}");
    }
    let drops = HashSet::from(["x".to_owned()]);
    let (sent, found) = (record(r#"{"title":"a","x":1}"#), record(r#"{"title":"z"}"#));
    let base = record(r#"{"title":"a"}"#);
    let found = plain(|meaning| meaning.updated(Some(&base), &sent, None, &found, &drops));
    assert_eq!(found, Taken);
}

#[test]
fn members_that_were_not_sent_tell_nothing() {
    use Standing::{AtBase, Open, Taken};
    let base = record(r#"{"title":"a","n":1}"#);
    let sent = record(r#"{"title":"b","n":2}"#);
    let (title, none) = (["title".to_owned()], HashSet::new());
    for (found, whole, part) in [
        (r#"{"title":"b","n":9}"#, Open, Taken),
        (r#"{"title":"b","n":1}"#, Open, Taken),
        (r#"{"title":"a","n":2}"#, Open, AtBase),
        (r#"{"title":"z","n":2}"#, Open, Open),
    ] {
        let found = record(found);
        let told = |only| plain(|meaning| meaning.updated(Some(&base), &sent, only, &found, &none));
        assert_eq!((told(None), told(Some(&title))), (whole, part), "{found:?}");
    }
    assert_eq!(dropped(&sent, &record("{}"), Some(&title)), ["title"]);
}

#[test]
fn only_real_changes_are_left_between_aligned_records() {
    let sent = record(r#"{"title":"a","at":"2026-01-01T01:00:00+01:00","x":1}"#);
    let edited = record(r#"{"title":"b","at":"2026-01-01T01:00:00+01:00","x":1}"#);
    let row = record(r#"{"title":"a","at":"2026-01-01T00:00:00.000Z","done":false,"rating":5}"#);
    let (base, local) = plain(|meaning| meaning.aligned(&sent, &edited, &row));
    let merged = crate::sync::merge(&crate::MergeRules::new(), Some(&base), &local, &row);
    assert_eq!(
        merged.record.body(),
        r#"{"title":"b","at":"2026-01-01T00:00:00.000Z","done":false,"rating":5}"#
    );
    assert_eq!(
        (merged.local, merged.clashes),
        (vec!["title".to_owned()], vec![])
    );
}

#[test]
fn what_is_missing_stands_for_its_default() {
    use Standing::{AtBase, Open, Taken};
    let options = crate::FieldOptions::new().with_default(5);
    let table =
        crate::TableSchema::new().with_field_options("n", crate::FieldType::Integer, options);
    let defaults = table.defaults();
    let (meaning, none) = (Meaning(&defaults), HashSet::new());
    for (sent, found, same) in [
        ("{}", r#"{"n":5}"#, true),
        (r#"{"n":5}"#, "{}", true),
        ("{}", r#"{"n":6}"#, false),
        (r#"{"n":6}"#, "{}", false),
        (r#"{"n":null}"#, r#"{"n":5}"#, false),
    ] {
        let found = meaning.inserted(&record(sent), &record(found), &none, false);
        assert_eq!(found, same, "{sent}");
    }
    for (base, sent, found, standing) in [
        ("{}", r#"{"n":5}"#, r#"{"n":7}"#, Taken),
        (r#"{"n":7}"#, "{}", r#"{"n":5}"#, Taken),
        (r#"{"n":7}"#, r#"{"n":5}"#, "{}", Taken),
        (r#"{"n":7}"#, r#"{"n":5}"#, r#"{"n":7}"#, AtBase),
        ("{}", r#"{"n":7}"#, r#"{"n":5}"#, AtBase),
        ("{}", r#"{"n":7}"#, r#"{"n":6}"#, Open),
    ] {
        let (base, sent, found) = (record(base), record(sent), record(found));
        let told = meaning.updated(Some(&base), &sent, None, &found, &none);
        assert_eq!(
            told,
            standing,
            "{} {} {}",
            base.body(),
            sent.body(),
            found.body()
        );
    }
    // What the server filled in is no edit.
    let (sent, row) = (record(r#"{"t":1}"#), record(r#"{"t":1,"n":5}"#));
    let (base, local) = meaning.aligned(&sent, &record(r#"{"t":2}"#), &row);
    assert_eq!(
        (base.body(), local.body()),
        (r#"{"n":5,"t":1}"#, r#"{"n":5,"t":2}"#)
    );
    let local = with_zeros(&row, &record(r#"{"t":2}"#), &defaults);
    assert_eq!(local.body(), r#"{"t":2,"n":5}"#);
}
