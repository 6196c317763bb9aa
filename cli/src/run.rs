//! From the command line to an exit code.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};
use synctable::kv::files;

use crate::args::{Cli, Verb};
use crate::errors::{Done, Failure};
use crate::log;
use crate::output::Output;
use crate::verbs::{
    admin, backup, demo, doctor, import_export, keys, queue, records, serve, sync, verify,
};

/// How many files the runtime opens at most.
const FILES: usize = 8;

pub(crate) fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    log::start(matches!(cli.verb, Verb::Serve(_)));
    // The runtime would panic.
    if !files::are_left(FILES) {
        return Failure::failed(files::TOO_MANY_FILES).report();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return Failure::failed(format!("no threads can be started: {error}")).report();
        }
    };
    let mut output = Output::new(cli.globals.json, cli.globals.quiet);
    let result = runtime.block_on(run(&cli, &mut output));
    // What was done before an error counts, so it is printed before the error.
    match (result, output.flush()) {
        (Ok(done), Ok(())) => done.into(),
        (Err(failure), _) => failure.report(),
        (Ok(_), Err(error)) => Failure::from(error).report(),
    }
}

fn parsed() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.globals.names_store = matches.value_source("store") == Some(ValueSource::CommandLine);
    Ok(cli)
}

/// Help goes to standard output; an error becomes one line.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Failure::from(error).report(),
        };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::bad_input("no command is given; see synctable --help").report();
    }
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph
        .trim_start_matches("error: ")
        .split_whitespace()
        .collect();
    Failure::bad_input(format!("{}; see synctable --help", words.join(" "))).report()
}

/// Whether a command can do without writing.
fn only_reads(cli: &Cli) -> bool {
    match &cli.verb {
        Verb::Get(_)
        | Verb::Query(_)
        | Verb::Export { .. }
        | Verb::Pending
        | Verb::Conflicts
        | Verb::Inspect => true,
        Verb::Verify { heal } => !heal && cli.globals.remote.is_none(),
        _ => false,
    }
}

async fn run(cli: &Cli, output: &mut Output) -> Result<Done, Failure> {
    let globals = &cli.globals;
    if globals.remote.as_deref() == Some("") && !matches!(cli.verb, Verb::Verify { .. }) {
        return Err(Failure::bad_input("--remote needs the URL of a server"));
    }
    if globals.read_only && !only_reads(cli) {
        return Err(Failure::bad_input(
            "--read-only is for get, query, export, pending, conflicts, inspect, and verify without --remote and --heal; this command writes",
        ));
    }
    match &cli.verb {
        Verb::Insert { table, record } => records::insert(globals, output, table, record).await,
        Verb::Update(args) => records::update(globals, output, args).await,
        Verb::Replace(args) => records::replace(globals, output, args).await,
        Verb::Get(args) => records::get(globals, output, args).await,
        Verb::Delete(args) => records::delete(globals, output, args).await,
        Verb::Query(args) => {
            let mut query = args.odata.clone().unwrap_or_default();
            if let Some(filter) = &args.filter {
                // Both must match, should there be a filter in each.
                query = query.filter(filter.clone());
            }
            if args.explain {
                records::explain(globals, output, &args.table, query.query).await
            } else {
                records::query(globals, output, &args.table, query).await
            }
        }
        Verb::Import { table, file } => import_export::import(globals, output, table, file).await,
        Verb::Export { table } => import_export::export(globals, output, table).await,
        Verb::Push { parallel } => sync::push(globals, output, *parallel).await,
        Verb::Pull {
            table,
            name,
            filter,
            full,
            page,
        } => {
            let pull = sync::PullArgs {
                name: name.as_ref(),
                filter: filter.as_ref(),
                full: *full,
                page: *page,
                pushed: false,
            };
            sync::pull(globals, output, table, pull).await
        }
        Verb::Sync => sync::sync(globals, output).await,
        Verb::Enqueue { table } => queue::enqueue(globals, output, table).await,
        Verb::Pending => queue::pending(globals, output).await,
        Verb::Conflicts => queue::conflicts(globals, output).await,
        Verb::Cancel(args) => queue::cancel(globals, output, args).await,
        Verb::Discard(args) => queue::discard(globals, output, args).await,
        Verb::Retry(args) => queue::retry(globals, output, args).await,
        Verb::Resolve { operation, side } => queue::resolve(globals, output, operation, side).await,
        Verb::Purge {
            table,
            filter,
            discard_pending,
        } => admin::purge(globals, output, table, filter.as_ref(), *discard_pending).await,
        Verb::Inspect => admin::inspect(globals, output).await,
        Verb::Doctor => doctor::doctor(globals, output).await,
        Verb::Verify { heal } => verify::verify(globals, output, *heal).await,
        Verb::Backup(args) => backup::backup(globals, output, args).await,
        Verb::Copy(args) => keys::copy(globals, output, args).await,
        Verb::Keygen { file } => keys::keygen(output, file),
        Verb::Rekey(args) => keys::rekey(globals, output, args).await,
        Verb::RotateKey => keys::rotate(globals, output).await,
        Verb::Serve(args) => serve::serve(globals, output, args).await,
        Verb::Demo { records, dir } => demo::demo(output, *records, dir.as_deref()).await,
    }
}
