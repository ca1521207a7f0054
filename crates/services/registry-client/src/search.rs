//! `docker search`: the index protocol of registries before the distribution specification, which has no search.
//! Docker Hub's index answers it; few others do.

use crate::endpoint::{Endpoint, endpoints};
use crate::error::RegistryError;
use crate::transport::Transport;
use crate::{Auth, read_limited, token};
use reqwest::{Method, Url};
use serde::Deserialize;

const HUB: &str = "docker.io";
const HUB_INDEX: &str = "https://index.docker.io/";
const ANSWER_LIMIT: u64 = 4 << 20;

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// How many people like it.
    pub star_count: u64,
    /// Whether it is one of Docker's own selection.
    pub is_official: bool,
    /// Whether it was built by Docker Hub.
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Found>,
}

pub(crate) async fn search(
    transport: &Transport,
    term: &str,
    limit: usize,
    auth: Option<&Auth>,
) -> Result<Vec<Found>, RegistryError> {
    let (domain, term) = parts(term);
    let mut failed = None;
    for endpoint in indexes(transport, domain)? {
        match at(transport, &endpoint, term, limit, auth).await {
            // The other scheme of an insecure registry.
            Err(error @ RegistryError::Transport { .. }) => failed = Some(error),
            done => return done,
        }
    }
    Err(failed.unwrap_or_else(|| RegistryError::Endpoint(domain.into())))
}

fn indexes(transport: &Transport, domain: &str) -> Result<Vec<Endpoint>, RegistryError> {
    if domain == HUB {
        let base = Url::parse(HUB_INDEX).map_err(|_| RegistryError::Endpoint(HUB_INDEX.into()))?;
        return Ok(vec![Endpoint::own(base, false)]);
    }
    endpoints(domain, &[], |host| transport.insecure.covers(host))
}

async fn at(
    transport: &Transport,
    endpoint: &Endpoint,
    term: &str,
    limit: usize,
    auth: Option<&Auth>,
) -> Result<Vec<Found>, RegistryError> {
    let mut url =
        endpoint.base.join("v1/search").map_err(|_| RegistryError::Endpoint(endpoint.base.to_string()))?;
    url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
    // Whoever has only a token has nothing that this protocol takes.
    let basic = auth.filter(|auth| !auth.username.is_empty() && !auth.password.is_empty());
    let authorization = basic.map(token::basic).transpose()?.map(|authorization| authorization.value);
    let headers = endpoint.headers.clone();
    let response = transport.send(Method::GET, url.clone(), headers, authorization, &endpoint.trust).await?;
    let status = response.status().as_u16();
    if status != 200 {
        let cause = format!("Unexpected status code {status}");
        return Err(RegistryError::Status { status, cause, retry_after: None });
    }
    let body = read_limited(response, ANSWER_LIMIT).await?;
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| RegistryError::Answer { url: url.to_string(), cause: error.to_string() })?;
    Ok(answer.results)
}

/// The index, and what to look for there.
fn parts(term: &str) -> (&str, &str) {
    match term.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => match first {
            "docker.io" | "index.docker.io" => (HUB, rest.strip_prefix("library/").unwrap_or(rest)),
            domain => (domain, rest),
        },
        _ => (HUB, term.strip_prefix("library/").unwrap_or(term)),
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn terms_name_indexes() {
        assert_eq!(parts("busybox"), ("docker.io", "busybox"));
        assert_eq!(parts("library/busybox"), ("docker.io", "busybox"));
        assert_eq!(parts("team/app"), ("docker.io", "team/app"));
        assert_eq!(parts("localhost:5000/app"), ("localhost:5000", "app"));
        assert_eq!(parts("docker.io/library/x"), ("docker.io", "x"));
    }
}
