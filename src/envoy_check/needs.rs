//! What a configuration of Portcullis asks of the Envoy beside it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Configuration, GrpcAddress, SourceFeed, WhenUnwritable};
use crate::pdp::policy::requirement::Requirement;
use crate::pdp::policy::value::{RequestValue, Revealed};
use crate::pdp::policy::{RoutePolicy, TenantBinding};

/// What a configuration asks of the Envoy beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// How long a request waits for the directory, where there is one.
    pub directory_deadline: Option<Duration>,
    /// How long an answer waits for its record, where it waits for it.
    pub audit_deadline: Option<Duration>,
    /// How long a question may take to arrive.
    pub request_timeout: Duration,
    /// The longest question, in bytes.
    pub message_bytes: usize,
    /// The routes that look at bodies, by name, in order.
    pub body_routes: Vec<Arc<str>>,
    /// The headers that routes look at, in lower case.
    pub headers: Vec<Box<str>>,
    /// The identity headers, in lower case.
    pub identity_headers: Vec<Box<str>>,
    /// The Unix sockets of gRPC.
    pub sockets: Vec<String>,
    /// The TCP ports of gRPC.
    pub ports: Vec<u32>,
}

impl Needs {
    /// What this configuration asks for.
    #[must_use]
    pub fn of(configuration: &Configuration) -> Self {
        let directory_deadline = configuration.sources.iter().find_map(|source| match &source.feed {
            SourceFeed::Directory(directory) => Some(directory.deadline),
            _ => None,
        });
        let audit_deadline = configuration.audit.as_ref().and_then(|audit| match audit.when_unwritable {
            WhenUnwritable::Deny => Some(audit.deadline),
            WhenUnwritable::Continue => None,
        });
        let mut needs = Self {
            directory_deadline,
            audit_deadline,
            request_timeout: configuration.limits.request_timeout,
            message_bytes: configuration.limits.message_bytes,
            identity_headers: configuration.snapshot.identity_headers.names().map(Box::from).collect(),
            ..Self::default()
        };
        for address in &configuration.listen.grpc {
            match address {
                GrpcAddress::Unix(path) => needs.sockets.push(path.display().to_string()),
                GrpcAddress::Tcp(address) => needs.ports.push(u32::from(address.port())),
            }
        }
        for policy in configuration.snapshot.routes.payloads() {
            needs.take(policy);
        }
        needs.body_routes.sort();
        needs.body_routes.dedup();
        needs.headers.sort();
        needs.headers.dedup();
        needs
    }

    /// Where it listens, for a message.
    pub(super) fn shown(&self) -> String {
        let sockets = self.sockets.iter().map(|path| format!("unix:{path}"));
        sockets.chain(self.ports.iter().map(|port| format!("port {port}"))).collect::<Vec<_>>().join(", ")
    }

    fn take(&mut self, policy: &RoutePolicy) {
        let mut values: Vec<&RequestValue> = policy.targets.iter().map(|(_, value)| value).collect();
        if let TenantBinding::Request(value) = &policy.tenant {
            values.push(value);
        }
        let mut sees_body = false;
        for (_, rule) in &policy.methods {
            for requirement in std::iter::once(&rule.all).chain(&rule.any) {
                sees_body |= !requirement.body.is_empty() || requirement.graphql.is_some();
                values.extend(revealed(requirement));
            }
        }
        for value in values {
            match value {
                RequestValue::Header(name) => self.headers.push(name.to_ascii_lowercase().into()),
                RequestValue::Body(_) => sees_body = true,
                RequestValue::Path(_) | RequestValue::Query(_) => {}
            }
        }
        if sees_body {
            self.body_routes.push(Arc::clone(&policy.name));
        }
    }
}

/// What a requirement takes from requests.
fn revealed(requirement: &Requirement) -> impl Iterator<Item = &RequestValue> {
    let scope = &requirement.scope;
    scope.subject.iter().chain(scope.attributes.iter().map(|(_, revealed)| revealed)).filter_map(|revealed| match revealed {
        Revealed::Request(value) => Some(value),
        Revealed::TargetId(_) | Revealed::TargetAttribute(..) => None,
    })
}
