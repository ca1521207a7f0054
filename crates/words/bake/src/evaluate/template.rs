//! Templates: texts with `${…}` and `%{…}` in them.

use super::expression::Scope;
use super::{Outcome, boolean, text};
use hcl::Value;
use hcl::expr::TemplateExpr;
use hcl::template::{Directive, Element, ForDirective, IfDirective, Strip, Template};

impl Scope<'_> {
    /// A template that is one interpolation alone is that value; any other is a text.
    pub fn template(&self, expression: &TemplateExpr) -> Outcome<Value> {
        let template = Template::from_expr(expression).map_err(|error| error.to_string())?;
        if let [Element::Interpolation(only)] = template.elements() {
            return self.evaluate(&only.expr);
        }
        let mut result = String::new();
        self.elements(&mut result, &template, Strip::None, Strip::None)?;
        Ok(Value::String(result))
    }

    // `before` and `after` are the marks of what stands around the template.
    fn elements(&self, to: &mut String, template: &Template, before: Strip, after: Strip) -> Outcome<()> {
        let elements = template.elements();
        for (index, element) in elements.iter().enumerate() {
            match element {
                Element::Literal(literal) => {
                    let before = index.checked_sub(1).map_or(before, |index| end(&elements[index]));
                    let after = elements.get(index + 1).map_or(after, start);
                    to.push_str(stripped(literal, before, after));
                }
                Element::Interpolation(inner) => to.push_str(&text(&self.evaluate(&inner.expr)?)?),
                Element::Directive(directive) => match directive.as_ref() {
                    Directive::If(directive) => self.condition(to, directive)?,
                    Directive::For(directive) => self.repetition(to, directive)?,
                },
            }
        }
        Ok(())
    }

    fn condition(&self, to: &mut String, directive: &IfDirective) -> Outcome<()> {
        let IfDirective { if_strip, else_strip, endif_strip, .. } = directive;
        if boolean(&self.evaluate(&directive.cond_expr)?)? {
            let after = if directive.false_template.is_some() { *else_strip } else { *endif_strip };
            return self.elements(to, &directive.true_template, *if_strip, after);
        }
        match &directive.false_template {
            Some(template) => self.elements(to, template, *else_strip, *endif_strip),
            None => Ok(()),
        }
    }

    fn repetition(&self, to: &mut String, directive: &ForDirective) -> Outcome<()> {
        let collection = self.evaluate(&directive.collection_expr)?;
        for inner in self.each(collection, directive.key_var.as_ref(), &directive.value_var)? {
            inner.elements(to, &directive.template, directive.for_strip, directive.endfor_strip)?;
        }
        Ok(())
    }
}

// The mark at an element's beginning, and at its end.
fn start(element: &Element) -> Strip {
    match element {
        Element::Literal(_) => Strip::None,
        Element::Interpolation(inner) => inner.strip,
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(directive) => directive.if_strip,
            Directive::For(directive) => directive.for_strip,
        },
    }
}

fn end(element: &Element) -> Strip {
    match element {
        Element::Literal(_) => Strip::None,
        Element::Interpolation(inner) => inner.strip,
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(directive) => directive.endif_strip,
            Directive::For(directive) => directive.endfor_strip,
        },
    }
}

// Without the spaces next to a `~`, up to the first line's end.
fn stripped(literal: &str, before: Strip, after: Strip) -> &str {
    let space = |c: char| c.is_whitespace() && c != '\n' && c != '\r';
    let mut rest = literal;
    if before.strip_end() {
        let trimmed = rest.trim_start_matches(space);
        let line = trimmed.strip_prefix("\r\n").or_else(|| trimmed.strip_prefix('\n'));
        rest = line.unwrap_or(trimmed);
    }
    if after.strip_start() {
        let trimmed = rest.trim_end_matches(space);
        let line = trimmed.strip_suffix("\r\n").or_else(|| trimmed.strip_suffix('\n'));
        rest = line.unwrap_or(trimmed);
    }
    rest
}
