//! Numbers and logic.

use super::{Called, float, from_float, take, whole};
use crate::evaluate::{Outcome, boolean, number, operate, text};
use hcl::Value;
use hcl::expr::BinaryOperator;

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    let operator = match name {
        "add" => BinaryOperator::Plus,
        "subtract" => BinaryOperator::Minus,
        "multiply" => BinaryOperator::Mul,
        "divide" => BinaryOperator::Div,
        "modulo" => BinaryOperator::Mod,
        "equal" => BinaryOperator::Eq,
        "notequal" => BinaryOperator::NotEq,
        "greaterthan" => BinaryOperator::Greater,
        "greaterthanorequalto" => BinaryOperator::GreaterEq,
        "lessthan" => BinaryOperator::Less,
        "lessthanorequalto" => BinaryOperator::LessEq,
        "and" => BinaryOperator::And,
        "or" => BinaryOperator::Or,
        _ => return single(name, arguments),
    };
    Some(take::<2>(arguments).and_then(|[left, right]| operate(operator, left, right)))
}

fn single(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "not" => take(arguments).and_then(|[value]| Ok((!boolean(value)?).into())),
        "negate" => take(arguments).and_then(|[value]| Ok(Value::Number(-number(value)?))),
        "absolute" => take(arguments).and_then(|[value]| from_float(float(value)?.abs())),
        "ceil" => take(arguments).and_then(|[value]| from_float(float(value)?.ceil())),
        "floor" => take(arguments).and_then(|[value]| from_float(float(value)?.floor())),
        "int" => take(arguments).and_then(|[value]| from_float(float(value)?.trunc())),
        "signum" => take(arguments).and_then(|[value]| Ok(whole(value)?.signum().into())),
        "log" => take(arguments).and_then(|[value, base]| from_float(float(value)?.ln() / float(base)?.ln())),
        "pow" => take(arguments).and_then(|[value, power]| from_float(float(value)?.powf(float(power)?))),
        "min" => extreme(arguments, |a, b| a < b),
        "max" => extreme(arguments, |a, b| a > b),
        "parseint" => take(arguments).and_then(|[digits, base]| parse(digits, base)),
        _ => return None,
    })
}

fn extreme(arguments: &[Value], better: fn(hcl::Number, hcl::Number) -> bool) -> Outcome<Value> {
    let numbers = arguments.iter().map(number).collect::<Outcome<Vec<_>>>()?;
    let best = numbers.into_iter().reduce(|best, next| if better(next, best) { next } else { best });
    best.map(Value::Number).ok_or_else(|| "must pass at least one number".into())
}

fn parse(digits: &Value, base: &Value) -> Outcome<Value> {
    let (digits, base) = (text(digits)?, whole(base)?);
    if !(2..=36).contains(&base) {
        return Err(format!("base must be a whole number between 2 and 36, not {base}"));
    }
    let parsed = i64::from_str_radix(&digits, base as u32);
    parsed.map(Value::from).map_err(|_| format!("cannot parse {digits:?} as a base {base} integer"))
}
