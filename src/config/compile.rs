//! The bridge from the schema to the PDP: everything that depends on two places of the configuration at once.

use std::sync::Arc;

use aws_lc_rs::digest;

use super::problem::{Problem, Problems};
use super::schema::{PermissionsSchema, Schema};
use super::yaml::Located;
use super::{Configuration, SourceFile};
use crate::pdp::permission::PermissionSyntax;
use crate::pdp::snapshot::{IssuerTable, Snapshot};

mod headers;
mod issuers;
mod roles;
mod routes;

pub(super) fn compile(schema: Schema, files: &[SourceFile], problems: &mut Problems) -> Option<Configuration> {
    let Schema { listen, challenge_realm, issuers, unreadable_issuers, permissions, permission_sets, roles, headers, routes } = schema;
    let syntax = Syntax::new(permissions);
    let roles = roles::compile(permission_sets, roles, &syntax, problems);
    let identity_headers = headers::compile(headers, problems);
    if !unreadable_issuers {
        routes::check_satisfiable(&routes, &issuers, problems);
    }
    let notices = routes::notices(&routes);
    let (routes, route_names) = routes::compile(routes, &syntax, problems);
    let (issuers, sources) = issuers::compile(issuers, &syntax, problems);
    if route_names.is_empty() && problems.is_empty() {
        let message = "there are no routes, so every request would be refused; add at least one under 'routes'".to_string();
        problems.push(Problem { location: None, key: String::new(), message });
    }
    let snapshot = Snapshot {
        revision: revision(files),
        issuers: IssuerTable::new(issuers),
        roles,
        routes,
        route_names,
        identity_headers,
        challenge_realm: challenge_realm.map_or_else(|| "service".into(), |realm| realm.value.into()),
    };
    Some(Configuration { snapshot, listen: listen.map(|listen| listen.value).unwrap_or_default(), sources, notices })
}

fn sha256(parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        // Lengths keep neighbours apart.
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context.finish()
}

/// Names a configuration by its text.
fn revision(files: &[SourceFile]) -> Arc<str> {
    let parts: Vec<&[u8]> = files.iter().flat_map(|file| [file.name.as_bytes(), file.text.as_bytes()]).collect();
    sha256(&parts).as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn short_digest(text: &str) -> u128 {
    sha256(&[text.as_bytes()]).as_ref().iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// The permission syntax, or why there is none.
enum Syntax {
    Absent,
    Broken,
    Known(Arc<PermissionSyntax>),
}

impl Syntax {
    fn new(schema: PermissionsSchema) -> Self {
        match schema {
            PermissionsSchema::Absent => Self::Absent,
            PermissionsSchema::Broken => Self::Broken,
            PermissionsSchema::Read(syntax) => Self::Known(Arc::new(syntax.value)),
        }
    }

    /// The syntax for a permission that is written here. A broken one has been reported already.
    fn for_use<T>(&self, user: &Located<T>, problems: &mut Problems) -> Option<&PermissionSyntax> {
        match self {
            Self::Known(syntax) => Some(syntax),
            Self::Broken => None,
            Self::Absent => {
                user.problem(
                    problems,
                    "permissions are used and their syntax is not given; write 'permissions: { syntax: \"service:resource.action\" }'",
                );
                None
            }
        }
    }

    /// The syntax for reading tokens; where no permission is used, any will do.
    fn for_tokens(&self) -> Arc<PermissionSyntax> {
        match self {
            Self::Known(syntax) => Arc::clone(syntax),
            Self::Absent | Self::Broken => Arc::default(),
        }
    }
}
