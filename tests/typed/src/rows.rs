//! The rows: versions, times, and how a row is shown.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use synctable_core::{Record, RecordId, SystemProperties, Timestamp, Version};
use synctable_testkit::typed::{Flavour, Model};

/// 2026-01-01T00:00:00Z in milliseconds.
const START: i64 = 1_767_225_600_000;
/// How far the clock moves with each request, in ticks of 100 ns: several fall into one millisecond.
const TICKS: i64 = 3_700;

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) model: Model,
    pub(crate) soft_delete: bool,
    pub(crate) rows: BTreeMap<RecordId, Record>,
    /// How many writes of clients each record saw.
    pub(crate) effects: BTreeMap<String, u64>,
}

/// The server's clock, and the source of its versions and ids.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) now: Timestamp,
    drawn: u64,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            now: Timestamp::from_millis(START),
            drawn: 0,
        }
    }
}

impl Source {
    /// The clock goes on.
    pub(crate) fn tick(&mut self) {
        self.now = Timestamp::from_ticks(self.now.ticks() + TICKS);
    }

    /// Draws others from now on.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.drawn = seed << 32;
    }

    /// Bytes that look random and are the same in every run.
    fn draw(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for half in bytes.chunks_exact_mut(8) {
            self.drawn += 1;
            let mut mixed = self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            half.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
        }
        bytes
    }

    /// The system properties of a row that is written now.
    pub(crate) fn stamp(&mut self, deleted: bool) -> SystemProperties {
        SystemProperties {
            version: Some(Version::new(&STANDARD.encode(self.draw()))),
            created_at: None,
            updated_at: Some(self.now),
            deleted,
        }
    }

    /// An id for a record that came without one.
    pub(crate) fn id(&mut self, flavour: Flavour) -> String {
        let digits = format!("{:032x}", u128::from_be_bytes(self.draw()));
        match flavour {
            Flavour::Toolkit => digits,
            Flavour::Zumo3 => [8, 13, 18, 23].into_iter().fold(digits, |mut id, place| {
                id.insert(place, '-');
                id
            }),
        }
    }
}

impl Table {
    pub(crate) fn new(model: Model) -> Self {
        Self {
            model,
            soft_delete: true,
            rows: BTreeMap::new(),
            effects: BTreeMap::new(),
        }
    }

    /// Stores a row.
    pub(crate) fn store(&mut self, row: Record) {
        self.rows.insert(row.id().clone(), row);
    }

    /// Counts a write of a client.
    pub(crate) fn count(&mut self, id: &RecordId) {
        *self.effects.entry(id.as_str().to_owned()).or_default() += 1;
    }

    /// Leaves a tombstone, or nothing.
    pub(crate) fn delete(&mut self, id: &RecordId, source: &mut Source) {
        let Some(row) = self.rows.remove(id) else {
            return;
        };
        if self.soft_delete {
            self.store(row.with_system(source.stamp(true)));
        }
    }
}

/// A row in JSON, all of it or the members that were asked for.
pub(crate) fn shown(flavour: Flavour, row: &Record, select: Option<&[String]>) -> String {
    let members = row.members();
    let own = members
        .iter()
        .map(|(name, value)| (name.as_ref(), (*value).to_owned()));
    let system = row.system();
    let version = system.version.as_ref().map_or("", Version::as_str);
    let updated_at = system.updated_at.unwrap_or(Timestamp::EPOCH);
    let id = ("id", flavour.text(row.id().as_str()));
    // Its base64 is not escaped as other text is.
    let version = ("version", format!("\"{version}\""));
    let updated_at = ("updatedAt", format!("\"{}\"", flavour.instant(updated_at)));
    let deleted = ("deleted", system.deleted.to_string());
    let system = match flavour {
        Flavour::Toolkit => [id, deleted, updated_at, version],
        Flavour::Zumo3 => [id, version, updated_at, deleted],
    };
    let all: Vec<(&str, String)> = own.chain(system).collect();
    let text = |(name, value): &(&str, String)| format!("{}:{value}", flavour.text(name));
    let texts: Vec<String> = match select {
        None => all.iter().map(text).collect(),
        Some(names) => names
            .iter()
            .filter_map(|name| all.iter().find(|(member, _)| member == name))
            .map(text)
            .collect(),
    };
    format!("{{{}}}", texts.join(","))
}
