use crate::{Missing, Template};
use serde_json::{Value, json};

fn run(template: &str, value: &Value) -> String {
    match Template::parse(template) {
        Ok(template) => template.execute(value).unwrap_or_else(|error| error.to_string()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn templates_give_what_gos_give() {
    let value = json!({
        "Name": "web", "Id": "0123456789abcdef", "Count": 3, "Half": 0.5, "Yes": true, "None": null,
        "Ports": ["80/tcp", "443/tcp"], "Labels": {"b": "2", "a": "1"}, "Empty": [], "Nested": {"Deep": {"Er": "x"}}
    });
    for (template, expected) in [
        ("plain", "plain"),
        ("{{.Name}}", "web"),
        ("{{ .Name }}-{{.Count}}", "web-3"),
        ("{{.Nested.Deep.Er}}", "x"),
        ("{{(index .Ports 1)}}", "443/tcp"),
        ("{{(.Nested).Deep.Er}}", "x"),
        ("{{json .Ports}}", r#"["80/tcp","443/tcp"]"#),
        ("{{.Ports}}", "[80/tcp 443/tcp]"),
        ("{{.Labels}}", "map[a:1 b:2]"),
        ("{{range .Ports}}{{.}};{{end}}", "80/tcp;443/tcp;"),
        ("{{range $i, $p := .Ports}}{{if $i}}, {{end}}{{$p}}{{end}}", "80/tcp, 443/tcp"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "),
        ("{{range .Empty}}x{{else}}nothing{{end}}", "nothing"),
        ("{{range .Ports}}{{if eq . \"443/tcp\"}}{{break}}{{end}}{{.}}{{end}}", "80/tcp"),
        ("{{range .Ports}}{{if eq . \"80/tcp\"}}{{continue}}{{end}}{{.}}{{end}}", "443/tcp"),
        ("{{if .Empty}}a{{else if .Yes}}b{{else}}c{{end}}", "b"),
        ("{{with .Nested.Deep}}{{.Er}}{{$.Name}}{{end}}", "xweb"),
        ("{{with .Empty}}a{{else}}b{{end}}", "b"),
        ("{{$x := .Name}}{{$x}}{{$x = \"other\"}}{{$x}}", "webother"),
        ("a {{- .Name -}} b", "awebb"),
        ("a{{/* note */}}b", "ab"),
        ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Name}}", "<web>"),
        ("{{block \"t\" .Count}}[{{.}}]{{end}}", "[3]"),
        ("{{.Name | upper}}", "WEB"),
        ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-web"),
        ("{{upper (lower .Name)}}", "WEB"),
        ("{{join .Ports \", \"}}", "80/tcp, 443/tcp"),
        ("{{index (split \"a:b\" \":\") 1}}", "b"),
        ("{{title \"ab cd\"}}", "Ab Cd"),
        ("{{truncate .Id 4}}", "0123"),
        ("{{pad .Name 1 2}}|", " web  |"),
        ("{{len .Ports}} {{len .Name}}", "2 3"),
        ("{{slice .Id 0 3}}", "012"),
        ("{{index .Labels \"a\"}}", "1"),
        (
            "{{printf \"%05d|%-8s|%8s|%q|%.2f|%x|%t|%v\" .Count .Name .Name .Name .Half 255 .Yes .Ports}}",
            "00003|web     |     web|\"web\"|0.50|ff|true|[80/tcp 443/tcp]",
        ),
        ("{{printf \"%d\" .Name}}", "%!d(string=web)"),
        ("{{printf \"%s\"}}", "%!s(MISSING)"),
        ("{{println .Name 1}}", "web 1\n"),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        ("{{and .Yes .Name}} {{or .None .Name}} {{not .Yes}}", "web web false"),
        (
            "{{eq .Name \"a\" \"web\"}} {{ne .Count 3}} {{lt .Count 4}} {{ge .Count 3}}",
            "true false true true",
        ),
        ("{{.None}}", "<no value>"),
        ("{{html \"<a>\"}}{{urlquery \"a b&\"}}", "&lt;a&gt;a+b%26"),
        ("{{`raw`}}{{'a'}}{{1.5}}{{0x10}}", "raw971.516"),
        ("{{if and (eq .Count 3) (gt 2 1)}}ok{{end}}", "ok"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{\"brace\":\"{{.Name}}\"}", "{\"brace\":\"web\"}"),
    ] {
        assert_eq!(run(template, &value), expected, "{template}");
    }
}

#[test]
fn errors_are_gos() {
    let value = json!({"Name": "web", "List": []});
    for (template, expected) in [
        ("{{.Name", "template: :1: unclosed action"),
        ("{{nope}}", "template: :1: function \"nope\" not defined"),
        ("{{if .Name}}x", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        ("{{}}", "template: :1: missing value for command"),
        ("{{.Name | }}", "template: :1: missing value after | in command"),
        ("{{\"a}}", "template: :1: unterminated quoted string"),
        ("{{.Nope}}", "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""),
        (
            "{{.Name.First}}",
            "template: :1:2: executing \"\" at <.Name.First>: can't evaluate field First in type string",
        ),
        (
            "{{index .List 3}}",
            "template: :1:2: executing \"\" at <index>: error calling index: index out of range: 3",
        ),
        ("\n{{break}}", "template: :2: {{break}} outside {{range}}"),
    ] {
        assert_eq!(run(template, &value), expected, "{template}");
    }
}

#[test]
fn a_missing_key_may_be_no_value() {
    let template = Template::parse("{{.Nope}} {{.Nope.Deeper}}").unwrap().missing(Missing::NoValue);
    assert_eq!(template.execute(&json!({})).unwrap(), "<no value> <no value>");
}

#[test]
fn a_template_that_calls_itself_ends() {
    let text = run("{{define \"t\"}}{{template \"t\" .}}{{end}}{{template \"t\" .}}", &json!({}));
    assert!(text.contains("exceeded maximum template depth"), "{text}");
}
