//! Which running containers have which volume mounted; of volumes with a file system of their own only.
//!
//! Each volume has a lock of its own: a server that does not answer keeps nobody waiting but those who want its files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

type Users = Arc<Mutex<BTreeSet<String>>>;

#[derive(Debug, Default)]
pub(crate) struct Active {
    // Held for as long as it takes to find a volume's users.
    volumes: Mutex<BTreeMap<String, Users>>,
}

impl Active {
    /// Runs `act` on a volume's users, while nobody else mounts or unmounts that volume.
    pub(crate) fn with<T>(&self, name: &str, act: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        let users = {
            let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
            volumes.entry(name.into()).or_default().clone()
        };
        let mut held = users.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut held);
        if held.is_empty() {
            let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
            // The map has one, this call the other: nobody waits for it.
            if Arc::strong_count(&users) == 2 {
                volumes.remove(name);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_volume_that_hangs_keeps_no_other_waiting() {
        let active = Active::default();
        let (let_go, wait) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let active = &active;
            let (hangs, hanging) = mpsc::channel();
            scope.spawn(move || {
                active.with("hangs", |users| {
                    hangs.send(()).unwrap();
                    let _ = wait.recv();
                    users.insert("one".into())
                })
            });
            hanging.recv().unwrap();
            scope.spawn(move || tell.send(active.with("other", |users| users.insert("two".into()))));
            let other = told.recv_timeout(Duration::from_secs(60));
            drop(let_go);
            assert!(other.unwrap(), "it has its turn though the first never ends");
        });
        assert_eq!(active.with("hangs", |users| users.len()), 1);
        active.with("hangs", |users| users.clear());
        assert_eq!(active.volumes.lock().unwrap().keys().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn users_are_counted_by_turns() {
        let active = Active::default();
        let together = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (active, together) = (&active, &together);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let turn = |users: &mut BTreeSet<String>, add: bool| {
                            use std::sync::atomic::Ordering::SeqCst;
                            assert_eq!(together.fetch_add(1, SeqCst), 0, "two at once");
                            let name = thread.to_string();
                            let changed = if add { users.insert(name) } else { users.remove(&name) };
                            together.fetch_sub(1, SeqCst);
                            assert!(changed);
                        };
                        active.with("v", |users| turn(users, true));
                        active.with("v", |users| turn(users, false));
                    }
                });
            }
        });
        assert!(active.volumes.lock().unwrap().is_empty());
    }
}
