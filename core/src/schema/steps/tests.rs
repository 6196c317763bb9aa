//! The laws of steps.

use proptest::prelude::*;

use super::*;
use crate::name::RecordId;
use crate::record::Record;
use crate::{Declaration, MergeRule};

fn todos() -> TableName {
    TableName::new("todos").unwrap()
}

fn record(body: &str) -> Record {
    Record::new(RecordId::new("a").unwrap(), body).unwrap()
}

fn numbered(steps: impl IntoIterator<Item = Step>) -> Steps {
    let steps = (1..).zip(steps);
    steps.fold(Steps::new(), |all, (number, step)| all.step(number, step))
}

fn ty() -> impl Strategy<Value = FieldType> {
    prop_oneof![
        Just(FieldType::String),
        Just(FieldType::Integer),
        Just(FieldType::Number),
        Just(FieldType::Boolean),
        Just(FieldType::Date),
        Just(FieldType::Json),
        Just(FieldType::Enum(vec!["1".into(), "x".into()])),
    ]
}

/// A few names, so that steps meet.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn change() -> impl Strategy<Value = Placeless> {
    prop_oneof![
        (name(), name())
            .prop_filter("another name", |(from, to)| from != to)
            .prop_map(|(from, to)| Step::rename("todos", from, to)),
        name().prop_map(|field| Step::remove("todos", field)),
        (name(), ty(), ty()).prop_map(|(field, old, new)| Step::retype("todos", field, old, new)),
    ]
}

fn value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "null",
        "1",
        "0",
        "-0",
        "1.50",
        "01x",
        "true",
        "\"1\"",
        "\"01\"",
        "\"1e0\"",
        "\" 1\"",
        "\"x\"",
        "\"true\"",
        "\"\\\"1\\\"\"",
        "\"2024-02-29\"",
        "{\"k\":1}",
        "[1]",
        "\"[1]\"",
        "\"\"",
    ])
    .prop_filter("JSON", |text| {
        serde_json::from_str::<serde_json::Value>(text).is_ok()
    })
}

fn body() -> impl Strategy<Value = String> {
    prop::collection::vec((name(), value()), 0..4).prop_map(|members| {
        let mut seen = Vec::new();
        let mut texts = Vec::new();
        for (name, text) in members {
            if !seen.contains(&name) {
                seen.push(name);
                texts.push(format!("\"{name}\":{text}"));
            }
        }
        format!("{{{}}}", texts.join(","))
    })
}

proptest! {
    /// What is stored here of a row goes back as it came, whatever it holds.
    #[test]
    fn what_came_from_the_server_goes_back_as_it_came(
        changes in prop::collection::vec(change(), 0..5), body in body(),
    ) {
        let steps = numbered(changes.into_iter().map(Placeless::here));
        prop_assert!(steps.check().is_ok());
        let row = record(&body);
        let here = steps.of_server(&todos(), row.clone());
        let back = steps.to_server(&todos(), steps.len(), here.clone());
        // Nobody can tell a value that had the new type before from one that was given it.
        let ambiguous = steps.steps().any(|step| matches!(&step.change, Change::Retype { old, new, .. }
            if row.members().iter().any(|(_, text)| !old.fits(text) && new.fits(text)
                || convert::converted(text, new).is_some() && !old.fits(text))));
        if !ambiguous {
            prop_assert_eq!(back.body(), row.body(), "{}", here.body());
        }
    }

    /// Words of before are brought forward to what a row of the server is here, as long as the server keeps them.
    #[test]
    fn old_words_become_what_the_servers_become(
        changes in prop::collection::vec(change(), 0..5), known in 0_usize..5, body in body(),
    ) {
        let all = numbered(changes.iter().cloned().map(Placeless::here));
        let before = numbered(changes.into_iter().take(known).map(Placeless::here));
        let row = record(&body);
        let old = before.of_server(&todos(), row.clone());
        let new = all.forward(&todos(), before.len(), old);
        let came = all.of_server(&todos(), row);
        prop_assert_eq!(new.body(), came.body());
    }

    /// What was queued in the words of before goes out in the very same ones, where the steps since hold here only.
    #[test]
    fn old_words_go_out_as_they_are(
        changes in prop::collection::vec(change(), 0..5), body in body(),
    ) {
        let steps = numbered(changes.into_iter().map(Placeless::here));
        let sent = steps.to_server(&todos(), 0, record(&body));
        prop_assert_eq!(sent.body(), body.as_str());
    }

    /// Where the server has made every step, old words go out in the new ones, and those are the app's own.
    #[test]
    fn steps_that_hold_everywhere_end_in_the_same_words(
        changes in prop::collection::vec(change(), 0..5), body in body(),
    ) {
        let steps = numbered(changes.into_iter().map(Placeless::everywhere));
        prop_assert!(steps.check().is_ok());
        let new = steps.forward(&todos(), 0, record(&body));
        let sent = steps.to_server(&todos(), 0, record(&body));
        let later = steps.to_server(&todos(), steps.len(), new.clone());
        prop_assert_eq!(sent.body(), later.body());
        let come = steps.of_server(&todos(), new.clone());
        prop_assert_eq!(come.body(), new.body());
    }

    /// A value that is written anew fits its type; any other is the text that it was.
    #[test]
    fn values_fit_or_stay(old in ty(), new in ty(), text in value()) {
        for step in [
            Step::retype("todos", "a", old.clone(), new.clone()).here(),
            Step::retype("todos", "a", old, new.clone()).everywhere(),
        ] {
            let steps = numbered([step]);
            let changed = steps.forward(&todos(), 0, record(&format!(r#"{{"a":{text}}}"#)));
            let members = changed.members();
            let now = members[0].1;
            prop_assert!(now == text || new.fits(now), "{}", now);
            let table = todos();
            let counted = steps.misfits(&table, 0, &changed);
            prop_assert_eq!(counted.is_empty(), new.fits(now));
        }
    }
}

#[test]
fn the_documented_conversions() {
    use FieldType::{Boolean, Integer, Number, String};
    for (old, new, from, here, everywhere) in [
        (String, Integer, "\"12\"", "12", "12"),
        (String, Integer, "\"twelve\"", "\"twelve\"", "\"twelve\""),
        (String, Integer, "null", "null", "null"),
        (String, Number, "\"1.50\"", "1.50", "1.50"),
        (Integer, String, "7", "\"7\"", "\"7\""),
        (Integer, Boolean, "1", "true", "true"),
        (Integer, Boolean, "2", "2", "2"),
        (Boolean, Integer, "false", "0", "0"),
        (Boolean, String, "true", "\"true\"", "\"true\""),
        (String, Boolean, "\"false\"", "false", "false"),
        // It would come back as 1.
        (Number, Boolean, "1.0", "1.0", "1.0"),
    ] {
        let step = || Step::retype("todos", "n", old.clone(), new.clone());
        for (step, expected) in [(step().here(), here), (step().everywhere(), everywhere)] {
            let row = record(&format!(r#"{{"n":{from}}}"#));
            let changed = numbered([step]).forward(&todos(), 0, row);
            assert_eq!(changed.body(), format!(r#"{{"n":{expected}}}"#));
        }
    }
}

#[test]
fn steps_that_cannot_be_are_refused() {
    let renamed = || Step::rename("todos", "a", "b");
    assert!(Steps::new().step(2, renamed().here()).check().is_err());
    for steps in [
        numbered([renamed().here(), Step::remove("todos", "b").everywhere()]),
        numbered([Step::rename("todos", "a", "a").here()]),
        numbered([Step::rename("todos", "id", "key").here()]),
        numbered([Step::rename("__meta", "a", "b").here()]),
        numbered([Step::remove("todos", "").here()]),
        numbered([Step::index("todos", Vec::<String>::new())]),
    ] {
        assert!(steps.check().is_err(), "{steps:?}");
    }
    let fine = [
        renamed().everywhere(),
        Step::rename("todos", "b", "c").here(),
        Step::index("todos", ["c", "updatedAt"]),
    ];
    assert_eq!(numbered(fine).check(), Ok(()));
}

#[test]
fn names_of_a_query_are_those_of_the_server() {
    let steps = numbered([
        Step::rename("todos", "old", "title").everywhere(),
        Step::rename("todos", "title", "name").here(),
        Step::retype("todos", "n", FieldType::String, FieldType::Integer).here(),
    ]);
    let todos = todos();
    assert_eq!(steps.name_there(&todos, "name"), Some("title"));
    assert_eq!(steps.name_there(&todos, "title"), Some("name"));
    assert_eq!(steps.name_now(&todos, 0, "old"), "name");
    assert_eq!(steps.name_now(&todos, 1, "title"), "name");
    assert_eq!(steps.name_now(&todos, 2, "title"), "title");
    assert_eq!(steps.name_there(&todos, "other"), Some("other"));
    assert_eq!(steps.name_there(&todos, "n"), None);
    let other = TableName::new("other").unwrap();
    assert_eq!(steps.name_there(&other, "n"), Some("n"));
}

#[test]
fn declarations_follow() {
    let before = Declaration::new()
        .with_field("title", FieldType::String)
        .with_field("rank", FieldType::String)
        .with_field("old", FieldType::Json)
        .with_index(["title", "rank"])
        .with_index(["old"])
        .with_merge("title", MergeRule::Client)
        .with_merge("old/tags", MergeRule::Set);
    let steps = numbered([
        Step::rename("todos", "title", "name").here(),
        Step::retype("todos", "rank", FieldType::String, FieldType::Integer).here(),
        Step::remove("todos", "old").here(),
        Step::index("todos", ["rank"]),
    ]);
    let after = Declaration::new()
        .with_field("name", FieldType::String)
        .with_field("rank", FieldType::Integer)
        .with_index(["name", "rank"])
        .with_index(["rank"])
        .with_merge("name", MergeRule::Client);
    assert_eq!(steps.declared(&todos(), 0, before.clone()), after);
    assert_eq!(steps.declared(&todos(), 4, before.clone()), before);
}
