//! Signals by name and number, as `--stop-signal` and `kill` take them (x86-64 and arm64 numbers).

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of `TERM`, `sigterm`, `15`, `RTMIN+3`; `None` for anything else, 0 included.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        other => other,
    };
    if let Some(index) = NAMES.iter().position(|n| *n == name) {
        return Some(index as i32 + 1);
    }
    let number = match name {
        "RTMIN" => RTMIN,
        "RTMAX" => RTMAX,
        _ => {
            if let Some(plus) = name.strip_prefix("RTMIN+") {
                RTMIN + plus.parse::<u8>().ok().map(i32::from)?
            } else {
                RTMAX - name.strip_prefix("RTMAX-")?.parse::<u8>().ok().map(i32::from)?
            }
        }
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// The name with its `SIG`, such as `SIGTERM`; `None` for real-time and unknown numbers.
pub fn name(number: i32) -> Option<String> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    NAMES.get(index).map(|n| format!("SIG{n}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("SYS", 31),
            ("IOT", 6),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for bad in ["", "0", "65", "SIG", "NOPE", "RTMIN+99", "-1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(name(15).as_deref(), Some("SIGTERM"));
        assert_eq!(name(40), None);
    }
}
