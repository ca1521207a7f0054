//! One record of comma-separated values, quoted as RFC 4180 has it: what `--mount`, `--network` and `--gpus` take.

/// The record's fields. Errors have the words of Go's `encoding/csv`.
pub fn record(text: &str) -> Result<Vec<String>, String> {
    if text.trim_end_matches(['\r', '\n']).is_empty() {
        return Err("EOF".into());
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let column = text.len() - rest.len() + 1;
        let (field, tail) = match rest.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted, text)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if let Some(at) = rest[..end].find('"') {
                    let column = column + at;
                    return Err(format!(
                        "parse error on line 1, column {column}: bare \" in non-quoted-field"
                    ));
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

/// A field after its opening quote, and what follows its closing one.
fn read_quoted<'a>(text: &'a str, whole: &str) -> Result<(String, &'a str), String> {
    let mut field = String::new();
    let mut rest = text;
    let column = |rest: &str| whole.len() - rest.len() + 1;
    loop {
        let Some(quote) = rest.find('"') else {
            let column = whole.len() + 1;
            return Err(format!(
                "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
            ));
        };
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.as_bytes().first() {
            Some(b'"') => {
                field.push('"');
                rest = &rest[1..];
            }
            None | Some(b',') => return Ok((field, rest)),
            Some(_) => {
                let column = column(rest) - 1;
                return Err(format!(
                    "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_commas() {
        assert_eq!(record("a,b=c,,d").unwrap(), ["a", "b=c", "", "d"]);
        assert_eq!(
            record(r#"type=bind,"source=/a,b","x=""y""""#).unwrap(),
            ["type=bind", "source=/a,b", "x=\"y\""]
        );
        for bad in ["", r#"a,b"c"#, r#""a"#, r#""a"b"#] {
            assert!(record(bad).is_err(), "{bad}");
        }
    }
}
