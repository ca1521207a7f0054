//! Device rules: version 1's lines, and version 2's program.

use hull_types::oci::runtime::DeviceCgroup;

/// A line for `devices.allow` or `devices.deny`.
pub(crate) struct Line {
    pub allow: bool,
    pub text: String,
}

/// The rules as version 1 takes them.
pub(crate) fn v1_rules(rules: &[DeviceCgroup]) -> Vec<Line> {
    let mut lines = Vec::new();
    for rule in rules {
        let number = |n: Option<i64>| n.filter(|n| *n >= 0).map_or("*".to_owned(), |n| n.to_string());
        let (major, minor, access) = (number(rule.major), number(rule.minor), access_letters(rule));
        if is_any(rule) && major == "*" && minor == "*" && access == "rwm" {
            // This form also forgets the rules before.
            lines.push(Line { allow: rule.allow, text: "a".into() });
            continue;
        }
        let kinds: &[&str] = if is_any(rule) { &["c", "b"] } else { &[rule.kind.as_str()] };
        for kind in kinds {
            // "u" is an old name of character devices.
            let kind = if *kind == "u" { "c" } else { kind };
            lines.push(Line { allow: rule.allow, text: format!("{kind} {major}:{minor} {access}") });
        }
    }
    lines
}

fn is_any(rule: &DeviceCgroup) -> bool {
    rule.kind.is_empty() || rule.kind == "a"
}

fn access_letters(rule: &DeviceCgroup) -> String {
    if rule.access.is_empty() { "rwm".into() } else { rule.access.clone() }
}

const CLASS_LOAD_WORD: u8 = 0x61;
const MOVE_32: u8 = 0xbc;
const MOVE_NUMBER: u8 = 0xb7;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_NOT_EQUAL_REGISTER: u8 = 0x5d;
const JUMP_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 1;

/// An encoded instruction of the extended machine.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(destination) << 8
        | u64::from(source) << 12
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

/// The rules as a program: 1 lets an access pass, 0 refuses it. The last rule that fits counts; none refuses.
///
/// Input (`struct bpf_cgroup_dev_ctx`): access << 16 | type, major, minor.
pub(crate) fn program(rules: &[DeviceCgroup]) -> Vec<u64> {
    let mut code = vec![
        instruction(CLASS_LOAD_WORD, TYPE, SCRATCH, 0, 0),
        instruction(MOVE_32, ACCESS, TYPE, 0, 0),
        instruction(AND_32, TYPE, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
        instruction(CLASS_LOAD_WORD, MAJOR, SCRATCH, 4, 0),
        instruction(CLASS_LOAD_WORD, MINOR, SCRATCH, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let block = block(rule);
        let decides_all = block.len() == 2;
        code.extend(block);
        if decides_all {
            // What comes after would never be reached, which the kernel's verifier refuses.
            return code;
        }
    }
    code.extend([instruction(MOVE_NUMBER, 0, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    code
}

/// One rule's instructions: tests that jump past its end, then the verdict.
fn block(rule: &DeviceCgroup) -> Vec<u64> {
    // (code, register, source, immediate); the jumps' offsets are known at the end.
    let mut tests: Vec<(u8, u8, u8, i32)> = Vec::new();
    match rule.kind.as_str() {
        "c" | "u" => tests.push((JUMP_NOT_EQUAL, TYPE, 0, 2)),
        "b" => tests.push((JUMP_NOT_EQUAL, TYPE, 0, 1)),
        _ => {}
    }
    let access = access_letters(rule)
        .bytes()
        .map(|letter| match letter {
            b'm' => 1,
            b'r' => 2,
            b'w' => 4,
            _ => 0,
        })
        .fold(0, |all, bit| all | bit);
    if access != 7 {
        tests.push((MOVE_32, SCRATCH, ACCESS, 0));
        tests.push((AND_32, SCRATCH, 0, access));
        // To be allowed, all that is asked must be in the rule; to be denied, any of it.
        tests.push(if rule.allow {
            (JUMP_NOT_EQUAL_REGISTER, SCRATCH, ACCESS, 0)
        } else {
            (JUMP_EQUAL, SCRATCH, 0, 0)
        });
    }
    for (number, register) in [(rule.major, MAJOR), (rule.minor, MINOR)] {
        if let Some(number) = number.filter(|number| *number >= 0) {
            tests.push((JUMP_NOT_EQUAL, register, 0, number as i32));
        }
    }
    let length = tests.len() + 2;
    let is_jump = |code: u8| code & 0x07 == 0x05;
    let mut code: Vec<u64> = tests
        .iter()
        .enumerate()
        .map(|(at, (op, register, source, immediate))| {
            let offset = if is_jump(*op) { (length - at - 1) as i16 } else { 0 };
            instruction(*op, *register, *source, offset, *immediate)
        })
        .collect();
    code.push(instruction(MOVE_NUMBER, 0, 0, 0, i32::from(rule.allow)));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceCgroup {
        DeviceCgroup { allow, kind: kind.into(), major, minor, access: access.into() }
    }

    /// Runs the subset of the machine that the program uses.
    fn allows(code: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let input = [access << 16 | kind, major, minor];
        let mut registers = [0_u64; 10];
        let mut at = 0;
        loop {
            let word = code[at];
            at += 1;
            let (op, to, from) = (word as u8, (word >> 8 & 15) as usize, (word >> 12 & 15) as usize);
            let (offset, number) = ((word >> 16) as i16, (word >> 32) as u32);
            let mut jump = |taken: bool| {
                if taken {
                    at = (at as i64 + i64::from(offset)) as usize;
                }
            };
            match op {
                CLASS_LOAD_WORD => registers[to] = u64::from(input[offset as usize / 4]),
                MOVE_32 => registers[to] = registers[from] & 0xffff_ffff,
                MOVE_NUMBER => registers[to] = u64::from(number),
                AND_32 => registers[to] &= u64::from(number),
                SHIFT_RIGHT_32 => registers[to] >>= number,
                JUMP_NOT_EQUAL => jump(registers[to] != u64::from(number)),
                JUMP_EQUAL => jump(registers[to] == u64::from(number)),
                JUMP_NOT_EQUAL_REGISTER => jump(registers[to] != registers[from]),
                EXIT => return registers[0] == 1,
                _ => panic!("unknown instruction {op:#x}"),
            }
        }
    }

    fn sample() -> Vec<DeviceCgroup> {
        vec![
            rule(false, "a", None, None, "rwm"),
            rule(true, "c", Some(1), Some(3), "rwm"),
            rule(true, "c", None, None, "m"),
            rule(true, "b", Some(8), None, "r"),
            rule(false, "b", Some(8), Some(1), "r"),
        ]
    }

    #[test]
    fn the_last_rule_that_fits_counts() {
        let code = program(&sample());
        assert!(allows(&code, 2, 2 | 4, 1, 3));
        assert!(allows(&code, 2, 1, 77, 7), "mknod of any character device");
        assert!(!allows(&code, 2, 2, 1, 1), "/dev/mem");
        assert!(allows(&code, 1, 2, 8, 0));
        assert!(!allows(&code, 1, 2 | 4, 8, 0));
        assert!(!allows(&code, 1, 2, 8, 1));
        assert!(!allows(&program(&[]), 2, 2, 1, 3));
        assert!(allows(&program(&[rule(true, "a", None, None, "rwm")]), 1, 4, 8, 0));
    }

    #[test]
    fn the_kernel_takes_the_program() {
        for rules in [sample(), vec![], vec![rule(true, "", None, None, "")]] {
            hull_sys::device_program::load(&program(&rules)).unwrap();
        }
    }

    #[test]
    fn any_type_with_numbers_is_two_lines() {
        let texts: Vec<String> =
            v1_rules(&[rule(true, "a", Some(5), None, "r")]).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["c 5:* r", "b 5:* r"]);
    }
}
