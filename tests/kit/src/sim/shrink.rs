//! A bad history is made smaller.

use std::collections::BTreeSet;

use super::Summary;
use super::history::History;
use super::trouble::Trouble;

/// The most attempts.
const MOST_TRIES: usize = 2_000;

/// Looks for the smallest part of a bad history that is bad in the same way.
pub(crate) struct Shrinker<'a> {
    run: &'a dyn Fn(&History) -> Summary,
    tries: usize,
    smallest: History,
    summary: Summary,
    kind: String,
}

/// The first word of the first finding.
fn kind(summary: &Summary) -> Option<String> {
    let finding = summary.findings.first()?;
    Some(finding.split(':').next().unwrap_or_default().to_owned())
}

impl<'a> Shrinker<'a> {
    /// `None` where the history is not bad.
    pub(crate) fn new(run: &'a dyn Fn(&History) -> Summary, history: &History) -> Option<Self> {
        let summary = run(history);
        Some(Self {
            run,
            tries: MOST_TRIES,
            smallest: history.clone(),
            kind: kind(&summary)?,
            summary,
        })
    }

    /// The smallest history that was found, and what came of it.
    pub(crate) fn shrink(mut self, clients: usize, steps: usize) -> (History, Summary) {
        // The steps after the finding, if it came before the end.
        let mut steps = self.smallest.steps.clone().unwrap_or((0..steps).collect());
        if let Some(after) = steps.iter().nth(self.summary.steps).copied() {
            steps.split_off(&after);
        }
        self.smallest.steps = Some(steps);
        self.clients(clients);
        self.troubles();
        self.steps();
        // What is left may need even less.
        self.clients(clients);
        self.troubles();
        self.steps();
        (self.smallest, self.summary)
    }

    /// Keeps `history` if it is bad in the same way.
    fn try_out(&mut self, history: History) -> bool {
        if self.tries == 0 {
            return false;
        }
        self.tries -= 1;
        let summary = (self.run)(&history);
        let bad = kind(&summary).as_ref() == Some(&self.kind);
        if bad {
            (self.smallest, self.summary) = (history, summary);
        }
        bad
    }

    fn clients(&mut self, clients: usize) {
        for number in 0..clients {
            let all = || (0..clients).collect();
            let mut fewer = self.smallest.clone();
            let left = fewer.clients.get_or_insert_with(all);
            if left.remove(&number) && !left.is_empty() {
                self.try_out(fewer);
            }
        }
    }

    fn troubles(&mut self) {
        for trouble in Trouble::ALL {
            let mut calmer = self.smallest.clone();
            if calmer.without.insert(trouble) {
                self.try_out(calmer);
            }
        }
    }

    /// Leaves out parts of the steps, large ones first, until no single step can be left out.
    fn steps(&mut self) {
        let count = |history: &History| history.steps.as_ref().map_or(0, BTreeSet::len);
        let mut size = count(&self.smallest).div_ceil(2);
        while size > 0 && self.tries > 0 {
            let (before, mut from) = (count(&self.smallest), 0);
            while from < count(&self.smallest) {
                let steps = self.smallest.steps.iter().flatten().copied();
                let kept = steps
                    .enumerate()
                    .filter(|(place, _)| !(from..from + size).contains(place));
                let fewer = History {
                    steps: Some(kept.map(|(_, step)| step).collect()),
                    ..self.smallest.clone()
                };
                if !self.try_out(fewer) {
                    from += size;
                }
            }
            size = match (size, count(&self.smallest) < before) {
                (1, true) => 1,
                (1, false) => 0,
                (more, _) => more / 2,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history is bad if it has steps 3 and 17, client 1, and no fewer troubles than one.
    fn run(history: &History) -> Summary {
        let steps = history.steps.clone().unwrap_or((0..50).collect());
        let client = history.clients.as_ref().is_none_or(|c| c.contains(&1));
        let bad = [3, 17].iter().all(|step| steps.contains(step))
            && client
            && !history.without.contains(&Trouble::Disk);
        let findings = match (bad, steps.contains(&40)) {
            (true, _) => vec!["lost: it".to_owned()],
            (false, true) => vec!["another: thing".to_owned()],
            (false, false) => Vec::new(),
        };
        Summary {
            steps: steps.len(),
            changes: 0,
            trace: 0,
            findings,
        }
    }

    #[test]
    fn only_what_matters_is_left() {
        let shrinker = Shrinker::new(&run, &History::of(5)).expect("it is bad");
        let (history, summary) = shrinker.shrink(3, 50);
        let without = Trouble::ALL.into_iter().filter(|t| *t != Trouble::Disk);
        assert_eq!(history.steps, Some([3, 17].into()));
        assert_eq!(history.clients, Some([1].into()));
        assert_eq!(history.without, without.collect());
        assert_eq!(summary.findings, ["lost: it"]);
    }

    #[test]
    fn a_good_history_is_not_made_smaller() {
        let mut history = History::of(5);
        history.steps = Some([3].into());
        assert!(Shrinker::new(&run, &history).is_none());
    }
}
