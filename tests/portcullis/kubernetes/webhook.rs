//! The admission webhook, asked as an API server asks it.
