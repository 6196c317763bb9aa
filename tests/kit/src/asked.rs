//! What the contract asks with each behaviour, and where that is written: a failure says so.

/// Each group: where its contract is written, and its sources, where the comment on a behaviour is what it asks.
const GROUPS: [(&str, &str, &[&str]); 14] = [
    (
        "base",
        "LocalStore, WriteBatch, Expect and Revision in synctable_core::store; of queries synctable_core::query::page_of",
        &[
            include_str!("base/define.rs"),
            include_str!("base/records.rs"),
            include_str!("base/batch.rs"),
            include_str!("base/query.rs"),
            include_str!("base/answers.rs"),
            include_str!("base/revisions.rs"),
        ],
    ),
    (
        "changes",
        "synctable_core::store: LocalStore (changes), Position, Changes, WriteBatch::expect_unchanged",
        &[include_str!("changes.rs")],
    ),
    (
        "long_keys",
        "synctable_core::RecordId and synctable_core::store::LocalStore::query",
        &[include_str!("long_keys.rs")],
    ),
    (
        "model",
        "synctable_core::store::LocalStore and WriteBatch; of queries synctable_core::query::page_of",
        &[include_str!("model.rs")],
    ),
    (
        "concurrent",
        "synctable_core::store: LocalStore (reads and writes), LocalStore::commit, StoreCapabilities::ordered_commits",
        &[include_str!("concurrent.rs")],
    ),
    (
        "unordered",
        "synctable_core::store: LocalStore::commit, position and changes_since, WriteBatch::expect_unchanged; of dropped futures LocalStore",
        &[
            include_str!("unordered/order.rs"),
            include_str!("unordered/positions.rs"),
            include_str!("unordered/dropped.rs"),
        ],
    ),
    (
        "contexts",
        "synctable_core::store: LocalStore, its changes and revisions, WriteBatch::expect_unchanged, StoreCapabilities::multi_process",
        &[
            include_str!("contexts/crossing.rs"),
            include_str!("contexts/told.rs"),
            include_str!("contexts/devices.rs"),
        ],
    ),
    (
        "cancel",
        "synctable_core::store::LocalStore: dropping a future is always safe",
        &[include_str!("cancel.rs")],
    ),
    (
        "schema_change",
        "synctable_core::store::LocalStore::redefine",
        &[include_str!("schema_change.rs")],
    ),
    (
        "persistent",
        "synctable_core::store: StoreCapabilities::persistent, LocalStore::close, Revision, Position",
        &[include_str!("persistent.rs")],
    ),
    (
        "kill",
        "synctable_core::store: Durability, StoreCapabilities::persistent, LocalStore::try_lock",
        &[include_str!("kill.rs")],
    ),
    (
        "fault",
        "synctable_core::store: LocalStore::commit, StoreError",
        &[include_str!("fault/mod.rs")],
    ),
    (
        "power_cut",
        "synctable_core::store: Durability, StoreCapabilities::durable",
        &[include_str!("power_cut/mod.rs")],
    ),
    (
        "processes",
        "synctable_core::store: StoreCapabilities::multi_process, LocalStore::commit",
        &[include_str!("processes.rs")],
    ),
];

/// What the contract asks with a behaviour, and where it is written.
pub(crate) fn asked(group: &str, behaviour: &str) -> String {
    let mut groups = GROUPS.iter();
    let Some((_, place, sources)) = groups.find(|(name, ..)| *name == group) else {
        return String::new();
    };
    let mut sources = sources.iter();
    let said = sources.find_map(|source| said(source, behaviour));
    let said = said.unwrap_or_default();
    format!("{group}::{behaviour} asks: {said} This is written at {place}.")
}

/// The comment on a behaviour in a source.
fn said(source: &str, behaviour: &str) -> Option<String> {
    let start = ["<", "("].iter().find_map(|next| {
        let head = format!("pub async fn {behaviour}{next}");
        source.find(&head)
    })?;
    let above = source.get(..start)?.lines().rev();
    let is_comment = |line: &&str| line.starts_with("///");
    let comment = above.skip_while(|line| !is_comment(line));
    let mut lines: Vec<&str> = comment
        .take_while(is_comment)
        .map(|line| line.trim_start_matches("///").trim())
        .collect();
    lines.reverse();
    Some(lines.join(" "))
}

/// Says what a behaviour asks, should it fail before this is dropped.
#[derive(Debug)]
pub struct Asked {
    group: &'static str,
    behaviour: &'static str,
}

impl Asked {
    /// Of a behaviour in a group.
    pub fn of(group: &'static str, behaviour: &'static str) -> Self {
        Self { group, behaviour }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", asked(self.group, self.behaviour));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use synctable_core::store::{LocalStore, StoreError};

    use super::{GROUPS, asked};
    use crate::groups::cases;
    use crate::{FolderHarness, InFolder, async_trait};

    struct Never;

    #[cfg_attr(not(synctable_single_threaded), async_trait)]
    #[cfg_attr(synctable_single_threaded, async_trait(?Send))]
    impl FolderHarness for Never {
        async fn open_in(_: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
            Err(StoreError::corrupt("never opened"))
        }
    }

    #[test]
    fn every_behaviour_is_listed() {
        let cases = cases::<InFolder<Never>>();
        for (group, _, sources) in GROUPS {
            for source in sources {
                for behaviour in source.split("pub async fn ").skip(1) {
                    let (name, _) = behaviour
                        .split_once(['<', '('])
                        .expect("a behaviour is a function");
                    let mut cases = cases.iter();
                    let listed = cases.any(|case| (case.group, case.behaviour) == (group, name));
                    assert!(listed, "{group}::{name} is not listed");
                }
            }
        }
    }

    #[test]
    fn every_behaviour_says_what_it_asks() {
        for case in cases::<InFolder<Never>>() {
            let asked = asked(case.group, case.behaviour);
            let name = format!("{}::{}", case.group, case.behaviour);
            let said = asked.strip_prefix(&format!("{name} asks: "));
            let said = said.and_then(|said| said.split_once(" This is written at "));
            let (said, place) = said.expect("both parts are there");
            assert!(said.len() > 20 && said.ends_with('.'), "{asked}");
            assert!(place.contains("synctable_core::"), "{asked}");
        }
    }
}
