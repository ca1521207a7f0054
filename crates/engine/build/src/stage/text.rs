//! What the history says of steps, in BuildKit's words: tools read them.

use hull_dockerfile::{CommandLine, Transfer};

/// Go's `%q` of a list of strings.
pub(crate) fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

/// `RUN |1 A=b /bin/sh -c make # buildkit`.
pub(crate) fn run(words: &[String], arguments: &[(String, String)]) -> String {
    let mut text = "RUN ".to_owned();
    if !arguments.is_empty() {
        text.push_str(&format!("|{} ", arguments.len()));
        for (name, value) in arguments {
            text.push_str(&format!("{name}={value} "));
        }
    }
    text.push_str(&words.join(" "));
    text.push_str(" # buildkit");
    text
}

/// `COPY --chown=a b c # buildkit`.
pub(crate) fn transfer(word: &str, transfer: &Transfer) -> String {
    let mut parts = vec![word.to_owned()];
    let flags = [("chown", &transfer.chown), ("chmod", &transfer.chmod)];
    parts.extend(flags.iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?))));
    if transfer.link {
        parts.push("--link".into());
    }
    parts.extend(transfer.exclude.iter().map(|pattern| format!("--exclude={pattern}")));
    parts.extend(transfer.sources.iter().cloned());
    parts.extend(transfer.inline.iter().map(|document| format!("<<{}", document.name)));
    parts.push(transfer.destination.clone());
    parts.push("# buildkit".into());
    parts.join(" ")
}

/// What a command line is called in progress: the first line of a here-document stands for it.
pub(crate) fn summary(command: &CommandLine) -> String {
    let mut text = command.words.join(" ");
    if let Some(document) = command.heredocs.first() {
        let mut lines = document.content.lines().map(str::trim).filter(|line| !line.is_empty());
        if let Some(first) = lines.next() {
            let more = if lines.next().is_some() { "..." } else { "" };
            text.push_str(&format!(" ({first}{more})"));
        }
    }
    text
}
