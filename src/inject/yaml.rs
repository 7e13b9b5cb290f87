//! YAML as `kubectl` reads it, which is YAML 1.1 with habits of its own: `y` and `on` are true, `0644` is 420. Reading it in another way than
//! the cluster's tools would change what a manifest means.
//!
//! What is written is quoted so that every reader agrees on it.

mod read;
mod scalar;
mod write;

pub use read::{Place, YamlError, read};
pub use write::write;

#[cfg(test)]
mod tests;
