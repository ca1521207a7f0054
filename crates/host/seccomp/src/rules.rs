//! A profile's rules as outcomes per system call number.

use crate::{Architecture, Error, Result, table};
use hull_types::oci::runtime::{Seccomp, Syscall, SyscallArg};

const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

/// What a filter returns: `SECCOMP_RET_…` and its data.
pub(crate) type Return = u32;

/// `SECCOMP_RET_KILL_PROCESS`: what meets calls of an architecture that the profile does not cover.
pub(crate) const KILL_PROCESS: Return = 0x8000_0000;
const ALLOW: Return = 0x7fff_0000;
const LOG: Return = 0x7ffc_0000;
const RETURN_ERRNO: Return = 0x0005_0000;

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// The argument, masked with this, is compared.
    MaskedEqual(u64),
}

/// A condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    pub index: u32,
    pub operator: Operator,
    pub value: u64,
    /// Whether only the low half counts, because the kernel itself looks at no more.
    pub low_only: bool,
}

/// What happens to a system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Always(Return),
    /// The first case whose conditions all hold counts, or else the last value.
    Cases(Vec<(Vec<Condition>, Return)>, Return),
}

/// The outcomes of one architecture's calls.
pub(crate) struct Outcomes {
    /// Sorted by number: the first number of each run, and what happens from there to the next.
    pub runs: Vec<(u32, Outcome)>,
}

struct Rule<'a> {
    names: &'a [String],
    conditions: Vec<Condition>,
    action: Return,
}

/// A checked profile.
pub(crate) struct Rules<'a> {
    default: Return,
    rules: Vec<Rule<'a>>,
}

impl<'a> Rules<'a> {
    pub(crate) fn of(seccomp: &'a Seccomp) -> Result<Self> {
        let default = action(&seccomp.default_action, seccomp.default_errno_ret)?;
        let mut rules = Vec::with_capacity(seccomp.syscalls.len());
        for rule in &seccomp.syscalls {
            let action = action(&rule.action, rule.errno_ret)?;
            let conditions = conditions(rule)?;
            rules.push(Rule { names: &rule.names, conditions, action });
        }
        Ok(Self { default, rules })
    }

    /// The runs of numbers with the same outcome. Names that the architecture does not have are left out.
    pub(crate) fn for_architecture(&self, architecture: Architecture) -> Outcomes {
        // The calls that all architectures number from 0 on, and those of 32-bit ARM far above them.
        let mut runs: Vec<(u32, Outcome)> = Vec::new();
        self.add_runs(&mut runs, 0, architecture);
        if runs.is_empty() {
            runs.push((0, Outcome::Always(self.beyond())));
        }
        if architecture == Architecture::Arm {
            self.add_runs(&mut runs, table::PRIVATE, architecture);
        }
        Outcomes { runs }
    }

    /// Adds the runs of the calls from that number on, and what meets those beyond.
    fn add_runs(&self, runs: &mut Vec<(u32, Outcome)>, first: u32, architecture: Architecture) {
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        for rule in &self.rules {
            for name in rule.names {
                let number = table::number(name, architecture);
                let here = number.filter(|number| (*number >= table::PRIVATE) == (first == table::PRIVATE));
                let Some(index) = here.map(|number| (number - first) as usize) else { continue };
                if index >= outcomes.len() {
                    outcomes.resize(index + 1, None);
                }
                self.add(&mut outcomes[index], rule, name, architecture);
            }
        }
        if outcomes.is_empty() {
            return;
        }
        let newest = first + outcomes.len() as u32;
        for (number, outcome) in (first..).zip(outcomes) {
            // A number that no call has may get either neighbour's outcome: the kernel answers ENOSYS.
            let gap = outcome.is_none() && !table::is_assigned(number, architecture);
            let outcome = outcome.unwrap_or(Outcome::Always(self.default));
            match runs.last() {
                Some((_, last)) if gap || *last == outcome => {}
                _ => runs.push((number, outcome)),
            }
            if runs.len() == 1 {
                runs[0].0 = 0;
            }
        }
        let beyond = Outcome::Always(self.beyond());
        if runs.last().is_none_or(|(_, last)| *last != beyond) {
            runs.push((newest, beyond));
        }
    }

    fn add(&self, slot: &mut Option<Outcome>, rule: &Rule<'_>, name: &str, architecture: Architecture) {
        let conditions: Vec<Condition> = rule
            .conditions
            .iter()
            .map(|c| Condition { low_only: is_32_bit(name, c.index, architecture), ..*c })
            .collect();
        match slot {
            // Rules count in the order of the profile: an unconditional one leaves nothing for later ones.
            Some(Outcome::Always(_)) => {}
            _ if conditions.is_empty() => match slot {
                Some(Outcome::Cases(_, otherwise)) if *otherwise == self.default => *otherwise = rule.action,
                _ => *slot = Some(Outcome::Always(rule.action)),
            },
            None => *slot = Some(Outcome::Cases(vec![(conditions, rule.action)], self.default)),
            Some(Outcome::Cases(cases, _)) => cases.push((conditions, rule.action)),
        }
        if let Some(Outcome::Cases(cases, otherwise)) = slot
            && cases.iter().all(|(_, action)| action == otherwise)
        {
            *slot = (*otherwise != self.default).then_some(Outcome::Always(*otherwise));
        }
    }

    /// What meets calls newer than the profile: `ENOSYS` makes programs try an older call, where a profile's
    /// `EPERM` would make them fail. A profile that lets unknown calls pass goes on doing so.
    fn beyond(&self) -> Return {
        if self.default == ALLOW || self.default == LOG || self.default >> 16 != RETURN_ERRNO >> 16 {
            self.default
        } else {
            RETURN_ERRNO | ENOSYS
        }
    }
}

fn action(name: &str, errno: Option<u32>) -> Result<Return> {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => RETURN_ERRNO | data,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        _ => return Err(Error::UnknownAction(name.into())),
    })
}

fn conditions(rule: &Syscall) -> Result<Vec<Condition>> {
    rule.args.iter().map(|argument| condition(rule, argument)).collect()
}

fn condition(rule: &Syscall, argument: &SyscallArg) -> Result<Condition> {
    if argument.index > 5 {
        let name = rule.names.first().cloned().unwrap_or_default();
        return Err(Error::ArgumentIndex { name, index: argument.index });
    }
    let operator = match argument.op.as_str() {
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        "SCMP_CMP_MASKED_EQ" => Operator::MaskedEqual(argument.value),
        other => return Err(Error::UnknownOperator(other.into())),
    };
    let masked = matches!(operator, Operator::MaskedEqual(_));
    let value = if masked { argument.value_two } else { argument.value };
    Ok(Condition { index: argument.index, operator, value, low_only: false })
}

/// Whether the kernel takes an argument as 32 bits wide. A filter that compared all 64 could be passed by: with
/// "greater than 40", family 38 plus 2³² is allowed by the filter and is 38 to the kernel.
fn is_32_bit(name: &str, index: u32, architecture: Architecture) -> bool {
    matches!(architecture, Architecture::I386 | Architecture::Arm)
        || matches!(
            (name, index),
            ("socket" | "socketpair", 0..=2)
                | ("personality", 0)
                | ("ioctl" | "fcntl", 0..=1)
                | ("prctl", 0)
                | ("setns", 0..=1)
                | ("kcmp", 0..=2)
                | ("socketcall", 0)
        )
}
