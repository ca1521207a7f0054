//! The lint rules: what works but should be written otherwise, each with its place and a suggested fix.

mod commands;
mod rules;
mod stages;
mod variables;

pub use rules::Rule;

use crate::directive::Check;
use crate::ignore::Ignore;
use crate::instruction::Dockerfile;
use crate::position::Span;
use crate::scope::Globals;

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to write instead.
    pub fix: String,
}

/// What the rules have to know besides the file.
#[derive(Default)]
pub struct Facts<'a> {
    /// The values of global arguments.
    pub globals: Globals,
    /// The environment of the image that a stage (by its index) starts from, where it is known.
    pub base_env: Option<&'a dyn Fn(usize) -> Option<Vec<String>>>,
    /// What of the context is left out.
    pub ignore: Option<&'a Ignore>,
    /// What the client says about rules; the file's own directive otherwise.
    pub check: Option<Check>,
}

/// Applies all rules; the findings in the order of their lines.
pub fn lint(file: &Dockerfile, facts: &Facts<'_>) -> Vec<Finding> {
    let none = Check::default();
    let check = facts.check.as_ref().or(file.directives.check.as_ref()).unwrap_or(&none);
    let mut findings = Vec::new();
    if !check.skip_all {
        stages::check(file, facts, &mut findings);
        commands::check(file, facts, &mut findings);
        variables::check(file, facts, &mut findings);
    }
    let named = |list: &[String], rule: Rule| list.iter().any(|word| word.eq_ignore_ascii_case(rule.name()));
    findings.retain(|finding| {
        let on_trial = finding.rule.is_experimental()
            && !named(&check.experimental, finding.rule)
            && !check.experimental.iter().any(|word| word.eq_ignore_ascii_case("all"));
        !on_trial && !named(&check.skip, finding.rule)
    });
    findings.sort_by_key(|finding| (finding.span.start.line, finding.rule as u8));
    findings.dedup();
    findings
}

fn add(findings: &mut Vec<Finding>, rule: Rule, span: Span, message: String, fix: String) {
    findings.push(Finding { rule, message, span, fix });
}

#[cfg(test)]
mod tests;
