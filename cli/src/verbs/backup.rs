//! Backups.

use std::path::PathBuf;

use serde_json::json;
use synctable::store::LocalStore as _;
use synctable::sync::backup_store;
use synctable::{Missing, StoreUrl};

use crate::args::{BackupArgs, Globals};
use crate::errors::{Done, Failure};
use crate::output::Output;

/// What a URL of a store begins with.
const SCHEMES: [&str; 4] = ["memory", "sqlite", "redb", "sled"];

pub(crate) async fn backup(
    globals: &Globals,
    output: &mut Output,
    args: &BackupArgs,
) -> Result<Done, Failure> {
    let (from, to) = match &args.to {
        Some(to) => {
            let from = url(&args.place)?;
            if globals.names_store && from != globals.store {
                return Err(Failure::bad_input(format!(
                    "{from} and --store {} are two stores; name the one to back up once",
                    globals.store
                )));
            }
            (from, to)
        }
        None => (globals.store.clone(), &args.place),
    };
    let path = target(&from, to)?;
    let store = globals.keys().open(&from, Missing::Refuse, None)?.store;
    let made = backup_store(&*store, &path).await;
    let closed = store.close().await;
    made?;
    closed?;
    let scheme = from.to_string();
    let scheme = scheme.split_once(':').map_or("", |(scheme, _)| scheme);
    let to = format!("{scheme}:{}", path.display());
    output.summary(&json!({"backup": to}), || {
        format!("{from} is backed up; to restore it, use --store {to}")
    })?;
    Ok(Done::All)
}

fn url(text: &str) -> Result<StoreUrl, Failure> {
    text.parse()
        .map_err(|error| Failure::bad_input(format!("the store '{text}': {error}")))
}

/// Where the copy goes: a path, or a URL of the same kind.
fn target(from: &StoreUrl, to: &str) -> Result<PathBuf, Failure> {
    let scheme = to.split_once(':').map_or("", |(scheme, _)| scheme);
    let engine = scheme.strip_prefix("encrypted+").unwrap_or(scheme);
    if !SCHEMES.contains(&engine) {
        return Ok(to.into());
    }
    let to = url(to)?;
    if (to.kind(), to.is_encrypted()) == (from.kind(), from.is_encrypted()) {
        Ok(to.path().to_owned())
    } else {
        Err(Failure::bad_input(
            "a backup is of the same kind as its store; to make a store of another kind, see synctable copy",
        ))
    }
}
