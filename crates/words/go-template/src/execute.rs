//! The tree, carried out on a value.

use crate::functions::{self, truth};
use crate::parser::{Base, Node, Operand, Pipeline};
use crate::{Error, Missing, format};
use serde_json::Value;
use std::collections::BTreeMap;

/// Templates that call themselves end here; Go allows more, since its stacks grow.
const MAX_DEPTH: usize = 100;

/// Why a list of nodes ended early.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// A value, or Go's "no value", which an absent key of a map is.
type Found = Option<Value>;

pub struct Execution<'a> {
    defined: &'a BTreeMap<String, Vec<Node>>,
    missing: Missing,
    output: String,
    variables: Vec<(String, Found)>,
    root: &'a Value,
    depth: usize,
}

impl<'a> Execution<'a> {
    pub fn new(defined: &'a BTreeMap<String, Vec<Node>>, missing: Missing, root: &'a Value) -> Self {
        let variables = vec![(String::new(), Some(root.clone()))];
        Self { defined, missing, output: String::new(), variables, root, depth: 0 }
    }

    pub fn run(mut self, nodes: &[Node]) -> Result<String, Error> {
        let dot = Some(self.root.clone());
        self.list(nodes, &dot)?;
        Ok(self.output)
    }

    fn list(&mut self, nodes: &[Node], dot: &Found) -> Result<Flow, Error> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    /// Carries out a list; what it declares is gone after it.
    fn scoped(&mut self, nodes: &[Node], dot: &Found) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let flow = self.list(nodes, dot);
        self.variables.truncate(mark);
        flow
    }

    fn node(&mut self, node: &Node, dot: &Found) -> Result<Flow, Error> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.output.push_str(&format::found(&value));
                }
            }
            Node::If(pipeline, body, otherwise) | Node::With(pipeline, body, otherwise) => {
                let mark = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let yes = truth(&value);
                let with = matches!(node, Node::With(..));
                let flow =
                    self.scoped(if yes { body } else { otherwise }, if yes && with { &value } else { dot });
                self.variables.truncate(mark);
                return flow;
            }
            Node::Range(pipeline, body, otherwise) => return self.range(pipeline, body, otherwise, dot),
            Node::Call(position, name, pipeline) => self.call(*position, name, pipeline.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Found,
    ) -> Result<Flow, Error> {
        let mark = self.variables.len();
        let bare = Pipeline { variables: Vec::new(), ..pipeline.clone() };
        let value = self.pipeline(&bare, dot)?;
        let pairs: Vec<(Value, Value)> = match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.into_iter().enumerate().map(|(i, v)| (i.into(), v)).collect(),
            Some(Value::Object(map)) => {
                let mut pairs: Vec<_> = map.into_iter().collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
            }
            Some(Value::Number(count)) if count.is_i64() || count.is_u64() => {
                (0..count.as_i64().unwrap_or(0)).map(|i| (i.into(), i.into())).collect()
            }
            Some(other) => {
                let operand = pipeline.commands.first().and_then(|command| command.first());
                return fail(operand, format!("range can't iterate over {}", format::value(&other)));
            }
        };
        if pairs.is_empty() {
            return self.scoped(otherwise, dot);
        }
        for (key, item) in pairs {
            match pipeline.variables.as_slice() {
                [one] => self.bind(one, Some(item.clone()), pipeline.assigns),
                [first, second] => {
                    self.bind(first, Some(key), pipeline.assigns);
                    self.bind(second, Some(item.clone()), pipeline.assigns);
                }
                _ => {}
            }
            let flow = self.scoped(body, &Some(item))?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn call(
        &mut self,
        position: crate::lexer::Position,
        name: &str,
        pipeline: Option<&Pipeline>,
        dot: &Found,
    ) -> Result<(), Error> {
        let at = |message: String| Error::Execute {
            line: position.line,
            column: position.column,
            at: format!("template {name:?}"),
            message,
        };
        let body = self.defined.get(name).ok_or_else(|| at(format!("template {name:?} not defined")))?;
        if self.depth >= MAX_DEPTH {
            return Err(at(format!("exceeded maximum template depth ({MAX_DEPTH})")));
        }
        let inner = match pipeline {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => None,
        };
        // A called template sees its own `$` and none of the caller's variables.
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), inner.clone())]);
        self.depth += 1;
        let result = self.list(body, &inner);
        self.depth -= 1;
        self.variables = outer;
        result.map(drop)
    }

    fn bind(&mut self, name: &str, value: Found, assigns: bool) {
        if assigns && let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Found) -> Result<Found, Error> {
        let mut value: Option<Found> = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.flatten();
        if let [name] = pipeline.variables.as_slice() {
            self.bind(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    /// A command's value; `last` is what the pipe brings as its final argument.
    fn command(&mut self, command: &[Operand], dot: &Found, last: Option<Found>) -> Result<Found, Error> {
        let Some((first, rest)) = command.split_first() else { return Ok(None) };
        let Base::Function(name) = &first.base else {
            if !rest.is_empty() || last.is_some() {
                return fail(Some(first), format!("can't give argument to non-function {}", first.shown()));
            }
            return self.operand(first, dot);
        };
        if matches!(name.as_str(), "and" | "or") {
            return self.short_circuit(name == "and", first, rest, dot, last);
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        let value = functions::call(name, &arguments)
            .map_err(|message| execute_error(Some(first), format!("error calling {name}: {message}")))?;
        self.fields(Some(value), first, dot)
    }

    /// `and` and `or` stop at the argument that decides.
    fn short_circuit(
        &mut self,
        all: bool,
        first: &Operand,
        rest: &[Operand],
        dot: &Found,
        last: Option<Found>,
    ) -> Result<Found, Error> {
        if rest.is_empty() && last.is_none() {
            return fail(Some(first), "wrong number of args: want at least 1 got 0".into());
        }
        let mut value = None;
        for operand in rest {
            value = self.operand(operand, dot)?;
            if truth(&value) != all {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn operand(&mut self, operand: &Operand, dot: &Found) -> Result<Found, Error> {
        let base = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Nil => return fail(Some(operand), "nil is not a command".into()),
            Base::Variable(name) => {
                self.variables.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.clone())
            }
            Base::Literal(value) => Some(value.clone()),
            Base::Group(pipeline) => self.pipeline(pipeline, dot)?,
            Base::Function(_) => return self.command(std::slice::from_ref(operand), dot, None),
        };
        self.fields(base, operand, dot)
    }

    /// The operand's fields, one after the other, of `base`.
    fn fields(&self, base: Found, operand: &Operand, _dot: &Found) -> Result<Found, Error> {
        let mut value = base;
        for field in &operand.fields {
            value = match value {
                Some(Value::Object(mut map)) => match map.remove(field) {
                    Some(found) => Some(found),
                    None if self.missing == Missing::NoValue => None,
                    None => return fail(Some(operand), format!("map has no entry for key {field:?}")),
                },
                None | Some(Value::Null) if self.missing == Missing::NoValue => None,
                None | Some(Value::Null) => {
                    return fail(Some(operand), format!("nil data; no entry for key {field:?}"));
                }
                Some(other) => {
                    let kind = functions::kind(&other);
                    return fail(Some(operand), format!("can't evaluate field {field} in type {kind}"));
                }
            };
        }
        Ok(value)
    }
}

fn execute_error(operand: Option<&Operand>, message: String) -> Error {
    let position = operand.map(|o| o.position).unwrap_or_default();
    Error::Execute {
        line: position.line,
        column: position.column,
        at: operand.map(Operand::shown).unwrap_or_default(),
        message,
    }
}

fn fail<T>(operand: Option<&Operand>, message: String) -> Result<T, Error> {
    Err(execute_error(operand, message))
}
