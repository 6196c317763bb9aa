//! One history, or a part of it, as text that replays it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::trouble::Trouble;

/// The history of a seed, or what is left of it: some steps, some clients, some kinds of trouble.
///
/// Its text is what `SYNCTABLE_SEED` takes to replay it:
///
/// ```
/// use synctable_testkit::sim::History;
///
/// let history: History = "7/steps=0-3+9/clients=0+2/without=Disk+Late".parse().unwrap();
/// assert_eq!(history.seed(), 7);
/// assert_eq!(history.to_string(), "7/steps=0-3+9/clients=0+2/without=Late+Disk");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct History {
    pub(crate) seed: u64,
    /// All where it is not said.
    pub(crate) steps: Option<BTreeSet<usize>>,
    /// All where it is not said.
    pub(crate) clients: Option<BTreeSet<usize>>,
    pub(crate) without: BTreeSet<Trouble>,
}

impl History {
    /// The whole history of a seed.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            steps: None,
            clients: None,
            without: BTreeSet::new(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        if let Some(steps) = &self.steps {
            write!(f, "/steps={}", ranges(steps))?;
        }
        if let Some(clients) = &self.clients {
            write!(f, "/clients={}", ranges(clients))?;
        }
        if !self.without.is_empty() {
            let names: Vec<String> = self.without.iter().map(Trouble::to_string).collect();
            write!(f, "/without={}", names.join("+"))?;
        }
        Ok(())
    }
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let seed = parts.next().unwrap_or_default();
        let seed = seed.parse();
        let mut history = Self::of(seed.map_err(|_| format!("'{text}' has no seed"))?);
        for part in parts {
            match part.split_once('=') {
                Some(("steps", steps)) => history.steps = Some(numbers(steps)?),
                Some(("clients", clients)) => history.clients = Some(numbers(clients)?),
                Some(("without", names)) => {
                    history.without = names.split('+').map(str::parse).collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("'{part}' is no part of a history")),
            }
        }
        Ok(history)
    }
}

/// Numbers in ascending order, those that follow each other as a range.
fn ranges(numbers: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    texts.collect::<Vec<_>>().join("+")
}

fn numbers(text: &str) -> Result<BTreeSet<usize>, String> {
    let mut numbers = BTreeSet::new();
    for range in text.split('+').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            let parsed = text.parse::<usize>();
            parsed.map_err(|_| format!("'{range}' is neither a number nor a range"))
        };
        numbers.extend(number(first)?..=number(last)?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_read_as_they_are_written() {
        let mut history = History::of(u64::MAX);
        assert_eq!(history.to_string().parse(), Ok(history.clone()));
        history.steps = Some(BTreeSet::new());
        assert_eq!(history.to_string().parse(), Ok(history.clone()));
        history.steps = Some([0, 1, 2, 5, 7, 8].into());
        history.clients = Some([1].into());
        history.without = Trouble::ALL.into();
        assert_eq!(history.to_string().parse(), Ok(history.clone()));
        assert!(history.to_string().contains("/steps=0-2+5+7-8/clients=1/"));
    }

    #[test]
    fn what_is_no_history_is_refused() {
        for text in ["", "x", "7/", "7/steps=a", "7/without=Rain", "7/days=1"] {
            assert!(text.parse::<History>().is_err(), "{text}");
        }
    }
}
