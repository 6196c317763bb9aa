//! What typed servers make of records: defaults, normal forms, and refusals in their own words.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use synctable_core::query::RemoteQuery;
use synctable_testkit::typed::{Flavour, Kind, Model, Refusal};

fn memo() -> Model {
    let title = Kind::Text {
        most: Some(50),
        required: false,
    };
    Model::new("Memo")
        .with("title", title)
        .with("complete", Kind::Bool)
        .with("rating", Kind::Int32)
        .with("big", Kind::Int64)
        .with("price", Kind::Double)
        .with("amount", Kind::Decimal)
        .with("when", Kind::Instant)
        .with("uid", Kind::Guid)
        .with("mood", Kind::of(&["Calm", "Happy", "Angry"]))
        .with("extra", Kind::Json)
        .with_nullable("score", Kind::Int32)
}

fn body(flavour: Flavour, json: &str) -> String {
    memo().take(flavour, json, None).unwrap().body
}

#[test]
fn what_is_left_out_gets_its_default_and_what_is_unknown_goes() {
    let sent = r#"{"id":"a","version":"v","updatedAt":"x","nosuch":1}"#;
    assert_eq!(
        body(Flavour::Toolkit, sent),
        r#"{"title":null,"complete":false,"rating":0,"big":0,"price":0,"amount":0,"when":null,"uid":null,"mood":"Calm","extra":null,"score":null}"#
    );
    assert_eq!(
        body(Flavour::Zumo3, sent),
        r#"{"title":null,"complete":false,"rating":0,"big":0,"price":0.0,"amount":0.0,"when":null,"uid":null,"mood":"Calm","extra":null,"score":null}"#
    );
}

#[test]
fn values_come_back_in_the_spelling_of_the_server() {
    let sent = r#"{"TITLE":"é<","price":1e3,"amount":0.10,"when":"1955-11-05T06:15:00.1239999+05:30","uid":"C0FFEE00-1234-5678-9ABC-DEF012345678","mood":"happy","extra":{"b":[1.50]},"rating":"7"}"#;
    assert_eq!(
        body(Flavour::Toolkit, sent),
        r#"{"title":"\u00E9\u003C","complete":false,"rating":7,"big":0,"price":1000,"amount":0.10,"when":"1955-11-05T00:45:00.123Z","uid":"c0ffee00-1234-5678-9abc-def012345678","mood":"Happy","extra":{"b":[1.50]},"score":null}"#
    );
    assert_eq!(
        body(Flavour::Zumo3, sent),
        r#"{"title":"é<","complete":false,"rating":7,"big":0,"price":1000.0,"amount":0.10,"when":"1955-11-05T00:45:00.123+00:00","uid":"c0ffee00-1234-5678-9abc-def012345678","mood":"Happy","extra":{"b":[1.50]},"score":null}"#
    );
}

/// What was taken once is taken again without a change, so a client that sends back what it read changes nothing.
#[test]
fn normal_forms_are_stable() {
    let sent = r#"{"title":"'é😀\n\"","price":1.5e-9,"amount":12.3400,"when":"2026-01-01T00:00:00+01:00","uid":"C0FFEE00-1234-5678-9ABC-DEF012345678","mood":"Angry","big":-9223372036854775808}"#;
    for flavour in Flavour::ALL {
        let once = body(flavour, sent);
        assert_eq!(body(flavour, &once), once);
    }
}

#[test]
fn members_left_out_keep_their_value_where_a_record_is_merged_onto_another() {
    let model = memo();
    let old = body(Flavour::Zumo3, r#"{"title":"t","rating":3}"#);
    let new = model
        .take(
            Flavour::Zumo3,
            r#"{"rating":4,"deleted":false}"#,
            Some(&old),
        )
        .unwrap();
    assert_eq!(new.body, old.replace(r#""rating":3"#, r#""rating":4"#));
    assert_eq!((new.id, new.deleted), (None, Some(false)));
}

#[test]
fn one_server_fails_at_what_it_cannot_read_and_the_other_names_the_member() {
    for (sent, words) in [
        (
            r#"{"mood":"Sad"}"#,
            "mood: Error converting value \"Sad\" to type 'Srv.Mood'. Path 'mood', line 1, position 13.",
        ),
        (
            r#"{"rating":"seven"}"#,
            "rating: Could not convert string to integer: seven. Path 'rating', line 1, position 17.",
        ),
        (
            r#"{"rating":null}"#,
            "rating: Error converting value {null} to type 'System.Int32'. Path 'rating', line 1, position 14.",
        ),
        (
            r#"{"when":"2026-02-30T00:00:00Z"}"#,
            "when: Error converting value \"2026-02-30T00:00:00Z\" to type 'System.Nullable`1[System.DateTimeOffset]'. Path 'when', line 1, position 30.",
        ),
        (
            "nonsense",
            "Unexpected character encountered while parsing value: n. Path '', line 0, position 0.",
        ),
    ] {
        let refusal = memo().take(Flavour::Zumo3, sent, None).unwrap_err();
        assert_eq!(refusal.status(Flavour::Zumo3), 400);
        assert_eq!(refusal.words(Flavour::Zumo3), words);
        let refusal = memo().take(Flavour::Toolkit, sent, None).unwrap_err();
        assert_eq!(refusal.status(Flavour::Toolkit), 500);
        assert_eq!(refusal.body(Flavour::Toolkit), "");
    }
    for sent in [
        r#"{"rating":1.5}"#,
        r#"{"rating":3000000000}"#,
        r#"{"big":1e30}"#,
        r#"{"amount":1e308}"#,
        r#"{"title":[1]}"#,
        r#"{"complete":2}"#,
        r#"{"uid":"x"}"#,
        "[1]",
        "",
        "{",
    ] {
        for flavour in Flavour::ALL {
            let refusal = memo().take(flavour, sent, None).unwrap_err();
            assert!(matches!(refusal, Refusal::Unreadable(..)), "{sent}");
        }
    }
}

#[test]
fn rules_of_a_member_are_told_by_both() {
    let required = Kind::Text {
        most: Some(3),
        required: true,
    };
    let model = Model::new("Task").with("title", required);
    let refused = |flavour, sent| {
        let refusal = model.take(flavour, sent, None).unwrap_err();
        assert_eq!(refusal.status(flavour), 400);
        refusal.body(flavour)
    };
    for sent in ["{}", r#"{"title":null}"#, r#"{"title":" "}"#] {
        assert_eq!(
            refused(Flavour::Toolkit, sent),
            r#"[{"memberNames":["Title"],"errorMessage":"The Title field is required."}]"#
        );
    }
    let long = refused(Flavour::Zumo3, r#"{"title":"long"}"#);
    let start =
        r#"{"errors":{"title":["The field Title must be a string with a maximum length of 3."]},"#;
    assert!(long.starts_with(start), "{long}");
}

#[test]
fn queries_are_held_against_the_class() {
    let check = |query: &str| memo().check(&RemoteQuery::from_odata(query).unwrap());
    for good in [
        "$filter=(updatedAt gt cast(2026-01-01T00:00:00.000Z,Edm.DateTimeOffset)) and rating eq 1.5",
        "$filter=title eq null or mood eq 'Happy' or year(when) eq 2026",
        "$orderby=updatedAt,id&$select=id,title&$filter=not deleted",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    let unknown = |name: &str| {
        Err(format!(
            "Could not find a property named '{name}' on type 'Srv.Memo'."
        ))
    };
    assert_eq!(check("$filter=nosuch eq 1"), unknown("nosuch"));
    assert_eq!(check("$orderby=createdAt"), unknown("createdAt"));
    let types = check("$filter=complete and not (rating eq 'x')").unwrap_err();
    assert!(types.contains("'Edm.Int32' and 'Edm.String'"), "{types}");
}
