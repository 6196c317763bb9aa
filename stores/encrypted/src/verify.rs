//! Reading everything and adding it up: what was removed, added, moved, changed or put back is found.

use std::fmt;
use std::sync::Arc;

use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::KvBackend;

use crate::header::KeyRing;
use crate::layout::{ENTRIES, HEADER, MANIFEST, open_at_its_place};
use crate::manifest::Manifest;
use crate::scan::{EVERYTHING, each};
use crate::sealed::{Inner, Sealed};

/// Findings that a report lists.
const MAX_FINDINGS: usize = 1000;

/// What [`Sealed::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Entries that were read.
    pub entries: u64,
    /// How often the store was written, as it says itself.
    pub counter: u64,
    /// What is wrong, at most 1000 of it.
    pub findings: Vec<SealFinding>,
}

impl VerifyReport {
    /// True when nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn note(&mut self, finding: SealFinding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Something that whoever holds the key did not write so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealFinding {
    /// The header was changed.
    Header,
    /// The manifest was removed or changed.
    Manifest,
    /// An entry cannot be opened: it was changed, moved, or put there by someone else. With its place in the engine.
    Entry(Vec<u8>),
    /// The engine holds something that is no part of a sealed store. With its place.
    Foreign(Vec<u8>),
    /// Entries are missing, too many, or older than the manifest says, by their number.
    Entries {
        /// How many there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The store was written less often than it is known to have been: someone put an older copy in its place.
    OlderCopy {
        /// How often it was written, as it says itself.
        counter: u64,
        /// How often it was at least.
        known: u64,
    },
}

impl fmt::Display for SealFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, place: &[u8]| {
            place.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Self::Header => f.write_str("the header was changed without the key; restore a copy"),
            Self::Manifest => {
                f.write_str("the manifest was removed or changed without the key, or belongs to another header; restore a copy")
            }
            Self::Entry(physical) => {
                f.write_str("an entry was changed or moved without the key; its place is ")?;
                place(f, physical)
            }
            Self::Foreign(physical) => {
                f.write_str("something is stored that belongs to no sealed store; its place is ")?;
                place(f, physical)
            }
            Self::Entries { found, expected } if found == expected => {
                f.write_str("entries were exchanged for older ones; restore a copy or pull again")
            }
            Self::Entries { found, expected } => write!(
                f,
                "there are {found} entries instead of {expected}; some were removed or put back"
            ),
            Self::OlderCopy { counter, known } => write!(
                f,
                "the store was written {counter} times, but it is known to have been written {known} times: it is an older copy"
            ),
        }
    }
}

impl<B: KvBackend> Sealed<B> {
    /// Reads all entries and compares them with the manifest. `known` is a [`counter`](Self::counter) that was kept elsewhere: with it an
    /// older copy of the whole store is found, too.
    ///
    /// What was removed or put back does not show when single records are read, but here. Takes about as long as reading everything.
    ///
    /// # Errors
    /// Those of the engine; what was tampered with is in the report.
    pub fn verify(&self, known: Option<u64>) -> Result<VerifyReport, StoreError> {
        self.inner().verify(known)
    }
}

impl<B: KvBackend> Inner<B> {
    fn verify(&self, known: Option<u64>) -> Result<VerifyReport, StoreError> {
        let all = self.opened();
        let snapshot = self.backend.snapshot()?;
        let opened = all.of(&*snapshot)?;
        let (ring, current) = (Arc::clone(&opened.ring), opened.header.clone());
        drop(all);
        let mut report = VerifyReport::default();
        if self.stored(&*snapshot, HEADER)? != Some(current.encode()) {
            report.note(SealFinding::Header);
        }
        let stored = self
            .stored(&*snapshot, MANIFEST)?
            .and_then(|blob| Manifest::of_header(&current, ring.current(), &blob).ok());
        let mut found = Manifest::default();
        each(&*snapshot, EVERYTHING, |physical, blob| {
            if physical == HEADER || physical == MANIFEST {
                return Ok(());
            }
            if !(ENTRIES.start..ENTRIES.end).contains(&physical) {
                report.note(SealFinding::Foreign(physical.to_vec()));
                return Ok(());
            }
            report.entries += 1;
            match self.checked(&ring, physical, blob, &mut found) {
                Ok(()) => Ok(()),
                Err(error) => match error.kind() {
                    StoreErrorKind::Tampered | StoreErrorKind::FormatTooNew => {
                        report.note(SealFinding::Entry(physical.to_vec()));
                        Ok(())
                    }
                    _ => Err(error),
                },
            }
        })?;
        match stored {
            None => report.note(SealFinding::Manifest),
            Some(stored) => {
                report.counter = stored.counter;
                if !stored.same_entries(&found) {
                    report.note(SealFinding::Entries {
                        found: report.entries,
                        expected: stored.entries(),
                    });
                }
                if let Some(known) = known.filter(|known| stored.counter < *known) {
                    report.note(SealFinding::OlderCopy {
                        counter: stored.counter,
                        known,
                    });
                }
            }
        }
        Ok(report)
    }

    /// Opens an entry and counts it, if it lies where it belongs and, in the older epoch, is one that was verified.
    fn checked(
        &self,
        ring: &KeyRing,
        physical: &[u8],
        blob: &[u8],
        found: &mut Manifest,
    ) -> Result<(), StoreError> {
        let keys = open_at_its_place(self.layout, ring, &self.store_id, physical, blob)?;
        let current = ring.current();
        if keys.epoch() == current.epoch() {
            return found.add(keys, physical, blob);
        }
        ring.of_entry(keys.epoch(), physical, blob)?;
        found.older.add(&current.older_term(physical, blob))
    }

    /// An error for a store that is not sound.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.verify(None)?.findings.as_slice() {
            [] => Ok(()),
            [first, rest @ ..] => {
                let more = match rest.len() {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                let message = format!("the store does not hold together: {first}{more}");
                Err(StoreError::new(StoreErrorKind::Tampered, message))
            }
        }
    }
}
