//! Three-way merge of records, member by member, by the rules that are declared for them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Number, Value};

use crate::query::SortValue;
use crate::record::{Member, Places, Record, body_text, members_of, push_json_text, same_value};
use crate::schema::{Declaration, Defaults, MergeRule, MergeRules};
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
/// both came to the same value. Values are compared as values: numbers as numbers, `null` as missing. [`merge_declared`] takes a
/// missing member for its default, too.
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
    join(rules, &Defaults::default(), false, base, local, server)
}

/// As [`merge`] by the rules of a table, where a declared member that is missing stands for its default.
///
/// ```
/// use synctable_core::{Declaration, FieldOptions, FieldType, Record, sync::merge_declared};
/// let record = |json| Record::from_json(json).unwrap();
/// let declared = FieldOptions::new().with_default(false);
/// let table = Declaration::new().with_field_options("done", FieldType::Boolean, declared);
/// let (base, local) = (record(r#"{"id":"a","text":"x"}"#), record(r#"{"id":"a","text":"y"}"#));
/// let server = record(r#"{"id":"a","text":"x","done":false}"#);
/// let merged = merge_declared(&table, Some(&base), &local, &server);
/// assert_eq!(merged.record.body(), r#"{"text":"y","done":false}"#);
/// assert_eq!(merged.local, ["text"]);
/// ```
pub fn merge_declared(
    table: &Declaration,
    base: Option<&Record>,
    local: &Record,
    server: &Record,
) -> Merged {
    join(
        &table.device.merge,
        &table.schema.defaults(),
        false,
        base,
        local,
        server,
    )
}

/// As [`merge_declared`]; `unsure` says that the local change may be among the server's already, so that a counter which both sides
/// changed clashes, whatever it came to.
pub(crate) fn join(
    rules: &MergeRules,
    defaults: &Defaults,
    unsure: bool,
    base: Option<&Record>,
    local: &Record,
    server: &Record,
) -> Merged {
    let mut join = Join {
        rules,
        defaults,
        unsure,
        local: Vec::new(),
        joined: Vec::new(),
        clashes: Vec::new(),
    };
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
    defaults: &'r Defaults,
    unsure: bool,
    local: Vec<String>,
    joined: Vec<String>,
    clashes: Vec<String>,
}

const NULL: &str = "null";

/// The members of an object, found by name.
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

impl<'r> Join<'r> {
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
            let (found, path) = (local.find(&name), path(&name));
            let nothing = self.nothing(&path);
            let old = base.find(&name).unwrap_or(nothing);
            let ruled = self.rules.find(&path).is_some();
            let text = self.member(path, old, found.unwrap_or(nothing), theirs);
            // What was taken out here stays out: a server with declared members fills in what is missing, and may refuse `null`. Under a
            // rule it is a value like others.
            if ruled || found.is_some() || text != NULL || theirs == NULL {
                merged.push((name, text));
            }
        }
        for (name, ours) in local.list.clone() {
            if server.find(&name).is_none() {
                let path = path(&name);
                let nothing = self.nothing(&path);
                let old = base.find(&name).unwrap_or(nothing);
                let text = self.member(path, old, ours, nothing);
                // What the server lacks and was not changed here stays out, unless it is here as what a missing one stands for.
                if text != NULL && (text != nothing || ours == nothing) {
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

    /// What a member that is missing stands for: its default, or nothing. Only members of the record itself are declared.
    fn nothing(&self, path: &str) -> &'r str {
        self.defaults.text(path).unwrap_or(NULL)
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
                push_json_text(&mut out, name);
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
mod tests;
