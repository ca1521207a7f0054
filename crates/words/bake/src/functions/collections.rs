//! Lists and objects.

use super::{Called, list, object, take, whole};
use crate::evaluate::{Outcome, kind_of, text};
use hcl::Value;

pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    Some(match name {
        "length" => take(arguments).and_then(|[value]| match value {
            Value::Array(items) => Ok(items.len().into()),
            Value::Object(members) => Ok(members.len().into()),
            other => Err(format!("collection required, but have {}", kind_of(other))),
        }),
        "keys" => take(arguments).and_then(|[value]| {
            Ok(Value::Array(sorted(value)?.map(|(key, _)| key.as_str().into()).collect()))
        }),
        "values" => take(arguments)
            .and_then(|[value]| Ok(Value::Array(sorted(value)?.map(|(_, value)| value.clone()).collect()))),
        "concat" => arguments
            .iter()
            .map(list)
            .collect::<Outcome<Vec<_>>>()
            .map(|lists| Value::Array(lists.into_iter().flatten().cloned().collect())),
        "merge" => merge(arguments),
        "zipmap" => take(arguments).and_then(|[keys, values]| {
            let (keys, values) = (list(keys)?, list(values)?);
            if keys.len() != values.len() {
                return Err(format!("{} keys, but {} values", keys.len(), values.len()));
            }
            let member = |(key, value): (&Value, &Value)| Ok((text(key)?, value.clone()));
            keys.iter().zip(values).map(member).collect::<Outcome<_>>().map(Value::Object)
        }),
        "contains" => take(arguments).and_then(|[items, wanted]| Ok(list(items)?.contains(wanted).into())),
        "index" => take(arguments)
            .and_then(|[collection, key]| at(collection, key).ok_or_else(|| "there is no such item".into())),
        "hasindex" => take(arguments).map(|[collection, key]| at(collection, key).is_some().into()),
        "indexof" => take(arguments).and_then(|[items, wanted]| {
            let found = list(items)?.iter().position(|item| item == wanted);
            found.map(Value::from).ok_or_else(|| "item not found".into())
        }),
        "element" => take(arguments).and_then(|[items, index]| {
            let (items, index) = (list(items)?, whole(index)?);
            if items.is_empty() {
                return Err("cannot use element function with an empty list".into());
            }
            Ok(items[index.rem_euclid(items.len() as i64) as usize].clone())
        }),
        "lookup" => match arguments {
            [members, key] => at(members, key).ok_or_else(|| "there is no such key, and no default".into()),
            [members, key, default] => Ok(at(members, key).unwrap_or_else(|| default.clone())),
            _ => Err("takes an object, a key and a default".into()),
        },
        "coalesce" => arguments
            .iter()
            .find(|value| !value.is_null())
            .cloned()
            .ok_or_else(|| "no non-null arguments".into()),
        "coalescelist" => {
            let full = |value: &&Value| value.as_array().is_some_and(|items| !items.is_empty());
            arguments.iter().find(full).cloned().ok_or_else(|| "no non-empty arguments".into())
        }
        "compact" => take(arguments).and_then(|[items]| {
            let set = |item: &&Value| !item.is_null() && item.as_str() != Some("");
            Ok(Value::Array(list(items)?.iter().filter(set).cloned().collect()))
        }),
        "flatten" => take(arguments).and_then(|[items]| {
            let mut flat = Vec::new();
            flatten(list(items)?, &mut flat);
            Ok(Value::Array(flat))
        }),
        "chunklist" => take(arguments).and_then(|[items, size]| {
            let size = usize::try_from(whole(size)?).map_err(|_| "the size argument must be positive")?;
            let items = list(items)?;
            let chunks = items.chunks(if size == 0 { items.len().max(1) } else { size });
            Ok(Value::Array(chunks.map(|chunk| Value::Array(chunk.to_vec())).collect()))
        }),
        "reverselist" => {
            take(arguments).and_then(|[items]| Ok(Value::Array(list(items)?.iter().rev().cloned().collect())))
        }
        "slice" => take(arguments).and_then(|[items, start, end]| {
            let (items, start, end) = (list(items)?, whole(start)?, whole(end)?);
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let slice = range.and_then(|(start, end)| items.get(start..end));
            slice
                .map(|slice| Value::Array(slice.to_vec()))
                .ok_or_else(|| format!("{start} to {end} is not within 0 to {}", items.len()))
        }),
        "sort" => take(arguments).and_then(|[items]| {
            let mut items = list(items)?.iter().map(text).collect::<Outcome<Vec<_>>>()?;
            items.sort();
            Ok(Value::Array(items.into_iter().map(Value::from).collect()))
        }),
        "range" => range(arguments),
        _ => return None,
    })
}

fn sorted(value: &Value) -> Outcome<impl Iterator<Item = (&String, &Value)>> {
    let mut members: Vec<_> = object(value)?.iter().collect();
    members.sort_by_key(|(key, _)| *key);
    Ok(members.into_iter())
}

fn merge(arguments: &[Value]) -> Outcome<Value> {
    let mut merged = hcl::Map::new();
    for value in arguments.iter().filter(|value| !value.is_null()) {
        merged.extend(object(value)?.clone());
    }
    Ok(Value::Object(merged))
}

fn at(collection: &Value, key: &Value) -> Option<Value> {
    match collection {
        Value::Array(items) => items.get(usize::try_from(whole(key).ok()?).ok()?).cloned(),
        Value::Object(members) => members.get(&text(key).ok()?).cloned(),
        _ => None,
    }
}

fn flatten(items: &[Value], to: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::Array(inner) => flatten(inner, to),
            one => to.push(one.clone()),
        }
    }
}

// range(end), range(start, end), range(start, end, step).
fn range(arguments: &[Value]) -> Outcome<Value> {
    const MOST: usize = 1024;
    let numbers = arguments.iter().map(whole).collect::<Outcome<Vec<_>>>()?;
    let (start, end, step) = match *numbers.as_slice() {
        [end] => (0, end, if end < 0 { -1 } else { 1 }),
        [start, end] => (start, end, if end < start { -1 } else { 1 }),
        [start, end, step] => (start, end, step),
        _ => return Err("takes one to three numbers".into()),
    };
    if step == 0 || (end - start).signum() == -step.signum() {
        return Err("the step must lead from the start to the end".into());
    }
    let mut items = Vec::new();
    let mut next = start;
    while if step > 0 { next < end } else { next > end } {
        if items.len() == MOST {
            return Err(format!(
                "more than {MOST} values were generated: either decrease the difference between start and end or use a smaller step"
            ));
        }
        items.push(next.into());
        next += step;
    }
    Ok(Value::Array(items))
}
