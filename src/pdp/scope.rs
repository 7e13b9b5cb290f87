//! Scopes of permissions: `own < department < all < *`.
//!
//! Where permissions have a ladder of scopes, a grant's last segment is its scope, and a route asks for a permission without one:
//! `orders:read`. The widest scope that somebody was granted decides, and it includes the narrower ones.

use std::sync::Arc;

use smallvec::SmallVec;

use super::permission::{Permission, PermissionError, PermissionSyntax};

/// The scope that is wider than all others, as it is written in grants and handed on.
pub const WIDEST: &str = "*";

/// Where a scope holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// Where the request is about the holder.
    Subject,
    /// Where what the request is about has the same value of this attribute as the holder.
    Attribute(Arc<str>),
    /// Everywhere (within the tenant).
    Everywhere,
}

/// One scope of a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: Arc<str>,
    /// Where it holds.
    pub holds: Holds,
}

/// All scopes, from the narrowest to the widest, without [`WIDEST`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeLadder(pub Vec<Scope>);

/// A permission that is required: with a ladder, at one of several levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredPermission {
    name: Arc<str>,
    levels: SmallVec<[Level; 1]>,
}

/// A permission in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// What has to be granted.
    pub permission: Permission,
    /// How wide that is; `None`: permissions have no scopes.
    pub scope: Option<Scope>,
}

impl RequiredPermission {
    /// A permission of a syntax without scopes.
    ///
    /// # Errors
    /// When it does not fit the syntax.
    pub fn plain(syntax: &PermissionSyntax, text: &str) -> Result<Self, PermissionError> {
        let permission = syntax.required(text)?;
        Ok(Self { name: text.into(), levels: SmallVec::from_iter([Level { permission, scope: None }]) })
    }

    /// A permission, written without the scope, at every level of a ladder.
    ///
    /// # Errors
    /// When it does not fit the syntax without its last segment.
    pub fn scoped(syntax: &PermissionSyntax, ladder: &ScopeLadder, text: &str) -> Result<Self, PermissionError> {
        let widest = Scope { name: WIDEST.into(), holds: Holds::Everywhere };
        let scopes = std::iter::once(&widest).chain(ladder.0.iter().rev());
        let levels = scopes.map(|scope| {
            let permission = syntax.required_in_scope(text, &scope.name)?;
            Ok(Level { permission, scope: Some(scope.clone()) })
        });
        Ok(Self { name: text.into(), levels: levels.collect::<Result<_, PermissionError>>()? })
    }

    /// The permission as a route asks for it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// All levels, the widest first. There is at least one.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }
}
