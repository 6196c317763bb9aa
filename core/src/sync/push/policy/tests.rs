//! Tests of [`policy`](super).

use proptest::prelude::*;

use super::*;

const KINDS: [OperationKind; 3] = [
    OperationKind::Insert,
    OperationKind::Replace,
    OperationKind::Delete,
];
const ROWS: [Row; 7] = [
    Row::NotAsked,
    Row::None,
    Row::AsSent,
    Row::Ours,
    Row::Tombstone,
    Row::Moved,
    Row::Hidden,
];

fn facts() -> impl Strategy<Value = Facts> {
    prop_oneof![
        Just(Facts::Done),
        Just(Facts::OtherId),
        Just(Facts::Missing),
        Just(Facts::Conflict(ConflictCause::Version)),
        Just(Facts::Conflict(ConflictCause::Existing)),
        Just(Facts::Refused),
        prop::sample::select(&TransportErrorKind::ALL[..]).prop_map(Facts::Failed),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let kind = prop::sample::select(&KINDS[..]);
    (kind, 1..6_u32, any::<bool>(), any::<bool>()).prop_map(|(kind, tries, unsure, generated)| {
        Attempt {
            kind,
            tries,
            unsure,
            generated,
        }
    })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let rows = prop::sample::select(&ROWS[..]);
    let numbers = (0..5_u32, 0..5_u32, 0..5_u32, prop::option::of(0..100_u64));
    (rows, numbers, any::<[bool; 5]>()).prop_map(
        |(row, (reads, deferred, counted, wait), known)| Evidence {
            row,
            reads,
            table_read: known[0],
            repeated: known[1],
            token_accepted: known[2],
            renewed: known[3],
            behind_aside: known[4],
            deferred,
            counted,
            retry_after: wait.map(Duration::from_secs),
        },
    )
}

proptest! {
    /// The laws that no row may break, whatever else is added.
    #[test]
    fn laws(attempt in attempt(), facts in facts(), evidence in evidence(), attempts in 1..5_u32) {
        let patience = RetryPolicy::default().with_seed(1).with_attempts(attempts);
        let verdict = judge(attempt, facts, evidence, &patience);
        // An effect is only believed on the server's word, or on its row.
        if verdict == Verdict::Accepted {
            let gone = facts == Facts::Missing && attempt.kind == OperationKind::Delete && evidence.table_read;
            let own = attempt.generated && attempt.unsure && evidence.row == Row::Hidden;
            prop_assert!(facts == Facts::Done || gone || evidence.row == Row::Ours || own);
        }
        // Nothing that may have had an effect is sent again unasked.
        if let Verdict::RetryNow(_) = verdict {
            let turned_away = matches!(facts, Facts::Failed(kind) if kind.had_no_effect());
            let asked = evidence.row != Row::NotAsked && facts == Facts::Conflict(ConflictCause::Existing);
            prop_assert!(turned_away || asked, "{facts:?}");
        }
        // What may be the network's or the server's fault is never the user's.
        if let Facts::Failed(kind) = facts {
            prop_assert!(verdict != Verdict::Park && verdict != Verdict::Accepted);
            let rejected = verdict == Verdict::Reject;
            prop_assert!(!rejected || evidence.counted >= COUNTED);
            prop_assert_eq!(verdict == Verdict::StopPush, matches!(
                kind,
                TransportErrorKind::Portal | TransportErrorKind::Redirected
                    | TransportErrorKind::SignIn | TransportErrorKind::Missing
            ) || kind == TransportErrorKind::Unreachable && attempt.tries >= attempts);
        }
        // A conflict is a version that moved.
        if verdict == Verdict::Park {
            prop_assert!(!matches!(evidence.row, Row::NotAsked | Row::AsSent | Row::Ours));
        }
        // It ends: what is tried again at once is tried a bounded number of times.
        if matches!(verdict, Verdict::RetryNow(_)) && matches!(facts, Facts::Failed(_)) {
            prop_assert!(attempt.tries < attempts || !evidence.renewed);
        }
        if matches!(verdict, Verdict::AskFirst(_)) {
            prop_assert!(!evidence.table_read || evidence.reads < READS || evidence.row == Row::NotAsked);
        }
    }

    /// Nothing but the arguments decides.
    #[test]
    fn the_same_case_has_the_same_verdict(attempt in attempt(), facts in facts(), evidence in evidence()) {
        let patience = RetryPolicy::default().with_seed(1);
        let once = judge(attempt, facts, evidence, &patience);
        prop_assert_eq!(once, judge(attempt, facts, evidence, &patience));
    }
}

/// Each row decides some case: none is hidden by those before it.
#[test]
fn every_row_decides_something() {
    let mut deciding = std::collections::BTreeSet::new();
    let patience = RetryPolicy::default().with_seed(1);
    let mut facts = vec![
        Facts::Done,
        Facts::OtherId,
        Facts::Missing,
        Facts::Refused,
        Facts::Conflict(ConflictCause::Version),
        Facts::Conflict(ConflictCause::Existing),
    ];
    facts.extend(TransportErrorKind::ALL.map(Facts::Failed));
    let (no_yes, few_many) = ([false, true], [0, 9]);
    for (facts, row) in pairs(&facts, &ROWS) {
        for (kind, tries) in pairs(&KINDS, &few_many) {
            for bits in 0..1_u32 << 7 {
                let bit = |place: u32| no_yes[(bits >> place & 1) as usize];
                for (reads, times) in pairs(&few_many, &few_many) {
                    let attempt = Attempt {
                        kind,
                        tries,
                        unsure: bit(0),
                        generated: bit(1),
                    };
                    let evidence = Evidence {
                        row,
                        reads,
                        table_read: bit(2),
                        repeated: bit(3),
                        token_accepted: bit(4),
                        renewed: bit(5),
                        behind_aside: bit(6),
                        deferred: times,
                        counted: times,
                        retry_after: None,
                    };
                    let case = Case {
                        attempt,
                        facts,
                        evidence,
                        patience: &patience,
                    };
                    let row = TABLE.iter().find(|row| (row.when)(&case));
                    deciding.extend(row.map(|row| row.name));
                }
            }
        }
    }
    assert_eq!(deciding.len(), TABLE.len(), "{deciding:?}");
}

/// All pairs.
fn pairs<'a, A: Copy, B: Copy>(left: &'a [A], right: &'a [B]) -> impl Iterator<Item = (A, B)> + 'a {
    let with = |a: A| right.iter().map(move |b| (a, *b));
    left.iter().copied().flat_map(with)
}

#[test]
fn rows_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), TABLE.len());
    let docs = include_str!("../policy.rs");
    for name in names {
        assert!(docs.contains(&format!("/// | {name} |")), "{name}");
    }
}
