//! The engine's events: published once, seen by everybody who subscribed, and the last 256 kept for `since`.
//!
//! ```text
//! publish(EventMessage) ──▶ ring of 256 ──▶ backlog(since, until)
//!                     └───▶ broadcast ────▶ Subscription::next()
//! ```
//!
//! # Invariants
//! * Events are published after the commit that they tell of, so who sees one finds what it says.
//! * Publishing never waits: a subscriber who falls more than 1024 events behind loses the oldest.
//! * [`EventBus::subscribe_since`] gives every event once, in order: none is lost between backlog and stream.
//!
//! This crate must not know who filters by what: callers do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hull_api_types::EventMessage;
use hull_types::Timestamp;
use tokio::sync::{Notify, broadcast};

/// How many past events are kept, as Docker does.
pub const BACKLOG: usize = 256;

// How far a subscriber may fall behind, as Docker has it. A slot is a pointer with a lock: the channel costs 32 KiB.
const CHANNEL: usize = 1024;

/// Where events are published and subscribed to. Clones are the same bus.
#[derive(Clone)]
pub struct EventBus {
    inner: Arc<Inner>,
}

struct Inner {
    // Sending happens under this lock too: the order of the ring is the order of the channel.
    ring: Mutex<VecDeque<Arc<EventMessage>>>,
    sender: broadcast::Sender<Arc<EventMessage>>,
    published: Notify,
}

impl EventBus {
    /// A bus without events.
    pub fn new() -> Self {
        let (sender, _) = broadcast::channel(CHANNEL);
        let ring = Mutex::new(VecDeque::with_capacity(BACKLOG));
        Self { inner: Arc::new(Inner { ring, sender, published: Notify::new() }) }
    }

    /// Publishes an event to every subscriber and keeps it in the backlog.
    pub fn publish(&self, event: EventMessage) {
        let event = Arc::new(event);
        let mut ring = self.ring();
        if ring.len() == BACKLOG {
            ring.pop_front();
        }
        ring.push_back(Arc::clone(&event));
        // An error says that nobody is subscribed now.
        let _ = self.inner.sender.send(event);
        self.inner.published.notify_one();
    }

    /// Waits until an event is published that no earlier call told of. For one caller, who counts as no subscriber.
    pub async fn published(&self) {
        self.inner.published.notified().await;
    }

    /// The events from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.inner.sender.subscribe() }
    }

    /// The kept events from `since` to `until`, both included; `None` is no bound. Oldest first.
    pub fn backlog(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Vec<Arc<EventMessage>> {
        select(&self.ring(), since, until)
    }

    /// The kept events as [`Self::backlog`] gives them, and those from now on.
    pub fn subscribe_since(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> (Vec<Arc<EventMessage>>, Subscription) {
        let ring = self.ring();
        (select(&ring, since, until), self.subscribe())
    }

    /// How many subscriptions are open.
    pub fn subscribers(&self) -> usize {
        self.inner.sender.receiver_count()
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<EventMessage>>> {
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for EventBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventBus").field("subscribers", &self.subscribers()).finish()
    }
}

fn select(
    ring: &VecDeque<Arc<EventMessage>>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Vec<Arc<EventMessage>> {
    let since = since.map_or(i128::MIN, |at| at.unix_nanoseconds());
    let until = until.map_or(i128::MAX, |at| at.unix_nanoseconds());
    let within = |event: &&Arc<EventMessage>| (since..=until).contains(&i128::from(event.time_nano));
    ring.iter().filter(within).cloned().collect()
}

/// A stream of events.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<EventMessage>>,
}

impl Subscription {
    /// The next event; `None` once the bus is gone. May be dropped while waiting without losing anything.
    pub async fn next(&mut self) -> Option<Arc<EventMessage>> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                // The oldest were overwritten; what is left is still in order.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<EventMessage>> {
        loop {
            match self.receiver.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i64) -> EventMessage {
        EventMessage {
            action: number.to_string(),
            time: number,
            time_nano: number * 1_000_000_000,
            ..EventMessage::now("container", "start", "id", Default::default())
        }
    }

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanoseconds: 0 })
    }

    #[tokio::test]
    async fn subscribers_see_events_in_order_and_late_ones_the_backlog() {
        let bus = EventBus::new();
        let mut early = bus.subscribe();
        for number in 0..5 {
            bus.publish(event(number));
        }
        let (backlog, mut late) = bus.subscribe_since(at(3), None);
        bus.publish(event(5));
        assert_eq!(backlog.iter().map(|e| e.time).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(late.next().await.unwrap().time, 5);
        assert!(late.try_next().is_none());
        for number in 0..6 {
            assert_eq!(early.next().await.unwrap().time, number);
        }
        drop(bus);
        assert!(early.next().await.is_none());
    }

    #[test]
    fn the_ring_keeps_the_newest() {
        let bus = EventBus::new();
        for number in 0..300 {
            bus.publish(event(number));
        }
        let kept = bus.backlog(None, None);
        assert_eq!((kept.len(), kept[0].time, kept[255].time), (256, 44, 299));
        assert_eq!(bus.backlog(at(100), at(102)).len(), 3);
        assert!(bus.backlog(at(400), None).is_empty());
    }

    #[test]
    fn who_falls_behind_loses_the_oldest_only() {
        let bus = EventBus::new();
        let mut slow = bus.subscribe();
        for number in 0..(CHANNEL as i64 + 10) {
            bus.publish(event(number));
        }
        let mut seen = Vec::new();
        while let Some(event) = slow.try_next() {
            seen.push(event.time);
        }
        assert_eq!(seen.len(), CHANNEL);
        assert_eq!(*seen.last().unwrap(), CHANNEL as i64 + 9);
    }
}
