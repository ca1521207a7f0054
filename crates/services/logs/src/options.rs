//! Log drivers and their options, as `--log-driver` and `--log-opt` give them.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// What is done with a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// `json-file`: written to a file.
    JsonFile {
        /// The size in bytes from which on the file is rotated; `None` is never.
        max_size: Option<u64>,
        /// How many files there are at most, the current one included.
        max_file: u32,
        /// Names of labels to be logged with every entry.
        labels: Vec<String>,
        /// Names of environment variables to be logged with every entry.
        env: Vec<String>,
    },
    /// `none`: thrown away.
    None,
}

/// Parses the name and options of a log driver. The empty name is the default, `json-file`.
///
/// # Errors
/// With Docker's texts for unknown drivers, unknown options and impossible values.
pub fn parse_options(driver: &str, options: &BTreeMap<String, String>) -> Result<Driver> {
    match driver {
        "" | "json-file" => json_file(options),
        "none" => match options.keys().next() {
            None => Ok(Driver::None),
            Some(option) => Err(Error::UnknownOption { option: option.clone(), driver: "none" }),
        },
        other => Err(Error::UnknownDriver(other.into())),
    }
}

fn json_file(options: &BTreeMap<String, String>) -> Result<Driver> {
    let (mut size, mut files) = (None, 1);
    let (mut labels, mut env) = (Vec::new(), Vec::new());
    for (name, value) in options {
        match name.as_str() {
            "max-size" => size = max_size(value)?,
            "max-file" => files = max_file(value)?,
            "labels" => labels = names(value),
            "env" => env = names(value),
            // `compress` only changes how rotated files are kept; regular expressions and tags name what
            // is shown beside the lines. They are accepted, as a daemon's defaults may hold them.
            "compress" | "labels-regex" | "env-regex" | "tag" | "mode" | "max-buffer-size" => {}
            _ => return Err(Error::UnknownOption { option: name.clone(), driver: "json-file" }),
        }
    }
    if files > 1 && size.is_none() {
        return Err(Error::InvalidOption(
            "max-file cannot be set without max-size: set max-size too (--log-opt max-size=10m)".into(),
        ));
    }
    Ok(Driver::JsonFile { max_size: size, max_file: files, labels, env })
}

fn max_size(value: &str) -> Result<Option<u64>> {
    if value == "-1" {
        return Ok(None);
    }
    match hull_types::size::parse_binary(value) {
        Some(size) if size > 0 => Ok(Some(size as u64)),
        Some(_) => Err(Error::InvalidOption(format!("max-size must be a positive number, not {value:?}"))),
        None => Err(Error::InvalidOption(format!("invalid max-size {value:?}: expected a size such as 10m"))),
    }
}

fn max_file(value: &str) -> Result<u32> {
    match value.parse::<u32>() {
        Ok(0) => Err(Error::InvalidOption("max-file cannot be less than 1".into())),
        Ok(number) => Ok(number),
        Err(_) => Err(Error::InvalidOption(format!("invalid max-file {value:?}: expected a number"))),
    }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: &str, options: &[(&str, &str)]) -> std::result::Result<Driver, String> {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        parse_options(driver, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn drivers_and_options() {
        let plain = Driver::JsonFile { max_size: None, max_file: 1, labels: vec![], env: vec![] };
        assert_eq!(parse("", &[]).unwrap(), plain);
        assert_eq!(parse("json-file", &[("max-size", "-1")]).unwrap(), plain);
        assert_eq!(parse("none", &[]).unwrap(), Driver::None);
        assert_eq!(
            parse("json-file", &[("max-size", "10m"), ("max-file", "3"), ("labels", "a,b")]).unwrap(),
            Driver::JsonFile {
                max_size: Some(10 << 20),
                max_file: 3,
                labels: vec!["a".into(), "b".into()],
                env: vec![]
            }
        );
        assert_eq!(parse("syslog", &[]).unwrap_err(), "logger: no log driver named 'syslog' is registered");
        assert_eq!(
            parse("json-file", &[("color", "red")]).unwrap_err(),
            "unknown log opt 'color' for json-file log driver"
        );
        for bad in
            [&[("max-size", "x")][..], &[("max-size", "0")], &[("max-file", "0")], &[("max-file", "2")]]
        {
            assert!(parse("json-file", bad).is_err(), "{bad:?}");
        }
    }
}
