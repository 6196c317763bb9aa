//! The redb store for synctable.
