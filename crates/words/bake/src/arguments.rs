//! Values of several fields, as `--output type=local,dest=out` has them.

use hcl::Value;
use std::fmt;

/// One value of several fields: a cache, an output, a secret, a key for ssh, an attestation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry(pub Vec<(String, String)>);

impl Entry {
    /// Reads `key=value,key=value`; what has no `=` is the value of `alone`.
    pub fn parse(text: &str, alone: &str) -> Self {
        let field = |field: String| match field.split_once('=') {
            Some((key, value)) => (key.trim().to_lowercase(), value.to_owned()),
            None => (alone.to_owned(), field),
        };
        Self(fields(text).into_iter().map(field).collect())
    }

    /// A field's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Sets a field.
    pub fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value.to_owned(),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    pub(crate) fn read(value: &Value, alone: &str) -> Result<Self, String> {
        match value {
            Value::Object(members) => {
                let set = members.iter().filter(|(_, value)| !value.is_null());
                let field = |(key, value): (&String, &Value)| Ok((key.to_lowercase(), listed(value)?));
                set.map(field).collect::<Result<_, String>>().map(Self)
            }
            text => crate::evaluate::text(text).map(|text| Self::parse(&text, alone)),
        }
    }
}

// A field that is a list is its items with commas between.
fn listed(value: &Value) -> Result<String, String> {
    match value {
        Value::Array(items) => {
            let items = items.iter().map(crate::evaluate::text).collect::<Result<Vec<_>, _>>()?;
            Ok(items.join(","))
        }
        one => crate::evaluate::text(one),
    }
}

impl fmt::Display for Entry {
    /// As the command line's flags take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            let field = format!("{key}={value}");
            match field.contains([',', '"', '\n']) {
                true => write!(f, "\"{}\"", field.replace('"', "\"\""))?,
                false => f.write_str(&field)?,
            }
        }
        Ok(())
    }
}

/// The fields of a line of comma separated values (RFC 4180).
pub(crate) fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let last = fields.len() - 1;
        let field = &mut fields[last];
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if fields.len() == 1 && fields[0].is_empty() {
        fields.clear();
    }
    fields
}
