//! Docker's commands that Hull does not have yet: one who calls them is told so, rather than that there is no such
//! command.

/// What the command would need, if it is one of Docker's that is missing here.
pub fn needs(command: &str) -> Option<&'static str> {
    Some(match command {
        "swarm" | "node" | "service" | "stack" | "secret" | "config" => "swarm mode",
        "compose" => "compose",
        "plugin" => "plugins",
        "trust" => "content trust",
        "checkpoint" => "checkpoints",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_said_to_be_missing() {
        for entry in crate::root::entries() {
            assert_eq!(needs(entry.name), None, "{}", entry.name);
        }
        let words: Vec<String> = ["compose", "x"].map(Into::into).to_vec();
        let failure = crate::dispatch::plan("hull", &words).unwrap_err();
        assert_eq!(failure.message, "hull: 'hull compose' is not available yet: Hull has no compose so far");
    }
}
