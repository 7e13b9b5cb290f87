//! How permissions are written, in which scopes they are granted, and which attributes there are.

use std::sync::Arc;

use super::roles::choices;
use crate::config::problem::Problems;
use crate::config::schema::{ATTRIBUTE_NAMES, IssuerSchema, PermissionsSchema, RungSchema, SyntaxSchema, is_attribute_name};
use crate::config::yaml::Located;
use crate::pdp::permission::{PermissionSet, PermissionSyntax};
use crate::pdp::scope::{Holds, RequiredPermission, Scope, ScopeLadder, WIDEST};

/// What the rest of the configuration can speak of.
pub(super) struct Vocabulary {
    syntax: Syntax,
    ladder: Option<ScopeLadder>,
    attributes: Vec<Arc<str>>,
}

/// The permission syntax, or why there is none.
enum Syntax {
    Absent,
    Broken,
    Known(Arc<PermissionSyntax>),
}

impl Vocabulary {
    pub fn new(permissions: PermissionsSchema, issuers: &[IssuerSchema], problems: &mut Problems) -> Self {
        let claimed = issuers.iter().flat_map(|issuer| &issuer.claims.attributes).map(|(name, _)| Arc::from(&**name));
        let mut vocabulary = Self { syntax: Syntax::Absent, ladder: None, attributes: claimed.collect() };
        match permissions {
            PermissionsSchema::Absent => {}
            PermissionsSchema::Broken => vocabulary.syntax = Syntax::Broken,
            PermissionsSchema::Read(SyntaxSchema { syntax, scopes, boundaries }) => {
                for name in boundaries {
                    if is_attribute_name(&name.value) {
                        vocabulary.attributes.push(name.value.as_str().into());
                    } else {
                        name.problem(problems, format!("'{}' is no name of an attribute: {ATTRIBUTE_NAMES}", name.value));
                    }
                }
                if let Some(scopes) = scopes {
                    if syntax.value.segments() < 2 {
                        scopes.problem(problems, "the last segment of a permission is its scope, and the syntax has but one segment");
                    }
                    let rungs = scopes.value.iter().map(|rung| vocabulary.scope(rung, problems)).collect();
                    vocabulary.ladder = Some(ScopeLadder(rungs));
                }
                vocabulary.syntax = Syntax::Known(Arc::new(syntax.value));
            }
        }
        vocabulary
    }

    fn scope(&self, rung: &RungSchema, problems: &mut Problems) -> Scope {
        let holds = match &rung.bound {
            None => Holds::Everywhere,
            Some(bound) if bound.value == "subject" => Holds::Subject,
            Some(bound) => {
                self.check_attribute(bound, "'subject' or an attribute", problems);
                Holds::Attribute(bound.value.as_str().into())
            }
        };
        Scope { name: rung.name.value.as_str().into(), holds }
    }

    /// Whether there is such an attribute.
    pub fn is_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| **attribute == *name)
    }

    /// All attributes.
    pub fn attributes(&self) -> &[Arc<str>] {
        &self.attributes
    }

    /// Reports an attribute that nobody could have.
    pub fn check_attribute(&self, name: &Located<String>, what: &str, problems: &mut Problems) {
        if !self.is_attribute(&name.value) {
            let there = choices("attributes", self.attributes.iter());
            let advice = "an attribute stands in an issuer's 'claims: { attributes: ... }', or in 'permissions: { boundaries: ... }'";
            name.problem(problems, format!("'{}' is not {what}; {there}; {advice}", name.value));
        }
    }

    /// The scopes, if permissions have any.
    pub fn ladder(&self) -> Option<&ScopeLadder> {
        self.ladder.as_ref()
    }

    /// The syntax for a permission that is written here. A broken one has been reported already.
    fn syntax_for<T>(&self, user: &Located<T>, problems: &mut Problems) -> Option<&PermissionSyntax> {
        match &self.syntax {
            Syntax::Known(syntax) => Some(syntax),
            Syntax::Broken => None,
            Syntax::Absent => {
                user.problem(
                    problems,
                    "permissions are used and their syntax is not given; write 'permissions: { syntax: \"service:resource.action\" }'",
                );
                None
            }
        }
    }

    /// The syntax for reading tokens; where no permission is used, any will do.
    pub fn for_tokens(&self) -> Arc<PermissionSyntax> {
        match &self.syntax {
            Syntax::Known(syntax) => Arc::clone(syntax),
            Syntax::Absent | Syntax::Broken => Arc::default(),
        }
    }

    /// A permission that a route asks for.
    pub fn required(&self, text: &Located<String>, problems: &mut Problems) -> Option<RequiredPermission> {
        let syntax = self.syntax_for(text, problems)?;
        let required = match &self.ladder {
            None => RequiredPermission::plain(syntax, &text.value),
            Some(ladder) => RequiredPermission::scoped(syntax, ladder, &text.value),
        };
        let advice = || match &self.ladder {
            Some(_) if syntax.required(&text.value).is_ok() => format!("; its scope is left out here: '{}'", syntax.without_scope()),
            _ => String::new(),
        };
        required
            .map_err(|error| text.problem(problems, format!("'{}' is no permission that can be required: {error}{}", text.value, advice())))
            .ok()
    }

    /// What a role or a set grants.
    pub fn grants(&self, texts: &[Located<String>], problems: &mut Problems) -> PermissionSet {
        let mut set = PermissionSet::default();
        for text in texts {
            let Some(syntax) = self.syntax_for(text, problems) else { continue };
            match syntax.grant(&text.value, true) {
                Ok(grant) => {
                    self.check_scope(text, problems);
                    set.insert(grant);
                }
                Err(error) => text.problem(problems, format!("'{}' is no permission: {error}", text.value)),
            }
        }
        set
    }

    /// A grant in a scope that there is not would grant nothing.
    fn check_scope(&self, text: &Located<String>, problems: &mut Problems) {
        let Some(ladder) = &self.ladder else { return };
        let scope = text.value.rsplit([':', '.']).next().unwrap_or_default();
        if scope != WIDEST && !ladder.0.iter().any(|known| *known.name == *scope) {
            let names = ladder.0.iter().map(|scope| &*scope.name).chain([WIDEST]);
            text.problem(problems, format!("'{scope}' is no scope; {}", choices("scopes", names)));
        }
    }
}
