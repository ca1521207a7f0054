//! From a request line to a handler.

use crate::compat;
use crate::hangup::Hangup;
use crate::query::{Query, decode};
use crate::request::{Call, Params};
use crate::response::{self, Body, Outcome, Reply, Shape};
use crate::status::Failure;
use crate::version::ApiVersion;
use hull_errors::Kind;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, SERVER};
use hyper::{Method, Request, Response, StatusCode};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future without name.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Handler = Box<dyn Fn(Call) -> BoxFuture<Outcome> + Send + Sync>;

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    /// This word.
    Word(&'static str),
    /// One segment, `{name}`.
    One(&'static str),
    /// One or more segments, `{name:.*}`: names of images and plugins have slashes.
    Many(&'static str),
}

struct Route {
    pattern: &'static str,
    method: Method,
    segments: Vec<Segment>,
    hijacks: bool,
    handler: Handler,
}

/// The headers that every answer of a route has.
pub struct Headers {
    server: HeaderValue,
    experimental: bool,
}

impl Headers {
    /// `Server` in Docker's form, because its client reads the operating system out of it.
    pub fn new(version: &str, experimental: bool) -> Self {
        let server = HeaderValue::from_str(&format!("Docker/{version} (linux)"));
        Self { server: server.unwrap_or(HeaderValue::from_static("Docker/0 (linux)")), experimental }
    }

    fn add(&self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.insert(SERVER, self.server.clone());
        let newest = HeaderValue::from_static(hull_api_types::API_VERSION);
        headers.insert(HeaderName::from_static("api-version"), newest);
        headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
        let experimental = HeaderValue::from_static(if self.experimental { "true" } else { "false" });
        headers.insert(HeaderName::from_static("docker-experimental"), experimental);
    }
}

/// All routes. The first that matches serves.
pub struct Router {
    routes: Vec<Route>,
    headers: Headers,
}

impl Router {
    /// Without routes.
    pub fn new(headers: Headers) -> Self {
        Self { routes: Vec::new(), headers }
    }

    /// Adds `METHOD /path/{name}/…`, served by `handler` with a copy of `state`.
    pub fn add<S, F, R>(&mut self, pattern: &'static str, state: &S, handler: F)
    where
        S: Clone + Send + Sync + 'static,
        F: Fn(S, Call) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let state = state.clone();
        self.push(pattern, false, Box::new(move |call| Box::pin(handler(state.clone(), call))));
    }

    /// Like [`Router::add`], for a handler that may answer with a [`Reply::Hijack`].
    pub fn add_hijack<S, F, R>(&mut self, pattern: &'static str, state: &S, handler: F)
    where
        S: Clone + Send + Sync + 'static,
        F: Fn(S, Call) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let state = state.clone();
        self.push(pattern, true, Box::new(move |call| Box::pin(handler(state.clone(), call))));
    }

    fn push(&mut self, pattern: &'static str, hijacks: bool, handler: Handler) {
        let (method, path) = pattern.split_once(' ').unwrap_or(("GET", pattern));
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
        self.routes.push(Route { pattern, method, segments: segments(path), hijacks, handler });
    }

    /// Finds the route at once (so that `hangup` knows of a hijack before the connection is read any further), and
    /// returns what serves the request.
    pub(crate) fn dispatch(
        self: &Arc<Self>,
        request: Request<Incoming>,
        hangup: Arc<Hangup>,
    ) -> BoxFuture<Reply> {
        if request.method() == Method::OPTIONS {
            return ready(Response::new(Body::empty()), Some(&self.headers));
        }
        let Some((index, version, params)) = self.find(request.method(), request.uri().path()) else {
            return ready(not_found(), None);
        };
        if let Some(text) = version.refusal() {
            return ready(response::failure(&Failure::invalid(text), version), Some(&self.headers));
        }
        hangup.set_hijacking(self.routes[index].hijacks);
        let route = self.routes[index].pattern;
        let (parts, body) = request.into_parts();
        let mut query = Query::parse(parts.uri.query().unwrap_or_default());
        compat::query_up(Shape { route, version }, &mut query);
        let call = Call {
            version,
            route,
            params,
            query,
            headers: parts.headers,
            body: Some(body),
            hangup: hangup.clone(),
        };
        let router = self.clone();
        Box::pin(async move {
            let reply = match (router.routes[index].handler)(call).await {
                Ok(reply) => reply,
                Err(failure) => {
                    note(route, &failure);
                    Reply::Response(response::failure(&failure, version))
                }
            };
            match reply {
                Reply::Response(mut response) => {
                    hangup.set_hijacking(false);
                    router.headers.add(&mut response);
                    Reply::Response(response)
                }
                hijack => hijack,
            }
        })
    }

    fn find(&self, method: &Method, path: &str) -> Option<(usize, ApiVersion, Params)> {
        let path = decode(path, false);
        let mut parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        // `/networks/` is `/networks`.
        if parts.len() == 2 && parts[1].is_empty() {
            parts.pop();
        }
        let stated = parts[0].strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let version = match stated {
            Some(text) => ApiVersion::parse(text)?,
            None => ApiVersion::NEWEST,
        };
        if stated.is_some() {
            parts.remove(0);
            if parts.len() == 2 && parts[1].is_empty() {
                parts.pop();
            }
        }
        self.routes.iter().enumerate().find_map(|(index, route)| {
            let params = (route.method == *method).then(|| matches(&route.segments, &parts)).flatten()?;
            Some((index, version, params))
        })
    }
}

fn ready(mut response: Response<Body>, headers: Option<&Headers>) -> BoxFuture<Reply> {
    if let Some(headers) = headers {
        headers.add(&mut response);
    }
    Box::pin(std::future::ready(Reply::Response(response)))
}

fn not_found() -> Response<Body> {
    response::respond(
        StatusCode::NOT_FOUND,
        "application/json",
        Body::Full(Some(response::message("page not found"))),
    )
}

fn note(route: &str, failure: &Failure) {
    match failure.kind {
        Kind::Internal => tracing::error!(route, "{}", failure.message),
        Kind::NotModified => {}
        kind => tracing::debug!(route, ?kind, "{}", failure.message),
    }
}

fn segments(path: &'static str) -> Vec<Segment> {
    let segment = |part: &'static str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        None => Segment::Word(part),
        Some(name) => name.strip_suffix(":.*").map_or(Segment::One(name), Segment::Many),
    };
    path.trim_start_matches('/').split('/').map(segment).collect()
}

fn matches(pattern: &[Segment], parts: &[&str]) -> Option<Params> {
    let mut params = Params::new();
    let (mut at, mut left) = (0, pattern.len());
    for segment in pattern {
        left -= 1;
        let part = *parts.get(at)?;
        match segment {
            Segment::Word(word) if part == *word => at += 1,
            Segment::Word(_) => return None,
            Segment::One(_) if part.is_empty() => return None,
            Segment::One(name) => {
                params.push((*name, part.to_owned()));
                at += 1;
            }
            // Greedy: it leaves one part for each later segment.
            Segment::Many(name) => {
                let end = parts.len().checked_sub(left).filter(|end| *end > at)?;
                // `/containers//web` names `/web`; nothing names nothing.
                let named = Some(parts[at..end].join("/")).filter(|text| !text.is_empty())?;
                params.push((*name, named));
                at = end;
            }
        }
    }
    (at == parts.len()).then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        let mut router = Router::new(Headers::new("1", false));
        for pattern in [
            "GET /_ping",
            "GET /images/json",
            "GET /images/{name:.*}/json",
            "DELETE /images/{name:.*}",
            "GET /containers/{name:.*}/json",
            "GET /networks",
            "GET /networks/{name:.*}",
        ] {
            router.add(pattern, &(), |(), _| async { response::empty(StatusCode::OK) });
        }
        router
    }

    fn find(method: Method, path: &str) -> Option<(&'static str, String, String)> {
        let router = router();
        let (index, version, params) = router.find(&method, path)?;
        let name = params.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("|");
        Some((router.routes[index].pattern, version.to_string(), name))
    }

    #[test]
    fn paths_find_their_routes() {
        for (path, pattern, version, name) in [
            ("/_ping", "GET /_ping", "1.51", ""),
            ("/v1.41/_ping", "GET /_ping", "1.41", ""),
            ("/v1.99/_ping", "GET /_ping", "1.99", ""),
            ("/images/json", "GET /images/json", "1.51", ""),
            ("/images/localhost:5599/bb/json", "GET /images/{name:.*}/json", "1.51", "localhost:5599/bb"),
            ("/images/a%2Fb%3A1/json", "GET /images/{name:.*}/json", "1.51", "a/b:1"),
            ("/images/json/json", "GET /images/{name:.*}/json", "1.51", "json"),
            ("/v1.24/containers/v1/json", "GET /containers/{name:.*}/json", "1.24", "v1"),
            ("/containers//web/json", "GET /containers/{name:.*}/json", "1.51", "/web"),
            // A container by the name that a link gives it.
            ("/containers/a/b/json", "GET /containers/{name:.*}/json", "1.51", "a/b"),
            ("/networks/", "GET /networks", "1.51", ""),
            ("/v1.41/networks/", "GET /networks", "1.41", ""),
            ("/networks/n", "GET /networks/{name:.*}", "1.51", "n"),
        ] {
            assert_eq!(find(Method::GET, path), Some((pattern, version.into(), name.into())), "{path}");
        }
        assert_eq!(find(Method::DELETE, "/images/a/b").unwrap().2, "a/b");
    }

    #[test]
    fn other_paths_find_nothing() {
        for path in ["/", "/nope", "/v1.x/_ping", "/containers//json", "/images//json", "/_ping/x", "*"] {
            assert_eq!(find(Method::GET, path), None, "{path}");
        }
        assert_eq!(find(Method::PUT, "/_ping"), None);
    }
}
