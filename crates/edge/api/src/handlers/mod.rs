//! The routes, one module per group. A handler takes a request apart, calls the engine once and renders what it got.

pub mod archive;
pub mod build;
pub mod containers;
pub mod distribution;
pub mod events;
pub mod exec;
pub mod image_archives;
pub mod images;
pub mod networks;
pub mod push;
pub mod search;
pub mod streams;
pub mod system;
pub mod unbuilt;
pub mod volumes;

use crate::Services;
use crate::router::Router;
use crate::status::Failure;
use hull_errors::HasKind;
use std::future::Future;

/// Adds every route. Within a path literal words come before names that may have slashes.
pub fn register(router: &mut Router, services: Services) {
    let Services { builder, containers, images, networks, volumes, events, registry, facts } = services;
    system::register(router, &containers, &images, &volumes, &events, &facts, &builder);
    system::register_info(router, &containers, &images, &networks, &events, &facts);
    events::register(router, &events);
    let experimental = facts.borrow().info.experimental_build;
    containers::register(router, &containers, experimental);
    streams::register(router, &containers);
    archive::register(router, &containers);
    exec::register(router, &containers);
    build::register(router, &builder);
    unbuilt::register(router, experimental);
    image_archives::register(router, &images, &registry);
    push::register(router, &images);
    search::register(router, &registry);
    images::register(router, &images);
    networks::register(router, &networks, &containers);
    volumes::register(router, &volumes);
    distribution::register(router, &registry);
}

/// Runs `work` to its end, whether or not the client stays to hear of it.
async fn to_the_end<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: HasKind,
{
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::internal(format!("the engine's task ended unexpectedly: {error}"))),
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: HasKind,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Failure::internal(format!("the engine's task ended unexpectedly: {error}"))),
    }
}
