//! Where revocations come from. The PDP never learns which of these it was.

mod entry;
pub mod feed;
pub mod file;
pub mod redis;
pub mod status_list;
