//! Each of these failed in 0.1: a scenario runs with both commands, and both outcomes are asserted.

mod again;
mod asked;
mod belief;
mod delivery;
mod files;
mod filters;
mod identity;
mod mine;
mod sealed;
mod secrets;
mod served;
mod typing;
mod words;
