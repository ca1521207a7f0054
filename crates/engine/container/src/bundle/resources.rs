//! Limits in the runtime specification's words.

use hull_api_types::{Resources, ThrottleDevice};
use hull_types::oci::runtime as oci;
use std::collections::BTreeMap;

/// Major and minor numbers of the block devices that limits name, by path.
pub type BlockDevices = BTreeMap<String, (i64, i64)>;

/// All but the device rules.
pub fn resources(wanted: &Resources, devices: &BlockDevices) -> oci::Resources {
    oci::Resources {
        memory: memory(wanted),
        cpu: cpu(wanted),
        pids: wanted.pids_limit.map(|limit| oci::Pids { limit: if limit <= 0 { -1 } else { limit } }),
        block_io: block_io(wanted, devices),
        ..oci::Resources::default()
    }
}

fn positive<T: From<i64>>(value: i64) -> Option<T> {
    (value > 0).then(|| value.into())
}

fn unsigned(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

fn memory(wanted: &Resources) -> Option<oci::Memory> {
    let memory = oci::Memory {
        limit: positive(wanted.memory),
        reservation: positive(wanted.memory_reservation),
        swap: (wanted.memory_swap != 0 && (wanted.memory > 0 || wanted.memory_swap > 0))
            .then_some(wanted.memory_swap),
        swappiness: wanted.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: wanted.oom_kill_disable.filter(|disable| *disable),
        ..oci::Memory::default()
    };
    (memory != oci::Memory::default()).then_some(memory)
}

fn cpu(wanted: &Resources) -> Option<oci::Cpu> {
    const PERIOD: i64 = 100_000;
    let (quota, period) = if wanted.nano_cpus > 0 {
        (Some(wanted.nano_cpus * PERIOD / 1_000_000_000), Some(PERIOD as u64))
    } else {
        ((wanted.cpu_quota != 0).then_some(wanted.cpu_quota), unsigned(wanted.cpu_period))
    };
    let cpu = oci::Cpu {
        shares: unsigned(wanted.cpu_shares),
        quota,
        period,
        realtime_runtime: positive(wanted.cpu_realtime_runtime),
        realtime_period: unsigned(wanted.cpu_realtime_period),
        cpus: wanted.cpuset_cpus.clone(),
        mems: wanted.cpuset_mems.clone(),
        ..oci::Cpu::default()
    };
    (cpu != oci::Cpu::default()).then_some(cpu)
}

fn block_io(wanted: &Resources, devices: &BlockDevices) -> Option<oci::BlockIo> {
    let throttle = |list: &Option<Vec<ThrottleDevice>>| {
        let known = list.iter().flatten().filter_map(|device| Some((device, devices.get(&device.path)?)));
        known
            .map(|(device, (major, minor))| oci::ThrottleDevice {
                major: *major,
                minor: *minor,
                rate: device.rate,
            })
            .collect()
    };
    let weights = wanted.blkio_weight_device.iter().flatten().filter_map(|device| {
        let (major, minor) = devices.get(&device.path)?;
        Some(oci::WeightDevice {
            major: *major,
            minor: *minor,
            weight: Some(device.weight),
            leaf_weight: None,
        })
    });
    let block = oci::BlockIo {
        weight: Some(wanted.blkio_weight).filter(|weight| *weight > 0),
        weight_device: weights.collect(),
        throttle_read_bps_device: throttle(&wanted.blkio_device_read_bps),
        throttle_write_bps_device: throttle(&wanted.blkio_device_write_bps),
        throttle_read_iops_device: throttle(&wanted.blkio_device_read_iops),
        throttle_write_iops_device: throttle(&wanted.blkio_device_write_iops),
        ..oci::BlockIo::default()
    };
    (block != oci::BlockIo::default()).then_some(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_a_quota() {
        let wanted = Resources { nano_cpus: 1_500_000_000, ..Default::default() };
        let cpu = resources(&wanted, &BlockDevices::new()).cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    }

    #[test]
    fn no_limits_are_nothing() {
        assert_eq!(resources(&Resources::default(), &BlockDevices::new()), oci::Resources::default());
        let wanted =
            Resources { memory: 10 << 20, memory_swap: -1, pids_limit: Some(0), ..Default::default() };
        let limits = resources(&wanted, &BlockDevices::new());
        assert_eq!(limits.memory.unwrap().swap, Some(-1));
        assert_eq!(limits.pids.unwrap().limit, -1);
    }
}
