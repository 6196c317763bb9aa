// What the steps of the guide "Write a store" run on: the store of the example, where a step's own methods stand in the place of the store's.
include!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/native_store/store.rs"
));

use synctable::{FieldType, store::LocalStoreExt};

#[derive(Debug)]
struct Shown<T>(T);

impl<T> std::ops::Deref for Shown<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Shown<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// An empty store, and the folder in which it lies as `app.journal`.
fn new_store() -> Result<(tempfile::TempDir, Shown<Journal>), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = Journal::open(&folder.path().join("app.journal"))?;
    Ok((folder, Shown(store)))
}
