//! Seeing another program take rules out of Hull's table (`nft flush ruleset`, a firewall's reload), and putting them
//! back at once: without them published ports are dead and networks are not apart (CVE-2025-54388, CVE-2025-54410).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use hull_netlink::{Attributes, Notice, Watch};
use hull_sys::netlink_socket::NetlinkProtocol;
use hull_sys::rustix;

use crate::networks::{Inner, Networks};
use crate::{Error, Result};

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const SUBSYSTEM: u16 = 10;
/// `NFT_MSG_DELTABLE`, `DELCHAIN`, `DELRULE`, `DELSET`, `DELSETELEM`.
const REMOVALS: [u16; 5] = [2, 5, 8, 11, 14];
/// In each of them the table's name.
const TABLE: u16 = 1;
const GENERIC_HEADER: usize = 4;

/// Starts the thread that watches, in the calling thread's network namespace. It ends when the answer is dropped.
pub(crate) fn start(inner: &Arc<Inner>, own_port: u32) -> Result<OwnedFd> {
    let failed = |source: hull_netlink::Error| Error::Kernel { network: "host".into(), source };
    let watch = Watch::open(NetlinkProtocol::Netfilter, GROUP).map_err(failed)?;
    let pipe =
        |source: rustix::io::Errno| Error::Namespace { act: "watch the rules of the", source: source.into() };
    let (ended, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(pipe)?;
    let weak = Arc::downgrade(inner);
    let table = inner.config.table.clone();
    let thread = std::thread::Builder::new().name("nft-watch".into()).stack_size(256 << 10);
    let run = move || {
        while let Some(removed) = wait(&watch, &ended, &table, own_port) {
            if removed && !restore(&weak) {
                return;
            }
        }
    };
    thread.spawn(run).map_err(|source| Error::Namespace { act: "watch the rules of the", source })?;
    Ok(alive)
}

/// Whether another program removed something of the table; `None` at the end.
fn wait(watch: &Watch, ended: &OwnedFd, table: &str, own_port: u32) -> Option<bool> {
    let (mut removed, mut lost) = (false, false);
    let visit = |notice: Notice<'_>| removed |= notice.port != own_port && is_removal(notice, table);
    match watch.wait(ended.as_fd(), visit, || lost = true) {
        Ok(true) => Some(removed || lost),
        Ok(false) => None,
        Err(error) => {
            tracing::warn!(table, %error, "no longer watching the nftables table");
            None
        }
    }
}

fn is_removal(notice: Notice<'_>, table: &str) -> bool {
    let is_one = notice.kind >> 8 == SUBSYSTEM && REMOVALS.contains(&(notice.kind & 0xff));
    let name = || {
        let attributes = Attributes::new(notice.body.get(GENERIC_HEADER..)?);
        attributes.find_kind(TABLE)?.text().map(|name| name == table)
    };
    is_one && name().unwrap_or(false)
}

/// Whether there are still networks to restore anything for.
fn restore(inner: &Weak<Inner>) -> bool {
    let Some(inner) = inner.upgrade() else { return false };
    tracing::warn!(table = inner.config.table, "another program removed rules: restoring the table");
    if let Err(error) = (Networks { inner }).rebuild_filter() {
        tracing::error!(%error, "cannot restore the nftables table");
    }
    true
}
