//! The expressions themselves.

use super::world::World;
use super::{Outcome, boolean, kind_of, number, text};
use hcl::expr::{
    BinaryOp, BinaryOperator, Expression, ForExpr, FuncCall, ObjectKey, Operation, Traversal,
    TraversalOperator, UnaryOp, UnaryOperator,
};
use hcl::{Identifier, Number, Value};

/// Where an expression stands: the world, and the names that only this place knows.
pub(crate) struct Scope<'a> {
    world: &'a World<'a>,
    locals: Vec<(String, Value)>,
}

impl<'a> Scope<'a> {
    pub fn new(world: &'a World<'a>, locals: Vec<(String, Value)>) -> Self {
        Self { world, locals }
    }

    fn with(&self, more: impl IntoIterator<Item = (String, Value)>) -> Scope<'a> {
        let mut locals = self.locals.clone();
        locals.extend(more);
        Scope { world: self.world, locals }
    }

    fn local(&self, name: &str) -> Option<&Value> {
        self.locals.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of an expression.
    pub fn evaluate(&self, expression: &Expression) -> Outcome<Value> {
        match expression {
            Expression::Null => Ok(Value::Null),
            Expression::Bool(value) => Ok((*value).into()),
            Expression::Number(value) => Ok((*value).into()),
            Expression::String(value) => Ok(value.as_str().into()),
            Expression::Array(items) => self.all(items).map(Value::Array),
            Expression::Object(members) => {
                let member = |(key, value): (&ObjectKey, &Expression)| {
                    let key = match key {
                        ObjectKey::Expression(key) => text(&self.evaluate(key)?)?,
                        other => other.to_string(),
                    };
                    Ok((key, self.evaluate(value)?))
                };
                members.iter().map(member).collect::<Outcome<hcl::Map<_, _>>>().map(Value::Object)
            }
            Expression::TemplateExpr(template) => self.template(template),
            Expression::Variable(name) => match self.local(name.as_str()) {
                Some(value) => Ok(value.clone()),
                None => self.world.variable(name.as_str()),
            },
            Expression::Traversal(traversal) => self.traversal(traversal),
            Expression::FuncCall(call) => self.call(call),
            Expression::Parenthesis(inner) => self.evaluate(inner),
            Expression::Conditional(choice) => {
                let chosen = boolean(&self.evaluate(&choice.cond_expr)?)?;
                self.evaluate(if chosen { &choice.true_expr } else { &choice.false_expr })
            }
            Expression::Operation(operation) => self.operation(operation),
            Expression::ForExpr(repetition) => self.for_expression(repetition),
            other => Err(format!("unknown expression {other:?}")),
        }
    }

    fn all(&self, expressions: &[Expression]) -> Outcome<Vec<Value>> {
        expressions.iter().map(|expression| self.evaluate(expression)).collect()
    }

    fn call(&self, call: &FuncCall) -> Outcome<Value> {
        let name = call.name.name.as_str();
        match name {
            // These two look at whether there is a value.
            "try" => {
                let mut last = Err("try has no arguments".to_owned());
                for argument in &call.args {
                    last = self.evaluate(argument);
                    if last.is_ok() {
                        break;
                    }
                }
                return last;
            }
            "can" => {
                let [argument] = call.args.as_slice() else { return Err("can takes one argument".into()) };
                return Ok(self.evaluate(argument).is_ok().into());
            }
            _ => {}
        }
        let mut arguments = self.all(&call.args)?;
        if call.expand_final {
            match arguments.pop() {
                Some(Value::Array(last)) => arguments.extend(last),
                other => {
                    let found = other.as_ref().map_or("nothing", kind_of);
                    return Err(format!("{name}: only a list can be expanded by ..., not {found}"));
                }
            }
        }
        self.world.call(name, arguments)
    }

    fn traversal(&self, traversal: &Traversal) -> Outcome<Value> {
        // Another block's attribute: evaluated alone, since its other attributes may need this one.
        if let (Expression::Variable(root), [block, attribute, rest @ ..]) =
            (&traversal.expr, traversal.operators.as_slice())
            && matches!(root.as_str(), "target" | "group")
            && self.local(root.as_str()).is_none()
        {
            let (block, attribute) = (self.key(block)?, self.key(attribute)?);
            return self.walk(self.world.attribute(root.as_str(), &block, &attribute)?, rest);
        }
        self.walk(self.evaluate(&traversal.expr)?, &traversal.operators)
    }

    fn key(&self, operator: &TraversalOperator) -> Outcome<String> {
        match operator {
            TraversalOperator::GetAttr(name) => Ok(name.to_string()),
            TraversalOperator::Index(index) => text(&self.evaluate(index)?),
            _ => Err("a block's name and one of its attributes were expected".into()),
        }
    }

    fn walk(&self, mut value: Value, operators: &[TraversalOperator]) -> Outcome<Value> {
        for (at, operator) in operators.iter().enumerate() {
            value = match operator {
                TraversalOperator::GetAttr(name) => member(&value, name.as_str())?,
                TraversalOperator::LegacyIndex(index) => item(&value, *index as usize)?,
                TraversalOperator::Index(index) => match self.evaluate(index)? {
                    Value::String(name) => member(&value, &name)?,
                    index => {
                        let index = number(&index)?.as_u64().ok_or("an index is a whole number from 0")?;
                        item(&value, index as usize)?
                    }
                },
                TraversalOperator::AttrSplat | TraversalOperator::FullSplat => {
                    let items = match value {
                        Value::Array(items) => items,
                        Value::Null => Vec::new(),
                        one => vec![one],
                    };
                    // What only an attribute can follow ends at the first index; that is of the result.
                    let rest = &operators[at + 1..];
                    let attribute =
                        |operator: &TraversalOperator| matches!(operator, TraversalOperator::GetAttr(_));
                    let length = match operator {
                        TraversalOperator::AttrSplat => {
                            rest.iter().take_while(|next| attribute(next)).count()
                        }
                        _ => rest.len(),
                    };
                    let each = items.into_iter().map(|item| self.walk(item, &rest[..length]));
                    let items = each.collect::<Outcome<Vec<_>>>()?;
                    return self.walk(Value::Array(items), &rest[length..]);
                }
            };
        }
        Ok(value)
    }

    fn operation(&self, operation: &Operation) -> Outcome<Value> {
        match operation {
            Operation::Unary(UnaryOp { operator, expr }) => {
                let value = self.evaluate(expr)?;
                match operator {
                    UnaryOperator::Not => Ok((!boolean(&value)?).into()),
                    UnaryOperator::Neg => Ok(Value::Number(-number(&value)?)),
                }
            }
            Operation::Binary(BinaryOp { lhs_expr, operator, rhs_expr }) => {
                let left = self.evaluate(lhs_expr)?;
                // The right side of these may have no value when the left one decides.
                match (operator, &left) {
                    (BinaryOperator::And, left) if !boolean(left)? => return Ok(false.into()),
                    (BinaryOperator::Or, left) if boolean(left)? => return Ok(true.into()),
                    _ => {}
                }
                operate(*operator, &left, &self.evaluate(rhs_expr)?)
            }
        }
    }

    fn for_expression(&self, repetition: &ForExpr) -> Outcome<Value> {
        let collection = self.evaluate(&repetition.collection_expr)?;
        let mut list = Vec::new();
        let mut object = hcl::Map::new();
        for inner in self.each(collection, repetition.key_var.as_ref(), &repetition.value_var)? {
            if let Some(condition) = &repetition.cond_expr
                && !boolean(&inner.evaluate(condition)?)?
            {
                continue;
            }
            let value = inner.evaluate(&repetition.value_expr)?;
            let Some(key) = &repetition.key_expr else {
                list.push(value);
                continue;
            };
            let key = text(&inner.evaluate(key)?)?;
            if repetition.grouping {
                let group = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                group.as_array_mut().into_iter().for_each(|group| group.push(value.clone()));
            } else if object.insert(key.clone(), value).is_some() {
                return Err(format!("two different items produced the key {key:?} in this 'for' expression"));
            }
        }
        Ok(if repetition.key_expr.is_some() { Value::Object(object) } else { Value::Array(list) })
    }

    /// A scope for every item of a collection.
    pub fn each(
        &self,
        collection: Value,
        key: Option<&Identifier>,
        value: &Identifier,
    ) -> Outcome<Vec<Scope<'a>>> {
        let pairs: Vec<(Value, Value)> = match collection {
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(at, item)| (at.into(), item)).collect()
            }
            Value::Object(members) => members.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            other => return Err(format!("a {} can't be iterated over", kind_of(&other))),
        };
        let scope = |(index, item): (Value, Value)| {
            let key = key.map(|key| (key.to_string(), index));
            self.with(key.into_iter().chain([(value.to_string(), item)]))
        };
        Ok(pairs.into_iter().map(scope).collect())
    }
}

fn member(value: &Value, name: &str) -> Outcome<Value> {
    let members =
        value.as_object().ok_or_else(|| format!("a {} has no attribute {name:?}", kind_of(value)))?;
    members.get(name).cloned().ok_or_else(|| format!("this object does not have an attribute named {name:?}"))
}

fn item(value: &Value, index: usize) -> Outcome<Value> {
    let items = value.as_array().ok_or_else(|| format!("a {} has no items", kind_of(value)))?;
    let missing = || format!("the list has {} items, there is no number {index}", items.len());
    items.get(index).cloned().ok_or_else(missing)
}

/// An operator between two values. Numbers are equal by value, and lists and objects by their members.
pub(crate) fn operate(operator: BinaryOperator, left: &Value, right: &Value) -> Outcome<Value> {
    use BinaryOperator::{And, Div, Eq, Greater, GreaterEq, Less, LessEq, Minus, Mod, Mul, NotEq, Or, Plus};
    match operator {
        Eq => return Ok((left == right).into()),
        NotEq => return Ok((left != right).into()),
        And => return Ok((boolean(left)? && boolean(right)?).into()),
        Or => return Ok((boolean(left)? || boolean(right)?).into()),
        _ => {}
    }
    let (left, right) = (number(left)?, number(right)?);
    match operator {
        Less => Ok((left < right).into()),
        LessEq => Ok((left <= right).into()),
        Greater => Ok((left > right).into()),
        GreaterEq => Ok((left >= right).into()),
        Plus => arithmetic(left, right, i64::checked_add, |a, b| a + b),
        Minus => arithmetic(left, right, i64::checked_sub, |a, b| a - b),
        Mul => arithmetic(left, right, i64::checked_mul, |a, b| a * b),
        Div if right == Number::from(0) => Err("division by zero".into()),
        Div => arithmetic(left, right, |_, _| None, |a, b| a / b),
        Mod if right == Number::from(0) => Err("division by zero".into()),
        Mod => arithmetic(left, right, i64::checked_rem, |a, b| a % b),
        other => Err(format!("unknown operator {other}")),
    }
}

fn arithmetic(
    left: Number,
    right: Number,
    whole: fn(i64, i64) -> Option<i64>,
    fraction: fn(f64, f64) -> f64,
) -> Outcome<Value> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64())
        && let Some(result) = whole(left, right)
    {
        return Ok(result.into());
    }
    let float = |number: Number| number.as_f64().unwrap_or(f64::NAN);
    let result = Number::from_f64(fraction(float(left), float(right)));
    result.map(Value::Number).ok_or_else(|| "the result is no number".into())
}
