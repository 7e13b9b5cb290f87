//! GraphQL over HTTP: `graphql`, a permission for every root field that a request asks for.
//!
//! The path of a GraphQL service says nothing of what is asked; the body does. It is taken apart as the service takes it apart
//! (GraphQL specification, September 2025; GraphQL over HTTP), and what services are known to take apart differently is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::pdp::json::Json;

mod document;
mod lexical;
mod request;

pub use document::{MAX_DEPTH, MAX_NAME_BYTES, MAX_TOKENS};
pub use lexical::MAX_COMMENTS;
pub use request::MAX_BATCH;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// It reads.
    Query,
    /// It writes, then reads.
    Mutation,
    /// It reads whenever something happens.
    Subscription,
}

impl OperationKind {
    /// The keyword that begins such an operation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request is not one that can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphqlError {
    /// The URL has a query string: some services take their parameters from there, whatever the body says.
    QueryString,
    /// The body is not a request, nor 1 to [`MAX_BATCH`] of them in an array.
    NotARequest,
    /// It refers to a document that the service is to know already.
    Persisted,
    /// The document, or the name of a field, is longer than is read.
    TooLarge,
    /// The document is not one of operations and fragments, nested deeper than is read, or not one that everybody reads alike.
    NotADocument,
    /// A fragment is not there, is there twice, or is a part of itself.
    Fragments,
    /// It does not say which one of its operations is meant, or that is none of them.
    Operation,
}

impl fmt::Display for GraphqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueryString => "the URL of a GraphQL request has a query string; all of it belongs into the body",
            Self::NotARequest => "the body is not a GraphQL request nor a batch of them",
            Self::Persisted => "the request refers to a persisted document; the document itself has to be sent",
            Self::TooLarge => "the GraphQL document is too long",
            Self::NotADocument => "the GraphQL document is not one of operations and fragments, or nested too deep",
            Self::Fragments => "a fragment of the GraphQL document is missing, there twice, or a part of itself",
            Self::Operation => "the GraphQL request does not name one operation of its document",
        })
    }
}

/// The root fields of all operations that a request would have executed, each once. `__typename`, which says nothing but the name
/// of a type, is not among them; `__schema` and `__type` are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootFields(BTreeSet<(OperationKind, Box<str>)>);

impl RootFields {
    /// All of them, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (OperationKind, &str)> {
        self.0.iter().map(|(kind, field)| (*kind, &**field))
    }
}

/// Finds every root field that a request asks for, given its body and the query string of its URL (`Some("")` for a bare `?`).
///
/// Aliases, fragments and directives hide nothing: a field counts under its own name, wherever a fragment brings it in, and
/// whether or not `@skip` or `@include` would leave it out.
///
/// # Errors
/// Whatever is not understood, or could be understood differently by the service.
pub fn root_fields(body: &Json, query_string: Option<&str>) -> Result<RootFields, GraphqlError> {
    if query_string.is_some() {
        return Err(GraphqlError::QueryString);
    }
    let mut fields = RootFields::default();
    let mut tokens_left = MAX_TOKENS;
    for request in request::requests(body)? {
        document::collect_root_fields(request, &mut tokens_left, &mut fields.0)?;
    }
    Ok(fields)
}

/// Whether a text can be the name of a field (GraphQL specification, section 2.1.9).
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What each root field needs: permissions, of type `P`. A field that is not listed is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphqlRule<P> {
    queries: Fields<P>,
    mutations: Fields<P>,
    subscriptions: Fields<P>,
}

/// In an order of their own, so that whatever is said of a policy is said alike each time.
type Fields<P> = BTreeMap<Box<str>, Box<[P]>>;

impl<P> Default for GraphqlRule<P> {
    fn default() -> Self {
        Self { queries: BTreeMap::new(), mutations: BTreeMap::new(), subscriptions: BTreeMap::new() }
    }
}

/// A request asks for a field that its rule does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotListed {
    /// The kind of the operation.
    pub kind: OperationKind,
    /// The field.
    pub field: Box<str>,
}

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} field '{}' is not listed", self.kind, self.field)
    }
}

impl<P> GraphqlRule<P> {
    /// Lists a field with the permissions that it needs: all of them, or, if there are none, any token. A field that is listed
    /// already gets these instead.
    pub fn insert(&mut self, kind: OperationKind, field: &str, permissions: impl IntoIterator<Item = P>) {
        let fields = match kind {
            OperationKind::Query => &mut self.queries,
            OperationKind::Mutation => &mut self.mutations,
            OperationKind::Subscription => &mut self.subscriptions,
        };
        fields.insert(field.into(), permissions.into_iter().collect());
    }

    fn permissions(&self, kind: OperationKind, field: &str) -> Option<&[P]> {
        let fields = match kind {
            OperationKind::Query => &self.queries,
            OperationKind::Mutation => &self.mutations,
            OperationKind::Subscription => &self.subscriptions,
        };
        fields.get(field).map(AsRef::as_ref)
    }

    /// All permissions that any field can ask for, in a fixed order.
    pub fn all_permissions(&self) -> impl Iterator<Item = &P> {
        [&self.queries, &self.mutations, &self.subscriptions].into_iter().flat_map(BTreeMap::values).flatten()
    }

    /// The permissions that a request needs: those of all its root fields.
    ///
    /// # Errors
    /// When a field is not listed; the first such one is named.
    pub fn required(&self, fields: &RootFields) -> Result<impl Iterator<Item = &P>, NotListed> {
        let mut required = Vec::new();
        for (kind, field) in fields.iter() {
            required.push(self.permissions(kind, field).ok_or_else(|| NotListed { kind, field: field.into() })?);
        }
        Ok(required.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests;
