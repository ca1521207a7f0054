//! Restart policies: whether an exit is followed by a start, and when.

use hull_api_types::RestartPolicy;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// Having run for so long, a container is taken for well again.
const WELL: Duration = Duration::from_secs(10);

/// The waits between restarts: they double, from 100 ms to a minute.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The wait after a run of this length.
    pub(crate) fn next(&mut self, ran: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if ran < WELL => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

/// What an exit means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub exit_code: i64,
    /// Restarts so far.
    pub restarts: i64,
    /// Whether a person stopped it.
    pub by_hand: bool,
}

/// Whether it is started again after it ended under the daemon's eyes.
pub(crate) fn after_exit(policy: &RestartPolicy, ended: Ended) -> bool {
    !ended.by_hand && wants(policy, ended)
}

/// Whether it is started again when the daemon comes up: `always` minds no person.
pub(crate) fn at_boot(policy: &RestartPolicy, ended: Ended) -> bool {
    policy.name == "always" || (!ended.by_hand && wants(policy, ended))
}

fn wants(policy: &RestartPolicy, ended: Ended) -> bool {
    let most = policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => ended.exit_code != 0 && (most == 0 || ended.restarts < most),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, maximum_retry_count: i64) -> RestartPolicy {
        RestartPolicy { name: name.into(), maximum_retry_count }
    }

    #[test]
    fn policies() {
        let failed = Ended { exit_code: 1, restarts: 2, by_hand: false };
        let stopped = Ended { exit_code: 0, restarts: 0, by_hand: true };
        for (name, most, exit, boot_stopped) in [
            ("no", 0, false, false),
            ("always", 0, true, true),
            ("unless-stopped", 0, true, false),
            ("on-failure", 0, true, false),
            ("on-failure", 2, false, false),
            ("on-failure", 3, true, false),
        ] {
            let policy = policy(name, most);
            assert_eq!(after_exit(&policy, failed), exit, "{name}:{most}");
            assert!(!after_exit(&policy, stopped), "{name}");
            assert_eq!(at_boot(&policy, stopped), boot_stopped, "{name}");
        }
    }

    #[test]
    fn waits_double_and_start_anew() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u128> = (0..12).map(|_| backoff.next(short).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(backoff.next(WELL), FIRST);
    }
}
