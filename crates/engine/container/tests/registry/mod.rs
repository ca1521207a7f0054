//! The smallest registry: one image, made here of the host's static busybox.

use hull_content::Content;
use hull_types::Digest;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

const LINKS: [&str; 24] = [
    "sh", "cat", "echo", "true", "false", "sleep", "id", "grep", "hostname", "pwd", "ls", "wc", "head",
    "touch", "df", "tail", "ip", "stty", "rm", "mount", "test", "env", "ps", "kill",
];
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Serves the image as any name with any tag; the address to pull from.
pub fn serve(root: &Path) -> String {
    let content = Content::open(&root.join("registry")).unwrap();
    let layer = layer();
    let diff = content.put(&layer).unwrap();
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Cmd":["sh"],"Env":["PATH=/usr/local/sbin:/bin"]}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#,
        hull_types::Platform::host().architecture
    );
    let config_digest = content.put(config.as_bytes()).unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{diff}","size":{}}}]}}"#,
        config.len(),
        layer.len()
    );
    let manifest_digest = content.put(manifest.as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (content, manifest_digest) = (content.clone(), manifest_digest.clone());
            std::thread::spawn(move || {
                let _ = answer(stream, &content, &manifest_digest);
            });
        }
    });
    address
}

fn answer(stream: std::net::TcpStream, content: &Content, manifest: &Digest) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let digest = match path.rsplit_once('/') {
            Some((rest, _)) if rest.ends_with("/manifests") => Some(manifest.clone()),
            Some((rest, digest)) if rest.ends_with("/blobs") => digest.parse().ok(),
            _ => None,
        };
        let body = digest.as_ref().map(|digest| content.read(digest, 1 << 30).unwrap()).unwrap_or_default();
        let kind = if digest.as_ref() == Some(manifest) { MANIFEST } else { "application/octet-stream" };
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: {kind}\r\n", body.len())?;
        if let Some(digest) = &digest {
            write!(writer, "Docker-Content-Digest: {digest}\r\n")?;
        }
        writer.write_all(b"\r\n")?;
        if method != "HEAD" {
            writer.write_all(&body)?;
        }
    }
}

fn layer() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut entry = |name: &str, kind: tar::EntryType, mode: u32, data: &[u8], link: Option<&str>| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        match link {
            Some(link) => archive.append_link(&mut header, name, link).unwrap(),
            None => archive.append_data(&mut header, name, data).unwrap(),
        }
    };
    for directory in ["bin", "etc", "tmp", "srv", "root"] {
        entry(&format!("{directory}/"), tar::EntryType::Directory, 0o755, b"", None);
    }
    let busybox = std::fs::read("/bin/busybox").expect("Debian's busybox-static is needed");
    entry("bin/busybox", tar::EntryType::Regular, 0o755, &busybox, None);
    for name in LINKS {
        entry(&format!("bin/{name}"), tar::EntryType::Symlink, 0o777, b"", Some("busybox"));
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\n";
    entry("etc/passwd", tar::EntryType::Regular, 0o644, passwd, None);
    entry("etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\nwheel:x:10:root,web\nwww:x:34:\n", None);
    entry("srv/image", tar::EntryType::Regular, 0o644, b"from image\n", None);
    archive.into_inner().unwrap()
}
