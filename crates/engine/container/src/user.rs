//! Who a process runs as: `user[:group]` and the container's own `/etc/passwd` and `/etc/group`.
//!
//! The two files are the image author's or the container's: they are read by a path that cannot leave the tree,
//! with a cap on their size, and nothing of the container's is run for it (CVE-2019-14271).

use crate::error::{Error, Result};
use hull_sys::in_root::InRoot;

/// The largest account file that is read; the rest of a larger one counts for nothing (CVE-2026-47262).
const FILE_LIMIT: u64 = 1 << 20;
/// The most supplementary groups that the kernel takes.
const GROUP_LIMIT: usize = 65_536;
/// The largest user or group id.
const ID_LIMIT: u32 = i32::MAX as u32;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, the group id first (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
}

/// The content of the two files; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
}

impl Accounts {
    /// Reads them from a tree.
    pub fn read(root: &InRoot) -> Self {
        let text = |path: &str| match root.read(path, FILE_LIMIT) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            // None, a device, a link out of the tree, too long: such a file names nobody.
            Err(_) => String::new(),
        };
        Self { passwd: text("/etc/passwd"), group: text("/etc/group") }
    }

    fn people(&self) -> impl Iterator<Item = Person<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let (uid, gid) = (parse_id(fields.nth(1)?)?, parse_id(fields.next()?)?);
            let home = fields.nth(1).unwrap_or_default();
            Some(Person { name, uid, gid, home })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let gid = parse_id(fields.nth(1)?)?;
            Some(Group { name, gid, members: fields.next().unwrap_or_default() })
        })
    }
}

struct Person<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u32>().ok()).flatten().filter(|id| *id <= ID_LIMIT)
}

/// One half of `user:group`.
enum Name<'a> {
    Nothing,
    Number(u32),
    Word(&'a str),
}

/// Digits are always a number, and one that doesn't fit is an error, never a name (CVE-2024-40635).
fn parse_name(text: &str) -> Result<Name<'_>> {
    if text.is_empty() {
        return Ok(Name::Nothing);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return match parse_id(text) {
            Some(id) => Ok(Name::Number(id)),
            None => Err(Error::invalid(format!("uids and gids must be in range 0-{ID_LIMIT}"))),
        };
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::invalid(format!("invalid user or group name {text:?}")));
    }
    Ok(Name::Word(text))
}

/// Resolves `user[:group]` and the groups of `--group-add`.
pub fn resolve(accounts: &Accounts, text: &str, group_add: &[String]) -> Result<User> {
    let (user_text, group_text) = text.split_once(':').unwrap_or((text, ""));
    let (user_name, group_name) = (parse_name(user_text)?, parse_name(group_text)?);
    let person = accounts.people().find(|person| match user_name {
        Name::Nothing => person.uid == 0,
        Name::Number(uid) => person.uid == uid,
        Name::Word(name) => person.name == name,
    });
    let mut user = User { home: "/".into(), ..User::default() };
    match (&person, &user_name) {
        (Some(person), _) => {
            user.uid = person.uid;
            user.gid = person.gid;
            // A home with control characters would smuggle variables in (cri-o's CVE-2022-4318).
            if !person.home.is_empty() && !person.home.contains(char::is_control) {
                user.home = person.home.to_owned();
            }
        }
        (None, Name::Number(uid)) => user.uid = *uid,
        (None, Name::Nothing) => {}
        (None, Name::Word(name)) => {
            return Err(Error::invalid(format!(
                "unable to find user {name}: no matching entries in passwd file"
            )));
        }
    }
    let mut groups = Vec::new();
    match group_name {
        // Supplementary groups go with the implicit form only.
        Name::Nothing => {
            if let Some(person) = &person {
                let member = |group: &Group<'_>| group.members.split(',').any(|name| name == person.name);
                groups.extend(accounts.groups().filter(member).map(|group| group.gid));
            }
        }
        ref explicit => user.gid = find_group(accounts, explicit)?,
    }
    user.groups.push(user.gid);
    for gid in group_add.iter().map(|text| find_group(accounts, &parse_name(text)?)) {
        groups.push(gid?);
    }
    for gid in groups {
        if !user.groups.contains(&gid) && user.groups.len() < GROUP_LIMIT {
            user.groups.push(gid);
        }
    }
    Ok(user)
}

fn find_group(accounts: &Accounts, name: &Name<'_>) -> Result<u32> {
    match name {
        Name::Number(gid) => Ok(*gid),
        Name::Nothing => Err(Error::invalid("unable to find group : no matching entries in group file")),
        Name::Word(word) => {
            let found = accounts.groups().find(|group| group.name == *word);
            let missing =
                || Error::invalid(format!("unable to find group {word}: no matching entries in group file"));
            found.map(|group| group.gid).ok_or_else(missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:w:/srv/web:/bin/sh\n\
                     1000:x:5:5:trick:/:/bin/sh\nbad:x:abc:1:::\nhuge:x:4294967296:1:::\n0x:x:77:7::/x:\n"
                .into(),
            group: "root:x:0:root\nbin:x:1:root,web\nwww:x:34:\nops:x:900:web\n1000:x:6:\n".into(),
        }
    }

    fn user(text: &str) -> std::result::Result<(u32, u32, Vec<u32>, String), String> {
        let user = resolve(&accounts(), text, &[]).map_err(|error| error.to_string())?;
        Ok((user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn dockers_rules() {
        for (text, expected) in [
            ("", (0, 0, vec![0, 1], "/root")),
            ("root", (0, 0, vec![0, 1], "/root")),
            ("web", (33, 34, vec![34, 1, 900], "/srv/web")),
            ("33", (33, 34, vec![34, 1, 900], "/srv/web")),
            ("web:ops", (33, 900, vec![900], "/srv/web")),
            ("web:7", (33, 7, vec![7], "/srv/web")),
            // Digits are a number, even where a user of that name is (CVE-2016-3697).
            ("1000", (1000, 0, vec![0], "/")),
            ("1000:1000", (1000, 1000, vec![1000], "/")),
            (":ops", (0, 900, vec![900], "/root")),
            ("0x", (77, 7, vec![7], "/x")),
            ("1", (1, 0, vec![0], "/")),
            ("2147483647", (2147483647, 0, vec![0], "/")),
        ] {
            let (uid, gid, groups, home) = expected;
            assert_eq!(user(text), Ok((uid, gid, groups, home.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn tricks_are_refused() {
        for bad in ["4294967296", "2147483648", "+1", "-1", "web:4294967296", "99999999999999999999"] {
            assert_eq!(user(bad).unwrap_err(), "uids and gids must be in range 0-2147483647", "{bad}");
        }
        for bad in [" 1", "we b", "web\n", "root:\t"] {
            assert!(user(bad).unwrap_err().starts_with("invalid user or group name"), "{bad:?}");
        }
        assert_eq!(
            user("nobody").unwrap_err(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert_eq!(user("bad").unwrap_err(), "unable to find user bad: no matching entries in passwd file");
        assert_eq!(user("web:x").unwrap_err(), "unable to find group x: no matching entries in group file");
    }

    #[test]
    fn added_groups_come_last() {
        let user = resolve(&accounts(), "web", &["ops".into(), "5".into()]).unwrap();
        assert_eq!(user.groups, [34, 1, 900, 5]);
        let hostile = Accounts { passwd: "a:x:0:0::/x\u{7}:\n".into(), group: String::new() };
        assert_eq!(resolve(&hostile, "a", &[]).unwrap().home, "/");
    }
}
