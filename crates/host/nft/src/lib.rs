//! An nftables ruleset as data, and its way into the kernel: one atomic batch over netlink. No `nft` program is
//! started; adding a map element takes microseconds, whatever the number of rules.
//!
//! ```text
//!  Batch: [Change::AddTable, AddSet, AddChain, AddRule, AddElements, …]      pure data
//!     └─ encode() ─▶ BATCH_BEGIN … messages … BATCH_END ─▶ NftSocket::apply ─▶ all of it, or nothing
//!
//!  RuleBuilder: .out_interface_in("bridges").state(ESTABLISHED).accept()     expressions over registers
//! ```
//!
//! # Invariants
//! * A batch takes effect wholly or not at all; packets see the rules before or after it, never between.
//! * Encoding is pure and deterministic (golden tests).
//! * An error names the change of the batch that the kernel refused.
//!
//! Must not know: what the rules are for.

mod batch;
mod encode;
mod error;
mod expression;
mod rule;
mod set;
mod socket;

pub use batch::{BaseChain, Batch, Chain, ChainKind, Change, Family, Hook, Policy, Rule};
pub use error::{Error, Result};
pub use expression::{
    CompareOperator, CtKey, Expression, FibResult, MetaKey, NatKind, PayloadBase, Register, Verdict,
};
pub use rule::{RuleBuilder, ct_state, ct_status};
pub use set::{Datatype, Element, ElementData, Set, SetData, Value};
pub use socket::{Dropper, NftSocket};
