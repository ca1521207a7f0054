//! Builds: Docker's classic `POST /build`, Hull's own routes, and what the build cache holds.

mod cache;
mod classic;
mod history;
mod hull;
mod outputs;
mod parameters;

use crate::router::Router;
use hull_build::Builder;

pub fn register(router: &mut Router, builder: &Builder) {
    router.add("POST /build", builder, classic::build);
    router.add("POST /build/cancel", builder, classic::cancel);
    router.add("POST /hull/contexts", builder, hull::offer);
    router.add("POST /hull/archives", builder, hull::archive);
    router.add("POST /hull/contexts/{id}", builder, hull::fill);
    router.add("POST /hull/files", builder, hull::files);
    router.add("POST /hull/build", builder, hull::build);
    router.add("DELETE /hull/builds/{id}", builder, hull::forget);
    router.add("GET /hull/history", builder, history::list);
    router.add("GET /hull/history/{ref}/log", builder, history::log);
    router.add("DELETE /hull/history/{ref}", builder, history::remove);
    router.add("GET /hull/tree", builder, hull::tree);
    router.add("GET /hull/results/{id}/{kind}/{number}", builder, outputs::get);
    router.add("POST /build/prune", builder, cache::prune);
}

pub use cache::records;
