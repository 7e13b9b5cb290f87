//! What methods ask for.

use std::sync::Arc;

use super::permissions::Vocabulary;
use super::roles::choices;
use crate::config::problem::Problems;
use crate::config::schema::{
    AccessSchema, AnswerSchema, AuthenticationSchema, GraphqlSchema, MethodSchema, PlaceSchema, RequirementSchema, RevealedSchema,
    RouteSchema, ScopeSchema,
};
use crate::config::yaml::Located;
use crate::pdp::policy::condition::authentication::AuthenticationRule;
use crate::pdp::policy::condition::body::{AllowedFields, FieldPath};
use crate::pdp::policy::condition::caller::{CallerPattern, CallerRule};
use crate::pdp::policy::condition::expression::{Environment, Expression};
use crate::pdp::policy::condition::graphql::{GraphqlRule, OperationKind, is_name};
use crate::pdp::policy::requirement::{Requirement, ScopeRule};
use crate::pdp::policy::value::{RequestValue, Revealed};
use crate::pdp::policy::{Access, Answer, MethodRule};
use crate::pdp::route::PathTemplate;
use crate::pdp::scope::{Holds, RequiredPermission};

/// What a route's methods are compiled with.
pub(super) struct Surroundings<'c> {
    pub route: &'c RouteSchema,
    pub vocabulary: &'c Vocabulary,
    pub has_directory: bool,
}

impl Surroundings<'_> {
    pub fn method(&self, schema: &MethodSchema, problems: &mut Problems) -> MethodRule {
        let shared = &self.route.requirements;
        let mut all = self.requirement(&schema.all, problems);
        if let (AccessSchema::Public | AccessSchema::Optional, Some(asked)) =
            (schema.access, shared.conditions.iter().chain(&shared.permissions).next())
        {
            let message = format!("what is asked for at {} would not be looked at here for whoever comes without a token", asked.location);
            schema.method.problem(problems, message);
        }
        let has_graphql = |requirement: &RequirementSchema| requirement.graphql.is_some();
        if schema.method.value != "POST" && (has_graphql(&schema.all) || schema.any.iter().any(has_graphql)) {
            schema.method.problem(
                problems,
                "a GraphQL request is judged by its body, so it comes by POST; other methods need no rule and are refused",
            );
        }
        let shared_permissions = shared.permissions.iter().filter_map(|text| self.vocabulary.required(text, problems));
        all.permissions.insert_many(0, shared_permissions.collect::<Vec<_>>());
        let shared_conditions: Vec<Expression> = shared.conditions.iter().filter_map(|text| self.condition(text, problems)).collect();
        all.conditions = shared_conditions.into_iter().chain(all.conditions).collect();
        all.authentication = compile_authentication(shared.authentication.iter().chain(&schema.all.authentication));
        if all.authentication.acr.as_ref().is_some_and(Vec::is_empty) {
            let message = "the method, its route and the groups around it have no 'acr' in common, so nobody could ever pass";
            schema.method.problem(problems, message);
        }
        MethodRule {
            access: match schema.access {
                AccessSchema::Public => Access::Public,
                AccessSchema::Optional => Access::Optional,
                AccessSchema::Authenticated => Access::Authenticated,
            },
            acting: self.acting(schema, problems),
            all,
            any: schema.any.iter().map(|requirement| self.requirement(requirement, problems)).collect(),
            answer: schema.answer.map(|AnswerSchema::Permissions| Answer::Permissions),
        }
    }

    /// Inside of what refuses actors, nothing lets them.
    fn acting(&self, schema: &MethodSchema, problems: &mut Problems) -> bool {
        let route = self.route.requirements.acting.as_ref();
        if let (Some(route), Some(method)) = (route, &schema.acting)
            && !route.value
            && method.value
        {
            method.problem(problems, format!("the route or a group around it refuses this, at {}", route.location));
        }
        [route, schema.acting.as_ref()].into_iter().flatten().all(|acting| acting.value)
    }

    fn requirement(&self, schema: &RequirementSchema, problems: &mut Problems) -> Requirement {
        let shared = self.route.requirements.scope.as_ref();
        if let (Some(shared), Some(own)) = (shared, &schema.scope) {
            own.problem(problems, format!("the route or a group around it says 'scope' already, at {}; keep one of them", shared.location));
        }
        let target = |name: &Located<String>, problems: &mut Problems| self.target(name, problems);
        let manages: Vec<usize> = schema.manages.iter().filter_map(|name| target(name, problems)).collect();
        if let (Some(name), false) = (&schema.manages, self.has_directory) {
            name.problem(problems, NO_DIRECTORY);
        }
        let is_self: Vec<usize> = schema.is_self.iter().filter_map(|name| target(name, problems)).collect();
        let scope = match (schema.scope.as_ref().or(shared), manages.first().or(is_self.first())) {
            (Some(scope), _) => self.scope(scope, problems),
            // Who the request is about says what it is about.
            (None, Some(target)) => self.scope_of_target(*target),
            (None, None) => ScopeRule::default(),
        };
        Requirement {
            permissions: schema.permissions.iter().filter_map(|text| self.vocabulary.required(text, problems)).collect(),
            scope,
            authentication: compile_authentication(schema.authentication.iter()),
            callers: schema.callers.iter().map(|callers| compile_callers(callers, problems)).collect(),
            is_self,
            manages,
            body: schema.body_only.iter().filter_map(|only| compile_fields(only, problems)).collect(),
            graphql: schema.graphql.as_ref().map(|graphql| self.graphql(graphql, problems)),
            conditions: schema.conditions.iter().filter_map(|text| self.condition(text, problems)).collect(),
        }
    }

    /// A condition in CEL, checked against what the route has.
    fn condition(&self, text: &Located<String>, problems: &mut Problems) -> Option<Expression> {
        let path_parameters = self.route.path.parameters().map(|(name, _)| name.into());
        let targets = self.route.requirements.targets.iter().map(|(name, _)| name.value.as_str().into());
        let environment = Environment { path_parameters: path_parameters.collect(), targets: targets.collect(), body: true };
        match Expression::compile(&text.value, &environment) {
            Ok(expression) => {
                if !expression.targets().is_empty() && !self.has_directory {
                    text.problem(problems, NO_DIRECTORY);
                }
                Some(expression)
            }
            Err(error) => {
                text.problem(problems, error);
                None
            }
        }
    }

    fn graphql(&self, schema: &Located<GraphqlSchema>, problems: &mut Problems) -> GraphqlRule<RequiredPermission> {
        let mut rule = GraphqlRule::default();
        let GraphqlSchema { query, mutation, subscription } = &schema.value;
        if query.is_empty() && mutation.is_empty() && subscription.is_empty() {
            schema.problem(
                problems,
                "there must be at least one root field, such as 'query: { users: [] }'; one that is not listed is refused",
            );
        }
        for (kind, fields) in
            [(OperationKind::Query, query), (OperationKind::Mutation, mutation), (OperationKind::Subscription, subscription)]
        {
            for (field, permissions) in fields {
                if !is_name(&field.value) {
                    field.problem(problems, format!("'{}' is no name of a GraphQL field: letters, digits and '_'", field.value));
                }
                let permissions: Vec<_> = permissions.iter().filter_map(|text| self.vocabulary.required(text, problems)).collect();
                rule.insert(kind, &field.value, permissions);
            }
        }
        rule
    }

    /// The number of a target.
    fn target(&self, name: &Located<String>, problems: &mut Problems) -> Option<usize> {
        let targets = &self.route.requirements.targets;
        let found = targets.iter().position(|(target, _)| target.value == name.value);
        if found.is_none() {
            let there = choices("targets", targets.iter().map(|(target, _)| target.value.as_str()));
            let advice = format!("write 'targets: {{ {}: {{ path: ... }} }}' at the route", name.value);
            name.problem(problems, format!("there is no target '{}'; {there}; {advice}", name.value));
        }
        found
    }

    fn scope(&self, schema: &Located<ScopeSchema>, problems: &mut Problems) -> ScopeRule {
        let mut rule = ScopeRule { by_service: schema.value.by_service, ..ScopeRule::default() };
        let scopes = self.vocabulary.ladder().map(|ladder| ladder.0.as_slice()).unwrap_or_default();
        if rule.by_service && scopes.is_empty() {
            schema.problem(problems, "there are no scopes to hand on; write 'permissions: { scopes: [own: subject, all] }'");
        }
        for (name, place) in &schema.value.bindings {
            let scope = scopes.iter().find(|scope| *scope.name == *name.value);
            let attribute: Option<Arc<str>> = match scope.map(|scope| &scope.holds) {
                Some(Holds::Everywhere) => {
                    name.problem(problems, format!("the scope '{}' holds everywhere and is not compared with anything", name.value));
                    continue;
                }
                Some(_) if rule.by_service => {
                    name.problem(problems, "the service behind checks the scopes ('by: service'), so they are not bound here");
                    continue;
                }
                Some(Holds::Subject) => None,
                Some(Holds::Attribute(attribute)) => Some(Arc::clone(attribute)),
                None if self.vocabulary.is_attribute(&name.value) => Some(name.value.as_str().into()),
                None => {
                    let scopes = choices("scopes", scopes.iter().map(|scope| &*scope.name));
                    self.vocabulary.check_attribute(name, &format!("a scope or an attribute; {scopes}"), problems);
                    continue;
                }
            };
            let Some(revealed) = self.revealed(place, attribute.as_ref(), problems) else { continue };
            match attribute {
                None => rule.subject = Some(revealed),
                Some(attribute) if rule.attribute(&attribute).is_some() => {
                    name.problem(problems, format!("it is said already what the request's '{attribute}' is"));
                }
                Some(attribute) => rule.attributes.push((attribute, revealed)),
            }
        }
        rule
    }

    /// What is known of a target.
    fn scope_of_target(&self, target: usize) -> ScopeRule {
        let attributes = if self.has_directory { self.vocabulary.attributes() } else { &[] };
        let revealed = attributes.iter().map(|name| (Arc::clone(name), Revealed::TargetAttribute(target, Arc::clone(name))));
        ScopeRule { by_service: false, subject: Some(Revealed::TargetId(target)), attributes: revealed.collect() }
    }

    /// `attribute` is the one that is looked for; `None`: the subject.
    fn revealed(&self, schema: &Located<RevealedSchema>, attribute: Option<&Arc<str>>, problems: &mut Problems) -> Option<Revealed> {
        match &schema.value {
            RevealedSchema::Place(place) => {
                let place = Located { value: place.clone(), location: schema.location.clone(), key: schema.key.clone() };
                compile_place(&place, &self.route.path, problems).map(Revealed::Request)
            }
            RevealedSchema::Target { target, attribute: named } => {
                let target = self.target(&schema.clone().with(target.clone()), problems)?;
                let attribute = named.as_deref().map(Arc::from).or_else(|| attribute.cloned());
                if attribute.is_some() && !self.has_directory {
                    schema.problem(problems, NO_DIRECTORY);
                }
                Some(attribute.map_or(Revealed::TargetId(target), |attribute| Revealed::TargetAttribute(target, attribute)))
            }
        }
    }
}

const NO_DIRECTORY: &str = "what a target is can only be known from a 'directory', and none is configured; write 'directory: { url: ... }'";

fn compile_fields(only: &Located<Vec<Located<String>>>, problems: &mut Problems) -> Option<AllowedFields> {
    let texts: Vec<&str> = only.value.iter().map(|field| field.value.as_str()).collect();
    AllowedFields::parse(&texts).map_err(|error| only.problem(problems, error)).ok()
}

/// Where in the request a value stands.
pub(super) fn compile_place(place: &Located<PlaceSchema>, path: &PathTemplate, problems: &mut Problems) -> Option<RequestValue> {
    match &place.value {
        PlaceSchema::Header(name) => Some(RequestValue::Header(name.as_str().into())),
        PlaceSchema::Query(name) => Some(RequestValue::Query(name.as_str().into())),
        PlaceSchema::Body(name) => match FieldPath::parse(name) {
            Ok(path) => Some(RequestValue::Body(path.names().to_vec())),
            Err(error) => {
                place.problem(problems, error);
                None
            }
        },
        PlaceSchema::Path(name) => {
            let position = path.position_of(name);
            if position.is_none() {
                let parameters: Vec<String> = path.parameters().map(|(name, _)| format!("'{name}'")).collect();
                let have = if parameters.is_empty() { "it has none".to_string() } else { format!("it has {}", parameters.join(", ")) };
                place.problem(problems, format!("the path has no parameter '{{{name}}}' of one segment; {have}"));
            }
            position.map(RequestValue::Path)
        }
    }
}

/// Mesh identities.
pub(super) fn compile_callers(texts: &[Located<String>], problems: &mut Problems) -> CallerRule {
    let patterns = texts.iter().filter_map(|text| {
        let pattern = CallerPattern::parse(&text.value);
        if pattern.is_none() {
            let message =
                format!("'{}' is no mesh identity, such as 'spiffe://mesh/ns/shop/sa/orders' or 'spiffe://mesh/ns/shop/*'", text.value);
            text.problem(problems, message);
        }
        pattern
    });
    CallerRule(patterns.collect())
}

/// All that groups, a route and a method ask for.
fn compile_authentication<'s>(all: impl Iterator<Item = &'s AuthenticationSchema>) -> AuthenticationRule {
    all.fold(AuthenticationRule::default(), |rule, AuthenticationSchema { mfa, acr, max_age }| {
        rule.and(&AuthenticationRule { mfa: *mfa, acr: acr.clone(), max_age: *max_age })
    })
}
