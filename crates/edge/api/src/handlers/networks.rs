//! Networks.

use super::{blocking, to_the_end};
use crate::request::Call;
use crate::response::{Outcome, empty};
use crate::router::Router;
use hull_api_types::{NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use hull_container::{Containers, ListOptions};
use hull_network::Networks;
use hyper::StatusCode;

const LIST_FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const PRUNE_FILTERS: [&str; 3] = ["label", "label!", "until"];

pub fn register(router: &mut Router, networks: &Networks, containers: &Containers) {
    let both = (networks.clone(), containers.clone());
    router.add("GET /networks", networks, list);
    router.add("POST /networks/create", networks, create);
    router.add("POST /networks/prune", &both, prune);
    router.add("POST /networks/{name:.*}/connect", containers, connect);
    router.add("POST /networks/{name:.*}/disconnect", containers, disconnect);
    router.add("GET /networks/{name:.*}", networks, inspect);
    router.add("DELETE /networks/{name:.*}", networks, remove);
}

async fn list(networks: Networks, call: Call) -> Outcome {
    let filters = call.query.filters(&LIST_FILTERS)?;
    call.shape().json(&blocking(move || networks.list(&filters)).await?)
}

async fn create(networks: Networks, mut call: Call) -> Outcome {
    let mut request: NetworkCreateRequest = call.json().await?;
    // docker-py takes whatever version it is offered, and compose 1.29 on top of it makes a network anew that has IPv6
    // without having been asked (see `compat::v1_48`).
    if request.check_duplicate.is_some() {
        request.enable_ipv6.get_or_insert(false);
    }
    let created = blocking(move || networks.create(&request)).await?;
    call.shape().json_with(StatusCode::CREATED, &created)
}

async fn inspect(networks: Networks, call: Call) -> Outcome {
    let name = call.name().to_owned();
    call.shape().json(&blocking(move || networks.inspect(&name)).await?)
}

async fn remove(networks: Networks, call: Call) -> Outcome {
    let name = call.name().to_owned();
    blocking(move || networks.remove(&name)).await?;
    empty(StatusCode::NO_CONTENT)
}

async fn connect(containers: Containers, mut call: Call) -> Outcome {
    let request: NetworkConnectRequest = call.json().await?;
    let network = call.name().to_owned();
    to_the_end(async move { containers.network_connect(&network, request).await }).await?;
    empty(StatusCode::OK)
}

async fn disconnect(containers: Containers, mut call: Call) -> Outcome {
    let request: NetworkDisconnectRequest = call.json().await?;
    let network = call.name().to_owned();
    to_the_end(async move { containers.network_disconnect(&network, request).await }).await?;
    empty(StatusCode::OK)
}

async fn prune((networks, containers): (Networks, Containers), call: Call) -> Outcome {
    let filters = call.query.filters(&PRUNE_FILTERS)?;
    // A network that a stopped container is configured with is in use, though nothing is connected to it.
    let all = containers.list(ListOptions { all: true, ..ListOptions::default() }).await?;
    let in_use: Vec<String> = all
        .into_iter()
        .flat_map(|container| container.network_settings.networks)
        .flat_map(|(name, endpoint)| [name, endpoint.network_id])
        .filter(|name| !name.is_empty())
        .collect();
    call.shape().json(&blocking(move || networks.prune(&filters, &in_use)).await?)
}
