//! Pulling from and pushing to registries, with each client: private ones, broken pulls, lists of platforms.
#![allow(clippy::unwrap_used)]

use hull_e2e::{Client, World, eventually, with_each_client};
use std::process::{Child, Stdio};

const HTPASSWD: &str = "ann:$2b$04$ZfeKTQTxQFZTrliUZ/UQ2Od.OriP/N.W4OhclIJDVTU2bc4HENtey\n";
// Carries connections to the registry, a little at a time, and writes down what was asked.
const SLOWLY: &str = r#"
import socket, sys, threading, time
log = open(sys.argv[1], "ab", 0)
def carry(a, b, slow):
    try:
        while True:
            data = a.recv(65536)
            if not data: break
            if slow: time.sleep(len(data) / 8e6)
            else: log.write(data)
            b.sendall(data)
    except OSError: pass
    for s in (a, b):
        try: s.shutdown(socket.SHUT_RDWR)
        except OSError: pass
server = socket.create_server(("127.0.0.1", 5002))
while True:
    client, _ = server.accept()
    other = socket.create_connection(("127.0.0.1", 5000))
    threading.Thread(target=carry, args=(client, other, False), daemon=True).start()
    threading.Thread(target=carry, args=(other, client, True), daemon=True).start()
"#;

// A proxy that knows one way, to the registry, and whom it lets through.
const PROXY: &str = r#"
import http.server, shutil, sys, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open(sys.argv[1], "a").write(f"{self.command} {self.path} {self.headers['Proxy-Authorization']}\n")
        host, path = self.path[len("http://"):].split("/", 1)
        headers = {name: ",".join(self.headers.get_all(name)) for name in self.headers if name.lower() != "host"}
        request = urllib.request.Request("http://127.0.0.1:5000/" + path, method=self.command, headers=headers)
        with urllib.request.urlopen(request) as answer:
            self.send_response(answer.status)
            for header in answer.getheaders(): self.send_header(*header)
            self.end_headers()
            if self.command != "HEAD": shutil.copyfileobj(answer, self.wfile)
    do_HEAD = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Handler).serve_forever()
"#;

/// A process of the world's that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A registry that can be written to, for ann alone; with `tls` at https on the host's address.
fn own_registry(world: &World, address: &str, tls: bool) -> Running {
    let at = world.directory();
    let root = at.display();
    std::fs::write(at.join("htpasswd"), HTPASSWD).unwrap();
    let tls = if tls {
        format!(", tls: {{certificate: {root}/server.cert, key: {root}/server.key}}")
    } else {
        String::new()
    };
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {root}/own}}}}\n\
         auth: {{htpasswd: {{realm: hull, path: {root}/htpasswd}}}}\nhttp: {{addr: \"{address}\"{tls}}}\n"
    );
    std::fs::write(at.join("own.yml"), config).unwrap();
    let mut command = world.command("docker-registry");
    command
        .arg("serve")
        .arg(at.join("own.yml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    eventually("the registry answers", 10, || {
        (world.sh(&format!("curl -sk -o /dev/null http://{address}/v2/")).code == 0).then_some(())
    });
    running
}

fn raw(world: &World, name: &str) -> String {
    world.sh(&format!("skopeo inspect --raw --tls-verify=false --creds ann:secret docker://{name}")).ok()
}

#[test]
fn a_private_registry_takes_and_gives_images() {
    with_each_client(|world, client| {
        let registry = own_registry(world, "127.0.0.1:5001", false);
        let run = |words: &[&str]| world.client(client, words);
        run(&["pull", "-q", "nginx"]).ok();
        run(&["tag", "nginx", "127.0.0.1:5001/team/web:1"]).ok();
        let denied = run(&["push", "127.0.0.1:5001/team/web:1"]);
        assert!(denied.code == 1 && denied.stderr.contains("no basic auth credentials"), "{denied:?}");
        world
            .client_with_input(
                client,
                &["login", "-u", "ann", "--password-stdin", "127.0.0.1:5001"],
                "secret",
            )
            .ok();
        let pushed = run(&["push", "127.0.0.1:5001/team/web:1"]).ok();
        assert!(pushed.contains("Pushed") && pushed.contains("1: digest: sha256:"), "{pushed}");
        let source = world
            .sh("skopeo inspect --raw --tls-verify=false docker://127.0.0.1:5000/library/nginx:latest")
            .ok();
        assert_eq!(
            raw(world, "127.0.0.1:5001/team/web:1"),
            source,
            "what was pulled goes back byte for byte"
        );

        // A layer made here; all tags at once.
        run(&["create", "--name", "made", "nginx"]).ok();
        world.sh(&format!("echo words >{}/words", world.directory().display())).ok();
        run(&["cp", &format!("{}/words", world.directory().display()), "made:/words"]).ok();
        run(&["commit", "made", "127.0.0.1:5001/team/web:2"]).ok();
        run(&["rm", "made"]).ok();
        let pushed = run(&["push", "-a", "127.0.0.1:5001/team/web"]).ok();
        assert!(pushed.contains("1: digest: ") && pushed.contains("2: digest: "), "{pushed}");
        assert!(pushed.contains("Layer already exists"), "{pushed}");
        run(&["rmi", "127.0.0.1:5001/team/web:1", "127.0.0.1:5001/team/web:2"]).ok();
        let pulled = run(&["pull", "-a", "127.0.0.1:5001/team/web"]).ok();
        assert!(pulled.contains("Status: Downloaded newer image for 127.0.0.1:5001/team/web"), "{pulled}");
        assert_eq!(run(&["run", "--rm", "127.0.0.1:5001/team/web:2", "cat", "/words"]).ok(), "words");
        let none = run(&["push", "127.0.0.1:5001/team/none"]);
        assert!(
            none.stderr.contains("An image does not exist locally with the tag: 127.0.0.1:5001/team/none")
        );
        drop(registry);
    });
}

#[test]
fn registries_are_asked_through_the_proxy() {
    let world =
        World::bare(&["--insecure-registry", "r.invalid:5000", "--insecure-registry", "no.invalid:5000"]);
    world.start_registry("");
    let log = world.directory().join("asked");
    let mut command = world.command("python3");
    command.args(["-c", PROXY]).arg(&log).stdout(Stdio::null()).stderr(Stdio::null());
    let proxy = Running(command.spawn().unwrap());
    eventually("the proxy listens", 10, || {
        (world.sh("curl -s -o /dev/null http://127.0.0.1:3128/").code != 7).then_some(())
    });
    let flags = ["--http-proxy", "http://ann:secret@127.0.0.1:3128", "--no-proxy", "no.invalid:5000"];
    world.start_daemon_with(&flags.map(str::to_owned));
    world.hull(&["pull", "-q", "r.invalid:5000/library/busybox"]).ok();
    let asked = std::fs::read_to_string(&log).unwrap();
    let blob = "GET http://r.invalid:5000/v2/library/busybox/blobs/sha256:";
    assert!(asked.contains(blob) && asked.contains(" Basic YW5uOnNlY3JldA==\n"), "{asked}");
    // What is excepted is not known here, and loopback is asked directly.
    let failed = world.hull(&["pull", "-q", "no.invalid:5000/library/busybox"]).expect_code(1).stderr;
    assert!(failed.contains("lookup no.invalid"), "{failed}");
    world.hull(&["pull", "-q", "127.0.0.1:5000/library/redis"]).ok();
    let asked = std::fs::read_to_string(&log).unwrap();
    assert!(!asked.contains("no.invalid") && !asked.contains("redis"), "{asked}");
    // Nobody is shown who asks.
    let info = world.docker(&["info"]).ok();
    assert!(info.contains(" HTTP Proxy: http://xxxxx:xxxxx@127.0.0.1:3128\n"), "{info}");
    assert!(info.contains(" No Proxy: no.invalid:5000\n") && !info.contains("secret"), "{info}");
    assert!(!world.daemon_log().contains("secret"), "{}", world.daemon_log());
    drop(proxy);
}

#[test]
fn a_pull_that_was_killed_goes_on() {
    let world = World::start();
    let log = world.directory().join("asked");
    let mut command = world.command("python3");
    command.arg("-c").arg(SLOWLY).arg(&log).stdin(Stdio::null());
    let slowly = Running(command.spawn().unwrap());
    eventually("the slow way is open", 10, || {
        (world.sh("curl -s -o /dev/null http://127.0.0.1:5002/v2/").code == 0).then_some(())
    });
    let image = "127.0.0.1:5002/library/debian";
    let mut pulling = Running(
        world
            .client_command(Client::Hull, &["pull", image])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let ingest = world.data_root().join("content/ingest");
    eventually("some of it is here", 30, || {
        let files = std::fs::read_dir(&ingest).ok()?.flatten();
        files.filter_map(|file| file.metadata().ok()).any(|data| data.len() > 4_000_000).then_some(())
    });
    world.kill_daemon();
    assert!(!pulling.0.wait().unwrap().success());
    world.start_daemon();
    assert_eq!(world.hull(&["images", "-q"]).ok(), "");
    world.hull(&["pull", "-q", image]).ok();
    let asked = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).to_lowercase();
    assert!(asked.contains("range: bytes="), "the second pull asked for all of it again");
    assert_eq!(world.hull(&["run", "--rm", image, "echo", "whole"]).ok(), "whole");
    drop((slowly, pulling));
    world.stop();
}

#[test]
fn lists_of_platforms_are_put_together() {
    let world = World::start();
    let registry = own_registry(&world, "127.0.0.1:5001", false);
    let login = ["login", "-u", "ann", "--password-stdin", "127.0.0.1:5001"];
    world.client_with_input(Client::Hull, &login, "secret").ok();
    world.hull(&["pull", "-q", "busybox"]).ok();
    for tag in ["a", "b"] {
        let name = format!("127.0.0.1:5001/one:{tag}");
        world.hull(&["tag", "busybox", &name]).ok();
        world.hull(&["push", "-q", &name]).ok();
    }
    let mut texts = Vec::new();
    for client in [Client::Hull, Client::Docker] {
        let run = |words: &[&str]| {
            let words: Vec<&str> = ["manifest"].iter().chain(words).copied().collect();
            world.client(client, &words)
        };
        let list = "127.0.0.1:5001/one:list";
        let made = run(&["create", "--insecure", list, "127.0.0.1:5001/one:a", "127.0.0.1:5001/one:b"]).ok();
        assert_eq!(made, format!("Created manifest list {list}"));
        let again = run(&["create", list, "127.0.0.1:5001/one:a"]);
        assert!(again.stderr.contains("refusing to amend an existing manifest list with no --amend flag"));
        run(&["annotate", "--arch", "arm64", "--variant", "v8", list, "127.0.0.1:5001/one:b"]).ok();
        let here = run(&["inspect", list]).ok();
        let digest = run(&["push", "--insecure", "-p", list]).ok();
        let there = run(&["inspect", "--insecure", list]).ok();
        let one = run(&["inspect", "--insecure", "127.0.0.1:5001/one:a"]).ok();
        let verbose = run(&["inspect", "--insecure", "-v", "127.0.0.1:5001/one:a"]).ok();
        assert!(run(&["rm", list]).stderr.contains("No such manifest: 127.0.0.1:5001/one:list"));
        assert!(
            run(&["inspect", "--insecure", "127.0.0.1:5001/one:none"])
                .stderr
                .contains("no such manifest: 127.0.0.1:5001/one:none")
        );
        texts.push([here, digest, there, one, verbose]);
    }
    assert_eq!(texts[0], texts[1]);
    world.hull(&["rmi", "-f", "busybox"]).ok();
    let pulled = world.hull(&["pull", "--platform", "linux/amd64", "127.0.0.1:5001/one:list"]).ok();
    assert!(pulled.contains("Digest: sha256:"), "{pulled}");
    drop(registry);
    world.stop();
}

#[test]
fn a_registrys_own_authority_is_trusted_and_no_other_way_is_taken() {
    let world = World::bare(&["--registry-mirror", "http://127.0.0.1:5000"]);
    world.start_registry("");
    let at = world.directory().display().to_string();
    // The machine's own directories, for this world only.
    for line in [
        "mkdir -p $AT/etc/certs.d/10.99.0.1:5443 $AT/upper $AT/work",
        "mount -t tmpfs none $AT/work && mkdir $AT/work/u $AT/work/w && mount -t overlay overlay -o lowerdir=/etc,upperdir=$AT/work/u,workdir=$AT/work/w /etc",
        "mkdir -p /etc/hull/certs.d/10.99.0.1:5443",
        "cd $AT && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca",
        "cd $AT && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server",
        "cd $AT && echo subjectAltName=IP:10.99.0.1 >ext && openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.cert",
    ] {
        world.sh(&line.replace("$AT", &at)).ok();
    }
    let registry = own_registry(&world, "10.99.0.1:5443", true);
    world.start_daemon();
    for client in [Client::Hull, Client::Docker] {
        let run = |words: &[&str]| world.client(client, words);
        let login = ["login", "-u", "ann", "--password-stdin", "10.99.0.1:5443"];
        // What a registry is trusted by is read when it is first spoken to.
        world.sh("rm -f /etc/hull/certs.d/10.99.0.1:5443/*").ok();
        world.kill_daemon();
        world.start_daemon();
        world.hull(&["pull", "-q", "busybox"]).ok();
        let distrusted = world.client_with_input(client, &login, "secret");
        assert!(distrusted.stderr.contains("certificate signed by unknown authority"), "{distrusted:?}");
        world.sh(&format!("cp {at}/ca.crt /etc/hull/certs.d/10.99.0.1:5443/")).ok();
        world.kill_daemon();
        world.start_daemon();
        world.client_with_input(client, &login, "secret").ok();
        run(&["tag", "busybox", "10.99.0.1:5443/bb:1"]).ok();
        run(&["push", "-q", "10.99.0.1:5443/bb:1"]).ok();
        run(&["rmi", "10.99.0.1:5443/bb:1"]).ok();
        run(&["pull", "-q", "10.99.0.1:5443/bb:1"]).ok();
        run(&["rmi", "10.99.0.1:5443/bb:1"]).ok();
    }
    drop(registry);
    world.sh(&format!("umount -l /etc && umount -l {at}/work")).ok();
    world.stop();
}
