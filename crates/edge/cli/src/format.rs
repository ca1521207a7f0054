//! `--format`: tables, JSON and Go templates over rows.

use crate::failure::Failure;
use crate::table;
use hull_go_template::Template;
use serde_json::{Map, Value};

/// A list as a command shows it: its columns' headings, and what `table` means.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// Field → heading; every field that a row has.
    pub headings: &'a [(&'a str, &'a str)],
    /// The fields of the usual table, in order.
    pub columns: &'a [&'a str],
}

/// Lays `rows` (objects) out as `format` asks: empty or `table`, `table TEMPLATE`, `json`, a template.
pub fn rows(format: &str, listing: Listing<'_>, rows: &[Value]) -> Result<String, Failure> {
    let (table, template) = split_table(format);
    match template {
        "" if table => return Ok(plain_table(listing, rows)),
        "json" | "{{json .}}" if !table => return Ok(json_lines(rows)),
        _ => {}
    }
    let (text, labels) = label_calls(&unescape(template));
    let template = parse(&text)?;
    let mut out = String::new();
    if table {
        let mut headings: Map<String, Value> =
            listing.headings.iter().map(|(field, text)| ((*field).into(), (*text).into())).collect();
        if !labels.is_empty() {
            let titles = labels.iter().map(|label| (label.clone(), Value::String(label_title(label))));
            headings.insert("Label".into(), Value::Object(titles.collect()));
        }
        out.push_str(&execute(&template, &Value::Object(headings))?);
        out.push('\n');
    }
    for row in rows {
        let text = match labels.is_empty() {
            true => execute(&template, row),
            false => execute(&template, &with_labels(row, &labels)),
        };
        out.push_str(&text?);
        out.push('\n');
    }
    Ok(if table { table::layout(&out) } else { out })
}

/// Whether [`rows`] will take this format: a wrong one is told of before the engine is asked.
pub fn verify(format: &str) -> Result<(), Failure> {
    match split_table(format).1 {
        "" | "json" => Ok(()),
        template => parse(&label_calls(&unescape(template)).0).map(drop),
    }
}

/// Whether the format is a table, and the template in it.
fn split_table(format: &str) -> (bool, &str) {
    match (format.trim(), format.strip_prefix("table")) {
        ("" | "table", _) => (true, ""),
        ("json", _) => (false, "json"),
        (_, Some(rest)) if rest.starts_with([' ', '\t']) => (true, rest.trim_start()),
        _ => (false, format),
    }
}

fn plain_table(listing: Listing<'_>, rows: &[Value]) -> String {
    let heading = |field: &&str| {
        let found = listing.headings.iter().find(|(name, _)| name == field);
        found.map_or("", |(_, text)| *text).to_owned()
    };
    let mut out = listing.columns.iter().map(heading).collect::<Vec<_>>().join("\t");
    out.push('\n');
    for row in rows {
        let cells: Vec<_> = listing.columns.iter().map(|field| shown(&row[*field])).collect();
        out.push_str(&cells.join("\t"));
        out.push('\n');
    }
    table::layout(&out)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn json_lines(rows: &[Value]) -> String {
    rows.iter().fold(String::new(), |mut out, row| {
        out.push_str(&json(row));
        out.push('\n');
        out
    })
}

/// A value as Go's encoder writes it: keys sorted, and the signs escaped that mean something in HTML.
pub fn json(value: &Value) -> String {
    let text = serde_json::to_string(&sorted(value)).unwrap_or_default();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            Value::Object(pairs.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

/// Documents as `inspect` shows them: an indented list, a line of JSON each, or a template each.
pub fn documents(format: &str, documents: &[Value]) -> Result<String, Failure> {
    match format {
        "" => Ok(indented(&Value::Array(documents.to_vec()))),
        "json" => Ok(json_compact_list(documents)),
        text => {
            let template = parse_documents(text)?;
            let mut out = String::new();
            for document in documents {
                let mut document = document.clone();
                crate::list::with_go_names(&mut document, text, &[("Id", "ID")]);
                out.push_str(&execute_document(&template, &document)?);
                out.push('\n');
            }
            Ok(out)
        }
    }
}

fn json_compact_list(documents: &[Value]) -> String {
    format!("{}\n", serde_json::to_string(documents).unwrap_or_default())
}

/// The template of an `inspect`; what is no template is an error with code 64, as in Docker.
pub fn parse_documents(text: &str) -> Result<Template, Failure> {
    Template::parse(text)
        .map_err(|error| Failure::new(format!("template parsing error: {error}")).with_code(64))
}

fn execute_document(template: &Template, document: &Value) -> Result<String, Failure> {
    template.execute(document).map_err(|error| Failure::new(format!("template parsing error: {error}")))
}

/// Go's `json.Indent` with four blanks, as `inspect` prints.
pub fn indented(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    if serde::Serialize::serialize(value, &mut serializer).is_err() {
        return String::new();
    }
    let mut text = String::from_utf8_lossy(&out).into_owned();
    text.push('\n');
    text
}

/// A template that is no list's: `version`, `info`.
pub fn one(template: &str, value: &Value) -> Result<String, Failure> {
    if template == "json" {
        return Ok(format!("{}\n", json(value)));
    }
    let template = Template::parse(template)
        .map_err(|error| Failure::new(format!("template parsing error: {error}")))?;
    Ok(format!("{}\n", execute(&template, value)?))
}

fn parse(text: &str) -> Result<Template, Failure> {
    Template::parse(text).map_err(|error| Failure::new(format!("failed to parse template: {error}")))
}

fn execute(template: &Template, value: &Value) -> Result<String, Failure> {
    template.execute(value).map_err(|error| Failure::new(format!("failed to execute template: {error}")))
}

/// `\t` and `\n` as people type them in a shell.
fn unescape(template: &str) -> String {
    template.replace("\\t", "\t").replace("\\n", "\n")
}

// `.Label "name"` calls a method of Docker's rows. A row here is a value, so the call becomes a look-up in a map
// that only such a template gets to see.
fn label_calls(template: &str) -> (String, Vec<String>) {
    let mut out = String::with_capacity(template.len());
    let mut labels = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(".Label ") {
        let (before, call) = rest.split_at(at);
        let argument = call[".Label ".len()..].trim_start();
        let quote = argument.chars().next().filter(|c| matches!(c, '"' | '`'));
        let end = quote.and_then(|quote| argument[1..].find(quote));
        match end {
            Some(end) => {
                out.push_str(before);
                out.push_str("(index .Label ");
                out.push_str(&argument[..end + 2]);
                out.push(')');
                labels.push(argument[1..=end].to_owned());
                rest = &argument[end + 2..];
            }
            None => {
                out.push_str(before);
                out.push_str(".Label ");
                rest = argument;
            }
        }
    }
    out.push_str(rest);
    (out, labels)
}

fn label_title(label: &str) -> String {
    label.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ")
}

fn with_labels(row: &Value, labels: &[String]) -> Value {
    let mut row = row.clone();
    let text = row["Labels"].as_str().unwrap_or_default().to_owned();
    let find = |label: &String| {
        let pair = text.split(',').filter_map(|pair| pair.split_once('=')).find(|(key, _)| key == label);
        Value::String(pair.map_or(String::new(), |(_, value)| value.to_owned()))
    };
    row["Label"] = Value::Object(labels.iter().map(|label| (label.clone(), find(label))).collect());
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LISTING: Listing<'_> = Listing {
        headings: &[("ID", "CONTAINER ID"), ("Image", "IMAGE"), ("Labels", "LABELS")],
        columns: &["ID", "Image"],
    };

    #[test]
    fn rows_take_every_form() {
        let list = [json!({"ID": "abc", "Image": "x", "Labels": "com.a=1,b=<2>"})];
        assert_eq!(rows("", LISTING, &list).unwrap(), "CONTAINER ID   IMAGE\nabc            x\n");
        assert_eq!(rows("table", LISTING, &list).unwrap(), rows("", LISTING, &list).unwrap());
        assert_eq!(
            rows("table {{.Image}}\\t{{.ID}}", LISTING, &list).unwrap(),
            "IMAGE     CONTAINER ID\nx         abc\n"
        );
        assert_eq!(rows("{{.ID}}:{{.Image}}", LISTING, &list).unwrap(), "abc:x\n");
        let text = "{\"ID\":\"abc\",\"Image\":\"x\",\"Labels\":\"com.a=1,b=\\u003c2\\u003e\"}\n";
        assert_eq!(rows("json", LISTING, &list).unwrap(), text);
        assert_eq!(rows(r#"{{.Label "com.a"}}"#, LISTING, &list).unwrap(), "1\n");
        assert_eq!(rows(r#"table {{.Label "com.a"}}"#, LISTING, &list).unwrap(), "a\n1\n");
        assert!(rows("{{", LISTING, &list).is_err());
        assert!(rows("{{.Nope}}", LISTING, &list).is_err());
    }

    #[test]
    fn documents_are_indented_by_four() {
        assert_eq!(documents("", &[json!({"a": []})]).unwrap(), "[\n    {\n        \"a\": []\n    }\n]\n");
        assert_eq!(documents("", &[]).unwrap(), "[]\n");
        assert_eq!(documents("{{.a.b}}", &[json!({"a": {"b": 5}})]).unwrap(), "5\n");
        assert_eq!(documents("{{", &[]).unwrap_err().code, 64);
    }
}
