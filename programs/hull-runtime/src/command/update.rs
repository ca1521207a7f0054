//! `update`.

use super::{Global, Outcome, text};
use crate::arguments::{Arguments, Flag, short, value};
use hull_types::document::from_json;
use hull_types::oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources};
use std::ffi::OsString;
use std::io::Read;

const FLAGS: [Flag; 19] = [
    short("r", value("resources")),
    value("blkio-weight"),
    value("cpu-period"),
    value("cpu-quota"),
    value("cpu-burst"),
    value("cpu-share"),
    value("cpu-rt-period"),
    value("cpu-rt-runtime"),
    value("cpu-idle"),
    value("cpuset-cpus"),
    value("cpuset-mems"),
    value("memory"),
    value("memory-reservation"),
    value("memory-swap"),
    value("pids-limit"),
    value("kernel-memory"),
    value("kernel-memory-tcp"),
    value("l3-cache-schema"),
    value("mem-bw-schema"),
];

pub(super) fn update(global: &Global, given: Vec<OsString>) -> Outcome {
    let arguments = Arguments::parse(given, &FLAGS, false)?;
    let resources = match arguments.get("resources") {
        Some(path) => read(path)?,
        None => from_flags(&arguments)?,
    };
    let id = arguments.id()?;
    hull_oci_runtime::update(&global.root, id, &resources).map_err(text)?;
    let schema = |name| arguments.get(name).unwrap_or_default();
    let (l3, bandwidth) = (schema("l3-cache-schema"), schema("mem-bw-schema"));
    if !l3.is_empty() || !bandwidth.is_empty() {
        hull_oci_runtime::update_classes(&global.root, id, l3, bandwidth).map_err(text)?;
    }
    Ok(0)
}

fn read(path: &str) -> Result<Resources, String> {
    let mut content = Vec::new();
    let read = if path == "-" {
        std::io::stdin().read_to_end(&mut content)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content))
    };
    read.map_err(|error| format!("cannot read {path}: {error}"))?;
    from_json(&content).map_err(|error| format!("cannot parse {path}: {error}"))
}

/// `64m`, `67108864`, or -1 for no limit.
fn bytes(arguments: &Arguments, name: &str) -> Result<Option<i64>, String> {
    let Some(value) = arguments.get(name) else { return Ok(None) };
    match hull_types::size::parse_binary(value) {
        Some(bytes) => Ok(Some(bytes)),
        None if value == "-1" => Ok(Some(-1)),
        None => Err(format!("invalid value for {name}: {value:?}")),
    }
}

fn from_flags(arguments: &Arguments) -> Result<Resources, String> {
    let memory = Memory {
        limit: bytes(arguments, "memory")?,
        reservation: bytes(arguments, "memory-reservation")?,
        swap: bytes(arguments, "memory-swap")?,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: arguments.number("cpu-share")?,
        quota: arguments.number("cpu-quota")?,
        burst: arguments.number("cpu-burst")?,
        period: arguments.number("cpu-period")?,
        realtime_runtime: arguments.number("cpu-rt-runtime")?,
        realtime_period: arguments.number("cpu-rt-period")?,
        cpus: arguments.get("cpuset-cpus").unwrap_or_default().into(),
        mems: arguments.get("cpuset-mems").unwrap_or_default().into(),
        idle: arguments.number("cpu-idle")?,
    };
    let block_io = BlockIo { weight: arguments.number("blkio-weight")?, ..BlockIo::default() };
    Ok(Resources {
        memory: Some(memory),
        cpu: Some(cpu),
        pids: arguments.number("pids-limit")?.filter(|limit| *limit != 0).map(|limit| Pids { limit }),
        block_io: Some(block_io),
        ..Resources::default()
    })
}
