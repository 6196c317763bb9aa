//! The server as a device meets it: whether it answers, for every table, in the right dialect, and what its clock says.

use synctable::http::{Dialect, HttpTransport};
use synctable::query::RemoteQuery;
use synctable::sync::Examination;
use synctable::transport::{Transport as _, TransportError, TransportErrorKind};
use synctable::{Clock as _, Declarations, SystemClock, TableName, Timestamp};

use super::checkup::Checkup;
use crate::args::Globals;
use crate::device::{DIALECT, REMOTE};
use crate::errors::Failure;
use crate::way::TOLD;

/// Tables that the server is asked for.
const TABLES: usize = 20;
/// Clocks that differ by more than this are told.
const SKEW_MILLIS: u64 = 60_000;
/// A clock before this time, the year 2025, was never set.
const UNSET_MILLIS: i64 = 1_735_689_600_000;

pub(crate) async fn check(
    globals: &Globals,
    schema: &Declarations,
    found: Option<&Examination>,
    checkup: &mut Checkup<'_>,
) -> Result<(), Failure> {
    let setting = |name| found.and_then(|found| found.settings.get(name));
    let given = globals.remote.as_ref().filter(|url| !url.is_empty());
    let Some(url) = given.or(setting(REMOTE)) else {
        checkup.ok("server", "the store knows none yet; give --remote URL once")?;
        return clock(None, found, checkup);
    };
    let dialect = match (globals.dialect, setting(DIALECT).map(|name| name.parse())) {
        (Some(dialect), _) | (None, Some(Ok(dialect))) => dialect,
        (None, None) => Dialect::default(),
        (None, Some(Err(_))) => {
            let advice = "give --dialect once";
            checkup.problem("dialect", "the remembered one is unknown", advice)?;
            Dialect::default()
        }
    };
    let way = globals.way_to(url, dialect)?;
    let transport = match way.clone().build() {
        Ok(transport) => transport,
        Err(error) => {
            let failure = Failure::from(error);
            checkup.problem(
                "server",
                failure.message(),
                "give --remote with the right URL",
            )?;
            return clock(None, found, checkup);
        }
    };
    let here = found.map_or(&[][..], |found| &found.tables).iter();
    let here = here.filter(|table| !table.local_only).map(|it| &it.name);
    let declared = schema
        .tables()
        .filter(|(_, table)| !table.device.local_only);
    let mut tables: Vec<&TableName> = here.chain(declared.map(|(name, _)| name)).collect();
    tables.sort_unstable();
    tables.dedup();
    let Some(first) = tables.first() else {
        checkup.ok(
            "server",
            format!("{url}; not asked, as there is no table to ask for"),
        )?;
        return clock(None, found, checkup);
    };
    if given.is_none() {
        let told = setting(TOLD).map(String::as_str);
        globals.way.tell(url, told, globals.quiet)?;
    }
    let mut answered = false;
    for table in tables.iter().take(TABLES) {
        match ask(&transport, table).await {
            Ok(()) => answered = true,
            Err(error) if error.kind() == TransportErrorKind::UnknownTable => {
                answered = true;
                checkup.warning(
                    "server",
                    format!("{url} has no table {table}"),
                    "declare it there, or declare it local only here",
                )?;
            }
            Err(error) => {
                unanswered(url, &error, checkup)?;
                break;
            }
        }
    }
    if answered {
        checkup.ok("server", format!("{url} answers"))?;
        checkup.ok(
            "dialect",
            format!("{url} is asked in {dialect}, and answers so"),
        )?;
    } else if let Ok(other) = way.detect(first).await
        && other.chosen_dialect() != dialect
    {
        let other = other.chosen_dialect();
        checkup.problem(
            "dialect",
            format!("{url} is asked in {dialect}, but speaks {other}"),
            format!("give --dialect {other} once"),
        )?;
    }
    let known = transport.capabilities();
    let belongs = found.and_then(|found| found.server_id.as_ref());
    if let (Some(belongs), Some(now)) = (belongs, &known.server_id)
        && belongs != now
    {
        checkup.problem(
            "server",
            format!(
                "{url} is another server ({now}) than the one that the store belongs to ({belongs})"
            ),
            "give --same-server or --new-server to push, pull or sync",
        )?;
    }
    clock(known.server_time, found, checkup)
}

async fn ask(transport: &HttpTransport, table: &TableName) -> Result<(), TransportError> {
    let query = RemoteQuery::all().top(1);
    transport.page(table, &query, None).await.map(|_| ())
}

fn unanswered(url: &str, error: &TransportError, checkup: &mut Checkup<'_>) -> Result<(), Failure> {
    use TransportErrorKind as Kind;
    let advice = match error.kind() {
        Kind::Portal => "sign in to the network with a browser",
        _ if error.is_offline() => "check the network, the URL, and whether the server runs",
        _ if error.needs_sign_in() => "sign in, and give the token with --auth-env",
        Kind::Forbidden => "ask who runs the server for the right to read",
        Kind::Busy | Kind::Gateway | Kind::Failed => "try again later; the server fails by itself",
        Kind::Redirected => "give --remote with the address that it names",
        _ => "check that --remote is the base URL of a table server, and its dialect",
    };
    let failure = Failure::told(error);
    let said = failure.message();
    checkup.problem("server", format!("{url}: {said}"), advice)
}

/// What the clock of this device is worth.
fn clock(
    server: Option<Timestamp>,
    found: Option<&Examination>,
    checkup: &mut Checkup<'_>,
) -> Result<(), Failure> {
    let now = SystemClock.now();
    let advice = "set the clock of this device";
    if now.millis() < UNSET_MILLIS {
        return checkup.problem("clock", format!("it says {now}"), advice);
    }
    if let Some(queued) = found.and_then(|found| found.oldest)
        && queued.millis() > now.millis() + 1000
    {
        let message = format!("it says {now}, but something was queued at {queued}");
        checkup.warning("clock", message, advice)?;
    }
    match server {
        None => checkup.ok("clock", format!("it says {now}; compared with no server")),
        Some(time) => {
            let apart = now.millis().abs_diff(time.millis());
            let which = if now < time { "behind" } else { "ahead of" };
            let message = format!("it is {} s {which} the server's", apart / 1000);
            if apart > SKEW_MILLIS {
                checkup.warning("clock", message, advice)
            } else {
                checkup.ok("clock", message)
            }
        }
    }
}
