//! The sync engine over sealed stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use synctable_stories::engine_tests;
use synctable_testkit::InFolder;

mod memory {
    use super::*;
    engine_tests!(engines::Memory);
}

mod redb {
    use super::*;
    engine_tests!(InFolder<engines::Redb>);
}

mod sqlite {
    use super::*;
    engine_tests!(InFolder<engines::Sqlite>);
}

mod sled {
    use super::*;
    engine_tests!(InFolder<engines::Sled>);
}
