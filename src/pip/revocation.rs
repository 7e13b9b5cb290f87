//! Where revocations come from. The PDP never learns which of these it was.

pub mod feed;
