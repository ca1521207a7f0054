//! Expressions: what a rule is made of, in the kernel's terms. Values travel between them in 32-bit registers; a
//! concatenation is a run of neighbouring registers, each part beginning a new one.

/// A 32-bit register, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

/// What of a packet's circumstances to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaKey {
    /// The protocol in the Ethernet header (`ETH_P_IPV6` is 0x86dd), 2 bytes in the network's order.
    Protocol,
    /// To whom the packet goes as seen from its interface, one byte; 0 is this host.
    PacketType,
    /// `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10), one byte.
    NfProtocol,
    /// The transport protocol's number, one byte.
    L4Protocol,
    /// The packet's mark, 4 bytes.
    Mark,
    /// The name of the interface that it came in by, 16 bytes.
    InInterfaceName,
    /// The name of the interface that it leaves by, 16 bytes.
    OutInterfaceName,
    /// The kind of the interface that it came in by (`bridge`, `veth`, …), 16 bytes.
    InInterfaceKind,
    /// The kind of the interface that it leaves by.
    OutInterfaceKind,
}

/// What of a packet's connection to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtKey {
    /// A bit of [`crate::ct_state`], 4 bytes.
    State,
    /// Bits of [`crate::ct_status`], 4 bytes.
    Status,
    /// Which way the packet goes, one byte: 0 as the connection's first, 1 back.
    Direction,
}

/// Which header a payload offset counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadBase {
    /// The Ethernet header.
    Link,
    /// The IP header.
    Network,
    /// The TCP, UDP or SCTP header.
    Transport,
}

/// How to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOperator {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
}

/// What to ask the routing tables for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FibResult {
    /// The type of the destination address (local is 2), 4 bytes.
    DestinationAddressType,
}

/// Which address a NAT expression rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// What becomes of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this base chain.
    Accept,
    /// It is gone.
    Drop,
    /// Goes on in the chain that jumped here.
    Return,
    /// Goes on in a chain, and then behind this rule.
    Jump(String),
    /// Goes on in a chain, and not behind this rule.
    Goto(String),
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads a circumstance.
    Meta {
        /// Which.
        key: MetaKey,
        /// Into.
        to: Register,
    },
    /// Writes a circumstance: the mark or the packet's type.
    StoreMeta {
        /// Which.
        key: MetaKey,
        /// From.
        from: Register,
    },
    /// Loads bytes of a header.
    Payload {
        /// Of which header.
        base: PayloadBase,
        /// From its start.
        offset: u32,
        /// How many bytes.
        length: u32,
        /// Into.
        to: Register,
    },
    /// Writes bytes of a header.
    StorePayload {
        /// Of which header.
        base: PayloadBase,
        /// From its start.
        offset: u32,
        /// How many bytes.
        length: u32,
        /// From.
        from: Register,
        /// Where in that header the Internet checksum is that has to follow.
        checksum: Option<u32>,
    },
    /// Loads a property of the connection.
    Ct {
        /// Which.
        key: CtKey,
        /// Into.
        to: Register,
    },
    /// Asks the routing tables.
    Fib {
        /// What for.
        result: FibResult,
        /// Into.
        to: Register,
    },
    /// Ends the rule unless the comparison holds.
    Compare {
        /// How.
        operator: CompareOperator,
        /// The left side.
        from: Register,
        /// The right side.
        value: Vec<u8>,
    },
    /// `to = from & mask`.
    Mask {
        /// The operand.
        from: Register,
        /// The result.
        to: Register,
        /// The mask; its length is the operand's.
        mask: Vec<u8>,
    },
    /// Ends the rule unless the set holds the key; of a map, loads its data.
    Lookup {
        /// The set's name.
        set: String,
        /// The key.
        from: Register,
        /// Where the data goes; `None` for a set.
        to: Option<Register>,
        /// Ends the rule if the set holds the key instead.
        inverted: bool,
    },
    /// As `Lookup`, of a map to verdicts, with the verdict taken.
    VerdictMap {
        /// The map's name.
        set: String,
        /// The key.
        from: Register,
    },
    /// Loads a constant.
    Immediate {
        /// Into.
        to: Register,
        /// The constant.
        value: Vec<u8>,
    },
    /// Decides.
    Verdict(Verdict),
    /// Rewrites an address and a port to what registers hold.
    Nat {
        /// Which address.
        kind: NatKind,
        /// Whether IPv6.
        ipv6: bool,
        /// The new address.
        address: Register,
        /// The new port.
        port: Option<Register>,
    },
    /// Rewrites the source to the address of the interface that the packet leaves by.
    Masquerade,
    /// Sends a copy of the packet to a neighbour, as this host's own; in tables of `ip` and `ip6` only.
    Duplicate {
        /// The neighbour's address.
        to: Register,
        /// The number of the interface that the copy leaves by.
        interface: Register,
    },
    /// Sends the packet itself out of an interface, as it is; in tables of `netdev` only.
    Forward {
        /// The number of the interface.
        interface: Register,
    },
    /// Counts packets and bytes.
    Counter,
}
