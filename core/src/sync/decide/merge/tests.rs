//! Tests of [`merge`](super).

use super::*;

fn record(body: &str) -> Record {
    Record::new(crate::RecordId::new("a").unwrap(), body).unwrap()
}

fn merged(rules: &MergeRules, base: &str, local: &str, server: &str) -> Merged {
    merge(rules, Some(&record(base)), &record(local), &record(server))
}

/// Every combination of a member being missing, 1, 2 or 3 in base, local and server.
#[test]
fn one_member_without_a_rule_exhaustively() {
    let bodies = ["{}", r#"{"x":1}"#, r#"{"x":2}"#, r#"{"x":3}"#];
    for base in bodies {
        for local in bodies {
            for server in bodies {
                let merged = merged(&MergeRules::new(), base, local, server);
                let case = format!("{base} {local} {server}: {merged:?}");
                let clash = local != base && server != base && local != server;
                let expected = if local == base || clash {
                    server
                } else {
                    local
                };
                assert!(merged.record.same_members(&record(expected)), "{case}");
                assert_eq!(merged.clashes.len(), usize::from(clash), "{case}");
                let local_only = local != base && server == base;
                assert_eq!(merged.local.len(), usize::from(local_only), "{case}");
            }
        }
    }
}

#[test]
fn without_a_base_only_equal_or_separate_members_merge() {
    let (local, server) = (record(r#"{"x":1,"y":2.0}"#), record(r#"{"y":2,"z":3}"#));
    let joined = merge(&MergeRules::new(), None, &local, &server);
    assert_eq!(joined.record.body(), r#"{"y":2,"z":3,"x":1}"#);
    assert!(joined.clashes.is_empty());
    let server = record(r#"{"x":2}"#);
    let clash = merge(&MergeRules::new(), None, &record(r#"{"x":1}"#), &server);
    assert_eq!(clash.clashes, ["x"]);
    assert_eq!(clash.record, server);
}

#[test]
fn what_is_removed_here_stays_out() {
    let removed = |rules: &MergeRules| {
        merged(
            rules,
            r#"{"x":1,"y":1}"#,
            r#"{"y":1}"#,
            r#"{"x":1.0,"y":2}"#,
        )
    };
    assert_eq!(removed(&MergeRules::new()).record.body(), r#"{"y":2}"#);
    let rules = MergeRules::new().with("x", MergeRule::Client);
    assert_eq!(removed(&rules).record.body(), r#"{"x":null,"y":2}"#);
}

#[test]
fn objects_merge_member_by_member_and_name_paths() {
    let rules = MergeRules::new().with("a/n", MergeRule::Counter);
    let merged = merged(
        &rules,
        r#"{"a":{"b":{"c":1,"d":1},"n":1,"e":1}}"#,
        r#"{"a":{"b":{"c":2,"d":1},"n":2,"e":2}}"#,
        r#"{"a":{"b":{"c":1,"d":3.50},"n":5,"e":3}}"#,
    );
    assert_eq!(
        merged.record.body(),
        r#"{"a":{"b":{"c":2,"d":3.50},"n":6,"e":3}}"#
    );
    assert_eq!(merged.local, ["a/b/c"]);
    assert_eq!(merged.joined, ["a/n"]);
    assert_eq!(merged.clashes, ["a/e"]);
}

#[test]
fn an_object_with_a_rule_is_decided_whole() {
    let rules = MergeRules::new().with("place", MergeRule::Client);
    let merged = merged(
        &rules,
        r#"{"place":{"x":1,"y":1}}"#,
        r#"{"place":{"x":2,"y":1}}"#,
        r#"{"place":{"x":1,"y":2}}"#,
    );
    assert_eq!(merged.record.body(), r#"{"place":{"x":2,"y":1}}"#);
}

#[test]
fn values_that_do_not_fit_their_rule_clash() {
    for (rule, base, local, server) in [
        (MergeRule::Counter, "1", "\"2\"", "3"),
        (MergeRule::Counter, "1", "2", "[3]"),
        (MergeRule::Set, "[]", "1", "[2]"),
        (MergeRule::Set, "{}", "[1]", "[2]"),
        (MergeRule::Max, "1", "[2]", "3"),
        (MergeRule::Manual, "1", "2", "3"),
    ] {
        let body = |text: &str| format!(r#"{{"x":{text}}}"#);
        let rules = MergeRules::new().with("x", rule);
        let merged = merged(&rules, &body(base), &body(local), &body(server));
        assert_eq!(merged.clashes, ["x"], "{rule:?}");
        assert_eq!(merged.record.body(), body(server), "{rule:?}");
    }
}

#[test]
fn the_rule_for_the_rest_is_used_where_no_other_is() {
    let rules = MergeRules::new()
        .with("*", MergeRule::Client)
        .with("x", MergeRule::Server);
    let merged = merged(
        &rules,
        r#"{"x":1,"y":1}"#,
        r#"{"x":2,"y":2}"#,
        r#"{"x":3,"y":3}"#,
    );
    assert_eq!(merged.record.body(), r#"{"x":3,"y":2}"#);
}

/// What a member may hold in the exhaustive checks: `None` is missing.
fn values(rule: MergeRule) -> Vec<Option<&'static str>> {
    match rule {
        MergeRule::Set => vec![
            None,
            Some("[]"),
            Some("[1]"),
            Some("[2]"),
            Some("[1,2]"),
            Some("[2,3]"),
        ],
        MergeRule::Counter => vec![None, Some("0"), Some("1"), Some("5"), Some("-3")],
        _ => vec![
            None,
            Some("1"),
            Some("1.0"),
            Some("2"),
            Some("\"a\""),
            Some("\"2024-01-01T00:00:00Z\""),
            Some("\"2024-01-01T01:00:00+01:00\""),
            Some("true"),
        ],
    }
}

fn body(value: Option<&str>) -> Record {
    record(&value.map_or("{}".into(), |text| format!(r#"{{"x":{text}}}"#)))
}

/// As a set does not care for the order of its elements.
fn comparable(record: &Record, rule: MergeRule) -> String {
    match record.member("x") {
        Some(Value::Array(items)) if rule == MergeRule::Set => {
            let mut items: Vec<String> = items.iter().map(canonical).collect();
            items.sort();
            format!("{items:?}")
        }
        // Removing all and never having any is the same.
        None | Some(Value::Null) if rule == MergeRule::Set => "[]".into(),
        None | Some(Value::Null) if rule == MergeRule::Counter => "0".into(),
        None | Some(Value::Null) => "null".into(),
        Some(_) => record.members()[0].1.to_owned(),
    }
}

/// Three devices change one value; they push in every order, each merging with what the server then has.
#[test]
fn rules_that_promise_it_do_not_depend_on_the_order() {
    let mut cases = 0;
    for rule in [
        MergeRule::Counter,
        MergeRule::Set,
        MergeRule::Max,
        MergeRule::Min,
    ] {
        let rules = MergeRules::new().with("x", rule);
        let values = values(rule);
        for &base in &values {
            for &a in &values {
                for &b in &values {
                    for &c in &values {
                        let base = body(base);
                        let sides = [body(a), body(b), body(c)];
                        let orders = [
                            [0, 1, 2],
                            [0, 2, 1],
                            [1, 0, 2],
                            [1, 2, 0],
                            [2, 0, 1],
                            [2, 1, 0],
                        ];
                        let mut results = orders.iter().map(|order| {
                            let mut server = base.clone();
                            for &device in order {
                                let merged = merge(&rules, Some(&base), &sides[device], &server);
                                assert!(merged.clashes.is_empty());
                                server = merged.record;
                            }
                            comparable(&server, rule)
                        });
                        let first = results.next().unwrap();
                        for other in results {
                            assert_eq!(first, other, "{rule:?}: {base:?} {sides:?}");
                        }
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 5usize.pow(4) + 6usize.pow(4) + 2 * 8usize.pow(4));
}

/// Nothing changed here, or nothing changed there: the other side is the result, whatever the rule.
#[test]
fn one_sided_changes_are_taken_as_they_are() {
    for rule in MergeRule::ALL {
        let rules = MergeRules::new().with("x", rule);
        for &base in &values(rule) {
            for &side in &values(rule) {
                let (base, side) = (body(base), body(side));
                let there = merge(&rules, Some(&base), &base, &side).record;
                let here = merge(&rules, Some(&base), &side, &base).record;
                assert!(there.same_members(&side), "{rule:?} {base:?} {side:?}");
                assert!(here.same_members(&side), "{rule:?} {base:?} {side:?}");
            }
        }
    }
}

#[test]
fn a_missing_member_stands_for_its_default() {
    use crate::{Declaration, FieldOptions, FieldType};
    let options = FieldOptions::new().with_default(5);
    let table = Declaration::new()
        .with_field_options("n", FieldType::Integer, options)
        .with_merge("n", MergeRule::Counter);
    let manual = Declaration::from(table.schema.clone());
    let of = |json: &str| Record::new(crate::RecordId::new("a").unwrap(), json).unwrap();
    for (base, local, server, counted, plain) in [
        // Nobody changed it.
        ("{}", r#"{"n":5}"#, "{}", r#"{"n":5}"#, Some(r#"{"n":5}"#)),
        ("{}", "{}", r#"{"n":5}"#, r#"{"n":5}"#, Some(r#"{"n":5}"#)),
        (r#"{"n":5}"#, "{}", "{}", "{}", Some("{}")),
        // One side did.
        (
            "{}",
            r#"{"n":6}"#,
            r#"{"n":5}"#,
            r#"{"n":6}"#,
            Some(r#"{"n":6}"#),
        ),
        (
            "{}",
            r#"{"n":5}"#,
            r#"{"n":6}"#,
            r#"{"n":6}"#,
            Some(r#"{"n":6}"#),
        ),
        (r#"{"n":6}"#, r#"{"n":6}"#, "{}", "{}", Some("{}")),
        (
            r#"{"n":6}"#,
            "{}",
            r#"{"n":6}"#,
            r#"{"n":5}"#,
            Some(r#"{"n":5}"#),
        ),
        // Both did.
        ("{}", r#"{"n":7}"#, r#"{"n":6}"#, r#"{"n":8}"#, None),
        (r#"{"n":7}"#, "{}", r#"{"n":6}"#, r#"{"n":4}"#, None),
    ] {
        let (base, local, server) = (of(base), of(local), of(server));
        let what = format!("{} {} {}", base.body(), local.body(), server.body());
        let merged = merge_declared(&table, Some(&base), &local, &server);
        assert_eq!(merged.record.body(), counted, "{what}");
        let merged = merge_declared(&manual, Some(&base), &local, &server);
        let clean = merged.clashes.is_empty();
        assert_eq!(clean.then_some(merged.record.body()), plain, "{what}");
    }
}
