//! Sealed stores pass the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use synctable_stories::store_tests;
use synctable_testkit::{InFolder, file_tests};

mod memory {
    use super::*;
    store_tests!(engines::Memory; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
}

mod memory_with_equality_indexes {
    use super::*;
    store_tests!(engines::MemoryWithIndexes; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
}

mod redb {
    use super::*;
    store_tests!(InFolder<engines::Redb>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);
    file_tests!(engines::Redb);
}

mod sqlite {
    use super::*;
    store_tests!(InFolder<engines::Sqlite>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);
    file_tests!(engines::Sqlite);
}

mod sled {
    use super::*;
    store_tests!(InFolder<engines::Sled>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);
    file_tests!(engines::Sled);
}
