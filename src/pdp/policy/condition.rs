//! Conditions: what a route asks for besides permissions.

pub mod authentication;
pub mod caller;
pub mod network;
pub mod schedule;
pub mod session;
