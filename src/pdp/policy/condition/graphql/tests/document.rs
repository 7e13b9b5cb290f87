//! What is a document, and oddities on which parsers differ. The verdicts are those of graphql-js 16 (asked through
//! graphql-core 3.2, its port), but for characters and descriptions, where this is stricter.

use super::*;

#[test]
fn what_graphql_ignores_is_ignored() {
    assert_fields(",,{,me,,secret,},", &["query me", "query secret"]);
    assert_fields("\t{ \r\n me \n\r secret \r}", &["query me", "query secret"]);
    assert_fields("\u{feff}{me}", &["query me"]);
    assert_fields("{me#}\n}", &["query me"]);
    assert_fields("{me#{secret}\r}", &["query me"]);
    assert_fields("#{\n{me}#}", &["query me"]);
    assert_fields("{me # é \u{1f600} \"\"\" \" \\\n secret}", &["query me", "query secret"]);
    assert_fields("{me#\rsecret#\r\n}", &["query me", "query secret"]);
    assert_fields("{a#\\\nsecret}", &["query a", "query secret"]);
}

#[test]
fn strings_hide_nothing_and_show_nothing() {
    assert_fields(r#"{me(a:"}"){x}}"#, &["query me"]);
    assert_fields(r#"{me(a:"\"") secret}"#, &["query me", "query secret"]);
    assert_fields(r#"{me(a:"\\") secret(b:"\\")}"#, &["query me", "query secret"]);
    assert_fields(r#"{me(a:"\\\"){secret}") x}"#, &["query me", "query x"]);
    assert_fields(r##"{me(a:"#") secret}"##, &["query me", "query secret"]);
    assert_fields(r#"{me(a:"" b:"") secret}"#, &["query me", "query secret"]);
    assert_fields("{me(a:\"\"\"}{secret}\"\"\") x}", &["query me", "query x"]);
    assert_fields("{me(a:\"\"\"\"\"\") secret}", &["query me", "query secret"]);
    assert_fields("{me(a:\"\"\" \\\"\"\" } secret { \"\"\") x}", &["query me", "query x"]);
    assert_fields("{me(a:\"\"\"\\\\\"\"\" } secret { \"\"\") x}", &["query me", "query x"]);
    assert_fields("{me(a:\"\"\" \\\") \"\"\") secret}", &["query me", "query secret"]);
    assert_fields("{me(a:\"\"\" \"\" \"\"\") secret}", &["query me", "query secret"]);
    assert_fields("{me(a:\"\"\"\n#\r}\n\\\n\"\"\") secret}", &["query me", "query secret"]);
    assert_fields(r#"{me(a:"\u0022}{secret}\u{22}") x}"#, &["query me", "query x"]);
    assert_fields(r#"{me(a:"\u{1F600}\ud83d\ude00é😀") x}"#, &["query me", "query x"]);
    assert_fields("{me(a:[\"]\"] b:{c:\"}\" d:[[{}]]} c:$v d:-1.5e+3 e:on f:null) x}", &["query me", "query x"]);
}

#[test]
fn strings_that_end_in_no_way_or_in_two_are_refused() {
    for document in [
        "{me(a:\") secret}",
        "{me(a:\"\n\") secret}",
        "{me(a:\"\r\") secret}",
        "{me(a:\"x\n\") secret}",
        "{me(a:\"\\\n\") secret}",
        "{me(a:\"\"\") secret}",
        "{me(a:\"\"\"\\\"\"\") secret}",
        "{me(a:\"\"\"\"\"\"\") secret}",
        "{me(a:\"\"\"x\"\"\"\") secret}",
        "{me(a:\"\"\"x\"\"\"\"\") secret}",
        r#"{me(a:"\x") secret}"#,
        r#"{me(a:"\u12") secret}"#,
        r#"{me(a:"\u{}") secret}"#,
        r#"{me(a:"\u{110000}") secret}"#,
        r#"{me(a:"\u{d800}") secret}"#,
        r#"{me(a:"\ud800") secret}"#,
        r#"{me(a:"\u{1F600") secret}"#,
        "{me(a:'x') secret}",
        "{me(a:`x`) secret}",
    ] {
        assert_refused(document);
    }
}

#[test]
fn characters_at_which_services_disagree_are_refused_anywhere() {
    for odd in ['\0', '\u{1}', '\u{b}', '\u{c}', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'] {
        assert_refused(&format!("{{me#{odd}secret\n}}"));
        assert_refused(&format!("{{me{odd}secret}}"));
        assert_refused(&format!("{{me(a:\"{odd}\")}}"));
        assert_refused(&format!("{{me(a:\"\"\"{odd}\"\"\")}}"));
        assert_refused(&format!(" {odd}{{me}}"));
        assert_refused(&format!("{{me}}{odd}"));
    }
    assert_refused("\u{feff}\u{feff}{me}");
    assert_refused("{sec\u{feff}ret}");
}

#[test]
fn names_are_ascii_letters_digits_and_underscores() {
    assert_fields("{_ a1 A_b __x}", &["query A_b", "query _", "query __x", "query a1"]);
    for document in [
        "{é}",
        "{mé}",
        "{а}",
        "{me-x}",
        "{1me}",
        "{me.x}",
        "{$me}",
        "{me(a:$)}",
        "{me(a:$1)}",
        "{me(a:$ v)}",
        "{me\u{a0}}",
        "{me\u{200b}}",
        "{\u{ff4d}e}",
        "{m\\u0065}",
        "{me;x}",
        "{me/x}",
        "{me*}",
        "{%6de}",
        "{\u{661}}",
        "{me\u{3000}}",
        "{m\u{ad}e}",
    ] {
        assert_refused(document);
    }
}

#[test]
fn numbers_end_where_they_end() {
    assert_fields("{me(a:[0 -0 1 1.0 1e5 1.5E-2])}", &["query me"]);
    for number in [
        "01", "00", "-", "+1", "1.", ".1", "1e", "1e+", "1.e1", "0x1", "1a", "1_0", "1.0a", "1e5a", "1.2.3", "0b", "--1", "1..2", "\u{661}",
    ] {
        assert_refused(&format!("{{me(a:{number})}}"));
        assert_refused(&format!("{{me(a:[{number}]) secret}}"));
    }
}

#[test]
fn what_is_empty_is_refused() {
    for document in [
        "{}",
        "query{}",
        "query {}",
        "query a{}",
        "mutation{}",
        "{ }",
        "{,}",
        "{#me\n}",
        "{me{}}",
        "{...{}}",
        "{...on Q{}}",
        "{me()}",
        "query(){me}",
        "{...F} fragment F on Q{}",
        "{me@a()}",
        "{:me}",
        "{me:}",
        "{a:b:c}",
        "{...}",
        "{... on}",
        "{...on}",
        "{me(a:)}",
        "{me(:1)}",
        "{me(a)}",
        "{me(a 1)}",
        "{me@}",
        "{@a}",
    ] {
        assert_refused(document);
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    for document in [
        "{",
        "}",
        "{me",
        "me}",
        "{me}}",
        "{{me}}",
        "{me}{",
        "query",
        "query a",
        "{me} query",
        "{me} x",
        "{me} {",
        "{me(a:1}",
        "{me(a:[1)}",
        "{me(a:{b:1)}",
        "{me)}",
        "(me)",
        "[me]",
        "{me..F}",
        "{..F}",
        "{....F}",
        "{.. .F} fragment F on Q{me}",
        "{me|x}",
        "{me&x}",
        "{me!}",
        "{me=1}",
        "{me} \"x\"",
        "query a b{me}",
        "query a($a){me}",
        "query a($a:){me}",
        "query a(a:Int){me}",
        "query a($a:Int={me}",
        "query a($a:Int=$b){me}",
        "query a($a:[Int){me}",
        "query a($a:Int!!){me}",
        "QUERY{me}",
        "Query{me}",
        "que ry{me}",
        "query{me}mutation",
        "{me}...F",
        "quer\\u0079{me}",
    ] {
        assert_refused(document);
    }
}

#[test]
fn fragments_are_written_as_such() {
    for document in [
        "{...on} fragment on on Q{secret}",
        "{me} fragment on on Q{secret}",
        "{...F} fragment F{me}",
        "{...F} fragment F on{me}",
        "{...F} fragment F on Q",
        "{...F} fragment on Q{me}",
        "{...F} fragment F On Q{me}",
        "{...F} fragment F on Q!{me}",
        "{...F} fragment F on [Q]{me}",
        "{...F} fragment F($a:Int=1) on Q{me}",
        "{...F(a:1)} fragment F on Q{me}",
        "{...F{me}} fragment F on Q{me}",
        "{x:...F} fragment F on Q{me}",
    ] {
        assert_refused(document);
    }
}

#[test]
fn definitions_of_types_and_descriptions_are_refused() {
    for document in [
        "type Q{me:Int}",
        "{me} type Q{me:Int}",
        "type Q{me:Int} {me}",
        "{me} extend type Q{secret:Int}",
        "{me} schema{query:Q}",
        "{me} scalar S",
        "{me} directive@a on FIELD",
        "{me} enum E{A}",
        "{me} input I{a:Int}",
        "{me} interface I{a:Int}",
        "{me} union U=A|B",
        "\"x\" query a{me}",
        "\"\"\"x\"\"\" query a{me}",
        "\"\" query{me}",
        "\"x\" {me}",
        "\"x\" fragment F on Q{me} {...F}",
        "query(\"x\" $a:Int){me(a:$a)}",
        "query($b:Int \"\"\"x\"\"\" $a:Int){me(a:$a)}",
    ] {
        assert_refused(document);
    }
}
