//! Changes to the ruleset, in the order in which the kernel is to make them.

use crate::expression::Expression;
use crate::set::{Element, Set};

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Everything, where it comes in by an interface.
    Netdev,
}

/// What a base chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Lets pass or drops.
    Filter,
    /// Rewrites the first packet of a connection, and by it all others.
    Nat,
}

/// Where on a packet's way a base chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// On arrival, before it is known where it goes.
    Prerouting,
    /// On its way to a local process.
    Input,
    /// On its way through.
    Forward,
    /// On its way from a local process.
    Output,
    /// On leaving.
    Postrouting,
}

/// What becomes of a packet that no rule decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It passes.
    Accept,
    /// It doesn't.
    Drop,
}

/// What makes a chain a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// What it does.
    pub kind: ChainKind,
    /// Where it is.
    pub hook: Hook,
    /// Its place among the chains of the hook; lower is earlier.
    pub priority: i32,
    /// For packets that no rule decided on.
    pub policy: Policy,
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it is hooked in; `None` for one that others jump to.
    pub base: Option<BaseChain>,
}

/// A rule at the end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The chain's name.
    pub chain: String,
    /// What is worked off from first to last, until one doesn't match.
    pub expressions: Vec<Expression>,
    /// What `nft list ruleset` shows beside it; empty for nothing.
    pub comment: String,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes the table where it isn't there.
    AddTable,
    /// Makes the table, this socket's own: others can neither change nor flush it, and it goes with the socket. Since
    /// Linux 5.12.
    AddOwnedTable,
    /// Removes the table with all in it; an error where it isn't there.
    DeleteTable,
    /// Makes a chain where it isn't there.
    AddChain(Chain),
    /// Makes a chain of a [`Family::Netdev`] table where it isn't there: all that comes in by that interface, before
    /// anything else sees it. The kernel removes it with the interface; an error where there is none of that name.
    AddIngressChain {
        /// Its name.
        name: String,
        /// The interface.
        interface: String,
    },
    /// Removes the rules of a chain.
    FlushChain(String),
    /// Removes an empty chain that nothing jumps to.
    DeleteChain(String),
    /// Appends a rule.
    AddRule(Rule),
    /// Makes a set or map where it isn't there.
    AddSet(Set),
    /// Removes a set that no rule uses.
    DeleteSet(String),
    /// Adds elements; one that is there with the same data is no error.
    AddElements(Set, Vec<Element>),
    /// Removes elements; an error where one isn't there.
    DeleteElements(Set, Vec<Element>),
    /// Removes all elements of a set.
    FlushSet(String),
}

/// Changes to one table, made together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The table's family.
    pub family: Family,
    /// The table's name.
    pub table: String,
    /// The changes in order.
    pub changes: Vec<Change>,
}

impl Batch {
    /// A batch without changes.
    pub fn new(family: Family, table: &str) -> Self {
        Self { family, table: table.to_owned(), changes: Vec::new() }
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change) -> &mut Self {
        self.changes.push(change);
        self
    }

    /// The words for a change, completing "cannot …".
    pub(crate) fn describe(&self, change: &Change) -> String {
        let table = &self.table;
        match change {
            Change::AddTable | Change::AddOwnedTable => format!("add the nftables table {table}"),
            Change::DeleteTable => format!("delete the nftables table {table}"),
            Change::AddChain(chain) => format!("add the chain {} to table {table}", chain.name),
            Change::AddIngressChain { interface, .. } => {
                format!("add a chain for the interface {interface} to table {table}")
            }
            Change::FlushChain(name) => format!("flush the chain {name} of table {table}"),
            Change::DeleteChain(name) => format!("delete the chain {name} of table {table}"),
            Change::AddRule(rule) => format!("add a rule to the chain {} of table {table}", rule.chain),
            Change::AddSet(set) => format!("add the set {} to table {table}", set.name),
            Change::DeleteSet(name) => format!("delete the set {name} of table {table}"),
            Change::AddElements(set, _) => format!("add elements to the set {} of table {table}", set.name),
            Change::DeleteElements(set, _) => {
                format!("delete elements of the set {} of table {table}", set.name)
            }
            Change::FlushSet(name) => format!("flush the set {name} of table {table}"),
        }
    }
}
