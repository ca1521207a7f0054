//! `docker login`: are these credentials good?

use crate::endpoint::{Endpoint, login_domain};
use crate::error::RegistryError;
use crate::repository::challenge_of;
use crate::token::{self, Authorization};
use crate::transport::Transport;
use crate::{Auth, endpoints};
use reqwest::{Method, Response};

pub(crate) async fn login(
    transport: &Transport,
    server: &str,
    auth: &Auth,
) -> Result<Option<String>, RegistryError> {
    let mut failed = None;
    // Credentials are for the registry itself: no mirror is asked.
    for endpoint in endpoints(transport, &login_domain(server), &[]).await? {
        match at(transport, &endpoint, auth).await {
            Err(error @ RegistryError::Transport { .. }) => failed = Some(error),
            done => return done,
        }
    }
    Err(failed.unwrap_or_else(|| RegistryError::Endpoint(server.into())))
}

async fn at(
    transport: &Transport,
    endpoint: &Endpoint,
    auth: &Auth,
) -> Result<Option<String>, RegistryError> {
    let first = ping(transport, endpoint, None).await?;
    if first.status().is_success() {
        return Ok(None);
    }
    let Some(challenge) = challenge_of(&first).filter(|_| first.status().as_u16() == 401) else {
        return Err(refused(endpoint, &first));
    };
    let (authorization, identity) = if challenge.scheme == "bearer" {
        let granted = token::fetch(transport, endpoint, &challenge, None, Some(auth), true).await?;
        (granted.authorization, granted.identity)
    } else {
        (token::basic(auth)?, None)
    };
    let second = ping(transport, endpoint, Some(authorization)).await?;
    match second.status().is_success() {
        true => Ok(identity),
        false => Err(refused(endpoint, &second)),
    }
}

async fn ping(
    transport: &Transport,
    endpoint: &Endpoint,
    authorization: Option<Authorization>,
) -> Result<Response, RegistryError> {
    let value = authorization.map(|authorization| authorization.value);
    transport.send(Method::GET, endpoint.url("")?, endpoint.headers.clone(), value, &endpoint.trust).await
}

fn refused(endpoint: &Endpoint, response: &Response) -> RegistryError {
    let cause = format!("login attempt to {}v2/ failed with status: {}", endpoint.base, response.status());
    match response.status().as_u16() {
        401 | 403 => RegistryError::Unauthorized(cause),
        status => RegistryError::Status { status, cause, retry_after: None },
    }
}
