//! What an audit trail records of requests to a route.

use std::borrow::Cow;

use crate::pdp::path::NormalizedPath;
use crate::pdp::route::PathTemplate;
use crate::pdp::route::template::TemplateSegment;

/// Requests to the route are recorded: who, when, and what, which is the method, the route, and its path parameters. The query and the
/// rest of the path can hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRule {
    parameters: Vec<Parameter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    name: Box<str>,
    /// Among the path's segments, from zero.
    position: usize,
    /// It stands for everything that is left.
    is_rest: bool,
}

impl AuditRule {
    /// The rule for routes of this shape.
    #[must_use]
    pub fn new(path: &PathTemplate) -> Self {
        let parameter = |(position, segment): (usize, &TemplateSegment)| match segment {
            TemplateSegment::Static(_) => None,
            TemplateSegment::Param(name) => Some(Parameter { name: name.clone(), position, is_rest: false }),
            TemplateSegment::Rest(name) => Some(Parameter { name: name.clone(), position, is_rest: true }),
        };
        Self { parameters: path.segments().iter().enumerate().filter_map(parameter).collect() }
    }

    /// The parameters of a request's path, decoded, in the order of the path.
    pub fn values<'v>(&'v self, path: &'v NormalizedPath<'_>) -> impl Iterator<Item = (&'v str, Cow<'v, str>)> {
        self.parameters.iter().filter_map(|Parameter { name, position, is_rest }| {
            let segments = path.segments().get(*position..)?;
            let value = if *is_rest { Cow::Owned(segments.join("/")) } else { Cow::Borrowed(segments.first()?.as_ref()) };
            Some((&**name, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_named_and_decoded_and_nothing_else_of_the_path_is_there() {
        let rule = |template: &str| AuditRule::new(&PathTemplate::parse(template).unwrap());
        let values = |template: &str, target: &str| {
            let path = NormalizedPath::parse(target).unwrap();
            rule(template).values(&path).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(values("/admin/{tenant}/users/{user}", "/admin/acme/users/bob%20b?token=secret"), ["tenant=acme", "user=bob b"]);
        assert_eq!(values("/files/{file...}", "/files/a/b/c"), ["file=a/b/c"]);
        assert_eq!(values("/admin", "/admin?x=1"), [""; 0]);
    }
}
