//! The `synctable` command: demo, table server, everyday verbs and inspector.

mod args;
mod device;
mod door;
mod errors;
mod filters;
mod given;
mod identity;
mod key_options;
mod log;
mod output;
mod plain;
mod progress;
mod rounds;
mod run;
mod signals;
mod values;
mod verbs;
mod way;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main()
}
