//! Results that clients are still to get: each is there as long as the connection of its build.

use super::Product;
use crate::build::{lock, new_id};
use crate::builder::Builder;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Results by an id that nobody guesses.
#[derive(Clone, Default)]
pub(crate) struct Products(Arc<Mutex<HashMap<String, Arc<Product>>>>);

/// Forgets the result when it is dropped.
pub struct Kept {
    products: Products,
    /// By which it is found.
    pub id: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let gone = lock(&self.products.0).remove(&self.id);
        // What it held of the stores is removed from the disk.
        std::thread::spawn(move || drop(gone));
    }
}

impl Builder {
    /// Keeps a result until what is returned is dropped.
    pub fn keep(&self, product: Product) -> Result<Kept> {
        let (id, products) = (new_id()?, self.inner.products.clone());
        lock(&products.0).insert(id.clone(), Arc::new(product));
        Ok(Kept { products, id })
    }

    /// A result that is kept.
    pub fn kept(&self, id: &str) -> Result<Arc<Product>> {
        let found = lock(&self.inner.products.0).get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("no result of a build has the id {id}")))
    }
}
