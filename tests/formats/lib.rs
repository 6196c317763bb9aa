//! Tests that open stores as earlier releases left them. `fixtures/README.md` says how these were made, and how to add one.
