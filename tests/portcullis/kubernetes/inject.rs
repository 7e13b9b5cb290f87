//! What `portcullis inject` makes of workloads.
