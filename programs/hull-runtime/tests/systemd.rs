//! The systemd driver, against a manager that this test plays, and against a real bus that has none.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::Bundle;

/// A bus with systemd's manager on it, as far as the driver asks: it makes the scope's group in the hierarchy that is
/// systemd's own, moves the process in, and says what it was told, one JSON line for each call.
const MANAGER: &str = r#"
import json, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen()
HIERARCHY = "/sys/fs/cgroup/systemd"
print("{}", flush=True)

class Reader:
    def __init__(self, data): self.data, self.at = data, 0
    def align(self, n): self.at = -(-self.at // n) * n
    def number(self, kind, size):
        self.align(size); value = struct.unpack_from("<" + kind, self.data, self.at)[0]; self.at += size; return value
    def text(self, length): value = self.data[self.at:self.at + length].decode(); assert self.data[self.at + length] == 0; self.at += length + 1; return value
    def value(self, kind):
        first = kind[0]
        if first in "so": return self.text(self.number("I", 4))
        if first == "g": return self.text(self.number("B", 1))
        if first == "u": return self.number("I", 4)
        if first == "b": return bool(self.number("I", 4))
        if first == "t": return self.number("Q", 8)
        if first == "y": return self.number("B", 1)
        if first == "v": return self.value(self.value("g"))
        if first == "(":
            self.align(8); return [self.value(part) for part in split(kind[1:-1])]
        if first == "a":
            length = self.number("I", 4)
            self.align({"(": 8, "t": 8, "y": 1}.get(kind[1], 4))
            end, all = self.at + length, []
            while self.at < end: all.append(self.value(kind[1:]))
            assert self.at == end
            return all
        raise Exception(kind)

def split(kinds):
    parts, at = [], 0
    while at < len(kinds):
        end = at
        while kinds[end] == "a": end += 1
        if kinds[end] == "(":
            depth = 0
            while True:
                depth += {"(": 1, ")": -1}.get(kinds[end], 0); end += 1
                if depth == 0: break
        else: end += 1
        parts.append(kinds[at:end]); at = end
    return parts

def pad(data, n): return data + bytes(-len(data) % n)
def text(value): return struct.pack("<I", len(value)) + value.encode() + b"\0"
def message(kind, fields, signature, body):
    head = b""
    for code, type, value in fields + ([(8, "g", signature)] if signature else []):
        head = pad(head, 8) + bytes([code, 1]) + type.encode() + b"\0"
        if type == "u": head = pad(head, 4) + struct.pack("<I", value)
        elif type == "g": head += bytes([len(value)]) + value.encode() + b"\0"
        else: head = pad(head, 4) + text(value)
    return pad(struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), 9, len(head)) + head, 8) + body

def serve(connection):
    file = connection.makefile("rb")
    assert file.readline().startswith(b"\0AUTH EXTERNAL ")
    connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
    assert file.readline() == b"BEGIN\r\n"
    while True:
        head = file.read(16)
        if len(head) < 16: return
        body_length, serial, fields_length = struct.unpack_from("<III", head, 4)
        data = head + file.read(-(-fields_length // 8) * 8 + body_length)
        reader, fields = Reader(data), {}
        reader.at = 12
        for code, value in reader.value("a(yv)"): fields[code] = value
        reader.align(8)
        body = Reader(data[reader.at:])
        member, values = fields[3], [body.value(kind) for kind in split(fields.get(8, ""))]
        if member in ("StartTransientUnit", "StopUnit", "SetUnitProperties"):
            print(json.dumps({"member": member, "values": values}), flush=True)
        if member == "StartTransientUnit":
            properties = dict(values[2])
            group = HIERARCHY + sys.argv[2] + "/" + values[0]
            os.makedirs(group, exist_ok=True)
            open(group + "/cgroup.procs", "w").write(str(properties["PIDs"][0]))
        job = "/org/freedesktop/systemd1/job/7"
        answer, signature = (text(job), "o") if member in ("StartTransientUnit", "StopUnit") else (b"", "")
        connection.sendall(message(2, [(5, "u", serial)], signature, answer))
        if signature:
            body = struct.pack("<I", 7) + text(job); body = pad(body, 4) + text(values[0]); body = pad(body, 4) + text("done")
            connection.sendall(message(4, [(1, "o", "/org/freedesktop/systemd1"), (2, "s", "org.freedesktop.systemd1.Manager"), (3, "s", "JobRemoved")], "uoss", body))

while True:
    connection, _ = server.accept()
    serve(connection)
"#;

struct Manager(Child, BufReader<std::process::ChildStdout>);

impl Manager {
    fn new(socket: &Path, slice: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", MANAGER])
            .arg(socket)
            .arg(slice)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut manager = Self(child, lines);
        assert_eq!(manager.next(), json!({}));
        manager
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_scope_is_made_changed_and_given_back() {
    let mut bundle = Bundle::new("sleep 1000");
    let stem = bundle.id.replace('-', "_");
    let slice = format!("/{stem}.slice");
    bundle.spec["linux"]["cgroupsPath"] = json!(format!("{stem}.slice:hull:one"));
    bundle.spec["linux"]["resources"] = json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 99}});
    let socket = bundle.directory.path().join("bus");
    let mut manager = Manager::new(&socket, &slice);
    let call = |words: &[&str]| {
        let mut command = bundle.command(&[&["--systemd-cgroup"], words].concat());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", socket.display()));
        let file = std::fs::File::create(bundle.directory.path().join("said")).unwrap();
        let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let said = std::fs::read_to_string(bundle.directory.path().join("said")).unwrap();
        assert!(status.success(), "{words:?}: {said}");
    };
    bundle.save();
    call(&["run", "-d", "ID"]);
    let begun = manager.next();
    assert_eq!(begun["member"], "StartTransientUnit");
    assert_eq!((&begun["values"][0], &begun["values"][1]), (&json!("hull-one.scope"), &json!("replace")));
    let properties = begun["values"][2].as_array().unwrap();
    let pid = bundle.state()["pid"].clone();
    for wanted in [
        json!(["Slice", format!("{stem}.slice")]),
        json!(["Delegate", true]),
        json!(["PIDs", [pid]]),
        json!(["MemoryLimit", 33_554_432]),
        json!(["TasksMax", 99]),
        json!(["DevicePolicy", "strict"]),
    ] {
        assert!(properties.contains(&wanted), "{wanted} in {begun}");
    }
    // The other hierarchies have it too, with its limits.
    let path = format!("{}/hull-one.scope", slice);
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(groups.lines().all(|line| line.ends_with(&path)), "{groups}");
    let limit =
        std::fs::read_to_string(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes")).unwrap();
    assert_eq!(limit.trim(), "33554432");

    call(&["update", "--pids-limit", "33", "ID"]);
    let changed = manager.next();
    assert_eq!(changed["member"], "SetUnitProperties");
    assert_eq!(changed["values"], json!(["hull-one.scope", true, [["TasksMax", 33]]]));
    assert_eq!(std::fs::read_to_string(format!("/sys/fs/cgroup/pids{path}/pids.max")).unwrap().trim(), "33");

    call(&["delete", "--force", "ID"]);
    let ended = manager.next();
    assert_eq!((&ended["member"], &ended["values"][0]), (&json!("StopUnit"), &json!("hull-one.scope")));
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let slice = hierarchy.path().join(slice.trim_start_matches('/'));
        assert!(!slice.join("hull-one.scope").exists());
        // The slice is systemd's to remove, which this one does not.
        let _ = std::fs::remove_dir(slice);
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_left() {
    let mut bundle = Bundle::new("true");
    let nowhere = bundle.directory.path().join("nowhere");
    let fails = |bundle: &Bundle, socket: &Path| {
        bundle.save();
        let mut command = bundle.command(&["--systemd-cgroup", "run", "ID"]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", socket.display()));
        let output = command.output().unwrap();
        assert!(!output.status.success());
        bundle.assert_nothing_left();
        String::from_utf8(output.stderr).unwrap()
    };
    bundle.spec["linux"]["cgroupsPath"] = json!("/plain/path");
    assert!(fails(&bundle, &nowhere).contains("slice:prefix:name"));
    bundle.spec["linux"]["cgroupsPath"] = json!("system.slice:hull:one");
    let said = fails(&bundle, &nowhere);
    assert!(said.contains("cannot reach systemd over") && said.contains("nowhere"), "{said}");
    assert!(bundle.failure().contains("--systemd-cgroup"));
}

#[test]
fn a_real_bus_understands_the_calls() {
    if !support::installed("dbus-daemon") {
        println!("dbus-daemon is not installed");
        return;
    }
    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["cgroupsPath"] = json!("system.slice:hull:one");
    bundle.save();
    let socket = bundle.directory.path().join("bus");
    let config = bundle.directory.path().join("bus.conf");
    let text = format!(
        "<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow own=\"*\"/><allow user=\"*\"/>\
         <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/><allow receive_type=\"signal\"/></policy></busconfig>",
        socket.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut daemon = Command::new("dbus-daemon")
        .arg("--nofork")
        .arg("--nopidfile")
        .arg(format!("--config-file={}", config.display()))
        .spawn()
        .unwrap();
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut command = bundle.command(&["--systemd-cgroup", "run", "ID"]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", socket.display()));
    let output = command.output().unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // It would hang up on a message that is not well-formed; it says that nobody is there to answer this one.
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("StartTransientUnit") && said.contains("ServiceUnknown"), "{said}");
    bundle.assert_nothing_left();
}
