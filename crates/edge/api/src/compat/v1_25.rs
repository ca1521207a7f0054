//! 1.25: the daemon removes containers by itself (`AutoRemove`); before, the client did.

use super::{Boundary, CREATE, object};

pub(super) const BOUNDARY: Boundary = Boundary {
    requests: &[CREATE],
    request_up: |_, body| {
        if let Some(host) = object(body, "HostConfig") {
            host.insert("AutoRemove".into(), false.into());
        }
        Ok(())
    },
    ..Boundary::new(25)
};
