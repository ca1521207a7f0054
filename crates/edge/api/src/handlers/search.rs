//! `GET /images/search`.

use super::distribution::credentials;
use crate::request::Call;
use crate::response::Outcome;
use crate::router::Router;
use crate::status::Failure;
use hull_api_types::Filters;
use hull_registry_client::{Found, Registry};
use serde_json::json;

const FILTERS: [&str; 3] = ["is-automated", "is-official", "stars"];
const DEFAULT_LIMIT: usize = 25;

pub fn register(router: &mut Router, registry: &Registry) {
    router.add("GET /images/search", registry, search);
}

async fn search(registry: Registry, call: Call) -> Outcome {
    let filter = Filter::read(&call.query.filters(&FILTERS)?)?;
    let limit = match call.query.text("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => text.parse().map_err(|_| Failure::invalid(format!("invalid limit {text:?}")))?,
    };
    // Docker's clients send 0 for no limit given.
    let limit = if limit == 0 { DEFAULT_LIMIT } else { limit };
    if limit > 100 {
        return Err(Failure::invalid(format!("limit {limit} is outside the range of [1, 100]")));
    }
    let term = call.query.text("term").unwrap_or_default();
    if term.contains("://") {
        let text = format!("invalid repository name: repository name ({term}) should not have a scheme");
        return Err(Failure::invalid(text));
    }
    let found = registry.search(term, limit, call.registry_auth().map(credentials)).await?;
    let rows: Vec<_> = found.into_iter().filter(|one| filter.lets(one)).map(shown).collect();
    call.shape().json(&rows)
}

fn shown(found: Found) -> serde_json::Value {
    let Found { name, description, star_count, is_official, is_automated } = found;
    json!({
        "star_count": star_count, "is_official": is_official, "name": name,
        "is_automated": is_automated, "description": description
    })
}

#[derive(Debug, PartialEq)]
struct Filter {
    official: Option<bool>,
    automated: Option<bool>,
    stars: u64,
}

impl Filter {
    fn read(filters: &Filters) -> Result<Self, Failure> {
        let switch = |key: &str| match filters.get(key).and_then(|values| values.first()).map(String::as_str)
        {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(Failure::invalid(format!("invalid filter '{key}={other}'"))),
        };
        let stars = filters.get("stars").into_iter().flatten().map(|text| {
            text.parse::<u64>().map_err(|_| Failure::invalid(format!("invalid filter 'stars={text}'")))
        });
        let stars = stars.collect::<Result<Vec<u64>, Failure>>()?.into_iter().max().unwrap_or(0);
        Ok(Self { official: switch("is-official")?, automated: switch("is-automated")?, stars })
    }
    fn lets(&self, found: &Found) -> bool {
        self.official.is_none_or(|wanted| found.is_official == wanted)
            && self.automated.is_none_or(|wanted| found.is_automated == wanted)
            && found.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose() {
        let filters = |key: &str, value: &str| Filters::from([(key.into(), vec![value.into()])]);
        let liked = Found { star_count: 7, is_official: true, ..Found::default() };
        assert!(Filter::read(&filters("stars", "7")).unwrap().lets(&liked));
        assert!(!Filter::read(&filters("stars", "8")).unwrap().lets(&liked));
        assert!(!Filter::read(&filters("is-official", "false")).unwrap().lets(&liked));
        let wrong = Filter::read(&filters("is-official", "maybe")).unwrap_err();
        assert_eq!(wrong.message, "invalid filter 'is-official=maybe'");
        assert!(Filter::read(&filters("stars", "x")).is_err());
    }
}
