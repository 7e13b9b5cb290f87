//! Every kind of finding there is, theme by theme: its stable code, how bad it is, why it matters, what to write instead.

use super::finding::Kind;

/// A table of kinds, and the list of all that are in it.
macro_rules! kinds {
    ($($name:ident = $severity:ident $code:literal, why: $why:literal, instead: $instead:literal;)*) => {
        $(pub(in crate::envoy_check) static $name: $crate::envoy_check::finding::Kind = $crate::envoy_check::finding::Kind {
            code: $code,
            severity: $crate::envoy_check::finding::Severity::$severity,
            why: $why,
            instead: $instead,
        };)*
        pub(super) static ALL: &[&$crate::envoy_check::finding::Kind] = &[$(&$name),*];
    };
}

pub(super) mod body;
pub(super) mod cluster;
pub(super) mod file;
pub(super) mod filter;
pub(super) mod manager;
pub(super) mod order;
pub(super) mod routes;
pub(super) mod service;

/// All kinds.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    [file::ALL, manager::ALL, order::ALL, filter::ALL, service::ALL, body::ALL, routes::ALL, cluster::ALL].into_iter().flatten().copied()
}
