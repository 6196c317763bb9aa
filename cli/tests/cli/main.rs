//! The built command as its users meet it: verbs, exit codes, bad input, several processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod backup;
mod bad_input;
mod conflicts;
mod crash;
mod delivery;
mod demo;
mod doctor;
mod door;
mod encrypted;
mod files;
mod gate;
mod genuine;
mod identity;
mod import_export;
mod keys;
mod kit;
mod network;
mod read_only;
mod reading;
mod records;
mod secrets;
mod steps;
mod two_devices;
mod typing;
mod verify;
