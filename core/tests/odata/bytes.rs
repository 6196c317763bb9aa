//! A million inputs of random bytes, read by everything that reads text from strangers.

use synctable_core::query::RemoteQuery;
use synctable_core::query::odata::{parse_filter, parse_order_by, parse_select, percent_decode};

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const INPUTS: usize = 1_000_000;
/// Bytes of which most queries are made; any byte may come between them.
const LIKELY: &[u8] = b"$filter=()',-/&%20 a1.:TZeqnotinandor_@+\xc3\xa9\0";

/// A xorshift generator.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        let roll = self.next();
        let [any, place, kind, ..] = roll.to_be_bytes();
        if kind < 32 {
            any
        } else {
            LIKELY[usize::from(place) % LIKELY.len()]
        }
    }
}

#[test]
fn a_million_random_inputs_are_read_or_refused() {
    let mut dice = Dice(SEED);
    let mut input = Vec::new();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..INPUTS {
        input.clear();
        let length = dice.next() % 24;
        input.extend((0..length).map(|_| dice.byte()));
        let text = String::from_utf8_lossy(&input);
        let results = [
            RemoteQuery::from_odata(&text).is_ok(),
            parse_filter(&text).is_ok(),
            parse_order_by(&text).is_ok(),
            parse_select(&text).is_ok(),
            percent_decode(&text).is_ok(),
        ];
        read += results.iter().filter(|ok| **ok).count();
        refused += results.iter().filter(|ok| !**ok).count();
    }
    // Both happen often, or the inputs are of no use.
    assert!(
        read > INPUTS / 10 && refused > INPUTS / 10,
        "{read} {refused}"
    );
}
