//! Each of these failed in 0.1: a scenario runs with both commands, and both outcomes are asserted.

