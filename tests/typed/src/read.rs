//! Reads: one record, and pages.

use http::header::{ETAG, IF_NONE_MATCH};
use synctable_core::query::{Evaluator, RemoteQuery, page_of};
use synctable_core::{Record, RecordId};
use synctable_testkit::typed::Flavour;

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::links::{Rest, next_link};
use crate::rows::{Table, shown};

/// The largest `$top` of each server.
fn most_top(flavour: Flavour) -> u64 {
    match flavour {
        Flavour::Toolkit => 128_000,
        Flavour::Zumo3 => 512_000,
    }
}

/// One record.
pub(crate) fn item(call: &Call<'_>, table: &Table, id: &RecordId) -> Answer {
    let Some(row) = table.rows.get(id) else {
        return answer::status(call.flavour, 404);
    };
    if row.is_deleted() && !call.include_deleted() {
        return answer::status(call.flavour, 410);
    }
    let known = call.tags(&IF_NONE_MATCH);
    if let Some(version) = row.version().filter(|version| known.matches(version)) {
        return answer::with(answer::bare(304), ETAG, &answer::tag(version));
    }
    answer::item(200, call.flavour, row)
}

/// One page.
pub(crate) fn page(call: &Call<'_>, table: &Table, size: u32) -> Answer {
    match try_page(call, table, size) {
        Ok(answer) => answer,
        Err(words) => answer::bad_query(call.flavour, &words),
    }
}

fn try_page(call: &Call<'_>, table: &Table, size: u32) -> Result<Answer, String> {
    let flavour = call.flavour;
    let text = call.request.uri().query().unwrap_or_default();
    let mut asked = RemoteQuery::from_odata(text).map_err(|error| error.to_string())?;
    table.model.check(&asked)?;
    if let Some(top) = asked.query.top.filter(|top| *top > most_top(flavour)) {
        let most = most_top(flavour);
        return Err(format!(
            "The limit of '{most}' for Top query has been exceeded. The value from the incoming request is '{top}'."
        ));
    }
    asked.query.page = Some(size);
    asked.include_deleted |= call.include_deleted();
    let schema = table.model.schema();
    let listed: Vec<&Record> = table
        .rows
        .values()
        .filter(|row| asked.include_deleted || !row.is_deleted())
        .collect();
    let rows = listed.iter().map(|row| Ok((*row).clone()));
    let page = page_of(&asked.query, &schema, rows).map_err(|error| error.to_string())?;
    let evaluator = Evaluator::new(&schema);
    let matching = listed.iter().filter(|row| match &asked.query.filter {
        Some(filter) => evaluator.matches(filter, row),
        None => true,
    });
    let total = matching.count() as u64;

    let given = page.records.len() as u64;
    let rest = Rest {
        skip: asked.query.skip + given,
        top: asked.query.top.map(|top| top.saturating_sub(given)),
    };
    let link = (rest.skip < total && rest.top != Some(0)).then(|| {
        let link = next_link(
            flavour,
            call.request.uri(),
            &call.host(),
            call.option("nextLink=path"),
            rest,
        );
        flavour.text(&link)
    });
    let select = asked.select.as_deref();
    let items = page.records.iter().map(|row| shown(flavour, row, select));
    let items: Vec<String> = items.collect();
    let null = || "null".to_owned();
    Ok(answer::json(
        200,
        format!(
            r#"{{"items":[{}],"count":{},"nextLink":{}}}"#,
            items.join(","),
            if asked.total {
                total.to_string()
            } else {
                null()
            },
            link.unwrap_or_else(null),
        ),
    ))
}
