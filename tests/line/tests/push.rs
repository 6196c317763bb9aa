//! Ten thousand changes over a slow and bad line. Each run checks that every change has had its effect once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use http::header::ACCEPT_ENCODING;
use http::{HeaderName, StatusCode};
use synctable_http::{OPERATION_ID, OPERATION_IDS, OPERATION_IDS_KEPT, OPERATION_UNKNOWN_SINCE};
use synctable_line::far::Gateway;
use synctable_line::line::Rules;
use synctable_line::world::{Done, World};

const BATCH: HeaderName = HeaderName::from_static("synctable-batch");
/// What nginx lets through by `client_max_body_size 64k`.
const NGINX: usize = 64 * 1024;

fn push(world: &World) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(world.run())
}

fn world(changes: u64, seed: u64, parallel: usize) -> World {
    World {
        changes,
        rules: Rules::BAD,
        gateway: Gateway::default(),
        seed,
        parallel,
    }
}

/// How many times as long a push took as its bytes, both ways, need on the same line without loss.
fn ratio(world: &World) -> f64 {
    let good = push(&World {
        rules: world.rules.without_loss(),
        ..world.clone()
    });
    let done = push(world);
    let need = world.rules.time_of(good.up + good.down).as_secs_f64();
    let ratio = done.took.as_secs_f64() / need;
    println!("seed {}, without loss: {good}", world.seed);
    println!("seed {}: {done}", world.seed);
    println!(
        "seed {}: need {need:.1} s ({:.1} s up), took {ratio:.2} times of that",
        world.seed,
        world.rules.time_of(good.up).as_secs_f64(),
    );
    ratio
}

/// A number that the environment may set.
fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |set| set.parse().expect("a number"))
}

/// Ratios of so many runs as `SYNCTABLE_SEEDS` says. One proves little: where the line is unlucky it takes half as long again.
fn ratios(first: u64, parallel: usize) -> Vec<f64> {
    let changes = number("SYNCTABLE_CHANGES", 10_000);
    let seeds = first..first + number("SYNCTABLE_SEEDS", 3);
    seeds
        .map(|seed| ratio(&world(changes, seed, parallel)))
        .collect()
}

#[test]
fn overlapping_batches_take_little_longer_than_their_bytes() {
    let ratios = ratios(1, 2);
    assert!(ratios.iter().all(|ratio| *ratio <= 1.6), "{ratios:.2?}");
}

#[test]
fn batches_in_strict_order_take_longer() {
    let ratios = ratios(2, 1);
    assert!(ratios.iter().all(|ratio| *ratio <= 2.4), "{ratios:.2?}");
}

#[test]
fn the_size_of_batches_follows_the_line() {
    let largest = |bits_per_second| {
        let rules = Rules {
            bits_per_second,
            ..Rules::BAD.without_loss()
        };
        let done = push(&World {
            rules,
            ..world(1_000, 3, 1)
        });
        let batches = done.requests.iter().filter(|noted| noted.batch);
        batches.map(|noted| noted.bytes).max().unwrap()
    };
    let (slow, fast) = (largest(10_000), largest(300_000));
    assert!(fast > 3 * slow, "{slow} {fast}");
}

/// A server that knows neither ids nor batches, as its headers do not come through.
#[test]
fn without_ids_and_batches_all_arrive_once() {
    let gateway = Gateway {
        unheard: vec![OPERATION_ID],
        unsaid: vec![
            BATCH,
            OPERATION_IDS,
            OPERATION_IDS_KEPT,
            OPERATION_UNKNOWN_SINCE,
        ],
        ..Gateway::default()
    };
    let done = push(&World {
        gateway,
        ..world(300, 4, 8)
    });
    println!("{done}");
    assert!(done.requests.iter().all(|noted| !noted.batch));
}

#[test]
fn through_a_gateway_that_takes_64_kilobytes() {
    for packed in [true, false] {
        let unsaid = if packed {
            vec![]
        } else {
            vec![ACCEPT_ENCODING]
        };
        let gateway = Gateway {
            body: Some(NGINX),
            unsaid,
            ..Gateway::default()
        };
        let rules = Rules {
            bits_per_second: 3_000_000,
            ..Rules::BAD
        };
        let done = push(&World {
            gateway,
            rules,
            ..world(2_000, 5, 1)
        });
        println!("{done}");
        let refused = Ok(StatusCode::PAYLOAD_TOO_LARGE.as_u16());
        let refused = done.requests.iter().filter(|noted| noted.end == refused);
        // Packed, as many as ever go together are small enough.
        assert_eq!(refused.count() == 0, packed, "{done}");
        assert!(
            done.requests
                .iter()
                .any(|noted| noted.batch && noted.end == Ok(200))
        );
    }
}
