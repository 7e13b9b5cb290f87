//! Documents: which root fields the operation that is meant asks for.
//!
//! The parser is `bluejay-parser` (Shopify; MIT; no unsafe code). Of the parsers that are alive, it is the one that reads just what
//! graphql-js reads: it fails as a whole where others carry on and mark the spot (`apollo-parser` 0.8), takes `...on` for what it is
//! where others read a fragment of that name and with it lose the fields behind (`async-graphql-parser` 7), and bounds tokens and
//! depth while it reads. Nothing else in the program knows it.

use std::collections::BTreeSet;

use bluejay_core::executable::{ExplicitOperationDefinition as _, FragmentDefinition as _, VariableDefinition as _};
use bluejay_core::{AsIter as _, OperationType};
use bluejay_parser::ast::executable::{
    ExecutableDocument, FragmentDefinition, OperationDefinition, Selection, SelectionSet, VariableDefinitions,
};
use bluejay_parser::ast::{Parse as _, ParseOptions};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use super::lexical::MAX_COMMENTS;
use super::request::Request;
use super::{GraphqlError, OperationKind, lexical};

/// The longest document that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The most tokens (names, values, punctuation; no comments) that the documents of a body may have together.
pub const MAX_TOKENS: usize = 10_000;
/// How deep selections may be nested. Values in values, and lists in types, may go about twice as deep: see [`PARSER_DEPTH`].
pub const MAX_DEPTH: usize = 64;
/// The longest name of a root field, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The parser counts a field and its selections as two levels, the operation around them as one, and a value as one.
const PARSER_DEPTH: usize = 2 * MAX_DEPTH + 1;

/// Adds the root fields of the operation that a request means. Its tokens are taken off `tokens_left`.
pub(super) fn collect_root_fields(
    request: Request<'_>,
    tokens_left: &mut usize,
    found: &mut BTreeSet<(OperationKind, Box<str>)>,
) -> Result<(), GraphqlError> {
    let document = parse(request.document, tokens_left)?;
    let fragments = Fragments::of(&document)?;
    fragments.check(&document)?;
    let (kind, selections) = operation(&document, request.operation)?;

    // Selections that stand at the root: the operation's own, and those of all fragments that are spread there. Each fragment is
    // looked into once, so that fragments that spread each other many times cost no more than their text.
    let mut visited: HashSet<&str, RandomState> = HashSet::default();
    let mut pending = vec![selections];
    while let Some(selections) = pending.pop() {
        for selection in selections.iter() {
            match selection {
                Selection::Field(field) => match field.name().as_str() {
                    "__typename" => {}
                    name if name.len() > MAX_NAME_BYTES => return Err(GraphqlError::TooLarge),
                    name => {
                        found.insert((kind, name.into()));
                    }
                },
                Selection::InlineFragment(fragment) => pending.push(fragment.selection_set()),
                Selection::FragmentSpread(spread) => {
                    let name = spread.name().as_str();
                    if visited.insert(name) {
                        pending.push(fragments.get(name).ok_or(GraphqlError::Fragments)?.selection_set());
                    }
                }
            }
        }
    }
    Ok(())
}

fn parse<'a>(text: &'a str, tokens_left: &mut usize) -> Result<ExecutableDocument<'a>, GraphqlError> {
    if text.len() > MAX_BYTES || text.matches('#').count() > MAX_COMMENTS {
        return Err(GraphqlError::TooLarge);
    }
    // A byte order mark can be what is left of a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !lexical::is_sound(text) {
        return Err(GraphqlError::NotADocument);
    }
    let options = ParseOptions { graphql_ruby_compatibility: false, max_depth: PARSER_DEPTH, max_tokens: Some(*tokens_left) };
    let details = ExecutableDocument::parse_with_options(text, options);
    let too_long = details.token_count > *tokens_left;
    *tokens_left = tokens_left.saturating_sub(details.token_count);
    match details.result {
        Ok(document) if !has_descriptions(&document) => Ok(document),
        Ok(_) => Err(GraphqlError::NotADocument),
        Err(_) if too_long => Err(GraphqlError::TooLarge),
        Err(_) => Err(GraphqlError::NotADocument),
    }
}

/// Descriptions of operations, fragments and variables came with the specification of 2025; most services do not know them yet.
fn has_descriptions(document: &ExecutableDocument<'_>) -> bool {
    let on_operation = |operation: &OperationDefinition<'_>| match operation {
        OperationDefinition::Explicit(operation) => {
            let on_variables = |variables: &VariableDefinitions<'_>| variables.iter().any(|variable| variable.description().is_some());
            operation.description().is_some() || operation.variable_definitions().is_some_and(on_variables)
        }
        OperationDefinition::Implicit(_) => false,
    };
    document.operation_definitions().iter().any(on_operation)
        || document.fragment_definitions().iter().any(|fragment| fragment.description().is_some())
}

/// The operation that is meant. A name has to be that of one operation; without a name there has to be one operation only.
///
/// Whether it is meant or not, an operation without a name stands alone, and no two have one name: services that do not check that
/// choose, each its own way.
fn operation<'d, 'a>(
    document: &'d ExecutableDocument<'a>,
    meant: Option<&str>,
) -> Result<(OperationKind, &'d SelectionSet<'a>), GraphqlError> {
    let operations = document.operation_definitions();
    let mut names: HashSet<&str, RandomState> = HashSet::default();
    if operations.len() > 1 && !operations.iter().all(|operation| name(operation).is_some_and(|name| names.insert(name))) {
        return Err(GraphqlError::Operation);
    }
    let operation = match (meant, operations) {
        (Some(meant), _) => operations.iter().find(|operation| name(operation) == Some(meant)),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let operation = operation.ok_or(GraphqlError::Operation)?;
    let kind = match operation {
        OperationDefinition::Implicit(_) => OperationKind::Query,
        OperationDefinition::Explicit(operation) => match OperationType::from(operation.operation_type()) {
            OperationType::Query => OperationKind::Query,
            OperationType::Mutation => OperationKind::Mutation,
            OperationType::Subscription => OperationKind::Subscription,
        },
    };
    Ok((kind, operation.selection_set()))
}

fn name<'d>(operation: &'d OperationDefinition<'_>) -> Option<&'d str> {
    match operation {
        OperationDefinition::Explicit(operation) => operation.name().map(|name| name.as_str()),
        OperationDefinition::Implicit(_) => None,
    }
}

/// The fragments of a document by their names.
struct Fragments<'d, 'a>(HashMap<&'d str, &'d FragmentDefinition<'a>, RandomState>);

impl<'d, 'a> Fragments<'d, 'a> {
    fn of(document: &'d ExecutableDocument<'a>) -> Result<Self, GraphqlError> {
        let mut fragments = HashMap::default();
        for fragment in document.fragment_definitions() {
            if fragments.insert(fragment.name().as_str(), fragment).is_some() {
                return Err(GraphqlError::Fragments);
            }
        }
        Ok(Self(fragments))
    }

    fn get(&self, name: &str) -> Option<&'d FragmentDefinition<'a>> {
        self.0.get(name).copied()
    }

    /// Refuses documents in which any spread, however deep and in whatever definition, has no fragment, or a fragment contains itself.
    fn check(&self, document: &'d ExecutableDocument<'a>) -> Result<(), GraphqlError> {
        for operation in document.operation_definitions() {
            if spreads(operation.selection_set()).iter().any(|name| self.get(name).is_none()) {
                return Err(GraphqlError::Fragments);
            }
        }
        // Fragments are taken away once nobody left spreads them. Those on a cycle remain.
        let mut spread_by: HashMap<&str, usize, RandomState> = self.0.keys().map(|name| (*name, 0)).collect();
        let mut spreads_of: HashMap<&str, Vec<&str>, RandomState> = HashMap::default();
        for (name, fragment) in &self.0 {
            let spreads = spreads(fragment.selection_set());
            for spread in &spreads {
                *spread_by.get_mut(spread).ok_or(GraphqlError::Fragments)? += 1;
            }
            spreads_of.insert(name, spreads);
        }
        let mut free: Vec<&str> = spread_by.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        while let Some(name) = free.pop() {
            for spread in spreads_of.remove(name).unwrap_or_default() {
                if let Some(count) = spread_by.get_mut(spread) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(spread);
                    }
                }
            }
        }
        if spreads_of.is_empty() { Ok(()) } else { Err(GraphqlError::Fragments) }
    }
}

/// The names of all fragments that are spread anywhere within these selections, as often as they are.
fn spreads<'d>(selections: &'d SelectionSet<'_>) -> Vec<&'d str> {
    let mut spreads = Vec::new();
    let mut pending = vec![selections];
    while let Some(selections) = pending.pop() {
        for selection in selections.iter() {
            match selection {
                Selection::Field(field) => pending.extend(field.selection_set()),
                Selection::InlineFragment(fragment) => pending.push(fragment.selection_set()),
                Selection::FragmentSpread(spread) => spreads.push(spread.name().as_str()),
            }
        }
    }
    spreads
}
