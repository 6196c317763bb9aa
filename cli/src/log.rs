//! What goes on inside, on standard error, for whoever asks: `SYNCTABLE_LOG=debug synctable …`.

use std::env;
use std::io::{self, Write};

use tracing_subscriber::filter::LevelFilter;

use crate::plain::one_line;

const VARIABLE: &str = "SYNCTABLE_LOG";

/// Starts the log at the level of `SYNCTABLE_LOG` (off, error, warn, info, debug, trace). Without one a server tells
/// of its faults, which its clients are not told, and everything else is silent. Contents of records are never logged.
pub(crate) fn start(server: bool) {
    let usual = if server {
        LevelFilter::WARN
    } else {
        LevelFilter::OFF
    };
    let level = env::var(VARIABLE)
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(usual);
    if level != LevelFilter::OFF {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(|| Lines)
            .with_ansi(false)
            .init();
    }
}

/// True where warnings go to standard error by themselves.
pub(crate) fn shows_warnings() -> bool {
    LevelFilter::current() >= LevelFilter::WARN
}

/// Standard error, line by line as a terminal may show it: faults quote what others wrote.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        writeln!(io::stderr(), "{}", one_line(text.trim_end()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
