//! What is refused at load, and with which words.

use super::*;

#[test]
fn a_refusal_says_where_what_and_what_instead() {
    for (text, message) in [
        // Names.
        ("principle.tenant == 'x'", "at 1:1 of the expression: there is no 'principle' here; did you mean 'principal'?"),
        ("foo == 1", "at 1:1 of the expression: there is no 'foo' here: there are request, principal, path, targets, peer, now, body"),
        ("true &&\n principal.tennant == 'x'", "at 2:11 of the expression: 'principal' has no 'tennant'; did you mean 'tenant'?"),
        ("request.header['x'] == 'x'", "at 1:8 of the expression: 'request' has no 'header'; did you mean 'headers'?"),
        ("path.usr == 'x'", "at 1:5 of the expression: the route's path has no parameter 'usr'; did you mean 'user'?"),
        ("path['usr'] == 'x'", "at 1:5 of the expression: the route's path has no parameter 'usr'; did you mean 'user'?"),
        ("targets.boss.id == 'x'", "at 1:8 of the expression: the route declares no target 'boss': there are user, manager"),
        ("targets.user.name == 'x'", "at 1:13 of the expression: a target has no 'name': there are id, roles, attributes"),
        (
            "principal == 'x'",
            "at 1:1 of the expression: this is no value by itself: name one of its members (subject, tenant, issuer, session, client, actor, realm, acr, roles, permissions, services, amr, attributes, authenticated_at, issued_at, expires, crossed_tenants)",
        ),
        (
            "principal.roles.exists(r, q == 'x')",
            "at 1:27 of the expression: there is no 'q' here: there are request, principal, path, targets, peer, now, body, r",
        ),
        ("request.headers['X-Id'] == 'x'", "at 1:16 of the expression: names of headers are in lower case here: write \"x-id\""),
        ("'X-Id' in request.headers", "at 1:8 of the expression: names of headers are in lower case here: write \"x-id\""),
        // Types.
        ("principal.tenant", "at 1:1 of the expression: this is a string, and a condition is a bool: compare it with something"),
        ("body.flag", "at 1:1 of the expression: what this gives is only known when it is evaluated: write '== true' behind it"),
        ("principal.tenant == 1", "at 1:18 of the expression: a string never equals an int"),
        ("principal.tenant == null", "at 1:18 of the expression: a string never equals null: write has(...) to know whether it is there"),
        ("principal.roles == 'SALES'", "at 1:17 of the expression: a list(string) never equals a string"),
        ("1 < '2'", "at 1:3 of the expression: an int cannot be compared with a string"),
        ("[1] < [2]", "at 1:5 of the expression: a list(int) is neither less nor greater than anything"),
        ("1 in principal.roles", "at 1:3 of the expression: an int is never in a list of string"),
        ("'a' in 'abc'", "at 1:5 of the expression: 'in' looks into lists and maps: write text.contains(part)"),
        ("'a' in 1", "at 1:5 of the expression: 'in' looks into lists and maps, and this is an int"),
        ("principal.tenant && true", "at 1:10 of the expression: '&&' takes a bool, and this is a string: compare it with something"),
        ("!principal.tenant", "at 1:11 of the expression: '!' takes a bool, and this is a string: compare it with something"),
        ("(true ? 1 : 'x') == 1", "at 1:7 of the expression: this is either an int or a string: make both the same"),
        ("1 + 1.0 == 2.0", "at 1:3 of the expression: there is no '+' of an int and a double: convert one with double(...) or int(...)"),
        ("'a' + 1 == 'a1'", "at 1:5 of the expression: there is no '+' of a string and an int"),
        ("now - 5 < now", "at 1:5 of the expression: there is no '-' of a timestamp and an int"),
        ("-'a' == 'a'", "at 1:1 of the expression: '-' takes a number, and this is a string"),
        ("principal.roles['x'] == 'x'", "at 1:16 of the expression: a position in a list is an int, and this is a string"),
        ("principal.roles[-1] == 'x'", "at 1:16 of the expression: positions count from 0"),
        ("request.headers[1] == 'x'", "at 1:16 of the expression: keys of maps are strings, and this is an int"),
        ("principal.tenant.id == 'x'", "at 1:17 of the expression: a string has no members, and so no 'id'"),
        ("principal.tenant[0] == 'x'", "at 1:17 of the expression: a string has no elements"),
        ("{1: 'x'} == {}", "at 1:2 of the expression: keys of maps are strings here, and this is an int"),
        ("{'a': 1, 'a': 2} == {}", "at 1:10 of the expression: the key 'a' is there twice"),
        // Functions.
        (
            "lower('a') == 'a'",
            "at 1:6 of the expression: there is no function 'lower': there are has, size, int, double, string, bool, timestamp, duration, dyn, math.greatest, math.least, all, exists, exists_one, filter, map, size, startsWith, endsWith, contains, matches, lowerAscii, upperAscii, trim, split, getFullYear, getMonth, getDayOfYear, getDayOfMonth, getDate, getDayOfWeek, getHours, getMinutes, getSeconds, getMilliseconds",
        ),
        ("'a'.startWith('a')", "at 1:14 of the expression: there is no function 'startWith'; did you mean 'startsWith'?"),
        ("startsWith('a', 'a')", "at 1:11 of the expression: write x.startsWith(...) instead of startsWith(x, ...)"),
        ("'a'.string() == 'a'", "at 1:11 of the expression: write string(x) instead of x.string()"),
        ("'a'.startsWith() == true", "at 1:15 of the expression: 'startsWith' does not take that many arguments"),
        ("size('a', 'b') == 1", "at 1:5 of the expression: 'size' does not take that many arguments"),
        ("'a'.startsWith(1)", "at 1:16 of the expression: 'startsWith' takes a string, and this is an int"),
        ("principal.roles.contains('x')", "at 1:25 of the expression: 'contains' looks into strings: write 'x in list'"),
        ("size(1) == 1", "at 1:5 of the expression: 'size' takes a string, a list or a map, and this is an int"),
        ("int(true) == 1", "at 1:5 of the expression: 'int' takes an int or a double or a string or a timestamp, and this is a bool"),
        ("max(1, 2) == 2", "at 1:4 of the expression: there is no function 'max'; did you mean 'math.greatest'?"),
        ("math.greatest(1) == 1", "at 1:14 of the expression: 'math.greatest' takes two numbers or more"),
        ("math.abs(1) == 1", "at 1:9 of the expression: 'math' has 'greatest' and 'least' only"),
        ("math == 1", "at 1:1 of the expression: 'math' has functions only: write math.greatest(a, b) or math.least(a, b)"),
        (
            "now.getHours('Mars/Base') == 1",
            "at 1:14 of the expression: there is no time zone 'Mars/Base': write it like \"Europe/Berlin\" or \"+05:30\"",
        ),
        ("now.getHours(principal.tenant) == 1", "at 1:23 of the expression: the time zone is written out: \"Europe/Berlin\" or \"+05:30\""),
        ("duration('1h').getHours('UTC') == 1", "at 1:24 of the expression: a duration has no time zone"),
        ("duration('1h').getMonth() == 1", "at 1:24 of the expression: 'getMonth' takes a timestamp, and this is a duration"),
        ("now < timestamp('tomorrow')", "at 1:17 of the expression: this is no point in time: write it like 2026-01-31T08:00:00Z"),
        ("now - now < duration('1 day')", "at 1:22 of the expression: this is no span of time: write it like 90s, 15m or 1h30m"),
        (
            "'a'.matches(principal.tenant)",
            "at 1:22 of the expression: the pattern of 'matches' is written out, so that it can be compiled beforehand: r\"^[a-z]+$\"",
        ),
        ("'a'.matches('(')", "at 1:13 of the expression: this pattern cannot be used: unclosed group"),
        (
            r"'a'.matches(r'\bx')",
            r"at 1:13 of the expression: this pattern cannot be used: there is no '\b' here: write out the characters, such as [a-z0-9]",
        ),
        (
            "'a'.matches('(a{1,100}){1,100}')",
            "at 1:13 of the expression: this pattern cannot be used: it is too large: bound its repetitions and shorten it",
        ),
        // Macros.
        (
            "has(principal)",
            "at 1:5 of the expression: 'has' asks for a member: write has(x.name); for a name with other characters, '\"na-me\" in x'",
        ),
        ("has(principal.tennant)", "at 1:14 of the expression: 'principal' has no 'tennant'; did you mean 'tenant'?"),
        ("has(principal.tenant.x)", "at 1:21 of the expression: a string has no members, and so no 'x'"),
        ("has(request.headers.X)", "at 1:20 of the expression: names of headers are in lower case here: write \"x\""),
        ("has(a, b)", "at 1:4 of the expression: 'has' does not take that many arguments"),
        ("principal.roles.all(r)", "at 1:20 of the expression: 'all' takes a variable and an expression: list.all(x, ...)"),
        ("principal.roles.all('r', true)", "at 1:21 of the expression: this is the name of a variable: list.all(x, ...)"),
        ("principal.roles.all(now, true)", "at 1:21 of the expression: 'now' means something else already: choose another name"),
        (
            "principal.roles.all(r, principal.roles.all(r, true))",
            "at 1:44 of the expression: 'r' means something else already: choose another name",
        ),
        ("principal.roles.all(r, r)", "at 1:24 of the expression: 'all' asks whether something is true, and this is a string"),
        ("principal.tenant.all(r, true)", "at 1:21 of the expression: 'all' goes over lists and maps, and this is a string"),
        (
            "principal.roles.map(r, r)",
            "at 1:1 of the expression: this is a list(string), and a condition is a bool: compare it with something",
        ),
        // Syntax.
        ("", "at 1:1 of the expression: the expression is empty: write what has to be true"),
        ("1 = 1", "at 1:3 of the expression: unexpected '=': write '==' to compare"),
        ("true & false", "at 1:6 of the expression: unexpected '&': write '&&'"),
        ("true and false", "at 1:6 of the expression: unexpected 'and': write '&&'"),
        ("not true", "at 1:5 of the expression: unexpected 'true'"),
        ("true ||", "at 1:8 of the expression: the expression ends too early: something is missing or not closed"),
        ("(true", "at 1:6 of the expression: ')' is missing at the end"),
        ("[1 == 1", "at 1:8 of the expression: the expression ends too early: something is missing or not closed"),
        ("(1 2) == 1", "at 1:4 of the expression: unexpected '2'"),
        ("true)", "at 1:5 of the expression: unexpected ')'"),
        ("'a", "at 1:1 of the expression: this string is not closed"),
        (r"'\d' == 'd'", r#"at 1:2 of the expression: no such escape: write '\\' for a backslash, or r"..." for a text without escapes"#),
        ("1u == 1", "at 1:1 of the expression: there are no unsigned numbers here: leave the 'u' out"),
        ("b'x' == 'x'", "at 1:1 of the expression: there are no bytes here: write a string, \"...\""),
        ("a.`b` == 1", "at 1:3 of the expression: '`' has no meaning here: write m[\"name\"] for an odd name"),
        ("9223372036854775808 > 1", "at 1:1 of the expression: invalid int literal: it is out of range"),
        ("for == 1", "at 1:1 of the expression: 'for' is a reserved word: choose another name"),
        ("a.?b == 1", "at 1:2 of the expression: unexpected '.?': write has(x.name) to know whether it is there"),
        ("X{a: 1} == 1", "at 1:2 of the expression: there are no messages here: write a map, {\"name\": value}"),
    ] {
        assert_eq!(refusal(text), message, "{text}");
    }
}

#[test]
fn what_a_route_does_not_have_cannot_be_read() {
    let bare = Environment::default();
    for (text, message) in [
        ("body.x == 1", "at 1:1 of the expression: the body cannot be read here: only where the route reads it"),
        ("path.user == 'x'", "at 1:5 of the expression: the route's path has no parameter 'user': it has none at all"),
        ("targets.user.id == 'x'", "at 1:8 of the expression: the route declares no target 'user': it has none at all"),
        ("[1].all(body, true)", "at 1:9 of the expression: 'body' means something else already: choose another name"),
    ] {
        assert_eq!(Expression::compile(text, &bare).unwrap_err().to_string(), message);
    }
}

#[test]
fn places_count_characters() {
    assert_eq!(refusal("'é😀' == 'x' && foo == 1").split(" of").next(), Some("at 1:16"));
}

#[test]
fn what_could_cost_too_much_is_refused() {
    for text in [
        "body.items.all(a, body.items.exists(b, a == b))",
        "body.all(a, body.all(b, body.all(c, true)))",
        "principal.roles.all(a, principal.roles.all(b, principal.roles.all(c, a == b)))",
        "principal.roles.all(a, body.items.all(b, a == b))",
        "request.headers.all(h, request.headers[h].matches('^(a|b)*c$'))",
        "body.items.map(i, body.text + body.text) == []",
        "body.text.split('').all(a, body.text.split('').all(b, a == b))",
    ] {
        let message = refusal(text);
        assert!(message.contains("steps, and 50000000 are the most"), "{text}: {message}");
    }
}

#[test]
fn what_is_usual_is_not_too_expensive() {
    for text in [
        "body.items.all(i, i.qty > 0 && i.qty <= 100 && i.sku.startsWith('a') && i.sku.matches('^[a-z0-9-]{1,40}$'))",
        "body.items.all(i, i.tags.all(t, t in ['a', 'b', 'c']))",
        "body.roles.all(r, r in principal.roles)",
        "principal.roles.exists(a, targets.user.roles.exists(b, a == b))",
        "principal.roles.exists(r, r in targets.user.roles) && principal.permissions.exists(p, p in principal.roles)",
        "request.headers.all(h, !h.startsWith('x-internal-'))",
        "request.headers['user-agent'].matches('^curl/')",
        "request.query.all(q, request.query[q].matches('^[a-z]*$'))",
    ] {
        assert!(compile(text).estimate() <= MAX_ESTIMATE, "{text}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_accepted() {
    let page = include_str!("../../../../../../docs/conditions.md");
    let (_, examples) = page.split_once("## Examples").unwrap();
    let expressions: Vec<String> = examples
        .split("when: ")
        .skip(1)
        .map(|example| {
            let lines = example.lines().take_while(|line| !line.is_empty() && !line.starts_with("```"));
            let text = lines.collect::<Vec<_>>().join("\n");
            text.trim_start_matches('|').trim_matches('"').to_owned()
        })
        .collect();
    assert_eq!(expressions.len(), 6);
    for expression in expressions {
        compile(&expression);
    }
}
