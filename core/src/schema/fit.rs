//! Which members of a record fit their declared types, and which of them a change answers for.

use serde_json::Value;

use super::{FieldType, SchemaError, TableSchema};
use crate::name::TableName;
use crate::record::{Record, body_text, same_value};

impl TableSchema {
    /// Checks that each declared member of `record` has its type: for a record that is new.
    pub fn check_record(&self, table: &TableName, record: &Record) -> Result<(), SchemaError> {
        match self.misfits(record).next() {
            Some((field, ty)) => Err(refused(table, field, ty)),
            None => Ok(()),
        }
    }

    /// Checks what a change makes of a record, and gives the record to store.
    ///
    /// Only members that the change touches are judged. A value that does not fit its declared type, but stands in one of the `known`
    /// records already, is nobody's mistake: a newer release of the app wrote it. It goes on as the exact text that is there, also where
    /// the application read it and wrote it back in another spelling.
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
        let mut respelled = Vec::new();
        for (field, ty) in self.misfits(&record) {
            let Some(text) = text_of(&record, &field) else {
                continue;
            };
            let stands = known
                .iter()
                .filter_map(|known| text_of(known, &field))
                .find(|before| same_text_or_value(text, before));
            match stands {
                Some(before) if before == text => {}
                Some(before) => respelled.push((field, before)),
                None => return Err(refused(table, field, ty)),
            }
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
        Ok(Record::from_stored(
            record.id().clone(),
            record.system().clone(),
            body,
        ))
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

fn refused(table: &TableName, field: String, ty: &FieldType) -> SchemaError {
    SchemaError::Value {
        table: table.clone(),
        field,
        expected: ty.to_string(),
    }
}

fn text_of<'r>(record: &'r Record, field: &str) -> Option<&'r str> {
    let members = record.members();
    let found = members.into_iter().find(|(name, _)| name == field);
    found.map(|(_, text)| text)
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

    fn schema() -> TableSchema {
        TableSchema::new()
            .with_field("year", FieldType::Integer)
            .with_field("rating", FieldType::Enum(vec!["G".into()]))
    }

    fn record(body: &str) -> Record {
        Record::new(crate::RecordId::new("a").unwrap(), body).unwrap()
    }

    fn changed(before: &[&str], after: &str) -> Result<String, String> {
        let before: Vec<Record> = before.iter().map(|body| record(body)).collect();
        let known: Vec<&Record> = before.iter().collect();
        let table = TableName::new("films").unwrap();
        schema()
            .check_change(&table, record(after), &known)
            .map(|record| record.body().to_owned())
            .map_err(|error| error.to_string())
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
        assert_eq!(kept.unwrap(), r#"{"rating":"\u0047"}"#);
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
