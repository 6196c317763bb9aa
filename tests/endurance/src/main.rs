//! Runs every group of the conformance kit over the stores of this project, for as long as wanted, and writes a report.

mod stores;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use clap::Parser;
use synctable_testkit::report::Report;
use synctable_testkit::{Faults, Lab};

use crate::stores::{Entry, stores};

/// The first argument of the processes that this one starts; the name of their store follows.
const CHILD: &str = "child";

/// Runs every group of the conformance kit over stores, and writes what it saw to REPORT.md and report.json.
///
/// The power is cut only where this runs as root with loop devices, calls fail only where there is a C compiler: the
/// report says so where not. `SYNCTABLE_CASES` sets the number of random histories, `SYNCTABLE_SEED` replays a report.
#[derive(Debug, Parser)]
#[command(name = "synctable-endurance", version)]
struct Arguments {
    /// How many processes are killed in a loop
    #[arg(long, default_value_t = 500)]
    cycles: u64,
    /// How often the power is cut in a loop
    #[arg(long, default_value_t = 200)]
    cuts: u64,
    /// How many calls of each kind fail in turn, or `all`
    #[arg(long, default_value = "50", value_parser = faults)]
    faults: Faults,
    /// The stores, instead of all
    #[arg(long, value_delimiter = ',', value_parser = names())]
    stores: Vec<String>,
    /// The groups, instead of all
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// The folder for the report
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR")))]
    out: PathBuf,
}

fn names() -> Vec<&'static str> {
    stores().iter().map(|store| store.name).collect()
}

fn faults(text: &str) -> Result<Faults, String> {
    if text == "all" {
        return Ok(Faults::All);
    }
    let number = text.parse().map_err(|_| "give a number or `all`")?;
    Ok(Faults::Some(number))
}

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some(CHILD) {
        let name = words.next().unwrap_or_default();
        for store in stores().iter().filter(|store| store.name == name) {
            (store.child)();
        }
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let report = run(&arguments);
    match write(&arguments, &report) {
        Ok(()) if report.passed() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the report cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new().with_groups(&arguments.groups);
    let wanted = |store: &&Entry| {
        let named = |name: &String| name == store.name;
        arguments.stores.is_empty() || arguments.stores.iter().any(named)
    };
    for store in stores().iter().filter(wanted) {
        let lab = || {
            Lab::new([CHILD, store.name])
                .with_cycles(arguments.cycles)
                .with_cuts(arguments.cuts)
                .with_faults(arguments.faults)
                .with_progress(true)
        };
        (store.run)(&mut report, store.name, &lab);
    }
    report
}

fn write(arguments: &Arguments, report: &Report) -> std::io::Result<()> {
    let Arguments {
        cycles,
        cuts,
        faults,
        ..
    } = arguments;
    let faults = match faults {
        Faults::All => "every".to_owned(),
        Faults::Some(number) => number.to_string(),
    };
    let text = format!(
        "# Endurance report\n\nLoops of {cycles} kills and {cuts} power cuts; {faults} failing calls of each kind. {}",
        report.to_markdown()
    );
    fs::create_dir_all(&arguments.out)?;
    fs::write(arguments.out.join("REPORT.md"), &text)?;
    fs::write(arguments.out.join("report.json"), report.to_json() + "\n")?;
    print!("{text}");
    Ok(())
}
