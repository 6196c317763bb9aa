//! The plain keys of groups that were scanned, in their order: physical keys have none.
//!
//! A group's keys are a superset of those that any living snapshot can see: whoever reads looks each of them up in its own
//! snapshot and leaves out what is not there. So keys are added before they are written, and removed when no snapshot lives that
//! may still see them.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Bound, Range};

use crate::layout::Group;

type Keys = BTreeSet<Vec<u8>>;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Snapshots and writes under way.
    live: usize,
    loaded: HashMap<Group, Keys>,
    /// Keys that were written while something was live: a group that is loaded from a snapshot misses them.
    recent: HashMap<Group, Keys>,
    /// Keys that were removed while something was live: an older snapshot sees them.
    gone: HashMap<Group, Keys>,
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

    pub(crate) fn is_loaded(&self, group: &Group) -> bool {
        self.loaded.contains_key(group)
    }

    /// Takes in all keys of a group that a live snapshot saw.
    pub(crate) fn load(&mut self, group: Group, mut keys: Keys) {
        if self.is_loaded(&group) {
            return;
        }
        for more in [self.recent.remove(&group), self.gone.get(&group).cloned()] {
            keys.extend(more.into_iter().flatten());
        }
        self.loaded.insert(group, keys);
    }

    /// The first `limit` keys of a loaded group in a range.
    pub(crate) fn first(&self, group: &Group, keys: &Range<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
        self.range(group, keys).take(limit).cloned().collect()
    }

    /// The last `limit` keys of a loaded group in a range, the last one first.
    pub(crate) fn last(&self, group: &Group, keys: &Range<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
        self.range(group, keys).rev().take(limit).cloned().collect()
    }

    fn range<'a>(
        &'a self,
        group: &Group,
        keys: &Range<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = &'a Vec<u8>> {
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        let loaded = self.loaded.get(group).filter(|_| keys.start < keys.end);
        loaded
            .into_iter()
            .flat_map(move |loaded| loaded.range::<[u8], _>(bounds))
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
        Load(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Open),
            (0..3_usize).prop_map(Step::Close),
            (0..4_u8).prop_map(Step::Put),
            (0..4_u8).prop_map(Step::Delete),
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
                    Step::Close(_) => {}
                }
                if directory.is_loaded(&group) {
                    let held: Keys = directory.first(&group, &ALL, 99).into_iter().collect();
                    for seen in snapshots.iter().chain([&engine]) {
                        prop_assert!(held.is_superset(seen), "{held:?} {seen:?}");
                    }
                    if snapshots.is_empty() {
                        prop_assert_eq!(&held, &engine);
                    }
                    let mut back = directory.last(&group, &ALL, 99);
                    back.reverse();
                    prop_assert_eq!(back, held.into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}
