//! A file's blocks, unevaluated.

use crate::error::{Error, Result};
use crate::{File, names};
use hcl::expr::{Expression, ObjectKey, TemplateExpr};
use hcl::structure::{Block as HclBlock, Structure};
use serde_json::Value as Json;

/// An attribute's name and its expression.
pub(crate) type Attribute = (String, Expression);

/// What the files say, in their order.
#[derive(Debug, Default)]
pub(crate) struct Definition {
    pub attributes: Vec<Attribute>,
    pub variables: Vec<Variable>,
    pub functions: Vec<Function>,
    pub groups: Vec<Block>,
    pub targets: Vec<Block>,
}

/// A `target` or `group` block.
#[derive(Debug)]
pub(crate) struct Block {
    pub name: String,
    pub attributes: Vec<Attribute>,
}

impl Block {
    pub fn attribute(&self, name: &str) -> Option<&Expression> {
        self.attributes.iter().rev().find(|(key, _)| key == name).map(|(_, expression)| expression)
    }
}

/// A `variable` block.
#[derive(Debug)]
pub(crate) struct Variable {
    pub name: String,
    pub default: Option<Expression>,
    pub kind: Option<Type>,
    pub description: Option<String>,
    pub validations: Vec<Validation>,
}

/// A condition that a variable must fulfil.
#[derive(Debug)]
pub(crate) struct Validation {
    pub condition: Expression,
    pub message: Option<Expression>,
}

/// What a variable's value must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Any,
    String,
    Number,
    Bool,
    List(Box<Type>),
    Map(Box<Type>),
}

/// A `function` block.
#[derive(Debug)]
pub(crate) struct Function {
    pub name: String,
    pub parameters: Vec<String>,
    pub variadic: Option<String>,
    pub result: Expression,
}

impl Definition {
    /// Adds an HCL file.
    pub fn add_hcl(&mut self, file: &File<'_>) -> Result<()> {
        let body = hcl::parse(file.text).map_err(|error| wrong(file, error))?;
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    self.attributes.push((attribute.key.to_string(), attribute.expr));
                }
                Structure::Block(block) => self.block(file, block)?,
            }
        }
        Ok(())
    }

    /// Adds a file in HCL's JSON form.
    pub fn add_json(&mut self, file: &File<'_>) -> Result<()> {
        let json: Json = serde_json::from_str(file.text).map_err(|error| wrong(file, error))?;
        let Json::Object(members) = json else { return Err(wrong(file, "an object was expected")) };
        for (key, value) in members {
            if !matches!(key.as_str(), "variable" | "function" | "group" | "target") {
                self.attributes.push((key, expression(value)));
                continue;
            }
            for (name, body) in labelled(value) {
                let Json::Object(body) = body else {
                    return Err(wrong(file, format!("{key} {name:?}: an object was expected")));
                };
                let mut block = HclBlock::new(key.as_str());
                block.labels.push(name.into());
                for (key, value) in body {
                    block.body.0.extend(json_member(&key, value));
                }
                self.block(file, block)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, file: &File<'_>, block: HclBlock) -> Result<()> {
        let kind = block.identifier.to_string();
        if !matches!(kind.as_str(), "variable" | "function" | "group" | "target") {
            let cause = format!("unknown block {kind:?}: variable, function, group and target are known");
            return Err(wrong(file, cause));
        }
        let [label] = block.labels.as_slice() else {
            return Err(wrong(file, format!("a {kind} block has one label, its name")));
        };
        let name = label.as_str().to_owned();
        let place = format!("{kind} {name:?}");
        let wrong_here = |cause: String| wrong(file, format!("{place}: {cause}"));
        let (mut attributes, mut validations) = (Vec::new(), Vec::new());
        for structure in block.body {
            match structure {
                Structure::Attribute(attribute) => {
                    attributes.push((attribute.key.to_string(), attribute.expr));
                }
                Structure::Block(inner)
                    if kind == "variable" && inner.identifier.as_str() == "validation" =>
                {
                    validations.push(validation(inner).map_err(&wrong_here)?);
                }
                Structure::Block(inner) => {
                    return Err(wrong_here(format!("unknown block {:?}", inner.identifier.as_str())));
                }
            }
        }
        match kind.as_str() {
            "variable" => {
                self.variables.push(variable(name, attributes, validations).map_err(&wrong_here)?);
            }
            "function" => self.functions.push(function(name, attributes).map_err(&wrong_here)?),
            "group" => self.groups.push(Block { name, attributes }),
            _ => {
                // The name of one with a matrix is computed later.
                names::check(&name)?;
                self.targets.push(Block { name, attributes });
            }
        }
        Ok(())
    }
}

fn wrong(file: &File<'_>, cause: impl ToString) -> Error {
    Error::Parse { file: file.name.to_owned(), cause: cause.to_string() }
}

fn variable(
    name: String,
    attributes: Vec<Attribute>,
    validations: Vec<Validation>,
) -> Result<Variable, String> {
    let mut made = Variable { name, default: None, kind: None, description: None, validations };
    for (key, expression) in attributes {
        match key.as_str() {
            "default" => made.default = Some(expression),
            "type" => made.kind = Some(kind(&expression)?),
            "description" => made.description = text(&expression),
            other => {
                return Err(format!("unknown attribute {other:?}: default, type and description are known"));
            }
        }
    }
    Ok(made)
}

fn validation(block: HclBlock) -> Result<Validation, String> {
    let (mut condition, mut message) = (None, None);
    for structure in block.body {
        let Structure::Attribute(attribute) = structure else {
            return Err("a validation block has no blocks".into());
        };
        match attribute.key.as_str() {
            "condition" => condition = Some(attribute.expr),
            "error_message" => message = Some(attribute.expr),
            other => return Err(format!("validation: unknown attribute {other:?}")),
        }
    }
    let condition = condition.ok_or("validation: condition is missing")?;
    Ok(Validation { condition, message })
}

fn function(name: String, attributes: Vec<Attribute>) -> Result<Function, String> {
    let (mut parameters, mut variadic, mut result) = (Vec::new(), None, None);
    for (key, expression) in attributes {
        match key.as_str() {
            "params" => {
                let Expression::Array(items) = expression else { return Err("params must be a list".into()) };
                parameters = items.iter().map(word).collect::<Result<_, _>>()?;
            }
            "variadic_params" | "variadic_param" => variadic = Some(word(&expression)?),
            "result" => result = Some(expression),
            other => {
                return Err(format!(
                    "unknown attribute {other:?}: params, variadic_params and result are known"
                ));
            }
        }
    }
    Ok(Function { name, parameters, variadic, result: result.ok_or("result is missing")? })
}

// A name that stands where an expression could.
fn word(expression: &Expression) -> Result<String, String> {
    match expression {
        Expression::Variable(name) => Ok(name.to_string()),
        Expression::String(name) => Ok(name.clone()),
        _ => Err("each parameter name must be an identifier".into()),
    }
}

fn text(expression: &Expression) -> Option<String> {
    match expression {
        Expression::String(text) => Some(text.clone()),
        Expression::TemplateExpr(template) => match template.as_ref() {
            TemplateExpr::QuotedString(text) => Some(text.clone()),
            TemplateExpr::Heredoc(heredoc) => Some(heredoc.template.clone()),
        },
        _ => None,
    }
}

fn kind(expression: &Expression) -> Result<Type, String> {
    match expression {
        // In JSON it is a text.
        Expression::String(text) => kind(&text.parse().map_err(|error: hcl::Error| error.to_string())?),
        Expression::Variable(name) => Ok(match name.as_str() {
            "string" => Type::String,
            "number" => Type::Number,
            "bool" => Type::Bool,
            "any" => Type::Any,
            "list" | "set" | "tuple" => Type::List(Box::new(Type::Any)),
            "map" | "object" => Type::Map(Box::new(Type::Any)),
            other => return Err(format!("unknown type {other:?}")),
        }),
        Expression::FuncCall(call) => {
            let inner = || match call.args.as_slice() {
                [one @ (Expression::Variable(_) | Expression::FuncCall(_))] => kind(one).map(Box::new),
                // The members of a tuple or an object each have their own.
                _ => Ok(Box::new(Type::Any)),
            };
            match call.name.name.as_str() {
                "list" | "set" | "tuple" => Ok(Type::List(inner()?)),
                "map" | "object" => Ok(Type::Map(inner()?)),
                "optional" => Ok(*inner()?),
                other => Err(format!("unknown type {other:?}")),
            }
        }
        _ => Err("a type is a word such as string, or list(string)".into()),
    }
}

// Blocks of one kind, by label; a list of such objects is as good as one.
fn labelled(value: Json) -> Vec<(String, Json)> {
    match value {
        Json::Object(members) => members
            .into_iter()
            .flat_map(|(name, body)| match body {
                Json::Array(several) => several.into_iter().map(|body| (name.clone(), body)).collect(),
                body => vec![(name, body)],
            })
            .collect(),
        Json::Array(several) => several.into_iter().flat_map(labelled).collect(),
        _ => Vec::new(),
    }
}

fn json_member(key: &str, value: Json) -> Vec<Structure> {
    if key == "validation" {
        let several = match value {
            Json::Array(several) => several,
            one => vec![one],
        };
        let block = |value: Json| {
            let mut block = HclBlock::new("validation");
            if let Json::Object(members) = value {
                let inner = members.into_iter().map(|(key, value)| attribute(&key, value));
                block.body.0.extend(inner);
            }
            Structure::Block(block)
        };
        return several.into_iter().map(block).collect();
    }
    vec![attribute(key, value)]
}

fn attribute(key: &str, value: Json) -> Structure {
    let key = hcl::Identifier::sanitized(key);
    Structure::Attribute(hcl::Attribute { key, expr: expression(value) })
}

// HCL's JSON form: what is a text there is a template.
fn expression(value: Json) -> Expression {
    match value {
        Json::Null => Expression::Null,
        Json::Bool(value) => value.into(),
        Json::Number(value) => {
            value.as_i64().map_or_else(|| value.as_f64().unwrap_or_default().into(), Expression::from)
        }
        Json::String(text) => template(text),
        Json::Array(items) => Expression::Array(items.into_iter().map(expression).collect()),
        Json::Object(members) => Expression::Object(
            members
                .into_iter()
                .map(|(key, value)| (ObjectKey::Expression(template(key)), expression(value)))
                .collect(),
        ),
    }
}

fn template(text: String) -> Expression {
    if text.contains("${") || text.contains("%{") {
        return Expression::TemplateExpr(Box::new(TemplateExpr::QuotedString(text)));
    }
    Expression::String(text)
}
