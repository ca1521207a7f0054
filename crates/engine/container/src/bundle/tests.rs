//! Golden: the whole `config.json` of two containers, so that a change of any default is seen.

use super::*;
use crate::config::ContainersConfig;
use crate::spec::{Host, Plan};
use hull_api_types::ContainerCreateRequest;
use hull_types::oci::image::Execution;
use hull_types::oci::runtime::IdMapping;
use hull_types::{Digest, Timestamp};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn host() -> Host {
    Host {
        cpus: 4,
        cpuset_cpus: "0-3".into(),
        cpuset_mems: "0".into(),
        cgroup_v2: false,
        hostname: "metal".into(),
    }
}

fn image() -> Execution {
    Execution {
        cmd: Some(vec!["sh".into()]),
        env: vec!["PATH=/bin".into(), "A=image".into()],
        ..Execution::default()
    }
}

fn spec(request: &str) -> ContainerSpec {
    let request: ContainerCreateRequest = serde_json::from_str(request).unwrap();
    let plan =
        crate::spec::plan(request, &image(), Vec::new(), &ContainersConfig::default(), &host()).unwrap();
    let Plan { mut config, host_config, networks, mounts, .. } = plan;
    if config.hostname.is_empty() {
        config.hostname = ID[..12].into();
    }
    ContainerSpec {
        id: ID.into(),
        name: "test".into(),
        created: Timestamp::ZERO,
        image_name: "busybox".into(),
        image: Digest::sha256(&[1; 32]),
        top: None,
        config,
        host_config,
        networks,
        mounts,
    }
}

fn resolved(spec: &ContainerSpec) -> Resolved {
    Resolved {
        user: User { uid: 0, gid: 0, groups: vec![0, 10], home: "/root".into() },
        hostname: spec.config.hostname.clone(),
        namespaces: NamespacePlan { network: Join::Path("/proc/1/fd/9".into()), ..NamespacePlan::default() },
        network_files: ["/b/resolv.conf", "/b/hostname", "/b/hosts"].map(PathBuf::from),
        security: crate::spec::parse_security_options(&spec.host_config).unwrap(),
        grantable: crate::spec::CAPABILITIES.map(str::to_owned).to_vec(),
        cgroups_path: format!("/hull/{ID}"),
        ..Resolved::default()
    }
}

/// Compares with the file; `HULL_BLESS=1` writes it anew.
fn golden(name: &str, spec: &oci::Spec) {
    let path = format!("{}/src/bundle/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n", serde_json::to_string_pretty(spec).unwrap());
    if std::env::var_os("HULL_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap(),
        "{name}: see the change, then run with HULL_BLESS=1"
    );
}

#[test]
fn a_plain_container() {
    let spec = spec(r#"{"Image":"busybox","Env":["B=2"],"HostConfig":{}}"#);
    golden("plain", &oci_spec(&spec, &resolved(&spec)));
}

#[test]
fn a_container_with_everything() {
    let spec = spec(
        r#"{"Image":"busybox","Cmd":["top","-b"],"User":"33","Tty":true,"WorkingDir":"/srv/../data",
            "Env":["A","TERM=vt100"],"Hostname":"web","Domainname":"lan",
            "HostConfig":{"Memory":16777216,"NanoCpus":1500000000,"CpuShares":512,"PidsLimit":64,"BlkioWeight":300,
              "CapAdd":["net_admin"],"CapDrop":["mknod"],"ReadonlyRootfs":true,"OomScoreAdj":100,"ShmSize":1048576,
              "Binds":["/h:/data:ro,rslave"],"Tmpfs":{"/run":"size=1m,exec"},"Init":true,"IpcMode":"host",
              "CgroupnsMode":"private","UTSMode":"","SecurityOpt":["no-new-privileges"],
              "Ulimits":[{"Name":"nofile","Soft":10,"Hard":20}],"Sysctls":{"net.ipv4.ip_forward":"1"},
              "DeviceCgroupRules":["c 42:* rmw"],"Annotations":{"a":"b"}}}"#,
    );
    let mut found = resolved(&spec);
    found.user = User { uid: 33, gid: 33, groups: vec![33], home: "/".into() };
    found.namespaces.ipc = Join::Host;
    found.shm = ShmSource::Shared("/dev/shm".into());
    found.init = Some("/usr/bin/hull-runtime".into());
    found.console_size = Some((24, 80));
    found.device_rules = vec![parse_device_rule("c 42:* rmw").unwrap()];
    found.mounts = vec![
        ResolvedMount {
            destination: "/data".into(),
            source: Source::Bind("/h".into()),
            read_only: true,
            recursive: true,
            read_only_below: true,
            propagation: "rslave".into(),
            id_maps: (
                vec![IdMapping { container_id: 1000, host_id: 33, size: 1 }],
                vec![IdMapping { container_id: 1000, host_id: 33, size: 1 }],
            ),
        },
        ResolvedMount {
            destination: "/run".into(),
            source: Source::FileSystem {
                kind: "tmpfs".into(),
                device: "tmpfs".into(),
                options: tmpfs_options(&["size=1m".into(), "exec".into()]),
            },
            read_only: false,
            recursive: true,
            read_only_below: false,
            propagation: String::new(),
            id_maps: Default::default(),
        },
    ];
    golden("everything", &oci_spec(&spec, &found));
}

#[test]
fn a_privileged_container() {
    let spec = spec(r#"{"Image":"busybox","HostConfig":{"Privileged":true}}"#);
    let oci = oci_spec(&spec, &resolved(&spec));
    let linux = oci.linux.unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty() && linux.seccomp.is_none());
    assert!(linux.resources.unwrap().devices[0].allow);
    let sys = oci.mounts.iter().find(|mount| mount.destination == "/sys").unwrap();
    assert!(!sys.options.iter().any(|option| option == "ro"));
    assert_eq!(oci.process.unwrap().capabilities.unwrap().effective.len(), crate::spec::CAPABILITIES.len());
}

#[test]
fn what_is_asked_for_replaces_what_all_have() {
    let spec = spec(r#"{"Image":"busybox","HostConfig":{"Binds":["/h:/dev","/x:/etc/hosts"]}}"#);
    let mut found = resolved(&spec);
    let bind = |source: &str, destination: &str| ResolvedMount {
        destination: destination.into(),
        source: Source::Bind(source.into()),
        read_only: false,
        recursive: true,
        read_only_below: false,
        propagation: String::new(),
        id_maps: Default::default(),
    };
    found.mounts = vec![bind("/h", "/dev"), bind("/x", "/etc/hosts")];
    let oci = oci_spec(&spec, &found);
    let count =
        |destination: &str| oci.mounts.iter().filter(|mount| mount.destination == destination).count();
    assert_eq!((count("/dev"), count("/dev/pts"), count("/dev/shm"), count("/etc/hosts")), (1, 0, 0, 1));
}
