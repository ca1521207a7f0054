//! What can go wrong with networks.

use std::net::IpAddr;
use std::path::PathBuf;

use hull_errors::{HasKind, Kind};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a network, an endpoint or a published port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network of that name or id.
    #[error("network {0} not found")]
    NotFound(String),
    /// No network of that name that is a configuration.
    #[error("configuration network {0:?} does not exist")]
    NotFoundConfiguration(String),
    /// An id prefix that several networks share.
    #[error("network {0} is ambiguous ({1} matches found based on ID prefix)")]
    Ambiguous(String, usize),
    /// The kernel gave no random bytes for an id.
    #[error("get random bytes for an id: {0}")]
    Random(#[source] std::io::Error),
    /// No driver of that name.
    #[error("could not find plugin {0} in v1 plugin registry: plugin not found")]
    DriverNotFound(String),
    /// A network of that name exists.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// A malformed or impossible request.
    #[error("{0}")]
    Invalid(String),
    /// The request clashes with what is there.
    #[error("{0}")]
    Conflict(String),
    /// Not allowed on this network.
    #[error("{0}")]
    Forbidden(String),
    /// Not built.
    #[error("{0}")]
    NotImplemented(String),
    /// A subnet that is taken.
    #[error(
        "invalid pool request: Pool overlaps with other one on this address space: {subnet} of network {network} \
         overlaps with {taken}"
    )]
    Overlap {
        /// The subnet wanted.
        subnet: String,
        /// The network it is for.
        network: String,
        /// What has it: a network, or a route or address of the host.
        taken: String,
    },
    /// No pool has a free subnet.
    #[error(
        "all predefined address pools have been fully subnetted: none is left for network {network}; taken: {taken}"
    )]
    NoPool {
        /// The network it is for.
        network: String,
        /// What clashes, one by one.
        taken: String,
    },
    /// All addresses are given away.
    #[error("no available {family} addresses on network {network} ({subnet})")]
    NoAddress {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The network.
        network: String,
        /// Its subnets.
        subnet: String,
    },
    /// The address asked for is another's.
    #[error("address {address} on network {network} is already in use: Address already in use")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
    },
    /// A port could not be published.
    #[error("driver failed programming external connectivity on endpoint {container} ({endpoint}): {reason}")]
    Publish {
        /// The container's name.
        container: String,
        /// The endpoint's id.
        endpoint: String,
        /// Which port and why, in Docker's words.
        reason: String,
    },
    /// A network that containers are in can't be removed.
    #[error("error while removing network: network {name} has active endpoints ({endpoints})")]
    ActiveEndpoints {
        /// The network.
        name: String,
        /// The containers' names.
        endpoints: String,
    },
    /// The kernel refused a change of links, addresses or routes.
    #[error("network {network}: {source}")]
    Kernel {
        /// The network it was for.
        network: String,
        /// What and why.
        source: hull_netlink::Error,
    },
    /// The kernel has no interfaces of a kind.
    #[error(
        "network {network}: this kernel has no {kind} interfaces: its module {module} is missing (modprobe {module}, or a \
         kernel built with it)"
    )]
    Missing {
        /// The network they are for.
        network: String,
        /// Their kind.
        kind: &'static str,
        /// The kernel's module.
        module: &'static str,
    },
    /// The kernel refused the packet filter rules.
    #[error("cannot program the nftables table {table}: {source}")]
    Filter {
        /// The table.
        table: String,
        /// What and why.
        source: hull_nft::Error,
    },
    /// The kernel can't send accepted packets round.
    #[error(
        "published ports cannot obey the host's firewall (obey-host-firewall) on this kernel: {0}; it has to have the \
         nftables expression dup (nft_dup_ipv4, nft_dup_ipv6)"
    )]
    CannotObey(#[source] hull_nft::Error),
    /// A kernel setting could not be written.
    #[error("cannot set {}: {source}", path.display())]
    Setting {
        /// The file under /proc/sys.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A network namespace could not be made or entered.
    #[error("cannot {act} network namespace: {source}")]
    Namespace {
        /// `create` or `enter`.
        act: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file of Hull's could not be read or written.
    #[error("cannot {act} {}: {source}", path.display())]
    File {
        /// `read`, `write` or `remove`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] hull_store::Error),
}

impl HasKind for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NotFoundConfiguration(_) | Self::DriverNotFound(_) => Kind::NotFound,
            Self::Ambiguous(..) | Self::Invalid(_) => Kind::InvalidParameter,
            Self::Exists(_) | Self::Conflict(_) => Kind::Conflict,
            Self::Overlap { .. }
            | Self::NoPool { .. }
            | Self::ActiveEndpoints { .. }
            | Self::Forbidden(_) => Kind::Forbidden,
            Self::NotImplemented(_) | Self::Missing { .. } => Kind::NotImplemented,
            Self::Store(error) => error.kind(),
            _ => Kind::Internal,
        }
    }
}
