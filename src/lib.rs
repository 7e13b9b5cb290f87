//! Portcullis: a sidecar authorization proxy.
//!
//! The way of a request, from Envoy's question to Portcullis' answer:
//!
//! ```text
//! CheckRequest ──ext_authz──▶ AccessRequest ──pdp::decide──▶ Decision ──ext_authz──▶ CheckResponse + record
//!                                                 ▲
//!              state::Live: policy snapshot · keys · revocations · verified tokens · tenants' roles · targets
//!                                                 ▲
//!          config (file → snapshot) · pip (identity service → keys, revocations, roles, who somebody is)
//! ```
//!
//! Within [`pdp`]: the route, the token behind the credential, who that is and for which tenant, and then (`evaluation`) what the route's
//! [`pdp::policy`] requires of them. What a directory has to be asked for, the decision says; [`ext_authz`] asks and decides again.
//!
//! Proxies that do not speak Envoy's protocol come through [`http_authz`], which makes the same message of what they ask.
//!
//! [`pdp`] is pure; [`state`] owns what it looks at; [`pip`] and [`config`] feed that; [`ext_authz`], [`http_authz`] and [`admin`] are the
//! doors; [`assertion`] signs what was decided for the service behind; [`audit`] records what was decided about audited routes before it
//! is answered; [`server`] puts all of it together and [`cli`] is what a person types. [`policy_test`] decides the cases of test files with
//! the same [`pdp`], [`envoy_check`] looks at the Envoy in front, and `inject` and `webhook` put the sidecar into pods of Kubernetes.

pub mod admin;
pub mod assertion;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod envoy_check;
pub mod ext_authz;
pub mod http_authz;
#[cfg(feature = "identity")]
pub mod identity;
#[cfg(feature = "kubernetes")]
pub mod inject;
pub mod pdp;
pub mod pip;
pub mod policy_test;
pub mod server;
pub mod state;
pub mod telemetry;
#[cfg(feature = "kubernetes")]
pub mod webhook;
