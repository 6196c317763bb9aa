//! Each of these failed in 0.1: a scenario runs with both commands, and both outcomes are asserted.

mod again;
mod belief;
mod delivery;
mod filters;
mod identity;
mod mine;
mod words;
