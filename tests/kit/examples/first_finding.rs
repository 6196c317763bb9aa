//! Until something is found: `cargo run --release -p synctable-testkit --example first_finding -- [HISTORIES]`.
//!
//! Runs some stories of what no history has, schema steps, programs that write past the queue and changes that arrive as one, and then so many histories of each of the two
//! simulations in turn, up to the first that ends badly. That one is what this program is for: its exit code is 0 if there is one, 1 if there is none.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_memory::MemoryStore;
use synctable_testkit::engine::{converted, crossed, units};
use synctable_testkit::sim::first_finding;
use synctable_testkit::{Harness, async_trait, run};

#[derive(Default)]
struct Memory;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Memory {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(MemoryStore::new()))
    }
}

/// The first story that ends badly.
fn bad_story() -> Option<&'static str> {
    let place = Memory;
    let stories: [(&str, &dyn Fn()); 5] = [
        ("a row of another program is overwritten unseen", &|| {
            run(crossed::rows_of_another_program_are_not_overwritten_unseen(
                &place,
            ));
        }),
        ("a conversion does not see what others do", &|| {
            run(crossed::s11_conversions_see_what_others_do(&place));
        }),
        ("an older application is not refused", &|| {
            run(converted::s11_an_older_application_is_refused(&place));
        }),
        ("a transaction does not arrive as one", &|| {
            run(units::b3_a_transaction_arrives_as_one(&place));
        }),
        ("what is no part of a unit does not stay apart", &|| {
            run(units::b3_others_stay_apart(&place));
        }),
    ];
    let ends_badly = |story: &dyn Fn()| panic::catch_unwind(AssertUnwindSafe(story)).is_err();
    let bad = stories.into_iter().find(|(_, story)| ends_badly(story));
    bad.map(|(words, _)| words)
}

fn main() -> ExitCode {
    let histories = std::env::args().nth(1);
    let histories = histories.map_or(Ok(1_000), |text| text.parse::<u64>());
    let Ok(histories) = histories else {
        eprintln!("usage: first_finding [HISTORIES]");
        return ExitCode::from(2);
    };
    if let Some(finding) = bad_story() {
        println!("found in history 0: {finding}");
        return ExitCode::SUCCESS;
    }
    match first_finding(|| Arc::new(MemoryStore::new()), 0..histories) {
        Some((history, finding)) => {
            println!("found in history {history}: {finding}");
            ExitCode::SUCCESS
        }
        None => {
            println!("nothing found in {histories} histories of each simulation");
            ExitCode::from(1)
        }
    }
}
