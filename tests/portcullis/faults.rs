//! The faults that a sidecar has to live with, under a steady load of checks whose right answers are known.
//!
//! | fault | where |
//! | --- | --- |
//! | identity service down at the start | `start` |
//! | identity service slow, hung, trickling, with errors, behind TLS that fails, redirecting | `key_sets`, `feeds`; names that nobody knows: `start` |
//! | garbage, truncated, HTML, bombs, large or endless answers | `key_sets`, `feeds` |
//! | an empty key set; rotation under load; a key removed | `rotation` |
//! | a flood of unknown key ids | `rotation` |
//! | one issuer broken | `key_sets`, `feeds`: each of them for all the others |
//! | a feed down or stale; a million entries | `feeds`; how soon an entry counts: `propagation` |
//! | audit disk slow | `audit`; full: `sidecar/audit.rs` |
//!
//! What befalls the sidecar itself (its end and its restarts, its configuration, its clock, its limits) is tested beside what it is
//! about, in `sidecar/`. `tests/soak` has all of it at once.

mod audit;
mod feeds;
mod key_sets;
mod oracle;
mod propagation;
mod rotation;
mod start;
mod ward;
