//! Whatever stands around it: a field that is asked for is found, and nothing panics.

use proptest::prelude::*;

use super::*;

/// What may stand between two tokens.
fn ignored() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just(" ".to_owned()),
        1 => "[ ,\t\n]{1,3}",
        1 => Just("\r\n".to_owned()),
        1 => "[ \"{}()#:.é\\\\]{0,8}".prop_map(|text| format!("#{text}\n")),
        1 => Just("#}\r".to_owned()),
    ]
}

/// Values, strings with all that could look like the end of something among them.
fn argument() -> impl Strategy<Value = String> {
    let string = "([{}()#:. é]|\\\\\"|\\\\\\\\|\\\\u0022){0,8}".prop_map(|text| format!("\"{text}\""));
    let block = "([{}()#:.\n é]|\\\\\"\"\"){0,8}".prop_map(|text| format!("\"\"\"{text}\"\"\""));
    let value = prop_oneof![string, block, Just("-1.5e3".to_owned()), Just("$v".to_owned()), Just("on".to_owned())];
    let value = value.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" "))),
            proptest::collection::vec(inner, 0..3).prop_map(|items| {
                let members: Vec<String> = items.iter().map(|item| format!("a:{item}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    prop_oneof![2 => Just(String::new()), 1 => value.prop_map(|value| format!("(secret:{value})"))]
}

fn directive() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => Just("@skip(if:true)".to_owned()), 1 => argument().prop_map(|argument| format!("@on{argument}"))]
}

/// Selections that ask for nothing but `me` at the root.
fn harmless() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("me".to_owned()),
        Just("secret:me".to_owned()),
        Just("__typename".to_owned()),
        (argument(), directive()).prop_map(|(argument, directive)| format!("me{argument}{directive}{{secret}}")),
        directive().prop_map(|directive| format!("...Harmless{directive}")),
    ]
}

/// Ways to ask for `secret` at the root, with the fragments that they need.
fn hidden() -> impl Strategy<Value = (String, Vec<String>)> {
    let field = prop_oneof![Just("secret"), Just("me:secret"), Just("__typename:secret"), Just("on:secret")];
    let asked =
        (field, argument(), directive()).prop_map(|(field, argument, directive)| (format!("{field}{argument}{directive}"), Vec::new()));
    asked.prop_recursive(6, 12, 1, |inner| {
        (inner, 0..4_u8, directive(), harmless(), harmless(), ignored(), ignored()).prop_map(
            |((selection, mut fragments), way, directive, before, after, gap, other_gap)| {
                let selections = format!("{{{before}{gap}{selection}{other_gap}{after}}}");
                let selection = match way {
                    0 => format!("...{directive}{selections}"),
                    1 => format!("...{gap}on{other_gap}Q{directive}{selections}"),
                    2 => format!("...on on{selections}"),
                    _ => {
                        let name = format!("F{}", fragments.len());
                        fragments.push(format!("fragment{other_gap}{name}{gap}on Q{directive}{selections}"));
                        format!("...{gap}{name}{directive}")
                    }
                };
                (selection, fragments)
            },
        )
    })
}

/// A document that asks for `secret` in one operation, and the name of that.
fn document() -> impl Strategy<Value = String> {
    let head = prop_oneof![Just(""), Just("query"), Just("query secret($v:[T!]=[1]@on)"), Just("query Q@me")];
    (head, hidden(), harmless(), harmless(), ignored(), any::<prop::sample::Index>()).prop_map(
        |(head, (selection, fragments), before, after, gap, at)| {
            let mut definitions = fragments;
            definitions.push("fragment Harmless on Q{me}".to_owned());
            definitions.insert(at.index(definitions.len() + 1), format!("{head}{gap}{{{before}{gap}{selection}{gap}{after}}}"));
            definitions.join(&gap)
        },
    )
}

/// Text from which documents are made, and on which parsers stumble.
fn rubble() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "{", "}", "(", ")", "[", "]", ":", "...", "on", "query", "mutation", "fragment", "a", "F", "$v", "@d", "!", "=", " ", ",", "\n",
        ]),
        1 => prop::sample::select(vec![
            "\"", "\"\"\"", "\\", "\\\"\"\"", "\\u", "\\u{", "\\ud83d", "#", "\r", "\u{feff}", "\0", "\u{2028}", "1", "0", ".", "e", "-", "é",
            "😀", "type", "&", "|", "\"\"", "\u{85}", "\t",
        ]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn a_hidden_field_is_found(document in document()) {
        let fields = fields(&document);
        prop_assert!(fields.is_ok(), "{:?}: {}", fields, document);
        let fields = fields.unwrap();
        prop_assert!(fields.contains(&"query secret".to_owned()), "{:?}: {}", fields, document);
        prop_assert!(fields.iter().all(|field| field == "query secret" || field == "query me"), "{:?}: {}", fields, document);
    }

    #[test]
    fn what_does_not_ask_for_it_shows_no_field(selections in proptest::collection::vec(harmless(), 1..6), gap in ignored()) {
        let fields = fields(&format!("{{{}}}{gap}fragment Harmless on Q{{me}}", selections.join(&gap)));
        prop_assert!(fields.as_ref().is_ok_and(|fields| fields.iter().all(|field| field == "query me")), "{:?}", fields);
    }

    #[test]
    fn any_text_is_answered_without_a_panic(text in any::<String>()) {
        let _ = fields(&text);
        let _ = fields(&format!("{{a(b:\"{text}\" c:\"\"\"{text}\"\"\")#{text}\n}}"));
    }

    #[test]
    fn any_pieces_of_documents_are_answered_without_a_panic(text in rubble(), other in rubble()) {
        let _ = fields(&text);
        let _ = fields(&format!("{{me{text}}}"));
        let _ = fields(&format!("{{me(a:[\"{text}\"\"\"{other}]) x}}"));
        let _ = fields_named(&format!("query a{{me}}{text}{{{other}}}"), "a");
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        if let Ok(body) = json::parse(&bytes, 64) {
            let _ = root_fields(&body, None);
        }
    }

    #[test]
    fn any_body_is_answered_without_a_panic(
        members in proptest::collection::btree_map(
            prop_oneof![Just("query"), Just("operationName"), Just("variables"), Just("extensions"), Just("id")].prop_map(str::to_owned),
            prop_oneof![Just(serde_json::Value::Null), rubble().prop_map(Into::into), Just(serde_json::json!({})), Just(serde_json::json!([]))],
            0..5,
        ),
        batch in 0..3_usize,
    ) {
        let request = serde_json::json!(members);
        let body = if batch == 0 { request } else { serde_json::Value::from(vec![request; batch]) };
        let _ = fields_of_body(&body.to_string());
    }
}
