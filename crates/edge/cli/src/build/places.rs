//! Flags that name places with attributes: outputs, caches, attestations, annotations.

use crate::credentials;
use crate::failure::Failure;
use crate::matches::Matches;
use crate::session::Session;
use hull_api_types::Map;
use hull_api_types::build::{BuildOptions, BuildPlace};
use hull_types::ImageRef;

/// Reads a list of `key=value`, in which a field in quotes may have commas.
pub fn parse(text: &str, flag: &str) -> Result<BuildPlace, Failure> {
    let mut place = BuildPlace::default();
    for field in fields(text) {
        let (key, value) = field.split_once('=').ok_or_else(|| {
            Failure::new(format!("invalid value {field:?} of --{flag}: expected key=value, in {text:?}"))
        })?;
        match key.trim() {
            "type" => place.kind = value.to_owned(),
            key => drop(place.attributes.insert(key.to_owned(), value.to_owned())),
        }
    }
    Ok(place)
}

/// The fields of a list with commas between them.
pub fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            character => field.push(character),
        }
    }
    fields.push(field);
    fields
}

/// `--cache-from`, `--cache-to`; a name alone is a registry's.
pub fn caches(matches: &Matches, flag: &str) -> Result<Vec<BuildPlace>, Failure> {
    let mut places = Vec::new();
    for text in matches.list(flag) {
        let mut place = match text.contains('=') {
            true => parse(&text, flag)?,
            false => BuildPlace {
                kind: "registry".into(),
                attributes: Map::from([("ref".to_owned(), text.clone())]),
            },
        };
        if place.kind.is_empty() {
            return Err(Failure::new(format!("type required form> {text:?}")));
        }
        let local = if flag == "cache-to" { "dest" } else { "src" };
        let needed = match place.kind.as_str() {
            "registry" => Some("ref"),
            "local" => Some(local),
            _ => None,
        };
        if let Some(key) = needed.filter(|key| !place.attributes.contains_key(*key)) {
            return Err(Failure::new(format!(
                "{key} is required for --{flag} of type {}: {text}",
                place.kind
            )));
        }
        if flag == "cache-from" && place.kind == "inline" {
            place.kind = "registry".into();
        }
        places.push(place);
    }
    Ok(places)
}

/// `--attest`, and `--provenance` and `--sbom` that stand for it.
pub fn attests(matches: &Matches) -> Result<Map<String>, Failure> {
    let mut attests = Map::new();
    for text in matches.list("attest") {
        let mut place = parse(&text, "attest")?;
        if place.kind.is_empty() {
            return Err(Failure::new(format!("attestation type not specified: {text}")));
        }
        let rest: Vec<String> = std::mem::take(&mut place.attributes)
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        attests.insert(place.kind, rest.join(","));
    }
    for flag in ["provenance", "sbom"] {
        if matches.changed(flag) {
            attests.insert(flag.to_owned(), matches.text(flag).to_owned());
        }
    }
    Ok(attests)
}

/// `--annotation [TYPE[PLATFORM],…:]KEY=VALUE` as an output's attributes.
pub fn annotations(matches: &Matches) -> Result<Map<String>, Failure> {
    let mut found = Map::new();
    for text in matches.list("annotation") {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(format!("invalid annotation {text:?}, expected key=value format")))?;
        let (types, key) = match key.split_once(':').filter(|(types, _)| are_types(types)) {
            Some((types, key)) => (types, key),
            None => ("", key),
        };
        if key.is_empty() {
            return Err(Failure::new(format!("invalid annotation {text:?}: its key is empty")));
        }
        for kind in types.split(',') {
            let dash = if kind.is_empty() { "" } else { "-" };
            found.insert(format!("annotation{dash}{kind}.{key}"), value.to_owned());
        }
    }
    Ok(found)
}

fn are_types(text: &str) -> bool {
    const KNOWN: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
    text.split(',').all(|kind| KNOWN.contains(&kind.split('[').next().unwrap_or_default()))
}

/// The credentials of all registries that outputs and caches name, helpers' among them.
pub fn add_credentials(session: &Session, options: &mut BuildOptions) {
    let attributes = |place: &BuildPlace, key: &str| place.attributes.get(key).cloned().unwrap_or_default();
    let caches = options.cache_from.iter().chain(&options.cache_to).map(|place| attributes(place, "ref"));
    let named = options.outputs.iter().map(|place| attributes(place, "name"));
    let names: Vec<String> = caches.chain(named).chain([options.tags.join(",")]).collect();
    for name in names.iter().flat_map(|names| names.split(',')) {
        let Ok(name) = name.parse::<ImageRef>() else { continue };
        let key = match name.domain() {
            "docker.io" => credentials::HUB,
            domain => domain,
        };
        // A helper that does not work must not fail a build that may not need it; nothing stands in for what it has.
        if let Ok(Some(found)) = credentials::find(session.config(), name.domain()) {
            options.auth.entry(key.to_owned()).or_insert(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_be_quoted() {
        assert_eq!(fields(r#"type=image,"name=a,b",push=true"#), ["type=image", "name=a,b", "push=true"]);
        assert_eq!(fields(r#""a=""b""""#), [r#"a="b""#]);
        let place = parse("type=oci,dest=x", "output").ok().unwrap();
        assert_eq!((place.kind.as_str(), place.attributes["dest"].as_str()), ("oci", "x"));
        assert!(parse("oci", "output").is_err());
    }

    #[test]
    fn annotation_types_are_told_from_keys() {
        assert!(are_types("manifest,index"));
        assert!(are_types("manifest[linux/amd64]"));
        assert!(!are_types("org.example"));
    }
}
