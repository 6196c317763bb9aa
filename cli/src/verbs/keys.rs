//! Copying a store, and changing its keys.

use std::path::Path;

use serde::Serialize;
use serde_json::json;
use synctable::Missing;
use synctable::encrypted::{Argon2Params, Secret};
use synctable::store::LocalStore as _;
use synctable::sync::copy_store;

use crate::args::{CopyArgs, Globals, RekeyArgs};
use crate::device::refuse_nothing;
use crate::errors::{Done, Failure};
use crate::key_options::{KeyOptions, make_key_file};
use crate::output::Output;
use crate::progress::Progress;

/// Entries between two lines that show that a rotation goes on.
const LINE: u64 = 1000;

pub(crate) async fn copy(
    globals: &Globals,
    output: &mut Output,
    args: &CopyArgs,
) -> Result<Done, Failure> {
    #[derive(Serialize)]
    struct Copied {
        records: u64,
        operations: u64,
    }
    if args.to == globals.store {
        return Err(Failure::bad_input(
            "--to names the store itself; give another one",
        ));
    }
    let keys = KeyOptions {
        file: args.to_key_file.as_deref(),
        passphrase_env: args.to_passphrase_env.as_deref(),
        quiet: globals.quiet,
    };
    // A bad key for the target is told before the source is opened.
    keys.secret_of(&args.to)?;
    let from = globals.open_store(Missing::Refuse)?.store;
    refuse_nothing(&*from, &globals.store).await?;
    // `copy_store` asks this too; by then the target has been made, and a refusal would leave an empty one.
    from.check().await?;
    let to = keys.open(&args.to, Missing::Make, None)?.store;
    let copied = {
        let progress = Progress::new(output, "copied", None);
        copy_store(&*from, &*to, |rows| progress.set(rows)).await
    };
    let closed = (from.close().await, to.close().await);
    let report = copied?;
    closed.0?;
    closed.1?;
    let line = Copied {
        records: report.records,
        operations: report.operations,
    };
    output.summary(&line, || {
        format!(
            "{} records and {} queued operations copied to {}; go on with one of the two stores",
            line.records, line.operations, args.to
        )
    })?;
    Ok(Done::All)
}

pub(crate) async fn rekey(
    globals: &Globals,
    output: &mut Output,
    args: &RekeyArgs,
) -> Result<Done, Failure> {
    let new = KeyOptions {
        file: args.new_key_file.as_deref(),
        passphrase_env: args.new_passphrase_env.as_deref(),
        quiet: globals.quiet,
    };
    let new = new
        .new_secret()?
        .ok_or_else(|| Failure::bad_input("give --new-key-file or --new-passphrase-env"))?;
    let old = secret(globals)?;
    let opened = globals.open_store(Missing::Refuse)?;
    let changed = match &opened.sealed {
        Some(sealed) => sealed.rekey(&old, &new, &Argon2Params::default()),
        None => return Err(not_encrypted()),
    };
    let closed = opened.store.close().await;
    changed?;
    closed?;
    output.summary(&json!({"ok": true}), || {
        "the key is changed; copies of the store made before still open with the old one, and rotate-key ends what a seen data key is good for"
            .into()
    })?;
    Ok(Done::All)
}

pub(crate) fn keygen(output: &mut Output, file: &Path) -> Result<Done, Failure> {
    make_key_file(file)?;
    output.summary(&json!({"ok": true}), || {
        format!(
            "a new key is in {}; keep a copy of it where the store is not",
            file.display()
        )
    })?;
    Ok(Done::All)
}

pub(crate) async fn rotate(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let secret = secret(globals)?;
    let opened = globals.open_store(Missing::Refuse)?;
    let Some(sealed) = opened.sealed.clone() else {
        return Err(not_encrypted());
    };
    let mut entries = 0;
    // What cannot be printed does not stop it.
    let mut printed = Ok(());
    let rotated = sealed.rotate(&secret, |done| {
        if done / LINE > entries / LINE && printed.is_ok() {
            printed = output
                .summary(&json!({"entries": done}), || format!("{done} entries"))
                .and_then(|()| output.flush());
        }
        entries = done;
    });
    let closed = opened.store.close().await;
    rotated?;
    closed?;
    printed?;
    output.summary(&json!({"ok": true, "entries": entries}), || {
        format!("{entries} entries are sealed under a new data key; the old one is gone")
    })?;
    Ok(Done::All)
}

/// The key that opens the store of `--store`.
fn secret(globals: &Globals) -> Result<Secret, Failure> {
    if !globals.store.is_encrypted() {
        return Err(not_encrypted());
    }
    globals.keys().secret()?.ok_or_else(|| {
        Failure::bad_input("the store is encrypted; give --key-file or --passphrase-env")
    })
}

fn not_encrypted() -> Failure {
    Failure::bad_input(
        "the store is not encrypted, so it has no key; copy it to an encrypted one with copy --to",
    )
}
