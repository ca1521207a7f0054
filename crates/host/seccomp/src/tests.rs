use super::*;
use hull_types::oci::runtime::{Syscall, SyscallArg};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

/// A kernel's view of a call.
#[derive(Clone, Copy)]
struct Call {
    architecture: Architecture,
    number: u32,
    arguments: [u64; 6],
}

/// Runs a filter as the kernel does; how many instructions it took, too.
fn run(program: &[SockFilter], call: Call) -> (u32, usize) {
    let load = |offset: u32| -> u32 {
        match offset {
            0 => call.number,
            4 => call.architecture.audit(),
            _ => {
                let argument = call.arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    };
    let (mut accumulator, mut at, mut steps) = (0_u32, 0, 0);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        steps += 1;
        at += 1;
        let branch = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = load(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x06 => return (k, steps),
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn call(name: &str, arguments: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let number = table::number(name, Architecture::X86_64).unwrap();
    Call { architecture: Architecture::X86_64, number, arguments: all }
}

fn default_capabilities() -> Vec<String> {
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
    .iter()
    .map(|name| format!("CAP_{name}"))
    .collect()
}

const BOTH: [Architecture; 2] = [Architecture::X86_64, Architecture::I386];

#[test]
fn the_table_is_sorted_and_true() {
    for (name, number) in [("read", 0), ("clone3", 435), ("mseal", 462), ("socket", 41), ("uretprobe", 335)] {
        assert_eq!(table::number(name, Architecture::X86_64), Some(number), "{name}");
    }
    assert_eq!(table::number("socketcall", Architecture::I386), Some(102));
    assert_eq!(table::number("socketcall", Architecture::X86_64), None);
    assert_eq!(table::number("openat", Architecture::Aarch64), Some(56));
    for (name, number) in [("read", 3), ("openat", 322), ("sync_file_range2", 341), ("set_tls", 0xf_0005)] {
        assert_eq!(table::number(name, Architecture::Arm), Some(number), "{name}");
    }
    assert_eq!(table::number("mmap", Architecture::Arm), None);
    assert_eq!(table::number("no_such_call", Architecture::X86_64), None);
}

#[test]
fn dockers_default_filters_as_docker_does() {
    let profile = docker_profile_to_oci(DEFAULT_PROFILE, &default_capabilities()).unwrap();
    let program = compile_for(&profile, &BOTH).unwrap();
    let result = |name: &str, arguments: &[u64]| run(&program, call(name, arguments)).0;
    for name in ["read", "openat", "execve", "futex", "chroot", "ptrace", "mseal", "arch_prctl", "capset"] {
        assert_eq!(result(name, &[]), ALLOW, "{name}");
    }
    for name in
        ["mount", "unshare", "setns", "bpf", "add_key", "keyctl", "io_uring_setup", "userfaultfd", "reboot"]
    {
        assert_eq!(result(name, &[]), ERRNO | 1, "{name}");
    }
    assert_eq!(result("clone3", &[]), ERRNO | 38);
    assert_eq!(result("clone", &[0x11]), ALLOW);
    assert_eq!(result("clone", &[0x1000_0000]), ERRNO | 1);
    assert_eq!(result("socket", &[2]), ALLOW);
    assert_eq!(result("socket", &[38]), ERRNO | 1);
    assert_eq!(result("socket", &[40]), ERRNO | 1);
    assert_eq!(result("socket", &[41]), ALLOW);
    assert_eq!(result("socket", &[(1 << 32) + 38]), ERRNO | 1, "the kernel sees 38");
    assert_eq!(result("personality", &[0xffff_ffff]), ALLOW);
    assert_eq!(result("personality", &[0x0004_0000]), ERRNO | 1);
}

#[test]
fn newer_foreign_and_x32_calls_never_pass() {
    let profile = docker_profile_to_oci(DEFAULT_PROFILE, &[]).unwrap();
    let program = compile_for(&profile, &[Architecture::X86_64]).unwrap();
    let at = |architecture, number| run(&program, Call { architecture, number, arguments: [0; 6] }).0;
    assert_eq!(at(Architecture::X86_64, 9999), ERRNO | 38);
    assert_eq!(at(Architecture::X86_64, 0x4000_0000), ERRNO | 38, "x32 read");
    assert_eq!(at(Architecture::I386, 3), KILL_PROCESS);
    let both = compile_for(&profile, &BOTH).unwrap();
    let i386 = |number| run(&both, Call { architecture: Architecture::I386, number, arguments: [0; 6] }).0;
    assert_eq!(i386(3), ALLOW, "read");
    assert_eq!(i386(21), ERRNO | 1, "mount");
    assert_eq!(
        run(&both, Call { architecture: Architecture::Aarch64, number: 63, arguments: [0; 6] }).0,
        KILL_PROCESS
    );
}

/// Every number against the rules read naively.
#[test]
fn the_tree_agrees_with_the_rules() {
    for capabilities in [vec![], default_capabilities(), vec!["CAP_SYS_ADMIN".to_owned()]] {
        for all in [BOTH, ARM] {
            agrees(&capabilities, all);
        }
    }
}

fn agrees(capabilities: &[String], architectures: [Architecture; 2]) {
    let profile = docker::translate(DEFAULT_PROFILE, capabilities, architectures[0]).unwrap();
    let program = compile_for(&profile, &architectures).unwrap();
    for architecture in architectures {
        let numbers = (0..600).chain(table::PRIVATE..table::PRIVATE + 8);
        for number in numbers.filter(|number| table::is_assigned(*number, architecture)) {
            let found = run(&program, Call { architecture, number, arguments: [0; 6] }).0;
            let first = profile.syscalls.iter().find(|rule| {
                rule.names.iter().any(|name| table::number(name, architecture) == Some(number))
                    && rule.args.iter().all(|argument| match argument.op.as_str() {
                        "SCMP_CMP_LT" => 0 < argument.value,
                        "SCMP_CMP_EQ" => argument.value == 0,
                        "SCMP_CMP_MASKED_EQ" => argument.value_two == 0,
                        "SCMP_CMP_GT" => false,
                        other => panic!("{other}"),
                    })
            });
            let wanted = match first {
                Some(rule) if rule.action == "SCMP_ACT_ALLOW" => ALLOW,
                Some(rule) => ERRNO | rule.errno_ret.unwrap(),
                None if found == ERRNO | 38 => found,
                None => ERRNO | 1,
            };
            assert_eq!(found, wanted, "{architecture:?} {number}");
        }
    }
}

const ARM: [Architecture; 2] = [Architecture::Aarch64, Architecture::Arm];

#[test]
fn the_sub_architecture_of_a_profile_is_covered() {
    let on = |native| {
        let profile = docker::translate(DEFAULT_PROFILE, &default_capabilities(), native).unwrap();
        covered(&profile, native).unwrap()
    };
    assert_eq!(on(Architecture::Aarch64), ARM);
    assert_eq!(on(Architecture::X86_64), BOTH);
    let foreign = Seccomp { architectures: vec!["SCMP_ARCH_ARM".into()], ..Seccomp::default() };
    assert_eq!(covered(&foreign, Architecture::X86_64).unwrap(), [Architecture::X86_64]);
}

#[test]
fn dockers_default_filters_32_bit_arm_too() {
    let profile = docker::translate(DEFAULT_PROFILE, &default_capabilities(), Architecture::Aarch64).unwrap();
    let program = compile_for(&profile, &ARM).unwrap();
    let at = |architecture, number, arguments| run(&program, Call { architecture, number, arguments }).0;
    let arm = |name: &str, first: u64| {
        let number = table::number(name, Architecture::Arm).unwrap();
        at(Architecture::Arm, number, [first, 0, 0, 0, 0, 0])
    };
    for name in ["read", "mmap2", "openat", "execve", "futex_time64", "arm_fadvise64_64", "sync_file_range2"]
    {
        assert_eq!(arm(name, 0), ALLOW, "{name}");
    }
    for name in ["breakpoint", "cacheflush", "set_tls"] {
        assert_eq!(arm(name, 0), ALLOW, "{name}");
    }
    for name in ["mount", "unshare", "bpf", "keyctl", "reboot"] {
        assert_eq!(arm(name, 0), ERRNO | 1, "{name}");
    }
    assert_eq!(arm("socket", 2), ALLOW);
    assert_eq!(arm("socket", 38), ERRNO | 1);
    assert_eq!(arm("socket", (1 << 32) + 38), ERRNO | 1, "the kernel sees 38");
    assert_eq!(arm("clone3", 0), ERRNO | 38);
    // Between the ordinary calls and ARM's own, and beyond these, there is nothing; nor has aarch64 ARM's own.
    for number in [9999, 0xe_ffff, 0xf_0000, 0xf_0006, 0xf_ffff, 0x90_0003, u32::MAX] {
        assert_eq!(at(Architecture::Arm, number, [0; 6]), ERRNO | 38, "{number:#x}");
    }
    assert_eq!(at(Architecture::Aarch64, 0xf_0002, [0; 6]), ERRNO | 38);
    assert_eq!(at(Architecture::Aarch64, 63, [0; 6]), ALLOW, "read");
    assert_eq!(at(Architecture::X86_64, 0, [0; 6]), KILL_PROCESS);
}

/// A private call alone leaves the ordinary ones as they are by default.
#[test]
fn a_small_filter_for_arm() {
    let rule = Syscall {
        names: vec!["cacheflush".into()],
        action: "SCMP_ACT_ALLOW".into(),
        errno_ret: None,
        args: vec![],
    };
    let profile =
        Seccomp { default_action: "SCMP_ACT_ERRNO".into(), syscalls: vec![rule], ..Seccomp::default() };
    let program = compile_for(&profile, &[Architecture::Arm]).unwrap();
    let golden = [
        (0x20, 0, 0, 4),           // the architecture
        (0x15, 0, 7, 0x4000_0028), // AUDIT_ARCH_ARM, or killed
        (0x20, 0, 0, 0),           // the number
        (0x35, 1, 0, 0xf_0002),
        (0x35, 2, 3, 0xf_0001),
        (0x35, 2, 0, 0xf_0003),
        (0x06, 0, 0, ALLOW),
        (0x06, 0, 0, ERRNO | 1),
        (0x06, 0, 0, ERRNO | 38),
        (0x06, 0, 0, KILL_PROCESS),
    ];
    let found: Vec<_> = program.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect();
    assert_eq!(found, golden);
    let at = |number| run(&program, Call { architecture: Architecture::Arm, number, arguments: [0; 6] }).0;
    assert_eq!((at(0), at(3), at(0xf_0001), at(0xf_0002), at(0xf_0003)), {
        (ERRNO | 38, ERRNO | 38, ERRNO | 1, ALLOW, ERRNO | 38)
    });
}

/// The size is a promise: it is most of what loading costs.
#[test]
fn the_default_filter_is_short_and_flat() {
    let profile = docker_profile_to_oci(DEFAULT_PROFILE, &default_capabilities()).unwrap();
    let native = compile_for(&profile, &[Architecture::X86_64]).unwrap();
    let both = compile_for(&profile, &BOTH).unwrap();
    let deepest = (0..471)
        .map(|number| {
            run(&both, Call { architecture: Architecture::X86_64, number, arguments: [u64::MAX; 6] }).1
        })
        .max()
        .unwrap();
    println!("native {} both {} deepest {deepest}", native.len(), both.len());
    assert!(native.len() <= 100, "{}", native.len());
    assert!(both.len() <= 200, "{}", both.len());
    assert!(deepest <= 30, "{deepest}");
}

#[test]
fn every_operator_compares_all_64_bits() {
    let value = 0x1_0000_0005_u64;
    let samples = [0, 4, 5, 6, value - 1, value, value + 1, 0x2_0000_0000, u64::MAX];
    type Test = fn(u64, u64) -> bool;
    let operators: [(&str, Test); 6] = [
        ("SCMP_CMP_NE", |a, b| a != b),
        ("SCMP_CMP_LT", |a, b| a < b),
        ("SCMP_CMP_LE", |a, b| a <= b),
        ("SCMP_CMP_EQ", |a, b| a == b),
        ("SCMP_CMP_GE", |a, b| a >= b),
        ("SCMP_CMP_GT", |a, b| a > b),
    ];
    for (op, test) in operators {
        let profile = one_rule(SyscallArg { index: 2, value, value_two: 0, op: op.into() });
        let program = compile_for(&profile, &BOTH).unwrap();
        for sample in samples {
            let allowed = run(&program, call("mmap", &[0, 0, sample])).0 == ALLOW;
            assert_eq!(allowed, test(sample, value), "{sample:#x} {op}");
        }
    }
    let masked = SyscallArg {
        index: 2,
        value: 0xf_0000_000f,
        value_two: 0x1_0000_0005,
        op: "SCMP_CMP_MASKED_EQ".into(),
    };
    let program = compile_for(&one_rule(masked), &BOTH).unwrap();
    assert_eq!(run(&program, call("mmap", &[0, 0, 0xff1_0000_fff5])).0, ALLOW);
    assert_eq!(run(&program, call("mmap", &[0, 0, 0x0_0000_0005])).0, ERRNO | 1);
}

fn one_rule(argument: SyscallArg) -> Seccomp {
    let rule = Syscall {
        names: vec!["mmap".into(), "unknown_call".into()],
        action: "SCMP_ACT_ALLOW".into(),
        errno_ret: None,
        args: vec![argument],
    };
    Seccomp { default_action: "SCMP_ACT_ERRNO".into(), syscalls: vec![rule], ..Seccomp::default() }
}

#[test]
fn a_deny_list_lets_the_rest_pass() {
    let rule = Syscall {
        names: vec!["mkdir".into()],
        action: "SCMP_ACT_ERRNO".into(),
        errno_ret: Some(13),
        args: vec![],
    };
    let profile =
        Seccomp { default_action: "SCMP_ACT_ALLOW".into(), syscalls: vec![rule], ..Seccomp::default() };
    let program = compile_for(&profile, &[Architecture::X86_64]).unwrap();
    assert_eq!(run(&program, call("mkdir", &[])).0, ERRNO | 13);
    assert_eq!(run(&program, call("read", &[])).0, ALLOW);
    assert_eq!(run(&program, call("mseal", &[])).0, ALLOW);
    let empty = Seccomp { default_action: "SCMP_ACT_ALLOW".into(), ..Seccomp::default() };
    assert_eq!(run(&compile_for(&empty, &BOTH).unwrap(), call("read", &[])).0, ALLOW);
}

#[test]
fn what_is_unknown_is_said() {
    let bad = |action: &str| Seccomp { default_action: action.into(), ..Seccomp::default() };
    assert!(matches!(compile(&bad("SCMP_ACT_NOPE")), Err(Error::UnknownAction(_))));
    let flagged = Seccomp { flags: vec!["NOPE".into()], ..bad("SCMP_ACT_ALLOW") };
    assert!(matches!(flags(&flagged), Err(Error::UnknownFlag(_))));
    assert!(docker_profile_to_oci("{", &[]).is_err());
    let twice = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#;
    assert!(matches!(docker_profile_to_oci(twice, &[]), Err(Error::ArchitecturesTwice)));
}

/// A child of its own loads the default filter and tries it on the real kernel.
#[test]
fn the_kernel_obeys() {
    let profile = docker_profile_to_oci(DEFAULT_PROFILE, &default_capabilities()).unwrap();
    let program = compile(&profile).unwrap();
    let (read_end, write_end) = hull_sys::rustix::pipe::pipe().unwrap();
    match hull_sys::process::clone3(0, None).unwrap() {
        hull_sys::process::Forked::Child => {
            let mut verdict = *b"----";
            if hull_sys::filter::load(&program, 0).is_ok() {
                verdict[0] = b'L';
            }
            let error = hull_sys::namespace::unshare(hull_sys::namespace::UTS);
            if error.is_err_and(|e| e.raw_os_error() == Some(1)) {
                verdict[1] = b'U';
            }
            if hull_sys::process::set_personality(0x0004_0000).is_err() {
                verdict[2] = b'P';
            }
            if hull_sys::process::set_personality(0).is_ok() {
                verdict[3] = b'p';
            }
            let _ = hull_sys::rustix::io::write(&write_end, &verdict);
            hull_sys::process::exit(0)
        }
        hull_sys::process::Forked::Parent { pidfd, .. } => {
            drop(write_end);
            let mut verdict = [0; 4];
            hull_sys::rustix::io::read(&read_end, &mut verdict).unwrap();
            assert_eq!(hull_sys::process::reap(&pidfd).unwrap(), 0);
            assert_eq!(&verdict, b"LUPp");
        }
    }
}
