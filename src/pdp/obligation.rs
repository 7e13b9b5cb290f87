//! What must be done to a request that passes: identity headers set, and everything a client could have sent in their place
//! taken away.

use std::sync::Arc;
use std::time::Duration;

use super::decision::Decision;
use super::request::{Headers, is_same_folded};

/// Headers by which some services let a client name another method, path or host than the one that was judged.
pub const OVERRIDE_HEADERS: [&str; 19] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
];

/// What an identity header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityField {
    /// `sub`.
    User,
    /// The tenant that the request is about.
    Tenant,
    /// The token's roles, joined by commas.
    Roles,
    /// The token's permissions, joined by commas, without the odd ones.
    Permissions,
    /// The session.
    Session,
    /// The scope in which the request was let through.
    Scope,
    /// The subject's attributes as `name=value`, joined by commas.
    Attributes,
    /// Who acts on the subject's behalf.
    Actor,
    /// All of it, signed. Whoever answers the PEP signs; where nobody does, the header is taken away like the others.
    Assertion,
}

impl IdentityField {
    /// All fields with the names that their headers have by default.
    pub const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::User, "user", "x-user-id"),
        (Self::Tenant, "tenant", "x-tenant-id"),
        (Self::Roles, "roles", "x-user-roles"),
        (Self::Permissions, "permissions", "x-user-permissions"),
        (Self::Session, "session", "x-session-id"),
        (Self::Scope, "scope", "x-user-scope"),
        (Self::Attributes, "attributes", "x-user-attributes"),
        (Self::Actor, "actor", "x-actor-id"),
        (Self::Assertion, "assertion", "x-portcullis-assertion"),
    ];
}

/// What assertions towards the service behind say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionRule {
    /// `iss`.
    pub issuer: Box<str>,
    /// `aud`.
    pub audience: Box<str>,
    /// For how long one is good.
    pub ttl: Duration,
}

/// The names of the identity headers, and what is removed on every outcome that reaches the service.
#[derive(Debug, Clone)]
pub struct IdentityHeaders {
    fields: Vec<(IdentityField, Arc<str>)>,
    /// Spellings with `_` of the above, and [`OVERRIDE_HEADERS`].
    always_removed: Vec<Arc<str>>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self::new(IdentityField::ALL.map(|(field, _, header)| (field, Arc::from(header))).to_vec(), &[])
    }
}

impl IdentityHeaders {
    /// From the names that the configuration gives, in lower case, and override headers that it wants to let through.
    #[must_use]
    pub fn new(fields: Vec<(IdentityField, Arc<str>)>, keep: &[Box<str>]) -> Self {
        let underscored =
            fields.iter().map(|(_, name)| name.replace('-', "_")).filter(|name| fields.iter().all(|(_, other)| **other != **name));
        let overriding = OVERRIDE_HEADERS.iter().filter(|name| !keep.iter().any(|kept| **kept == ***name)).map(|name| (*name).to_string());
        let always_removed: Vec<Arc<str>> = underscored.chain(overriding).map(Arc::from).collect();
        Self { fields, always_removed }
    }

    /// Whether a server may take this for a header of ours, or for one that is taken away, though it is spelled otherwise
    /// (`x_user.id`). Names can be spelled in too many ways for a proxy to be told of all of them beforehand.
    #[must_use]
    pub fn is_another_spelling(&self, name: &str) -> bool {
        !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && self.is_ours(name)
    }

    /// The names of the identity headers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(_, name)| &**name)
    }

    /// Whether this is a header of ours, or one that a server may take for one.
    fn is_ours(&self, name: &str) -> bool {
        self.fields.iter().map(|(_, ours)| ours).chain(&self.always_removed).any(|ours| is_same_folded(ours, name))
    }
}

/// Changes to the request's headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obligations<'a> {
    /// Set to this value, whatever was there.
    pub set: Vec<(&'a str, &'a str)>,
    /// Taken away, whether or not they are there.
    pub remove: Vec<&'a str>,
}

/// What has to be done to a request that was let through. `signed` is the assertion, if there is one.
#[must_use]
pub fn obligations<'a>(
    names: &'a IdentityHeaders,
    decision: &'a Decision,
    sent: &'a Headers<'_>,
    signed: Option<&'a str>,
) -> Obligations<'a> {
    let mut set = Vec::with_capacity(names.fields.len());
    let mut remove = Vec::with_capacity(names.fields.len() + names.always_removed.len());
    for (field, name) in &names.fields {
        match value_of(*field, decision, signed) {
            Some(value) => set.push((&**name, value)),
            None => remove.push(&**name),
        }
    }
    remove.extend(names.always_removed.iter().map(|name| &**name));
    for (name, _) in sent.iter() {
        // Any other spelling that a server may fold into one of ours.
        let handled = |ours: &str| ours.eq_ignore_ascii_case(name);
        if names.is_ours(name) && !remove.iter().any(|ours| handled(ours)) && !set.iter().any(|(ours, _)| handled(ours)) {
            remove.push(name);
        }
    }
    Obligations { set, remove }
}

/// The value that a header gets; `None` where there is nothing to say. Verified claims are safe in a header by construction.
fn value_of<'a>(field: IdentityField, decision: &'a Decision, signed: Option<&'a str>) -> Option<&'a str> {
    let principal = decision.principal.as_ref()?;
    let claims = principal.token().claims();
    let value = match field {
        IdentityField::User => &*claims.subject,
        IdentityField::Tenant => principal.tenant()?.as_str(),
        IdentityField::Roles => &*claims.roles_text,
        IdentityField::Permissions => &*claims.permissions_text,
        IdentityField::Session => claims.session.as_deref()?,
        IdentityField::Scope => decision.scope.as_deref()?,
        // They are those of the token's own tenant.
        IdentityField::Attributes if principal.is_at_home() => decision.attributes.as_deref().unwrap_or(&claims.attributes_text),
        IdentityField::Attributes => return None,
        IdentityField::Assertion => signed?,
        IdentityField::Actor => &*claims.actor.as_ref()?.subject,
    };
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_may_take_for_a_header_of_ours_is_another_spelling_of_it() {
        let names = IdentityHeaders::default();
        for odd in ["x_user_id", "x-user_id", "x.user.id", "X~Tenant!Id", "x_original-url", "x'portcullis|assertion"] {
            assert!(names.is_another_spelling(odd), "{odd}");
        }
        // These every proxy can be told of, or they are nobody's.
        for other in ["x-user-id", "X-User-Id", "x-original-url", "x_request_id", "xuserid", "x-user-ids", "x.user.ids", ""] {
            assert!(!names.is_another_spelling(other), "{other}");
        }
    }
}
