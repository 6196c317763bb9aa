//! Three-way merge of records, member by member, by the rules that are declared for them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Number, Value};

use crate::planted::planted;
use crate::query::SortValue;
use crate::record::{Member, Places, Record, body_text, members_of, push_json_str, same_value};
use crate::schema::{MergeRule, MergeRules};
use crate::timestamp::Timestamp;

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// Everything that fits together, with the server's id and system properties. A member that clashes is as the
    /// server has it.
    pub record: Record,
    /// The members taken from the local side. Members of objects are named by their path: `address/city`.
    pub local: Vec<String>,
    /// The members that both sides changed and a rule joined or decided.
    pub joined: Vec<String>,
    /// The members that both sides changed to different values and no rule decides; empty when all is merged.
    pub clashes: Vec<String>,
}

/// Joins the changes that `local` and `server` made to `base`.
///
/// A member that only one side changed is taken from that side; one that both changed to the same value is taken as
/// it is. Where both changed it differently the [`MergeRule`] of the member decides; without one, objects
/// are merged member by member in the same way, and anything else is a clash. A counter that both raised is raised twice, also when
/// both came to the same value. Values are compared as values: numbers as numbers, `null` as missing.
///
/// ```
/// use synctable_core::{MergeRule, MergeRules, Record, sync::merge};
/// let record = |json| Record::from_json(json).unwrap();
/// let rules = MergeRules::new().with("stock", MergeRule::Counter);
/// let merged = merge(
///     &rules,
///     Some(&record(r#"{"id":"a","stock":10,"price":1,"name":"Tea"}"#)),
///     &record(r#"{"id":"a","stock":7,"price":1,"name":"Green tea"}"#),
///     &record(r#"{"id":"a","stock":9,"price":2,"name":"Tea"}"#),
/// );
/// assert_eq!(merged.record.body(), r#"{"stock":6,"price":2,"name":"Green tea"}"#);
/// assert_eq!((merged.local, merged.joined), (vec!["name".into()], vec!["stock".into()]));
/// assert!(merged.clashes.is_empty());
/// ```
pub fn merge(rules: &MergeRules, base: Option<&Record>, local: &Record, server: &Record) -> Merged {
    join(rules, false, base, local, server)
}

/// As [`merge`]; `unsure` says that the local change may be among the server's already, so that a counter which both sides
/// changed clashes, whatever it came to.
pub(crate) fn join(
    rules: &MergeRules,
    unsure: bool,
    base: Option<&Record>,
    local: &Record,
    server: &Record,
) -> Merged {
    let mut join = Join {
        rules,
        unsure,
        local: Vec::new(),
        joined: Vec::new(),
        clashes: Vec::new(),
    };
    let base = base.filter(|_| !planted!(MergeWithoutBase));
    let base = base.map_or("{}", Record::body);
    let body = join.objects("", base, local.body(), server.body());
    Merged {
        record: Record::from_stored(server.id().clone(), server.system().clone(), body),
        local: join.local,
        joined: join.joined,
        clashes: join.clashes,
    }
}

struct Join<'r> {
    rules: &'r MergeRules,
    unsure: bool,
    local: Vec<String>,
    joined: Vec<String>,
    clashes: Vec<String>,
}

const NULL: &str = "null";

/// The members of an object, found by name; a missing one is `null`.
struct Members<'a> {
    list: Vec<Member<'a>>,
    places: Places<'a>,
}

impl<'a> Members<'a> {
    fn of(object: &'a str) -> Self {
        Self {
            list: members_of(object),
            places: Places::default(),
        }
    }

    fn find(&mut self, name: &str) -> Option<&'a str> {
        let place = self.places.find(&self.list, name)?;
        self.list.get(place).map(|(_, text)| *text)
    }
}

impl Join<'_> {
    /// The text of the merged object: the server's members in their order, then what is only here.
    fn objects(&mut self, path: &str, base: &str, local: &str, server: &str) -> String {
        let (mut base, mut local, mut server) =
            (Members::of(base), Members::of(local), Members::of(server));
        let path = |name: &str| match path {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        let mut merged: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for (name, theirs) in server.list.clone() {
            let old = base.find(&name).unwrap_or(NULL);
            let ours = local.find(&name).unwrap_or(NULL);
            let text = self.member(path(&name), old, ours, theirs);
            merged.push((name, text));
        }
        for (name, ours) in local.list.clone() {
            if server.find(&name).is_none() {
                let old = base.find(&name).unwrap_or(NULL);
                let text = self.member(path(&name), old, ours, NULL);
                if text != NULL {
                    merged.push((name, text));
                }
            }
        }
        let merged: Vec<Member<'_>> = merged
            .iter()
            .map(|(name, text)| (name.clone(), &**text))
            .collect();
        body_text(&merged)
    }

    /// The text of one merged member.
    fn member<'t>(
        &mut self,
        path: String,
        old: &str,
        ours: &'t str,
        theirs: &'t str,
    ) -> Cow<'t, str> {
        // Most members are the same text everywhere.
        if ours == old {
            return theirs.into();
        }
        let (old_value, our_value, their_value) = (parse(old), parse(ours), parse(theirs));
        if same_value(&old_value, &our_value) {
            return theirs.into();
        }
        let rule = self.rules.find(&path);
        // Whatever it is at: our change may be in, and others may have taken as much away.
        if self.unsure && rule == Some(MergeRule::Counter) {
            self.clashes.push(path);
            return theirs.into();
        }
        if same_value(&old_value, &their_value) {
            self.local.push(path);
            return ours.into();
        }
        let joined = match rule {
            Some(MergeRule::Counter) => counter(&old_value, &our_value, &their_value),
            Some(MergeRule::Set) => set(&old_value, &our_value, &their_value),
            Some(MergeRule::Max) => extreme(
                (&our_value, ours),
                (&their_value, theirs),
                Ordering::Greater,
            ),
            Some(MergeRule::Min) => {
                extreme((&our_value, ours), (&their_value, theirs), Ordering::Less)
            }
            Some(MergeRule::Server) => Some(theirs.into()),
            Some(MergeRule::Client) => Some(ours.into()),
            Some(MergeRule::Manual) | None => None,
        };
        if let Some(text) = joined {
            self.joined.push(path);
            return text;
        }
        if same_value(&our_value, &their_value) {
            return theirs.into();
        }
        let object = |value: &Value| value.is_object();
        if rule.is_none()
            && object(&our_value)
            && object(&their_value)
            && (object(&old_value) || old_value.is_null())
        {
            return self.objects(&path, old, ours, theirs).into();
        }
        self.clashes.push(path);
        theirs.into()
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// What is there now, and what was added to it here. Nothing counts as zero.
fn counter(old: &Value, ours: &Value, theirs: &Value) -> Option<Cow<'static, str>> {
    let zero = Number::from(0);
    let number = |value: &Value| match value {
        Value::Null => Some(zero.clone()),
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    let (old, ours, theirs) = (number(old)?, number(ours)?, number(theirs)?);
    let whole = (|| {
        let (old, ours, theirs) = (old.as_i64()?, ours.as_i64()?, theirs.as_i64()?);
        i64::try_from(i128::from(theirs) + i128::from(ours) - i128::from(old)).ok()
    })();
    let sum = match whole {
        Some(sum) => Number::from(sum),
        None => Number::from_f64(theirs.as_f64()? + (ours.as_f64()? - old.as_f64()?))?,
    };
    Some(sum.to_string().into())
}

/// The server's list, without what was removed here, with what was added here. Nothing counts as the empty list.
fn set(old: &Value, ours: &Value, theirs: &Value) -> Option<Cow<'static, str>> {
    let list = |value: &Value| match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => Some(items.clone()),
        _ => None,
    };
    let (old, ours, theirs) = (list(old)?, list(ours)?, list(theirs)?);
    // Hashed, as lists of a hostile server may be long.
    let held = |list: &[Value]| list.iter().map(canonical).collect::<HashSet<String>>();
    let (in_old, in_ours) = (held(&old), held(&ours));
    let kept = theirs.into_iter().filter(|item| {
        let item = canonical(item);
        in_ours.contains(&item) || !in_old.contains(&item)
    });
    let added = ours
        .iter()
        .filter(|item| !in_old.contains(&canonical(item)))
        .cloned();
    let mut seen = HashSet::new();
    let joined: Vec<Value> = kept
        .chain(added)
        .filter(|item| seen.insert(canonical(item)))
        .collect();
    serde_json::to_string(&joined).ok().map(Into::into)
}

/// One text for all spellings of a value: members sorted, without those that are `null`; whole numbers as such.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            // Display never uses an exponent, so a whole number reads like an integer; adding zero takes the sign from -0.
            (float + 0.0).to_string()
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
            members.sort_by_key(|(name, _)| *name);
            let mut out = String::from("{");
            for (name, value) in members {
                push_json_str(&mut out, name);
                out.push(':');
                out.push_str(&canonical(value));
                out.push(',');
            }
            out + "}"
        }
        other => other.to_string(),
    }
}

/// The greater or smaller of two values and their texts, by the order that queries sort by; nothing gives way to something.
fn extreme<'t>(
    ours: (&Value, &'t str),
    theirs: (&Value, &'t str),
    wanted: Ordering,
) -> Option<Cow<'t, str>> {
    if ours.0.is_null() {
        return Some(theirs.1.into());
    }
    if theirs.0.is_null() {
        return Some(ours.1.into());
    }
    // Equal values may be written differently: their text decides, so that every device chooses the same.
    let order = sortable(ours.0)?
        .compare(&sortable(theirs.0)?)
        .then_with(|| ours.1.cmp(theirs.1));
    let chosen = if order == wanted { ours } else { theirs };
    Some(chosen.1.into())
}

fn sortable(value: &Value) -> Option<SortValue> {
    Some(match value {
        Value::Bool(value) => SortValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => SortValue::Int(value),
            None => SortValue::Float(number.as_f64()?),
        },
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(time) => SortValue::DateTime(time),
            Err(_) => SortValue::Text(text.clone()),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
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
    fn what_is_removed_here_becomes_null() {
        // A server that merges the members sent to it would keep a missing one.
        let merged = merged(
            &MergeRules::new(),
            r#"{"x":1,"y":1}"#,
            r#"{"y":1}"#,
            r#"{"x":1.0,"y":2}"#,
        );
        assert_eq!(merged.record.body(), r#"{"x":null,"y":2}"#);
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
                                    let merged =
                                        merge(&rules, Some(&base), &sides[device], &server);
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
}
