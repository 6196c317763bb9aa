//! The plain keys of groups that were scanned, in their order: physical keys have none.
//!
//! A group's keys are a superset of those that any living snapshot can see: whoever reads looks each of them up in its own
//! snapshot and leaves out what is not there. So keys are added before they are written, and removed when no snapshot lives that
//! may still see them. Of a group that is cleared while it is not loaded nobody knows the keys; until then each reader looks for them by itself.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::{Bound, Range};

use crate::layout::Group;

pub(crate) type Keys = BTreeSet<Vec<u8>>;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Snapshots and writes under way.
    live: usize,
    loaded: HashMap<Group, Keys>,
    /// Keys that were written while something was live: a group that is loaded from a snapshot misses them.
    recent: HashMap<Group, Keys>,
    /// Keys that were removed while something was live: an older snapshot sees them.
    gone: HashMap<Group, Keys>,
    /// Groups that were cleared while something was live, and were not loaded: an older snapshot sees keys that nobody has noted.
    cleared: HashSet<Group>,
}

impl Directory {
    /// Something looks at the engine from now on.
    pub(crate) fn enter(&mut self) {
        self.live += 1;
    }

    #[cfg(test)]
    pub(crate) fn is_live(&self) -> bool {
        self.live > 0
    }

    /// It does not any more.
    pub(crate) fn leave(&mut self) {
        self.live = self.live.saturating_sub(1);
        if self.live > 0 {
            return;
        }
        for (group, keys) in self.gone.drain() {
            if let Some(loaded) = self.loaded.get_mut(&group) {
                for key in keys {
                    loaded.remove(&key);
                }
            }
        }
        self.recent.clear();
        self.cleared.clear();
    }

    /// A key is about to be written. Between [`enter`](Self::enter) and [`leave`](Self::leave).
    pub(crate) fn put(&mut self, key: &[u8]) {
        let group = Group::of(key);
        if let Some(gone) = self.gone.get_mut(&group) {
            gone.remove(key);
        }
        if let Some(loaded) = self.loaded.get_mut(&group) {
            loaded.insert(key.to_vec());
        } else {
            self.recent.entry(group).or_default().insert(key.to_vec());
        }
    }

    /// A key was removed. Between [`enter`](Self::enter) and [`leave`](Self::leave).
    pub(crate) fn removed(&mut self, key: &[u8]) {
        self.gone
            .entry(Group::of(key))
            .or_default()
            .insert(key.to_vec());
    }

    /// All keys of a group are about to be removed. Between [`enter`](Self::enter) and [`leave`](Self::leave).
    pub(crate) fn clears(&mut self, group: &Group) {
        if !self.is_loaded(group) {
            self.cleared.insert(group.clone());
        }
    }

    /// They were removed, and after that those written that [`put`](Self::put) is told of next.
    pub(crate) fn were_cleared(&mut self, group: &Group) {
        if let Some(loaded) = self.loaded.get(group) {
            let gone = self.gone.entry(group.clone()).or_default();
            gone.extend(loaded.iter().cloned());
        }
    }

    pub(crate) fn is_loaded(&self, group: &Group) -> bool {
        self.loaded.contains_key(group)
    }

    /// Takes in all keys of a group that a live snapshot saw. Gives them back where they are not all that somebody sees.
    pub(crate) fn load(&mut self, group: Group, mut keys: Keys) -> Option<Keys> {
        if self.cleared.contains(&group) {
            return Some(keys);
        }
        if self.is_loaded(&group) {
            return None;
        }
        for more in [self.recent.remove(&group), self.gone.get(&group).cloned()] {
            keys.extend(more.into_iter().flatten());
        }
        self.loaded.insert(group, keys);
        None
    }

    /// Some keys of a loaded group in a range, from either end.
    pub(crate) fn some(
        &self,
        group: &Group,
        keys: &Range<&[u8]>,
        limit: usize,
        backwards: bool,
    ) -> Vec<Vec<u8>> {
        let loaded = self.loaded.get(group);
        loaded.map_or_else(Vec::new, |loaded| some_of(loaded, keys, limit, backwards))
    }
}

/// The first keys in a range, or the last ones, the last one first.
pub(crate) fn some_of(
    all: &Keys,
    keys: &Range<&[u8]>,
    limit: usize,
    backwards: bool,
) -> Vec<Vec<u8>> {
    if keys.start >= keys.end {
        return Vec::new();
    }
    let range = all.range::<[u8], _>((Bound::Included(keys.start), Bound::Excluded(keys.end)));
    if backwards {
        range.rev().take(limit).cloned().collect()
    } else {
        range.take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Open,
        Close(usize),
        Put(u8),
        Delete(u8),
        /// All are removed, and perhaps one is written by the same commit; and perhaps somebody begins to read before it, and another
        /// one right behind it, who loads what is there.
        Clear(Option<u8>, bool),
        Load(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Open),
            (0..3_usize).prop_map(Step::Close),
            (0..4_u8).prop_map(Step::Put),
            (0..4_u8).prop_map(Step::Delete),
            (proptest::option::of(0..4_u8), any::<bool>())
                .prop_map(|(put, meanwhile)| Step::Clear(put, meanwhile)),
            (0..3_usize).prop_map(Step::Load),
        ]
    }

    fn key(n: u8) -> Vec<u8> {
        vec![9, n]
    }

    const ALL: Range<&[u8]> = &[9]..&[10];

    proptest! {
            /// Whatever is written meanwhile, a loaded group holds what each snapshot sees, and nothing else once all are closed.
            #[test]
            fn loaded_groups_hold_what_snapshots_see(steps in vec(step(), 0..40)) {
                let group = Group::of(&key(0));
                let mut directory = Directory::default();
                let mut engine = Keys::new();
                let mut snapshots: Vec<Keys> = Vec::new();
                for step in steps {
                    match step {
                        Step::Open => {
                            directory.enter();
                            snapshots.push(engine.clone());
                        }
                        Step::Close(which) if which < snapshots.len() => {
                            snapshots.remove(which);
                            directory.leave();
                        }
                        Step::Load(which) => {
                            if let Some(seen) = snapshots.get(which) {
                                directory.load(group.clone(), seen.clone());
                            }
                        }
                        Step::Put(n) => {
                            directory.enter();
                            directory.put(&key(n));
                            engine.insert(key(n));
                            directory.leave();
                        }
                        Step::Delete(n) => {
                            directory.enter();
                            engine.remove(&key(n));
                            directory.removed(&key(n));
                            directory.leave();
                        }
                        Step::Clear(put, meanwhile) => {
                            directory.enter();
                            directory.clears(&group);
                            let put = put.map(key);
                            if let Some(key) = &put {
     directory.put(key);
    }
                            let before = engine.clone();
                            engine.clear();
                            engine.extend(put.clone());
                            for seen in [before, engine.clone()].into_iter().filter(|_| meanwhile) {
                                directory.enter();
                                snapshots.push(seen);
                            }
                            if meanwhile {
                                directory.load(group.clone(), engine.clone());
                            }
                            directory.were_cleared(&group);
                            if let Some(key) = &put {
     directory.put(key);
    }
                            directory.leave();
                        }
                        Step::Close(_) => {}
                    }
                    if directory.is_loaded(&group) {
                        let held: Keys = directory.some(&group, &ALL, 99, false).into_iter().collect();
                        for seen in snapshots.iter().chain([&engine]) {
                            prop_assert!(held.is_superset(seen), "{held:?} {seen:?}");
                        }
                        if snapshots.is_empty() {
                            prop_assert_eq!(&held, &engine);
                        }
                        let mut back = directory.some(&group, &ALL, 99, true);
                        back.reverse();
                        prop_assert_eq!(back, held.into_iter().collect::<Vec<_>>());
                    }
                }
            }
        }
}
