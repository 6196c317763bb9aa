//! Several processes on one store at once.

use crate::Harness;
use crate::lab::{Child, Job, Lab, Said, counted, opened};

/// Processes that count together, and what each adds.
const PROCESSES: u64 = 4;
const ADDITIONS: u64 = 40;

/// Processes that start at once make one store, and each adds one to a counter many times by reading it and demanding
/// that it is unchanged: no addition is lost.
pub async fn processes_make_one_store_and_lose_no_update<H: Harness>(_: &H, lab: &Lab) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |_| lab.start(folder.path(), Job::Count { times: ADDITIONS });
    let children: Vec<Child> = (0..PROCESSES).map(start).collect();
    for mut child in children {
        let mut last = None;
        while let Some(said) = child.next() {
            last = Some(said);
        }
        assert_eq!(last, Some(Said::Done), "{}", child.errors());
    }
    let store = opened::<H>(folder.path()).await;
    assert_eq!(counted(&*store).await, Ok(PROCESSES * ADDITIONS));
    lab.count("additions", PROCESSES * ADDITIONS);
}

/// What one process was told is done, another that has the store open reads at once.
pub async fn commits_of_another_process_are_seen_at_once<H: Harness>(_: &H, lab: &Lab) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = lab.start(folder.path(), Job::Count { times: ADDITIONS });
    let mut store = None;
    let mut seen = 0;
    while let Some(said) = child.next() {
        match said {
            Said::Acknowledged { number } => {
                let store = match &store {
                    Some(store) => store,
                    None => store.insert(opened::<H>(folder.path()).await),
                };
                let found = counted(&**store).await.expect("the counter is read");
                assert!(
                    found >= number,
                    "{number} was acknowledged, {found} is read"
                );
                seen += 1;
            }
            Said::Wrong(what) => panic!("{what}"),
            _ => {}
        }
    }
    assert_eq!(seen, ADDITIONS, "{}", child.errors());
}
