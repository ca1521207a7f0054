//! Limits as writes to cgroup files. Pure.

use crate::devices;
use hull_types::oci::runtime::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};

/// Which version's files a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy per controller.
    V1,
    /// One hierarchy.
    V2,
}

/// A write to a cgroup's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The controller that the file belongs to; empty for those named in `unified` by the user.
    pub controller: &'static str,
    /// The file's name.
    pub file: String,
    /// What is written.
    pub value: String,
}

#[derive(Default)]
struct Plan(Vec<Write>);

impl Plan {
    fn write(&mut self, controller: &'static str, file: impl Into<String>, value: impl ToString) {
        self.0.push(Write { controller, file: file.into(), value: value.to_string() });
    }

    fn write_some(&mut self, controller: &'static str, file: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.write(controller, file, value);
        }
    }
}

/// The writes that set these limits, in order.
///
/// Device rules are among them for version 1; for version 2 they are a program, which is no write.
pub fn plan(resources: &Resources, version: Version) -> Vec<Write> {
    let mut plan = Plan::default();
    match version {
        Version::V1 => plan_v1(&mut plan, resources),
        Version::V2 => plan_v2(&mut plan, resources),
    }
    plan.0
}

/// Real zero and negative values are "not limited" in most of Docker's requests.
fn unlimited(value: i64, word: &str) -> String {
    if value < 0 { word.into() } else { value.to_string() }
}

fn plan_v1(plan: &mut Plan, resources: &Resources) {
    for rule in devices::v1_rules(&resources.devices) {
        plan.write("devices", if rule.allow { "devices.allow" } else { "devices.deny" }, rule.text);
    }
    if let Some(memory) = &resources.memory {
        memory_v1(plan, memory);
    }
    if let Some(cpu) = &resources.cpu {
        cpu_v1(plan, cpu);
    }
    if let Some(pids) = resources.pids {
        plan.write("pids", "pids.max", if pids.limit > 0 { pids.limit.to_string() } else { "max".into() });
    }
    if let Some(block_io) = &resources.block_io {
        block_io_v1(plan, block_io);
    }
    for limit in &resources.hugepage_limits {
        plan.write("hugetlb", format!("hugetlb.{}.limit_in_bytes", limit.page_size), limit.limit);
    }
    if let Some(network) = &resources.network {
        plan.write_some("net_cls", "net_cls.classid", network.class_id);
        for priority in &network.priorities {
            plan.write("net_prio", "net_prio.ifpriomap", format!("{} {}", priority.name, priority.priority));
        }
    }
    rdma(plan, resources);
}

fn memory_v1(plan: &mut Plan, memory: &Memory) {
    let limit = memory.limit.filter(|limit| *limit != 0);
    // Unlimited memory with a swap limit in force cannot be: the kernel wants memory below memory and swap.
    let swap = memory.swap.filter(|swap| *swap != 0).or(limit.filter(|limit| *limit < 0));
    let writes = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)];
    for (file, value) in writes {
        plan.write_some("memory", file, value.map(|value| unlimited(value, "-1")));
    }
    let reservation = memory.reservation.filter(|value| *value != 0);
    plan.write_some("memory", "memory.soft_limit_in_bytes", reservation.map(|value| unlimited(value, "-1")));
    let tcp = memory.kernel_tcp.filter(|value| *value != 0);
    plan.write_some("memory", "memory.kmem.tcp.limit_in_bytes", tcp.map(|value| unlimited(value, "-1")));
    plan.write_some("memory", "memory.swappiness", memory.swappiness);
    if memory.disable_oom_killer == Some(true) {
        plan.write("memory", "memory.oom_control", 1);
    }
}

fn cpu_v1(plan: &mut Plan, cpu: &Cpu) {
    plan.write_some("cpu", "cpu.shares", cpu.shares.filter(|value| *value != 0));
    plan.write_some("cpu", "cpu.idle", cpu.idle);
    plan.write_some("cpu", "cpu.rt_period_us", cpu.realtime_period.filter(|value| *value != 0));
    plan.write_some("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime.filter(|value| *value != 0));
    plan.write_some("cpu", "cpu.cfs_period_us", cpu.period.filter(|value| *value != 0));
    plan.write_some("cpu", "cpu.cfs_quota_us", cpu.quota.filter(|value| *value != 0));
    plan.write_some("cpu", "cpu.cfs_burst_us", cpu.burst);
    cpuset(plan, cpu);
}

fn cpuset(plan: &mut Plan, cpu: &Cpu) {
    plan.write_some("cpuset", "cpuset.cpus", Some(&cpu.cpus).filter(|text| !text.is_empty()));
    plan.write_some("cpuset", "cpuset.mems", Some(&cpu.mems).filter(|text| !text.is_empty()));
}

fn block_io_v1(plan: &mut Plan, block_io: &BlockIo) {
    plan.write_some("blkio", "blkio.weight", block_io.weight.filter(|weight| *weight != 0));
    plan.write_some("blkio", "blkio.leaf_weight", block_io.leaf_weight.filter(|weight| *weight != 0));
    for device in &block_io.weight_device {
        let name = format!("{}:{}", device.major, device.minor);
        let line = |weight: u16| format!("{name} {weight}");
        plan.write_some("blkio", "blkio.weight_device", device.weight.map(line));
        plan.write_some("blkio", "blkio.leaf_weight_device", device.leaf_weight.map(line));
    }
    let throttles: [(&str, &[ThrottleDevice]); 4] = [
        ("blkio.throttle.read_bps_device", &block_io.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &block_io.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &block_io.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &block_io.throttle_write_iops_device),
    ];
    for (file, devices) in throttles {
        for device in devices {
            plan.write("blkio", file, format!("{}:{} {}", device.major, device.minor, device.rate));
        }
    }
}

fn plan_v2(plan: &mut Plan, resources: &Resources) {
    if let Some(memory) = &resources.memory {
        memory_v2(plan, memory);
    }
    if let Some(cpu) = &resources.cpu {
        cpu_v2(plan, cpu);
    }
    if let Some(pids) = resources.pids {
        plan.write("pids", "pids.max", if pids.limit > 0 { pids.limit.to_string() } else { "max".into() });
    }
    if let Some(block_io) = &resources.block_io {
        block_io_v2(plan, block_io);
    }
    for limit in &resources.hugepage_limits {
        plan.write("hugetlb", format!("hugetlb.{}.max", limit.page_size), limit.limit);
    }
    rdma(plan, resources);
    for (file, value) in &resources.unified {
        plan.write("", file.clone(), value);
    }
}

fn memory_v2(plan: &mut Plan, memory: &Memory) {
    let limit = memory.limit.filter(|limit| *limit != 0);
    let swap = match (memory.swap.filter(|swap| *swap != 0), limit) {
        (Some(swap), _) if swap < 0 => Some("max".to_owned()),
        // Version 1 counts memory and swap together, version 2 swap alone.
        (Some(swap), Some(limit)) if limit > 0 => Some((swap - limit).max(0).to_string()),
        (None, Some(limit)) if limit < 0 => Some("max".to_owned()),
        _ => None,
    };
    plan.write_some("memory", "memory.swap.max", swap);
    plan.write_some("memory", "memory.max", limit.map(|value| unlimited(value, "max")));
    let reservation = memory.reservation.filter(|value| *value != 0);
    plan.write_some("memory", "memory.low", reservation.map(|value| unlimited(value, "max")));
}

/// 2…262144 shares are 1…10000 weight.
pub(crate) fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn cpu_v2(plan: &mut Plan, cpu: &Cpu) {
    plan.write_some("cpu", "cpu.weight", cpu.shares.filter(|shares| *shares != 0).map(weight));
    plan.write_some("cpu", "cpu.idle", cpu.idle);
    let (quota, period) = (cpu.quota.filter(|quota| *quota != 0), cpu.period.filter(|period| *period != 0));
    if quota.is_some() || period.is_some() {
        let quota = quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
        plan.write("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000)));
    }
    plan.write_some("cpu", "cpu.max.burst", cpu.burst);
    cpuset(plan, cpu);
}

fn block_io_v2(plan: &mut Plan, block_io: &BlockIo) {
    plan.write_some("io", "io.bfq.weight", block_io.weight.filter(|weight| *weight != 0));
    for device in &block_io.weight_device {
        let line = device.weight.map(|weight| format!("{}:{} {weight}", device.major, device.minor));
        plan.write_some("io", "io.bfq.weight", line);
    }
    let throttles: [(&str, &[ThrottleDevice]); 4] = [
        ("rbps", &block_io.throttle_read_bps_device),
        ("wbps", &block_io.throttle_write_bps_device),
        ("riops", &block_io.throttle_read_iops_device),
        ("wiops", &block_io.throttle_write_iops_device),
    ];
    for (key, devices) in throttles {
        for device in devices {
            plan.write("io", "io.max", format!("{}:{} {key}={}", device.major, device.minor, device.rate));
        }
    }
}

/// The same in both versions.
fn rdma(plan: &mut Plan, resources: &Resources) {
    for (device, limit) in &resources.rdma {
        let number = |value: Option<u32>| value.map_or("max".to_owned(), |value| value.to_string());
        let line = format!(
            "{device} hca_handle={} hca_object={}",
            number(limit.hca_handles),
            number(limit.hca_objects)
        );
        plan.write("rdma", "rdma.max", line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{
        "devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
                   {"allow":true,"type":"c","major":136,"access":"rw"}],
        "memory":{"limit":536870912,"swap":1073741824,"reservation":1000000,"swappiness":10,"disableOOMKiller":true},
        "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1","mems":"0"},
        "pids":{"limit":99},
        "blockIO":{"weight":500,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],
                   "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":10}]},
        "hugepageLimits":[{"pageSize":"2MB","limit":4194304}],
        "rdma":{"mlx5_1":{"hcaHandles":3}},
        "unified":{"memory.high":"400000000"}}"#;

    fn golden(json: &str, version: Version) -> String {
        let resources = hull_types::document::from_json(json.as_bytes()).unwrap();
        let lines = plan(&resources, version).into_iter();
        lines.map(|w| format!("{} {} <- {}\n", w.controller, w.file, w.value)).collect()
    }

    #[test]
    fn version_1() {
        assert_eq!(
            golden(ALL, Version::V1),
            "\
devices devices.deny <- a
devices devices.allow <- c 1:3 rwm
devices devices.allow <- c 136:* rw
memory memory.limit_in_bytes <- 536870912
memory memory.memsw.limit_in_bytes <- 1073741824
memory memory.soft_limit_in_bytes <- 1000000
memory memory.swappiness <- 10
memory memory.oom_control <- 1
cpu cpu.shares <- 512
cpu cpu.cfs_period_us <- 100000
cpu cpu.cfs_quota_us <- 50000
cpuset cpuset.cpus <- 0-1
cpuset cpuset.mems <- 0
pids pids.max <- 99
blkio blkio.weight <- 500
blkio blkio.throttle.read_bps_device <- 8:0 1048576
blkio blkio.throttle.write_iops_device <- 8:16 10
hugetlb hugetlb.2MB.limit_in_bytes <- 4194304
rdma rdma.max <- mlx5_1 hca_handle=3 hca_object=max
"
        );
    }

    #[test]
    fn version_2() {
        assert_eq!(
            golden(ALL, Version::V2),
            "\
memory memory.swap.max <- 536870912
memory memory.max <- 536870912
memory memory.low <- 1000000
cpu cpu.weight <- 20
cpu cpu.max <- 50000 100000
cpuset cpuset.cpus <- 0-1
cpuset cpuset.mems <- 0
pids pids.max <- 99
io io.bfq.weight <- 500
io io.max <- 8:0 rbps=1048576
io io.max <- 8:16 wiops=10
hugetlb hugetlb.2MB.max <- 4194304
rdma rdma.max <- mlx5_1 hca_handle=3 hca_object=max
 memory.high <- 400000000
"
        );
    }

    #[test]
    fn nothing_asked_is_nothing_written() {
        for version in [Version::V1, Version::V2] {
            assert_eq!(golden("{}", version), "");
            assert_eq!(golden(r#"{"memory":{"limit":0},"cpu":{"shares":0,"quota":0}}"#, version), "");
        }
        let unlimited = r#"{"memory":{"limit":-1},"pids":{"limit":-1},"cpu":{"quota":-1}}"#;
        assert_eq!(
            golden(unlimited, Version::V1),
            "memory memory.limit_in_bytes <- -1\nmemory memory.memsw.limit_in_bytes <- -1\ncpu cpu.cfs_quota_us <- -1\npids pids.max <- max\n"
        );
        assert_eq!(
            golden(unlimited, Version::V2),
            "memory memory.swap.max <- max\nmemory memory.max <- max\ncpu cpu.max <- max 100000\npids pids.max <- max\n"
        );
    }
}
