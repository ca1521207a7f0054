//! The functions that bake files may call: buildx's, which are HCL's standard library and a few more.

mod addresses;
mod collections;
mod encoding;
mod numbers;
mod sets;
mod strings;
mod times;

pub(crate) use encoding::decode_json;

use crate::evaluate::{Outcome, kind_of};
use hcl::Value;

/// Calls a function with its arguments evaluated.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Outcome<Value> {
    let rooms = [
        numbers::call,
        strings::call,
        collections::call,
        sets::call,
        encoding::call,
        times::call,
        addresses::call,
    ];
    let known = rooms.iter().find_map(|room| room(name, arguments));
    known.unwrap_or_else(|| Err("undefined function".into()))
}

// None: not a function of this room.
type Called = Option<Outcome<Value>>;

fn take<const N: usize>(arguments: &[Value]) -> Outcome<&[Value; N]> {
    arguments.try_into().map_err(|_| format!("takes {N} arguments, {} are given", arguments.len()))
}

fn list(value: &Value) -> Outcome<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("list required, but have {}", kind_of(value)))
}

fn object(value: &Value) -> Outcome<&hcl::Map<String, Value>> {
    value.as_object().ok_or_else(|| format!("object required, but have {}", kind_of(value)))
}

fn whole(value: &Value) -> Outcome<i64> {
    let number = crate::evaluate::number(value)?;
    number.as_i64().ok_or_else(|| format!("a whole number is required, not {number}"))
}

fn float(value: &Value) -> Outcome<f64> {
    crate::evaluate::number(value)?.as_f64().ok_or_else(|| "the number is too large".into())
}

fn from_float(value: f64) -> Outcome<Value> {
    hcl::Number::from_f64(value).map(Value::Number).ok_or_else(|| "the result is no number".into())
}
