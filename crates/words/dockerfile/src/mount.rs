//! `RUN --mount=type=…`.

use crate::suggest;

/// One mount of a RUN step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where; empty where the kind has a place of its own.
    pub target: String,
    /// The path within `from`.
    pub source: String,
    /// The stage, image or context.
    pub from: String,
    /// Whether nothing may be written; `None` where it is not said.
    pub read_only: Option<bool>,
    /// The name of a cache, secret or ssh agent.
    pub id: String,
    /// How a cache is shared.
    pub sharing: Sharing,
    /// Whether the step fails where the secret or agent is not there.
    pub required: bool,
    /// The environment variable that gets a secret.
    pub env: Option<String>,
    /// A tmpfs's size in bytes.
    pub size: Option<u64>,
    /// The mode of the file or directory.
    pub mode: Option<u32>,
    /// Its user.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind,
    /// A directory that lasts over builds.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret's file.
    Secret,
    /// The socket of an ssh agent.
    Ssh,
}

/// How builds at the same time share a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

const KEYS: [&str; 19] = [
    "type",
    "target",
    "dst",
    "destination",
    "source",
    "src",
    "from",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "env",
    "size",
    "mode",
    "uid",
    "gid",
];

impl Mount {
    /// Reads the value of a `--mount` flag.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields = fields(text)?;
        let kind = match fields
            .iter()
            .find(|(key, _)| key == "type")
            .map(|(_, value)| value.as_deref().unwrap_or(""))
        {
            None | Some("bind") => MountKind::Bind,
            Some("cache") => MountKind::Cache,
            Some("tmpfs") => MountKind::Tmpfs,
            Some("secret") => MountKind::Secret,
            Some("ssh") => MountKind::Ssh,
            Some(other) => {
                let hint = suggest::hint(other, ["bind", "cache", "tmpfs", "secret", "ssh"]);
                return Err(format!("unsupported mount type \"{other}\"{hint}"));
            }
        };
        let mut mount = Self {
            kind,
            target: String::new(),
            source: String::new(),
            from: String::new(),
            read_only: None,
            id: String::new(),
            sharing: Sharing::default(),
            required: false,
            env: None,
            size: None,
            mode: None,
            uid: None,
            gid: None,
        };
        for (key, value) in &fields {
            mount.set(key, value.as_deref(), text)?;
        }
        mount.check()?;
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: Option<&str>, text: &str) -> Result<(), String> {
        let flag = || match value {
            None => Ok(true),
            Some(value) => match value.to_lowercase().as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(format!("invalid value for {key}: {value}")),
            },
        };
        let needed = || value.ok_or_else(|| format!("invalid field '{key}' must be a key=value pair"));
        match key {
            "type" => needed().map(|_| ())?,
            "target" | "dst" | "destination" => self.target = needed()?.into(),
            "source" | "src" => self.source = needed()?.into(),
            "from" => self.from = needed()?.into(),
            "readonly" | "ro" => self.read_only = Some(flag()?),
            "readwrite" | "rw" => self.read_only = Some(!flag()?),
            "id" => self.id = needed()?.into(),
            "required" => self.required = flag()?,
            "env" => self.env = Some(needed()?.into()),
            "sharing" => {
                self.sharing = match needed()?.to_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    other => {
                        let hint = suggest::hint(other, ["shared", "private", "locked"]);
                        return Err(format!("unsupported sharing value \"{other}\"{hint}"));
                    }
                }
            }
            "size" => {
                self.size = Some(size(needed()?).ok_or_else(|| format!("invalid value for {key}: {text}"))?)
            }
            "mode" => {
                let value = needed()?;
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or_else(|| format!("invalid value {value} for mode"))?);
            }
            "uid" | "gid" => {
                let value = needed()?;
                let number = value.parse().map_err(|_| format!("invalid value {value} for {key}"))?;
                *(if key == "uid" { &mut self.uid } else { &mut self.gid }) = Some(number);
            }
            other => {
                let hint = suggest::hint(other, KEYS);
                let field = value.map_or(other.to_owned(), |value| format!("{other}={value}"));
                return Err(format!("unexpected key '{other}' in '{field}'{hint}"));
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let kind = self.kind;
        let refuse = |key: &str| Err(format!("unexpected key '{key}' for mount type '{}'", kind.word()));
        if !self.from.is_empty() && !matches!(kind, MountKind::Bind | MountKind::Cache) {
            return refuse("from");
        }
        if self.size.is_some() && kind != MountKind::Tmpfs {
            return refuse("size");
        }
        if self.env.is_some() && kind != MountKind::Secret {
            return refuse("env");
        }
        if self.required && !matches!(kind, MountKind::Secret | MountKind::Ssh) {
            return refuse("required");
        }
        let has_owner = self.mode.is_some() || self.uid.is_some() || self.gid.is_some();
        if has_owner && matches!(kind, MountKind::Bind | MountKind::Tmpfs) {
            return refuse(if self.mode.is_some() {
                "mode"
            } else if self.uid.is_some() {
                "uid"
            } else {
                "gid"
            });
        }
        match kind {
            MountKind::Bind | MountKind::Cache | MountKind::Tmpfs if self.target.is_empty() => {
                Err("invalid mount: target required".into())
            }
            MountKind::Secret if self.id.is_empty() => {
                let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
                self.id = match (self.source.is_empty(), self.target.is_empty(), &self.env) {
                    (false, ..) => name(&self.source),
                    (true, false, _) => name(&self.target),
                    (true, true, Some(env)) => env.clone(),
                    (true, true, None) => return Err("one of source, target required".into()),
                };
                Ok(())
            }
            MountKind::Cache if self.id.is_empty() => {
                self.id = self.target.clone();
                Ok(())
            }
            MountKind::Ssh if self.id.is_empty() => {
                self.id = if self.source.is_empty() { "default".into() } else { self.source.clone() };
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl MountKind {
    /// The word in a Dockerfile.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// `key=value,key="value, with a comma",key`: one record of comma separated values.
fn fields(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut records = vec![String::new()];
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let record = records.last_mut().map(|record| (record.is_empty(), record));
        let Some((empty, record)) = record else { continue };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                record.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if empty => quoted = true,
            ',' if !quoted => records.push(String::new()),
            other => record.push(other),
        }
    }
    if quoted {
        return Err(format!("failed to parse csv mounts: quote not closed in '{text}'"));
    }
    Ok(records
        .into_iter()
        .map(|record| match record.split_once('=') {
            Some((key, value)) => (key.trim().to_lowercase(), Some(value.to_owned())),
            None => (record.trim().to_lowercase(), None),
        })
        .collect())
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].to_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}
