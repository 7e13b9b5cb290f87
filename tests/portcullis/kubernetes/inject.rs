//! What `portcullis inject` makes of workloads.

pub mod cases;
mod command;
mod documents;
mod pods;
mod yaml;
