//! `--chmod`: octal modes, and symbolic ones as chmod(1) knows them.

/// A change of a file's permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// These bits.
    Absolute(u32),
    /// These changes, one after the other.
    Symbolic(Vec<Clause>),
}

/// `u+rwx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The bits of user, group and others that may change: 0o4700, 0o2070, 0o1007.
    who: u32,
    operator: char,
    bits: u32,
    execute_if_any: bool,
    copy_from: Option<u32>,
}

impl Mode {
    /// Reads `755`, `0755`, `u+x`, `go-w,a+rX`, `u=g`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        };
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Self::Absolute(mode)),
                _ => Err(bad()),
            };
        }
        let clauses: Option<Vec<Vec<Clause>>> = text.split(',').map(clauses).collect();
        clauses.map(|clauses| Self::Symbolic(clauses.concat())).ok_or_else(bad)
    }

    /// The bits of a file that had `mode`.
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Absolute(mode) => *mode,
            Self::Symbolic(clauses) => {
                clauses.iter().fold(mode & 0o7777, |mode, clause| clause.apply(mode, directory))
            }
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let mut bits = self.bits;
        if self.execute_if_any && (directory || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        if let Some(shift) = self.copy_from {
            let source = mode >> shift & 7;
            bits |= source << 6 | source << 3 | source;
        }
        let bits = bits & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            // Set-id bits of a directory stay unless they are named.
            _ => mode & !(self.who & if directory { 0o1777 } else { 0o7777 }) | bits,
        }
    }
}

fn clauses(text: &str) -> Option<Vec<Clause>> {
    let split = text.find(['+', '-', '='])?;
    let mut who = 0;
    for letter in text[..split].chars() {
        who |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let who = if who == 0 { 0o7777 } else { who };
    let mut result: Vec<Clause> = Vec::new();
    for letter in text[split..].chars() {
        if let '+' | '-' | '=' = letter {
            result.push(Clause { who, operator: letter, bits: 0, execute_if_any: false, copy_from: None });
            continue;
        }
        let clause = result.last_mut()?;
        match letter {
            'r' => clause.bits |= 0o444,
            'w' => clause.bits |= 0o222,
            'x' => clause.bits |= 0o111,
            'X' => clause.execute_if_any = true,
            's' => clause.bits |= 0o6000,
            't' => clause.bits |= 0o1000,
            'u' => clause.copy_from = Some(6),
            'g' => clause.copy_from = Some(3),
            'o' => clause.copy_from = Some(0),
            _ => return None,
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_symbolic() {
        for (text, before, directory, after) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, false, 0o644),
            ("4755", 0o600, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go-w", 0o666, false, 0o644),
            ("a=r", 0o777, false, 0o444),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("g=u", 0o740, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("u+r-w", 0o200, false, 0o400),
        ] {
            assert_eq!(Mode::parse(text).unwrap().apply(before, directory), after, "{text}");
        }
        for bad in ["", "8", "99999", "q+x", "u", "u+q", "755x", "u+x,"] {
            assert!(Mode::parse(bad).is_err(), "{bad}");
        }
    }
}
