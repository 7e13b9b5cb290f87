//! Configuration: text to [`Configuration`], or to all that is wrong with it at once.
//!
//! [`schema`] mirrors the text; [`compile`] is the only bridge from there to the PDP's [`Snapshot`]. A configuration that has
//! any problem yields nothing at all, so it cannot be applied half.

use std::sync::Arc;

use crate::pdp::snapshot::Snapshot;

mod compile;
mod problem;
mod schema;
mod yaml;

pub use problem::{Location, Problem, Problems};
pub(crate) use schema::MAX_SOCKET_PATH;
pub use schema::{
    AuditSettings, DirectorySource, Discovery, GrpcAddress, HttpDialect, HttpListener, JwksLocation, JwksSource, LimitSettings, Listen,
    LoadRules, ProxyChoice, ProxyUrl, RedisAddress, RedisData, RedisScores, RedisSource, RevocationFeed, RevocationOrigin,
    RevocationSource, RevokedIds, ShutdownSettings, Source, SourceFeed, StatusListFeed, StatusListSource, TenantRoleFeed, TenantRoleSource,
    TlsFiles, Transport, WarmStartSettings, WhenUnwritable,
};
pub(crate) use yaml::{kind, list, load, nearest, parse_duration};

/// One file of configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A configuration without problems.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// What decides.
    pub snapshot: Snapshot,
    /// Where to listen. Fixed at start.
    pub listen: Listen,
    /// Where what audited routes are asked for is recorded; `None`: there are no such routes. Fixed at start.
    pub audit: Option<AuditSettings>,
    /// How the next ones are loaded.
    pub loading: LoadRules,
    /// How much is taken on at once. Fixed at start.
    pub limits: LimitSettings,
    /// How the sidecar ends. Fixed at start.
    pub shutdown: ShutdownSettings,
    /// Where what was pulled is kept for the next start, if it is. Fixed at start.
    pub warm_start: Option<WarmStartSettings>,
    /// What has to be pulled from identity services.
    pub sources: Vec<Arc<Source>>,
    /// What is allowed and worth knowing, such as overrides.
    pub notices: Vec<Problem>,
}

impl Configuration {
    /// Reads and compiles the files of a configuration, which count as one.
    ///
    /// # Errors
    /// All problems, in the order of the text.
    pub fn compile(files: &[SourceFile]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let schema = schema::read(files, &mut problems);
        let configuration = compile::compile(schema, files, &mut problems);
        match configuration {
            Some(configuration) if problems.is_empty() => Ok(configuration),
            _ => {
                problems.sort();
                Err(problems)
            }
        }
    }
}

/// The policy tests that a text names: paths relative to the configuration's folder, with `*` in their last part. Text that cannot be
/// read names none; what is wrong with it is for [`Configuration::compile`] to say.
#[must_use]
pub fn named_tests(text: &str) -> Vec<String> {
    schema::named_tests(text)
}

#[cfg(test)]
mod tests;
