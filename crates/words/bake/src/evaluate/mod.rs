//! Expressions to values: the HCL specification's expression language, with buildx's variables and functions.

mod expression;
mod template;
mod world;

pub(crate) use expression::operate;
pub(crate) use world::{World, go_bool};

use hcl::Value;

/// A failure to evaluate, in words.
pub(crate) type Outcome<T> = std::result::Result<T, String>;

/// What a value is, for messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// The text that a value stands for where a text is needed.
pub(crate) fn text(value: &Value) -> Outcome<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        other => Err(format!("string required, but have {}", kind_of(other))),
    }
}

/// A value as a condition.
pub(crate) fn boolean(value: &Value) -> Outcome<bool> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        other => Err(format!("bool required, but have {}", kind_of(other))),
    }
}

/// A value as a number.
pub(crate) fn number(value: &Value) -> Outcome<hcl::Number> {
    match value {
        Value::Number(number) => Ok(*number),
        Value::String(text) => {
            parse_number(text).ok_or_else(|| format!("a number is required, not {text:?}"))
        }
        other => Err(format!("number required, but have {}", kind_of(other))),
    }
}

pub(crate) fn parse_number(text: &str) -> Option<hcl::Number> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(hcl::Number::from_f64)
}
