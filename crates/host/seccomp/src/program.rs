//! From runs of numbers to instructions.
//!
//! The program is written from its end to its start: a jump goes forward only, so its target is always there
//! already. `position` counts from the end.

use crate::rules::{Condition, KILL_PROCESS, Operator, Outcome, Outcomes, Return};
use crate::{Architecture, Error, Result};
use hull_sys::filter::SockFilter;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// A conditional jump's reach.
const REACH: usize = 255;
/// How many single numbers are tested one after the other before a run is split instead.
const CHAIN: usize = 3;

/// How many instructions stand from a place to the end.
type Position = usize;

pub(crate) struct Builder {
    /// The last instruction first.
    reversed: Vec<SockFilter>,
    returns: Vec<(Return, Position)>,
    /// Where the test of the next architecture stands, or the refusal of all others.
    next: Option<Position>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { reversed: Vec::new(), returns: Vec::new(), next: None }
    }

    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> Position {
        self.reversed.push(SockFilter { code, jt, jf, k });
        self.reversed.len()
    }

    /// Where control is to go to reach a position from an instruction written next, by a far jump if need be.
    fn near(&mut self, target: Position) -> Position {
        // Another far jump may be put between, hence one less.
        if self.reversed.len() - target < REACH {
            return target;
        }
        let distance = (self.reversed.len() - target) as u32;
        self.push(JUMP, distance, 0, 0)
    }

    fn branch(&mut self, code: u16, k: u32, yes: Position, no: Position) -> Position {
        if yes == no {
            return yes;
        }
        let yes = self.near(yes);
        let no = self.near(no);
        let here = self.reversed.len();
        self.push(code, k, (here - yes) as u8, (here - no) as u8)
    }

    fn give(&mut self, value: Return) -> Position {
        let known = self.returns.iter().find(|(known, _)| *known == value).map(|(_, position)| *position);
        if let Some(position) = known
            && self.reversed.len() - position < REACH / 2
        {
            return position;
        }
        let position = self.push(RETURN, value, 0, 0);
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, position));
        position
    }

    /// Puts the test of an architecture and its tree before what is there.
    pub(crate) fn add_architecture(&mut self, architecture: Architecture, outcomes: &Outcomes) {
        let other = match self.next {
            Some(position) => position,
            None => self.give(KILL_PROCESS),
        };
        let runs: Vec<(u32, Position)> =
            outcomes.runs.iter().map(|(first, outcome)| (*first, self.outcome(outcome))).collect();
        let tree = self.tree(&runs);
        // The tree needs the number loaded; it may start with a jump far back if it is a single outcome.
        let tree = self.near(tree);
        let distance = (self.reversed.len() - tree) as u32;
        if distance > 0 {
            self.push(JUMP, distance, 0, 0);
        }
        let start = self.push(LOAD, NUMBER, 0, 0);
        self.next = Some(self.branch(JUMP_EQUAL, architecture.audit(), start, other));
    }

    pub(crate) fn finish(mut self) -> Result<Vec<SockFilter>> {
        let start = match self.next {
            Some(position) => position,
            None => self.give(KILL_PROCESS),
        };
        debug_assert_eq!(start, self.reversed.len());
        self.push(LOAD, ARCHITECTURE, 0, 0);
        if self.reversed.len() > 4096 {
            return Err(Error::TooLong(self.reversed.len()));
        }
        self.reversed.reverse();
        Ok(self.reversed)
    }

    /// A search tree over runs; the number is in the accumulator.
    fn tree(&mut self, runs: &[(u32, Position)]) -> Position {
        if let [(_, only)] = runs {
            return *only;
        }
        if let Some(position) = self.chain(runs) {
            return position;
        }
        let split = split(runs);
        let upper = self.tree(&runs[split..]);
        let lower = self.tree(&runs[..split]);
        self.branch(JUMP_GREATER_EQUAL, runs[split].0, upper, lower)
    }

    /// Runs that are all alike but for a few single numbers: one comparison each, instead of two.
    fn chain(&mut self, runs: &[(u32, Position)]) -> Option<Position> {
        if runs.len().is_multiple_of(2) || runs.len() > 2 * CHAIN + 1 {
            return None;
        }
        let common = runs[0].1;
        let singles = (1..runs.len()).step_by(2);
        if !singles.clone().all(|i| is_single(runs, i) && runs[i + 1].1 == common) {
            return None;
        }
        let mut position = common;
        for index in singles.rev() {
            position = self.branch(JUMP_EQUAL, runs[index].0, runs[index].1, position);
        }
        Some(position)
    }

    fn outcome(&mut self, outcome: &Outcome) -> Position {
        match outcome {
            Outcome::Always(value) => self.give(*value),
            Outcome::Cases(cases, otherwise) => {
                let mut position = self.give(*otherwise);
                for (conditions, value) in cases.iter().rev() {
                    let failed = position;
                    let mut reached = self.give(*value);
                    for condition in conditions.iter().rev() {
                        reached = self.condition(condition, reached, failed);
                    }
                    position = reached;
                }
                position
            }
        }
    }

    fn condition(&mut self, condition: &Condition, yes: Position, no: Position) -> Position {
        let low = (condition.value & 0xffff_ffff) as u32;
        let high = (condition.value >> 32) as u32;
        let offset = ARGUMENTS + 8 * condition.index;
        let low_part = self.low_half(condition.operator, low, offset, yes, no);
        if condition.low_only {
            return low_part;
        }
        let offset = offset + 4;
        match condition.operator {
            Operator::Equal => {
                self.branch(JUMP_EQUAL, high, low_part, no);
            }
            Operator::NotEqual => {
                self.branch(JUMP_EQUAL, high, low_part, yes);
            }
            Operator::MaskedEqual(mask) => {
                let mask = (mask >> 32) as u32;
                if mask == 0 {
                    // No bit of the high half counts: it is zero after masking.
                    return if high == 0 { low_part } else { no };
                }
                self.branch(JUMP_EQUAL, high, low_part, no);
                self.push(AND, mask, 0, 0);
            }
            Operator::Greater | Operator::GreaterOrEqual => {
                let equal = self.branch(JUMP_EQUAL, high, low_part, no);
                self.branch(JUMP_GREATER, high, yes, equal);
            }
            Operator::Less | Operator::LessOrEqual => {
                let equal = self.branch(JUMP_EQUAL, high, low_part, yes);
                self.branch(JUMP_GREATER, high, no, equal);
            }
        }
        self.push(LOAD, offset, 0, 0)
    }

    fn low_half(
        &mut self,
        operator: Operator,
        value: u32,
        offset: u32,
        yes: Position,
        no: Position,
    ) -> Position {
        match operator {
            Operator::Equal => self.branch(JUMP_EQUAL, value, yes, no),
            Operator::NotEqual => self.branch(JUMP_EQUAL, value, no, yes),
            Operator::Greater => self.branch(JUMP_GREATER, value, yes, no),
            Operator::GreaterOrEqual => self.branch(JUMP_GREATER_EQUAL, value, yes, no),
            Operator::Less => self.branch(JUMP_GREATER_EQUAL, value, no, yes),
            Operator::LessOrEqual => self.branch(JUMP_GREATER, value, no, yes),
            Operator::MaskedEqual(mask) => {
                self.branch(JUMP_EQUAL, value, yes, no);
                self.push(AND, (mask & 0xffff_ffff) as u32, 0, 0)
            }
        };
        self.push(LOAD, offset, 0, 0)
    }
}

/// Whether the run at an index holds one number only.
fn is_single(runs: &[(u32, Position)], index: usize) -> bool {
    runs.get(index + 1).is_some_and(|(next, _)| *next == runs[index].0 + 1)
}

/// Where to halve: near the middle, and not beside a single number if that can be.
fn split(runs: &[(u32, Position)]) -> usize {
    let middle = runs.len() / 2;
    let candidates = (1..runs.len()).filter(|i| !is_single(runs, *i) && !is_single(runs, *i - 1));
    candidates
        .min_by_key(|i| i.abs_diff(middle))
        .filter(|i| i.abs_diff(middle) <= runs.len() / 4)
        .unwrap_or(middle)
}
