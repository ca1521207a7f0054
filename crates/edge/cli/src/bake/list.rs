//! `bake --list`.

use crate::failure::Failure;
use crate::table;
use hull_bake::Listed;
use serde_json::json;

/// What is to be listed, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// Variables; targets and groups otherwise.
    pub variables: bool,
    json: bool,
}

impl Asked {
    /// Reads `targets`, `variables`, `type=targets,format=json`; nothing where nothing is asked for.
    pub fn parse(text: &str) -> Result<Option<Self>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        let (mut kind, mut format) = ("", "table");
        for part in text.split(',') {
            match part.split_once('=') {
                None => kind = part,
                Some(("type", value)) => kind = value,
                Some(("format", value)) => format = value,
                Some((key, _)) => {
                    return Err(Failure::new(format!("ERROR: unexpected key {key:?} in {text:?}")));
                }
            }
        }
        let variables = match kind {
            "variables" => true,
            "targets" => false,
            other => {
                let text = format!("ERROR: invalid list type {other:?}: targets and variables are known");
                return Err(Failure::new(text));
            }
        };
        match format {
            "json" | "table" => Ok(Some(Self { variables, json: format == "json" })),
            other => {
                Err(Failure::new(format!("ERROR: invalid list format {other:?}: table and json are known")))
            }
        }
    }

    /// The text of a list.
    pub fn show(&self, found: &[Listed]) -> String {
        if self.json {
            let all: Vec<_> = found.iter().map(|one| self.object(one)).collect();
            return format!("{:#}\n", json!(all));
        }
        let mut text = String::from(if self.variables {
            "VARIABLE\tVALUE\tDESCRIPTION\n"
        } else {
            "TARGET\tDESCRIPTION\n"
        });
        for one in found {
            let description = one.description.as_deref().unwrap_or_default();
            match (&one.value, self.variables) {
                (value, true) => {
                    let value = value.as_deref().unwrap_or("<null>");
                    text.push_str(&format!("{}\t{value}\t{description}\n", one.name));
                }
                (Some(members), _) if description.is_empty() => {
                    text.push_str(&format!("{}\t{members}\n", one.name));
                }
                _ => text.push_str(&format!("{}\t{description}\n", one.name)),
            }
        }
        table::layout_with(&text, 10, 3)
    }

    fn object(&self, one: &Listed) -> serde_json::Value {
        let mut object = json!({ "name": one.name });
        if let Some(description) = &one.description {
            object["description"] = json!(description);
        }
        match (&one.value, self.variables) {
            (value, true) => object["value"] = json!(value),
            (Some(_), false) => object["group"] = json!(true),
            (None, false) => {}
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_asked_for_and_shown() {
        assert_eq!(Asked::parse("").unwrap(), None);
        assert!(Asked::parse("type=nope").is_err());
        let asked = Asked::parse("type=variables,format=table").unwrap().unwrap();
        let tag =
            Listed { name: "TAG".into(), value: Some("v1".into()), description: Some("the tag".into()) };
        assert_eq!(
            asked.show(std::slice::from_ref(&tag)),
            "VARIABLE   VALUE     DESCRIPTION\nTAG        v1        the tag\n"
        );
        let asked = Asked::parse("type=targets,format=json").unwrap().unwrap();
        let group =
            asked.show(&[Listed { name: "default".into(), value: Some("a, b".into()), description: None }]);
        assert!(group.contains("\"group\": true"), "{group}");
    }
}
