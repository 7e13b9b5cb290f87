//! Conditions: what a route asks for besides permissions.

pub mod authentication;
pub mod body;
pub mod caller;
pub mod expression;
pub mod graphql;
pub mod network;
pub mod schedule;
pub mod session;
