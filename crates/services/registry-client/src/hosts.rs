//! `hosts.toml`: which servers stand for a registry, as containerd's administrators write it
//! (`<certs_dir>/<host:port>/hosts.toml`, or `_default/hosts.toml` for all others).
//!
//! ```toml
//! server = "https://registry.example"        # tried last; the registry itself where it is not given
//! [host."https://mirror.example/cache"]      # tried in this order
//!   capabilities = ["pull", "resolve"]
//!   ca = "mirror.pem"                        # or a list; paths are beside the file
//!   client = [["client.cert", "client.key"]]
//!   skip_verify = false
//!   override_path = false                    # true: the URL is the API's root, "v2/" is not appended
//!   [host."https://mirror.example/cache".header]
//!     x-team = "a"                           # or a list
//! ```

use crate::endpoint::{Capabilities, Endpoint, authority, mirror_url, server_of};
use crate::error::RegistryError;
use crate::transport::Trust;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A file that was read.
pub(crate) struct Hosts {
    path: PathBuf,
    table: Table,
}

/// The file for a registry, where there is one.
pub(crate) fn read(certs_dir: &Path, domain: &str) -> Result<Option<Hosts>, RegistryError> {
    for folder in [domain, "_default"] {
        let path = certs_dir.join(folder).join("hosts.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(RegistryError::Hosts { path, cause: error.to_string() }),
        };
        return match text.parse::<Table>() {
            Ok(table) => Ok(Some(Hosts { path, table })),
            Err(error) => Err(RegistryError::Hosts { path, cause: error.to_string() }),
        };
    }
    Ok(None)
}

impl Hosts {
    /// The servers that it names, then the registry itself: as it names that, or `own`.
    pub(crate) fn endpoints(
        &self,
        domain: &str,
        own: Vec<Endpoint>,
        insecure: impl Fn(&str) -> bool,
    ) -> Result<Vec<Endpoint>, RegistryError> {
        let empty = Table::new();
        let hosts = match self.table.get("host") {
            None => &empty,
            Some(Value::Table(hosts)) => hosts,
            Some(_) => return Err(self.wrong("host is no table")),
        };
        let mut all = Vec::new();
        for (url, settings) in hosts {
            let Value::Table(settings) = settings else { return Err(self.wrong("a host is no table")) };
            all.push(self.endpoint(domain, url, settings, &insecure)?);
        }
        match self.table.get("server") {
            None => all.extend(own),
            Some(Value::String(url)) => {
                let mut server = self.endpoint(domain, url, &self.table, &insecure)?;
                server.mirror = false;
                server.capabilities = Capabilities::ALL;
                // One who names the registry anew answers for it.
                server.credentials = true;
                all.push(server);
            }
            Some(_) => return Err(self.wrong("server is no text")),
        }
        Ok(all)
    }

    fn endpoint(
        &self,
        domain: &str,
        url: &str,
        settings: &Table,
        insecure: &impl Fn(&str) -> bool,
    ) -> Result<Endpoint, RegistryError> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let base = mirror_url(&with_scheme)?;
        let skip = self.switch(settings, "skip_verify")? || insecure(&authority(&base));
        let own = authority(&base) == server_of(domain);
        let mut endpoint = Endpoint::stand_in(base, skip);
        // The registry itself may be listed among its hosts, to give it its certificates.
        endpoint.credentials = own;
        endpoint.bare = self.switch(settings, "override_path")?;
        endpoint.trust = Trust {
            insecure: skip,
            authorities: self.paths(settings, "ca")?,
            client: self.client(settings)?,
        };
        endpoint.headers = self.headers(settings)?;
        if settings.contains_key("capabilities") {
            let named = self.texts(settings, "capabilities")?;
            let has = |name: &str| named.iter().any(|known| known == name);
            endpoint.capabilities =
                Capabilities { resolve: has("resolve"), pull: has("pull"), push: has("push") };
        }
        Ok(endpoint)
    }

    fn switch(&self, settings: &Table, key: &str) -> Result<bool, RegistryError> {
        match settings.get(key) {
            None => Ok(false),
            Some(Value::Boolean(value)) => Ok(*value),
            Some(_) => Err(self.wrong(&format!("{key} is neither true nor false"))),
        }
    }
    // One text or several.
    fn texts(&self, settings: &Table, key: &str) -> Result<Vec<String>, RegistryError> {
        let wrong = || self.wrong(&format!("{key} is no text and no list of texts"));
        match settings.get(key) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(all)) => {
                all.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }
    fn paths(&self, settings: &Table, key: &str) -> Result<Vec<PathBuf>, RegistryError> {
        Ok(self.texts(settings, key)?.iter().map(|path| self.beside(path)).collect())
    }
    fn beside(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).join(path)
    }
    // "both.pem", ["certificate", "key"] (in containerd a list of such files), or [["certificate", "key"], …].
    fn client(&self, settings: &Table) -> Result<Option<(PathBuf, Option<PathBuf>)>, RegistryError> {
        let wrong = || self.wrong("client is neither a file nor a list of certificates and keys");
        let file = |value: &Value| value.as_str().map(|path| self.beside(path)).ok_or_else(wrong);
        match settings.get("client") {
            None => Ok(None),
            Some(one @ Value::String(_)) => Ok(Some((file(one)?, None))),
            Some(Value::Array(all)) => match all.first() {
                None => Ok(None),
                Some(Value::Array(pair)) => {
                    let certificate = file(pair.first().ok_or_else(wrong)?)?;
                    Ok(Some((certificate, pair.get(1).map(file).transpose()?)))
                }
                Some(one) => Ok(Some((file(one)?, None))),
            },
            Some(_) => Err(wrong()),
        }
    }
    fn headers(&self, settings: &Table) -> Result<HeaderMap, RegistryError> {
        let mut headers = HeaderMap::new();
        let Some(table) = settings.get("header").and_then(Value::as_table) else { return Ok(headers) };
        for name in table.keys() {
            let key: HeaderName = name.parse().map_err(|_| self.wrong(&format!("{name:?} is no header")))?;
            for text in self.texts(table, name)? {
                let mut value = HeaderValue::from_str(&text).map_err(|_| {
                    self.wrong(&format!("the header {name:?} has a value that HTTP does not allow"))
                })?;
                value.set_sensitive(true);
                headers.append(key.clone(), value);
            }
        }
        Ok(headers)
    }
    fn wrong(&self, cause: &str) -> RegistryError {
        RegistryError::Hosts { path: self.path.clone(), cause: cause.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::endpoints;

    fn all(text: &str) -> Result<Vec<Endpoint>, RegistryError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("r.example:5000")).unwrap();
        std::fs::write(folder.path().join("r.example:5000/hosts.toml"), text).unwrap();
        let own = endpoints("r.example:5000", &[], |_| false)?;
        read(folder.path(), "r.example:5000")?.unwrap().endpoints("r.example:5000", own, |_| false)
    }

    #[test]
    fn servers_are_tried_in_the_files_order() {
        let found = all(r#"
            server = "https://backup.example"
            [host."https://z.example/cache"]
              capabilities = ["pull"]
              ca = ["a.pem", "/b.pem"]
              client = [["c.cert", "c.key"]]
              override_path = true
              [host."https://z.example/cache".header]
                x-team = ["a", "b"]
            [host."http://a.example:5000"]
              skip_verify = true
        "#)
        .unwrap();
        let bases: Vec<&str> = found.iter().map(|endpoint| endpoint.base.as_str()).collect();
        assert_eq!(bases, ["https://z.example/cache/", "http://a.example:5000/", "https://backup.example/"]);
        let first = &found[0];
        assert_eq!(first.capabilities, Capabilities { resolve: false, pull: true, push: false });
        assert!(first.trust.authorities[0].ends_with("r.example:5000/a.pem"));
        assert_eq!(first.trust.authorities[1], Path::new("/b.pem"));
        assert!(first.trust.client.as_ref().unwrap().1.as_ref().unwrap().ends_with("c.key"));
        assert_eq!(first.headers.get_all("x-team").iter().count(), 2);
        assert_eq!(first.url("a/manifests/1").unwrap().as_str(), "https://z.example/cache/a/manifests/1");
        assert_eq!(found[1].url("a/tags").unwrap().as_str(), "http://a.example:5000/v2/a/tags");
        assert!(found[1].trust.insecure && !found[1].credentials && found[1].mirror);
        assert!(found[2].credentials && !found[2].mirror && found[2].capabilities.push);
    }

    #[test]
    fn the_registry_itself_comes_last_and_keeps_its_credentials() {
        let found =
            all("[host.\"https://m.example\"]\n[host.\"https://r.example:5000\"]\nca = 'x'\n").unwrap();
        assert_eq!(found.len(), 3);
        assert!(!found[0].credentials && found[1].credentials && found[2].credentials);
        for broken in ["server = 1", "host = 1", "[host.\"ftp://x\"]", "[host.\"https://x\"]\nca = 1", "="] {
            assert!(all(broken).is_err(), "{broken}");
        }
    }
}
