use super::*;

fn expand(word: &str) -> Result<String, String> {
    let lookup = |name: &str| {
        let value = match name {
            "v" => "value",
            "e" => "",
            "path" => "/usr/lib/lib.so.1",
            "f" => "foo.bar.baz",
            "s" => "a b",
            _ => return None,
        };
        Some(value.to_owned())
    };
    Expander::new('\\').expand(word, &lookup).map(|expanded| expanded.text)
}

#[test]
fn every_form_of_substitution() {
    for (word, expected) in [
        ("$v", "value"),
        ("${v}x", "valuex"),
        ("$vx", ""),
        ("a$", "a$"),
        ("$$", ""),
        ("\\$v", "$v"),
        ("'$v'", "$v"),
        ("\"$v\"", "value"),
        ("\"a\\\"b\"", "a\"b"),
        ("\"a\\nb\"", "a\\nb"),
        ("${u:-w}", "w"),
        ("${e:-w}", "w"),
        ("${e-w}", ""),
        ("${u-w}", "w"),
        ("${u:-${v}}", "value"),
        ("${u:-$v}", "value"),
        ("${u:-'a}b'}", "a}b"),
        ("${v:+w}", "w"),
        ("${e:+w}", ""),
        ("${e+w}", "w"),
        ("${u+w}", ""),
        ("${v:?no}", "value"),
        ("${e?no}", ""),
        ("${f#*.}", "bar.baz"),
        ("${f##*.}", "baz"),
        ("${f%.*}", "foo.bar"),
        ("${f%%.*}", "foo"),
        ("${path##*/}", "lib.so.1"),
        ("${path%/*}", "/usr/lib"),
        ("${f#foo?}", "bar.baz"),
        ("${f#x}", "foo.bar.baz"),
        ("${f#\\*}", "foo.bar.baz"),
        ("${f/o/0}", "f0o.bar.baz"),
        ("${f//o/0}", "f00.bar.baz"),
        ("${f//b*/x}", "foo.x"),
        ("${path//\\//-}", "-usr-lib-lib.so.1"),
        ("${f/nothing/x}", "foo.bar.baz"),
        ("${f//./}", "foobarbaz"),
        ("${u}", ""),
        ("${v}${v}", "valuevalue"),
        ("ü${v}ü", "üvalueü"),
    ] {
        assert_eq!(expand(word).as_deref(), Ok(expected), "{word}");
    }
}

#[test]
fn mistakes_say_what_is_missing() {
    for (word, text) in [
        ("${v", "syntax error: missing '}'"),
        ("${", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:x}", "syntax error: bad substitution"),
        ("${v:=w}", "unsupported modifier (:=) in substitution"),
        ("${v^}", "unsupported modifier (^) in substitution"),
        ("${u:?}", "u: is not allowed to be unset"),
        ("${e:?}", "e: is not allowed to be empty"),
        ("${e:?give it}", "e: give it"),
        ("'x", "unexpected end of statement while looking for matching single-quote"),
        ("\"x", "unexpected end of statement while looking for matching double-quote"),
        ("${v/x", "syntax error: missing '/' in ${}"),
        ("${v#\\q}", "invalid pattern (\\q) in substitution: invalid escape '\\q'"),
    ] {
        let error = expand(word).unwrap_err();
        assert!(error.ends_with(text), "{word}: {error}");
        assert!(error.starts_with(&format!("failed to process {word:?}: ")), "{error}");
    }
    let deep = "${u:-".repeat(1000);
    assert!(expand(&deep).is_err());
}

#[test]
fn words_are_split_after_expansion() {
    let words =
        |word| Expander::new('\\').expand(word, &|name| (name == "s").then(|| "a b".into())).unwrap().words;
    assert_eq!(words("$s c"), ["a", "b", "c"]);
    assert_eq!(words("\"$s\" c\\ d"), ["a b", "c d"]);
}

#[test]
fn heredocs_keep_quotes_and_unset_variables_may_stay() {
    let text = Expander::heredoc('\\').expand("it's \"$v\"", &|_| Some("x".into())).unwrap().text;
    assert_eq!(text, "it's \"x\"");
    let keep = Expander { keep_unset: true, ..Expander::new('\\') };
    for word in ["$u", "${u}", "${u:-w}", "${u/a/b}"] {
        assert_eq!(keep.expand(word, &|_| None).unwrap().text, word);
    }
}

#[test]
fn the_escape_may_be_a_backquote() {
    let text = Expander::new('`').expand("`$v c:\\dir", &|_| None).unwrap().text;
    assert_eq!(text, "$v c:\\dir");
}
