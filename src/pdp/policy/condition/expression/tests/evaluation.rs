//! What expressions give.

use super::super::EvaluationErrorKind::*;
use super::*;

#[test]
fn these_hold() {
    for text in [
        "true",
        "request.method == 'PUT' && request.path == \"/users/bob\" && request.host.endsWith('.example.com')",
        "request.headers['x-amount'] == '250' && int(request.headers[\"x-amount\"]) <= 500",
        "request.query.page == '2' && 'page' in request.query && !('size' in request.query) && size(request.query) == 1",
        "has(request.query.page) && !has(request.query.size)",
        "principal.subject == 'alice' && principal.tenant in ['acme', 'umbrella']",
        "'SALES' in principal.roles && principal.roles.exists(r, r.startsWith('EMP'))",
        "principal.roles.all(r, r != 'ADMIN') && principal.roles.exists_one(r, r == 'SALES') && principal.roles.existsOne(r, r == 'SALES')",
        "principal.roles.filter(r, r.contains('A')) == ['SALES']",
        "principal.roles.map(r, r.lowerAscii()) == ['employee', 'sales'] && principal.roles.map(r, r != 'SALES', size(r)) == [8]",
        "principal.roles[0] == 'EMPLOYEE' && principal.roles.size() == 2 && size(principal.services) == 0",
        "principal.permissions == ['orders:read'] && principal.services == []",
        "principal.attributes.department == targets.user.attributes.department",
        "principal.attributes['department'] == 'd1' && !has(principal.attributes.branch) && size(principal.attributes) == 1",
        "principal.attributes == targets.user.attributes && principal.attributes == {'department': 'd1'}",
        "path.user == targets.user.id && path['user'] == 'bob' && targets['user'].roles == ['EMPLOYEE']",
        "has(principal.tenant) && !has(principal.actor) && has(principal.roles) && has(principal.authenticated_at) && has(path.user)",
        "now - principal.authenticated_at < duration('5m') && now < principal.expires && principal.issued_at < now",
        "!principal.crossed_tenants && peer.address.startsWith('10.') && !has(peer.principal)",
        "'pwd' in principal.amr && 'otp' in principal.amr",
        "request.headers.exists(name, name == 'user-agent' && request.headers[name].contains('curl'))",
        "1 + 2 * 3 == 7 && 7 / 2 == 3 && 7 % 4 == 3 && -7 / 2 == -3 && 1.5 + 0.5 == 2.0 && -(1) == -1 && -1.5 < 0.0",
        "1 == 1.0 && 1 < 1.5 && 2.5 > 2 && 9223372036854775807 < 9223372036854775808.0 && 9007199254740993 > 9007199254740992.0",
        "'a' + 'b' == 'ab' && ['a'] + ['b'] == ['a', 'b'] && 'a' < 'b' && !('b' <= 'a') && 'b' >= 'b' && false < true",
        "(1 < 2 ? 'yes' : 'no') == 'yes' && (false ? [1] : [2, 3]).size() == 2",
        "{'sales': 1000, 'hr': 10}['sales'] >= int(request.headers['x-amount']) && {'a': {'b': 1}}.a.b == 1",
        "'hr' in {'hr': 1} && {'hr': 1, 'it': 2} == {'it': 2, 'hr': 1} && {'hr': 1} != {'hr': 2} && size({'a': 1}) == 1",
        "size('Grüße') == 5 && 'abc'.size() == 3 && ' x '.trim() == 'x' && 'aB'.upperAscii() == 'AB' && 'a,b'.split(',') == ['a', 'b']",
        "string(1) == '1' && string(true) == 'true' && string(1.5) == '1.5' && int('42') == 42 && int(1.9) == 1 && double('1.5') == 1.5",
        "int(-1.9) == -1 && double(2) == 2.0 && bool('true') && !bool('0') && string('x') == 'x' && dyn(1) == 1",
        "math.greatest(1, 3, 2) == 3 && math.least(1, 2.5) == 1 && math.greatest(1, 2.5) == 2.5",
        r"request.path.matches(r'^/users/[a-z]+$') && !'/users/b0b'.matches('^/users/[a-z]+$') && 'abc'.matches('b')",
        r"'a1'.matches(r'^\w\d$') && !'a١'.matches(r'^\w\d$') && 'a b'.matches(r'^[\w\s]+$') && 'GET'.matches('(?i)^get$')",
        "[1, 'a', null, [2.0], {'k': true}] == [1.0, 'a', null, [2], {'k': true}] && 'a' in [1, 'a'] && 1.0 in [1]",
        "[[1, 2], [3]].all(l, l.all(n, n > 0)) && [1, 2].map(a, [3, 4].map(b, a * b)) == [[3, 4], [6, 8]]",
        "{'a': 1, 'b': 2}.all(k, k in ['a', 'b']) && [].all(x, x == 1) && ![].exists(x, x == 1)",
        "true || false && false // a comment\n && true",
        "!!true && - -1 == 1",
        "r'\\d' == '\\\\d' && '''it's''' == \"it's\" && '\\u00e9' == 'é' && 'caf\\xe9' == 'café'",
    ] {
        assert!(is_true(text), "{text}");
    }
}

#[test]
fn these_do_not_hold() {
    for text in [
        "false",
        "principal.tenant == 'umbrella'",
        "principal.roles == ['SALES', 'EMPLOYEE']",
        "'sales' in principal.roles",
        "null != null",
    ] {
        assert!(!is_true(text), "{text}");
    }
}

#[test]
fn the_body_is_read_as_it_is() {
    let request = Request::with_body(
        r#"{"amount": 250, "items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2.5}], "note": null, "draft": true, "to": {"a-b": "x"}}"#,
    );
    for text in [
        "body.amount <= 500 && body.amount == 250 && body['amount'] > 249.5 && body.amount + 1.0 == 251.0",
        "body.items.all(i, i.qty > 0) && body.items.exists(i, i.sku == 'b') && body.items[1].qty == 2.5 && size(body.items) == 2",
        "body.items.map(i, i.sku) == ['a', 'b'] && body.items.filter(i, i.qty > 1).size() == 1",
        "body.draft && body.draft == true && body.note == null && has(body.note) && !has(body.other) && 'amount' in body",
        "body.to['a-b'] == 'x' && body.to == {'a-b': 'x'} && body.all(key, size(key) > 1) && size(body) == 5",
        "body.items[int(body.items[0].qty)].sku == 'b' && body.items[body.items[0].qty].sku == 'b'",
        "body.to['a-' + 'b'].startsWith('x') && string(body.amount) == '250' && int(body.amount) % 2 == 0",
        "body.amount != '250' && body.items != body.to && !('x' in body.items.map(i, i.sku))",
        "body.items.all(i, i.sku in principal.roles || i.qty <= 2.5) && body.items.all(i, i.sku.matches('^[a-z]$'))",
        "(body.draft ? body.amount : 0) == 250",
    ] {
        assert_eq!(holds(text, &request), Ok(true), "{text}");
    }
    for (body, text) in [("[1, 2]", "body[1] == 2"), ("\"text\"", "body == 'text'"), ("null", "body == null"), ("7", "body > 6")] {
        assert_eq!(holds(text, &Request::with_body(body)), Ok(true), "{text}");
    }
}

#[test]
fn what_cannot_be_said_is_an_error_and_not_false() {
    let request = Request { tenant: None, ..Request::with_body(r#"{"n": 0, "text": "x", "list": [1], "big": 1e300, "map": {}}"#) };
    for (text, kind) in [
        ("principal.tenant == 'acme'", Absent),
        ("principal.tenant != 'acme'", Absent),
        ("request.headers['x-other'] == 'x'", Absent),
        ("request.query.other != 'x'", Absent),
        ("principal.attributes.branch == 'b'", Absent),
        ("body.other == 1", Absent),
        ("{'a': 1}[request.method] == 1", Absent),
        ("principal.roles[2] == 'x'", OutOfRange),
        ("principal.roles[int('-1')] == 'x'", OutOfRange),
        ("body.list[0.5] == 1", OutOfRange),
        ("body.list[body.big] == 1", OutOfRange),
        ("1 / int(body.n) == 1", DivisionByZero),
        ("1 % int(body.n) == 1", DivisionByZero),
        ("9223372036854775807 + int(body.list[0]) > 0", Overflow),
        ("-9223372036854775808 / -1 == 0", Overflow),
        ("-9223372036854775808 % -1 == 0", Overflow),
        ("-(-9223372036854775808) == 0", Overflow),
        ("int(body.big) == 0", Overflow),
        ("timestamp(int('99999999999999')) < now", Overflow),
        ("now - timestamp('9999-12-31T23:59:59Z') < duration('0')", Overflow),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s') > now", Overflow),
        ("duration('2562047h') + duration('1h') > duration('0')", Overflow),
        ("timestamp('9999-12-31T23:59:59Z').getFullYear() == 9999", Overflow),
        ("int(body.text) == 0", Malformed),
        ("double('nan') == 0.0", Malformed),
        ("double('inf') == 0.0", Malformed),
        ("bool(body.text)", Malformed),
        ("timestamp(body.text) < now", Malformed),
        ("duration(body.text) < duration('1s')", Malformed),
        ("body.text && true", WrongKind),
        ("!body.n", WrongKind),
        ("body.text > 1", WrongKind),
        ("body.n.x == 1", WrongKind),
        ("has(body.n.x)", WrongKind),
        ("body.text[0] == 'x'", WrongKind),
        ("body.list['0'] == 1", WrongKind),
        ("body.map[0] == 1", WrongKind),
        ("1 in body.text", WrongKind),
        ("null in body.map", WrongKind),
        ("body.n.all(x, true)", WrongKind),
        ("body.list.all(x, body.text)", WrongKind),
        ("body.text + 1 == 1", WrongKind),
        ("body.n + 1 == 1", WrongKind),
        ("body.n % 2 == 1", WrongKind),
        ("body.n.startsWith('x')", WrongKind),
        ("size(body.n) == 1", WrongKind),
        ("body.n.getHours() == 1", WrongKind),
        ("math.greatest(body.text, 1) == 1", WrongKind),
        ("0.0 / 0.0 < 1.0", WrongKind),
        ("body.text ? true : false", WrongKind),
        ("{request.method: 1, 'P' + 'UT': 2} == {}", DuplicateKey),
    ] {
        assert_eq!(holds(text, &request), Err(kind), "{text}");
    }
    assert_eq!(holds("body.x == 1", &Request::default()), Err(Absent), "no body at all");
}

#[test]
fn what_is_there_twice_is_neither_there_nor_absent() {
    let twice = vec![("x-tenant", "acme".to_owned()), ("x-tenant", "umbrella".to_owned())];
    let request = Request { headers: twice.clone(), query: Some(twice), ..Request::default() };
    for text in [
        "request.headers['x-tenant'] == 'acme'",
        "request.headers['x-tenant'] != 'acme'",
        "'x-tenant' in request.headers",
        "!('x-tenant' in request.headers) || request.headers['x-tenant'] == principal.tenant",
        "request.query['x-tenant'] == 'acme'",
        "!('x-tenant' in request.query)",
        "request.headers.all(name, request.headers[name] != '')",
        "request.headers == {'x-tenant': 'acme'} || request.headers == {}",
    ] {
        assert_eq!(holds(text, &request), Err(Unclear), "{text}");
    }
    assert_eq!(holds("request.headers.exists(name, name == 'x-tenant') && !('x-other' in request.headers)", &request), Ok(true));
}

#[test]
fn a_query_that_cannot_be_read_is_not_empty() {
    let request = Request { query: None, ..Request::default() };
    for text in ["request.query.all(name, name == 'page')", "size(request.query) == 0", "request.query == {}", "!has(request.query.page)"] {
        assert_eq!(holds(text, &request), Err(Unclear), "{text}");
    }
}

#[test]
fn an_error_is_absorbed_only_by_what_decides_without_it() {
    let request = Request { tenant: None, ..Request::default() };
    let error = "principal.tenant == 'x'";
    for (text, result) in [
        (format!("{error} || true"), Ok(true)),
        (format!("true || {error}"), Ok(true)),
        (format!("{error} || false"), Err(Absent)),
        (format!("false || {error}"), Err(Absent)),
        (format!("{error} && false"), Ok(false)),
        (format!("false && {error}"), Ok(false)),
        (format!("{error} && true"), Err(Absent)),
        (format!("true && {error}"), Err(Absent)),
        (format!("{error} || {error}"), Err(Absent)),
        (format!("!({error})"), Err(Absent)),
        (format!("{error} ? true : true"), Err(Absent)),
        (format!("true ? true : {error}"), Ok(true)),
        (format!("['a', 'b'].exists(x, x == 'b' || {error})"), Ok(true)),
        (format!("['a', 'b'].exists(x, x == 'c' || {error})"), Err(Absent)),
        (format!("['a', 'b'].all(x, x == 'a' && {error})"), Ok(false)),
        (format!("['a', 'b'].all(x, x != 'c' && {error})"), Err(Absent)),
        (format!("['a', 'b'].exists_one(x, x == 'a' || {error})"), Err(Absent)),
        (format!("['a'].map(x, {error}) == [true]"), Err(Absent)),
        (format!("['a'].filter(x, {error}) == []"), Err(Absent)),
        (format!("has(principal.tenant) && {error}"), Ok(false)),
        (format!("!has(principal.tenant) || {error}"), Ok(true)),
    ] {
        assert_eq!(holds(&text, &request), result, "{text}");
    }
}

#[test]
fn variables_of_comprehensions_are_their_own() {
    for text in [
        "['a'].all(x, ['b'].all(y, x == 'a' && y == 'b')) && ['c'].all(x, x == 'c')",
        "['a'].all(x, ['b', x].filter(y, y == x) == ['a'])",
        "principal.roles.map(r, principal.roles.filter(q, q != r)).all(l, size(l) == 1)",
        // An error inside leaves no variable behind.
        "['a'].exists(x, ['b'].all(y, int(y) == 1)) || ['z'].all(x, x == 'z')",
    ] {
        assert!(is_true(text), "{text}");
    }
}

#[test]
fn an_error_says_where_and_nothing_of_the_request() {
    let error = compile("true &&\n  principal.attributes.branch == 'b'").holds(&Request::default()).unwrap_err();
    assert_eq!(error.to_string(), "at 2:23 of the expression: what is read is not there");
}

#[test]
fn an_evaluation_ends_after_so_many_steps() {
    let items: Vec<String> = (0..6000).map(|number| format!("\"i{number}\"")).collect();
    let request = Request {
        roles: (0..1000).map(|number| format!("r{number}")).collect(),
        ..Request::with_body(&format!("{{\"items\": [{}]}}", items.join(",")))
    };
    let text = "body.items.all(i, !(i in principal.roles))";
    assert_eq!(holds(text, &request), Err(TooExpensive));
    assert_eq!(holds(&format!("{text} || true"), &request), Err(TooExpensive), "nothing absorbs it");
    assert_eq!(holds(&format!("!({text}) || 1 == 1 || true"), &request), Err(TooExpensive));
    // A text in a list inside of which it is not is little work, as long as the lists are of usual sizes.
    let request = Request { roles: vec!["x".to_owned()], ..request };
    assert_eq!(holds(text, &request), Ok(true));
}
