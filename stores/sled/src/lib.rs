//! The sled store for synctable.
