//! Pushes of this process and others in turn, and what they came to: one place for the counts, in JSON and in words.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use synctable::Error;
use synctable::sync::{CancelToken, PushReport};

use crate::errors::Done;

/// How long to wait before looking again whether another process still pushes.
const LOOK: Duration = Duration::from_millis(100);

/// What a push came to, over all its rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct PushLine {
    pushed: u64,
    conflicts: u64,
    rejected: u64,
    aside: u64,
    pending: u64,
}

impl From<&PushReport> for PushLine {
    fn from(report: &PushReport) -> Self {
        let PushReport {
            pushed,
            conflicts,
            rejected,
            aside,
            pending,
            ..
        } = *report;
        Self {
            pushed,
            conflicts,
            rejected,
            aside,
            pending,
        }
    }
}

impl PushLine {
    fn is_clean(&self) -> bool {
        self.aside + self.conflicts + self.rejected == 0
    }

    pub(crate) fn done(&self) -> Done {
        Done::leaving(!self.is_clean())
    }

    /// The counts in words.
    pub(crate) fn counts(&self) -> String {
        let mut text = format!("{} pushed, {} still queued", self.pushed, self.pending);
        if !self.is_clean() {
            let _ = write!(
                text,
                ", of these {} aside (tried again by a later push), {} in conflict and {} rejected",
                self.aside, self.conflicts, self.rejected
            );
        }
        text
    }

    /// The counts, and where to look next.
    pub(crate) fn text(&self) -> String {
        let mut text = self.counts();
        if !self.is_clean() {
            text.push_str("; see synctable pending and synctable conflicts");
        }
        text
    }
}

/// Tries again while another process pushes the store, for as long as `patience` lasts. Gives what the rounds before the last one pushed,
/// and how the last one ended; an error that stopped a push counts all rounds.
pub(crate) async fn in_turn<T>(
    patience: Duration,
    cancel: &CancelToken,
    mut attempt: impl AsyncFnMut() -> Result<T, Error>,
) -> (u64, Result<T, Error>) {
    let mut before = 0;
    // Patience is for others: a long push of our own uses none of it.
    let mut waiting = None;
    loop {
        let (report, source) = match attempt().await {
            Err(Error::PushStopped { mut report, source }) => {
                let round = report.pushed;
                report.pushed += before;
                if !matches!(*source, Error::AnotherPusher) {
                    return (before, Err(Error::PushStopped { report, source }));
                }
                if round > 0 {
                    waiting = None;
                }
                (report, source)
            }
            done => return (before, done),
        };
        let since = *waiting.get_or_insert_with(Instant::now);
        if since.elapsed() >= patience {
            return (before, Err(Error::PushStopped { report, source }));
        }
        before = report.pushed;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = cancel.cancelled() => {
                let source = Box::new(Error::Cancelled);
                return (before, Err(Error::PushStopped { report, source }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn report(pushed: u64) -> PushReport {
        let mut report = PushReport::default();
        report.pushed = pushed;
        report
    }

    fn stopped(pushed: u64, source: Error) -> Error {
        Error::PushStopped {
            report: Box::new(report(pushed)),
            source: Box::new(source),
        }
    }

    /// What a push comes to whose rounds end so.
    fn all(patience: Duration, rounds: Vec<Result<u64, Error>>) -> (u64, Result<u64, Error>) {
        let mut rounds = rounds.into_iter();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let token = CancelToken::new();
        let attempt = async || rounds.next().expect("no more rounds");
        let ended = runtime.block_on(in_turn(patience, &token, attempt));
        assert!(rounds.next().is_none());
        ended
    }

    fn told(ended: &(u64, Result<u64, Error>)) -> u64 {
        match &ended.1 {
            Err(Error::PushStopped { report, .. }) => report.pushed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_push_that_goes_on_counts_what_it_did_before() {
        let interrupted = |pushed| Err(stopped(pushed, Error::AnotherPusher));
        let (before, last) = all(LONG, vec![interrupted(2), interrupted(0), Ok(1)]);
        assert_eq!((before, last.unwrap()), (2, 1));
    }

    #[test]
    fn an_error_counts_all_rounds() {
        let interrupted = |pushed| Err(stopped(pushed, Error::AnotherPusher));
        let ended = all(
            LONG,
            vec![interrupted(2), Err(stopped(3, Error::Contended))],
        );
        assert_eq!(told(&ended), 5);
        let ended = all(Duration::ZERO, vec![interrupted(2)]);
        assert_eq!(told(&ended), 2);
    }

    #[test]
    fn one_that_is_cancelled_while_it_waits_says_what_it_did() {
        let token = CancelToken::new();
        token.cancel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let attempt = async || Err::<u64, _>(stopped(2, Error::AnotherPusher));
        let ended = runtime.block_on(in_turn(LONG, &token, attempt));
        assert_eq!(told(&ended), 2);
        assert!(
            matches!(&ended.1, Err(Error::PushStopped { source, .. }) if matches!(**source, Error::Cancelled))
        );
    }

    #[test]
    fn words_and_json_are_the_same_counts() {
        let mut some = report(3);
        (some.pending, some.aside, some.conflicts, some.rejected) = (7, 4, 2, 1);
        let line = PushLine::from(&some);
        assert_eq!(
            line.text(),
            "3 pushed, 7 still queued, of these 4 aside (tried again by a later push), 2 in conflict and 1 rejected; \
             see synctable pending and synctable conflicts"
        );
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"pushed":3,"conflicts":2,"rejected":1,"aside":4,"pending":7}"#
        );
        assert_eq!(line.done(), Done::WithLeftovers);
        let nothing = PushLine::from(&report(3));
        assert_eq!(nothing.text(), "3 pushed, 0 still queued");
        assert_eq!(nothing.done(), Done::All);
    }
}
