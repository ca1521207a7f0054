//! Lists as sets: what stands twice counts once, in the order of its first appearance.

use super::{Called, list, take};
use crate::evaluate::Outcome;
use hcl::Value;

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "distinct" => take(arguments).and_then(|[items]| Ok(Value::Array(distinct(list(items)?.iter())))),
        "setunion" => lists(arguments).map(|lists| Value::Array(distinct(lists.into_iter().flatten()))),
        "setintersection" => lists(arguments).map(|lists| {
            let Some((first, rest)) = lists.split_first() else { return Value::Array(Vec::new()) };
            Value::Array(distinct(first.iter().filter(|item| rest.iter().all(|list| list.contains(item)))))
        }),
        "setsubtract" => take(arguments).and_then(|[left, right]| {
            let (left, right) = (list(left)?, list(right)?);
            Ok(Value::Array(distinct(left.iter().filter(|item| !right.contains(item)))))
        }),
        "setsymmetricdifference" => take(arguments).and_then(|[left, right]| {
            let (left, right) = (list(left)?, list(right)?);
            let only = left.iter().filter(|item| !right.contains(item));
            Ok(Value::Array(distinct(only.chain(right.iter().filter(|item| !left.contains(item))))))
        }),
        "sethaselement" => {
            take(arguments).and_then(|[items, wanted]| Ok(list(items)?.contains(wanted).into()))
        }
        "setproduct" => lists(arguments).map(|lists| {
            let start = vec![Vec::new()];
            let product = lists.into_iter().fold(start, |rows: Vec<Vec<Value>>, list| {
                let with = |row: &Vec<Value>, item: &Value| row.iter().chain([item]).cloned().collect();
                rows.iter().flat_map(|row| list.iter().map(move |item| with(row, item))).collect()
            });
            Value::Array(product.into_iter().map(Value::Array).collect())
        }),
        _ => return None,
    })
}

fn lists(arguments: &[Value]) -> Outcome<Vec<&Vec<Value>>> {
    arguments.iter().map(list).collect()
}

fn distinct<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    for item in items {
        if !seen.contains(item) {
            seen.push(item.clone());
        }
    }
    seen
}
