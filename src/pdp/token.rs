//! From bytes that anybody can send to a token that a configured issuer signed.
//!
//! [`jws::CompactJws`] → [`jws::JoseHeader`] and payload (both untrusted) → [`verify::VerifiedToken`], which only
//! [`verify::verify`] can make.

pub mod algorithm;
pub mod cache;
pub mod claims;
pub mod json;
pub mod jws;
pub mod key;
pub mod profile;
pub mod verify;

#[cfg(test)]
mod tests;
