//! Abuse of the server, one attack a row. During each of them a good client keeps working, its answers are checked, and
//! the server's own limits end the connections of the attacker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod attack;
mod crowd;
mod framing;
mod good;
mod requests;
mod run;
mod slow;

use attack::Attack;

fn all() -> Vec<Attack> {
    [framing::attacks(), requests::attacks(), slow::attacks()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn there_are_many_attacks_and_each_has_a_name_of_its_own() {
    let attacks = all();
    let names: std::collections::BTreeSet<_> = attacks.iter().map(|attack| &attack.name).collect();
    println!("{} attacks", attacks.len());
    assert_eq!(names.len(), attacks.len());
    assert!(attacks.len() >= 100, "{} attacks", attacks.len());
}
