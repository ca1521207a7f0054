//! From a challenge to an `Authorization` header: basic, and the token flow of the distribution project
//! ("Token Authentication Specification", "OAuth2 Token Authentication").

use crate::challenge::Challenge;
use crate::endpoint::{Endpoint, authority, host_of};
use crate::error::{RegistryError, codes};
use crate::transport::{Transport, Trust};
use crate::{Auth, read_limited};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Docker's name as an OAuth2 client; registries keep it apart from others' in their policies.
const CLIENT: &str = "docker";
const ANSWER_LIMIT: u64 = 1 << 20;
/// Tokens live at least so long, the specification says; a server that says less is read as saying this.
const SHORTEST_LIFE: u64 = 60;

/// A header's value, and until when it serves.
#[derive(Clone)]
pub(crate) struct Authorization {
    pub(crate) value: HeaderValue,
    pub(crate) until: Option<Instant>,
}

impl Authorization {
    pub(crate) fn is_fresh(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// What a token server gave.
pub(crate) struct Granted {
    pub(crate) authorization: Authorization,
    /// A token to keep instead of the password.
    pub(crate) identity: Option<String>,
}

pub(crate) fn basic(auth: &Auth) -> Result<Authorization, RegistryError> {
    let text = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
    Ok(Authorization { value: secret(&format!("Basic {text}"))?, until: None })
}

pub(crate) fn bearer(token: &str, life: Option<u64>) -> Result<Authorization, RegistryError> {
    // Asked for again somewhat before it ends, so that none ends on the way.
    let life = life.map(|seconds| Duration::from_secs(seconds.max(SHORTEST_LIFE) * 9 / 10));
    let until = life.and_then(|life| Instant::now().checked_add(life));
    Ok(Authorization { value: secret(&format!("Bearer {token}"))?, until })
}

fn secret(text: &str) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        RegistryError::Unauthorized(
            "unauthorized: credentials hold characters that HTTP does not allow".into(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Tokens that are still good, by what they were given for. Asking for one takes two round trips.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<TokenKey, Authorization>>);

/// Registry, scopes, and a hash of the credentials: a token serves none but those who could have had it themselves.
pub(crate) type TokenKey = (String, String, [u8; 32]);

impl Tokens {
    pub(crate) fn key(endpoint: &Endpoint, scope: &str, auth: Option<&Auth>) -> TokenKey {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        if let Some(auth) = auth {
            for secret in [&auth.username, &auth.password, &auth.identity_token, &auth.registry_token] {
                context.update(&(secret.len() as u64).to_le_bytes());
                context.update(secret.as_bytes());
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        (endpoint.authority(), scope.into(), hash)
    }
    pub(crate) fn get(&self, key: &TokenKey) -> Option<Authorization> {
        self.lock().get(key).filter(|held| held.is_fresh()).cloned()
    }
    pub(crate) fn keep(&self, key: TokenKey, authorization: &Authorization) {
        let mut held = self.lock();
        held.retain(|_, held| held.is_fresh());
        held.insert(key, authorization.clone());
    }
    pub(crate) fn forget(&self, key: &TokenKey) {
        self.lock().remove(key);
    }
    fn lock(&self) -> MutexGuard<'_, HashMap<TokenKey, Authorization>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The union of two lists of scopes, `repository:NAME:ACTION,ACTION` each, separated by spaces.
pub(crate) fn scopes(one: &str, other: &str) -> String {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for scope in one.split(' ').chain(other.split(' ')).filter(|scope| !scope.is_empty()) {
        let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
        let place = all.iter().position(|(known, _)| *known == resource).unwrap_or_else(|| {
            all.push((resource, Vec::new()));
            all.len() - 1
        });
        for action in actions.split(',').filter(|action| !action.is_empty()) {
            if !all[place].1.contains(&action) {
                all[place].1.push(action);
            }
        }
    }
    let text: Vec<String> =
        all.into_iter().map(|(resource, actions)| format!("{resource}:{}", actions.join(","))).collect();
    text.join(" ")
}

/// A token for `challenge`, asked of the server that it names. `scope` is what to ask for besides what the challenge
/// names; `keep` asks for an identity token also.
pub(crate) async fn fetch(
    transport: &Transport,
    endpoint: &Endpoint,
    challenge: &Challenge,
    scope: Option<&str>,
    auth: Option<&Auth>,
    keep: bool,
) -> Result<Granted, RegistryError> {
    let realm = challenge.get("realm").unwrap_or_default();
    let realm_url = Url::parse(realm).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = realm_url else {
        let cause = format!("its token server {realm:?} is no URL");
        return Err(RegistryError::Answer { url: endpoint.base.to_string(), cause });
    };
    if auth.is_some() {
        check_realm(endpoint, &url)?;
    }
    let trust = match authority(&url) == endpoint.authority() {
        true => endpoint.trust.clone(),
        false => Trust::lax(transport.insecure.covers(&authority(&url))),
    };
    let service = challenge.get("service").unwrap_or_default();
    let scope = &scopes(challenge.get("scope").unwrap_or_default(), scope.unwrap_or_default());
    let refresh = auth.map(|auth| auth.identity_token.as_str()).filter(|token| !token.is_empty());
    let response = match refresh {
        Some(refresh) => {
            let form = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", CLIENT),
                ("scope", scope),
                ("refresh_token", refresh),
            ];
            transport.post(url.clone(), encode(&url, &form), &trust).await?
        }
        None => get(transport, url.clone(), service, scope, auth, keep, &trust).await?,
    };
    granted(&url, response).await
}

async fn get(
    transport: &Transport,
    mut url: Url,
    service: &str,
    scope: &str,
    auth: Option<&Auth>,
    keep: bool,
    trust: &Trust,
) -> Result<Response, RegistryError> {
    {
        let mut query = url.query_pairs_mut();
        if !service.is_empty() {
            query.append_pair("service", service);
        }
        // One parameter a scope: the challenge separates them by spaces.
        for one in scope.split(' ').filter(|one| !one.is_empty()) {
            query.append_pair("scope", one);
        }
        if let Some(auth) = auth {
            query.append_pair("account", &auth.username);
        }
        if keep {
            query.append_pair("offline_token", "true").append_pair("client_id", CLIENT);
        }
    }
    let authorization = auth.map(basic).transpose()?.map(|authorization| authorization.value);
    transport.send(Method::GET, url, HeaderMap::new(), authorization, trust).await
}

// The registry says where its tokens are had: whoever controls it, or the line to it, could name a place of theirs.
fn check_realm(endpoint: &Endpoint, realm: &Url) -> Result<(), RegistryError> {
    let own = authority(realm);
    let registry = endpoint.authority();
    let same_host = host_of(&own).eq_ignore_ascii_case(host_of(&registry));
    let never_weaker = realm.scheme() == "https" || (same_host && endpoint.base.scheme() == "http");
    match never_weaker {
        true => Ok(()),
        false => Err(RegistryError::Realm { registry, realm: realm.to_string() }),
    }
}

async fn granted(url: &Url, response: Response) -> Result<Granted, RegistryError> {
    let status = response.status();
    let body = read_limited(response, ANSWER_LIMIT).await?;
    if status.as_u16() == 401 || status.as_u16() == 403 || status.as_u16() == 400 {
        let words =
            codes::first(&body).map_or_else(|| "incorrect username or password".into(), |(_, text)| text);
        let words = words.trim_start_matches("unauthorized: ").to_owned();
        return Err(RegistryError::Unauthorized(format!(
            "Get \"{}\": unauthorized: {words}",
            without_query(url)
        )));
    }
    if !status.is_success() {
        let cause = format!("token server {} answered with status: {status}", without_query(url));
        return Err(RegistryError::Status { status: status.as_u16(), cause, retry_after: None });
    }
    let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|error| RegistryError::Answer {
        url: without_query(url),
        cause: format!("no token in it: {error}"),
    })?;
    let token = answer.token.filter(|t| !t.is_empty()).or(answer.access_token).unwrap_or_default();
    if token.is_empty() {
        let cause = "authorization server did not include a token in the response".into();
        return Err(RegistryError::Answer { url: without_query(url), cause });
    }
    let authorization = bearer(&token, Some(answer.expires_in.unwrap_or(SHORTEST_LIFE)))?;
    Ok(Granted { authorization, identity: answer.refresh_token.filter(|t| !t.is_empty()) })
}

// Queries name accounts; error texts need not.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

fn encode(url: &Url, pairs: &[(&str, &str)]) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base: &str) -> Endpoint {
        Endpoint::own(Url::parse(base).unwrap(), false)
    }

    #[test]
    fn credentials_go_to_tls_or_to_the_same_plain_host() {
        for (registry, realm, allowed) in [
            ("https://r.example/", "https://auth.example/token", true),
            ("https://r.example/", "http://auth.example/token", false),
            ("https://r.example/", "http://r.example/token", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000/", "http://127.0.0.2:5001/token", false),
            ("http://127.0.0.1:5000/", "http://evil.example/token", false),
        ] {
            let url = Url::parse(realm).unwrap();
            assert_eq!(check_realm(&endpoint(registry), &url).is_ok(), allowed, "{registry} {realm}");
        }
    }

    #[test]
    fn scopes_are_joined() {
        assert_eq!(scopes("repository:a/b:pull", "repository:a/b:pull,push"), "repository:a/b:pull,push");
        assert_eq!(scopes("", "repository:a:pull"), "repository:a:pull");
        assert_eq!(
            scopes("repository:h:5/a:push", "repository:c:pull repository:h:5/a:pull"),
            "repository:h:5/a:push,pull repository:c:pull"
        );
    }

    #[test]
    fn forms_are_encoded() {
        let url = Url::parse("https://auth.example/token?x=y").unwrap();
        assert_eq!(encode(&url, &[("a", "b c&d"), ("e", "é")]), "a=b+c%26d&e=%C3%A9");
    }
}
