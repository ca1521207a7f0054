//! Other forms of values: JSON, base64, CSV, URLs, digests, identifiers.

use super::{Called, take};
use crate::evaluate::{Outcome, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hcl::Value;
use ring::digest;
use serde_json::Value as Json;

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "jsonencode" => take(arguments).and_then(|[value]| json_text(value)).map(Value::from),
        "jsondecode" => take(arguments).and_then(|[value]| decode_json(&text(value)?)),
        "base64encode" => take(arguments).and_then(|[value]| Ok(STANDARD.encode(text(value)?).into())),
        "base64decode" => take(arguments).and_then(|[value]| {
            let bytes = STANDARD.decode(text(value)?).map_err(|error| error.to_string())?;
            String::from_utf8(bytes).map(Value::from).map_err(|_| "the result is not UTF-8".into())
        }),
        "urlencode" => take(arguments).and_then(|[value]| Ok(url_encode(&text(value)?).into())),
        "csvdecode" => take(arguments).and_then(|[value]| csv(&text(value)?)),
        "sha1" => hash(arguments, &digest::SHA1_FOR_LEGACY_USE_ONLY),
        "sha256" => hash(arguments, &digest::SHA256),
        "sha512" => hash(arguments, &digest::SHA512),
        "uuidv4" => take(arguments).and_then(|[]: &[Value; 0]| {
            let mut bytes = [0; 16];
            let random = ring::rand::SystemRandom::new();
            ring::rand::SecureRandom::fill(&random, &mut bytes).map_err(|_| "no random bytes")?;
            Ok(uuid(bytes, 4).into())
        }),
        "uuidv5" => take(arguments).and_then(|[space, name]| named_uuid(&text(space)?, &text(name)?)),
        "convert" => Err("convert is not available: give the variable a type instead".into()),
        _ => return None,
    })
}

/// JSON as HCL's `jsonencode` writes it.
pub(super) fn json_text(value: &Value) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// The value of a JSON text.
pub(crate) fn decode_json(text: &str) -> Outcome<Value> {
    let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(from_json(json))
}

fn from_json(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => value.into(),
        Json::Number(value) => {
            value.as_i64().map_or_else(|| value.as_f64().unwrap_or_default().into(), Value::from)
        }
        Json::String(value) => value.into(),
        Json::Array(items) => Value::Array(items.into_iter().map(from_json).collect()),
        Json::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, from_json(value))).collect())
        }
    }
}

// As Go's query escape.
fn url_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".into(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn csv(text: &str) -> Outcome<Value> {
    let mut lines = text.lines().filter(|line| !line.is_empty()).map(crate::arguments::fields);
    let header = lines.next().ok_or("missing header line")?;
    let row = |fields: Vec<String>| {
        if fields.len() != header.len() {
            return Err(format!("a line has {} fields, the header {}", fields.len(), header.len()));
        }
        Ok(Value::Object(header.iter().cloned().zip(fields.into_iter().map(Value::from)).collect()))
    };
    lines.map(row).collect::<Outcome<_>>().map(Value::Array)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(arguments: &[Value], algorithm: &'static digest::Algorithm) -> Outcome<Value> {
    take(arguments)
        .and_then(|[value]| Ok(hex(digest::digest(algorithm, text(value)?.as_bytes()).as_ref()).into()))
}

// RFC 9562.
fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn named_uuid(space: &str, name: &str) -> Outcome<Value> {
    let space = match space {
        "dns" | "url" | "oid" | "x500" => {
            let kind = match space {
                "dns" => 0x10,
                "url" => 0x11,
                "oid" => 0x12,
                _ => 0x14,
            };
            format!("6ba7b8{kind:02x}9dad11d180b400c04fd430c8")
        }
        own => own.replace('-', ""),
    };
    if space.len() != 32 || !space.is_ascii() {
        return Err("a namespace is a UUID, or dns, url, oid or x500".into());
    }
    let byte = |at: usize| u8::from_str_radix(&space[2 * at..2 * at + 2], 16);
    let mut input =
        (0..16).map(byte).collect::<Result<Vec<_>, _>>().map_err(|_| "the namespace is not hexadecimal")?;
    input.extend_from_slice(name.as_bytes());
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &input);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    Ok(uuid(bytes, 5).into())
}
