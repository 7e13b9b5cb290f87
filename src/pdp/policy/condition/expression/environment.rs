//! What an expression can refer to.

/// What a route has besides what every request has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The parameters of the route's path, in its order.
    pub path_parameters: Vec<Box<str>>,
    /// The targets that the route declares, in its order.
    pub targets: Vec<Box<str>>,
    /// Whether the body can be read.
    pub body: bool,
}
