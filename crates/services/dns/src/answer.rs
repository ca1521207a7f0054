//! What is said to a query, from what is known here. Pure but for the turn of addresses.

use std::net::IpAddr;

use crate::directory::{Directory, Known};
use crate::message::{Kind, Malformed, NO_ERROR, Query, SERVER_FAILURE};
use crate::name;

/// What becomes of a message.
#[derive(Debug)]
pub enum Answer<'a> {
    /// This is sent back.
    Reply(Vec<u8>),
    /// The servers outside are asked.
    Forward(Query<'a>),
    /// It deserves no answer.
    Nothing,
}

/// Answers a message. `by_udp`: the answer keeps to the length that the asker takes. `turn` differs from call to
/// call: the addresses of a name begin with another one each time.
pub fn answer<'a>(message: &'a [u8], directory: &Directory, by_udp: bool, turn: usize) -> Answer<'a> {
    let query = match Query::parse(message) {
        Ok(query) => query,
        Err(Malformed::Silent) => return Answer::Nothing,
        Err(Malformed::Answered(reply)) => return Answer::Reply(reply),
    };
    if query.is_of_unknown_edns() {
        return Answer::Reply(query.bad_version());
    }
    match here(&query, directory, by_udp, turn) {
        Some(reply) => Answer::Reply(reply),
        None if directory.upstreams().servers.is_empty() => Answer::Reply(query.reply(SERVER_FAILURE)),
        None => Answer::Forward(query),
    }
}

fn here(query: &Query<'_>, directory: &Directory, by_udp: bool, turn: usize) -> Option<Vec<u8>> {
    let name = query.name.as_deref().filter(|_| query.internet)?;
    if query.kind == Kind::Ptr
        && let Some(address) = name::reverse(name)
    {
        return directory.name_of(address).map(|name| query.pointer(&name));
    }
    let Known::Here(addresses) = directory.known(name) else {
        // Whoever set `ndots` wants the search domains tried, not the outside asked.
        let stays = directory.dotless_stay()
            && matches!(query.kind, Kind::A | Kind::Aaaa)
            && !name.is_empty()
            && !name.contains('.');
        return stays.then(|| query.reply(NO_ERROR));
    };
    let wanted = |address: &&IpAddr| match query.kind {
        Kind::A => address.is_ipv4(),
        Kind::Aaaa => address.is_ipv6(),
        Kind::Any => true,
        // The name is ours, and has nothing of that kind.
        Kind::Ptr | Kind::Other(_) => false,
    };
    let count = addresses.iter().filter(wanted).count();
    let turned = addresses.iter().filter(wanted).cycle().skip(turn % count.max(1)).take(count);
    let limit = if by_udp { query.limit() } else { usize::from(u16::MAX) };
    Some(query.addresses(turned, limit))
}
