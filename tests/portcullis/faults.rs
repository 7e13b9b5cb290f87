//! The faults that a sidecar has to live with, under a steady load of checks whose right answers are known.

mod audit;
mod feeds;
mod key_sets;
mod oracle;
mod propagation;
mod rotation;
mod start;
mod ward;
