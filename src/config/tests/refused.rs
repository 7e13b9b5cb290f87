use super::*;

/// One entry of `refused.txt`.
struct Refusal {
    title: String,
    text: String,
    problems: Vec<String>,
}

fn refusals() -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for entry in include_str!("refused.txt").split("\n=== ").skip(1) {
        let (title, body) = entry.split_once('\n').expect("a body below each title");
        let (problems, text): (Vec<&str>, Vec<&str>) = body.lines().partition(|line| line.starts_with("! "));
        let base = if title.ends_with(" (+)") { BASE } else { "" };
        refusals.push(Refusal {
            title: title.to_string(),
            text: format!("{}\n{base}", text.join("\n")),
            problems: problems.iter().map(|line| line[2..].to_string()).collect(),
        });
    }
    refusals
}

fn problems(text: &str) -> Vec<String> {
    compile(text).err().map(|problems| problems.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn every_problem_is_reported_with_its_place_and_what_to_write_instead() {
    let refusals = refusals();
    assert!(refusals.len() > 50);
    let mut differing = Vec::new();
    for Refusal { title, text, problems: expected } in refusals {
        assert!(!expected.is_empty(), "{title}: nothing is expected");
        let got = problems(&text);
        if got != expected {
            differing.push(format!("=== {title}\n! {}", got.join("\n! ")));
        }
    }
    assert!(differing.is_empty(), "these are reported otherwise than refused.txt says:\n{}", differing.join("\n"));
}

#[test]
fn messages_are_lower_case_and_free_of_type_names() {
    for refusal in refusals() {
        for problem in compile(&refusal.text).err().unwrap().iter() {
            let first = problem.message.chars().next().unwrap();
            assert!(!first.is_uppercase() && !problem.message.ends_with('.'), "{problem}");
            for odd in ["Some(", "None", "Err(", "Box<", "Yaml", "Scalar"] {
                assert!(!problem.message.contains(odd), "{problem}");
            }
        }
    }
}

#[test]
fn duplicates_across_files_name_both_places() {
    let route = "routes: [{ path: /a, name: n, methods: { GET: { access: public } } }]";
    let files = [
        file("a.yaml", BASE),
        file("b.yaml", &format!("roles: {{ r: {{ permissions: [] }} }}\nlisten: {{}}\n{route}")),
        file("c.yaml", &format!("{BASE}roles: {{ r: {{ permissions: [] }} }}\nlisten: {{}}\n{route}")),
    ];
    let problems = Configuration::compile(&files).unwrap_err();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "c.yaml:2:3: issuers.manager: the issuer 'manager' is there already, at a.yaml:2:3",
            "c.yaml:3:13: issuers.manager.issuer: this 'iss' belongs to another issuer already, at a.yaml:3:13",
            "c.yaml:7:14: permissions: this is there already, at a.yaml:7:24; keep one of them",
            "c.yaml:8:10: roles.r: the role 'r' is there already, at b.yaml:1:10",
            "c.yaml:9:9: listen: this is there already, at b.yaml:2:9; keep one of them",
            "c.yaml:10:18: routes[0].path: '/a' has the same host and the same shape of path as the route 'n' at b.yaml:3:28, so neither would come \
             first; merge their methods or make one of them more specific",
        ]
    );
}

#[test]
fn a_syntax_error_in_one_file_does_not_hide_the_problems_of_another() {
    let files = [file("a.yaml", "routes: ["), file("b.yaml", "listen: 1")];
    let problems = Configuration::compile(&files).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems.to_string().contains("a.yaml:2:1: ") && problems.to_string().contains("b.yaml:1:9: listen: "), "{problems}");
}

#[test]
fn problems_can_be_read_by_programs() {
    let problems = compile("listen: 1").unwrap_err();
    let json = serde_json::to_value(problems.iter().next().unwrap()).unwrap();
    let expected = serde_json::json!({
        "file": "c.yaml", "line": 1, "column": 9, "key": "listen", "message": "this must be a mapping, and it is a number",
    });
    assert_eq!(json, expected);
    let problems = compile("").unwrap_err();
    let json = serde_json::to_value(problems.iter().next().unwrap()).unwrap();
    assert_eq!((&json["file"], &json["line"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}

#[test]
fn garbage_without_end_is_refused_and_does_no_harm() {
    for (text, line, column) in [
        ("- ".repeat(1_000_000), 1, 129),
        ("? ".repeat(100_000), 1, 129),
        (format!("routes: {}{}", "[".repeat(100), "]".repeat(100)), 1, 72),
        ((0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(), 65, 65),
    ] {
        let problems = compile(&text).unwrap_err().to_string();
        assert_eq!(problems, format!("c.yaml:{line}:{column}: this is nested deeper than 64 levels, which no configuration needs"));
    }
    // Aliases that refer to aliases are small as text only.
    let bomb: String = (0..30).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n.max(1) - 1).repeat(9))).collect();
    assert!(compile(&bomb.replacen("*a0, ", "x, ", 9)).is_err());
}

#[test]
fn a_configuration_with_one_problem_yields_nothing() {
    let fine = format!("{BASE}routes: [{{ path: /, methods: {{ GET: {{ access: public }} }} }}]\n");
    assert!(compile(&fine).is_ok());
    for broken in ["unknown: 1", "challenge_realm: '\"'", "headers: { keep: x }", "roles: { a: {} }", "listen: { admin: x }"] {
        assert!(compile(&format!("{fine}{broken}")).is_err(), "{broken}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered_without_a_panic(text in "[ -~\n\t{}\\[\\]:,\"'&*!|>-]{0,200}") {
        let _ = compile(&text);
    }

    #[test]
    fn a_configuration_with_a_piece_cut_out_is_answered_without_a_panic(start in 0_usize..500, length in 1_usize..80) {
        let text = format!("{BASE}routes: [{{ path: '/t/{{t}}', tenant: {{ path: t }}, methods: {{ GET: {{ permission: 'blog:posts.read' }} }} }}]\n");
        let start = start.min(text.len());
        let end = (start + length).min(text.len());
        let _ = compile(&[&text[..start], &text[end..]].concat());
    }
}
