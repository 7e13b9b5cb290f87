//! Expressions out of a grammar, compared with what the `cel` crate's own interpreter makes of them.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Env, Value, extensions};

use super::*;

const BODY: &str = r#"{"n": 2, "f": 2.5, "s": "acme", "b": true, "z": null, "l": [1, 2, 3], "t": ["a", "b"], "o": {"a": 1, "b": "x"}, "i": [{"q": 1}, {"q": 0, "s": "a"}]}"#;

/// What another implementation is given for the same request.
fn context(env: Arc<Env>, request: &Request) -> Context<'static, 'static> {
    let text = |variable| request.text(variable).map(|text| Value::from(text.into_owned()));
    let list = |variable| Value::from(request.list(variable).into_iter().map(|text| Value::from(text.into_owned())).collect::<Vec<_>>());
    let table = |table| {
        let names = request.names(table).unwrap().into_iter();
        map(names.filter_map(|name| match request.entry(table, &name) {
            Entry::Value(text) => Some((name.into_owned(), Value::from(text.into_owned()))),
            Entry::Absent | Entry::Unclear => None,
        }))
    };
    let record = |members: Vec<(&str, Option<Value>)>| {
        map(members.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))))
    };
    let target = |number| {
        record(vec![
            ("id", text(TextVariable::TargetId(number))),
            ("roles", Some(list(ListVariable::TargetRoles(number)))),
            ("attributes", Some(table(TableVariable::TargetAttributes(number)))),
        ])
    };
    let mut context = Context::with_env(env);
    for (name, value) in [
        (
            "request",
            record(vec![
                ("method", text(TextVariable::Method)),
                ("path", text(TextVariable::RequestPath)),
                ("headers", Some(table(TableVariable::Headers))),
                ("query", Some(table(TableVariable::Query))),
            ]),
        ),
        (
            "principal",
            record(vec![
                ("subject", text(TextVariable::Subject)),
                ("tenant", text(TextVariable::Tenant)),
                ("actor", text(TextVariable::Actor)),
                ("roles", Some(list(ListVariable::Roles))),
                ("services", Some(list(ListVariable::Services))),
                ("attributes", Some(table(TableVariable::PrincipalAttributes))),
                ("crossed_tenants", Some(Value::Bool(request.crossed_tenants))),
            ]),
        ),
        ("path", record(vec![("user", text(TextVariable::PathParameter(0)))])),
        ("targets", record(vec![("user", Some(target(0)))])),
        ("body", request.body.as_ref().map_or(Value::Null, of_json)),
    ] {
        context.add_variable_from_value(name, value);
    }
    context
}

fn map(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Map(Map { map: Arc::new(entries.map(|(name, value)| (Key::from(name), value)).collect::<HashMap<_, _>>()) })
}

fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Float(*number),
        Json::String(text) => Value::from(text.to_string()),
        Json::Array(items) => Value::from(items.iter().map(of_json).collect::<Vec<_>>()),
        Json::Object(object) => map(object.iter().map(|(name, json)| (name.to_owned(), of_json(json)))),
    }
}

/// Writes expressions; where there is a choice, numbers that look random choose.
struct Writer {
    state: u64,
    locals: Vec<(String, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Int,
    Double,
    Text,
    Texts,
    Ints,
    Map,
    Dyn,
}

const KINDS: [Kind; 8] = [Kind::Bool, Kind::Int, Kind::Double, Kind::Text, Kind::Texts, Kind::Ints, Kind::Map, Kind::Dyn];

impl Writer {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        usize::try_from(self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % limit
    }

    fn one_of(&mut self, choices: &[&str]) -> String {
        choices[self.below(choices.len())].to_owned()
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let locals: Vec<String> = self.locals.iter().filter(|(_, other)| *other == kind).map(|(name, _)| name.clone()).collect();
        if !locals.is_empty() && self.below(2) == 0 {
            return locals[self.below(locals.len())].clone();
        }
        match kind {
            Kind::Bool => self.one_of(&[
                "true",
                "false",
                "principal.crossed_tenants",
                "has(principal.tenant)",
                "has(principal.actor)",
                "has(body.o.a)",
                "has(request.headers.host)",
            ]),
            // As doubles these are exact: the other interpreter rounds before it compares.
            Kind::Int => self.one_of(&["0", "1", "2", "-1", "7", "4294967296", "-9223372036854775808"]),
            Kind::Double => self.one_of(&["0.0", "1.0", "2.5", "-0.5", "1e300", "-1e300"]),
            Kind::Text => self.one_of(&[
                "''",
                "'a'",
                "'acme'",
                "'7'",
                "'x y'",
                "'é'",
                "'true'",
                "principal.tenant",
                "principal.actor",
                "request.method",
                "request.path",
                "path.user",
                "targets.user.id",
                "request.query.page",
                "request.headers['x-amount']",
                "request.headers['none']",
                "principal.attributes.department",
            ]),
            Kind::Texts => {
                self.one_of(&["[]", "['a']", "['acme', 'SALES']", "principal.roles", "principal.services", "targets.user.roles"])
            }
            Kind::Ints => self.one_of(&["[]", "[1]", "[1, 2, 2]", "[0, -1]"]),
            Kind::Map => self.one_of(&[
                "{}",
                "{'a': 1}",
                "{'a': 1, 'b': 2}",
                "{'department': 'd1'}",
                "request.headers",
                "request.query",
                "principal.attributes",
                "targets.user.attributes",
            ]),
            Kind::Dyn => self.one_of(&[
                "body",
                "body.n",
                "body.f",
                "body.s",
                "body.b",
                "body.z",
                "body.l",
                "body.t",
                "body.o",
                "body.i",
                "body.none",
                "body.o.b",
                "body.l[1]",
                "body.i[0].q",
                "body.n.x",
                "null",
                "dyn(1)",
                "dyn('a')",
                "dyn([1])",
            ]),
        }
    }

    fn write(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 {
            return self.leaf(kind);
        }
        let depth = depth - 1;
        // Now and then something of which the type is not known.
        if kind != Kind::Dyn && self.below(10) == 0 {
            return self.write(Kind::Dyn, depth);
        }
        if self.below(12) == 0 {
            let (condition, yes, no) = (self.write(Kind::Bool, depth), self.write(kind, depth), self.write(kind, depth));
            return format!("({condition} ? {yes} : {no})");
        }
        match (kind, self.below(10)) {
            (Kind::Bool, 0..=2) => {
                let operator = self.one_of(&["&&", "||"]);
                format!("({} {operator} {})", self.write(Kind::Bool, depth), self.write(Kind::Bool, depth))
            }
            (Kind::Bool, 3) => format!("!{}", self.write(Kind::Bool, depth)),
            (Kind::Bool, 4) => {
                let kind = KINDS[self.below(KINDS.len())];
                let operator = self.one_of(&["==", "!="]);
                format!("({} {operator} {})", self.write(kind, depth), self.write(kind, depth))
            }
            (Kind::Bool, 5) => {
                let kinds = [Kind::Int, Kind::Double, Kind::Text, Kind::Bool, Kind::Dyn];
                let (left, right) = match self.below(6) {
                    0 => (Kind::Int, Kind::Double),
                    number => (kinds[number - 1], kinds[number - 1]),
                };
                let operator = self.one_of(&["<", "<=", ">", ">="]);
                format!("({} {operator} {})", self.write(left, depth), self.write(right, depth))
            }
            (Kind::Bool, 6) => {
                let (element, container) = [
                    (Kind::Text, Kind::Texts),
                    (Kind::Int, Kind::Ints),
                    (Kind::Text, Kind::Map),
                    (Kind::Text, Kind::Dyn),
                    (Kind::Double, Kind::Ints),
                ][self.below(5)];
                format!("({} in {})", self.write(element, depth), self.write(container, depth))
            }
            (Kind::Bool, 7) => {
                let function = self.one_of(&["startsWith", "endsWith", "contains"]);
                format!("{}.{function}({})", self.write(Kind::Text, depth), self.write(Kind::Text, depth))
            }
            (Kind::Bool, 8) => format!("bool({})", self.write(Kind::Text, depth)),
            (Kind::Bool, _) => {
                let macro_name = self.one_of(&["all", "exists", "exists_one"]);
                let (range, element) =
                    [(Kind::Texts, Kind::Text), (Kind::Ints, Kind::Int), (Kind::Map, Kind::Text), (Kind::Dyn, Kind::Dyn)][self.below(4)];
                self.comprehension(&macro_name, range, element, Kind::Bool, depth)
            }
            (Kind::Int, 0..=4) => {
                let operator = self.one_of(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.write(Kind::Int, depth), self.write(Kind::Int, depth))
            }
            (Kind::Int, 5) => {
                let kind = [Kind::Text, Kind::Texts, Kind::Map, Kind::Dyn][self.below(4)];
                format!("size({})", self.write(kind, depth))
            }
            (Kind::Int, 6) => {
                let kind = [Kind::Text, Kind::Double, Kind::Int, Kind::Dyn][self.below(4)];
                format!("int({})", self.write(kind, depth))
            }
            (Kind::Int, 7) => format!("{}[{}]", self.write(Kind::Ints, depth), self.write(Kind::Int, depth)),
            (Kind::Int, 8) => format!("-({})", self.write(Kind::Int, depth)),
            (Kind::Int, _) => {
                let function = self.one_of(&["greatest", "least"]);
                format!("math.{function}({}, {})", self.write(Kind::Int, depth), self.write(Kind::Int, depth))
            }
            (Kind::Double, 0..=5) => {
                let operator = self.one_of(&["+", "-", "*", "/"]);
                format!("({} {operator} {})", self.write(Kind::Double, depth), self.write(Kind::Double, depth))
            }
            (Kind::Double, _) => {
                let kind = [Kind::Text, Kind::Double, Kind::Int][self.below(3)];
                format!("double({})", self.write(kind, depth))
            }
            (Kind::Text, 0..=2) => format!("({} + {})", self.write(Kind::Text, depth), self.write(Kind::Text, depth)),
            (Kind::Text, 3) => format!("{}[{}]", self.write(Kind::Texts, depth), self.write(Kind::Int, depth)),
            (Kind::Text, 4) => {
                let kind = [Kind::Text, Kind::Int, Kind::Double, Kind::Bool][self.below(4)];
                format!("string({})", self.write(kind, depth))
            }
            (Kind::Text, 5) => format!("{}.lowerAscii()", self.write(Kind::Text, depth)),
            (Kind::Text, 6) => format!("{}.trim()", self.write(Kind::Text, depth)),
            (Kind::Text, _) => format!("principal.attributes[{}]", self.write(Kind::Text, depth)),
            // To a list the other interpreter also adds maps, which nobody specified.
            (Kind::Texts, 0..=2) => format!("({} + {})", self.write(Kind::Texts, depth), self.leaf(Kind::Texts)),
            (Kind::Texts, 3) => format!("{}.split({})", self.write(Kind::Text, depth), self.write(Kind::Text, depth)),
            (Kind::Texts, 4..=5) => self.comprehension("filter", Kind::Texts, Kind::Text, Kind::Bool, depth),
            (Kind::Texts, 6) => self.comprehension("map", Kind::Texts, Kind::Text, Kind::Text, depth),
            (Kind::Texts, 7) => self.comprehension("map", Kind::Ints, Kind::Int, Kind::Text, depth),
            (Kind::Texts, _) => format!("[{}, {}]", self.write(Kind::Text, depth), self.write(Kind::Text, depth)),
            (Kind::Ints, 0..=2) => format!("({} + {})", self.write(Kind::Ints, depth), self.leaf(Kind::Ints)),
            (Kind::Ints, 3..=5) => self.comprehension("map", Kind::Texts, Kind::Text, Kind::Int, depth),
            (Kind::Ints, 6) => self.comprehension("filter", Kind::Ints, Kind::Int, Kind::Bool, depth),
            (Kind::Ints, _) => format!("[{}]", self.write(Kind::Int, depth)),
            (Kind::Map, _) => {
                let kind = KINDS[self.below(KINDS.len())];
                format!("{{{}: {}, 'k': {}}}", self.write(Kind::Text, depth), self.write(kind, depth), self.write(kind, depth))
            }
            (Kind::Dyn, 0..=2) => {
                let name = self.one_of(&["n", "l", "o", "a", "q", "none"]);
                format!("{}.{name}", self.write(Kind::Dyn, depth))
            }
            (Kind::Dyn, 3..=4) => {
                let kind = [Kind::Int, Kind::Text, Kind::Double, Kind::Dyn][self.below(4)];
                format!("{}[{}]", self.write(Kind::Dyn, depth), self.write(kind, depth))
            }
            (Kind::Dyn, 5) => {
                let kind = KINDS[self.below(KINDS.len())];
                format!("dyn({})", self.write(kind, depth))
            }
            (Kind::Dyn, 6) => {
                let operator = self.one_of(&["-", "*", "/", "%"]);
                format!("({} {operator} {})", self.write(Kind::Dyn, depth), self.write(Kind::Dyn, depth))
            }
            (Kind::Dyn, 7) => {
                let (a, b) = (KINDS[self.below(KINDS.len())], KINDS[self.below(KINDS.len())]);
                format!("[{}, {}]", self.write(a, depth), self.write(b, depth))
            }
            (Kind::Dyn, _) => self.leaf(Kind::Dyn),
        }
    }

    fn comprehension(&mut self, name: &str, range: Kind, element: Kind, body: Kind, depth: usize) -> String {
        let range = self.write(range, depth);
        let variable = format!("v{}", self.locals.len());
        self.locals.push((variable.clone(), element));
        let body = self.write(body, depth);
        self.locals.pop();
        format!("{range}.{name}({variable}, {body})")
    }
}

#[test]
fn it_agrees_with_another_interpreter() {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).unwrap();
    env.add_extension(extensions::math).unwrap();
    let env = Arc::new(env);
    let request = Request::with_body(BODY);
    let context = context(Arc::clone(&env), &request);
    let mut writer = Writer { state: 0x9E37_79B9_7F4A_7C15, locals: Vec::new() };
    let (mut accepted, mut decided) = (0, 0);
    let cases = std::env::var("CEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1500);
    for case in 0..cases {
        let text = writer.write(Kind::Bool, 1 + case % 4);
        let Ok(expression) = Expression::compile(&text, &environment()) else { continue };
        accepted += 1;
        let ours = expression.holds(&request);
        let theirs = env.compile(&text).unwrap().execute(&context);
        match (&ours, &theirs) {
            (Ok(ours), Ok(Value::Bool(theirs))) if ours == theirs => decided += 1,
            (Err(_), Err(_)) => {}
            _ => panic!("{text}\nours: {ours:?}\ntheirs: {theirs:?}"),
        }
    }
    assert!(accepted * 3 > cases && decided * 8 > cases, "{accepted} accepted and {decided} decided of {cases}");
}
