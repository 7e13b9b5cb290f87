//! From bytes that anybody can send to a token that a configured issuer signed.
//!
//! [`jws::CompactJws`] → [`jws::JoseHeader`] and payload (both untrusted) → [`verify::VerifiedToken`], which only
//! [`verify::verify`] can make.

pub mod algorithm;
pub mod cache;
pub mod claims;
pub mod jws;
pub mod key;
pub mod profile;
pub mod status;
pub mod verify;

/// How deep the JSON of tokens and key sets may be nested.
const MAX_JSON_DEPTH: usize = 16;

#[cfg(test)]
mod tests;
