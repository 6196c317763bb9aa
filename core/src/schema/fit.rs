//! Which members of a record fit their declared types, and which of them a change answers for.

use std::borrow::Cow;

use serde_json::Value;

use super::fields::{Field, is_nothing};
use super::{Declaration, FieldType, SchemaError, TableSchema};
use crate::name::TableName;
use crate::record::{Member, Record, body_text, same_value};

impl TableSchema {
    /// Checks the declared members of a record that is new: each has its type, is not too long, and none lacks that is required.
    pub fn check_record(&self, table: &TableName, record: &Record) -> Result<(), SchemaError> {
        let faults = Judge::new(self, table, record, &[]).run();
        faults.faults.into_iter().next().map_or(Ok(()), Err)
    }

    /// Checks what a change makes of a record, and gives the record to store.
    ///
    /// Only members that the change touches are judged. A value that does not fit its declaration, but stands in one of the `known`
    /// records already, is nobody's mistake: a newer release of the app wrote it, or it was there before it was declared. It goes on as
    /// the exact text that is there, also where the application read it and wrote it back in another spelling. The same goes for a
    /// required value that was missing before.
    ///
    /// ```
    /// use synctable_core::{FieldType, Record, TableName, TableSchema};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let schema = TableSchema::new().with_field("rating", FieldType::Enum(vec!["G".into(), "PG".into()]));
    /// let films = TableName::new("films")?;
    /// let before = Record::from_json(r#"{"id":"a","title":"Alien","rating":"NC-17"}"#)?;
    /// let edited = Record::from_json(r#"{"id":"a","title":"Aliens","rating":"NC-17"}"#)?;
    /// assert_eq!(schema.check_change(&films, edited.clone(), &[&before])?, edited);
    /// let unknown = Record::from_json(r#"{"id":"a","title":"Alien","rating":"X"}"#)?;
    /// assert!(schema.check_change(&films, unknown, &[&before]).is_err());
    /// # Ok(()) }
    /// ```
    pub fn check_change(
        &self,
        table: &TableName,
        record: Record,
        known: &[&Record],
    ) -> Result<Record, SchemaError> {
        self.judge_change(table, record, known)
            .map_err(|faults| match faults.into_iter().next() {
                Some(fault) => fault,
                None => SchemaError::Text("nothing is wrong".to_owned()),
            })
    }

    /// As [`check_change`](Self::check_change), with everything that is wrong; never an empty list.
    pub fn judge_change(
        &self,
        table: &TableName,
        record: Record,
        known: &[&Record],
    ) -> Result<Record, Vec<SchemaError>> {
        let Judged { faults, respelled } = Judge::new(self, table, &record, known).run();
        if !faults.is_empty() {
            return Err(faults);
        }
        if respelled.is_empty() {
            return Ok(record);
        }
        let mut members = record.members();
        for (name, text) in &mut members {
            if let Some((_, before)) = respelled.iter().find(|(field, _)| field == name) {
                *text = before;
            }
        }
        let body = body_text(&members);
        let (id, system) = (record.id().clone(), record.system().clone());
        Ok(Record::from_stored(id, system, body))
    }

    /// The declared members of `record` whose value does not fit, each with its type.
    pub(crate) fn misfits<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl Iterator<Item = (String, &'a FieldType)> {
        let members = if self.fields.is_empty() {
            Vec::new()
        } else {
            record.members()
        };
        members.into_iter().filter_map(|(name, text)| {
            let ty = self.field(&name)?;
            (!ty.fits(text)).then(|| (name.into_owned(), ty))
        })
    }
}

impl Declaration {
    /// The members of a change that a closed table does not declare and that are not in the `known` record as they are, or are taken
    /// out of it.
    pub fn undeclared(&self, record: &Record, known: Option<&Record>) -> Vec<String> {
        if !self.server.closed {
            return Vec::new();
        }
        let before = known.map(Record::members).unwrap_or_default();
        let stands = |name: &str, text: &str| {
            let before = text_of(&before, name);
            before.is_some_and(|before| text == "null" || same_text_or_value(text, before))
        };
        let members = record.members().into_iter();
        members
            .filter(|(name, text)| self.schema.field(name).is_none() && !stands(name, text))
            .map(|(name, _)| name.into_owned())
            .collect()
    }
}

/// A record before its declaration.
struct Judge<'a> {
    schema: &'a TableSchema,
    table: &'a TableName,
    members: Vec<Member<'a>>,
    known: Vec<Vec<Member<'a>>>,
}

/// What is wrong, and the members whose text goes on as it was.
struct Judged<'a> {
    faults: Vec<SchemaError>,
    respelled: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Judge<'a> {
    fn new(
        schema: &'a TableSchema,
        table: &'a TableName,
        record: &'a Record,
        known: &[&'a Record],
    ) -> Self {
        let (members, known) = if schema.fields.is_empty() {
            Default::default()
        } else {
            let known = known.iter().map(|known| known.members()).collect();
            (record.members(), known)
        };
        Self {
            schema,
            table,
            members,
            known,
        }
    }

    fn run(self) -> Judged<'a> {
        let (mut faults, mut respelled) = (Vec::new(), Vec::new());
        for (name, text) in &self.members {
            let Some((field, fault)) = self.fault(name, text) else {
                continue;
            };
            match self.stands(&field.name, text) {
                Some(before) if before == *text => {}
                Some(before) => respelled.push((name.clone(), before)),
                None => faults.push(fault),
            }
        }
        for field in &self.schema.fields.0 {
            let lacked = |members: &Vec<Member<'_>>| lacks(field, members);
            if lacked(&self.members) && !self.known.iter().any(lacked) {
                faults.push(SchemaError::Required {
                    table: self.table.clone(),
                    field: field.name.clone(),
                });
            }
        }
        Judged { faults, respelled }
    }

    /// What is wrong with a value, wherever it comes from.
    fn fault(&self, name: &str, text: &str) -> Option<(&'a Field, SchemaError)> {
        let field = self.schema.fields.find(name)?;
        let (table, name) = (self.table.clone(), field.name.clone());
        if !field.ty.fits(text) {
            let expected = field.ty.to_string();
            let fault = SchemaError::Value {
                table,
                field: name,
                expected,
            };
            return Some((field, fault));
        }
        let most = field.options.max_length;
        let most = most.filter(|_| field.options.is_too_long(text))?;
        let fault = SchemaError::TooLong {
            table,
            field: name,
            most,
        };
        Some((field, fault))
    }

    /// The text of this value in a record that is known.
    fn stands(&self, name: &str, text: &str) -> Option<&'a str> {
        let texts = self.known.iter().filter_map(|known| text_of(known, name));
        texts
            .into_iter()
            .find(|before| same_text_or_value(text, before))
    }
}

/// True where a value is required and there is none, nor a default in its place.
fn lacks(field: &Field, members: &[Member<'_>]) -> bool {
    field.options.required
        && match text_of(members, &field.name) {
            Some(text) => is_nothing(text),
            None => field.options.default.is_none(),
        }
}

fn text_of<'r>(members: &[Member<'r>], field: &str) -> Option<&'r str> {
    let found = members.iter().find(|(name, _)| name == field);
    found.map(|(_, text)| *text)
}

fn same_text_or_value(left: &str, right: &str) -> bool {
    let value = |text| serde_json::from_str::<Value>(text).ok();
    left == right
        || value(left)
            .zip(value(right))
            .is_some_and(|(left, right)| same_value(&left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldOptions;

    fn schema() -> TableSchema {
        TableSchema::new()
            .with_field("year", FieldType::Integer)
            .with_field("rating", FieldType::Enum(vec!["G".into()]))
    }

    fn record(body: &str) -> Record {
        Record::new(crate::RecordId::new("a").unwrap(), body).unwrap()
    }

    fn changed(before: &[&str], after: &str) -> Result<String, String> {
        // As earlier releases stored it: in its own spelling.
        let stored = |body: &&str| {
            let record = record(body);
            Record::from_stored(record.id().clone(), record.system().clone(), *body)
        };
        let before: Vec<Record> = before.iter().map(stored).collect();
        let known: Vec<&Record> = before.iter().collect();
        let table = TableName::new("films").unwrap();
        schema()
            .check_change(&table, record(after), &known)
            .map(|record| record.body().to_owned())
            .map_err(|error| error.to_string())
    }

    fn judged(before: &[&str], after: &str) -> Vec<String> {
        let options = FieldOptions::new();
        let schema = TableSchema::new()
            .with_field_options(
                "code",
                FieldType::String,
                options.clone().with_required().with_max_length(3),
            )
            .with_field_options(
                "mood",
                FieldType::String,
                options.with_required().with_default("x"),
            );
        let before: Vec<Record> = before.iter().map(|body| record(body)).collect();
        let known: Vec<&Record> = before.iter().collect();
        let table = TableName::new("films").unwrap();
        let faults = schema.judge_change(&table, record(after), &known);
        let faults = faults.err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_required_and_too_long_is_judged_where_it_is_touched() {
        let missing = "table films, field 'code': a value is required";
        let long = "table films, field 'code': expected text of at most 3 characters";
        for (before, after, faults) in [
            (&[][..], "{}", &[missing][..]),
            (&[], r#"{"code":null}"#, &[missing]),
            (&[], r#"{"code":" "}"#, &[missing]),
            (&[], r#"{"code":"abc"}"#, &[]),
            (&[], r#"{"code":"abcd"}"#, &[long]),
            (&[r#"{"code":"a"}"#], "{}", &[missing]),
            (&["{}"], r#"{"title":"b"}"#, &[]),
            (&["{}"], r#"{"code":null}"#, &[]),
            (
                &[r#"{"code":"abcd"}"#],
                r#"{"title":"b","code":"abcd"}"#,
                &[],
            ),
            (&[r#"{"code":"abcd"}"#], r#"{"code":"abcde"}"#, &[long]),
            (
                &[r#"{"code":"a"}"#, r#"{"code":"abcd"}"#],
                r#"{"code":"abcd"}"#,
                &[],
            ),
        ] {
            assert_eq!(judged(before, after), faults, "{before:?} {after}");
        }
        let blank = judged(&[], r#"{"code":"a","mood":null}"#);
        assert_eq!(blank, ["table films, field 'mood': a value is required"]);
        assert_eq!(judged(&[], r#"{"code":"abcd","mood":""}"#).len(), 2);
    }

    #[test]
    fn closed_tables_name_what_is_not_declared() {
        let schema = Declaration::from(schema()).with_closed();
        let named = |before: Option<&str>, after: &str| {
            let before = before.map(record);
            schema.undeclared(&record(after), before.as_ref())
        };
        assert!(named(None, r#"{"year":1}"#).is_empty());
        assert_eq!(named(None, r#"{"year":1,"x":1,"y":null}"#), ["x", "y"]);
        let before = Some(r#"{"x":1.0}"#);
        assert!(named(before, r#"{"x":1}"#).is_empty());
        assert!(named(before, r#"{"x":null}"#).is_empty());
        assert_eq!(named(before, r#"{"x":2}"#), ["x"]);
    }

    #[test]
    fn what_was_there_is_kept_with_its_text() {
        let before = r#"{"year":12345678901234567890123.50,"rating":"NC\u002d17"}"#;
        for after in [
            before,
            r#"{"year":1.2345678901234568e22,"rating":"NC-17"}"#,
            r#"{"year":1.2345678901234568e22,"rating":"NC\u002d17"}"#,
        ] {
            assert_eq!(changed(&[before], after).unwrap(), before, "{after}");
        }
        // Members that fit are as the change has them.
        let kept = changed(&[r#"{"year":"x","rating":"G"}"#], r#"{"rating":"\u0047"}"#);
        assert_eq!(kept.unwrap(), r#"{"rating":"G"}"#);
        // It may come from any side of a conflict.
        let joined = changed(
            &[r#"{"year":"1979"}"#, r#"{"rating":"X"}"#],
            r#"{"rating":"X","year":"1979"}"#,
        );
        assert_eq!(joined.unwrap(), r#"{"rating":"X","year":"1979"}"#);
    }

    #[test]
    fn what_a_change_sets_is_judged() {
        for (before, after, field) in [
            (r#"{"year":"1979"}"#, r#"{"year":"1980"}"#, "year"),
            (r#"{"year":"1979"}"#, r#"{"rating":"1979"}"#, "rating"),
            (r#"{"rating":"G"}"#, r#"{"rating":"X"}"#, "rating"),
            (r#"{"year":null}"#, r#"{"year":1.5}"#, "year"),
            ("{}", r#"{"year":true}"#, "year"),
        ] {
            let error = changed(&[before], after).unwrap_err();
            assert!(error.contains(&format!("'{field}'")), "{error}");
            assert!(error.contains("expected"), "{error}");
        }
        assert!(changed(&[r#"{"year":"1979"}"#], r#"{"year":1979}"#).is_ok());
    }
}
