//! 1.40: the default of `IpcMode` became the daemon's; before it was `shareable`.

use super::{Boundary, CREATE, is_blank, object};

pub(super) const BOUNDARY: Boundary = Boundary {
    requests: &[CREATE],
    request_up: |_, body| {
        if let Some(host) = object(body, "HostConfig").filter(|host| is_blank(host, "IpcMode")) {
            host.insert("IpcMode".into(), "shareable".into());
        }
        Ok(())
    },
    ..Boundary::new(40)
};
