//! How many steps an evaluation can take at worst, estimated from how large inputs can become.
//!
//! What [`super::evaluate`] charges is charged here too, with the largest sizes. The elements of a list of the body are taken to be small,
//! since the body as a whole is bounded; where that is wrong, [`super::MAX_STEPS`] ends the evaluation.

use super::inputs::{TableVariable, TextVariable};
use super::program::{Arithmetic, Function, Node, Operation};
use super::value::Value;

/// The longest lists of a token or the directory.
const CLAIM_ITEMS: u64 = 1024;
/// The longest text of a token or the directory, in bytes.
const CLAIM_BYTES: u64 = 256;
const PATH_BYTES: u64 = 8192;
const HEADERS: u64 = 128;
const QUERY_PARAMETERS: u64 = 128;
const ATTRIBUTES: u64 = 64;
/// The most values in a body, and the longest text anywhere, in bytes.
const BODY_ITEMS: u64 = 16_384;
const TEXT_BYTES: u64 = 65_536;

/// How large a value can be.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// Elements or entries.
    items: u64,
    /// The length of a text.
    bytes: u64,
    /// The same of each element.
    element_items: u64,
    element_bytes: u64,
}

impl Extent {
    fn text(bytes: u64) -> Self {
        Self { bytes, ..Self::default() }
    }

    fn list(items: u64, element: Self) -> Self {
        Self { items, bytes: 0, element_items: element.items, element_bytes: element.bytes }
    }

    const BODY: Self = Self { items: BODY_ITEMS, bytes: TEXT_BYTES, element_items: 16, element_bytes: 63 };

    fn element(self) -> Self {
        // What lies deeper in an element is again only a part of it.
        Self { items: self.element_items, bytes: self.element_bytes, element_items: self.element_items, element_bytes: self.element_bytes }
    }

    fn either(self, other: Self) -> Self {
        Self {
            items: self.items.max(other.items),
            bytes: self.bytes.max(other.bytes),
            element_items: self.element_items.max(other.element_items),
            element_bytes: self.element_bytes.max(other.element_bytes),
        }
    }

    fn of(value: &Value<'_>) -> Self {
        let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        match value {
            Value::String(text) => Self::text(length(text.len())),
            Value::List(items) => {
                let element = items.iter().map(Self::of).fold(Self::default(), Self::either);
                Self::list(length(items.len()), element)
            }
            _ => Self::default(),
        }
    }
}

/// A list of a token or the directory.
const CLAIMS: Extent = Extent { items: CLAIM_ITEMS, bytes: 0, element_items: 0, element_bytes: CLAIM_BYTES };

/// The most steps of an evaluation.
pub(super) fn estimate(root: &Node) -> u64 {
    Estimate { locals: Vec::new() }.of(root).0
}

struct Estimate {
    locals: Vec<Extent>,
}

/// What it takes to compare two values.
fn comparing(left: Extent, right: Extent) -> u64 {
    let deep = |extent: Extent| extent.items.saturating_mul(2 + extent.element_bytes / 64);
    1 + left.bytes.min(right.bytes) / 64 + deep(left).min(deep(right))
}

/// What it takes to make a list or a text.
fn making(extent: Extent) -> u64 {
    extent.items.saturating_mul(4).saturating_add(extent.bytes / 8)
}

impl Estimate {
    /// Steps, and how large the result can be.
    fn of(&mut self, node: &Node) -> (u64, Extent) {
        let (steps, extent) = self.operation(&node.operation);
        (steps.saturating_add(1), extent)
    }

    fn sum<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) -> (u64, Extent) {
        nodes.into_iter().fold((0, Extent::default()), |(steps, extent), node| {
            let (more, other) = self.of(node);
            (steps.saturating_add(more), extent.either(other))
        })
    }

    fn operation(&mut self, operation: &Operation) -> (u64, Extent) {
        let nothing = Extent::default();
        match operation {
            Operation::Literal(value) => (0, Extent::of(value)),
            Operation::Text(TextVariable::RequestPath | TextVariable::PathParameter(_)) => (0, Extent::text(PATH_BYTES)),
            Operation::Text(_) => (0, Extent::text(CLAIM_BYTES)),
            Operation::List(_) => (making(CLAIMS), CLAIMS),
            Operation::Table(table) => {
                let (items, bytes) = match table {
                    TableVariable::Headers => (HEADERS, TEXT_BYTES),
                    TableVariable::Query => (QUERY_PARAMETERS, PATH_BYTES),
                    TableVariable::PrincipalAttributes | TableVariable::TargetAttributes(_) => (ATTRIBUTES, CLAIM_BYTES),
                };
                (0, Extent::list(items, Extent::text(bytes)))
            }
            Operation::Body => (0, Extent::BODY),
            Operation::Local(depth) => (0, self.locals.get(*depth).copied().unwrap_or(Extent::BODY)),
            Operation::Time(_) | Operation::CrossedTenants | Operation::HasText(_) | Operation::HasTime(_) => (1, nothing),
            Operation::HasMember(map, _) => (self.of(map).0.saturating_add(4), nothing),
            Operation::Member(map, _) => {
                let (steps, extent) = self.of(map);
                (steps.saturating_add(4), found_in(extent))
            }
            Operation::Index(container, key) => {
                let (steps, extent) = self.of(container);
                (steps.saturating_add(self.of(key).0).saturating_add(4), found_in(extent))
            }
            Operation::In(value, container) => {
                let (steps, value) = self.of(value);
                let (more, container) = match &container.operation {
                    // Looked into where it lies.
                    Operation::List(_) => (0, CLAIMS),
                    _ => self.of(container),
                };
                let each = comparing(value, container.element());
                (steps.saturating_add(more).saturating_add(container.items.saturating_mul(each)), nothing)
            }
            Operation::Not(operand) | Operation::Negate(operand) | Operation::Part(_, operand, _) => (self.of(operand).0, nothing),
            Operation::And(left, right) | Operation::Or(left, right) => (self.of(left).0.saturating_add(self.of(right).0), nothing),
            Operation::If(condition, yes, no) => {
                let ((yes, a), (no, b)) = (self.of(yes), self.of(no));
                (self.of(condition).0.saturating_add(yes.max(no)), a.either(b))
            }
            Operation::Equal(left, right) | Operation::Compare(_, left, right) => {
                let ((left, a), (right, b)) = (self.of(left), self.of(right));
                (left.saturating_add(right).saturating_add(comparing(a, b)), nothing)
            }
            Operation::Arithmetic(arithmetic, left, right) => {
                let ((left, a), (right, b)) = (self.of(left), self.of(right));
                let mut extent = a.either(b);
                if *arithmetic == Arithmetic::Add {
                    (extent.items, extent.bytes) = (a.items.saturating_add(b.items), a.bytes.saturating_add(b.bytes));
                }
                (left.saturating_add(right).saturating_add(making(extent)), extent)
            }
            Operation::Call(function, arguments) => self.call(*function, arguments),
            Operation::Matches(text, pattern) => {
                let (steps, extent) = self.of(text);
                (steps.saturating_add(extent.bytes.saturating_mul(pattern.steps_per_byte)), nothing)
            }
            Operation::NewList(elements) => {
                let (steps, element) = self.sum(elements);
                let extent = Extent::list(u64::try_from(elements.len()).unwrap_or(u64::MAX), element);
                (steps.saturating_add(making(extent)), extent)
            }
            Operation::NewMap(entries) => {
                let (steps, element) = self.sum(entries.iter().flat_map(|(key, value)| [key, value]));
                let extent = Extent::list(u64::try_from(entries.len()).unwrap_or(u64::MAX), element);
                // Every key is compared with those before.
                (steps.saturating_add(making(extent)).saturating_add(extent.items.saturating_mul(extent.items)), extent)
            }
            Operation::All(range, body) | Operation::Exists(range, body) | Operation::ExistsOne(range, body) => {
                let (steps, _) = self.repeated(range, &[body]);
                (steps, nothing)
            }
            Operation::Collect(range, filter, body) => {
                let bodies: Vec<&Node> = [filter, body].into_iter().flatten().map(|node| &**node).collect();
                let (steps, (range, element)) = self.repeated(range, &bodies);
                let extent = if body.is_some() { Extent::list(range.items, element) } else { range };
                (steps.saturating_add(making(extent)), extent)
            }
        }
    }

    /// Steps of a comprehension; how large its range and what the last body gives can be.
    fn repeated(&mut self, range: &Node, bodies: &[&Node]) -> (u64, (Extent, Extent)) {
        let (steps, range) = self.of(range);
        self.locals.push(range.element());
        let (mut each, mut last) = (0_u64, Extent::default());
        for body in bodies {
            let (more, extent) = self.of(body);
            (each, last) = (each.saturating_add(more), extent);
        }
        self.locals.pop();
        let all = range.items.saturating_mul(each.saturating_add(1));
        (steps.saturating_add(making(range)).saturating_add(all), (range, last))
    }

    fn call(&mut self, function: Function, arguments: &[Node]) -> (u64, Extent) {
        let (steps, extent) = self.sum(arguments);
        let text = Extent::text(extent.bytes);
        let (more, extent) = match function {
            Function::Size | Function::StartsWith | Function::EndsWith | Function::Contains => (making(text), Extent::default()),
            Function::ToDyn => (0, extent),
            Function::LowerAscii | Function::UpperAscii | Function::Trim => (making(text), text),
            Function::ToString => (making(text), Extent::text(extent.bytes.max(32))),
            Function::Split => {
                let extent = Extent::list(extent.bytes.saturating_add(1), Extent::text(64));
                (making(extent).saturating_add(making(text)), extent)
            }
            Function::ToInt | Function::ToDouble | Function::ToBool | Function::ToTimestamp | Function::ToDuration => {
                (making(text), Extent::default())
            }
            Function::Greatest | Function::Least => (1, Extent::default()),
        };
        (steps.saturating_add(more), extent)
    }
}

/// How large what is found in a value can be. What is found in the body can be as large as the body, but for its elements.
fn found_in(container: Extent) -> Extent {
    if container.items >= BODY_ITEMS { container } else { container.element() }
}
