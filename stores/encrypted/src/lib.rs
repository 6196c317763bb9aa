//! Sealed records over any key-value engine, for synctable.
