//! Filters and queries on the command line, and a word about those that name what is not there.

use std::collections::BTreeSet;

use synctable::TableName;
use synctable::query::odata::parse_filter;
use synctable::query::{Expr, Query, RemoteQuery, field};
use synctable::store::StoreErrorKind;
use synctable::{SYSTEM_PROPERTIES, brief};

use crate::device::Device;
use crate::errors::Failure;
use crate::output::Output;

/// A filter is plain text: nothing in it is an escape of URLs.
pub(crate) fn filter(text: &str) -> Result<Expr, String> {
    // A filter may begin with a minus. One that begins with two is an option with a slip in it, or one in the place of a filter.
    if text.starts_with("--") {
        return Err("there is no such option here, and a filter does not begin so".into());
    }
    parse_filter(text).map_err(|error| error.to_string())
}

/// A query string as in a URL, or a filter alone.
pub(crate) fn odata(text: &str) -> Result<RemoteQuery, String> {
    let options = text.strip_prefix('?').unwrap_or(text);
    if options.is_empty() || options.starts_with('$') || options.starts_with("%24") {
        let query = RemoteQuery::from_odata(text).map_err(|error| error.to_string())?;
        return match query.parameters.first() {
            Some(_) => Err(
                "a part has no name; write $filter=..&$orderby=.., and %26 for an & inside a value"
                    .into(),
            ),
            None => Ok(query),
        };
    }
    match filter(text) {
        Ok(filter) => Ok(RemoteQuery::all().filter(filter)),
        Err(error) => Err(format!(
            "{error}; give a filter as plain text, or $filter=..&$orderby=..&$top=.. as in a URL"
        )),
    }
}

/// Warns of what a query that found nothing may have got wrong, as a slip of the hand finds nothing without an error: a table that neither
/// the store nor a declaration knows, and members in its filter that no record has and no declaration names.
pub(crate) async fn warn_of_unknown(
    device: &Device,
    output: &Output,
    table: &TableName,
    filter: Option<&Expr>,
) -> Result<(), Failure> {
    let declared = device.sync.declarations();
    let declared = declared.table(table).cloned();
    if declared.is_none() && device.sync.store().schema().await?.table(table).is_none() {
        output.warn(&format!(
            "there is no table {table} in this store; synctable inspect shows those that it has"
        ));
        return Ok(());
    }
    let schema = declared.unwrap_or_default().schema;
    // A declared name may be in another case.
    let mut asked = Query::all();
    asked.filter = filter.cloned();
    let asked = asked.named(&schema);
    let parts = asked.filter.iter().flat_map(Expr::walk);
    let mut names: BTreeSet<&str> = parts
        .filter_map(|part| match part {
            Expr::Field(path) => Some(path.head()),
            _ => None,
        })
        .collect();
    names.retain(|name| !SYSTEM_PROPERTIES.contains(name) && schema.field(name).is_none());
    if names.is_empty() || schema.fields.is_empty() && is_empty(device, Query::all(), table).await?
    {
        return Ok(());
    }
    for name in names {
        let has = Query::all().filter(field(name).is_not_null());
        if is_empty(device, has, table).await? {
            output.warn(&format!(
                "no record of table {table} has a member '{}', and none is declared; undeclared names are case-sensitive",
                brief(name, 80)
            ));
        }
    }
    Ok(())
}

async fn is_empty(device: &Device, query: Query, table: &TableName) -> Result<bool, Failure> {
    match device.sync.store().query(table, &query.top(1)).await {
        Ok(page) => Ok(page.records.is_empty()),
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(true),
        Err(error) => Err(error.into()),
    }
}
