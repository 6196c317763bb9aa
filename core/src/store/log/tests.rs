use super::*;
use crate::name::RecordId;

/// Every commit since the beginning, as one would write them down.
#[derive(Default)]
struct Plain(Vec<(Option<Author>, Vec<Changed>)>);

/// Random numbers, from a seed that a failure prints.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn table(number: u64) -> TableName {
    TableName::new(&format!("t{number}")).unwrap()
}

fn record(table_number: u64, number: u64) -> Changed {
    Changed::Record {
        table: table(table_number),
        id: RecordId::new(&number.to_string()).unwrap(),
    }
}

fn followed(log: &ChangeLog, since: Position, limit: usize) -> Option<Vec<Changed>> {
    let (mut all, mut place) = (Vec::new(), since);
    loop {
        match log.since(place, limit) {
            Changes::Unknown { .. } => return None,
            Changes::Known {
                changed,
                next,
                more,
            } => {
                assert!(changed.len() <= limit.max(1));
                assert!(place <= next);
                assert_eq!(more, next != log.position());
                all.extend(changed);
                if !more {
                    return Some(all);
                }
                assert_ne!(place, next, "a page that brings nothing never ends");
                place = next;
            }
        }
    }
}

#[test]
fn the_log_answers_as_one_that_forgets_nothing() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let authors = [None, Some(Author::random()), Some(Author::random())];
        let (mut log, mut plain, mut places) = (ChangeLog::new(), Plain::default(), Vec::new());
        places.push(log.position());
        for _ in 0..30 {
            let author = authors[usize::try_from(dice.roll(3)).unwrap()];
            let changed: Vec<Changed> = (0..=dice.roll(5))
                .map(|_| record(dice.roll(3), dice.roll(9)))
                .collect();
            plain.0.push((author, changed.clone()));
            places.push(log.append(author, changed));
            let from = usize::try_from(dice.roll(places.len() as u64)).unwrap();
            let missed = &plain.0[from..];
            let names: Vec<Changed> = missed.iter().flat_map(|(_, it)| it.clone()).collect();
            let limit = usize::try_from(dice.roll(4)).unwrap();
            assert_eq!(
                followed(&log, places[from], limit),
                Some(names),
                "seed {seed}"
            );
            for (number, author) in (0..4).flat_map(|it| authors.map(|author| (it, author))) {
                let others = missed
                    .iter()
                    .filter(|(other, _)| author.is_none() || *other != author);
                let mut changed = others.flat_map(|(_, it)| it);
                let expected = !changed.any(|it| *it.table() == table(number));
                assert_eq!(
                    log.is_unchanged(&table(number), places[from], author),
                    expected,
                    "seed {seed}"
                );
            }
        }
    }
}

#[test]
fn ten_thousand_changes_are_known_and_not_all() {
    let mut log = ChangeLog::new();
    let mut places = vec![log.position()];
    for number in 0..30_000 {
        places.push(log.append(None, vec![record(0, number)]));
    }
    assert_eq!(followed(&log, places[0], 1000), None);
    let known = followed(&log, places[20_000], 1000).unwrap();
    assert_eq!(known.len(), 10_000);
    assert!(log.names <= KNOWN_CHANGES + NAMES);
}

#[test]
fn a_commit_of_too_many_names_its_tables() {
    let mut log = ChangeLog::new();
    let before = log.position();
    let many = (0..30_000).map(|number| record(number % 2, number));
    log.append(None, many.collect());
    let whole = |number| Changed::Table {
        table: table(number),
    };
    assert_eq!(followed(&log, before, 1), Some(vec![whole(0), whole(1)]));
}

#[test]
fn a_position_of_another_log_or_of_the_future_is_not_known() {
    let mut log = ChangeLog::new();
    let mut other = log.clone();
    log.append(None, vec![record(0, 0)]);
    let future = Position::new(log.position().log(), 1, 1);
    for place in [ChangeLog::new().position(), future] {
        assert_eq!(
            log.since(place, 9),
            Changes::Unknown {
                now: log.position()
            }
        );
        assert!(!log.is_unchanged(&table(7), place, None));
    }
    // A store that was put back is as behind.
    assert_eq!(
        other.since(log.position(), 9),
        Changes::Unknown {
            now: other.position()
        }
    );
    assert!(!other.is_unchanged(&table(7), log.position(), None));
    other.append(None, vec![record(1, 1)]);
    let later = ChangeLog::continued(log.position().log(), 5);
    assert!(!later.is_unchanged(&table(7), log.position(), None));
    assert!(later.is_unchanged(&table(7), later.position(), None));
}

#[test]
fn what_is_staged_is_checked_and_not_passed() {
    let mut log = ChangeLog::new();
    let before = log.position();
    let after = log.stage(None, vec![record(0, 0)]);
    assert!(!log.is_unchanged(&table(0), before, None));
    assert!(log.is_unchanged(&table(0), after, None));
    assert_eq!(log.position(), before);
    assert_eq!(followed(&log, before, 9), Some(Vec::new()));
    log.publish();
    assert_eq!(log.position(), after);
    assert_eq!(followed(&log, before, 9), Some(vec![record(0, 0)]));
}
