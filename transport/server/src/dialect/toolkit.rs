//! How the Datasync Toolkit prints things.

use std::fmt::Write as _;

use synctable_core::{Record, SystemProperties};

/// A whole record without `createdAt`, which this dialect does not know.
pub(super) fn item(record: &Record, select: Option<&[String]>) -> String {
    match select {
        Some(names) => record.to_json_selected(names),
        None => record
            .clone()
            .with_system(SystemProperties {
                created_at: None,
                ..record.system().clone()
            })
            .to_json(),
    }
}

/// `{"items":[..]}`, with `count` and `nextLink` where there is one.
pub(super) fn list(items: &[String], count: Option<u64>, next: Option<&str>) -> String {
    let mut out = format!("{{\"items\":[{}]", items.join(","));
    if let Some(count) = count {
        let _ = write!(out, ",\"count\":{count}");
    }
    if let Some(next) = next {
        let next = serde_json::Value::from(next);
        let _ = write!(out, ",\"nextLink\":{next}");
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_items_and_pages() {
        let record = Record::from_json(
            r#"{"id":"a","version":"v","createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-02T00:00:00Z","n":1.50}"#,
        )
        .unwrap();
        let whole = item(&record, None);
        assert_eq!(
            whole,
            r#"{"id":"a","version":"v","updatedAt":"2026-01-02T00:00:00.000Z","deleted":false,"n":1.50}"#
        );
        let names = ["n".to_owned(), "id".to_owned()];
        let part = item(&record, Some(&names));
        assert_eq!(part, r#"{"n":1.50,"id":"a"}"#);
        assert_eq!(list(&[], None, None), r#"{"items":[]}"#);
        assert_eq!(
            list(&["1".into(), "2".into()], Some(7), Some("%24skip=1&b=\"")),
            r#"{"items":[1,2],"count":7,"nextLink":"%24skip=1&b=\""}"#
        );
    }
}
