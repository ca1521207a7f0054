//! Variables, functions and blocks, evaluated when they are asked for.

use super::expression::Scope;
use super::{Outcome, boolean, kind_of, number, parse_number, text};
use crate::definition::{Block, Definition, Type, Variable};
use crate::{Options, functions};
use hcl::Value;
use std::cell::RefCell;
use std::collections::HashMap;

/// Everything that an expression can refer to.
pub(crate) struct World<'a> {
    definition: &'a Definition,
    options: &'a Options<'a>,
    values: RefCell<HashMap<String, Value>>,
    // What is being evaluated, the outermost first: one that comes up twice stands in a circle.
    under_way: RefCell<Vec<String>>,
}

// Functions that call themselves end here.
const DEPTH: usize = 200;

impl<'a> World<'a> {
    pub fn new(definition: &'a Definition, options: &'a Options<'a>) -> Self {
        Self { definition, options, values: RefCell::default(), under_way: RefCell::default() }
    }

    /// A scope without names of its own.
    pub fn scope(&self) -> Scope<'_> {
        self.scope_with(Vec::new())
    }

    /// A scope that knows these names too.
    pub fn scope_with(&self, locals: Vec<(String, Value)>) -> Scope<'_> {
        Scope::new(self, locals)
    }

    /// The value of a variable or a global attribute.
    pub fn variable(&self, name: &str) -> Outcome<Value> {
        let key = format!("variable {name}");
        self.once(key, || match name {
            "BAKE_CMD_CONTEXT" => Ok(self.options.command_context.into()),
            "BAKE_LOCAL_PLATFORM" => Ok(self.options.platform.into()),
            _ => self.defined(name),
        })
    }

    /// The value of an attribute of a `target` or `group` block.
    pub fn attribute(&self, kind: &str, name: &str, attribute: &str) -> Outcome<Value> {
        let blocks = if kind == "group" { &self.definition.groups } else { &self.definition.targets };
        let mut named = blocks.iter().filter(|block| block.name == name).peekable();
        if named.peek().is_none() {
            return Err(format!("there is no {kind} {name:?}"));
        }
        let found = named.filter_map(|block: &Block| block.attribute(attribute)).next_back();
        let expression =
            found.ok_or_else(|| format!("the {kind} {name:?} has no attribute {attribute:?}"))?;
        self.once(format!("{kind}.{name}.{attribute}"), || self.scope().evaluate(expression))
    }

    /// The result of a function.
    pub fn call(&self, name: &str, arguments: Vec<Value>) -> Outcome<Value> {
        let Some(function) = self.definition.functions.iter().rev().find(|function| function.name == name)
        else {
            return functions::call(name, &arguments).map_err(|cause| format!("{name}: {cause}"));
        };
        let (wanted, given) = (function.parameters.len(), arguments.len());
        if given < wanted || given > wanted && function.variadic.is_none() {
            return Err(format!("function {name:?} takes {wanted} arguments, {given} are given"));
        }
        if self.under_way.borrow().len() > DEPTH {
            return Err(format!("function {name:?} calls itself without end"));
        }
        let mut arguments = arguments.into_iter();
        let mut locals: Vec<_> = function.parameters.iter().cloned().zip(arguments.by_ref()).collect();
        if let Some(variadic) = &function.variadic {
            locals.push((variadic.clone(), Value::Array(arguments.collect())));
        }
        self.under_way.borrow_mut().push(format!("function {name}"));
        let result = self.scope_with(locals).evaluate(&function.result);
        self.under_way.borrow_mut().pop();
        result
    }

    fn once(&self, key: String, evaluate: impl FnOnce() -> Outcome<Value>) -> Outcome<Value> {
        if let Some(value) = self.values.borrow().get(&key) {
            return Ok(value.clone());
        }
        if self.under_way.borrow().contains(&key) {
            return Err(format!("{key} refers to itself: {} → {key}", self.under_way.borrow().join(" → ")));
        }
        self.under_way.borrow_mut().push(key.clone());
        let value = evaluate();
        self.under_way.borrow_mut().pop();
        let value = value?;
        self.values.borrow_mut().insert(key, value.clone());
        Ok(value)
    }

    fn defined(&self, name: &str) -> Outcome<Value> {
        let variable = self.definition.variables.iter().rev().find(|variable| variable.name == name);
        // A file of plain `name = value` lines sets variables that another declares.
        let global = self.definition.attributes.iter().rev().find(|(key, _)| key == name);
        let default = match (global, variable) {
            (Some((_, expression)), _) => Some(expression),
            (None, Some(_)) => {
                let several = self.definition.variables.iter().filter(|one| one.name == name);
                several.filter_map(|variable| variable.default.as_ref()).next_back()
            }
            (None, None) => return Err(format!("undefined variable {name:?}")),
        };
        let default = default.map(|expression| self.scope().evaluate(expression)).transpose()?;
        let Some(variable) = variable else { return Ok(default.unwrap_or(Value::Null)) };
        let value = match self.given(variable, default.as_ref())? {
            Some(given) => given,
            None => {
                let value =
                    default.unwrap_or_else(|| if variable.kind.is_some() { Value::Null } else { "".into() });
                converted(&value, variable.kind.as_ref().unwrap_or(&Type::Any))
                    .map_err(|cause| format!("default of variable {name:?}: {cause}"))?
            }
        };
        self.validate(name, &value)?;
        Ok(value)
    }

    // What the user or the environment says that a variable is.
    fn given(&self, variable: &Variable, default: Option<&Value>) -> Outcome<Option<Value>> {
        let name = &variable.name;
        let kind = variable.kind.clone().unwrap_or_else(|| default.map_or(Type::String, kind_for));
        if let Some(json) = (self.options.variable)(&format!("{name}_JSON")) {
            let value = functions::decode_json(&json)
                .map_err(|cause| format!("failed to parse {name}_JSON: {cause}"))?;
            return converted(&value, &kind).map(Some).map_err(|cause| format!("{name}_JSON: {cause}"));
        }
        let Some(text) = (self.options.variable)(name) else { return Ok(None) };
        let value = match &kind {
            Type::String | Type::Any => Value::String(text),
            Type::Bool => {
                go_bool(&text).ok_or_else(|| format!("failed to parse {name} as bool: {text:?}"))?.into()
            }
            Type::Number => Value::Number(
                parse_number(&text).ok_or_else(|| format!("failed to parse {name} as number: {text:?}"))?,
            ),
            Type::List(_) => {
                let items = crate::arguments::fields(&text).into_iter().map(Value::String).collect();
                converted(&Value::Array(items), &kind)
                    .map_err(|cause| format!("failed to parse {name}: {cause}"))?
            }
            Type::Map(_) => {
                return Err(format!("unsupported type for variable {name}: give {name}_JSON instead"));
            }
        };
        Ok(Some(value))
    }

    fn validate(&self, name: &str, value: &Value) -> Outcome<()> {
        let scope = self.scope_with(vec![(name.to_owned(), value.clone())]);
        let several = self.definition.variables.iter().filter(|variable| variable.name == name);
        for validation in several.flat_map(|variable| &variable.validations) {
            if boolean(&scope.evaluate(&validation.condition)?)? {
                continue;
            }
            let message = validation.message.as_ref().map(|message| scope.evaluate(message)).transpose()?;
            let message = message.as_ref().map(text).transpose()?;
            return Err(message.unwrap_or_else(|| "the condition of its validation is not met".into()));
        }
        Ok(())
    }
}

fn kind_for(default: &Value) -> Type {
    match default {
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::Array(items) => Type::List(Box::new(items.first().map_or(Type::String, kind_for))),
        Value::Object(_) => Type::Map(Box::new(Type::Any)),
        Value::String(_) | Value::Null => Type::String,
    }
}

/// A value as this type, as HCL converts.
pub(super) fn converted(value: &Value, kind: &Type) -> Outcome<Value> {
    match (kind, value) {
        (_, Value::Null) | (Type::Any, _) => Ok(value.clone()),
        (Type::String, _) => text(value).map(Value::String),
        (Type::Number, _) => number(value).map(Value::Number),
        (Type::Bool, _) => boolean(value).map(Value::Bool),
        (Type::List(inner), Value::Array(items)) => {
            items.iter().map(|item| converted(item, inner)).collect::<Outcome<_>>().map(Value::Array)
        }
        (Type::Map(inner), Value::Object(members)) => {
            let member = |(key, value): (&String, &Value)| Ok((key.clone(), converted(value, inner)?));
            members.iter().map(member).collect::<Outcome<_>>().map(Value::Object)
        }
        (Type::List(_), other) => Err(format!("list required, but have {}", kind_of(other))),
        (Type::Map(_), other) => Err(format!("map required, but have {}", kind_of(other))),
    }
}

/// The words that Go takes for a boolean.
pub(crate) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
