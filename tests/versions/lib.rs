//! Tests that run the command of release 0.1 beside today's. They are long and ignored; CONTRIBUTING.md says how to run them.
